//! What an operator counts by itself, read when somebody asks.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

/// Reads how many steps came to their end, and how many failed.
type Read = Box<dyn Fn() -> (u64, u64) + Send + Sync>;

/// The family `aurora_operator_steps_total`.
pub(super) struct Steps {
    read: Read,
    counter: IntCounterVec,
}

impl Steps {
    pub(super) fn new(read: Read) -> Self {
        let options = Opts::new(
            "aurora_operator_steps_total",
            "Steps of the operator by result: ok or failed.",
        );
        let counter = IntCounterVec::new(options, &["result"])
            .expect("invariant: name and label are constants that the tests build");
        Self { read, counter }
    }
}

impl Collector for Steps {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (done, failed) = (self.read)();
        for (result, count) in [("ok", done), ("failed", failed)] {
            let counter = self.counter.with_label_values(&[result]);
            // Scrapes that come at once may each have read an earlier number.
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.counter.collect()
    }
}
