//! Signatures that OpenSSH and GnuPG made (`fixtures/make.sh`), and what is wrong with each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::commits::Fault;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::allowed::AllowedSigners;
use super::{openpgp, ssh};

const PAYLOAD: &[u8] = include_bytes!("fixtures/payload");
const ANN: &str = "ann@example.org";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name))
    };
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn seen() -> Timestamp {
    at("2026-12-01T00:00:00Z")
}

/// Verifies a signature against a file of allowed signers; says what is wrong, without what differs from key to key.
fn of_ssh(signers: &str, signature: &str, payload: &[u8], committer: &str, seen: Timestamp) -> String {
    let (allowed, problems) = AllowedSigners::parse(signers.as_bytes(), "signers");
    let problems = problems
        .iter()
        .map(|problem| format!("{}: {}; ", problem.location, problem.message));
    let problems: String = problems.collect();
    let judged = ssh::verify(signature, payload).and_then(|key| allowed.judge(&key, committer, seen));
    problems + &judged.map_or_else(|fault| fault.to_string(), |()| "counts".to_owned())
}

#[track_caller]
fn check_kind(key: &str, signature: &str, expected: &str) {
    let said = of_ssh(&format!("{ANN} {key}"), signature, PAYLOAD, ANN, seen());
    assert!(said.contains(expected), "{said}");
    if expected == "counts" {
        for end in [0, 1, PAYLOAD.len() - 1] {
            let said = of_ssh(&format!("{ANN} {key}"), signature, &PAYLOAD[..end], ANN, seen());
            assert!(said.starts_with("its signature is bad"), "{said}");
        }
        let said = of_ssh("", signature, PAYLOAD, ANN, seen());
        assert!(said.contains("not among the allowed ones"), "{said}");
    }
}

#[test]
fn each_kind_of_ssh_key_is_verified_or_named() {
    let counts = "counts";
    check_kind(fixture!("ed25519.pub"), fixture!("ed25519.sig"), counts);
    check_kind(fixture!("ed25519.pub"), fixture!("sha256.sig"), counts);
    check_kind(fixture!("p256.pub"), fixture!("p256.sig"), counts);
    check_kind(fixture!("p384.pub"), fixture!("p384.sig"), counts);
    check_kind(fixture!("rsa.pub"), fixture!("rsa.sig"), counts);
    let not = "which Aurora does not verify";
    check_kind(fixture!("p521.pub"), fixture!("p521.sig"), not);
    check_kind(
        fixture!("p521.pub"),
        fixture!("p521.sig"),
        "signers:1:1: Aurora does not verify signatures with a key of type \"ecdsa-sha2-nistp521\"",
    );
    check_kind(
        fixture!("small.pub"),
        fixture!("small.sig"),
        "an RSA key of 1024 bits",
    );
    check_kind(
        fixture!("p256.pub"),
        fixture!("certificate.sig"),
        "an SSH certificate",
    );
    check_kind(
        fixture!("ed25519.pub"),
        fixture!("file.sig"),
        "made for `file`, not for git",
    );
    check_kind(
        fixture!("p256.pub"),
        fixture!("ed25519.sig"),
        "not among the allowed ones",
    );
}

