//! How what two models say of the same rows differs: by how much, where most, in which parts of the data, and who is nearer to
//! the truth where that is known.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use planner::training::Metric;
use registry::artifact::{Gives, Model, Predictions, Unanswered};
use registry::metadata::Labels;

use crate::scoring::Batch;

/// How many of the rows that differ most are kept.
pub const WORST: usize = 10;
/// In how many parts rows are cut by a column of numbers.
const PARTS: usize = 4;
/// How many of the parts that a column of texts makes are told apart; the rest is one.
const TEXTS_MAX: usize = 20;
/// From so many different numbers on a column is cut into ranges.
const RANGES_FROM: usize = 10;

/// Why two models cannot be compared row by row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// One predicts a number, the other a class.
    #[error("one predicts numbers and the other one classes")]
    OtherKind,
    /// They tell other classes apart.
    #[error("they tell other classes apart: {0}, and {1}")]
    OtherClasses(String, String),
    /// They predict several numbers at once.
    #[error("they predict several numbers at once")]
    Several,
}

/// What differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How many rows were compared.
    pub rows: u64,
    /// By how much predictions differ, without their sign: of numbers in their unit, of classes the largest difference of a
    /// probability, or 1 where another class is said and one of them gives no probabilities.
    pub difference: Spread,
    /// The mean of the second's predictions less the first's; of numbers.
    pub shift: Option<f64>,
    /// How many rows get another class; of classes.
    pub changed: Option<u64>,
    /// The rows that differ most, the largest difference first.
    pub worst: Vec<Row>,
    /// The parts of the data by a column, in its order.
    pub parts: Vec<Part>,
    /// How many rows have a known answer, and what each model reaches on them.
    pub measured: Option<(u64, [BTreeMap<String, f64>; 2])>,
}

/// How differences are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// What nine tenths are at most.
    pub p90: f64,
    /// What ninety-nine in a hundred are at most.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// One row of which the models say different things.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line in the file.
    pub line: u64,
    /// What each of them says.
    pub said: [Said; 2],
    /// By how much that differs, without its sign.
    pub difference: f64,
}

/// What a model says of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A number.
    Number(f64),
    /// A class; [`None`] for one that the signature does not list.
    Class(Option<String>),
}

/// Some of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// A text of the column, or a range of its numbers.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The mean of the differences, without their sign.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// Two models under comparison.
#[derive(Debug)]
pub struct Comparing<'m> {
    models: [&'m Model; 2],
    /// For each class of the first model its place among the second's.
    classes: Option<Vec<usize>>,
    differences: Vec<f64>,
    shift: f64,
    changed: u64,
    worst: Vec<Row>,
    /// Which columns stand beside, in this order: the one that parts the data, and the answer.
    by: bool,
    answer: Option<f64>,
    /// The cell that parts the data, of each row.
    parting: Vec<String>,
    scores: [Score; 2],
    answered: u64,
}

