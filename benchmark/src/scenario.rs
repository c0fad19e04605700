//! A repository as a newcomer's clone has it, made from this checkout's `environments/`, and commits on it.
//!
//! A commit changes pins: what a model's stable and canary tracks serve, and at which weight.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, IndexAddOption, Oid, Repository, RepositoryInitOptions, Signature, Time};
use serde_json::{Value, json};

/// What an MLDeployment pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// The version on the stable track.
    pub stable: String,
    /// The version on the canary track and its weight in percent.
    pub canary: Option<(String, u8)>,
}

/// A repository with one environment.
pub struct Scenario {
    repository: Repository,
    folder: PathBuf,
    environment: String,
    files: Vec<Manifests>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// One file of the environment.
#[derive(Debug)]
struct Manifests {
    /// From the repository's root.
    path: PathBuf,
    documents: Vec<Value>,
}

impl Scenario {
    /// Copies `checkout/environments/<environment>` into a new repository at `folder` and commits it.
    pub fn from_checkout(checkout: &Path, environment: &str, folder: &Path) -> Result<Self> {
        let inside = Path::new("environments").join(environment);
        copy(&checkout.join(&inside), &folder.join(&inside))?;
        Self::from_folder(folder, environment)
    }

    /// Makes a repository of `folder`, which holds `environments/<environment>`, and commits everything in it.
    pub fn from_folder(folder: &Path, environment: &str) -> Result<Self> {
        let mut options = RepositoryInitOptions::new();
        let repository = Repository::init_opts(folder, options.initial_head("main"))?;
        let mut scenario = Self {
            repository,
            folder: folder.to_owned(),
            environment: environment.to_owned(),
            files: Vec::new(),
        };
        scenario.files = scenario.read_manifests(&Path::new("environments").join(environment))?;
        scenario.commit_all("environments: declare everything")?;
        Ok(scenario)
    }

    /// Returns the repository's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the environment's name.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Returns the models that are deployed, in the order of their files.
    pub fn models(&self) -> Vec<String> {
        let documents = self.files.iter().flat_map(|file| &file.documents);
        let deployments = documents.filter(|document| document["kind"] == "MLDeployment");
        deployments
            .filter_map(|document| text(&document["spec"]["modelName"]))
            .collect()
    }

    /// Returns what a model's manifest pins.
    pub fn pins(&self, model: &str) -> Result<Pins> {
        let document = &self.files[self.file_of(model)?].documents;
        let spec = &document[position(document, model).context("invariant: the file has the model")?]["spec"];
        let canary = text(&spec["canary"]["version"]).map(|version| {
            let weight = spec["canary"]["weight"]
                .as_u64()
                .and_then(|weight| u8::try_from(weight).ok());
            (version, weight.unwrap_or(0))
        });
        let stable = text(&spec["stable"]["version"]).context("no stable.version in the manifest")?;
        Ok(Pins { stable, canary })
    }

    /// Returns the folder that holds the registry's `aurora/`, for a data directory.
    pub fn registry(&self, data: &Path) -> PathBuf {
        let documents = self.files.iter().flat_map(|file| &file.documents);
        let mut environments = documents.filter(|document| document["kind"] == "MLEnvironment");
        let declared = environments.find_map(|document| text(&document["spec"]["registry"]["path"]));
        data.join(declared.as_deref().unwrap_or("registry"))
    }

    /// Changes what a model pins, in the working tree and by a commit, and returns the commit.
    pub fn commit(&self, model: &str, pins: &Pins, message: &str) -> Result<Oid> {
        let path = &self.files[self.file_of(model)?].path;
        fs::write(self.folder.join(path), self.file_with(model, pins)?)?;
        self.commit_all(message)
    }

    /// Commits what the working tree holds, and returns the commit.
    pub fn commit_all(&self, message: &str) -> Result<Oid> {
        let mut index = self.repository.index()?;
        index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
        index.write()?;
        let tree = index.write_tree()?;
        self.commit_tree(tree, message)
    }

    /// Writes the tree in which a model pins `pins`, for [`Self::commit_tree`].
    pub fn tree(&self, model: &str, pins: &Pins) -> Result<Oid> {
        let path = &self.files[self.file_of(model)?].path;
        let blob = self.repository.blob(&self.file_with(model, pins)?)?;
        let base = self.repository.head()?.peel_to_tree()?;
        Ok(TreeUpdateBuilder::new()
            .upsert(path, blob, FileMode::Blob)
            .create_updated(&self.repository, &base)?)
    }

