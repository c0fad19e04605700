//! What each MLDeployment object becomes.

use std::sync::Arc;

use super::exposure::{Exposed, Policy, expose};
use super::index::Index;
use super::pins::{Context, Refusal, Resolution};
use super::{Action, Waiting, aborts};
use crate::Timestamp;
use crate::deployment::{Canary, DeclaredDeployment, Pin, ResolvedDeployment, ResolvedPin};
use crate::desired::{Completeness, Dating, Declared, Desired};
use crate::finding::{Finding, Reason};
use crate::gates::TRUST_HINT;
use crate::names::{ModelName, ObjectName, Revision, Track};
use crate::object::ObjectId;
use crate::observed::{Behind, DeploymentObject, Observed, ObservedDeployment, ObservedModel};
use crate::per_track::PerTrack;
use crate::rollout::Retry;
use crate::trust::{Signer, Signers};

/// How much of what keeps an object behind is kept on it, in characters.
const BEHIND_LENGTH_MAX: usize = 300;

/// What was decided about one manifest.
pub(super) struct Decided<'a> {
    pub(super) name: &'a ObjectName,
    /// The object as it is.
    pub(super) before: Option<&'a ObservedDeployment>,
    /// The object of the manifest's model and name; absent where there is nothing to make it of, or the model may not
    /// be taken over yet.
    pub(super) wanted: Option<DeploymentObject>,
    /// Whether a finding, a wait or a suspension keeps the manifest's pins from the object.
    pub(super) is_stopped: bool,
    /// The object as it will be.
    pub(super) after: Option<DeploymentObject>,
    pub(super) findings: Vec<Finding>,
    pub(super) waiting: Vec<Waiting>,
    /// What is to be asked for in another environment.
    pub(super) imports: Vec<Action>,
}

impl Decided<'_> {
    /// Returns the model that the object will serve.
    pub(super) fn model(&self) -> Option<&ModelName> {
        self.after.as_ref().map(|after| &after.spec.model)
    }

    /// Says whether the environment's policy holds something back.
    pub(super) fn is_held(&self) -> bool {
        let by_window = |waiting: &Waiting| matches!(waiting, Waiting::ForTime { .. });
        self.waiting.iter().any(by_window)
            || self.findings.iter().any(|finding| finding.reason.is_of_policy())
    }

    /// Says whether the object will serve this model.
    pub(super) fn serves(&self, model: &ModelName) -> bool {
        self.model() == Some(model)
    }

    /// Returns what a track of the object will be pinned to.
    pub(super) fn pin(&self, track: Track) -> Option<&ResolvedPin> {
        let spec = &self.after.as_ref()?.spec;
        match track {
            Track::Stable => Some(&spec.stable),
            Track::Canary => spec.canary.as_ref().map(|canary| &canary.pin),
        }
    }
}

/// Decides about each manifest by itself: none sees what becomes of another.
///
/// An object's name follows Git at once; what keeps the pins from following keeps the model at what it serves, under
/// whatever name. So no manifest waits for another one that is stopped.
pub(super) fn decide<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
    index: &Index<'a>,
    now: Timestamp,
) -> Vec<Decided<'a>> {
    let policy = Policy::new(desired, observed, now);
    let decide = |(name, declared)| one(name, declared, desired, observed, index, &policy, now);
    desired.deployments.iter().map(decide).collect()
}

fn one<'a>(
    name: &'a ObjectName,
    declared: &Declared<DeclaredDeployment>,
    desired: &'a Desired,
    observed: &'a Observed,
    index: &Index<'a>,
    policy: &Policy<'_>,
    now: Timestamp,
) -> Decided<'a> {
    let model = &declared.spec.model;
    let before = observed.deployments.get(name);
    let mut decided = Decided {
        name,
        before,
        wanted: None,
        is_stopped: false,
        after: None,
        findings: Vec::new(),
        waiting: Vec::new(),
        imports: Vec::new(),
    };
    let own = before.filter(|before| before.object.spec.model == *model);
    if let Some(holder) = unreadable_holder(name, model, own.is_some(), desired, index) {
        decided.waiting.push(Waiting::ForModel {
            deployment: name.clone(),
            model: model.clone(),
            holder: holder.clone(),
        });
        if own.is_none() {
            decided.is_stopped = true;
            return decided;
        }
    }
    // The new object goes on where the one that has the model so far leaves off.
    let base = own.or_else(|| index.holder(model, name).map(|(_, base)| base));
    let nothing = ObservedModel::default();
    let registered = observed.models.get(model).map_or(&nothing, Arc::as_ref);
    let mut wanted = if let Some(reason) = &declared.spec.suspend {
        decided.is_stopped = true;
        base.map(|base| {
            let spec = ResolvedDeployment {
                suspend: Some(reason.clone()),
                ..base.object.spec.clone()
            };
            DeploymentObject {
                spec,
                behind: None,
                ..base.object.clone()
            }
        })
    } else {
        let object = base.map(|base| &base.object);
        let context = Context {
            desired,
            observed,
            revision: &declared.revision,
            jobs: index.jobs(model),
            model,
            registered,
            object,
            now,
        };
        let resolved = resolve(declared, &context, policy, &mut decided);
        decided.is_stopped = resolved.is_none();
        resolved.or_else(|| base.map(|base| base.object.clone()))
    };
    if let Some(wanted) = &mut wanted {
        wanted.trust = policy.trust();
        wanted.abort = aborts::of(wanted, base, registered);
        wanted.behind = behind(&decided.findings, &decided.waiting);
    }
    decided.wanted = wanted;
    decided
}

