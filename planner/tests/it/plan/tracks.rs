//! Objects and aliases of models whose pins resolve.

use expect_test::expect;
use planner::names::Track;
use planner::observed::{ObservedAlias, ObservedVersion};

use super::{Case, serving};
use crate::support::{
    declared, declared_deployment, digest, environment, model, object, resolved, revision, version,
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
    case.deployment().status.as_mut().unwrap().stable = Some(pin);
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
        assert_eq!(case.plan().actions, [], "{}", case.plan());
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
    "#]]);
    case.check(&expect![[r#"
        no changes
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
        MLDeployment/m: model m -> x, stable v20260102-000000 (b40711a88c70) [0000000005]
        alias m@stable: v20260102-000000 -> none
        waiting: MLDeployment/n: waits until MLDeployment/m has left model m
    "#]]);
    case.apply(&expect![[r#"
        MLDeployment/n: create: stable v20260103-000000 (433ebf5bc03d) [0000000005]
        alias x@stable: none -> v20260102-000000 (b40711a88c70)
    "#]]);
}

#[test]
fn one_file_that_cannot_be_read_may_be_the_holder() {
    let mut case = serving(2, None);
    case.desired.deployments.clear();
    case.desired.completeness = planner::desired::Completeness::Partial;
    case.commit_deployment(5, "n", declared_deployment("m", 2, None));
    case.check(&expect![[r#"
        no changes
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
