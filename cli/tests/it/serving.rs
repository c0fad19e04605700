//! The listeners of a running `up`: who may ask, and what clients cannot do to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

use crate::harness::{Answer, FREE_PORTS, Ground, Up, aurora, eventually, get, post, run, text, up_command};

const ROW: &str = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;

/// Starts `up` with further flags and waits until it is ready.
fn up(ground: &Ground, flags: &[&str]) -> Up {
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).args(flags);
    ready(command)
}

fn ready(command: Command) -> Up {
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    up
}

/// Makes a key; returns it and its line.
fn key(name: &str) -> (String, String) {
    let output = run(aurora().args(["key", "new", name, "--output", "json"]));
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let part = |name: &str| made[name].as_str().unwrap().to_owned();
    (part("key"), part("line"))
}

fn write_private(path: &Path, content: &str) {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(content.as_bytes()).unwrap();
}

fn predict(up: &Up, headers: &[(&str, &str)]) -> Answer {
    post(up.inference, "/predict/iris", headers, ROW)
}

#[test]
fn keys_work_while_their_line_stands_and_what_is_no_file_lets_nobody_in() {
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys");
    let ((first, a), (second, b)) = (key("a"), key("b"));
    write_private(&path, &format!("{a}\n{b}\n"));
    let file = path.to_str().unwrap();
    let flags = [
        "--inference-keys-file",
        file,
        "--api-keys-file",
        file,
        "--metrics-without-key",
    ];
    let up = up(&ground, &flags);
    let bearer = format!("Bearer {second}");
    assert_eq!(predict(&up, &[("x-api-key", &first)]).status, 200);
    assert_eq!(predict(&up, &[("authorization", &bearer)]).status, 200);
    let refused = predict(&up, &[]);
    assert_eq!(refused.status, 401);
    assert!(
        refused.headers["www-authenticate"].starts_with("Bearer"),
        "{refused:?}"
    );

    write_private(&path, &b);
    eventually("the key whose line is gone is refused", || {
        (predict(&up, &[("x-api-key", &first)]).status == 401).then_some(())
    });
    assert_eq!(predict(&up, &[("x-api-key", &second)]).status, 200);

    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    eventually("nobody is let in", || {
        (predict(&up, &[("authorization", &bearer)]).status == 401).then_some(())
    });
    assert_eq!(get(up.control_plane, "/models").status, 401);
    for (address, path) in [
        (up.inference, "/v2/health/live"),
        (up.inference, "/v2/health/ready"),
        (up.inference, "/health"),
        (up.inference, "/metrics"),
        (up.control_plane, "/health"),
        (up.control_plane, "/metrics"),
    ] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    assert!(up.stop().success());
}

#[test]
fn a_key_file_that_others_can_read_is_refused_at_the_start() {
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys");
    write_private(&path, &key("a").1);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let flags = ["--inference-keys-file", path.to_str().unwrap()];
    let output = run(up_command(ground.repository.path(), &ground.data())
        .args(FREE_PORTS)
        .args(flags));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("0644"), "{}", text(&output));
}

/// Opens a connection and asks on it for as little as there is.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(alive(&mut stream));
    stream
}

/// Asks on an open connection and reads the whole answer.
fn alive(stream: &mut TcpStream) -> bool {
    let request = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    if stream.write_all(request).is_err() {
        return false;
    }
    while !answer.ends_with(b"{\"live\":true}") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return false,
            Ok(read) => answer.extend_from_slice(&part[..read]),
        }
    }
    true
}

#[test]
fn the_limit_on_open_files_is_raised_for_connections() {
    let ground = Ground::dev();
    let inner = up_command(ground.repository.path(), &ground.data());
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -Sn 100 && exec "$@""#, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .args(FREE_PORTS);
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let up = ready(command);
    let mut connections: Vec<_> = (0..150).map(|_| connect(up.inference)).collect();
    assert!(connections.iter_mut().all(alive), "each of them is still open");
    assert_eq!(predict(&up, &[]).status, 200);
}

