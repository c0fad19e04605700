//! What the ends of builds and tests say of a mutant, and the table of many.

use std::collections::BTreeMap;
use std::fmt;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Passed,
    Failed,
    /// Its time was over.
    TimedOut,
}

/// How building the tests of a crate ended and, where that passed, the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) build: End,
    pub(super) tests: Option<End>,
}

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A test failed.
    Caught,
    /// It ran for ever, as far as we waited.
    TimedOut,
    /// Its own crate does not build: it is no program.
    Unviable,
    /// No test tells it from the original.
    Alive,
}

/// Judges a mutant by its own crate's tests, and then by those of the crates above as far as they were tried.
///
/// [`Verdict::Alive`] is the word of those that were tried: it stands once there is no other crate to try.
pub(super) fn judge(own: Tried, above: &[Tried]) -> Verdict {
    match own.build {
        End::Passed => {}
        End::Failed => return Verdict::Unviable,
        End::TimedOut => return Verdict::TimedOut,
    }
    let ends = std::iter::once(&own).chain(above).map(|tried| tried.end());
    match ends.into_iter().find(|end| *end != End::Passed) {
        Some(End::Failed) => Verdict::Caught,
        Some(End::TimedOut) => Verdict::TimedOut,
        Some(End::Passed) | None => Verdict::Alive,
    }
}

impl Tried {
    /// What fails first decides: a crate above that does not build tells the mutant as well as a test does.
    fn end(self) -> End {
        match self.build {
            End::Passed => self.tests.unwrap_or(End::Passed),
            other => other,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Caught => "caught",
            Self::TimedOut => "time-out",
            Self::Unviable => "unviable",
            Self::Alive => "alive",
        })
    }
}

/// How many of a sample had each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    caught: usize,
    timed_out: usize,
    unviable: usize,
    alive: usize,
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Caught => &mut self.caught,
            Verdict::TimedOut => &mut self.timed_out,
            Verdict::Unviable => &mut self.unviable,
            Verdict::Alive => &mut self.alive,
        } += 1;
    }

    fn viable(self) -> usize {
        self.caught + self.timed_out + self.alive
    }

    fn sampled(self) -> usize {
        self.viable() + self.unviable
    }
}

/// The counts of each crate, shown as a table in Markdown.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<String, Counts>);

impl Table {
    pub(super) fn add(&mut self, package: &str, verdict: Verdict) {
        self.0.entry(package.to_owned()).or_default().add(verdict);
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.0.values() {
            total.caught += counts.caught;
            total.timed_out += counts.timed_out;
            total.unviable += counts.unviable;
            total.alive += counts.alive;
        }
        total
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| crate | sampled | caught | time-outs | unviable | alive |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let total = self.total();
        let rows = self.0.iter().map(|(package, counts)| (package.as_str(), *counts));
        for (package, counts) in rows.chain([("all", total)]) {
            writeln!(
                f,
                "| {package} | {} | {} | {} | {} | {} |",
                counts.sampled(),
                counts.caught,
                counts.timed_out,
                counts.unviable,
                counts.alive
            )?;
        }
        write!(f, "{} of {} viable alive", total.alive, total.viable())?;
        if let Some(per_mille) = (total.alive * 1000).checked_div(total.viable()) {
            write!(f, ", {}.{} %", per_mille / 10, per_mille % 10)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: Tried = tested(End::Passed);
    const FAILED: Tried = tested(End::Failed);
    const STUCK: Tried = tested(End::TimedOut);

    const fn tested(end: End) -> Tried {
        Tried {
            build: End::Passed,
            tests: Some(end),
        }
    }

    const fn not_built(end: End) -> Tried {
        Tried {
            build: end,
            tests: None,
        }
    }

    #[test]
    fn the_first_that_does_not_pass_decides() {
        let cases: [(Tried, &[Tried], Verdict); 10] = [
            (PASSED, &[], Verdict::Alive),
            (PASSED, &[PASSED, PASSED], Verdict::Alive),
            (FAILED, &[], Verdict::Caught),
            (STUCK, &[], Verdict::TimedOut),
            (not_built(End::Failed), &[], Verdict::Unviable),
            (not_built(End::TimedOut), &[], Verdict::TimedOut),
            (PASSED, &[PASSED, FAILED], Verdict::Caught),
            (PASSED, &[STUCK, FAILED], Verdict::TimedOut),
            (PASSED, &[not_built(End::Failed)], Verdict::Caught),
            (PASSED, &[not_built(End::TimedOut)], Verdict::TimedOut),
        ];
        for (own, above, verdict) in cases {
            assert_eq!(judge(own, above), verdict, "{own:?} {above:?}");
        }
    }

    #[test]
    fn a_table_counts_by_crate_and_all() {
        let mut table = Table::default();
        for (package, verdict, times) in [
            ("server", Verdict::Caught, 4),
            ("server", Verdict::Alive, 1),
            ("crds", Verdict::TimedOut, 2),
            ("crds", Verdict::Unviable, 3),
        ] {
            for _ in 0..times {
                table.add(package, verdict);
            }
        }
        assert_eq!(
            table.to_string(),
            "\
| crate | sampled | caught | time-outs | unviable | alive |
|---|---|---|---|---|---|
| crds | 5 | 0 | 2 | 3 | 0 |
| server | 5 | 4 | 0 | 0 | 1 |
| all | 10 | 4 | 2 | 3 | 1 |
1 of 7 viable alive, 14.2 %"
        );
        assert!(Table::default().to_string().ends_with("0 of 0 viable alive"));
    }
}
