//! Data files of the commit: found, and their digests filled into the specs.

use std::collections::{BTreeMap, BTreeSet};

use planner::finding::{Finding, Location, Reason};
use planner::names::{Digest, ObjectName};
use planner::object::{Kind, ObjectId};
use planner::training::{CommittedFile, DataSource, Fit, Holdout, Import, Rows, SignatureSource, Training};
use registry::DatasetRoots;

use crate::source::{DataFile, DataFileError, DataFiles, GitHash, Source, SourceError, join};

/// SHA-256 digests of the content of data files by their Git object's id: a fact for ever, dear to find out.
pub type DataDigests = BTreeMap<String, Digest>;

/// Which jobs read which files of the commit, and what those files were found to be.
#[derive(Debug, Default)]
pub(super) struct Datasets {
    /// Below which folders a file outside the repository may lie; absent where nobody knows.
    roots: Option<DatasetRoots>,
    /// Whether the files that models are imported from may be still to come.
    imports_may_come: bool,
    /// What was known of contents before.
    remembered: DataDigests,
    jobs: BTreeMap<String, BTreeSet<ObjectName>>,
    paths: BTreeMap<ObjectName, Vec<String>>,
    digests: BTreeMap<String, (DataFile, Digest)>,
    unusable: BTreeMap<ObjectName, Vec<Finding>>,
}

/// Settles jobs at one commit.
pub(super) struct Settling<'a> {
    source: &'a Source,
    known: &'a Datasets,
    files: DataFiles<'a>,
    settled: Settled,
}

/// What was found, until it is taken in.
#[derive(Debug, Default)]
pub(super) struct Settled {
    jobs: BTreeMap<ObjectName, Job>,
    digests: BTreeMap<String, (DataFile, Digest)>,
}

#[derive(Debug, Default)]
struct Job {
    paths: Vec<String>,
    findings: Vec<Finding>,
}

impl Datasets {
    pub(super) fn new(roots: Option<DatasetRoots>, remembered: DataDigests, imports_may_come: bool) -> Self {
        Self {
            roots,
            imports_may_come,
            remembered,
            ..Self::default()
        }
    }

    /// Returns the digests of the files that jobs read.
    pub(super) fn contents(&self) -> DataDigests {
        let known = self.digests.values();
        known.map(|(file, digest)| (file.content(), *digest)).collect()
    }

    /// Returns the jobs with a file that is another one, or none, in the second of two commits; where nobody can read
    /// the first one any more, all that read files of the commit.
    pub(super) fn moved(
        &self,
        source: &Source,
        old: GitHash,
        new: GitHash,
    ) -> Result<BTreeSet<ObjectName>, SourceError> {
        let moved = match source.moved_data(old, new, self.jobs.keys().map(String::as_str)) {
            Err(error) if error.is_of_objects() => self.jobs.keys().map(String::as_str).collect(),
            moved => moved?,
        };
        Ok(moved
            .into_iter()
            .filter_map(|path| self.jobs.get(path))
            .flatten()
            .cloned()
            .collect())
    }

    pub(super) fn settling<'a>(&'a self, source: &'a Source, root: GitHash) -> Settling<'a> {
        Settling {
            source,
            known: self,
            files: source.data_files(root),
            settled: Settled::default(),
        }
    }

    /// Says whether it was looked all the time what lies at a path that a job reads.
    pub(super) fn follows(&self, job: &ObjectName, path: &str) -> bool {
        self.jobs.get(path).is_some_and(|jobs| jobs.contains(job))
    }

