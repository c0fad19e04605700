//! What a serving Pod runs: `aurora serve --digest`, fed by a control plane, with nothing but a cache of its own.

mod trust;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ground, Up, aurora, eventually, get, post, run, text};

const ROW: &str = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;
const REVISION: &str = "0123456789012345678901234567890123456789";

/// A registry with a version of `iris`, its control plane when it runs, and a Pod's folder.
pub(crate) struct Cluster {
    ground: Ground,
    /// Where the control plane answers.
    address: SocketAddr,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) folder: TempDir,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let ground = Ground::dev();
        let up = ground.up();
        let stable = get(up.control_plane, "/models/iris/stable").json();
        assert!(up.stop().success());
        let said = |pointer: &str| {
            stable
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap()
                .to_owned()
        };
        Self {
            ground,
            address: testkit::free_address().unwrap(),
            version: said("/version"),
            digest: said("/artifact/digest"),
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn control_plane(&self, flags: &[&str]) -> Up {
        let mut command = aurora();
        command
            .args(["control-plane", "--control-plane", &self.address.to_string()])
            .arg("--data-dir")
            .arg(self.ground.data())
            .args(flags);
        Up::watch(command)
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn last_words(&self) -> PathBuf {
        self.folder.path().join("termination-log")
    }

    /// Returns the command of a Pod; what is given besides overrides nothing.
    pub(crate) fn serve(&self, digest: &str, track: &str) -> Command {
        fs::write(self.last_words(), "").unwrap();
        let mut command = aurora();
        command
            .args(["serve", "--inference", "127.0.0.1:0", "--model", "iris"])
            .args(["--version", &self.version, "--digest", digest, "--track", track])
            .args(["--revision", REVISION, "--control-plane"])
            .arg(format!("http://{}", self.address))
            .arg("--cache")
            .arg(self.cache())
            .arg("--termination-log")
            .arg(self.last_words());
        command
    }

    fn key_file(&self, key: &str) -> PathBuf {
        let path = self.folder.path().join("key");
        fs::write(&path, key).unwrap();
        path
    }
}

pub(crate) fn ready(pod: &mut Up) {
    pod.event("the pod is ready", |event| event["event"] == "ready");
}

#[test]
fn a_pod_waits_for_its_control_plane_and_answers_from_its_cache_without_it() {
    let cluster = Cluster::new();
    let mut pod = Up::watch(cluster.serve(&cluster.digest, "canary"));
    // Nobody hands anything out yet: alive, not ready.
    for (path, status) in [
        ("/health", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 503),
    ] {
        assert_eq!(get(pod.inference, path).status, status, "{path}");
    }
    let control_plane = cluster.control_plane(&[]);
    ready(&mut pod);
    assert!(control_plane.stop().success());
    assert_eq!(get(pod.inference, "/v2/health/ready").status, 200);

    let answer = pod.predict("iris", &[], ROW);
    assert_eq!(answer.status, 200, "{answer:?}");
    for (header, value) in [
        ("aurora-model-version", cluster.version.as_str()),
        ("aurora-model-digest", &cluster.digest),
        ("aurora-track", "canary"),
        ("aurora-revision", REVISION),
    ] {
        assert_eq!(answer.headers[header], value);
    }
    assert!(answer.headers.contains_key("aurora-request-id"));
    for (path, track, status) in [
        ("/v2/models/iris/infer", Some("canary"), 200),
        ("/v2/models/iris/infer", Some("stable"), 404),
        ("/v2/models/iris/infer", Some("blue"), 400),
        ("/v2/models/iris/infer", None, 200),
        ("/v2/models/iris/versions/{version}/infer", None, 200),
        ("/v2/models/iris/versions/{version}/infer", Some("canary"), 200),
        ("/v2/models/iris/versions/{version}/infer", Some("stable"), 400),
        ("/v2/models/iris/versions/v20200101-000000/infer", None, 404),
        ("/v2/models/wine-quality/infer", None, 404),
    ] {
        let path = path.replace("{version}", &cluster.version);
        let headers: Vec<_> = track.map(|track| ("aurora-track", track)).into_iter().collect();
        let body = r#"{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP64","data":[5,3,1,0]}]}"#;
        let answer = post(pod.inference, &path, &headers, body);
        assert_eq!(answer.status, status, "{path} {track:?}: {answer:?}");
    }
    let metrics = get(pod.inference, "/metrics").body;
    let version = &cluster.version;
    let answered = format!(
        r#"aurora_inference_requests_total{{code="200",model="iris",track="canary",version="{version}"}} 5"#
    );
    assert!(metrics.contains(&answered), "{metrics}");
    assert!(pod.stop().success());

    let mut again = Up::watch(cluster.serve(&cluster.digest, "stable"));
    ready(&mut again);
    assert_eq!(again.predict("iris", &[], ROW).track(), "stable");
    assert!(again.stop().success());

    // A damaged cache is no cache: the process asks, and ends in order where nobody answers.
    for file in fs::read_dir(cluster.cache()).unwrap() {
        fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    let mut without = Up::watch(cluster.serve(&cluster.digest, "stable"));
    assert_eq!(get(without.inference, "/v2/health/ready").status, 503);
    assert_eq!(without.ended(), None);
    assert!(without.stop().success());
    let mut with = Up::watch(cluster.serve(&cluster.digest, "stable"));
    let _control_plane = cluster.control_plane(&[]);
    ready(&mut with);
    assert!(with.stop().success());
}

#[test]
fn what_only_a_person_can_mend_is_said_in_the_last_words() {
    let cluster = Cluster::new();
    let keys = cluster.folder.path().join("keys");
    let made = run(aurora().args(["key", "new", "pods", "--output", "json"]));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    write_private(&keys, made["line"].as_str().unwrap());
    let _control_plane = cluster.control_plane(&["--api-keys-file", keys.to_str().unwrap()]);
    let ends = |command: &mut Command, told: &str| {
        let output = run(command);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let last_words = fs::read_to_string(cluster.last_words()).unwrap();
        for said in [&last_words, &text(&output)] {
            assert!(said.contains(told), "{said}");
        }
    };
    ends(
        &mut cluster.serve(&cluster.digest, "stable"),
        "refuses the key (401",
    );
    let wrong = cluster.key_file("wrong\n");
    ends(
        cluster
            .serve(&cluster.digest, "stable")
            .arg("--key-file")
            .arg(&wrong),
        "refuses the key (401",
    );
    let right = cluster.key_file(&format!("{}\n", made["key"].as_str().unwrap()));
    let other = format!("sha256:{}", "0".repeat(64));
    ends(
        cluster.serve(&other, "stable").arg("--key-file").arg(&right),
        "is what was pinned",
    );
    let mut command = cluster.serve(&cluster.digest, "stable");
    command.arg("--key-file").arg(&right);
    let mut pod = Up::watch(command);
    ready(&mut pod);
    assert!(pod.stop().success());
}

#[test]
fn a_pod_that_fetches_ends_at_the_signal() {
    let cluster = Cluster::new();
    // It takes the connection and says nothing.
    let _silent = TcpListener::bind(cluster.address).unwrap();
    let mut pod = Up::watch(cluster.serve(&cluster.digest, "stable"));
    assert_eq!(get(pod.inference, "/health").status, 200);
    pod.signal(Signal::TERM);
    assert!(eventually("it ends", || pod.ended()).success());
}

fn write_private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}
