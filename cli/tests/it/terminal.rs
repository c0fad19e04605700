//! What becomes of the output: a reader that is slow or gone, a full disk, a terminal that is closed. It stops nothing.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use planner::shown::is_plain;
use rustix::process::{Pid, Signal, kill_process};
use testkit::free_address;

use crate::harness::{Ground, Repository, Up, aurora, eventually, get, run, text, up_command};

const WINE: &str = "environments/dev/wine-quality.yaml";
/// Names and texts that would end a line, colour it, set a title, or be read from right to left.
const HOSTILE: &str = "x\n04:00:00 * all is well\x1b[2K\x1b]0;title\x07\u{202e}\u{200b}\u{9b}31m";

/// Returns a pipe that is full, and stays so while its reader is held.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// A process that is killed when a test fails.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("the binary starts"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    #[track_caller]
    fn ends_well(mut self) {
        self.signal(Signal::TERM);
        let status = eventually("it ends after SIGTERM", || self.0.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Returns `aurora up` at these addresses.
fn up_at(ground: &Ground, inference: SocketAddr, control_plane: SocketAddr) -> Command {
    let mut command = up_command(ground.repository.path(), &ground.data());
    command
        .args(["--inference", &inference.to_string()])
        .args(["--control-plane", &control_plane.to_string()]);
    command
}

#[test]
fn output_that_nobody_reads_stops_neither_commits_nor_the_drain() {
    let ground = Ground::dev();
    let (inference, control_plane) = (free_address().unwrap(), free_address().unwrap());
    let (out, err) = (full_pipe(), full_pipe());
    let server = Server::start(
        up_at(&ground, inference, control_plane)
            .env("AURORA_LOG", "debug")
            .stdout(out.1)
            .stderr(err.1),
    );
    let ready = |path: &str| get(inference, path).status == 200;
    eventually("it serves", || {
        ready("/v2/models/wine-quality/ready").then_some(())
    });
    let live = || get(control_plane, "/status/objects").json()["deployments"][1]["status"]["weight"].clone();
    for (from, to) in [(10, 20), (20, 30), (30, 40)] {
        ground
            .repository
            .edit(WINE, &format!("weight: {from}"), &format!("weight: {to}"));
        eventually("the commit arrives", || (live() == to).then_some(()));
    }
    let metrics = get(control_plane, "/metrics").body;
    assert!(
        metrics.contains("aurora_canary_weight{environment=\"dev\",model=\"wine-quality\"} 40"),
        "{metrics}"
    );
    server.ends_well();
    drop((out.0, err.0));
}

#[test]
fn servers_go_on_when_their_output_cannot_be_written() {
    let ground = Ground::dev();
    let data = ground.data();
    let reconciled = run(aurora()
        .args(["reconcile", "--once", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(&data));
    assert!(reconciled.status.success(), "{}", text(&reconciled));
    let gone = || {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Stdio::from(OwnedFd::from(writer))
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for out in [gone as fn() -> Stdio, full] {
        for (command, flag, path) in [
            ("serve", "--inference", "/v2/health/live"),
            ("control-plane", "--control-plane", "/health"),
        ] {
            let address = free_address().unwrap();
            let server = Server::start(
                aurora()
                    .arg(command)
                    .arg("--data-dir")
                    .arg(&data)
                    .args([flag, &address.to_string()])
                    .stdout(out())
                    .stderr(out()),
            );
            eventually(command, || (get(address, path).status == 200).then_some(()));
            server.ends_well();
        }
        let (inference, control_plane) = (free_address().unwrap(), free_address().unwrap());
        let server = Server::start(
            up_at(&ground, inference, control_plane)
                .stdout(out())
                .stderr(out()),
        );
        eventually("up", || {
            (get(inference, "/v2/models/iris/ready").status == 200).then_some(())
        });
        server.ends_well();
    }
}

#[test]
fn a_full_disk_is_said_and_fails_a_command_that_ends_by_itself() {
    let repository = Repository::dev();
    let folder = tempfile::TempDir::new().unwrap();
    let path = repository.path().to_str().unwrap();
    let registry = folder.path().join("registry");
    for arguments in [
        &["crds"][..],
        &["--help"],
        &["--version"],
        &["up", "--help"],
        &["key", "new", "ann"],
        &["key", "new", "ann", "--output", "json"],
        &["validate", "--repo", path],
        &["plan", "--base", "HEAD", "--repo", path],
        &["plan", "--base", "HEAD", "--output", "markdown", "--repo", path],
        &["registry", "init", "--registry", registry.to_str().unwrap()],
        &["model", "list", "--registry", registry.to_str().unwrap()],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = aurora()
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.starts_with("error: cannot write the output"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_reader_that_leaves_changes_no_answer() {
    let repository = Repository::dev();
    let path = repository.path().to_str().unwrap();
    repository.edit(WINE, "weight: 10", "weight: ten");
    for (arguments, code) in [
        (&["crds"][..], 0),
        (&["--help"], 0),
        (&["validate", "--repo", path], 1),
        (&["validate", "--output", "json", "--repo", path], 1),
        (&["validate", "--revision", "HEAD~1", "--repo", path], 0),
        (&["plan", "--base", "HEAD~1", "--repo", path], 2),
        (
            &["plan", "--base", "HEAD~1", "--head", "HEAD~1", "--repo", path],
            0,
        ),
    ] {
        let mut child = aurora()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output));
    }
}

/// Starts `up` through words that become the command given after them, and waits until it is ready.
fn started_by(ground: &Ground, words: &[&str]) -> Up {
    let real = up_command(ground.repository.path(), &ground.data());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(real.get_program())
        .args(real.get_args())
        .args(crate::harness::FREE_PORTS);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    up
}

#[test]
fn a_terminal_that_closes_ends_it_orderly() {
    let ground = Ground::dev();
    // Whoever runs the tests may ignore it, which a shell cannot undo.
    let mut up = started_by(
        &ground,
        &["perl", "-e", "$SIG{HUP} = 'DEFAULT'; exec @ARGV or die $!"],
    );
    up.signal(Signal::HUP);
    up.event("it says that it stops", |event| event["event"] == "stopping");
    let status = eventually("it ends after SIGHUP", || up.ended());
    assert!(status.success(), "{status}");
}

#[test]
fn what_is_to_outlive_its_terminal_does() {
    let ground = Ground::dev();
    // As `nohup` starts it.
    let mut up = started_by(&ground, &["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    up.signal(Signal::HUP);
    ground.repository.edit(WINE, "weight: 10", "weight: 20");
    up.event("it goes on", |event| {
        event["event"] == "weight" && event["to"] == 20
    });
    assert!(!up.events().iter().any(|event| event["event"] == "stopping"));
    // Nor does writing to the terminal from the background stop it.
    let status = std::fs::read_to_string(format!("/proc/{}/status", up.id())).unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    let is_ignored = |signal: Signal| ignored & (1 << (signal.as_raw() - 1)) != 0;
    assert!(is_ignored(Signal::TTOU) && is_ignored(Signal::HUP), "{ignored:x}");
    assert!(up.stop().success());
}

/// Fails where a line holds what a terminal would obey, or where a text brought a line of its own.
#[track_caller]
fn is_safe(what: &str, said: &str) {
    for line in said.lines() {
        assert!(line.chars().all(is_plain), "{what}: {line:?}");
        assert!(!line.starts_with("04:00:00"), "{what}: {line:?}");
    }
    assert!(said.contains("all is well"), "{what} says nothing of it: {said}");
}

#[test]
fn what_a_commit_brings_is_shown_escaped_everywhere() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let path = repository.path().to_str().unwrap();
    let (inference, control_plane) = (free_address().unwrap(), free_address().unwrap());
    let said = tempfile::tempfile().unwrap();
    let server = Server::start(
        up_at(&ground, inference, control_plane)
            .env("AURORA_LOG", "debug")
            .stdout(said.try_clone().unwrap())
            .stderr(said.try_clone().unwrap()),
    );
    let data = ground.data();
    let data = data.to_str().unwrap();
    eventually("all serves as declared", || {
        let status = run(aurora().args(["status", "--data-dir", data]));
        status.status.success().then_some(())
    });
    repository.write(&format!("environments/{HOSTILE}/notes.txt"), "");
    repository.write(
        &format!("environments/dev/{}.yaml", HOSTILE.replace('/', " ")),
        "a: [\n",
    );
    // YAML takes such characters as escapes alone.
    let escapes: Vec<_> = HOSTILE
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let suspended = escapes.concat();
    let wine = repository.read(WINE) + &format!("  suspend: \"{suspended}\"\n");
    repository.write(WINE, wine);
    let head = repository.commit(HOSTILE).to_string();
    eventually("the commit is dealt with", || {
        let status = get(control_plane, "/status/objects").json();
        (status["environment"]["status"]["attemptedRevision"] == head.as_str()).then_some(())
    });
    let other = format!("{data}-other");
    for arguments in [
        &["validate", "--repo", path, "--data-dir", "none"][..],
        &["validate", "--repo", path, "--data-dir", data],
        &["validate", "--repo", path, "--output", "json", "--data-dir", data],
        &["plan", "--repo", path, "--base", "HEAD~1"],
        &["plan", "--repo", path, "--base", "HEAD~1", "--output", "markdown"],
        &["plan", "--repo", path, "--data-dir", data],
        &["plan", "--repo", path, "--data-dir", data, "--output", "markdown"],
        &["status", "--data-dir", data],
        &["status", "--data-dir", data, "--output", "json"],
        &["rollout", "status", "wine-quality", "--data-dir", data],
        &["validate", "--repo", path, "--environment", HOSTILE],
        &["validate", "--repo", path, "--environment", "gone"],
        &[
            "reconcile",
            "--once",
            "--repo",
            path,
            "--environment",
            "gone",
            "--data-dir",
            &other,
        ],
    ] {
        let mut output = text(&run(aurora().args(arguments)));
        if arguments.contains(&HOSTILE) {
            // A parser's own message repeats the value as it is quoted there.
            output = output.replace("all is well", "all is well ");
        }
        is_safe(&format!("{arguments:?}"), &output);
    }
    server.ends_well();
    let mut file = said;
    let mut all = String::new();
    io::Seek::rewind(&mut file).unwrap();
    io::Read::read_to_string(&mut file, &mut all).unwrap();
    is_safe("up", &all);
}

#[test]
fn text_of_a_commit_is_no_markup_in_a_pull_request() {
    let repository = Repository::dev();
    let path = repository.path().to_str().unwrap();
    let wine = repository.read(WINE)
        + "  suspend: \"</td><script>x</script> | ![x](https://evil.example/x) @team www.evil.example ```\"\n";
    repository.write(WINE, wine);
    repository.commit("markup");
    let output =
        text(&run(aurora().args([
            "plan", "--repo", path, "--base", "HEAD~1", "--output", "markdown",
        ])));
    let row = output.lines().find(|line| line.contains("suspended")).unwrap();
    assert_eq!(
        row,
        "| wine-quality | is suspended: \\</td\\>\\<script\\>x\\</script\\> \\| !\\[x\\](https\\://evil.example/x) \\@team \
         www\\.evil.example \\`\\`\\` |"
    );
}
