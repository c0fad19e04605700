//! What a machine has no more of, files and processes, is said in words, and taken for nothing else.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
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
pub(crate) fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("prlimit");
    shell.arg(limit);
    through(shell, command)
}

/// Lets a command be started by another one, whose last arguments are its own.
fn through(mut shell: Command, command: &Command) -> Command {
    shell
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
fn converged(repository: &Repository, folder: &TempDir) -> PathBuf {
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
fn up_of_user(most: usize, repository: &Path) -> Option<Output> {
    up_with(most, repository, |command, folder| {
        for path in [folder, &folder.join("data")] {
            std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
        }
        let mut command = limited(&format!("--nproc={most}"), command);
        command.env("HOME", folder).uid(USER).gid(USER);
        command
    })
}

/// Runs `up` where so many processes and threads may be had; says how it ended, or that it answers.
fn up_with(most: usize, repository: &Path, limit: impl FnOnce(&Command, &Path) -> Command) -> Option<Output> {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::set_permissions(&data_dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = up_command(repository, &data_dir);
    command.args(FREE_PORTS).args(["--output", "json"]);
    let mut child = limit(&command, folder.path())
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

/// Says that a start ended for the limit, in words that blame nothing else.
fn has_words(most: usize, output: &Output) -> bool {
    let said = text(output);
    assert_eq!(output.status.code(), Some(2), "with {most} processes: {said}");
    assert!(said.contains("ulimit -u"), "with {most} processes: {said}");
    assert!(said.contains("pids.max"), "with {most} processes: {said}");
    assert_eq!(blames(&said), None, "with {most} processes: {said}");
    true
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
    let is_refused =
        |most: &usize| up_of_user(*most, &checkout).is_some_and(|output| has_words(*most, &output));
    let refused = (1..64 + 2 * cores).take_while(is_refused).count();
    assert!((9..63 + 2 * cores).contains(&refused), "{refused}");
}

/// A group of processes with a limit on their number, as a container has one.
struct Group(PathBuf);

impl Group {
    /// Makes one. An error says why that cannot be.
    fn new() -> std::io::Result<Self> {
        let tops = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let is_top = |top: &&Path| top.join("cgroup.procs").exists();
        let top = tops
            .into_iter()
            .find(is_top)
            .ok_or(std::io::ErrorKind::NotFound)?;
        let group = Self(top.join(format!("aurora-test-pids-{}", std::process::id())));
        std::fs::create_dir(&group.0)?;
        group.allow(1_000)?;
        Ok(group)
    }

    fn allow(&self, most: usize) -> std::io::Result<()> {
        std::fs::write(self.0.join("pids.max"), most.to_string())
    }

    /// Lets a command start in it.
    fn command(&self, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
            .arg(&self.0);
        through(shell, command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process may still be on its way out.
        eventually("the group is removed", || std::fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn a_containers_limit_on_processes_ends_a_start_with_words() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(why) => {
            let why = format!("a test of a container's limit on processes: no control group: {why}");
            return skipped(&why);
        }
    };
    let repository = Repository::dev();
    let cores = std::thread::available_parallelism().unwrap().get();
    let is_refused = |most: &usize| {
        group.allow(*most).unwrap();
        let ended = up_with(*most, repository.path(), |command, _folder| {
            group.command(command)
        });
        ended.is_some_and(|output| has_words(*most, &output))
    };
    let refused = (1..64 + 2 * cores).step_by(3).take_while(is_refused).count();
    assert!((3..21 + cores).contains(&refused), "{refused}");
}
