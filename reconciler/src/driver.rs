//! One pass: source → resolve → observe → plan → apply → report.
//!
//! A pass may be cut anywhere; the next one converges. The branch is resolved anew on each pass, so a newer commit wins
//! over any wait for an older one.

use std::sync::Arc;

use planner::Timestamp;
use planner::desired::Desired;
use planner::finding::{Finding, Reason};
use planner::identity::plan_hash;
use planner::names::{EnvironmentName, Revision};
use planner::object::ObjectId;
use planner::plan::plan;
use registry::{Observer, Store};

use crate::apply::{World, apply};
use crate::observe::observe;
use crate::report::{Pass, report};
use crate::resolve::{Resolution, Resolver};
use crate::source::{Relation, Source, SourceError};
use crate::standalone::objects::Objects;
use crate::standalone::{awaited, registry_root};

/// Reconciles one environment with one branch.
#[derive(Debug)]
pub(crate) struct Driver {
    source: Source,
    environment: EnvironmentName,
    objects: Arc<Objects>,
    observer: Observer,
    resolver: Resolver,
    /// What was last resolved, kept while the branch stands still.
    resolved: Option<(Revision, Resolution)>,
    /// The commits between which the branch was forced, told until it moves on.
    forced: Option<(Revision, Revision)>,
}

impl Driver {
    pub(crate) fn new(
        source: Source,
        environment: EnvironmentName,
        objects: Arc<Objects>,
        store: Store,
    ) -> Self {
        Self {
            source,
            environment,
            objects,
            observer: Observer::new(store),
            resolver: Resolver::default(),
            resolved: None,
            forced: None,
        }
    }

    /// Resolves the branch's newest commit: cheap, for polling.
    pub(crate) fn head(&mut self) -> Result<Revision, SourceError> {
        self.source.head()
    }

    /// Runs one pass; `applied` is called as soon as objects were written, before the report is.
    pub(crate) fn pass(&mut self, now: Timestamp, applied: &mut dyn FnMut()) -> Pass {
        let mut pass = self.decide_and_apply(now);
        if !pass.applied.done.is_empty() {
            applied();
        }
        pass.findings.sort();
        pass.findings.dedup();
        let status = {
            let state = self.objects.state();
            awaited::add_pinned(&mut pass.awaited, &state.deployments);
            report(&pass, &state, now)
        };
        if let Err(error) = self.objects.put_report(status) {
            tracing::error!(%error, "cannot write the report of a pass; it is tried again");
            pass.findings
                .push(storage_finding("the report", &error.to_string()));
            pass.is_cut_short = true;
        }
        pass
    }

    fn decide_and_apply(&mut self, now: Timestamp) -> Pass {
        // Reads Git.
        let mut pass = Pass::default();
        let (desired, findings) = match self.resolve() {
            Ok(resolution) => (resolution.desired, resolution.findings),
            Err(error) => {
                pass.findings.push(unavailable(&error));
                pass.is_cut_short = true;
                // What was known of the last commit still holds: aliases go on following what serves.
                match self.resolved.clone() {
                    Some((_, resolution)) => (resolution.desired, resolution.findings),
                    None => (None, Vec::new()),
                }
            }
        };
        pass.findings.extend(findings);
        pass.findings.extend(self.forced_finding());
        let Some(desired) = desired else {
            pass.attempted = self.resolved.as_ref().map(|(revision, _)| revision.clone());
            return pass;
        };
        pass.attempted = Some(desired.revision.clone());
        pass.suspended.clone_from(&desired.environment.suspend);
        pass.findings.extend(self.moved_registry(&desired));
        self.publish_pins(&desired);

        // Reads the registry and the objects.
        let observation = match observe(&self.objects, &self.observer, &desired) {
            Ok(observation) => observation,
            Err(error) => {
                pass.findings
                    .push(storage_finding("the registry", &error.to_string()));
                pass.is_cut_short = true;
                return pass;
            }
        };
        let (decidable, findings) = observation.decidable(&desired);
        pass.is_cut_short |= !findings.is_empty();
        pass.findings.extend(findings);

        // Pure.
        let plan = plan(&decidable, &observation.observed, now);

        // Writes the objects and the registry.
        let world = World {
            source: &self.source,
            objects: &self.objects,
            store: self.observer.store(),
        };
        pass.applied = apply(&plan, &desired, world, now);
        pass.awaited = awaited::in_training(&desired, &plan.waiting);
        pass.findings.extend(plan.findings);
        pass.waiting = plan.waiting;
        pass.findings.extend(pass.applied.failed.iter().map(|failed| {
            let mut finding = storage_finding(&failed.subject, &failed.error.to_string());
            finding.subject.clone_from(&failed.subject);
            finding
        }));
        if !pass.applied.done.is_empty() {
            pass.plan_hash = Some(plan_hash(&desired));
            if let Err(error) = self.observer.note_models() {
                tracing::warn!(%error, "cannot refresh the registry's list of models");
            }
        }
        pass
    }

