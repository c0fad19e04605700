//! Carries out a plan: objects, staged data, aliases, history. The only step that writes what was decided.
//!
//! Each action is idempotent, and the process may die after any of them. One that fails stops what depends on it, never
//! another model.

use std::collections::BTreeSet;

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
use crate::upstream::Imports;

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
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) source: &'a Source,
    pub(crate) target: &'a dyn ObjectStore,
    pub(crate) store: &'a Store,
    pub(crate) imports: &'a Imports,
}

/// How many objects are written at most before what became of them is noted.
const PUTS_MAX: usize = 64;

/// Carries out the plan's actions in their order; objects that follow each other, and of which none takes over what another
/// leaves, are handed to the target together.
pub(crate) fn apply(plan: &Plan, desired: &Desired, world: World<'_>, now: Timestamp) -> Applied {
    let mut applied = Applied::default();
    let mut undone = Undone::default();
    let mut rest = plan.actions.as_slice();
    while let Some((action, further)) = rest.split_first() {
        if undone.stops(action) {
            undone.add(action);
            rest = further;
            continue;
        }
        let puts = independent_puts(rest, &undone);
        if puts.len() > 1 {
            let (together, further) = rest.split_at(puts.len());
            for (action, result) in together.iter().zip(world.target.put_all(&puts)) {
                note(
                    action,
                    result.map_err(ApplyError::from),
                    &mut applied,
                    &mut undone,
                );
            }
            rest = further;
        } else {
            note(
                action,
                carry_out(action, desired, world, now),
                &mut applied,
                &mut undone,
            );
            rest = further;
        }
    }
    applied
}

/// Notes what became of an action.
fn note(action: &Action, result: Result<(), ApplyError>, applied: &mut Applied, undone: &mut Undone) {
    match result {
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

/// Returns the objects that the first actions write, as far as none of them depends on another or on what was not done.
fn independent_puts(actions: &[Action], undone: &Undone) -> Vec<Object> {
    let mut subjects = BTreeSet::new();
    let puts = actions.iter().take(PUTS_MAX).map_while(|action| {
        let object = match action {
            Action::PutTraining { name, object, .. } => Object::Training(name.clone(), (**object).clone()),
            // Whoever leaves a model waits for who takes it over.
            Action::PutDeployment { name, object, from }
                if from
                    .as_ref()
                    .is_none_or(|from| from.spec.model == object.spec.model) =>
            {
                Object::Deployment(name.clone(), (**object).clone())
            }
            _ => return None,
        };
        (!undone.stops(action) && subjects.insert(object.id())).then_some(object)
    });
    puts.collect()
}

fn carry_out(action: &Action, desired: &Desired, world: World<'_>, now: Timestamp) -> Result<(), ApplyError> {
    let World {
        source,
        target,
        store,
        imports,
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
        Action::PutEnvironment(environment) => target.put(&Object::Environment((**environment).clone()))?,
        Action::PutTraining { name, object, .. } => {
            target.put(&Object::Training(name.clone(), (**object).clone()))?;
        }
        Action::PutDeployment { name, object, .. } => {
            target.put(&Object::Deployment(name.clone(), (**object).clone()))?;
        }
        Action::DeleteDeployment { name, .. } => target.delete(&ObjectId::deployment(name))?,
        Action::DeleteTraining { name } => target.delete(&ObjectId::training(name))?,
        Action::Import(wanted) => imports.ask(wanted, store, now),
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
            overridden,
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
                reason: overridden
                    .as_ref()
                    .map(|reason| format!("windows overridden: {reason}")),
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

#[cfg(test)]
mod tests {
    use planner::deployment::{Deployment, ResolvedPin, STABLE_REPLICAS};
    use planner::observed::DeploymentObject;

    use super::*;

    fn object(model: &str) -> DeploymentObject {
        let revision = "a".repeat(40);
        DeploymentObject {
            spec: Deployment {
                model: model.parse().unwrap(),
                stable: ResolvedPin {
                    version: "v20260101-000000".parse().unwrap(),
                    digest: planner::names::Digest::of(b"artifact"),
                },
                replicas: STABLE_REPLICAS,
                canary: None,
                autoscaling: None,
                pod: None,
                route: None,
                engine: planner::engine::Engine::Aurora,
                suspend: None,
                rejected: Vec::new(),
                allow_breaking: Vec::new(),
            },
            revision: revision.parse().unwrap(),
            stable_revision: revision.parse().unwrap(),
            canary_revision: None,
            abort: None,
            overridden: None,
            kept: None,
            trust: None,
            behind: None,
        }
    }

    /// An object's name, the model that it served, and the one that it will; none: it goes.
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

    fn action((name, from, to): Case<'_>) -> Action {
        let name = name.parse().unwrap();
        match to {
            Some(to) => Action::PutDeployment {
                name,
                from: from.map(|from| Box::new(object(from))),
                object: Box::new(object(to)),
            },
            None => Action::DeleteTraining { name },
        }
    }

    #[test]
    fn what_leaves_a_model_and_what_was_not_done_go_alone() {
        let (new, same): (Case<'_>, Case<'_>) = (("a", None, Some("a")), ("b", Some("b"), Some("b")));
        let check = |actions: &[Case<'_>], undone: &[Case<'_>], expect: &[&str]| {
            let actions: Vec<Action> = actions.iter().copied().map(action).collect();
            let mut not_done = Undone::default();
            for case in undone {
                not_done.add(&action(*case));
            }
            let puts = independent_puts(&actions, &not_done);
            let names: Vec<String> = puts.iter().map(|put| put.id().name.to_string()).collect();
            assert_eq!(names, expect, "{actions:?}");
        };
        check(&[new, same], &[], &["a", "b"]);
        check(&[new, ("c", Some("c"), Some("d")), same], &[], &["a"]);
        check(&[("c", Some("c"), Some("d")), same], &[], &[]);
        check(&[new, new], &[], &["a"]);
        check(&[new, ("c", None, None), same], &[], &["a"]);
        check(&[new, same], &[("b", None, Some("b"))], &["a"]);
        let many: Vec<String> = (0..100).map(|index| format!("m{index:03}")).collect();
        let many: Vec<Case<'_>> = many
            .iter()
            .map(|name| (name.as_str(), None, Some(name.as_str())))
            .collect();
        let names: Vec<&str> = many.iter().take(PUTS_MAX).map(|case| case.0).collect();
        check(&many, &[], &names);
    }
}
