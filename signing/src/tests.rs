//! Against bundles that others made: those of the specification (`spec-*`, Apache-2.0, its commit a0c91e2), and of PyPI's
//! model-signing 1.1.1 (`pypi-*`) by keys that openssl made.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use expect_test::expect;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

const CURVES: [&str; 3] = ["p256", "p384", "p521"];

fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/vectors")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

fn signing(curve: &str) -> SigningKey {
    SigningKey::from_pem(&text(&format!("{curve}.key"))).unwrap()
}

fn verifying(curve: &str) -> VerifyingKey {
    VerifyingKey::from_pem(&text(&format!("{curve}.pub"))).unwrap()
}

/// What PyPI's bundles are about.
fn folder() -> Manifest {
    let files = [
        ("model.onnx", "onnx"),
        ("metadata.json", "{}\n"),
        ("checksums", "sums\n"),
    ];
    Manifest {
        name: "folder".to_owned(),
        files: files
            .map(|(name, content)| (name.to_owned(), Sha256::digest(content).into()))
            .into(),
    }
}

#[test]
fn what_others_have_signed_is_what_they_signed() {
    let keys = CURVES.map(verifying);
    for (curve, key) in CURVES.iter().zip(&keys) {
        let bundle = vector(&format!("pypi-{curve}.json"));
        assert_eq!(verify(&bundle, &keys), Ok((folder(), key)), "{curve}");
        assert_eq!(signing(curve).verifying(), key, "{curve}");
    }
}

#[test]
fn what_we_sign_is_verified_and_the_same_each_time() {
    for curve in CURVES {
        let (key, trusted) = (signing(curve), [verifying(curve)]);
        let bundle = sign(&key, &folder());
        assert_eq!(verify(bundle.as_bytes(), &trusted), Ok((folder(), &trusted[0])));
        assert_eq!(sign(&key, &folder()), bundle, "{curve}");
    }
}

