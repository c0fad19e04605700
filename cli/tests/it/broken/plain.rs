//! A text without what differs from run to run.

use std::path::Path;

/// What stands for paths and names.
pub(super) struct Plain(Vec<(String, &'static str)>);

impl Plain {
    /// Knows these paths, the longer ones first.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = (&'a Path, &'static str)>) -> Self {
        let paths = paths
            .into_iter()
            .map(|(path, name)| (path.display().to_string(), name));
        Self(paths.collect())
    }

    /// Also puts `name` for a text.
    pub(super) fn and(mut self, text: &str, name: &'static str) -> Self {
        self.0.push((text.to_owned(), name));
        self
    }

    /// Renders a text with names in angle brackets for what differs.
    pub(super) fn render(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (known, name) in &self.0 {
            text = text.replace(known, name);
        }
        text.split_inclusive('\n').map(line).collect()
    }
}

/// Names what differs in a line, word by word.
fn line(line: &str) -> String {
    let line = timeless(line);
    let is_of_word = |c: char| c.is_ascii_alphanumeric();
    let mut said = String::new();
    let mut rest = line.as_str();
    while !rest.is_empty() {
        let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let is_port = said.ends_with("127.0.0.1:");
        let is_count = after.starts_with(" s ago") && word.parse::<u64>().is_ok();
        said.push_str(match word.len() {
            _ if is_port => "<port>",
            _ if is_count => "<n>",
            12 if is_hex(word) => "<the-digest>",
            64 if is_hex(word) => "<digest>",
            10 if is_hex(word) => "<a-commit>",
            40 if is_hex(word) => "<commit>",
            _ => word,
        });
        let length = after.find(is_of_word).unwrap_or(after.len());
        let (between, after) = after.split_at(length);
        said.push_str(between);
        rest = after;
    }
    let end = if said.ends_with('\n') { "\n" } else { "" };
    said.trim_end().to_owned() + end
}

fn is_hex(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// Names the times of a line, `2026-12-01 06:00` with or without seconds.
fn timeless(line: &str) -> String {
    let shapes = ["dddd-dd-dd dd:dd:dd", "dddd-dd-dd dd:dd"];
    let mut text = line.to_owned();
    for shape in shapes {
        while let Some(at) =
            (0..text.len()).find(|at| text.get(*at..).is_some_and(|rest| is_shaped(rest, shape)))
        {
            text.replace_range(at..at + shape.len(), "<time>");
        }
    }
    text
}

fn is_shaped(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, wanted)| match wanted {
                b'd' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
}

#[test]
fn what_differs_is_named() {
    let plain = Plain::new([(Path::new("/tmp/x/data"), "<data>")]);
    let said = plain.render("at 2026-12-01 06:00 UTC /tmp/x/data/registry: v20261101-120000 5f360881905e, 127.0.0.1:8080, 3 s ago  \n");
    assert_eq!(
        said,
        "at <time> UTC <data>/registry: v20261101-120000 <the-digest>, 127.0.0.1:<port>, <n> s ago\n"
    );
}
