//! Where a folder that a person named lies, and whether it is that person's alone.
//!
//! A path may lead through links that whoever administers the machine made. Inside a Git work tree a link may come from
//! a commit, so there none is followed. After this, nothing of ours follows any.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use registry::files::{Access, Dir};
use rustix::process::{getegid, geteuid, getgroups};

use super::DataDirError;

/// How many links are followed on the way to one folder.
const LINKS_MAX: usize = 40;
/// The bits of a mode that let others write, and those of a folder whose group was set on purpose.
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const SET_GROUP: u32 = 0o2000;

/// Returns the absolute path without links of a folder that a person named; it, and folders above it, may be missing.
///
/// A link inside a Git work tree is refused.
pub fn settle(path: &Path) -> Result<PathBuf, DataDirError> {
    let io = |path: &Path, source: io::Error| DataDirError::io("find", path)(source);
    let absolute = std::path::absolute(path).map_err(|error| io(path, error))?;
    let mut left: VecDeque<OsString> = names(&absolute);
    let mut settled = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            settled.pop();
            continue;
        }
        let next = settled.join(&name);
        let is_link = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Whoever opens it says what is wrong.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
            Err(error) => return Err(io(&next, error)),
        };
        if !is_link {
            settled = next;
            continue;
        }
        let target = fs::read_link(&next).map_err(|error| io(&next, error))?;
        if let Some(work_tree) = work_tree(&settled) {
            return Err(DataDirError::Link {
                path: next,
                target,
                work_tree,
            });
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io(&next, rustix::io::Errno::LOOP.into()));
        }
        if target.is_absolute() {
            settled = PathBuf::from("/");
        }
        for name in names(&target).into_iter().rev() {
            left.push_front(name);
        }
    }
    Ok(settled)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Returns the innermost Git work tree that a folder lies in.
fn work_tree(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok())
        .map(Path::to_owned)
}

/// Refuses a folder that is another user's, or that another user may write in.
///
/// Taken are: a folder of this user or of root in which nobody else may write; one whose group may write, if its
/// set-group-id bit is set and this process is in that group, as Kubernetes prepares a volume for an `fsGroup`; and a
/// mount point of root's with any mode, which is a volume that somebody gave to this process.
///
/// Some file systems give everything one owner, or one mode. There, what this process makes has them too.
///
/// Whoever only looks may look at another user's: then it is that user and that user's group whom nobody may join.
pub(super) fn refuse_shared(dir: &Dir, purpose: Purpose) -> Result<(), DataDirError> {
    let access = dir
        .access()
        .map_err(|error| DataDirError::io("examine", dir.path())(error.into()))?;
    let (user, groups) = match purpose {
        Purpose::Look => (access.user, vec![access.group]),
        Purpose::Write => (geteuid().as_raw(), groups()),
    };
    let mut verdict = judge(access, user, &groups, is_volume(dir.path()));
    if verdict != Verdict::Ours
        && let Some(made) = probe(dir)
    {
        verdict = judge(seen(access, made, user), user, &groups, false);
    }
    match verdict {
        Verdict::Ours => Ok(()),
        Verdict::OtherUser => Err(DataDirError::OtherUser {
            path: dir.path().to_owned(),
            owner: access.user,
            user,
        }),
        Verdict::Shared => Err(DataDirError::Shared {
            path: dir.path().to_owned(),
            mode: access.mode,
        }),
    }
}

/// Returns the groups that this process is in.
fn groups() -> Vec<u32> {
    getgroups()
        .unwrap_or_default()
        .into_iter()
        .chain([getegid()])
        .map(rustix::process::Gid::as_raw)
        .collect()
}

/// Returns what a folder gets that this process makes there for itself alone; `None` where it cannot make one.
fn probe(dir: &Dir) -> Option<Access> {
    let name = format!(".tmp-{}-probe", std::process::id());
    let access = dir
        .make_private_dir(OsStr::new(&name))
        .and_then(|made| made.access());
    let _left = dir.remove(&name);
    access.ok()
}

/// Returns what is to be judged, where a folder that this user made there for itself got the owner and mode of `probed`.
fn seen(access: Access, probed: Access, user: u32) -> Access {
    let Access {
        user: owner,
        group,
        mode,
    } = access;
    let are_modes_kept = probed.mode & (GROUP_WRITES | OTHERS_WRITE) == 0;
    Access {
        user: if owner == probed.user { user } else { owner },
        group,
        mode: if are_modes_kept { mode } else { 0o700 },
    }
}

/// What somebody wants of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Read what it says.
    Look,
    /// Change what it says.
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ours,
    OtherUser,
    Shared,
}

