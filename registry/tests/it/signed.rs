//! Who has signed a version.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use planner::commits::Verify;
use planner::names::{ModelName, Version};
use planner::trust::Trust;
use registry::{Entry, Held, Keep, Reference, SIGNATURES_BYTES_MAX, Store};
use signing::{SigningKey, VerifyingKey};

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

struct Signed {
    root: tempfile::TempDir,
    store: Store,
    key: SigningKey,
}

fn key(name: &str) -> SigningKey {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../signing/src/vectors/{name}.key"));
    SigningKey::from_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

impl Signed {
    /// Two versions, of which the first is signed.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::init(root.path(), &owner(), now()).unwrap();
        for words in [format!("publish wine {V1} one"), format!("publish wine {V2} two")] {
            write(root.path(), &words).unwrap();
        }
        let signed = Self {
            root,
            store,
            key: key("p256"),
        };
        signed.store.sign(&signed.entry(V1), &signed.key).unwrap();
        signed
    }

    fn entry(&self, version: &str) -> Entry {
        let version = Reference::Version(word(version));
        self.store.resolve(&word("wine"), &version).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("aurora/wine").join(path)
    }

    fn signature(&self, version: &str, key: &SigningKey) -> PathBuf {
        self.path(&format!("signatures/{version}/{}.json", key.verifying().id()))
    }

    /// Says who signed a version, or why nobody counts.
    fn said(&self, version: &str, trusted: &[&SigningKey]) -> String {
        let trusted: Vec<VerifyingKey> = trusted.iter().map(|key| key.verifying().clone()).collect();
        match self.store.signer(&self.entry(version), &trusted).unwrap() {
            Ok(key) => key.id().to_string(),
            Err(why) => why.to_string(),
        }
    }
}

#[test]
fn a_version_is_signed_by_whom_the_keys_say_and_by_nobody_else() {
    let signed = Signed::new();
    let (ours, other) = (&signed.key, key("p384"));
    let id = ours.verifying().id();
    assert_eq!(signed.said(V1, &[ours]), id.as_str());
    assert_eq!(signed.said(V1, &[&other, ours]), id.as_str());
    assert_eq!(signed.said(V2, &[ours]), "nobody has signed it");
    assert_eq!(
        signed.said(V1, &[&other]),
        format!(
            "nobody who is trusted has signed it: {}.json: it is by the key {}, which is none of those that are trusted",
            &id.as_str()[..16],
            id.short()
        )
    );
    // Two keys, and one of them is enough.
    signed.store.sign(&signed.entry(V1), &other).unwrap();
    assert_eq!(signed.said(V1, &[&other]), other.verifying().id().as_str());
    assert_eq!(signed.said(V1, &[ours]), id.as_str());
}

#[test]
fn a_signature_says_nothing_of_another_version() {
    let signed = Signed::new();
    let key = &signed.key;
    signed.store.sign(&signed.entry(V2), key).unwrap();
    fs::copy(signed.signature(V1, key), signed.signature(V2, key)).unwrap();
    assert_eq!(
        signed.said(V2, &[key]),
        format!(
            "checksums is not what the key {} has signed: restore the version's files, or publish another version",
            key.verifying().id().short()
        )
    );
}

/// Whoever changes a file and sets its checksum right has changed what was signed.
#[test]
fn a_file_that_is_changed_with_its_checksum_is_not_what_was_signed() {
    let signed = Signed::new();
    let folder = signed.path(&format!("versions/{V1}"));
    let command =
        "sed -i 's/\"framework\": *\"/&x/' metadata.json && sha256sum metadata.json model.onnx > checksums";
    let status = std::process::Command::new("sh")
        .args(["-ec", command])
        .current_dir(&folder)
        .status();
    assert!(status.unwrap().success());
    signed.store.verify(&signed.entry(V1)).unwrap();
    let said = signed.said(V1, &[&signed.key]);
    assert!(said.contains("is not what the key"), "{said}");
}

