//! Stops a writer before every system call that changes the store, and looks at what it left.
//!
//! `strace` counts the calls of an undisturbed write, then runs the write once per call and kills it there: the call
//! fails without having been made, and SIGKILL arrives with it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use planner::names::ModelName;
use registry::{Store, StoreError};

use crate::scenario::{owner, word, write};
use crate::view::{render, render_history};

/// Every call by which a process changes what lies in a folder; `?` because not each architecture has all.
const CALLS: &str = "?rename,?renameat,?renameat2,fsync,fdatasync,?symlink,symlinkat,?mkdir,mkdirat,?unlink,unlinkat,\
                     ?rmdir,?link,linkat,ftruncate,write,writev,pwrite64";

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// A write, the store that it finds, and the calls that it makes.
fn check(name: &str, before: &[&str], words: &str, calls: &Expect) {
    if let Err(why) = strace(Path::new("/dev/null"), &[], Path::new("true"), &[]).map(drop) {
        say(&format!("skipped: crash test of {name}: {why}"));
        return;
    }
    let workshop = tempfile::tempdir().unwrap();
    let (template, finished) = (workshop.path().join("template"), workshop.path().join("finished"));
    std::fs::create_dir(&template).unwrap();
    for words in before {
        write(&template, words).unwrap();
    }
    let old = Seen::of(&template);

    copy(&template, &finished);
    let log = workshop.path().join("log");
    let output = run_writer(&log, &["-y", "-s", "0"], &finished, words);
    assert!(output.status.success(), "{name}: {output:?}");
    let new = Seen::of(&finished);
    assert_ne!(old, new, "{name}: the write must show");
    let trace = std::fs::read_to_string(&log).unwrap();
    let made = Made::parse(&trace, &finished);
    calls.assert_eq(&made.text);

    let (mut left_old, mut left_new) = (0, 0);
    for (call, nth) in &made.points {
        let killed = workshop.path().join("killed");
        copy(&template, &killed);
        let point = format!("{name}: killed before {call} {nth}");
        let inject = format!("inject={call}:error=EIO:signal=KILL:when={nth}");
        run_writer(&log, &["-e", &inject], &killed, words);
        let trace = std::fs::read_to_string(&log).unwrap();
        assert!(trace.contains("killed by SIGKILL"), "{point}: {trace}");

        let seen = Seen::of(&killed);
        if seen.state == new.state {
            assert_eq!(
                seen.history, new.history,
                "{point}: an alias moved without a record"
            );
            left_new += 1;
        } else {
            assert_eq!(seen.state, old.state, "{point}");
            assert!(
                seen.history == old.history || seen.history == new.history,
                "{point}: {seen:?}"
            );
            left_old += 1;
        }

        // The next start cleans up and changes nothing else, and the next pass repeats the write.
        let started = start(&killed);
        assert_eq!(Seen::of(&killed), seen, "{point}");
        assert!(
            !started || leftovers(&killed).is_empty(),
            "{point}: {:?}",
            leftovers(&killed)
        );
        write(&killed, words).unwrap();
        assert_eq!(Seen::of(&killed), new, "{point}: repeated");
        assert!(start(&killed), "{point}");
        assert_eq!(leftovers(&killed), [""; 0], "{point}: repeated");
        std::fs::remove_dir_all(&killed).unwrap();
    }
    assert!(
        left_old > 0,
        "{name}: a kill before the first call must leave the old state"
    );
    say(&format!(
        "crash test of {name}: {} crash points, {left_old} left the old state and {left_new} the new one",
        made.points.len()
    ));
}

/// What a reader sees of a store.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    state: String,
    history: String,
}

impl Seen {
    fn of(root: &Path) -> Self {
        let state = render(root).unwrap();
        assert!(!state.contains("damaged"), "{state}");
        let model: ModelName = word("wine");
        let history = match render_history(root, &model) {
            Err(StoreError::NoStore(_)) => String::new(),
            history => history.unwrap(),
        };
        Self { state, history }
    }
}

/// The calls that a write made: as text, and as the name and the count that `strace` injects by.
struct Made {
    text: String,
    points: Vec<(String, usize)>,
}

