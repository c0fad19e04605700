//! Runs programs of commits, where the process allows that: each in a process of its own that the kernel keeps from what it has
//! no business with, where it can.
//!
//! ```text
//! aurora train --request ──> aurora program (ends with it, restricts itself) ──exec──> their program
//! ```
//!
//! The words in the middle are no command that people type. Hidden are the repository, the data directory, the folders of data,
//! and every file that this process was given by a flag or a variable: Landlock can only allow, so that all that lies beside
//! those is allowed. What is in them is also gone for whatever the program starts.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::{env, fs, thread};

use clap::Args;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use planner::finding::Disposition;
use planner::shown::escape;
use planner::training::Address;
use registry::artifact::Engines;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use trainer::{Fetched, Isolation, Launch, Means, Unmet, Wanted};

use crate::signals;

/// What the process between is asked with.
const WORDS: &str = "program";
/// Its exit code where there is no such program, as shells have it, and where what must be hidden cannot be.
const NOT_FOUND: u8 = 127;
const NOT_HIDDEN: u8 = 125;
/// The variables that a program gets of this process's, beside those of its run.
const HANDED_ON: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "OMP_NUM_THREADS",
];
/// How much of what it says last is told, in bytes.
const WORDS_MAX: usize = 2 << 10;
/// The longest line that is logged, in bytes.
const LINE_MAX: u64 = 4 << 10;
/// The most files and folders beside what is hidden.
const BESIDE_MAX: usize = 50_000;

/// Flags for programs of commits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Programs of commits")]
pub(crate) struct ProgramArguments {
    /// Run the `command` of a training job: whoever may commit may then run programs as this user
    #[arg(long, env = "AURORA_ALLOW_COMMANDS")]
    allow_commands: bool,

    /// What a command has no business with, beside what this process was given
    #[arg(long, value_name = "PATH", hide = true)]
    hide: Vec<PathBuf>,
}

impl ProgramArguments {
    /// Returns the flags that let another process of this binary run programs as this one may; `own` are the repository and the
    /// data directory.
    pub(crate) fn flags(&self, own: &[&Path]) -> Vec<OsString> {
        if !self.allow_commands {
            return Vec::new();
        }
        let hidden = self.hidden(own).into_iter();
        let hidden = hidden.flat_map(|path| ["--hide".into(), path.into_os_string()]);
        std::iter::once("--allow-commands".into()).chain(hidden).collect()
    }

    /// Returns what a training run can do in this process; `own` as in [`Self::flags`], where nobody gave them by a flag.
    pub(crate) fn means<F>(&self, fetch: F, engines: Engines, own: &[&Path]) -> Machine<F> {
        Machine {
            fetch,
            engines,
            hidden: self.allow_commands.then(|| self.hidden(own)),
        }
    }

    /// Returns what programs have no business with: what this process was given, the data directory, and the work tree that
    /// the repository is of.
    fn hidden(&self, own: &[&Path]) -> Vec<PathBuf> {
        // Some are there only once a program runs.
        let own = own.iter().filter_map(|path| settled(path).ok());
        let given = given().filter_map(|path| settled(&path).ok());
        let hidden = given.chain(own.map(|path| whole(&path)));
        hidden.chain(self.hide.iter().cloned()).collect()
    }
}

/// Returns a path as the file system has it, or would.
fn settled(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|_missing| std::path::absolute(path))
}

/// Returns the work tree that a path lies in, where it lies in one.
fn whole(path: &Path) -> PathBuf {
    let root = path.ancestors().find(|folder| folder.join(".git").exists());
    root.unwrap_or(path).to_owned()
}

/// Returns what of the words and variables that this process was given is there as a file or folder.
fn given() -> impl Iterator<Item = PathBuf> {
    let variables = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AURORA_"));
    let texts = env::args_os()
        .skip(1)
        .chain(variables.map(|(_name, value)| value));
    let parts = texts.flat_map(|text| {
        let text = text.to_string_lossy().into_owned();
        let named = text.split_once('=').map(|(_name, value)| value.to_owned());
        let parts = text.split(['=', ':', ' ']).map(str::to_owned).collect::<Vec<_>>();
        parts.into_iter().chain(named).chain([text])
    });
    parts
        .filter(|part| !part.is_empty())
        .map(PathBuf::from)
        .filter(|path| path.exists())
}

/// What a training run can do.
pub(crate) struct Machine<F> {
    fetch: F,
    engines: Engines,
    /// What programs of commits do not see; absent where none is run.
    hidden: Option<Vec<PathBuf>>,
}

impl<F: Fn(&Address, Wanted<'_>) -> Fetched> Means for Machine<F> {
    fn fetch(&self, address: &Address, wanted: Wanted<'_>) -> Fetched {
        (self.fetch)(address, wanted)
    }

    fn engines(&self) -> Engines {
        self.engines.clone()
    }

    fn start(&self, launch: &Launch<'_>) -> Result<Isolation, Unmet> {
        let Some(given) = &self.hidden else {
            return Err(Unmet {
                disposition: Disposition::Waiting,
                message: "commands of commits are not run here: start aurora with --allow-commands"
                    .to_owned(),
            });
        };
        let hidden = launch.hidden.iter().map(|path| (*path).to_owned());
        let hidden: Vec<PathBuf> = given.iter().cloned().chain(hidden).collect();
        run(launch, &hidden)
    }
}

fn unmet(disposition: Disposition, message: String) -> Unmet {
    Unmet { disposition, message }
}

/// Says whether the kernel can hide anything.
fn can_hide() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V1));
    ruleset.and_then(Ruleset::create).is_ok()
}

