//! A changed file, written: into the work tree, or as a commit on a branch.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git2::{Commit, ErrorCode, FileMode, Oid, Repository, RepositoryInitOptions, Status, Tree};
use planner::names::{EnvironmentName, ModelName, Revision};
use registry::files::Dir;

use super::{Editor, EditorError, Found, Search, folder, git};
use crate::source::is_manifest;

/// The deepest folder of an environment that is searched.
const DEPTH_MAX: usize = 32;

/// Makes a repository of a folder that lies in none, whose branch `main` has one commit with these files; returns the commit.
/// `None` where the folder lies in a repository already, of which nothing is changed.
///
/// # Errors
///
/// Nobody knows whose commit it would be, or the repository cannot be made.
pub fn begin(folder: &Path, files: &[String], message: &str) -> Result<Option<Revision>, EditorError> {
    if Repository::discover(folder).is_ok() {
        return Ok(None);
    }
    let mut options = RepositoryInitOptions::new();
    options
        .no_reinit(true)
        .external_template(false)
        .initial_head("main");
    let made = Repository::init_opts(folder, &options);
    let repository = made.map_err(git(format!("make a repository of {}", folder.display())))?;
    let editor = Editor { repository };
    let failed = || git("add the files");
    let mut index = editor.repository.index().map_err(failed())?;
    for file in files {
        index.add_path(file.as_ref()).map_err(failed())?;
    }
    index.write().map_err(failed())?;
    let tree = index.write_tree().map_err(failed())?;
    let tree = editor.repository.find_tree(tree).map_err(failed())?;
    let commit = editor.make(&tree, None, message)?;
    let branch = editor
        .repository
        .reference("refs/heads/main", commit, false, message);
    branch.map_err(git("make the branch main"))?;
    let id = commit.to_string();
    Ok(Some(id.parse().expect("invariant: a commit's id is a revision")))
}

impl Editor {
    /// Finds a model's manifest among the files of the work tree, committed or not.
    pub(super) fn in_work_tree(
        &self,
        environment: &EnvironmentName,
        model: &ModelName,
    ) -> Result<Found, EditorError> {
        let mut search = Search::new(environment, model);
        let mut files = Vec::new();
        let root = self.work_tree()?;
        list(&root.join(folder(environment)), DEPTH_MAX, &mut files)?;
        files.sort();
        for file in files {
            let path = file.strip_prefix(&root).unwrap_or(&file);
            let content = fs::read(&file).map_err(at(&file))?;
            search.look_at(&path.to_string_lossy(), &content)?;
        }
        search.end()
    }

