//! Builds a [`Table`] row by row: hashes every cell, checks and keeps the needed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use planner::names::Digest;

use super::{
    CLASSES_MAX, LABEL_MAX, Label, NUMBERS_MAX, Place, RawTarget, ReadError, Sink, TEXT_BYTES_MAX, Table,
    shown,
};
use crate::features::Layout;
use crate::holdout::{RowHash, RowHasher, RowsHasher};

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    /// A number.
    Number(f64),
    /// A number, and how a file writes it.
    Written(f64, &'a str),
    /// What is no number.
    Text(&'a str),
}

impl<'a> Cell<'a> {
    /// Reads a cell on its own, so that no other row can change what it is.
    pub(crate) fn parse(text: &'a str) -> Self {
        text.parse()
            .map_or(Self::Text(text), |number| Self::Written(number, text))
    }
}

/// What a column is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// A feature: every cell must be a finite number.
    Feature,
    /// A feature of a model that knows what a missing number means.
    FeatureOrGap,
    /// The baseline's feature: given up when a cell is no finite number.
    Optional,
    /// The same, where the baseline knows what a missing number means.
    OptionalOrGap,
}

#[derive(Debug)]
pub(super) struct Builder {
    uri: String,
    names: Vec<String>,
    /// Whether a refusal may name other columns than the one that is wrong.
    tells_names: bool,
    /// The columns that the manifest leaves out; absent where it lists the features.
    excluded: Option<Vec<String>>,
    needs: Vec<Need>,
    target_at: usize,
    kept: Vec<Vec<f64>>,
    numbers: usize,
    /// For each column that is kept as it is written its texts.
    texts: Vec<Option<Vec<Box<str>>>>,
    text_bytes: usize,
    target: RawTarget,
    words: BTreeSet<Rc<str>>,
    lines: Vec<u64>,
    hashes: Vec<RowHash>,
    hasher: RowHasher,
    /// For data without a file: its rows stand for it.
    rows: Option<RowsHasher>,
}

impl Builder {
    /// Invariant: `layout` was resolved against `names`.
    pub(super) fn new(
        uri: String,
        names: Vec<String>,
        layout: &Layout,
        hash_key: u64,
        has_file: bool,
        tells_names: bool,
    ) -> Self {
        let features = layout.raw_columns();
        let divided = layout.divided();
        let needs = names.iter().map(|name| {
            let is_feature = features.contains(name.as_str());
            if is_feature && layout.mixed.texts.contains(name) && !divided.contains(name.as_str()) {
                Need::Nothing
            } else if is_feature && layout.mixed.gaps.contains(name) {
                Need::FeatureOrGap
            } else if is_feature {
                Need::Feature
            } else if layout.optional_mixed.gaps.contains(name) {
                Need::OptionalOrGap
            } else if layout.optional.contains(name) {
                Need::Optional
            } else {
                Need::Nothing
            }
        });
        let target_at = names.iter().position(|name| *name == layout.target.column);
        Self {
            needs: needs.collect(),
            target_at: target_at.expect("invariant: the layout's target is a column"),
            kept: vec![Vec::new(); names.len()],
            numbers: 0,
            texts: names
                .iter()
                .map(|name| {
                    let is_text = [&layout.mixed, &layout.optional_mixed]
                        .iter()
                        .any(|mixed| mixed.texts.contains(name));
                    is_text.then(Vec::new)
                })
                .collect(),
            text_bytes: 0,
            target: if layout.classifies {
                RawTarget::Labels(Vec::new())
            } else {
                RawTarget::Numbers(Vec::new())
            },
            words: BTreeSet::new(),
            lines: Vec::new(),
            hashes: Vec::new(),
            hasher: RowHasher::new(hash_key, &names),
            rows: (!has_file).then(|| RowsHasher::new(&names)),
            uri,
            names,
            tells_names,
            excluded: layout.excluded.clone(),
        }
    }