#[test]
fn allowed_signers_are_read_as_openssh_reads_them() {
    let key = fixture!("ed25519.pub").trim();
    let other = fixture!("p256.pub").trim();
    for (line, expected) in [
        (format!("{ANN} {key}"), "counts"),
        (format!("* {key} a comment"), "counts"),
        (format!("*@example.org,!bob@example.org {key}"), "counts"),
        (format!("bob@example.org,a?n@example.org {key}"), "counts"),
        (format!("\"{ANN},bob@example.org\" {key}"), "counts"),
        (
            format!("*@example.org,!ann@* {key}"),
            "key KEY belongs to *@example.org,!ann@*, and the committer is ann@example.org",
        ),
        (
            format!("bob@example.org {key}"),
            "key KEY belongs to bob@example.org, and the committer is ann@example.org",
        ),
        (
            format!("Ann@example.org {key}"),
            "key KEY belongs to Ann@example.org, and the committer is ann@example.org",
        ),
        (format!("{ANN} namespaces=\"git,file\" {key}"), "counts"),
        (format!("{ANN} NAMESPACES=\"g*\" {key}"), "counts"),
        (
            format!("{ANN} namespaces=\"file\" {key}"),
            "key KEY is not allowed to sign for git",
        ),
        (
            format!("{ANN} namespaces=\"*,!git\" {key}"),
            "key KEY is not allowed to sign for git",
        ),
        (format!("{ANN} valid-before=\"20270101\" {key}"), "counts"),
        (format!("{ANN} valid-before=20261201Z {key}"), "counts"),
        (
            format!("{ANN} valid-before=\"202611302359Z\" {key}"),
            "key KEY expired at 2026-11-30 23:59 UTC, before the commit was first seen here at 2026-12-01 00:00 UTC",
        ),
        (
            format!("{ANN} valid-after=\"20261201\",valid-before=\"20261202\" {key}"),
            "counts",
        ),
        (
            format!("{ANN} valid-after=\"20261201000001\" {key}"),
            "key KEY counts from 2026-12-01 00:00 UTC, and the commit was first seen here at 2026-12-01 00:00 UTC",
        ),
        // Of two lines with the key, one that lets it count is enough.
        (
            format!("{ANN} valid-before=\"20200101\" {key}\n{ANN} {key}"),
            "counts",
        ),
        (
            format!("# {ANN} {key}\n\n{ANN} {other}"),
            "it is signed with key KEY, which is not among the allowed ones",
        ),
        // What makes no sense is told, and the rest counts.
        (
            format!("{ANN} ssh-ed25519 AAAA\r\n{ANN} {key}\r\n"),
            "signers:1:1: its key ends too early; counts",
        ),
        (
            format!("{ANN} {key}\n{ANN} namespace=\"git\" {key}"),
            "signers:2:1: `namespace=\"git\"` is neither an option nor the type of a key; counts",
        ),
        (
            format!("{ANN} cert-authority {key}"),
            "signers:1:1: certificates are not supported (`cert-authority`): list each key; it is signed with key KEY, which is not among the allowed ones",
        ),
        (
            format!("{ANN} valid-after=\"20261301\" {key}\n{ANN} {key}"),
            "signers:1:1: `20261301` is no time: write YYYYMMDD or YYYYMMDDHHMM[SS], in UTC; counts",
        ),
        (
            format!("{ANN} valid-after=\"20270101\",valid-before=\"20260101\" {key}\n{ANN} {key}"),
            "signers:1:1: `valid-before` is not after `valid-after`; counts",
        ),
        (
            format!("{key}\n{ANN} {key}"),
            "signers:1:1: `AAAA` is neither an option nor the type of a key; counts",
        ),
        (
            format!("{ANN}\n{ANN},, {key}\n{ANN} {key}"),
            "signers:1:1: it has no key; signers:2:1: a principal is empty; counts",
        ),
        (
            format!("{ANN} ssh-rsa {}\n{ANN} {key}", &key[12..]),
            "signers:1:1: its key is of type \"ssh-ed25519\", not ssh-rsa; counts",
        ),
    ] {
        let said = of_ssh(&line, fixture!("ed25519.sig"), PAYLOAD, ANN, seen());
        let known = Sha256::digest(STANDARD.decode(&key[12..]).unwrap());
        let name = format!("SHA256:{}", STANDARD.encode(known).trim_end_matches('='));
        let said = said
            .replace(&name, "KEY")
            .replace(&format!("`{}`", &key[12..]), "`AAAA`");
        assert_eq!(said, expected, "{line}");
    }
}

#[test]
fn no_damaged_signature_counts_or_panics() {
    let text = fixture!("ed25519.sig");
    let signers = format!("{ANN} {}", fixture!("ed25519.pub"));
    let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(inner).unwrap();
    let armoured = |bytes: &[u8]| {
        let inner = STANDARD.encode(bytes);
        format!("-----BEGIN SSH SIGNATURE-----\n{inner}\n-----END SSH SIGNATURE-----\n")
    };
    assert_eq!(
        of_ssh(&signers, &armoured(&bytes), PAYLOAD, ANN, seen()),
        "counts"
    );
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            assert_ne!(
                of_ssh(&signers, &armoured(&damaged), PAYLOAD, ANN, seen()),
                "counts",
                "{at}"
            );
        }
        assert_ne!(
            of_ssh(&signers, &armoured(&bytes[..at]), PAYLOAD, ANN, seen()),
            "counts"
        );
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_ne!(
        of_ssh(&signers, &armoured(&longer), PAYLOAD, ANN, seen()),
        "counts"
    );
    assert_ne!(
        of_ssh(
            &signers,
            text.trim_end().trim_end_matches('-'),
            PAYLOAD,
            ANN,
            seen()
        ),
        "counts"
    );
}

