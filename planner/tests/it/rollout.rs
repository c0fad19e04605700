//! Rollouts over slots in memory.

mod capacity;
mod cases;
mod commands;
mod journeys;
mod mended;
mod order;
mod owner;
mod rest;
mod settle;
mod table;

use std::fmt::Write as _;

use chrono::Duration;
use planner::Timestamp;
use planner::deployment::{ResolvedDeployment, ResolvedPin};
use planner::names::{Digest, Track};
use planner::observed::{DeploymentObject, ObservedModel};
use planner::per_track::PerTrack;
use planner::rollout::{Commands, Means, Model, Rollout, State, Status, TrackAction, rollout};

use crate::slots::Slots;
use crate::support::{deployment_object, means_of, resolved, revision, time};

/// A model whose rollout is stepped by hand.
#[derive(Clone)]
struct Situation {
    spec: Option<ResolvedDeployment>,
    /// The commits that last changed what each track serves.
    commits: PerTrack<u64>,
    /// The abort that is kept on the object.
    kept: Option<Digest>,
    commands: Commands,
    registered: Option<ObservedModel>,
    slots: Slots,
    /// As many replicas as there are, unless something else is said.
    means: Option<Means>,
    status: Option<Status>,
    now: Timestamp,
    /// What is decided, a line a step.
    log: String,
    /// What is done, a line a step.
    done: String,
}

impl Situation {
    fn new(spec: ResolvedDeployment) -> Self {
        Self {
            spec: Some(spec),
            commits: PerTrack { stable: 1, canary: 1 },
            kept: None,
            commands: Commands::default(),
            registered: None,
            slots: Slots::default(),
            means: None,
            status: None,
            now: time(0),
            log: String::new(),
            done: String::new(),
        }
    }

    fn decide(&self) -> Rollout {
        let object = self.spec.clone().map(|spec| DeploymentObject {
            canary_revision: spec.canary.as_ref().map(|_| revision(self.commits.canary)),
            stable_revision: revision(self.commits.stable),
            abort: self.kept,
            ..deployment_object(spec)
        });
        let model = Model {
            object: object.as_ref(),
            commands: &self.commands,
            registered: self.registered.as_ref(),
            tracks: &self.slots.tracks,
            status: self.status.as_ref(),
            means: self.means.unwrap_or_else(|| means_of(&self.slots.tracks)),
        };
        rollout(&model, self.now)
    }

    /// Decides once, carries it out, and writes it down.
    fn step(&mut self) -> Rollout {
        let before = self.slots.weight();
        let step = self.decide();
        writeln!(self.log, "{}", line(before.percent(), &step)).unwrap();
        writeln!(self.done, "{}", done(&step.actions)).unwrap();
        self.slots.carry_out(&step.actions, self.now);
        self.status = Some(step.status.clone());
        step
    }

    fn load(&mut self, track: Track) -> &mut Self {
        self.slots.finish(track, |_| Ok(()));
        self
    }

    fn fail(&mut self, track: Track) -> &mut Self {
        self.slots.finish(track, |_| Err("no such opset".to_owned()));
        self
    }

    /// Loads and steps until nothing moves.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..10 {
            let before = (self.slots.clone(), self.status.clone());
            self.step();
            self.load(Track::Stable).load(Track::Canary);
            if before == (self.slots.clone(), self.status.clone()) {
                return self;
            }
        }
        panic!("no rest:\n{}", self.log);
    }

    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.now += Duration::seconds(seconds);
        self
    }

    fn abort(&mut self, n: u32) -> &mut Self {
        self.commands.abort = Some((resolved(n).digest, "ann: slow".to_owned()));
        self
    }

    /// Stable has so many replicas, and so many of the canary's are ready.
    fn replicas(&mut self, stable: u32, canary: u32) -> &mut Self {
        self.slots.replicas(stable, canary);
        self
    }

    fn pause(&mut self) -> &mut Self {
        self.commands.paused = Some("ann: lunch".to_owned());
        self
    }
}

fn line(before: u8, step: &Rollout) -> String {
    let weight = if before == step.weight.percent() {
        format!("{before}%")
    } else {
        format!("{before}% -> {}", step.weight)
    };
    let pin = |pin: &Option<ResolvedPin>| pin.as_ref().map_or("-".to_owned(), short);
    let (stable, canary) = (pin(&step.goal.stable), pin(&step.goal.canary));
    format!(
        "stable {stable}  canary {canary}  weight {weight:<10}  {}",
        state(&step.status.state)
    )
}

fn done(actions: &[TrackAction]) -> String {
    if actions.is_empty() {
        return "nothing".to_owned();
    }
    let show = |action: &TrackAction| match action {
        TrackAction::SetWeight(weight) => format!("weight {weight}"),
        TrackAction::Load { track, pin, revision } => {
            format!("load {track} {} of {}", short(pin), revision.short())
        }
        TrackAction::SetRevision { track, revision } => format!("name {track} {}", revision.short()),
        TrackAction::Scale { track, replicas } => format!("scale {track} to {replicas}"),
        TrackAction::Unroute => "unroute".to_owned(),
        TrackAction::Unload(track) => format!("unload {track}"),
        TrackAction::ClearAbort => "clear abort".to_owned(),
        TrackAction::Forget => "forget".to_owned(),
    };
    actions.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// Version number `n` is `vn`.
fn short(pin: &ResolvedPin) -> String {
    (0..9)
        .find(|n| resolved(*n) == *pin)
        .map_or(pin.version.to_string(), |n| format!("v{n}"))
}

fn state(state: &State) -> String {
    match state {
        State::Idle => "Idle".to_owned(),
        State::Preparing => "Preparing".to_owned(),
        State::Promoting => "Promoting".to_owned(),
        State::Holding { reason, message } => format!("Holding {reason}: {message}"),
        State::Aborted { reason, .. } => format!("Aborted: {reason}"),
    }
}
