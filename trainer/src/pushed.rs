//! A version of a model that somebody brings by hand: published as it is, evaluated by nobody.

use std::collections::BTreeMap;

use engine::Type;
use planner::Timestamp;
use planner::engine::Engine;
use planner::names::{Digest, ModelName, Version};
use planner::training::{Derivation, Feature, Outputs, Told};
use registry::Draft;
use registry::artifact::{
    ArtifactError, Engines, Model, PredictError, Predictions, Unanswered, with_signature,
};
use registry::metadata::{Artifact, Cell, Example, Fit, Labels, Lineage, Roles, Signature, VersionMetadata};

use crate::external::taken;
use crate::record::trainer;

/// What rows are made of that stand as examples where there is no data: the first for which the model predicts numbers.
const EXAMPLES: [f64; 3] = [0.0, 1.0, 0.5];
/// The whole numbers below this are tried in the place of a category that the model refuses.
const CATEGORIES: u32 = 32;
/// How many rows are tried for the sake of categories, and how many operations they may cost: seconds.
const TRIES: usize = 10_000;
const TRIES_WORK: usize = 10_000_000_000;

/// Why a model cannot be published.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PushError {
    /// It is none that is served, or other than was told.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It has other columns.
    #[error("{got} features are named, and the model takes {expected} values a row")]
    OtherWidth {
        /// How many were named.
        got: usize,
        /// How many it takes.
        expected: usize,
    },
    /// No simple row is predicted.
    #[error(
        "it predicts no finite number for rows of zeros, ones or halves, one of which is to be its example, with whatever categories it knows"
    )]
    NoExample,
}

impl PushError {
    /// Says where it stands which models are taken, where one is sound and none of them.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Artifact(error) => taken(error),
            Self::OtherWidth { .. } | Self::NoExample => "",
        }
    }
}

/// Who brought a model that nobody evaluates, and from where.
pub(crate) struct Bringing {
    pub(crate) framework: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) inputs_hash: Option<Digest>,
    pub(crate) fit: Fit,
    pub(crate) lineage: Lineage,
}

/// Reads a model with what is told of it.
///
/// # Errors
///
/// It is no model that is served, or what is told is another model's.
pub(crate) fn read(bytes: &[u8], told: &Told, by: (Engine, &Engines)) -> Result<Model, PushError> {
    match Model::open_as(bytes, by, |signature| described(signature, told)) {
        Err(ArtifactError::Signature { problem }) if !told.features.is_empty() => {
            let expected = Model::open_as(bytes, by, |signature| signature).map(|read| read.width());
            Err(match expected {
                Ok(expected) if expected != told.features.len() => PushError::OtherWidth {
                    got: told.features.len(),
                    expected,
                },
                _ => ArtifactError::Signature { problem }.into(),
            })
        }
        read => Ok(read?),
    }
}

/// Returns a signature with what is told beyond it.
fn described(signature: Signature, told: &Told) -> Signature {
    let Told {
        features,
        labels,
        outputs,
    } = told;
    let mut described = signature;
    if !features.is_empty() {
        let feature = |name: &String| Feature {
            derivation: Derivation::Column(name.clone()),
            name: name.clone(),
        };
        described.features = features.iter().map(feature).collect();
    }
    if !labels.is_empty() {
        let numbers = labels.iter().map(|label| label.parse().ok());
        described.labels = match numbers.collect::<Option<Vec<i64>>>() {
            Some(numbers) => Labels::Numbers(numbers),
            None => Labels::Words(labels.clone()),
        };
    }
    if *outputs != Outputs::default() {
        let Outputs {
            prediction,
            label,
            probabilities,
        } = outputs.clone();
        described.roles = Roles {
            prediction,
            label,
            probabilities,
        };
    }
    described
}

/// Makes a version of a model's bytes. They stay as they are, unless something is told that the graph does not say: then that
/// stands in the artifact's own metadata, and its digest is another one.
///
/// # Errors
///
/// It is no model that is served, or what is told is another model's.
pub fn draft(
    model: &ModelName,
    version: &Version,
    bytes: Vec<u8>,
    told: &Told,
    by: (Engine, &Engines),
    now: Timestamp,
) -> Result<Draft, PushError> {
    let by_hand = Bringing {
        framework: "pushed",
        algorithm: "onnx",
        inputs_hash: None,
        fit: Fit::default(),
        lineage: Lineage {
            revision: None,
            job: None,
            trainer: trainer(),
            imported: None,
            source: None,
            holdout: None,
        },
    };
    unevaluated((model, version), bytes, told, by, by_hand, now)
}

