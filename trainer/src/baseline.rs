//! The pinned stable, scored on the new holdout: what the new version is compared with.
//!
//! A baseline that is missing, damaged or made for other columns is none; it never stops a run.

use std::collections::{BTreeMap, BTreeSet};

use planner::training::{Feature, Metric, Target};
use registry::artifact::{self, Engines, Model};
use registry::metadata::{Baseline, Signature};
use registry::run::RunRequest;
use registry::{Entry, Reference, Store};

use crate::dataset::{RawTarget, Table};
use crate::features::{self, Answers, Layout, Rows};
use crate::metrics::measure;

/// Says whether a version predicts this target, in its unit. A version that does not record column and divisor is taken
/// to predict what its unit says.
fn predicts(signature: &Signature, target: &Target) -> bool {
    let is_same_column = match &signature.target_column {
        None => true,
        Some(column) => *column == target.column && signature.target_divide_by == target.divide_by,
    };
    is_same_column && signature.target_unit == target.unit
}

/// A loaded stable version.
#[derive(Debug)]
pub(crate) struct Stable {
    entry: Entry,
    model: Model,
}

impl Stable {
    /// Loads the version that the request names, if it can be.
    pub(crate) fn load(store: &Store, request: &RunRequest, engines: &Engines) -> Option<Self> {
        let version = request
            .baseline
            .as_ref()
            .filter(|version| **version != request.version)?;
        let reference = Reference::Version(version.clone());
        let loaded = store
            .resolve(&request.model, &reference)
            .map_err(artifact::LoadError::from)
            .and_then(|entry| {
                let model = artifact::load(store, &entry, engines)?;
                Ok(Self { entry, model })
            });
        loaded
            .inspect_err(|error| {
                tracing::warn!(%version, %error, "the baseline cannot be loaded; the run goes on without");
            })
            .ok()
    }

    /// Returns the raw columns that it needs.
    pub(crate) fn raw_columns(&self) -> BTreeSet<String> {
        let features = self.entry.metadata.signature.features.iter();
        features.flat_map(features::raw_columns).cloned().collect()
    }

    /// Returns the model, and the features that it takes.
    pub(crate) fn taken(&self) -> (&Model, &[Feature]) {
        (&self.model, &self.entry.metadata.signature.features)
    }

    /// Scores it on the held-out rows of `table`; `None` where its columns, kind, unit or labels do not fit.
    pub(crate) fn score(
        &self,
        table: &Table,
        held_out: &[usize],
        layout: &Layout,
        new: &Rows,
    ) -> Option<Baseline> {
        let signature = &self.entry.metadata.signature;
        let fits = self
            .raw_columns()
            .iter()
            .all(|column| table.columns.contains_key(column) || table.texts.contains_key(column));
        if !fits || !predicts(signature, &layout.target) {
            return None;
        }
        let answers = match (&new.answers, &table.target, self.model.labels()) {
            (Answers::Numbers(numbers), _, None) => Answers::Numbers(numbers.clone()),
            (Answers::Classes { .. }, RawTarget::Labels(raw), Some(labels)) => Answers::Classes {
                index: features::classes(raw, held_out, labels),
                labels: labels.clone(),
            },
            _ => return None,
        };
        let cells = features::cells(table, held_out, &signature.features, &self.model).ok()?;
        let metrics = measure(&self.model.predict_cells(&cells).ok()?, &answers)?;
        metrics.values().all(|value| value.is_finite()).then(|| Baseline {
            version: self.entry.version.clone(),
            digest: self.entry.digest,
            values: by_name(&metrics),
        })
    }
}

/// Names metrics as a manifest does.
pub(crate) fn by_name(metrics: &BTreeMap<Metric, f64>) -> BTreeMap<String, f64> {
    let named = metrics
        .iter()
        .map(|(metric, value)| (metric.as_str().to_owned(), *value));
    named.collect()
}
