//! `/models/{model}/{ref}/artifact`: the bytes of a version, verified, in parts where wanted, never all in memory.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use planner::names::{Digest, ModelName};
use registry::{Reference, Store};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use warp::Reply;
use warp::reply::Response;

use super::models::failure;
use crate::http::reply::Failure;

/// How much is read and sent at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// How many verified artifacts are remembered.
const REMEMBERED_MAX: usize = 1024;

/// Artifacts that were found to be what their record says, by file and stamp: an unchanged file is not hashed again.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<BTreeMap<PathBuf, Stamp>>);

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An open artifact.
#[derive(Debug)]
pub(super) struct Found {
    file: File,
    bytes: u64,
    digest: Digest,
}

/// Opens a version's artifact once it is known to be what its record says; fails closed.
pub(super) fn find(
    store: &Store,
    verified: &Verified,
    model: &ModelName,
    reference: &Reference,
) -> Result<Found, Failure> {
    let entry = store.resolve(model, reference).map_err(failure)?;
    let path = entry.dir.join(&entry.metadata.artifact.file);
    let unreadable = |error: io::Error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "failed to open an artifact"
        );
        Failure::internal("the artifact cannot be read".to_owned())
    };
    let damaged = |damage: String| {
        tracing::warn!(
            model = model.as_str(),
            damage,
            "refused to hand out a damaged artifact"
        );
        Failure::internal(format!(
            "{model} {} is damaged and is not handed out",
            entry.version
        ))
    };
    let file = File::open(&path).map_err(unreadable)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    if verified.remembered().get(&path) != Some(&stamp) {
        store
            .verify(&entry)
            .map_err(|damage| damaged(damage.to_string()))?;
        let on_disk = std::fs::symlink_metadata(&path).map_err(unreadable)?;
        if !on_disk.is_file() || Stamp::of(&on_disk) != stamp {
            return Err(damaged("it changed while it was verified".to_owned()));
        }
        let mut remembered = verified.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(path, stamp);
    }
    Ok(Found {
        file,
        bytes: stamp.bytes,
        digest: entry.digest,
    })
}

impl Verified {
    fn remembered(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers with the artifact, a part of it, or that the client has it already.
pub(super) async fn respond(found: Found, headers: &HeaderMap) -> Result<Response, Failure> {
    let Found { file, bytes, digest } = found;
    let etag = format!("\"{digest}\"");
    if text(headers, IF_NONE_MATCH).is_some_and(|tags| matches(tags, &etag)) {
        return Ok(with(
            StatusCode::NOT_MODIFIED,
            Response::default(),
            &[(ETAG, etag)],
        ));
    }
    // A part of another artifact than the client began with would be garbage to it.
    let same = text(headers, IF_RANGE).is_none_or(|tag| tag == etag);
    let wanted = text(headers, RANGE)
        .filter(|_| same)
        .map(|range| part(range, bytes));
    let (status, part) = match wanted {
        None | Some(Wanted::All) => (StatusCode::OK, 0..bytes),
        Some(Wanted::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        Some(Wanted::Nothing) => {
            let failure = Failure::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the artifact has {bytes} bytes: none of them are in the range"),
            );
            let range = format!("bytes */{bytes}");
            return Ok(with(
                failure.status,
                failure.response(),
                &[(CONTENT_RANGE, range)],
            ));
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(part.start))
        .await
        .map_err(|error| Failure::internal(format!("failed to read the artifact: {error}")))?;
    let length = part.end - part.start;
    let body = warp::reply::stream(chunks(file, length)).into_response();
    let mut named = vec![
        (ETAG, etag),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{bytes}", part.start, part.end - 1);
        named.push((CONTENT_RANGE, range));
    }
    Ok(with(status, body, &named))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns whether a list of tags has this one. A weak tag names the same bytes: ours are digests.
fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn with(status: StatusCode, mut response: Response, headers: &[(HeaderName, String)]) -> Response {
    *response.status_mut() = status;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("invariant: digests and numbers are visible ASCII");
        response.headers_mut().insert(name, value);
    }
    response
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// Everything: several ranges, or a unit or form that is not ours, may be answered whole.
    All,
    Part(Range<u64>),
    /// Bytes that there are not.
    Nothing,
}

fn part(range: &str, bytes: u64) -> Wanted {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(bytes)),
        (Ok(first), Err(_)) if last.is_empty() => (first, bytes),
        (Err(_), Ok(suffix)) if first.is_empty() => (bytes.saturating_sub(suffix), bytes),
        _ => return Wanted::All,
    };
    if start < end {
        Wanted::Part(start..end)
    } else {
        Wanted::Nothing
    }
}

fn chunks(file: tokio::fs::File, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; size];
        file.read_exact(&mut chunk).await?;
        Ok(Some((Bytes::from(chunk), (file, left - size as u64))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_artifact() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-200", Wanted::Part(90..100)),
            ("bytes=99-", Wanted::Part(99..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Nothing),
            ("bytes=9-3", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes=", Wanted::All),
        ] {
            assert_eq!(part(range, 100), expected, "{range}");
        }
    }

    #[test]
    fn a_tag_is_found_in_a_list() {
        let etag = "\"sha256:aa\"";
        assert!(matches("\"x\", W/\"sha256:aa\"", etag));
        assert!(matches("*", etag));
        assert!(!matches("\"sha256:ab\"", etag));
    }
}
