//! A tensor's `data`: nested or flat JSON, read straight into one row-major vector.
//!
//! Which type the elements are to have is known only when the tensor is checked: texts, `true` and `false` are kept beside
//! the numbers, and what is wrong with one is said then, by its name.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use registry::artifact::Value;

use super::datatype::{Inexact, is_exact};
use super::literal;
use super::rows::Rows;

/// The deepest nesting; models take two dimensions.
const DEPTH_MAX: usize = 8;

/// Room for the elements of most rows.
const USUAL_ELEMENTS: usize = 16;

/// Elements in row-major order, and how they were nested.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Data {
    /// The numbers; NaN where there is none.
    pub(super) values: Vec<f64>,
    /// What is no number, in the order of its positions.
    odd: Vec<Odd>,
    /// All texts, one after the other.
    texts: String,
    /// The length of each level of nesting; one level is flat.
    pub(super) dims: Vec<usize>,
    /// The position of the first `NaN` or `Infinity`.
    pub(super) not_finite: Option<usize>,
    /// Before which position a list ended with another length or depth than its siblings.
    pub(super) ragged: Option<usize>,
    /// The position of the first `null`.
    pub(super) missing: Option<usize>,
    /// The first whole number that was rounded.
    pub(super) inexact: Option<Inexact>,
    /// At which depth elements are; lists there and elements elsewhere are ragged.
    leaf: Option<usize>,
}

/// An element that is no number. Small: a body may hold many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Odd {
    at: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A text, which ends here among all; it begins where the one before it ends.
    Text {
        end: u32,
    },
    Bool(bool),
}

impl Data {
    /// Says whether all elements are numbers, or missing.
    pub(super) fn is_of_numbers(&self) -> bool {
        self.odd.is_empty()
    }

    /// Returns the position of the first element that is no number, and what it is.
    pub(super) fn first_odd(&self) -> Option<(usize, Value<'_>)> {
        let at = self.odd.first()?.at as usize;
        self.elements().nth(at).map(|value| (at, value))
    }

    /// Returns the elements, one after the other.
    pub(super) fn elements(&self) -> impl Iterator<Item = Value<'_>> {
        let mut odd = self.odd.iter().peekable();
        let mut start = 0;
        self.values.iter().enumerate().map(move |(at, number)| {
            match odd.next_if(|odd| odd.at as usize == at).map(|odd| odd.what) {
                Some(What::Text { end }) => {
                    let end = end as usize;
                    Value::Text(&self.texts[std::mem::replace(&mut start, end)..end])
                }
                Some(What::Bool(bool)) => Value::Bool(bool),
                None if number.is_nan() => Value::Missing,
                None => Value::Number(*number),
            }
        })
    }

    fn push_odd<E: Error>(&mut self, what: What, depth: usize) -> Result<(), E> {
        let at = u32::try_from(self.values.len()).map_err(|_many| E::custom("too many elements"))?;
        self.odd.push(Odd { at, what });
        self.push(f64::NAN, depth);
        Ok(())
    }

    fn push(&mut self, value: f64, depth: usize) {
        if *self.leaf.get_or_insert(depth) != depth {
            self.note_ragged();
        }
        if self.values.capacity() == 0 {
            self.values.reserve(USUAL_ELEMENTS);
        }
        self.values.push(value);
    }

    /// Adds a whole number as the double next to it.
    fn push_whole(&mut self, value: i128, rounded: f64, depth: usize) {
        if !is_exact(value, rounded) {
            let at = self.values.len();
            self.inexact.get_or_insert(Inexact { at, value });
        }
        self.push(rounded, depth);
    }

    fn note_ragged(&mut self) {
        self.ragged.get_or_insert(self.values.len());
    }

    fn close(&mut self, depth: usize, length: usize) {
        match self.dims.get_mut(depth) {
            // Inner lists close before the outer ones: the place is filled when the outer one closes.
            None => {
                self.dims.resize(depth + 1, usize::MAX);
                self.dims[depth] = length;
            }
            Some(known) if *known == usize::MAX => *known = length,
            Some(known) if *known == length => {}
            Some(_) => self.note_ragged(),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        deserializer.deserialize_seq(Level::of_numbers(&mut data))?;
        Ok(data)
    }
}

/// Reads what is nested `depth` deep.
pub(super) struct Level<'a, 'de> {
    data: &'a mut Data,
    /// Where the elements of the outermost list may be rows of raw columns.
    rows: Option<&'a mut Rows<'de>>,
    depth: usize,
}

impl<'a, 'de> Level<'a, 'de> {
    /// Reads the outermost list of a tensor.
    pub(super) fn of_numbers(data: &'a mut Data) -> Self {
        Self {
            data,
            rows: None,
            depth: 0,
        }
    }

