//! A commit's files → the desired state and findings. Reads Git, writes nothing.
//!
//! One bad file never stops the others: what is wrong becomes a finding, and the environment counts as partly
//! understood, so that nothing is removed.

mod datasets;
mod gather;

use std::collections::HashMap;
use std::sync::Arc;

use crds::parse::{Manifest, Parsed, parse_file};
use planner::desired::{AllowedRemovals, Completeness, Declared, Desired};
use planner::environment::Environment;
use planner::finding::{Finding, Location, Reason};
use planner::names::{EnvironmentName, Revision};
use planner::object::ObjectId;

use crate::source::{ENVIRONMENTS, History, ManifestFile, Source, SourceError};

/// What an environment's folder says at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The desired state; absent where there is no MLEnvironment to go by.
    pub desired: Option<Desired>,
    /// What is wrong, sorted by place.
    pub findings: Vec<Finding>,
}

/// Resolves commits, and remembers what it parsed: a new commit costs what it changes.
#[derive(Debug)]
pub struct Resolver {
    files: HashMap<ManifestFile, Arc<ParsedFile>>,
    /// Absent where it does not matter which commit changed a manifest.
    history: Option<History>,
    digests: datasets::Digests,
}

#[derive(Debug)]
struct ParsedFile {
    parsed: Vec<Parsed>,
    findings: Vec<Finding>,
    documents: Arc<Vec<(ObjectId, Vec<u8>)>>,
}

/// How many parsed files are remembered beside those of the newest commit.
const PARSED_FILES_MAX: usize = 4_096;

impl Default for Resolver {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
            history: Some(History::default()),
            digests: datasets::Digests::default(),
        }
    }
}

impl Resolver {
    /// Returns a resolver that takes the resolved commit itself for the one that changed each manifest: for comparing.
    pub fn without_history() -> Self {
        Self {
            history: None,
            ..Self::default()
        }
    }

    /// Resolves an environment at a commit.
    ///
    /// `last_good` is the MLEnvironment that goes on where the commit has none that can be read. An error means that
    /// Git could not be read; then nothing is known about the commit.
    pub fn resolve(
        &mut self,
        source: &Source,
        revision: &Revision,
        environment: &EnvironmentName,
        last_good: Option<&Environment>,
    ) -> Result<Resolution, SourceError> {
        let snapshot = match source.snapshot(revision, environment) {
            Ok(snapshot) => snapshot,
            Err(SourceError::NoEnvironment { existing, .. }) => {
                return Ok(folder_missing(revision, environment, last_good, &existing));
            }
            Err(error) => return Err(error),
        };
        let mut findings = snapshot.findings;
        let mut gathered = gather::Gathered::default();
        let mut current = HashMap::new();
        for file in snapshot.files {
            let parsed = self.parse(source, &file)?;
            findings.extend(parsed.findings.iter().cloned());
            for document in &parsed.parsed {
                gathered.add(document);
            }
            current.insert(file, parsed);
        }
        self.files = current;

        let declared_environment = gathered.environment(environment, &mut findings);
        gathered.drop_duplicates(&mut findings);
        self.digests
            .settle(source, revision, &mut gathered.trainings, &mut findings)?;

        let ids = gathered.ids();
        let changed = if let Some(mut history) = self.history.take() {
            let changed = history.changes(source, revision, environment, &ids, &mut |file| {
                self.parse(source, file).map(|parsed| parsed.documents.clone())
            });
            self.history = Some(history);
            changed?
        } else {
            let changed = source.changed_at(revision)?;
            ids.into_iter().map(|id| (id, changed.clone())).collect()
        };

        let allowed = match declared_environment
            .as_ref()
            .and_then(|declared| declared.removal.allow.as_ref())
        {
            Some(allow) => self.allowed(source, revision, allow, environment)?,
            None => None,
        };

        findings.sort();
        findings.dedup();
        let completeness = if findings.is_empty() {
            Completeness::Complete
        } else {
            Completeness::Partial
        };
        let declare = |id: &ObjectId| {
            let changed = &changed[id];
            (changed.revision.clone(), changed.committed_at)
        };
        let desired = declared_environment
            .or(last_good.cloned())
            .map(|environment| Desired {
                revision: revision.clone(),
                allowed: allowed.clone(),
                environment,
                completeness,
                deployments: gathered
                    .deployments
                    .into_iter()
                    .map(|(name, found)| {
                        let (revision, committed_at) = declare(&ObjectId::deployment(&name));
                        (name, found.declared(revision, committed_at))
                    })
                    .collect(),
                trainings: gathered
                    .trainings
                    .into_iter()
                    .map(|(name, found)| {
                        let (revision, committed_at) = declare(&ObjectId::training(&name));
                        (name, found.declared(revision, committed_at))
                    })
                    .collect(),
            });
        Ok(Resolution { desired, findings })
    }

