//! How much is said of one commit: whoever writes a manifest decides how long its words are, and how many are wrong.

use planner::finding::{Finding, Reason, Subject};

/// The most findings of a commit; what is beyond them is counted.
const FINDINGS_MAX: usize = 10_000;
/// The most bytes of one text.
const TEXT_BYTES_MAX: usize = 1_024;

/// Returns findings sorted by place, each once, and no more or longer ones than may be.
pub(super) fn bounded(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        shorten(&mut finding.message);
        shorten(&mut finding.hint);
        if let Some(location) = &mut finding.location {
            shorten(&mut location.file);
        }
        if let Subject::Other(subject) = &mut finding.subject {
            shorten(subject);
        }
    }
    findings.sort();
    findings.dedup();
    let besides = findings.len().saturating_sub(FINDINGS_MAX);
    if besides > 0 {
        findings.truncate(FINDINGS_MAX);
        findings.push(Finding {
            location: None,
            reason: Reason::Unreadable,
            subject: Subject::default(),
            message: format!("{besides} findings more are not named"),
            hint: "mend those that are; the others follow".to_owned(),
        });
    }
    findings
}

/// Cuts a text that is too long, between two characters.
fn shorten(text: &mut String) {
    const END: char = '…';
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - END.len_utf8()));
        text.push(END);
    }
}

#[cfg(test)]
mod tests {
    use planner::finding::Location;

    use super::*;

    fn finding(file: &str, message: String) -> Finding {
        Finding {
            location: Some(Location {
                file: file.to_owned(),
                line: 1,
                column: 1,
            }),
            reason: Reason::InvalidManifest,
            subject: Subject::default(),
            message,
            hint: String::new(),
        }
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        for lead in 0..4 {
            let long = format!("{}{}", "x".repeat(lead), "🦀".repeat(1_000_000));
            let bounded = bounded(vec![
                finding("a.yaml", long.clone()),
                finding(&long, "short".to_owned()),
            ]);
            for text in bounded.iter().map(|finding| &finding.message).chain(
                bounded
                    .iter()
                    .filter_map(|finding| finding.location.as_ref().map(|location| &location.file)),
            ) {
                assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
            }
            let cut = bounded
                .iter()
                .filter(|finding| finding.message.ends_with('…'))
                .count();
            assert_eq!(cut, 1);
        }
    }

    #[test]
    fn what_is_not_named_is_counted() {
        let all = (0..FINDINGS_MAX + 7).map(|at| finding(&format!("{at:06}.yaml"), "wrong".to_owned()));
        let bounded = bounded(all.chain([finding("000000.yaml", "wrong".to_owned())]).collect());
        assert_eq!(bounded.len(), FINDINGS_MAX + 1);
        assert_eq!(bounded[FINDINGS_MAX].message, "7 findings more are not named");
    }
}
