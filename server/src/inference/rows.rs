//! Raw columns as requests write them: row by row, column by column, or a head and what stands below it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::literal;
use super::tensor::{Data, Level};

/// Rows of raw columns, one after the other in one list: a body of many small rows takes a few times its size.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    cells: Vec<(Name<'a>, Cell)>,
    /// Where each row's cells end.
    ends: Vec<usize>,
}

/// A column's name, which stays where it is in the body unless it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of a raw column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    Null,
    /// What it is instead of a number.
    Other(&'static str),
}

/// A list whose elements are rows of raw columns, or what lists of numbers are made of.
#[derive(Debug, Default)]
pub(super) struct Instances<'a> {
    pub(super) numbers: Data,
    pub(super) rows: Rows<'a>,
}

/// A data frame as pandas splits it.
#[derive(Debug, Deserialize)]
pub(super) struct Split<'a> {
    #[serde(borrow)]
    columns: Vec<Name<'a>>,
    data: Vec<Vec<Cell>>,
}

/// Columns by their names, or a list of numbers.
#[derive(Debug)]
pub(super) enum Columns<'a> {
    Named(Vec<(Name<'a>, Vec<Cell>)>),
    Numbers(Data),
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns each row's columns.
    pub(super) fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &Cell)>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let row = &self.cells[std::mem::replace(&mut start, *end)..*end];
            row.iter().map(|(name, cell)| (&*name.0, cell))
        })
    }

    /// Reads the next row.
    pub(super) fn read<A: MapAccess<'a>>(&mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(entry) = map.next_entry()? {
            self.cells.push(entry);
        }
        self.ends.push(self.cells.len());
        Ok(())
    }
}

impl Split<'_> {
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Returns each row's columns.
    pub(super) fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &Cell)>> {
        self.data
            .iter()
            .map(|row| self.columns.iter().map(|name| &*name.0).zip(row))
    }

    /// Returns the first row that has not one value for each column, and how many it has.
    pub(super) fn uneven(&self) -> Option<(usize, usize)> {
        let lengths = self.data.iter().map(Vec::len).enumerate();
        lengths
            .into_iter()
            .find(|(_, length)| *length != self.columns.len())
    }

    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }
}

/// Returns each row of named columns; all of them have as many values.
pub(super) fn transposed<'c>(
    columns: &'c [(Name<'_>, Vec<Cell>)],
) -> impl Iterator<Item = impl Iterator<Item = (&'c str, &'c Cell)>> {
    (0..rows_of(columns)).map(move |row| {
        let cells = columns.iter();
        cells.filter_map(move |(name, cells)| Some((&*name.0, cells.get(row)?)))
    })
}

/// Returns how many rows the first of named columns has.
pub(super) fn rows_of(columns: &[(Name<'_>, Vec<Cell>)]) -> usize {
    columns.first().map_or(0, |(_, cells)| cells.len())
}

/// Returns the name and the length of the first column that has not as many values as the first of all.
pub(super) fn uneven<'c>(columns: &'c [(Name<'_>, Vec<Cell>)]) -> Option<(&'c str, usize)> {
    let rows = rows_of(columns);
    let mut named = columns.iter().map(|(name, cells)| (&*name.0, cells.len()));
    named.find(|(_, length)| *length != rows)
}

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Rows<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows: [{column: number, …}, …]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut rows = Rows::default();
                while list.next_element_seed(Row(&mut rows))?.is_some() {}
                Ok(rows)
            }
        }

        struct Row<'r, 'de>(&'r mut Rows<'de>);

        impl<'de> DeserializeSeed<'de> for Row<'_, 'de> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for Row<'_, 'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row: {column: number, …}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
                self.0.read(map)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Instances<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut instances = Instances::default();
        deserializer.deserialize_seq(Level::of_either(&mut instances.numbers, &mut instances.rows))?;
        Ok(instances)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Columns<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Columns<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers, nested or flat, or {column: [number, …], …}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                let mut data = Data::default();
                Level::of_numbers(&mut data).visit_seq(list)?;
                Ok(Columns::Numbers(data))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(Columns::Named(columns))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Cell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
                Ok(Cell::Number(value))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
                Ok(Cell::Number(value as f64))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
                Ok(Cell::Number(value as f64))
            }

            fn visit_unit<E>(self) -> Result<Cell, E> {
                Ok(Cell::Null)
            }

            fn visit_bool<E: Error>(self, _value: bool) -> Result<Cell, E> {
                Ok(Cell::Other("true or false"))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Cell, E> {
                Ok(Cell::Other(if value == literal::MARK {
                    "NaN or Infinity, which JSON does not have"
                } else {
                    "a text"
                }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Other("a list"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Other("an object"))
            }
        }

        deserializer.deserialize_any(Value)
    }
}