    /// Reads a list whose elements are those of a tensor, or rows of raw columns.
    pub(super) fn of_either(data: &'a mut Data, rows: &'a mut Rows<'de>) -> Self {
        Self {
            data,
            rows: Some(rows),
            depth: 0,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, nested or flat")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.data.push(value, self.depth);
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JSON numbers are doubles here: rounded like any other literal"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.data.push_whole(value.into(), value as f64, self.depth);
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JSON numbers are doubles here: rounded like any other literal"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.data.push_whole(value.into(), value as f64, self.depth);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.data.missing.get_or_insert(self.data.values.len());
        self.data.push(f64::NAN, self.depth);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.data.push_odd(What::Bool(value), self.depth)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if value == literal::MARK {
            self.data.not_finite.get_or_insert(self.data.values.len());
            self.data.push(f64::NAN, self.depth);
            return Ok(());
        }
        self.data.texts.push_str(value);
        let end = u32::try_from(self.data.texts.len()).map_err(|_long| E::custom("too much text"))?;
        self.data.push_odd(What::Text { end }, self.depth)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self {
            data,
            mut rows,
            depth,
        } = self;
        if depth == DEPTH_MAX {
            return Err(A::Error::custom(format_args!(
                "nested deeper than {DEPTH_MAX} lists"
            )));
        }
        if data.leaf.is_some_and(|leaf| leaf <= depth) {
            data.note_ragged();
        }
        let mut length = 0;
        while list
            .next_element_seed(Level {
                data: &mut *data,
                rows: rows.as_deref_mut().filter(|_| depth == 0),
                depth: depth + 1,
            })?
            .is_some()
        {
            length += 1;
        }
        data.close(depth, length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.rows {
            Some(rows) => rows.read(map),
            None => Err(A::Error::invalid_type(
                serde::de::Unexpected::Map,
                &"a list of numbers, nested or flat",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
    fn check(json: &str, expected: Expect) {
        let shown = match serde_json::from_str::<Data>(json) {
            Ok(data) => format!(
                "{:?} dims {:?}{}{}{}",
                data.values,
                data.dims,
                data.first_odd()
                    .map(|(at, value)| format!(" {value:?} at {at}"))
                    .unwrap_or_default(),
                data.ragged
                    .map(|at| format!(" ragged at {at}"))
                    .unwrap_or_default(),
                data.missing
                    .map(|at| format!(" null at {at}"))
                    .unwrap_or_default(),
            ),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn nested_and_flat_lists_read_alike() {
        check("[1, 2.5, -3, 1e300]", expect!["[1.0, 2.5, -3.0, 1e300] dims [4]"]);
        check(
            "[[1, 2], [3, 4], [5, 6]]",
            expect!["[1.0, 2.0, 3.0, 4.0, 5.0, 6.0] dims [3, 2]"],
        );
        check("[[[1], [2]]]", expect!["[1.0, 2.0] dims [1, 2, 1]"]);
        check("[]", expect!["[] dims [0]"]);
        check("[[], []]", expect!["[] dims [2, 0]"]);
    }

    #[test]
    fn what_is_no_tensor_of_numbers_is_noted_at_its_position() {
        check("[1, null, 3]", expect!["[1.0, NaN, 3.0] dims [3] null at 1"]);
        check(
            r#"[1, "x", true]"#,
            expect![[r#"[1.0, NaN, NaN] dims [3] Text("x") at 1"#]],
        );
        check("[[1], [true]]", expect!["[1.0, NaN] dims [2, 1] Bool(true) at 1"]);
        check(
            "[[1, 2], [3]]",
            expect!["[1.0, 2.0, 3.0] dims [2, 2] ragged at 3"],
        );
        check("[1, [2]]", expect!["[1.0, 2.0] dims [2, 1] ragged at 1"]);
        check("[[1], 2]", expect!["[1.0, 2.0] dims [2, 1] ragged at 1"]);
        check("[[], [[1]]]", expect!["[1.0] dims [2, 0, 1] ragged at 1"]);
    }

    #[test]
    fn elements_come_in_their_order() {
        let data: Data = serde_json::from_str(r#"[["a", 1, true], [null, "", "bc"]]"#).unwrap();
        let expected = [
            Value::Text("a"),
            Value::Number(1.0),
            Value::Bool(true),
            Value::Missing,
            Value::Text(""),
            Value::Text("bc"),
        ];
        assert_eq!(data.elements().collect::<Vec<_>>(), expected);
        assert!(!data.is_of_numbers());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        check(
            "7",
            expect![
                "invalid type: integer `7`, expected a list of numbers, nested or flat at line 1 column 1"
            ],
        );
        check(
            r#"[{"a": 1}]"#,
            expect!["invalid type: map, expected a list of numbers, nested or flat at line 1 column 2"],
        );
        check("[1e999]", expect!["number out of range at line 1 column 6"]);
        check(
            "[[[[[[[[[1]]]]]]]]]",
            expect!["nested deeper than 8 lists at line 1 column 9"],
        );
    }
}
