use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use expect_test::{Expect, expect};
use registry::files::is_exposed;

use super::file::repeated;
use super::*;

/// Longer than what is known may be old.
const OLD: Duration = Duration::from_millis(10);
/// Only waited for when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn key(name: &str) -> (String, String) {
    generate(name).expect("randomness")
}

fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.append(*name, value.parse().expect("a header's value"));
    }
    headers
}

/// Asks with a key once what was known before is old.
async fn later(keys: &Keys, key: &str) -> Result<(), Refused> {
    tokio::time::sleep(OLD).await;
    keys.admit(&headers(&[(KEY_HEADER, key)])).await
}

#[tokio::test]
async fn a_generated_key_passes_and_others_do_not() {
    let (key, line) = key("ci");
    assert!(line.starts_with("ci:"));
    assert!(!line.contains(&key));
    let keys = Keys::from_file(file(&format!("# who\r\n\n{line} # comment\n")).path()).expect("read");
    let long = "x".repeat(10_000);
    let bearer = format!("Bearer {key}");
    let lower = format!("bearer  {key} ");
    let basic = format!("Basic {key}");
    let padded = format!("Bearer{key}");
    let half = &key[1..];
    let unknown = Err(Refused::Unknown);
    for (given, expected) in [
        (&[(KEY_HEADER, key.as_str())][..], Ok(())),
        (&[("authorization", &bearer)], Ok(())),
        (&[("authorization", &lower)], Ok(())),
        (&[], Err(Refused::Missing)),
        (&[("authorization", &basic)], Err(Refused::Missing)),
        (&[("authorization", &padded)], Err(Refused::Missing)),
        (&[("authorization", "Bearer")], Err(Refused::Missing)),
        (&[("authorization", "Bearer ")], unknown),
        (&[(KEY_HEADER, "")], unknown),
        (&[(KEY_HEADER, half)], unknown),
        (&[(KEY_HEADER, &long)], unknown),
        // Where both are given, the header that is only ours decides: a mesh may send a token of its own.
        (&[(KEY_HEADER, &key), ("authorization", "Bearer other")], Ok(())),
        (&[(KEY_HEADER, "other"), ("authorization", &bearer)], unknown),
        (&[(KEY_HEADER, &key), (KEY_HEADER, &key)], Err(Refused::Several)),
        (
            &[("authorization", &bearer), ("authorization", &basic)],
            Err(Refused::Several),
        ),
    ] {
        assert_eq!(keys.admit(&headers(given)).await, expected, "{given:?}");
    }
    assert_eq!(Keys::none().admit(&headers(&[])).await, Ok(()));
}

#[tokio::test]
async fn a_line_that_is_gone_no_longer_works_and_a_broken_file_lets_nobody_in() {
    let ((first, a), (second, b)) = (key("a"), key("b"));
    let file = file(&format!("{a}\n{b}\n"));
    let keys = Keys::from_file(file.path()).expect("read");
    let write = |text: &str| std::fs::write(file.path(), text).expect("written");
    let closed = Err(Refused::Closed);
    assert_eq!(later(&keys, &first).await, Ok(()));
    write(&b);
    assert_eq!(later(&keys, &first).await, Err(Refused::Unknown));
    assert_eq!(later(&keys, &second).await, Ok(()));
    for broken in ["", "nonsense\n", &format!("{b}\nnonsense"), "\u{1b}[2J", "a:\n"] {
        write(broken);
        assert_eq!(later(&keys, &second).await, closed, "{broken:?}");
        write(&b);
        assert_eq!(later(&keys, &second).await, Ok(()), "after {broken:?}");
    }
    std::fs::remove_file(file.path()).expect("removed");
    assert_eq!(later(&keys, &second).await, closed);
    assert_eq!(later(&keys, "").await, closed);
}

#[tokio::test]
async fn a_rotation_of_equal_size_and_time_is_seen() {
    let ((old, a), (new, b)) = (key("a"), key("a"));
    let file = file(&a);
    let stamp = file
        .as_file()
        .metadata()
        .expect("metadata")
        .modified()
        .expect("a time");
    let keys = Keys::from_file(file.path()).expect("read");
    assert_eq!(later(&keys, &old).await, Ok(()));
    assert_eq!(a.len(), b.len());
    std::fs::write(file.path(), &b).expect("written");
    let written = std::fs::File::options()
        .write(true)
        .open(file.path())
        .expect("open");
    written.set_modified(stamp).expect("set");
    assert_eq!(later(&keys, &old).await, Err(Refused::Unknown));
    assert_eq!(later(&keys, &new).await, Ok(()));
}

#[tokio::test]
async fn a_secret_that_is_swapped_by_its_links_is_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let ((old, a), (new, b)) = (key("a"), key("a"));
    for (generation, line) in [("..1", &a), ("..2", &b)] {
        std::fs::create_dir(at(generation)).expect("made");
        let file = at(generation).join("keys");
        std::fs::write(&file, line).expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).expect("set");
    }
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/keys", at("keys")).expect("linked");
    let keys = Keys::from_file(&at("keys")).expect("read");
    assert_eq!(later(&keys, &old).await, Ok(()));
    symlink("..2", at("..data_tmp")).expect("linked");
    std::fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
    assert_eq!(later(&keys, &old).await, Err(Refused::Unknown));
    assert_eq!(later(&keys, &new).await, Ok(()));
}

