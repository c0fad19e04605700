//! Objects and aliases of models whose pins resolve.

use expect_test::expect;
use planner::environment::Drift;
use planner::names::Track;
use planner::observed::{ObservedAlias, ObservedVersion};
use planner::per_track::PerTrack;
use planner::plan::Action;
use planner::rollout::{Retry, State};
use planner::training::RunPolicy;

use super::{Case, serving};
use crate::support::{
    declared, declared_deployment, digest, environment, model, object, resolved, resolved_deployment,
    revision, time, training, version,
};

#[test]
fn from_nothing_to_serving() {
    let mut case = Case::new(2);
    case.observed.environment = None;
    case.commit(1, 1, Some((2, 10)));
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
        MLDeployment/m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
    case.serve();
    case.apply(&expect![[r#"
        alias m@stable: none -> v20260102-000000 (b40711a88c70)
        alias m@canary: none -> v20260103-000000 (433ebf5bc03d)
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn a_weight_changes_the_revision_of_no_track() {
    let mut case = serving(2, Some((2, 10)));
    case.commit(5, 1, Some((2, 50)));
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% -> 50% [0000000005]
    "#]]);
    let object = &case.deployment().object;
    assert_eq!(object.revision, revision(5));
    assert_eq!(
        (&object.stable_revision, &object.canary_revision),
        (&revision(1), &Some(revision(1)))
    );
}

#[test]
fn the_digest_of_what_serves_changes_the_revision_of_no_track() {
    let mut case = serving(2, None);
    let mut spec = declared_deployment("m", 1, None);
    spec.stable.digest = Some(digest(1));
    case.commit_deployment(5, "m", spec);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000005]
    "#]]);
    assert_eq!(case.deployment().object.stable_revision, revision(1));
    assert_eq!(case.deployment().object.revision, revision(5));
}

#[test]
fn replacement_moves_the_alias_when_the_track_is_ready() {
    let mut case = serving(2, None);
    case.commit(5, 2, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d) [0000000005]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    case.apply(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    case.serve();
    case.apply(&expect![[r#"
        alias m@stable: v20260102-000000 -> v20260103-000000 (433ebf5bc03d)
    "#]]);
    assert_eq!(case.deployment().object.stable_revision, revision(5));
}

#[test]
fn promotion_and_revert() {
    let mut case = serving(2, Some((2, 10)));
    case.commit(5, 2, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d), canary v20260103-000000 promoted [0000000005]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    // Stable serves v2, the canary is not emptied yet.
    let pin = resolved(2);
    case.deployment().status.as_mut().unwrap().serving.stable = Some(pin);
    case.apply(&expect![[r#"
        alias m@stable: v20260102-000000 -> v20260103-000000 (433ebf5bc03d)
    "#]]);
    case.serve();
    case.apply(&expect![[r#"
        alias m@canary: v20260103-000000 -> none
    "#]]);
    case.commit(6, 1, Some((2, 10)));
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260103-000000 (433ebf5bc03d) -> v20260102-000000 (b40711a88c70), canary none -> v20260103-000000 (433ebf5bc03d) at 10% [0000000006]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
}

#[test]
fn a_tampered_alias_is_repaired() {
    let mut case = serving(2, None);
    case.model("m")
        .aliases
        .insert(Track::Stable, ObservedAlias::To(version(2)));
    case.model("m")
        .aliases
        .insert(Track::Canary, ObservedAlias::Broken("a file".to_owned()));
    case.apply(&expect![[r#"
        alias m@stable: v20260103-000000 -> v20260102-000000 (b40711a88c70)
        alias m@canary: broken (a file) -> none
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.model("m").aliases.clear();
    case.check(&expect![[r#"
        alias m@stable: none -> v20260102-000000 (b40711a88c70)
    "#]]);
}

/// What somebody moved by hand is moved back, or told; what a commit moves is moved.
#[test]
fn a_tampered_alias_stands_where_drift_says_so() {
    for (drift, expected) in [
        (
            Drift::Correct,
            expect![[r#"
                alias m@stable: v20260103-000000 -> v20260102-000000 (b40711a88c70)
            "#]],
        ),
        (
            Drift::Warn,
            expect![[r#"
                no changes
                environments/dev/m.yaml:1:1: Drifted: MLDeployment/m: somebody changed alias stable: it names v20260103-000000 instead of v20260102-000000, and spec.drift is Warn: it stands
                  hint: what serves goes by the pin; set spec.drift to Correct to have the alias moved back
            "#]],
        ),
        (
            Drift::Off,
            expect![[r#"
                no changes
                environments/dev/m.yaml:1:1: DriftLeft: MLDeployment/m: somebody changed alias stable: it names v20260103-000000 instead of v20260102-000000, and spec.drift is Off: it stands
                  hint: what serves goes by the pin; set spec.drift to Correct to have the alias moved back
            "#]],
        ),
    ] {
        let mut case = serving(3, None);
        case.desired.environment.drift = drift;
        case.converge();
        case.model("m")
            .aliases
            .insert(Track::Stable, ObservedAlias::To(version(2)));
        case.check(&expected);
        case.commit(5, 3, None);
        case.converge_objects();
        case.serve();
        case.converge();
        let alias = case.model("m").aliases.get(&Track::Stable).cloned();
        assert_eq!(alias, Some(ObservedAlias::To(version(3))), "{drift:?}");
    }
}

#[test]
fn no_alias_moves_to_a_version_that_is_gone_or_damaged() {
    for damage in [
        None,
        Some(ObservedVersion::Damaged("checksums do not match".to_owned())),
    ] {
        let mut case = serving(1, None);
        case.model("m").aliases.clear();
        case.model("m").versions.clear();
        case.model("m")
            .versions
            .extend(damage.map(|damage| (version(1), damage)));
        assert!(case.plan().actions.iter().all(Action::is_note), "{}", case.plan());
    }
}

#[test]
fn suspended_deployment_gets_the_mark_and_nothing_else() {
    let mut case = serving(3, Some((2, 10)));
    let mut spec = declared_deployment("m", 3, None);
    spec.suspend = Some("audit".to_owned());
    case.commit_deployment(5, "m", spec);
    case.model("m").aliases.clear();
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, suspend: audit [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.commit(6, 3, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99), canary v20260103-000000 (433ebf5bc03d) -> none, resume [0000000006]
        alias m@stable: none -> v20260102-000000 (b40711a88c70)
        alias m@canary: none -> v20260103-000000 (433ebf5bc03d)
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn suspended_environment_gets_its_own_object_and_nothing_else() {
    let mut case = serving(3, Some((2, 10)));
    case.commit(5, 3, None);
    case.desired.environment.suspend = Some("freeze".to_owned());
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
        held: MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99), canary v20260103-000000 (433ebf5bc03d) -> none [0000000005]
    "#]]);
    case.check(&expect![[r#"
        no changes
        held: MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99), canary v20260103-000000 (433ebf5bc03d) -> none [0000000005]
    "#]]);
    case.desired.environment = environment();
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99), canary v20260103-000000 (433ebf5bc03d) -> none [0000000005]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn a_suspended_model_that_is_new_waits() {
    let mut case = Case::new(1);
    let mut spec = declared_deployment("m", 1, None);
    spec.suspend = Some("not yet".to_owned());
    case.commit_deployment(1, "m", spec);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn a_renamed_manifest_takes_over() {
    let mut case = serving(2, Some((2, 10)));
    case.desired.deployments.clear();
    case.commit_deployment(5, "renamed", declared_deployment("m", 1, Some((2, 10))));
    case.apply(&expect![[r#"
        MLDeployment/renamed: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
        MLDeployment/m: remove
    "#]]);
    let renamed = &case.observed.deployments[&object("renamed")].object;
    assert_eq!(
        (&renamed.revision, &renamed.stable_revision),
        (&revision(5), &revision(1))
    );
    case.serve();
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn a_model_is_never_served_by_two_objects() {
    // m turns to model x, and n takes model m: n waits until m has left.
    let mut case = serving(2, None);
    case.publish("x", 1, None);
    case.commit_deployment(5, "m", declared_deployment("x", 1, None));
    case.commit_deployment(5, "n", declared_deployment("m", 2, None));
    case.apply(&expect![[r#"
        MLDeployment/n: create: stable v20260103-000000 (433ebf5bc03d) [0000000005]
        MLDeployment/m: model m -> x, stable v20260102-000000 (b40711a88c70) [0000000005]
    "#]]);
    case.apply(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        waiting: MLDeployment/n: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn one_file_that_cannot_be_read_may_be_the_holder() {
    let mut case = serving(2, None);
    case.desired.deployments.clear();
    case.desired.completeness = planner::desired::Completeness::Partial;
    case.commit_deployment(5, "n", declared_deployment("m", 2, None));
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: Unreadable: no manifest that was understood declares it, and not all were
        waiting: MLDeployment/n: waits until MLDeployment/m has left model m
    "#]]);
}

#[test]
fn a_plan_as_json() {
    let mut case = Case::new(1);
    case.desired
        .deployments
        .insert(object("m"), declared("m", declared_deployment("m", 1, None), 1));
    case.observed.environment = None;
    let json = serde_json::to_value(case.plan()).unwrap();
    assert_eq!(json["actions"][1]["PutDeployment"]["name"], "m");
    assert_eq!(
        serde_json::from_value::<planner::plan::Plan>(json).unwrap(),
        case.plan()
    );
    assert!(case.observed.models.contains_key(&model("m")));
}

/// A track did not load its pin.
fn retry(n: u32) -> Retry {
    Retry {
        pin: resolved(n),
        count: 1,
        message: "no such opset".to_owned(),
        until: time(10),
        sound: None,
    }
}

#[test]
fn an_alias_waits_for_its_track_unless_nothing_goes_on_by_itself() {
    // Neither track serves, and nothing is known of why.
    let mut case = serving(4, Some((2, 10)));
    case.commit(2, 3, Some((4, 10)));
    case.converge_objects();
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
    // An aborted canary never will; stable is not held up.
    let mut aborted = super::Case {
        desired: case.desired.clone(),
        observed: case.observed.clone(),
    };
    aborted.deployment().status.as_mut().unwrap().state = State::Aborted {
        digest: digest(4),
        reason: "ann: slow".to_owned(),
    };
    aborted.converge_objects();
    aborted.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    // What does not load is a finding of its own track.
    case.deployment().status.as_mut().unwrap().retry.stable = Some(retry(3));
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
        environments/dev/m.yaml:1:1: LoadFailed: MLDeployment/m: stable cannot load v20260104-000000: no such opset
          hint: what serves stays, and it is tried again; pin a version that loads
    "#]]);
    case.deployment().status.as_mut().unwrap().retry = PerTrack {
        stable: None,
        canary: Some(retry(4)),
    };
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        environments/dev/m.yaml:1:1: LoadFailed: MLDeployment/m: canary cannot load v20260105-000000: no such opset
          hint: what serves stays, and it is tried again; pin a version that loads
    "#]]);
    case.deployment().status.as_mut().unwrap().retry.stable = Some(retry(3));
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: LoadFailed: MLDeployment/m: canary cannot load v20260105-000000: no such opset
          hint: what serves stays, and it is tried again; pin a version that loads
        environments/dev/m.yaml:1:1: LoadFailed: MLDeployment/m: stable cannot load v20260104-000000: no such opset
          hint: what serves stays, and it is tried again; pin a version that loads
    "#]]);
}

#[test]
fn a_load_that_failed_is_no_finding_beside_another_or_under_a_suspension() {
    let mut case = serving(3, None);
    case.deployment().status.as_mut().unwrap().retry.stable = Some(retry(1));
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: LoadFailed: MLDeployment/m: stable cannot load v20260102-000000: no such opset
          hint: what serves stays, and it is tried again; pin a version that loads
    "#]]);
    // A pin that was replaced since does not count.
    case.deployment().status.as_mut().unwrap().retry.stable = Some(retry(2));
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.deployment().status.as_mut().unwrap().retry.stable = Some(retry(1));
    case.commit(1, 1, Some((9, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: VersionMissing: canary: version v20260110-000000 of m does not exist and no training job makes it
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260104-000000, v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
    let mut spec = declared_deployment("m", 1, None);
    spec.suspend = Some("audit".to_owned());
    case.commit_deployment(2, "m", spec);
    case.converge_objects();
    case.check(&expect![[r#"
        no changes
    "#]]);
    // While the object changes, what failed is of before.
    case.commit(3, 2, None);
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d), resume [0000000003]
    "#]]);
}

#[test]
fn a_canary_of_the_bytes_that_stay_is_none() {
    // Stable waits for v4 and stays v1: v3, the same bytes, is nothing beside it.
    let mut case = serving(1, None);
    case.model("m").versions.insert(
        version(3),
        ObservedVersion::Sound {
            digest: digest(1),
            inputs: None,
            engine: planner::engine::Engine::Aurora,
        },
    );
    case.commit_training(2, "t", training("m", RunPolicy::Fixed(version(4))));
    case.commit(2, 4, Some((3, 10)));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260105-000000 with linear_regression, m [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000002]
        waiting: MLDeployment/m: stable waits for v20260105-000000, which MLTrainingJob/t makes
    "#]]);
}

#[test]
fn what_a_suspension_says_is_shown_when_it_changes() {
    let mut case = serving(3, Some((2, 10)));
    let suspend = |case: &mut super::Case, n, reason: &str| {
        let mut spec = declared_deployment("m", 1, Some((2, 10)));
        spec.suspend = Some(reason.to_owned());
        case.commit_deployment(n, "m", spec);
    };
    suspend(&mut case, 2, "audit");
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, suspend: audit [0000000001]
    "#]]);
    suspend(&mut case, 3, "holiday");
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, suspend: holiday [0000000001]
    "#]]);
    // Something else changes under it: an abort.
    case.deployment().status.as_mut().unwrap().state = State::Aborted {
        digest: digest(2),
        reason: "ann: slow".to_owned(),
    };
    case.apply(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn the_canary_alias_goes_when_its_track_is_empty() {
    let mut case = serving(2, Some((2, 10)));
    case.commit(2, 1, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> none [0000000002]
    "#]]);
    // It serves still.
    case.check(&expect![[r#"
        no changes
    "#]]);
    // Nothing is known of it.
    let status = case.deployment().status.take();
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.deployment().status = status;
    case.serve();
    // Another canary comes: the alias moves instead.
    case.commit(3, 1, Some((2, 10)));
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary none -> v20260103-000000 (433ebf5bc03d) at 10% [0000000003]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn a_model_that_another_object_serves_keeps_its_aliases() {
    // m turns to model x; n, which has taken model m over already, goes on.
    let mut case = serving(2, None);
    let twin = case.deployment().clone();
    case.observed.deployments.insert(object("n"), twin);
    case.publish("x", 1, None);
    case.commit_deployment(1, "n", declared_deployment("m", 1, None));
    case.commit_deployment(5, "m", declared_deployment("x", 1, None));
    case.check(&expect![[r#"
        MLDeployment/m: model m -> x, stable v20260102-000000 (b40711a88c70) [0000000005]
    "#]]);
}

#[test]
fn aliases_follow_the_object_that_has_the_tracks() {
    // Both m and n are of model m: n, which has its tracks, is to turn to model x and cannot.
    let mut case = serving(2, None);
    let mut twin = case.deployment().clone();
    twin.object.spec = resolved_deployment(1, Some((2, 10)));
    twin.object.canary_revision = Some(revision(1));
    twin.status.as_mut().unwrap().serving.canary = Some(resolved(2));
    case.observed.deployments.insert(object("n"), twin);
    case.commit_deployment(5, "n", declared_deployment("x", 1, None));
    case.apply(&expect![[r#"
        MLDeployment/n: remove
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260102-000000 of x does not exist and no training job makes it
          hint: the registry holds no version of x: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
    // m, whose canary is empty, does not take it away again.
    case.check(&expect![[r#"
        no changes
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260102-000000 of x does not exist and no training job makes it
          hint: the registry holds no version of x: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
}

/// How a cluster is to run a model is the manifest's.
#[test]
fn how_a_cluster_runs_it_follows_the_commit() {
    let mut case = serving(2, Some((2, 10)));
    let mut spec = declared_deployment("m", 1, Some((2, 10)));
    spec.replicas = 5;
    spec.canary.as_mut().unwrap().replicas = 2;
    spec.pod = Some(Box::default());
    spec.route = Some(Box::default());
    spec.autoscaling = Some(planner::deployment::Autoscaling {
        min_replicas: 1,
        max_replicas: 2,
        target_cpu_percent: 70,
    });
    case.commit_deployment(5, "m", spec);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, replicas 3 -> 5, canary replicas 1 -> 2, autoscaling changes, pod changes, route changes [0000000005]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}
