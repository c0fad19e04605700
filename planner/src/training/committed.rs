//! A file of the commit by its path, with its digest once that is known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{Digest, Malformed};

/// A file of the commit that a run needs: `PATH`, or `PATH@sha256:HEX` once its digest is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommittedFile {
    /// Relative to the manifest's folder, and of a command's to the folder that it runs in. No part is empty, `.` or `..`.
    pub path: String,
    /// Its digest; resolved by the reconciler.
    pub sha256: Option<Digest>,
}

impl FromStr for CommittedFile {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || {
            Malformed::new(
                text,
                "a file of the commit: a relative path without empty, '.' and '..' parts",
            )
        };
        let (path, sha256) = match text.rsplit_once("@sha256:") {
            Some((path, digits)) => (
                path,
                Some(Digest::from_hex(digits).map_err(|_theirs| malformed())?),
            ),
            None => (text, None),
        };
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        if path.split('/').all(is_part) {
            Ok(Self {
                path: path.to_owned(),
                sha256,
            })
        } else {
            Err(malformed())
        }
    }
}

/// As a manifest gives it.
impl fmt::Display for CommittedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.sha256 {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for CommittedFile {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<CommittedFile> for String {
    fn from(file: CommittedFile) -> Self {
        file.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_path_below_the_manifest_with_or_without_its_digest() {
        let digest = Digest::of(b"train");
        for text in [
            "train.py".to_owned(),
            "lib/a b.py".to_owned(),
            "me@home.py".to_owned(),
            format!("train.py@{digest}"),
        ] {
            let file: CommittedFile = text.parse().unwrap();
            assert_eq!(file.to_string(), text);
            assert_eq!(file.sha256.is_some(), text.contains("sha256"));
        }
        for text in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            "a\nb",
            "train.py@sha256:0",
            "@sha256:",
        ] {
            assert!(text.parse::<CommittedFile>().is_err(), "{text:?}");
        }
    }
}