impl Made {
    fn parse(trace: &str, root: &Path) -> Self {
        let mut made = Self {
            text: String::new(),
            points: Vec::new(),
        };
        for line in trace.lines() {
            let line = line
                .split_once(' ')
                .map_or(line, |(_pid, call)| call.trim_start());
            let Some((call, arguments)) = line.split_once('(') else {
                continue;
            };
            let nth = made.points.iter().filter(|(other, _)| other == call).count() + 1;
            made.points.push((call.to_owned(), nth));
            made.text += &format!("{call}{}\n", describe(arguments, root));
        }
        made
    }
}

/// Renders the paths among a call's arguments, below the store's root and without what differs from run to run.
fn describe(arguments: &str, root: &Path) -> String {
    let root = root.display().to_string();
    let arguments = arguments
        .rsplit_once(") = ")
        .map_or(arguments, |(arguments, _)| arguments);
    let paths = arguments.split(", ").filter_map(|argument| {
        let path = match argument.split_once('<') {
            Some((_fd, path)) => path.strip_suffix('>')?,
            None => argument.strip_prefix('"')?.strip_suffix('"')?,
        };
        let path = match path.strip_prefix(&root) {
            Some("") => "ROOT",
            Some(below) => below.trim_start_matches('/'),
            None => path,
        };
        let plain = path.split('/').map(|part| match part.strip_prefix(".tmp-") {
            Some(unique) if unique.starts_with(|c: char| c.is_ascii_digit()) => ".tmp",
            _ => part,
        });
        Some(plain.collect::<Vec<_>>().join("/"))
    });
    paths
        .filter(|path| !path.is_empty())
        .fold(String::new(), |text, path| text + " " + &path)
}

fn run_writer(log: &Path, options: &[&str], root: &Path, words: &str) -> Output {
    let writer = Path::new(env!("CARGO_BIN_EXE_registry-test-writer"));
    let mut arguments = vec![root.to_str().unwrap()];
    arguments.extend(words.split(' '));
    strace(log, options, writer, &arguments).unwrap()
}

