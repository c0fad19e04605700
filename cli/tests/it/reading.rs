//! Git is read in a process of its own: what a repository does to that one, it does to nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{FREE_PORTS, Ground, Repository, Up, aurora, eventually, run, text, up_command};

const WINE: &str = "environments/dev/wine-quality.yaml";

/// Returns the processes that read Git for another one.
fn readers(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("the processes").flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let reads = |process: &u32| {
        let file = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
        let stat = file("stat");
        let of = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        of == Some(parent) && file("cmdline").contains("git-reader")
    };
    processes.filter(reads).collect()
}

fn reader(parent: u32) -> u32 {
    eventually("a process reads Git", || match readers(parent).as_slice() {
        [one] => Some(*one),
        _ => None,
    })
}

fn is_there(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn weight(up: &Up) -> Option<u64> {
    let status = up.status();
    let deployments = status["deployments"].as_array()?;
    let wine = deployments
        .iter()
        .find(|it| it["metadata"]["name"] == "wine-quality")?;
    wine["status"]["weight"].as_u64()
}

#[track_caller]
fn follows(up: &Up, wanted: u64) {
    eventually(&format!("weight {wanted}"), || {
        (weight(up) == Some(wanted)).then_some(())
    });
}

fn loose(repository: &Repository, id: &str) -> PathBuf {
    repository
        .path()
        .join(".git/objects")
        .join(&id[..2])
        .join(&id[2..])
}

/// Cuts an object in half, as a full disk does: libgit2 reads it for ever. Returns what it was.
fn tear(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).expect("a loose object");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    fs::write(file, &whole[..whole.len() / 2]).expect("a file of ours");
    whole
}

#[test]
fn a_reader_that_is_killed_is_replaced_and_ends_with_whoever_asks_it() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let first = reader(up.id());
    kill_process(
        Pid::from_raw(first.cast_signed()).expect("a process"),
        Signal::KILL,
    )
    .expect("it runs");
    eventually("another one reads", || {
        readers(up.id()).iter().any(|it| *it != first).then_some(())
    });
    ground.repository.edit(WINE, "weight: 10", "weight: 30");
    follows(&up, 30);
    // It is given no more than it needs.
    let last = reader(up.id());
    let environment = fs::read_to_string(format!("/proc/{last}/environ")).expect("its variables");
    let known = [
        "HOME",
        "XDG_CONFIG_HOME",
        "GIT_QUARANTINE_PATH",
        "SUDO_UID",
        "TZ",
        "RUST_BACKTRACE",
    ];
    for variable in environment.split('\0').filter(|variable| !variable.is_empty()) {
        let name = variable.split('=').next().unwrap_or_default();
        assert!(known.contains(&name), "{variable}");
    }
    let limits = fs::read_to_string(format!("/proc/{last}/limits")).expect("its limits");
    let limit = |name: &str| {
        let line = limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line[name.len()..].split_whitespace().next().map(str::to_owned)
    };
    assert_eq!(limit("Max data size").as_deref(), Some("2147483648"));
    assert_eq!(limit("Max open files").as_deref(), Some("512"));
    assert_eq!(limit("Max core file size").as_deref(), Some("0"));
    assert_eq!(limit("Max file size").as_deref(), Some("0"));

    up.signal(Signal::KILL);
    eventually("it ends", || up.ended());
    eventually("its reader ends too", || (!is_there(last)).then_some(()));
}

/// Moves a branch at once, as Git does: nobody reads half of it.
fn moves(branch: &Path, to: git2::Oid) {
    let beside = branch.with_extension("lock");
    fs::write(&beside, format!("{to}\n")).expect("written beside it");
    fs::rename(&beside, branch).expect("the branch moves");
}