/// Makes a version that nobody evaluates, as [`draft`] says.
pub(crate) fn unevaluated(
    (model, version): (&ModelName, &Version),
    bytes: Vec<u8>,
    told: &Told,
    by: (Engine, &Engines),
    bringing: Bringing,
    now: Timestamp,
) -> Result<Draft, PushError> {
    let Bringing {
        framework,
        algorithm,
        inputs_hash,
        fit,
        lineage,
    } = bringing;
    let read = read(&bytes, told, by)?;
    let signature = read.signature().clone();
    let artifact = if told.is_silent() {
        bytes
    } else {
        with_signature(&bytes, &signature)?
    };
    Ok(Draft {
        metadata: VersionMetadata {
            model_name: model.clone(),
            version: version.clone(),
            framework: framework.to_owned(),
            algorithm: algorithm.to_owned(),
            trained_at: now,
            features: read.width(),
            metric: BTreeMap::new(),
            artifact: Artifact {
                file: "model.onnx".to_owned(),
                digest: Digest::of(&artifact),
                bytes: artifact.len() as u64,
            },
            engine: read.engine(),
            inputs_hash,
            example: example(&read)?,
            signature,
            metrics: None,
            baseline: None,
            dataset: None,
            hyperparameters: BTreeMap::new(),
            fit,
            seed: None,
            lineage,
            reference: None,
        },
        artifact,
    })
}

/// Returns a row that no data tells of, and what the model says of it.
fn example(model: &Model) -> Result<Example, PushError> {
    let types = || {
        let inputs = model.input_tensors().iter();
        inputs.flat_map(|input| std::iter::repeat_n(input.element, input.width()))
    };
    let names = || {
        model
            .signature()
            .features
            .iter()
            .map(|feature| feature.name.clone())
    };
    EXAMPLES
        .iter()
        .find_map(|number| {
            let cell = |element: Type| match element {
                Type::Text => Cell::Text(String::new()),
                Type::Bool => Cell::Bool(false),
                Type::I32 | Type::I64 => Cell::Number(number.round()),
                Type::F32 | Type::F64 => Cell::Number(*number),
            };
            let mut inputs: Vec<Cell> = types().map(cell).collect();
            let predictions = predicted(model, &mut inputs)?;
            let prediction = predictions.numbers().to_vec();
            let is_finite = prediction.iter().all(|number| number.is_finite());
            is_finite.then(|| Example {
                row: names().zip(inputs.iter().cloned()).collect(),
                inputs,
                prediction,
            })
        })
        .ok_or(PushError::NoExample)
}

/// Predicts a row, with other categories where the model refuses those that it has.
fn predicted(model: &Model, cells: &mut [Cell]) -> Option<Predictions> {
    // Which node refuses it, where one does.
    let predict = |cells: &[Cell]| match model.predict_cells(cells) {
        Ok(predictions) => Ok(predictions),
        Err(PredictError::Unanswered(Unanswered::UnknownCategory(unknown))) => Err(Some(unknown.place)),
        Err(_) => Err(None),
    };
    let mut place = match predict(cells) {
        Ok(predictions) => return Some(predictions),
        Err(place) => place?,
    };
    let mut passed = Vec::new();
    let mut left = TRIES.min(TRIES_WORK / model.row_work().max(1));
    'refused: loop {
        for at in 0..cells.len() {
            let before = cells[at].clone();
            for other in others(model, &before) {
                left = left.checked_sub(1)?;
                cells[at] = other;
                match predict(cells) {
                    Ok(predictions) => return Some(predictions),
                    // This node takes it, and another one refuses something else.
                    Err(Some(next)) if next != place && !passed.contains(&next) => {
                        passed.push(std::mem::replace(&mut place, next));
                        continue 'refused;
                    }
                    Err(_) => {}
                }
            }
            cells[at] = before;
        }
        return None;
    }
}

