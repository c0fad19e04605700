//! A repository on another machine, over real servers: how it is reached, and each fault on the way. Whatever goes wrong, it
//! is told with what to do, what was applied serves on, and it goes on by itself once it is mended.

mod mirror;
mod webhook;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use git2::{BranchType, Oid};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Forge, Up, VALID, aurora, eventually, get, run, text, up_at};

const TOKEN: &str = "t0ken";

/// An `up` that follows a forge.
struct Following {
    up: Up,
    data: TempDir,
    command: (String, Vec<String>),
}

impl Following {
    fn start(address: &str, flags: Vec<String>) -> Self {
        let data = TempDir::new().expect("a temporary folder");
        let up = Self::ready(address, &data, &flags);
        Self {
            up,
            data,
            command: (address.to_owned(), flags),
        }
    }

    fn ready(address: &str, data: &TempDir, flags: &[String]) -> Up {
        let mut up = Up::watch(up_at(address, &data.path().join("data"), flags));
        up.event("it is ready", |event| event["event"] == "ready");
        up
    }

    /// Ends it and starts it anew on the same data.
    fn restart(self) -> Self {
        let Self { up, data, command } = self;
        assert!(up.stop().success());
        let up = Self::ready(&command.0, &data, &command.1);
        Self { up, data, command }
    }

    fn mirror(&self) -> PathBuf {
        self.data.path().join("data/git/mirror")
    }

    fn report(&self) -> Value {
        self.up.status()["environment"]["status"].clone()
    }

    /// Waits until a commit is applied.
    #[track_caller]
    fn applies(&self, commit: Oid) {
        eventually(&format!("{commit} is applied"), || {
            (self.report()["appliedRevision"] == commit.to_string()).then_some(())
        });
        self.serves();
    }

    #[track_caller]
    fn serves(&self) {
        let answer = get(self.up.control_plane, "/models/iris/v20261101-120000");
        let row = answer.json()["example"]["row"].clone();
        let body = serde_json::json!({ "rows": [row] }).to_string();
        let answer = self.up.predict("iris", &[], &body);
        assert_eq!(
            (answer.status, answer.version()),
            (200, "v20261101-120000"),
            "{answer:?}"
        );
    }

    /// Waits until a fault is told with all of `words`, while what was applied serves.
    #[track_caller]
    fn tells(&self, words: &[&str]) -> String {
        let said = eventually(
            &format!("{words:?} is told; last: {}", self.report()["findings"]),
            || {
                let findings = self.report()["findings"].clone();
                let found = findings.as_array()?.iter().find(|finding| {
                    let said = finding.to_string();
                    finding["reason"] == "SourceUnavailable" && words.iter().all(|word| said.contains(word))
                })?;
                Some(found.to_string())
            },
        );
        assert!(!said.contains(TOKEN), "{said}");
        self.serves();
        said
    }

    /// Waits until nothing is wrong with the source.
    #[track_caller]
    fn recovers(&self) {
        eventually("it goes on", || {
            let findings = self.report()["findings"].to_string();
            (!findings.contains("SourceUnavailable")).then_some(())
        });
    }
}

/// The way of a fault of the HTTPS server: applied, broken and told, mended, the next commit applied.
#[track_caller]
fn journey(forge: &mut Forge, words: &[&str], break_it: impl Fn(&mut Forge), mend_it: impl Fn(&mut Forge)) {
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    following.applies(forge.repository.head());
    break_it(forge);
    let missed = forge.commit("while it is broken");
    following.tells(words);
    mend_it(forge);
    following.applies(missed);
    following.recovers();
    following.applies(forge.commit("after it was mended"));
    assert!(following.up.stop().success());
}

#[test]
fn https_with_a_token_and_a_ca_file_is_followed() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    following.applies(forge.repository.head());
    following.applies(forge.commit("second"));
    assert!(forge.asked("x-access-token") > 0, "it logs in");
    // Only the followed branch was fetched, and no tag.
    let mirror = git2::Repository::open_bare(following.mirror()).expect("a mirror");
    let names: Vec<_> = mirror
        .references()
        .expect("names")
        .flatten()
        .map(|it| it.name().unwrap().to_owned())
        .collect();
    assert!(
        matches!(&names[..], [one] if one.starts_with("refs/aurora/")),
        "{names:?}"
    );
    // A repository that was renamed on the same host is followed.
    drop(following);
    let following = Following::start(&forge.https_address("renamed"), forge.https_flags());
    following.applies(forge.repository.head());
}

