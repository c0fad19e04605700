//! Rollouts over slots in memory.

mod cases;
mod journeys;
mod table;

use std::fmt::Write as _;

use chrono::Duration;
use planner::Timestamp;
use planner::deployment::{ResolvedDeployment, ResolvedPin};
use planner::names::Track;
use planner::rollout::{Commands, Rollout, State, Status, rollout};

use crate::slots::Slots;
use crate::support::{resolved, time};

/// A model whose rollout is stepped by hand.
#[derive(Clone)]
struct Situation {
    spec: Option<ResolvedDeployment>,
    commands: Commands,
    slots: Slots,
    status: Option<Status>,
    now: Timestamp,
    log: String,
}

impl Situation {
    fn new(spec: ResolvedDeployment) -> Self {
        Self {
            spec: Some(spec),
            commands: Commands::default(),
            slots: Slots::default(),
            status: None,
            now: time(0),
            log: String::new(),
        }
    }

    fn decide(&self) -> Rollout {
        rollout(
            self.spec.as_ref(),
            &self.commands,
            &self.slots.tracks,
            self.status.as_ref(),
            self.now,
        )
    }

    /// Decides once, carries it out, and writes it down.
    fn step(&mut self) -> Rollout {
        let before = self.slots.weight();
        let step = self.decide();
        writeln!(self.log, "{}", line(before.percent(), &step)).unwrap();
        self.slots.carry_out(&step);
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
    let (stable, canary) = (pin(&step.stable), pin(&step.canary));
    format!(
        "stable {stable}  canary {canary}  weight {weight:<10}  {}",
        state(&step.status.state)
    )
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
