//! Element types, extents of axes, and the values that steps read and write.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use num_traits::Float;

use crate::refusal::{Limits, Refusal};

/// The most axes a value may have.
pub(crate) const RANK_MAX: usize = 8;

/// The type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `FP32`.
    F32,
    /// `FP64`.
    F64,
    /// `INT64`.
    I64,
    /// `INT32`.
    I32,
    /// `BOOL`.
    Bool,
    /// `BYTES`: a text.
    Text,
}

impl Type {
    /// Returns its name in the Open Inference Protocol.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::F32 => "FP32",
            Self::F64 => "FP64",
            Self::I64 => "INT64",
            Self::I32 => "INT32",
            Self::Bool => "BOOL",
            Self::Text => "BYTES",
        }
    }

    /// Returns how many bytes an element takes in memory.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::F32 | Self::I32 | Self::Text => 4,
            Self::F64 | Self::I64 => 8,
            Self::Bool => 1,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.protocol_name())
    }
}

/// How many entries an axis has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dim {
    /// As many, whatever is asked.
    Fixed(usize),
    /// As many for each row of a request.
    Rows(usize),
}

impl Dim {
    /// Returns how many for a number of rows.
    pub const fn at(self, rows: usize) -> usize {
        match self {
            Self::Fixed(count) => count,
            Self::Rows(each) => each * rows,
        }
    }

    /// Returns how many, where that does not depend on the rows.
    pub(crate) const fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(count) => Some(count),
            Self::Rows(_) => None,
        }
    }

    pub(crate) const fn is_rows(self) -> bool {
        matches!(self, Self::Rows(_))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(count) => write!(formatter, "{count}"),
            Self::Rows(1) => formatter.write_str("rows"),
            Self::Rows(each) => write!(formatter, "{each}·rows"),
        }
    }
}

