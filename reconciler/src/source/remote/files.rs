//! Files that say what a remote is reached with: small, regular, and, where they hold a secret, this user's alone.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use registry::files::is_exposed;

use super::Fault;

/// The largest such file, in bytes: a bundle of all known authorities has a quarter of it.
const BYTES_MAX: u64 = 1024 * 1024;

/// Whether others may know what a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Public,
}

/// Reads a file whole. Links are followed: a Secret's files are links.
pub(super) fn read(path: &Path, kind: Kind) -> Result<String, Fault> {
    let wrong = |what: String| Fault::File {
        path: path.to_owned(),
        line: None,
        what,
    };
    let failed = |error: io::Error| wrong(format!("cannot be read: {error}"));
    // Before it is opened, for opening a pipe waits; and after, for it may be another one by then.
    check(&std::fs::metadata(path).map_err(failed)?, kind).map_err(wrong)?;
    let file = File::open(path).map_err(failed)?;
    check(&file.metadata().map_err(failed)?, kind).map_err(wrong)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong("is larger than 1 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_bytes| wrong("is no text in UTF-8".to_owned()))
}

fn check(metadata: &Metadata, kind: Kind) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mode = metadata.mode() & 0o7777;
    if kind == Kind::Secret && is_exposed(mode, metadata.uid()) {
        return Err(format!(
            "has mode {mode:04o}: others must not read or write a secret; chmod 600, or 640 where it belongs to root"
        ));
    }
    Ok(())
}
