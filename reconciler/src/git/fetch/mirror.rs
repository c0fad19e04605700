//! The folder of a mirror: locked while it is written, made beside, and put in its place by one rename.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Repository, RepositoryInitOptions};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::source::remote::Fault;

/// How many packs a mirror may hold. Each fetch brings one, all of them stay open, and libgit2 joins none.
const PACKS_MAX: usize = 50;

/// The name of the lock, which one process of all holds.
const LOCK: &str = "mirror.lock";

/// A mirror that nobody else writes meanwhile.
pub(super) struct Mirror {
    path: PathBuf,
    beside: PathBuf,
    _lock: File,
}

impl Mirror {
    /// Takes the mirror at a path, which need not be there, and what a killed process left of it.
    pub(super) fn take(path: &Path) -> Result<Self, Fault> {
        let failed = |error: io::Error| Fault::Mirror {
            message: format!("{}: {error}", path.display()),
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        make_private(folder).map_err(failed)?;
        let lock = File::create(folder.join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mirror = Self {
            path: path.to_owned(),
            beside: path.with_extension("beside"),
            _lock: lock,
        };
        remove(&mirror.beside).map_err(failed)?;
        sweep(path).map_err(failed)?;
        Ok(mirror)
    }

    /// Opens the mirror, if it can be used: what was fetched under the name, if anything, is there.
    pub(super) fn open(&self, name: &str) -> Option<Repository> {
        if !fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_dir()) {
            return None;
        }
        let repository = Repository::open_bare(&self.path).ok()?;
        let is_usable = match repository.find_reference(name) {
            Ok(found) => found.peel(ObjectType::Commit).is_ok(),
            Err(error) => error.code() == git2::ErrorCode::NotFound,
        };
        is_usable.then_some(repository)
    }

    /// Says whether it is time to make it anew.
    pub(super) fn is_crowded(&self) -> bool {
        let packs = fs::read_dir(self.path.join("objects/pack"));
        let is_pack = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|it| it == "pack");
        packs.is_ok_and(|packs| packs.flatten().filter(is_pack).count() > PACKS_MAX)
    }

    /// Makes an empty one beside it.
    pub(super) fn make_beside(&self) -> Result<Repository, Fault> {
        let made = remove(&self.beside)
            .and_then(|()| make_private(&self.beside))
            .map_err(|error| error.to_string());
        made.and_then(|()| init(&self.beside).map_err(|error| error.message().to_owned()))
            .map_err(|message| Fault::Mirror {
                message: format!("{}: {message}", self.beside.display()),
            })
    }

    /// Puts the one that was made beside in its place.
    pub(super) fn take_the_place(&self) -> Result<(), Fault> {
        let exchanged = renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::EXCHANGE);
        let placed = match exchanged {
            Ok(()) => Ok(()),
            // There was none, or the file system exchanges nothing.
            Err(_refused) => remove(&self.path).and_then(|()| fs::rename(&self.beside, &self.path)),
        };
        let swept = placed.and_then(|()| remove(&self.beside));
        swept.map_err(|error| Fault::Mirror {
            message: format!("{}: {error}", self.path.display()),
        })
    }
}

fn init(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("none");
    let repository = Repository::init_opts(path, &options)?;
    let mut config = repository.config()?;
    config.set_bool("http.followRedirects", false)?;
    config.set_bool("core.fsyncObjectFiles", true)?;
    Ok(repository)
}

/// Makes a folder that is this user's alone, if it is not there. A link in its place is refused.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                return Ok(());
            }
            Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "a link or a file is in its place",
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            fs::create_dir_all(parent)?;
            DirBuilder::new().mode(0o700).create(path)
        }
        made => made,
    }
}

/// Removes a folder with all that is in it, or whatever is in its place; follows no link.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_other) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Removes what a process that was killed had not finished: locks, and packs without a name.
fn sweep(mirror: &Path) -> io::Result<()> {
    for (folder, is_left) in [
        ("", is_lock as fn(&str) -> bool),
        ("refs/aurora", is_lock),
        ("objects/pack", |name| !name.starts_with("pack-") || is_lock(name)),
    ] {
        let Ok(entries) = fs::read_dir(mirror.join(folder)) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(is_left) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_lock(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(repository: &Repository, name: &str) {
        let author = git2::Signature::now("Test", "test@example.org").unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        repository
            .commit(Some(name), &author, &author, "a commit", &tree, &[])
            .unwrap();
    }

    #[test]
    fn a_mirror_is_used_while_it_holds_what_it_says_and_is_swept_and_replaced_whole() {
        const NAME: &str = "refs/aurora/0123";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("git/mirror");
        let taken = || Mirror::take(&path).unwrap();
        assert!(taken().open(NAME).is_none(), "there is none");

        let mirror = taken();
        commit(&mirror.make_beside().unwrap(), NAME);
        mirror.take_the_place().unwrap();
        assert!(mirror.open(NAME).is_some());
        assert!(
            mirror.open("refs/aurora/other").is_some(),
            "another address may be fetched into it"
        );
        drop(mirror);

        // What a killed process left goes; what is named stays.
        let left = [
            "config.lock",
            "refs/aurora/0123.lock",
            "objects/pack/pack_git2_x",
            "objects/pack/pack-1.idx.lock",
        ];
        let kept = ["objects/pack/pack-1.pack", "config"];
        for file in left.iter().chain(&kept[..1]) {
            fs::write(path.join(file), "").unwrap();
        }
        let mirror = taken();
        assert!(left.iter().all(|file| !path.join(file).exists()));
        assert!(kept.iter().all(|file| path.join(file).exists()));
        fs::remove_file(path.join(kept[0])).unwrap();

        // Crowded: another one takes its place.
        for pack in 0..=PACKS_MAX {
            assert!(!mirror.is_crowded());
            fs::write(path.join(format!("objects/pack/pack-{pack}.pack")), "").unwrap();
        }
        assert!(mirror.is_crowded());
        commit(&mirror.make_beside().unwrap(), NAME);
        mirror.take_the_place().unwrap();
        assert!(!mirror.is_crowded() && mirror.open(NAME).is_some());
        assert!(!mirror.beside.exists());

        // Torn, as after a power cut: it is not used.
        fs::write(path.join(NAME), "").unwrap();
        assert!(mirror.open(NAME).is_none());
        drop(mirror);

        // A link in its place leads nowhere.
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let mirror = taken();
        assert!(mirror.open("refs/aurora/other").is_none());
        commit(&mirror.make_beside().unwrap(), NAME);
        mirror.take_the_place().unwrap();
        assert!(mirror.open(NAME).is_some() && elsewhere.join("config").exists());
    }
}