#[test]
fn ssh_with_a_key_and_known_hosts_is_followed() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.ssh_address(), forge.ssh_flags("user"));
    following.applies(forge.repository.head());
    following.applies(forge.commit("second"));
    assert!(following.up.stop().success());
}

#[test]
fn ssh_with_an_agent_is_followed() {
    let Some(mut forge) = Forge::start() else { return };
    let data = TempDir::new().expect("a temporary folder");
    let agent = forge.agent("user");
    let flags = forge.flags(&[("--known-hosts", "known_hosts")]);
    let mut command = up_at(&forge.ssh_address(), &data.path().join("data"), &flags);
    command.env("SSH_AUTH_SOCK", agent);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
}

#[test]
fn a_wrong_host_key_is_told_and_serving_goes_on() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.ssh_address(), forge.ssh_flags("user"));
    following.applies(forge.repository.head());
    forge.know("stranger");
    let missed = forge.commit("while it is broken");
    let fingerprint = text(&run(Command::new("ssh-keygen")
        .arg("-lf")
        .arg(forge.file("host.pub"))));
    let fingerprint = fingerprint.split(' ').nth(1).expect("a fingerprint").to_owned();
    following.tells(&["ssh-ed25519", &fingerprint, "--known-hosts", "127.0.0.1"]);
    // Nor is a file believed that libssh2 would misread.
    forge.write(
        "known_hosts",
        "# the forge\n@revoked 127.0.0.1 ssh-ed25519 AAAA\n",
    );
    following.tells(&["known_hosts:2:", "@revoked"]);
    forge.know("host");
    following.applies(missed);
    following.recovers();
}

#[test]
fn a_key_that_is_not_let_in_is_told_and_serving_goes_on() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.ssh_address(), forge.ssh_flags("user"));
    following.applies(forge.repository.head());
    forge.authorize("stranger");
    let missed = forge.commit("while it is broken");
    following.tells(&["refuses the key", "--git-credentials-file"]);
    forge.authorize("user");
    following.applies(missed);
    following.recovers();
}

#[test]
fn an_expired_certificate_is_told_and_serving_goes_on() {
    let Some(mut forge) = Forge::start() else { return };
    journey(
        &mut forge,
        &["certificate", "until 2021-01-01T00:00:00Z", "renew it"],
        |forge| {
            forge.certify((2020, 2021));
            forge.restart_https();
        },
        |forge| {
            forge.certify(VALID);
            forge.restart_https();
        },
    );
}

#[test]
fn a_ca_file_that_does_not_fit_is_told_and_serving_goes_on() {
    let Some(mut forge) = Forge::start() else { return };
    let Some(other) = Forge::start() else { return };
    let authority = fs::read_to_string(forge.file("ca.pem")).expect("an authority");
    let others = fs::read_to_string(other.file("ca.pem")).expect("another");
    journey(
        &mut forge,
        &["not trusted", "--ca-file"],
        |forge| forge.write("ca.pem", &others),
        |forge| forge.write("ca.pem", &authority),
    );
}

#[test]
fn a_revoked_token_is_told_and_serving_goes_on() {
    let Some(mut forge) = Forge::start() else { return };
    journey(
        &mut forge,
        &["expired or revoked", "--git-credentials-file"],
        |forge| forge.users(&[("x-access-token", "another")]),
        |forge| {
            forge.credentials(&format!(
                "https://x-access-token:another@127.0.0.1:{}\n",
                forge.https
            ));
        },
    );
    // It is asked once for each fetch, and not for ever.
    let refused = forge.asked(" 401 ");
    assert!(refused < 40, "{refused} refusals");
}

#[test]
fn credentials_that_others_may_read_are_told_and_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(mut forge) = Forge::start() else { return };
    let mode = |forge: &Forge, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(forge.file("credentials"), permissions).expect("a mode");
    };
    journey(
        &mut forge,
        &["credentials", "mode 0644", "chmod 600"],
        |forge| mode(forge, 0o644),
        |forge| mode(forge, 0o600),
    );
}

