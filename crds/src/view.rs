//! What the objects of one environment say together, model by model: who looks from outside sees no more than this, and
//! needs neither Git nor a controller for it.

mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use planner::Timestamp;
use planner::finding::{Reason, Subject};
use planner::names::{ModelName, Weight};
use planner::object::Kind;
use planner::observed::Behind;
use planner::word::{
    DeploymentFacts, Doubt, EnvironmentFacts, Found, ModelFacts, Standing, WaitReason, Waits, of_environment,
    of_model,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::rows::{DeclaredRow, EnvironmentRow, ModelRow, Overview, PinRow, RunRow, StandingRow};

use self::rows::{declared, run};
use crate::convert;
use crate::status::{Condition, FindingStatus, PhaseName, WaitStatus};
use crate::{MLDeployment, MLEnvironment, MLTrainingJob};

/// Knowledge that is older is worth nothing: whoever reconciles says every five seconds that it is alive.
pub const AGE_MAX: Duration = Duration::from_secs(15);
/// Why knowledge that is older is worth nothing.
pub const TOO_OLD: &str =
    "whoever reconciles has not been seen alive lately; what is shown is the last that was known";
/// Why nothing is known before the first pass.
pub const NEVER_RECONCILED: &str = "nobody has reconciled here yet";

/// The objects of one environment, each with its status where it has one. Those that are unchanged are shared by the views
/// of several times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Absent before the first pass.
    pub environment: Option<MLEnvironment>,
    /// By name.
    pub deployments: BTreeMap<String, Arc<MLDeployment>>,
    /// By name.
    pub trainings: BTreeMap<String, Arc<MLTrainingJob>>,
    /// What could not be read, e.g. `MLDeployment/wine`, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Why whoever reconciled did not start, or could not go on, where that was left word of.
    pub failure: Option<Failure>,
}

/// Why a process did not start, or could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, a lower-case fragment.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// The objects as they are, to be shown.
#[derive(JsonSchema, Debug, Serialize)]
pub struct Objects<'a> {
    /// `null` before the first pass.
    pub environment: Option<&'a MLEnvironment>,
    /// By name.
    pub deployments: Vec<&'a MLDeployment>,
    /// By name.
    pub trainings: Vec<&'a MLTrainingJob>,
    /// What could not be read, e.g. `MLDeployment/wine`, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: &'a BTreeMap<String, String>,
}

/// What is known of one model.
#[derive(Debug, Clone, Default)]
pub struct ModelView<'a> {
    /// The object that serves it, or is to.
    pub deployment: Option<&'a MLDeployment>,
    /// The jobs that make its versions.
    pub trainings: Vec<&'a MLTrainingJob>,
    /// What is wrong with its manifests and objects.
    pub findings: Vec<&'a FindingStatus>,
    /// What it waits for.
    pub waits: Vec<&'a WaitStatus>,
    /// How it stands; `None` for one that nothing serves and nothing is to serve, and whose runs did not fail.
    pub standing: Option<Standing>,
    unreadable: Vec<&'a str>,
    is_declared: bool,
    /// How many of the findings, the first ones, are about its jobs.
    causes: usize,
}

/// What is known of an environment beside a model.
struct Around<'a> {
    unknown: Option<Doubt<'a>>,
    suspended: Option<&'a str>,
    blind: Option<&'a FindingStatus>,
}

