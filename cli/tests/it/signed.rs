//! Signed commits by the built binary: commits are taken apart, and merged anew, in the process that reads Git.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Repository, aurora, run, skipped, text};

const WINE: &str = "environments/dev/wine-quality.yaml";

/// A repository in whose `dev` only one key may sign, and another one merge.
struct Signed {
    repository: Repository,
    keys: TempDir,
}

impl Signed {
    /// Nothing where a program is missing that makes signatures.
    fn new() -> Option<Self> {
        let signed = Self {
            repository: Repository::dev(),
            keys: TempDir::new().unwrap(),
        };
        for name in ["ann", "forge"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(signed.key(name));
            if !made.status().is_ok_and(|status| status.success()) || Command::new("git").output().is_err() {
                skipped("signed commits: there is no ssh-keygen, or no git");
                return None;
            }
            let public = std::fs::read_to_string(signed.key(name).with_extension("pub")).unwrap();
            let path = format!("environments/dev/{name}.signers");
            signed.repository.write(&path, format!("*@example.org {public}"));
        }
        let commits = "target: Standalone\n  commits: { verify: Require, allowedSigners: ann.signers, forge: { allowedSigners: forge.signers } }";
        let environment = "environments/dev/environment.yaml";
        signed.repository.edit(environment, "target: Standalone", commits);
        Some(signed)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn git(&self, signer: &str, arguments: &[&str]) {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.repository.path())
            .args([
                "-c",
                "user.name=Ann",
                "-c",
                "user.email=ann@example.org",
                "-c",
                "gpg.format=ssh",
            ])
            .arg("-c")
            .arg(format!("user.signingKey={}", self.key(signer).display()))
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }

    /// Edits and commits by Git's own program.
    fn change(&self, from: &str, to: &str, signer: Option<&str>) {
        let content = self.repository.read(WINE);
        assert!(content.contains(from), "{content}");
        self.repository.write(WINE, content.replacen(from, to, 1));
        let seal = if signer.is_some() { "-S" } else { "--no-gpg-sign" };
        self.git(signer.unwrap_or("ann"), &["commit", "-q", "-a", seal, "-m", to]);
    }

    fn plan(&self, base: &str) -> (Option<i32>, String) {
        let output = run(aurora()
            .args(["plan", "--base", base, "--repo"])
            .arg(self.repository.path()));
        (output.status.code(), text(&output))
    }
}

#[test]
fn a_plan_says_who_has_to_sign() {
    let Some(signed) = Signed::new() else { return };
    signed.change("weight: 10", "weight: 20", None);
    let (code, said) = signed.plan("HEAD~1");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("CommitRefused") && said.contains("by Ann <ann@example.org>: it is not signed"),
        "{said}"
    );
    signed.git("ann", &["commit", "-q", "--amend", "--no-edit", "-S"]);
    let (code, said) = signed.plan("HEAD~1");
    assert_eq!(code, Some(1), "{said}");
    signed.git("forge", &["commit", "-q", "--amend", "--no-edit", "-S"]);
    let (code, said) = signed.plan("HEAD~1");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the forge signed it, and it is no merge"), "{said}");
}

/// Both sides change one file, so that the merge has content that neither has: it is made, and written nowhere.
#[test]
fn a_merge_of_the_forge_is_made_anew_by_a_process_that_may_write_nothing() {
    let Some(signed) = Signed::new() else { return };
    signed.git("ann", &["checkout", "-q", "-b", "topic"]);
    signed.change("weight: 10", "weight: 20", Some("ann"));
    signed.git("ann", &["checkout", "-q", "main"]);
    let first = signed.repository.read(WINE).lines().next().unwrap().to_owned();
    signed.change(&first, &format!("# Meanwhile.\n{first}"), Some("ann"));
    signed.git("forge", &["merge", "-q", "--no-ff", "-S", "-m", "merge", "topic"]);
    let (code, said) = signed.plan("HEAD~2");
    assert_eq!(code, Some(1), "{said}");
    signed.change("weight: 20", "weight: 30", None);
    signed.git("forge", &["reset", "-q", "--soft", "HEAD~1"]);
    signed.git("forge", &["commit", "-q", "--amend", "--no-edit", "-S"]);
    let (code, said) = signed.plan("HEAD~2");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("it says something else of the folder than a merge of its parents does"),
        "{said}"
    );
}
