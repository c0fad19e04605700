//! Files that hold one secret.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use registry::files::is_exposed;

/// The largest such file, in bytes.
const BYTES_MAX: u64 = 4096;

/// Returns the secret: the one line that the file has. Fails with words that name the file and not what it holds.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let unusable = |why: &str| format!("{} {why}", path.display());
    let failed = |error: std::io::Error| unusable(&format!("cannot be read: {error}"));
    // Before it is opened, for opening a pipe waits; and after, for it may be another one by then.
    check(&std::fs::metadata(path).map_err(failed)?).map_err(|why| unusable(&why))?;
    let file = File::open(path).map_err(failed)?;
    check(&file.metadata().map_err(failed)?).map_err(|why| unusable(&why))?;
    let mut text = String::new();
    file.take(BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let secret = text.trim();
    if text.len() as u64 > BYTES_MAX || secret.is_empty() || secret.contains(char::is_control) {
        return Err(unusable("does not hold one secret on one line"));
    }
    Ok(secret.to_owned())
}

fn check(metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mode = metadata.mode() & 0o7777;
    if is_exposed(mode, metadata.uid()) {
        return Err(format!(
            "has mode {mode:04o}: others must not read or write it; chmod 600, or 640 where it belongs to root"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_one_line_that_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let check = |content: &str, mode: u32, expected: Result<&str, &str>| {
            let file = folder.path().join("secret");
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = super::read(&file);
            match expected {
                Ok(secret) => assert_eq!(read.as_deref(), Ok(secret)),
                Err(words) => {
                    let error = read.unwrap_err();
                    assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
                }
            }
        };
        check(" s3cret\n", 0o600, Ok("s3cret"));
        check("s3cret\nmore\n", 0o600, Err("one line"));
        check("\n", 0o600, Err("one line"));
        check(&"s3cret".repeat(1000), 0o600, Err("one line"));
        check("s3cret", 0o606, Err("chmod 600"));
        let error = super::read(folder.path()).unwrap_err();
        assert!(error.contains("no regular file"), "{error}");
    }
}