#[test]
fn a_truncated_pack_is_told_and_serving_goes_on() {
    let Some(mut forge) = Forge::start() else { return };
    journey(
        &mut forge,
        &["what came is broken"],
        |forge| forge.write("cut", ""),
        |forge| forge.remove("cut"),
    );
}

#[test]
fn a_stall_is_broken_off_and_serving_goes_on() {
    let Some(forge) = Forge::start() else { return };
    let mut flags = forge.https_flags();
    flags.extend(["--fetch-timeout", "1"].map(str::to_owned));
    let following = Following::start(&forge.https_address("git"), flags);
    following.applies(forge.repository.head());
    forge.write("stall", "");
    let missed = forge.commit("while it is broken");
    following.tells(&["nothing came for 1 s"]);
    forge.remove("stall");
    following.applies(missed);
    following.recovers();
    assert!(following.up.stop().success());
}

#[test]
fn a_moved_branch_is_followed_and_reported() {
    let Some(forge) = Forge::start() else { return };
    let first = forge.repository.head();
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    let second = forge.commit("second");
    following.applies(second);
    forge.repository.reset_to(first);
    let moved = forge.commit("aside");
    following.applies(moved);
    let findings = following.report()["findings"].to_string();
    assert!(findings.contains("BranchForced"), "{findings}");
    following.applies(forge.commit("onwards"));
}

#[test]
fn a_deleted_branch_is_told_and_serving_goes_on() {
    let Some(forge) = Forge::start() else { return };
    let mut flags = forge.https_flags();
    flags.extend(["--branch", "main"].map(str::to_owned));
    let following = Following::start(&forge.https_address("git"), flags);
    let last = forge.repository.head();
    following.applies(last);
    let git = forge.repository.git();
    let commit = git.find_commit(last).expect("the commit");
    // A name in the place of which a folder stands, too.
    git.set_head_detached(last).expect("a checkout");
    git.find_branch("main", BranchType::Local)
        .expect("it")
        .delete()
        .expect("it goes");
    git.branch("main/next", &commit, false).expect("a branch");
    following.tells(&["no branch main", "main/next"]);
    let following = following.restart();
    following.tells(&["no branch main", "main/next"]);
    git.find_branch("main/next", BranchType::Local)
        .expect("it")
        .delete()
        .expect("it goes");
    git.branch("main", &commit, false).expect("a branch");
    git.set_head("refs/heads/main").expect("a checkout");
    following.applies(forge.commit("back"));
    following.recovers();
}

#[test]
fn a_proxy_is_used_with_its_own_password_and_its_refusal_is_told() {
    let Some(mut forge) = Forge::start() else { return };
    let port = forge.proxy("p", "w0rd");
    let lines = |forge: &Forge, password: &str| {
        forge.credentials(&format!(
            "https://x-access-token:{TOKEN}@127.0.0.1:{}\nhttp://p:{password}@127.0.0.1:{port}\n",
            forge.https
        ));
    };
    lines(&forge, "w0rd");
    let mut flags = forge.https_flags();
    flags.extend(["--proxy".to_owned(), format!("http://127.0.0.1:{port}")]);
    let following = Following::start(&forge.https_address("git"), flags);
    following.applies(forge.repository.head());
    let log = forge.proxied();
    assert!(log.contains("CONNECT 127.0.0.1"), "{log}");
    lines(&forge, "wr0ng");
    let missed = forge.commit("while it is broken");
    let said = following.tells(&["proxy does not let it through", "--proxy"]);
    assert!(!said.contains("wr0ng"), "{said}");
    lines(&forge, "w0rd");
    following.applies(missed);
    following.recovers();
}

