//! What people say of a version beside its record: an owner, a description, tags. Kept as `<model>/descriptions/<version>.jsonl`, a
//! line per change, only ever appended to.
//!
//! It is part of no digest and of no checksum: it can be said of a version at any time, decides nothing, and goes when the version
//! does. An import does not take it along: it is said in one registry.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use planner::Timestamp;
use planner::names::{ModelName, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::Dir;
use crate::lock::{Lock, Mode, PATIENCE};
use crate::reference::{Entry, Reference};
use crate::store::{Store, within};

pub(crate) const DESCRIPTIONS: &str = "descriptions";
/// The largest file of a version, in bytes: hundreds of changes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// The most tags of a version.
const TAGS_MAX: usize = 50;

/// What is said of a version now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Description {
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Words by name.
    pub tags: BTreeMap<String, String>,
    /// When that was last changed; `null` where nothing was ever said.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub changed_at: Option<Timestamp>,
    /// By whom.
    pub changed_by: Option<String>,
}

/// A change of what is said of a version: one line of the file. What is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptionChange {
    at: Timestamp,
    actor: String,
    /// Empty: there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `None` takes a tag away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, Option<String>>,
}

/// Says which part of a description is longer than any is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {got} characters, at most {limit} are kept")]
pub struct TooLong {
    what: &'static str,
    got: usize,
    limit: usize,
}

impl DescriptionChange {
    /// Makes a change that says nothing yet.
    pub fn new(at: Timestamp, actor: &str) -> Result<Self, TooLong> {
        Ok(Self {
            at,
            actor: bounded("whoever says it", actor, 100)?,
            owner: None,
            description: None,
            tags: BTreeMap::new(),
        })
    }

    /// Says who answers for the version; nobody where it is empty.
    pub fn owner(mut self, owner: &str) -> Result<Self, TooLong> {
        self.owner = Some(bounded("the owner", owner, 200)?);
        Ok(self)
    }

    /// Says what the version is; nothing where it is empty.
    pub fn description(mut self, description: &str) -> Result<Self, TooLong> {
        self.description = Some(bounded("the description", description, 2_000)?);
        Ok(self)
    }

    /// Gives it a tag, or takes one away.
    pub fn tag(mut self, name: &str, value: Option<&str>) -> Result<Self, TooLong> {
        let name = bounded("a tag's name", name, 63)?;
        let value = value
            .map(|value| bounded("a tag's value", value, 250))
            .transpose()?;
        self.tags.insert(name, value);
        Ok(self)
    }

    /// Says whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.owner.is_none() && self.description.is_none() && self.tags.is_empty()
    }

    fn apply(self, to: &mut Description) {
        let Self {
            at,
            actor,
            owner,
            description,
            tags,
        } = self;
        let said = |text: String| (!text.is_empty()).then_some(text);
        if let Some(owner) = owner {
            to.owner = said(owner);
        }
        if let Some(description) = description {
            to.description = said(description);
        }
        for (name, value) in tags {
            match value {
                Some(value) => drop(to.tags.insert(name, value)),
                None => drop(to.tags.remove(&name)),
            }
        }
        to.changed_at = Some(at);
        to.changed_by = Some(actor);
    }
}

fn bounded(what: &'static str, text: &str, limit: usize) -> Result<String, TooLong> {
    match text.chars().count() {
        got if got > limit => Err(TooLong { what, got, limit }),
        _ => Ok(text.to_owned()),
    }
}

impl Store {
    /// Returns what is said of a version; what is no line of ours is passed over.
    pub fn description(&self, model: &ModelName, version: &Version) -> Result<Description, StoreError> {
        let dir = self.model_dir(model)?;
        let dir = dir
            .as_ref()
            .map(|dir| within(dir, DESCRIPTIONS))
            .transpose()?
            .flatten();
        dir.map_or(Ok(Description::default()), |dir| read(&dir, version))
    }

    /// Says something more of a version that exists, and returns what is said of it then.
    pub fn describe(
        &self,
        model: &ModelName,
        reference: &Reference,
        change: DescriptionChange,
    ) -> Result<(Entry, Description), StoreError> {
        let _lock = self.lock_shared()?;
        let entry = self.resolve(model, reference)?;
        let dir = self.ensure_model_dir(model)?.ensure_dir(DESCRIPTIONS)?;
        let name = file_name(&entry.version);
        let lock = Lock::take(&dir, &name, Mode::Exclusive, PATIENCE)?;
        let path = dir.path().join(&name);
        let failed = |error| StoreError::io("append to", &path, error);
        let mut line =
            serde_json::to_vec(&change).expect("invariant: a change has text keys and cannot fail");
        line.push(b'\n');
        let mut described = read(&dir, &entry.version)?;
        change.apply(&mut described);
        if described.tags.len() > TAGS_MAX {
            let why = format!("would have more than {TAGS_MAX} tags: take some away");
            return Err(StoreError::malformed(&path, why));
        }
        let mut file = lock.file();
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes + line.len() as u64 > FILE_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "what is said of a version",
                path,
                limit: FILE_BYTES_MAX,
            });
        }
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1).map_err(failed)?;
        }
        // What a crash has torn is no line, and the next one begins its own.
        let lead: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
        self.permit()?;
        file.write_all(&[lead, &line].concat())
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        dir.sync()?;
        Ok((entry, described))
    }
}

/// Forgets what is said of a version that is gone.
pub(crate) fn forget(model: &Dir, version: &Version) -> Result<(), StoreError> {
    match within(model, DESCRIPTIONS)? {
        Some(dir) => dir.remove(&file_name(version)),
        None => Ok(()),
    }
}

fn read(dir: &Dir, version: &Version) -> Result<Description, StoreError> {
    let mut described = Description::default();
    let bytes = dir.read(&file_name(version), "what is said of a version", FILE_BYTES_MAX)?;
    for line in bytes.unwrap_or_default().split(|byte| *byte == b'\n') {
        if let Ok(change) = serde_json::from_slice::<DescriptionChange>(line) {
            change.apply(&mut described);
        }
    }
    Ok(described)
}

fn file_name(version: &Version) -> String {
    format!("{version}.jsonl")
}
