//! Where rows come from: the text of a manifest ↔ [`DataSource`].

use planner::training::DataSource;

use super::Problem;
use crate::rules::{self, CrossRule};
use crate::wire;

/// Returns the text that a manifest gives a source.
pub fn uri(source: &DataSource) -> String {
    match source {
        DataSource::Builtin(name) => format!("builtin:{name}"),
        DataSource::Synthetic(name) => format!("synthetic:{name}"),
        DataSource::Committed(path) | DataSource::Absolute(path) => path.clone(),
    }
}

/// What is told of a path that is none, by the field that holds it.
pub(super) struct PathRules {
    no_url: CrossRule,
    parts: CrossRule,
    relative: CrossRule,
}

/// Of `dataset.uri`.
const URI: PathRules = PathRules {
    no_url: rules::URI_IS_NO_URL,
    parts: rules::URI_PARTS,
    relative: rules::URI_KIND,
};

/// Of `holdout.file`.
pub(super) const HOLDOUT: PathRules = PathRules {
    no_url: rules::HOLDOUT_IS_NO_URL,
    parts: rules::HOLDOUT_PARTS,
    relative: rules::HOLDOUT_KIND,
};

/// Of `import.uri`.
pub(super) const IMPORT: PathRules = PathRules {
    no_url: rules::IMPORT_KIND,
    parts: rules::IMPORT_PARTS,
    relative: rules::IMPORT_KIND,
};

/// Of `registry.path`.
pub(super) const REGISTRY: PathRules = PathRules {
    no_url: rules::REGISTRY_KIND,
    parts: rules::REGISTRY_PARTS,
    relative: rules::REGISTRY_KIND,
};

/// Parses a source; `at` is the path of the struct that holds it.
pub(super) fn parse(text: &str, at: &str) -> Result<DataSource, Problem> {
    if let Some(name) = text.strip_prefix("builtin:") {
        return known(name, &DataSource::BUILTIN, rules::BUILTIN, at).map(DataSource::Builtin);
    }
    if let Some(name) = text.strip_prefix("synthetic:") {
        return known(name, &DataSource::SYNTHETIC, rules::SYNTHETIC, at).map(DataSource::Synthetic);
    }
    path(text, &URI, at)
}

fn known(name: &str, names: &[&str], rule: CrossRule, at: &str) -> Result<String, Problem> {
    names
        .contains(&name)
        .then(|| name.to_owned())
        .ok_or_else(|| rule.problem(at))
}

/// Parses a path: absolute, or relative to the manifest's folder. A path of the commit has neither `..` nor anything else
/// that could leave that folder.
pub(super) fn path(text: &str, rules: &PathRules, at: &str) -> Result<DataSource, Problem> {
    if text.contains("://") {
        return Err(rules.no_url.problem(at));
    }
    let relative = text.strip_prefix('/');
    let mut parts = relative.unwrap_or(text).split('/');
    if parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err(rules.parts.problem(at));
    }
    if !wire::matches(wire::PATH, text) {
        return Err(Problem {
            message: format!("{text:?} is not {}", wire::PATH_WORDS),
            ..rules.parts.problem(at)
        });
    }
    if relative.is_some() {
        Ok(DataSource::Absolute(text.to_owned()))
    } else if text.contains(':') {
        Err(rules.relative.problem(at))
    } else {
        Ok(DataSource::Committed(text.to_owned()))
    }
}
