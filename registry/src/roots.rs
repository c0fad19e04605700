//! Data files outside the store: only below folders that whoever started the process named.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::StoreError;
use crate::files::{Opened, open_beneath};

/// The folders below which a manifest may name data files by absolute paths; none unless somebody named some.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatasetRoots(Vec<Root>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    /// As it was named.
    named: PathBuf,
    /// Without links.
    folder: PathBuf,
}

/// Why a folder is no root for data files.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It cannot be found.
    #[error("cannot use {} as a dataset root: {error}", path.display())]
    NotFound {
        /// What was named.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// It is a file, or the whole machine.
    #[error("cannot use {} as a dataset root: name the folder that holds the data files", .0.display())]
    NoFolder(PathBuf),
}

impl DatasetRoots {
    /// Takes the folders that were named, and resolves whatever links lead to them.
    pub fn new(named: &[PathBuf]) -> Result<Self, RootError> {
        let mut roots = Vec::new();
        for path in named {
            let failed = |error| RootError::NotFound {
                path: path.clone(),
                error,
            };
            let named = std::path::absolute(path).map_err(failed)?;
            let folder = named.canonicalize().map_err(failed)?;
            if !folder.is_dir() || folder.parent().is_none() {
                return Err(RootError::NoFolder(path.clone()));
            }
            roots.push(Root { named, folder });
        }
        // The widest first: what leads out of a folder may still lie in one around it.
        roots.sort_by_key(|root| root.folder.components().count());
        Ok(Self(roots))
    }

    /// Says whether no folder was named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns where the file lies that a manifest names, or would lie; `None` where that is below no root.
    ///
    /// Looks at the words of the path alone: whether there is such a file is nobody's business who may not read it.
    pub fn locate(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let is_plain = |component| matches!(component, Component::Normal(_) | Component::RootDir);
        if !path.is_absolute() || !path.components().all(is_plain) {
            return None;
        }
        self.0.iter().find_map(|Root { named, folder }| {
            let below = path
                .strip_prefix(named)
                .or_else(|_| path.strip_prefix(folder))
                .ok()?;
            (!below.as_os_str().is_empty()).then(|| folder.join(below))
        })
    }

    /// Returns the folders as absolute paths, as they were named.
    pub fn named(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|root| root.named.as_path())
    }

    /// Returns the folders, without links.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.0.iter().map(|root| root.folder.clone()).collect()
    }
}

/// Opens a data file that [`DatasetRoots::locate`] found below one of these folders, through no link that leads out.
///
/// Whatever lies outside all of them is [`StoreError::Outside`], whether it exists or not.
pub fn open_data_file(folders: &[PathBuf], path: &Path) -> Result<Opened, StoreError> {
    let below = folders
        .iter()
        .find_map(|folder| Some((folder, path.strip_prefix(folder).ok()?)));
    match below {
        Some((folder, below)) => open_beneath(folder, below),
        None => Err(StoreError::Outside {
            path: path.to_owned(),
            root: folders.first().cloned().unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_root_by_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.join("data/inner")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        std::os::unix::fs::symlink("data", folder.join("link")).unwrap();
        let roots = DatasetRoots::new(&[folder.join("data/inner"), folder.join("link")]).unwrap();
        let located = |path: &str| {
            let path = path.replace('…', &folder.display().to_string());
            let found = roots.locate(&path)?;
            Some(
                found
                    .display()
                    .to_string()
                    .replace(&folder.display().to_string(), "…"),
            )
        };
        for (path, expected) in [
            ("…/data/rows.csv", Some("…/data/rows.csv")),
            ("…/link/rows.csv", Some("…/data/rows.csv")),
            ("…/link/deep/er/rows.csv", Some("…/data/deep/er/rows.csv")),
            ("…/data/inner/rows.csv", Some("…/data/inner/rows.csv")),
            ("…/data", None),
            ("…/database/rows.csv", None),
            ("…/link/../file", None),
            ("…/data/../file", None),
            ("data/rows.csv", None),
            ("/etc/passwd", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(located(path).as_deref(), expected, "{path}");
        }
        assert_eq!(DatasetRoots::default().locate("/etc/passwd"), None);
        for (root, expected) in [
            (folder.join("none"), "No such file"),
            (folder.join("file"), "name the folder"),
            (PathBuf::from("/"), "name the folder"),
        ] {
            let error = DatasetRoots::new(&[root]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_below_no_root_is_refused_alike_whether_it_exists_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let root = folder.join("data");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(folder.join("secret"), "").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("secret")).unwrap();
        std::os::unix::fs::symlink("../none", root.join("none")).unwrap();
        for path in ["secret", "none", "data/secret", "data/none", "data/../secret"] {
            let opened = open_data_file(std::slice::from_ref(&root), &folder.join(path));
            assert!(
                matches!(opened, Err(StoreError::Outside { .. })),
                "{path}: {opened:?}"
            );
        }
        let opened = open_data_file(&[], &folder.join("secret"));
        assert!(matches!(opened, Err(StoreError::Outside { .. })), "{opened:?}");
    }
}
