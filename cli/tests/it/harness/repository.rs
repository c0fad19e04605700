//! A repository in a temporary folder, changed by commits.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{IndexAddOption, Oid, Signature};
use tempfile::TempDir;

use super::root;

/// A desired-state repository.
pub(crate) struct Repository {
    folder: TempDir,
    git: git2::Repository,
}

impl Repository {
    /// Makes a repository without any commit, on branch `main`.
    pub(crate) fn empty() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        let git = git2::Repository::init_opts(folder.path(), &options).expect("git init");
        Self { folder, git }
    }

    /// Makes a repository whose one commit holds this repository's `environments/dev`.
    pub(crate) fn dev() -> Self {
        let repository = Self::empty();
        copy(
            &root().join("environments/dev"),
            &repository.path().join("environments/dev"),
        );
        repository.commit("declare dev");
        repository
    }

    /// Returns where it lies.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the libgit2 handle.
    pub(crate) fn git(&self) -> &git2::Repository {
        &self.git
    }

    /// Returns a file of the work tree.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Reads a file of the work tree.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).expect("a file of the work tree")
    }

    /// Writes a file of the work tree, without a commit.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(file, content).expect("write a file of the work tree");
    }

    /// Replaces text in a file, which must hold it exactly once, and commits.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) -> Oid {
        let text = self.read(path);
        assert_eq!(
            text.matches(from).count(),
            1,
            "{path} holds {from:?} once:\n{text}"
        );
        self.write(path, text.replace(from, to));
        self.commit(&format!("{path}: {from} -> {to}"))
    }

    /// As [`Self::edit`], but in the place of the newest commit, as `git commit --amend` does: the branch moves once.
    pub(crate) fn amend(&self, path: &str, from: &str, to: &str) -> Oid {
        let text = self.read(path);
        assert!(text.contains(from), "{path} holds {from:?}:\n{text}");
        self.write(path, text.replace(from, to));
        let mut index = self.git.index().expect("an index");
        index
            .add_all(["*"], IndexAddOption::FORCE, None)
            .expect("the work tree in the index");
        index.write().expect("the index is written");
        let tree = index.write_tree().expect("a tree");
        let tree = self.git.find_tree(tree).expect("the tree");
        let head = self.git.find_commit(self.head()).expect("the newest commit");
        head.amend(Some("HEAD"), None, None, None, None, Some(&tree))
            .expect("an amended commit")
    }

    /// Commits the whole work tree.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        let mut index = self.git.index().expect("an index");
        index.clear().expect("an empty index");
        index
            .add_all(["*"], IndexAddOption::FORCE, None)
            .expect("the work tree in the index");
        self.commit_index(&mut index, message)
    }

    /// Commits what an index holds, whatever the work tree does.
    pub(crate) fn commit_index(&self, index: &mut git2::Index, message: &str) -> Oid {
        index.write().expect("the index is written");
        let tree = self
            .git
            .find_tree(index.write_tree().expect("a tree"))
            .expect("the tree");
        self.commit_tree(&tree, message)
    }

    /// Makes `tree` the next commit of the branch.
    pub(crate) fn commit_tree(&self, tree: &git2::Tree<'_>, message: &str) -> Oid {
        let signature = Signature::now("Ann", "ann@example.org").expect("a signature");
        let parent = self.git.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        self.git
            .commit(Some("HEAD"), &signature, &signature, message, tree, &parents)
            .expect("a commit")
    }

    /// Returns the branch's newest commit.
    pub(crate) fn head(&self) -> Oid {
        self.git
            .head()
            .and_then(|head| head.peel_to_commit())
            .expect("a commit")
            .id()
    }

    /// Commits the tree of an older commit again, as `git revert` of all since does.
    pub(crate) fn revert_to(&self, commit: Oid) -> Oid {
        let tree = self
            .git
            .find_commit(commit)
            .and_then(|commit| commit.tree())
            .expect("its tree");
        self.commit_tree(&tree, "revert");
        self.check_out()
    }

    /// Moves the branch to another commit, as `git reset --hard` does.
    pub(crate) fn reset_to(&self, commit: Oid) -> Oid {
        let object = self.git.find_object(commit, None).expect("the commit");
        self.git
            .reset(&object, git2::ResetType::Soft, None)
            .expect("a reset");
        self.check_out()
    }

    /// Brings the work tree to the branch's newest commit.
    fn check_out(&self) -> Oid {
        let mut options = git2::build::CheckoutBuilder::new();
        options.force().remove_untracked(true);
        self.git.checkout_head(Some(&mut options)).expect("a checkout");
        self.head()
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
