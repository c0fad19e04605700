//! Models that were made elsewhere.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use expect_test::expect;
use planner::finding::Disposition;
use planner::names::Digest;
use planner::training::{Address, Fit, Holdout, Import, ImportSource, Metric, Outputs, Told};
use registry::artifact::{Engines, Graph, encode};
use registry::metadata::{Labels, Source};
use registry::run::{Ending, RunRequest};
use trainer::{Unmet, Wanted};

use crate::world::{World, column, declared, now, published, ratio, refused, run, target};

/// What `y = 3a + b` says of a few rows, of which a fifth is held out.
const DATA: &str = "a,b,y\n1,2,5\n2,5,11\n3,1,10\n4,4,16\n5,9,24\n6,1,19\n7,2,23\n8,8,32\n9,3,30\n10,4,34\n11,1,34\n12,6,42\n\
                    13,2,41\n14,9,51\n15,1,46\n";

fn asked(world: &World, model: &[u8]) -> RunRequest {
    let mut request = world.csv(DATA);
    let digest = Digest::of(model);
    world.store.stage_dataset(&digest, model).unwrap();
    request.training.seed = 0;
    declared(&mut request).evaluation.bound = Some(0.99);
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("models/m.onnx".to_owned()),
        digest,
        files: BTreeMap::new(),
        signature: None,
        told: Told::default(),
    }));
    request
}

fn linear(weights: &[f64], intercept: f64) -> Vec<u8> {
    encode(&Graph::Linear {
        weights: weights.to_vec(),
        intercept,
    })
}

#[test]
fn a_model_is_evaluated_on_the_holdout_and_says_what_it_was_made_of() {
    let world = World::new();
    let model = linear(&[3.0, 1.0], 0.0);
    let request = asked(&world, &model);
    let metrics = published(&request);
    assert!((metrics["r2"] - 1.0).abs() < 1e-12);
    let entry = world.entry(&request);
    registry::artifact::load(&world.store, &entry, &Engines::default()).unwrap();
    let metadata = &entry.metadata;
    assert_eq!(
        (metadata.framework.as_str(), metadata.algorithm.as_str()),
        ("imported", "import")
    );
    assert_eq!(metadata.signature.target_column.as_deref(), Some("y"));
    assert_eq!(metadata.seed, None, "nothing was fitted here");
    let source = Source {
        uri: "models/m.onnx".to_owned(),
        digest: Digest::of(&model),
        files: BTreeMap::new(),
        signer: None,
    };
    assert_eq!(metadata.lineage.source, Some(source));
}

#[test]
fn what_is_no_model_of_the_rows_is_refused_with_words() {
    for (model, told) in [
        (
            linear(&[3.0], 0.0),
            "it takes 1 inputs, and the training rows have 2 features",
        ),
        (
            encode(&Graph::Logistic {
                weights: vec![0.0; 4],
                intercepts: vec![0.0; 2],
                labels: Labels::Numbers(vec![0, 1]),
            }),
            "it predicts the classes 0, 1, and the training rows have a number",
        ),
        (b"pickle".to_vec(), "no ONNX file"),
        (linear(&[0.0, 0.0], 1.0), "misses the minimum of 0.99"),
    ] {
        let world = World::new();
        let request = asked(&world, &model);
        let message = refused(&request);
        assert!(message.contains(told), "{message}");
        assert_eq!(world.store.versions(&request.model).unwrap(), []);
    }
}

/// Whatever became of the staged copy, the run is tried again with another one.
#[test]
fn a_damaged_copy_is_no_fault_of_the_model() {
    for what in ["other", "missing", "link"] {
        let world = World::new();
        let model = linear(&[3.0, 1.0], 0.0);
        let request = asked(&world, &model);
        let digest = Digest::of(&model);
        let copy = world.store.dataset_path(&digest);
        fs::remove_file(&copy).unwrap();
        match what {
            "other" => fs::write(&copy, linear(&[3.0, 2.0], 0.0)).unwrap(),
            "link" => std::os::unix::fs::symlink(world.write("elsewhere", &model), &copy).unwrap(),
            _ => {}
        }
        let ending = run(&request);
        assert!(
            matches!(&ending, Ending::Transient { message } if message.contains("missing or damaged")),
            "{what}: {ending:?}"
        );
        assert!(world.store.datasets().unwrap().is_empty(), "{what}");
        world.store.stage_dataset(&digest, model.as_slice()).unwrap();
        published(&request);
    }
}