/// A signature as a token makes it.
fn of_token(flags: u8) -> (String, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let text = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let kind = text(b"sk-ssh-ed25519@openssh.com");
    let key = [kind.clone(), text(pair.public_key().as_ref()), text(b"ssh:")].concat();
    let message = [
        b"SSHSIG".to_vec(),
        text(b"git"),
        text(b""),
        text(b"sha512"),
        text(&Sha512::digest(PAYLOAD)),
    ]
    .concat();
    let state = [&[flags][..], &[0, 0, 0, 9]].concat();
    let of_hardware = [&Sha256::digest(b"ssh:")[..], &state, &Sha256::digest(message)[..]].concat();
    let signed = [kind, text(pair.sign(&of_hardware).as_ref()), state].concat();
    let whole = [
        b"SSHSIG".to_vec(),
        1_u32.to_be_bytes().to_vec(),
        text(&key),
        text(b"git"),
        text(b""),
        text(b"sha512"),
        text(&signed),
    ]
    .concat();
    let whole = STANDARD.encode(whole);
    (
        format!("sk-ssh-ed25519@openssh.com {}", STANDARD.encode(key)),
        format!("-----BEGIN SSH SIGNATURE-----\n{whole}\n-----END SSH SIGNATURE-----"),
    )
}

#[test]
fn a_token_signs_when_it_is_touched() {
    let (key, signature) = of_token(1);
    check_kind(&key, &signature, "counts");
    let (key, signature) = of_token(0);
    check_kind(&key, &signature, "a hardware key that nobody touched");
}

/// Says, past the test harness, that a test is skipped where there is no `gpgv`: `.ci/run` lists it.
pub(super) fn has_gpgv() -> bool {
    let is_there = std::process::Command::new("gpgv")
        .arg("--version")
        .output()
        .is_ok();
    if !is_there {
        use std::io::Write as _;
        let _told = writeln!(std::io::stderr(), "skipped: OpenPGP signatures: there is no gpgv");
    }
    is_there
}

