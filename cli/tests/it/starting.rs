//! What stands in the way of a start: each an error that says what to do, on standard error, with exit code 2.

use std::net::TcpListener;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{
    FREE_PORTS, Ground, Repository, Up, aurora, eventually, get, run, skipped, text, up_command,
};

/// Starts `up` where it cannot start; what it says must hold all of `words`.
#[track_caller]
fn refused(repository: &Path, flags: &[&str], words: &[&str]) {
    let data = TempDir::new().unwrap();
    let data_dir = data.path().join("data");
    let output = run(up_command(repository, &data_dir).args(flags));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

#[test]
fn a_taken_port_names_its_flag() {
    let repository = Repository::dev();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        repository.path(),
        &["--inference", &address, "--control-plane", "127.0.0.1:0"],
        &[&address, "in use", "--inference"],
    );
    refused(
        repository.path(),
        &["--control-plane", &address, "--inference", "127.0.0.1:0"],
        &[&address, "in use", "--control-plane"],
    );
}

#[test]
fn one_port_for_both_listeners_is_said_with_both_flags() {
    let repository = Repository::dev();
    let port = testkit::free_port().unwrap();
    for (inference, control_plane) in [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
    ] {
        let (inference, control_plane) = (format!("{inference}:{port}"), format!("{control_plane}:{port}"));
        refused(
            repository.path(),
            &["--inference", &inference, "--control-plane", &control_plane],
            &["--inference and --control-plane both ask for", &control_plane],
        );
    }
}

#[test]
fn localhost_is_both_loopbacks_and_a_bare_port_is_everywhere() {
    let ground = Ground::dev();
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(["--inference", "localhost:0", "--control-plane", ":0"]);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("--api-keys-file"),
        "all interfaces want keys: {}",
        text(&output)
    );

    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(["--inference", "localhost:0", "--control-plane", "localhost:0"]);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    for port in [up.inference.port(), up.control_plane.port()] {
        assert_eq!(get(([127, 0, 0, 1], port).into(), "/health").status, 200);
        if has_ipv6 {
            assert_eq!(
                get((std::net::Ipv6Addr::LOCALHOST, port).into(), "/health").status,
                200
            );
        }
    }
    assert!(up.stop().success());
    if !has_ipv6 {
        skipped("this machine has no ::1, so it was not asked there");
    }

    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args([
        "--inference",
        ":0",
        "--insecure-inference",
        "--control-plane",
        "127.0.0.1:0",
    ]);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    assert_eq!(
        get(([127, 0, 0, 1], up.inference.port()).into(), "/health").status,
        200
    );
    assert!(up.stop().success());
}

