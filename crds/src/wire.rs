//! What the schema says of the planner's text types: pattern, length, and the words for a person.
//!
//! Each constant pair is what a field's `#[schemars(…)]` names. The pattern is what an API server can check; the
//! type's own parser has the last word.

use planner::names::{Digest, ModelName, Revision, Version};

/// What a name looks like.
pub(crate) const NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A name in words.
pub(crate) const NAME_WORDS: &str =
    "a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end";

/// What a version looks like.
pub(crate) const VERSION: &str = "^v[0-9]{8}-[0-9]{6}(-([2-9]|[1-9][0-9]{1,8}))?$";
/// A version in words.
pub(crate) const VERSION_WORDS: &str = "a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000";

/// What a digest looks like.
pub(crate) const DIGEST: &str = "^sha256:[0-9a-f]{64}$";
/// A digest in words.
pub(crate) const DIGEST_WORDS: &str = "a digest: sha256: and 64 lower-case hex digits";

/// What a dataset's SHA-256 looks like.
pub(crate) const SHA256: &str = "^[0-9a-f]{64}$";
/// A dataset's SHA-256 in words.
pub(crate) const SHA256_WORDS: &str = "a SHA-256: 64 lower-case hex digits";

/// What a Git commit looks like.
pub(crate) const REVISION: &str = "^([0-9a-f]{40}|[0-9a-f]{64})$";
/// A Git commit in words.
pub(crate) const REVISION_WORDS: &str = "a revision: the 40 or 64 hex digits of a commit";

/// What a path looks like, as far as its characters go.
pub(crate) const PATH: &str = r"^[^\\\p{Cc}]+$";
/// Where data is, in words.
pub(crate) const URI_WORDS: &str =
    "builtin:NAME, synthetic:NAME or the path of a CSV file, without backslash and control characters";
/// A path in words.
pub(crate) const PATH_WORDS: &str = "a path without backslash and control characters";

/// The largest seed: every JSON reader keeps it exact.
pub(crate) const SEED_MAX: u64 = 9_007_199_254_740_991;

/// Says whether a text matches one of this module's patterns.
///
/// A text that the schema's pattern refuses is refused here by the type behind it, which says no less.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        NAME => text.parse::<ModelName>().is_ok(),
        VERSION => text.parse::<Version>().is_ok(),
        DIGEST => text.parse::<Digest>().is_ok(),
        SHA256 => Digest::from_hex(text).is_ok(),
        REVISION => text.parse::<Revision>().is_ok(),
        PATH => !text.is_empty() && !text.chars().any(|c| c.is_control() || c == '\\'),
        _ => true,
    }
}
