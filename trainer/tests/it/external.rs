//! Models that somebody else's program makes of the rows that it is handed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use planner::training::{Algorithm, Container, Fit, Holdout, Metric};
use registry::artifact::{Engines, Graph, encode};
use registry::metadata::Labels;
use registry::run::{Ending, RunRequest};

use crate::world::{World, builtin, declared, now, ratio, target};

/// What a program makes of `y = 3a + b`, with a comma in a name; a fifth of the rows is held out.
const DATA: &str = "a,b,\"y,1\"\n1,2,5\n2,5,11\n3,1,10\n4,4,16\n5,9,24\n6,1,19\n7,2,23\n8,8,32\n9,3,30\n10,4,34\n11,1,34\n\
                    12,6,42\n13,2,41\n14,9,51\n15,1,46\n";

fn asked(world: &World) -> RunRequest {
    let mut request = world.csv(DATA);
    declared(&mut request).dataset.target = Some(target("y,1"));
    request.training.hyperparameters = [("depth".to_owned(), 3.0)].into();
    request.training.fit = container();
    request
}

fn container() -> Fit {
    Fit::Container(Box::new(Container {
        image: "registry.example.com/fit:1".to_owned(),
        command: Vec::new(),
        args: Vec::new(),
    }))
}

/// Prepares a folder, and leaves in its output what a program would.
fn left(world: &World, request: &RunRequest, model: &[u8], metrics: &str) -> PathBuf {
    let work = world.dir.path().join("work");
    trainer::prepare(request, &work).unwrap();
    let output = work.join(trainer::OUTPUT);
    fs::write(output.join("model.onnx"), model).unwrap();
    fs::write(output.join("metrics.json"), metrics).unwrap();
    output
}

fn publish(request: &RunRequest, output: &Path) -> Ending {
    trainer::publish(request, output, &Engines::default(), &mut |_| {}, &now)
}

fn linear(weights: &[f64], intercept: f64) -> Vec<u8> {
    encode(&Graph::Linear {
        weights: weights.to_vec(),
        intercept,
    })
}

#[test]
fn the_training_rows_are_handed_over_and_what_is_held_out_is_not() {
    let world = World::new();
    let mut request = asked(&world);
    declared(&mut request).dataset.features = vec![ratio("a per b", "a", "b")];
    let work = world.dir.path().join("work");
    trainer::prepare(&request, &work).unwrap();
    let mode = fs::metadata(work.join(trainer::OUTPUT))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o777, "their program may be another user");
    let rows = fs::read_to_string(work.join(trainer::ROWS)).unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines[0], "a per b,\"y,1\"");
    let whole: Vec<String> = DATA
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            format!("{},{}", cells[0] / cells[1], cells[2])
        })
        .collect();
    assert!(lines[1..].iter().all(|line| whole.contains(&(*line).to_owned())));
    let output = left(&world, &request, &linear(&[0.0], 1.0), "");
    assert!(matches!(publish(&request, &output), Ending::Published { .. }));
    let held_out = world.entry(&request).metadata.metrics.unwrap().holdout_rows;
    assert!(held_out > 0);
    assert_eq!(lines.len() - 1 + held_out, whole.len());
}

