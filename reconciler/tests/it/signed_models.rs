//! Signatures of versions in passes over a real repository and registry: whose keys count, and from when on.

use std::fs;
use std::path::Path;

use planner::finding::Reason;
use registry::{Reference, Store};
use signing::SigningKey;

use crate::passes::World;
use crate::raises::{environment, under};
use crate::repository::{V1, V2, deployment};

const KEYS: &str = "signers.pub";
pub(crate) const REQUIRE: &str = "models: { verify: Require, keys: signers.pub }";
const WARN: &str = "models: { verify: Warn, keys: signers.pub }";

fn vector(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../signing/src/vectors");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Returns the file of public keys that trusts these.
pub(crate) fn trusting(keys: &[&str]) -> String {
    keys.iter().map(|key| vector(&format!("{key}.pub"))).collect()
}

/// Signs a version of `m`.
pub(crate) fn sign(store: &Store, version: &str, key: &str) {
    let key = SigningKey::from_pem(&vector(&format!("{key}.key"))).unwrap();
    let version = Reference::Version(version.parse().unwrap());
    let entry = store.resolve(&"m".parse().unwrap(), &version).unwrap();
    store.sign(&entry, &key).unwrap();
}

/// Stable V1 of `m` serves, signed by the one key that is trusted, under a policy that has been there for long.
fn signed_under(policy: &str) -> World {
    let mut world = under("drift: Correct");
    sign(&world.store, V1, "p256");
    world.repo.change(KEYS, &trusting(&["p256"]));
    world.repo.change("environment.yaml", &environment(policy));
    world.settle();
    world.repo.change("README", "judged by that policy");
    world.settle();
    world
}

fn raise(world: &mut World) {
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
}

fn raised() -> String {
    format!("{V1} {V2}@10")
}

fn reasons(world: &World) -> Vec<Reason> {
    let findings = world.reconciler.standing().findings();
    findings.map(|finding| finding.reason).collect()
}

#[test]
fn a_raise_waits_for_a_signature_and_comes_with_it() {
    let mut world = signed_under(REQUIRE);
    raise(&mut world);
    world.pass();
    assert_eq!(world.serves(), V1);
    assert_eq!(reasons(&world), [Reason::VersionUntrusted]);
    // By somebody whom nobody trusts.
    sign(&world.store, V2, "p384");
    world.settle();
    assert_eq!(world.serves(), V1);
    sign(&world.store, V2, "p256");
    world.settle();
    assert_eq!(world.serves(), raised());
    assert_eq!(reasons(&world), []);
}

#[test]
fn a_warning_stops_nothing_and_stands_until_it_is_signed() {
    let mut world = signed_under(WARN);
    raise(&mut world);
    world.settle();
    assert_eq!(world.serves(), raised());
    assert_eq!(reasons(&world), [Reason::VersionUnsigned]);
    sign(&world.store, V2, "p256");
    world.settle();
    assert_eq!(reasons(&world), []);
}

#[test]
fn a_key_counts_from_the_next_commit_on() {
    let mut world = signed_under(REQUIRE);
    sign(&world.store, V2, "p384");
    // One commit brings a key along, and what that key has signed.
    let keys = trusting(&["p256", "p384"]);
    world.repo.write(&format!("environments/dev/{KEYS}"), &keys);
    raise(&mut world);
    for _ in 0..3 {
        world.pass();
        assert_eq!(world.serves(), V1);
    }
    // A start anew trusts no more.
    world.reconciler = crate::passes::start(&world.repo, &world.target, &world.store);
    world.settle();
    assert_eq!(world.serves(), V1);
    world.repo.change("README", "the next one");
    world.settle();
    assert_eq!(world.serves(), raised());
}

#[test]
fn nobody_is_trusted_by_taking_the_policy_away() {
    let mut world = signed_under(REQUIRE);
    world.repo.write(
        "environments/dev/environment.yaml",
        &environment("drift: Correct"),
    );
    raise(&mut world);
    world.settle();
    assert_eq!(world.serves(), V1);
    world.repo.change("README", "the next one");
    world.settle();
    assert_eq!(world.serves(), raised());
}

#[test]
fn a_file_of_keys_that_cannot_be_used_leaves_those_that_were_trusted() {
    for broken in ["no key\n", ""] {
        let mut world = signed_under(REQUIRE);
        world.repo.change(KEYS, broken);
        world.settle();
        assert_eq!(reasons(&world), [Reason::SignersUnusable], "{broken:?}");
        world.repo.change("README", "the next one");
        world.settle();
        raise(&mut world);
        world.settle();
        assert_eq!(world.serves(), V1, "{broken:?}");
        sign(&world.store, V2, "p256");
        world.settle();
        assert_eq!(world.serves(), raised(), "{broken:?}");
    }
}
