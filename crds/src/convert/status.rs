//! The planner's statuses ↔ what a custom resource shows.

use planner::deployment::ResolvedPin;
use planner::rollout::{self, State, Transition};
use planner::runs::Phase;

use crate::status::{
    MLDeploymentStatus, MLTrainingJobStatus, PhaseName, StateName, TrackStatus, TransitionStatus,
};

/// Returns a rollout's memory as an MLDeployment's status; `observedGeneration` and `conditions` are the caller's.
///
/// What reads it back is `status.memory`.
pub fn deployment_status(status: &rollout::Status) -> MLDeploymentStatus {
    MLDeploymentStatus {
        observed_generation: None,
        conditions: Vec::new(),
        stable: status.serving.stable.as_ref().map(track_status),
        canary: status.serving.canary.as_ref().map(track_status),
        weight: status.weight,
        state: Some(state_name(&status.state)),
        message: state_message(&status.state),
        history: status.history.iter().map(transition_status).collect(),
        memory: Some(status.clone()),
    }
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

fn state_name(state: &State) -> StateName {
    match state {
        State::Idle => StateName::Idle,
        State::Preparing => StateName::Preparing,
        State::Holding { .. } => StateName::Holding,
        State::Promoting => StateName::Promoting,
        State::Aborted { .. } => StateName::Aborted,
    }
}

fn state_message(state: &State) -> String {
    match state {
        State::Idle | State::Preparing | State::Promoting => String::new(),
        State::Holding { reason, message } => format!("{reason}: {message}"),
        State::Aborted { digest, reason } => format!("{}: {reason}", digest.short()),
    }
}

fn transition_status(transition: &Transition) -> TransitionStatus {
    let Transition { at, from, to, weight } = transition;
    TransitionStatus {
        at: *at,
        from: state_name(from),
        to: state_name(to),
        message: state_message(to),
        weight: *weight,
    }
}
