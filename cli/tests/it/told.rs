//! Others are told how commits fare: a forge, and those whom the environment names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{GitHub, Refusal};

use crate::harness::{FREE_PORTS, Repository, Up, eventually, get, private, root, up_command};

const SECRET: &str = "what calls are signed with";
const MANIFEST: &str = "environments/dev/iris.yaml";

/// Somebody who is told.
struct Receiver {
    address: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[derive(Debug, Clone)]
struct Call {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Receiver {
    /// Listens; the first call of each path is told to come again.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let taken = calls.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let call = read(&stream);
                let mut calls = taken.lock().unwrap();
                let is_first = !calls.iter().any(|known| known.path == call.path);
                calls.push(call);
                let status = if is_first { "503 Later" } else { "204 Taken" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, calls }
    }

    fn calls(&self, path: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.path == path).cloned().collect()
    }
}

fn read(stream: &TcpStream) -> Call {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let path = line().split(' ').nth(1).unwrap().to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line().split_once(": ") {
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut call = Call {
        path,
        headers,
        body: String::new(),
    };
    let mut body = vec![0; call.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    call.body = String::from_utf8(body).unwrap();
    call
}

impl Call {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An environment that serves one model, and everybody who is told of it.
struct Told {
    repository: Repository,
    folder: TempDir,
    forge: GitHub,
    receiver: Receiver,
}

impl Told {
    fn new() -> Self {
        let told = Self {
            repository: Repository::empty(),
            folder: TempDir::new().unwrap(),
            forge: GitHub::start().unwrap(),
            receiver: Receiver::start(),
        };
        let read = |file: &str| std::fs::read_to_string(root().join("environments/dev").join(file)).unwrap();
        let receivers = format!(
            "  notify:\n    - {{ url: \"{}/hook\", secretFile: pager, on: [Finding, Applied] }}\n    - {{ type: Slack, secretFile: slack, on: [Finding] }}\n",
            told.receiver.address
        );
        told.repository.write(
            "environments/dev/environment.yaml",
            read("environment.yaml") + &receivers,
        );
        told.repository.write(MANIFEST, read("iris.yaml"));
        told.repository.commit("declare iris");
        private(&told.folder.path().join("token"), told.forge.token());
        private(&told.folder.path().join("pager"), SECRET);
        private(
            &told.folder.path().join("slack"),
            &format!("{}/services/T0/B0/s3cret", told.receiver.address),
        );
        told
    }

    fn up(&self) -> Up {
        let mut command = up_command(self.repository.path(), &self.folder.path().join("data"));
        command.args(FREE_PORTS);
        command
            .arg("--github-token-file")
            .arg(self.folder.path().join("token"));
        command.args([
            "--github-repository",
            "octo/models",
            "--github-api",
            &self.forge.api(),
        ]);
        command.arg("--notify-secrets").arg(self.folder.path());
        command.args(["--traces", &self.receiver.address]);
        Up::watch(command)
    }

    fn statuses(&self, commit: git2::Oid, expected: &[&str]) {
        let commit = commit.to_string();
        eventually(&format!("{commit} has statuses {expected:?}"), || {
            let statuses = self.forge.statuses(&commit);
            let is_so = statuses.len() == expected.len()
                && statuses
                    .iter()
                    .zip(expected)
                    .all(|(status, expected)| status.starts_with(expected));
            is_so.then_some(())
        });
    }
}

#[test]
fn a_forge_and_receivers_are_told_how_commits_fare() {
    let told = Told::new();
    // What is away for a while is told later, and holds nothing up.
    told.forge.refuse([Refusal {
        code: 502,
        headers: Vec::new(),
    }]);
    let up = told.up();
    let first = told.repository.head();
    eventually("the first commit is a deployment", || {
        let expected = format!("dev {first} success");
        (told.forge.deployments() == [expected]).then_some(())
    });
    let statuses = told.forge.statuses(&first.to_string());
    assert_eq!(
        statuses.last().map(String::as_str),
        Some("aurora/dev success applied")
    );

    let applied = eventually("a call was taken", || {
        let calls = told.receiver.calls("/hook");
        let mut again = calls
            .iter()
            .filter(|call| call.header("webhook-id") == calls[0].header("webhook-id"));
        again.nth(1).cloned()
    });
    let json = applied.json();
    assert_eq!(json["type"], "aurora.applied");
    assert_eq!(
        (&json["data"]["environment"], &json["data"]["revision"]),
        (&"dev".into(), &first.to_string().into())
    );
    let signed = |secret: &str| {
        let (id, timestamp) = (applied.header("webhook-id"), applied.header("webhook-timestamp"));
        server::sign(secret, id, timestamp, applied.body.as_bytes())
    };
    assert_eq!(applied.header("webhook-signature"), signed(SECRET));

    // A version that nobody makes is a finding.
    let text = told.repository.read(MANIFEST);
    let (job, deployment) = text.split_once("---\n").unwrap();
    told.repository.write(
        MANIFEST,
        format!(
            "{job}---\n{}",
            deployment.replace("v20261101-120000", "v20261102-120000")
        ),
    );
    let refused = told.repository.commit("pin what is not there");
    told.statuses(refused, &["aurora/dev failure VersionMissing: "]);
    let slack = eventually("Slack was told", || {
        told.receiver.calls("/services/T0/B0/s3cret").into_iter().nth(1)
    });
    let text = slack.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("dev at ") && text.contains("\n• environments/dev/iris.yaml:"),
        "{text}"
    );
    assert!(slack.header("webhook-signature").is_empty());
    assert_eq!(told.forge.deployments().len(), 1);

    // A collector took the way of each commit, the one that was applied and the one that was refused.
    for (commit, code) in [(first, 1), (refused, 2)] {
        let id = &commit.to_string()[..32];
        let spans = eventually("a trace came", || {
            let calls = told.receiver.calls("/v1/traces");
            let mut spans = calls
                .iter()
                .map(|call| call.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].clone());
            spans.rfind(|spans| spans[0]["traceId"] == id)
        });
        assert_eq!(
            (&spans[0]["name"], &spans[0]["status"]["code"]),
            (&json!("commit"), &json!(code)),
            "{spans}"
        );
        let names = spans.as_array().unwrap()[1..].iter().map(|span| {
            assert_eq!(span["parentSpanId"], spans[0]["spanId"], "{spans}");
            span["name"].as_str().unwrap().to_owned()
        });
        let names: Vec<String> = names.collect();
        let trained = "train iris v20261101-120000".to_owned();
        assert!(names.contains(&"pass".to_owned()), "{names:?}");
        assert_eq!(names.contains(&trained), code == 1, "{names:?}");
    }

    let metrics = get(up.control_plane, "/metrics").body;
    for series in [
        "receiver=\"github\",result=\"failed\"",
        "receiver=\"github\",result=\"ok\"",
        "receiver=\"slack\",result=\"ok\"",
    ] {
        let series = format!("aurora_told_total{{{series}}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&series));
        assert!(count.is_some_and(|count| count != "0"), "{series}: {metrics}");
    }

    // Whoever starts again says nothing again.
    let (writes, calls) = (told.forge.writes(), told.receiver.calls("/hook").len());
    assert!(up.stop().success());
    let up = told.up();
    eventually("the forge was asked what it knows", || {
        let metrics = get(up.control_plane, "/metrics").body;
        metrics
            .contains("aurora_told_total{receiver=\"github\",result=\"ok\"}")
            .then_some(())
    });
    assert_eq!(told.forge.writes(), writes);
    assert_eq!(told.receiver.calls("/hook").len(), calls);
}

#[test]
fn a_forge_that_cannot_be_told_is_said_at_once() {
    let told = Told::new();
    let refused = |flags: &[&str], words: &str| {
        let mut command = up_command(told.repository.path(), &told.folder.path().join("data"));
        let output = crate::harness::run(command.args(FREE_PORTS).args(flags));
        let said = crate::harness::text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    };
    let token = told.folder.path().join("token").display().to_string();
    refused(
        &["--github-token-file", "/nowhere"],
        "--github-token-file: /nowhere",
    );
    refused(&["--github-token-file", &token], "--github-repository OWNER/NAME");
    let named = ["--github-token-file", &token, "--github-repository", "octo"];
    refused(&named, "does not name an owner and a repository");
    let plain = [
        "--github-token-file",
        &token,
        "--github-repository",
        "octo/models",
        "--github-api",
        "http://forge.example",
    ];
    refused(&plain, "plain http");
}
