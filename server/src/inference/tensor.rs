//! A tensor's `data`: nested or flat JSON, read straight into one row-major vector.
//!
//! Elements that are no numbers do not fail the parse: what is wrong with them is said when the tensor is checked,
//! by its name.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::datatype::{Inexact, is_exact};
use super::literal;
use super::rows::Rows;

/// The deepest nesting; models take two dimensions.
const DEPTH_MAX: usize = 8;

/// Numbers in row-major order, NaN where there was none, and how they were nested.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Data {
    pub(super) values: Vec<f64>,
    /// The length of each level of nesting; one level is flat.
    pub(super) dims: Vec<usize>,
    /// The first element that is no number, or the first list of another length than its siblings.
    pub(super) flaw: Option<Flaw>,
    /// The position of the first `null`.
    pub(super) missing: Option<usize>,
    /// The first whole number that was rounded.
    pub(super) inexact: Option<Inexact>,
    /// At which depth elements are; lists there and elements elsewhere are ragged.
    leaf: Option<usize>,
}

/// What is wrong with `data` as a tensor of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A text at this position.
    Text(usize),
    /// `true` or `false` at this position.
    Bool(usize),
    /// `NaN` or `Infinity` at this position.
    NotFinite(usize),
    /// Lists of different lengths or depths, noticed before this position.
    Ragged(usize),
}

impl Data {
    fn push(&mut self, value: f64, depth: usize) {
        if *self.leaf.get_or_insert(depth) != depth {
            self.note(Flaw::Ragged(self.values.len()));
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

    fn note(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
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
            Some(_) => self.note(Flaw::Ragged(self.values.len())),
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

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        self.data.note(Flaw::Bool(self.data.values.len()));
        self.data.push(f64::NAN, self.depth);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let at = self.data.values.len();
        self.data.note(if value == literal::MARK {
            Flaw::NotFinite(at)
        } else {
            Flaw::Text(at)
        });
        self.data.push(f64::NAN, self.depth);
        Ok(())
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
            data.note(Flaw::Ragged(data.values.len()));
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
                "{:?} dims {:?}{}{}",
                data.values,
                data.dims,
                data.flaw.map(|flaw| format!(" {flaw:?}")).unwrap_or_default(),
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
        check(r#"[1, "x", true]"#, expect!["[1.0, NaN, NaN] dims [3] Text(1)"]);
        check("[[1], [true]]", expect!["[1.0, NaN] dims [2, 1] Bool(1)"]);
        check("[[1, 2], [3]]", expect!["[1.0, 2.0, 3.0] dims [2, 2] Ragged(3)"]);
        check("[1, [2]]", expect!["[1.0, 2.0] dims [2, 1] Ragged(1)"]);
        check("[[1], 2]", expect!["[1.0, 2.0] dims [2, 1] Ragged(1)"]);
        check("[[], [[1]]]", expect!["[1.0] dims [2, 0, 1] Ragged(1)"]);
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
