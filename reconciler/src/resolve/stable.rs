//! Since when an environment's stable serves a version, by the branch's first parents.

use planner::Timestamp;
use planner::deployment::Pin;
use planner::gates::Promoted;
use planner::names::{EnvironmentName, ModelName, Revision};

use super::index::Size;
use super::read::{Spec, read};
use crate::source::{Changes, GitHash, ManifestFile, Source, SourceError, Step, WalkEnd};

/// How many commits are asked for at a time.
const CHUNK: usize = 512;
/// How many commits are looked back at most.
const COMMITS_MAX: usize = 20_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The environment.
    pub(crate) from: &'a EnvironmentName,
    pub(crate) model: &'a ModelName,
    /// What its stable should be.
    pub(crate) pin: &'a Pin,
    /// Where the model's manifest lies in an environment's folder, as far as that can be guessed.
    pub(crate) near: &'a str,
    /// Whether the environment's own control plane is asked too: it may be one of another repository.
    pub(crate) is_asked_too: bool,
    /// Since then is long enough.
    pub(crate) enough: Timestamp,
}

/// Says since when the stable of an environment at a commit has been a version.
///
/// An error means that Git could not be read now; what it does not tell at all is unknown.
pub(crate) fn stable_since(
    source: &Source,
    head: &Revision,
    question: Question<'_>,
) -> Result<Promoted, SourceError> {
    let folder = match source.folder(head, question.from) {
        Ok(folder) => folder,
        Err(SourceError::NoEnvironment { .. }) => {
            let why = "the commit has no such folder".to_owned();
            return Ok(if question.is_asked_too {
                Promoted::Unknown(why)
            } else {
                Promoted::Not(why)
            });
        }
        Err(error) => return Err(error),
    };
    let files = source
        .difference(&folder.path, None, Some(folder.tree))?
        .new
        .manifests;
    let near = format!("{}/{}", folder.path, question.near);
    let guessed = files.iter().filter(|file| file.path == near);
    let guessed: Vec<ManifestFile> = guessed.cloned().collect();
    let found = match find(source, &guessed, question.model)? {
        Some(found) => Some(found),
        None => find(source, &files, question.model)?,
    };
    let Some((file, pin)) = found else {
        return Ok(Promoted::Not("it does not serve that model".to_owned()));
    };
    if let Some(other) = differs(&pin, question.pin) {
        return Ok(other);
    }
    since(source, source.hash(head)?, &folder.path, file, question)
}

/// Goes back to the commit that brought the pin, or until it has been there for long enough.
fn since(
    source: &Source,
    head: GitHash,
    folder: &str,
    mut file: ManifestFile,
    question: Question<'_>,
) -> Result<Promoted, SourceError> {
    let time = |seconds: i64| Timestamp::from_timestamp(seconds, 0).unwrap_or_default();
    let mut from = head;
    let mut left = COMMITS_MAX;
    while left > 0 {
        let (steps, walked) = source.steps(from, folder, CHUNK.min(left))?;
        for Step {
            time: at, changes, ..
        } in steps
        {
            let at = time(at);
            if at <= question.enough {
                return Ok(Promoted::Since(at));
            }
            let Changes::Manifests { gone, new } = changes else {
                continue;
            };
            if !new.contains(&file) {
                continue;
            }
            match find(source, &gone, question.model)? {
                Some((older, pin)) if differs(&pin, question.pin).is_none() => file = older,
                Some(_) | None => return Ok(Promoted::Since(at)),
            }
        }
        let reached = time(walked.time);
        match walked.end {
            WalkEnd::Bounds if reached > question.enough => {
                from = walked.reached;
                left = left.saturating_sub(walked.commits.max(1));
            }
            WalkEnd::Bounds | WalkEnd::First | WalkEnd::Arrived => return Ok(Promoted::Since(reached)),
            WalkEnd::Cut | WalkEnd::Unreadable(_) if reached <= question.enough => {
                return Ok(Promoted::Since(reached));
            }
            WalkEnd::Cut | WalkEnd::Unreadable(_) => {
                let why = format!(
                    "its history goes no further back than {}",
                    reached.format("%F %R UTC")
                );
                return Ok(Promoted::Unknown(why));
            }
        }
    }
    Ok(Promoted::Unknown(format!(
        "it has more than {COMMITS_MAX} commits since then"
    )))
}

/// Says what keeps a pin from being what is asked for.
fn differs(pin: &Pin, wanted: &Pin) -> Option<Promoted> {
    if pin.version != wanted.version {
        return Some(Promoted::Not(format!("it has {}", pin.version)));
    }
    match (pin.digest, wanted.digest) {
        (Some(pinned), Some(wanted)) if pinned != wanted => Some(Promoted::Not(format!(
            "its {} is another artifact ({})",
            pin.version,
            pinned.short()
        ))),
        (None, _) => Some(Promoted::Unknown(format!(
            "it pins {} without a digest, so nobody can say of which artifact",
            pin.version
        ))),
        (Some(_), _) => None,
    }
}

/// Finds the file that declares a model, and what its stable is.
fn find(
    source: &Source,
    files: &[ManifestFile],
    model: &ModelName,
) -> Result<Option<(ManifestFile, Pin)>, SourceError> {
    if files.is_empty() {
        return Ok(None);
    }
    for file in read(source, files, Size::default())?.files {
        let mut specs = file.documents.into_iter().filter_map(|(_, spec)| spec);
        let stable = specs.find_map(|spec| match spec {
            Spec::Deployment(spec) if spec.model == *model => Some(spec.stable),
            Spec::Deployment(_) | Spec::Training(_) => None,
        });
        if let Some(stable) = stable {
            return Ok(Some((file.file, stable)));
        }
    }
    Ok(None)
}
