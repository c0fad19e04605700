//! `/models/{model}/{ref}/artifact`: the bytes of a version, verified, in parts where wanted, never all in memory.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
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
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use warp::Reply;
use warp::reply::Response;

use super::models::failure;
use crate::http::reply::Failure;

/// How much is read and sent at a time: with what the connection buffers, a download holds three times that. More does not
/// stay in a core's cache on its way.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// Less costs more turns than copying does.
const PIECE_BYTES_MIN: u64 = 64 << 10;
/// What all downloads read at a time, as long as each may read the least.
const PIECES_BYTES: u64 = 6 << 20;
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
pub(super) fn respond(found: Found, headers: &HeaderMap, downloads: &Downloads) -> Response {
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
    let mut response = warp::reply::stream(chunks(file, part.clone(), downloads)).into_response();
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

/// How many artifacts are being sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Downloads(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Download(Downloads);

impl Downloads {
    fn begin(&self) -> Download {
        self.0.fetch_add(1, Relaxed);
        Download(self.clone())
    }

    /// Returns how much one of them reads and sends at a time: one alone goes fast, and all together hold little.
    fn piece_bytes(&self) -> u64 {
        let all = u64::try_from(self.0.load(Relaxed)).unwrap_or(u64::MAX);
        (PIECES_BYTES / all.max(1)).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Reads a part piece by piece on threads that may block, one piece ahead of what is sent.
fn chunks(
    file: File,
    part: Range<u64>,
    downloads: &Downloads,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
    let file = Arc::new(file);
    let download = downloads.begin();
    let read = move |part: &mut Range<u64>| {
        let (file, from) = (file.clone(), part.start);
        let size = (part.end - from).min(download.0.piece_bytes());
        part.start += size;
        (size > 0).then(|| tokio::task::spawn_blocking(move || piece(&file, from, size)))
    };
    stream::try_unfold((None, part), move |(ahead, mut part)| {
        let reading = ahead.or_else(|| read(&mut part));
        let ahead = read(&mut part);
        async move {
            let Some(reading) = reading else {
                return Ok(None);
            };
            let bytes = reading.await.map_err(io::Error::other)??;
            Ok(Some((bytes, (ahead, part))))
        }
    })
}

/// Reads `size` bytes into memory that nobody writes to before.
fn piece(file: &File, from: u64, size: u64) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let at = from + bytes.len() as u64;
        match pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A vector may have room for more than was asked for.
    bytes.truncate(size);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

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
    fn many_downloads_together_hold_little() {
        let downloads = Downloads::default();
        let mut held = Vec::new();
        for (count, each) in [
            (1, 256 << 10),
            (24, 256 << 10),
            (48, 128 << 10),
            (96, 64 << 10),
            (1000, 64 << 10),
        ] {
            held.resize_with(count, || downloads.begin());
            assert_eq!(downloads.piece_bytes(), each, "{count}");
        }
        drop(held);
        assert_eq!(downloads.piece_bytes(), 256 << 10);
    }

    #[tokio::test]
    async fn a_part_is_read_whole_whoever_comes_and_goes_meanwhile() {
        let all: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &all).expect("written");
        let downloads = Downloads::default();
        let mut others = Vec::new();
        for part in [0..4_000_000, 1..2, 300_000..3_999_999, 7..7, 3_999_999..4_000_000] {
            let mut read = Vec::new();
            let mut pieces = Box::pin(chunks(file.reopen().expect("open"), part.clone(), &downloads));
            while let Some(piece) = pieces.next().await {
                read.extend_from_slice(&piece.expect("read"));
                others.resize_with((others.len() + 50) % 120, || downloads.begin());
            }
            let [start, end] = [part.start, part.end].map(|at| usize::try_from(at).expect("small"));
            assert!(read == all[start..end], "{part:?}: {} bytes", read.len());
        }
        // What ends before it should is no artifact.
        let mut cut = Box::pin(chunks(file.reopen().expect("open"), 0..4_000_001, &downloads));
        let mut last = None;
        while let Some(piece) = cut.next().await {
            last = Some(piece.map_err(|error| error.kind()));
        }
        assert_eq!(last, Some(Err(io::ErrorKind::UnexpectedEof)));
        drop((cut, others));
        assert_eq!(downloads.0.load(Relaxed), 0);
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