#[tokio::test]
async fn what_is_no_file_blocks_nobody_and_lets_nobody_in() {
    let (key, line) = key("a");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let good = || {
        std::fs::write(&path, &line).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    };
    good();
    let keys = Keys::from_file(&path).expect("read");
    assert_eq!(later(&keys, &key).await, Ok(()));
    let pipe = || {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
    };
    let socket = || drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let device = || std::os::unix::fs::symlink("/dev/zero", &path).expect("linked");
    let folder = || std::fs::create_dir(&path).expect("made");
    let others: [(&dyn Fn(), &str); 4] = [
        (&pipe, "a pipe"),
        (&socket, "a socket"),
        (&device, "a device"),
        (&folder, "a folder"),
    ];
    for (make, what) in others {
        std::fs::remove_file(&path).expect("removed");
        make();
        let asked = tokio::time::timeout(PATIENCE, later(&keys, &key)).await;
        assert_eq!(asked.expect("not blocked"), Err(Refused::Closed), "{what}");
        let error = Keys::from_file(&path).expect_err("refused").to_string();
        assert!(error.ends_with(&format!("{what}, not a regular file")), "{error}");
        if path.is_dir() {
            std::fs::remove_dir(&path).expect("removed");
        } else {
            std::fs::remove_file(&path).expect("removed");
        }
        good();
        assert_eq!(later(&keys, &key).await, Ok(()), "after {what}");
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_or_write_lets_nobody_in() {
    // (mode, refused of a user's file, refused of root's)
    for (mode, user, root) in [
        (0o400, false, false),
        (0o600, false, false),
        (0o700, false, false),
        (0o440, true, false),
        (0o640, true, false),
        (0o660, true, true),
        (0o620, true, true),
        (0o604, true, true),
        (0o602, true, true),
        (0o644, true, true),
        (0o666, true, true),
        (0o777, true, true),
    ] {
        assert_eq!(is_exposed(mode, 1000), user, "{mode:o} of a user");
        assert_eq!(is_exposed(mode, 0), root, "{mode:o} of root");
    }
    let (key, line) = key("a");
    let file = file(&line);
    let keys = Keys::from_file(file.path()).expect("read");
    assert_eq!(later(&keys, &key).await, Ok(()));
    let mode = |mode| std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).expect("set");
    mode(0o666);
    assert_eq!(later(&keys, &key).await, Err(Refused::Closed));
    let error = Keys::from_file(file.path()).expect_err("refused").to_string();
    assert!(error.contains("has mode 0666"), "{error}");
    mode(0o600);
    assert_eq!(later(&keys, &key).await, Ok(()));
}

#[test]
fn a_broken_file_is_refused_at_start() {
    #[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
    fn check(text: &str, expected: Expect) {
        let file = file(text);
        let error = Keys::from_file(file.path()).expect_err("refused").to_string();
        expected.assert_eq(&error.replace(&file.path().display().to_string(), "FILE"));
    }
    check(
        "",
        expect!["key file FILE: holds no key; `aurora key new NAME` prints a line for it"],
    );
    check(
        "# nobody\n",
        expect!["key file FILE: holds no key; `aurora key new NAME` prints a line for it"],
    );
    check(
        "a:0011\n",
        expect!["key file FILE, line 1: expected `name:sha256-hex`, as `aurora key new NAME` prints it"],
    );
    check(
        &format!("\n:{}\n", "0".repeat(64)),
        expect!["key file FILE, line 2: expected `name:sha256-hex`, as `aurora key new NAME` prints it"],
    );
    check(
        "plain-key\n",
        expect!["key file FILE, line 1: expected `name:sha256-hex`, as `aurora key new NAME` prints it"],
    );
    check(
        &format!("#{}\n", "x".repeat(10_000)),
        expect!["key file FILE, line 1: longer than 4096 bytes"],
    );
    check(
        &"# many\n".repeat(200_000),
        expect!["key file FILE: larger than 1048576 bytes"],
    );
    let missing = Keys::from_file(Path::new("/nowhere/keys")).expect_err("refused");
    expect!["failed to read the key file /nowhere/keys"].assert_eq(&missing.to_string());
}

/// A file that a limit keeps from being read is not at fault.
#[test]
fn a_limit_that_keeps_a_file_from_being_read_is_named() {
    let error = KeysError::Read {
        path: "keys".into(),
        source: rustix::io::Errno::MFILE.into(),
    };
    let said = error.to_string();
    let expected =
        "failed to read the key file keys; the limit on open files is reached: raise it (ulimit -n";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_key_that_stands_there_twice_is_named() {
    let keys = [([1; 32], "a"), ([2; 32], "b"), ([1; 32], "c"), ([3; 32], "b")];
    assert_eq!(repeated(&keys), [("a", "c")]);
    // One name may have several keys: that is how one is rotated.
    assert!(repeated(&keys[1..]).is_empty());
}

#[test]
fn without_a_key_only_loopback() {
    let none = Keys::none();
    for (address, open) in [
        ("127.0.0.1:80", false),
        ("127.9.9.9:80", false),
        ("[::1]:80", false),
        ("[::ffff:127.0.0.1]:80", false),
        ("0.0.0.0:80", true),
        ("[::]:80", true),
        ("10.0.0.1:80", true),
    ] {
        let address = address.parse().expect("an address");
        let refused = require_loopback(address, &none, "--api-keys-file").is_err();
        assert_eq!(refused, open, "{address}");
    }
    let (_, line) = key("a");
    let keys = Keys::from_file(file(&line).path()).expect("read");
    let address = "0.0.0.0:80".parse().expect("an address");
    assert!(require_loopback(address, &keys, "--api-keys-file").is_ok());
    let error = require_loopback(address, &none, "--api-keys-file").expect_err("open");
    expect!["0.0.0.0:80 is reachable from the network and no key is configured: give --api-keys-file, or listen on 127.0.0.1"].assert_eq(&error.to_string());
}
