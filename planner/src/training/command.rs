//! A program of the commit that makes a model on one machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{Digest, Malformed};
use crate::shown::escape;

/// A program that is given the rows that a fit may see, in a folder with its files, and writes a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments. Not empty.
    pub argv: Vec<String>,
    /// What of the commit it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<CommandFile>,
}

/// As a plan names it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("command")?;
        self.argv
            .iter()
            .try_for_each(|word| write!(f, " {}", escape(word)))
    }
}

/// A file of the commit that a command is made of: `PATH`, or `PATH@sha256:HEX` once its digest is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandFile {
    /// Relative to the manifest's folder, and to the folder that the command runs in. No part is empty, `.` or `..`.
    pub path: String,
    /// Its digest; resolved by the reconciler.
    pub sha256: Option<Digest>,
}

impl FromStr for CommandFile {
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
impl fmt::Display for CommandFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.sha256 {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for CommandFile {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<CommandFile> for String {
    fn from(file: CommandFile) -> Self {
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
            let file: CommandFile = text.parse().unwrap();
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
            assert!(text.parse::<CommandFile>().is_err(), "{text:?}");
        }
    }
}
