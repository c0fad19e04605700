//! From a pin to the bytes that it stands for.

use crate::Timestamp;
use crate::deployment::{Pin, ResolvedPin};
use crate::desired::{Completeness, Dating, Declared, Desired};
use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::finding::Reason;
use crate::identity::inputs_hash;
use crate::imports::{Import, Wanted};
use crate::names::{Digest, ModelName, ObjectName, Revision, Version};
use crate::observed::{DeploymentObject, Observed, ObservedModel, ObservedVersion};
use crate::runs::Phase;
use crate::training::{RunPolicy, Training};

/// How many existing versions a hint names.
const NEAREST_COUNT: usize = 3;

/// What became of a pin.
pub(super) enum Resolution {
    /// The bytes that it stands for are there.
    Resolved(ResolvedPin),
    /// The version does not exist yet: the job that makes it.
    Waiting(ObjectName),
    /// It does not exist here and comes from another environment.
    Importing { wanted: Box<Wanted>, is_asked: bool },
    /// A person must act.
    Refused(Refusal),
}

/// Why a pin is refused.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) hint: String,
}

/// What pins are resolved against.
pub(super) struct Context<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    /// The commit that last changed the manifest.
    pub(super) revision: &'a Revision,
    /// The manifests that make the model's versions.
    pub(super) jobs: &'a [(&'a ObjectName, &'a Declared<Training>)],
    pub(super) model: &'a ModelName,
    pub(super) registered: &'a ObservedModel,
    /// The object so far, if it is of this model.
    pub(super) object: Option<&'a DeploymentObject>,
    pub(super) now: Timestamp,
}

