//! `aurora init`: a repository of one's own, which `aurora up` serves at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use planner::names::{ModelName, NAME_LENGTH_MAX, Version};
use reconciler::edit;
use trainer::{Profile, profile};

use crate::answers::InitAnswer;
use crate::arguments::OutputArguments;
use crate::clock;
use crate::failure::{Context as _, Failure};
use crate::starter::{self, Data, NoJob, StarterFile};
use crate::terminal::Terminal;

/// The model of a starter without data.
const FLOWERS: &str = "iris";
/// The message of the first commit.
const MESSAGE: &str = "Begin with aurora init";

/// Flags of `aurora init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// A data file to learn from: its columns become features [default: a dataset that Aurora brings]
    #[arg(value_name = "CSV")]
    csv: Option<PathBuf>,

    /// The folder that becomes the repository
    #[arg(long, value_name = "PATH", default_value = ".")]
    folder: PathBuf,

    /// The column that is to be predicted [default: asked for on a terminal]
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    target: Option<String>,

    /// The model's name [default: after the data file]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,

    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &InitArguments) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    let version = Version::at(clock::now(), |_taken| false);
    let model = match (&arguments.model, &arguments.csv) {
        (Some(model), _) => model.clone(),
        (None, Some(csv)) => named_after(&csv.file_stem().unwrap_or_default().to_string_lossy())?,
        (None, None) => named_after(FLOWERS)?,
    };
    let data = format!("{model}.csv");
    let files = match &arguments.csv {
        None => starter::files(&model, &version, Data::Iris),
        Some(csv) => {
            let profile = profile(csv, &csv.display().to_string())?;
            let target = target(arguments, &profile)?;
            let data = Data::File {
                name: &data,
                profile: &profile,
                target: &target,
            };
            starter::files(&model, &version, data)
        }
    };
    let files = files.map_err(|no_job| {
        let NoJob { problem, hint } = no_job;
        Failure::new(problem).hint(hint)
    })?;
    fs::create_dir_all(folder).context(|| format!("make {}", folder.display()))?;
    let (kept, files): (Vec<StarterFile>, Vec<StarterFile>) = files
        .into_iter()
        .partition(|file| file.is_optional && is_there(&folder.join(&file.path)));
    let mut paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let data = format!("environments/dev/data/{data}");
    paths.extend(arguments.csv.as_ref().map(|_| data.clone()));
    refuse_what_is_there(folder, &paths)?;
    for file in &files {
        let mode = if file.is_program() { 0o777 } else { 0o666 };
        write(&folder.join(&file.path), mode, file.text.as_bytes())?;
    }
    if let Some(csv) = &arguments.csv {
        let content = File::open(csv).context(|| format!("open {}", csv.display()))?;
        write(&folder.join(data), 0o666, content)?;
    }
    let commit = edit::begin(folder, &paths, MESSAGE)
        .hint(|| "the files are written; then `git init` and a commit of them do the same".to_owned())?;
    let terminal = Terminal::new(arguments.output.output);
    let kept: Vec<String> = kept.into_iter().map(|file| file.path).collect();
    if terminal.is_json() {
        terminal.document(&InitAnswer {
            model: &model,
            version: &version,
            files: &paths,
            kept: &kept,
            commit: commit.as_ref(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    for path in &paths {
        terminal.line(format!("  {path}"))?;
    }
    for path in &kept {
        terminal.line(format!("  {path} was there and stays as it is"))?;
    }
    let place = if folder.as_os_str() == "." {
        String::new()
    } else {
        format!("cd {} && ", folder.display())
    };
    terminal.line(match &commit {
        Some(commit) => format!("{} on branch main: {MESSAGE}", commit.short()),
        None => "this is a repository already: commit the files, `git add --all && git commit`".to_owned(),
    })?;
    terminal.line(format!("next: {place}aurora up"))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a model's name that a text can be.
fn named_after(text: &str) -> Result<ModelName, Failure> {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = text.chars().map(kept).take(NAME_LENGTH_MAX).collect();
    name.trim_matches('-').parse().map_err(|_malformed| {
        Failure::new(format!("no model can be called after {text}")).hint("name it with --model")
    })
}

/// Returns the column that is to be predicted, asked for where somebody can answer.
fn target(arguments: &InitArguments, profile: &Profile) -> Result<String, Failure> {
    if let Some(target) = &arguments.target {
        return Ok(target.clone());
    }
    let columns = starter::names(profile);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new("which column is to be predicted?")
            .hint(format!("name it with --target: {columns}")));
    }
    let mut asked = io::stderr().lock();
    writeln!(asked, "columns: {columns}")?;
    write!(asked, "which one is to be predicted? ")?;
    asked.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Fails if one of the files is there, or something else where they need a folder: nothing of somebody's is replaced.
fn refuse_what_is_there(folder: &Path, paths: &[String]) -> Result<(), Failure> {
    let refused = |path: &Path, what: &str| {
        let problem = format!("{} is {what}, and nothing was written", path.display());
        Err(Failure::new(problem).hint("give another folder with --folder"))
    };
    let environments = folder.join("environments");
    let mut all = paths.iter().map(|path| folder.join(path)).chain([environments]);
    if let Some(path) = all.find(|path| is_there(path)) {
        return refused(&path, "there already");
    }
    let above = |path| Path::new(path).ancestors().skip(1);
    let mut folders = paths.iter().flat_map(above).map(|path| folder.join(path));
    match folders.find(|path| is_there(path) && !path.is_dir()) {
        Some(path) => refused(&path, "no folder"),
        None => Ok(()),
    }
}

/// Makes a file, with those permissions of `mode` that the user gives to new files.
fn write(path: &Path, mode: u32, mut content: impl Read) -> Result<(), Failure> {
    let mut written = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        io::copy(&mut content, &mut file).map(drop)
    };
    written().context(|| format!("write {}", path.display()))
}