/// Commits an edit of the newest commit's manifest that no branch has yet: nobody has read anything of it.
fn commit_aside(repository: &Repository, from: &str, to: &str) -> git2::Oid {
    let git = repository.git();
    let parent = git.find_commit(repository.head()).expect("the newest commit");
    let tree = parent.tree().expect("its tree");
    let entry = tree.get_path(Path::new(WINE)).expect("the manifest");
    let blob = git.find_blob(entry.id()).expect("its text");
    let text = str::from_utf8(blob.content()).expect("text");
    assert!(text.contains(from), "{text}");
    let blob = git.blob(text.replace(from, to).as_bytes()).expect("a blob");
    let tree = git2::build::TreeUpdateBuilder::new()
        .upsert(WINE, blob, git2::FileMode::Blob)
        .create_updated(git, &tree)
        .and_then(|tree| git.find_tree(tree))
        .expect("a tree");
    let author = parent.author();
    git.commit(None, &author, &author, to, &tree, &[&parent])
        .expect("a commit")
}

#[test]
fn an_object_that_is_read_for_ever_is_told_with_its_commit_and_followed_once_it_is_whole() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let mut up = ground.up();
    let commit = repository.edit(WINE, "weight: 10", "weight: 20");
    follows(&up, 20);
    let branch = repository.git().path().join("refs/heads/main");
    // A commit, its folder, its file: each is torn before the branch comes to it.
    let mut now = 20;
    for what in ["commit", "tree", "blob"] {
        let next = now + 10;
        let id = commit_aside(repository, &format!("weight: {now}"), &format!("weight: {next}"));
        let tree = repository
            .git()
            .find_commit(id)
            .and_then(|it| it.tree())
            .expect("its tree");
        let entry = |path: &str| tree.get_path(Path::new(path)).expect("an entry").id();
        let torn = match what {
            "commit" => id,
            "tree" => entry("environments"),
            _ => entry(WINE),
        };
        let file = loose(repository, &torn.to_string());
        let whole = tear(&file);
        moves(&branch, id);
        let short = &id.to_string()[..10];
        let told = up.event(&format!("a torn {what} is told"), |event| {
            event["event"] == "finding"
                && event["reason"] == "SourceUnavailable"
                && event["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(short))
        });
        assert!(told["message"].to_string().contains("fsck"), "{told}");
        assert_eq!(weight(&up), Some(now));
        fs::write(&file, whole).expect("a file of ours");
        follows(&up, next);
        now = next;
    }
    assert_ne!(repository.head(), commit);
    assert!(up.stop().success());
}

#[test]
fn a_start_waits_for_no_repository() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    assert!(ground.up().stop().success());
    let commit = repository.edit(WINE, "weight: 10", "weight: 20");
    let file = loose(repository, &commit.to_string());
    let whole = tear(&file);
    // What was applied serves, and signals are obeyed.
    let mut up = ground.up();
    up.event("it is told", |event| {
        event["event"] == "finding" && event["reason"] == "SourceUnavailable"
    });
    assert_eq!(weight(&up), Some(10));
    assert!(up.stop().success());
    let mut up = ground.up();
    fs::write(&file, whole).expect("a file of ours");
    follows(&up, 20);
    up.event("it is over", |event| {
        event["event"] == "resolved" && event["reason"] == "SourceUnavailable"
    });
    assert!(up.stop().success());

    // Nor for one that is not there at all, or whose branch is torn.
    let branch = repository.git().path().join("refs/heads/main");
    fs::write(&branch, "").expect("the branch's file");
    for flags in [&[][..], &["--branch", "main"]] {
        let mut command = up_command(repository.path(), &ground.data());
        command.args(FREE_PORTS).args(flags);
        let mut up = Up::watch(command);
        up.event("it is ready", |event| event["event"] == "ready");
        let told = up.event("it is told", |event| event["event"] == "finding");
        assert!(told["message"].to_string().contains("git update-ref"), "{told}");
        assert_eq!(weight(&up), Some(20));
        assert!(up.stop().success());
    }
    fs::write(&branch, format!("{commit}\n")).expect("the branch's file");
    let aside = repository.path().with_extension("aside");
    fs::rename(repository.path(), &aside).expect("a rename");
    let up = ground.up();
    assert_eq!(weight(&up), Some(20));
    fs::rename(&aside, repository.path()).expect("a rename");
    repository.edit(WINE, "weight: 20", "weight: 40");
    follows(&up, 40);
    assert!(up.stop().success());
}