impl Context<'_> {
    /// Resolves a pin: its own digest, else the object's, else the history's newest, else the registry's. The version must be
    /// evaluated by our own engine, or by the one that its deployment allows.
    pub(super) fn resolve(&self, pin: &Pin, allowed: Engine) -> Resolution {
        let version = &pin.version;
        let remembered = self.remembered(version);
        let expected = pin.digest.or(remembered);
        match self.registered.versions.get(version) {
            None => self.missing(pin),
            Some(ObservedVersion::Damaged(what)) => Resolution::Refused(Refusal {
                reason: Reason::ArtifactChanged,
                message: format!("version {version} of {} is damaged: {what}", self.model),
                hint: "what serves stays; restore the version's files, or pin another version".to_owned(),
            }),
            Some(ObservedVersion::Sound { digest, engine, .. }) => match expected {
                Some(expected) if expected != *digest => {
                    Resolution::Refused(self.disagreement(version, expected, *digest, remembered))
                }
                Some(_) | None if !engine.is_own() && *engine != allowed => {
                    Resolution::Refused(not_declared(self.model, version, *engine))
                }
                Some(_) | None => Resolution::Resolved(ResolvedPin {
                    version: version.clone(),
                    digest: *digest,
                }),
            },
        }
    }

    /// What the version was when it was last resolved.
    fn remembered(&self, version: &Version) -> Option<Digest> {
        let spec = self.object.map(|object| &object.spec);
        let pins = spec.into_iter().flat_map(|spec| {
            std::iter::once(&spec.stable).chain(spec.canary.as_ref().map(|canary| &canary.pin))
        });
        pins.filter(|pin| pin.version == *version)
            .map(|pin| pin.digest)
            .next()
            .or_else(|| self.registered.history_digests.get(version).copied())
    }

    fn disagreement(
        &self,
        version: &Version,
        expected: Digest,
        registry: Digest,
        remembered: Option<Digest>,
    ) -> Refusal {
        let model = self.model;
        if remembered == Some(expected) {
            return Refusal {
                reason: Reason::ArtifactChanged,
                message: format!("version {version} of {model} was {expected} and is now {registry}"),
                hint: "what serves stays; restore the version's files, or pin another version".to_owned(),
            };
        }
        Refusal {
            reason: Reason::DigestMismatch,
            message: format!("version {version} of {model} is {registry}, the pin says {expected}"),
            hint: format!(
                "if {version} is what you mean, write `digest: {registry}` or leave the digest out"
            ),
        }
    }

    fn missing(&self, pin: &Pin) -> Resolution {
        let version = &pin.version;
        let mut jobs = self.jobs.iter();
        if let Some((job, _)) = jobs.find(|(name, job)| self.makes(name, job, version)) {
            return Resolution::Waiting((*job).clone());
        }
        if let Some(upstream) = &self.desired.environment.upstream {
            return self.imported(pin, upstream);
        }
        let nearest = self.nearest(version);
        let mut hint = if nearest.is_empty() {
            format!(
                "the registry holds no version of {}: add an MLTrainingJob with `version: {version}`",
                self.model
            )
        } else {
            format!(
                "pin a version that exists, nearest {}, or add an MLTrainingJob with `version: {version}`",
                nearest.join(", ")
            )
        };
        if self.desired.completeness == Completeness::Partial {
            hint.push_str("; a manifest that could not be read may make it");
        }
        Resolution::Refused(Refusal {
            reason: Reason::VersionMissing,
            message: format!(
                "version {version} of {} does not exist and no training job makes it",
                self.model
            ),
            hint,
        })
    }

    /// What becomes of a pin whose version may be in another environment's registry.
    fn imported(&self, pin: &Pin, from: &Endpoint) -> Resolution {
        let Pin { version, digest } = pin;
        let Some(digest) = *digest else {
            return Resolution::Refused(Refusal {
                reason: Reason::VersionMissing,
                message: format!(
                    "version {version} of {} does not exist here, and without a digest it is not imported from {from}",
                    self.model
                ),
                hint: "write `digest:` into the pin, as `aurora promote` does".to_owned(),
            });
        };
        let imports = self.observed.imports.get(self.model);
        let import = imports.and_then(|imports| imports.get(version));
        match import.filter(|import| import.brings(digest, from)) {
            Some(Import {
                wanted,
                fault: Some(fault),
            }) => {
                let (message, hint) = fault.told(wanted);
                Resolution::Refused(Refusal {
                    reason: fault.reason(),
                    message,
                    hint: hint.to_owned(),
                })
            }
            import => Resolution::Importing {
                is_asked: import.is_some(),
                wanted: Box::new(Wanted {
                    model: self.model.clone(),
                    version: version.clone(),
                    digest,
                    from: from.clone(),
                    revision: self.revision.clone(),
                }),
            },
        }
    }

    fn makes(&self, name: &ObjectName, job: &Declared<Training>, version: &Version) -> bool {
        let is_under_way = self.observed.trainings.get(name).is_some_and(|observed| {
            let at_work = match &observed.phase {
                Some(Phase::Pending { version } | Phase::Running { version }) => Some(version),
                Some(
                    Phase::Scheduled { .. }
                    | Phase::Succeeded { .. }
                    | Phase::Failed { .. }
                    | Phase::Suspended,
                )
                | None => None,
            };
            at_work == Some(version) && observed.object.spec == job.spec
        });
        is_under_way
            || match &job.spec.runs {
                RunPolicy::Fixed(fixed) => fixed == version,
                // What it will be called is not known yet.
                RunPolicy::PerInputs if job.dating == Dating::Provisional => {
                    !self.has_trained(inputs_hash(&job.spec))
                }
                RunPolicy::PerInputs => {
                    let stamp = Version::at(job.committed_at, |_| false);
                    stamp.time() == version.time() && !self.has_trained(inputs_hash(&job.spec))
                }
                RunPolicy::Scheduled { schedule, .. } => {
                    let slot = version.time();
                    self.now < slot && schedule.newest_until(slot) == Some(slot)
                }
            }
    }

    /// Says why a job that should make a version does not, where that is so.
    pub(super) fn not_made(&self, job: &ObjectName, version: &Version) -> Option<Refusal> {
        let declared = self.desired.trainings.get(job)?;
        let observed = self.observed.trainings.get(job)?;
        // What became of another spec says nothing about this one.
        let phase = observed
            .phase
            .as_ref()
            .filter(|_| observed.object.spec == declared.spec)?;
        let (what, hint) = match phase {
            Phase::Failed { version: failed, .. } if failed == version => (
                "failed to make it",
                "mend the job as its own finding says, or pin another version",
            ),
            Phase::Suspended => (
                "is to make it and is suspended",
                "take `suspend` out of the job, or pin another version",
            ),
            Phase::Failed { .. }
            | Phase::Scheduled { .. }
            | Phase::Pending { .. }
            | Phase::Running { .. }
            | Phase::Succeeded { .. } => return None,
        };
        Some(Refusal {
            reason: Reason::VersionMissing,
            message: format!(
                "version {version} of {} does not exist: MLTrainingJob/{job} {what}",
                self.model
            ),
            hint: hint.to_owned(),
        })
    }

    fn has_trained(&self, wanted: Digest) -> bool {
        self.registered.versions.values().any(|version| match version {
            ObservedVersion::Sound { inputs, .. } => *inputs == Some(wanted),
            ObservedVersion::Damaged(_) => false,
        })
    }

    fn nearest(&self, version: &Version) -> Vec<String> {
        let mut existing: Vec<&Version> = self.registered.versions.keys().collect();
        existing.sort_by_key(|existing| (existing.time() - version.time()).abs());
        existing
            .iter()
            .take(NEAREST_COUNT)
            .map(ToString::to_string)
            .collect()
    }
}

fn not_declared(model: &ModelName, version: &Version, engine: Engine) -> Refusal {
    Refusal {
        reason: Reason::EngineNotDeclared,
        message: format!(
            "version {version} of {model} is evaluated by {engine}, which the deployment does not allow"
        ),
        hint: format!("add `engine: {engine}` to the deployment, or pin another version"),
    }
}
