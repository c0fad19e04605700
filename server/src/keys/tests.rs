use std::io::Write as _;

use expect_test::{Expect, expect};

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[test]
fn a_generated_key_passes_and_others_do_not() {
    let (key, line) = generate("ci").expect("randomness");
    assert!(line.starts_with("ci:"));
    assert!(!line.contains(&key));
    let keys = Keys::from_file(file(&format!("# who\n\n{line} # comment\n")).path()).expect("read");
    assert!(keys.admit(Some(key.as_bytes())));
    assert!(!keys.admit(None));
    assert!(!keys.admit(Some(b"")));
    assert!(!keys.admit(Some(&key.as_bytes()[1..])));
    assert!(!keys.admit(Some(&[b'x'; 10_000])));
    assert!(Keys::none().admit(None));
}

#[test]
fn a_changed_file_is_reread_and_a_broken_one_changes_nothing() {
    let (first, line) = generate("a").expect("randomness");
    let (second, other) = generate("b").expect("randomness");
    let file = file(&line);
    let keys = Keys::from_file(file.path()).expect("read");
    let inner = keys.0.clone().expect("a file");
    let mut now = Instant::now();
    let mut rewrite = |text: &str| {
        std::fs::write(file.path(), text).expect("written");
        now += POLL;
        inner.reread(now);
    };
    rewrite(&format!("{line}\n{other}\n"));
    assert!(keys.admit(Some(first.as_bytes())) && keys.admit(Some(second.as_bytes())));
    rewrite("nonsense");
    assert!(keys.admit(Some(first.as_bytes())) && keys.admit(Some(second.as_bytes())));
    rewrite("");
    assert!(keys.admit(Some(first.as_bytes())));
    rewrite(&other);
    assert!(!keys.admit(Some(first.as_bytes())) && keys.admit(Some(second.as_bytes())));
    std::fs::remove_file(file.path()).expect("removed");
    now += POLL;
    inner.reread(now);
    assert!(keys.admit(Some(second.as_bytes())));
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
    let missing = Keys::from_file(Path::new("/nowhere/keys")).expect_err("refused");
    expect!["failed to read the key file /nowhere/keys"].assert_eq(&missing.to_string());
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
    let (_, line) = generate("a").expect("randomness");
    let keys = Keys::from_file(file(&line).path()).expect("read");
    let address = "0.0.0.0:80".parse().expect("an address");
    assert!(require_loopback(address, &keys, "--api-keys-file").is_ok());
    let error = require_loopback(address, &none, "--api-keys-file").expect_err("open");
    expect!["0.0.0.0:80 is reachable from the network and no key is configured: give --api-keys-file, or listen on 127.0.0.1"].assert_eq(&error.to_string());
}
