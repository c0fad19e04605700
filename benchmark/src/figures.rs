//! The figures of a run: what was measured, what it is held against, and how a person or a program reads it.

use std::fmt;

use serde::Serialize;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Its median must not be above.
    MedianAtMost(f64),
    /// None of its values may be above.
    AtMost(f64),
    /// It is shown only.
    None,
}

/// One figure, measured once or more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    median: f64,
    maximum: f64,
    limit: Limit,
    holds: bool,
}

/// The figures of one command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    command: &'static str,
    figures: Vec<Figure>,
    /// What a person needs to understand a figure that fell short.
    notes: Vec<String>,
}

impl Report {
    /// Returns a report without figures.
    pub fn new(command: &'static str) -> Self {
        Self {
            command,
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure. Without a value, or with one that is not a number, it does not hold.
    pub fn figure(&mut self, name: impl Into<String>, unit: &'static str, limit: Limit, values: &[f64]) {
        let maximum = maximum(values);
        let median = median(values);
        let holds = match limit {
            Limit::MedianAtMost(limit) => median <= limit,
            Limit::AtMost(limit) => maximum <= limit,
            Limit::None => true,
        };
        self.figures.push(Figure {
            name: name.into(),
            unit,
            values: values.to_vec(),
            median,
            maximum,
            limit,
            holds,
        });
    }

    /// Adds a note.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Returns whether every figure is within its limit.
    pub fn holds(&self) -> bool {
        self.figures.iter().all(|figure| figure.holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |figure: &Figure, value: f64| {
            format!("{} {}", shortened(value), figure.unit)
                .trim_end()
                .to_owned()
        };
        let mut rows = vec![[self.command, "median", "maximum", "limit"].map(str::to_owned)];
        for figure in &self.figures {
            let verdict = if figure.holds { "holds" } else { "FALLS SHORT" };
            let limit = match figure.limit {
                Limit::MedianAtMost(limit) => format!("median <= {}  {verdict}", number(figure, limit)),
                Limit::AtMost(limit) => format!("each <= {}  {verdict}", number(figure, limit)),
                Limit::None => String::new(),
            };
            rows.push([
                figure.name.clone(),
                number(figure, figure.median),
                number(figure, figure.maximum),
                limit,
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let (names, medians, maxima) = (width(0), width(1).max(12), width(2).max(12));
        for [name, median, maximum, limit] in &rows {
            let line = format!("{name:names$}  {median:>medians$}  {maximum:>maxima$}  {limit}");
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

/// Returns the median, the mean of the two in the middle for an even count; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Returns the largest value; NaN of nothing, and where one of them is NaN.
pub fn maximum(values: &[f64]) -> f64 {
    let larger = |left: f64, right: f64| {
        if left.is_nan() || left >= right {
            left
        } else {
            right
        }
    };
    values.iter().copied().reduce(larger).unwrap_or(f64::NAN)
}

/// Three digits are what these measurements carry.
fn shortened(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_says_what_falls_short() {
        let mut report = Report::new("benchmark start");
        report.figure("first start", "s", Limit::AtMost(10.0), &[2.5, 2.0, 3.25]);
        report.figure("second start", "s", Limit::MedianAtMost(1.0), &[1.5, 0.5, 1.125]);
        report.figure("rate", "/s", Limit::None, &[61_234.56]);
        report.figure("unmeasured", "s", Limit::AtMost(1.0), &[]);
        report.figure("no number", "s", Limit::AtMost(1.0), &[0.5, f64::NAN, 0.5]);
        report.note("a note");
        assert!(!report.holds());
        expect![[r#"
            benchmark start        median       maximum  limit
            first start             2.5 s        3.25 s  each <= 10 s  holds
            second start           1.12 s         1.5 s  median <= 1 s  FALLS SHORT
            rate                 61235 /s      61235 /s
            unmeasured              NaN s         NaN s  each <= 1 s  FALLS SHORT
            no number               0.5 s         NaN s  each <= 1 s  FALLS SHORT
            a note
        "#]]
        .assert_eq(&report.to_string());
    }
}
