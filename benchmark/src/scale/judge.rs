//! What is measured of each size, what it is held against, and how it grows from size to size.

use std::collections::{BTreeMap, BTreeSet};

use crate::figures::{Limit, Report, median};

/// How much dearer a commit may be than with the fewest models.
const COMMIT_GROWTH_MAX: f64 = 2.0;

/// One thing that is measured of an environment, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    /// From the start on an empty data directory until all is trained, answers and has its alias.
    Convergence,
    /// From the start on a registry that has every version until all answers and has its alias.
    Adoption,
    /// Resident memory after convergence.
    Resident,
    /// The most memory that was resident up to convergence and rest.
    Peak,
    /// From there until it takes next to nothing: what was written last is looked at once more.
    Settling,
    /// Processor time while nothing happens.
    Rest,
    /// Processor time of one commit that moves one weight, beyond rest.
    Commit,
    /// The mean of the same, which no commit escapes.
    CommitMean,
    /// From such a commit to the first answer that follows it.
    Traffic,
    /// Processor time of a commit after a hundred of them.
    CommitLate,
    /// Resident memory then.
    ResidentLate,
    /// `/metrics`.
    Metrics,
    /// From SIGTERM to the end.
    Stop,
    /// From a start on the same data directory to the first correct answer.
    RestartFirst,
    /// From there until every track answers.
    RestartAll,
    /// `aurora validate` of the repository alone.
    Validate,
    /// `aurora validate` with the data directory, whose registry pins are held against.
    ValidateApplied,
}

/// What was measured with one number of models.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) models: usize,
    pub(crate) values: BTreeMap<Quantity, Vec<f64>>,
}

impl Quantity {
    fn name(self) -> &'static str {
        match self {
            Self::Convergence => "cold convergence",
            Self::Adoption => "first start, all versions there",
            Self::Resident => "resident memory",
            Self::Peak => "peak of resident memory",
            Self::Settling => "until at rest",
            Self::Rest => "at rest",
            Self::Commit => "processor of a one-weight commit",
            Self::CommitMean => "the same, mean of all",
            Self::Traffic => "commit to traffic",
            Self::CommitLate => "processor of a commit after 100",
            Self::ResidentLate => "resident memory after 100 commits",
            Self::Metrics => "/metrics, per model",
            Self::Stop => "SIGTERM to end",
            Self::RestartFirst => "restart to the first correct answer",
            Self::RestartAll => "restart until all answer",
            Self::Validate => "aurora validate",
            Self::ValidateApplied => "aurora validate, with its registry",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Convergence
            | Self::Adoption
            | Self::Stop
            | Self::Settling
            | Self::RestartFirst
            | Self::RestartAll
            | Self::Validate
            | Self::ValidateApplied => "s",
            Self::Resident | Self::Peak | Self::ResidentLate => "MB",
            Self::Rest => "% of a core",
            Self::Commit | Self::CommitMean | Self::Traffic | Self::CommitLate => "ms",
            Self::Metrics => "bytes",
        }
    }

    /// Returns up to how many models which median is allowed, the smaller number first.
    fn limits(self) -> &'static [(usize, f64)] {
        match self {
            Self::Convergence => &[(1_000, 20.0)],
            Self::Resident => &[(1_000, 60.0), (10_000, 500.0)],
            Self::Rest => &[(10_000, 1.0)],
            Self::Commit => &[(10_000, 100.0)],
            Self::Traffic => &[(10_000, 300.0)],
            Self::RestartFirst => &[(1_000, 1.0), (10_000, 10.0)],
            Self::Validate => &[(10_000, 2.0)],
            Self::Adoption
            | Self::Peak
            | Self::Settling
            | Self::CommitMean
            | Self::CommitLate
            | Self::ResidentLate
            | Self::Metrics
            | Self::Stop
            | Self::RestartAll
            | Self::ValidateApplied => &[],
        }
    }

    /// Returns what holds for a number of models: what is promised of more models is promised of fewer.
    fn limit(self, models: usize) -> Limit {
        let mut limits = self.limits().iter();
        limits
            .find(|(models_max, _)| models <= *models_max)
            .map_or(Limit::None, |(_, limit)| Limit::MedianAtMost(*limit))
    }
}

impl Measured {
    pub(crate) fn new(models: usize) -> Self {
        Self {
            models,
            values: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, quantity: Quantity, value: f64) {
        self.values.entry(quantity).or_default().push(value);
    }

    fn median(&self, quantity: Quantity) -> Option<f64> {
        self.values.get(&quantity).map(|values| median(values))
    }
}

/// Judges each size, and how the sizes compare; `sizes` in the order in which they were measured, ascending.
pub(crate) fn report(sizes: &[Measured]) -> Report {
    let mut report = Report::new("benchmark scale");
    for size in sizes {
        let models = grouped(size.models);
        for (quantity, values) in &size.values {
            let name = format!("{models} models: {}", quantity.name());
            report.figure(name, quantity.unit(), quantity.limit(size.models), values);
        }
    }
    let Some((fewest, larger)) = sizes.split_first() else {
        return report;
    };
    for size in larger {
        // A cost that noise made nothing or less is none that another can be compared with.
        let cost = |size: &Measured| {
            let cost = size.median(Quantity::Commit).filter(|cost| *cost > 0.0);
            cost.unwrap_or(f64::NAN)
        };
        let name = format!(
            "{} models: a commit's processor, times that of {}",
            grouped(size.models),
            grouped(fewest.models)
        );
        report.figure(
            name,
            "",
            Limit::MedianAtMost(COMMIT_GROWTH_MAX),
            &[cost(size) / cost(fewest)],
        );
    }
    for line in growth(sizes) {
        report.note(line);
    }
    report
}

/// Says by which factor each median grew from one size to the next.
fn growth(sizes: &[Measured]) -> Vec<String> {
    if sizes.len() < 2 {
        return Vec::new();
    }
    let models: Vec<String> = sizes.iter().map(|size| grouped(size.models)).collect();
    let mut lines = vec![format!("growth of the medians, {} models:", models.join(" -> "))];
    let quantities: BTreeSet<Quantity> = sizes
        .iter()
        .flat_map(|size| size.values.keys().copied())
        .collect();
    for quantity in quantities {
        let factors: Vec<String> = sizes
            .windows(2)
            .map(
                |pair| match (pair[0].median(quantity), pair[1].median(quantity)) {
                    (Some(before), Some(after)) if before > 0.0 => format!("x {:.1}", after / before),
                    _ => "-".to_owned(),
                },
            )
            .collect();
        let factors: Vec<String> = factors.iter().map(|factor| format!("{factor:>8}")).collect();
        lines.push(format!("  {:36}{}", quantity.name(), factors.concat()));
    }
    lines
}

/// Writes a number with commas between thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
