//! What an environment's word on raises asks for: what versions are like, and whether a commit overrides a window. Reads,
//! decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;
use planner::deployment::{DeclaredDeployment, Pin};
use planner::desired::{Declared, Desired};
use planner::endpoint::Endpoint;
use planner::gates::{Facts, Promoted, PromotionOrder, Tracks};
use planner::names::{Digest, EnvironmentName, ModelName, Revision, Version};
use planner::observed::{Observed, ObservedVersion};
use planner::plan::whose_word;
use planner::trust::{ModelPolicy, Signer, Signers, Trust};
use planner::window;
use registry::{Reference, Store};
use signing::VerifyingKey;

use crate::observe::Decidable;
use crate::resolve::stable::{Question, stable_since};
use crate::source::{ENVIRONMENTS, Source};
use crate::upstream::Known;
use crate::zones::Zones;

/// The trailer by which a commit overrides windows; its value is the reason.
pub const OVERRIDE_TRAILER: &str = "Aurora-Window-Override";

/// Reads what is asked for of the models whose pins change. What cannot be read stays unknown.
pub(crate) fn look(
    decidable: &mut Decidable,
    store: &Store,
    source: &Source,
    zones: &mut Zones,
    ask: &mut dyn FnMut(&Endpoint, &ModelName) -> Known,
    now: Timestamp,
) {
    let Decidable {
        desired, observed, ..
    } = decidable;
    zones.read_all(desired);
    if let Some(last) = &mut observed.environment {
        zones.read_windows(last);
    }
    let counting = whose_word(desired, observed).clone();
    let is_closed = window::closed(&counting.windows, now).is_some();
    observed.signers = signers(desired, observed, &counting.models, store);
    if counting.gates.is_none() && counting.promotion.is_none() && !is_closed {
        return;
    }
    let mut promoted = BTreeMap::new();
    let mut facts: BTreeMap<ModelName, Facts> = BTreeMap::new();
    let mut overrides: BTreeMap<Revision, String> = BTreeMap::new();
    let mut asked: BTreeSet<&Revision> = BTreeSet::new();
    let mut serving: BTreeMap<&ModelName, Vec<Tracks>> = BTreeMap::new();
    for found in observed.deployments.values() {
        let spec = &found.object.spec;
        serving.entry(&spec.model).or_default().push(Tracks::from(spec));
    }
    for declared in desired.deployments.values() {
        let before = serving.remove(&declared.spec.model).unwrap_or_default();
        let Some(versions) = changing(&declared.spec, before, observed) else {
            continue;
        };
        if counting.gates.is_some() {
            let known = self::facts(store, &declared.spec.model, &versions);
            facts.insert(declared.spec.model.clone(), known);
        }
        if let Some(order) = &counting.promotion {
            let digest = |version: &Version| {
                let registered = observed.models.get(&declared.spec.model)?;
                match registered.versions.get(version)? {
                    ObservedVersion::Sound { digest, .. } => Some(*digest),
                    ObservedVersion::Damaged(_) => None,
                }
            };
            let commit = Commit {
                source,
                head: &desired.revision,
                now,
            };
            let known = self::promoted(commit, declared, &counting.name, order, &digest, ask);
            promoted.insert(declared.spec.model.clone(), known);
        }
        if is_closed && asked.insert(&declared.revision) {
            match source.trailer(&declared.revision, OVERRIDE_TRAILER) {
                Ok(reason) => overrides.extend(reason.map(|reason| (declared.revision.clone(), reason))),
                Err(error) => {
                    tracing::warn!(revision = %declared.revision, %error, "cannot read whether a commit overrides windows; it does not, so far");
                }
            }
        }
    }
    desired.promoted = promoted;
    observed.facts = facts;
    desired.overrides = overrides;
}

/// Asks who signed the versions that manifests pin or objects serve, where somebody must have.
fn signers(desired: &Desired, observed: &Observed, policy: &ModelPolicy, store: &Store) -> Signers {
    let Some(trust) = policy.trust() else {
        return Signers::new();
    };
    let keys = VerifyingKey::usable(&trust.keys);
    let mut signers = Signers::new();
    let declared = desired.deployments.values();
    let declared = declared.map(|declared| (&declared.spec.model, Tracks::from(&declared.spec)));
    let served = observed.deployments.values();
    let served = served.map(|found| (&found.object.spec.model, Tracks::from(&found.object.spec)));
    for (model, tracks) in declared.chain(served) {
        let of_model = signers.entry(model.clone()).or_default();
        for version in pinned(tracks) {
            of_model
                .entry(version)
                .or_insert_with_key(|version| signer(store, model, version, &keys));
        }
    }
    signers
}