#[test]
fn what_requests_may_hold_goes_by_the_memory_there_is() {
    let ground = Ground::dev();
    let listening = |flags: &[&str], kibibytes: &str| {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -d {kibibytes} && exec \"$@\""), "sh"]);
        let up = up_command(ground.repository.path(), &ground.data());
        limited.arg(up.get_program()).args(up.get_args());
        for (name, _unset) in up.get_envs() {
            limited.env_remove(name);
        }
        let mut up = Up::watch({
            limited.args(FREE_PORTS).args(flags);
            limited
        });
        let told = up.event("it tells its bounds", |event| event["event"] == "listening");
        up.event("it is ready", |event| event["event"] == "ready");
        (up, told["bounds"].clone())
    };
    let mebibytes = |bounds: &serde_json::Value, name: &str| bounds[name].as_u64().unwrap() >> 20;
    let (up, bounds) = listening(&[], "65536");
    assert_eq!(mebibytes(&bounds, "memory_bytes"), 64);
    assert_eq!(bounds["memory_limited_by"], "ulimit -d");
    let held = mebibytes(&bounds, "bodies_bytes") + mebibytes(&bounds, "answers_bytes");
    assert!(held <= 16, "all together are a quarter: {bounds}");
    assert_eq!(mebibytes(&bounds, "body_bytes"), 4, "{bounds}");
    // Larger bodies than there is memory for, at a time, and then one that fits.
    let row = r#"{"sepal length":5.1,"sepal width":3.5,"petal length":1.4,"petal width":0.2}"#;
    let body = |rows: usize| format!(r#"{{"rows":[{}]}}"#, vec![row; rows].join(","));
    let large = body(95_000);
    let address = up.inference;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(post(address, "/predict/iris", &[], &large).status, 413));
        }
    });
    assert_eq!(post(address, "/predict/iris", &[], &body(20_000)).status, 200);
    assert!(up.stop().success());

    // Whoever gives a flag knows better, and what is not given goes with it.
    let (up, bounds) = listening(&["--max-body", "6MiB", "--max-answers", "2MiB"], "65536");
    assert_eq!(mebibytes(&bounds, "body_bytes"), 6, "{bounds}");
    assert_eq!(mebibytes(&bounds, "bodies_bytes"), 6, "{bounds}");
    assert_eq!(mebibytes(&bounds, "answer_bytes"), 2, "{bounds}");
    assert!(up.stop().success());
}

#[test]
fn limits_are_flags() {
    let ground = Ground::dev();
    let flags = [
        "--max-connections",
        "20",
        "--max-rows",
        "3",
        "--max-body",
        "1KiB",
        "--max-answer",
        "1200",
    ];
    let up = up(&ground, &flags);
    let status = |body: &str| post(up.inference, "/predict/iris", &[], body);
    let rows = |count: usize| format!(r#"{{"inputs":[{}]}}"#, vec!["[5,3,1,0]"; count].join(","));
    assert_eq!(status(&rows(3)).status, 200);
    assert!(
        status(&rows(4))
            .body
            .contains("more than the 3 that a request may have")
    );
    assert!(status(&rows(500)).body.contains("larger than 1024 bytes"));
    let tensor =
        r#"{"inputs":[{"name":"input","shape":[3,4],"datatype":"FP64","data":[5,3,1,0,5,3,1,0,5,3,1,0]}]}"#;
    let answer = post(up.inference, "/v2/models/iris/infer", &[], tensor);
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("send at most 2 rows"), "{answer:?}");
    // Five times as many connections as there may be: whoever comes is answered.
    let _idle: Vec<_> = (0..100).map(|_| connect(up.inference)).collect();
    assert_eq!(predict(&up, &[]).status, 200);
    assert_eq!(get(up.inference, "/health").status, 200);

    for (flag, value, told) in [
        ("--max-body", "16MB", "16MiB"),
        ("--max-connections", "0", "from 1 to"),
        ("--idle-timeout", "0", "1.."),
    ] {
        let output = run(aurora().args(["up", flag, value]));
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(text(&output).contains(told), "{}", text(&output));
    }
}
