//! What each quarter of a soak showed, and whether the last is worse than the second.

use crate::figures::{Limit, Report, median};

/// By how much the last quarter may be above the second.
const GROWTH_MAX: f64 = 1.05;

/// What was seen in a quarter of the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Quarter {
    /// Resident memory of the process and its children each second, in MB.
    pub(super) resident: Vec<f64>,
    /// Their open descriptors each second.
    pub(super) descriptors: Vec<f64>,
    /// Processor time of a commit, beyond what the load takes by itself, in milliseconds.
    pub(super) processor: f64,
    /// How many commits there were.
    pub(super) commits: u64,
    /// How long each answer took, in milliseconds.
    pub(super) latencies: Vec<f64>,
    /// How many requests failed.
    pub(super) failed: u64,
    /// The data directory at its end, in MB.
    pub(super) disk: f64,
}

/// What is read off a quarter.
type Of = fn(&Quarter) -> f64;

impl Quarter {
    /// Says it in a line.
    pub(super) fn line(&self) -> String {
        format!(
            "{} commits, {:.1} MB, {:.0} descriptors, {:.2} ms of processor a commit, p50 {:.2} ms, p99 {:.2} ms, {:.2} MB on disk",
            self.commits,
            median(&self.resident),
            median(&self.descriptors),
            self.processor,
            median(&self.latencies),
            percentile(&self.latencies, 0.99),
            self.disk,
        )
    }
}

/// Makes the report of all quarters; `applied` is how long the last commit took to be applied, in seconds.
///
/// Memory, descriptors, processor time and the median latency are held against the second quarter; the p99 is the
/// machine's as much as ours, and the disk keeps a line for each promotion: both are shown.
pub(super) fn report(quarters: &[Quarter], applied: f64) -> Report {
    let mut report = Report::new("benchmark soak");
    let figures: [(&str, &str, bool, Of); 6] = [
        ("resident memory", "MB", true, |quarter| median(&quarter.resident)),
        ("open descriptors", "", true, |quarter| {
            median(&quarter.descriptors)
        }),
        ("processor of a commit", "ms", true, |quarter| quarter.processor),
        ("latency, median", "ms", true, |quarter| {
            median(&quarter.latencies)
        }),
        ("latency, p99", "ms", false, |quarter| {
            percentile(&quarter.latencies, 0.99)
        }),
        ("data directory", "MB", false, |quarter| quarter.disk),
    ];
    for (name, unit, is_held, of) in figures {
        let values: Vec<f64> = quarters.iter().map(of).collect();
        report.figure(name, unit, Limit::None, &values);
        let by_quarter: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
        report.note(
            format!("{name} by quarter: {} {unit}", by_quarter.join(", "))
                .trim_end()
                .to_owned(),
        );
        if is_held {
            let growth = match values[..] {
                [_, second, _, last] => last / second,
                _ => f64::NAN,
            };
            let name = format!("{name}, last quarter / second");
            report.figure(name, "", Limit::AtMost(GROWTH_MAX), &[growth]);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of some ten thousand")]
    let count = |of: fn(&Quarter) -> u64| quarters.iter().map(of).sum::<u64>() as f64;
    report.figure("commits", "", Limit::None, &[count(|quarter| quarter.commits)]);
    report.figure(
        "failed requests",
        "",
        Limit::AtMost(0.0),
        &[count(|quarter| quarter.failed)],
    );
    report.figure("last commit applied after", "s", Limit::AtMost(1.0), &[applied]);
    report
}

/// Returns the value that a share of the values is at most; NaN of nothing.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (share * sorted.len() as f64) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarter(resident: f64, processor: f64) -> Quarter {
        Quarter {
            resident: vec![resident; 3],
            descriptors: vec![50.0],
            processor,
            commits: 10,
            latencies: vec![0.5, 0.5, 9.0],
            failed: 0,
            disk: 1.0,
        }
    }

    #[test]
    fn the_last_quarter_is_held_against_the_second() {
        let check = |last: Quarter, holds: bool| {
            let quarters = [quarter(20.0, 9.0), quarter(30.0, 6.0), quarter(90.0, 90.0), last];
            assert_eq!(
                report(&quarters, 0.5).holds(),
                holds,
                "{}",
                report(&quarters, 0.5)
            );
        };
        check(quarter(30.0, 6.0), true);
        check(quarter(31.4, 6.29), true);
        check(quarter(31.6, 6.0), false);
        check(quarter(30.0, 6.31), false);
        check(
            Quarter {
                descriptors: vec![53.0],
                ..quarter(30.0, 6.0)
            },
            false,
        );
        check(
            Quarter {
                latencies: vec![0.6],
                ..quarter(30.0, 6.0)
            },
            false,
        );
        check(
            Quarter {
                latencies: Vec::new(),
                ..quarter(30.0, 6.0)
            },
            false,
        );
        check(
            Quarter {
                failed: 1,
                ..quarter(30.0, 6.0)
            },
            false,
        );
        assert!(
            !report(&[quarter(1.0, 1.0)], 0.5).holds(),
            "a soak has four quarters"
        );
        assert!(
            !report(&vec![quarter(1.0, 1.0); 4], 2.0).holds(),
            "the last commit is applied within a second"
        );
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((percentile(&values, 0.99) - 199.0).abs() < 1e-9);
        assert!((percentile(&[7.0], 0.99) - 7.0).abs() < 1e-9);
        assert!(percentile(&[], 0.99).is_nan());
    }
}
