//! One pass: source → resolve → observe → plan → apply → report.
//!
//! A pass decides about what was touched since the last one: by a commit, by an object or its status, in the registry,
//! or because something is tried again. It may be cut anywhere; the next one converges. The branch is resolved anew on
//! each pass, so a newer commit wins over any wait for an older one.

mod admission;
mod elsewhere;
mod findings;
mod head;
mod histories;
mod looking;
mod outcome;
mod policy;
mod retry;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use planner::Timestamp;
use planner::desired::Desired;
use planner::environment::{Environment, Target};
use planner::finding::{Finding, Reason};
use planner::identity::{PlanHash, model_hashes};
use planner::names::{EnvironmentName, ModelName, Revision};
use planner::object::{Kind, ObjectId};
use planner::part::Part;
use planner::plan::plan;
use planner::trust::ModelPolicy;
use registry::{DatasetRoots, Observer, Store, StoreError};

use self::admission::Admission;
use self::elsewhere::Elsewhere;
use self::policy::{Heard, policy_age};
use crate::apply::{World, apply};
use crate::awaited::awaited;
use crate::clock::Clock;
use crate::objects::ObjectStore;
use crate::observe::{Decidable, Looks};
use crate::policy::look;
use crate::report::{Told, report};
use crate::resolve::{DataDigests, Resolver, Touched};
use crate::source::{Source, SourceError};
use crate::standing::Standing;
use crate::view::View;
use crate::zones::Zones;
pub(crate) use findings::moved_registry;
use findings::{unavailable, undone};
pub use outcome::{Aborted, Beat, Live, Pass, Reported};
use outcome::{aborted, receivers};
use retry::Retries;

/// Where an environment's registry lies.
pub type Locate = Arc<dyn Fn(&Environment) -> PathBuf + Send + Sync>;

/// Says whether a registry that was not there may be used by now.
pub type Admit = Arc<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// Keeps one environment's objects and aliases equal to one branch.
pub struct Reconciler {
    source: Source,
    environment: EnvironmentName,
    target: Arc<dyn ObjectStore>,
    registry: Observer,
    /// Present until the registry is there.
    awaited: Option<Admit>,
    locate: Locate,
    resolver: Resolver,
    view: View,
    standing: Standing,
    /// The hash of what is declared.
    hashes: PlanHash,
    looks: Looks,
    zones: Zones,
    clock: Clock,
    elsewhere: Elsewhere,
    retries: Retries,
    admission: Admission,
    /// What a commit brought along of what is said of raises, until it counts.
    heard: Option<Heard>,
    /// Whose signature versions needed at the last pass.
    models: Option<ModelPolicy>,
    /// When what a window holds is to be looked at again.
    wake_at: Option<Timestamp>,
    /// What is wrong with the commit as a whole, or keeps it from being read.
    of_commit: BTreeSet<Finding>,
    /// What is wrong with no single model.
    beside: BTreeSet<Finding>,
    /// Why the branch could not be fetched, while what was fetched before is followed.
    unfetched: Option<Finding>,
    /// Why the objects could not be read. Every pass reads them, so it lasts no longer than that.
    unseen: Option<Finding>,
    /// What could not be read or done, by model.
    undone: BTreeMap<Option<ModelName>, Vec<Finding>>,
    /// The commits between which the branch was forced, told until it moves on.
    forced: Option<(Revision, Revision)>,
    resolved: Option<Revision>,
    told: Option<Told>,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("source", &self.source)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What a pass is about.
#[derive(Debug, Default)]
struct Scope {
    models: BTreeSet<ModelName>,
    /// Whether it decides even if no model is touched: about the environment, or what no manifest declares.
    is_due: bool,
}

impl Reconciler {
    /// Makes a reconciler that has not looked at anything yet.
    pub fn new(
        source: Source,
        environment: EnvironmentName,
        target: Arc<dyn ObjectStore>,
        registry: Observer,
        locate: Locate,
    ) -> Self {
        Self {
            source,
            environment,
            target,
            registry,
            awaited: None,
            locate,
            resolver: Resolver::default().with_patience(histories::PATIENCE),
            view: View::default(),
            standing: Standing::default(),
            hashes: PlanHash::default(),
            looks: Looks::default(),
            zones: Zones::default(),
            clock: Clock::default(),
            elsewhere: Elsewhere::default(),
            models: None,
            retries: Retries::default(),
            admission: Admission::default(),
            heard: None,
            wake_at: None,
            of_commit: BTreeSet::new(),
            beside: BTreeSet::new(),
            unfetched: None,
            unseen: None,
            undone: BTreeMap::new(),
            forced: None,
            resolved: None,
            told: None,
        }
    }

