//! The corpora, replayed, and some inputs near them: what `cargo xtask fuzz` runs for longer.

use fuzz::{Bounds, Target, run};

/// How many mutated inputs each target takes here.
const RUNS: u64 = 300;

fn check(target: Target) {
    let mut take = target.taker();
    for input in target.corpus() {
        take(&input);
    }
    drop(take);
    let find = run(target, 1, RUNS, Bounds::default(), &mut |_seed| {}).expect("the corpus can be read");
    assert_eq!(find, None);
}

#[test]
fn manifests_are_parsed_or_have_findings() {
    check(Target::Manifest);
}

#[test]
fn bodies_are_answered() {
    check(Target::Body);
}

#[test]
fn artifacts_are_read_or_refused() {
    check(Target::Artifact);
}

#[test]
fn models_are_answered_row_by_row_or_refused() {
    check(Target::Model);
}

#[test]
fn stores_are_read_or_what_is_damaged_is_named() {
    check(Target::Store);
}

#[test]
fn signatures_are_of_what_was_signed() {
    check(Target::Signature);
}

#[test]
fn a_seed_makes_one_input() {
    let corpus = Target::Manifest.corpus();
    let inputs: Vec<_> = (0..100).map(|seed| fuzz::mutate(&corpus, seed)).collect();
    let again: Vec<_> = (0..100).map(|seed| fuzz::mutate(&corpus, seed)).collect();
    assert_eq!(inputs, again);
    let distinct: std::collections::BTreeSet<_> = inputs.iter().collect();
    assert!(distinct.len() > 80, "{} of 100 are distinct", distinct.len());
}