    fn resolve(&mut self) -> Result<Resolution, SourceError> {
        let head = self.source.head()?;
        let (last_good, applied) = {
            let state = self.objects.state();
            (state.environment.clone(), state.report.applied_revision.clone())
        };
        if let Some((revision, resolution)) = &self.resolved
            && *revision == head
            && resolution.desired.is_some()
        {
            return Ok(resolution.clone());
        }
        self.resolver
            .resolve(&self.source, &head, &self.environment, last_good.as_ref())?;
        let resolution = self.resolver.resolution().clone();
        let before = self
            .resolved
            .as_ref()
            .map(|(revision, _)| revision.clone())
            .or(applied);
        if let Some(before) = before.filter(|before| *before != head) {
            self.forced = match self.source.relation(&before, &head) {
                Relation::Forced => {
                    tracing::warn!(from = %before, to = %head, "the branch was forced; it is followed");
                    Some((before, head.clone()))
                }
                Relation::Same | Relation::Ahead => None,
            };
        }
        self.resolved = Some((head, resolution.clone()));
        Ok(resolution)
    }

    fn forced_finding(&self) -> Option<Finding> {
        let (from, to) = self.forced.as_ref()?;
        Some(Finding {
            location: None,
            reason: Reason::BranchForced,
            subject: format!("branch {}", self.source.branch()),
            message: format!(
                "was forced from {} to {}, which does not contain it; it is followed",
                from.short(),
                to.short()
            ),
            hint: format!(
                "the commit is not lost yet: git branch before-force {}",
                from.short()
            ),
        })
    }

    /// A registry is opened at the start; a commit that names another one counts from the next start on.
    fn moved_registry(&self, desired: &Desired) -> Option<Finding> {
        let declared = registry_root(&self.objects.data_dir, &desired.environment);
        (declared != self.store().root()).then(|| Finding {
            location: None,
            reason: Reason::StorageUnavailable,
            subject: ObjectId::environment(&desired.environment.name).to_string(),
            message: format!(
                "spec.registry.path now names {}, and {} is in use",
                declared.display(),
                self.store().root().display()
            ),
            hint: "start aurora anew to use it; until then the registry in use goes on".to_owned(),
        })
    }

    fn publish_pins(&self, desired: &Desired) {
        self.objects.state().stable_pins = desired
            .deployments
            .values()
            .map(|declared| (declared.spec.model.clone(), declared.spec.stable.version.clone()))
            .collect();
    }

    pub(crate) fn store(&self) -> &Store {
        self.observer.store()
    }

    pub(crate) fn replace_store(&mut self, store: Store) {
        self.observer = Observer::new(store);
    }
}

fn unavailable(error: &SourceError) -> Finding {
    Finding {
        location: None,
        reason: Reason::SourceUnavailable,
        subject: String::new(),
        message: error.to_string(),
        hint: "what was applied stays; it is read again all the time".to_owned(),
    }
}

fn storage_finding(subject: &str, message: &str) -> Finding {
    Finding {
        location: None,
        reason: Reason::StorageUnavailable,
        subject: subject.to_owned(),
        message: message.to_owned(),
        hint: "what serves stays; it is tried again".to_owned(),
    }
}