/// Returns what may be in a cell's place.
fn others<'a>(model: &'a Model, cell: &Cell) -> Box<dyn Iterator<Item = Cell> + 'a> {
    match cell {
        Cell::Text(_) => Box::new(model.known_texts().map(|text| Cell::Text(text.to_owned()))),
        Cell::Number(_) => Box::new((0..CATEGORIES).map(|number| Cell::Number(number.into()))),
        Cell::Bool(_) | Cell::Missing => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use registry::artifact::load_bytes;

    use super::*;

    const SURVIVAL: &[u8] = include_bytes!("../../registry/tests/models/survival.onnx");
    const FOREST: &[u8] = include_bytes!("../../registry/tests/models/forest.onnx");
    const STRICT: &[u8] = include_bytes!("../../registry/tests/models/strict.onnx");

    #[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
    fn check(bytes: &[u8], told: Told, expected: Expect) {
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let (model, version) = ("m".parse().unwrap(), "v20261201-000000".parse().unwrap());
        let said = match draft(
            &model,
            &version,
            bytes.to_vec(),
            &told,
            (Engine::Aurora, &Engines::default()),
            now,
        ) {
            Err(error) => error.to_string(),
            Ok(Draft { metadata, artifact }) => {
                load_bytes(&artifact, &metadata, &Engines::default()).expect("what is published loads");
                let features = metadata.signature.features.iter();
                let features: Vec<&str> = features.map(|feature| feature.name.as_str()).collect();
                format!(
                    "{} of {:?}, as it was: {}, example {}",
                    features.join(" "),
                    metadata.signature.labels,
                    artifact == bytes,
                    serde_json::to_string(&metadata.example).unwrap(),
                )
            }
        };
        expected.assert_eq(&said);
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn bytes_stay_as_they_are_unless_something_is_told() {
        check(
            SURVIVAL,
            Told::default(),
            expect![[
                r#"age fare sex port of Words(["no", "yes"]), as it was: true, example {"row":{"age":0.0,"fare":0.0,"port":"","sex":""},"inputs":[0.0,0.0,"",""],"prediction":[0.5200943946838379,0.4799056053161621]}"#
            ]],
        );
        check(
            FOREST,
            Told::default(),
            expect![[
                r#"X_0 X_1 of Numbers([]), as it was: true, example {"row":{"X_0":0.0,"X_1":0.0},"inputs":[0.0,0.0],"prediction":[20.23680305480957]}"#
            ]],
        );
        let features = words(&["age", "fare"]);
        check(
            FOREST,
            Told {
                features,
                ..Told::default()
            },
            expect![[
                r#"age fare of Numbers([]), as it was: false, example {"row":{"age":0.0,"fare":0.0},"inputs":[0.0,0.0],"prediction":[20.23680305480957]}"#
            ]],
        );
    }

    #[test]
    fn an_example_has_categories_that_the_model_knows() {
        check(
            STRICT,
            Told::default(),
            expect![[
                r#"colour town age income height of Numbers([0, 1]), as it was: true, example {"row":{"age":0.0,"colour":"blue","height":0.0,"income":0.0,"town":"town 0"},"inputs":["blue","town 0",0.0,0.0,0.0],"prediction":[0.12803621590137482,0.8719637989997864]}"#
            ]],
        );
    }

    #[test]
    fn what_is_told_must_be_the_models() {
        let features = words(&["age"]);
        check(
            FOREST,
            Told {
                features,
                ..Told::default()
            },
            expect!["1 features are named, and the model takes 2 values a row"],
        );
        let labels = words(&["yes", "no"]);
        check(
            SURVIVAL,
            Told {
                labels,
                ..Told::default()
            },
            expect![[
                r#"the artifact contradicts its metadata: its labels are "no", "yes", and the signature names "yes", "no""#
            ]],
        );
        let outputs = Outputs {
            prediction: Some("score".to_owned()),
            ..Outputs::default()
        };
        check(
            FOREST,
            Told {
                outputs,
                ..Told::default()
            },
            expect![[r#"the prediction is to be output "score", which the model does not give"#]],
        );
        check(
            b"none",
            Told::default(),
            expect!["this is no ONNX file: a field of no known wire type"],
        );
    }
}