/// Each bit of a version's folder and of its signature counts.
#[test]
fn whatever_bit_is_flipped_is_found() {
    let signed = Signed::new();
    let trusted = [signed.key.verifying().clone()];
    let name: ModelName = word("wine");
    let version: Version = word(V1);
    let is_trusted = || {
        let entry = signed.store.resolve(&name, &Reference::Version(version.clone()));
        entry.is_ok_and(|entry| {
            let is_signed = matches!(signed.store.signer(&entry, &trusted), Ok(Ok(_)));
            is_signed && signed.store.read_artifact(&entry).is_ok()
        })
    };
    assert!(is_trusted());
    let folder = signed.path(&format!("versions/{V1}"));
    for file in ["model.onnx", "metadata.json", "checksums"] {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            assert!(!is_trusted(), "{file}: byte {at}");
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(is_trusted());
}

#[test]
fn what_is_no_signature_is_told_or_passed_over_and_hides_none() {
    let signed = Signed::new();
    let folder = signed.path(&format!("signatures/{V1}"));
    fs::write(folder.join("0.json"), "{}").unwrap();
    fs::write(folder.join("notes.txt"), "by ann").unwrap();
    fs::write(
        folder.join("large.json"),
        vec![b' '; signing::BUNDLE_BYTES_MAX + 1],
    )
    .unwrap();
    assert_eq!(
        signed.said(V1, &[&signed.key]),
        signed.key.verifying().id().as_str()
    );
    fs::remove_file(signed.signature(V1, &signed.key)).unwrap();
    let said = signed.said(V1, &[&signed.key]);
    assert!(
        said.starts_with("nobody who is trusted has signed it: 0.json: it is no signature"),
        "{said}"
    );
    // A folder that is a link leads to nothing.
    fs::remove_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/tmp", &folder).unwrap();
    assert_eq!(signed.said(V1, &[&signed.key]), "nobody has signed it");
}

#[test]
fn a_damaged_version_is_not_signed() {
    let signed = Signed::new();
    let entry = signed.entry(V2);
    fs::write(signed.path(&format!("versions/{V2}/model.onnx")), "else").unwrap();
    signed.store.sign(&entry, &signed.key).unwrap_err();
    assert!(!signed.signature(V2, &signed.key).exists());
}

#[test]
fn a_signature_goes_with_its_version() {
    let signed = Signed::new();
    let keep = Keep {
        pinned: BTreeSet::from([(word("wine"), word(V2))]),
        datasets: BTreeSet::new(),
        last: 0,
        minimum_age: Duration::ZERO,
    };
    let later = now() + Duration::from_hours(48 * 365 * 10);
    signed.store.collect(&keep, later, false).unwrap();
    assert!(!signed.path(&format!("versions/{V1}")).exists());
    assert!(!signed.path(&format!("signatures/{V1}")).exists());
}

/// What others are handed says the same as what lies here, whatever is changed of it on its way.
#[test]
fn what_is_handed_out_is_held_to_the_keys_of_whoever_loads_it() {
    let signed = Signed::new();
    let (name, version) = (word("wine"), word(V1));
    let trust = |verify, keys: &[&SigningKey]| Trust {
        verify,
        keys: keys.iter().map(|key| key.verifying().to_pem()).collect(),
    };
    let held = |handed: &registry::Signed, trust: &Trust| match handed.read(&name, &version, trust) {
        Ok((metadata, held)) => {
            assert_eq!(metadata.version, version);
            match held {
                Held::Trusted => "loaded".to_owned(),
                Held::Told(why) => format!("told: {why}"),
                Held::Refused(why) => format!("refused: {why}"),
            }
        }
        Err(damage) => format!("damaged: {damage}"),
    };
    let handed = signed.store.signed(&signed.entry(V1)).unwrap();
    let (theirs, other) = (&signed.key, &key("p384"));
    assert_eq!(held(&handed, &trust(Verify::Require, &[other, theirs])), "loaded");
    let by_none = held(&handed, &trust(Verify::Require, &[other]));
    assert!(
        by_none.starts_with(&format!(
            "refused: wine {V1} is not to be trusted: nobody who is trusted has signed it: "
        )),
        "{by_none}"
    );
    let warned = held(&handed, &trust(Verify::Warn, &[other]));
    assert_eq!(warned, by_none.replace("refused: ", "told: "));
    assert_eq!(held(&handed, &trust(Verify::Off, &[])), "loaded");
    // What a key has that is none lets nobody in.
    let garbage = Trust {
        verify: Verify::Require,
        keys: vec!["no key".to_owned()],
    };
    assert!(held(&handed, &garbage).starts_with("refused: "));
    // One bit of either file.
    let require = trust(Verify::Require, &[theirs]);
    for at in (0..handed.checksums.len()).step_by(5) {
        let mut changed = handed.clone();
        changed.checksums[at] ^= 1 << (at % 8);
        assert_ne!(held(&changed, &require), "loaded", "checksums, byte {at}");
    }
    for at in (0..handed.metadata.len()).step_by(5) {
        let mut changed = handed.clone();
        changed.metadata[at] ^= 1 << (at % 8);
        assert_ne!(held(&changed, &require), "loaded", "metadata.json, byte {at}");
    }
    // Both at once, so that they fit each other: what is signed is neither.
    let folder = signed.path(&format!("versions/{V1}"));
    let metadata = fs::read_to_string(folder.join("metadata.json")).unwrap();
    let metadata = metadata.replacen("\"framework\": \"", "\"framework\": \"x", 1);
    let lines = fs::read_to_string(folder.join("checksums")).unwrap();
    let before = planner::names::Digest::of(&handed.metadata).hex();
    let after = planner::names::Digest::of(metadata.as_bytes()).hex();
    let changed = registry::Signed {
        checksums: lines.replace(&before, &after).into_bytes(),
        metadata: metadata.into_bytes(),
        signatures: handed.signatures.clone(),
    };
    assert_ne!(changed.metadata, handed.metadata);
    let said = held(&changed, &require);
    assert!(said.contains("checksums is not what the key"), "{said}");
    // The signature says nothing of another version.
    assert!(handed.read(&name, &word(V2), &require).is_err());
}

#[test]
fn what_is_handed_out_of_signatures_is_bounded() {
    let signed = Signed::new();
    let folder = signed.path(&format!("signatures/{V1}"));
    for at in 0..20 {
        fs::write(folder.join(format!("{at:02}.json")), vec![b' '; 200 << 10]).unwrap();
    }
    let handed = signed.store.signed(&signed.entry(V1)).unwrap();
    let bytes: usize = handed.signatures.values().map(Vec::len).sum();
    assert!(bytes <= SIGNATURES_BYTES_MAX, "{bytes}");
    // What is small has its place beside what is large.
    assert!(
        handed
            .signatures
            .contains_key(signed.key.verifying().id().as_str())
    );
    assert_eq!(handed.signatures.len(), 11);
}
