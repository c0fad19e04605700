//! What the schema says of the planner's text types: pattern, length, and the words for a person.
//!
//! Each constant pair is what a field's `#[schemars(…)]` names. The pattern is what an API server can check; the
//! type's own parser has the last word.

use planner::endpoint::Url;
use planner::names::{Digest, ModelName, Revision, Version};
use planner::span::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// What a name looks like.
pub(crate) const NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A name in words.
pub(crate) const NAME_WORDS: &str =
    "a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end";

/// What a version looks like.
pub(crate) const VERSION: &str = "^v[0-9]{8}-[0-9]{6}(-([2-9]|[1-9][0-9]{1,8}))?$";
/// A version in words.
pub(crate) const VERSION_WORDS: &str = "a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000";

/// Returns the schema of a list of versions, each there once.
pub(crate) fn versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "title": "a list of at most 100 versions",
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": 32, "pattern": VERSION, "title": VERSION_WORDS },
    })
}

/// The names of [`planner::engine::Engine`], for the schema.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
pub(crate) enum EngineName {
    Aurora,
    OnnxRuntime,
}

/// What a length of time looks like.
pub(crate) const SPAN: &str = "^[1-9][0-9]{0,5}[mhd]$";
/// A length of time in words.
pub(crate) const SPAN_WORDS: &str = "a length of time from 1m to 366d, e.g. 90m, 8h or 14d";

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
/// Where a model is imported from, in words.
pub(crate) const IMPORT_WORDS: &str =
    "the path of a file, or its address: https://, hf://, s3://, gs://, az://, mlflow:// or oci://";
/// Where a signature of what is imported lies, in words.
pub(crate) const SIGNATURE_WORDS: &str =
    "the path of a file, or its address: https://, hf://, s3://, gs:// or az://";
/// A path in words.
pub(crate) const PATH_WORDS: &str = "a path without backslash and control characters";

/// What the path of a file of keys looks like: no part is empty, `.` or `..`.
pub(crate) const KEY_FILE: &str = r"^/?([^/.\\\p{Cc}]|\.[^/.\\\p{Cc}]|\.\.[^/\\\p{Cc}])[^/\\\p{Cc}]*(/([^/.\\\p{Cc}]|\.[^/.\\\p{Cc}]|\.\.[^/\\\p{Cc}])[^/\\\p{Cc}]*)*$";
/// The same in words.
pub(crate) const KEY_FILE_WORDS: &str = "the path of a file, absolute or below the environment's folder, without '.' and '..' parts, backslash and control characters";
/// What an absolute path looks like, as far as its characters go.
pub(crate) const FILE: &str = r"^/[^\\\p{Cc}]+$";
/// An absolute path in words.
pub(crate) const FILE_WORDS: &str = "the absolute path of a file, without backslash and control characters";

/// What a control plane's URL looks like, as far as its characters go.
pub(crate) const URL: &str = "^https?://[-A-Za-z0-9._~:/]+$|^https?://\\[[0-9a-f:.]+\\][-A-Za-z0-9._~:/]*$";
/// A control plane's URL in words.
pub(crate) const URL_WORDS: &str = "a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only";
/// Where somebody is told, as far as its characters go.
pub(crate) const RECEIVER: &str =
    r#"^(https://[!-"$-.0-?A-~]+|http://(localhost|127\.0\.0\.1)(:[0-9]+)?)(/[!-"$-~]*)?$"#;
/// The same in words.
pub(crate) const RECEIVER_WORDS: &str =
    "an address: https://HOST/…, or http://localhost:PORT/… for this machine, without user and fragment";

/// What the name of a file in a given folder looks like.
pub(crate) const FILE_NAME: &str = "^[A-Za-z0-9][-._A-Za-z0-9]*$";
/// The same in words.
pub(crate) const FILE_NAME_WORDS: &str =
    "the name of a file: letters, digits, '-', '_' and '.', and no folder";

/// What one part of a domain looks like, a namespace's name for one.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// The same in words.
pub(crate) const LABEL_WORDS: &str =
    "a name: at most 63 lower-case letters, digits and '-', a letter or digit at each end";

/// What the name of most objects of a cluster looks like.
pub(crate) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The same in words.
pub(crate) const SUBDOMAIN_WORDS: &str =
    "a name: at most 253 lower-case letters, digits, '-' and '.', a letter or digit at each end of each part";

/// What a host looks like.
pub(crate) const HOST: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A host in words.
pub(crate) const HOST_WORDS: &str = "a host, e.g. models.example.org or *.example.org";

