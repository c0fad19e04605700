//! Annotations, as the runner of GitHub reads them from a job's output.

use planner::finding::Finding;
use reconciler::diff::Intents;

/// How many errors of a step are shown.
const SHOWN_MAX: usize = 10;

/// Returns a line for each gate that stops something, and each finding, at its file and line.
pub(super) fn annotations(intents: &Intents) -> String {
    let stopped = intents.exposures.iter().flat_map(|exposure| {
        let gates = exposure
            .gates
            .iter()
            .filter(|judged| judged.outcome.stops() && judged.waits.is_none());
        gates.map(move |judged| {
            let text = format!("{} {}: {}", exposure.model, exposure.version, judged.why);
            error(&format!("title={}", property(judged.gate.as_str())), &text)
        })
    });
    let all: Vec<String> = stopped.chain(intents.findings.iter().map(finding)).collect();
    let mut text = String::new();
    let shown = if all.len() > SHOWN_MAX {
        SHOWN_MAX - 1
    } else {
        all.len()
    };
    all.iter().take(shown).for_each(|line| text.push_str(line));
    if all.len() > shown {
        text.push_str(&error(
            "title=Aurora",
            &format!("and {} more: see the plan", all.len() - shown),
        ));
    }
    text
}

fn finding(finding: &Finding) -> String {
    let Finding {
        location,
        reason,
        subject,
        message,
        hint,
    } = finding;
    let place = location.as_ref().map_or_else(String::new, |location| {
        let file = property(&location.file);
        if location.line == 0 {
            return format!("file={file},");
        }
        format!("file={file},line={},col={},", location.line, location.column)
    });
    let properties = format!("{place}title={}", property(&reason.to_string()));
    let subject = if subject.is_empty() {
        String::new()
    } else {
        format!("{subject}: ")
    };
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("\nhint: {hint}")
    };
    error(&properties, &format!("{subject}{message}{hint}"))
}

fn error(properties: &str, text: &str) -> String {
    format!("::error {properties}::{}\n", data(text))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use planner::finding::{Location, Reason};
    use planner::names::Digest;

    use super::*;

    #[test]
    fn what_is_wrong_stands_at_its_line_and_ends_no_other() {
        let found = |number: u64, message: &str| Finding {
            location: Some(Location {
                file: "environments/a,b:c.yaml".to_owned(),
                line: number,
                column: 5,
            }),
            reason: Reason::Duplicate,
            subject: "MLDeployment/a".to_owned().into(),
            message: message.to_owned(),
            hint: String::new(),
        };
        let intents = |findings| Intents {
            environment: "dev".parse().unwrap(),
            base: "a".repeat(40).parse().unwrap(),
            head: "b".repeat(40).parse().unwrap(),
            intents: Vec::new(),
            findings,
            is_complete: true,
            exposures: Vec::new(),
            hash: Digest::of(b""),
        };
        let hostile = Finding {
            hint: "50%".to_owned(),
            ..found(3, "a\r\n::error::b, c: d")
        };
        assert_eq!(
            annotations(&intents(vec![hostile, found(0, "x")])),
            "::error file=environments/a%2Cb%3Ac.yaml,line=3,col=5,title=Duplicate::MLDeployment/a: a%0D%0A::error::b, c: d%0Ahint: 50%25\n\
             ::error file=environments/a%2Cb%3Ac.yaml,title=Duplicate::MLDeployment/a: x\n"
        );
        let many = annotations(&intents((1..=14).map(|number| found(number, "x")).collect()));
        assert_eq!(many.lines().count(), 10);
        assert!(
            many.ends_with("::error title=Aurora::and 5 more: see the plan\n"),
            "{many}"
        );
    }
}