    /// Writes a file of the work tree in one step.
    pub(super) fn write_file(&self, path: &str, text: &str) -> Result<(), EditorError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.work_tree()?.join(folder);
        let path = folder.join(name);
        let permissions = fs::metadata(&path).map_err(at(&path))?.permissions();
        Dir::open(&folder)?.replace(name, text.as_bytes())?;
        // It stays readable to whom it was readable.
        fs::set_permissions(&path, permissions).map_err(at(&path))
    }

    fn work_tree(&self) -> Result<PathBuf, EditorError> {
        let bare = || git2::Error::from_str("the repository is bare: it has no files to be edited");
        let root = self.repository.workdir().ok_or_else(bare);
        root.map(Path::to_owned).map_err(git("look for the work tree"))
    }

    /// Commits a changed file on a branch, and returns the commit. Where the branch is checked out its work tree follows.
    pub(super) fn commit(
        &self,
        parent: Oid,
        branch: &str,
        found: &Found,
        text: &str,
        message: &str,
    ) -> Result<Revision, EditorError> {
        let parent = self
            .repository
            .find_commit(parent)
            .map_err(git("read a commit"))?;
        let reference = format!("refs/heads/{branch}");
        let is_checked_out = !self.repository.is_bare() && self.checked_out().as_deref() == Some(&reference);
        if is_checked_out && !self.is_committed(&found.path) {
            return Err(EditorError::Uncommitted {
                branch: branch.to_owned(),
                path: found.path.clone(),
            });
        }
        let tree = self.with_file(&parent, &found.path, text)?;
        let commit = self.make(&tree, Some(&parent), message)?;
        let log = format!("aurora: {}", message.lines().next().unwrap_or_default());
        // Whoever moved the branch meanwhile wins.
        let moved = if self.repository.refname_to_id(&reference).is_ok() {
            self.repository
                .reference_matching(&reference, commit, true, parent.id(), &log)
        } else {
            self.repository.reference(&reference, commit, false, &log)
        };
        moved.map_err(git(format!("move the branch {branch}")))?;
        if is_checked_out {
            self.write_file(&found.path, text)?;
            let mut index = self.repository.index().map_err(git("open the index"))?;
            let added = index.add_path(found.path.as_ref()).and_then(|()| index.write());
            added.map_err(git(format!("add {} to the index", found.path)))?;
        }
        let id = commit.to_string();
        Ok(id.parse().expect("invariant: a commit's id is a revision"))
    }

    /// Returns the branch that HEAD names, whole.
    fn checked_out(&self) -> Option<String> {
        let head = self.repository.find_reference("HEAD").ok()?;
        head.symbolic_target().ok().flatten().map(str::to_owned)
    }

    fn is_committed(&self, path: &str) -> bool {
        self.repository.status_file(path.as_ref()) == Ok(Status::CURRENT)
    }

    /// Returns a commit's tree with another content of a file.
    fn with_file(&self, parent: &Commit<'_>, path: &str, text: &str) -> Result<Tree<'_>, EditorError> {
        let failed = || git(format!("write {path}"));
        let repository = &self.repository;
        let blob = repository.blob(text.as_bytes()).map_err(failed())?;
        let tree = parent.tree().map_err(failed())?;
        let mode = tree.get_path(path.as_ref()).map_err(failed())?.filemode();
        let mode = if mode == i32::from(FileMode::BlobExecutable) {
            FileMode::BlobExecutable
        } else {
            FileMode::Blob
        };
        let mut update = git2::build::TreeUpdateBuilder::new();
        update.upsert(path, blob, mode);
        let changed = update.create_updated(repository, &tree).map_err(failed())?;
        repository.find_tree(changed).map_err(failed())
    }

    /// Makes a commit that no branch has yet, signed where the repository asks for that.
    fn make(&self, tree: &Tree<'_>, parent: Option<&Commit<'_>>, message: &str) -> Result<Oid, EditorError> {
        let failed = || git("make a commit");
        let config = self.repository.config().and_then(|mut config| config.snapshot());
        let is_signed = config
            .and_then(|config| config.get_bool("commit.gpgsign"))
            .unwrap_or(false);
        if is_signed {
            return signed(&self.repository, tree.id(), parent.map(Commit::id), message);
        }
        let whose = |error: git2::Error| match error.code() {
            ErrorCode::NotFound => EditorError::Nobody,
            _ => failed()(error),
        };
        let author = self.repository.author_from_env().map_err(whose)?;
        let committer = self.repository.committer_from_env().map_err(whose)?;
        let parents: Vec<_> = parent.into_iter().collect();
        let made = self
            .repository
            .commit(None, &author, &committer, message, tree, &parents);
        made.map_err(failed())
    }
}

/// Has Git itself make a commit and sign it: keys, agents and formats are its business.
fn signed(
    repository: &Repository,
    tree: Oid,
    parent: Option<Oid>,
    message: &str,
) -> Result<Oid, EditorError> {
    let parent = parent.map(|parent| ["-p".to_owned(), parent.to_string()]);
    let failed = |error: std::io::Error| EditorError::Unsigned(format!("git: {error}"));
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(repository.path())
        .args(["commit-tree", "-S", "-F", "-"])
        .args(parent.into_iter().flatten())
        .arg(tree.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(message.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match Oid::from_str(said.trim()) {
        Ok(commit) if output.status.success() => Ok(commit),
        Ok(_) | Err(_) => Err(EditorError::Unsigned(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}

/// Lists the files of a folder that are named like manifests; links are not followed.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), EditorError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(at(folder))?);
        if kind.is_dir() && depth > 0 {
            list(&path, depth - 1, files)?;
        } else if kind.is_file() && path.to_str().is_some_and(is_manifest) {
            files.push(path);
        }
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> EditorError {
    let path = path.to_owned();
    |error| EditorError::File { path, error }
}