    /// Takes no MLEnvironment but one of this target.
    #[must_use]
    pub fn for_target(self, target: Target) -> Self {
        Self {
            resolver: self.resolver.for_target(target),
            ..self
        }
    }

    /// Judges files outside the repository by the folders that they may lie in, and takes what an earlier reconciler
    /// knew of the content of those in it.
    #[must_use]
    pub fn with_data(self, roots: DatasetRoots, digests: DataDigests) -> Self {
        let resolver = self.resolver.with_dataset_roots(Some(roots));
        Self {
            resolver: resolver.with_data_digests(digests),
            ..self
        }
    }

    /// Returns what is known of the content of the repository's data files.
    pub fn data_digests(&self) -> &DataDigests {
        self.resolver.data_digests()
    }

    /// Returns how everything stands by the last pass.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns the registry in use.
    pub fn store(&self) -> &Store {
        self.registry.store()
    }

    /// Looks at everything again with the next pass: what there was may have been made anew.
    pub fn look_again(&mut self) {
        self.view.mark = None;
        for model in self.view.links.models() {
            self.retries.again(model.clone());
        }
    }

    /// Resolves the branch's newest commit: cheap, for polling.
    pub fn head(&mut self) -> Result<Revision, SourceError> {
        self.source.head()
    }

    /// Returns the manifests of the work tree that are not committed, and so do not count.
    pub fn uncommitted(&self) -> Vec<String> {
        self.source.uncommitted(&self.environment)
    }

    /// Returns who made a commit, as it says itself; `None` where that cannot be read.
    pub fn author(&self, revision: &Revision) -> Option<String> {
        self.source.author(revision).ok()
    }

    /// Runs one pass; `applied` is called as soon as objects were written, before the report is.
    pub fn pass(&mut self, beat: Beat, now: Timestamp, applied: &mut dyn FnMut()) -> Pass {
        let mut pass = Pass::default();
        let mut scope = Scope {
            models: self.retries.due(now),
            is_due: self.told.is_none(),
        };
        scope.models.extend(self.past_edge(now));
        scope.models.extend(self.elsewhere.news());
        // Reads the objects.
        if !self.observe_objects(&mut scope, now) {
            pass.is_cut_short = true;
            pass.attempted.clone_from(&self.resolved);
            self.conclude(&mut pass, now);
            return pass;
        }
        let environment = self.view.observed.environment.as_ref();
        let models = environment.map(|environment| &environment.models);
        if self.models.as_ref() != models {
            // What each is held to may be another matter now.
            scope.models.extend(self.view.links.models().cloned());
            self.models = models.cloned();
        }
        // Reads Git.
        self.resolve(&mut pass, &mut scope, now);
        let desired = self.resolver.resolution().desired.as_ref();
        let refused = self.admission.refused().cloned();
        pass.attempted = refused
            .or_else(|| desired.map(|desired| desired.revision.clone()))
            .or(self.resolved.clone());
        pass.suspended = desired.and_then(|desired| desired.environment.suspend.clone());
        // Reads the registry, some of it in turns.
        if beat == Beat::Turn {
            let looked = self.looks.turn(&self.view, &self.registry, &mut scope.models);
            self.close_histories(&looked);
        }
        if desired.is_some() && (scope.is_due || !scope.models.is_empty()) {
            pass.is_touched = true;
            self.decide(&scope.models, &mut pass, now);
        }
        if !pass.applied.done.is_empty() {
            applied();
        }
        self.conclude(&mut pass, now);
        pass
    }

