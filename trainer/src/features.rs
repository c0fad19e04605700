//! What a model sees of a table: inputs derived from raw columns, and the answers to learn.

use std::collections::{BTreeMap, BTreeSet};

use engine::Type;
use planner::training::{Derivation, Feature, Target};
use registry::artifact::Model;
use registry::metadata::{Cell, Labels};

use crate::dataset::{CLASSES_MAX, Label, Place, RawTarget, Table, shown};

/// Which columns a run needs, resolved against a header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// The inputs in order; never empty.
    pub(crate) features: Vec<Feature>,
    /// What is predicted.
    pub(crate) target: Target,
    /// Whether the target is a class.
    pub(crate) classifies: bool,
    /// Raw columns that are kept where they are numbers.
    pub(crate) optional: BTreeSet<String>,
    /// What of the features is more than numbers.
    pub(crate) mixed: Mixed,
    /// The same of the optional columns, which are another model's.
    pub(crate) optional_mixed: Mixed,
    /// The columns that the manifest leaves out; absent where it lists the features.
    pub(crate) excluded: Option<Vec<String>>,
}

/// Raw columns that a model takes otherwise than as finite numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mixed {
    /// Those that it takes as they are written.
    pub(crate) texts: BTreeSet<String>,
    /// Those of numbers in which it knows what a missing one means.
    pub(crate) gaps: BTreeSet<String>,
}

/// Says why a manifest's features and target do not fit a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FeatureError {
    /// The dataset has no target of its own.
    #[error("the manifest names no target column, and the dataset has none of its own; its columns: {0}")]
    NoTarget(String),
    /// A column is named that is not there.
    #[error("there is no column {column:?}, which {wanted} needs; the columns: {columns}")]
    NoColumn {
        column: String,
        wanted: String,
        columns: String,
    },
    /// A column has no name, and would be a feature.
    #[error(
        "column {0} has no name: name it; or, if it is an index or the lines end with a comma, write the file without \
         (pandas: `to_csv(index=False)`), or list `dataset.features`"
    )]
    Unnamed(usize),
    /// A holdout of its own has other columns than the dataset.
    #[error("its columns are not those of the dataset (missing: {missing:?}; unknown: {unknown:?})")]
    OtherColumns { missing: String, unknown: String },
    /// The model would see its answer.
    #[error("feature {0:?} is made of the target's column: a model must not see its answer")]
    SeesTarget(String),
    /// Two features have one name.
    #[error("two features are named {0:?}")]
    DuplicateName(String),
    /// There is nothing to learn from.
    #[error("no column but the target is left: there is no feature to learn from")]
    NoFeatures,
    /// Features are either listed or left out.
    #[error("`features` and `exclude` are both given: keep one of them")]
    FeaturesAndExclude,
    /// Only numbers can be divided.
    #[error(
        "the target {0:?} is a class for this algorithm and cannot be divided: remove `divideBy`, or take a regression"
    )]
    DividesClass(String),
    /// Dividing by this gives no number.
    #[error("the target's `divideBy` is {0}; it must be a finite number other than 0")]
    BadDivisor(String),
}

