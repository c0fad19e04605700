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
        Layout::resolve(names, &[], &[], target, classifies, &BTreeSet::new())
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

/// Reads labels of a column, and what a model would call them.
fn labels_of(cells: &[&str]) -> registry::metadata::Labels {
    let rows = cells.iter().map(|cell| format!("1,{cell}\n"));
    let table = read_text(("x,y\n".to_owned() + &rows.collect::<String>()).as_bytes(), true).unwrap();
    let RawTarget::Labels(labels) = &table.target else {
        panic!("labels")
    };
    let rows: Vec<usize> = (0..cells.len()).collect();
    let target = Target {
        column: "y".to_owned(),
        divide_by: None,
        unit: None,
    };
    let known = crate::features::labels(labels, &rows, &target).unwrap();
    // Each row is found again under its own label.
    let found = crate::features::classes(labels, &rows, &known);
    for (cell, found) in cells.iter().zip(found) {
        let name = match &known {
            registry::metadata::Labels::Numbers(numbers) => numbers[found.unwrap()].to_string(),
            registry::metadata::Labels::Words(words) => words[found.unwrap()].clone(),
        };
        assert_eq!(name, cell.trim());
    }
    known
}

#[test]
fn labels_are_what_the_data_calls_them() {
    use registry::metadata::Labels;
    let words = |words: &[&str]| Labels::Words(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        labels_of(&["7", "-3", " 10 ", "7"]),
        Labels::Numbers(vec![-3, 7, 10])
    );
    assert_eq!(labels_of(&["01", "1", "1"]), words(&["01", "1"]));
    assert_eq!(labels_of(&["1E3", "1000"]), words(&["1000", "1E3"]));
    assert_eq!(labels_of(&["NA", "ZA"]), words(&["NA", "ZA"]));
    assert_eq!(
        labels_of(&["7.0", "7", "-0", "+7"]),
        words(&["+7", "-0", "7", "7.0"])
    );
    assert_eq!(labels_of(&["none", "no", "true"]), words(&["no", "none", "true"]));
    assert_eq!(
        labels_of(&["0.5", "9223372036854775807"]),
        words(&["0.5", "9223372036854775807"])
    );
    assert_eq!(
        labels_of(&["99999999999999999999", "inf"]),
        words(&["99999999999999999999", "inf"])
    );
}

#[test]
fn missing_labels_are_refused_with_their_line() {
    for token in [
        "", "NaN", "nan", "NULL", "null", "N/A", "#N/A", "<NA>", "None", "?",
    ] {
        let error = read_text(format!("x,y\r\n1,a\r\n2,{token}\r\n").as_bytes(), true).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("data.csv, line 3, column 2 (y): ")
                && error.contains("a class label is needed"),
            "{error}"
        );
    }
}

#[test]
fn cells_are_shown_short_and_without_what_steers_a_terminal() {
    assert_eq!(
        shown("a\u{1b}[31m\r\n\u{202e}b\u{200b}"),
        "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b\u{fffd}"
    );
    assert_eq!(shown(&"é".repeat(40)), "é".repeat(40));
    assert_eq!(shown(&"é".repeat(41)), "é".repeat(40) + "…");
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
    let layout = Layout::resolve(&names, &[feature], &[], Some(target), false, &optional).unwrap();
    let mut builder = builder::Builder::new("u".to_owned(), names.to_vec(), &layout, 0, false, true);
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
            Layout::resolve(names, &[], &[], own, classifies, &BTreeSet::new())
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