    /// Commits a tree to the branch without touching the working tree: two small files, well under a millisecond.
    pub fn commit_tree(&self, tree: Oid, message: &str) -> Result<Oid> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let time = Time::new(i64::try_from(seconds)?, 0);
        let author = Signature::new("benchmark", "benchmark@example.org", &time)?;
        let tree = self.repository.find_tree(tree)?;
        let parent = match self.repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            // The first commit has no parent.
            Err(_unborn) => None,
        };
        let parents: Vec<_> = parent.iter().collect();
        Ok(self
            .repository
            .commit(Some("HEAD"), &author, &author, message, &tree, &parents)?)
    }

    fn file_of(&self, model: &str) -> Result<usize> {
        let found = self
            .files
            .iter()
            .position(|file| position(&file.documents, model).is_some());
        found.with_context(|| format!("no MLDeployment of {model} in {}", self.environment))
    }

    /// Renders the model's file with other pins. JSON is YAML, and no comment matters here.
    fn file_with(&self, model: &str, pins: &Pins) -> Result<Vec<u8>> {
        let mut documents = self.files[self.file_of(model)?].documents.clone();
        let index = position(&documents, model).context("invariant: the file has the model")?;
        let spec = documents[index]["spec"]
            .as_object_mut()
            .context("spec is no mapping")?;
        spec.insert("stable".into(), json!({ "version": pins.stable }));
        match &pins.canary {
            Some((version, weight)) => {
                spec.insert("canary".into(), json!({ "version": version, "weight": weight }));
            }
            None => {
                spec.remove("canary");
            }
        }
        let mut file = Vec::new();
        for document in &documents {
            file.extend_from_slice(b"---\n");
            serde_json::to_writer_pretty(&mut file, document)?;
            file.push(b'\n');
        }
        Ok(file)
    }

    fn read_manifests(&self, inside: &Path) -> Result<Vec<Manifests>> {
        let mut files = Vec::new();
        for path in files_below(&self.folder.join(inside))? {
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml")
            {
                let text = fs::read_to_string(&path)?;
                let documents = serde_yaml::from_multiple(&text)
                    .with_context(|| format!("failed to parse {}", path.display()))?;
                let path = path.strip_prefix(&self.folder)?.to_owned();
                files.push(Manifests { path, documents });
            }
        }
        if files.is_empty() {
            bail!("{} holds no manifest", inside.display());
        }
        Ok(files)
    }
}

fn position(documents: &[Value], model: &str) -> Option<usize> {
    documents
        .iter()
        .position(|document| document["kind"] == "MLDeployment" && document["spec"]["modelName"] == model)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Returns the files below a folder, sorted.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files_below(from)? {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().context("invariant: a file has a folder")?)?;
        fs::copy(file, target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
kind: MLEnvironment
metadata: { name: dev }
---
kind: MLDeployment  # a comment
metadata: { name: wine }
spec:
  modelName: wine
  stable: { version: v20261101-120000 }
  canary: { version: v20261102-120000, weight: 10 }
";

    #[test]
    fn a_commit_changes_pins_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let manifests = folder.path().join("checkout/environments/dev");
        fs::create_dir_all(&manifests).unwrap();
        fs::write(manifests.join("wine.yaml"), MANIFEST).unwrap();
        let repository = folder.path().join("clone");
        let scenario = Scenario::from_checkout(&folder.path().join("checkout"), "dev", &repository).unwrap();
        assert_eq!(scenario.models(), ["wine"]);
        let declared = Pins {
            stable: "v20261101-120000".into(),
            canary: Some(("v20261102-120000".into(), 10)),
        };
        assert_eq!(scenario.pins("wine").unwrap(), declared);

        let promoted = Pins {
            stable: "v20261102-120000".into(),
            canary: None,
        };
        scenario.commit("wine", &promoted, "wine: promote").unwrap();
        let again = Scenario::from_checkout(&repository, "dev", &folder.path().join("again")).unwrap();
        assert_eq!(again.pins("wine").unwrap(), promoted);
        assert_eq!(again.files[0].documents[0], scenario.files[0].documents[0]);
        let statuses = scenario.repository.statuses(None).unwrap();
        assert_eq!(statuses.len(), 0, "the working tree is what was committed");
    }
}