impl<'m> Comparing<'m> {
    /// Begins with two models. Each batch brings beside its rows the cells of the column that parts the data, if `by` says so,
    /// and then those of the answer, if there is one: `divide_by` is what its numbers are divided by.
    ///
    /// # Errors
    ///
    /// They cannot be compared.
    pub fn new(models: [&'m Model; 2], by: bool, answer: Option<Option<f64>>) -> Result<Self, Incomparable> {
        let classes = match models.map(Model::gives) {
            [
                Gives::Numbers { prediction: first },
                Gives::Numbers { prediction: second },
            ] => {
                let width = |model: &Model, place: usize| model.output_tensors()[place].width();
                if width(models[0], first) != 1 || width(models[1], second) != 1 {
                    return Err(Incomparable::Several);
                }
                None
            }
            [Gives::Classes { .. }, Gives::Classes { .. }] => Some(places(models)?),
            _ => return Err(Incomparable::OtherKind),
        };
        Ok(Self {
            models,
            classes,
            differences: Vec::new(),
            shift: 0.0,
            changed: 0,
            worst: Vec::new(),
            by,
            answer: answer.map(|divide_by| divide_by.unwrap_or(1.0)),
            parting: Vec::new(),
            scores: [Score::default(), Score::default()],
            answered: 0,
        })
    }

    /// Lets both say what they say of some rows.
    ///
    /// # Errors
    ///
    /// One of them gives no answer.
    pub fn add(&mut self, batch: &Batch<'_>) -> Result<(), Unanswered> {
        let rows = batch.lines.len();
        let said = |at: usize| self.models[at].predictions(&batch.inputs[at], rows);
        let (first, second) = (said(0)?, said(1)?);
        let beside = usize::from(self.by) + usize::from(self.answer.is_some());
        for row in 0..rows {
            let cells = &batch.beside[row * beside..][..beside];
            let (difference, said) = self.difference(&first, &second, row);
            self.differences.push(difference);
            self.note(batch.lines[row], difference, said);
            if self.by {
                self.parting.push(cells[0].clone());
            }
            if let (Some(divide_by), Some(answer)) = (self.answer, cells.last()) {
                self.score(&first, &second, row, answer, divide_by);
            }
        }
        Ok(())
    }

    fn difference(&mut self, first: &Predictions, second: &Predictions, row: usize) -> (f64, [Said; 2]) {
        match (first, second) {
            (Predictions::Numbers(first), Predictions::Numbers(second)) => {
                let (first, second) = (first[row], second[row]);
                self.shift += second - first;
                (
                    (second - first).abs(),
                    [Said::Number(first), Said::Number(second)],
                )
            }
            (Predictions::Classes { index: a, .. }, Predictions::Classes { index: b, .. }) => {
                let places = self.classes.as_deref().unwrap_or_default();
                let moved = a[row].map(|class| places[class]);
                let is_same = moved == b[row] && moved.is_some();
                self.changed += u64::from(!is_same);
                let difference =
                    probabilities(first, second, places, row).unwrap_or(if is_same { 0.0 } else { 1.0 });
                let class = |model: &Model, at: Option<usize>| {
                    Said::Class(at.map(|at| label(&model.signature().labels, at)))
                };
                let said = [class(self.models[0], a[row]), class(self.models[1], b[row])];
                (difference, said)
            }
            _ => unreachable!("invariant: both are of one kind"),
        }
    }

    /// Keeps a row that is among the worst.
    fn note(&mut self, line: u64, difference: f64, said: [Said; 2]) {
        let is_less = |kept: &Row| worse(kept.difference, difference) != Ordering::Greater;
        if difference == 0.0 || self.worst.iter().filter(|kept| is_less(kept)).count() >= WORST {
            return;
        }
        let at = self.worst.partition_point(is_less);
        self.worst.insert(
            at,
            Row {
                line,
                said,
                difference,
            },
        );
        self.worst.truncate(WORST);
    }

    fn score(&mut self, first: &Predictions, second: &Predictions, row: usize, answer: &str, divide_by: f64) {
        let answers = [0, 1].map(|at: usize| match self.models[at].gives() {
            Gives::Numbers { .. } => {
                let number = answer.parse().ok().map(|number: f64| number / divide_by);
                number.filter(|number| number.is_finite()).map(Answer::Number)
            }
            Gives::Classes { .. } => {
                let labels = &self.models[at].signature().labels;
                (!answer.is_empty()).then(|| Answer::Class(place(labels, answer)))
            }
        });
        let [Some(one), Some(other)] = answers else {
            return;
        };
        self.answered += 1;
        self.scores[0].add(first, row, one);
        self.scores[1].add(second, row, other);
    }

    /// Returns what was found.
    pub fn finish(self) -> Comparison {
        let rows = self.differences.len();
        let mut sorted = self.differences.clone();
        sorted.sort_by(|a, b| worse(*b, *a));
        let is_classes = self.classes.is_some();
        Comparison {
            rows: rows as u64,
            difference: Spread::of(&sorted),
            shift: (!is_classes).then(|| self.shift / rows.max(1) as f64),
            changed: is_classes.then_some(self.changed),
            parts: parts(&self.parting, &self.differences),
            measured: (self.answered > 0)
                .then(|| (self.answered, self.scores.map(|score| score.metrics(is_classes)))),
            worst: self.worst,
        }
    }
}

impl Spread {
    /// Of values in ascending order.
    fn of(sorted: &[f64]) -> Self {
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count"
            )]
            let place = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
            sorted.get(place).copied().unwrap_or(0.0)
        };
        Self {
            mean: sorted.iter().fold(0.0, |sum, value| sum + value) / sorted.len().max(1) as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// Orders differences, the largest first; what is no number is larger than all.
fn worse(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.total_cmp(&a),
        (a, b) => b.cmp(&a),
    }
}