fn judge(access: Access, user: u32, groups: &[u32], is_volume: bool) -> Verdict {
    let Access {
        user: owner,
        group,
        mode,
    } = access;
    if owner != user && owner != 0 {
        return Verdict::OtherUser;
    }
    if is_volume && owner == 0 {
        return Verdict::Ours;
    }
    let is_groups = mode & SET_GROUP != 0 && groups.contains(&group);
    if mode & OTHERS_WRITE != 0 || (mode & GROUP_WRITES != 0 && !is_groups) {
        return Verdict::Shared;
    }
    Verdict::Ours
}

/// Says whether something is mounted at a path.
fn is_volume(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok();
    path.parent()
        .is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whose_a_folder_is_and_who_may_write_in_it() {
        use Verdict::{OtherUser, Ours, Shared};
        let (us, root, other) = (1000, 0, 1001);
        let (ours, theirs) = (2000, 2001);
        for (owner, group, mode, is_volume, expected) in [
            (us, theirs, 0o700, false, Ours),
            (us, theirs, 0o755, false, Ours),
            (us, ours, 0o775, false, Shared),
            (us, theirs, 0o757, false, Shared),
            (us, theirs, 0o1777, false, Shared),
            // Kubernetes: a volume, and what lies in it after the next start of a pod.
            (root, ours, 0o2775, true, Ours),
            (root, ours, 0o2777, true, Ours),
            (root, theirs, 0o777, true, Ours),
            (us, ours, 0o2770, false, Ours),
            (us, theirs, 0o2770, false, Shared),
            (us, ours, 0o2777, false, Shared),
            (root, theirs, 0o755, false, Ours),
            (root, theirs, 0o777, false, Shared),
            (us, theirs, 0o777, true, Shared),
            (other, ours, 0o700, false, OtherUser),
            (other, ours, 0o777, true, OtherUser),
        ] {
            let access = Access {
                user: owner,
                group,
                mode,
            };
            assert_eq!(
                judge(access, us, &[ours], is_volume),
                expected,
                "{access:?}, volume: {is_volume}"
            );
        }
        let theirs = Access {
            user: us,
            group: ours,
            mode: 0o700,
        };
        assert_eq!(judge(theirs, root, &[root], false), OtherUser);
    }

    /// NFS maps root to somebody else; file systems of other systems have one owner and mode for all.
    #[test]
    fn where_owner_or_mode_mean_nothing_they_are_not_held_against_a_folder() {
        let (us, other) = (0, 65_534);
        let access = |user, mode| Access { user, group: 0, mode };
        for (there, made, expected) in [
            (access(other, 0o755), access(other, 0o700), Verdict::Ours),
            (access(other, 0o755), access(us, 0o700), Verdict::OtherUser),
            (access(other, 0o777), access(other, 0o777), Verdict::Ours),
            (access(us, 0o777), access(us, 0o777), Verdict::Ours),
            (access(us, 0o777), access(us, 0o700), Verdict::Shared),
            (access(other, 0o777), access(us, 0o777), Verdict::OtherUser),
        ] {
            let judged = judge(seen(there, made, us), us, &[us], false);
            assert_eq!(judged, expected, "{there:?}, {made:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        assert_eq!(probe(&dir).map(|made| made.mode & 0o777), Some(0o700));
        assert_eq!(dir.names().unwrap(), [""; 0]);
    }

    #[test]
    fn a_persons_own_links_are_resolved_and_those_of_a_work_tree_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        fs::create_dir_all(folder.join("clone/.git")).unwrap();
        fs::create_dir_all(folder.join("clone/inner")).unwrap();
        fs::create_dir_all(folder.join("disk")).unwrap();
        symlink("disk", folder.join("data")).unwrap();
        symlink(folder.join("clone"), folder.join("current")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        symlink("../../disk", folder.join("clone/inner/planted")).unwrap();
        symlink("inner/planted", folder.join("clone/.aurora")).unwrap();
        symlink("clone/.aurora", folder.join("through")).unwrap();
        let settled = |path: &str| {
            match settle(&folder.join(path)) {
                Ok(path) => path.display().to_string(),
                Err(error) => error.to_string(),
            }
            .replace(&folder.display().to_string(), "…")
        };
        for (path, expected) in [
            ("data", "…/disk"),
            ("data/new/folder", "…/disk/new/folder"),
            ("data/../clone/x", "…/clone/x"),
            ("current/.data", "…/clone/.data"),
            ("clone/inner/../.data", "…/clone/.data"),
        ] {
            assert_eq!(settled(path), expected, "{path}");
        }
        for path in [
            "clone/.aurora",
            "current/.aurora",
            "clone/inner/planted/deep",
            "through",
        ] {
            let said = settled(path);
            assert!(
                said.contains("is a symbolic link in the Git work tree …/clone"),
                "{path}: {said}"
            );
        }
        assert!(settled("loop").contains("symbolic links"), "{}", settled("loop"));
    }
}
