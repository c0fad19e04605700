//! Where rows come from: the text of a manifest ↔ [`DataSource`].

use planner::training::DataSource;

use super::Problem;

/// The data that ships in the binary.
const BUILTIN: [&str; 2] = ["iris", "wine-quality"];

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
        return builtin(name, field);
    }
    if let Some(name) = text.strip_prefix("synthetic:") {
        let word = !name.is_empty()
            && name.len() <= 40
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        return if word {
            Ok(DataSource::Synthetic(name.to_owned()))
        } else {
            Err(Problem::new(
                field,
                format!("{text:?} names no synthetic dataset"),
                "write `synthetic:` and a word of lower-case letters, digits and '-'",
            ))
        };
    }
    path(text, field)
}

fn builtin(name: &str, field: &str) -> Result<DataSource, Problem> {
    if BUILTIN.contains(&name) {
        return Ok(DataSource::Builtin(name.to_owned()));
    }
    let hint = match crate::parse::nearest(name, BUILTIN.iter().copied()) {
        Some(near) => format!("did you mean `builtin:{near}`?"),
        None => format!("these ship in the binary: {}", BUILTIN.join(", ")),
    };
    Err(Problem::new(
        field,
        format!("no dataset {name:?} ships in the binary"),
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
