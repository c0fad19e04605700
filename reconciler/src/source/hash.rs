//! The name of a Git object, apart from the library that reads it.

use std::fmt;
use std::str::FromStr;

use planner::names::Revision;
use serde::{Deserialize, Serialize};

/// The SHA-1 that names a commit, a tree or a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitHash([u8; 20]);

/// A text that names no Git object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a Git object: 40 hex digits")]
pub struct NoHash(String);

impl GitHash {
    /// Returns the commit's name, if a revision is one of SHA-1.
    pub(crate) fn of(revision: &Revision) -> Result<Self, NoHash> {
        revision.as_str().parse()
    }

    pub(crate) fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    pub(crate) fn revision(self) -> Revision {
        self.to_string()
            .parse()
            .expect("invariant: a Git object's name is printed as 40 hex digits")
    }
}

impl fmt::Display for GitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let malformed = || NoHash(text.chars().take(64).collect());
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if text.len() != 40 {
            return Err(malformed());
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] =
                [digit(pair[0]), digit(pair[1])].map(|digit| digit.and_then(|it| u8::try_from(it).ok()));
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(malformed)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for GitHash {
    type Error = NoHash;

    fn try_from(text: String) -> Result<Self, NoHash> {
        text.parse()
    }
}

impl From<GitHash> for String {
    fn from(hash: GitHash) -> Self {
        // One list has a hundred thousand of them.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Self::with_capacity(40);
        for byte in hash.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        let hash: GitHash = text.parse().unwrap();
        assert_eq!(
            (hash.to_string(), String::from(hash)),
            (text.to_owned(), text.to_owned())
        );
        for wrong in [
            "",
            "0123",
            "0123456789abcdef0123456789abcdef0123456g",
            "éééééééééééééééééééé",
        ] {
            assert!(wrong.parse::<GitHash>().is_err(), "{wrong}");
        }
    }
}