#[test]
fn bundles_of_the_specification_are_read_or_refused_with_words() {
    let said = |name: &str| match verify(&vector(&format!("spec-{name}.json")), &[verifying("p256")]) {
        Ok(_) => "verified".to_owned(),
        Err(refused) => refused.to_string(),
    };
    let told = [
        "valid-key",
        "valid-certificate",
        "valid-sigstore",
        "invalid-empty",
        "invalid-missing-envelope",
        "invalid-missing-tlog-entries",
        "invalid-missing-verification-material",
        "invalid-payload-wrong-predicate",
    ]
    .iter()
    .fold(String::new(), |mut told, name| {
        writeln!(told, "{name}: {}", said(name)).unwrap();
        told
    });
    expect![[r#"
        valid-key: it is by the key e8450dec4eb9, which is none of those that are trusted
        valid-certificate: it is no signature of a model by a key: it is by a certificate, and keys alone are trusted
        valid-sigstore: it is no signature of a model by a key: it is by a certificate, and keys alone are trusted
        invalid-empty: it is no signature of a model by a key: EOF while parsing a value at line 1 column 0
        invalid-missing-envelope: it is no signature of a model by a key: missing field `dsseEnvelope` at line 9 column 1
        invalid-missing-tlog-entries: it is no signature of a model by a key: it is by a certificate, and keys alone are trusted
        invalid-missing-verification-material: it is no signature of a model by a key: missing field `verificationMaterial` at line 13 column 1
        invalid-payload-wrong-predicate: it is by the key e8450dec4eb9, which is none of those that are trusted
    "#]]
    .assert_eq(&told);
    // Its key is not published: what it states is read all the same.
    let read = bundle::read(&vector("spec-valid-key.json")).unwrap();
    let stated = bundle::manifest(&read.statement).unwrap();
    assert_eq!(stated.files.keys().collect::<Vec<_>>(), ["signme-1", "signme-2"]);
    let read = bundle::read(&vector("spec-invalid-payload-wrong-predicate.json")).unwrap();
    let refused = bundle::manifest(&read.statement).unwrap_err();
    expect!["it is no signature of a model by a key: it states something else than what a model is made of"]
        .assert_eq(&refused.to_string());
}

#[test]
fn a_key_that_is_not_trusted_is_named_and_one_that_is_not_named_is_found() {
    let bundle = text("pypi-p384.json");
    let refused = verify(bundle.as_bytes(), &[verifying("p256")]).unwrap_err();
    assert_eq!(refused, Refused::UnknownKey(verifying("p384").id().to_string()));
    // As older ones are, which say the key itself.
    let hint = format!("\"hint\":\"{}\"", verifying("p384").id());
    let unnamed = bundle.replace(&hint, "\"rawBytes\":\"AA==\"");
    assert_ne!(unnamed, bundle);
    let keys = CURVES.map(verifying);
    assert_eq!(verify(unnamed.as_bytes(), &keys), Ok((folder(), &keys[1])));
    assert_eq!(verify(unnamed.as_bytes(), &keys[..1]), Err(Refused::Forged));
    // What is no name of a key names none.
    let otherwise = bundle.replace(&hint, "\"hint\":\"zzz\"");
    assert_eq!(verify(otherwise.as_bytes(), &keys), Ok((folder(), &keys[1])));
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    for name in ["p256", "p256-pkcs8", "p256-with-parameters", "p384", "p521"] {
        let key = SigningKey::from_pem(&text(&format!("{name}.key")));
        assert!(key.is_ok(), "{name}: {key:?}");
    }
    let refused = |name: &str| SigningKey::from_pem(&text(name)).unwrap_err().to_string();
    expect!["it is no private key in PEM of the curve P-256, P-384 or P-521 (a password is not asked for)"]
        .assert_eq(&refused("p256-encrypted.key"));
    assert_eq!(refused("p256.pub"), refused("p256-encrypted.key"));
    let all = |texts: &[&str]| VerifyingKey::all_from_pem(&texts.concat());
    let [p256, p384, rsa] = ["p256.pub", "p384.pub", "rsa.pub"].map(text);
    let [first, second] = ["p256", "p384"].map(verifying);
    assert_eq!(
        all(&["ours\n", &p256, "\ntheirs, since May\n", &p384]),
        Ok(vec![first, second])
    );
    let said = |texts: &[&str]| all(texts).unwrap_err().to_string();
    expect!["its key 2, which begins in line 6, is no public key in PEM of the curve P-256, P-384 or P-521"]
        .assert_eq(&said(&[&p256, "\n", &rsa]));
    expect!["it holds 0 keys (-----BEGIN PUBLIC KEY-----), and 1 to 100 are read"]
        .assert_eq(&said(&["none\n"]));
}

/// A file as PyPI's tool signs it alone, and as it signs a folder that holds it.
#[test]
fn a_signature_is_about_a_model_and_the_files_that_it_finds_by_their_names() {
    let hash = |content: &str| -> Hash { Sha256::digest(content).into() };
    let of = |files: &[(&str, &str)]| Manifest {
        name: "any".to_owned(),
        files: files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), hash(content)))
            .collect(),
    };
    let beside = |files: &[(&str, &str)]| of(files).files;
    let keys = [verifying("p256")];
    let (alone, _) = verify(&vector("pypi-file-p256.json"), &keys).unwrap();
    assert_eq!(
        alone,
        Manifest {
            name: "m.onnx".to_owned(),
            ..of(&[(".", "onnx")])
        }
    );
    let folder = of(&[
        ("x.onnx", "onnx"),
        ("a.data", "a"),
        ("b.data", "b"),
        ("README", ""),
    ]);
    let deeper = of(&[
        ("old/x.onnx", "onnx"),
        ("old/a.data", "else"),
        ("new/x.onnx", "onnx"),
        ("new/a.data", "a"),
    ]);
    let uncovered = |name: &str| Err(Uncovered::Beside(name.to_owned()));
    for (manifest, files, expected) in [
        (&alone, beside(&[]), Ok(())),
        (&alone, beside(&[("a.data", "a")]), uncovered("a.data")),
        (&folder, beside(&[]), Ok(())),
        (&folder, beside(&[("a.data", "a"), ("b.data", "b")]), Ok(())),
        // Each was signed, and not as this one: another model is made of them.
        (
            &folder,
            beside(&[("a.data", "b"), ("b.data", "a")]),
            uncovered("a.data"),
        ),
        (&folder, beside(&[("c.data", "a")]), uncovered("c.data")),
        (&deeper, beside(&[("a.data", "a")]), Ok(())),
        (&deeper, beside(&[("a.data", "b")]), uncovered("a.data")),
    ] {
        assert_eq!(
            manifest.covers(&hash("onnx"), &files),
            expected,
            "{manifest:?} {files:?}"
        );
        assert_eq!(manifest.covers(&hash("other"), &files), Err(Uncovered::Model));
    }
}

/// What is shown of a private key.
#[test]
fn a_private_key_shows_its_public_name_alone() {
    let shown = format!("{:?}", signing("p256"));
    assert_eq!(shown, format!("SigningKey({})", verifying("p256").id()));
}

proptest! {
    /// No bit of a bundle can be changed so that it says something else.
    #[test]
    fn a_bundle_that_was_changed_says_nothing_else(at in 0_usize..1_800, bit in 0_u8..8) {
        let mut bundle = vector("pypi-p256.json");
        let at = at % bundle.len();
        bundle[at] ^= 1 << bit;
        let keys = CURVES.map(verifying);
        if let Ok((manifest, key)) = verify(&bundle, &keys) {
            prop_assert_eq!((manifest, key), (folder(), &keys[0]));
        }
    }

    #[test]
    fn whatever_comes_is_refused_with_words(bundle in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify(&bundle, &[verifying("p256")]).is_err());
    }
}
