//! What others are told of passes.

use super::{FAILED, Metrics};

/// The result of what was not told, for too much waited.
const DROPPED: &str = "dropped";

impl Metrics {
    /// Begins to count what somebody is told: nothing has failed yet.
    pub fn begin_told(&self, receiver: &'static str) {
        for result in [FAILED, DROPPED] {
            drop(self.0.told.with_label_values(&[receiver, result]));
        }
    }

    /// Counts an attempt to tell somebody; both labels are of a few fixed words.
    pub fn told(&self, receiver: &'static str, result: &'static str) {
        self.0.told.with_label_values(&[receiver, result]).inc();
    }
}
