//! What others are told of passes.

use super::Metrics;

impl Metrics {
    /// Counts an attempt to tell somebody; both labels are of a few fixed words.
    pub fn told(&self, receiver: &'static str, result: &'static str) {
        self.0.told.with_label_values(&[receiver, result]).inc();
    }
}