/// The trainer asks nobody itself, and a model that comes from elsewhere is one like any other.
#[test]
fn a_model_from_elsewhere_is_fetched_when_it_is_needed() {
    let world = World::new();
    let model = linear(&[3.0, 1.0], 0.0);
    let mut request = asked(&world, &model);
    let address: Address = "https://models.example.org/m.onnx".parse().unwrap();
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Elsewhere(address.clone()),
        digest: Digest::of(&model),
        files: BTreeMap::new(),
        signature: None,
        told: Told::default(),
    }));
    for disposition in [Disposition::Invalid, Disposition::Waiting, Disposition::Transient] {
        let nothing = |_: &Address, _: Wanted<'_>| {
            Err(Unmet {
                disposition,
                message: "nothing lies there".to_owned(),
            })
        };
        let ending = trainer::run(&request, &nothing, &mut |_| {}, &now);
        let (Ending::Refused { message } | Ending::Transient { message }) = &ending else {
            panic!("{ending:?}");
        };
        assert_eq!(message, "failed to fetch the model: nothing lies there");
        let is_final = matches!(ending, Ending::Refused { .. });
        assert_eq!(is_final, disposition == Disposition::Invalid);
    }
    let fetched = Cell::new(0);
    let digest = Digest::of(&model);
    let fetch = |asked: &Address, wanted: Wanted<'_>| {
        assert_eq!((asked, wanted), (&address, Wanted::File(&digest)));
        fetched.set(fetched.get() + 1);
        Ok(model.clone())
    };
    let ending = trainer::run(&request, &fetch, &mut |_| {}, &now);
    assert!(matches!(ending, Ending::Published { .. }), "{ending:?}");
    let source = world.entry(&request).metadata.lineage.source.unwrap();
    assert_eq!(source.uri, address.to_string());
    // What was published before is not fetched again.
    request.version = "v20261102-120000".parse().unwrap();
    request.published_inputs = Some(request.inputs_hash);
    let ending = trainer::run(&request, &fetch, &mut |_| {}, &now);
    assert_eq!((ending, fetched.get()), (Ending::SameInputs, 1));
}

const SURVIVAL: &[u8] = include_bytes!("../../../registry/tests/models/survival.onnx");

/// Rows whose columns stand in another order than the model's inputs, with an age that is missing and a port that is not
/// known; `survived` is what onnxruntime says of them but for the last.
const PASSENGERS: &str = "port,sex,name,fare,age,survived\n\
    Southampton,male,A,7.25,22,no\nCherbourg,female,B,80,,yes\nAtlantis,male,C,10,4,yes\nQueenstown,female,D,8,30,yes\n\
    Southampton,female,E,26,41,yes\nSouthampton,male,F,8,35,no\nCherbourg,female,G,71,38,yes\nSouthampton,male,H,8,28,no\n";

fn passengers(world: &World, data: &str) -> RunRequest {
    let digest = Digest::of(SURVIVAL);
    world.store.stage_dataset(&digest, SURVIVAL).unwrap();
    let mut request = world.csv(data);
    declared(&mut request).dataset.target = Some(target("survived"));
    request.training.seed = 0;
    declared(&mut request).evaluation.metric = Metric::Accuracy;
    declared(&mut request).evaluation.holdout = Holdout::Percent { percent: 60, seed: 3 };
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("models/survival.onnx".to_owned()),
        digest,
        files: BTreeMap::new(),
        signature: None,
        told: Told::default(),
    }));
    request
}

