//! Who may read a file that holds a secret, and reading it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const OTHERS: u32 = 0o007;
const GROUP_WRITE: u32 = 0o020;
const GROUP: u32 = 0o070;

/// Says, of a secret's file, whether somebody may read or write it who should not. The group may read what root gave it:
/// that is how a Secret with `defaultMode: 0440` and an `fsGroup` reaches a process.
pub fn is_exposed(mode: u32, owner: u32) -> bool {
    let refused = if owner == 0 {
        OTHERS | GROUP_WRITE
    } else {
        OTHERS | GROUP
    };
    mode & refused != 0
}

/// Why a file that holds a secret cannot be used, in words that follow its path.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is missing, or cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is not what it should be.
    #[error("{0}")]
    Unusable(String),
}

/// Returns the text of a file that holds a secret and that nobody else reads, of at most `bytes_max` bytes.
pub fn read_secret(path: &Path, bytes_max: u64) -> Result<String, SecretError> {
    // Before it is opened, for opening a pipe waits; and after, for it may be another one by then.
    check(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    check(&file.metadata()?)?;
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(SecretError::Unusable(format!("is larger than {bytes_max} bytes")));
    }
    Ok(text)
}

fn check(metadata: &Metadata) -> Result<(), SecretError> {
    if !metadata.is_file() {
        return Err(SecretError::Unusable("is no regular file".to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if is_exposed(mode, metadata.uid()) {
        return Err(SecretError::Unusable(format!(
            "has mode {mode:04o}: others must not read or write it; chmod 600, or 640 where it belongs to root"
        )));
    }
    Ok(())
}
