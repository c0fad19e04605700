//! A controller that is stopped dead after its n-th write, for every n of each phase of a full rollout: the next one goes on
//! from there.

mod snapshot;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::desired::{Desired, note};
use crate::installed::installed;
use crate::repository::{V1, V2};
use crate::whole::{Controllers, MODEL, V3, Watched, Which, Whole, line};
use snapshot::Snapshot;

/// What asks for this test.
const ASKED_FOR: &str = "TESTKIT_STOPS";
/// How many environments roll out at a time: so many keep two cores busy.
const AT_ONCE: usize = 24;
/// What is waited for comes within this: many roll out at a time.
const PATIENCE: Duration = Duration::from_mins(10);
/// What a model comes to that is removed.
const GONE: &str = "gone";
/// After this nothing comes by itself: it is longer than a route settles.
const QUIET: Duration = Duration::from_secs(7);

/// What a rollout came to after each phase, and what its controllers wrote in each; whether one was stopped in it.
#[derive(Default)]
struct Rolled {
    snapshots: Vec<Snapshot>,
    writes: [Vec<u64>; 2],
    is_cut: Vec<bool>,
}

/// What environments go through, and whose writes are stopped after.
struct Course {
    name: &'static str,
    phases: fn() -> Vec<Phase>,
    stopped: &'static [Which],
}

/// A controller that is stopped in each phase after so many writes.
#[derive(Debug, Clone, Copy)]
struct Stop {
    which: Which,
    after: u64,
}

/// Rolls out in an environment of its own. `expected` is what there is after each phase, where that is known.
async fn roll(
    watched: &Watched,
    phases: Vec<Phase>,
    stop: Option<Stop>,
    expected: Option<&[Snapshot]>,
) -> Rolled {
    let mut whole = Whole::new(&[MODEL]).await.expect("there was one before");
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    controllers.start_all();
    let mut rolled = Rolled::default();
    for (number, phase) in phases.into_iter().enumerate() {
        let before = controllers.writes();
        let is_cut = if let Some(stop) = stop {
            let proxy = controllers.proxy(stop.which);
            proxy.cut_after(proxy.writes() + stop.after);
            act(desired, phase.act).await;
            let expected = expected.map(|expected| &expected[number]);
            let rest = || comes_to_rest(watched, desired, &phase.comes_to, expected);
            let is_last = phase.comes_to == GONE;
            let is_cut = go_on(controllers, stop.which, is_last, rest).await;
            proxy.mend();
            is_cut
        } else {
            act(desired, phase.act).await;
            rolled
                .snapshots
                .push(comes_to_rest(watched, desired, &phase.comes_to, None).await);
            false
        };
        rolled.is_cut.push(is_cut);
        for (writes, (before, after)) in rolled
            .writes
            .iter_mut()
            .zip(before.into_iter().zip(controllers.writes()))
        {
            writes.push(after.saturating_sub(before));
        }
    }
    let name = whole.desired.namespace.name();
    let (count, broken) = watched.broken(name);
    assert!(count > 10, "nothing was watched of {name}: {count}");
    assert_eq!(broken, Vec::<String>::new(), "{stop:?}");
    whole.controllers.stop_all().await;
    rolled
}

async fn act(desired: &mut Desired, act: Act) {
    match act {
        Act::Declare(settings, stable, canary) => {
            drop(desired.declare_with(settings, MODEL, stable, canary));
        }
        Act::Scale(replicas) => desired.scale(&format!("{MODEL}-stable"), replicas).await,
        Act::Abort => desired.abort(MODEL).await,
        Act::Wipe => desired.wipe(&format!("mldeployments/{MODEL}")).await,
        Act::Remove => drop(desired.remove(MODEL)),
    }
}

