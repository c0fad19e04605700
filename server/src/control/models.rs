//! `/models…`: what the registry holds.

use planner::finding::Disposition;
use planner::names::{Malformed, ModelName, Version};
use planner::observed::ObservedAlias;
use registry::metadata::VersionMetadata;
use registry::{Reference, Store, StoreError};

use super::shown::{Aliases, ListedModel, Model, ModelSummary, ModelVersion, Models, VersionSummary};
use crate::http::reply::Failure;
use crate::signed::SignedVersion;

/// How many of the newest versions of each model the list of all models names.
const VERSIONS_LISTED: usize = 20;
/// How many versions a page of a model has where it is not said, and at most.
pub(super) const PAGE: usize = 20;
pub(super) const PAGE_MAX: usize = 100;
/// How many of the newest entries of its history a model shows.
const HISTORY_SHOWN: usize = 50;

/// Which versions of a model are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    before: Option<Version>,
}

impl Page {
    /// Reads `limit` and `before` of a query; what else it holds is not looked at.
    pub(super) fn parse(query: &str) -> Result<Self, Failure> {
        let mut limit = None;
        let mut before = None;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let again = match name {
                "limit" => limit.replace(value),
                "before" => before.replace(value),
                _ => continue,
            };
            if again.is_some() {
                return Err(Failure::bad_request(format!("{name} is given twice")));
            }
        }
        let limit = limit.map_or(Ok(PAGE), |text| {
            let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
            limit.ok_or_else(|| Failure::bad_request(format!("limit is a whole number from 1 to {PAGE_MAX}")))
        })?;
        let before = before.map(|text| text.parse().map_err(|malformed| no_version(text, &malformed)));
        let before = before.transpose()?;
        Ok(Self { limit, before })
    }
}

/// Says what is wrong with what names a version: one whose time never was is none that there is.
pub(super) fn no_version(text: &str, malformed: &Malformed) -> Failure {
    let is_like_one = text
        .strip_prefix('v')
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
    if is_like_one {
        Failure::not_found(format!("no such version: {malformed}"))
    } else {
        Failure::bad_request(format!("no version has such a name: {malformed}"))
    }
}

/// Lists every model with its aliases and newest versions. What is wrong with one model does not hide the others.
pub(super) fn list(store: &Store) -> Result<Models, Failure> {
    let described = |name: ModelName| {
        let summary = || -> Result<ModelSummary, StoreError> {
            let versions = store.versions(&name)?;
            Ok(ModelSummary {
                name: name.clone(),
                aliases: aliases(store, &name)?,
                versions_count: versions.len(),
                versions: versions.into_iter().rev().take(VERSIONS_LISTED).collect(),
            })
        };
        match summary() {
            Ok(known) => ListedModel::Known(known),
            Err(error) => ListedModel::Unreadable {
                name,
                error: error.to_string(),
            },
        }
    };
    let models = store.models().map_err(failure)?;
    let models = models.into_iter().map(described).collect();
    Ok(Models { models })
}

/// Shows one model: aliases, a page of its versions, newest first, and the end of its history.
pub(super) fn model(store: &Store, name: &ModelName, page: &Page) -> Result<Model, Failure> {
    let versions = store.versions(name).map_err(failure)?;
    let aliases = aliases(store, name).map_err(failure)?;
    if versions.is_empty() && aliases.0.is_empty() && !store.models().map_err(failure)?.contains(name) {
        return Err(Failure::not_found(format!("no such model: {name}")));
    }
    let older = |version: &&Version| page.before.as_ref().is_none_or(|before| *version < before);
    let mut left = versions.iter().rev().filter(older);
    let shown: Vec<&Version> = left.by_ref().take(page.limit).collect();
    let next = left.next().and(shown.last().copied()).cloned();
    Ok(Model {
        name: name.clone(),
        aliases,
        versions_count: versions.len(),
        versions: shown
            .into_iter()
            .map(|version| summary(store, name, version))
            .collect(),
        next,
        history: store.history(name, HISTORY_SHOWN).map_err(failure)?,
    })
}

/// Shows one version of a page by its record.
fn summary(store: &Store, model: &ModelName, version: &Version) -> ModelVersion {
    let entry = match store.resolve(model, &Reference::Version(version.clone())) {
        Ok(entry) => entry,
        Err(error) => {
            return ModelVersion::Unreadable {
                version: version.clone(),
                error: failure(error).message,
            };
        }
    };
    // What people say hides nothing of what is.
    let description = store.description(model, version).unwrap_or_default();
    let metadata = entry.metadata;
    ModelVersion::Known(Box::new(VersionSummary {
        version: entry.version,
        digest: entry.digest,
        bytes: metadata.artifact.bytes,
        trained_at: metadata.trained_at,
        framework: metadata.framework,
        algorithm: metadata.algorithm,
        metrics: metadata.metrics.map(|metrics| metrics.values),
        baseline: metadata.baseline,
        dataset: metadata.dataset,
        lineage: metadata.lineage,
        description,
    }))
}

/// Shows a version's metadata.
pub(super) fn version(
    store: &Store,
    model: &ModelName,
    reference: &Reference,
) -> Result<VersionMetadata, Failure> {
    let entry = store.resolve(model, reference).map_err(failure)?;
    Ok(entry.metadata)
}

/// Hands out what of a version is signed, and its signatures.
pub(super) fn signatures(
    store: &Store,
    model: &ModelName,
    reference: &Reference,
) -> Result<SignedVersion, Failure> {
    let entry = store.resolve(model, reference).map_err(failure)?;
    Ok(store.signed(&entry).map_err(failure)?.into())
}

/// Says what an error of the store means to whoever asked. Paths of the server's disk stay in its log.
#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
pub(super) fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::NotFound { .. } => return Failure::not_found(error.to_string()),
        StoreError::Ambiguous { .. } => return Failure::bad_request(error.to_string()),
        _ => {}
    }
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "failed to read the registry"
    );
    match error.disposition() {
        Disposition::Waiting | Disposition::Transient => {
            Failure::unavailable("the registry cannot be read now, try again".to_owned())
        }
        Disposition::Invalid => Failure::internal(match error {
            StoreError::Damaged { .. } => error.to_string(),
            _ => {
                "the registry is not in order: the server's log and `aurora model verify` say why".to_owned()
            }
        }),
    }
}

fn aliases(store: &Store, model: &ModelName) -> Result<Aliases, StoreError> {
    let named = |alias| match alias {
        ObservedAlias::To(version) => Some(version),
        ObservedAlias::Broken(_why) => None,
    };
    let aliases = store.aliases(model)?.into_iter();
    Ok(Aliases(
        aliases.map(|(track, alias)| (track, named(alias))).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_page() {
        let before = "v20260202-000000";
        for (query, expected) in [
            ("", Some((20, None))),
            ("limit=5", Some((5, None))),
            ("before=v20260202-000000&limit=100", Some((100, Some(before)))),
            ("other=1&limit", Some((20, None))),
            ("limit=0", None),
            ("limit=101", None),
            ("limit=-1", None),
            ("limit=", None),
            ("limit=1&limit=1", None),
            ("before=stable", None),
            ("before=", None),
        ] {
            let page = expected.map(|(limit, before): (usize, Option<&str>)| Page {
                limit,
                before: before.map(|version| version.parse().expect("a version")),
            });
            assert_eq!(Page::parse(query).ok(), page, "{query}");
        }
    }
}