/// Returns the place of each class of the first model among the second's.
fn places(models: [&Model; 2]) -> Result<Vec<usize>, Incomparable> {
    let [first, second] = models.map(|model| &model.signature().labels);
    let found = (0..first.len()).map(|at| place(second, &label(first, at)));
    let found: Option<Vec<usize>> = found.collect();
    match found.filter(|_| first.len() == second.len()) {
        Some(places) => Ok(places),
        None => Err(Incomparable::OtherClasses(listed(first), listed(second))),
    }
}

fn listed(labels: &Labels) -> String {
    const NAMED: usize = 5;
    let named: Vec<String> = (0..labels.len().min(NAMED)).map(|at| label(labels, at)).collect();
    match labels.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn label(labels: &Labels, at: usize) -> String {
    match labels {
        Labels::Numbers(labels) => labels[at].to_string(),
        Labels::Words(labels) => labels[at].clone(),
    }
}

fn place(labels: &Labels, word: &str) -> Option<usize> {
    match labels {
        Labels::Numbers(labels) => labels.iter().position(|label| label.to_string() == word),
        Labels::Words(labels) => labels.iter().position(|label| label == word),
    }
}

/// Returns the largest difference of a class's probability; [`None`] where one of the models gives none.
fn probabilities(first: &Predictions, second: &Predictions, places: &[usize], row: usize) -> Option<f64> {
    let of_row = |predictions: &Predictions| match predictions {
        Predictions::Classes { probabilities, k, .. } if !probabilities.is_empty() => {
            Some(probabilities[row * k..][..*k].to_vec())
        }
        _ => None,
    };
    let (first, second) = (of_row(first)?, of_row(second)?);
    let differences = places
        .iter()
        .enumerate()
        .map(|(at, place)| (first[at] - second[*place]).abs());
    Some(differences.fold(0.0, f64::max))
}

/// Cuts rows into parts: by the texts of a column, or by ranges of its numbers where it has many.
fn parts(cells: &[String], differences: &[f64]) -> Vec<Part> {
    let numbers: Option<Vec<f64>> = cells.iter().map(|cell| cell.parse().ok()).collect();
    let mut distinct: Vec<&String> = cells.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    match numbers.filter(|_| distinct.len() >= RANGES_FROM) {
        Some(numbers) => by_range(&numbers, differences),
        None => by_text(cells, differences),
    }
}

fn by_range(numbers: &[f64], differences: &[f64]) -> Vec<Part> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..PARTS)
        .map(|part| sorted[part * sorted.len() / PARTS])
        .collect();
    edges.dedup();
    let mut parts: Vec<Vec<f64>> = vec![Vec::new(); edges.len() + 1];
    for (number, difference) in numbers.iter().zip(differences) {
        parts[edges.partition_point(|edge| edge <= number)].push(*difference);
    }
    let name = |at: usize| match (at.checked_sub(1).map(|below| edges[below]), edges.get(at)) {
        (None, Some(end)) => format!("below {end}"),
        (Some(start), Some(end)) => format!("{start} to below {end}"),
        (Some(start), None) => format!("from {start} on"),
        (None, None) => "all".to_owned(),
    };
    let named = parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
    named.map(|(at, part)| Part::of(name(at), part)).collect()
}

