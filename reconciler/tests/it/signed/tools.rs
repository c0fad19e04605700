//! What `git commit -S` itself makes, with a key of SSH and with one of OpenPGP.

use std::path::Path;
use std::process::Command;

use expect_test::expect;
use planner::names::Revision;

use super::{raised, under};
use crate::passes::World;
use crate::repository::{V1, V2};

/// Says, past the test harness, that a test is skipped where there is no such program: `.ci/run` lists it.
fn has(program: &str, argument: &str) -> bool {
    let is_there = Command::new(program).arg(argument).output().is_ok();
    if !is_there {
        let line = format!("skipped: what git itself signs: there is no {program}\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }
    is_there
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GNUPGHOME", folder.join("gnupg"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

impl World {
    /// Commits the raise by Git's own program, signed as its configuration says.
    fn commit_signed(&mut self, keys: &Path, configuration: &[&str]) -> Revision {
        self.repo.write("environments/dev/m.yaml", &raised());
        let folder = self.repo.path().display().to_string();
        let settings = configuration.iter().flat_map(|setting| ["-c", setting]);
        let mut arguments = vec![
            "-C",
            &folder,
            "-c",
            "user.name=Ann",
            "-c",
            "user.email=ann@example.org",
        ];
        arguments.extend(settings);
        arguments.extend(["commit", "-q", "-S", "-m", "raise"]);
        run(keys, "git", &arguments);
        let head = self.repo.git().refname_to_id("refs/heads/main").unwrap();
        crate::repository::revision(head)
    }
}

#[test]
fn git_signs_with_ssh() {
    if !has("git", "--version") || !has("ssh-keygen", "-?") {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    run(
        keys.path(),
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", "key"],
    );
    let public = std::fs::read_to_string(keys.path().join("key.pub")).unwrap();
    let signers = keys.path().join("signers");
    std::fs::write(&signers, format!("ann@example.org {public}")).unwrap();
    let mut world = under(
        &format!("verify: Require, allowedSigners: {}", signers.display()),
        "",
    );
    let key = keys.path().join("key").display().to_string();
    let head = world.commit_signed(
        keys.path(),
        &["gpg.format=ssh", &format!("user.signingkey={key}")],
    );
    world.check(&head, true, &expect![""]);
    assert_eq!(world.serves(), format!("{V1} {V2}@10"));
}

#[test]
fn git_signs_with_openpgp() {
    if !has("git", "--version") || !has("gpg", "--version") || !has("gpgv", "--version") {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    std::fs::create_dir(keys.path().join("gnupg")).unwrap();
    run(keys.path(), "chmod", &["700", "gnupg"]);
    let quiet = [
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ];
    for name in ["ann@example.org", "eve@example.org"] {
        let generate = ["--quick-generate-key", name, "ed25519", "sign", "never"];
        run(keys.path(), "gpg", &[&quiet[..], &generate].concat());
    }
    let export = ["--output", "keyring.gpg", "--export", "ann@example.org"];
    run(keys.path(), "gpg", &[&quiet[..], &export].concat());
    let keyring = keys.path().join("keyring.gpg").display().to_string();
    for (name, is_followed) in [("ann@example.org", true), ("eve@example.org", false)] {
        let mut world = under(&format!("verify: Require, keyring: {keyring}"), "");
        let head = world.commit_signed(keys.path(), &[&format!("user.signingkey={name}")]);
        world.pass();
        world.pass();
        let report = world.target.last_report().unwrap();
        assert_eq!(report.attempted_revision, Some(head), "{name}");
        assert_eq!(world.findings().is_empty(), is_followed, "{}", world.findings());
        assert_eq!(world.serves() == V1, !is_followed, "{name}");
    }
    run(keys.path(), "gpgconf", &["--kill", "gpg-agent"]);
}