/// Runs a program under `strace`; an error where there is no `strace`, or where it may not trace.
fn strace(log: &Path, options: &[&str], program: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new("strace")
        .args(["-f", "-o"])
        .arg(log)
        .args(["-e", &format!("trace={CALLS}")])
        .args(options)
        .arg(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("strace is not installed ({error})"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("strace:") {
        return Err(format!("strace may not trace: {said}"));
    }
    Ok(output)
}

/// Starts as the owner does; says whether there was a store to open.
fn start(root: &Path) -> bool {
    match Store::open_owned(root, &owner()) {
        Err(StoreError::NoStore(_)) => false,
        store => {
            store.unwrap();
            true
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

fn leftovers(root: &Path) -> Vec<String> {
    let output = Command::new("find")
        .arg(root)
        .args(["-name", ".tmp-*"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Says something past the test harness, which would keep it to itself.
fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn init() {
    check(
        "init",
        &[],
        "init",
        &expect![[r#"
            mkdirat ROOT aurora
            fsync ROOT
            mkdirat aurora registry
            fsync aurora
            mkdirat aurora datasets
            fsync aurora
            write aurora/registry/.tmp
            fsync aurora/registry/.tmp
            renameat aurora/registry .tmp aurora/registry identity.json
            fsync aurora/registry
            write aurora/registry/.tmp
            fsync aurora/registry/.tmp
            renameat aurora/registry .tmp aurora/registry metadata.json
            fsync aurora/registry
            write aurora/registry/.tmp
            fsync aurora/registry/.tmp
            renameat aurora/registry .tmp aurora/registry current-version
            fsync aurora/registry
        "#]],
    );
}

#[test]
fn first_publish_of_a_model() {
    check(
        "the first publish of a model",
        &["init"],
        &format!("publish wine {V1} one"),
        &expect![[r#"
            mkdirat aurora wine
            fsync aurora
            mkdirat aurora/wine versions
            mkdirat aurora/wine/versions .tmp
            write aurora/wine/versions/.tmp/model.onnx
            fsync aurora/wine/versions/.tmp/model.onnx
            write aurora/wine/versions/.tmp/metadata.json
            fsync aurora/wine/versions/.tmp/metadata.json
            write aurora/wine/versions/.tmp/checksums
            fsync aurora/wine/versions/.tmp/checksums
            fsync aurora/wine/versions/.tmp
            fsync aurora/wine
            renameat aurora/wine/versions .tmp aurora/wine/versions v20261101-120000
            fsync aurora/wine/versions
        "#]],
    );
}

#[test]
fn publish() {
    check(
        "a publish",
        &["init", &format!("publish wine {V1} one")],
        &format!("publish wine {V2} two"),
        &expect![[r#"
            mkdirat aurora/wine/versions .tmp
            write aurora/wine/versions/.tmp/model.onnx
            fsync aurora/wine/versions/.tmp/model.onnx
            write aurora/wine/versions/.tmp/metadata.json
            fsync aurora/wine/versions/.tmp/metadata.json
            write aurora/wine/versions/.tmp/checksums
            fsync aurora/wine/versions/.tmp/checksums
            fsync aurora/wine/versions/.tmp
            renameat aurora/wine/versions .tmp aurora/wine/versions v20261120-093000
            fsync aurora/wine/versions
        "#]],
    );
}

#[test]
fn first_alias_move_of_a_model() {
    check(
        "the first alias move of a model",
        &["init", &format!("publish wine {V1} one")],
        &format!("move wine stable {V1}"),
        &expect![[r#"
            mkdirat aurora/wine aliases
            write aurora/wine/history.jsonl
            fsync aurora/wine/history.jsonl
            fsync aurora/wine
            symlinkat ../versions/v20261101-120000 aurora/wine/aliases .tmp
            renameat aurora/wine/aliases .tmp aurora/wine/aliases stable
            fsync aurora/wine/aliases
        "#]],
    );
}

#[test]
fn alias_move() {
    check(
        "an alias move",
        &[
            "init",
            &format!("publish wine {V1} one"),
            &format!("publish wine {V2} two"),
            &format!("move wine stable {V1}"),
        ],
        &format!("move wine stable {V2}"),
        &expect![[r#"
            write aurora/wine/history.jsonl
            fsync aurora/wine/history.jsonl
            symlinkat ../versions/v20261120-093000 aurora/wine/aliases .tmp
            renameat aurora/wine/aliases .tmp aurora/wine/aliases stable
            fsync aurora/wine/aliases
        "#]],
    );
}

#[test]
fn alias_removal() {
    check(
        "an alias removal",
        &[
            "init",
            &format!("publish wine {V1} one"),
            &format!("move wine canary {V1}"),
        ],
        "remove wine canary",
        &expect![[r#"
            write aurora/wine/history.jsonl
            fsync aurora/wine/history.jsonl
            unlinkat aurora/wine/aliases canary
            fsync aurora/wine/aliases
        "#]],
    );
}

#[test]
fn closing_a_history() {
    check(
        "the closing of a history",
        &[
            "init",
            &format!("publish wine {V1} one"),
            &format!("publish wine {V2} two"),
            &format!("move wine canary {V2}"),
            &format!("abort wine {V2} two"),
            "grow wine",
        ],
        &format!("move wine stable {V1}"),
        &expect![[r#"
            linkat aurora/wine history.jsonl aurora/wine history-1.jsonl
            fsync aurora/wine
            write aurora/wine/.tmp
            fsync aurora/wine/.tmp
            renameat aurora/wine .tmp aurora/wine history.jsonl
            fsync aurora/wine
            symlinkat ../versions/v20261101-120000 aurora/wine/aliases .tmp
            renameat aurora/wine/aliases .tmp aurora/wine/aliases stable
            fsync aurora/wine/aliases
        "#]],
    );
}

#[test]
fn staging() {
    check(
        "the staging of a data file",
        &["init"],
        "stage rows",
        &expect![[r#"
            fsync aurora
            write aurora/datasets/.tmp
            fsync aurora/datasets/.tmp
            renameat aurora/datasets .tmp aurora/datasets bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e
            fsync aurora/datasets
        "#]],
    );
}

#[test]
fn collection() {
    check(
        "a collection",
        &[
            "init",
            &format!("publish wine {V1} one"),
            &format!("publish wine {V2} two"),
        ],
        "collect 1",
        &expect![[r#"
            renameat aurora/wine/versions v20261101-120000 aurora/wine/versions .tmp-gc-v20261101-120000
            fsync aurora/wine/versions
            unlinkat aurora/wine/versions/.tmp-gc-v20261101-120000 checksums
            unlinkat aurora/wine/versions/.tmp-gc-v20261101-120000 metadata.json
            unlinkat aurora/wine/versions/.tmp-gc-v20261101-120000 model.onnx
            unlinkat aurora/wine/versions .tmp-gc-v20261101-120000
        "#]],
    );
}
