//! The planner's statuses ↔ what a custom resource shows.

use planner::deployment::ResolvedPin;
use planner::rollout::{self, Lost, State, Transition};
use planner::runs::Phase;

use crate::status::{
    LostStatus, MLDeploymentStatus, MLTrainingJobStatus, PhaseName, StateDetail, StateName, TrackStatus,
    TransitionStatus,
};

/// Returns a rollout's memory as an MLDeployment's status; `observedGeneration` and `conditions` are the caller's.
pub fn deployment_status(status: &rollout::Status) -> MLDeploymentStatus {
    let rollout::Status {
        state,
        since,
        stable,
        canary,
        weight,
        lost,
        paused,
        history,
    } = status;
    let (name, detail) = state_wire(state);
    MLDeploymentStatus {
        observed_generation: None,
        conditions: Vec::new(),
        stable: stable.as_ref().map(track_status),
        canary: canary.as_ref().map(track_status),
        weight: *weight,
        state: Some(name),
        state_detail: detail,
        since: Some(*since),
        lost: lost.as_ref().map(|Lost { digest, count, until }| LostStatus {
            digest: *digest,
            count: *count,
            until: *until,
        }),
        paused: paused.clone(),
        history: history.iter().map(transition_status).collect(),
    }
}

/// Returns the rollout's memory that an MLDeployment's status holds; `None` before its first step.
///
/// A status that says less than it should (an aborted rollout without a digest) reads as one that holds the canary
/// back, never as one that exposes it.
pub fn read_deployment_status(status: &MLDeploymentStatus) -> Option<rollout::Status> {
    Some(rollout::Status {
        state: read_state(status.state?, status.state_detail.as_ref()),
        since: status.since?,
        stable: status.stable.as_ref().map(read_track),
        canary: status.canary.as_ref().map(read_track),
        weight: status.weight,
        lost: status
            .lost
            .as_ref()
            .map(|LostStatus { digest, count, until }| Lost {
                digest: *digest,
                count: *count,
                until: *until,
            }),
        paused: status.paused.clone(),
        history: status.history.iter().map(read_transition).collect(),
    })
}

/// Returns a job's phase as an MLTrainingJob's status; progress, times and metrics are the caller's.
pub fn training_status(phase: &Phase) -> MLTrainingJobStatus {
    let none = MLTrainingJobStatus::default();
    match phase {
        Phase::Scheduled { next } => MLTrainingJobStatus {
            phase: Some(PhaseName::Scheduled),
            next_run: *next,
            ..none
        },
        Phase::Pending { version } => MLTrainingJobStatus {
            phase: Some(PhaseName::Pending),
            version: Some(version.clone()),
            ..none
        },
        Phase::Running { version } => MLTrainingJobStatus {
            phase: Some(PhaseName::Running),
            version: Some(version.clone()),
            ..none
        },
        Phase::Succeeded { version, digest } => MLTrainingJobStatus {
            phase: Some(PhaseName::Succeeded),
            version: Some(version.clone()),
            digest: Some(*digest),
            ..none
        },
        Phase::Failed { version, message } => MLTrainingJobStatus {
            phase: Some(PhaseName::Failed),
            version: Some(version.clone()),
            message: Some(message.clone()),
            ..none
        },
        Phase::Suspended => MLTrainingJobStatus {
            phase: Some(PhaseName::Suspended),
            ..none
        },
    }
}

/// Returns the phase that an MLTrainingJob's status holds; `None` before its first step or where it is incomplete.
pub fn read_training_phase(status: &MLTrainingJobStatus) -> Option<Phase> {
    Some(match status.phase? {
        PhaseName::Scheduled => Phase::Scheduled {
            next: status.next_run,
        },
        PhaseName::Pending => Phase::Pending {
            version: status.version.clone()?,
        },
        PhaseName::Running => Phase::Running {
            version: status.version.clone()?,
        },
        PhaseName::Succeeded => Phase::Succeeded {
            version: status.version.clone()?,
            digest: status.digest?,
        },
        PhaseName::Failed => Phase::Failed {
            version: status.version.clone()?,
            message: status.message.clone().unwrap_or_default(),
        },
        PhaseName::Suspended => Phase::Suspended,
    })
}

fn track_status(ResolvedPin { version, digest }: &ResolvedPin) -> TrackStatus {
    TrackStatus {
        version: version.clone(),
        digest: *digest,
    }
}

fn read_track(TrackStatus { version, digest }: &TrackStatus) -> ResolvedPin {
    ResolvedPin {
        version: version.clone(),
        digest: *digest,
    }
}

fn state_wire(state: &State) -> (StateName, Option<StateDetail>) {
    match state {
        State::Idle => (StateName::Idle, None),
        State::Preparing => (StateName::Preparing, None),
        State::Holding { reason, message } => (
            StateName::Holding,
            Some(StateDetail {
                reason: reason.clone(),
                message: Some(message.clone()),
                digest: None,
            }),
        ),
        State::Promoting => (StateName::Promoting, None),
        State::Aborted { digest, reason } => (
            StateName::Aborted,
            Some(StateDetail {
                reason: reason.clone(),
                message: None,
                digest: Some(*digest),
            }),
        ),
    }
}

fn read_state(name: StateName, detail: Option<&StateDetail>) -> State {
    let reason = || detail.map(|detail| detail.reason.clone()).unwrap_or_default();
    match (name, detail.and_then(|detail| detail.digest)) {
        (StateName::Idle, _) => State::Idle,
        (StateName::Preparing, _) => State::Preparing,
        (StateName::Promoting, _) => State::Promoting,
        (StateName::Aborted, Some(digest)) => State::Aborted {
            digest,
            reason: reason(),
        },
        (StateName::Aborted, None) => State::Holding {
            reason: "StatusIncomplete".to_owned(),
            message: "the status names no aborted digest".to_owned(),
        },
        (StateName::Holding, _) => State::Holding {
            reason: reason(),
            message: detail
                .and_then(|detail| detail.message.clone())
                .unwrap_or_default(),
        },
    }
}

fn transition_status(Transition { at, from, to, weight }: &Transition) -> TransitionStatus {
    let ((from, from_detail), (to, to_detail)) = (state_wire(from), state_wire(to));
    TransitionStatus {
        at: *at,
        from,
        from_detail,
        to,
        to_detail,
        weight: *weight,
    }
}

fn read_transition(transition: &TransitionStatus) -> Transition {
    Transition {
        at: transition.at,
        from: read_state(transition.from, transition.from_detail.as_ref()),
        to: read_state(transition.to, transition.to_detail.as_ref()),
        weight: transition.weight,
    }
}