#[test]
fn a_model_is_evaluated_on_what_it_did_not_see_and_published_with_the_rows_signature() {
    let world = World::new();
    let mut request = asked(&world);
    declared(&mut request).evaluation.bound = Some(0.99);
    let metrics = r#"{"train_r2": 1.0, "note": "good", "epochs": 7, "bad": null}"#;
    let output = left(&world, &request, &linear(&[3.0, 1.0], 0.0), metrics);
    let Ending::Published { metrics, .. } = publish(&request, &output) else {
        panic!("it is published");
    };
    assert!((metrics["r2"] - 1.0).abs() < 1e-12);
    let entry = world.entry(&request);
    let metadata = &entry.metadata;
    registry::artifact::load(&world.store, &entry, &Engines::default()).unwrap();
    assert_eq!(metadata.framework, "container");
    assert_eq!(metadata.hyperparameters, request.training.hyperparameters);
    assert_eq!(metadata.signature.target_column.as_deref(), Some("y,1"));
    let names: Vec<_> = metadata
        .signature
        .features
        .iter()
        .map(|feature| &feature.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    let reported: Vec<_> = metadata.fit.reported.iter().collect();
    assert_eq!(
        reported,
        [(&"epochs".to_owned(), &7.0), (&"train_r2".to_owned(), &1.0)]
    );
}

#[test]
fn what_is_no_model_of_the_rows_is_refused_with_words() {
    let world = World::new();
    let request = asked(&world);
    let logistic = encode(&Graph::Logistic {
        weights: vec![0.0; 4],
        intercepts: vec![0.0; 2],
        labels: Labels::Numbers(vec![0, 1]),
    });
    // Sound, and of an operator that is not run.
    let mut other_form = linear(&[3.0, 1.0], 0.0);
    let name = b"MatMul";
    let at = other_form
        .windows(name.len())
        .position(|part| part == name)
        .unwrap();
    other_form[at..at + name.len()].copy_from_slice(b"Unique");
    for (model, told) in [
        (
            linear(&[3.0], 0.0),
            "it takes 1 inputs, and the training rows have 2 features",
        ),
        (
            logistic,
            "it predicts the classes 0, 1, and the training rows have a number",
        ),
        (b"pickle".to_vec(), "no ONNX file"),
        (other_form, "docs/operators.md lists what is served"),
        (linear(&[f64::MAX, f64::MAX], f64::MAX), "for held-out row 0"),
    ] {
        let output = left(&world, &request, &model, "{}");
        let Ending::Refused { message } = publish(&request, &output) else {
            panic!("{told}: it is refused");
        };
        assert!(message.contains(told), "{message}");
    }
    let mut ours = request.clone();
    ours.training.fit = Fit::Algorithm(Algorithm::LinearRegression);
    let refused = publish(&ours, &world.dir.path().join("work/output"));
    assert!(
        matches!(&refused, Ending::Refused { message } if message.contains("Aurora's own")),
        "{refused:?}"
    );
    // Metrics of its own decide nothing, and the bound does.
    let mut demanding = request.clone();
    declared(&mut demanding).evaluation.bound = Some(0.9);
    let output = left(&world, &demanding, &linear(&[0.0, 0.0], 1.0), r#"{"r2": 1.0}"#);
    let refused = publish(&demanding, &output);
    assert!(
        matches!(&refused, Ending::Refused { message } if message.contains("misses the minimum")),
        "{refused:?}"
    );

    let model = output.join("model.onnx");
    fs::remove_file(&model).unwrap();
    let refused = publish(&request, &output);
    assert!(
        matches!(&refused, Ending::Refused { message } if message.contains("left no model.onnx")),
        "{refused:?}"
    );
    std::os::unix::fs::symlink("/etc/hostname", &model).unwrap();
    assert!(
        matches!(publish(&request, &output), Ending::Refused { .. }),
        "a link is not followed"
    );
    assert_eq!(world.store.versions(&request.model).unwrap(), []);
}

#[test]
fn classes_are_told_by_the_metric_and_must_be_those_of_the_rows() {
    let world = World::new();
    let mut request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    declared(&mut request).evaluation.metric = Metric::Accuracy;
    request.training.fit = container();
    let logistic = |labels: &[&str]| {
        encode(&Graph::Logistic {
            weights: vec![0.0; 4 * labels.len()],
            intercepts: vec![0.0; labels.len()],
            labels: Labels::Words(labels.iter().map(|label| (*label).to_owned()).collect()),
        })
    };
    let work = world.dir.path().join("work");
    trainer::prepare(&request, &work).unwrap();
    let rows = fs::read_to_string(work.join(trainer::ROWS)).unwrap();
    let mut labels: Vec<&str> = rows
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().unwrap())
        .collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 3);
    let model = if labels[0].parse::<i64>().is_ok() {
        encode(&Graph::Logistic {
            weights: vec![0.0; 12],
            intercepts: vec![0.0; 3],
            labels: Labels::Numbers(labels.iter().map(|label| label.parse().unwrap()).collect()),
        })
    } else {
        logistic(&labels)
    };
    let output = left(&world, &request, &model, "");
    assert!(matches!(publish(&request, &output), Ending::Published { .. }));
    request.version = "v20261102-120000".parse().unwrap();
    let output = left(&world, &request, &logistic(&["a", "b"]), "");
    let refused = publish(&request, &output);
    assert!(
        matches!(&refused, Ending::Refused { message } if message.contains("it predicts the classes a, b")),
        "{refused:?}"
    );
}

/// What a row holds passes as it is written: texts, empty cells, and numbers with the digits that they have.
#[test]
fn texts_and_empty_cells_are_handed_over_as_they_are() {
    const SURVIVAL: &[u8] = include_bytes!("../../../registry/tests/models/survival.onnx");
    let rows = "age,fare,sex,port,survived\n22,7.250,male,Southampton,no\n,80,female,\"Cherbourg, Manche\",yes\n\
                4,10,male,,yes\n30,8,female,Queenstown,yes\n41,26,female,Southampton,yes\n35,8,male,Southampton,no\n\
                38,71,female,Cherbourg,yes\n28,8,male,Southampton,no\n";
    let world = World::new();
    let mut request = world.csv(rows);
    declared(&mut request).dataset.target = Some(target("survived"));
    declared(&mut request).evaluation.metric = Metric::Accuracy;
    declared(&mut request).evaluation.holdout = Holdout::Percent { percent: 40, seed: 3 };
    request.training.fit = container();
    let work = world.dir.path().join("work");
    trainer::prepare(&request, &work).unwrap();
    let written = fs::read_to_string(work.join(trainer::ROWS)).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("age,fare,sex,port,survived"));
    let lines: Vec<&str> = lines.collect();
    assert!(
        lines.len() > 3 && lines.iter().all(|line| rows.contains(line)),
        "{written}"
    );
    let output = left(&world, &request, SURVIVAL, "");
    let ending = publish(&request, &output);
    assert!(matches!(ending, Ending::Published { .. }), "{ending:?}");
    let metadata = world.entry(&request).metadata;
    assert!(metadata.signature.missing_values);
    assert_eq!(metadata.lineage.holdout, None, "it was not handed over");
    registry::artifact::load(&world.store, &world.entry(&request), &Engines::default()).unwrap();

    // A program that makes nothing of what is missing is told where it is.
    let mut request = world.csv("a,b,y\n1,2,5\n2,,11\n3,1,10\n4,4,16\n5,9,24\n6,1,19\n7,2,23\n8,8,32\n");
    request.version = "v20261102-120000".parse().unwrap();
    request.training.fit = container();
    let output = left(&world, &request, &linear(&[3.0, 1.0], 0.0), "");
    let refused = publish(&request, &output);
    assert!(
        matches!(&refused, Ending::Refused { message } if message.contains("line 3, column 2 (b)")),
        "{refused:?}"
    );
}
