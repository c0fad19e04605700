//! Where rows come from: the text of a manifest ↔ [`DataSource`].

use planner::training::DataSource;

use super::Problem;

/// Returns the text that a manifest gives a source.
pub fn uri(source: &DataSource) -> String {
    match source {
        DataSource::Builtin(name) => format!("builtin:{name}"),
        DataSource::Synthetic(name) => format!("synthetic:{name}"),
        DataSource::Committed(path) | DataSource::Absolute(path) => path.clone(),
    }
}

/// Parses a source. A path of the commit has neither `..` nor anything else that could leave the manifest's folder.
pub(super) fn parse(text: &str, field: &str) -> Result<DataSource, Problem> {
    if let Some(name) = text.strip_prefix("builtin:") {
        return known(name, &DataSource::BUILTIN, "builtin", field).map(DataSource::Builtin);
    }
    if let Some(name) = text.strip_prefix("synthetic:") {
        return known(name, &DataSource::SYNTHETIC, "synthetic", field).map(DataSource::Synthetic);
    }
    path(text, field)
}

fn known(name: &str, names: &[&str], scheme: &str, field: &str) -> Result<String, Problem> {
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    let hint = match crate::parse::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{scheme}:{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(Problem::new(
        field,
        format!("there is no {scheme} dataset {name:?}"),
        hint,
    ))
}

/// Parses a path: absolute, or relative to the manifest's folder.
pub(super) fn path(text: &str, field: &str) -> Result<DataSource, Problem> {
    let refuse = |message: &str, hint: &str| Err(Problem::new(field, message, hint));
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Problem::new(
            field,
            format!("data is not fetched over {scheme}"),
            "commit the file beside the manifest, or give an absolute path and its sha256",
        ));
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return refuse(
            "a path holds no backslash and no control character",
            "separate folders by '/'",
        );
    }
    let relative = text.strip_prefix('/');
    let parts = relative.unwrap_or(text).split('/');
    if parts.clone().any(|part| matches!(part, "" | "." | "..")) {
        return refuse(
            "a path has no empty, '.' or '..' part",
            "data of the commit lies in the manifest's folder or below it; other files have an absolute path and a sha256",
        );
    }
    if relative.is_some() {
        return Ok(DataSource::Absolute(text.to_owned()));
    }
    if let Some((word, _)) = text.split_once(':') {
        return Err(Problem::new(
            field,
            format!("{word:?} is no kind of dataset"),
            "write builtin:NAME, synthetic:NAME or the path of a CSV file",
        ));
    }
    Ok(DataSource::Committed(text.to_owned()))
}