fn run(launch: &Launch<'_>, hidden: &[PathBuf]) -> Result<Isolation, Unmet> {
    let transient = |error: io::Error| unmet(Disposition::Transient, error.to_string());
    let isolation = if can_hide() {
        Isolation::Enforced
    } else {
        Isolation::Trusted
    };
    let temporary = launch.folder.join("tmp");
    fs::create_dir(&temporary).map_err(transient)?;
    let mut command = Command::new(env::current_exe().map_err(transient)?);
    command.arg(WORDS).arg(getpid().to_string()).arg(launch.folder);
    if isolation == Isolation::Enforced {
        command.args(hidden);
    }
    let handed_on = HANDED_ON.iter();
    command
        .arg("--")
        .args(launch.argv)
        .current_dir(launch.within)
        .env_clear()
        .envs(handed_on.filter_map(|name| Some((name, env::var_os(name)?))))
        .env("TMPDIR", &temporary)
        .envs(launch.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(transient)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let last = thread::scope(|scope| {
        let out = scope.spawn(|| out.map_or_else(String::new, heard));
        let err = scope.spawn(|| err.map_or_else(String::new, heard));
        let [out, err] = [out.join(), err.join()].map(Result::unwrap_or_default);
        if err.trim().is_empty() { out } else { err }
    });
    let status = child.wait().map_err(transient)?;
    ended(launch, status, last.trim()).map(|()| isolation)
}

/// Logs what a program says line by line, and returns the last of it.
fn heard(stream: impl Read) -> String {
    let mut last = String::new();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        tracing::info!(line = %escape(text.trim_end()), "the job's command says");
        last.push_str(&text);
        if last.len() > 2 * WORDS_MAX {
            last.drain(..last.len() - end(&last).len());
        }
    }
}

/// Returns the end of a text, of whole characters.
fn end(text: &str) -> &str {
    let mut from = text.len().saturating_sub(WORDS_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn ended(launch: &Launch<'_>, status: ExitStatus, last: &str) -> Result<(), Unmet> {
    if status.success() {
        return Ok(());
    }
    let program = launch.argv.first().map_or("", String::as_str);
    let last = match end(last) {
        "" => String::new(),
        last => format!("; its last words: {}", escape(last)),
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(match (code, status.signal()) {
        (Some(NOT_FOUND), _) => unmet(
            Disposition::Waiting,
            format!("there is no program {} on this machine{last}", escape(program)),
        ),
        (Some(NOT_HIDDEN), _) => unmet(
            Disposition::Waiting,
            format!("what it has no business with cannot be hidden from it{last}"),
        ),
        (_, Some(signal)) => unmet(
            Disposition::Transient,
            format!("{} was ended by signal {signal}{last}", escape(program)),
        ),
        (code, None) => unmet(
            Disposition::Transient,
            format!(
                "{} ended with exit code {}{last}",
                escape(program),
                code.unwrap_or_default()
            ),
        ),
    })
}

/// Becomes a program of a commit, if that is what this process was started for; returns only where it cannot.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORDS {
        return None;
    }
    let parent = words.next()?.to_str()?.parse().ok().and_then(Pid::from_raw)?;
    let folder = PathBuf::from(words.next()?);
    let hidden: Vec<PathBuf> = words
        .by_ref()
        .take_while(|word| word != OsStr::new("--"))
        .map(PathBuf::from)
        .collect();
    let program = words.next()?;
    signals::release();
    // It outlives no training run, however that ends.
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || getppid() != Some(parent) {
        return Some(ExitCode::FAILURE);
    }
    if !hidden.is_empty()
        && let Err(why) = hide(&hidden, &folder)
    {
        complain(&why);
        return Some(ExitCode::from(NOT_HIDDEN));
    }
    let error = Command::new(program).args(words).exec();
    complain(&error.to_string());
    Some(ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => NOT_FOUND,
        _ => 1,
    }))
}

#[expect(clippy::print_stderr, reason = "whoever started it reads this")]
fn complain(why: &str) {
    eprintln!("{why}");
}

/// Lets this process, and all that it becomes, see no more of the file system than what lies beside what is hidden and the
/// folder that is its own, and signal none that it has not started.
fn hide(hidden: &[PathBuf], folder: &Path) -> Result<(), String> {
    let hidden: Vec<PathBuf> = hidden
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let mut beside = vec![folder.to_owned()];
    add_beside(Path::new("/"), &hidden, &mut beside).map_err(|error| error.to_string())?;
    restrict(&beside).map_err(|error| error.to_string())
}

/// Adds what lies in a folder and below it, but for what is hidden and what leads there.
fn add_beside(folder: &Path, hidden: &[PathBuf], beside: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A link is what it leads to; what cannot be reached need not be hidden.
        let Ok(place) = fs::canonicalize(&path) else {
            continue;
        };
        if hidden.iter().any(|hidden| place.starts_with(hidden)) {
            continue;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(&place)) {
            beside.push(path);
        } else if place == path {
            add_beside(&path, hidden, beside)?;
        }
        if beside.len() > BESIDE_MAX {
            return Err(io::Error::other(format!(
                "more than {BESIDE_MAX} files and folders lie beside it: let less lie beside the repository and the data directory"
            )));
        }
    }
    Ok(())
}

fn restrict(beside: &[PathBuf]) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(ABI::V3);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        // Nor may it end what serves, where the kernel is of 2024 or later.
        .scope(Scope::from_all(ABI::V6))?;
    ruleset
        .create()?
        .add_rules(path_beneath_rules(beside, all))?
        .restrict_self()
        .map(drop)
}