impl Layout {
    /// Resolves the manifest's features, or the columns that it leaves out, and target against a header.
    pub(crate) fn resolve(
        names: &[String],
        features: &[Feature],
        exclude: &[String],
        target: Option<Target>,
        classifies: bool,
        optional: &BTreeSet<String>,
    ) -> Result<Self, FeatureError> {
        let columns = || {
            let some: Vec<String> = names.iter().take(20).map(|name| shown(name)).collect();
            let more = if names.len() > 20 { ", …" } else { "" };
            format!("{}{more}", some.join(", "))
        };
        let target = target.ok_or_else(|| FeatureError::NoTarget(columns()))?;
        let known: BTreeSet<&String> = names.iter().collect();
        let left_out: BTreeSet<&String> = exclude.iter().collect();
        let need = |column: &String, wanted: String| {
            if known.contains(column) {
                Ok(())
            } else {
                let column = shown(column);
                let columns = columns();
                Err(FeatureError::NoColumn {
                    column,
                    wanted,
                    columns,
                })
            }
        };
        need(&target.column, "the target".to_owned())?;
        match target.divide_by {
            Some(divisor) if !divisor.is_finite() || divisor == 0.0 => {
                return Err(FeatureError::BadDivisor(divisor.to_string()));
            }
            Some(_) if classifies => return Err(FeatureError::DividesClass(target.column)),
            _ => {}
        }
        if !features.is_empty() && !exclude.is_empty() {
            return Err(FeatureError::FeaturesAndExclude);
        }
        let excluded = features.is_empty().then(|| exclude.to_vec());
        for column in exclude {
            need(column, "`exclude`".to_owned())?;
        }
        let features = if features.is_empty() {
            let is_left = |name: &String| *name != target.column && !left_out.contains(name);
            let others = names.iter().filter(|name| is_left(name));
            if let Some(at) = names.iter().position(String::is_empty) {
                return Err(FeatureError::Unnamed(at + 1));
            }
            let as_it_is = |name: &String| Feature {
                name: name.clone(),
                derivation: Derivation::Column(name.clone()),
            };
            others.map(as_it_is).collect()
        } else {
            features.to_vec()
        };
        if features.is_empty() {
            return Err(FeatureError::NoFeatures);
        }
        let mut seen = BTreeSet::new();
        for feature in &features {
            if !seen.insert(&feature.name) {
                return Err(FeatureError::DuplicateName(feature.name.clone()));
            }
            for column in raw_columns(feature) {
                need(column, format!("feature {:?}", feature.name))?;
                if *column == target.column {
                    return Err(FeatureError::SeesTarget(feature.name.clone()));
                }
            }
        }
        Ok(Self {
            features,
            target,
            classifies,
            optional: optional.clone(),
            mixed: Mixed::default(),
            optional_mixed: Mixed::default(),
            excluded,
        })
    }

    /// Says whether a row may hold more than finite numbers.
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed != Mixed::default()
    }

    /// Returns the raw columns that numbers are derived of.
    pub(crate) fn divided(&self) -> BTreeSet<&str> {
        let ratios = self.features.iter().filter(|feature| match feature.derivation {
            Derivation::Ratio(_) => true,
            Derivation::Column(_) => false,
        });
        ratios.flat_map(raw_columns).map(String::as_str).collect()
    }

    /// Returns the raw columns that the features are made of.
    pub(crate) fn raw_columns(&self) -> BTreeSet<&str> {
        let columns = self.features.iter().flat_map(raw_columns);
        columns.map(String::as_str).collect()
    }
}

impl Mixed {
    /// Returns which columns of some features a program takes that is handed rows: all that nothing is derived of as they are
    /// written.
    pub(crate) fn as_written(features: &[Feature]) -> Self {
        let columns = features.iter().filter_map(|feature| match &feature.derivation {
            Derivation::Column(column) => Some(column.clone()),
            Derivation::Ratio(_) => None,
        });
        Self {
            texts: columns.collect(),
            gaps: BTreeSet::new(),
        }
    }

    /// Returns which columns of some features a model takes so. Of another model's features there is nothing to say.
    pub(crate) fn of(model: &Model, features: &[Feature]) -> Self {
        let mut mixed = Self::default();
        if features.len() != model.width() {
            return mixed;
        }
        let inputs = model.input_tensors().iter().enumerate();
        let of_features = inputs.flat_map(|(at, input)| {
            let taken = (input.element, model.takes_missing(at));
            std::iter::repeat_n(taken, input.width())
        });
        for (feature, (element, takes_missing)) in features.iter().zip(of_features) {
            let columns = raw_columns(feature).iter().cloned();
            match (element, &feature.derivation) {
                (Type::Text, Derivation::Column(_)) => mixed.texts.extend(columns),
                _ if takes_missing => mixed.gaps.extend(columns),
                _ => {}
            }
        }
        mixed
    }
}

