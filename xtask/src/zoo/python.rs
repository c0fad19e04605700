//! The Python part: an environment of pinned packages, made once, and the scripts that run in it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// What is installed.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Trains and exports models into a folder, and writes what the reference answers beside them.
pub(crate) fn make(
    root: &Path,
    folder: &Path,
    seed: u64,
    only: &str,
    rows: Option<usize>,
) -> anyhow::Result<()> {
    let python = environment()?.join("bin/python");
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(root.join("xtask/src/zoo/models.py"))
        .arg(folder)
        .arg(seed.to_string())
        .args(["--only", only]);
    if let Some(rows) = rows {
        command.args(["--rows", &rows.to_string()]);
    }
    run(&mut command, "train and export the models")
}

/// Returns the environment of these very packages, which is made where there is none.
#[expect(
    clippy::print_stderr,
    reason = "a recipe talks to the terminal; its output is the table"
)]
fn environment() -> anyhow::Result<PathBuf> {
    let cache = cache().context("no folder for what is kept between runs: set HOME or XDG_CACHE_HOME")?;
    fs::create_dir_all(&cache).with_context(|| format!("make {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("make the lock of the cache")?;
    lock.lock().context("wait for another process that installs")?;
    let digest = hex::encode(Sha256::digest(REQUIREMENTS));
    let folder = cache.join(&digest[..16]);
    let made = folder.join("made");
    if made.exists() {
        eprintln!("packages: those of {}", folder.display());
        return Ok(folder);
    }
    // What a killed run left is no environment.
    if let Err(error) = fs::remove_dir_all(&folder)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("remove what is left of {}", folder.display()));
    }
    let began = Instant::now();
    let list = cache.join("requirements.txt");
    fs::write(&list, REQUIREMENTS).with_context(|| format!("write {}", list.display()))?;
    run(
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "make an environment (python3 with venv)",
    )?;
    let mut install = Command::new(folder.join("bin/python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&list);
    run(&mut install, "install the packages")?;
    File::create(&made).with_context(|| format!("write {}", made.display()))?;
    let seconds = began.elapsed().as_secs();
    eprintln!("packages: installed into {} in {seconds} s", folder.display());
    Ok(folder)
}

fn cache() -> Option<PathBuf> {
    let of = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(folder.join("aurora/zoo"))
}

fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot {what}"))?;
    if !status.success() {
        bail!("could not {what}: {status}");
    }
    Ok(())
}
