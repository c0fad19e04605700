//! What a graph says of itself: the signature that it has without one, and what its outputs mean.

use engine::{Label, Type};
use planner::training::{Derivation, Feature};

use super::{ArtifactError, Gives};
use crate::metadata::{Labels, Roles, Signature, Tensor};

/// Returns what a graph says by itself: tensors as they are, a feature for each column, classes where labels are known.
pub(super) fn signature(inputs: &[engine::Tensor], outputs: &[engine::Tensor]) -> Signature {
    Signature {
        inputs: inputs.iter().map(described).collect(),
        outputs: outputs.iter().map(described).collect(),
        features: inputs.iter().flat_map(features).collect(),
        labels: known_labels(outputs).unwrap_or(Labels::Numbers(Vec::new())),
        target_column: None,
        target_divide_by: None,
        target_unit: None,
        missing_values: inputs.iter().any(|input| input.takes_missing),
        roles: roles(outputs),
    }
}

fn described(tensor: &engine::Tensor) -> Tensor {
    let length = |dim: &engine::Dim| match dim {
        engine::Dim::Fixed(count) => i64::try_from(*count).unwrap_or(i64::MAX),
        engine::Dim::Rows(_) => -1,
    };
    Tensor {
        name: tensor.name.clone(),
        datatype: tensor.element.protocol_name().to_owned(),
        shape: tensor.shape.iter().map(length).collect(),
    }
}

/// Names the columns of an input: by the input where there is one, else by their number too.
fn features(tensor: &engine::Tensor) -> Vec<Feature> {
    let width = tensor.width();
    let name = |column: usize| {
        if width == 1 {
            tensor.name.clone()
        } else {
            format!("{}_{column}", tensor.name)
        }
    };
    let names = (0..width).map(name);
    names
        .map(|name| Feature {
            derivation: Derivation::Column(name.clone()),
            name,
        })
        .collect()
}

/// Returns the labels that a graph names: those of its scores, whose order counts, else those of its answer.
fn known_labels(outputs: &[engine::Tensor]) -> Option<Labels> {
    let of_scores = outputs.iter().find_map(|output| output.labels.as_deref());
    let of_answer = || outputs.iter().find_map(|output| output.classes.as_deref());
    let labels = of_scores.or_else(of_answer);
    labels.and_then(labels_of)
}

fn labels_of(labels: &[Label]) -> Option<Labels> {
    let numbers = labels.iter().map(|label| match label {
        Label::Number(number) => Some(*number),
        Label::Text(_) => None,
    });
    let words = labels.iter().map(|label| match label {
        Label::Number(_) => None,
        Label::Text(text) => Some(text.clone()),
    });
    match numbers.collect::<Option<Vec<_>>>() {
        Some(numbers) => Some(Labels::Numbers(numbers)),
        None => words.collect::<Option<Vec<_>>>().map(Labels::Words),
    }
}

/// Names the first of labels.
fn listed(labels: &Labels) -> String {
    const NAMED: usize = 5;
    let some: Vec<String> = match labels {
        Labels::Numbers(labels) => labels.iter().take(NAMED).map(ToString::to_string).collect(),
        Labels::Words(labels) => labels
            .iter()
            .take(NAMED)
            .map(|label| format!("{label:?}"))
            .collect(),
    };
    match labels.len().saturating_sub(NAMED) {
        0 if some.is_empty() => "none".to_owned(),
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// Tells what outputs mean by their types, and by the labels that the graph names: a class is a whole number or a text,
/// what has a number for each label says how likely it is, and without a class the first numbers are the prediction.
fn roles(outputs: &[engine::Tensor]) -> Roles {
    let is_float = |output: &engine::Tensor| matches!(output.element, Type::F32 | Type::F64);
    let name = |output: &engine::Tensor| output.name.clone();
    let is_label = |output: &&engine::Tensor| !is_float(output) && output.width() == 1;
    let label = outputs
        .iter()
        .find(|output| is_label(output) && output.classes.is_some())
        .or_else(|| outputs.iter().find(is_label));
    let probabilities = outputs.iter().find(|output| {
        let is_named = output.name.to_ascii_lowercase().contains("prob");
        is_float(output) && (output.labels.is_some() || is_named)
    });
    match label {
        Some(label) => Roles {
            prediction: None,
            label: Some(name(label)),
            probabilities: probabilities.map(name),
        },
        None => Roles {
            prediction: outputs.iter().find(|output| is_float(output)).map(name),
            label: None,
            probabilities: None,
        },
    }
}

/// Finds the outputs that have a meaning: named by the signature's roles, else by our own names.
pub(crate) fn gives(signature: &Signature) -> Result<Gives, ArtifactError> {
    let Roles {
        prediction,
        label,
        probabilities,
    } = signature.roles.clone().or_by_name();
    let find = |name: &String| signature.outputs.iter().position(|output| output.name == *name);
    let at = |name: &Option<String>, role: &'static str| match name {
        None => Ok(None),
        Some(name) => find(name).map(Some).ok_or_else(|| ArtifactError::Role {
            role,
            name: name.clone(),
        }),
    };
    if signature.roles != Roles::default() {
        at(&prediction, "prediction")?;
        at(&label, "label")?;
        at(&probabilities, "probabilities")?;
    }
    let found = |name: &Option<String>| name.as_ref().and_then(find);
    match (found(&label), found(&prediction)) {
        (Some(label), _) => Ok(Gives::Classes {
            label,
            probabilities: found(&probabilities),
        }),
        (None, Some(_)) if !signature.labels.is_empty() => Err(ArtifactError::Signature {
            problem: "it predicts numbers, and the signature names labels".to_owned(),
        }),
        (None, Some(prediction)) => Ok(Gives::Numbers { prediction }),
        (None, None) => Err(ArtifactError::NoPrediction {
            outputs: signature
                .outputs
                .iter()
                .map(|output| output.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Holds a signature against the graph's inputs and outputs.
pub(super) fn check(
    inputs: &[engine::Tensor],
    outputs: &[engine::Tensor],
    signature: &Signature,
) -> Result<(), ArtifactError> {
    let differ = |problem: String| Err(ArtifactError::Signature { problem });
    let are =
        |tensors: &[engine::Tensor], told: &[Tensor]| tensors.iter().map(described).eq(told.iter().cloned());
    if !are(inputs, &signature.inputs) || !are(outputs, &signature.outputs) {
        return differ("its tensors are not those of the signature".to_owned());
    }
    let width: usize = inputs.iter().map(engine::Tensor::width).sum();
    if signature.features.len() != width {
        return differ(format!(
            "it takes {width} values a row, and the signature names {} features",
            signature.features.len()
        ));
    }
    if let Some(known) = known_labels(outputs).filter(|known| *known != signature.labels) {
        return differ(format!(
            "its labels are {}, and the signature names {}",
            listed(&known),
            listed(&signature.labels)
        ));
    }
    if !signature.labels.are_distinct() {
        return differ("two of its labels are the same".to_owned());
    }
    let roles = signature.roles.clone().or_by_name();
    let width_of = |name: &Option<String>| {
        let of = |name: &String| outputs.iter().find(|output| output.name == *name);
        name.as_ref().and_then(of).map(engine::Tensor::width)
    };
    match width_of(&roles.probabilities) {
        Some(width) if !signature.labels.is_empty() && width != signature.labels.len() => differ(format!(
            "it gives {width} probabilities, and the signature names {} labels",
            signature.labels.len()
        )),
        _ => Ok(()),
    }
}