/// Returns the object that keeps a manifest from its model: one whose own manifest may only be unreadable.
fn unreadable_holder<'a>(
    name: &ObjectName,
    model: &ModelName,
    has_object: bool,
    desired: &Desired,
    index: &Index<'a>,
) -> Option<&'a ObjectName> {
    if desired.completeness == Completeness::Complete {
        return None;
    }
    let holders = index.holders(model).iter().map(|(holder, _)| *holder);
    holders
        .filter(|holder| !has_object || *holder > name)
        .rfind(|holder| *holder != name && !desired.deployments.contains_key(*holder))
}

/// What keeps the object from what Git says, for its status.
pub(super) fn behind(findings: &[Finding], waiting: &[Waiting]) -> Option<Behind> {
    let finding = findings.first();
    let stopped =
        finding.map(|finding| Behind::Stopped(cut(&format!("{}: {}", finding.reason, finding.message))));
    stopped.or_else(|| {
        waiting.first().map(|waiting| match waiting {
            Waiting::ForTime { closed, .. } => Behind::Held(cut(&closed.to_string())),
            Waiting::ForVersion { .. }
            | Waiting::ForImport { .. }
            | Waiting::ForTrack { .. }
            | Waiting::ForModel { .. }
            | Waiting::ToLeave { .. } => Behind::Waits(cut(&waiting.to_string())),
        })
    })
}

/// Cuts a text to what is kept on an object.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(BEHIND_LENGTH_MAX).collect()
}

/// Returns the resolved form of the manifest, or `None` where the object stays as it is.
fn resolve(
    declared: &Declared<DeclaredDeployment>,
    context: &Context<'_>,
    policy: &Policy<'_>,
    decided: &mut Decided<'_>,
) -> Option<DeploymentObject> {
    let spec = &declared.spec;
    let mut refusals = Vec::new();
    let mut take = |track, pin: &Pin| {
        let refusal = match context.resolve(pin, spec.engine) {
            Resolution::Resolved(pin) => return Some(pin),
            Resolution::Refused(refusal) => refusal,
            Resolution::Importing { wanted, is_asked } => {
                decided.waiting.push(Waiting::ForImport {
                    deployment: decided.name.clone(),
                    track,
                    version: pin.version.clone(),
                    from: wanted.from.url.clone(),
                });
                if !is_asked {
                    decided.imports.push(Action::Import(wanted));
                }
                return None;
            }
            Resolution::Waiting(job) => {
                let Some(refusal) = context.not_made(&job, &pin.version) else {
                    decided.waiting.push(Waiting::ForVersion {
                        deployment: decided.name.clone(),
                        track,
                        version: pin.version.clone(),
                        job,
                    });
                    return None;
                };
                refusal
            }
        };
        refusals.push((track, refusal));
        None
    };
    let stable = take(Track::Stable, &spec.stable);
    let canary = spec
        .canary
        .as_ref()
        .map(|canary| (take(Track::Canary, &canary.pin), canary));
    if let (Some(stable), Some((Some(canary), _))) = (&stable, &canary)
        && (stable.version == canary.version || stable.digest == canary.digest)
    {
        refusals.push((Track::Canary, same_on_both(stable, canary)));
    }
    if !refusals.is_empty() {
        let findings = refusals
            .into_iter()
            .map(|(track, refusal)| finding(decided.name, declared, track, refusal));
        decided.findings.extend(findings);
        decided.waiting.clear();
        return None;
    }

    let old = context.object;
    // A track that waits keeps what it has; a model that is new waits for its stable.
    let stable = stable.or_else(|| old.map(|old| old.spec.stable.clone()))?;
    let old_canary = old.and_then(|old| old.spec.canary.as_ref());
    let canary = canary.and_then(|(pin, declared)| match pin {
        Some(pin) => Some(Canary {
            pin,
            weight: declared.weight,
            replicas: declared.replicas,
        }),
        None => old_canary
            .filter(|old| !spec.rejected.contains(&old.pin.version))
            .map(|old| Canary {
                pin: old.pin.clone(),
                weight: old.weight.min(declared.weight),
                replicas: declared.replicas,
            }),
    });
    let canary =
        canary.filter(|canary| canary.pin.digest != stable.digest && canary.pin.version != stable.version);
    let Exposed {
        stable,
        canary,
        kept,
        overridden,
    } = expose(policy, declared, context, (stable, canary), decided)?;
    let revision_of = |new: &ResolvedPin, old: Option<(&ResolvedPin, &Revision)>| match old {
        Some((old, revision)) if old.digest == new.digest && !stood_in(declared, revision) => {
            revision.clone()
        }
        Some(_) | None => declared.revision.clone(),
    };
    // A version that is rejected goes on as stable until what is to come instead is there.
    let rejected = spec.rejected.iter().filter(|version| **version != stable.version);
    let rejected = rejected.cloned().collect();
    Some(DeploymentObject {
        stable_revision: revision_of(&stable, old.map(|old| (&old.spec.stable, &old.stable_revision))),
        canary_revision: canary.as_ref().map(|canary| {
            let old = old_canary
                .map(|canary| &canary.pin)
                .zip(old.and_then(|old| old.canary_revision.as_ref()));
            revision_of(&canary.pin, old)
        }),
        spec: ResolvedDeployment {
            model: spec.model.clone(),
            stable,
            replicas: spec.replicas,
            canary,
            autoscaling: spec.autoscaling,
            pod: spec.pod.clone(),
            route: spec.route.clone(),
            engine: spec.engine,
            suspend: None,
            rejected,
            allow_breaking: spec.allow_breaking.clone(),
        },
        revision: declared.revision.clone(),
        abort: None,
        overridden,
        kept,
        trust: None,
        behind: None,
    })
}

