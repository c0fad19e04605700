//! Findings as lines for people.

use planner::finding::Finding;

use crate::terminal::{Colour, Line};

/// How many findings are shown at once; the rest is counted.
pub(crate) const SHOWN_MAX: usize = 100;

/// Renders findings, and how many there are besides.
pub(crate) fn marks<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<Line> {
    let mut findings = findings.into_iter();
    let mut lines: Vec<Line> = findings.by_ref().take(SHOWN_MAX).flat_map(mark).collect();
    lines.extend(besides(findings.count()).map(Line::from));
    lines
}

/// Says how many findings are not shown, if any.
pub(crate) fn besides(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("and 1 more finding, which --output json shows".to_owned()),
        count => Some(format!("and {count} more findings, which --output json shows")),
    }
}

/// Renders a finding, its reason coloured, and what to do on a line of its own.
fn mark(finding: &Finding) -> Vec<Line> {
    let Finding {
        location,
        reason,
        subject,
        message,
        hint,
    } = finding;
    let place = location.as_ref().map(|location| format!("{location}: "));
    let subject = if subject.is_empty() {
        String::new()
    } else {
        format!("{subject}: ")
    };
    let line = Line::from(place.unwrap_or_default())
        .painted(Colour::Red, reason)
        .and(format!(": {subject}{message}"));
    let hint = (!hint.is_empty()).then(|| Line::from(format!("  hint: {hint}")));
    std::iter::once(line).chain(hint).collect()
}

#[cfg(test)]
mod tests {
    use planner::finding::{Finding, Reason};

    use super::{SHOWN_MAX, marks};

    #[test]
    fn a_hundred_are_shown_and_the_rest_is_counted() {
        let findings = |count: usize| -> Vec<Finding> {
            let finding = |at: usize| Finding {
                location: None,
                reason: Reason::InvalidManifest,
                subject: format!("MLDeployment/m{at}").into(),
                message: "wrong".to_owned(),
                hint: String::new(),
            };
            (0..count).map(finding).collect()
        };
        let last = |count: usize| marks(&findings(count)).pop().map(|line| line.render(false));
        assert_eq!(marks(&findings(SHOWN_MAX)).len(), SHOWN_MAX);
        assert_eq!(last(0), None);
        assert_eq!(
            last(101).as_deref(),
            Some("and 1 more finding, which --output json shows")
        );
        assert_eq!(
            last(350).as_deref(),
            Some("and 250 more findings, which --output json shows")
        );
    }
}