/// Returns the raw columns that a feature is made of.
pub(crate) fn raw_columns(feature: &Feature) -> &[String] {
    match &feature.derivation {
        Derivation::Column(column) => std::slice::from_ref(column),
        Derivation::Ratio(pair) => pair,
    }
}

/// Rows as a model sees them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// How many inputs a row has.
    pub(crate) width: usize,
    /// Row-major, rows × `width`; all finite, unless a model takes more than numbers: NaN stands for a text and for what is
    /// missing.
    pub(crate) inputs: Vec<f64>,
    /// One per row.
    pub(crate) answers: Answers,
}

/// What a model is to say of each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answers {
    /// Numbers in the target's unit.
    Numbers(Vec<f64>),
    /// Indices of classes; `None` for one that is not among the labels.
    Classes {
        index: Vec<Option<usize>>,
        labels: Labels,
    },
}

impl Rows {
    /// Returns how many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.inputs.len() / self.width
    }

    /// Iterates over the values of one input.
    pub(crate) fn column(&self, at: usize) -> impl Iterator<Item = f64> {
        self.inputs.iter().skip(at).step_by(self.width).copied()
    }
}

/// Says why values cannot be derived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeriveError {
    /// A ratio's denominator is zero.
    #[error("{place}: feature {feature:?} divides by this cell, which is 0")]
    ZeroDenominator { place: Place, feature: String },
    /// A derived number overflows.
    #[error("{place}: {what} is not a finite number")]
    Overflow { place: Place, what: String },
    /// There are too many classes to be classes.
    #[error(
        "the target {column:?} has {classes} different values, more than the {CLASSES_MAX} classes allowed: is it a number to predict by a regression?"
    )]
    TooManyClasses { column: String, classes: usize },
    /// Nearly every row has a class of its own.
    #[error(
        "the target {column:?} has {classes} different values in {rows} training rows, too many to be classes: is it a number to predict by a regression?"
    )]
    NoClasses {
        column: String,
        classes: usize,
        rows: usize,
    },
}

/// Returns the features of some rows as a model takes them, row-major.
pub(crate) fn cells(
    table: &Table,
    rows: &[usize],
    features: &[Feature],
    model: &Model,
) -> Result<Vec<Cell>, DeriveError> {
    let numbers = inputs(table, rows, features)?;
    let mut cells: Vec<Cell> = numbers.into_iter().map(Cell::from).collect();
    let inputs = model.input_tensors().iter();
    let types = inputs.flat_map(|input| std::iter::repeat_n(input.element, input.width()));
    for (at, (feature, element)) in features.iter().zip(types).enumerate() {
        if let (Type::Text, Derivation::Column(column)) = (element, &feature.derivation)
            && let Some(texts) = table.texts.get(column)
        {
            let places = cells.iter_mut().skip(at).step_by(features.len());
            for (cell, row) in places.zip(rows) {
                *cell = Cell::Text(texts[*row].to_string());
            }
        }
    }
    Ok(cells)
}

/// Derives the features of some rows, row-major.
pub(crate) fn inputs(table: &Table, rows: &[usize], features: &[Feature]) -> Result<Vec<f64>, DeriveError> {
    // A column that is kept as text alone has no numbers.
    let column = |name: &String| -> &[f64] { table.columns.get(name).map_or(&[], Vec::as_slice) };
    let mut inputs = vec![0.0; rows.len() * features.len()];
    for (at, feature) in features.iter().enumerate() {
        let cells = inputs.iter_mut().skip(at).step_by(features.len()).zip(rows);
        match &feature.derivation {
            Derivation::Column(name) => {
                let values = column(name);
                cells.for_each(|(input, row)| *input = values.get(*row).copied().unwrap_or(f64::NAN));
            }
            Derivation::Ratio([above, below]) => {
                let (above, denominators) = (column(above), column(below));
                for (input, row) in cells {
                    let feature = || feature.name.clone();
                    if denominators[*row] == 0.0 {
                        return Err(DeriveError::ZeroDenominator {
                            place: place(table, *row, below),
                            feature: feature(),
                        });
                    }
                    *input = above[*row] / denominators[*row];
                    let is_missing = above[*row].is_nan() || denominators[*row].is_nan();
                    if !input.is_finite() && !is_missing {
                        return Err(DeriveError::Overflow {
                            place: place(table, *row, below),
                            what: format!("feature {:?}", feature()),
                        });
                    }
                }
            }
        }
    }
    Ok(inputs)
}