/// Asks who signed the versions that a model's tracks are to serve.
pub(crate) fn signers_of(
    trust: &Trust,
    store: &Store,
    model: &ModelName,
    tracks: Tracks,
) -> BTreeMap<Version, Signer> {
    let keys = VerifyingKey::usable(&trust.keys);
    let signed = |version: Version| {
        let signer = signer(store, model, &version, &keys);
        (version, signer)
    };
    pinned(tracks).map(signed).collect()
}

fn pinned(tracks: Tracks) -> impl Iterator<Item = Version> {
    let canary = tracks.canary.map(|(pin, _weight)| pin.version);
    std::iter::once(tracks.stable.version).chain(canary)
}

fn signer(store: &Store, model: &ModelName, version: &Version, keys: &[VerifyingKey]) -> Signer {
    let entry = store.resolve(model, &Reference::Version(version.clone()));
    match entry.and_then(|entry| store.signer(&entry, keys)) {
        Ok(Ok(key)) => Signer::Key(key.id().short().to_owned()),
        Ok(Err(why)) => Signer::Nobody(why.to_string()),
        // What is not there, or damaged, has its own finding.
        Err(error) => Signer::Unknown(error.to_string()),
    }
}

/// Returns the versions that anything is asked of where what a model's tracks serve is to change; `None` where it is not.
fn changing(
    spec: &DeclaredDeployment,
    before: Vec<Tracks>,
    observed: &Observed,
) -> Option<BTreeSet<Version>> {
    let after = Tracks::from(spec);
    let is_same = |before: &Tracks| {
        let raises = planner::gates::raises(Some(before), &after, &[], |_| false);
        raises.stable.is_none() && raises.canary.is_none()
    };
    if !before.is_empty() && before.iter().all(is_same) {
        return None;
    }
    let recorded = observed.models.get(&spec.model).into_iter();
    let recorded = recorded.flat_map(|registered| registered.recorded.values().cloned());
    let versions = before.into_iter().chain([after]).flat_map(|tracks| {
        let canary = tracks.canary.map(|(pin, _)| pin.version);
        std::iter::once(tracks.stable.version).chain(canary)
    });
    Some(versions.chain(recorded).collect())
}

fn facts(store: &Store, model: &ModelName, versions: &BTreeSet<Version>) -> Facts {
    let known = versions
        .iter()
        .filter_map(|version| match store.record(model, version) {
            Ok(record) => record.map(|record| (version.clone(), record.facts())),
            Err(error) => {
                tracing::warn!(%model, %version, %error, "cannot read what gates ask of a version");
                None
            }
        });
    known.collect()
}

/// The commit at which it is asked what an environment declares, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) source: &'a Source,
    pub(crate) head: &'a Revision,
    pub(crate) now: Timestamp,
}

/// Asks the environment that versions come through about what a manifest pins: Git, and its own control plane by `ask` where
/// it is named.
pub(crate) fn promoted(
    Commit { source, head, now }: Commit<'_>,
    declared: &Declared<DeclaredDeployment>,
    environment: &EnvironmentName,
    order: &PromotionOrder,
    digest: &dyn Fn(&Version) -> Option<Digest>,
    ask: &mut dyn FnMut(&Endpoint, &ModelName) -> Known,
) -> BTreeMap<Version, Promoted> {
    let Declared { spec, location, .. } = declared;
    let folder = format!("{ENVIRONMENTS}/{environment}/");
    let near = location.file.strip_prefix(&folder).unwrap_or_default();
    let enough = order.soak.map_or(now, |soak| now - soak.duration());
    let canary = spec.canary.as_ref().map(|canary| &canary.pin);
    let status = order.status.as_ref();
    let served = status.map(|at| (at, ask(at, &spec.model)));
    let judge = |pin: &Pin| {
        let pin = Pin {
            version: pin.version.clone(),
            digest: pin.digest.or_else(|| digest(&pin.version)),
        };
        let question = Question {
            from: &order.from,
            model: &spec.model,
            pin: &pin,
            near,
            is_asked_too: status.is_some(),
            enough,
        };
        let promoted = stable_since(source, head, question).unwrap_or_else(|error| {
            tracing::warn!(model = %spec.model, from = %order.from, %error, "cannot read what an environment serves");
            Promoted::Unknown(error.to_string())
        });
        let promoted = match &served {
            None => promoted,
            Some((_, None)) => promoted.and(Promoted::Asked),
            Some((_, Some(Ok(served)))) => promoted.and(served.of(&pin)),
            Some((at, Some(Err(why)))) => {
                promoted.and(Promoted::Unknown(format!("{at} does not say: {why}")))
            }
        };
        (pin.version, promoted)
    };
    [Some(&spec.stable), canary]
        .into_iter()
        .flatten()
        .map(judge)
        .collect()
}
