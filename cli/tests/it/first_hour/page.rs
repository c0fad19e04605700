//! `docs/first-hour.md`, run as somebody would who types what it says and compares what it prints.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{eventually, root};

/// What goes on until somebody ends it.
const GOES_ON: &str = "aurora up";
/// What stands for lines that are left out.
const LEFT_OUT: &str = "…";

/// A command of the page, and what it prints there.
#[derive(Debug)]
struct Step {
    command: String,
    printed: Vec<String>,
}

/// Returns the commands of a page: what stands behind `$` in its consoles, continued behind `>`.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if !is_inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                printed: Vec::new(),
            });
        } else {
            let step = steps.last_mut().expect("a console begins with a command");
            match line.strip_prefix("> ") {
                Some(more) => step.command = format!("{}\n{more}", step.command),
                None => step.printed.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Puts a word in the place of each that differs from run to run: versions, digests, commits, times, measured numbers.
fn normal(line: &str) -> String {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let mut normal = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_inner) {
        normal.push_str(&rest[..start]);
        let end = rest[start..]
            .find(|c| !is_inner(c))
            .map_or(rest.len(), |end| start + end);
        normal.push_str(word(&rest[start..end]));
        rest = &rest[end..];
    }
    normal.push_str(rest);
    // Columns are as wide as what stands in them.
    normal.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn word(word: &str) -> &str {
    let is_hex = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    };
    let digits = word.chars().filter(char::is_ascii_digit).count();
    if word.starts_with("v2") && word.len() >= 16 && digits > 13 && !word.starts_with("v2027") {
        return "VERSION";
    }
    match word.len() {
        7 | 10 | 12 if is_hex(word) && digits > 0 => "HASH",
        _ if word.starts_with("sha256:") => "sha256:",
        8 | 10 if digits >= 6 && !is_hex(word) => "TIME",
        _ if digits > 0 && word.contains('.') && word.parse::<f64>().is_ok() => "NUMBER",
        1 | 2 if word.parse::<u64>().is_ok_and(|number| number < 10) => "N",
        _ => word,
    }
}

/// Says whether lines are those of the page, where each `…` stands for any number of lines.
fn is_printed(expected: &[String], got: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else {
        return got.is_empty();
    };
    if first == LEFT_OUT {
        return (0..=got.len()).any(|skipped| is_printed(rest, &got[skipped..]));
    }
    let is_line = |line: &String| match first.split_once(LEFT_OUT) {
        Some((start, end)) => {
            let (start, end, line) = (normal(start), normal(end), normal(line));
            line.starts_with(&start) && line.ends_with(&end)
        }
        None => normal(first) == normal(line),
    };
    got.split_first()
        .is_some_and(|(line, lines)| is_line(line) && is_printed(rest, lines))
}

fn check(step: &Step, got: &[String]) {
    assert!(
        is_printed(&step.printed, got),
        "$ {}\n--- the page\n{}\n--- printed\n{}",
        step.command,
        step.printed.join("\n"),
        got.join("\n")
    );
}

/// Somebody at a terminal, in the folder to which they have gone.
struct Reader {
    folder: std::path::PathBuf,
    home: std::path::PathBuf,
    addresses: Vec<(&'static str, SocketAddr)>,
    running: Option<Child>,
}

impl Reader {
    fn shell(&self, command: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_aurora"))
            .parent()
            .expect("a folder");
        let path = format!(
            "{}:{}",
            binary.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut shell = Command::new("sh");
        // An error of a command is part of what it prints.
        shell.arg("-c").arg(format!("{{ {command}\n}} 2>&1"));
        shell
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HOME", &self.home);
        for (name, _value) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AURORA_") {
                shell.env_remove(name);
            }
        }
        let [inference, control_plane] = [self.addresses[0].1, self.addresses[1].1];
        shell
            .env("AURORA_INFERENCE", inference.to_string())
            .env("AURORA_CONTROL_PLANE", control_plane.to_string());
        shell
    }

    /// Puts the ports of this machine in the place of the page's.
    fn here(&self, text: &str) -> String {
        let replace = |text: String, (from, to): &(&str, SocketAddr)| text.replace(from, &to.to_string());
        self.addresses.iter().fold(text.to_owned(), replace)
    }

    fn there(&self, text: &str) -> String {
        let replace = |text: String, (to, from): &(&str, SocketAddr)| text.replace(&from.to_string(), to);
        self.addresses.iter().fold(text.to_owned(), replace)
    }

    fn take(&mut self, step: &Step) {
        if let Some(folder) = step.command.strip_prefix("cd ") {
            self.folder.push(folder);
            return;
        }
        let mut shell = self.shell(&self.here(&step.command));
        if step.command == GOES_ON {
            return self.leave_running(step, shell.stdout(Stdio::piped()));
        }
        let output = shell.output().expect("a shell");
        let got: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| self.there(line))
            .collect();
        check(step, &got);
        assert!(output.status.success(), "{}: {}", step.command, output.status);
    }

    /// Starts what goes on, and waits until it has printed what the page shows.
    fn leave_running(&mut self, step: &Step, shell: &mut Command) {
        let mut child = shell.spawn().expect("a shell");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        self.running = Some(child);
        let mut got = Vec::new();
        while !is_printed(&step.printed, &got) {
            let mut line = String::new();
            let read = output.read_line(&mut line).expect("its output");
            assert!(read > 0, "{} ended:\n{}", step.command, got.join("\n"));
            got.push(self.there(line.trim_end()));
        }
        // Whoever prints must have a reader.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(child) = &mut self.running else { return };
        // The shell has one child, or became it.
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        let ids = children.split_whitespace().filter_map(|id| id.parse().ok());
        for id in ids.chain([i32::try_from(child.id()).unwrap_or_default()]) {
            if let Some(id) = Pid::from_raw(id) {
                let _gone = kill_process(id, Signal::TERM);
            }
        }
        let _status = child.wait();
    }
}

