use std::collections::BTreeSet;

use expect_test::expect;

use super::*;
use crate::testing::{V1, V2, model, series, version};

/// Returns both pages, that of inference first.
fn both(metrics: &Metrics) -> String {
    [Page::Inference, Page::ControlPlane]
        .map(|page| metrics.render(page))
        .concat()
}

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
    metrics.unrouted(None).count(404);
    metrics
        .route(Page::ControlPlane, "GET", "/models")
        .answered("GET", 200, Duration::ZERO);
    let environment: EnvironmentName = "dev".parse().expect("a name");
    metrics.begin_reconciled(&environment);
    metrics.begin_told("github");
    metrics.reconciled(&environment, "changed", Duration::ZERO, labels.version.time());
    metrics.set_converged(&environment, &labels.model, true);
    metrics.set_canary_weight(&environment, &labels.model, Weight::FULL);
    let text = both(&metrics);
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
        aurora_inference_model_loaded{model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_outcomes_total{model="wine",outcome="cancelled",routed="explicit",track="stable",version="v20260101-000000"} 1
        aurora_inference_outcomes_total{model="wine",outcome="error",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="error",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="non_finite",routed="explicit",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="non_finite",routed="split",track="stable",version="v20260101-000000"} 0
        aurora_inference_outcomes_total{model="wine",outcome="ok",routed="split",track="stable",version="v20260101-000000"} 1
        aurora_inference_request_latency_seconds_bucket{model="wine",track="stable",version="v20260101-000000",le="0.00005"}
        aurora_inference_request_latency_seconds_bucket{model="wine",track="stable",version="v20260101-000000",le="10"}
        aurora_inference_request_latency_seconds_count{model="wine",track="stable",version="v20260101-000000"} 2
        aurora_inference_requests_total{code="200",model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_requests_total{code="404",model="unknown",track="unknown",version="unknown"} 1
        aurora_inference_requests_total{code="499",model="wine",track="stable",version="v20260101-000000"} 1
        aurora_inference_started_total{model="wine",routed="explicit",track="stable",version="v20260101-000000"} 1
        aurora_inference_started_total{model="wine",routed="split",track="stable",version="v20260101-000000"} 1
        aurora_canary_weight{environment="dev",model="wine"} 100
        aurora_errors_total{route="/models"} 0
        aurora_last_reconcile_timestamp_seconds{environment="dev"} 1767225600
        aurora_model_converged{environment="dev",model="wine"} 1
        aurora_reconcile_duration_seconds_bucket{le="0.00005"}
        aurora_reconcile_duration_seconds_bucket{le="10"}
        aurora_reconcile_duration_seconds_count 1
        aurora_reconcile_total{environment="dev",result="changed"} 1
        aurora_reconcile_total{environment="dev",result="failed"} 0
        aurora_request_latency_seconds_bucket{route="/models",le="0.00005"}
        aurora_request_latency_seconds_bucket{route="/models",le="10"}
        aurora_request_latency_seconds_count{route="/models"} 1
        aurora_requests_total{code="200",method="GET",route="/models"} 1
        aurora_told_total{receiver="github",result="dropped"} 0
        aurora_told_total{receiver="github",result="failed"} 0"#]].assert_eq(&shown.join("\n"));
    metrics.set_drifted(&environment, &labels.model, true);
    let drifted = r#"aurora_drifted{environment="dev",model="wine"} 1"#;
    assert!(both(&metrics).contains(drifted));
    metrics.forget_model(&environment, &labels.model);
    let rendered = both(&metrics);
    for gone in [
        "aurora_model_converged{",
        "aurora_drifted{",
        "aurora_canary_weight{",
    ] {
        assert!(!rendered.contains(gone), "{gone}");
    }
}

#[test]
fn what_an_operator_counts_is_read_when_somebody_asks() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let steps = std::sync::Arc::new(AtomicU64::new(2));
    let metrics = Metrics::new();
    assert!(!both(&metrics).contains("aurora_operator"));
    let counting = steps.clone();
    metrics.count_steps(move || (counting.load(Ordering::Relaxed), 1));
    for (count, told) in [(2, 2), (7, 7), (3, 7)] {
        steps.store(count, Ordering::Relaxed);
        let rendered = both(&metrics);
        let ok = format!("aurora_operator_steps_total{{result=\"ok\"}} {told}\n");
        assert!(rendered.contains(&ok), "{rendered}");
        assert!(
            rendered.contains("aurora_operator_steps_total{result=\"failed\"} 1\n"),
            "{rendered}"
        );
    }
}