    /// Says how to go on without the features that are no numbers in this row: all at once, so that nobody finds them
    /// one by one.
    fn leave_out(&self, cells: &[Cell<'_>]) -> String {
        let Some(excluded) = &self.excluded else {
            return "mend or remove the row, or take the column out of `dataset.features`".to_owned();
        };
        let columns = self.needs.iter().zip(cells).zip(&self.names);
        let no_numbers = columns
            .filter(|((need, cell), _)| {
                matches!(need, Need::Feature | Need::FeatureOrGap) && finite(**cell).is_err()
            })
            .map(|(_, name)| name);
        let names = excluded.iter().chain(no_numbers).take(20);
        let names: Vec<String> = names.map(|name| format!("{:?}", shown(name))).collect();
        let names = if self.tells_names {
            names.join(", ")
        } else {
            "…".to_owned()
        };
        format!(
            "leave the column out by `exclude: [{names}]` in `dataset`, or list the others as `dataset.features`; or \
             mend or remove the row"
        )
    }

    fn keep(&mut self, line: u64, at: usize, value: f64) -> Result<(), ReadError> {
        self.numbers += 1;
        if self.numbers > NUMBERS_MAX {
            let problem = format!("more than {NUMBERS_MAX} numbers are needed: give fewer rows or features");
            return Err(self.error(line, at, problem));
        }
        self.kept[at].push(value);
        Ok(())
    }

    fn keep_texts(&mut self, line: u64, cells: &[Cell<'_>]) -> Result<(), ReadError> {
        for (at, cell) in cells.iter().enumerate() {
            let Some(texts) = &mut self.texts[at] else {
                continue;
            };
            let text: Box<str> = match cell {
                Cell::Written(_, text) | Cell::Text(text) => (*text).into(),
                Cell::Number(number) => number.to_string().into(),
            };
            self.text_bytes += size_of::<Box<str>>() + text.len();
            texts.push(text);
            if self.text_bytes > TEXT_BYTES_MAX {
                let problem = format!(
                    "more than {TEXT_BYTES_MAX} bytes of texts are needed: give fewer rows or features"
                );
                return Err(self.error(line, at, problem));
            }
        }
        Ok(())
    }

    fn push_target(&mut self, line: u64, cell: Cell<'_>) -> Result<(), ReadError> {
        let at = self.target_at;
        match &mut self.target {
            RawTarget::Numbers(numbers) => match finite(cell) {
                Ok(value) => numbers.push(value),
                Err(problem) => {
                    let hint = "mend or remove the row, or take another target";
                    return Err(self.error(line, at, format!("{problem}: {hint}")));
                }
            },
            RawTarget::Labels(labels) => match label(cell, &mut self.words) {
                Ok(label) => labels.push(label),
                Err(problem) => return Err(self.error(line, at, problem)),
            },
        }
        if self.words.len() > CLASSES_MAX {
            let problem = format!(
                "there are more than the {CLASSES_MAX} classes allowed: is it a number to predict by a regression?"
            );
            return Err(self.error(line, at, problem));
        }
        Ok(())
    }

    /// Returns the error of a cell, counted from 0.
    pub(super) fn error(&self, line: u64, at: usize, problem: String) -> ReadError {
        let column = Some((at + 1, self.names[at].clone()));
        let uri = self.uri.clone();
        ReadError::At {
            place: Place { uri, line, column },
            problem,
        }
    }
}

impl Sink for Builder {
    type Made = Table;

    fn push(&mut self, line: u64, cells: &[Cell<'_>]) -> Result<(), ReadError> {
        for (at, cell) in cells.iter().enumerate() {
            match (self.needs[at], *cell) {
                (Need::Nothing, _) => {}
                (Need::FeatureOrGap | Need::OptionalOrGap, cell) if is_missing(cell) => {
                    self.keep(line, at, f64::NAN)?;
                }
                (Need::Feature | Need::FeatureOrGap, cell) => match finite(cell) {
                    Ok(value) => self.keep(line, at, value)?,
                    Err(problem) => {
                        let hint = self.leave_out(cells);
                        return Err(self.error(line, at, format!("{problem}: {hint}")));
                    }
                },
                (Need::Optional | Need::OptionalOrGap, cell) => {
                    if let Ok(value) = finite(cell) {
                        self.keep(line, at, value)?;
                    } else {
                        self.needs[at] = Need::Nothing;
                        self.kept[at] = Vec::new();
                    }
                }
            }
        }
        self.keep_texts(line, cells)?;
        self.push_target(line, cells[self.target_at])?;
        self.lines.push(line);
        self.hashes.push(self.hasher.hash(cells));
        if let Some(rows) = &mut self.rows {
            rows.add(cells);
        }
        Ok(())
    }

    fn finish(self, file: Option<Digest>) -> Table {
        let digest = file.or_else(|| self.rows.map(RowsHasher::finish));
        let texts = self.names.iter().zip(self.texts);
        let texts = texts.filter_map(|(name, texts)| Some((name.clone(), texts?)));
        let texts = texts.collect();
        let needed = self.names.iter().zip(self.needs).zip(self.kept);
        let columns: BTreeMap<String, Vec<f64>> = needed
            .filter(|((_, need), _)| *need != Need::Nothing)
            .map(|((name, _), values)| (name.clone(), values))
            .collect();
        Table {
            uri: self.uri,
            names: self.names,
            columns,
            texts,
            target: self.target,
            lines: self.lines,
            hashes: self.hashes,
            digest: digest.expect("invariant: rows without a file are hashed"),
            sighting: None,
        }
    }
}

/// What other tools read as a missing value. `NA` is none of them where a class label is meant: it is Namibia too.
const MISSING: [&str; 14] = [
    "#N/A", "#NA", "<NA>", "N/A", "n/a", "NaN", "nan", "NAN", "-NaN", "-nan", "NULL", "null", "None", "?",
];

/// Says whether a cell stands for a number that is not there.
pub(crate) fn is_missing(cell: Cell<'_>) -> bool {
    match cell {
        Cell::Number(number) => number.is_nan(),
        Cell::Written(_, text) | Cell::Text(text) => text.is_empty() || is_word_for_missing(text),
    }
}

/// Says whether a text stands for a missing number in other tools.
fn is_word_for_missing(text: &str) -> bool {
    text == "NA" || MISSING.contains(&text)
}

fn finite(cell: Cell<'_>) -> Result<f64, String> {
    match cell {
        Cell::Number(value) | Cell::Written(value, _) if value.is_finite() => Ok(value),
        Cell::Text("") => Err("the cell is empty, and a number is needed".to_owned()),
        Cell::Text(text) | Cell::Written(_, text) if is_word_for_missing(text) => Err(format!(
            "{:?} stands for a missing value, and a number is needed",
            shown(text)
        )),
        Cell::Written(value, _) | Cell::Number(value) => Err(format!("{value} is not a finite number")),
        Cell::Text(text) => Err(format!("{:?} is not a number", shown(text))),
    }
}

fn label(cell: Cell<'_>, words: &mut BTreeSet<Rc<str>>) -> Result<Label, String> {
    let text = match cell {
        // Data without a file: below 2^53 every whole double is one integer.
        Cell::Number(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            let number = value as i64;
            return Ok(Label::Number(number));
        }
        Cell::Number(value) => return Err(format!("{value} is no class label")),
        Cell::Written(_, text) | Cell::Text(text) => text,
    };
    if text.is_empty() {
        return Err(
            "the cell is empty, and a class label is needed: remove the row, or name the class".to_owned(),
        );
    }
    if MISSING.contains(&text) {
        return Err(format!(
            "{:?} stands for a missing value, and a class label is needed: remove the row, or give the class \
             another word",
            shown(text)
        ));
    }
    if text.len() > LABEL_MAX {
        return Err(format!("a class label has at most {LABEL_MAX} bytes"));
    }
    // `01`, `+1` and `1E3` are words: a class is what the data calls it.
    if let Some(number) = text
        .parse()
        .ok()
        .filter(|number: &i64| number.to_string() == text)
    {
        return Ok(Label::Number(number));
    }
    if let Some(word) = words.get(text) {
        return Ok(Label::Word(Rc::clone(word)));
    }
    let word: Rc<str> = text.into();
    words.insert(Rc::clone(&word));
    Ok(Label::Word(word))
}
