//! Intents as text for a terminal and as Markdown for a pull request.

use std::fmt::Write as _;

use super::{Intent, Intents};

impl Intents {
    /// Renders them for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} -> {}\n",
            self.environment,
            self.base.short(),
            self.head.short()
        );
        let mut last = None;
        for Intent {
            subject,
            text: change,
        } in &self.intents
        {
            if last != Some(subject) {
                writeln(&mut text, subject);
            }
            writeln(&mut text, &format!("  {change}"));
            last = Some(subject);
        }
        if self.intents.is_empty() && self.is_complete {
            writeln(&mut text, "no change");
        }
        if !self.is_complete {
            writeln(
                &mut text,
                "not everything was understood: more may change than is listed, and nothing is removed",
            );
        }
        for finding in &self.findings {
            writeln(&mut text, &finding.to_string());
        }
        writeln(&mut text, &format!("plan {}", self.hash));
        text
    }

    /// Renders them for a pull request.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "### Aurora: `{}` {} → {}\n\n",
            self.environment,
            self.base.short(),
            self.head.short()
        );
        if self.intents.is_empty() && self.is_complete {
            writeln(&mut text, "No change.");
        } else if !self.intents.is_empty() {
            writeln(&mut text, "| model | change |\n|---|---|");
            for Intent {
                subject,
                text: change,
            } in &self.intents
            {
                writeln(&mut text, &format!("| {} | {} |", cell(subject), cell(change)));
            }
        }
        if !self.is_complete {
            writeln(
                &mut text,
                "\n**Not everything was understood:** more may change than is listed, and nothing is removed.",
            );
        }
        if !self.findings.is_empty() {
            writeln(&mut text, "\n#### Findings\n");
            for finding in &self.findings {
                writeln(&mut text, &format!("- {}", cell(&finding.to_string())));
            }
        }
        writeln(&mut text, &format!("\n`plan {}`", self.hash));
        text
    }
}

/// Text from a repository must not end a table's cell or start markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '@' | '#' => {
                out.push('\\');
                out.push(character);
            }
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

fn writeln(text: &mut String, line: &str) {
    // Writing into a string cannot fail.
    let _written = writeln!(text, "{line}");
}