    /// Takes in what changed among the objects; `false` where they could not be read.
    fn observe_objects(&mut self, scope: &mut Scope, now: Timestamp) -> bool {
        match self.target.observe(self.view.mark) {
            Ok(changes) => {
                self.unseen = None;
                scope.is_due |= changes.is_complete;
                self.view.update(changes, &mut scope.models);
                if self.undone.contains_key(&None) && self.retries.is_general_due(now) {
                    self.undone.remove(&None);
                    scope.is_due = true;
                }
                true
            }
            Err(error) => {
                let finding = undone(
                    "the objects",
                    error.reason(),
                    error.disposition(),
                    &error.to_string(),
                );
                self.unseen = Some(finding);
                // Whatever else was touched is not forgotten.
                for model in std::mem::take(&mut scope.models) {
                    self.retries.again(model);
                }
                false
            }
        }
    }

    /// Resolves the branch's newest commit, and says which models it touches.
    fn resolve(&mut self, pass: &mut Pass, scope: &mut Scope, now: Timestamp) {
        let before = self.resolver.resolution().desired.as_ref().map(|desired| {
            let environment = &desired.environment;
            (environment.suspend.clone(), desired.completeness)
        });
        let mut of_commit = BTreeSet::new();
        let was_refused = self.admission.refused().is_some();
        let resolved = self.resolve_head(now);
        if self.admission.refused().is_some() != was_refused {
            // Whether they are what the newest commit says is another matter now.
            scope.models.extend(self.view.links.models().cloned());
        }
        let trouble = self.source.trouble().filter(|_| resolved.is_ok());
        self.unfetched = trouble.as_ref().map(unavailable);
        match resolved {
            Ok(None) => {
                self.of_commit
                    .retain(|finding| finding.reason != Reason::SourceUnavailable);
                self.go_on(pass, scope);
                return;
            }
            Ok(Some(touched)) => {
                pass.is_walking = self.resolver.is_under_way();
                self.declare(touched, scope);
            }
            Err(error) => {
                of_commit.insert(unavailable(&error));
                pass.is_cut_short = true;
            }
        }
        let resolution = self.resolver.resolution();
        of_commit.extend(resolution.findings.iter().cloned());
        of_commit.extend(self.forced_finding());
        let Some(desired) = &resolution.desired else {
            self.of_commit = of_commit;
            return;
        };
        of_commit.extend(self.moved_registry(desired));
        self.of_commit = of_commit;
        let after = (desired.environment.suspend.clone(), desired.completeness);
        if before.as_ref().map(|before| &before.0) != Some(&after.0) {
            scope.models.extend(self.view.links.models().cloned());
        } else if before.map(|before| before.1) != Some(after.1) {
            // What was refused or waits may depend on what could not be read.
            let standing = self.standing.subjects();
            let models = standing.flat_map(|id| self.view.links.models_of(id));
            scope.models.extend(models.cloned());
        }
    }

    fn declare(&mut self, touched: Touched, scope: &mut Scope) {
        let desired = self.resolver.resolution().desired.as_ref();
        scope.is_due = true;
        // What was held is judged by what this commit finds.
        scope.models.extend(self.held_models());
        let ids: Vec<ObjectId> = match touched {
            Touched::Manifests(ids) => ids.into_iter().collect(),
            Touched::Everything => {
                let known = self.view.links.declared().cloned();
                let declared = desired.into_iter().flat_map(|desired| {
                    let deployments = desired.deployments.keys().map(ObjectId::deployment);
                    deployments.chain(desired.trainings.keys().map(ObjectId::training))
                });
                known.chain(declared).collect()
            }
        };
        self.view.declare(desired, ids.iter().cloned(), &mut scope.models);
        for id in ids.iter().filter(|id| id.kind != Kind::Environment) {
            if self.view.links.models_of(id).next().is_none() {
                self.standing.forget(id);
            }
        }
    }

