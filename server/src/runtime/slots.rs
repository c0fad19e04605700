//! One model's slots: the snapshot that a request reads, and what a slot holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use planner::names::{Digest, ModelName, Revision, Track, Version, Weight};
use planner::per_track::PerTrack;
use registry::artifact::{FOREIGN_TEXT_BYTES_MAX, Inputs};
use registry::metadata::{Cell, Example, Labels, VersionMetadata};

use super::columns::RawColumns;
use super::lane::Lane;
use super::split;
use super::{Choice, NoSlot};
use crate::http::reply::JSON;
use crate::metrics::{Codes, Routed, SlotLabels, SlotMeters};

/// The header that asks for a track, and says of an answer which one gave it.
pub(crate) const TRACK_HEADER: HeaderName = HeaderName::from_static("aurora-track");
const VERSION_HEADER: HeaderName = HeaderName::from_static("aurora-model-version");
const DIGEST_HEADER: HeaderName = HeaderName::from_static("aurora-model-digest");
const REVISION_HEADER: HeaderName = HeaderName::from_static("aurora-revision");

/// How many rows a load evaluates to learn what a row costs.
const MEASURED_ROWS: usize = 16;

/// One registered model: its slots and the counter of its split.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: ModelName,
    snapshot: ArcSwap<Snapshot>,
    /// How many requests the split has routed.
    routed: AtomicU64,
    /// Counts the requests that named it and that no slot took.
    pub(crate) unrouted: Arc<Codes>,
}

impl Model {
    pub(super) fn new(name: ModelName, unrouted: Arc<Codes>) -> Self {
        Self {
            name,
            unrouted,
            snapshot: ArcSwap::default(),
            routed: AtomicU64::new(0),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(super) fn store(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Chooses who answers a request, once it is parsed and admitted. Only requests of the split advance its counter.
    pub(crate) fn route(&self, choice: &Choice) -> Result<(Arc<Loaded>, Routed), NoSlot> {
        let snapshot = self.snapshot.load();
        if choice.is_split() {
            let n = self.routed.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let canary = split::to_canary(n, snapshot.weight);
            let chosen = snapshot.canary.as_ref().filter(|_| canary);
            return match chosen.or(snapshot.stable.as_ref()) {
                Some(loaded) => Ok((loaded.clone(), Routed::Split)),
                None => Err(NoSlot::NotReady),
            };
        }
        snapshot
            .explicit(choice)
            .map(|loaded| (loaded.clone(), Routed::Explicit))
    }
}

/// What a model's requests see: never half of a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) stable: Option<Arc<Loaded>>,
    pub(crate) canary: Option<Arc<Loaded>>,
    /// 0 while the canary's slot is empty.
    pub(crate) weight: Weight,
}

impl Snapshot {
    pub(crate) fn slot(&self, track: Track) -> Option<&Arc<Loaded>> {
        match track {
            Track::Stable => self.stable.as_ref(),
            Track::Canary => self.canary.as_ref(),
        }
    }

    pub(super) fn slot_mut(&mut self, track: Track) -> &mut Option<Arc<Loaded>> {
        match track {
            Track::Stable => &mut self.stable,
            Track::Canary => &mut self.canary,
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.stable.is_some() || self.canary.is_some()
    }

    /// Returns what is loaded, stable first.
    pub(crate) fn loaded(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        [&self.stable, &self.canary].into_iter().flatten()
    }

    /// Finds the slot that a request named.
    pub(crate) fn explicit(&self, choice: &Choice) -> Result<&Arc<Loaded>, NoSlot> {
        let version = |slot| Option::map(slot, |loaded: &Arc<Loaded>| loaded.version_text.as_str());
        let track = choice.explicit(&PerTrack {
            stable: version(self.stable.as_ref()),
            canary: version(self.canary.as_ref()),
        })?;
        self.slot(track).ok_or(NoSlot::Track(track))
    }
}

/// What a slot was loaded with, as far as answers need it; shared when only the revision changes.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) labels: SlotLabels,
    pub(crate) digest: Digest,
    pub(crate) model: registry::artifact::Model,
    /// What raw rows become its features by.
    pub(crate) columns: RawColumns,
    /// What a request may look like.
    pub(crate) example: Example,
    /// What the longest label takes in an answer.
    pub(crate) label_bytes_max: usize,
    /// What the longest text that it knows does.
    pub(crate) text_bytes_max: usize,
    /// What one row takes, measured when it was loaded.
    row_cost: Duration,
    /// Where it is evaluated, if another process does it.
    pub(crate) lane: Option<Lane>,
}

impl Slot {
    pub(super) fn new(
        labels: SlotLabels,
        digest: Digest,
        model: registry::artifact::Model,
        metadata: Arc<VersionMetadata>,
    ) -> Self {
        let row_cost = measure(&model, &metadata.example.inputs);
        // Sketches, metrics and lineage are several times what is served.
        let VersionMetadata { example, .. } = Arc::unwrap_or_clone(metadata);
        Self {
            label_bytes_max: model.labels().map_or(0, label_bytes_max),
            text_bytes_max: text_bytes_max(&model),
            columns: RawColumns::of(&model.signature().features),
            lane: model.is_foreign().then(Lane::start),
            labels,
            digest,
            model,
            example,
            row_cost,
        }
    }

    /// Estimates what evaluating `rows` rows takes.
    pub(crate) fn cost(&self, rows: usize) -> Duration {
        self.row_cost
            .saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX))
    }
}

