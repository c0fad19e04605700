//! What gates ask of a version.

use planner::gates::{Baseline, VersionFacts};
use planner::names::{ModelName, Version};
use planner::signature;
use planner::training::Metric;

use crate::error::StoreError;
use crate::metadata::{self, Labels, VersionMetadata};
use crate::store::Store;
use crate::verify::Record;

/// How `metadata.json` calls the one metric that has another name there than in a manifest.
const R2: &str = "r2_score";

impl Store {
    /// Returns the record of a version; `None` where there is no such version, or its record is not what it was
    /// published with. Nothing else of the version is verified.
    pub fn record(
        &self,
        model: &ModelName,
        version: &Version,
    ) -> Result<Option<VersionMetadata>, StoreError> {
        let Some(versions) = self.versions_dir(model)? else {
            return Ok(None);
        };
        let Some(dir) = versions.dir(&version.to_string())? else {
            return Ok(None);
        };
        // What is damaged has its own finding.
        let record = Record::read(&dir, model, version).ok();
        Ok(record.map(|record| record.metadata))
    }
}

impl VersionMetadata {
    /// Returns what gates ask of the version.
    pub fn facts(&self) -> VersionFacts {
        let judged_by = |name: &String| {
            let is_called =
                |metric: &&Metric| metric.as_str() == name || (**metric == Metric::R2 && name == R2);
            Metric::ALL.iter().find(is_called).copied()
        };
        VersionFacts {
            digest: self.artifact.digest,
            signature: signature(self.signature.clone()),
            metric: self.metric.keys().find_map(judged_by),
            measured: self
                .metrics
                .as_ref()
                .map(|metrics| metrics.values.clone())
                .unwrap_or_default(),
            holdout: self.metrics.as_ref().map(|metrics| metrics.holdout_digest),
            baseline: self.baseline.as_ref().map(|baseline| Baseline {
                digest: baseline.digest,
                measured: baseline.values.clone(),
            }),
        }
    }
}

fn signature(signature: metadata::Signature) -> signature::Signature {
    let metadata::Signature {
        inputs,
        outputs,
        features,
        labels,
        target_column,
        target_divide_by,
        target_unit,
        missing_values,
        // They name outputs, whose names and types count.
        roles: _,
    } = signature;
    let tensors = |tensors: Vec<metadata::Tensor>| {
        let tensors = tensors.into_iter();
        tensors
            .map(
                |metadata::Tensor {
                     name,
                     datatype,
                     shape,
                 }| signature::Tensor {
                    name,
                    datatype,
                    shape,
                },
            )
            .collect()
    };
    signature::Signature {
        inputs: tensors(inputs),
        outputs: tensors(outputs),
        features,
        labels: match labels {
            Labels::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
            Labels::Words(words) => words,
        },
        target: target_column,
        divide_by: target_divide_by,
        unit: target_unit,
        missing_values,
    }
}
