//! How models stand, each in one word, as it was seen last: the family `aurora_model_state`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use planner::word::Word;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, Metric, MetricFamily, MetricType};

use super::Metrics;
use super::series::labelled;

const NAME: &str = "aurora_model_state";
const HELP: &str = "1 for the word that says how the model stands.";

/// The series, replaced as a whole: a scrape sees what was seen at one time.
#[derive(Debug, Clone)]
pub(super) struct States {
    seen: Arc<Mutex<Vec<Metric>>>,
    described: Arc<Desc>,
}

impl Metrics {
    /// Shows from now on how models stand, by environment and name; of others nothing is said any more.
    pub(crate) fn set_states<'a>(&self, words: impl Iterator<Item = (&'a str, &'a str, Word)>) {
        let series = |(environment, model, word): (&str, &str, Word)| {
            // In the order of their names, as in the families that the library keeps.
            let mut metric = labelled(&[
                ("environment", environment),
                ("model", model),
                ("state", word.as_str()),
            ]);
            let mut gauge = Gauge::default();
            gauge.set_value(1.0);
            metric.set_gauge(gauge);
            metric
        };
        let seen = words.map(series).collect();
        *self.0.states.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl States {
    pub(super) fn new() -> Self {
        let labels = ["environment", "model", "state"].map(str::to_owned);
        let described = Desc::new(NAME.to_owned(), HELP.to_owned(), labels.into(), HashMap::new());
        Self {
            seen: Arc::default(),
            described: Arc::new(
                described.expect("invariant: names and labels are constants that the tests build"),
            ),
        }
    }
}

impl Collector for States {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.described]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(seen);
        vec![family]
    }
}
