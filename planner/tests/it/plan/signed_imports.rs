//! Imports where an environment demands signed models: what is told of a commit already, and whose keys count.

use std::collections::BTreeMap;

use expect_test::expect;
use planner::commits::Verify;
use planner::environment::Environment;
use planner::identity::{inputs_hash, run_hash};
use planner::names::Digest;
use planner::observed::{ObservedVersion, PolicyAge, TrainingObject};
use planner::plan::unsigned_imports;
use planner::runs::{Job, Outcome, Phase, Record, RunAction, runs};
use planner::training::{Fit, Import, ImportSource, RunPolicy, Told, Training};
use planner::trust::{ModelPolicy, Trust};

use super::Case;
use crate::support::{desired, digest, environment, object, time, training, version};

fn import(signature: Option<&str>) -> Training {
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("m.onnx".to_owned()),
        digest: digest(3),
        files: BTreeMap::new(),
        signature: signature.map(|text| text.parse().unwrap()),
        told: Told::default(),
    }));
    spec
}

fn signature() -> String {
    format!("m.sig@{}", digest(4))
}

fn policy(verify: Verify, key: &str) -> ModelPolicy {
    ModelPolicy {
        verify,
        keys: Some("signers.pub".to_owned()),
        trusted: vec![key.to_owned()],
    }
}

/// A policy that has been there for long.
fn under(verify: Verify) -> Case {
    let mut case = Case::new(0);
    let environment = Environment {
        models: policy(verify, "a"),
        ..environment()
    };
    case.desired.environment = environment.clone();
    case.observed.environment = Some(environment);
    case
}

fn trust(case: &Case) -> Option<Trust> {
    case.observed.trainings[&object("t")].object.trust.clone()
}

fn trusting(verify: Verify, key: &str) -> Option<Trust> {
    policy(verify, key).trust()
}

