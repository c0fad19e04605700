//! What can be wrong with a commit's signature, in words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// There is none.
    Unsigned,
    /// No file of keys has the key: its fingerprint.
    UnknownKey(String),
    /// The commit is not what was signed with the key.
    BadSignature(String),
    /// The key was used to sign something else than a commit: for what.
    OtherNamespace(String),
    /// The key may not sign what Git signs.
    NotForGit(String),
    /// The key is allowed, to others than the one who committed.
    OtherPrincipal {
        /// The key's fingerprint.
        key: String,
        /// Whose it is.
        principals: String,
        /// Who committed, by address.
        committer: String,
    },
    /// The key counted from later on than the commit was first seen.
    NotYetValid {
        /// The key's fingerprint.
        key: String,
        /// From when it counts.
        from: Timestamp,
        /// When the commit was first seen.
        seen: Timestamp,
    },
    /// The key, or the signature, counted no more when the commit was first seen.
    Expired {
        /// The key's fingerprint.
        key: String,
        /// Until when it counted, if that is known.
        until: Option<Timestamp>,
        /// When the commit was first seen.
        seen: Timestamp,
    },
    /// The key was revoked.
    Revoked(String),
    /// It is in a form that is not verified here: which.
    Unsupported(String),
    /// It makes no sense: why.
    Malformed(String),
    /// It could not be verified: why.
    Unverifiable(String),
    /// The forge signed a commit that is no merge.
    Squashed,
    /// The forge signed a merge that brings more than merging its parents does.
    OtherMerge,
}

impl Fault {
    /// Says what to do about it, a fragment.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned => {
                "sign it: git commit --amend --no-edit -S (a forge's rebase merge makes commits without a signature: merge with a merge commit)"
            }
            Self::UnknownKey(_) => {
                "if whoever signed may, add the key to the environment's keys in a commit of its own"
            }
            Self::BadSignature(_) | Self::Malformed(_) => {
                "make the commit anew, and take out what changed it after it was signed"
            }
            Self::OtherNamespace(_) => "sign it with git commit -S",
            Self::NotForGit(_) => "add git to the key's namespaces, or sign with another key",
            Self::OtherPrincipal { .. } => {
                "commit with the address of the key's owner, or add the address to the key's principals"
            }
            Self::NotYetValid { .. } | Self::Expired { .. } | Self::Revoked(_) => {
                "sign it with a key that counts"
            }
            Self::Unsupported(_) => {
                "sign it with an SSH key (ed25519, ecdsa p256 or p384, rsa) or an OpenPGP key"
            }
            Self::Unverifiable(_) => "mend that; it is tried again",
            Self::Squashed => {
                "merge with a merge commit, or set commits.forge.squash to Allow if the forge is trusted with content"
            }
            Self::OtherMerge => "merge the branch locally and sign the merge: git merge --no-ff -S",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |time: &Timestamp| time.format("%F %R UTC").to_string();
        match self {
            Self::Unsigned => f.write_str("it is not signed"),
            Self::UnknownKey(key) => write!(f, "it is signed with key {key}, which is not among the allowed ones"),
            Self::BadSignature(key) => {
                write!(f, "its signature is bad: it is not what was signed with key {key}")
            }
            Self::OtherNamespace(namespace) => {
                write!(f, "its signature was made for `{namespace}`, not for git")
            }
            Self::NotForGit(key) => write!(f, "key {key} is not allowed to sign for git"),
            Self::OtherPrincipal {
                key,
                principals,
                committer,
            } => write!(
                f,
                "key {key} belongs to {principals}, and the committer is {committer}"
            ),
            Self::NotYetValid { key, from, seen } => write!(
                f,
                "key {key} counts from {}, and the commit was first seen here at {}",
                day(from),
                day(seen)
            ),
            Self::Expired {
                key,
                until: Some(until),
                seen,
            } => write!(
                f,
                "key {key} expired at {}, before the commit was first seen here at {}",
                day(until),
                day(seen)
            ),
            Self::Expired {
                key,
                until: None,
                seen,
            } => write!(
                f,
                "key {key}, or what was signed with it, expired before the commit was first seen here at {}",
                day(seen)
            ),
            Self::Revoked(key) => write!(f, "key {key} was revoked"),
            Self::Unsupported(what) => {
                write!(f, "it is signed, with {what}, which Aurora does not verify")
            }
            Self::Malformed(why) => write!(f, "its signature makes no sense: {why}"),
            Self::Unverifiable(why) => write!(f, "its signature could not be verified: {why}"),
            Self::Squashed => {
                f.write_str("the forge signed it, and it is no merge: nobody else signed what it says")
            }
            Self::OtherMerge => f.write_str(
                "the forge signed it, and it says something else of the folder than a merge of its parents does",
            ),
        }
    }
}