/// Says whether a commit stood for the one that is known now.
fn stood_in(declared: &Declared<DeclaredDeployment>, revision: &Revision) -> bool {
    matches!(&declared.dating, Dating::Corrected(former) if former == revision)
}

fn same_on_both(stable: &ResolvedPin, canary: &ResolvedPin) -> Refusal {
    let message = if stable.version == canary.version {
        format!("version {} is pinned on both tracks", stable.version)
    } else {
        let (stable, digest) = (&stable.version, canary.digest.short());
        format!(
            "{stable} and {} are the same artifact ({digest}), pinned on both tracks",
            canary.version
        )
    };
    Refusal {
        reason: Reason::InvalidManifest,
        message,
        hint: "pin another version as canary, or take the canary away".to_owned(),
    }
}

pub(super) fn finding(
    name: &ObjectName,
    declared: &Declared<DeclaredDeployment>,
    track: Track,
    refusal: Refusal,
) -> Finding {
    let Refusal {
        reason,
        message,
        hint,
    } = refusal;
    Finding {
        location: Some(declared.location.clone()),
        reason,
        subject: ObjectId::deployment(name).into(),
        message: format!("{track}: {message}"),
        hint,
    }
}

/// What the object serves that nobody who is trusted has signed: it serves on, and may not load again.
pub(super) fn unsigned(
    name: &ObjectName,
    declared: &Declared<DeclaredDeployment>,
    after: &DeploymentObject,
    signers: &Signers,
) -> Vec<Finding> {
    let Some(signers) = signers.get(&after.spec.model) else {
        return Vec::new();
    };
    let canary = after.spec.canary.as_ref();
    let pins = [
        (Track::Stable, Some(&after.spec.stable)),
        (Track::Canary, canary.map(|canary| &canary.pin)),
    ];
    let pins = pins.into_iter().filter_map(|(track, pin)| Some((track, pin?)));
    let finding = |(track, pin): (Track, &ResolvedPin)| match signers.get(&pin.version)? {
        Signer::Key(_) | Signer::Unknown(_) => None,
        Signer::Nobody(why) => Some(finding(
            name,
            declared,
            track,
            Refusal {
                reason: Reason::VersionUnsigned,
                message: format!("{} is not to be trusted: {why}", pin.version),
                hint: format!("what serves stays as long as it is not loaded again; {TRUST_HINT}"),
            },
        )),
    };
    pins.filter_map(finding).collect()
}

/// The object is as it should be, and a track cannot load its pin. A pin that was replaced since does not count.
pub(super) fn load_failed(
    name: &ObjectName,
    declared: &Declared<DeclaredDeployment>,
    before: Option<&ObservedDeployment>,
) -> Vec<Finding> {
    let Some((spec, status)) = before.and_then(|b| Some((&b.object.spec, b.status.as_ref()?))) else {
        return Vec::new();
    };
    let pins = PerTrack {
        stable: Some(&spec.stable),
        canary: spec.canary.as_ref().map(|canary| &canary.pin),
    };
    let finding = |(track, (pin, retry)): (Track, (Option<&ResolvedPin>, &Option<Retry>))| {
        let retry = retry.as_ref().filter(|retry| Some(&retry.pin) == pin);
        retry.map(|retry| Finding {
            location: Some(declared.location.clone()),
            reason: Reason::LoadFailed,
            subject: ObjectId::deployment(name).into(),
            message: retry.describe(track),
            hint: "what serves stays, and it is tried again; pin a version that loads".to_owned(),
        })
    };
    pins.zip(status.retry.as_ref())
        .into_iter()
        .filter_map(finding)
        .collect()
}