#[test]
fn a_method_that_http_does_not_define_shares_a_label() {
    let metrics = Metrics::new();
    let route = metrics.route(Page::ControlPlane, "GET", "/models");
    for method in ["BREW", "GETT", "xxxxxxxx"] {
        route.answered(method, 405, Duration::ZERO);
    }
    assert!(both(&metrics).contains("method=\"other\",route=\"/models\"} 3"));
}

fn labels(name: &str, number: &str) -> SlotLabels {
    SlotLabels {
        model: model(name),
        version: version(number),
        track: Track::Stable,
    }
}

/// The lines that say something, without their values.
fn lines(metrics: &Metrics) -> Vec<String> {
    let text = both(metrics);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _value)| series.to_owned())
        .collect()
}

#[test]
fn what_never_happened_has_no_line_but_failures_begin_with_0() {
    let metrics = Metrics::new();
    let _route = metrics.route(Page::ControlPlane, "GET", "/models");
    let _unrouted = [metrics.unrouted(None), metrics.unrouted(Some(&model("wine")))];
    assert_eq!(lines(&metrics), ["aurora_errors_total{route=\"/models\"}"]);
    let slot = metrics.slot(&labels("wine", V1));
    let shown = |metrics: &Metrics| {
        let lines = lines(metrics);
        let of_slot = lines.iter().filter(|line| line.contains("model=\"wine\""));
        of_slot
            .map(|line| {
                line.replace(",track=\"stable\",version=\"v20260101-000000\"", "")
                    .replace("aurora_inference_", "")
                    .replace("model=\"wine\"", "")
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect![[r#"
        model_loaded{}
        outcomes_total{,outcome="error",routed="split"}
        outcomes_total{,outcome="non_finite",routed="split"}
        started_total{,routed="split"}"#]]
    .assert_eq(&shown(&metrics));
    let attempt = Attempt::start(slot, Routed::Explicit, Instant::now());
    expect![[r#"
        model_loaded{}
        outcomes_total{,outcome="error",routed="explicit"}
        outcomes_total{,outcome="error",routed="split"}
        outcomes_total{,outcome="non_finite",routed="explicit"}
        outcomes_total{,outcome="non_finite",routed="split"}
        started_total{,routed="explicit"}
        started_total{,routed="split"}"#]]
    .assert_eq(&shown(&metrics));
    let before = lines(&metrics).len();
    attempt.finish(Outcome::RejectedInput, 413);
    // One outcome, one code, and a histogram: a line for each bound and for infinity, the sum and the count.
    assert_eq!(
        lines(&metrics).len(),
        before + 2 + LATENCY_BUCKETS_SECONDS.len() + 3
    );
}

#[test]
fn what_happens_at_once_is_counted_once_each() {
    const THREADS: u64 = 8;
    const EACH: u64 = 600;
    let metrics = Metrics::new();
    let slot = metrics.slot(&labels("wine", V1));
    let unrouted = metrics.unrouted(Some(&model("wine")));
    let route = metrics.route(Page::Inference, "POST", "/predict/{model}");
    let ends = [
        (Outcome::Ok, 200),
        (Outcome::RejectedInput, 400),
        (Outcome::Error, 503),
    ];
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    let (outcome, code) = ends[usize::try_from(number % 3).expect("below 3")];
                    Attempt::start(slot.clone(), Routed::Split, Instant::now()).finish(outcome, code);
                    unrouted.count(429);
                    route.answered("POST", code, Duration::ZERO);
                }
            });
        }
    });
    let (all, third) = (THREADS * EACH, THREADS * EACH / 3);
    let slot = format!("track=\"stable\",version=\"{V1}\"}}");
    for (name, expected) in [
        (
            format!("aurora_inference_started_total{{model=\"wine\",routed=\"split\",{slot}"),
            all,
        ),
        (
            format!("aurora_inference_outcomes_total{{model=\"wine\",outcome=\"ok\",routed=\"split\",{slot}"),
            third,
        ),
        (
            format!("aurora_inference_requests_total{{code=\"503\",model=\"wine\",{slot}"),
            third,
        ),
        (
            format!("aurora_inference_request_latency_seconds_count{{model=\"wine\",{slot}"),
            all,
        ),
        (
            "aurora_inference_requests_total{code=\"429\",model=\"wine\",track=\"unknown\",version=\"unknown\"}"
                .to_owned(),
            all,
        ),
        (
            "aurora_requests_total{code=\"400\",method=\"POST\",route=\"/predict/{model}\"}".to_owned(),
            third,
        ),
        (
            "aurora_errors_total{route=\"/predict/{model}\"}".to_owned(),
            third,
        ),
        (
            "aurora_request_latency_seconds_count{route=\"/predict/{model}\"}".to_owned(),
            all,
        ),
    ] {
        assert_eq!(series(&metrics, &name), expected, "{name}");
    }
}

#[test]
fn a_latency_counts_in_each_bucket_from_its_bound_on() {
    let check = |microseconds: u64, expected: &str| {
        let metrics = Metrics::new();
        let slot = metrics.slot(&labels("wine", V1));
        let since = Instant::now()
            .checked_sub(Duration::from_micros(microseconds))
            .expect("a moment ago");
        Attempt::start(slot, Routed::Split, since).finish(Outcome::Ok, 200);
        let text = both(&metrics);
        let first = text
            .lines()
            .find(|line| line.contains("_bucket") && line.ends_with(" 1"));
        let bound = first.and_then(|line| line.split("le=\"").nth(1)?.split('"').next());
        assert_eq!(bound, Some(expected), "{microseconds} µs");
    };
    check(2_000_000, "2.5");
    check(2_500_000, "5");
    check(11_000_000, "+Inf");
}

#[test]
fn a_slot_that_goes_takes_all_its_series_and_no_other() {
    let metrics = Metrics::new();
    let ask = |labels: &SlotLabels| {
        let slot = metrics.slot(labels);
        for code in [200, 400, 413, 500, 503] {
            for routed in [Routed::Split, Routed::Explicit] {
                Attempt::start(slot.clone(), routed, Instant::now()).finish(Outcome::Ok, code);
            }
        }
    };
    let (first, second) = (labels("wine", V1), labels("wine", V2));
    ask(&first);
    let before = lines(&metrics);
    ask(&second);
    metrics.unrouted(Some(&first.model)).count(415);
    let now = Instant::now();
    metrics.retire(&second, now);
    metrics.retire_unrouted(&first.model, now);
    let loaded = |line: &&String| line.starts_with("aurora_inference_model_loaded");
    assert_eq!(
        lines(&metrics).iter().filter(loaded).count(),
        1,
        "the other is loaded"
    );
    assert!(
        both(&metrics).contains(V2),
        "its last values are still to be seen"
    );
    assert_eq!(
        metrics.sweep(now),
        Some(now + RETIRED_SERIES_KEPT),
        "the time is not over"
    );
    assert_eq!(metrics.sweep(now + RETIRED_SERIES_KEPT), None);
    assert_eq!(lines(&metrics), before);
}

#[test]
fn no_series_stands_on_both_pages() {
    let metrics = Metrics::new();
    for (page, route) in [(Page::Inference, "/v2"), (Page::ControlPlane, "/models")] {
        // Both listeners have these two.
        for route in [route, "/health", "/metrics"] {
            metrics
                .route(page, "GET", route)
                .answered("GET", 500, Duration::ZERO);
        }
    }
    for listener in [
        ListenerName::Inference,
        ListenerName::ControlPlane,
        ListenerName::Webhook,
    ] {
        let connections = metrics.listener(listener);
        drop(connections.opened());
        connections.refused();
        connections.closed(Closed::Idle);
    }
    let slot = metrics.slot(&labels("wine", V1));
    Attempt::start(slot, Routed::Split, Instant::now()).finish(Outcome::Ok, 200);
    let environment: EnvironmentName = "dev".parse().expect("a name");
    metrics.set_converged(&environment, &model("wine"), true);
    let series = |page| {
        let text = metrics.render(page);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (inference, control_plane) = (series(Page::Inference), series(Page::ControlPlane));
    let of =
        |lines: &BTreeSet<String>, name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    for (name, expected) in [
        ("aurora_requests_total{", (3, 3)),
        ("aurora_errors_total{", (3, 3)),
        ("aurora_connections{", (1, 2)),
        ("aurora_connections_refused_total{", (1, 2)),
        ("aurora_connections_closed_total{", (1, 2)),
        ("aurora_inference_model_loaded{", (1, 0)),
        ("aurora_model_converged{", (0, 1)),
    ] {
        assert_eq!(
            (of(&inference, name), of(&control_plane, name)),
            expected,
            "{name}"
        );
    }
}
