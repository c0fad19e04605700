//! `/status/models/{model}`: all that is known of one model.

use std::time::Instant;

use crds::status::{FindingStatus, TrackStatus, WaitStatus};
use crds::view::{ModelRow, ModelView};
use crds::{MLDeployment, MLTrainingJob};
use planner::Timestamp;
use planner::names::{Digest, ModelName, Track, Version};
use planner::observed::ObservedAlias;
use registry::metadata::VersionMetadata;
use registry::{Event, HistoryEntry, Reference, Store, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::models::failure;
use super::snapshot::Seen;
use crate::http::reply::Failure;
use crate::metrics::{Metrics, SlotLabels, Traffic};

/// How many of the newest entries of its history a model shows.
const HISTORY_SHOWN: usize = 50;

/// All that is known of one model.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Detail<'a> {
    #[schemars(with = "String")]
    model: &'a ModelName,
    /// As it stands at a glance.
    summary: ModelRow,
    /// The objects that serve it, or are to.
    deployments: Vec<&'a MLDeployment>,
    /// The jobs that make its versions.
    trainings: Vec<&'a MLTrainingJob>,
    /// What is wrong with its manifests and objects.
    findings: Vec<&'a FindingStatus>,
    /// What it waits for.
    waits: Vec<&'a WaitStatus>,
    /// What its stable alias names; `null` where nobody can say since when.
    stable: Option<Stable>,
    /// What the registry has recorded of what each track serves.
    tracks: Tracks<Box<VersionMetadata>>,
    /// What the process that answers here served on each track over the last minute; `null` where it does not serve it.
    traffic: Tracks<Traffic>,
    /// The newest 50 entries of the registry's, the oldest first.
    history: Vec<HistoryEntry>,
    /// What keeps the state from being written down.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trouble: &'a [String],
}

/// What the stable alias names, and since when it has named that artifact.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Stable {
    #[schemars(with = "String")]
    version: Version,
    #[schemars(with = "String")]
    digest: Digest,
    #[schemars(with = "String")]
    since: Timestamp,
}

/// Something of each track; `null` where it serves nothing, or nothing is known.
#[derive(Debug, Serialize, JsonSchema)]
struct Tracks<T> {
    stable: Option<T>,
    canary: Option<T>,
}

impl<T> Tracks<T> {
    /// Finds it by what each track serves.
    fn of(summary: &ModelRow, find: impl Fn(Track, &TrackStatus) -> Option<T>) -> Self {
        let find = |track, serves: &Option<TrackStatus>| find(track, serves.as_ref()?);
        Self {
            stable: find(Track::Stable, &summary.stable),
            canary: find(Track::Canary, &summary.canary),
        }
    }
}

/// Finds what concerns one model. What its stable alias names, and since when, its versions and its history are the
/// registry's word.
pub(super) fn detail<'a>(
    seen: &'a Seen,
    store: &Store,
    metrics: &Metrics,
    model: &'a ModelName,
) -> Result<Detail<'a>, Failure> {
    let (view, unknown, trouble) = match seen {
        Seen::Environment { error: Some(why), .. } => return Err(Failure::unavailable(why.clone())),
        Seen::Environment {
            view,
            unknown,
            trouble,
            error: None,
        } => (view, unknown, trouble),
        Seen::Process(_) => {
            return Err(Failure::not_found(
                "this process looks at no models: ask the control plane".to_owned(),
            ));
        }
    };
    let found = view
        .model(model.as_str(), unknown.as_deref())
        .ok_or_else(|| Failure::not_found(format!("the environment has no model {model}")))?;
    let summary = found.row(model.as_str());
    let ModelView {
        trainings,
        findings,
        waits,
        ..
    } = found;
    let recorded = |_track, serves: &TrackStatus| {
        let version = Reference::Version(serves.version.clone());
        let entry = store.resolve(model, &version).ok()?;
        Some(Box::new(entry.metadata))
    };
    let now = Instant::now();
    let answered = |track, serves: &TrackStatus| {
        let labels = SlotLabels {
            model: model.clone(),
            version: serves.version.clone(),
            track,
        };
        metrics.traffic(&labels, now)
    };
    Ok(Detail {
        model,
        deployments: view
            .deployments
            .values()
            .map(AsRef::as_ref)
            .filter(|deployment: &&MLDeployment| deployment.spec.model_name == *model)
            .collect(),
        trainings,
        findings,
        waits,
        stable: stable(store, model).map_err(failure)?,
        tracks: Tracks::of(&summary, recorded),
        traffic: Tracks::of(&summary, answered),
        summary,
        history: store.history(model, HISTORY_SHOWN).map_err(failure)?,
        trouble,
    })
}

/// Says which version the stable alias names, and since when it has named that artifact, where anybody can say.
fn stable(store: &Store, model: &ModelName) -> Result<Option<Stable>, StoreError> {
    let Some(ObservedAlias::To(version)) = store.aliases(model)?.remove(&Track::Stable) else {
        return Ok(None);
    };
    let history = store.history(model, usize::MAX)?;
    let mut changes = history
        .iter()
        .rev()
        .filter(|entry| entry.alias == Track::Stable && entry.event != Event::Aborted);
    let newest = changes.next().filter(|entry| entry.to.as_ref() == Some(&version));
    let Some((newest, digest)) = newest.and_then(|entry| Some((entry, entry.digest?))) else {
        return Ok(None);
    };
    // Where somebody moved it and it was moved back, it left.
    let before = changes.take_while(|entry| entry.to.is_some() && entry.digest == Some(digest));
    let since = before.last().unwrap_or(newest).at;
    Ok(Some(Stable {
        version,
        digest,
        since,
    }))
}