fn by_text(cells: &[String], differences: &[f64]) -> Vec<Part> {
    let mut texts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (cell, difference) in cells.iter().zip(differences) {
        texts.entry(cell).or_default().push(*difference);
    }
    let mut by_rows: Vec<(&str, Vec<f64>)> = texts.into_iter().collect();
    by_rows.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    let others: Vec<(&str, Vec<f64>)> = by_rows.split_off(by_rows.len().min(TEXTS_MAX));
    by_rows.sort_by_key(|(text, _)| *text);
    let named = by_rows
        .iter()
        .map(|(text, rows)| Part::of(format!("{text:?}"), rows));
    let mut parts: Vec<Part> = named.collect();
    if !others.is_empty() {
        let name = format!("{} others", others.len());
        let rows: Vec<f64> = others.into_iter().flat_map(|(_, rows)| rows).collect();
        parts.push(Part::of(name, &rows));
    }
    parts
}

impl Part {
    fn of(name: String, differences: &[f64]) -> Self {
        Self {
            name,
            rows: differences.len() as u64,
            mean: differences.iter().sum::<f64>() / differences.len().max(1) as f64,
            max: differences.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The answer of a row.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Number(f64),
    /// Its place among the model's labels.
    Class(Option<usize>),
}

/// What a model reaches, row after row.
#[derive(Debug, Default)]
struct Score {
    rows: f64,
    /// The mean of the answers, and the sum of their squared distances to it (Welford).
    mean: f64,
    total: f64,
    squared: f64,
    absolute: f64,
    right: f64,
    loss: f64,
    has_loss: bool,
}

impl Score {
    /// Probabilities are not taken as smaller than this.
    const PROBABILITY_MIN: f64 = 1e-15;

    fn add(&mut self, predictions: &Predictions, row: usize, answer: Answer) {
        self.rows += 1.0;
        match (predictions, answer) {
            (Predictions::Numbers(numbers), Answer::Number(answer)) => {
                let before = answer - self.mean;
                self.mean += before / self.rows;
                self.total += before * (answer - self.mean);
                let error = numbers[row] - answer;
                self.squared += error * error;
                self.absolute += error.abs();
            }
            (
                Predictions::Classes {
                    index,
                    probabilities,
                    k,
                },
                Answer::Class(answer),
            ) => {
                self.right += f64::from(u8::from(answer.is_some() && index[row] == answer));
                if !probabilities.is_empty() {
                    self.has_loss = true;
                    let given = answer.map_or(0.0, |class| probabilities[row * k + class]);
                    self.loss -= given.max(Self::PROBABILITY_MIN).ln();
                }
            }
            _ => {}
        }
    }

    fn metrics(self, is_classes: bool) -> BTreeMap<String, f64> {
        let r2 = match self.total {
            total if total > 0.0 => 1.0 - self.squared / total,
            _ if self.squared == 0.0 => 1.0,
            _ => 0.0,
        };
        let metrics = if is_classes {
            let loss = self.has_loss.then_some((Metric::LogLoss, self.loss / self.rows));
            [Some((Metric::Accuracy, self.right / self.rows)), loss, None]
        } else {
            [
                Some((Metric::R2, r2)),
                Some((Metric::Rmse, (self.squared / self.rows).sqrt())),
                Some((Metric::Mae, self.absolute / self.rows)),
            ]
        };
        let metrics = metrics.into_iter().flatten();
        metrics
            .map(|(metric, value)| (metric.as_str().to_owned(), value))
            .collect()
    }
}

#[cfg(test)]
mod tests;