    /// Returns which jobs read which files of the commit, of those that are known.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (&String, &BTreeSet<ObjectName>)> {
        self.jobs.iter()
    }

    pub(super) fn is_unusable(&self, job: &ObjectName) -> bool {
        self.unusable.contains_key(job)
    }

    /// Takes in what was found; of `gone` jobs nothing is remembered. Says whether other files are known now.
    pub(super) fn accept(&mut self, settled: Settled, gone: &[ObjectId]) -> bool {
        let mut is_changed = !settled.digests.is_empty();
        self.digests.extend(settled.digests);
        let mut left = BTreeSet::new();
        let gone = gone.iter().filter(|id| id.kind == Kind::Training);
        for job in gone.map(|id| &id.name).chain(settled.jobs.keys()) {
            self.unusable.remove(job);
            for path in self.paths.remove(job).into_iter().flatten() {
                if let Some(jobs) = self.jobs.get_mut(&path) {
                    jobs.remove(job);
                }
                left.insert(path);
            }
        }
        for (name, job) in settled.jobs {
            for path in &job.paths {
                self.jobs.entry(path.clone()).or_default().insert(name.clone());
            }
            if !job.findings.is_empty() {
                self.unusable.insert(name.clone(), job.findings);
            }
            if !job.paths.is_empty() {
                self.paths.insert(name, job.paths);
            }
        }
        for path in left {
            if self.jobs.get(&path).is_some_and(BTreeSet::is_empty) {
                self.jobs.remove(&path);
                is_changed |= self.digests.remove(&path).is_some();
            }
        }
        is_changed
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.unusable.values().flatten()
    }
}

impl Settled {
    /// Returns the files of the commit that jobs were found to read, with each one's job.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&String, &ObjectName)> {
        let jobs = self.jobs.iter();
        jobs.flat_map(|(name, job)| job.paths.iter().map(move |path| (path, name)))
    }

    /// Returns the files of the commit that one job was found to read.
    pub(super) fn paths_of(&self, job: &ObjectName) -> &[String] {
        self.jobs.get(job).map_or(&[], |job| job.paths.as_slice())
    }
}

