//! Rows that a model may be fitted to, and models that name them.

use planner::names::Digest;
use planner::training::{Algorithm, DataSource, Fit, Holdout, Import, ImportSource, Told};
use registry::artifact::{Graph, encode};
use registry::metadata::Attestation;
use registry::run::RunRequest;
use std::collections::BTreeMap;
use trainer::{JobRows, Trainable, TrainableError, write_trainable};

use crate::world::{World, builtin, declared, published, synthetic};

/// What `y = 3a + b` says of a few rows, of which a fifth is held out.
const DATA: &str = "a,b,y\n1,2,5\n2,5,11\n3,1,10\n4,4,16\n5,9,24\n6,1,19\n7,2,23\n8,8,32\n9,3,30\n10,4,34\n11,1,34\n12,6,42\n\
                    13,2,41\n14,9,51\n15,1,46\n";

fn split(request: &RunRequest) -> Result<(Trainable, String), TrainableError> {
    let mut written = Vec::new();
    let rows = JobRows {
        rows: request.training.rows.as_ref().expect("it has rows"),
        dataset: request.dataset.as_deref(),
        holdout: request.holdout.as_deref(),
        roots: &request.dataset_roots,
        seed: request.training.seed,
    };
    let trainable = write_trainable(rows, &mut written)?;
    assert_eq!(trainable.digest, Digest::of(&written));
    Ok((trainable, String::from_utf8(written).expect("CSV is UTF-8")))
}

/// Asks for the import of a linear model whose metadata has a property.
fn asked(world: &World, mut request: RunRequest, property: Option<(&str, &str)>) -> RunRequest {
    let mut model = encode(&Graph::Linear {
        weights: vec![3.0, 1.0],
        intercept: 0.0,
    });
    if let Some((key, value)) = property {
        // Field 14 of ModelProto, as protobuf's wire format has it where all is short.
        let part = |tag: u8, text: &[u8]| [&[tag, u8::try_from(text.len()).unwrap()], text].concat();
        let entry = [part(0x0a, key.as_bytes()), part(0x12, value.as_bytes())].concat();
        model.extend(part(0x72, &entry));
    }
    let digest = Digest::of(&model);
    world.store.stage_dataset(&digest, model.as_slice()).unwrap();
    request.training.seed = 0;
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("m.onnx".to_owned()),
        digest,
        files: BTreeMap::new(),
        signature: None,
        told: Told::default(),
    }));
    request
}

fn attestation(data: &str, holdout: Option<&str>, property: Option<(&str, &str)>) -> Option<Attestation> {
    let world = World::new();
    let mut request = world.csv(data);
    if let Some(rows) = holdout {
        request.holdout = Some(world.write("holdout.csv", rows));
        declared(&mut request).evaluation.holdout = Holdout::File {
            source: DataSource::Committed("holdout.csv".to_owned()),
            sha256: None,
        };
    }
    let request = asked(&world, request, property);
    published(&request);
    world.entry(&request).metadata.lineage.holdout
}

#[test]
fn a_model_that_names_the_rows_it_may_be_fitted_to_is_attested() {
    use Attestation::{Attested, Unattested};

    let world = World::new();
    let (trainable, _) = split(&world.csv(DATA)).unwrap();
    let named = trainable.digest.to_string();
    let digits = named.trim_start_matches("sha256:").to_ascii_uppercase();
    let whole = Digest::of(DATA.as_bytes()).to_string();
    for (property, expected) in [
        (None, Unattested),
        (Some(("fitted to", named.as_str())), Attested),
        (Some(("data", digits.as_str())), Attested),
        (Some(("data", whole.as_str())), Unattested),
        (Some(("data", "train.csv")), Unattested),
        (Some((named.as_str(), "data")), Unattested),
    ] {
        assert_eq!(attestation(DATA, None, property), Some(expected), "{property:?}");
    }
    // Other rows were held out of it.
    let other = DATA.replace("15,1,46", "15,2,47");
    assert_eq!(
        attestation(&other, None, Some(("data", &named))),
        Some(Unattested)
    );
}

#[test]
fn rows_of_a_holdout_of_its_own_are_none_to_fit_to() {
    let world = World::new();
    let mut request = world.csv(DATA);
    // One of them is in the dataset too; the columns stand in another order.
    request.holdout = Some(world.write("holdout.csv", "y,a,b\n5,1,2\n97,30,7\n"));
    declared(&mut request).evaluation.holdout = Holdout::File {
        source: DataSource::Committed("holdout.csv".to_owned()),
        sha256: None,
    };
    let (trainable, written) = split(&request).unwrap();
    assert_eq!((trainable.rows, trainable.held_out), (14, 2));
    assert_eq!(written, DATA.replace("1,2,5\n", "").replace('\n', "\r\n"));
    let named = trainable.digest.to_string();
    assert_eq!(
        attestation(DATA, Some("y,a,b\n5,1,2\n97,30,7\n"), Some(("data", &named))),
        Some(Attestation::Attested)
    );
    let mut other = request;
    other.holdout = Some(world.write("other.csv", "y,a,c\n5,1,2\n"));
    let error = split(&other).unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to read the data: holdout.csv: its columns are not those of the dataset (missing: \"b\"; unknown: \"c\")"
    );
}

#[test]
fn what_is_written_is_what_the_cells_say() {
    let world = World::new();
    let plain = split(&world.csv("name,y\nann,1\n\"b,ob\",2.50\n,3\nd,4\ne,5\nf,6\ng,7\n")).unwrap();
    let quoted = split(&world.csv(
        "\u{feff}\"name\" ,y\r\n\"ann\",1\r\n\r\n\"b,ob\",\"2.50\"\r\n\"\",3\r\nd,4\r\ne,5\r\nf,6\r\ng,7",
    ));
    assert_eq!(plain, quoted.unwrap());
    assert_eq!(plain.0.rows + plain.0.held_out, 7);
    assert!(plain.1.starts_with("name,y\r\n"), "{}", plain.1);
    // No column has to be a number.
    assert!(
        plain.1.contains("ann,1\r\n") || plain.1.contains("\"b,ob\",2.50\r\n"),
        "{}",
        plain.1
    );
}

#[test]
fn data_that_has_no_file_is_split_too() {
    let world = World::new();
    for (source, rows, first) in [
        (builtin("wine-quality"), 1_599, "fixed acidity,"),
        (builtin("iris"), 150, "sepal length,"),
        (synthetic("blobs"), 600, "x1,x2,class\r\n"),
    ] {
        let request = world.request(Algorithm::LinearRegression, source);
        let (trainable, written) = split(&request).unwrap();
        assert_eq!(trainable.rows + trainable.held_out, rows);
        assert_eq!(written.lines().count(), trainable.rows + 1);
        assert!(written.starts_with(first), "{written:.60}");
        // Read again as a dataset, it is the same rows.
        let again = world.request(
            Algorithm::LinearRegression,
            DataSource::Committed("train.csv".to_owned()),
        );
        let mut again = RunRequest {
            dataset: Some(world.write("train.csv", &written)),
            ..again
        };
        again.training.seed = request.training.seed;
        assert!(split(&again).is_err(), "none of them is held out");
    }
}
