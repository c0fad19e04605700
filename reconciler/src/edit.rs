//! Commits that a person asks for by command: a manifest changed in its place, on a branch.
//!
//! ```text
//! commit ──find──> the model's manifest ──crds::edit──> its new text ──check──> commit on a branch, or the file itself
//! ```
//!
//! Unlike what is followed, the repository is the asker's own, and is read and written here as `git` would in their hands.
//! Nothing is committed that `aurora validate` would refuse, nor with anything besides.

mod commit;
mod former;

use std::fmt;
use std::path::{Path, PathBuf};

use crds::edit::{Edit, EditError};
use crds::parse::{self, Manifest, Parsed};
use git2::{Commit, ObjectType, Oid, Patch, Repository, Tree, TreeWalkMode, TreeWalkResult};
use planner::deployment::{DeclaredDeployment, Pin};
use planner::finding::Finding;
use planner::names::{EnvironmentName, ModelName, Revision, Version};
use registry::StoreError;

use crate::source::is_manifest;
pub use commit::begin;

/// The most manifests of an environment that are searched for a model.
const FILES_MAX: usize = 100_000;

/// A person's repository, to be edited.
pub struct Editor {
    repository: Repository,
}

/// A model's manifest as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The environment.
    pub environment: EnvironmentName,
    /// What the manifest says of the model.
    pub deployment: DeclaredDeployment,
    /// The file, from the repository's root.
    pub path: String,
    /// What the file holds.
    pub text: String,
    /// The commit that it was read of; none for the work tree.
    commit: Option<Oid>,
}

/// Where a change begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The files of the work tree, which nobody commits.
    WorkTree,
    /// A branch, by its short name; it begins at a commit where it is not there yet.
    Branch {
        /// Its name.
        name: String,
        /// Where it begins.
        base: String,
        /// Whether it was named by a person: one that is there otherwise has to contain the base, or is an old one.
        is_given: bool,
    },
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    /// Git could not do its part.
    #[error("{what}")]
    Git {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        error: git2::Error,
    },
    /// There is no such commit.
    #[error("{0} names no commit: run `git log`, or give --base")]
    NoCommit(String),
    /// The branch that would be made is there, and was begun elsewhere.
    #[error(
        "branch {branch} is there and does not contain {base}: delete it, or name another one by --branch"
    )]
    OldBranch {
        /// The branch.
        branch: String,
        /// What it is to contain.
        base: String,
    },
    /// No manifest of the environment declares the model.
    #[error(
        "no MLDeployment of environment {environment} declares {model}{}",
        models.is_empty().then(String::new).unwrap_or_else(|| format!(": there are {}", models.join(", ")))
    )]
    NoModel {
        /// The environment.
        environment: EnvironmentName,
        /// The model.
        model: ModelName,
        /// Some of those that are declared.
        models: Vec<String>,
    },
    /// More than one manifest declares the model.
    #[error("{model} is declared in {first} and in {second}: take one away")]
    TwoManifests {
        /// The model.
        model: ModelName,
        /// A file.
        first: String,
        /// Another one.
        second: String,
    },
    /// The manifest cannot be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The manifest would not be in order.
    #[error("the manifest would not be in order: {finding}")]
    OutOfOrder {
        /// What would be wrong first.
        finding: Box<Finding>,
    },
    /// The branch is checked out, and the file in the work tree is not the committed one.
    #[error(
        "{branch} is checked out and {path} has changes that are not committed: commit them first, or give --in-place"
    )]
    Uncommitted {
        /// The branch.
        branch: String,
        /// The file.
        path: String,
    },
    /// Nobody knows whose commit it would be.
    #[error("whose commit is this? run `git config user.name NAME` and `git config user.email EMAIL`")]
    Nobody,
    /// The commit is to be signed, and could not be.
    #[error("the commit is to be signed (commit.gpgsign): {0}")]
    Unsigned(String),
    /// A file or folder of the work tree could not be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// The work tree's file could not be replaced.
    #[error(transparent)]
    Replace(#[from] StoreError),
    /// There is no version to go back to.
    #[error(
        "{model} served no other version before {version} that may come back, as far as this clone goes back: give --to"
    )]
    NothingBefore {
        /// The model.
        model: ModelName,
        /// What it serves.
        version: Version,
    },
}

fn git(what: impl Into<String>) -> impl FnOnce(git2::Error) -> EditorError {
    let what = what.into();
    |error| EditorError::Git { what, error }
}

impl fmt::Debug for Editor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Editor").field(&self.repository.path()).finish()
    }
}

