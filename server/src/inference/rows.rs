//! Raw columns as requests write them: row by row, column by column, or a head and what stands below it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use strum::Display;

use super::literal;
use super::tensor::{Data, Level};

/// Rows of raw columns, one after the other in one list: a body of many small rows takes a few times its size.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    cells: Vec<(Name<'a>, Cell<'a>)>,
    /// Where each row's cells end.
    ends: Vec<usize>,
}

/// A column's name, which stays where it is in the body unless it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of a raw column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Number(f64),
    Bool(bool),
    Text(Cow<'a, str>),
    Null,
    Other(Other),
}

/// What a value is that no column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
pub(super) enum Other {
    #[strum(serialize = "a list")]
    List,
    #[strum(serialize = "an object")]
    Object,
    #[strum(serialize = "NaN or Infinity, which JSON does not have (null is a missing value)")]
    NotFinite,
}

/// Lists of values, one after the other in one list.
#[derive(Debug, Default)]
struct Lists<'a> {
    cells: Vec<Cell<'a>>,
    /// Where each list's cells end.
    ends: Vec<usize>,
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
    #[serde(borrow)]
    data: Lists<'a>,
}

/// Columns by their names, or a list of numbers.
#[derive(Debug)]
pub(super) enum Columns<'a> {
    Named(Named<'a>),
    Numbers(Data),
}

/// Columns by their names.
#[derive(Debug, Default)]
pub(super) struct Named<'a> {
    names: Vec<Name<'a>>,
    columns: Lists<'a>,
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns each row's columns.
    pub(super) fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &Cell<'_>)>> {
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

impl<'a> Lists<'a> {
    fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the cells of a list; none where there is no such list.
    fn get(&self, at: usize) -> &[Cell<'a>] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.get(at).map_or(&[], |end| &self.cells[start..*end])
    }

    /// Returns the first list that has another length, and what it has.
    fn uneven(&self, length: usize) -> Option<(usize, usize)> {
        let lengths = (0..self.len()).map(|at| (at, self.get(at).len()));
        lengths.into_iter().find(|(_, got)| *got != length)
    }
}

impl Split<'_> {
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Returns how many columns each row is to have.
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Returns each row's columns.
    pub(super) fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &Cell<'_>)>> {
        let names = || self.columns.iter().map(|name| &*name.0);
        (0..self.len()).map(move |row| names().zip(self.data.get(row)))
    }

    /// Returns the first row that has not one value for each column, and how many it has.
    pub(super) fn uneven(&self) -> Option<(usize, usize)> {
        self.data.uneven(self.columns())
    }
}

impl Named<'_> {
    /// Returns how many rows there are, by the first column.
    pub(super) fn len(&self) -> usize {
        self.columns.get(0).len()
    }

    /// Returns each row's columns; all of them have as many values.
    pub(super) fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, &Cell<'_>)>> {
        (0..self.len()).map(move |row| {
            let names = self.names.iter().enumerate();
            names.filter_map(move |(at, name)| Some((&*name.0, self.columns.get(at).get(row)?)))
        })
    }

    /// Returns the name of the first column that has not as many values as the first of all, and how many it has.
    pub(super) fn uneven(&self) -> Option<(&str, usize)> {
        let (at, got) = self.columns.uneven(self.len())?;
        Some((&self.names[at].0, got))
    }
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
                let mut named = Named::default();
                while let Some(name) = map.next_key()? {
                    named.names.push(name);
                    map.next_value_seed(OneList(&mut named.columns))?;
                }
                Ok(Columns::Named(named))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lists<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;

        impl<'de> Visitor<'de> for Outer {
            type Value = Lists<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows: [[number, …], …]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut lists = Lists::default();
                while list.next_element_seed(OneList(&mut lists))?.is_some() {}
                Ok(lists)
            }
        }

        deserializer.deserialize_seq(Outer)
    }
}

/// Reads one list more.
struct OneList<'l, 'de>(&'l mut Lists<'de>);

impl<'de> DeserializeSeed<'de> for OneList<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OneList<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(cell) = list.next_element()? {
            self.0.cells.push(cell);
        }
        self.0.ends.push(self.0.cells.len());
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Cell<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Cell<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, true or false")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Cell::Number(value))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Cell::Number(value as f64))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Cell::Number(value as f64))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Cell::Null)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Cell::Bool(value))
            }

            fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(match value {
                    literal::MARK => Cell::Other(Other::NotFinite),
                    text => Cell::Text(Cow::Borrowed(text)),
                })
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Cell::Text(Cow::Owned(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Other(Other::List))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Other(Other::Object))
            }
        }

        deserializer.deserialize_any(Value)
    }
}
