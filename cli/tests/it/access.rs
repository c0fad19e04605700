//! Listeners by TLS, and keys that stand nowhere but where they were given.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{FREE_PORTS, Ground, Up, ask, aurora, get, post, private, run, text, up_command};

const ROW: &str = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;

fn ready(command: Command) -> Up {
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    up
}

/// Asks by curl, which trusts this certificate alone; returns what it says and whether it was content.
fn curl(certificate: &Path, url: &str, arguments: &[&str]) -> (bool, String) {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "30",
        "--cacert",
    ]);
    let output = run(curl.arg(certificate).args(arguments).arg(url));
    (output.status.success(), text(&output))
}

#[test]
fn both_listeners_answer_by_tls() {
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    private(&key, &made.signing_key.serialize_pem());
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS);
    command.arg("--tls-certificate").arg(&certificate);
    command.arg("--tls-key").arg(&key);
    let mut up = ready(command);
    let event = up.event("it is ready", |event| event["event"] == "ready");
    let url = format!("https://{}", up.inference);
    assert!(event.to_string().contains(&url), "{event}");

    let at = |address: SocketAddr, path: &str| format!("https://localhost:{}{path}", address.port());
    let headers = ["--header", "content-type: application/json", "--data", ROW];
    let (is_content, said) = curl(&certificate, &at(up.inference, "/predict/iris"), &headers);
    assert!(is_content && said.contains("predictions"), "{said}");
    let (is_content, said) = curl(&certificate, &at(up.control_plane, "/models"), &[]);
    assert!(is_content && said.contains("iris"), "{said}");
    assert_eq!(get(up.inference, "/health").status, 0);

    for (listener, address) in [("inference", up.inference), ("control-plane", up.control_plane)] {
        let health = |certificate: Option<&Path>| {
            let mut health = aurora();
            health.args(["health", "--listener", listener]);
            health.arg(format!("--{listener}")).arg(address.to_string());
            health.args(certificate.map(|path| format!("--tls-certificate={}", path.display())));
            run(&mut health).status.code()
        };
        assert_eq!(health(Some(&certificate)), Some(0), "{listener}");
        assert_eq!(health(None), Some(1), "{listener}");
        let other = folder.path().join("other.crt");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&other, made.cert.pem()).unwrap();
        assert_eq!(health(Some(&other)), Some(1), "{listener}");
    }
    assert!(up.stop().success());
}

#[test]
fn a_certificate_without_its_key_is_refused_at_the_start() {
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let certificate = folder.path().join("tls.crt");
    fs::write(&certificate, "").unwrap();
    let start = |flags: &[&str]| {
        let mut command = up_command(ground.repository.path(), &ground.data());
        let output = run(command.args(FREE_PORTS).args(flags));
        assert_eq!(output.status.code(), Some(2));
        text(&output)
    };
    let path = certificate.to_str().unwrap();
    let alone = start(&["--tls-certificate", path]);
    assert!(alone.contains("--tls-key"), "{alone}");
    let empty = start(&["--tls-certificate", path, "--tls-key", path]);
    assert!(empty.contains("tls.crt"), "{empty}");
}

/// Returns the files below a folder that hold a text.
fn holders(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            holders(&path, text, found);
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_key_stands_in_no_log_no_file_no_metric_and_no_answer() {
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let made = run(aurora().args(["key", "new", "somebody", "--output", "json"]));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let part = |name: &str| made[name].as_str().unwrap().to_owned();
    let (known, line) = (part("key"), part("line"));
    let unknown = known.replace(|digit: char| digit.is_ascii_digit(), "7");
    let file = folder.path().join("keys");
    private(&file, &line);
    let log = folder.path().join("log");
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).env("AURORA_LOG", "debug,access=debug");
    command.arg("--inference-keys-file").arg(&file);
    command.arg("--api-keys-file").arg(&file);
    command.stderr(File::create(&log).unwrap());
    let up = ready(command);

    let mut answers = Vec::new();
    let mut asked = |address: SocketAddr, path: &str, key: &str| {
        let bearer = format!("Bearer {key}");
        for header in [("x-api-key", key), ("authorization", &bearer)] {
            let answer = post(address, path, &[header], ROW);
            answers.push(format!("{path}: {answer:?}"));
            let answer = ask(address, "GET", path, &[header], "");
            answers.push(format!("{path}: {answer:?}"));
        }
    };
    for path in ["/predict/iris", "/v2/models/iris", "/metrics", "/v2", "/nowhere"] {
        asked(up.inference, path, &known);
        asked(up.inference, &format!("{path}?key={known}"), &known);
    }
    for path in [
        "/models",
        "/models/iris",
        "/models/iris/stable",
        "/status",
        "/status/models/iris",
        "/metrics",
        "/openapi.json",
        "/cluster/nodes",
        "/storage/volumes",
    ] {
        asked(up.control_plane, path, &known);
        asked(up.control_plane, &format!("{path}?key={known}"), &known);
    }
    for path in [format!("/models/{known}"), format!("/models/iris/{known}")] {
        asked(up.control_plane, &path, &known);
    }
    asked(up.inference, &format!("/v2/models/{known}/infer"), &known);
    // These are slowed: a few show as much as many.
    asked(up.inference, &format!("/predict/iris?key={unknown}"), &unknown);
    let events = up.events();
    assert!(up.stop().success());

    let log = fs::read_to_string(&log).unwrap();
    assert!(
        log.contains("\"path\":\"/models/iris/stable\""),
        "the log of requests: {log}"
    );
    assert!(log.contains("\"code\":401"), "the log of requests: {log}");
    for key in [&known, &unknown] {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(key)).collect();
        assert!(told.is_empty(), "{told:?}");
        assert!(!log.contains("?key="), "a query in the log");
        assert!(!events.iter().any(|event| event.to_string().contains(key)));
        let mut found = Vec::new();
        holders(&ground.data(), key, &mut found);
        assert!(found.is_empty(), "{found:?}");
        // What asks with a key in its path reads its own words.
        let told: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.split_once(": "))
            .filter(|(path, answer)| !path.contains(key.as_str()) && answer.contains(key.as_str()))
            .collect();
        assert!(told.is_empty(), "{told:?}");
    }
}
