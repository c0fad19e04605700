//! Files that hold one secret.

use std::path::Path;

use registry::files::read_secret;

/// The largest such file, in bytes.
const BYTES_MAX: u64 = 4096;

/// Returns the secret: the one line that the file has. Fails with words that name the file and not what it holds.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let text = read_secret(path, BYTES_MAX).map_err(|error| format!("{} {error}", path.display()))?;
    let secret = text.trim();
    if secret.is_empty() || secret.contains(char::is_control) {
        return Err(format!("{} does not hold one secret on one line", path.display()));
    }
    Ok(secret.to_owned())
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
        check(&"s3cret".repeat(1000), 0o600, Err("larger than 4096 bytes"));
        check("s3cret", 0o606, Err("chmod 600"));
        let error = super::read(folder.path()).unwrap_err();
        assert!(error.contains("no regular file"), "{error}");
    }
}
