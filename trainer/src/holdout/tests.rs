use proptest::prelude::*;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// docs/design.md, "Holdout", spelled out byte by byte.
#[test]
fn a_row_hash_is_of_the_key_and_the_cells_in_the_order_of_names() {
    let hasher = RowHasher::new(7, &names(&["b", "a", "c"]));
    let got = hasher.hash(&[Cell::Number(2.5), Cell::Text("né"), Cell::Number(-0.0)]);
    let mut bytes = 7_u64.to_be_bytes().to_vec();
    bytes.extend(3_u64.to_be_bytes());
    bytes.extend("né".as_bytes());
    bytes.extend(2.5_f64.to_be_bytes());
    bytes.extend(0.0_f64.to_be_bytes());
    let expected: RowHash = Sha256::digest(&bytes).into();
    assert_eq!(got, expected);
    let nan = |bits| {
        hasher.hash(&[
            Cell::Number(f64::from_bits(bits)),
            Cell::Text(""),
            Cell::Number(0.0),
        ])
    };
    assert_eq!(nan(0x7ff8_0000_0000_0000), nan(0xfff8_0000_0000_0001));
}

#[test]
fn the_share_is_exact_at_its_edges() {
    let hash = |first: u64| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&first.to_be_bytes());
        hash
    };
    // 25 % of 2^64 is 2^62.
    assert!(is_held_out(&hash((1 << 62) - 1), 25));
    assert!(!is_held_out(&hash(1 << 62), 25));
    assert!(!is_held_out(&hash(0), 0));
    assert!(is_held_out(&hash(u64::MAX), 100));
}

proptest! {
    /// Columns in another order are the same row; a share that grows takes no row back.
    #[test]
    fn order_does_not_matter_and_shares_nest(
        key: u64,
        cells in proptest::collection::vec((any::<f64>(), "[a-z]{0,3}"), 1..6),
        small in 0_u8..=100,
        large in 0_u8..=100,
    ) {
        let columns: Vec<String> = (0..cells.len()).map(|n| format!("c{n}")).collect();
        let row: Vec<Cell<'_>> = cells
            .iter()
            .map(|(number, text)| if text.is_empty() { Cell::Number(*number) } else { Cell::Text(text) })
            .collect();
        let hash = RowHasher::new(key, &columns).hash(&row);
        let reversed: Vec<String> = columns.iter().rev().cloned().collect();
        let backwards: Vec<Cell<'_>> = row.iter().rev().copied().collect();
        prop_assert_eq!(hash, RowHasher::new(key, &reversed).hash(&backwards));
        prop_assert!(small > large || !is_held_out(&hash, small) || is_held_out(&hash, large));
    }
}

#[test]
fn about_the_share_is_held_out() {
    let hasher = RowHasher::new(0, &names(&["x"]));
    let held = (0..10_000).filter(|n| is_held_out(&hasher.hash(&[Cell::Number(f64::from(*n))]), 20));
    assert!((1_880..2_120).contains(&held.count()));
}
