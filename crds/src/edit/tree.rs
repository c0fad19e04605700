//! Text → YAML documents as trees in which every node knows the bytes that it stands on.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use crate::parse::DEPTH_MAX;

/// A node of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Its bytes, without anchor and tag; of what is written in blocks, up to the end of the last thing in it.
    pub(super) span: Range<usize>,
    /// Whether it has an anchor or a tag.
    pub(super) is_marked: bool,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    List {
        is_flow: bool,
        items: Vec<Node>,
    },
    Mapping {
        is_flow: bool,
        entries: Vec<(Node, Node)>,
    },
    Alias,
}

/// Why there is no tree.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum TreeError {
    #[error("{0}")]
    NoYaml(#[from] ScanError),
    #[error("values are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("it holds what this editor does not know")]
    Strange,
}

impl Node {
    /// Returns a scalar's text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the entries of a mapping.
    pub(super) fn entries(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// Returns the value of a field of a mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        let mut entries = self.entries().iter();
        let (_, value) = entries.find(|(key, _)| key.text() == Some(name))?;
        Some(value)
    }

    /// Returns the node that a path of fields leads to.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.field(name))
    }
}

/// Reads all documents of a file.
pub(super) fn read(text: &str) -> Result<Vec<Node>, TreeError> {
    let mut events = Events(Parser::new_from_str(text));
    let mut documents = Vec::new();
    while let Some((event, span)) = events.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => documents.push(events.node(event, span, 0)?),
        }
    }
    Ok(documents)
}

struct Events<'a>(Parser<'a, granit_parser::StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, TreeError> {
        loop {
            match self.0.next_event().transpose()? {
                Some((Event::Comment(..), _)) => {}
                event => return Ok(event),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, TreeError> {
        if depth > DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        let span = span.byte_range().ok_or(TreeError::Strange)?;
        let mut node = Node {
            span,
            is_marked: false,
            value: Value::Alias,
        };
        match event {
            Event::Alias(_) => {}
            Event::Scalar(text, style, anchor, tag) => {
                node.is_marked = anchor != 0 || tag.is_some();
                let text = text.into_owned();
                node.value = Value::Scalar { text, style };
            }
            Event::SequenceStart(style, anchor, tag) => {
                node.is_marked = anchor != 0 || tag.is_some();
                let mut items = Vec::new();
                let end = loop {
                    match self.next()?.ok_or(TreeError::Strange)? {
                        (Event::SequenceEnd, span) => break span,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                };
                node.span.end = end_of(style, &end, items.last()).ok_or(TreeError::Strange)?;
                let is_flow = style == StructureStyle::Flow;
                node.value = Value::List { is_flow, items };
            }
            Event::MappingStart(style, anchor, tag) => {
                node.is_marked = anchor != 0 || tag.is_some();
                let mut entries: Vec<(Node, Node)> = Vec::new();
                let end = loop {
                    match self.next()?.ok_or(TreeError::Strange)? {
                        (Event::MappingEnd, span) => break span,
                        (event, span) => {
                            let key = self.node(event, span, depth + 1)?;
                            let (event, span) = self.next()?.ok_or(TreeError::Strange)?;
                            entries.push((key, self.node(event, span, depth + 1)?));
                        }
                    }
                };
                let last = entries.last().map(|(_, value)| value);
                node.span.end = end_of(style, &end, last).ok_or(TreeError::Strange)?;
                let is_flow = style == StructureStyle::Flow;
                node.value = Value::Mapping { is_flow, entries };
            }
            _ => return Err(TreeError::Strange),
        }
        Ok(node)
    }
}

/// Returns where a list or mapping ends: at its bracket, or with the last thing in it.
fn end_of(style: StructureStyle, end: &Span, last: Option<&Node>) -> Option<usize> {
    match style {
        StructureStyle::Flow => Some(end.byte_range()?.end),
        StructureStyle::Block => Some(last?.span.end),
    }
}
