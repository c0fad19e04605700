//! Intents as text for a terminal and as Markdown for a pull request.

use std::fmt::Write as _;

use planner::shown::{escape, markdown};

use super::{Exposure, Intent, Intents};

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
                writeln(&mut text, &escape(subject));
            }
            writeln(&mut text, &format!("  {}", escape(change)));
            last = Some(subject);
        }
        for exposure in &self.exposures {
            writeln(&mut text, &title(exposure));
            for line in exposure.lines() {
                writeln(&mut text, &format!("  {}", escape(&line)));
            }
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
                writeln(
                    &mut text,
                    &format!("| {} | {} |", markdown(subject), markdown(change)),
                );
            }
        }
        for exposure in &self.exposures {
            writeln(&mut text, &format!("\n**{}**\n", markdown(&title(exposure))));
            for line in exposure.lines() {
                writeln(&mut text, &format!("- {}", markdown(&line)));
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
                let finding = finding.to_string().replace("\n  ", " ");
                writeln(&mut text, &format!("- {}", markdown(&finding)));
            }
        }
        writeln(&mut text, &format!("\n`plan {}`", self.hash));
        text
    }
}

fn title(exposure: &Exposure) -> String {
    let Exposure {
        model,
        track,
        version,
        beside,
        ..
    } = exposure;
    match beside {
        Some(beside) => format!("{model}: {track} {version} beside {beside}"),
        None => format!("{model}: {track} {version}"),
    }
}

fn writeln(text: &mut String, line: &str) {
    // Writing into a string cannot fail.
    let _written = writeln!(text, "{line}");
}