#[test]
fn an_import_that_names_no_signature_is_told_at_the_commit() {
    let mut case = under(Verify::Require);
    case.commit_training(1, "t", import(None));
    case.apply(&expect![[r#"
        no changes
        environments/dev/train-t.yaml:1:1: VersionUntrusted: MLTrainingJob/t: spec.import: the environment demands signed models, and `import.signature` names no signature of this one
          hint: sign the file by a key of the environment's `models.keys` (`model_signing sign key --private_key KEY --signature FILE.sig FILE`; its folder where `import.files` names others), and name what comes out in `import.signature`: a file of the commit, or an address
    "#]]);
    // The bundle is staged as the model is, and the run is told whose signature counts.
    case.commit_training(2, "t", import(Some(&signature())));
    case.apply(&expect![[r#"
        MLTrainingJob/t: stage m.onnx (88185d128d99)
        MLTrainingJob/t: stage m.sig (1bc5d0e3df0e)
        MLTrainingJob/t: create: train v20260102-000000 with import m.onnx (88185d128d99), m [0000000002]
    "#]]);
    assert_eq!(trust(&case), trusting(Verify::Require, "a"));
    // One that the job takes out again stops it where it stands.
    case.commit_training(3, "t", import(None));
    let plan = case.plan().to_string();
    assert!(
        plan.starts_with("MLTrainingJob/t: is stopped: VersionUntrusted"),
        "{plan}"
    );
}

#[test]
fn what_is_there_or_not_to_come_or_only_told_is_no_finding() {
    for (verify, suspend, is_there) in [
        (Verify::Require, false, true),
        (Verify::Require, true, false),
        (Verify::Warn, false, false),
        (Verify::Off, false, false),
    ] {
        let mut case = under(verify);
        let mut spec = import(None);
        spec.suspend = suspend;
        if is_there {
            case.publish("m", 1, Some(inputs_hash(&spec)));
        }
        case.commit_training(1, "t", spec);
        assert_eq!(case.plan().findings.len(), 0, "{verify:?} {suspend} {is_there}");
        case.converge();
        assert_eq!(trust(&case), trusting(verify, "a"));
    }
    // What is fitted here needs nobody's signature before it is.
    let mut case = under(Verify::Require);
    case.commit_training(1, "t", training("m", RunPolicy::PerInputs));
    case.converge();
    assert_eq!(trust(&case), None);
}

/// Of a job that names no version, what is there is known by what it was imported from.
#[test]
fn an_import_per_inputs_is_there_by_its_digest() {
    let mut spec = import(None);
    spec.runs = RunPolicy::PerInputs;
    let mut case = under(Verify::Require);
    case.commit_training(1, "t", spec.clone());
    assert_eq!(case.plan().findings.len(), 1);
    case.publish("m", 1, Some(Digest::of(b"others")));
    assert_eq!(case.plan().findings.len(), 1);
    case.publish("m", 2, Some(inputs_hash(&spec)));
    assert_eq!(case.plan().findings.len(), 0);
}

/// No commit brings its own key along with what that key has signed, nor takes the policy away.
#[test]
fn another_policy_counts_from_the_next_commit_on() {
    for (other, told) in [
        (policy(Verify::Require, "b"), trusting(Verify::Require, "a")),
        (ModelPolicy::default(), trusting(Verify::Require, "a")),
    ] {
        let mut case = under(Verify::Require);
        case.desired.environment.models = other.clone();
        case.commit_training(1, "t", import(Some(&signature())));
        case.observed.policy = PolicyAge::New;
        for _ in 0..3 {
            case.converge_objects();
            assert_eq!(trust(&case), told);
            let applied = case.observed.environment.as_ref().unwrap();
            assert_eq!(applied.models, policy(Verify::Require, "a"));
        }
        // With another commit that policy is an older one.
        case.observed.policy = PolicyAge::Older;
        case.converge_objects();
        assert_eq!(trust(&case), other.trust());
        assert_eq!(case.observed.environment.as_ref().unwrap().models, other);
    }
    // Once it is imported, by the policy before, the other one is applied.
    let mut case = under(Verify::Require);
    case.desired.environment.models = policy(Verify::Require, "b");
    let spec = import(Some(&signature()));
    case.commit_training(1, "t", spec.clone());
    case.observed.policy = PolicyAge::New;
    case.converge_objects();
    case.publish("m", 1, Some(inputs_hash(&spec)));
    case.converge_objects();
    let applied = case.observed.environment.as_ref().unwrap();
    assert_eq!(applied.models, policy(Verify::Require, "b"));
}

/// Without knowing what is there, those are told that a commit brings.
#[test]
fn a_commit_is_validated_by_the_policy_of_the_one_before() {
    let of = |verify, spec: Option<Training>| {
        let mut case = Case::new(0);
        case.desired.environment.models = policy(verify, "a");
        if let Some(spec) = spec {
            case.commit_training(1, "t", spec);
        }
        case.desired
    };
    let mut suspended = import(None);
    suspended.suspend = true;
    for (before, after, expected) in [
        (of(Verify::Require, None), of(Verify::Off, Some(import(None))), 1),
        (
            of(Verify::Require, Some(import(Some(&signature())))),
            of(Verify::Require, Some(import(None))),
            1,
        ),
        (
            of(Verify::Require, Some(import(None))),
            of(Verify::Require, Some(import(None))),
            0,
        ),
        (
            of(Verify::Require, None),
            of(Verify::Require, Some(import(Some(&signature())))),
            0,
        ),
        (of(Verify::Require, None), of(Verify::Require, Some(suspended)), 0),
        (of(Verify::Warn, None), of(Verify::Require, Some(import(None))), 0),
        (desired(1), of(Verify::Require, Some(import(None))), 0),
    ] {
        assert_eq!(unsigned_imports(&before, &after).count(), expected);
    }
}

/// A run that was refused for its signature is tried again with another one, and with other keys.
#[test]
fn a_corrected_signature_and_another_key_try_again() {
    let asked = |spec: Training, trust: Option<Trust>| TrainingObject {
        spec,
        revision: crate::support::revision(1),
        committed_at: time(0),
        baseline: None,
        trust,
        behind: None,
    };
    let (bundle, keys) = (signature(), trusting(Verify::Require, "a"));
    let refused = asked(import(Some(&bundle)), keys.clone());
    let record = Record {
        version: version(1),
        inputs: inputs_hash(&refused.spec),
        spec_hash: run_hash(&refused.spec, refused.trust.as_ref()),
        slot: None,
        attempt: 1,
        started_at: time(0),
        outcome: Outcome::Refused {
            at: time(1),
            message: "by nobody".to_owned(),
        },
    };
    let existing: BTreeMap<_, ObservedVersion> = BTreeMap::new();
    let starts = |object: &TrainingObject| {
        let decided = runs(
            &Job::new(object, &existing),
            std::slice::from_ref(&record),
            time(10),
        );
        let starts = matches!(decided.actions.as_slice(), [RunAction::Start { .. }]);
        assert_eq!(starts, !matches!(decided.phase, Phase::Failed { .. }));
        starts
    };
    assert!(!starts(&refused));
    let corrected = format!("m.sig@{}", digest(5));
    for object in [
        // The file of the commit is another one, lies elsewhere, or was taken out.
        asked(import(Some(&corrected)), keys.clone()),
        asked(import(Some("https://models.example.org/m.sig")), keys.clone()),
        asked(import(None), keys.clone()),
        asked(import(Some(&bundle)), trusting(Verify::Require, "b")),
        asked(import(Some(&bundle)), trusting(Verify::Warn, "a")),
        asked(import(Some(&bundle)), None),
    ] {
        assert!(starts(&object), "{object:?}");
        // It is the same model.
        assert_eq!(inputs_hash(&object.spec), record.inputs);
    }
}
