//! What goes into a version and comes out, compared as a client would: what still works that worked before.

use serde::{Deserialize, Serialize};

use crate::training::Feature;

/// How many differences are told of one kind.
const TOLD_MAX: usize = 5;

/// What goes into a version and comes out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Signature {
    /// The input tensors.
    pub inputs: Vec<Tensor>,
    /// The output tensors.
    pub outputs: Vec<Tensor>,
    /// The columns of the input in order, and how each derives from raw columns.
    pub features: Vec<Feature>,
    /// The class labels in the order of the probabilities; empty for a regression.
    pub labels: Vec<String>,
    /// The raw column that is predicted, where that is known.
    pub target: Option<String>,
    /// What that column's values were divided by, if anything.
    pub divide_by: Option<f64>,
    /// What one unit of a prediction means.
    pub unit: Option<String>,
    /// Whether a missing value is an input that the model was made for.
    pub missing_values: bool,
    /// Which outputs are the answer.
    #[serde(default)]
    pub roles: Roles,
}

/// What outputs mean, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roles {
    /// The numbers that are predicted.
    pub prediction: Option<String>,
    /// The class that is predicted.
    pub label: Option<String>,
    /// How likely each class is.
    pub probabilities: Option<String>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The Open Inference Protocol's word: `FP64`, `INT64`, `BYTES`, …
    pub datatype: String,
    /// Its shape, -1 where it varies.
    pub shape: Vec<i64>,
}

/// What a new signature means for the clients of an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "differences")]
pub enum Compatibility {
    /// Nothing: it is the same.
    Same,
    /// All that worked works, and means what it meant; this comes with it.
    Additive(Vec<String>),
    /// This does not work any more, or means something else.
    Breaking(Vec<String>),
}

impl Compatibility {
    /// Returns its name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Additive(_) => "additive",
            Self::Breaking(_) => "breaking",
        }
    }
}

/// Compares two signatures: `old` is what clients know.
pub fn compare(old: &Signature, new: &Signature) -> Compatibility {
    let mut found = Found::default();
    found.inputs(&old.inputs, &new.inputs);
    found.outputs(&old.outputs, &new.outputs);
    found.roles(old, new);
    found.features(&old.features, &new.features);
    found.answers(old, new);
    match (found.breaking.is_empty(), found.additive.is_empty()) {
        (false, _) => Compatibility::Breaking(cut(found.breaking)),
        (true, false) => Compatibility::Additive(cut(found.additive)),
        (true, true) => Compatibility::Same,
    }
}

fn cut(mut told: Vec<String>) -> Vec<String> {
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    told.extend((more > 0).then(|| format!("and {more} more")));
    told
}

/// What differs.
#[derive(Debug, Default)]
struct Found {
    breaking: Vec<String>,
    additive: Vec<String>,
}

impl Found {
    fn breaks(&mut self, what: String) {
        self.breaking.push(what);
    }

    fn adds(&mut self, what: String) {
        self.additive.push(what);
    }

    fn inputs(&mut self, old: &[Tensor], new: &[Tensor]) {
        for tensor in old {
            let Some(now) = new.iter().find(|now| now.name == tensor.name) else {
                self.breaks(format!("input {:?} is no longer taken", tensor.name));
                continue;
            };
            if tensor.shape != now.shape {
                self.shape("input", tensor, now);
            }
            if widens(&tensor.datatype, &now.datatype) {
                self.adds(format!(
                    "input {:?} takes {} and, as before, {}",
                    tensor.name, now.datatype, tensor.datatype
                ));
            } else if tensor.datatype != now.datatype {
                self.datatype("input", tensor, now);
            }
        }
        for tensor in added(old, new) {
            self.breaks(format!(
                "input {:?} is asked for, which nobody sends",
                tensor.name
            ));
        }
    }

    fn outputs(&mut self, old: &[Tensor], new: &[Tensor]) {
        for tensor in old {
            let Some(now) = new.iter().find(|now| now.name == tensor.name) else {
                self.breaks(format!("output {:?} is no longer given", tensor.name));
                continue;
            };
            if tensor.shape != now.shape {
                self.shape("output", tensor, now);
            }
            if tensor.datatype != now.datatype {
                self.datatype("output", tensor, now);
            }
        }
        for tensor in added(old, new) {
            self.adds(format!("output {:?} is new", tensor.name));
        }
    }

