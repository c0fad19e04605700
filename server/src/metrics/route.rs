//! The counters of one HTTP route: failures begin with 0, each other is made when it first counts. None is looked up twice.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::page::PageFamilies;

/// The counters of one HTTP route.
pub(crate) struct RouteMeters {
    families: Arc<PageFamilies>,
    /// The method whose answers of 200 count without a look-up.
    method: &'static str,
    route: &'static str,
    ok: OnceLock<IntCounter>,
    latency: OnceLock<Histogram>,
    errors: IntCounter,
}

impl std::fmt::Debug for RouteMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RouteMeters").field(&self.route).finish()
    }
}

impl RouteMeters {
    pub(super) fn new(families: Arc<PageFamilies>, method: &'static str, route: &'static str) -> Self {
        Self {
            errors: families.errors.with_label_values(&[route]),
            families,
            method,
            route,
            ok: OnceLock::new(),
            latency: OnceLock::new(),
        }
    }

    /// Returns the route's label.
    pub(crate) const fn route(&self) -> &'static str {
        self.route
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, method: &str, code: u16, took: Duration) {
        if code == 200 && method == self.method {
            self.ok.get_or_init(|| self.requests(method, code)).inc();
        } else {
            self.requests(method, code).inc();
        }
        self.latency
            .get_or_init(|| self.families.latency.with_label_values(&[self.route]))
            .observe(took.as_secs_f64());
        if code >= 500 {
            self.errors.inc();
        }
    }

    fn requests(&self, method: &str, code: u16) -> IntCounter {
        self.families
            .requests
            .with_label_values(&[bounded(method), self.route, &code.to_string()])
    }
}

/// A method is the client's text: those that HTTP does not define share one label.
fn bounded(method: &str) -> &str {
    match method {
        "GET" | "POST" | "HEAD" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" => method,
        _ => "other",
    }
}