impl View {
    /// Returns the objects as they are.
    pub fn objects(&self) -> Objects<'_> {
        let Self {
            environment,
            deployments,
            trainings,
            unreadable,
            failure: _,
        } = self;
        Objects {
            environment: environment.as_ref(),
            deployments: deployments.values().map(Arc::as_ref).collect(),
            trainings: trainings.values().map(Arc::as_ref).collect(),
            unreadable,
        }
    }

    /// Returns every model that an object, a finding or a wait is about, by its name. `unknown`: why what is known is
    /// worth nothing.
    pub fn models<'a>(&'a self, unknown: Option<&str>) -> BTreeMap<String, ModelView<'a>> {
        let mut models = self.joined();
        let doubted = unknown.map(|why| self.doubted(why));
        let around = self.around(doubted.as_ref());
        for model in models.values_mut() {
            model.standing = model.stands(&around);
        }
        models
    }

    /// Returns one model, where an object, a finding or a wait is about it.
    pub fn model<'a>(&'a self, name: &str, unknown: Option<&str>) -> Option<ModelView<'a>> {
        let mut model = self.joined().remove(name)?;
        let doubted = unknown.map(|why| self.doubted(why));
        model.standing = model.stands(&self.around(doubted.as_ref()));
        Some(model)
    }

    fn around<'a>(&'a self, doubted: Option<&'a (String, String)>) -> Around<'a> {
        Around {
            unknown: doubted.map(doubt),
            suspended: self.suspended(),
            blind: self.blind(),
        }
    }

    /// Returns the finding that says why it is not known what Git declares now.
    pub fn blind(&self) -> Option<&FindingStatus> {
        self.findings()
            .find(|finding| reason(&finding.reason).is_some_and(Reason::is_blind))
    }

    /// Says why what is known is worth nothing, and what to do.
    fn doubted(&self, why: &str) -> (String, String) {
        match &self.failure {
            Some(Failure { message, hint }) => (
                format!(
                    "nobody reconciles here, the last that tried failed: {message}; what is shown is the last that was known"
                ),
                hint.clone(),
            ),
            None => (
                why.to_owned(),
                "see whether the process that reconciles is alive, and what its log says".to_owned(),
            ),
        }
    }

    fn findings(&self) -> impl Iterator<Item = &FindingStatus> {
        let status = self
            .environment
            .as_ref()
            .and_then(|environment| environment.status.as_ref());
        status.into_iter().flat_map(|status| &status.findings)
    }

    /// Returns the environment at a glance.
    pub fn overview(&self, unknown: Option<&str>) -> Overview {
        let models = self.models(unknown);
        let mut words: BTreeMap<String, u32> = BTreeMap::new();
        for standing in models.values().filter_map(|model| model.standing.as_ref()) {
            *words.entry(standing.word.to_string()).or_default() += 1;
        }
        let status = self
            .environment
            .as_ref()
            .and_then(|environment| environment.status.as_ref());
        Overview {
            environment: EnvironmentRow {
                name: self
                    .environment
                    .as_ref()
                    .and_then(|environment| environment.metadata.name.clone()),
                standing: self.standing(unknown, &models).into(),
                suspended: self.suspended().map(str::to_owned),
                attempted_revision: status.and_then(|status| status.attempted_revision.clone()),
                applied_revision: status.and_then(|status| status.applied_revision.clone()),
                next_wake_up: status.and_then(|status| status.next_wake_up),
                words,
                findings: status.map(|status| status.findings.clone()).unwrap_or_default(),
                findings_count: status.map_or(0, |status| status.counts.findings),
                waits: status.map(|status| status.waits.clone()).unwrap_or_default(),
            },
            models: models.iter().map(|(name, model)| model.row(name)).collect(),
        }
    }

    /// Returns how the environment stands with these models.
    fn standing(&self, unknown: Option<&str>, models: &BTreeMap<String, ModelView<'_>>) -> Standing {
        let status = self
            .environment
            .as_ref()
            .and_then(|environment| environment.status.as_ref());
        let nothing = status.is_none().then_some("nothing was read yet");
        let is_of_none = |finding: &&FindingStatus| {
            let model = self.model_of(&finding.subject);
            model.is_none_or(|(name, _)| models.get(&name).is_none_or(|model| model.standing.is_none()))
        };
        let doubted = unknown.or(nothing).map(|why| self.doubted(why));
        let facts = EnvironmentFacts {
            unknown: doubted.as_ref().map(doubt),
            suspended: self.suspended(),
            findings: self.findings().filter(is_of_none).map(found).collect(),
            since: status.and_then(|status| since(&status.conditions)),
        };
        let counted = models
            .iter()
            .filter_map(|(name, model)| Some((name.as_str(), model.standing.as_ref()?)));
        of_environment(&facts, counted)
    }

    fn suspended(&self) -> Option<&str> {
        self.environment.as_ref()?.spec.suspend.as_deref()
    }

    fn joined(&self) -> BTreeMap<String, ModelView<'_>> {
        let mut models: BTreeMap<String, ModelView<'_>> = BTreeMap::new();
        for deployment in self.deployments.values() {
            let model = models.entry(deployment.spec.model_name.to_string()).or_default();
            let serves = |object: &MLDeployment| {
                object
                    .status
                    .as_ref()
                    .is_some_and(|status| status.stable.is_some())
            };
            // Of two that claim it, the one that has it.
            if model
                .deployment
                .is_none_or(|known| !serves(known) && serves(deployment))
            {
                model.deployment = Some(deployment);
            }
        }
        for training in self.trainings.values() {
            let model = models.entry(training.spec.model_name.to_string()).or_default();
            model.trainings.push(training);
        }
        let mut of_none: BTreeMap<Reason, Vec<&FindingStatus>> = BTreeMap::new();
        for finding in self.findings() {
            if let Some((name, kind)) = self.model_of(&finding.subject) {
                let model = models.entry(name).or_default();
                model.is_declared |= kind == Kind::Deployment;
                // What a job is told is the cause of what its pin is.
                let is_cause = kind == Kind::Training;
                let at = if is_cause {
                    model.causes
                } else {
                    model.findings.len()
                };
                model.findings.insert(at, finding);
                model.causes += usize::from(is_cause);
            } else if let Some(reason) = reason(&finding.reason) {
                of_none.entry(reason).or_default().push(finding);
            }
        }
        if !of_none.is_empty() {
            for model in models.values_mut() {
                model.findings.extend(model.stopped_for(&of_none));
            }
        }
        let status = self
            .environment
            .as_ref()
            .and_then(|environment| environment.status.as_ref());
        for waits in status.into_iter().flat_map(|status| &status.waits) {
            if let Some((name, kind)) = self.model_of(&waits.subject) {
                let model = models.entry(name).or_default();
                model.waits.push(waits);
                model.is_declared |= kind == Kind::Deployment;
            }
        }
        for (subject, why) in &self.unreadable {
            if let Some((name, _kind)) = self.model_of(subject) {
                models.entry(name).or_default().unreadable.push(why);
            }
        }
        models
    }

    /// Returns the model that something is about. One without an object is called as its manifest is.
    fn model_of(&self, subject: &str) -> Option<(String, Kind)> {
        let Subject::Object(id) = Subject::from(subject.to_owned()) else {
            return None;
        };
        let name = id.name.as_str();
        let model = match id.kind {
            Kind::Environment => return None,
            Kind::Deployment => self.deployments.get(name).map(|object| &object.spec.model_name),
            Kind::Training => self.trainings.get(name).map(|object| &object.spec.model_name),
        };
        Some((
            model.map_or_else(|| name.to_owned(), ModelName::to_string),
            id.kind,
        ))
    }
}