/// Derives the numbers to predict: a true division, for a multiplication by the inverse differs by an ulp.
pub(crate) fn numbers(
    table: &Table,
    raw: &[f64],
    rows: &[usize],
    target: &Target,
) -> Result<Vec<f64>, DeriveError> {
    let divisor = target.divide_by.unwrap_or(1.0);
    let divide = |row: &usize| {
        let number = raw[*row] / divisor;
        if number.is_finite() {
            return Ok(number);
        }
        Err(DeriveError::Overflow {
            place: place(table, *row, &target.column),
            what: "the divided target".to_owned(),
        })
    };
    rows.iter().map(divide).collect()
}

/// Returns the labels of some rows in order: numbers ascending, or words where any label is one.
pub(crate) fn labels(raw: &[Label], rows: &[usize], target: &Target) -> Result<Labels, DeriveError> {
    let distinct: BTreeSet<&Label> = rows.iter().map(|row| &raw[*row]).collect();
    if distinct.len() > CLASSES_MAX {
        return Err(DeriveError::TooManyClasses {
            column: target.column.clone(),
            classes: distinct.len(),
        });
    }
    // A few rows may each have a class of their own, many may not.
    if distinct.len() > 10 && 2 * distinct.len() > rows.len() {
        return Err(DeriveError::NoClasses {
            column: target.column.clone(),
            classes: distinct.len(),
            rows: rows.len(),
        });
    }
    let numbers = distinct.iter().map(|label| match label {
        Label::Number(number) => Some(*number),
        Label::Word(_) => None,
    });
    let numbers: Option<Vec<i64>> = numbers.collect();
    Ok(numbers.map_or_else(
        || {
            let words: BTreeSet<String> = distinct.iter().map(|label| word(label)).collect();
            Labels::Words(words.into_iter().collect())
        },
        Labels::Numbers,
    ))
}

/// Finds each row's label among `labels`.
pub(crate) fn classes(raw: &[Label], rows: &[usize], labels: &Labels) -> Vec<Option<usize>> {
    let known: BTreeMap<String, usize> = match labels {
        Labels::Numbers(labels) => labels.iter().map(i64::to_string).zip(0..).collect(),
        Labels::Words(labels) => labels.iter().cloned().zip(0..).collect(),
    };
    rows.iter()
        .map(|row| known.get(&word(&raw[*row])).copied())
        .collect()
}

fn word(label: &Label) -> String {
    match label {
        Label::Number(number) => number.to_string(),
        Label::Word(word) => word.to_string(),
    }
}

/// Returns the rows of `table` as a model with these features sees them; `known` are the labels of the training rows.
pub(crate) fn rows(
    table: &Table,
    rows: &[usize],
    layout: &Layout,
    known: Option<&Labels>,
) -> Result<Rows, DeriveError> {
    let answers = match &table.target {
        RawTarget::Numbers(raw) => Answers::Numbers(numbers(table, raw, rows, &layout.target)?),
        RawTarget::Labels(raw) => {
            let labels = match known {
                Some(labels) => labels.clone(),
                None => labels(raw, rows, &layout.target)?,
            };
            Answers::Classes {
                index: classes(raw, rows, &labels),
                labels,
            }
        }
    };
    Ok(Rows {
        width: layout.features.len(),
        inputs: inputs(table, rows, &layout.features)?,
        answers,
    })
}

fn place(table: &Table, row: usize, column: &str) -> Place {
    let at = table.names.iter().position(|name| name == column);
    Place {
        uri: table.uri.clone(),
        line: table.lines[row],
        column: at.map(|at| (at + 1, column.to_owned())),
    }
}