#[test]
fn every_command_of_the_page_prints_what_stands_there() {
    let page = fs::read_to_string(root().join("docs/first-hour.md")).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= 15, "{}", steps.len());
    let ground = tempfile::tempdir().unwrap();
    let home = ground.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(
        home.join(".gitconfig"),
        "[user]\nname = Ada\nemail = ada@example.org\n",
    )
    .unwrap();
    let free = || testkit::free_address().unwrap();
    let mut reader = Reader {
        folder: ground.path().to_owned(),
        home,
        addresses: vec![("127.0.0.1:8080", free()), ("127.0.0.1:8000", free())],
        running: None,
    };
    for step in &steps {
        reader.take(step);
    }
    let mut running = reader.running.take().unwrap();
    let id = Pid::from_child(&running);
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", id.as_raw_nonzero())).unwrap_or_default();
    let ended = children
        .split_whitespace()
        .next()
        .and_then(|id| Pid::from_raw(id.parse().ok()?))
        .unwrap_or(id);
    kill_process(ended, Signal::INT).unwrap();
    eventually("Ctrl-C ends it", || running.try_wait().unwrap());
}

#[test]
fn what_differs_from_run_to_run_is_not_compared_and_the_rest_is() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    for (expected, got, same) in [
        (
            "v20261128-234031  29176617601d  r2 0.999",
            "v20261129-000102 0123456789ab r2 0.98",
            true,
        ),
        ("8d25be9ba6 on main", "1234567890 on main", true),
        ("weight: 10", "weight: 20", false),
        ("a\n…\nb", "a\nb", true),
        ("a\n…\nb", "a\nx\ny\nb", true),
        ("a\n…\nb", "a\nx", false),
        ("a\n…", "a", true),
        ("a", "a\nb", false),
        ("x: \"sha256:…\", w", "x: \"sha256:abc\", w", true),
        ("houses  v20270101-000000", "houses  v20261128-234031", false),
    ] {
        assert_eq!(
            is_printed(&lines(expected), &lines(got)),
            same,
            "{expected} {got}"
        );
    }
}
