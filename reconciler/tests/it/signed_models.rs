//! Signatures of versions in passes over a real repository and registry: whose keys count, and from when on.

use std::fs;
use std::path::Path;

use planner::finding::Reason;
use planner::names::Digest;
use planner::trust::Trust;
use reconciler::objects::{ObjectStore as _, ObservedObject};
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

/// A job that imports a model of its own, of which nothing is made here.
fn importing(signature: &str) -> String {
    let digest = Digest::of(b"onnx");
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: net }}
spec:
  modelName: net
  version: {V1}
  import: {{ uri: n.onnx, digest: \"{digest}\"{signature} }}
"
    )
}

/// Whose signature the run of the job is told that its import needs, and by which file of the commit it has one.
fn told(world: &World) -> Option<(Option<Trust>, String)> {
    let objects = world.target.observe(None).unwrap().objects;
    objects.into_iter().find_map(|object| match object {
        ObservedObject::Training(_, found) => {
            let signature = found.object.spec.fit.import()?.signature.as_ref()?;
            Some((found.object.trust, signature.to_string()))
        }
        _ => None,
    })
}

fn keys_told(world: &World) -> usize {
    let (trust, _signature) = told(world).expect("the job has an object");
    trust.map_or(0, |trust| trust.keys.len())
}

#[test]
fn an_import_needs_the_signature_of_whom_the_commit_before_trusts() {
    for then in [2, 0] {
        let mut world = signed_under(REQUIRE);
        // One commit brings a key along, or takes the policy away, and with it an import.
        let (keys, policy) = match then {
            2 => (trusting(&["p256", "p384"]), REQUIRE),
            _ => (trusting(&["p256"]), "drift: Correct"),
        };
        world.repo.write(&format!("environments/dev/{KEYS}"), &keys);
        world
            .repo
            .write("environments/dev/environment.yaml", &environment(policy));
        world.repo.write("environments/dev/n.onnx", "onnx");
        world.repo.write("environments/dev/n.sig", "a signature");
        world.repo.change("n.yaml", &importing(", signature: n.sig"));
        for pass in 0..4 {
            world.pass();
            assert_eq!(keys_told(&world), 1, "{then} {pass}");
            // Something else happens meanwhile, and is looked at alone.
            sign(&world.store, V2, "p256");
        }
        // A start anew trusts no more.
        world.reconciler = crate::passes::start(&world.repo, &world.target, &world.store);
        world.settle();
        assert_eq!(keys_told(&world), 1, "{then}");
        world.repo.change("README", "the next one");
        world.settle();
        assert_eq!(keys_told(&world), then);
    }
}

/// A bundle of the commit is known by what it holds, so that another one under its name is another one.
#[test]
fn a_corrected_signature_of_the_commit_is_another_one() {
    let mut world = signed_under(REQUIRE);
    world.repo.write("environments/dev/n.onnx", "onnx");
    world.repo.change("n.yaml", &importing(""));
    world.settle();
    assert_eq!(
        (told(&world), reasons(&world)),
        (None, vec![Reason::VersionUntrusted])
    );
    world.repo.write("environments/dev/n.sig", "a signature");
    world.repo.change("n.yaml", &importing(", signature: n.sig"));
    world.settle();
    assert_eq!(reasons(&world), []);
    let (_, first) = told(&world).unwrap();
    assert_eq!(first, format!("n.sig@{}", Digest::of(b"a signature")));
    world.repo.change("n.sig", "the right one");
    world.settle();
    let (_, second) = told(&world).unwrap();
    assert_eq!(second, format!("n.sig@{}", Digest::of(b"the right one")));
    // Both were staged for the run.
    for bundle in ["a signature", "the right one"] {
        let staged = world.store.dataset_path(&Digest::of(bundle.as_bytes()));
        assert_eq!(fs::read_to_string(staged).unwrap(), bundle);
    }
}
