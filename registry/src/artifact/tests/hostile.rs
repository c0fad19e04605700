//! Bytes from anywhere: never a panic, a hang or an allocation out of proportion.

use proptest::prelude::*;

use super::*;
use crate::metadata::Cell;

/// A tree whose splits form one chain of this length.
fn chain(length: usize) -> Graph {
    let splits = (0..length).map(|i| Split {
        threshold: 0.0,
        feature: 0,
        below: Child::leaf(0).unwrap(),
        otherwise: Child::split(i + 1)
            .filter(|_| i + 1 < length)
            .or(Child::leaf(0))
            .unwrap(),
    });
    Graph::Trees(Trees {
        width: 1,
        base: 0.0,
        roots: vec![Child::split(0).unwrap()],
        splits: splits.collect(),
        leaves: vec![1.0],
    })
}

fn error(bytes: &[u8], limits: &Limits) -> String {
    Model::read(bytes, limits).unwrap_err().to_string()
}

#[test]
fn limits_hold() {
    let limits = Limits::default();
    assert!(Model::read(&encode(&chain(1_024)), &limits).is_ok());
    let refusals = [
        error(&encode(&chain(1_025)), &limits),
        error(
            &encode(&chain(20)),
            &Limits {
                tree_nodes_max: 40,
                ..limits
            },
        ),
        error(
            &encode(&linear()),
            &Limits {
                bytes_max: 10,
                ..limits
            },
        ),
        // Two bytes an empty node: each would take two hundred in memory.
        error(&nested(&[0x3a], &b"\x0a\x00".repeat(200_000)), &limits),
        // One byte a number: each would take eight.
        error(&nested(&[0x3a, 0x0a, 0x2a, 0x42], &vec![0; 33_000_000]), &limits),
        error(&nested(&[0x3a], b"\x0a\x7f"), &limits),
        error(b"", &limits),
        error(b"not an onnx file", &limits),
    ];
    expect![[r#"
        TreeEnsemble "treeensemble": is deeper than the 1024 splits allowed (in tree 0)
        the model has 41 splits and leaves of trees, more than the 40 allowed
        the model has 224 bytes, more than the 10 allowed
        the model has 10001 nodes, more than the 10000 allowed
         "": is the operator  of ai.onnx; supported: the operators of docs/operators.md
        this is no ONNX file: a field ends after its message
        this is no ONNX file: it has no graph
        this is no ONNX file: a field of no known wire type"#]]
    .assert_eq(&refusals.join("\n"));
}

/// Wraps `content` into length-delimited fields, outermost key first.
fn nested(keys: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    for key in keys.iter().rev() {
        let mut outer = vec![*key];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    bytes
}

/// Decodes, and predicts where that succeeds.
fn read(bytes: &[u8]) {
    if let Ok(model) = Model::read(bytes, &Limits::default()) {
        let width = model.width();
        if width <= 1_000 {
            let rows = vec![Cell::Number(0.5); width * 3];
            let _rows_of_numbers_may_be_none_of_its = model.predict_cells(&rows);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn mutated_artifacts_are_read_or_refused(
        form in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encode(&forms()[form]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}
