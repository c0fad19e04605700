//! Data files of the commit: found, and their digests filled into the specs.

use std::collections::{BTreeMap, HashMap};

use planner::finding::{Finding, Reason};
use planner::names::{Digest, ObjectName, Revision};
use planner::object::ObjectId;
use planner::training::{DataSource, Holdout, Training};

use super::gather::Found;
use crate::source::{DataFile, Source, SourceError};

/// The digests of data files that were read before.
#[derive(Debug, Default)]
pub(super) struct Digests(HashMap<DataFile, Digest>);

impl Digests {
    /// Fills in the digest of each data file of the commit. A job whose file is unusable is taken out, with a finding.
    pub(super) fn settle(
        &mut self,
        source: &Source,
        revision: &Revision,
        trainings: &mut BTreeMap<ObjectName, Found<Training>>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), SourceError> {
        let mut unusable = Vec::new();
        let mut used = HashMap::new();
        for (name, found) in trainings.iter_mut() {
            let manifest = found.location.file.clone();
            let dataset = &mut found.spec.dataset;
            let mut files = vec![("spec.dataset", &dataset.source, &mut dataset.sha256)];
            if let Holdout::File { source, sha256 } = &mut found.spec.evaluation.holdout {
                files.push(("spec.evaluation.holdout.file", source, sha256));
            }
            for (field, data, sha256) in files {
                let DataSource::Committed(path) = data else {
                    continue;
                };
                let wrong = match source.data_file(revision, &manifest, path)? {
                    Ok(file) => {
                        let digest = match self.0.get(&file) {
                            Some(digest) => *digest,
                            None => source.data_digest(&file)?,
                        };
                        used.insert(file, digest);
                        match sha256.replace(digest) {
                            Some(given) if given != digest => Some((
                                format!("{field}: {path} has {}, not {}", digest.hex(), given.hex()),
                                "correct sha256, or leave it out: a file of the commit needs none".to_owned(),
                            )),
                            Some(_) | None => None,
                        }
                    }
                    Err(error) => Some((format!("{field}: {error}"), String::new())),
                };
                if let Some((message, hint)) = wrong {
                    findings.push(Finding {
                        location: Some(found.location.clone()),
                        reason: Reason::DatasetUnusable,
                        subject: ObjectId::training(name).to_string(),
                        message,
                        hint,
                    });
                    unusable.push(name.clone());
                }
            }
        }
        trainings.retain(|name, _| !unusable.contains(name));
        self.0 = used;
        Ok(())
    }
}
