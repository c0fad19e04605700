//! Models that were made elsewhere, and whose signature an environment demands.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use planner::commits::Verify;
use planner::finding::Disposition;
use planner::names::Digest;
use planner::training::{Address, Fit, Import, ImportSource, SignatureSource, Told};
use planner::trust::Trust;
use registry::metadata::Source;
use registry::run::{Ending, RunRequest};
use signing::{Manifest, SigningKey};
use trainer::{Unmet, Wanted};

use crate::world::{World, now, published, refused, run};

const MODEL: &[u8] = include_bytes!("../../../registry/tests/models/forest.onnx");
const NETWORK: &[u8] = include_bytes!("../../../registry/tests/models/network.onnx");
const TENSORS: &[u8] = include_bytes!("../../../registry/tests/models/network.data");
const KEY: &str = "579605b69de80e856b0588ed50945a9ff783ea4bb71e46e897f95bdf7c90aab2";

fn vector(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../signing/src/vectors");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Signs files as PyPI's tool does: one alone is called `.`.
fn signed(key: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let key = SigningKey::from_pem(&vector(&format!("{key}.key"))).unwrap();
    let files = files.iter();
    let files = files.map(|(name, bytes)| ((*name).to_owned(), *Digest::of(bytes).as_bytes()));
    let manifest = Manifest {
        name: "any".to_owned(),
        files: files.collect(),
    };
    signing::sign(&key, &manifest).into_bytes()
}

/// Asks for an import without rows, where the key p256 is trusted.
fn asked(world: &World, verify: Verify, signature: impl Into<Option<SignatureSource>>) -> RunRequest {
    let mut request = world.csv("a,y\n1,2\n");
    request.training.rows = None;
    request.training.seed = 0;
    request.trust = Some(Trust {
        verify,
        keys: vec![vector("p256.pub")],
    });
    importing(&mut request, world, (MODEL, &[]), signature.into());
    request
}

fn importing(
    request: &mut RunRequest,
    world: &World,
    (model, beside): (&[u8], &[(&str, &[u8])]),
    signature: Option<SignatureSource>,
) {
    let stage = |bytes: &[u8]| world.store.stage_dataset(&Digest::of(bytes), bytes).unwrap();
    stage(model);
    for (_, bytes) in beside {
        stage(bytes);
    }
    let beside = beside.iter();
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("models/m.onnx".to_owned()),
        digest: Digest::of(model),
        files: beside
            .map(|(name, bytes)| (name.parse().unwrap(), Digest::of(bytes)))
            .collect(),
        signature,
        told: Told::default(),
    }));
}

/// A file of the commit that is staged.
fn committed(world: &World, bundle: &[u8]) -> SignatureSource {
    let digest = Digest::of(bundle);
    world.store.stage_dataset(&digest, bundle).unwrap();
    format!("models/m.sig@{digest}").parse().unwrap()
}

fn elsewhere() -> SignatureSource {
    "https://models.example.org/m.sig".parse().unwrap()
}

fn source(world: &World, request: &RunRequest) -> Source {
    world.entry(request).metadata.lineage.source.unwrap()
}

fn warnings(world: &World, request: &RunRequest) -> Vec<String> {
    world.entry(request).metadata.fit.warnings
}

/// What another key, the key of another file, or nobody signed is not imported, and nothing has read it by then.
#[track_caller]
fn check(bundle: impl FnOnce(&World) -> Option<SignatureSource>, expected: &Expect) {
    let world = World::new();
    let signature = bundle(&world);
    let request = asked(&world, Verify::Require, signature.clone());
    let told = refused(&request);
    let told = told.strip_suffix(&format!("; {}", planner::trust::HOW_TO_SIGN));
    expected.assert_eq(told.expect("it says what to do"));
    assert_eq!(world.store.versions(&request.model).unwrap(), []);
    // What is warned of is imported, and told.
    let warned = asked(&world, Verify::Warn, signature);
    published(&warned);
    let [warning] = warnings(&world, &warned).try_into().expect("one warning");
    let why = warning
        .strip_prefix("nobody who is trusted has signed it: ")
        .unwrap();
    assert!(expected.data().ends_with(why), "{warning}");
    assert_eq!(source(&world, &warned).signer, None);
}