impl<'a> ModelView<'a> {
    fn behind(&self) -> Option<Behind> {
        convert::behind(&self.deployment?.metadata)
    }

    /// Returns what stops it of the findings that name no model: its object tells their reason, and it has no finding of
    /// its own for that.
    fn stopped_for(&self, of_none: &BTreeMap<Reason, Vec<&'a FindingStatus>>) -> Vec<&'a FindingStatus> {
        let stopped = self.behind().and_then(|behind| behind.reason());
        let is_own = |stopped: &Reason| {
            let mut own = self.findings.iter();
            own.any(|finding| reason(&finding.reason).as_ref() == Some(stopped))
        };
        let others = stopped.filter(|stopped| !is_own(stopped));
        others
            .and_then(|stopped| of_none.get(&stopped))
            .cloned()
            .unwrap_or_default()
    }

    /// Returns why a job that is to make a version does not run yet.
    fn because(&self, waits: &WaitStatus) -> Option<&str> {
        let blocked_by = waits.blocked_by.as_deref()?;
        let is_it = |training: &&&MLTrainingJob| {
            let name = training.metadata.name.as_deref().unwrap_or_default();
            blocked_by.split_once('/') == Some((Kind::Training.as_str(), name))
        };
        let status = self.trainings.iter().find(is_it)?.status.as_ref()?;
        let message = status.message.as_deref()?;
        (status.phase == Some(PhaseName::Pending)).then_some(message)
    }

    fn stands(&self, around: &Around<'_>) -> Option<Standing> {
        let behind = self.behind();
        let deployment = self.deployment.map(|deployment| {
            let status = deployment.status.as_ref();
            DeploymentFacts {
                suspended: deployment.spec.suspend.as_deref(),
                behind: behind.as_ref(),
                status: status.and_then(|status| status.memory.as_ref()),
                since: status.and_then(|status| since(&status.conditions)),
            }
        });
        let failed = |training: &&&crate::MLTrainingJob| {
            training.status.as_ref().and_then(|status| status.phase) == Some(PhaseName::Failed)
        };
        let failed_run = self.trainings.iter().find(failed).map(|training| {
            let message = training
                .status
                .as_ref()
                .and_then(|status| status.message.as_deref());
            message.unwrap_or("its run failed")
        });
        of_model(&ModelFacts {
            unknown: around.unknown,
            blind: around.blind.map(found),
            unreadable: self.unreadable.first().copied(),
            suspended: around.suspended,
            deployment,
            is_declared: self.is_declared,
            findings: self.findings.iter().copied().map(found).collect(),
            waits: self
                .waits
                .iter()
                .filter_map(|waits| read_wait(waits, self.because(waits)))
                .collect(),
            failed_run,
        })
    }

    /// Returns the model at a glance.
    pub fn row(&self, name: &str) -> ModelRow {
        let status = self.deployment.and_then(|deployment| deployment.status.as_ref());
        let annotations = self
            .deployment
            .and_then(|deployment| deployment.metadata.annotations.as_ref());
        let first = self.waits.first();
        ModelRow {
            model: name.to_owned(),
            standing: self.standing.clone().map(StandingRow::from),
            stable: status.and_then(|status| status.stable.clone()),
            canary: status.and_then(|status| status.canary.clone()),
            weight: status.map_or(Weight::ZERO, |status| status.weight),
            declared: self.deployment.map(declared),
            revision: annotations.and_then(|annotations| annotations.get(convert::REVISION).cloned()),
            drifted: self
                .findings
                .iter()
                .any(|finding| reason(&finding.reason).is_some_and(Reason::is_drift)),
            findings: u32::try_from(self.findings.len()).unwrap_or(u32::MAX),
            blocked_by: first.and_then(|waits| waits.blocked_by.clone()),
            until: first.and_then(|waits| waits.until),
            run: self.trainings.iter().find_map(|training| run(training)),
        }
    }
}

fn found(finding: &FindingStatus) -> Found<'_> {
    Found {
        reason: reason(&finding.reason),
        name: &finding.reason,
        message: &finding.message,
        hint: &finding.hint,
    }
}

/// Reads a reason; `None` for one that a newer program wrote.
fn reason(text: &str) -> Option<Reason> {
    text.parse().ok()
}

fn doubt((why, next): &(String, String)) -> Doubt<'_> {
    Doubt { why, next }
}

fn read_wait<'a>(waits: &'a WaitStatus, because: Option<&'a str>) -> Option<Waits<'a>> {
    let reason: WaitReason = serde_json::from_value(serde_json::Value::from(waits.reason.as_str())).ok()?;
    Some(Waits {
        reason,
        message: waits.of_subject(),
        blocked_by: waits.blocked_by.as_deref(),
        because,
        until: waits.until,
    })
}

/// Returns since when a status says that its object is ready, or is not.
fn since(conditions: &[Condition]) -> Option<Timestamp> {
    let ready = conditions.iter().find(|condition| condition.kind == "Ready");
    ready.map(|condition| condition.last_transition_time)
}

#[cfg(test)]
mod tests;