#[test]
fn texts_and_missing_numbers_are_taken_as_the_model_takes_them() {
    let world = World::new();
    let request = passengers(&world, PASSENGERS);
    let metrics = published(&request);
    let entry = world.entry(&request);
    let metadata = &entry.metadata;
    let named = |row: &registry::metadata::Cell| serde_json::to_string(row).unwrap();
    let example: Vec<String> = metadata.example.inputs.iter().map(named).collect();
    let columns: Vec<&String> = metadata.example.row.keys().collect();
    expect![[r#"
        {"accuracy": 1.000, "log_loss": 0.228}
        ["age", "fare", "port", "sex"] 28.0 8.0 "male" "Southampton"
        Words(["no", "yes"]) missing true reference false"#]]
    .assert_eq(&format!(
        "{metrics:.3?}\n{columns:?} {}\n{:?} missing {} reference {}",
        example.join(" "),
        metadata.signature.labels,
        metadata.signature.missing_values,
        metadata.reference.is_some(),
    ));
    registry::artifact::load(&world.store, &entry, &Engines::default()).unwrap();

    // It is the baseline of the next one, on the same rows.
    let mut next = request.clone();
    next.version = "v20261201-000000".parse().unwrap();
    next.baseline = Some(request.version.clone());
    published(&next);
    let baseline = world.entry(&next).metadata.baseline.unwrap();
    assert_eq!(baseline.values, metrics);
}

/// A column may be a text for one feature and a number for another.
#[test]
fn what_is_derived_of_a_column_of_texts_needs_numbers() {
    let world = World::new();
    let mut request = passengers(&world, &PASSENGERS.replace("name", "berth").replace(",A,", ",1,"));
    let mut features: Vec<_> = ["age", "fare", "sex", "port"]
        .map(|name| column(name, name))
        .into();
    features[0] = ratio("age", "sex", "fare");
    declared(&mut request).dataset.features = features;
    let message = refused(&request);
    assert!(message.contains("(sex): \"male\" is not a number"), "{message}");
}

#[test]
fn a_column_that_a_model_takes_must_hold_what_it_takes() {
    for (data, told) in [
        (
            PASSENGERS.replace("7.25", "cheap"),
            "line 2, column 4 (fare): \"cheap\" is not a number",
        ),
        (
            PASSENGERS.replace("survived", "lived"),
            "there is no column \"survived\"",
        ),
        (
            PASSENGERS.replace(",yes", ",perhaps"),
            "it predicts the classes no, yes, and the training rows have the classes",
        ),
        (
            PASSENGERS.replace("sex", "gender"),
            "there is no column \"sex\", which feature \"sex\" needs",
        ),
    ] {
        let world = World::new();
        let message = refused(&passengers(&world, &data));
        assert!(message.contains(told), "{message}");
    }
}

/// Says what an import of the model of passengers is, of a job without rows.
fn unevaluated(world: &World, told: Told) -> RunRequest {
    let mut request = asked(world, SURVIVAL);
    request.training.rows = None;
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("survival.onnx".to_owned()),
        digest: Digest::of(SURVIVAL),
        files: BTreeMap::new(),
        signature: None,
        told,
    }));
    request.inputs_hash = planner::identity::inputs_hash(&request.training);
    request
}

#[test]
fn a_model_of_no_rows_is_published_as_it_is_and_was_not_evaluated() {
    let world = World::new();
    let request = unevaluated(&world, Told::default());
    assert_eq!(published(&request), std::collections::BTreeMap::new());
    let entry = world.entry(&request);
    registry::artifact::load(&world.store, &entry, &Engines::default()).unwrap();
    let metadata = &entry.metadata;
    assert_eq!(metadata.artifact.digest, Digest::of(SURVIVAL), "as it came");
    assert_eq!(
        (&metadata.metrics, &metadata.dataset, metadata.seed),
        (&None, &None, None)
    );
    assert_eq!(metadata.lineage.job.as_ref(), Some(&request.job));
    let source = metadata.lineage.source.as_ref().map(|source| source.digest);
    assert_eq!(source, Some(Digest::of(SURVIVAL)));

    // The next run of the same inputs has nothing to do.
    let mut again = request.clone();
    again.published_inputs = Some(request.inputs_hash);
    assert_eq!(run(&again), Ending::SameInputs);
}