/// What the beginning of a URL's path looks like.
pub(crate) const PREFIX: &str = "^/([-A-Za-z0-9_~][-A-Za-z0-9._~]*(/[-A-Za-z0-9_~][-A-Za-z0-9._~]*)*)?$";
/// The beginning of a URL's path in words.
pub(crate) const PREFIX_WORDS: &str = "a path that begins with '/', e.g. / or /wine";

/// What a label is called, if need be after a domain.
pub(crate) const LABEL_NAME: &str =
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// The same in words.
pub(crate) const LABEL_NAME_WORDS: &str = "the name of a label, e.g. gpu or example.org/gpu";

/// What a label's value looks like.
pub(crate) const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// A label's value in words.
pub(crate) const LABEL_VALUE_WORDS: &str =
    "at most 63 letters, digits, '-', '_' and '.', a letter or digit at each end";

/// What a quantity looks like.
pub(crate) const QUANTITY: &str = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$";
/// A quantity in words.
pub(crate) const QUANTITY_WORDS: &str = "a quantity in quotes or with a unit, e.g. 500m, \"2\" or 1.5Gi";

/// What an environment variable is called.
pub(crate) const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// The same in words.
pub(crate) const VARIABLE_WORDS: &str = "the name of an environment variable: letters, digits and '_'";

/// What an image is called, as far as its characters go.
pub(crate) const IMAGE: &str = "^[a-z0-9][-A-Za-z0-9._:/@]*$";
/// The same in words.
pub(crate) const IMAGE_WORDS: &str = "an image, e.g. registry.example.org/team/trainer:1.2";

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
        SPAN => text.parse::<Span>().is_ok(),
        LABEL => text.len() <= 63 && is_label(text),
        SUBDOMAIN => text.split('.').all(is_label),
        HOST => text.strip_prefix("*.").unwrap_or(text).split('.').all(is_label),
        PREFIX => text
            .strip_prefix('/')
            .is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_part_of_path)),
        LABEL_NAME => match text.split_once('/') {
            Some((domain, name)) => is_between(domain, "-.", char::is_lowercase) && is_word(name),
            None => is_word(text),
        },
        LABEL_VALUE => text.is_empty() || is_word(text),
        QUANTITY => is_quantity(text),
        VARIABLE => {
            text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                && !text.is_empty()
                && !text.starts_with(|c: char| c.is_ascii_digit())
        }
        IMAGE => {
            text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._:/@".contains(c))
        }
        KEY_FILE => {
            let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
            parts.all(|part| !matches!(part, "" | "." | "..")) && matches(PATH, text)
        }
        FILE => text.len() > 1 && text.starts_with('/') && !text.chars().any(|c| c.is_control() || c == '\\'),
        URL => text.parse::<Url>().is_ok(),
        RECEIVER => is_receiver(text),
        FILE_NAME => {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
        PATH => !text.is_empty() && !text.chars().any(|c| c.is_control() || c == '\\'),
        _ => true,
    }
}

/// Says whether a text is letters and digits with some of `others` between them; `is_letter` says which letters.
fn is_between(text: &str, others: &str, is_letter: impl Fn(char) -> bool) -> bool {
    let is_end = |c: char| c.is_ascii_digit() || (c.is_ascii() && is_letter(c));
    text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|c| is_end(c) || others.contains(c))
}

fn is_receiver(text: &str) -> bool {
    let authority = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    let is_place = if let Some(rest) = text.strip_prefix("https://") {
        let authority = authority(rest);
        !authority.is_empty() && !authority.contains('@')
    } else if let Some(rest) = text.strip_prefix("http://") {
        let authority = authority(rest);
        let (host, port) = authority.split_once(':').unwrap_or((&authority, "80"));
        let is_port = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
        matches!(host, "localhost" | "127.0.0.1") && is_port
    } else {
        false
    };
    is_place && text.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

fn is_label(text: &str) -> bool {
    is_between(text, "-", char::is_lowercase)
}

fn is_word(text: &str) -> bool {
    is_between(text, "-_.", char::is_alphabetic)
}

fn is_part_of_path(part: &str) -> bool {
    !part.starts_with('.')
        && !part.is_empty()
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}

fn is_quantity(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_number = match number.split_once('.') {
        Some((whole, rest)) => is_digits(whole) && is_digits(rest),
        None => is_digits(number),
    };
    is_number && ["", "m", "k", "Ki", "M", "Mi", "G", "Gi", "T", "Ti"].contains(&unit)
}
