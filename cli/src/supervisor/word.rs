//! How an environment stands, in one word and the first reason, by what has happened.

use standalone::{Event, PassSummary};

/// What was last heard.
#[derive(Debug, Default)]
pub(crate) struct Word {
    pass: Option<Box<PassSummary>>,
    /// Whether the last that was heard is that nothing is left to do.
    is_settled: bool,
    said: String,
}

impl Word {
    /// Takes an event in, and returns what is to be said where that is something new.
    pub(crate) fn hear(&mut self, event: &Event) -> Option<&str> {
        match event {
            Event::PassEnded { .. } | Event::Reported(_) => return None,
            Event::Pass(pass) => self.pass = Some(pass.clone()),
            _ => {}
        }
        self.is_settled = matches!(event, Event::Settled { .. });
        let now = self.text();
        if now == self.said {
            return None;
        }
        self.said = now;
        Some(&self.said)
    }

    fn text(&self) -> String {
        let Some(pass) = &self.pass else {
            return "Unknown: nothing was read yet".to_owned();
        };
        let PassSummary {
            revision,
            author: _,
            is_first: _,
            suspended,
            behind: _,
            drifted: _,
            is_blind,
            changes: _,
            findings,
            waiting,
        } = &**pass;
        let at = revision
            .as_ref()
            .map_or_else(String::new, |revision| format!(" at {}", revision.short()));
        let first_of = |count: usize, first: Option<String>| {
            let first = first.unwrap_or_default();
            match count {
                0 | 1 => first,
                more => format!("{first} (and {} more)", more - 1),
            }
        };
        let finding = findings.first().map(|finding| finding.message.clone());
        if *is_blind {
            format!("Unknown: {}", first_of(findings.len(), finding))
        } else if !findings.is_empty() {
            format!("Degraded{at}: {}", first_of(findings.len(), finding))
        } else if !waiting.is_empty() {
            format!(
                "Waiting{at}: {}",
                first_of(waiting.len(), waiting.first().cloned())
            )
        } else if !self.is_settled {
            format!("RollingOut{at}")
        } else if let Some(reason) = suspended {
            format!("Held{at}: {reason}")
        } else {
            format!("Serving{at}")
        }
    }
}

#[cfg(test)]
mod tests {
    use planner::finding::{Finding, Reason};

    use super::*;

    fn pass() -> PassSummary {
        PassSummary {
            revision: Some("8cdae6d33b8cdae6d33b8cdae6d33b8cdae6d33b".parse().unwrap()),
            author: None,
            is_first: false,
            suspended: None,
            behind: Vec::new(),
            drifted: Vec::new(),
            is_blind: false,
            changes: Vec::new(),
            findings: Vec::new(),
            waiting: Vec::new(),
        }
    }

    #[test]
    fn the_word_is_of_the_worst_and_said_once() {
        let finding = |message: &str| Finding {
            location: None,
            reason: Reason::SourceUnavailable,
            subject: planner::finding::Subject::default(),
            message: message.to_owned(),
            hint: String::new(),
        };
        let settled = || Event::Settled {
            revision: pass().revision,
        };
        let mut word = Word::default();
        let mut said = |event: Event| word.hear(&event).map(str::to_owned);
        let mut hear = |changed: PassSummary| said(Event::Pass(Box::new(changed)));
        assert_eq!(hear(pass()).as_deref(), Some("RollingOut at 8cdae6d33b"));
        assert_eq!(hear(pass()), None);
        let waiting = vec!["a waits".to_owned(), "b waits".to_owned()];
        let now = hear(PassSummary { waiting, ..pass() });
        assert_eq!(
            now.as_deref(),
            Some("Waiting at 8cdae6d33b: a waits (and 1 more)")
        );
        let findings = vec![finding("no such version")];
        let now = hear(PassSummary { findings, ..pass() });
        assert_eq!(now.as_deref(), Some("Degraded at 8cdae6d33b: no such version"));
        let findings = vec![finding("the branch is gone")];
        let now = hear(PassSummary {
            findings,
            is_blind: true,
            ..pass()
        });
        assert_eq!(now.as_deref(), Some("Unknown: the branch is gone"));
        hear(pass());
        assert_eq!(said(settled()).as_deref(), Some("Serving at 8cdae6d33b"));
        let suspended = Some("a holiday".to_owned());
        said(Event::Pass(Box::new(PassSummary { suspended, ..pass() })));
        assert_eq!(said(settled()).as_deref(), Some("Held at 8cdae6d33b: a holiday"));
    }
}