/// Returns what the longest label takes as JSON.
fn label_bytes_max(labels: &Labels) -> usize {
    /// Digits and sign of a whole number of 64 bits.
    const WHOLE_BYTES: usize = 20;
    match labels {
        Labels::Numbers(_) => WHOLE_BYTES,
        Labels::Words(labels) => labels
            .iter()
            .map(|label| written(label))
            .max()
            .unwrap_or_default(),
    }
}

/// Returns what the longest text takes as JSON that a model may give.
fn text_bytes_max(model: &registry::artifact::Model) -> usize {
    let Some(program) = model.program() else {
        return FOREIGN_TEXT_BYTES_MAX * 6 + 2;
    };
    let texts = program.texts().map(String::from_utf8_lossy);
    texts.map(|text| written(&text)).max().unwrap_or_default()
}

/// Returns what a text takes as JSON.
fn written(text: &str) -> usize {
    serde_json::to_string(text).map_or(text.len() * 6 + 2, |json| json.len())
}

/// Evaluates the example a few times: warms the model up and tells what a row costs.
fn measure(model: &registry::artifact::Model, example: &[Cell]) -> Duration {
    let Inputs { buffers, mut symbols } = model
        .inputs(
            &std::iter::repeat_n(example, MEASURED_ROWS)
                .flatten()
                .cloned()
                .collect::<Vec<_>>(),
        )
        .expect("invariant: what is loaded predicts its example");
    let mut once = || {
        let start = Instant::now();
        // What another process does not answer now takes no time.
        drop(std::hint::black_box(model.answer(
            &buffers,
            MEASURED_ROWS,
            &mut symbols,
        )));
        start.elapsed()
    };
    let fastest = (0..3).map(|_| once()).min().unwrap_or_default();
    fastest / u32::try_from(MEASURED_ROWS).unwrap_or(1)
}

/// A slot's content with everything that an answer of it carries, made once.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) slot: Arc<Slot>,
    pub(crate) meters: Arc<SlotMeters>,
    pub(crate) version_text: String,
    /// The headers of an answer of JSON that say who answered.
    pub(crate) headers: HeaderMap,
}

impl Loaded {
    pub(super) fn new(slot: Arc<Slot>, revision: &Revision, meters: Arc<SlotMeters>) -> Self {
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("invariant: versions, digests and revisions are visible ASCII")
        };
        let version_text = slot.labels.version.to_string();
        let headers = [
            (CONTENT_TYPE, JSON),
            (VERSION_HEADER, value(&version_text)),
            (DIGEST_HEADER, value(&slot.digest.to_string())),
            (TRACK_HEADER, HeaderValue::from_static(slot.labels.track.as_str())),
            (REVISION_HEADER, value(revision.as_str())),
        ];
        Self {
            headers: headers.into_iter().collect(),
            version_text,
            slot,
            meters,
        }
    }

    /// Returns the same model under another revision.
    pub(super) fn at(&self, revision: &Revision) -> Self {
        Self::new(self.slot.clone(), revision, self.meters.clone())
    }

    pub(crate) fn version(&self) -> &Version {
        &self.slot.labels.version
    }
}
