//! The bytes to be replaced for an edit: pure, from a tree and the text that it was read of.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::tree::{Node, Value};
use super::{Edit, Scalar};

/// Bytes, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) at: Range<usize>,
    pub(super) with: String,
}

/// Why an edit cannot be made, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) at: usize,
    pub(super) why: String,
}

type Spliced<T = Splice> = Result<T, Obstacle>;

/// Returns what an edit replaces.
pub(super) fn splice(text: &str, document: &Node, edit: &Edit) -> Spliced<Option<Splice>> {
    let file = File { text };
    match edit {
        Edit::Set { path, value, after } => {
            let (parent, name) = parent(document, path)?;
            match entry(parent, name)? {
                Some((_, node)) => replaced(node, name, value).map(Some),
                None => file.inserted(parent, name, &value.fresh(), after).map(Some),
            }
        }
        Edit::Insert { path, fields, after } => {
            let (parent, name) = parent(document, path)?;
            if let Some((key, _)) = entry(parent, name)? {
                return obstacle(key, format!("{name} is there already"));
            }
            file.inserted_mapping(parent, name, fields, after).map(Some)
        }
        Edit::Add { path, value, after } => {
            let (parent, name) = parent(document, path)?;
            if let Some((_, node)) = entry(parent, name)? {
                return file.added(node, name, value).map(Some);
            }
            let list = format!("[{}]", value.fresh());
            file.inserted(parent, name, &list, after).map(Some)
        }
        Edit::Remove { path } => {
            let (parent, name) = parent(document, path)?;
            match entry(parent, name)? {
                Some(_) => file.removed(parent, name).map(Some),
                None => Ok(None),
            }
        }
    }
}

/// Returns the mapping that holds the last field of a path, and that field's name.
fn parent<'a, 'b>(document: &'a Node, path: &[&'b str]) -> Spliced<(&'a Node, &'b str)> {
    let (name, above) = path.split_last().expect("invariant: a path has a field");
    let mut node = document;
    for part in above {
        node = match entry(node, part)? {
            Some((_, value)) => value,
            None => return obstacle(node, format!("there is no {part}")),
        };
    }
    match node.value {
        Value::Mapping { .. } => Ok((node, name)),
        Value::Alias => obstacle(node, "an alias stands here: edit what it stands for"),
        Value::Scalar { .. } | Value::List { .. } => obstacle(node, "this is no mapping"),
    }
}

/// Returns an entry that stands in a mapping itself.
fn entry<'a>(mapping: &'a Node, name: &str) -> Spliced<Option<&'a (Node, Node)>> {
    if mapping.value == Value::Alias {
        return obstacle(mapping, "an alias stands here: edit what it stands for");
    }
    let entries = mapping.entries();
    let found = entries.iter().find(|(key, _)| key.text() == Some(name));
    let merged = entries.iter().find(|(key, _)| key.text() == Some("<<"));
    match (found, merged) {
        (None, Some((merge, _))) => obstacle(merge, format!("{name} may come from what is merged here")),
        (found, _) => Ok(found),
    }
}

fn obstacle<T>(node: &Node, why: impl Into<String>) -> Spliced<T> {
    Err(Obstacle {
        at: node.span.start,
        why: why.into(),
    })
}

/// Replaces a scalar, in its own quotes.
fn replaced(node: &Node, name: &str, value: &Scalar) -> Spliced {
    let Value::Scalar { style, .. } = &node.value else {
        return obstacle(node, format!("{name} is no plain value"));
    };
    if node.is_marked {
        return obstacle(node, format!("{name} has an anchor or a tag"));
    }
    let with = match style {
        ScalarStyle::Plain if node.span.is_empty() => return obstacle(node, format!("{name} is empty")),
        ScalarStyle::Plain => value.plain(),
        ScalarStyle::SingleQuoted => format!("'{value}'"),
        ScalarStyle::DoubleQuoted => format!("\"{value}\""),
        _ => return obstacle(node, format!("{name} is a block of text")),
    };
    Ok(Splice {
        at: node.span.clone(),
        with,
    })
}

struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Returns where the line that holds a byte ends, before its line break.
    fn line_end(&self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
        end - usize::from(self.text[at..end].ends_with('\r'))
    }

    /// Returns the line break that this file uses.
    fn line_break(&self) -> &'static str {
        let first = self.text.find('\n');
        let is_crlf = first.is_some_and(|first| self.text[..first].ends_with('\r'));
        if is_crlf { "\r\n" } else { "\n" }
    }

    /// Returns what stands before a node on its line.
    fn before(&self, node: &Node) -> &str {
        &self.text[self.line_start(node.span.start)..node.span.start]
    }

    /// Returns the blanks before a key that begins its line.
    fn indentation(&self, key: &Node) -> Spliced<&str> {
        let before = self.before(key);
        if before.bytes().all(|byte| byte == b' ') {
            return Ok(before);
        }
        obstacle(key, "this key does not begin its line")
    }

    /// Writes an entry behind the first of some others that is there.
    fn inserted(&self, parent: &Node, name: &str, value: &str, after: &[&str]) -> Spliced {
        self.inserted_with(parent, after, |_, _| Ok(format!("{name}: {value}")))
    }

    /// Writes a mapping behind another one, in that one's style.
    fn inserted_mapping(
        &self,
        parent: &Node,
        name: &str,
        fields: &[(&'static str, Scalar)],
        after: &[&str],
    ) -> Spliced {
        let fields = fields
            .iter()
            .map(|(field, value)| format!("{field}: {}", value.fresh()));
        let fields: Vec<String> = fields.collect();
        self.inserted_with(parent, after, |indentation, sibling| {
            let Value::Mapping { is_flow, entries } = &sibling.value else {
                return obstacle(sibling, "this is no mapping");
            };
            if *is_flow {
                let is_wide = self.text[sibling.span.start + 1..].starts_with(' ');
                let blank = if is_wide { " " } else { "" };
                return Ok(format!("{name}: {{{blank}{}{blank}}}", fields.join(", ")));
            }
            let first = entries.first().map(|(key, _)| self.indentation(key));
            let deeper = first.transpose()?.unwrap_or_default();
            let line_break = self.line_break();
            let lines: Vec<String> = fields
                .iter()
                .map(|field| format!("{line_break}{deeper}{field}"))
                .collect();
            if deeper.len() <= indentation.len() {
                return obstacle(sibling, "this mapping is not deeper than its key");
            }
            Ok(format!("{name}:{}", lines.concat()))
        })
    }

    fn inserted_with(
        &self,
        parent: &Node,
        after: &[&str],
        written: impl Fn(&str, &Node) -> Spliced<String>,
    ) -> Spliced {
        let mut siblings = after.iter().filter_map(|name| {
            let mut entries = parent.entries().iter();
            entries.find(|(key, _)| key.text() == Some(name))
        });
        let Some((key, sibling)) = siblings.next() else {
            return obstacle(parent, format!("there is no {}", after.join(" nor ")));
        };
        if let Value::Mapping { is_flow: true, .. } = parent.value {
            let end = sibling.span.end;
            return Ok(Splice {
                at: end..end,
                with: format!(", {}", written("", sibling)?),
            });
        }
        refuse_blocks_of_text(sibling)?;
        let indentation = self.indentation(key)?;
        let end = self.line_end(sibling.span.end);
        Ok(Splice {
            at: end..end,
            with: format!(
                "{}{indentation}{}",
                self.line_break(),
                written(indentation, sibling)?
            ),
        })
    }

    /// Writes one more item at the end of a list.
    fn added(&self, node: &Node, name: &str, value: &Scalar) -> Spliced {
        let Value::List { is_flow, items } = &node.value else {
            return obstacle(node, format!("{name} is no list"));
        };
        if node.is_marked {
            return obstacle(node, format!("{name} has an anchor or a tag"));
        }
        let Some(last) = items.last() else {
            let start = node.span.start + 1;
            return Ok(Splice {
                at: start..start,
                with: value.fresh(),
            });
        };
        if *is_flow {
            let end = last.span.end;
            return Ok(Splice {
                at: end..end,
                with: format!(", {}", value.fresh()),
            });
        }
        refuse_blocks_of_text(last)?;
        let before = self.before(last);
        if before.trim() != "-" {
            return obstacle(last, "this item does not begin its line");
        }
        let end = self.line_end(last.span.end);
        Ok(Splice {
            at: end..end,
            with: format!("{}{before}{}", self.line_break(), value.fresh()),
        })
    }

    fn removed(&self, parent: &Node, name: &str) -> Spliced {
        let Value::Mapping { is_flow, entries } = &parent.value else {
            return obstacle(parent, "this is no mapping");
        };
        let place = entries.iter().position(|(key, _)| key.text() == Some(name));
        let place = place.expect("invariant: the entry was found");
        let (key, value) = &entries[place];
        if entries.len() == 1 {
            return obstacle(key, format!("{name} is all that stands here"));
        }
        refuse_blocks_of_text(value)?;
        let at = if *is_flow {
            let at = match place.checked_sub(1) {
                Some(before) => entries[before].1.span.end..value.span.end,
                None => key.span.start..entries[1].0.span.start,
            };
            if self.text[at.clone()].contains('#') {
                return obstacle(key, format!("a comment stands beside {name}"));
            }
            at
        } else {
            self.indentation(key)?;
            self.lines(key.span.start..value.span.end)
        };
        Ok(Splice {
            at,
            with: String::new(),
        })
    }

    /// Returns whole lines, with one of the line breaks around them.
    fn lines(&self, span: Range<usize>) -> Range<usize> {
        let (start, end) = (self.line_start(span.start), self.line_end(span.end));
        let after = &self.text[end..];
        let line_break = if after.starts_with("\r\n") { 2 } else { 1 };
        if !after.is_empty() {
            return start..end + line_break;
        }
        let before = self.text[..start]
            .strip_suffix('\n')
            .unwrap_or(&self.text[..start]);
        before.strip_suffix('\r').unwrap_or(before).len()..end
    }
}

/// Where a block of text ends, the lines after it tell: nothing is written behind one.
fn refuse_blocks_of_text(node: &Node) -> Spliced<()> {
    match &node.value {
        Value::Scalar {
            style: ScalarStyle::Literal | ScalarStyle::Folded,
            ..
        } => obstacle(node, "a block of text stands here"),
        Value::Scalar { .. } | Value::Alias => Ok(()),
        Value::List { items, .. } => items.last().map_or(Ok(()), refuse_blocks_of_text),
        Value::Mapping { entries, .. } => entries
            .last()
            .map_or(Ok(()), |(_, value)| refuse_blocks_of_text(value)),
    }
}
