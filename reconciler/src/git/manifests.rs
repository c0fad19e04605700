//! The content of manifests.

use super::repository::{Opened, oid};
use super::{Failure, Output};
use crate::source::hash::GitHash;
use crate::source::protocol::{write_content, write_surplus, write_too_large};

/// Reads files one after the other, and says of those that are too large that they are.
pub(super) fn read(
    opened: &Opened,
    files: &[GitHash],
    file_bytes_max: u64,
    bytes_max: u64,
    output: &mut Output,
) -> Result<(), Failure> {
    let unreadable = |error: &git2::Error| opened.unreadable("a manifest", error);
    let objects = opened.repository.odb().map_err(|error| unreadable(&error))?;
    let mut total = 0_u64;
    for file in files {
        let id = oid(*file);
        let bytes = if let Some(bytes) = opened.oversized.get(&id) {
            *bytes
        } else {
            let (bytes, _kind) = objects.read_header(id).map_err(|error| unreadable(&error))?;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        if bytes > file_bytes_max {
            write_too_large(output, bytes)?;
        } else if total + bytes > bytes_max {
            write_surplus(output)?;
        } else {
            total += bytes;
            // Not by way of the cache: a manifest is mostly read once.
            let object = objects.read(id).map_err(|error| unreadable(&error))?;
            if object.kind() != git2::ObjectType::Blob {
                return Err(opened
                    .unreadable("a manifest", &git2::Error::from_str("its object is no file"))
                    .into());
            }
            write_content(output, object.data())?;
        }
    }
    Ok(())
}