#[test]
fn an_empty_variable_is_absent_and_a_refused_one_is_named() {
    let repository = Repository::dev();
    let validate = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = aurora();
        command.arg("validate").args(flags);
        command.envs(variables.iter().copied());
        let output = run(&mut command);
        (output.status.code(), text(&output))
    };
    let repo = repository.path().to_str().unwrap();
    let empty = [
        "AURORA_BRANCH",
        "AURORA_ENVIRONMENT",
        "AURORA_OUTPUT",
        "AURORA_DATA_DIR",
        "AURORA_DATASET_ROOT",
        "AURORA_LOG",
    ]
    .map(|name| (name, ""));
    let (code, said) = validate(&empty, &["--repo", repo]);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    let mut up = up_command(repository.path(), &TempDir::new().unwrap().path().join("data"));
    for name in [
        "AURORA_INFERENCE",
        "AURORA_INSECURE_INFERENCE",
        "AURORA_MAX_BODY",
        "AURORA_FOLLOW_HEAD",
        "AURORA_INFERENCE_KEYS_FILE",
    ] {
        up.env(name, "");
    }
    let said = text(&run(up.args(["--control-plane", "nonsense"])));
    assert!(
        said.contains("'nonsense' for '--control-plane") && !said.contains("AURORA_"),
        "{said}"
    );

    let (code, said) = validate(&[("AURORA_OUTPUT", "yaml")], &["--repo", repo]);
    assert_eq!(code, Some(2));
    assert!(said.contains("AURORA_OUTPUT gives --output"), "{said}");
    // What is typed counts before the variable, also where it is refused.
    let (_, said) = validate(
        &[("AURORA_OUTPUT", "json")],
        &["--repo", repo, "--output", "yaml"],
    );
    assert!(!said.contains("AURORA_OUTPUT gives"), "{said}");
    let (code, said) = validate(&[("AURORA_ENVIRONMENT", "No Name")], &["--repo", repo]);
    assert_eq!(code, Some(2));
    assert!(said.contains("AURORA_ENVIRONMENT gives --environment"), "{said}");

    let mut up = up_command(repository.path(), &TempDir::new().unwrap().path().join("data"));
    let said = text(&run(up.env("AURORA_BRANCH", "main").arg("--follow-head")));
    assert!(said.contains("AURORA_BRANCH gives --branch"), "{said}");
    let mut up = up_command(repository.path(), &TempDir::new().unwrap().path().join("data"));
    let said = text(&run(up.env("AURORA_INSECURE_INFERENCE", "perhaps")));
    assert!(
        said.contains("AURORA_INSECURE_INFERENCE gives --insecure-inference"),
        "{said}"
    );
    let mut up = up_command(repository.path(), &TempDir::new().unwrap().path().join("data"));
    let said = text(&run(up.env("AURORA_INSECURE_INFERENCE", "1").args([
        "--inference",
        "0.0.0.0:0",
        "--control-plane",
        "0.0.0.0:0",
    ])));
    assert!(said.contains("--api-keys-file"), "{said}");
}

#[test]
fn a_listener_beyond_this_machine_wants_keys() {
    let repository = Repository::dev();
    refused(
        repository.path(),
        &["--inference", "0.0.0.0:0", "--control-plane", "127.0.0.1:0"],
        &["--inference-keys-file", "--insecure-inference"],
    );
    refused(
        repository.path(),
        &["--control-plane", "0.0.0.0:0", "--inference", "127.0.0.1:0"],
        &["--api-keys-file"],
    );
}

#[test]
fn a_repository_that_gives_nothing_to_follow_is_refused() {
    let folder = TempDir::new().unwrap();
    refused(folder.path(), &FREE_PORTS, &["no Git repository", "--repo"]);

    let repository = Repository::empty();
    refused(repository.path(), &FREE_PORTS, &["no commit"]);

    repository.write("README.md", "nothing to serve");
    repository.commit("no environment");
    refused(repository.path(), &FREE_PORTS, &["environments"]);

    let repository = Repository::dev();
    let flags = [FREE_PORTS.as_slice(), &["--environment", "production"]].concat();
    refused(repository.path(), &flags, &["production", "dev"]);
    let flags = [FREE_PORTS.as_slice(), &["--branch", "release"]].concat();
    refused(repository.path(), &flags, &["release", "main"]);

    let head = repository.head();
    repository.git().set_head_detached(head).unwrap();
    refused(repository.path(), &FREE_PORTS, &["detached", "--branch", "main"]);

    repository.git().set_head("refs/heads/main").unwrap();
    let commit = repository.git().find_object(head, None).unwrap();
    repository.git().tag_lightweight("v1", &commit, false).unwrap();
    let flags = [FREE_PORTS.as_slice(), &["--branch", "v1"]].concat();
    refused(repository.path(), &flags, &["tag", "main"]);
}

