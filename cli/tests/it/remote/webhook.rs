//! A forge tells of pushes: one fetch for a burst, and nobody else is listened to.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use super::Following;
use crate::harness::{Answer, Forge, eventually, free_port, get, post};

const SECRET: &str = "a secret of twenty-five by";

struct Hook {
    forge: Forge,
    following: Following,
    address: SocketAddr,
}

impl Hook {
    /// Follows a forge that is polled once an hour.
    fn start() -> Option<Self> {
        let forge = Forge::start()?;
        forge.write("secrets", &format!("the one of before, which\n{SECRET}\n"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut flags = forge.https_flags();
        flags.extend(["--fetch-interval", "3600", "--webhook-secrets-file"].map(str::to_owned));
        flags.push(forge.file("secrets").display().to_string());
        flags.extend(["--webhook".to_owned(), address.to_string()]);
        // The last one counts.
        let at = flags.iter().position(|flag| flag == "1").expect("an interval");
        flags.drain(at - 1..=at);
        let following = Following::start(&forge.https_address("git"), flags);
        following.applies(forge.repository.head());
        Some(Self {
            forge,
            following,
            address,
        })
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