    /// An output that is no longer given is told as such.
    fn roles(&mut self, old: &Signature, new: &Signature) {
        let has = |outputs: &[Tensor], name: &str| outputs.iter().any(|output| output.name == name);
        let (before, after) = (&old.roles, &new.roles);
        for (role, before, after) in [
            ("the prediction", &before.prediction, &after.prediction),
            ("the class", &before.label, &after.label),
            (
                "the classes' probabilities",
                &before.probabilities,
                &after.probabilities,
            ),
        ] {
            match (before, after) {
                (Some(before), Some(after)) if before != after => {
                    self.breaks(format!("{role} is output {after:?}, not {before:?}"));
                }
                (Some(before), None) if has(&new.outputs, before) => {
                    self.breaks(format!("output {before:?} is no longer {role}"));
                }
                (None, Some(after)) if has(&old.outputs, after) => {
                    self.adds(format!("output {after:?} is {role}"));
                }
                _ => {}
            }
        }
    }

    fn shape(&mut self, what: &str, old: &Tensor, new: &Tensor) {
        self.breaks(format!(
            "{what} {:?} has shape {:?}, not {:?}",
            old.name, new.shape, old.shape
        ));
    }

    fn datatype(&mut self, what: &str, old: &Tensor, new: &Tensor) {
        self.breaks(format!(
            "{what} {:?} is {}, not {}",
            old.name, new.datatype, old.datatype
        ));
    }

    /// A column has its place: who sends numbers without names counts on it.
    fn features(&mut self, old: &[Feature], new: &[Feature]) {
        for feature in old {
            let Some(now) = new.iter().find(|now| now.name == feature.name) else {
                self.breaks(format!("feature {:?} is gone", feature.name));
                continue;
            };
            if now.derivation != feature.derivation {
                self.breaks(format!("feature {:?} is derived otherwise", feature.name));
            }
        }
        let names = |features: &[Feature]| -> Vec<String> {
            features.iter().map(|feature| feature.name.clone()).collect()
        };
        let (before, after) = (names(old), names(new));
        let added: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
        for name in &added {
            self.breaks(format!("feature {name:?} is new, which nobody sends"));
        }
        let kept = before.iter().filter(|name| after.contains(name));
        if added.is_empty() && !kept.eq(after.iter()) {
            self.breaks("the features are in another order".to_owned());
        }
    }

    fn answers(&mut self, old: &Signature, new: &Signature) {
        if old.labels != new.labels {
            self.breaks(format!(
                "the classes are {}, not {}",
                list(&new.labels),
                list(&old.labels)
            ));
        }
        // Of versions that do not say what they predict, nothing is to be told.
        if let (Some(before), Some(after)) = (&old.target, &new.target)
            && before != after
        {
            self.breaks(format!("it predicts {after:?}, not {before:?}"));
        }
        if old.divide_by != new.divide_by || old.unit != new.unit {
            let shown = |signature: &Signature| {
                let unit = signature.unit.as_deref().unwrap_or("no unit");
                match signature.divide_by {
                    Some(divisor) => format!("{unit} (divided by {divisor})"),
                    None => unit.to_owned(),
                }
            };
            self.breaks(format!("predictions are in {}, not {}", shown(new), shown(old)));
        }
        match (old.missing_values, new.missing_values) {
            (true, false) => self.breaks("missing values are no longer taken".to_owned()),
            (false, true) => self.adds("missing values are taken".to_owned()),
            (true, true) | (false, false) => {}
        }
    }
}

fn added<'a>(old: &'a [Tensor], new: &'a [Tensor]) -> impl Iterator<Item = &'a Tensor> {
    new.iter()
        .filter(|tensor| old.iter().all(|before| before.name != tensor.name))
}

/// Says whether each number of one type is one of the other: then whoever sends the first goes on as before
/// (docs/design.md, "Serving").
fn widens(from: &str, to: &str) -> bool {
    const TO_DOUBLE: [&str; 7] = ["FP32", "INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"];
    to == "FP64" && TO_DOUBLE.contains(&from)
}

