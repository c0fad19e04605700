//! What raw rows become features by, found once when a model is loaded.

use std::collections::BTreeSet;

use planner::training::{Derivation, Feature};

/// The raw columns that a model's features are made of.
#[derive(Debug)]
pub(crate) struct RawColumns {
    /// In their order as texts, each once.
    names: Box<[String]>,
    /// How each feature is made.
    features: Box<[Made]>,
}

/// How a feature is made of raw columns, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is one.
    Column(usize),
    /// One divided by another.
    Ratio([usize; 2]),
}

impl RawColumns {
    pub(super) fn of(features: &[Feature]) -> Self {
        let used = features.iter().flat_map(|feature| match &feature.derivation {
            Derivation::Column(column) => std::slice::from_ref(column),
            Derivation::Ratio(both) => both,
        });
        let names: Box<[String]> = used.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let place = |column: &String| {
            let found = names.binary_search(column);
            found.expect("invariant: each column of a feature was listed")
        };
        let made = features.iter().map(|feature| match &feature.derivation {
            Derivation::Column(column) => Made::Column(place(column)),
            Derivation::Ratio(both) => Made::Ratio(both.each_ref().map(place)),
        });
        Self {
            features: made.collect(),
            names,
        }
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns how each feature is made, in the order of the signature.
    pub(crate) fn features(&self) -> &[Made] {
        &self.features
    }

    /// Returns the place of a column that a row names as its `nth`: most clients write them in order.
    pub(crate) fn place(&self, column: &str, nth: usize) -> Option<usize> {
        if self.names.get(nth).is_some_and(|name| name == column) {
            return Some(nth);
        }
        self.names.binary_search_by(|name| name.as_str().cmp(column)).ok()
    }

    /// Returns a column's name.
    pub(crate) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    /// Returns all names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> RawColumns {
        let feature = |name: &str, derivation| Feature {
            name: name.to_owned(),
            derivation,
        };
        RawColumns::of(&[
            feature("rooms", Derivation::Column("rooms".to_owned())),
            feature(
                "rooms a head",
                Derivation::Ratio(["rooms".to_owned(), "heads".to_owned()]),
            ),
            feature("age", Derivation::Column("age".to_owned())),
        ])
    }

    #[test]
    fn each_column_is_listed_once_and_found_wherever_a_row_has_it() {
        let columns = columns();
        assert_eq!(columns.names().collect::<Vec<_>>(), ["age", "heads", "rooms"]);
        for nth in 0..4 {
            let places = ["age", "heads", "rooms", "room", ""].map(|name| columns.place(name, nth));
            assert_eq!(places, [Some(0), Some(1), Some(2), None, None], "as {nth}");
        }
    }

    #[test]
    fn features_know_their_columns() {
        let expected = [Made::Column(2), Made::Ratio([2, 1]), Made::Column(0)];
        assert_eq!(columns().features(), expected);
    }
}