    /// Resolves what the commit that `removal.allow` names still declares; nothing where it is no commit of the
    /// branch, or was not understood as a whole.
    fn allowed(
        &mut self,
        source: &Source,
        head: &Revision,
        allow: &Revision,
        environment: &EnvironmentName,
    ) -> Result<Option<AllowedRemovals>, SourceError> {
        if !source.is_on_first_parent_line(head, allow)? {
            return Ok(None);
        }
        let snapshot = match source.snapshot(allow, environment) {
            Ok(snapshot) => snapshot,
            Err(SourceError::NoEnvironment { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut allowed = AllowedRemovals {
            revision: allow.clone(),
            deployments: std::collections::BTreeSet::new(),
            trainings: std::collections::BTreeSet::new(),
        };
        let mut is_understood = snapshot.findings.is_empty();
        for file in &snapshot.files {
            let parsed = self.parse(source, file)?;
            is_understood &= parsed.findings.is_empty();
            for document in &parsed.parsed {
                match &document.manifest {
                    Manifest::Environment(_) => {}
                    Manifest::Deployment(name, _) => {
                        allowed.deployments.insert(name.clone());
                    }
                    Manifest::Training(name, _) => {
                        allowed.trainings.insert(name.clone());
                    }
                }
            }
        }
        Ok(is_understood.then_some(allowed))
    }

    fn parse(&mut self, source: &Source, file: &ManifestFile) -> Result<Arc<ParsedFile>, SourceError> {
        if let Some(parsed) = self.files.get(file) {
            return Ok(parsed.clone());
        }
        let bytes = source.read(file)?;
        let (parsed, findings) = parse_file(&file.path, &bytes);
        let documents = parsed
            .iter()
            .filter_map(|document| Some((id_of(&document.manifest)?, document.canonical.clone())))
            .collect();
        let parsed = Arc::new(ParsedFile {
            parsed,
            findings,
            documents: Arc::new(documents),
        });
        if self.files.len() > PARSED_FILES_MAX {
            self.files.clear();
        }
        self.files.insert(file.clone(), parsed.clone());
        Ok(parsed)
    }
}

/// What a document is about, where it is not the environment itself.
fn id_of(manifest: &Manifest) -> Option<ObjectId> {
    match manifest {
        Manifest::Environment(_) => None,
        Manifest::Deployment(name, _) => Some(ObjectId::deployment(name)),
        Manifest::Training(name, _) => Some(ObjectId::training(name)),
    }
}

impl<S> gather::Found<S> {
    fn declared(self, revision: Revision, committed_at: planner::Timestamp) -> Declared<S> {
        Declared {
            spec: self.spec,
            revision,
            committed_at,
            location: self.location,
        }
    }
}

/// A commit without the environment's folder removes nothing: it may be a mistake, and the folder holds the limits
/// that a removal is judged by.
fn folder_missing(
    revision: &Revision,
    environment: &EnvironmentName,
    last_good: Option<&Environment>,
    existing: &[String],
) -> Resolution {
    let finding = Finding {
        location: Some(Location {
            file: format!("{ENVIRONMENTS}/{environment}"),
            line: 0,
            column: 0,
        }),
        reason: Reason::EnvironmentMissing,
        subject: ObjectId::environment(environment).to_string(),
        message: if existing.is_empty() {
            "the commit has no such folder, nor another environment".to_owned()
        } else {
            format!("the commit has no such folder; it has {}", existing.join(", "))
        },
        hint: "what was applied stays; restore the folder, or commit it with its MLEnvironment and without the manifests of the models that are to go".to_owned(),
    };
    Resolution {
        desired: last_good.map(|environment| Desired {
            revision: revision.clone(),
            environment: environment.clone(),
            allowed: None,
            completeness: Completeness::Partial,
            deployments: std::collections::BTreeMap::new(),
            trainings: std::collections::BTreeMap::new(),
        }),
        findings: vec![finding],
    }
}