#[test]
fn what_a_job_tells_stands_in_the_artifact() {
    let world = World::new();
    let told = Told {
        features: ["years", "price", "gender", "harbour"]
            .map(str::to_owned)
            .to_vec(),
        ..Told::default()
    };
    let request = unevaluated(&world, told);
    published(&request);
    let metadata = world.entry(&request).metadata;
    assert_ne!(metadata.artifact.digest, Digest::of(SURVIVAL));
    let features = metadata
        .signature
        .features
        .iter()
        .map(|feature| feature.name.as_str());
    assert_eq!(
        features.collect::<Vec<_>>(),
        ["years", "price", "gender", "harbour"]
    );
    assert_eq!(metadata.example.row.len(), 4);

    for (told, expected) in [
        (
            Told {
                features: vec!["years".to_owned()],
                ..Told::default()
            },
            "the model cannot be imported: 1 features are named, and the model takes 4 values a row",
        ),
        (
            Told {
                outputs: Outputs {
                    label: Some("died".to_owned()),
                    ..Outputs::default()
                },
                ..Told::default()
            },
            "the model cannot be imported: the label is to be output \"died\", which the model does not give",
        ),
    ] {
        let world = World::new();
        assert_eq!(refused(&unevaluated(&world, told)), expected);
    }
}

#[test]
fn whatever_is_fitted_needs_rows() {
    let world = World::new();
    let mut request = world.csv(DATA);
    request.training.rows = None;
    let expected = "the job has no rows, and only an import does without: add `dataset` and `evaluation`";
    assert_eq!(refused(&request), expected);
}

const NETWORK: &[u8] = include_bytes!("../../../registry/tests/models/network.onnx");
const TENSORS: &[u8] = include_bytes!("../../../registry/tests/models/network.data");

/// Its tensors lie in another file, of the commit or beside it elsewhere; a version is one file.
#[test]
fn a_model_of_several_files_is_published_as_one() {
    let files = |data: &[u8]| BTreeMap::from([("network.data".parse().unwrap(), Digest::of(data))]);
    let address: Address = "https://models.example.org/network.onnx".parse().unwrap();
    let mut digests = Vec::new();
    for source in [
        ImportSource::Committed("models/network.onnx".to_owned()),
        ImportSource::Elsewhere(address),
    ] {
        let world = World::new();
        let mut request = asked(&world, NETWORK);
        request.training.rows = None;
        world.store.stage_dataset(&Digest::of(TENSORS), TENSORS).unwrap();
        request.training.fit = Fit::Import(Box::new(Import {
            source,
            digest: Digest::of(NETWORK),
            files: files(TENSORS),
            signature: None,
            told: Told::default(),
        }));
        let fetch = |_: &Address, wanted: Wanted<'_>| {
            let (bytes, digest) = match wanted {
                Wanted::File(digest) => (NETWORK, digest),
                Wanted::Beside(_, digest) => (TENSORS, digest),
                Wanted::Within(_) => panic!("nobody has to have signed it"),
            };
            assert_eq!(Digest::of(bytes), *digest);
            Ok(bytes.to_vec())
        };
        let ending = trainer::run(&request, &fetch, &mut |_| {}, &now);
        assert!(matches!(ending, Ending::Published { .. }), "{ending:?}");
        let entry = world.entry(&request);
        registry::artifact::load(&world.store, &entry, &Engines::default()).unwrap();
        digests.push(entry.digest);
        let source = entry.metadata.lineage.source.expect("it was made elsewhere");
        assert_eq!(source.files["network.data"], Digest::of(TENSORS));
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], Digest::of(NETWORK), "it is another file");

    let world = World::new();
    let mut request = asked(&world, NETWORK);
    let message = refused(&request);
    assert!(
        message.contains("the file \"network.data\", which is not given"),
        "{message}"
    );
    // The other file is damaged in the store: staged again, it is another attempt's.
    if let Fit::Import(import) = &mut request.training.fit {
        import.files = files(TENSORS);
    }
    let ending = run(&request);
    assert!(
        matches!(&ending, Ending::Transient { message } if message.contains("models/network.data is missing")),
        "{ending:?}"
    );
}
