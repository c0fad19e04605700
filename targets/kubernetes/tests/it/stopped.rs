//! A controller that is stopped dead after its n-th write, for every n of a full rollout: the next one goes on from there.

mod snapshot;

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use crate::desired::{Desired, note};
use crate::installed::installed;
use crate::repository::{V1, V2};
use crate::whole::{Controllers, MODEL, V3, Watched, Which, Whole, line};
use snapshot::Snapshot;

/// What asks for these tests: they take seven minutes of two cores that have nothing else to do.
const ASKED_FOR: &str = "TESTKIT_STOPS";
/// How many environments roll out at a time.
const AT_ONCE: usize = 8;
/// What is waited for comes within this: many roll out at a time.
const PATIENCE: Duration = Duration::from_mins(10);
/// After this nothing comes by itself: it is longer than a route settles.
const QUIET: Duration = Duration::from_secs(7);

/// What a rollout came to after each phase, and whether a controller was stopped.
struct Rolled {
    snapshots: Vec<Snapshot>,
    is_cut: bool,
    writes: u64,
}

/// Rolls out in an environment of its own, a controller of which is stopped after so many writes. `expected` is what there
/// is after each phase, where that is known.
async fn roll(
    watched: &Watched,
    which: Which,
    stopped_after: Option<u64>,
    expected: Option<&[Snapshot]>,
) -> Rolled {
    let mut whole = Whole::new(&[MODEL]).await.expect("there was one before");
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    for each in Which::BOTH {
        controllers.start(each, |proxy| {
            if let Some(n) = stopped_after.filter(|_| each == which) {
                proxy.cut_after(n);
            }
        });
    }
    let proxy = controllers.proxy(which);
    let is_cut = std::cell::Cell::new(false);
    let replacing = async {
        proxy.until_cut().await;
        is_cut.set(true);
        controllers.replace(which).await;
        std::future::pending::<Controllers>().await
    };
    let rolling = async {
        let mut snapshots = Vec::new();
        let mut since = 0;
        for (number, Phase { act, comes_to }) in full_rollout().into_iter().enumerate() {
            match act {
                Act::Declare(stable, canary) => drop(desired.declare(MODEL, stable, canary)),
                Act::Abort => desired.abort(MODEL).await,
                Act::Wipe => desired.wipe(&format!("mldeployments/{MODEL}")).await,
                Act::Remove => drop(desired.remove(MODEL)),
            }
            let expected = expected.map(|expected| &expected[number]);
            snapshots.push(comes_to_rest(watched, desired, &comes_to, expected).await);
            // From what was the same twice on, the rest is the same, too.
            since += usize::from(is_cut.get());
            if since == 2 {
                break;
            }
        }
        snapshots
    };
    let snapshots = tokio::select! {
        snapshots = rolling => snapshots,
        _ = replacing => unreachable!("it is pending"),
    };
    let name = whole.desired.namespace.name();
    let (count, broken) = watched.broken(name);
    assert!(count > 10, "nothing was watched of {name}: {count}");
    assert_eq!(
        broken,
        Vec::<String>::new(),
        "{which:?} stopped after {stopped_after:?}"
    );
    whole.controllers.stop_all().await;
    Rolled {
        snapshots,
        is_cut: is_cut.get(),
        writes: proxy.writes(),
    }
}

/// Waits until the model stands as it should and there is what is expected, or else until nothing changes any more.
async fn comes_to_rest(
    watched: &Watched,
    desired: &Desired,
    comes_to: &str,
    expected: Option<&Snapshot>,
) -> Snapshot {
    let namespace = desired.namespace.name();
    let began = Instant::now();
    let (mut version, mut since, mut stands) = (0, Instant::now(), String::new());
    let (mut of_objects, mut snapshot) = (Snapshot::new(), Snapshot::new());
    loop {
        let newest = watched.version(namespace);
        if newest != version {
            let objects = watched.objects(namespace);
            of_objects = desired.snapshot_of(&objects);
            stands = line(objects.get(&("MLDeployment", MODEL.to_owned())));
            (version, since) = (newest, Instant::now());
        }
        // Aliases and the history follow what is written.
        let mut next = desired.snapshot_of_registry();
        next.extend(of_objects.clone());
        if next != snapshot {
            (snapshot, since) = (next, Instant::now());
        }
        let is_there = stands == comes_to;
        match expected {
            Some(expected) if is_there && snapshot == *expected => return snapshot,
            None if is_there && since.elapsed() > QUIET => return snapshot,
            _ => {}
        }
        if began.elapsed() > PATIENCE {
            let (found, expected) = differences(&snapshot, expected.unwrap_or(&Snapshot::new()));
            assert_eq!(found, expected, "{namespace}: {stands} and not {comes_to}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Returns what two snapshots do not have in common.
fn differences(a: &Snapshot, b: &Snapshot) -> (String, String) {
    let only = |these: &Snapshot, those: &Snapshot| -> String {
        let mut only = these.clone();
        only.retain(|name, object| those.get(name) != Some(object));
        format!("{only:#?}")
    };
    (only(a, b), only(b, a))
}

async fn stop_after_each_write(which: Which) {
    if std::env::var_os(ASKED_FOR).is_none_or(|value| value.is_empty()) {
        return note(&format!(
            "skipped: {which:?} stopped after each of its writes, which takes seven minutes: set {ASKED_FOR}"
        ));
    }
    let Some(namespace) = installed().await else {
        return;
    };
    let began = Instant::now();
    let watched = Watched::begin(&namespace.client()).await;
    let whole = roll(&watched, which, None, None).await;
    let expected = &whole.snapshots;
    let first = began.elapsed();
    let watched = &watched;
    let stops =
        stream::iter(0..).map(|n| async move { roll(watched, which, Some(n), Some(expected)).await.is_cut });
    let stops = stops
        .buffered(AT_ONCE)
        .take_while(|is_cut| std::future::ready(*is_cut));
    let stopped = stops.count().await;
    note(&format!(
        "{which:?}: {} writes in {first:?}; stopped after each of {stopped} in {:?}",
        whole.writes,
        began.elapsed()
    ));
    assert!(stopped > 20, "{stopped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_stopped_after_any_write_is_gone_on_from() {
    stop_after_each_write(Which::Operator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconciler_that_is_stopped_after_any_write_is_gone_on_from() {
    stop_after_each_write(Which::Reconciler).await;
}

/// What a rollout is told to do next, and where that leads.
struct Phase {
    act: Act,
    comes_to: String,
}

/// What happens to an environment.
enum Act {
    Declare(&'static str, Option<(&'static str, u8)>),
    Abort,
    Wipe,
    Remove,
}

/// A full rollout: it begins, takes a canary in, raises it, aborts it, loses its status, takes another in, promotes it,
/// and ends.
fn full_rollout() -> Vec<Phase> {
    let phase = |act, comes_to: String| Phase { act, comes_to };
    vec![
        phase(Act::Declare(V1, None), format!("Idle {V1} - 0")),
        phase(Act::Declare(V1, Some((V2, 10))), format!("Idle {V1} {V2} 10")),
        phase(Act::Declare(V1, Some((V2, 60))), format!("Idle {V1} {V2} 60")),
        phase(Act::Abort, format!("Aborted {V1} {V2} 0")),
        phase(Act::Wipe, format!("Aborted {V1} {V2} 0")),
        phase(Act::Declare(V1, Some((V3, 50))), format!("Idle {V1} {V3} 50")),
        phase(Act::Declare(V3, None), format!("Idle {V3} - 0")),
        phase(Act::Remove, "gone".to_owned()),
    ]
}
