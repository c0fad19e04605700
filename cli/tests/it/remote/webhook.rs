//! A forge tells of pushes: one fetch for a burst, and nobody else is listened to.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Following;
use crate::harness::{Answer, Forge, Issuing, eventually, free_port, get, note, post, root};

const SECRET: &str = "a secret of twenty-five by";

struct Hook {
    forge: Forge,
    following: Following,
    address: SocketAddr,
}

impl Hook {
    /// Follows a forge that is polled once an hour.
    fn start() -> Option<Self> {
        Some(Self::start_at(Forge::start()?, &[]))
    }

    fn start_at(forge: Forge, more: &[&str]) -> Self {
        forge.write("secrets", &format!("the one of before, which\n{SECRET}\n"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut flags = forge.https_flags();
        flags.extend(["--fetch-interval", "3600", "--webhook-secrets-file"].map(str::to_owned));
        flags.push(forge.file("secrets").display().to_string());
        flags.extend(["--webhook".to_owned(), address.to_string()]);
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        // The last one counts.
        let at = flags.iter().position(|flag| flag == "1").expect("an interval");
        flags.drain(at - 1..=at);
        let following = Following::start(&forge.https_address("git"), flags);
        following.applies(forge.repository.head());
        Self {
            forge,
            following,
            address,
        }
    }

    /// Returns how often the repository was fetched.
    fn fetches(&self) -> usize {
        self.forge.asked("service=git-upload-pack 200")
    }

    fn call(&self, id: &str, signature: &str, body: &str) -> Answer {
        let headers = [
            ("x-github-event", "push"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", signature),
        ];
        post(self.address, "/webhook", &headers, body)
    }

    /// Returns how many calls came to this.
    #[track_caller]
    fn counts(&self, result: &str, wanted: u64) {
        let series = format!("aurora_webhook_calls_total{{result=\"{result}\"}} ");
        let metrics = get(self.following.up.control_plane, "/metrics").body;
        let counted = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&series)?.parse().ok());
        assert_eq!(counted.unwrap_or(0), wanted, "{result}");
    }
}

/// Signs a body as GitHub does.
fn signed(secret: &str, body: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-r", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl
        .stdin
        .take()
        .expect("it reads")
        .write_all(body.as_bytes())
        .expect("it takes it");
    let output = openssl.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    format!("sha256={}", text.split(' ').next().expect("a hash"))
}

#[test]
fn two_hundred_calls_in_a_second_are_one_fetch() {
    let Some(hook) = Hook::start() else { return };
    let calls: Vec<(String, String)> = (0..200)
        .map(|number| format!("{{\"after\":\"{number}\"}}"))
        .map(|body| (signed(SECRET, &body), body))
        .collect();
    let commit = hook.forge.commit("pushed");
    let before = hook.fetches();
    for (number, (signature, body)) in calls.iter().enumerate() {
        let answer = hook.call(&number.to_string(), signature, body);
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    hook.following.applies(commit);
    assert_eq!(hook.fetches() - before, 1);
    hook.counts("accepted", 200);
    // And another one for the next.
    let commit = hook.forge.commit("pushed again");
    assert_eq!(hook.call("201", &signed(SECRET, "{}"), "{}").status, 202);
    hook.following.applies(commit);
    assert_eq!(hook.fetches() - before, 2);
}

#[test]
fn what_is_forged_replayed_or_too_large_is_refused_and_counted() {
    let Some(hook) = Hook::start() else { return };
    let signature = signed(SECRET, "{}");
    let before = hook.fetches();
    assert_eq!(hook.call("1", &signature, "{}").status, 202);
    eventually("it is fetched", || (hook.fetches() == before + 1).then_some(()));
    assert_eq!(
        hook.call("2", &signed("another secret of somebody", "{}"), "{}")
            .status,
        403
    );
    assert_eq!(hook.call("2", &signature, "{ }").status, 403);
    assert_eq!(post(hook.address, "/webhook", &[], "{}").status, 403);
    assert_eq!(hook.call("1", &signature, "{}").status, 200, "its id came before");
    assert_eq!(
        hook.call("3", &signature, "{}").status,
        200,
        "its body came before"
    );
    assert_eq!(hook.call("4", &signature, &"x".repeat(30 << 20)).status, 413);
    assert_eq!(get(hook.address, "/webhook").status, 405);
    assert_eq!(get(hook.address, "/").status, 404);
    for (result, wanted) in [("accepted", 1), ("forged", 3), ("duplicate", 2), ("too_large", 1)] {
        hook.counts(result, wanted);
    }
    // Another secret takes the place of the one of before, without a restart.
    hook.forge
        .write("secrets", &format!("{SECRET}\nthe one that comes now\n"));
    assert_eq!(
        hook.call("5", &signed("the one of before, which", "5"), "5")
            .status,
        403
    );
    let commit = hook.forge.commit("pushed");
    assert_eq!(
        hook.call("6", &signed("the one that comes now", "6"), "6").status,
        202
    );
    hook.following.applies(commit);
    assert_eq!(hook.fetches() - before, 2, "nothing else was fetched");
}

/// How many commits are pushed where nobody asks for more.
const PUSHES: usize = 20;

/// From a call to the first answer of another version: what lies between is the fetch, the pass and the swap.
#[test]
fn a_push_changes_live_traffic() {
    let Some(hook) = Hook::start() else { return };
    let asked_for = std::env::var("TESTKIT_PUSHES").ok();
    let pushes = asked_for.map_or(PUSHES, |count| count.parse().expect("a number"));
    let versions = ["v20261101-120000", "v20261102-120000"];
    let [job, deployment] = {
        let manifest = fs::read_to_string(root().join("environments/dev/iris.yaml")).expect("a manifest");
        let (job, deployment) = manifest.split_once("---\n").expect("two documents");
        [job.to_owned(), deployment.to_owned()]
    };
    let second = job
        .replace("name: iris\n", "name: iris-again\n")
        .replace(versions[0], versions[1])
        .replace("seed: 0", "seed: 1");
    let push = |number: usize, version: &str| {
        let deployment = deployment.replace(versions[0], version);
        let manifest = [&job[..], &second, &deployment].join("---\n");
        hook.forge
            .repository
            .write("environments/dev/iris.yaml", manifest);
        hook.forge.repository.commit(&format!("push {number}"));
        let body = format!("{{\"number\":{number}}}");
        let signature = signed(SECRET, &body);
        let began = Instant::now();
        let answer = hook.call(&format!("push-{number}"), &signature, &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        let row = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;
        while hook.following.up.predict("iris", &[], row).version() != version {
            assert!(
                began.elapsed() < Duration::from_mins(2),
                "{version} does not answer"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    };
    // The first one waits for the training of the other version.
    push(0, versions[1]);
    let mut took: Vec<Duration> = (1..=pushes)
        .map(|number| push(number, versions[(number + 1) % 2]))
        .collect();
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    note(&format!(
        "from a push to live traffic, over {pushes} commits: p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    ));
}

/// A job shows the token that the forge gave it: nobody has to share a secret with it.
#[test]
fn a_job_of_the_repository_calls_with_its_token() {
    let Some(forge) = Forge::start() else { return };
    let issuing = Issuing::start("team/models");
    let issuer = issuing.issuer();
    let flags = [
        "--webhook-oidc-issuer",
        &issuer,
        "--webhook-oidc-repository",
        "team/models",
    ];
    let hook = Hook::start_at(forge, &flags);
    let call = |token: &str| {
        let authorization = format!("Bearer {token}");
        post(hook.address, "/webhook", &[("authorization", &authorization)], "")
    };
    let commit = hook.forge.commit("pushed");
    let token = issuing.token("team/models", "first");
    eventually("the issuer's keys are known", || {
        (call(&token).status == 202).then_some(())
    });
    hook.following.applies(commit);
    assert_eq!(call(&token).status, 200, "a second time it asks for nothing");
    assert_eq!(call(&issuing.token("team/fork", "second")).status, 403);
    assert_eq!(call("a.b.c").status, 403);
    hook.counts("accepted", 1);
    hook.counts("duplicate", 1);
    hook.counts("forged", 2);
    // Who knows the secret is heard as before.
    assert_eq!(hook.call("1", &signed(SECRET, "{}"), "{}").status, 202);
}
