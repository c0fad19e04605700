//! Carries out a plan: objects, staged data, aliases, history. The only step that writes what was decided.
//!
//! Each action is idempotent, and the process may die after any of them. One that fails stops what depends on it, never
//! another model.

use planner::Timestamp;
use planner::desired::Desired;
use planner::finding::{Disposition, Reason};
use planner::names::Track;
use planner::object::ObjectId;
use planner::observed::ObservedAlias;
use planner::plan::{Action, Plan, Undone};
use registry::{Event, HistoryEntry, Store, StoreError};

use crate::objects::{Object, ObjectStore, TargetError};
use crate::source::{DataFileError, Source, SourceError};

/// Who the registry's history names for what a pass does.
const ACTOR: &str = "aurora";

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// The actions that were done, in order.
    pub done: Vec<Action>,
    /// The actions that failed, in order. What depends on them was not tried.
    pub failed: Vec<Failed>,
}

impl Applied {
    /// Says whether what failed keeps the commit from being applied.
    pub(crate) fn stops_commit(&self) -> bool {
        self.failed
            .iter()
            .any(|failed| failed.error.reason().stops_commit())
    }

    /// Says whether something failed that may succeed without a person.
    pub(crate) fn is_tried_again(&self) -> bool {
        self.failed.iter().any(|failed| !failed.error.reason().stands())
    }
}

/// An action that failed.
#[derive(Debug)]
pub struct Failed {
    /// The action.
    pub action: Action,
    /// What it is about, e.g. `MLDeployment/wine-quality`.
    pub subject: String,
    /// Why.
    pub error: ApplyError,
}

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object could not be written.
    #[error(transparent)]
    Object(#[from] TargetError),
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// A data file could not be read from the commit.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A data file is not in the commit any more.
    #[error(transparent)]
    DataFile(#[from] DataFileError),
}

impl ApplyError {
    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Object(error) => error.disposition(),
            Self::Source(_) => Disposition::Transient,
            Self::Registry(error) => error.disposition(),
            Self::DataFile(_) => Disposition::Invalid,
        }
    }

    /// Says why, as a stable word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Object(error) => error.reason(),
            Self::Source(_) => Reason::SourceUnavailable,
            Self::Registry(_) => Reason::StorageUnavailable,
            Self::DataFile(_) => Reason::DatasetUnusable,
        }
    }
}

/// What actions are carried out on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) source: &'a Source,
    pub(crate) target: &'a dyn ObjectStore,
    pub(crate) store: &'a Store,
}

/// Carries out the plan's actions in their order.
pub(crate) fn apply(plan: &Plan, desired: &Desired, world: World<'_>, now: Timestamp) -> Applied {
    let mut applied = Applied::default();
    let mut undone = Undone::default();
    for action in &plan.actions {
        if undone.stops(action) {
            undone.add(action);
            continue;
        }
        match carry_out(action, desired, world, now) {
            Ok(()) => {
                tracing::info!(action = %action, "applied");
                applied.done.push(action.clone());
            }
            Err(error) => {
                tracing::warn!(action = %action, %error, "could not apply");
                applied.failed.push(Failed {
                    action: action.clone(),
                    subject: action.subject(),
                    error,
                });
                undone.add(action);
            }
        }
    }
    applied
}

fn carry_out(action: &Action, desired: &Desired, world: World<'_>, now: Timestamp) -> Result<(), ApplyError> {
    let World {
        source,
        target,
        store,
    } = world;
    let entry = |event: Event, alias: Track| HistoryEntry {
        at: now,
        event,
        alias,
        from: None,
        to: None,
        digest: None,
        revision: None,
        actor: ACTOR.to_owned(),
        reason: None,
    };
    match action {
        Action::PutEnvironment(environment) => target.put(&Object::Environment(environment.clone()))?,
        Action::PutTraining { name, object, .. } => {
            target.put(&Object::Training(name.clone(), (**object).clone()))?;
        }
        Action::PutDeployment { name, object, .. } => {
            target.put(&Object::Deployment(name.clone(), (**object).clone()))?;
        }
        Action::DeleteDeployment { name, .. } => target.delete(&ObjectId::deployment(name))?,
        Action::DeleteTraining { name } => target.delete(&ObjectId::training(name))?,
        Action::StageDataset { job, path, sha256 } => {
            let manifest = desired
                .trainings
                .get(job)
                .map_or("", |declared| declared.location.file.as_str());
            let file = source.data_file(&desired.revision, manifest, path)??;
            source.with_data(&file, |content| store.stage_dataset(sha256, content))??;
        }
        Action::MoveAlias {
            model,
            track,
            from,
            to,
            revision,
        } => store.move_alias(
            model,
            *track,
            &to.version,
            HistoryEntry {
                from: match from {
                    Some(ObservedAlias::To(version)) => Some(version.clone()),
                    Some(ObservedAlias::Broken(_)) | None => None,
                },
                to: Some(to.version.clone()),
                digest: Some(to.digest),
                revision: Some(revision.clone()),
                ..entry(Event::Moved, *track)
            },
        )?,
        Action::RemoveAlias {
            model,
            track,
            from: _,
            revision,
        } => store.remove_alias(
            model,
            *track,
            HistoryEntry {
                revision: Some(revision.clone()),
                ..entry(Event::Removed, *track)
            },
        )?,
        Action::RecordAbort {
            model,
            version,
            digest,
            reason,
        } => store.append_history(
            model,
            &HistoryEntry {
                from: Some(version.clone()),
                digest: Some(*digest),
                reason: Some(reason.clone()),
                ..entry(Event::Aborted, Track::Canary)
            },
        )?,
    }
    Ok(())
}
