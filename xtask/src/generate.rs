//! Files that are generated from the code, committed, and checked for drift.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};

/// Files that the binary itself prints, and how it is asked for them.
const PRINTED: [(&str, &[&str]); 2] = [
    ("docs/output.schema.json", &["schema"]),
    ("docs/command-line.md", &["man", "--markdown"]),
];

/// Returns each generated file with its content, paths from the repository's root.
fn files(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let definitions = crds::crd_yaml().into_iter();
    let definitions = definitions.map(|(name, text)| (Path::new("crds/yaml").join(name), text));
    let schema = (PathBuf::from("crds/aurora.schema.json"), crds::manifest_schema());
    let openapi = (PathBuf::from("docs/openapi.json"), server::openapi().to_owned());
    let printed = PRINTED
        .into_iter()
        .map(|(path, arguments)| Ok((path.into(), printed(root, arguments)?)));
    let known = definitions.chain([schema, openapi]).map(Ok);
    known.chain(printed).collect()
}

/// Returns what the binary prints.
fn printed(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "cli", "--"])
        .args(arguments)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    if !output.status.success() {
        bail!("`aurora {}` ended with {}", arguments.join(" "), output.status);
    }
    String::from_utf8(output.stdout).context("what the binary prints is no text")
}

/// Writes all generated files.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for (path, text) in files(root)? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if a generated file is not what the code generates.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    for (path, text) in files(root)? {
        let committed = fs::read_to_string(root.join(&path))
            .with_context(|| format!("read {}: run `cargo xtask generate`", path.display()))?;
        if committed != text {
            bail!(
                "{} is not what the code generates: run `cargo xtask generate` and commit",
                path.display()
            );
        }
    }
    Ok(())
}