/// Waits until all rests, with another controller in the place of one that is stopped meanwhile. Says whether it was.
async fn go_on<R: Future<Output = Snapshot>>(
    controllers: &mut Controllers,
    which: Which,
    is_last: bool,
    rest: impl Fn() -> R,
) -> bool {
    let proxy = controllers.proxy(which);
    let mut is_cut = false;
    loop {
        let mut resting = std::pin::pin!(rest());
        loop {
            tokio::select! {
                _snapshot = &mut resting => break,
                () = proxy.until_cut(), if !is_cut => {
                    is_cut = true;
                    controllers.replace(which).await;
                }
            }
        }
        if is_last {
            return is_cut;
        }
        // What it writes last is part of the phase, too.
        controllers.until_quiet(PATIENCE).await;
        if is_cut || !proxy.is_cut() {
            return is_cut;
        }
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
    loop {
        let newest = watched.version(namespace);
        if newest != version {
            stands = line(
                watched
                    .objects(namespace)
                    .get(&("MLDeployment", MODEL.to_owned())),
            );
            (version, since) = (newest, Instant::now());
        }
        let is_late = began.elapsed() > PATIENCE;
        if is_late || stands == comes_to && (expected.is_some() || since.elapsed() > QUIET) {
            // Aliases and the history follow what is written.
            let mut snapshot = desired.snapshot_of_registry();
            snapshot.extend(desired.snapshot_of(&watched.objects(namespace)));
            if stands == comes_to && expected.is_none_or(|expected| snapshot == *expected) {
                return snapshot;
            }
            if is_late {
                let (found, expected) = differences(&snapshot, expected.unwrap_or(&Snapshot::new()));
                assert_eq!(found, expected, "{namespace}: {stands} and not {comes_to}");
            }
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

/// In the n-th environment each controller is stopped after its n-th write of each phase: as each phase ends where it does
/// in a rollout that is not stopped, the next begins where it would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_is_stopped_after_any_write_is_gone_on_from() {
    if std::env::var_os(ASKED_FOR).is_none_or(|value| value.is_empty()) {
        return note(&format!(
            "skipped: controllers stopped after each of their writes, which takes minutes: set {ASKED_FOR}"
        ));
    }
    let Some(namespace) = installed().await else {
        return;
    };
    let began = Instant::now();
    let watched = Watched::begin(&namespace.client()).await;
    let (watched, turns) = (&watched, &Semaphore::new(AT_ONCE));
    let roll = |course: &'static Course| async move {
        roll_all(watched, course, turns).await;
        note(&format!("{}: after {:?}", course.name, began.elapsed()));
    };
    join_all(COURSES.iter().map(roll)).await;
}

/// Rolls out once without a stop, which tells what is to be expected, and once for each stop.
async fn roll_all(watched: &Watched, course: &Course, turns: &Semaphore) {
    let Course {
        name,
        phases,
        stopped,
    } = course;
    let whole = roll(watched, phases(), None, None).await;
    let expected = &whole.snapshots;
    note(&format!("{name}: writes of each phase: {:?}", whole.writes));
    let most = |which: Which| whole.writes[which as usize].iter().max().copied();
    let stops = stopped.iter().flat_map(|which| {
        let all = 0..=most(*which).unwrap_or_default();
        all.map(|after| Stop { which: *which, after })
    });
    let rolled = stops.map(|stop| async move {
        let _turn = turns.acquire().await.expect("it is never closed");
        let rolled = roll(watched, phases(), Some(stop), Some(expected)).await;
        (stop, rolled)
    });
    let rolled: Vec<(Stop, Rolled)> = join_all(rolled).await;
    for which in *stopped {
        let of_which = rolled.iter().filter(|(stop, _)| stop.which == *which);
        let cut = of_which.flat_map(|(_, rolled)| &rolled.is_cut);
        let cut = cut.filter(|is_cut| **is_cut).count();
        let writes: u64 = whole.writes[*which as usize].iter().sum();
        note(&format!(
            "{name}: {which:?}: {writes} writes of a rollout, stopped {cut} times, in {} environments",
            rolled.len() + 1
        ));
        assert!(cut > 20, "{name}: {which:?}: {cut}");
    }
}

/// What a rollout is told to do next, and where that leads.
struct Phase {
    act: Act,
    comes_to: String,
}

/// What happens to an environment.
enum Act {
    /// Pins, and further lines of the spec.
    Declare(&'static str, &'static str, Option<(&'static str, u8)>),
    /// Replicas of stable, as an autoscaler sets them.
    Scale(u32),
    Abort,
    Wipe,
    Remove,
}

static COURSES: [Course; 5] = [
    Course {
        name: "Gateway API",
        phases: || full_rollout(""),
        stopped: &Which::BOTH,
    },
    // The reconciler does not look at what carries requests.
    Course {
        name: "ingresses",
        phases: || full_rollout("  route: { provider: IngressNginx }\n"),
        stopped: &[Which::Operator],
    },
    Course {
        name: "calls by gRPC",
        phases: || full_rollout("  route: { grpc: { gateway: { name: calls } } }\n"),
        stopped: &[Which::Operator],
    },
    Course {
        name: "router",
        phases: || full_rollout("  route: { provider: Aurora }\n"),
        stopped: &[Which::Operator],
    },
    Course {
        name: "autoscaler",
        phases: handed_over,
        stopped: &[Which::Operator],
    },
];

fn phase(act: Act, comes_to: &str) -> Phase {
    Phase {
        act,
        comes_to: comes_to.to_owned(),
    }
}

/// A full rollout: it begins, takes a canary in, raises it, aborts it, loses its status, takes another in, promotes it,
/// and ends.
fn full_rollout(settings: &'static str) -> Vec<Phase> {
    let declare = |stable, canary| Act::Declare(settings, stable, canary);
    vec![
        phase(declare(V1, None), &format!("Idle {V1} - 0")),
        phase(declare(V1, Some((V2, 10))), &format!("Idle {V1} {V2} 10")),
        phase(declare(V1, Some((V2, 60))), &format!("Idle {V1} {V2} 60")),
        phase(Act::Abort, &format!("Aborted {V1} {V2} 0")),
        phase(Act::Wipe, &format!("Aborted {V1} {V2} 0")),
        phase(declare(V1, Some((V3, 50))), &format!("Idle {V1} {V3} 50")),
        phase(declare(V3, None), &format!("Idle {V3} - 0")),
        phase(Act::Remove, GONE),
    ]
}

/// The number of replicas is handed to an autoscaler, which raises it; a canary is taken in and promoted meanwhile, and
/// the number comes back.
fn handed_over() -> Vec<Phase> {
    let scaled = |stable, canary| {
        let settings = "  autoscaling: { minReplicas: 2, maxReplicas: 5, targetCPUPercent: 70 }\n";
        Act::Declare(settings, stable, canary)
    };
    let idle = format!("Idle {V1} - 0");
    vec![
        phase(Act::Declare("", V1, None), &idle),
        phase(scaled(V1, None), &idle),
        phase(Act::Scale(4), &idle),
        phase(scaled(V1, Some((V2, 50))), &format!("Idle {V1} {V2} 50")),
        phase(scaled(V2, None), &format!("Idle {V2} - 0")),
        phase(Act::Declare("", V2, None), &format!("Idle {V2} - 0")),
        phase(Act::Remove, GONE),
    ]
}
