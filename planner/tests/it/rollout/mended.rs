//! When a version that did not load is tried again: after a back-off, or at once where the registry has it sound again.

use expect_test::{Expect, expect};
use planner::names::Track;
use planner::observed::{ObservedModel, ObservedVersion};

use super::Situation;
use crate::support::{digest, resolved_deployment, version};

fn registry(is_sound: bool) -> ObservedModel {
    let mut registered = ObservedModel::default();
    let found = if is_sound {
        ObservedVersion::Sound {
            digest: digest(1),
            inputs: None,
            engine: planner::engine::Engine::Aurora,
        }
    } else {
        ObservedVersion::Damaged("checksums do not match".to_owned())
    };
    registered.versions.insert(version(1), found);
    registered
}

/// Stable v1 did not load while the registry was as it is given.
fn failed(registered: Option<ObservedModel>) -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, None));
    situation.registered = registered;
    situation.step();
    situation.fail(Track::Stable).step();
    situation
}

#[track_caller]
fn check(situation: &Situation, expected: &Expect) {
    expected.assert_eq(&situation.done);
}

fn sound(situation: &Situation) -> Option<bool> {
    let retry = situation.status.as_ref().unwrap().retry.stable.as_ref();
    retry.unwrap().sound
}

#[test]
fn a_version_that_is_sound_again_is_loaded_at_once() {
    let mut situation = failed(Some(registry(false)));
    assert_eq!(sound(&situation), Some(false));
    situation.wait(1).step();
    situation.registered = Some(registry(true));
    situation.step();
    // Once: it is loading.
    situation.step();
    situation.load(Track::Stable).step();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        nothing
        load stable v1 of 0000000001
        nothing
        nothing
    "#]],
    );
}

#[test]
fn one_that_is_damaged_again_waits_twice_as_long() {
    let mut situation = failed(Some(registry(false)));
    situation.registered = Some(registry(true));
    situation.step();
    situation.fail(Track::Stable).step();
    // It was sound when the attempt began: that it still is says nothing new.
    situation.wait(19).step();
    situation.wait(1).step();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        load stable v1 of 0000000001
        nothing
        nothing
        load stable v1 of 0000000001
    "#]],
    );
}

#[test]
fn a_version_that_was_sound_all_along_waits() {
    let mut situation = failed(Some(registry(true)));
    assert_eq!(sound(&situation), Some(true));
    situation.wait(9).step();
    situation.wait(1).step();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        nothing
        load stable v1 of 0000000001
    "#]],
    );
}

#[test]
fn a_version_that_is_gone_is_not_sound_and_its_digest_counts() {
    for registered in [ObservedModel::default(), {
        let mut registered = ObservedModel::default();
        let other = ObservedVersion::Sound {
            digest: digest(9),
            inputs: None,
            engine: planner::engine::Engine::Aurora,
        };
        registered.versions.insert(version(1), other);
        registered
    }] {
        let mut situation = failed(Some(registered));
        assert_eq!(sound(&situation), Some(false));
        situation.registered = Some(registry(true));
        situation.step();
        assert!(
            situation.slots.tracks.track.stable.loading.is_some(),
            "{}",
            situation.done
        );
    }
}

#[test]
fn a_registry_that_was_not_looked_at_says_nothing() {
    let mut situation = failed(Some(registry(false)));
    situation.registered = None;
    situation.wait(1).step();
    assert_eq!(sound(&situation), Some(false), "what was seen is remembered");
    situation.registered = Some(registry(true));
    situation.step();
    // Never looked at, then sound: it may have been sound all along.
    let mut unknown = failed(None);
    assert_eq!(sound(&unknown), None);
    unknown.registered = Some(registry(true));
    unknown.wait(1).step();
    assert_eq!(sound(&unknown), Some(true));
    check(
        &unknown,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        nothing
    "#]],
    );
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        nothing
        load stable v1 of 0000000001
    "#]],
    );
}

#[test]
fn one_that_was_damaged_meanwhile_and_mended_is_loaded_at_once() {
    let mut situation = failed(Some(registry(true)));
    situation.registered = Some(registry(false));
    situation.wait(1).step();
    situation.registered = Some(registry(true));
    situation.wait(1).step();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001
        nothing
        nothing
        load stable v1 of 0000000001
    "#]],
    );
}
