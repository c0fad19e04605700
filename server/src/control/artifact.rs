//! `/models/{model}/{ref}/artifact`: the bytes of a version, verified, in parts where wanted, never all in memory.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use headers::{
    AcceptRanges, ContentLength, ContentRange, ContentType, ETag, HeaderMapExt as _, IfNoneMatch, IfRange,
};
use hyper::StatusCode;
use hyper::header::{HeaderMap, RANGE};
use planner::names::{Digest, ModelName};
use registry::{Reference, Store};
use warp::Reply;
use warp::reply::Response;

use super::models::failure;
use crate::http::reply::Failure;

/// How much is read and sent at a time: with what the connection buffers, a download holds three times that.
const CHUNK_BYTES: u64 = 64 << 10;
/// How many verified artifacts are remembered.
const REMEMBERED_MAX: usize = 1024;

/// Artifacts that were found to be what their record says, by file and stamp: an unchanged file is not hashed again.
#[derive(Debug, Default)]
pub(super) struct Verified {
    stamps: Mutex<BTreeMap<PathBuf, Stamp>>,
    /// Held while one is hashed: many that ask for it at once have it hashed once, and never all cores at it.
    hashing: Mutex<()>,
}

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
    // Through no link, whoever put one there meanwhile.
    let open = || {
        store
            .open_artifact(&entry)
            .map_err(|error| damaged(error.to_string()))
    };
    let file = open()?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    let found = |file| Found {
        file,
        bytes: stamp.bytes,
        digest: entry.digest,
    };
    let is_known = || verified.remembered().get(&path) == Some(&stamp);
    if !is_known() {
        let _hashing = verified.hashing.lock().unwrap_or_else(PoisonError::into_inner);
        if is_known() {
            return Ok(found(file));
        }
        store
            .verify(&entry)
            .map_err(|damage| damaged(damage.to_string()))?;
        let on_disk = open()?.metadata().map_err(unreadable)?;
        if Stamp::of(&on_disk) != stamp {
            return Err(damaged("it changed while it was verified".to_owned()));
        }
        let mut remembered = verified.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(path, stamp);
    }
    Ok(found(file))
}

impl Verified {
    fn remembered(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Stamp>> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers with the artifact, a part of it, or that the client has it already.
pub(super) fn respond(found: Found, headers: &HeaderMap) -> Response {
    let Found { file, bytes, digest } = found;
    let etag: ETag = format!("\"{digest}\"")
        .parse()
        .expect("invariant: a digest in quotes is a strong tag");
    if is_known(headers, &etag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().typed_insert(etag);
        return response;
    }
    let (status, part) = match wanted(headers, &etag, bytes) {
        Wanted::All => (StatusCode::OK, 0..bytes),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Nothing => {
            let failure = Failure::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the artifact has {bytes} bytes: none of them are in the range"),
            );
            let mut response = failure.response();
            response
                .headers_mut()
                .typed_insert(ContentRange::unsatisfied_bytes(bytes));
            return response;
        }
    };
    let length = part.end - part.start;
    let mut response = warp::reply::stream(chunks(file, part.clone())).into_response();
    *response.status_mut() = status;
    let named = response.headers_mut();
    named.typed_insert(etag);
    named.typed_insert(AcceptRanges::bytes());
    named.typed_insert(ContentType::octet_stream());
    named.typed_insert(ContentLength(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = ContentRange::bytes(part, bytes).expect("invariant: a range with an end");
        named.typed_insert(range);
    }
    response
}

/// Returns whether the client has it already. A weak tag names the same bytes: ours are digests.
fn is_known(headers: &HeaderMap, etag: &ETag) -> bool {
    headers
        .typed_get::<IfNoneMatch>()
        .is_some_and(|tags| !tags.precondition_passes(etag))
}

/// Returns what of the artifact is asked for.
fn wanted(headers: &HeaderMap, etag: &ETag, bytes: u64) -> Wanted {
    // A part of another artifact than the client began with would be garbage to it, and so may be one of an unreadable tag.
    let same = match headers.typed_try_get::<IfRange>() {
        Ok(None) => true,
        Ok(Some(began)) => !began.is_modified(Some(etag), None),
        Err(_unreadable) => false,
    };
    headers
        .get(RANGE)
        .filter(|_| same)
        .and_then(|range| range.to_str().ok())
        .map_or(Wanted::All, |range| part(range, bytes))
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

/// Reads one range by hand: `headers` finds no byte in a suffix longer than the file, which asks for all of it.
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

/// Reads a part piece by piece on threads that may block, one piece ahead of what is sent.
fn chunks(file: File, part: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    let file = Arc::new(file);
    let Range { start, end } = part;
    let read = move |from: u64| {
        let file = file.clone();
        let size = end.saturating_sub(from).min(CHUNK_BYTES);
        (size > 0).then(|| tokio::task::spawn_blocking(move || piece(&file, from, size)))
    };
    stream::try_unfold((None, start), move |(ahead, from)| {
        let reading = ahead.or_else(|| read(from));
        let next = from.saturating_add(CHUNK_BYTES).min(end);
        let ahead = read(next);
        async move {
            let Some(reading) = reading else {
                return Ok(None);
            };
            let bytes = reading.await.map_err(io::Error::other)??;
            Ok(Some((bytes, (ahead, next))))
        }
    })
}

fn piece(file: &File, from: u64, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.into())
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

    fn asking(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header's value"));
        headers
    }

    #[test]
    fn a_tag_is_found_in_a_list() {
        let etag = "\"sha256:aa\"".parse().expect("a tag");
        for (tags, expected) in [
            ("\"x\", W/\"sha256:aa\"", true),
            ("*", true),
            ("\"sha256:ab\"", false),
            ("sha256:aa", false),
        ] {
            assert_eq!(
                is_known(&asking("if-none-match", tags), &etag),
                expected,
                "{tags}"
            );
        }
    }

    #[test]
    fn a_part_is_given_to_whoever_began_with_the_same_artifact() {
        let etag = "\"sha256:aa\"".parse().expect("a tag");
        for (began, expected) in [
            ("\"sha256:aa\"", Wanted::Part(10..100)),
            // Only a strong tag promises the same bytes.
            ("W/\"sha256:aa\"", Wanted::All),
            ("\"sha256:ab\"", Wanted::All),
            ("Sat, 29 Oct 1994 19:43:31 GMT", Wanted::All),
            ("sha256:aa", Wanted::All),
        ] {
            let mut headers = asking("if-range", began);
            headers.insert(RANGE, "bytes=10-".parse().expect("a header's value"));
            assert_eq!(wanted(&headers, &etag, 100), expected, "{began}");
        }
    }
}
