//! What of a version is signed, and its signatures, as a control plane hands it to whoever loads it: `…/signatures`.
//!
//! Whoever reads it believes nothing of it: keys, and the digest that was pinned, say what it is worth.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry::{CHECKSUMS_BYTES_MAX, METADATA_BYTES_MAX, SIGNATURES_BYTES_MAX, Signed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most that an answer has: what its parts have in base64, and their names.
pub(crate) const ANSWER_BYTES_MAX: u64 =
    (CHECKSUMS_BYTES_MAX + METADATA_BYTES_MAX + SIGNATURES_BYTES_MAX as u64) / 3 * 4 + (256 << 10);

/// Files of a version and the signatures beside it, each in base64.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SignedVersion {
    /// What the file `checksums` holds: the digest of each other file.
    checksums: String,
    /// What the file `metadata.json` holds.
    metadata: String,
    /// The signatures (OpenSSF Model Signing), by the names of their files without `.json`: at most 100, and 2 MiB.
    signatures: BTreeMap<String, String>,
}

impl From<Signed> for SignedVersion {
    fn from(signed: Signed) -> Self {
        let Signed {
            checksums,
            metadata,
            signatures,
        } = signed;
        let signatures = signatures.into_iter();
        Self {
            checksums: STANDARD.encode(checksums),
            metadata: STANDARD.encode(metadata),
            signatures: signatures
                .map(|(name, bundle)| (name, STANDARD.encode(bundle)))
                .collect(),
        }
    }
}

impl SignedVersion {
    /// Reads an answer.
    pub(crate) fn read(bytes: &[u8]) -> Result<Signed, String> {
        let Self {
            checksums,
            metadata,
            signatures,
        } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let decoded = |text: String| {
            let decoded = STANDARD.decode(text);
            decoded.map_err(|_error| "a part of it is no base64".to_owned())
        };
        let signatures = signatures.into_iter();
        Ok(Signed {
            checksums: decoded(checksums)?,
            metadata: decoded(metadata)?,
            signatures: signatures
                .map(|(name, bundle)| Ok((name, decoded(bundle)?)))
                .collect::<Result<_, String>>()?,
        })
    }

    /// Writes what is kept of an answer.
    pub(crate) fn write(signed: Signed) -> Vec<u8> {
        serde_json::to_vec(&Self::from(signed)).expect("invariant: texts have text keys and cannot fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_no_answer_is_told() {
        let signed = Signed {
            checksums: vec![0xff, 0],
            metadata: b"{}".to_vec(),
            signatures: BTreeMap::from([("a".to_owned(), vec![1, 2, 3, 4])]),
        };
        let written = SignedVersion::write(signed.clone());
        assert_eq!(SignedVersion::read(&written), Ok(signed));
        let largest = Signed {
            checksums: vec![0; usize::try_from(CHECKSUMS_BYTES_MAX).unwrap()],
            metadata: vec![0; usize::try_from(METADATA_BYTES_MAX).unwrap()],
            signatures: (0..100)
                .map(|at| (format!("{at:0>250}"), vec![0; SIGNATURES_BYTES_MAX / 100]))
                .collect(),
        };
        assert!(SignedVersion::write(largest).len() as u64 <= ANSWER_BYTES_MAX);
        for (text, told) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            (
                r#"{"checksums":"","metadata":""}"#,
                "missing field `signatures` at line 1 column 30",
            ),
            (
                r#"{"checksums":"","metadata":"","signatures":{"a":"%"}}"#,
                "a part of it is no base64",
            ),
        ] {
            assert_eq!(SignedVersion::read(text.as_bytes()), Err(told.to_owned()));
        }
    }
}
