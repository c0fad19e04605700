//! Writes on a store, given as words: by a test itself, or by the process that the crash test kills.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use planner::Timestamp;
use planner::names::Digest;
use registry::metadata::{
    Artifact, DatasetRecord, Distribution, Example, Fit, Labels, Lineage, Measured, Reference, Roles,
    Signature, Tensor, VersionMetadata,
};
use registry::{Draft, Event, HistoryEntry, Keep, Owner, Store, StoreError};

/// Parses a word of a scenario.
pub(crate) fn word<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(word) => word,
        Err(_) => unreachable!("a scenario says {text:?}"),
    }
}

/// The time at which everything is written.
pub(crate) fn now() -> Timestamp {
    word("2026-11-20T09:30:00Z")
}

/// The store's owner.
pub(crate) fn owner() -> Owner {
    Owner {
        environment: word("dev"),
        installation: "one".to_owned(),
    }
}

/// An entry that says who, when and why, for the store to fill in the rest.
pub(crate) fn because(reason: &str) -> HistoryEntry {
    HistoryEntry {
        at: now(),
        event: Event::Moved,
        alias: planner::names::Track::Stable,
        from: None,
        to: None,
        digest: None,
        revision: None,
        actor: "aurora".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

/// A version whose artifact is `content`.
pub(crate) fn draft(model: &str, version: &str, content: &str) -> Draft {
    let distribution = |name: &str| Distribution {
        name: name.to_owned(),
        n: 4,
        mean: 0.1,
        std: 0.5,
        edges: vec![0.0],
        counts: vec![2, 2],
    };
    Draft {
        artifact: content.as_bytes().to_vec(),
        metadata: VersionMetadata {
            model_name: word(model),
            version: word(version),
            framework: "linfa".to_owned(),
            algorithm: "linear_regression".to_owned(),
            trained_at: now(),
            features: 1,
            metric: BTreeMap::from([("r2_score".to_owned(), 0.75)]),
            artifact: Artifact {
                file: "model.onnx".to_owned(),
                digest: Digest::of(content.as_bytes()),
                bytes: content.len() as u64,
            },
            engine: planner::engine::Engine::Aurora,
            inputs_hash: Some(Digest::of(b"inputs")),
            signature: Signature {
                inputs: vec![Tensor {
                    name: "input".to_owned(),
                    datatype: "FP64".to_owned(),
                    shape: vec![-1, 1],
                }],
                outputs: Vec::new(),
                features: Vec::new(),
                labels: Labels::Numbers(Vec::new()),
                target_column: None,
                target_divide_by: None,
                target_unit: None,
                missing_values: false,
                roles: Roles::default(),
            },
            metrics: Some(Measured {
                values: BTreeMap::from([("r2".to_owned(), 0.75)]),
                holdout_digest: Digest::of(b"holdout"),
                holdout_rows: 1,
            }),
            baseline: None,
            dataset: Some(DatasetRecord {
                uri: "builtin:wine-quality".to_owned(),
                digest: Digest::of(b"rows"),
                rows: 5,
            }),
            hyperparameters: BTreeMap::new(),
            fit: Fit::default(),
            seed: Some(42),
            lineage: Lineage {
                revision: None,
                job: None,
                trainer: "aurora 0.1.0 (x86_64: avx2 fma)".to_owned(),
                imported: None,
                source: None,
                holdout: None,
            },
            reference: Some(Reference {
                features: vec![distribution("alcohol")],
                prediction: distribution("prediction"),
            }),
            example: Example {
                row: BTreeMap::from([("alcohol".to_owned(), 9.5.into())]),
                inputs: vec![9.5.into()],
                prediction: vec![5.25],
            },
        },
    }
}

/// Performs one write: `init`, `publish MODEL VERSION CONTENT`, `move MODEL TRACK VERSION`, `remove MODEL TRACK`,
/// `abort MODEL VERSION CONTENT`, `grow MODEL` (its history, so that the next entry closes it), `stage CONTENT` or
/// `collect LAST`.
pub(crate) fn write(root: &Path, words: &str) -> Result<(), StoreError> {
    match *words.split(' ').collect::<Vec<_>>() {
        ["init"] => Store::init(root, &owner(), now()).map(drop),
        ["publish", model, version, content] => Store::open(root)?
            .publish(draft(model, version, content))
            .map(drop),
        ["move", model, track, version] => {
            Store::open(root)?.move_alias(&word(model), word(track), &word(version), because("pinned"))
        }
        ["remove", model, track] => {
            Store::open(root)?.remove_alias(&word(model), word(track), because("unpinned"))
        }
        ["abort", model, version, content] => Store::open(root)?.append_history(
            &word(model),
            &HistoryEntry {
                event: Event::Aborted,
                alias: planner::names::Track::Canary,
                from: Some(word(version)),
                digest: Some(Digest::of(content.as_bytes())),
                ..because("slow")
            },
        ),
        ["grow", model] => {
            let name = root.join("aurora").join(model).join("history.jsonl");
            let junk = format!("{}\n", "x".repeat(10_000)).repeat(14);
            let opened = File::options().append(true).open(&name);
            match opened.and_then(|mut file| file.write_all(junk.as_bytes())) {
                Ok(()) => Ok(()),
                Err(error) => unreachable!("{} cannot grow: {error}", name.display()),
            }
        }
        ["stage", content] => {
            Store::open(root)?.stage_dataset(&Digest::of(content.as_bytes()), content.as_bytes())
        }
        ["collect", last] => {
            let keep = Keep {
                pinned: [].into(),
                datasets: [].into(),
                last: word(last),
                minimum_age: Duration::ZERO,
            };
            // Long after whatever was just written.
            let now = word("2126-11-20T09:30:00Z");
            Store::open(root)?.collect(&keep, now, false).map(drop)
        }
        _ => unreachable!("no write is called {words:?}"),
    }
}
