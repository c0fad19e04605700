//! What pins resolve to, wait for, and are refused for.

use std::collections::BTreeSet;

use expect_test::expect;
use planner::desired::Completeness;
use planner::engine::Engine;
use planner::observed::{ObservedTraining, ObservedVersion, TrainingObject};
use planner::training::{Concurrency, RunPolicy};

use super::{Case, Phase, serving};
use crate::support::{
    at, declared_deployment, digest, model, object, resolved, revision, schedule, time, training, version,
    weight,
};

/// A job `t` that makes version `n` of `m`.
fn makes(n: u32) -> planner::training::Training {
    training("m", RunPolicy::Fixed(version(n)))
}

#[test]
fn a_version_that_does_not_exist() {
    let mut case = Case::new(0);
    case.commit(1, 1, None);
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260102-000000 of m does not exist and no training job makes it
          hint: the registry holds no version of m: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
    let mut case = serving(5, None);
    case.commit(2, 7, None);
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: VersionMissing: stable: version v20260108-000000 of m does not exist and no training job makes it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260108-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260106-000000, v20260105-000000, v20260104-000000, or add an MLTrainingJob with `version: v20260108-000000`
    "#]]);
    case.desired.completeness = Completeness::Partial;
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: VersionMissing: stable: version v20260108-000000 of m does not exist and no training job makes it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260108-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260106-000000, v20260105-000000, v20260104-000000, or add an MLTrainingJob with `version: v20260108-000000`; a manifest that could not be read may make it
    "#]]);
}

#[test]
fn a_digest_that_does_not_match() {
    let mut case = serving(2, None);
    let mut spec = declared_deployment("m", 2, None);
    spec.stable.digest = Some(digest(9));
    case.commit_deployment(2, "m", spec);
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: DigestMismatch: stable: version v20260103-000000 of m is sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a, the pin says sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
        environments/dev/m.yaml:1:1: DigestMismatch: MLDeployment/m: stable: version v20260103-000000 of m is sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a, the pin says sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
          hint: if v20260103-000000 is what you mean, write `digest: sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a` or leave the digest out
    "#]]);
}

#[test]
fn an_artifact_that_changed_after_its_pin_was_resolved() {
    // The object knows.
    let mut case = serving(2, None);
    case.publish("m", 1, None);
    case.model("m").versions.insert(
        version(1),
        ObservedVersion::Sound {
            digest: digest(9),
            inputs: None,
            engine: Engine::Aurora,
        },
    );
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: ArtifactChanged: stable: version v20260102-000000 of m was sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: stable: version v20260102-000000 of m was sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
    // The object is lost, the history knows.
    case.observed.deployments.clear();
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: stable: version v20260102-000000 of m was sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
    // The manifest gave the digest, and it was the right one.
    let mut spec = declared_deployment("m", 1, None);
    spec.stable.digest = Some(digest(1));
    case.commit_deployment(2, "m", spec);
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: stable: version v20260102-000000 of m was sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
}

#[test]
fn a_damaged_version_stops_nothing_that_serves() {
    let mut case = serving(3, Some((2, 10)));
    case.model("m").versions.insert(
        version(2),
        ObservedVersion::Damaged("checksums do not match".to_owned()),
    );
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: ArtifactChanged: canary: version v20260103-000000 of m is damaged: checksums do not match
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: canary: version v20260103-000000 of m is damaged: checksums do not match
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
    case.commit(2, 3, Some((2, 50)));
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: ArtifactChanged: canary: version v20260103-000000 of m is damaged: checksums do not match
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: canary: version v20260103-000000 of m is damaged: checksums do not match
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
}

