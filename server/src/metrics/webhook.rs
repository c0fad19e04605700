//! What a webhook's listener counts.

use super::Metrics;

/// The counter of calls.
#[derive(Clone)]
pub(crate) struct WebhookMeters(Metrics);

impl Metrics {
    /// Returns the counter of a webhook's calls.
    pub(crate) fn webhook(&self) -> WebhookMeters {
        WebhookMeters(self.clone())
    }
}

impl WebhookMeters {
    /// Counts a call; `result` is one of a few fixed words.
    pub(crate) fn called(&self, result: &'static str) {
        self.0.0.webhook_calls.with_label_values(&[result]).inc();
    }
}
