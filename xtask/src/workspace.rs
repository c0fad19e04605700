//! What Git and cargo say of this workspace: its files, its packages and which knows which.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// What `cargo metadata` says of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_root: String,
    pub(crate) target_directory: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's own name, however the manifest calls it.
    pub(crate) name: String,
    /// `dev` for what only tests use.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace at `root`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let told = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .current_dir(root)
            .output()
            .context("start cargo metadata")?;
        if !told.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&told.stderr).trim());
        }
        serde_json::from_slice(&told.stdout).context("read cargo metadata")
    }
}

/// Returns the cargo that started this program.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the paths of what belongs to the tree at `root`: all that Git tracks, and what it would with `git add --all`.
pub(crate) fn paths(root: &Path) -> anyhow::Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("start git")?;
    if !listed.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let text = String::from_utf8_lossy(&listed.stdout);
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}