impl Editor {
    /// Opens the repository that a path lies in.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn open(path: &Path) -> Result<Self, EditorError> {
        let repository = Repository::discover(path).map_err(git(format!("open {}", path.display())))?;
        Ok(Self { repository })
    }

    /// Finds a model's manifest where a change of it would begin.
    ///
    /// # Errors
    ///
    /// It is not there, or is there twice, or cannot be read.
    pub fn find(
        &self,
        place: &Place,
        environment: &EnvironmentName,
        model: &ModelName,
    ) -> Result<Found, EditorError> {
        match place {
            Place::WorkTree => self.in_work_tree(environment, model),
            Place::Branch { .. } => {
                let commit = self.start(place)?;
                let found = self.in_commit(&commit, environment, model)?;
                Ok(Found {
                    commit: Some(commit.id()),
                    ..found
                })
            }
        }
    }

    /// Returns the pin that stable had before the one that a manifest has: the newest of another version that may come
    /// back.
    ///
    /// # Errors
    ///
    /// There is none, as far as the history of the clone goes.
    pub fn before(&self, place: &Place, found: &Found) -> Result<Pin, EditorError> {
        let start = self.start(place)?;
        let former = self.former(start, found)?;
        former.ok_or_else(|| EditorError::NothingBefore {
            model: found.deployment.model.clone(),
            version: found.deployment.stable.version.clone(),
        })
    }

    /// Returns a manifest with some changes; [`None`] where it says so already.
    ///
    /// # Errors
    ///
    /// It cannot be edited in its place, or would not be in order.
    pub fn change(found: &Found, edits: &[Edit]) -> Result<Option<String>, EditorError> {
        let text = crds::edit::edit(&found.path, &found.text, &found.deployment.model, edits)?;
        let findings = |text: &str| parse::parse_file(&found.path, text.as_bytes()).findings;
        let old = findings(&found.text).len();
        if let Some(finding) = findings(&text).into_iter().nth(old) {
            let finding = Box::new(finding);
            return Err(EditorError::OutOfOrder { finding });
        }
        Ok((text != found.text).then_some(text))
    }

    /// Returns what differs, as `git diff` shows it.
    ///
    /// # Errors
    ///
    /// Git could not compare them.
    pub fn difference(found: &Found, text: &str) -> Result<String, EditorError> {
        let failed = || git("compare the manifests");
        let mut options = git2::DiffOptions::new();
        options.context_lines(1);
        let path = Some(Path::new(&found.path));
        let (before, after) = (found.text.as_bytes(), text.as_bytes());
        let compared = Patch::from_buffers(before, path, after, path, Some(&mut options));
        let shown = compared.and_then(|mut patch| patch.to_buf()).map_err(failed())?;
        Ok(String::from_utf8_lossy(&shown).into_owned())
    }

    /// Writes a changed manifest to where it belongs: the work tree's file, or a commit on the branch, whose id is returned.
    ///
    /// # Errors
    ///
    /// Nothing was written: see [`EditorError`].
    pub fn write(
        &self,
        place: &Place,
        found: &Found,
        text: &str,
        message: &str,
    ) -> Result<Option<Revision>, EditorError> {
        match place {
            Place::WorkTree => self.write_file(&found.path, text).map(|()| None),
            Place::Branch { name, .. } => {
                let read = match found.commit {
                    Some(commit) => commit,
                    None => self.start(place)?.id(),
                };
                self.commit(read, name, found, text, message).map(Some)
            }
        }
    }

    /// Returns the message of the commit that a branch ends with, if there is such a branch.
    pub fn newest_message(&self, branch: &str) -> Option<String> {
        let end = self.commit_at(&format!("refs/heads/{branch}")).ok()?;
        Some(String::from_utf8_lossy(end.message_bytes()).into_owned())
    }

    /// Returns the commit that a change is made on.
    fn start(&self, place: &Place) -> Result<Commit<'_>, EditorError> {
        let Place::Branch { name, base, is_given } = place else {
            return self.commit_at("HEAD");
        };
        let branch = format!("refs/heads/{name}");
        if self.repository.find_reference(&branch).is_err() {
            return self.commit_at(base);
        }
        let end = self.commit_at(&branch)?;
        if !is_given {
            let (from, to) = (self.commit_at(base)?.id(), end.id());
            let contains = self.repository.graph_descendant_of(to, from);
            if from != to && !contains.map_err(git(format!("compare {name} with {base}")))? {
                return Err(EditorError::OldBranch {
                    branch: name.clone(),
                    base: base.clone(),
                });
            }
        }
        Ok(end)
    }

    fn commit_at(&self, revision: &str) -> Result<Commit<'_>, EditorError> {
        let found = self.repository.revparse_single(revision);
        let commit = found.and_then(|object| object.peel_to_commit());
        commit.map_err(|_unknown| EditorError::NoCommit(revision.to_owned()))
    }

    fn in_commit(
        &self,
        commit: &Commit<'_>,
        environment: &EnvironmentName,
        model: &ModelName,
    ) -> Result<Found, EditorError> {
        let tree = commit.tree().map_err(git("read a commit"))?;
        let folder = folder(environment);
        let mut search = Search::new(environment, model);
        for (path, blob) in self.manifests(&tree, &folder)? {
            let content = self.content(blob, &path)?;
            search.look_at(&path, &content)?;
        }
        search.end()
    }

    /// Returns the files of a folder that are named like manifests.
    fn manifests(&self, tree: &Tree<'_>, folder: &str) -> Result<Vec<(String, Oid)>, EditorError> {
        let Ok(entry) = tree.get_path(Path::new(folder)) else {
            return Ok(Vec::new());
        };
        let Ok(below) = self.repository.find_tree(entry.id()) else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        let walked = below.walk(TreeWalkMode::PreOrder, |at, entry| {
            if let (Some(ObjectType::Blob), Ok(name)) = (entry.kind(), entry.name()) {
                files.push((format!("{folder}/{at}{name}"), entry.id()));
            }
            if files.len() > FILES_MAX {
                TreeWalkResult::Abort
            } else {
                TreeWalkResult::Ok
            }
        });
        walked.map_err(git(format!("read {folder}")))?;
        files.retain(|(path, _)| is_manifest(path));
        Ok(files)
    }

    /// Returns what a file holds; nothing of one that is too large to be a manifest.
    fn content(&self, blob: Oid, path: &str) -> Result<Vec<u8>, EditorError> {
        let objects = self
            .repository
            .odb()
            .map_err(git("open the repository's objects"))?;
        let (size, _kind) = objects.read_header(blob).map_err(git(format!("read {path}")))?;
        if u64::try_from(size).is_ok_and(|size| size > parse::FILE_BYTES_MAX) {
            return Ok(Vec::new());
        }
        let blob = self
            .repository
            .find_blob(blob)
            .map_err(git(format!("read {path}")))?;
        Ok(blob.content().to_vec())
    }
}