#[test]
fn what_nobody_who_is_trusted_has_signed_is_not_imported_or_told() {
    check(
        |_| None,
        &expect![
            "the model is not imported: the environment demands signed models, and `import.signature` names no signature of this one"
        ],
    );
    check(
        |world| Some(committed(world, &signed("p384", &[(".", MODEL)]))),
        &expect![
            "the model is not imported: the signature models/m.sig does not count: it is by the key bdc3a02008a1, which is none of those that are trusted"
        ],
    );
    check(
        |world| Some(committed(world, &signed("p256", &[(".", NETWORK)]))),
        &expect![
            "the model is not imported: the signature models/m.sig is not of this model: it is of other files: none of them has the digest of this one"
        ],
    );
    check(
        |world| {
            let bundle = signed("p256", &[(".", MODEL)]);
            Some(committed(world, &bundle[..bundle.len() - 20]))
        },
        &expect![
            "the model is not imported: the signature models/m.sig does not count: it is no signature of a model by a key: EOF while parsing an object at line 1 column 976"
        ],
    );
    check(
        |world| Some(committed(world, b"")),
        &expect![
            "the model is not imported: the signature models/m.sig does not count: it is no signature of a model by a key: EOF while parsing a value at line 1 column 0"
        ],
    );
    check(
        |world| Some(committed(world, &vec![b' '; 300 << 10])),
        &expect![
            "the model is not imported: the signature models/m.sig does not count: it is no signature of a model by a key: it has more than 262144 bytes"
        ],
    );
}

#[test]
fn what_somebody_who_is_trusted_has_signed_says_by_whom() {
    for files in [
        &[(".", MODEL)][..],
        &[("m.onnx", MODEL), ("README", b"a model")],
        &[("wine/renamed.onnx", MODEL)],
    ] {
        let world = World::new();
        let signature = committed(&world, &signed("p256", files));
        for verify in [Verify::Require, Verify::Warn] {
            let mut request = asked(&world, verify, signature.clone());
            if verify == Verify::Warn {
                request.version = "v20261102-120000".parse().unwrap();
            }
            published(&request);
            assert_eq!(source(&world, &request).signer.as_deref(), Some(KEY), "{files:?}");
            assert_eq!(warnings(&world, &request), Vec::<String>::new());
        }
    }
}

/// The record of a model that rows evaluate says it too.
#[test]
fn an_import_that_is_evaluated_says_who_signed_it() {
    let data = (0..40).fold("a,b,y\n".to_owned(), |data, n| {
        data + &format!("{n},{},20\n", n % 7)
    });
    for (verify, expected) in [(Verify::Require, Some(KEY)), (Verify::Warn, None)] {
        let world = World::new();
        let trust = asked(&world, verify, None).trust;
        let mut request = world.csv(data.as_str());
        request.trust = trust;
        let signature = expected.map(|_| committed(&world, &signed("p256", &[(".", MODEL)])));
        request.training.seed = 0;
        importing(&mut request, &world, (MODEL, &[]), signature);
        published(&request);
        assert_eq!(source(&world, &request).signer.as_deref(), expected);
        let told = warnings(&world, &request);
        let is_told = told
            .iter()
            .any(|warning| warning.contains("nobody who is trusted has signed it"));
        assert_eq!(is_told, expected.is_none(), "{told:?}");
    }
}

/// Files that hold a model's tensors are part of what was signed.
#[test]
fn a_signature_is_about_the_files_beside_the_model_too() {
    let beside: &[(&str, &[u8])] = &[("network.data", TENSORS)];
    let whole: &[(&str, &[u8])] = &[("n.onnx", NETWORK), ("network.data", TENSORS)];
    for (files, missing) in [
        (whole, false),
        (&[(".", NETWORK)], true),
        (&[("n.onnx", NETWORK)], true),
        (&[("n.onnx", NETWORK), ("network.data", b"others")], true),
    ] {
        let world = World::new();
        let signature = committed(&world, &signed("p256", files));
        let mut request = asked(&world, Verify::Require, None);
        importing(&mut request, &world, (NETWORK, beside), Some(signature));
        if missing {
            let told = "it is of the model's own file, and not of network.data as it lies beside it";
            let message = refused(&request);
            assert!(message.contains(told), "{message}");
        } else {
            published(&request);
            assert_eq!(source(&world, &request).signer.as_deref(), Some(KEY));
        }
    }
}

