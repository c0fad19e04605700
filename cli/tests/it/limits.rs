//! What a machine has no more of, files and processes, is said in words, and taken for nothing else.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    FREE_PORTS, Repository, Up, aurora, copy, eventually, get, run, skipped, text, up_command,
};

/// Of nobody on this machine: the limit on processes counts all that a user has.
const USER: u32 = 54_713;

/// Words that would blame what was to be read, or say that our own invariant broke.
const BLAMES: [&str; 7] = [
    "amaged",
    "panicked",
    "ArtifactChanged",
    "VersionMissing",
    "Unreadable",
    "fsck",
    "makes no sense",
];

fn blames(said: &str) -> Option<&'static str> {
    BLAMES.into_iter().find(|word| said.contains(word))
}

/// Lets a command start under a limit, e.g. `--nofile=40`.
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("prlimit");
    shell
        .arg(limit)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Returns a data directory that holds all that a repository declares.
fn converged(repository: &Repository, folder: &TempDir) -> std::path::PathBuf {
    let data_dir = folder.path().join("data");
    let output = run(aurora()
        .args(["reconcile", "--once", "--repo"])
        .arg(repository.path())
        .arg("--data-dir")
        .arg(&data_dir));
    assert!(output.status.success(), "{}", text(&output));
    data_dir
}

#[test]
fn a_limit_on_open_files_damages_nothing() {
    let repository = Repository::dev();
    let folder = TempDir::new().unwrap();
    let data_dir = converged(&repository, &folder);
    let (repo, data_dir) = (repository.path().to_str().unwrap(), data_dir.to_str().unwrap());
    let commands: [&[&str]; 6] = [
        &["validate", "--repo", repo],
        &["plan", "--repo", repo, "--data-dir", data_dir],
        &["model", "list", "--data-dir", data_dir],
        &["model", "verify", "--data-dir", data_dir],
        &["model", "gc", "--data-dir", data_dir, "--repo", repo],
        &["status", "--data-dir", data_dir],
    ];
    for words in commands {
        let mut command = aurora();
        command.args(words);
        let free = text(&run(&mut command));
        let mut has_failed = false;
        for most in (6..32).step_by(3) {
            let output = run(&mut limited(&format!("--nofile={most}"), &command));
            let said = text(&output);
            assert_eq!(blames(&said), None, "{words:?} with {most} files: {said}");
            if output.status.code() == Some(2) {
                has_failed = true;
                assert!(
                    said.contains("ulimit -n") || said.contains("error while loading shared libraries"),
                    "{words:?} with {most} files: {said}"
                );
            } else if words[0] != "status" {
                assert_eq!(said, free, "{words:?} with {most} files");
            }
        }
        assert!(has_failed, "{words:?}");
    }
    // Nothing was left out, removed or made anew meanwhile.
    let output = run(aurora().args(["plan", "--repo", repo, "--data-dir", data_dir]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// Lets a running process have so many files open, those that it has among them.
fn let_open(up: &Up, files: u64) {
    let id = Pid::from_raw(i32::try_from(up.id()).unwrap());
    let before = prlimit(
        id,
        Resource::Nofile,
        Rlimit {
            current: Some(files),
            maximum: getrlimit(Resource::Nofile).maximum,
        },
    );
    before.unwrap();
}

#[test]
fn a_process_that_may_open_no_file_goes_on_when_it_may() {
    let repository = Repository::dev();
    let folder = TempDir::new().unwrap();
    let mut up = Up::ready(repository.path(), &folder.path().join("data"));
    let_open(&up, 3);
    let commit = repository.edit("environments/dev/wine-quality.yaml", "weight: 10", "weight: 20");
    up.event("it says which limit is reached", |event| {
        event.to_string().contains("ulimit -n")
    });
    let_open(&up, 512);
    up.event("the commit is applied", |event| {
        event["event"] == "applied" && event["revision"] == commit.to_string()
    });
    for event in up.events() {
        assert_eq!(blames(&event.to_string()), None, "{event}");
    }
    assert_eq!(get(up.inference, "/v2/health/ready").status, 200);
}

/// Runs `up` as a user who may have so many processes and threads; says how it ended, or that it answers.
fn up_with(most: usize, repository: &Path) -> Option<Output> {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    for path in [folder.path(), &data_dir] {
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    }
    let mut command = up_command(repository, &data_dir);
    command.args(FREE_PORTS).args(["--output", "json"]);
    let mut child = limited(&format!("--nproc={most}"), &command)
        .env("HOME", folder.path())
        .uid(USER)
        .gid(USER)
        .stdout(std::fs::File::create(folder.path().join("out")).unwrap())
        .stderr(std::fs::File::create(folder.path().join("err")).unwrap())
        .spawn()
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let ended = eventually("it answers, or says why not", || {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(Some(status));
        }
        let out = read("out");
        let listening: Value = out.lines().find_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "listening").then_some(event)
        })?;
        let answers = ["inference", "control_plane"].into_iter().all(|name| {
            let address = listening[name].as_str().unwrap().parse().unwrap();
            get(address, "/health").status != 0
        });
        answers.then_some(None)
    });
    let output = |status| Output {
        status,
        stdout: read("out").into_bytes(),
        stderr: read("err").into_bytes(),
    };
    if let Some(status) = ended {
        return Some(output(status));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = text(&output(std::process::ExitStatus::from_raw(0)));
    assert_eq!(blames(&said), None, "with {most} processes: {said}");
    None
}

#[test]
fn a_limit_on_processes_ends_a_start_with_words() {
    if !rustix::process::geteuid().is_root() {
        skipped("a test of a user's limit on processes; it needs the right to become another user");
        return;
    }
    let repository = Repository::dev();
    let folder = TempDir::new().unwrap();
    let checkout = folder.path().join("repo");
    copy(repository.path(), &checkout);
    let owner = format!("{USER}:{USER}");
    let handed_over = Command::new("chown")
        .args(["-R", &owner])
        .arg(folder.path())
        .status();
    assert!(handed_over.unwrap().success());
    let cores = std::thread::available_parallelism().unwrap().get();
    // A runtime takes several threads, and each of them is once the one too many.
    let is_refused = |most: &usize| {
        let Some(output) = up_with(*most, &checkout) else {
            return false;
        };
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "with {most} processes: {said}");
        assert!(said.contains("ulimit -u"), "with {most} processes: {said}");
        assert_eq!(blames(&said), None, "with {most} processes: {said}");
        true
    };
    let refused = (1..64 + 2 * cores).take_while(is_refused).count();
    assert!((9..63 + 2 * cores).contains(&refused), "{refused}");
}