fn list(labels: &[String]) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = labels.iter().take(TOLD_MAX).map(String::as_str).collect();
    let more = if labels.len() > TOLD_MAX { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Derivation;

    fn tensor(name: &str, datatype: &str, shape: &[i64]) -> Tensor {
        Tensor {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
        }
    }

    fn feature(name: &str) -> Feature {
        Feature {
            name: name.to_owned(),
            derivation: Derivation::Column(name.to_owned()),
        }
    }

    fn signature() -> Signature {
        Signature {
            inputs: vec![tensor("input", "FP32", &[-1, 2])],
            outputs: vec![tensor("prediction", "FP64", &[-1, 1])],
            features: vec![feature("age"), feature("rooms")],
            labels: Vec::new(),
            target: Some("value".to_owned()),
            divide_by: None,
            unit: Some("USD".to_owned()),
            missing_values: false,
            roles: Roles {
                prediction: Some("prediction".to_owned()),
                ..Roles::default()
            },
        }
    }

    #[test]
    fn what_a_client_would_miss_is_breaking() {
        type Change = fn(&mut Signature);
        let cases: &[(Change, &str, &[&str])] = &[
            (|_| {}, "same", &[]),
            (|new| new.target = None, "same", &[]),
            (
                |new| new.inputs[0].datatype = "FP64".to_owned(),
                "additive",
                &["input \"input\" takes FP64 and, as before, FP32"],
            ),
            (
                |new| new.inputs[0].datatype = "INT64".to_owned(),
                "breaking",
                &["input \"input\" is INT64, not FP32"],
            ),
            (
                |new| new.inputs[0].shape = vec![-1, 3],
                "breaking",
                &["input \"input\" has shape [-1, 3], not [-1, 2]"],
            ),
            (
                |new| new.inputs.push(tensor("more", "FP64", &[-1])),
                "breaking",
                &["input \"more\" is asked for, which nobody sends"],
            ),
            (
                |new| new.inputs[0].name = "x".to_owned(),
                "breaking",
                &[
                    "input \"input\" is no longer taken",
                    "input \"x\" is asked for, which nobody sends",
                ],
            ),
            (
                |new| new.outputs.push(tensor("variance", "FP64", &[-1, 1])),
                "additive",
                &["output \"variance\" is new"],
            ),
            (
                |new| new.outputs.clear(),
                "breaking",
                &["output \"prediction\" is no longer given"],
            ),
            (
                |new| new.outputs[0].datatype = "FP32".to_owned(),
                "breaking",
                &["output \"prediction\" is FP32, not FP64"],
            ),
            (
                |new| new.outputs[0].shape = vec![-1],
                "breaking",
                &["output \"prediction\" has shape [-1], not [-1, 1]"],
            ),
            (
                |new| new.features.swap(0, 1),
                "breaking",
                &["the features are in another order"],
            ),
            (
                |new| new.features[1] = feature("beds"),
                "breaking",
                &[
                    "feature \"rooms\" is gone",
                    "feature \"beds\" is new, which nobody sends",
                ],
            ),
            (
                |new| {
                    new.features[0].derivation = Derivation::Ratio(["age".to_owned(), "rooms".to_owned()]);
                },
                "breaking",
                &["feature \"age\" is derived otherwise"],
            ),
            (
                |new| new.labels = vec!["no".to_owned(), "yes".to_owned()],
                "breaking",
                &["the classes are no, yes, not none"],
            ),
            (
                |new| new.target = Some("rent".to_owned()),
                "breaking",
                &["it predicts \"rent\", not \"value\""],
            ),
            (
                |new| new.divide_by = Some(1000.0),
                "breaking",
                &["predictions are in USD (divided by 1000), not USD"],
            ),
            (
                |new| new.unit = None,
                "breaking",
                &["predictions are in no unit, not USD"],
            ),
            (
                |new| new.missing_values = true,
                "additive",
                &["missing values are taken"],
            ),
        ];
        for (change, name, told) in cases {
            let old = signature();
            let mut new = old.clone();
            change(&mut new);
            let found = compare(&old, &new);
            let differences = match &found {
                Compatibility::Same => &Vec::new(),
                Compatibility::Additive(differences) | Compatibility::Breaking(differences) => differences,
            };
            assert_eq!(
                (found.as_str(), differences),
                (*name, &told.iter().map(ToString::to_string).collect())
            );
        }
        let several = Signature {
            outputs: ["low", "high"]
                .map(|name| tensor(name, "FP64", &[-1, 1]))
                .to_vec(),
            ..signature()
        };
        let of = |prediction: Option<&str>| Signature {
            roles: Roles {
                prediction: prediction.map(str::to_owned),
                ..Roles::default()
            },
            ..several.clone()
        };
        for (before, after, expected) in [
            (Some("low"), Some("low"), Compatibility::Same),
            (
                Some("low"),
                Some("high"),
                Compatibility::Breaking(vec!["the prediction is output \"high\", not \"low\"".to_owned()]),
            ),
            (
                Some("low"),
                None,
                Compatibility::Breaking(vec!["output \"low\" is no longer the prediction".to_owned()]),
            ),
            (
                None,
                Some("low"),
                Compatibility::Additive(vec!["output \"low\" is the prediction".to_owned()]),
            ),
        ] {
            assert_eq!(compare(&of(before), &of(after)), expected);
        }
        let takes = Signature {
            missing_values: true,
            ..signature()
        };
        let breaks = Compatibility::Breaking(vec!["missing values are no longer taken".to_owned()]);
        assert_eq!(compare(&takes, &signature()), breaks);
    }

    #[test]
    fn many_differences_are_counted() {
        let old = Signature {
            features: (0..40).map(|at| feature(&format!("f{at}"))).collect(),
            ..signature()
        };
        let new = Signature {
            features: Vec::new(),
            ..signature()
        };
        let Compatibility::Breaking(told) = compare(&old, &new) else {
            panic!("not breaking");
        };
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert_eq!(told[TOLD_MAX], "and 35 more");
    }
}