#[test]
fn a_first_commit_without_an_environment_manifest_is_refused() {
    let repository = Repository::empty();
    repository.write("environments/dev/notes.txt", "no manifest");
    repository.commit("no MLEnvironment");
    refused(
        repository.path(),
        &FREE_PORTS,
        &["MLEnvironment", "environments/dev"],
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let repository = Repository::dev();
    let blocked = TempDir::new().unwrap();
    // A file where the folder should be: refused whoever runs the test.
    std::fs::write(blocked.path().join("data"), "").unwrap();
    let output = run(up_command(repository.path(), &blocked.path().join("data")).args(FREE_PORTS));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("data"), "{}", text(&output));
}

#[test]
fn a_second_up_is_refused_and_the_first_goes_on() {
    let ground = Ground::dev();
    let up = ground.up();
    let output = run(up_command(ground.repository.path(), &ground.data()).args(FREE_PORTS));
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    for words in ["in use", &up.id().to_string(), "--data-dir"] {
        assert!(said.contains(words), "{words:?} is missing in: {said}");
    }
    assert_eq!(get(up.inference, "/health").status, 200);
    assert!(up.stop().success());
}

#[test]
fn everything_may_lie_in_a_folder_whose_name_is_no_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = TempDir::new().unwrap();
    let latin = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&latin).unwrap();
    let ground = Ground::dev();
    crate::harness::copy(ground.repository.path(), &latin.join("repo"));
    let mut command = up_command(&latin.join("repo"), &latin.join("data"));
    command.args(FREE_PORTS).arg("--dataset-root").arg(&latin);
    let mut up = Up::watch(command);
    up.event("it has trained and serves", |event| event["event"] == "ready");
    assert_eq!(get(up.inference, "/v2/models/iris/ready").status, 200);
    assert!(up.stop().success());
}

#[test]
fn the_first_signal_drains_and_the_second_ends_at_once() {
    let ground = Ground::dev();
    let mut up = ground.up();
    // An open connection with half a request keeps the drain waiting.
    let mut half = std::net::TcpStream::connect(up.inference).unwrap();
    std::io::Write::write_all(
        &mut half,
        b"POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
    )
    .unwrap();
    up.signal(Signal::INT);
    up.event("it says that it stops", |event| event["event"] == "stopping");
    up.signal(Signal::INT);
    let status = eventually("the second signal ends it", || up.ended());
    assert!(!status.success(), "{status}");
}

#[test]
fn uncommitted_manifests_are_said_and_do_not_count() {
    let ground = Ground::dev();
    ground
        .repository
        .write("environments/dev/iris.yaml", "not: committed");
    let mut up = ground.up();
    let note = up.event("it says so", |event| event["event"] == "uncommitted");
    assert_eq!(note["files"], serde_json::json!(["environments/dev/iris.yaml"]));
    assert_eq!(get(up.inference, "/v2/models/iris/ready").status, 200);
}

#[test]
fn a_signal_while_it_starts_ends_it_in_order() {
    /// SIGTERM, number 15, in the masks of what a process blocks and of what it has handlers for.
    const TERM: u64 = 1 << 14;
    let ground = Ground::dev();
    drop(ground.up());
    let data = ground.data();
    let start = |arguments: &[&str]| {
        let mut command = aurora();
        command.args(arguments).arg("--data-dir").arg(&data);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let repository = ground.repository.path().to_str().unwrap();
    for arguments in [
        &[&["up", "--repo", repository], &FREE_PORTS[..]].concat()[..],
        &["serve", "--inference", "127.0.0.1:0"],
        &["control-plane", "--control-plane", "127.0.0.1:0"],
    ] {
        let mut starting = start(arguments);
        eventually("it holds signals", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", starting.id())).ok()?;
            let has = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                Some(u64::from_str_radix(line.trim(), 16).ok()? & TERM != 0)
            };
            (has("SigBlk:")? || has("SigCgt:")?).then_some(())
        });
        kill_process(Pid::from_child(&starting), Signal::TERM).unwrap();
        let ended = eventually("it ends", || starting.try_wait().unwrap());
        assert!(ended.success(), "{arguments:?}: {ended}");
    }
}