impl Settling<'_> {
    /// Looks for the files of many jobs at once.
    pub(super) fn look_for<'s>(
        &mut self,
        jobs: impl Iterator<Item = (&'s Training, &'s str)>,
    ) -> Result<(), SourceError> {
        let paths = jobs.flat_map(|(spec, manifest)| {
            spec.committed()
                .filter_map(move |(relative, _sha256)| join(manifest, &relative))
        });
        self.files.look_for(paths)
    }

    /// Fills in the digest of each data file of the commit, and says whether all of them are usable; if not, there is
    /// a finding.
    pub(super) fn settle(
        &mut self,
        name: &ObjectName,
        spec: &mut Training,
        location: &Location,
    ) -> Result<bool, SourceError> {
        let mut files = Vec::new();
        if let Some(Rows { dataset, evaluation }) = &mut spec.rows {
            files.push(("spec.dataset", &dataset.source, &mut dataset.sha256));
            if let Holdout::File { source, sha256 } = &mut evaluation.holdout {
                files.push(("spec.evaluation.holdout.file", source, sha256));
            }
        }
        let mut job = Job::default();
        let unusable = |message: String, hint: String| Finding {
            location: Some(location.clone()),
            reason: Reason::DatasetUnusable,
            subject: ObjectId::training(name).into(),
            message,
            hint,
        };
        for (field, data, sha256) in files {
            let relative = match data {
                DataSource::Builtin(_) | DataSource::Synthetic(_) => continue,
                DataSource::Absolute(path) => {
                    job.findings.extend(self.outside(name, field, path, location));
                    continue;
                }
                DataSource::Committed(relative) => relative,
            };
            let wrong = match self.committed(&mut job, relative, location)? {
                Ok(digest) => match sha256.replace(digest) {
                    Some(given) if given != digest => Some(unusable(
                        format!("{field}: the sha256 of {relative} is not {}", given.hex()),
                        "correct sha256, or leave it out: a file of the commit needs none".to_owned(),
                    )),
                    Some(_) | None => None,
                },
                Err(error) => Some(unusable(format!("{field}: {error}"), String::new())),
            };
            job.findings.extend(wrong);
        }
        let named: Vec<(&str, &mut CommittedFile)> = match &mut spec.fit {
            Fit::Command(command) => command
                .files
                .iter_mut()
                .map(|file| ("spec.files", file))
                .collect(),
            Fit::Import(import) => match &mut import.signature {
                Some(SignatureSource::Committed(file)) if !self.known.imports_may_come => {
                    vec![("spec.import.signature", file)]
                }
                Some(SignatureSource::Committed(_) | SignatureSource::Elsewhere(_)) | None => Vec::new(),
            },
            Fit::Algorithm(_) | Fit::Container(_) => Vec::new(),
        };
        for (field, file) in named {
            let wrong = match self.committed(&mut job, &file.path, location)? {
                Ok(digest) => match file.sha256.replace(digest) {
                    Some(given) if given != digest => Some(unusable(
                        format!("{field}: the digest of {} is not {given}", file.path),
                        "leave the digest out: a file of the commit needs none".to_owned(),
                    )),
                    Some(_) | None => None,
                },
                Err(error) => Some(unusable(format!("{field}: {error}"), String::new())),
            };
            job.findings.extend(wrong);
        }
        let import = spec.fit.import().filter(|_| !self.known.imports_may_come);
        let imported = import.into_iter().flat_map(Import::committed);
        for (at, (relative, given)) in imported.enumerate() {
            let [of_digest, of_path] = match at {
                0 => ["spec.import.digest", "spec.import.uri"],
                _ => ["spec.import.files"; 2],
            };
            let wrong = match self.committed(&mut job, &relative, location)? {
                Ok(digest) if digest == given => None,
                Ok(digest) => Some(unusable(
                    format!("{of_digest}: the digest of {relative} is not {given}"),
                    format!("if the file is the one that is meant, write {digest}"),
                )),
                Err(error) => Some(unusable(format!("{of_path}: {error}"), String::new())),
            };
            job.findings.extend(wrong);
        }
        let is_usable = job.findings.is_empty();
        self.settled.jobs.insert(name.clone(), job);
        Ok(is_usable)
    }

    /// Returns the digest of a file of the commit that a job reads.
    fn committed(
        &mut self,
        job: &mut Job,
        relative: &str,
        location: &Location,
    ) -> Result<Result<Digest, DataFileError>, SourceError> {
        let Some(path) = join(&location.file, relative) else {
            return Ok(Err(DataFileError::Outside(relative.to_owned())));
        };
        let found = self.files.find(&path)?;
        job.paths.push(path);
        match found {
            Ok(file) => self.digest(file).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// A file outside the repository is judged by the words of its path: whether it is there is not looked at.
    fn outside(&self, name: &ObjectName, field: &str, path: &str, location: &Location) -> Option<Finding> {
        let roots = self.known.roots.as_ref()?;
        if roots.locate(path).is_some() {
            return None;
        }
        Some(Finding {
            location: Some(location.clone()),
            reason: Reason::DatasetUnusable,
            subject: ObjectId::training(name).into(),
            message: format!("{field}: {path} lies in no folder that data may be read from"),
            hint: "commit the file, or start aurora with --dataset-root and the folder that holds it"
                .to_owned(),
        })
    }

    fn digest(&mut self, file: DataFile) -> Result<Digest, SourceError> {
        let known = [&self.settled.digests, &self.known.digests]
            .into_iter()
            .filter_map(|digests| digests.get(&file.path))
            .find(|(known, _)| *known == file);
        if let Some((_, digest)) = known {
            return Ok(*digest);
        }
        let digest = match self.known.remembered.get(&file.content()) {
            Some(digest) => *digest,
            None => self.source.data_digest(&file)?,
        };
        self.settled.digests.insert(file.path.clone(), (file, digest));
        Ok(digest)
    }

    pub(super) fn finish(self) -> Settled {
        self.settled
    }
}
