//! The bundle's layers as JSON: bundle, envelope, statement, predicate.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{BUNDLE_BYTES_MAX, Hash, KeyId, Manifest, Refused};

/// The media type of a bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";
/// The most files that a statement may list.
const FILES_MAX: usize = 1_000;
/// How many characters of a key's name are kept: a SHA-256 in hex.
const HINT_MAX: usize = 64;

/// What a bundle holds, unverified.
pub(crate) struct Read {
    pub(crate) statement: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// The key that it says to be by.
    pub(crate) hint: Option<String>,
}

fn malformed(why: &str) -> Refused {
    Refused::Malformed(why.to_owned())
}

fn unread(error: &serde_json::Error) -> Refused {
    Refused::Malformed(error.to_string())
}

/// Writes what is to be signed.
pub(crate) fn statement(manifest: &Manifest) -> Vec<u8> {
    let Manifest { name, files } = manifest;
    let resources = files
        .iter()
        .map(|(name, hash)| json!({ "name": name, "algorithm": "sha256", "digest": hex::encode(hash) }));
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{ "name": name, "digest": { "sha256": hex::encode(root(files.values())) } }],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": [],
            },
            "resources": resources.collect::<Vec<_>>(),
        },
    });
    statement.to_string().into_bytes()
}

/// Writes a bundle.
pub(crate) fn write(statement: &[u8], signature: &[u8], key: &KeyId) -> String {
    let bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": key.as_str() }, "tlogEntries": [] },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement),
            "payloadType": PAYLOAD,
            "signatures": [{ "sig": STANDARD.encode(signature), "keyid": "" }],
        },
    });
    format!("{bundle}\n")
}

/// Returns the very bytes that are signed: the pre-authentication encoding of DSSE.
pub(crate) fn encoded(statement: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), statement.len()).into_bytes();
    message.extend_from_slice(statement);
    message
}

/// Reads a bundle. What it says is not to be believed yet.
pub(crate) fn read(bundle: &[u8]) -> Result<Read, Refused> {
    if bundle.len() > BUNDLE_BYTES_MAX {
        return Err(Refused::Malformed(format!(
            "it has more than {BUNDLE_BYTES_MAX} bytes"
        )));
    }
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(|error| unread(&error))?;
    if bundle.media_type != BUNDLE {
        return Err(malformed("it is a bundle of another version"));
    }
    let key = match bundle.verification_material {
        Material {
            public_key: Some(key),
            ..
        } => key,
        Material {
            certificate, chain, ..
        } if certificate.or(chain).is_some() => {
            return Err(malformed("it is by a certificate, and keys alone are trusted"));
        }
        Material { .. } => return Err(malformed("it does not say by which key it is")),
    };
    let Envelope {
        payload,
        payload_type,
        signatures,
    } = bundle.dsse_envelope;
    let [signature] = signatures.as_slice() else {
        return Err(malformed("it has not one signature"));
    };
    if payload_type != PAYLOAD {
        return Err(malformed("what is signed is no in-toto statement"));
    }
    let decoded = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|_not_base64| malformed("a part of it is no base64"))
    };
    let hint = key.hint.map(|hint| {
        let digits = hint.chars().filter(char::is_ascii_hexdigit);
        digits.take(HINT_MAX).collect::<String>()
    });
    Ok(Read {
        statement: decoded(&payload)?,
        signature: decoded(&signature.sig)?,
        hint: hint.filter(|hint| !hint.is_empty()),
    })
}

/// Reads what was signed.
pub(crate) fn manifest(statement: &[u8]) -> Result<Manifest, Refused> {
    let Statement {
        kind,
        subject,
        predicate_type,
        predicate,
    } = serde_json::from_slice(statement).map_err(|error| unread(&error))?;
    if kind != STATEMENT || predicate_type != PREDICATE {
        return Err(malformed("it states something else than what a model is made of"));
    }
    let Serialization { method, hash_type } = predicate.serialization;
    if method != "files" || hash_type != "sha256" {
        return Err(malformed(
            "its files are hashed in another way than whole by SHA-256",
        ));
    }
    let [subject] =
        <[Subject; 1]>::try_from(subject).map_err(|_others| malformed("it has not one subject"))?;
    let hash = |text: &str| {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok().map(|()| hash)
    };
    if !(1..=FILES_MAX).contains(&predicate.resources.len()) {
        return Err(Refused::Malformed(format!(
            "it lists {} files, and 1 to {FILES_MAX} are read",
            predicate.resources.len()
        )));
    }
    let mut files = BTreeMap::new();
    let mut hashes = Vec::new();
    for Resource {
        name,
        algorithm,
        digest,
    } in predicate.resources
    {
        let digest = hash(&digest).filter(|_| algorithm == "sha256");
        let digest = digest.ok_or_else(|| malformed("a file has no SHA-256"))?;
        hashes.push(digest);
        if files.insert(name, digest).is_some() {
            return Err(malformed("it lists a file twice"));
        }
    }
    if hash(&subject.digest.sha256) != Some(root(hashes.iter())) {
        return Err(malformed("its files are not those of its subject"));
    }
    Ok(Manifest {
        name: subject.name,
        files,
    })
}

/// Returns the digest of a subject: that of the digests of its files in their order.
fn root<'a>(hashes: impl Iterator<Item = &'a Hash>) -> Hash {
    let mut root = Sha256::new();
    hashes.for_each(|hash| root.update(hash));
    root.finalize().into()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<Hint>,
    certificate: Option<serde::de::IgnoredAny>,
    #[serde(rename = "x509CertificateChain")]
    chain: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Hint {
    hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: String,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}
