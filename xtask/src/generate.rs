//! Files that are generated from the code, committed, and checked for drift.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Returns each generated file with its content, paths from the repository's root.
fn files() -> Vec<(PathBuf, String)> {
    let definitions = crds::crd_yaml().into_iter();
    let definitions = definitions.map(|(name, text)| (Path::new("crds/yaml").join(name), text));
    let schema = (PathBuf::from("crds/aurora.schema.json"), crds::manifest_schema());
    let openapi = (PathBuf::from("docs/openapi.json"), server::openapi().to_owned());
    definitions.chain([schema, openapi]).collect()
}

/// Writes all generated files.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for (path, text) in files() {
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
    for (path, text) in files() {
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
