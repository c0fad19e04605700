//! The faults of `tests/bad-commits` that the text of a file shows.

#[path = "../../../../tests/bad-commits/fixture.rs"]
mod fixture;

use fixture::{Entry, Level};

use super::*;

/// Returns the findings of all manifests of a tree, as `aurora validate` prints them.
fn findings(tree: &fixture::Tree) -> String {
    let mut text = String::new();
    for (path, entry) in tree {
        if let (Some("yaml"), Entry::File(bytes)) = (path.rsplit('.').next(), entry) {
            for finding in parse_file(path, bytes).findings {
                writeln!(text, "{finding}").unwrap();
            }
        }
    }
    text
}

#[test]
fn faults_of_a_file_have_their_findings() {
    let example = fixture::example();
    assert_eq!(findings(&example), "");
    let mut faults = 0;
    for fault in fixture::faults() {
        let mut tree = example.clone();
        fault.apply(&mut tree);
        assert_ne!(tree, example, "{}: the commit changes nothing", fault.name);
        if fault.level == Level::File {
            let found = findings(&tree);
            assert_ne!(found, "", "{}: nothing was found", fault.name);
            expect_test::expect_file![&fault.expected].assert_eq(&found);
            faults += 1;
        }
    }
    assert!(faults >= 12, "only {faults} faults were found");
}