/// Writes a shape as people do: `[rows, 4]`.
pub(crate) fn written(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// Returns how many elements a shape has.
pub(crate) fn count(shape: &[Dim], rows: usize) -> usize {
    shape.iter().map(|dim| dim.at(rows)).product()
}

/// A text among those that the model knows; all that it does not know are [`Symbol::UNKNOWN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub(crate) u32);

impl Symbol {
    /// A text that the model does not know, and which equals none that it does.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

impl Default for Symbol {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// The texts that a model knows, or those of a request for one that evaluates them as they are.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    texts: Vec<Arc<[u8]>>,
    known: HashMap<Arc<[u8]>, Symbol>,
    text_bytes: usize,
}

/// About how many bytes a text takes beside its own: two references, a count, and its place in the table.
const TEXT_OVERHEAD: usize = 96;

impl Symbols {
    /// Returns the symbol of a text, which is kept with it.
    ///
    /// # Errors
    ///
    /// There are more different texts than allowed, or they are longer.
    pub fn add(&mut self, text: &[u8], limits: &Limits) -> Result<Symbol, Refusal> {
        if let Some(symbol) = self.known.get(text) {
            return Ok(*symbol);
        }
        Limits::check("different texts", self.texts.len() + 1, limits.texts_max)?;
        self.text_bytes += text.len();
        Limits::check("bytes of different texts", self.text_bytes, limits.text_bytes_max)?;
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<[u8]> = text.into();
        self.texts.push(text.clone());
        self.known.insert(text, symbol);
        Ok(symbol)
    }

    /// Returns the symbol of a text of a request.
    pub(crate) fn find(&self, text: &[u8]) -> Symbol {
        self.known.get(text).copied().unwrap_or(Symbol::UNKNOWN)
    }

    /// Returns a symbol's text; `None` for the unknown one.
    pub fn text(&self, symbol: Symbol) -> Option<&[u8]> {
        self.texts.get(symbol.0 as usize).map(AsRef::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.iter().map(AsRef::as_ref)
    }

    /// Returns about how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.text_bytes + TEXT_OVERHEAD * self.texts.len()
    }
}

/// The elements of a value, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    /// `FP32`.
    F32(Vec<f32>),
    /// `FP64`.
    F64(Vec<f64>),
    /// `INT64`.
    I64(Vec<i64>),
    /// `INT32`.
    I32(Vec<i32>),
    /// `BOOL`.
    Bool(Vec<bool>),
    /// `BYTES`.
    Text(Vec<Symbol>),
}

/// Does the same with the elements of whatever type a buffer has.
macro_rules! with {
    ($buffer:expr, $elements:ident => $body:expr) => {
        match $buffer {
            $crate::types::Buffer::F32($elements) => $body,
            $crate::types::Buffer::F64($elements) => $body,
            $crate::types::Buffer::I64($elements) => $body,
            $crate::types::Buffer::I32($elements) => $body,
            $crate::types::Buffer::Bool($elements) => $body,
            $crate::types::Buffer::Text($elements) => $body,
        }
    };
}

/// Does the same with `$T` as the element type that a [`Type`] names.
macro_rules! with_type {
    ($type:expr, $T:ident => $body:expr) => {
        match $type {
            $crate::types::Type::F32 => {
                type $T = f32;
                $body
            }
            $crate::types::Type::F64 => {
                type $T = f64;
                $body
            }
            $crate::types::Type::I64 => {
                type $T = i64;
                $body
            }
            $crate::types::Type::I32 => {
                type $T = i32;
                $body
            }
            $crate::types::Type::Bool => {
                type $T = bool;
                $body
            }
            $crate::types::Type::Text => {
                type $T = $crate::types::Symbol;
                $body
            }
        }
    };
}

/// As `with_type`, for numbers; `$other` for texts and truth values.
macro_rules! with_number {
    ($type:expr, $T:ident => $body:expr, $other:expr) => {
        match $type {
            $crate::types::Type::I64 => {
                type $T = i64;
                $body
            }
            $crate::types::Type::I32 => {
                type $T = i32;
                $body
            }
            element => $crate::types::with_float!(element, $T => $body, $other),
        }
    };
}

/// As `with_type`, for floating-point numbers; `$other` for all others.
macro_rules! with_float {
    ($type:expr, $T:ident => $body:expr, $other:expr) => {
        match $type {
            $crate::types::Type::F32 => {
                type $T = f32;
                $body
            }
            $crate::types::Type::F64 => {
                type $T = f64;
                $body
            }
            _ => $other,
        }
    };
}

pub(crate) use {with, with_float, with_number, with_type};

impl Buffer {
    /// Returns an empty one.
    pub(crate) const fn empty(element: Type) -> Self {
        match element {
            Type::F32 => Self::F32(Vec::new()),
            Type::F64 => Self::F64(Vec::new()),
            Type::I64 => Self::I64(Vec::new()),
            Type::I32 => Self::I32(Vec::new()),
            Type::Bool => Self::Bool(Vec::new()),
            Type::Text => Self::Text(Vec::new()),
        }
    }

    /// Returns the type of its elements.
    pub const fn element(&self) -> Type {
        match self {
            Self::F32(_) => Type::F32,
            Self::F64(_) => Type::F64,
            Self::I64(_) => Type::I64,
            Self::I32(_) => Type::I32,
            Self::Bool(_) => Type::Bool,
            Self::Text(_) => Type::Text,
        }
    }

    /// Returns how many elements it has.
    pub fn len(&self) -> usize {
        with!(self, elements => elements.len())
    }

    /// Says whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all elements, and keeps their room.
    pub(crate) fn clear(&mut self) {
        with!(self, elements => elements.clear());
    }

    /// Makes room for a number of elements, whose values are then anything.
    pub(crate) fn resize(&mut self, count: usize) {
        fn to<T: Element>(elements: &mut Vec<T>, count: usize) {
            elements.resize(count, T::default());
        }
        with!(self, elements => to(elements, count));
    }

    /// Adds the elements of another one of the same type.
    pub(crate) fn extend(&mut self, other: &Self) {
        fn by<T: Element>(elements: &mut Vec<T>, other: &Buffer) {
            elements.extend_from_slice(T::of(other));
        }
        with!(self, elements => by(elements, other));
    }

    /// Takes a part of another one of the same type, as long as itself.
    pub(crate) fn copy_part(&mut self, other: &Self, part: std::ops::Range<usize>) {
        fn from<T: Element>(elements: &mut [T], other: &Buffer, part: std::ops::Range<usize>) {
            elements.copy_from_slice(&T::of(other)[part]);
        }
        with!(self, elements => from(elements, other, part));
    }
}

/// What an element is in Rust.
pub(crate) trait Element: Copy + Default + PartialEq + Send + Sync + 'static {
    /// Its name among the types.
    const TYPE: Type;

    /// Returns the elements of a buffer of this type.
    fn of(buffer: &Buffer) -> &[Self];

    /// Returns the elements of a buffer of this type, to be written.
    fn of_mut(buffer: &mut Buffer) -> &mut [Self];
}