#[test]
fn one_artifact_on_both_tracks() {
    let mut case = serving(2, None);
    case.model("m").versions.insert(
        version(3),
        ObservedVersion::Sound {
            digest: digest(1),
            inputs: None,
            engine: Engine::Aurora,
        },
    );
    case.commit(2, 1, Some((3, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: InvalidManifest: canary: v20260102-000000 and v20260104-000000 are the same artifact (b40711a88c70), pinned on both tracks
        environments/dev/m.yaml:1:1: InvalidManifest: MLDeployment/m: canary: v20260102-000000 and v20260104-000000 are the same artifact (b40711a88c70), pinned on both tracks
          hint: pin another version as canary, or take the canary away
    "#]]);
    case.commit(3, 1, Some((1, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: InvalidManifest: canary: version v20260102-000000 is pinned on both tracks
        environments/dev/m.yaml:1:1: InvalidManifest: MLDeployment/m: canary: version v20260102-000000 is pinned on both tracks
          hint: pin another version as canary, or take the canary away
    "#]]);
}

#[test]
fn a_new_model_waits_for_its_stable_and_its_canary_joins() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", makes(1));
    case.commit_training(1, "u", makes(2));
    case.commit(1, 1, Some((2, 10)));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train v20260102-000000 with linear_regression, m [0000000001]
        MLTrainingJob/u: create: train v20260103-000000 with linear_regression, m [0000000001]
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
        waiting: MLDeployment/m: canary waits for v20260103-000000, which MLTrainingJob/u makes
    "#]]);
    case.publish("m", 2, None);
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);
    case.model("m").versions.clear();
    case.publish("m", 1, None);
    case.apply(&expect![[r#"
        MLDeployment/m: create: stable v20260102-000000 (b40711a88c70) [0000000001]
        waiting: MLDeployment/m: canary waits for v20260103-000000, which MLTrainingJob/u makes
    "#]]);
    case.publish("m", 2, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary none -> v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
}

#[test]
fn a_stable_that_waits_keeps_what_serves() {
    let mut case = serving(2, Some((2, 50)));
    case.commit_training(2, "t", makes(3));
    // The weight goes down at once.
    case.commit(2, 3, Some((2, 10)));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 50% -> 10% [0000000002]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
    // And the canary leaves at once.
    case.commit(3, 3, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> none [0000000003]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
}

#[test]
fn a_canary_that_waits_leaves_the_old_one_at_the_lower_weight() {
    for (percent, kept) in [(50, 10), (5, 5)] {
        let mut case = serving(2, Some((2, 10)));
        case.commit_training(2, "t", makes(3));
        case.commit(2, 1, Some((3, percent)));
        case.converge();
        let canary = case.deployment().object.spec.canary.clone().unwrap();
        assert_eq!((canary.pin, canary.weight), (resolved(2), weight(kept)));
        assert_eq!(case.deployment().object.canary_revision, Some(revision(1)));
    }
}

#[test]
fn a_canary_that_is_rejected_stands_in_for_none_that_waits() {
    for (rejects, canary) in [(false, Some(resolved(2))), (true, None)] {
        let mut case = serving(2, Some((2, 10)));
        case.commit_training(2, "t", makes(3));
        let mut spec = declared_deployment("m", 1, Some((3, 50)));
        spec.rejected = rejects.then(|| resolved(2).version).into_iter().collect();
        case.commit_deployment(2, "m", spec);
        case.converge();
        let serves = &case.deployment().object.spec;
        assert_eq!(serves.canary.as_ref().map(|canary| canary.pin.clone()), canary);
    }
}

#[test]
fn a_stable_version_that_is_rejected_goes_on_until_another_is_there() {
    let mut case = serving(2, None);
    case.commit_training(2, "t", makes(3));
    let mut spec = declared_deployment("m", 3, None);
    spec.rejected = vec![resolved(1).version, resolved(2).version];
    case.commit_deployment(2, "m", spec);
    case.converge();
    let serves = case.deployment().object.spec.clone();
    assert_eq!(
        (serves.stable, serves.rejected),
        (resolved(1), vec![resolved(2).version])
    );
    case.publish("m", 3, None);
    case.converge();
    let serves = case.deployment().object.spec.clone();
    assert_eq!(serves.stable, resolved(3));
    assert_eq!(serves.rejected, [resolved(1).version, resolved(2).version]);
}

#[test]
fn a_promotion_whose_next_canary_waits() {
    let mut case = serving(2, Some((2, 10)));
    case.commit_training(2, "t", makes(3));
    case.commit(2, 2, Some((3, 10)));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d), canary v20260103-000000 promoted [0000000002]
        waiting: MLDeployment/m: canary waits for v20260104-000000, which MLTrainingJob/t makes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn a_swap_whose_stable_waits_drops_the_canary() {
    let mut case = serving(2, Some((2, 10)));
    case.commit_training(2, "t", makes(3));
    case.commit(2, 3, Some((1, 10)));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> none [0000000002]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
}

#[test]
fn jobs_whose_version_is_a_time() {
    let mut case = Case::new(0);
    // Commit 3 was three seconds after midnight.
    case.commit_training(3, "t", training("m", RunPolicy::PerInputs));
    let mut spec = declared_deployment("m", 0, None);
    spec.stable.version = "v20260101-000003".parse().unwrap();
    case.commit_deployment(3, "m", spec.clone());
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train when the inputs change with linear_regression, m [0000000003]
        waiting: MLDeployment/m: stable waits for v20260101-000003, which MLTrainingJob/t makes
    "#]]);
    // These inputs were trained already: no run will make the version.
    let inputs = planner::identity::inputs_hash(&case.desired.trainings[&object("t")].spec);
    case.publish("m", 0, Some(inputs));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train when the inputs change with linear_regression, m [0000000003]
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260101-000003 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260101-000000, or add an MLTrainingJob with `version: v20260101-000003`
    "#]]);

    let mut case = Case::new(0);
    let runs = RunPolicy::Scheduled {
        schedule: schedule("0 3 * * *", "UTC"),
        starting_deadline_seconds: None,
        concurrency: Concurrency::Forbid,
    };
    case.commit_training(3, "t", training("m", runs));
    spec.stable.version = "v20260102-030000".parse().unwrap();
    case.commit_deployment(3, "m", spec.clone());
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train at `0 3 * * *` UTC with linear_regression, m [0000000003]
        waiting: MLDeployment/m: stable waits for v20260102-030000, which MLTrainingJob/t makes
    "#]]);
    // A slot that has passed makes nothing, unless its run is under way.
    let plan = |case: &Case| planner::plan::plan(&case.desired, &case.observed, at("2026-01-02 03:00"));
    assert_eq!(plan(&case).waiting, []);
    let job = &case.desired.trainings[&object("t")];
    let object_of_job = TrainingObject {
        spec: job.spec.clone(),
        revision: job.revision.clone(),
        committed_at: time(3),
        baseline: Some(spec.stable.version.clone()),
        trust: None,
        behind: None,
    };
    let phase = Some(Phase::Running {
        version: spec.stable.version.clone(),
    });
    case.observed.trainings.insert(
        object("t"),
        ObservedTraining {
            object: object_of_job,
            phase,
            recorded_at: None,
        },
    );
    assert_eq!(plan(&case).findings, BTreeSet::new());
    assert_eq!(plan(&case).waiting.len(), 1);
}

#[test]
fn one_bad_model_changes_nothing_for_the_others() {
    let mut case = serving(2, None);
    case.publish("good", 1, None);
    case.commit_deployment(2, "good", declared_deployment("good", 1, None));
    case.commit(2, 9, None);
    case.check(&expect![[r#"
        MLDeployment/good: create: stable v20260102-000000 (b40711a88c70) [0000000002]
        MLDeployment/m: is stopped: VersionMissing: stable: version v20260110-000000 of m does not exist and no training job makes it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
    assert!(case.observed.models.contains_key(&model("good")));
}

/// Job `t` at its declared spec, standing where `phase` says.
fn stands(case: &mut Case, phase: Phase) {
    let job = &case.desired.trainings[&object("t")];
    let found = ObservedTraining {
        object: TrainingObject {
            spec: job.spec.clone(),
            revision: job.revision.clone(),
            committed_at: job.committed_at,
            baseline: Some(version(1)),
            trust: None,
            behind: None,
        },
        phase: Some(phase),
        recorded_at: None,
    };
    case.observed.trainings.insert(object("t"), found);
}

#[test]
fn a_job_that_will_not_make_its_version() {
    let failed = |n| Phase::Failed {
        version: version(n),
        message: "r2 is below 0.5".to_owned(),
    };
    let mut case = Case::new(0);
    case.commit_training(1, "t", makes(1));
    case.commit(1, 1, None);
    stands(&mut case, failed(1));
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260102-000000 of m does not exist: MLTrainingJob/t failed to make it
          hint: mend the job as its own finding says, or pin another version
        environments/dev/train-t.yaml:1:1: TrainingFailed: MLTrainingJob/t: v20260102-000000 was not published: r2 is below 0.5
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then
    "#]]);
    stands(&mut case, Phase::Suspended);
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260102-000000 of m does not exist: MLTrainingJob/t is to make it and is suspended
          hint: take `suspend` out of the job, or pin another version
    "#]]);
    // What became of another version, or of another spec, says nothing of this one.
    stands(&mut case, failed(2));
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
        environments/dev/train-t.yaml:1:1: TrainingFailed: MLTrainingJob/t: v20260103-000000 was not published: r2 is below 0.5
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then
    "#]]);
    stands(&mut case, failed(1));
    case.observed
        .trainings
        .get_mut(&object("t"))
        .unwrap()
        .object
        .spec
        .seed = 1;
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260102-000000 with linear_regression, m [0000000001]
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);
    // Nor does a job that is at it, or has not begun.
    for phase in [
        Phase::Pending { version: version(1) },
        Phase::Running { version: version(1) },
        Phase::Scheduled { next: None },
        Phase::Succeeded {
            version: version(1),
            digest: digest(1),
        },
    ] {
        stands(&mut case, phase);
        assert_eq!(case.plan().waiting.len(), 1);
    }
}

#[test]
fn a_canary_whose_job_failed_stops_the_object_as_one_that_is_missing_does() {
    let failed = Phase::Failed {
        version: version(3),
        message: "r2 is below 0.5".to_owned(),
    };
    let mut case = serving(2, None);
    case.commit_training(2, "t", makes(3));
    case.commit(2, 2, Some((3, 10)));
    stands(&mut case, failed);
    case.check(&expect![[r#"
        MLTrainingJob/t: baseline v20260102-000000 -> v20260103-000000
        MLDeployment/m: is stopped: VersionMissing: canary: version v20260104-000000 of m does not exist: MLTrainingJob/t failed to make it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20260104-000000 of m does not exist: MLTrainingJob/t failed to make it
          hint: mend the job as its own finding says, or pin another version
    "#]]);
    // A model that is new is not made either.
    case.observed.deployments.clear();
    case.apply(&expect![[r#"
        MLTrainingJob/t: baseline v20260102-000000 -> v20260103-000000
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20260104-000000 of m does not exist: MLTrainingJob/t failed to make it
          hint: mend the job as its own finding says, or pin another version
    "#]]);
    assert!(case.observed.deployments.is_empty());
    // The job is mended: it waits, and stable goes on.
    case.desired.trainings.get_mut(&object("t")).unwrap().spec.seed = 1;
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/m: create: stable v20260103-000000 (433ebf5bc03d) [0000000002]
        waiting: MLDeployment/m: canary waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
}

#[test]
fn a_version_that_a_run_makes_whatever_the_manifest_says() {
    // A run of now is under way for a version that neither commit nor schedule names.
    let mut case = Case::new(0);
    case.commit_training(3, "t", training("m", RunPolicy::PerInputs));
    let mut spec = declared_deployment("m", 0, None);
    spec.stable.version = "v20260101-000003-2".parse().unwrap();
    case.commit_deployment(3, "m", spec.clone());
    let waits = |case: &Case| !case.plan().waiting.is_empty();
    assert!(waits(&case), "it is of the commit's second");
    spec.stable.version = version(5);
    case.commit_deployment(3, "m", spec);
    assert!(!waits(&case));
    for (phase, is_made) in [
        (Phase::Pending { version: version(5) }, true),
        (Phase::Running { version: version(5) }, true),
        (Phase::Running { version: version(6) }, false),
        (
            Phase::Succeeded {
                version: version(5),
                digest: digest(5),
            },
            false,
        ),
        (Phase::Scheduled { next: None }, false),
    ] {
        stands(&mut case, phase);
        assert_eq!(waits(&case), is_made);
    }
    // It is the run of a spec that is no more.
    stands(&mut case, Phase::Running { version: version(5) });
    case.observed
        .trainings
        .get_mut(&object("t"))
        .unwrap()
        .object
        .spec
        .seed = 1;
    assert!(!waits(&case));
}

#[test]
fn a_slot_is_one_of_the_schedule_and_ahead() {
    let runs = RunPolicy::Scheduled {
        schedule: schedule("0 3 * * *", "UTC"),
        starting_deadline_seconds: None,
        concurrency: Concurrency::Forbid,
    };
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", runs));
    let mut waits = |text: &str| {
        let mut spec = declared_deployment("m", 0, None);
        spec.stable.version = text.parse().unwrap();
        case.commit_deployment(1, "m", spec);
        !case.plan().waiting.is_empty()
    };
    assert!(waits("v20260101-030000"));
    assert!(!waits("v20260101-030001"));
    assert!(!waits("v20260101-040000"));
    // Now is midnight of the first: the slot before has passed.
    assert!(!waits("v20251231-030000"));
}

#[test]
fn a_damaged_version_was_trained_from_nothing() {
    let mut case = Case::new(0);
    case.commit_training(3, "t", training("m", RunPolicy::PerInputs));
    let mut spec = declared_deployment("m", 0, None);
    spec.stable.version = "v20260101-000003".parse().unwrap();
    case.commit_deployment(3, "m", spec);
    let damaged = ObservedVersion::Damaged("checksums do not match".to_owned());
    case.model("m").versions.insert(version(4), damaged);
    assert_eq!(case.plan().waiting.len(), 1);
}

#[test]
fn the_digest_of_a_canary_is_remembered_too() {
    let mut case = serving(3, Some((2, 10)));
    let other = ObservedVersion::Sound {
        digest: digest(9),
        inputs: None,
        engine: Engine::Aurora,
    };
    case.model("m").versions.insert(version(2), other);
    case.model("m").history_digests.clear();
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: ArtifactChanged: canary: version v20260103-000000 of m was sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: canary: version v20260103-000000 of m was sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a and is now sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
}

#[test]
fn the_nearest_versions_are_those_before_and_after() {
    let mut case = Case::new(0);
    for n in [1, 2, 8, 9, 12] {
        case.publish("m", n, None);
    }
    case.commit(1, 7, None);
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260108-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260109-000000, v20260110-000000, v20260103-000000, or add an MLTrainingJob with `version: v20260108-000000`
    "#]]);
}

#[test]
fn a_pin_that_is_refused_waits_for_nothing_beside_it() {
    let mut case = serving(1, None);
    case.commit_training(2, "t", makes(2));
    case.commit(2, 2, Some((9, 10)));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260103-000000 with linear_regression, m [0000000002]
        MLDeployment/m: is stopped: VersionMissing: canary: version v20260110-000000 of m does not exist and no training job makes it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
}

#[test]
fn of_two_jobs_that_make_a_version_the_first_is_named() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", makes(1));
    case.commit_training(1, "u", makes(1));
    case.commit(1, 1, None);
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260102-000000 with linear_regression, m [0000000001]
        MLTrainingJob/u: create: train v20260102-000000 with linear_regression, m [0000000001]
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);
}
