//! Findings about bytes that are no YAML, or more of it than a manifest may be.

use planner::finding::{Finding, Location, Reason};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::{Error, MessageFormatter as _, UserMessageFormatter};

use super::document::Position;
use super::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX, words};

/// Returns the finding for a file whose `size` in bytes is over the limit, so that it need not be read.
pub fn too_large(path: &str, size: u64) -> Finding {
    let whole = Position { line: 0, column: 0 };
    let message = format!("the file has {size} bytes, a manifest at most {FILE_BYTES_MAX}");
    let hint = "split it, or give data a name that does not end in .yaml or .yml";
    finding(path, whole, message, hint)
}

/// Returns the finding for a file that holds more than `most` of something.
pub(super) fn too_many(path: &str, position: Position, what: &str, most: usize) -> Finding {
    let message = format!("the file holds more than {most} {what}");
    finding(
        path,
        position,
        message,
        "split it into smaller files; what follows here is not read",
    )
}

/// Returns the finding that speaks for those left out after `last`.
pub(super) fn and_more(last: &Finding, besides: usize) -> Finding {
    Finding {
        subject: planner::finding::Subject::default(),
        message: format!("there are {besides} more findings in this file"),
        hint: "mend those above first".to_owned(),
        ..last.clone()
    }
}

/// Returns the finding for bytes that stop being UTF-8 at `offset`.
pub(super) fn not_utf8(path: &str, bytes: &[u8], offset: usize) -> Finding {
    let before = &bytes[..offset];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let count =
        |bytes: &[u8], counts: fn(u8) -> bool| bytes.iter().filter(|byte| counts(**byte)).count() as u64;
    let position = Position {
        line: 1 + count(before, |byte| byte == b'\n'),
        // Continuation bytes, 10xxxxxx, begin no character.
        column: 1 + count(&before[line_start..], |byte| byte & 0xC0 != 0x80),
    };
    let message = format!("byte 0x{:02x} at offset {offset} is no UTF-8", bytes[offset]);
    finding(path, position, message, "save the file as UTF-8")
}

/// Returns the finding for a document that the parser gave up.
pub(super) fn no_yaml(path: &str, error: &Error) -> Finding {
    let (message, hint) = explain(error.without_snippet());
    finding(path, position(error), message, hint)
}

/// Returns where the parser gave a document up.
pub(super) fn position(error: &Error) -> Position {
    let location = error.without_snippet().location();
    location.map_or(Position { line: 1, column: 1 }, Position::from)
}

fn explain(error: &Error) -> (String, &'static str) {
    match error {
        Error::AliasError { error, .. } => explain(error),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map(words::cut).unwrap_or_default();
            (format!("the key `{key}` stands twice"), "remove one of the two")
        }
        Error::Budget { breach, .. } => too_much(breach),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            format!("its aliases stand for more than {NODES_MAX} values"),
            "write the values out: a manifest needs few aliases",
        ),
        other => match UserMessageFormatter.format_message(other).into_owned() {
            // The parser's own limit on `[` and `{`, which it reports as text only.
            message if message == "recursion limit exceeded" => too_deep(),
            message => (
                message,
                "mend the YAML here: what follows in this file may not have been read",
            ),
        },
    }
}

fn too_deep() -> (String, &'static str) {
    let message = format!("lists and mappings are nested deeper than {DEPTH_MAX}");
    (message, "a manifest is never that deep")
}

fn too_much(breach: &BudgetBreach) -> (String, &'static str) {
    match breach {
        BudgetBreach::Depth { .. } => too_deep(),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => (
            format!("the document holds more than {NODES_MAX} values"),
            "split it into smaller documents; aliases count as what they stand for",
        ),
        _ => (
            "the document holds too many anchors, aliases or merges".to_owned(),
            "write the values out",
        ),
    }
}

fn finding(path: &str, position: Position, message: String, hint: &str) -> Finding {
    let location: Location = position.location(path);
    Finding {
        location: Some(location),
        reason: Reason::Unreadable,
        subject: planner::finding::Subject::default(),
        message,
        hint: hint.to_owned(),
    }
}