macro_rules! elements {
    ($($rust:ty => $variant:ident),+) => {
        $(impl Element for $rust {
            const TYPE: Type = Type::$variant;

            fn of(buffer: &Buffer) -> &[Self] {
                match buffer {
                    Buffer::$variant(elements) => elements,
                    other => panic!("invariant: a step reads {}, not {}", Self::TYPE, other.element()),
                }
            }

            fn of_mut(buffer: &mut Buffer) -> &mut [Self] {
                match buffer {
                    Buffer::$variant(elements) => elements,
                    other => panic!("invariant: a step writes {}, not {}", Self::TYPE, other.element()),
                }
            }
        })+
    };
}

elements!(f32 => F32, f64 => F64, i64 => I64, i32 => I32, bool => Bool, Symbol => Text);

/// A floating-point number.
pub(crate) trait Real: Element + Float {
    /// Returns the nearest to a number.
    fn nearest(number: f64) -> Self;

    /// Returns the nearest FP32.
    fn narrow(self) -> f32;

    /// Returns the same number as a double.
    fn wide(self) -> f64;
}

impl Real for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest is what is asked for")]
    fn nearest(number: f64) -> Self {
        number as Self
    }

    fn narrow(self) -> f32 {
        self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn nearest(number: f64) -> Self {
        number
    }

    fn narrow(self) -> f32 {
        f32::nearest(self)
    }

    fn wide(self) -> f64 {
        self
    }
}

/// Where a step finds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Written by the request or by an earlier step.
    Slot(usize),
    /// Part of the model.
    Constant(usize),
}

/// What a step may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) slots: &'a [Buffer],
    pub(crate) constants: &'a [Buffer],
    /// How many rows are under way.
    pub(crate) rows: usize,
    /// The first of them that the step has no answer to.
    pub(crate) refused: &'a Cell<Option<usize>>,
}

impl<'a> Values<'a> {
    /// Returns a value's elements.
    pub(crate) fn of<T: Element>(&self, source: Source) -> &'a [T] {
        T::of(self.buffer(source))
    }

    /// Says that a row has no answer, whatever is written for it.
    pub(crate) fn refuse(&self, row: usize) {
        let first = self.refused.get().map_or(row, |first| first.min(row));
        self.refused.set(Some(first));
    }

    pub(crate) fn buffer(&self, source: Source) -> &'a Buffer {
        match source {
            Source::Slot(slot) => &self.slots[slot],
            Source::Constant(constant) => &self.constants[constant],
        }
    }
}

/// What a step makes of a missing value: a NaN among what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It may be among what it writes.
    Spreads,
    /// It may be as well, and only a part of the entries is read.
    Parts,
    /// It has a meaning here, and is in nothing of what is written.
    Ends,
}

/// One step of a program: reads values, and writes those that it is given, which have their sizes already.
pub(crate) trait Kernel: Send + Sync {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]);

    /// Names the node, where it may refuse a row.
    fn place(&self) -> Option<&str> {
        None
    }

    /// About how many operations it costs for one row beside reading and writing what it does.
    fn work(&self) -> usize {
        0
    }

    /// Says what it makes of a NaN that it reads.
    fn missing(&self) -> Missing {
        Missing::Spreads
    }

    /// Returns what it keeps of the model beside constants, in bytes.
    fn kept(&self) -> usize {
        0
    }
}