#[test]
fn a_branch_whose_file_never_ends_holds_up_no_end() {
    let ground = Ground::dev();
    assert!(ground.up().stop().success());
    // Reading it waits for a writer that never comes, and uses no time of the processor.
    let branch = ground.repository.git().path().join("refs/heads/main");
    fs::remove_file(&branch).expect("the branch's file");
    assert!(
        Command::new("mkfifo")
            .arg(&branch)
            .status()
            .expect("mkfifo")
            .success()
    );
    let up = ground.up();
    assert_eq!(weight(&up), Some(10));
    assert!(up.stop().success());
}

#[test]
fn commands_that_look_end_with_what_is_wrong() {
    let repository = Repository::dev();
    let commit = repository.head();
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = data.path().join("data");
    let whole = tear(&loose(&repository, &commit.to_string()));
    let command = |words: &[&str]| -> Output {
        let mut command = aurora();
        command.args(words).arg("--repo").arg(repository.path());
        run(&mut command)
    };
    let data = data.to_str().expect("a path");
    for words in [
        &["validate", "--data-dir", data][..],
        &["plan", "--base", "HEAD", "--head", "HEAD"],
        &["reconcile", "--once", "--data-dir", data],
        &[
            "up",
            "--data-dir",
            data,
            "--inference",
            "127.0.0.1:0",
            "--control-plane",
            "127.0.0.1:0",
        ],
    ] {
        let output = command(words);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("fsck"), "{words:?}: {said}");
    }
    fs::write(loose(&repository, &commit.to_string()), whole).expect("a file of ours");
    assert_eq!(command(&["validate"]).status.code(), Some(0));
}

/// Runs Git, which must succeed.
fn git(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]);
    let output = run(command.args(words));
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    output
}

#[test]
fn packs_that_git_replaced_are_let_go() {
    if !crate::harness::has_git() {
        return;
    }
    let ground = Ground::dev();
    let repository = &ground.repository;
    let up = ground.up();
    let mut now = 10;
    for _ in 0..5 {
        repository.edit(WINE, &format!("weight: {now}"), &format!("weight: {}", now + 1));
        now += 1;
        git(repository.path(), &["gc", "-q", "--prune=now"]);
        follows(&up, now);
    }
    for process in [up.id(), reader(up.id())] {
        eventually("no pack that is gone is open", || {
            let open = fs::read_dir(format!("/proc/{process}/fd"))
                .expect("its files")
                .flatten();
            let gone = open.filter_map(|file| fs::read_link(file.path()).ok());
            let gone = gone.filter(|file| file.to_string_lossy().contains(".pack (deleted)"));
            (gone.count() == 0).then_some(())
        });
    }
    assert!(up.stop().success());
}

#[test]
fn a_push_is_checked_before_it_is_accepted() {
    if !crate::harness::has_git() {
        return;
    }
    let repository = Repository::dev();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let from = repository.path().to_str().expect("a path");
    git(folder.path(), &["clone", "-q", "--bare", from, "server.git"]);
    let server = folder.path().join("server.git");
    let hook = server.join("hooks/pre-receive");
    let binary = env!("CARGO_BIN_EXE_aurora");
    let script = format!(
        "#!/bin/sh\nwhile read old new ref; do {binary} validate --repo . --revision $new || exit 1; done\n"
    );
    fs::create_dir_all(server.join("hooks")).expect("a folder");
    fs::write(&hook, script).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a hook");
    let push = || {
        let mut command = Command::new("git");
        let to = server.to_str().expect("a path");
        run(command
            .arg("-C")
            .arg(repository.path())
            .args(["push", "-q", to, "main"]))
    };
    repository.edit(WINE, "weight: 10", "weight: 300");
    let refused = push();
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("300 is not a whole percent"),
        "{}",
        text(&refused)
    );
    repository.edit(WINE, "weight: 300", "weight: 30");
    let accepted = push();
    assert!(accepted.status.success(), "{}", text(&accepted));
}
