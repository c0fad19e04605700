//! What whoever runs `aurora` as a service goes by: the messages to systemd, `aurora health`, logs with their time.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{FREE_PORTS, Ground, Repository, Up, aurora, eventually, run, text, up_command};

/// Listens where a supervisor does; what it heard is kept. Its queue is short, so it reads all the time.
struct Systemd(Arc<Mutex<Vec<String>>>);

impl Systemd {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = heard.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = socket.recv(&mut bytes) {
                let message = String::from_utf8_lossy(&bytes[..read]).into_owned();
                kept.lock().unwrap().push(message);
            }
        });
        Self(heard)
    }

    fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, message: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == message).count()
    }

    /// Waits until something was heard, and returns after how many other messages.
    fn hears(&self, what: &str, wanted: impl Fn(&str) -> bool) -> usize {
        eventually(what, || self.heard().iter().position(|message| wanted(message)))
    }
}

#[test]
fn systemd_is_told_that_it_answers_how_it_stands_that_it_lives_and_that_it_ends() {
    let ground = Ground::dev();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = Systemd::at(&SocketAddr::from_pathname(&path).unwrap());
    let mut command = up_command(ground.repository.path(), &ground.data());
    command
        .args(FREE_PORTS)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000");
    let mut up = Up::watch(command);
    let ready = systemd.hears("it is ready", |message| message == "READY=1");
    let serving = systemd.hears("it serves", |message| message.starts_with("STATUS=Serving at "));
    assert!(ready < serving, "models or not: {:?}", systemd.heard());
    let fed = systemd.count("WATCHDOG=1");
    eventually("the watchdog is fed again and again", || {
        (systemd.count("WATCHDOG=1") >= fed + 3).then_some(())
    });
    let wine = "environments/dev/wine-quality.yaml";
    ground.repository.edit(wine, "weight: 10", "weight: ten");
    systemd.hears("it is degraded", |message| {
        message.starts_with("STATUS=Degraded at ")
    });
    up.signal(Signal::TERM);
    systemd.hears("it stops", |message| message == "STOPPING=1");
    eventually("it ends", || up.ended());
    assert_eq!((systemd.count("READY=1"), systemd.count("STOPPING=1")), (1, 1));
}

#[test]
fn a_supervisor_with_an_abstract_socket_is_told_and_one_that_is_gone_stops_nothing() {
    let ground = Ground::dev();
    let name = format!("aurora-test-{}", std::process::id());
    let systemd = Systemd::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let start = |socket: &str, watchdog_pid: &str| {
        let mut command = up_command(ground.repository.path(), &ground.data());
        command
            .args(FREE_PORTS)
            .env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", "10000")
            .env("WATCHDOG_PID", watchdog_pid);
        let mut up = Up::watch(command);
        up.event("it serves", |event| event["event"] == "ready");
        assert!(up.stop().success());
    };
    start(&format!("@{name}"), "1");
    systemd.hears("it stops", |message| message == "STOPPING=1");
    assert_eq!(
        systemd.count("WATCHDOG=1"),
        0,
        "the watchdog is another process's"
    );
    start("/nowhere/notify", "1");
}

fn health(flags: &[&str]) -> (Option<i32>, String) {
    let output = run(aurora().arg("health").args(flags));
    (output.status.code(), text(&output))
}

#[test]
fn health_says_whether_a_listener_is_well() {
    let repository = Repository::empty();
    repository.write("environments/dev/environment.yaml", "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: dev }\nspec: { target: Standalone }\n");
    repository.commit("no model yet");
    let data = tempfile::tempdir().unwrap();
    let mut command = up_command(repository.path(), &data.path().join("data"));
    command.args(FREE_PORTS);
    let up = Up::watch(command);
    let inference = up.inference.to_string();
    let control_plane = up.control_plane.to_string();
    let (code, said) = health(&["--inference", &inference]);
    assert_eq!(code, Some(1), "without a model it is not ready: {said}");
    assert!(said.starts_with("not healthy: http://127.0.0.1:"), "{said}");
    assert_eq!(health(&["--inference", &inference, "--live"]).0, Some(0));
    let of_control_plane = ["--listener", "control-plane", "--control-plane", &control_plane];
    assert_eq!(health(&of_control_plane).0, Some(0));
    // What is listened on everywhere is asked on this machine.
    let everywhere = format!("0.0.0.0:{}", up.inference.port());
    assert_eq!(health(&["--inference", &everywhere, "--live"]).0, Some(0));
    let (code, said) = health(&["--inference", &inference, "--live", "--output", "json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["healthy"]), (Some(0), &Value::Bool(true)));
    assert!(up.stop().success());
    assert_eq!(health(&["--inference", &inference, "--live"]).0, Some(1));
    assert_eq!(health(&["--nonsense"]).0, Some(2));
}

/// Says whether a text begins with a date, a time and a zone.
fn is_dated(text: &str) -> bool {
    let shape: String = text
        .chars()
        .take(20)
        .map(|character| {
            if character.is_ascii_digit() {
                '0'
            } else {
                character
            }
        })
        .collect();
    shape == "0000-00-00T00:00:00Z"
}

#[test]
fn what_is_logged_has_date_and_zone_and_errors_have_the_form_of_the_rest() {
    let ground = Ground::dev();
    let up = ground.up();
    for event in up.events() {
        assert!(event["at"].as_str().is_some_and(is_dated), "{event}");
    }
    assert!(up.stop().success());

    let output = run(up_command(Path::new("/nowhere"), Path::new("/nowhere"))
        .args(FREE_PORTS)
        .args(["--output", "json"]));
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    let error: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(error["event"], "error");
    let output = run(up_command(ground.repository.path(), &ground.data())
        .env("AURORA_OUTPUT", "json")
        .args(["--max-body", "much"]));
    let said = text(&output);
    let error: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(error["message"].to_string().contains("--max-body"), "{error}");
    assert!(error["at"].as_str().is_some_and(is_dated), "{error}");
}
