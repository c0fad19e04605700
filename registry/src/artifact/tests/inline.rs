//! Models whose tensors lie in files of their own, as `onnx.save_model` writes them (`tests/models/make.py`).

use std::collections::BTreeMap;

use super::*;

const NETWORK: &[u8] = include_bytes!("../../../tests/models/network.onnx");
const DATA: &[u8] = include_bytes!("../../../tests/models/network.data");

fn with(model: &[u8], files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let files = files
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    let limits = Limits {
        bytes_max: 2_000,
        ..Limits::default()
    };
    with_files(model.to_vec(), &files.collect(), &limits).map_err(|error| error.to_string())
}

/// Replaces a text by one of the same length, so that nothing else changes.
fn with_text(text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let at = NETWORK
        .windows(text.len())
        .position(|part| part == text.as_bytes());
    let at = at.expect("it is there");
    [&NETWORK[..at], other.as_bytes(), &NETWORK[at + text.len()..]].concat()
}

/// What is expected is onnxruntime's.
#[test]
fn a_network_predicts_with_what_lies_in_its_file() {
    assert_eq!(
        files_of(NETWORK).unwrap().into_iter().collect::<Vec<_>>(),
        ["network.data"]
    );
    let refused = Model::read(NETWORK, &Limits::default()).unwrap_err().to_string();
    assert!(refused.contains("`files` of an import"), "{refused}");
    let whole = with(NETWORK, &[("network.data", DATA)]).unwrap();
    assert!(files_of(&whole).unwrap().is_empty());
    let model = Model::read(&whole, &Limits::default()).unwrap();
    let predicted = model.predict(&[22.0, 7.25, 4.0, 80.0]).unwrap();
    assert_eq!(format!("{:.6?}", predicted.numbers()), "[9.271318, -12.295779]");
    // What has none stays as it is, and so does all else of what has some.
    assert_eq!(with(&whole, &[]).unwrap(), whole);
    let message = onnx::ModelProto::decode(whole.as_slice()).unwrap();
    let graph = message.graph.unwrap();
    let raw: BTreeMap<&str, usize> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.raw_data.len()))
        .collect();
    let expected = [
        ("coefficient", 32),
        ("coefficient1", 16),
        ("intercepts", 16),
        ("intercepts1", 4),
        ("shape_tensor", 0),
    ];
    assert_eq!(raw, BTreeMap::from(expected));
    assert_eq!(
        graph.node.len(),
        onnx::ModelProto::decode(NETWORK)
            .unwrap()
            .graph
            .unwrap()
            .node
            .len()
    );
}

#[test]
fn what_does_not_lie_where_it_is_said_to_is_told() {
    let large = vec![0; 4_000];
    let beyond = with_text("32", "99");
    for (model, files, told) in [
        (
            NETWORK,
            &[][..],
            "a tensor lies in the file \"network.data\", which is not given",
        ),
        (
            NETWORK,
            &[("network.data", DATA), ("other.data", DATA)],
            "no tensor of the model lies in the file \"other.data\"",
        ),
        (
            NETWORK,
            &[("network.data", &DATA[..67])],
            "\"network.data\" has 67 bytes, and a tensor is to lie beyond them",
        ),
        (
            &beyond,
            &[("network.data", DATA)],
            "\"network.data\" has 68 bytes, and a tensor is to lie beyond them",
        ),
        (
            &with_text("32", "-1"),
            &[("network.data", DATA)],
            "the length of a tensor in its file is no whole number",
        ),
        (
            &with_text("location", "locution"),
            &[("network.data", DATA)],
            "a tensor lies in a file that it does not name",
        ),
        (
            &NETWORK[..NETWORK.len() - 1],
            &[("network.data", DATA)],
            "this is no ONNX file",
        ),
        (b"pickle", &[("network.data", DATA)], "this is no ONNX file"),
    ] {
        let error = with(model, files).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    // A length that is not said is all that there is.
    let unsaid = with_text("length", "strong");
    let error = with(&unsaid, &[("network.data", &large)]).unwrap_err();
    assert_eq!(
        error,
        "with its files the model has 4644 bytes, and at most 2000 are taken"
    );
}

/// Whatever the bytes are, an answer comes, and soon.
#[test]
fn nesting_is_bounded() {
    // A graph in an attribute of a node of a graph, and so on.
    let mut message = Vec::new();
    for tag in [6, 5, 1].iter().cycle().take(3 * 50) {
        let mut outer = vec![tag << 3 | 2];
        prost::encoding::encode_varint(message.len() as u64, &mut outer);
        outer.extend(message);
        message = outer;
    }
    let mut model = vec![7 << 3 | 2];
    prost::encoding::encode_varint(message.len() as u64, &mut model);
    model.extend(message);
    let error = files_of(&model).unwrap_err().to_string();
    assert_eq!(error, "its graphs lie in each other more than 40 messages deep");
}
