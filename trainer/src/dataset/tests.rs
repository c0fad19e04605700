use std::collections::BTreeSet;

use planner::training::{Derivation, Feature};
use proptest::prelude::*;

use super::*;

/// Reads a file whose column `y` is the target and whose other columns are features.
fn read_text(content: &[u8], classifies: bool) -> Result<Table, ReadError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let source = DataSource::Committed("data.csv".to_owned());
    let request = Request {
        store: None,
        source: &source,
        path: Some(file.path()),
        roots: &[],
        sha256: None,
        seed: 0,
        hash_key: 0,
    };
    read(request, &|names, _own| {
        let target = Some(Target {
            column: "y".to_owned(),
            divide_by: None,
            unit: None,
        });
        Layout::resolve(names, &[], target, classifies, &BTreeSet::new())
    })
}

#[test]
fn the_digest_of_a_file_is_of_its_bytes() {
    let content = b"x,y\n1,2\n";
    let table = read_text(content, false).unwrap();
    assert_eq!(table.digest, Digest::of(content));
    assert_eq!(table.columns["x"], [1.0]);
    assert_eq!(table.target, RawTarget::Numbers(vec![2.0]));
}

#[test]
fn quoted_fields_may_hold_commas_quotes_and_line_ends() {
    let table = read_text(b"x,y\n1,\"a, \"\"b\"\"\"\n2,\"c\nd\"\n3,e\n", true).unwrap();
    let word = |text: &str| Label::Word(text.into());
    let expected = vec![word("a, \"b\""), word("c\nd"), word("e")];
    assert_eq!(table.target, RawTarget::Labels(expected));
    assert_eq!(table.lines, [2, 3, 5]);
}

#[test]
fn whole_numbers_and_words_are_labels() {
    let table = read_text(b"x,y\n1,7\n2,7.0\n3,-1e3\n4,seven\n", true).unwrap();
    let rows: Vec<usize> = (0..4).collect();
    let RawTarget::Labels(labels) = &table.target else {
        panic!("labels")
    };
    let target = Target {
        column: "y".to_owned(),
        divide_by: None,
        unit: None,
    };
    let numbers = crate::features::labels(labels, &rows[..3], &target).unwrap();
    assert_eq!(numbers, registry::metadata::Labels::Numbers(vec![-1_000, 7]));
    let words = crate::features::labels(labels, &rows, &target).unwrap();
    assert_eq!(
        words,
        registry::metadata::Labels::Words(["-1000", "7", "seven"].map(str::to_owned).to_vec())
    );
    assert_eq!(
        crate::features::classes(labels, &rows, &words),
        [Some(1), Some(1), Some(0), Some(2)]
    );
}

#[test]
fn a_column_that_nobody_needs_may_hold_anything() {
    let names = ["x", "note", "y"].map(str::to_owned);
    let feature = Feature {
        name: "x".to_owned(),
        derivation: Derivation::Column("x".to_owned()),
    };
    let target = Target {
        column: "y".to_owned(),
        divide_by: None,
        unit: None,
    };
    let optional = BTreeSet::from(["note".to_owned()]);
    let layout = Layout::resolve(&names, &[feature], Some(target), false, &optional).unwrap();
    let mut builder = builder::Builder::new("u".to_owned(), names.to_vec(), &layout, 0, false);
    for note in [Cell::Number(1.0), Cell::Text("n/a"), Cell::Number(2.0)] {
        builder
            .push(1, &[Cell::Number(0.0), note, Cell::Number(0.0)])
            .unwrap();
    }
    let table = builder.finish(None);
    // Optional, and not always a number: given up.
    assert_eq!(table.columns.keys().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn synthetic_rows_depend_on_the_seed_alone() {
    let digest = |name: &str, seed| {
        let source = DataSource::Synthetic(name.to_owned());
        let request = Request {
            store: None,
            source: &source,
            path: None,
            roots: &[],
            sha256: None,
            seed,
            hash_key: 0,
        };
        let classifies = name == "blobs";
        let table = read(request, &|names, own| {
            Layout::resolve(names, &[], own, classifies, &BTreeSet::new())
        });
        table.unwrap().digest
    };
    for name in ["linear", "friedman1", "blobs"] {
        assert_eq!(digest(name, 1), digest(name, 1));
        assert_ne!(digest(name, 1), digest(name, 2));
    }
}

proptest! {
    /// Whatever the bytes, a table or an error that names the file.
    #[test]
    fn any_bytes_are_read_or_refused(
        head in prop_oneof![Just(""), Just("x,y\n"), Just("x,y\n1,2\n")],
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\",\n\r1.e-"[..])], 0..200),
        classifies: bool,
    ) {
        let content = [head.as_bytes(), &bytes].concat();
        match read_text(&content, classifies) {
            Ok(table) => {
                prop_assert!(table.columns.values().all(|column| column.len() == table.lines.len()));
                prop_assert!(table.columns.values().flatten().all(|value| value.is_finite()));
                prop_assert_eq!(table.hashes.len(), table.lines.len());
            }
            Err(error) => prop_assert!(error.to_string().starts_with("data.csv"), "{}", error),
        }
    }
}
