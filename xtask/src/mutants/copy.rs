//! A copy of the tree with a warm target directory: what a worker changes and builds, so that the checkout stays as it is.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::list::Mutant;
use super::process;
use crate::workspace;

/// The tree of a worker, and its target directory and temporary files beside it.
#[derive(Debug)]
pub(super) struct Copy {
    home: PathBuf,
}

impl Copy {
    /// Copies what Git sees of `root` into `home`, as a checkout with its history, and what `warm`, its target directory, holds
    /// of dependencies.
    ///
    /// Programs and tests are built in each copy: they know the paths of what they start, and cargo takes those of another
    /// folder for its own.
    pub(super) fn of_checkout(root: &Path, home: PathBuf, warm: &Path) -> Result<Self> {
        let copy = Self { home };
        fs::create_dir_all(copy.home())?;
        let cloned = Command::new("git")
            .args(["clone", "--quiet", "--no-checkout"])
            .args([root, &copy.tree()])
            .status()
            .context("start git")?;
        if !cloned.success() {
            bail!("git clone {}: {cloned}", root.display());
        }
        for path in workspace::paths(root)? {
            copy_file(&root.join(&path), &copy.tree().join(&path)).with_context(|| format!("copy {path}"))?;
        }
        fs::create_dir_all(copy.target())?;
        fs::create_dir_all(copy.temporary())?;
        let warm = warm.join("debug");
        if warm.is_dir() {
            copy_folder(&warm, &copy.target().join("debug"), is_of_dependencies)?;
        }
        Ok(copy)
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.home.join("tree")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.home.join("target")
    }

    /// Where tests put what they would leave behind when killed.
    pub(super) fn temporary(&self) -> PathBuf {
        self.home.join("tmp")
    }

    /// Removes what the tests of a mutant have left behind.
    pub(super) fn clean(&self) -> Result<()> {
        for entry in fs::read_dir(self.temporary())? {
            let path = entry?.path();
            let removed = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Runs `act` while the mutant is in the tree. Cargo sees both changes by the time at which they were written.
    pub(super) fn with<T>(&self, mutant: &Mutant, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.tree().join(&mutant.file);
        let original = fs::read_to_string(&path).with_context(|| format!("read {}", mutant.file))?;
        let changed = mutant
            .apply(&original)
            .with_context(|| format!("{mutant}: the file is not the one that was listed"))?;
        fs::write(&path, changed)?;
        let done = act();
        fs::write(&path, original)?;
        done
    }
}

/// Copies a file or a link with its times, by which cargo knows what it has built. What is gone meanwhile is left out.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let metadata = match from.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if metadata.is_file() {
        fs::copy(from, to)?;
        fs::File::options()
            .append(true)
            .open(to)?
            .set_modified(metadata.modified()?)?;
    }
    Ok(())
}

/// Copies what is wanted of a folder with the times of its files, and shares what its builder replaces but never writes
/// into.
fn copy_folder(from: &Path, to: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if process::is_interrupted() {
            bail!("interrupted before the first mutant");
        }
        fs::create_dir_all(to.join(&folder))?;
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if !is_wanted(&path) {
                continue;
            }
            let (old, new) = (from.join(&path), to.join(&path));
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if !(is_replaced_whole(&path) && fs::hard_link(&old, &new).is_ok()) {
                copy_file(&old, &new).with_context(|| format!("copy {}", old.display()))?;
            }
        }
    }
    Ok(())
}

/// Says whether a path of a target directory is of use where our own crates are built anew: no program that was linked,
/// none of the compiler's notes on them.
fn is_of_dependencies(path: &Path) -> bool {
    let is_program = path.parent() == Some(Path::new("deps")) && path.extension().is_none();
    !is_program
        && [".fingerprint", "build", "deps"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

/// Says whether a file is a library, which the compiler writes beside and renames; of a target directory, half of it.
fn is_replaced_whole(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| ["rlib", "rmeta", "so"].contains(&extension))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_has_the_times_and_shares_only_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deps")).unwrap();
        let early = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        for name in ["deps/a.rlib", "deps/a.d", "deps/a", "b"] {
            fs::write(from.join(name), name).unwrap();
            let file = fs::File::options().append(true).open(from.join(name));
            file.unwrap().set_modified(early).unwrap();
        }
        symlink("b", from.join("link")).unwrap();
        copy_folder(&from, &to, |path| path != Path::new("deps/a")).unwrap();
        assert!(!to.join("deps/a").exists());
        for (name, is_shared) in [("deps/a.rlib", true), ("deps/a.d", false), ("b", false)] {
            let (old, new) = (
                from.join(name).metadata().unwrap(),
                to.join(name).metadata().unwrap(),
            );
            assert_eq!(fs::read_to_string(to.join(name)).unwrap(), name);
            assert_eq!(new.modified().unwrap(), early, "{name}");
            assert_eq!(new.ino() == old.ino(), is_shared, "{name}");
        }
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("b"));
    }

    #[test]
    fn programs_and_notes_of_the_compiler_are_left() {
        for (path, is_wanted) in [
            ("deps", true),
            ("deps/libserde-1.rlib", true),
            ("deps/serde-1.d", true),
            ("deps/aurora-1", false),
            ("build/ring-1/build-script-build", true),
            (".fingerprint/serde-1/lib-serde", true),
            ("incremental", false),
            ("aurora", false),
        ] {
            assert_eq!(is_of_dependencies(Path::new(path)), is_wanted, "{path}");
        }
    }
}
