//! What each MLDeployment object becomes.

use std::sync::Arc;

use super::index::Index;
use super::pins::{Context, Refusal, Resolution};
use super::{Action, Waiting, aborts};
use crate::Timestamp;
use crate::deployment::{Canary, DeclaredDeployment, Pin, ResolvedDeployment, ResolvedPin};
use crate::desired::{Completeness, Declared, Desired};
use crate::finding::{Finding, Reason};
use crate::names::{ModelName, ObjectName, Revision, Track};
use crate::object::ObjectId;
use crate::observed::{DeploymentObject, Observed, ObservedDeployment, ObservedModel};
use crate::per_track::PerTrack;
use crate::rollout::Retry;

/// What was decided about one manifest.
pub(super) struct Decided<'a> {
    pub(super) name: &'a ObjectName,
    /// The object as it is.
    pub(super) before: Option<&'a ObservedDeployment>,
    /// The object as it will be.
    pub(super) after: Option<DeploymentObject>,
    pub(super) put: Option<Action>,
    pub(super) findings: Vec<Finding>,
    pub(super) waiting: Vec<Waiting>,
}

impl Decided<'_> {
    /// Returns the model that the object will serve.
    pub(super) fn model(&self) -> Option<&ModelName> {
        self.after.as_ref().map(|after| &after.spec.model)
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
pub(super) fn decide<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
    index: &Index<'a>,
    now: Timestamp,
) -> Vec<Decided<'a>> {
    let decide = |(name, declared)| one(name, declared, desired, observed, index, now);
    desired.deployments.iter().map(decide).collect()
}

fn one<'a>(
    name: &'a ObjectName,
    declared: &Declared<DeclaredDeployment>,
    desired: &'a Desired,
    observed: &'a Observed,
    index: &Index<'a>,
    now: Timestamp,
) -> Decided<'a> {
    let model = &declared.spec.model;
    let before = observed.deployments.get(name);
    let mut decided = Decided {
        name,
        before,
        after: None,
        put: None,
        findings: Vec::new(),
        waiting: Vec::new(),
    };
    let own = before.filter(|before| before.object.spec.model == *model);
    let base = match (own, index.holder(model, name)) {
        (Some(own), _) => Some(own),
        (None, None) => None,
        (None, Some((holder, base))) => {
            let leaves =
                desired.completeness == Completeness::Complete && !desired.deployments.contains_key(holder);
            if !leaves {
                decided.waiting.push(Waiting::ForModel {
                    deployment: name.clone(),
                    model: model.clone(),
                    holder: holder.clone(),
                });
                decided.after = before.map(|before| before.object.clone());
                return decided;
            }
            // A renamed manifest: the new object goes on where the old one, which is removed after it, leaves off.
            Some(base)
        }
    };
    let nothing = ObservedModel::default();
    let registered = observed.models.get(model).map_or(&nothing, Arc::as_ref);
    let mut after = if let Some(reason) = &declared.spec.suspend {
        own.map(|own| {
            let spec = ResolvedDeployment {
                suspend: Some(reason.clone()),
                ..own.object.spec.clone()
            };
            DeploymentObject {
                spec,
                ..own.object.clone()
            }
        })
        .or_else(|| before.map(|before| before.object.clone()))
    } else {
        let object = base.map(|base| &base.object);
        let context = Context {
            desired,
            observed,
            jobs: index.jobs(model),
            model,
            registered,
            object,
            now,
        };
        resolve(declared, &context, &mut decided).or_else(|| before.map(|before| before.object.clone()))
    };
    if let Some(after) = &mut after {
        let is_turned = after.spec.model == *model;
        let base = if is_turned { base } else { before };
        let registered = observed
            .models
            .get(&after.spec.model)
            .map_or(&nothing, Arc::as_ref);
        after.abort = aborts::of(after, base, registered);
    }
    if after.as_ref() != before.map(|before| &before.object) {
        decided.put = after.clone().map(|object| Action::PutDeployment {
            name: name.clone(),
            from: before.map(|before| Box::new(before.object.clone())),
            object: Box::new(object),
        });
    } else if decided.findings.is_empty() && declared.spec.suspend.is_none() {
        decided.findings.extend(load_failed(name, declared, before));
    }
    decided.after = after;
    decided
}

/// Returns the resolved form of the manifest, or `None` where the object stays as it is.
fn resolve(
    declared: &Declared<DeclaredDeployment>,
    context: &Context<'_>,
    decided: &mut Decided<'_>,
) -> Option<DeploymentObject> {
    let spec = &declared.spec;
    let mut refusals = Vec::new();
    let mut take = |track, pin: &Pin| {
        let refusal = match context.resolve(pin) {
            Resolution::Resolved(pin) => return Some(pin),
            Resolution::Refused(refusal) => refusal,
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
        .map(|canary| (take(Track::Canary, &canary.pin), canary.weight));
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
    let canary = canary.and_then(|(pin, weight)| match pin {
        Some(pin) => Some(Canary { pin, weight }),
        None => old_canary.map(|old| Canary {
            pin: old.pin.clone(),
            weight: old.weight.min(weight),
        }),
    });
    let canary =
        canary.filter(|canary| canary.pin.digest != stable.digest && canary.pin.version != stable.version);
    let revision_of = |new: &ResolvedPin, old: Option<(&ResolvedPin, &Revision)>| match old {
        Some((old, revision)) if old.digest == new.digest => revision.clone(),
        Some(_) | None => declared.revision.clone(),
    };
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
            canary,
            suspend: None,
        },
        revision: declared.revision.clone(),
        abort: None,
    })
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

fn finding(
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

/// The object is as it should be, and a track cannot load its pin. A pin that was replaced since does not count.
fn load_failed(
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
