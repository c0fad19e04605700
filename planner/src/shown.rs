//! How text that others wrote is shown to people: on a terminal, in a log, in Markdown.
//!
//! The one place that says which characters are shown as they are. Whoever writes for people passes names, messages and
//! file names through here; JSON for programs keeps them as data.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` on one line, with everything that is not seen as itself written as an escape, e.g. `\n` or `\u{202e}`.
///
/// Escaped are control characters (line ends and tabs too), format characters such as bidirectional and zero-width marks,
/// other characters without a look of their own, and what Unicode has not assigned. Letters of all scripts, combining
/// marks, emoji and spaces stay. Escaping twice is the same as escaping once.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            plain if is_plain(plain) => escaped.push(plain),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => {
                // Writing into a string cannot fail.
                let _written = write!(escaped, "\\u{{{:x}}}", u32::from(other));
            }
        }
    }
    Cow::Owned(escaped)
}

/// Returns `text` for one line of Markdown: escaped as for a terminal, and no character of it is markup. It can neither
/// end a table's cell nor be a link, a mention, an emoji's name or HTML.
pub fn markdown(text: &str) -> String {
    let text = escape(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let follows = characters.peek();
        let is_markup = match character {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$'
            | '@' => true,
            // `scheme://` and `:name:` begin without a space; `www.` makes a link too.
            ':' => follows.is_some_and(|next| !next.is_whitespace()),
            '.' => matches!(before, Some('w' | 'W')),
            // At the beginning these make a list, a heading or a quote.
            '-' | '+' | '=' => before.is_none(),
            _ => false,
        };
        if is_markup {
            out.push('\\');
        }
        out.push(character);
        before = Some(character);
    }
    out
}

/// Says whether a character is seen as itself, on a line of its own, on any terminal.
pub fn is_plain(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{9f}' | '\u{2028}' | '\u{2029}' => false,
        other if is_without_a_look(other) => false,
        other => other.is_alphanumeric() || other.is_whitespace() || is_printed(other),
    }
}

/// The characters that Unicode lets a display leave out (`Default_Ignorable_Code_Point`).
fn is_without_a_look(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Asks the standard library, whose tables know control, format, private and unassigned characters.
fn is_printed(character: char) -> bool {
    // A letter in front: a combining mark that stands first would count as not printed.
    let mut bytes = [b'x'; 5];
    let length = 1 + character.encode_utf8(&mut bytes[1..]).len();
    let text = std::str::from_utf8(&bytes[..length]);
    text.is_ok_and(|text| text.escape_debug().count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_as_itself_is_escaped() {
        for (text, shown) in [
            ("wine-quality 10% \"x\" \\ '", "wine-quality 10% \"x\" \\ '"),
            (
                "Zürich, Ελλάδα, 東京、हिन्दी, עברית, e\u{301}, ✓ → 🍷",
                "Zürich, Ελλάδα, 東京、हिन्दी, עברית, e\u{301}, ✓ → 🍷",
            ),
            (
                "x\n04:00:00 * all is well\x1b[2K",
                "x\\n04:00:00 * all is well\\u{1b}[2K",
            ),
            (
                "\x1b]0;title\x07\r\t\0\x7f",
                "\\u{1b}]0;title\\u{7}\\r\\t\\u{0}\\u{7f}",
            ),
            ("C1: \u{9b}31m \u{85}", "C1: \\u{9b}31m \\u{85}"),
            (
                "\u{202e}fdp.exe \u{2066}a\u{2069} \u{61c}",
                "\\u{202e}fdp.exe \\u{2066}a\\u{2069} \\u{61c}",
            ),
            (
                "a\u{200b}b\u{200d}c\u{feff}d\u{2060}e\u{ad}",
                "a\\u{200b}b\\u{200d}c\\u{feff}d\\u{2060}e\\u{ad}",
            ),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            (
                "tags \u{e0041} fill \u{3164} \u{ffa0} sel \u{fe0f}",
                "tags \\u{e0041} fill \\u{3164} \\u{ffa0} sel \\u{fe0f}",
            ),
            (
                "private \u{e000} none \u{378} \u{ffff}",
                "private \\u{e000} none \\u{378} \\u{ffff}",
            ),
            (
                "no break\u{a0}and\u{202f}narrow",
                "no break\u{a0}and\u{202f}narrow",
            ),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape(&escape(text)), escape(text), "twice is once");
        }
    }

    #[test]
    fn all_that_is_escaped_is_plain_after() {
        for character in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            let escaped = escape(character.encode_utf8(&mut bytes)).into_owned();
            let is_own = escaped.chars().eq([character]);
            assert!(is_own || escaped.is_ascii(), "{character:?}");
            assert!(!(is_own && character.is_control()), "{character:?}");
        }
    }

    #[test]
    fn no_text_is_markup() {
        for (text, shown) in [
            ("stable v20261101-120000 -> v2", "stable v20261101-120000 -\\> v2"),
            ("a|b\n| c |", "a\\|b\\\\n\\| c \\|"),
            (
                "<img src=x onerror=alert(1)> &lt;",
                "\\<img src=x onerror=alert(1)\\> \\&lt;",
            ),
            (
                "[here](https://evil.example) ![x](y)",
                "\\[here\\](https\\://evil.example) !\\[x\\](y)",
            ),
            (
                "www.evil.example @team #1 :tada:",
                "www\\.evil.example \\@team \\#1 \\:tada:",
            ),
            ("- item", "\\- item"),
            ("~~no~~ $x$ `code`", "\\~\\~no\\~\\~ \\$x\\$ \\`code\\`"),
            ("Held: paused by hand", "Held: paused by hand"),
        ] {
            assert_eq!(markdown(text), shown);
        }
    }
}