/// Tries to start on an address, which must be refused with all of `words`.
#[track_caller]
fn refused(address: &str, flags: &[String], words: &[&str]) {
    let data = TempDir::new().expect("a temporary folder");
    let output = run(&mut up_at(address, &data.path().join("data"), flags));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn a_redirect_to_another_host_is_refused_and_named() {
    let Some(forge) = Forge::start() else { return };
    refused(
        &forge.https_address("elsewhere"),
        &forge.https_flags(),
        &["redirects to localhost", "not followed"],
    );
    assert_eq!(forge.asked("/git/"), 0, "nothing was asked there");
}

#[test]
fn a_start_is_refused_with_what_to_do() {
    let Some(mut forge) = Forge::start() else { return };
    let (https, address) = (forge.https_flags(), forge.https_address("git"));
    let mut with = https.clone();
    with.extend(["--branch", "typo"].map(str::to_owned));
    refused(&address, &with, &["no branch typo", "main"]);
    refused(
        &forge.https_address("page"),
        &https,
        &["no Git repository", "text/html"],
    );
    refused(&forge.https_address("busy"), &https, &["503"]);
    refused(&forge.https_address("none"), &https, &["no such repository"]);
    let without = forge.flags(&[("--ca-file", "ca.pem")]);
    refused(
        &address,
        &without,
        &["wants to know who asks", "--git-credentials-file"],
    );
    let (ssh, no_hosts) = (
        forge.ssh_address(),
        forge.flags(&[("--git-credentials-file", "user")]),
    );
    refused(&ssh, &no_hosts, &["--known-hosts", "ssh-keyscan"]);
    refused(
        &format!("{ssh}x"),
        &forge.ssh_flags("user"),
        &["no such repository"],
    );
    let no_key = forge.flags(&[("--known-hosts", "known_hosts")]);
    refused(&ssh, &no_key, &["no key to show", "--git-credentials-file"]);
    refused(
        &format!("https://x:{TOKEN}@127.0.0.1/x"),
        &[],
        &["process list", "--git-credentials-file"],
    );
    refused("http://127.0.0.1/x", &[], &["http:// is no protocol"]);
    refused(
        "/srv/none",
        &https,
        &["--git-credentials-file is for a repository on another machine"],
    );
    forge.stop();
    refused(&address, &https, &["not reached", "Connection refused"]);
}

#[test]
fn a_start_while_the_remote_is_away_serves_what_was_applied() {
    let Some(mut forge) = Forge::start() else { return };
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    following.applies(forge.repository.head());
    forge.stop();
    let missed = forge.commit("while it is away");
    let following = following.restart();
    following.tells(&["not reached"]);
    forge.start_again();
    following.applies(missed);
    following.recovers();
}

#[test]
fn a_tag_is_followed_where_it_is_moved() {
    let Some(forge) = Forge::start() else { return };
    let git = forge.repository.git();
    let tagged = |commit: Oid| {
        let commit = git.find_object(commit, None).expect("the commit");
        let author = git2::Signature::now("Ann", "ann@example.org").expect("a signature");
        git.tag("released", &commit, &author, "a release", true)
            .expect("a tag");
    };
    let first = forge.repository.head();
    tagged(first);
    let mut flags = forge.https_flags();
    flags.extend(["--tag", "released"].map(str::to_owned));
    let following = Following::start(&forge.https_address("git"), flags);
    following.applies(first);
    let second = forge.commit("second");
    tagged(second);
    following.applies(second);
    git.tag_delete("released").expect("it goes");
    following.tells(&["no tag released"]);
}

#[test]
fn a_plan_and_a_single_pass_take_the_newest_commit() {
    let Some(forge) = Forge::start() else { return };
    let data = TempDir::new().expect("a temporary folder");
    let command = |words: &[&str]| {
        let mut command = aurora();
        command
            .args(words)
            .arg("--repo")
            .arg(forge.https_address("git"))
            .args(forge.https_flags());
        run(command
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .env("TMPDIR", data.path()))
    };
    let once = command(&["reconcile", "--once"]);
    assert!(once.status.success(), "{}", text(&once));
    assert!(command(&["plan"]).status.success());
    let manifest = forge.repository.read("environments/dev/iris.yaml");
    forge.repository.write(
        "environments/dev/iris.yaml",
        manifest
            .replace("replicas: 1", "replicas: 2")
            .replace("minimum: 0.9", "minimum: 0.8"),
    );
    let commit = forge.repository.commit("a lower bound");
    let plan = command(&["plan"]);
    assert_eq!(plan.status.code(), Some(1), "{}", text(&plan));
    assert!(text(&plan).contains(&commit.to_string()[..10]), "{}", text(&plan));
    let between = command(&["plan", "--base", "HEAD~1"]);
    assert_eq!(between.status.code(), Some(1), "{}", text(&between));
    let once = command(&["reconcile", "--once"]);
    assert!(text(&once).contains(&commit.to_string()[..10]), "{}", text(&once));
    let left: Vec<_> = fs::read_dir(data.path())
        .expect("a folder")
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert_eq!(left, ["data"], "nothing else is left");
}
