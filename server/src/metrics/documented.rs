//! The table of docs/metrics.md beside what is counted once everything was: names, labels, and the page of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use planner::backends::{Backend, Backends, Endpoint};
use planner::names::{EnvironmentName, Track, Weight};
use planner::word::Word;

use super::*;
use crate::Router;
use crate::testing::{V1, model, version};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// Where a family is shown, and with which labels.
type Shown = BTreeMap<String, (String, Vec<String>)>;

/// Counts each thing that can be counted, of a process that were everything.
fn count_everything(metrics: &Metrics) {
    let wine = model("wine");
    let slot = metrics.slot(&SlotLabels {
        model: wine.clone(),
        version: version(V1),
        track: Track::Stable,
    });
    Attempt::start(slot, Routed::Split, Instant::now()).finish(Outcome::Ok, 200);
    for (page, listener) in [
        (Page::Inference, ListenerName::Inference),
        (Page::ControlPlane, ListenerName::ControlPlane),
    ] {
        metrics
            .route(page, "GET", "/health")
            .answered("GET", 503, Duration::ZERO);
        let connections = metrics.listener(listener);
        drop(connections.opened());
        connections.closed(Closed::Idle);
        connections.refused_request("rate");
        connections.certificate_expires(version(V1).time());
    }
    metrics.webhook().called("accepted");
    metrics.told("github", "ok");
    metrics.count_steps(|| (1, 1));
    let environment: EnvironmentName = "dev".parse().expect("a name");
    metrics.reconciled(&environment, "changed", Duration::ZERO, version(V1).time());
    metrics.set_converged(&environment, &wine, true);
    metrics.set_drifted(&environment, &wine, false);
    metrics.set_canary_weight(&environment, &wine, Weight::FULL);
    metrics.set_states([("dev", "wine", Word::Serving)].into_iter());
    let router = Router::new(metrics.clone(), 0);
    router.follow(&Backends {
        model: wine,
        weight: Weight::FULL,
        stable: Backend {
            version: version(V1),
            endpoints: [Endpoint::by_http(([127, 0, 0, 1], 1).into())].into(),
        },
        canary: None,
    });
    router.refuse("it is no table".to_owned());
    let meters = metrics.router();
    let passed = meters.begin("wine", Track::Stable, Some(Routed::Split), Instant::now());
    passed.answered(StatusCode::OK);
    meters.tried("wine", Track::Stable, "refused");
    meters.diverted("wine");
}

fn counted() -> Shown {
    let metrics = Metrics::new();
    count_everything(&metrics);
    let mut shown = Shown::new();
    for (page, name) in [
        (Page::Inference, "inference"),
        (Page::ControlPlane, "control plane"),
    ] {
        for family in metrics.page(page).registry.gather() {
            let labels = family.get_metric()[0].get_label();
            let mut labels: Vec<_> = labels.iter().map(|label| label.name().to_owned()).collect();
            labels.sort_unstable();
            let on = if family.name().starts_with("aurora_router_") {
                "router"
            } else {
                name
            };
            shown
                .entry(family.name().to_owned())
                .and_modify(|(on, _labels)| "both".clone_into(on))
                .or_insert((on.to_owned(), labels));
        }
    }
    shown
}

fn documented() -> Shown {
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `aurora_"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let mut labels: Vec<_> = labels.map(str::to_owned).collect();
        labels.sort_unstable();
        let name = format!("aurora_{}", cells[0].trim_end_matches('`'));
        (name, (cells[1].to_owned(), labels))
    };
    rows.map(row).collect()
}

fn text(shown: &Shown) -> String {
    shown
        .iter()
        .fold(String::new(), |mut text, (name, (on, labels))| {
            writeln!(text, "{name} on {on} by {}", labels.join(", ")).expect("a text takes everything");
            text
        })
}

#[test]
fn each_family_is_documented_and_each_documented_one_exists() {
    let (documented, counted) = (text(&documented()), text(&counted()));
    assert_eq!(documented, counted, "docs/metrics.md, and what is counted");
}