    /// Decides about what the models hang together with, and does it.
    fn decide(&mut self, models: &BTreeSet<ModelName>, pass: &mut Pass, now: Timestamp) {
        let Some(whole) = &self.resolver.resolution().desired else {
            return;
        };
        let environment = whole.environment.clone();
        let part = self.view.links.part(models);
        let mut decidable = match self
            .awaited
            .as_ref()
            .map_or(Ok(()), |admit| admit())
            .and_then(|()| Looks::observe(&mut self.view, &self.registry, &part, whole))
        {
            Ok(decidable) => decidable,
            Err(error) => {
                let reason = Reason::StorageUnavailable;
                let finding = undone("the registry", reason, error.disposition(), &error.to_string());
                self.undone.insert(None, vec![finding]);
                self.retries.failed(None, error.disposition(), now);
                for model in models {
                    self.retries.again(model.clone());
                }
                return;
            }
        };
        self.awaited = None;
        let is_unsure = !decidable.unreadable.is_empty();
        let (heard, age) = policy_age(
            self.heard.take(),
            whole,
            &self.view,
            &self.standing,
            &part,
            is_unsure,
        );
        (self.heard, decidable.observed.policy) = (heard, age);
        let store = self.registry.store();
        self.elsewhere.ask(&part.models, |ask| {
            look(&mut decidable, store, &self.source, &mut self.zones, ask, now);
        });
        decidable.observed.imports = self.elsewhere.imports.of(&part.models, &decidable.desired);
        let Decidable {
            desired,
            observed,
            unreadable,
        } = decidable;
        for model in &part.models {
            self.undone.remove(&Some(model.clone()));
        }
        let mut hashes = model_hashes(&part.desired(whole));
        for model in &part.models {
            self.hashes.set(model, hashes.remove(model));
        }

        // Pure.
        let mut plan = plan(&desired, &observed, now);

        // Writes the objects and the registry.
        let world = World {
            source: &self.source,
            target: self.target.as_ref(),
            store: self.registry.store(),
            imports: &self.elsewhere.imports,
        };
        pass.applied = apply(&plan, &desired, world, now);
        self.take_failures(pass, &observed, unreadable, now);
        for model in part.models.iter().map(Some).chain([None]) {
            if !self.undone.contains_key(&model.cloned()) {
                self.retries.succeeded(model);
            }
        }
        if !pass.applied.done.is_empty() {
            pass.plan_hash = Some(self.hashes.of(&environment));
            if let Err(error) = self.registry.note_models() {
                tracing::warn!(%error, "cannot refresh the registry's list of models");
            }
        }
        self.expect(&part, &desired, &plan, pass);
        let beside = self.standing.set_part(&part, std::mem::take(&mut plan));
        self.beside = beside;
        for model in &part.models {
            let is_behind = self.is_behind(model);
            if self.standing.set_behind(model, is_behind) {
                pass.behind.push((model.clone(), is_behind));
            }
            let is_drifted = self.is_drifted(model);
            if self.standing.set_drifted(model, is_drifted) {
                pass.drifted.push((model.clone(), is_drifted));
            }
        }
        let last = observed.environment.iter();
        let windows = last
            .chain([&desired.environment])
            .flat_map(|known| &known.windows);
        self.note_wake(&windows.cloned().collect::<Vec<_>>(), now);
        let deployments = observed.deployments.values();
        let live: BTreeMap<&ModelName, Live> = deployments
            .map(|found| (&found.object.spec.model, Live::of(found.status.as_ref())))
            .collect();
        pass.seen = part
            .models
            .iter()
            .map(|model| (model.clone(), live.get(model).copied()))
            .collect();
    }

    /// Says whether a model's object may not be what Git says.
    fn is_behind(&self, model: &ModelName) -> bool {
        let Some(desired) = &self.resolver.resolution().desired else {
            return true;
        };
        let is_as_declared = |id: &ObjectId| {
            let declared = desired.deployments.get(&id.name);
            let declared = declared.filter(|declared| declared.spec.model == *model);
            declared.is_some_and(|declared| declared.spec.suspend.is_none()) && self.standing.is_clear(id)
        };
        if self.view.links.ids(model).next().is_none() {
            return false;
        }
        let mut ids = self.view.links.ids(model);
        desired.environment.suspend.is_some()
            || self.admission.refused().is_some()
            || self.undone.contains_key(&Some(model.clone()))
            || !ids.any(|id| id.kind == Kind::Deployment && is_as_declared(id))
    }