#[track_caller]
fn check_openpgp(signature: &str, payload: &[u8], keyring: &[u8], seen: Timestamp, expected: &str) {
    let judged = openpgp::Gpgv::default().verify(signature, payload, keyring, seen);
    let said = judged.map_or_else(|fault| fault.to_string(), |()| "counts".to_owned());
    // Fingerprints are made anew with the fixtures.
    let words = said.split(' ').map(|word| {
        let is_key = word.trim_end_matches([',', ':']).len() >= 16
            && word.chars().all(|c| c.is_ascii_hexdigit() || ",:".contains(c));
        if is_key { "KEY" } else { word }
    });
    assert_eq!(words.collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn gpgv_is_asked_and_what_it_says_is_judged_at_the_time_of_first_sight() {
    if !has_gpgv() {
        return;
    }
    let keyring = include_bytes!("fixtures/keyring.gpg");
    let forge = include_bytes!("fixtures/forge.gpg");
    for (signature, seen, expected) in [
        (fixture!("signer.asc"), seen(), "counts"),
        (fixture!("primary.asc"), seen(), "counts"),
        (
            fixture!("expired.asc"),
            seen(),
            "key KEY expired at 2026-06-01 00:00 UTC, before the commit was first seen here at 2026-12-01 00:00 UTC",
        ),
        (fixture!("expired.asc"), at("2026-05-31T23:59:59Z"), "counts"),
        (
            fixture!("revoked.asc"),
            at("2026-03-01T00:00:00Z"),
            "key KEY was revoked",
        ),
        (
            fixture!("stranger.asc"),
            seen(),
            "it is signed with key KEY which is not among the allowed ones",
        ),
        (
            fixture!("forge.asc"),
            seen(),
            "it is signed with key KEY which is not among the allowed ones",
        ),
        (
            fixture!("two.asc"),
            seen(),
            "its signature makes no sense: it holds 2 signatures",
        ),
        (
            "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
            seen(),
            "its signature makes no sense: it holds no signature that gpgv reads",
        ),
    ] {
        check_openpgp(signature, PAYLOAD, keyring, seen, expected);
    }
    check_openpgp(fixture!("forge.asc"), PAYLOAD, forge, seen(), "counts");
    let bad = "its signature is bad: it is not what was signed with key KEY";
    check_openpgp(fixture!("signer.asc"), b"something else", keyring, seen(), bad);
    let unknown = "it is signed with key KEY which is not among the allowed ones";
    check_openpgp(fixture!("signer.asc"), PAYLOAD, b"", seen(), unknown);
    check_openpgp(fixture!("signer.asc"), PAYLOAD, b"no keyring", seen(), unknown);
}

#[track_caller]
fn check_status(lines: &str, expected: &Expect) {
    let status = lines.lines().map(|line| format!("[GNUPG:] {line}"));
    let status = status.collect::<Vec<_>>().join("\n");
    let judged = openpgp::judge(&status, seen());
    expected.assert_eq(&judged.map_or_else(|fault| format!("{fault:?}"), |()| "counts".to_owned()));
}

#[test]
fn status_lines_count_only_together() {
    let valid = "VALIDSIG A 2026-03-01 1 0 4 0 22 8 00 B";
    check_status(
        "NEWSIG\nGOODSIG A x\nVALIDSIG A 2026-03-01 1 0 4 0 22 8 00 B",
        &expect!["counts"],
    );
    check_status(
        "NEWSIG\nGOODSIG A x",
        &expect![[r#"Unverifiable("gpgv says neither that it is good nor what is wrong")"#]],
    );
    check_status(
        &format!("NEWSIG\n{valid}"),
        &expect![[r#"Unverifiable("gpgv says neither that it is good nor what is wrong")"#]],
    );
    check_status(
        &format!("GOODSIG A x\n{valid}"),
        &expect![[r#"Malformed("it holds no signature that gpgv reads")"#]],
    );
    check_status(
        &format!("NEWSIG\nNEWSIG\nGOODSIG A x\n{valid}"),
        &expect![[r#"Malformed("it holds 2 signatures")"#]],
    );
    check_status(
        &format!("NEWSIG\nGOODSIG A x\nGOODSIG A x\n{valid}"),
        &expect![[r#"Unverifiable("gpgv says neither that it is good nor what is wrong")"#]],
    );
    check_status(
        &format!("NEWSIG\nGOODSIG A x\n{valid}\nREVKEYSIG A x"),
        &expect![[r#"Revoked("B")"#]],
    );
    check_status(
        &format!("NEWSIG\nGOODSIG A x\n{valid}\nEXPSIG A x"),
        &expect![[r#"Expired { key: "B", until: None, seen: 2026-12-01T00:00:00Z }"#]],
    );
    check_status(
        &format!("NEWSIG\nEXPKEYSIG A x\n{valid}"),
        &expect![[r#"Expired { key: "B", until: None, seen: 2026-12-01T00:00:00Z }"#]],
    );
    check_status(
        "NEWSIG\nKEYEXPIRED 1990000000\nEXPKEYSIG A x",
        &expect![[r#"Expired { key: "?", until: Some(2033-01-22T09:46:40Z), seen: 2026-12-01T00:00:00Z }"#]],
    );
    check_status(
        "NEWSIG\nERRSIG A 22 8 00 1 4 -",
        &expect![[
            r#"Unverifiable("gpgv cannot verify what key A made: its algorithms are not supported, or too weak")"#
        ]],
    );
    check_status(
        &format!("NEWSIG\nBADSIG A x\nGOODSIG A x\n{valid}"),
        &expect![[r#"BadSignature("A")"#]],
    );
    assert!(matches!(
        openpgp::judge("GOODSIG", seen()),
        Err(Fault::Malformed(_))
    ));
}
