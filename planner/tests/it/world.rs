//! A whole environment in memory: Git, objects, registry, slots, a cluster's tracks and training processes.
//!
//! What may go wrong, does: actions are lost or cut off anywhere, observations are stale, processes restart or die between two
//! writes, replicas come and go, requests follow a route late, statuses vanish, versions are damaged, aliases are moved by hand, loads and runs fail. What must hold is asserted at each step,
//! and in the end, when nothing goes wrong any more, everything must come to rest where Git says.

mod act;
mod check;
mod machine;
mod operate;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::Duration;
use planner::Timestamp;
use planner::desired::Desired;
use planner::names::{Digest, ModelName, ObjectName, Version};
use planner::observed::{Observed, ObservedModel, ObservedVersion};
use planner::rollout::{self, Commands};
use planner::runs::{self, Due, Queue};

use crate::slots::Slots;
use crate::support::{desired, digest, environment, model, object, time, version};

/// Manifests are named `a` to `d`, models `m` to `o`, jobs `t` and `u`; versions go from 0 to 5.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const MODELS: [&str; 3] = ["m", "n", "o"];
const JOBS: [&str; 2] = ["t", "u"];
const VERSIONS: u32 = 6;
/// For how long requests may follow what a route said before.
const SETTLE: Duration = Duration::seconds(5);

/// Everything there is.
#[derive(Debug)]
struct World {
    now: Timestamp,
    /// Git: the newest commit.
    head: Desired,
    commits: u64,
    /// What is written: objects, statuses, registry.
    truth: Observed,
    /// What the reconciler saw at an earlier time.
    stale: Observed,
    jobs: BTreeMap<ObjectName, runs::Status>,
    queue: Queue,
    /// The training processes under way, those on their way out included.
    processes: Vec<Due>,
    /// What a model without an object was left with.
    left: BTreeMap<ModelName, rollout::Status>,
    slots: BTreeMap<ModelName, Slots>,
    /// How many replicas stable is declared to have, in a cluster.
    replicas: BTreeMap<ModelName, u32>,
    commands: BTreeMap<ModelName, Commands>,
    /// Canaries that somebody aborted and that have not left their object since.
    aborted: BTreeMap<ModelName, Digest>,
    /// Versions that do not load although they verify.
    unloadable: BTreeSet<(ModelName, Version)>,
}

impl World {
    /// Three models with versions 0 to 2, an environment and no manifest.
    fn new() -> Self {
        let mut truth = Observed {
            environment: Some(environment()),
            ..Observed::default()
        };
        for name in MODELS {
            let mut registered = ObservedModel::default();
            for n in 0..3 {
                registered.versions.insert(version(n), sound(n, None));
            }
            truth.models.insert(model(name), Arc::new(registered));
        }
        Self {
            now: time(0),
            head: desired(0),
            commits: 0,
            stale: truth.clone(),
            truth,
            jobs: BTreeMap::new(),
            queue: Queue::default(),
            processes: Vec::new(),
            left: BTreeMap::new(),
            slots: MODELS.iter().map(|name| (model(name), slots(name))).collect(),
            replicas: MODELS.iter().map(|name| (model(name), 1)).collect(),
            commands: MODELS
                .iter()
                .map(|name| (model(name), Commands::default()))
                .collect(),
            aborted: BTreeMap::new(),
            unloadable: BTreeSet::new(),
        }
    }

    fn registered(&mut self, name: &ModelName) -> &mut ObservedModel {
        let registered = self.truth.models.get_mut(name);
        Arc::make_mut(registered.expect("all models are registered"))
    }

    fn objects_of(&self, name: &ModelName) -> Vec<ObjectName> {
        objects_of(&self.truth, name)
    }
}

/// The objects of a model: one, but for the moment in which a renamed one takes over.
fn objects_of(observed: &Observed, name: &ModelName) -> Vec<ObjectName> {
    let all = observed.deployments.iter();
    all.filter(|(_, deployment)| deployment.object.spec.model == *name)
        .map(|(name, _)| name.clone())
        .collect()
}

/// One of the models has slots in a process; the others are deployed in a cluster.
fn slots(name: &str) -> Slots {
    if name == MODELS[0] {
        Slots::default()
    } else {
        Slots::cluster(SETTLE)
    }
}

fn sound(n: u32, inputs: Option<Digest>) -> ObservedVersion {
    ObservedVersion::Sound {
        digest: digest(n),
        inputs,
        engine: planner::engine::Engine::Aurora,
    }
}

fn name(index: usize) -> ObjectName {
    object(NAMES[index])
}

fn job(index: usize) -> ObjectName {
    object(JOBS[index])
}
