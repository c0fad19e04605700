//! What gates ask of a version.

use planner::gates::{Baseline, VersionFacts};
use planner::names::{ModelName, Version};
use planner::signature;
use planner::training::Metric;

use crate::artifact::{Gives, gives};
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
    let name = |place: usize| Some(signature.outputs[place].name.clone());
    let roles = match gives(&signature) {
        Ok(Gives::Numbers { prediction }) => signature::Roles {
            prediction: name(prediction),
            ..signature::Roles::default()
        },
        Ok(Gives::Classes { label, probabilities }) => signature::Roles {
            prediction: None,
            label: name(label),
            probabilities: probabilities.and_then(name),
        },
        // It is one that nothing serves.
        Err(_) => signature::Roles::default(),
    };
    let metadata::Signature {
        inputs,
        outputs,
        features,
        labels,
        target_column,
        target_divide_by,
        target_unit,
        missing_values,
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
        roles,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Roles;

    #[test]
    fn roles_are_told_by_the_names_that_outputs_have_or_were_given() {
        let said = |outputs: &[&str], roles: Roles| {
            let tensor = |name: &&str| metadata::Tensor {
                name: (*name).to_owned(),
                datatype: "FP64".to_owned(),
                shape: vec![-1, 1],
            };
            let signature::Roles {
                prediction,
                label,
                probabilities,
            } = signature(metadata::Signature {
                inputs: Vec::new(),
                outputs: outputs.iter().map(tensor).collect(),
                features: Vec::new(),
                labels: Labels::Numbers(Vec::new()),
                target_column: None,
                target_divide_by: None,
                target_unit: None,
                missing_values: false,
                roles,
            })
            .roles;
            [prediction, label, probabilities].map(Option::unwrap_or_default)
        };
        let by_name = Roles::default();
        assert_eq!(said(&["prediction"], by_name.clone()), ["prediction", "", ""]);
        let classes = said(&["label", "probabilities"], by_name.clone());
        assert_eq!(classes, ["", "label", "probabilities"]);
        assert_eq!(said(&["label"], by_name.clone()), ["", "label", ""]);
        assert_eq!(said(&["variable"], by_name), ["", "", ""]);
        let given = Roles {
            prediction: Some("high".to_owned()),
            ..Roles::default()
        };
        assert_eq!(said(&["low", "high"], given), ["high", "", ""]);
    }
}
