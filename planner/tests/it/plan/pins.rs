//! What pins resolve to, wait for, and are refused for.

use expect_test::expect;
use planner::desired::Completeness;
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
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260108-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260106-000000, v20260105-000000, v20260104-000000
    "#]]);
    case.desired.completeness = Completeness::Partial;
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260108-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260106-000000, v20260105-000000, v20260104-000000; a manifest that could not be read may make it
    "#]]);
}

#[test]
fn a_digest_that_does_not_match() {
    let mut case = serving(2, None);
    let mut spec = declared_deployment("m", 2, None);
    spec.stable.digest = Some(digest(9));
    case.commit_deployment(2, "m", spec);
    case.check(&expect![[r#"
        no changes
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
        },
    );
    case.check(&expect![[r#"
        no changes
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
        no changes
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: canary: version v20260103-000000 of m is damaged: checksums do not match
          hint: what serves stays; restore the version's files, or pin another version
    "#]]);
    case.commit(2, 3, Some((2, 50)));
    case.check(&expect![[r#"
        no changes
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
        },
    );
    case.commit(2, 1, Some((3, 10)));
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: InvalidManifest: MLDeployment/m: canary: v20260102-000000 and v20260104-000000 are the same artifact (b40711a88c70), pinned on both tracks
          hint: pin another version as canary, or take the canary away
    "#]]);
    case.commit(3, 1, Some((1, 10)));
    case.check(&expect![[r#"
        no changes
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
          hint: nearest existing versions: v20260101-000000
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
    };
    let phase = Some(Phase::Running {
        version: spec.stable.version.clone(),
    });
    case.observed.trainings.insert(
        object("t"),
        ObservedTraining {
            object: object_of_job,
            phase,
        },
    );
    assert_eq!(plan(&case).findings, []);
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
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260103-000000, v20260102-000000
    "#]]);
    assert!(case.observed.models.contains_key(&model("good")));
}
