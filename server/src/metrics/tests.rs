use expect_test::expect;

use super::*;
use crate::testing::{V1, model, version};

#[test]
fn names_and_labels_are_the_documented_ones() {
    let metrics = Metrics::new();
    let labels = SlotLabels {
        model: model("wine"),
        version: version(V1),
        track: Track::Stable,
    };
    let slot = metrics.slot(&labels);
    Attempt::start(slot.clone(), Routed::Split, Instant::now()).finish(Outcome::Ok, 200);
    drop(Attempt::start(slot, Routed::Explicit, Instant::now()));
    metrics.unrouted(None, 404);
    metrics
        .route("GET", "/models")
        .answered("GET", 200, Duration::ZERO);
    let environment: EnvironmentName = "dev".parse().expect("a name");
    metrics.reconciled(&environment, "applied", Duration::ZERO, labels.version.time());
    metrics.set_converged(&environment, &labels.model, true);
    metrics.set_canary_weight(&environment, &labels.model, Weight::FULL);
    let text = metrics.render();
    // Buckets differ in their bound only, latencies from run to run.
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_sum"))
        .filter(|line| {
            !line.contains("_bucket") || line.contains("le=\"0.00005\"") || line.contains("le=\"10\"")
        })
        .map(|line| {
            if line.contains("_bucket") {
                line.rsplit_once(' ').map_or(line, |(series, _)| series)
            } else {
                line
            }
        })
        .collect();
    expect![[r#"
        aurora_canary_weight{environment="dev",model="wine"} 100
        aurora_errors_total{route="/models"} 0
        aurora_inference_model_loaded{model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_outcomes_total{model="wine",outcome="cancelled",routed="explicit",track="stable",version="v20260101-000000"} 1
        aurora_inference_outcomes_total{model="wine",outcome="cancelled",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="error",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="error",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="non_finite",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="non_finite",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="ok",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="ok",routed="split",track="stable",version="v20260101-000000"} 1
        aurora_inference_outcomes_total{model="wine",outcome="rejected_input",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="rejected_input",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_request_latency_seconds_bucket{model="wine",track="stable",version="v20260101-000000",le="0.00005"}
        aurora_inference_request_latency_seconds_bucket{model="wine",track="stable",version="v20260101-000000",le="10"}
        aurora_inference_request_latency_seconds_count{model="wine",track="stable",version="v20260101-000000"} 2
        aurora_inference_requests_total{code="200",model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_requests_total{code="400",model="wine",track="stable",version="v20260101-000000"} 0
        aurora_inference_requests_total{code="404",model="unknown",track="unknown",version="unknown"} 1
        aurora_inference_requests_total{code="499",model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_started_total{model="wine",routed="explicit",track="stable",version="v20260101-000000"} 1
        aurora_inference_started_total{model="wine",routed="split",track="stable",version="v20260101-000000"} 1
        aurora_last_reconcile_timestamp_seconds{environment="dev"} 1767225600
        aurora_model_converged{environment="dev",model="wine"} 1
        aurora_reconcile_duration_seconds_bucket{le="0.00005"}
        aurora_reconcile_duration_seconds_bucket{le="10"}
        aurora_reconcile_duration_seconds_count 1
        aurora_reconcile_total{environment="dev",result="applied"} 1
        aurora_request_latency_seconds_bucket{route="/models",le="0.00005"}
        aurora_request_latency_seconds_bucket{route="/models",le="10"}
        aurora_request_latency_seconds_count{route="/models"} 1
        aurora_requests_total{code="200",method="GET",route="/models"} 1"#]].assert_eq(&shown.join("\n"));
    metrics.forget_model(&environment, &labels.model);
    assert!(!metrics.render().contains("aurora_model_converged{"));
}

#[test]
fn a_method_that_http_does_not_define_shares_a_label() {
    let metrics = Metrics::new();
    let route = metrics.route("GET", "/models");
    for method in ["BREW", "GETT", "xxxxxxxx"] {
        route.answered(method, 405, Duration::ZERO);
    }
    assert!(metrics.render().contains("method=\"other\",route=\"/models\"} 3"));
}
