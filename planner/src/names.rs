//! The words everything else is made of: names, versions, digests, weights.
//!
//! Each type can only be built from text or numbers that are valid, so nothing behind the edge checks them again.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The longest name: a Job's name carries name and version, and 63 characters is Kubernetes' limit.
pub const NAME_LENGTH_MAX: usize = 40;

/// Says why a text is not the name, version, digest or weight that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not {expected}")]
pub struct Malformed {
    /// What was given, cut to 80 characters.
    pub got: String,
    /// What it should look like, as a noun phrase.
    pub expected: &'static str,
}

impl Malformed {
    pub(crate) fn new(got: &str, expected: &'static str) -> Self {
        Self {
            got: got.chars().take(80).collect(),
            expected,
        }
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= NAME_LENGTH_MAX
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Gives a text newtype its constructor from text, its display and its serde form.
macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }
    };
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                if is_name(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(Malformed::new(
                        text,
                        "a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end",
                    ))
                }
            }
        }

        text_type!($name);
    };
}

name_type! {
    /// The name of a registered model.
    ModelName
}
name_type! {
    /// The `metadata.name` of an object.
    ObjectName
}
name_type! {
    /// The name of an environment: its folder below `environments/`.
    EnvironmentName
}

/// An immutable model version, `vYYYYMMDD-HHMMSS` (UTC), with `-N` on collision.
///
/// Orders by time, then by `N`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    time: NaiveDateTime,
    collision: u32,
}

impl Version {
    /// Returns the version that a run created at `time` gets, `taken` being those that exist.
    pub fn at(time: Timestamp, taken: impl Fn(&Self) -> bool) -> Self {
        let time = time.naive_utc();
        let time = chrono::Timelike::with_nanosecond(&time, 0).unwrap_or(time);
        let mut version = Self { time, collision: 0 };
        while taken(&version) {
            version.collision = if version.collision == 0 {
                2
            } else {
                version.collision + 1
            };
        }
        version
    }

    /// Returns the second that the version is named after.
    pub fn time(&self) -> Timestamp {
        self.time.and_utc()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.time.format("%Y%m%d-%H%M%S"))?;
        match self.collision {
            0 => Ok(()),
            n => write!(f, "-{n}"),
        }
    }
}

impl FromStr for Version {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, "a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000");
        let rest = text
            .strip_prefix('v')
            .filter(|rest| rest.is_ascii())
            .ok_or_else(malformed)?;
        if rest.len() < 15 {
            return Err(malformed());
        }
        let (stamp, suffix) = rest.split_at(15);
        let time = NaiveDateTime::parse_from_str(stamp, "%Y%m%d-%H%M%S").map_err(|_ignored| malformed())?;
        // Second 60 is a leap second to the parser. No clock that names versions shows one.
        if chrono::Timelike::nanosecond(&time) != 0 {
            return Err(malformed());
        }
        let collision = match suffix.strip_prefix('-') {
            None => 0,
            Some(digits) => digits.parse().ok().filter(|n| *n >= 2).ok_or_else(malformed)?,
        };
        let version = Self { time, collision };
        // Invariant: one text per version, so that a version is also a file name. Whatever else stood behind the stamp
        // is not in this text.
        if version.to_string() == text {
            Ok(version)
        } else {
            Err(malformed())
        }
    }
}

impl TryFrom<String> for Version {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// The digest of a file, `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes of a SHA-256.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hex digits without the `sha256:` in front.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Parses 64 hex digits without a prefix: the form of `dataset.sha256`.
    pub fn from_hex(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, "a SHA-256: 64 lower-case hex digits");
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(malformed());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_ignored| malformed())?;
        Ok(Self(bytes))
    }

    /// Returns the first 12 hex digits: enough to recognise a digest in a line of text.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.strip_prefix("sha256:")
            .and_then(|digits| Self::from_hex(digits).ok())
            .ok_or_else(|| Malformed::new(text, "a digest: sha256: and 64 lower-case hex digits"))
    }
}

impl TryFrom<String> for Digest {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A Git commit of the desired-state repository: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(Box<str>);

impl Revision {
    /// Returns the first 10 hex digits, as Git shows a commit to a person.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for Revision {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed::new(
                text,
                "a revision: the 40 or 64 hex digits of a commit",
            ))
        }
    }
}

text_type!(Revision);

/// Percent of requests that go to the canary, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No request.
    pub const ZERO: Self = Self(0);
    /// Every request.
    pub const FULL: Self = Self(100);

    /// Returns the percent, 0 to 100.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<u64> for Weight {
    type Error = Malformed;

    fn try_from(percent: u64) -> Result<Self, Malformed> {
        u8::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .map(Self)
            .ok_or_else(|| Malformed::new(&percent.to_string(), "a weight: a whole percent from 0 to 100"))
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// What answers a request: each track has an alias of the same name in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// The version that customers are meant to see.
    Stable,
    /// The version that is being tried on a part of the traffic.
    Canary,
}

impl Track {
    /// Both tracks, stable first.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// Returns `stable` or `canary`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Track {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "stable" => Ok(Self::Stable),
            "canary" => Ok(Self::Canary),
            _ => Err(Malformed::new(text, "a track: stable or canary")),
        }
    }
}
