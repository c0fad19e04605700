//! What happens, drawn at random; the seed of a failure is printed.

use planner::desired::Completeness;
use planner::names::Track;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::{JOBS, MODELS, NAMES, VERSIONS, World};

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A manifest says something else.
    Commit {
        name: usize,
        model: usize,
        stable: u32,
        canary: Option<(u32, u64)>,
        suspend: bool,
        digest: Pinned,
    },
    /// Stable becomes what the canary is, and the canary leaves.
    Promote { name: usize },
    /// A manifest leaves.
    Remove { name: usize },
    /// Manifests exchange their names, or take names that nobody has: what the first name had, the name at the first
    /// place of `names` has now, and so on.
    Permute { names: Vec<usize> },
    /// A job makes this version, or leaves.
    CommitTraining {
        job: usize,
        model: usize,
        makes: Option<u32>,
        seed: u64,
    },
    /// Whether all files can be read.
    Completeness(Completeness),
    /// The environment is suspended or not.
    SuspendEnvironment(bool),
    /// A pass of the reconciler: on what it sees now or saw before, cut after some actions, one of them lost.
    Pass { is_stale: bool, cut: usize, lost: usize },
    /// The reconciler's picture of the world is taken.
    Observe,
    /// A step of the operator.
    Operate { model: usize },
    /// A load ends.
    Load { model: usize, track: Track },
    /// A canary stops answering.
    LoseCanary { model: usize },
    /// Stable is to have so many replicas.
    Replicas { model: usize, wanted: u32 },
    /// So many of the canary's replicas are ready.
    CanaryReady { model: usize, ready: u32 },
    /// A step of the operator in a cluster, which dies after so many actions.
    Die { model: usize, after: usize },
    /// The process is killed and starts anew.
    Restart,
    /// A status vanishes.
    LoseStatus { name: usize },
    /// The object and its status vanish.
    LoseObject { name: usize },
    /// A step of the jobs.
    Train,
    /// The runs under way end.
    EndRuns(Ending),
    /// A version's files are damaged, or restored.
    Damage {
        model: usize,
        version: u32,
        is_damaged: bool,
    },
    /// A version stops to load, or loads again.
    Unloadable { model: usize, version: u32, is_so: bool },
    /// Somebody moves or removes an alias by hand.
    Tamper {
        model: usize,
        track: Track,
        to: Option<u32>,
    },
    /// Somebody aborts the canary.
    Abort { model: usize },
    /// Somebody pauses or resumes.
    Pause { model: usize, is_paused: bool },
    /// Time passes, in seconds.
    Wait(i64),
    /// Nothing goes wrong for a while.
    Settle,
}

/// The digest that a stable pin gives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pinned {
    None,
    Right,
    Wrong,
}

/// How runs end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Published,
    Refused,
    Killed,
    /// The target ends before they do.
    Interrupted,
}

/// Mostly versions that are there from the start.
fn any_version() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 0..3_u32, 1 => 3..VERSIONS]
}

/// Mostly each manifest with a model of its own.
fn name_and_model() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        5 => Just((0, 0)),
        4 => Just((1, 1)),
        3 => Just((2, 2)),
        1 => (0..NAMES.len(), 0..MODELS.len()),
    ]
}

fn commit() -> impl Strategy<Value = Event> {
    let canary = prop::option::weighted(0.7, (any_version(), select(vec![0_u64, 1, 10, 50, 100])));
    let digest = prop_oneof![12 => Just(Pinned::None), 6 => Just(Pinned::Right), 1 => Just(Pinned::Wrong)];
    let suspend = prop::bool::weighted(0.05);
    (name_and_model(), any_version(), canary, suspend, digest).prop_map(
        |((name, model), stable, canary, suspend, digest)| Event::Commit {
            name,
            model,
            stable,
            canary,
            suspend,
            digest,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let model = 0..MODELS.len();
    let track = select(vec![Track::Stable, Track::Canary]);
    prop_oneof![
        14 => commit(),
        3 => (0..NAMES.len()).prop_map(|name| Event::Promote { name }),
        2 => (0..NAMES.len()).prop_map(|name| Event::Remove { name }),
        5 => Just((0..NAMES.len()).collect::<Vec<_>>()).prop_shuffle().prop_map(|names| Event::Permute { names }),
        4 => (0..JOBS.len(), model.clone(), prop::option::weighted(0.8, 0..VERSIONS), 0..2_u64)
            .prop_map(|(job, model, makes, seed)| Event::CommitTraining { job, model, makes, seed }),
        2 => prop::bool::weighted(0.7).prop_map(|is_complete| Event::Completeness(
            if is_complete { Completeness::Complete } else { Completeness::Partial }
        )),
        1 => prop::bool::weighted(0.2).prop_map(Event::SuspendEnvironment),
        20 => (prop::bool::weighted(0.2), 0..12_usize, 0..20_usize)
            .prop_map(|(is_stale, cut, lost)| Event::Pass { is_stale, cut, lost }),
        3 => Just(Event::Observe),
        24 => model.clone().prop_map(|model| Event::Operate { model }),
        16 => (model.clone(), track.clone()).prop_map(|(model, track)| Event::Load { model, track }),
        2 => model.clone().prop_map(|model| Event::LoseCanary { model }),
        3 => (model.clone(), 1..5_u32).prop_map(|(model, wanted)| Event::Replicas { model, wanted }),
        5 => (model.clone(), 0..5_u32).prop_map(|(model, ready)| Event::CanaryReady { model, ready }),
        3 => (model.clone(), 0..4_usize).prop_map(|(model, after)| Event::Die { model, after }),
        2 => Just(Event::Restart),
        2 => (0..NAMES.len()).prop_map(|name| Event::LoseStatus { name }),
        2 => (0..NAMES.len()).prop_map(|name| Event::LoseObject { name }),
        5 => Just(Event::Train),
        4 => select(vec![Ending::Published, Ending::Published, Ending::Refused, Ending::Killed])
            .prop_map(Event::EndRuns),
        3 => (model.clone(), any_version(), prop::bool::weighted(0.3))
            .prop_map(|(model, version, is_damaged)| Event::Damage { model, version, is_damaged }),
        2 => (model.clone(), any_version(), prop::bool::weighted(0.3))
            .prop_map(|(model, version, is_so)| Event::Unloadable { model, version, is_so }),
        3 => (model.clone(), track, prop::option::of(any_version()))
            .prop_map(|(model, track, to)| Event::Tamper { model, track, to }),
        3 => model.clone().prop_map(|model| Event::Abort { model }),
        2 => (model, any::<bool>()).prop_map(|(model, is_paused)| Event::Pause { model, is_paused }),
        5 => select(vec![1_i64, 3, 10, 100]).prop_map(Event::Wait),
        6 => Just(Event::Settle),
    ]
}

/// Any event may follow any other: there is nothing to keep in step with the world.
struct AnyOrder;

impl ReferenceStateMachine for AnyOrder {
    type State = ();
    type Transition = Event;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Event> {
        event().boxed()
    }

    fn apply((): (), _: &Event) {}
}

struct Converges;

impl StateMachineTest for Converges {
    type SystemUnderTest = World;
    type Reference = AnyOrder;

    fn init_test((): &()) -> World {
        World::new()
    }

    fn apply(mut world: World, (): &(), event: Event) -> World {
        world.happen(&event);
        world
    }

    fn teardown(mut world: World, (): ()) {
        world.settle();
    }
}

prop_state_machine! {
    // 256 cases, or as many as `PROPTEST_CASES` says.
    #![proptest_config(ProptestConfig { max_shrink_iters: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn the_world_converges(sequential 1..80 => Converges);
}