/// It is asked for after the model's digest was found right, and before anything looks at the model.
#[test]
fn nobody_reads_a_model_that_is_not_signed() {
    let world = World::new();
    let mut request = asked(&world, Verify::Require, None);
    importing(&mut request, &world, (b"no model", &[]), None);
    assert!(refused(&request).contains("names no signature"));
    request.trust = None;
    assert!(refused(&request).contains("no ONNX file"));
}

#[test]
fn a_signature_from_elsewhere_comes_through_the_same_door() {
    for disposition in [Disposition::Invalid, Disposition::Waiting, Disposition::Transient] {
        let world = World::new();
        let request = asked(&world, Verify::Require, elsewhere());
        let nothing = |_: &Address, _: Wanted<'_>| {
            Err(Unmet {
                disposition,
                message: "nothing lies there".to_owned(),
            })
        };
        let ending = trainer::run(&request, &nothing, &mut |_| {}, &now);
        let (Ending::Refused { message } | Ending::Transient { message }) = &ending else {
            panic!("{ending:?}");
        };
        let expected = "the model is not imported: the signature cannot be fetched: nothing lies there";
        assert_eq!(message, expected);
        let is_final = matches!(ending, Ending::Refused { .. });
        assert_eq!(is_final, disposition == Disposition::Invalid);
        // A warning waits for nothing.
        let warned = asked(&world, Verify::Warn, elsewhere());
        let ending = trainer::run(&warned, &nothing, &mut |_| {}, &now);
        assert!(matches!(ending, Ending::Published { .. }), "{ending:?}");
        assert!(warnings(&world, &warned)[0].contains("nothing lies there"));
    }
    let world = World::new();
    let request = asked(&world, Verify::Require, elsewhere());
    let wants = RefCell::new(Vec::new());
    let fetch = |asked: &Address, wanted: Wanted<'_>| {
        wants.borrow_mut().push(format!("{asked} {wanted:?}"));
        Ok(signed("p256", &[(".", MODEL)]))
    };
    let ending = trainer::run(&request, &fetch, &mut |_| {}, &now);
    assert!(matches!(ending, Ending::Published { .. }), "{ending:?}");
    assert_eq!(
        wants.into_inner(),
        ["https://models.example.org/m.sig Within(262144)"]
    );
    assert_eq!(source(&world, &request).signer.as_deref(), Some(KEY));
}

/// Where nobody has to have signed it, a signature is not looked at, whatever it is.
#[test]
fn a_signature_is_not_looked_at_where_nobody_needs_one() {
    for trust in [None, Some(Verify::Off)] {
        let world = World::new();
        let mut request = asked(&world, Verify::Off, elsewhere());
        request.trust = request.trust.filter(|_| trust.is_some());
        // Nothing can be fetched.
        published(&request);
        assert_eq!(source(&world, &request).signer, None);
        assert_eq!(warnings(&world, &request), Vec::<String>::new());
    }
}

/// Whatever became of the staged copy of a signature, the run is tried again with another one.
#[test]
fn a_damaged_copy_is_no_fault_of_the_signature() {
    for verify in [Verify::Require, Verify::Warn] {
        let world = World::new();
        let bundle = signed("p256", &[(".", MODEL)]);
        let request = asked(&world, verify, committed(&world, &bundle));
        fs::write(world.store.dataset_path(&Digest::of(&bundle)), b"other").unwrap();
        let ending = run(&request);
        assert!(
            matches!(&ending, Ending::Transient { message } if message.contains("staged copy of models/m.sig is missing or damaged")),
            "{ending:?}"
        );
        world
            .store
            .stage_dataset(&Digest::of(&bundle), bundle.as_slice())
            .unwrap();
        published(&request);
    }
}

/// Keys that are none let nobody in.
#[test]
fn no_usable_key_trusts_nobody() {
    for keys in [vec![], vec!["no key".to_owned()]] {
        let world = World::new();
        let mut request = asked(
            &world,
            Verify::Require,
            committed(&world, &signed("p256", &[(".", MODEL)])),
        );
        request.trust = Some(Trust {
            verify: Verify::Require,
            keys,
        });
        assert!(refused(&request).contains("none of those that are trusted"));
    }
}