/// Returns the folder of an environment, from the repository's root.
fn folder(environment: &EnvironmentName) -> String {
    format!("environments/{environment}")
}

/// A search for a model's manifest, file by file.
struct Search<'a> {
    environment: &'a EnvironmentName,
    model: &'a ModelName,
    found: Option<Found>,
    others: Vec<String>,
}

impl<'a> Search<'a> {
    /// How many other models are named where the one that is asked for is missing.
    const NAMED_MAX: usize = 10;

    fn new(environment: &'a EnvironmentName, model: &'a ModelName) -> Self {
        Self {
            environment,
            model,
            found: None,
            others: Vec::new(),
        }
    }

    fn look_at(&mut self, path: &str, content: &[u8]) -> Result<(), EditorError> {
        for deployment in deployments(path, content) {
            if deployment.model != *self.model {
                if self.others.len() < Self::NAMED_MAX {
                    self.others.push(deployment.model.to_string());
                }
                continue;
            }
            if let Some(first) = &self.found {
                return Err(EditorError::TwoManifests {
                    model: self.model.clone(),
                    first: first.path.clone(),
                    second: path.to_owned(),
                });
            }
            self.found = Some(Found {
                environment: self.environment.clone(),
                deployment,
                path: path.to_owned(),
                text: String::from_utf8_lossy(content).into_owned(),
                commit: None,
            });
        }
        Ok(())
    }

    fn end(self) -> Result<Found, EditorError> {
        self.found.ok_or_else(|| EditorError::NoModel {
            environment: self.environment.clone(),
            model: self.model.clone(),
            models: self.others,
        })
    }
}

/// Returns the MLDeployments of a file that are in order.
fn deployments(path: &str, content: &[u8]) -> impl Iterator<Item = DeclaredDeployment> + use<> {
    let documents = parse::parse_file(path, content).documents.into_iter();
    documents.filter_map(|Parsed { manifest, .. }| match manifest {
        Manifest::Deployment(_, deployment) => Some(*deployment),
        Manifest::Environment(_) | Manifest::Training(..) => None,
    })
}