    /// Says whether somebody changed something of a model that stands.
    fn is_drifted(&self, model: &ModelName) -> bool {
        let undone = self.undone.get(&Some(model.clone())).into_iter().flatten();
        undone.into_iter().any(|finding| finding.reason.is_drift())
            || self.view.links.ids(model).any(|id| self.standing.is_drifted(id))
    }

    fn take_failures(
        &mut self,
        pass: &Pass,
        observed: &planner::observed::Observed,
        unreadable: BTreeMap<ModelName, StoreError>,
        now: Timestamp,
    ) {
        for failed in &pass.applied.failed {
            let model = failed.action.model(observed).cloned();
            let (disposition, reason) = (failed.error.disposition(), failed.error.reason());
            let finding = undone(&failed.subject, reason, disposition, &failed.error.to_string());
            self.undone.entry(model.clone()).or_default().push(finding);
            self.retries.failed(model, disposition, now);
        }
        for (model, error) in unreadable {
            let (disposition, reason) = (error.disposition(), Reason::StorageUnavailable);
            let subject = format!("model {model}");
            let finding = Finding {
                hint: "nothing is changed about the model until it can be read; what serves stays".to_owned(),
                ..undone(&subject, reason, disposition, &error.to_string())
            };
            self.undone.entry(Some(model.clone())).or_default().push(finding);
            self.retries.failed(Some(model), disposition, now);
        }
    }

    /// Tells what should come to serve of the part's models.
    fn expect(&mut self, part: &Part, desired: &Desired, plan: &planner::plan::Plan, pass: &mut Pass) {
        let mut by_model = awaited(part, desired, &plan.waiting, &self.view);
        for model in &part.models {
            let pins = by_model.remove(model).unwrap_or_default();
            if self.standing.set_awaited(model, &pins) {
                pass.awaited.push((model.clone(), pins));
            }
        }
    }

    /// Writes the environment's status, where anything is new.
    fn conclude(&mut self, pass: &mut Pass, now: Timestamp) {
        pass.accepted = self.accepted();
        // What a person must mend is looked at again, too, but nothing is under way about it.
        let mut findings = self.undone.values().flatten();
        pass.is_cut_short |= findings.any(|finding| !finding.reason.stands());
        self.standing.set_general(self.general());
        let desired = self.resolver.resolution().desired.as_ref();
        pass.wakes_at = self.wake_at;
        pass.importing = self.elsewhere.imports.under_way();
        pass.doubt = self.clock.judge(&self.view, desired, now);
        let told = Told::of(pass, &self.standing, &self.view);
        if self.told.as_ref() == Some(&told) && pass.applied.done.is_empty() {
            return;
        }
        let status = report(pass, &self.standing, &self.view, now);
        match self.target.report(&status) {
            Ok(()) => {
                pass.reported = Some(Box::new(Reported {
                    before: self.view.reported(status.clone()),
                    after: status,
                    receivers: receivers(&self.view, desired),
                    aborted: aborted(&pass.applied),
                }));
                self.told = Some(told);
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the report of a pass; it is tried again");
                let finding = undone(
                    "the report",
                    error.reason(),
                    error.disposition(),
                    &error.to_string(),
                );
                let mut general = self.general();
                general.insert(finding);
                self.standing.set_general(general);
                self.told = None;
                pass.is_cut_short = true;
            }
        }
    }

    /// A registry is opened at the start; a commit that names another one counts from the next start on.
    fn moved_registry(&self, desired: &Desired) -> Option<Finding> {
        let declared = (self.locate)(&desired.environment);
        moved_registry(&desired.environment, &declared, self.registry.store().root())
    }
}
