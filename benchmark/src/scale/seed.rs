//! A registry of many models of which one was trained: the others are its versions with other names and numbers.
//!
//! Ten thousand training runs take most of an hour. What is published here is what the trainer would have published but for
//! the fit: each version has its own artifact, example and inputs hash, and goes through the registry's own `publish`.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use planner::identity::inputs_hash;
use planner::names::{Digest, ModelName, Track, Version};
use planner::training::{Holdout, Training};
use registry::artifact::{Graph, Limits, Model, encode};
use registry::metadata::{Labels, VersionMetadata};
use registry::{Draft, Reference, Store};

use super::Say;
use super::fleet::{self, CANARY, STABLE};

/// How many versions are published at a time: each waits for the disk.
const WRITERS: usize = 8;
/// How much one model's first intercept differs from the next one's.
const STEP: f64 = 1e-4;
/// How much the second intercept of a canary differs from that of its stable.
const OTHER: f64 = 0.1;

/// A trained version, to be published under other names.
#[derive(Debug)]
struct Pattern {
    metadata: VersionMetadata,
    training: Training,
    track: Track,
}

/// Publishes what the manifests of models `1..models` pin, after the pattern of model 0, which is trained.
pub(crate) fn publish(registry: &Path, models: usize, say: Say<'_>) -> Result<()> {
    let store = Store::open(registry)?;
    let stable = Pattern::read(&store, Track::Stable, STABLE)?;
    let canary = Pattern::read(&store, Track::Canary, CANARY)?;
    let canaries = fleet::canaries(models);
    let done = AtomicUsize::new(1);
    let publish = |share: Range<usize>| -> Result<()> {
        for index in share {
            store.publish(stable.draft(index)?)?;
            if canaries.contains(&index) {
                store.publish(canary.draft(index)?)?;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writers: Vec<_> = shares(1..models, WRITERS)
            .into_iter()
            .map(|share| scope.spawn(|| publish(share)))
            .collect();
        let mut turns = 0_u32;
        while writers.iter().any(|writer| !writer.is_finished()) {
            thread::sleep(Duration::from_millis(100));
            turns += 1;
            if turns.is_multiple_of(100) {
                say(&format!(
                    "{} of {models} models published",
                    done.load(Ordering::Relaxed)
                ));
            }
        }
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

impl Pattern {
    fn read(store: &Store, track: Track, version: &str) -> Result<Self> {
        let model: ModelName = fleet::model_name(0).parse()?;
        let version: Version = version.parse()?;
        let entry = store.resolve(&model, &Reference::Version(version.clone()))?;
        let run = store
            .run(&model, &version)?
            .context("no run of the trained model")?;
        let request = run.request()?.context("the run has no request")?;
        Ok(Self {
            metadata: entry.metadata,
            training: request.training,
            track,
        })
    }

    /// Returns the version of another model: as its job declares it, with numbers of its own.
    fn draft(&self, index: usize) -> Result<Draft> {
        let name = fleet::model_name(index);
        let mut training = self.training.clone();
        training.model = name.parse()?;
        let rows = training
            .rows
            .as_mut()
            .context("the trained model's job has no rows")?;
        rows.evaluation.holdout = Holdout::Percent {
            percent: fleet::HOLDOUT_PERCENT,
            seed: index as u64,
        };
        let artifact = encode(&graph(index, self.track));
        let model = Model::read(&artifact, &Limits::default())?;
        let mut metadata = self.metadata.clone();
        metadata.model_name = training.model.clone();
        metadata.inputs_hash = Some(inputs_hash(&training));
        metadata.artifact.digest = Digest::of(&artifact);
        metadata.artifact.bytes = artifact.len() as u64;
        let predicted = model.predict_cells(&metadata.example.inputs)?;
        metadata.example.prediction = predicted.numbers().to_vec();
        Ok(Draft { metadata, artifact })
    }
}

/// Returns a model of the four features and three classes of `builtin:iris`, whose artifact differs from that of every other
/// index and track.
#[expect(clippy::cast_precision_loss, reason = "an index of some ten thousand")]
fn graph(index: usize, track: Track) -> Graph {
    let other = match track {
        Track::Stable => 0.0,
        Track::Canary => OTHER,
    };
    let labels = ["setosa", "versicolor", "virginica"].map(str::to_owned);
    Graph::Logistic {
        weights: vec![-0.4, 0.5, -0.1, 0.9, -0.3, -0.6, -2.3, -0.2, 2.5, -1.0, -0.9, 1.9],
        intercepts: vec![9.0 + index as f64 * STEP, 2.0 + other, -11.0],
        labels: Labels::Words(labels.to_vec()),
    }
}

/// Cuts a range into `count` parts of about the same length.
fn shares(range: Range<usize>, count: usize) -> Vec<Range<usize>> {
    let cut = |part: usize| range.start + range.len() * part / count;
    (0..count).map(|part| cut(part)..cut(part + 1)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shares_cover_a_range_once() {
        let check = |range: Range<usize>, count, expect: &[Range<usize>]| {
            assert_eq!(shares(range, count), expect);
        };
        check(1..10, 2, &[1..5, 5..10]);
        check(1..2, 3, &[1..1, 1..1, 1..2]);
        check(1..1, 2, &[1..1, 1..1]);
    }

    #[test]
    fn no_two_versions_have_the_same_artifact() {
        let digest = |index, track| Digest::of(&encode(&graph(index, track)));
        let digests: BTreeSet<_> = (0..100)
            .flat_map(|index| Track::ALL.map(|track| digest(index, track)))
            .collect();
        assert_eq!(digests.len(), 200);
    }
}
