//! Whose signature a process that serves one version holds it to: a file that others write, read anew before each load.
//!
//! ```text
//! no file ── nobody's; a file that cannot be gone by ── nothing is loaded; else: what was signed ── keys ── record
//! ```

use std::io::ErrorKind;
use std::path::Path;

use planner::commits::Verify;
use planner::trust::Trust;
use registry::metadata::VersionMetadata;
use registry::{Held, Signed};
use tokio::io::AsyncReadExt as _;

use super::error::FetchError;
use super::{Fetched, Pinned};

/// The most that the file has: what a ConfigMap holds.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a version that was kept is worth.
#[derive(Debug)]
pub(super) enum Worth {
    /// It may be loaded.
    All(Box<Fetched>),
    /// Its artifact is what was pinned, and who signed it has to be asked.
    Artifact(Vec<u8>),
}

/// Reads what versions are held to; nothing where there is no such file, or it says so.
pub(super) async fn read(file: &Path) -> Result<Option<Trust>, FetchError> {
    let unusable = |why: &dyn std::fmt::Display| FetchError::Trust(format!("{}: {why}", file.display()));
    let opened = match tokio::fs::File::open(file).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&error)),
    };
    let mut text = Vec::new();
    let mut bounded = opened.take(FILE_BYTES_MAX + 1);
    bounded
        .read_to_end(&mut text)
        .await
        .map_err(|error| unusable(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(&format_args!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let trust: Trust = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
    Ok((trust.verify != Verify::Off).then_some(trust))
}

/// Says what a version that was kept is worth by what it is held to now, where that can be read.
pub(super) fn hold_kept(trust: Result<Option<&Trust>, &FetchError>, of: Pinned<'_>, kept: Fetched) -> Worth {
    let trust = match trust {
        Ok(Some(trust)) => trust,
        Ok(None) => return Worth::All(Box::new(kept)),
        Err(_unread) => return Worth::Artifact(kept.bytes),
    };
    let signed = kept.signed.clone().ok_or_else(|| {
        let Pinned { model, version, .. } = of;
        FetchError::Untrusted(format!("{model} {version} was kept without its signatures"))
    });
    match hold(trust, of, signed) {
        Ok(record) => Worth::All(Box::new(Fetched {
            metadata: record.unwrap_or(kept.metadata),
            ..kept
        })),
        Err(_not_so) => Worth::Artifact(kept.bytes),
    }
}

/// Holds a version to somebody's signature by what came of it. Returns its record as it was signed; nothing where nobody who is
/// trusted signed it, and it is loaded all the same.
pub(super) fn hold(
    trust: &Trust,
    of: Pinned<'_>,
    signed: Result<Signed, FetchError>,
) -> Result<Option<VersionMetadata>, FetchError> {
    let Pinned {
        model,
        version,
        digest,
    } = of;
    let held = signed.and_then(|signed| {
        let read = signed.read(model, version, trust);
        read.map_err(|damage| {
            FetchError::Untrusted(format!("{model} {version} is not to be trusted: {damage}"))
        })
    });
    let why = match held {
        Ok((metadata, Held::Trusted)) => {
            let got = metadata.artifact.digest;
            return if got == digest {
                Ok(Some(metadata))
            } else {
                Err(FetchError::OtherDigest {
                    model: model.clone(),
                    version: version.clone(),
                    got,
                    pinned: digest,
                })
            };
        }
        Ok((_, Held::Told(why) | Held::Refused(why))) => FetchError::Untrusted(why.to_string()),
        Err(error) => error,
    };
    match trust.verify {
        Verify::Require => Err(why),
        Verify::Warn | Verify::Off => {
            tracing::warn!(
                why = &why as &dyn std::error::Error,
                "a version that is loaded is not signed by anybody who is trusted"
            );
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn no_file_demands_nothing_and_one_that_cannot_be_gone_by_lets_nothing_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trust.json");
        let said = async || match read(&file).await {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(trust)) => format!("{} {} keys", trust.verify.as_str(), trust.keys.len()),
            Err(error) => error.to_string().replace(&file.display().to_string(), "FILE"),
        };
        assert_eq!(said().await, "nothing");
        for (content, expected) in [
            (r#"{"verify":"Off","keys":[]}"#, "nothing"),
            (r#"{"verify":"Warn","keys":["a"]}"#, "Warn 1 keys"),
            (r#"{"verify":"Require","keys":[]}"#, "Require 0 keys"),
            (
                "",
                "what versions are held to cannot be read: FILE: EOF while parsing a value at line 1 column 0",
            ),
            (
                r#"{"keys":[]}"#,
                "what versions are held to cannot be read: FILE: missing field `verify` at line 1 column 11",
            ),
            (
                r#"{"verify":"Perhaps","keys":[]}"#,
                "what versions are held to cannot be read: FILE: unknown variant `Perhaps`, expected one of `Off`, `Warn`, `Require` at line 1 column 19",
            ),
        ] {
            fs::write(&file, content).unwrap();
            assert_eq!(said().await, expected, "{content}");
        }
        fs::write(&file, vec![b' '; 1 + (1 << 20)]).unwrap();
        assert!(said().await.ends_with("it has more than 1048576 bytes"));
        // A link that leads to nothing is no file; what is no file is not gone by.
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(said().await.contains("Is a directory"));
    }
}
