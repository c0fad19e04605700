//! `registry/{current-version, metadata.json, identity.json}`: the layout of a store and whose it is.
//!
//! `identity.json` is what `metadata.json` says of the store besides its list of models, written once: either makes the
//! other good, and both name the layout that `current-version` has. What is damaged is written anew only where what is
//! left says that the store is this owner's and of a layout that we know; else it is refused with what to restore.

use planner::Timestamp;
use planner::names::ModelName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{StoreError, why};
use crate::files::Dir;
use crate::store::{LAYOUT, METADATA_FILE, Owner, Store, to_json};

const CURRENT_VERSION: &str = "current-version";
const IDENTITY_FILE: &str = "identity.json";

/// The largest `metadata.json` of a store: it lists up to 100,000 models.
const METADATA_BYTES_MAX: u64 = 16 << 20;
const IDENTITY_BYTES_MAX: u64 = 64 << 10;
const LAYOUT_BYTES_MAX: u64 = 64;

/// `registry/identity.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    registry_version: String,
    created_at: Timestamp,
    storage_type: String,
    owner: Owner,
}

/// `registry/metadata.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoreMetadata {
    #[serde(flatten)]
    identity: Identity,
    models: Vec<ModelName>,
}

/// What was read of a file.
#[derive(Debug)]
enum Found<T> {
    Sound(T),
    /// What is wrong with it: a phrase that follows its path.
    Damaged(String),
    Absent,
}

/// What the three files say.
#[derive(Debug)]
struct Files {
    layout: Found<()>,
    metadata: Found<StoreMetadata>,
    identity: Found<Identity>,
    /// What `metadata.json` says although its list of models cannot be read.
    rest: Option<Identity>,
}

/// What is wrong with one of the files, though the store can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its path below `aurora/`.
    pub file: String,
    /// What is wrong with it, and what mends it.
    pub why: String,
}

impl Identity {
    fn new(owner: &Owner, now: Timestamp) -> Self {
        Self {
            registry_version: format!("v{LAYOUT}"),
            created_at: now,
            storage_type: "filesystem".to_owned(),
            owner: owner.clone(),
        }
    }
}

impl Store {
    /// Says whether there is a store of a layout that we know; writes nothing.
    pub(crate) fn check_layout(&self, registry: &Dir) -> Result<(), StoreError> {
        let layout = self.read_layout(registry)?;
        if let Found::Sound(()) = layout {
            return Ok(());
        }
        let files = self.read_files(registry)?;
        match (layout, files.known()) {
            (_, Some(_)) => Ok(()),
            (Found::Damaged(why), None) => Err(damaged(registry, CURRENT_VERSION, &why)),
            (Found::Absent | Found::Sound(()), None) => Err(StoreError::NoStore(self.root().to_owned())),
        }
    }

    /// Checks that the store is the owner's, and makes good what is missing or damaged.
    ///
    /// `created` is given where a store that is not there may be made. The caller holds the store's lock exclusively.
    pub(crate) fn settle(
        &self,
        registry: &Dir,
        owner: &Owner,
        created: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let files = self.read_files(registry)?;
        self.check_owner(&files, owner)?;
        let identity = match (files.known(), created) {
            (Some(identity), _) => identity.clone(),
            // A store is none before its layout is written, and a crash may have come before that.
            (None, Some(now)) if files.is_none() => Identity::new(owner, now),
            (None, _) => return Err(unknown_owner(registry, &files)),
        };
        let is_made = files.is_none();
        let healed = |file: &str, why: &str| {
            tracing::warn!(path = %registry.path().join(file).display(), why, "wrote a damaged file anew");
        };
        match &files.identity {
            Found::Sound(_) => {}
            found => {
                if let Found::Damaged(why) = found {
                    healed(IDENTITY_FILE, why);
                }
                registry.replace(IDENTITY_FILE, &to_json(&identity))?;
            }
        }
        match &files.metadata {
            Found::Sound(_) => {}
            found => {
                match found {
                    Found::Damaged(why) => healed(METADATA_FILE, why),
                    Found::Absent | Found::Sound(_) if is_made => {}
                    Found::Absent | Found::Sound(_) => healed(METADATA_FILE, "it was missing"),
                }
                let models = self.models()?;
                registry.replace(METADATA_FILE, &to_json(&StoreMetadata { identity, models }))?;
            }
        }
        // Last: a store without it is none, so a crash before this line is repaired by the next start.
        match &files.layout {
            Found::Sound(()) => return Ok(()),
            Found::Damaged(why) => healed(CURRENT_VERSION, why),
            Found::Absent => {}
        }
        registry.replace(CURRENT_VERSION, format!("v{LAYOUT}\n").as_bytes())
    }

    /// Says whether [`Self::settle`] has anything to write; checks whose the store is.
    pub(crate) fn is_settled(&self, registry: &Dir, owner: &Owner) -> Result<bool, StoreError> {
        let files = self.read_files(registry)?;
        self.check_owner(&files, owner)?;
        if files.known().is_none() {
            return Err(unknown_owner(registry, &files));
        }
        Ok(matches!(
            files,
            Files {
                layout: Found::Sound(()),
                metadata: Found::Sound(_),
                identity: Found::Sound(_),
                rest: None,
            }
        ))
    }

    /// Writes the list of models into the store's own metadata if it changed, or if it is damaged; for the owner only.
    /// Says whether it did.
    pub(crate) fn refresh_models(&self) -> Result<bool, StoreError> {
        let registry = self.registry()?;
        let models = self.models()?;
        let identity = match read::<StoreMetadata>(&registry, METADATA_FILE, METADATA_BYTES_MAX)? {
            Found::Sound(metadata) if metadata.models == models => return Ok(false),
            Found::Sound(metadata) => metadata.identity,
            Found::Damaged(_) | Found::Absent => {
                let files = self.read_files(&registry)?;
                let identity = files.known().cloned();
                identity.ok_or_else(|| unknown_owner(&registry, &files))?
            }
        };
        let _lock = self.lock_shared()?;
        registry.replace(METADATA_FILE, &to_json(&StoreMetadata { identity, models }))?;
        Ok(true)
    }

    /// Lists what is wrong with the files that say what the store is; the next start of the owner mends what it can.
    pub fn check_identity(&self) -> Result<Vec<Wrong>, StoreError> {
        let registry = self.registry()?;
        let Files {
            layout,
            metadata,
            identity,
            rest,
        } = self.read_files(&registry)?;
        let is_known =
            matches!(metadata, Found::Sound(_)) || matches!(identity, Found::Sound(_)) || rest.is_some();
        let why = [
            (CURRENT_VERSION, layout.problem()),
            (METADATA_FILE, metadata.problem()),
            // Stores of before had none.
            (
                IDENTITY_FILE,
                identity.problem().filter(|why| why != "is missing"),
            ),
        ];
        let wrong = why.into_iter().filter_map(|(file, why)| Some((file, why?)));
        Ok(wrong
            .map(|(file, why)| Wrong {
                file: format!("registry/{file}"),
                why: if is_known {
                    format!("{why}; the next start of `aurora up` writes it anew")
                } else {
                    format!("{why}; {}", restore(&registry))
                },
            })
            .collect())
    }

    fn read_files(&self, registry: &Dir) -> Result<Files, StoreError> {
        let metadata = read(registry, METADATA_FILE, METADATA_BYTES_MAX)?;
        let rest = match &metadata {
            Found::Damaged(_) => read(registry, METADATA_FILE, METADATA_BYTES_MAX)?.sound(),
            Found::Sound(_) | Found::Absent => None,
        };
        let files = Files {
            layout: self.read_layout(registry)?,
            metadata,
            identity: read(registry, IDENTITY_FILE, IDENTITY_BYTES_MAX)?,
            rest,
        };
        for identity in files.stated() {
            if let Found::Damaged(_) = self.judge_layout(&identity.registry_version)? {
                return Err(self.other_layout(&identity.registry_version));
            }
        }
        Ok(files)
    }

    fn read_layout(&self, registry: &Dir) -> Result<Found<()>, StoreError> {
        match registry.read(CURRENT_VERSION, "a layout version", LAYOUT_BYTES_MAX) {
            Ok(Some(bytes)) => self.judge_layout(&String::from_utf8_lossy(&bytes)),
            Ok(None) => Ok(Found::Absent),
            Err(StoreError::TooLarge { limit, .. }) => {
                Ok(Found::Damaged(format!("has more than {limit} bytes")))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a layout that another program made; what names none is damaged.
    fn judge_layout(&self, text: &str) -> Result<Found<()>, StoreError> {
        let number = text.trim().strip_prefix('v').filter(|digits| {
            !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        match number.map(str::parse::<u32>) {
            Some(Ok(1..=LAYOUT)) => Ok(Found::Sound(())),
            Some(_) => Err(self.other_layout(text)),
            None => Ok(Found::Damaged(format!(
                "says {:?}, which is no layout",
                shown(text)
            ))),
        }
    }

    fn other_layout(&self, text: &str) -> StoreError {
        StoreError::OtherLayout {
            path: self.root().to_owned(),
            found: shown(text),
        }
    }

    /// Each file that names an owner must name this one.
    fn check_owner(&self, files: &Files, owner: &Owner) -> Result<(), StoreError> {
        match files
            .stated()
            .map(|stated| &stated.owner)
            .find(|stated| *stated != owner)
        {
            None => Ok(()),
            Some(stated) => Err(StoreError::OtherOwner {
                path: self.root().to_owned(),
                owner: Box::new(stated.clone()),
                wanted: Box::new(owner.clone()),
            }),
        }
    }
}

impl Files {
    /// Returns what the files say that can be read, the most trusted first.
    fn stated(&self) -> impl Iterator<Item = &Identity> {
        let metadata = match &self.metadata {
            Found::Sound(metadata) => Some(&metadata.identity),
            Found::Damaged(_) | Found::Absent => None,
        };
        let identity = match &self.identity {
            Found::Sound(identity) => Some(identity),
            Found::Damaged(_) | Found::Absent => None,
        };
        [metadata, identity, self.rest.as_ref()].into_iter().flatten()
    }

    fn known(&self) -> Option<&Identity> {
        self.stated().next()
    }

    /// Says whether there is no store yet.
    fn is_none(&self) -> bool {
        matches!(
            self,
            Self {
                layout: Found::Absent,
                metadata: Found::Absent,
                identity: Found::Absent,
                rest: None,
            }
        )
    }
}

impl<T> Found<T> {
    fn sound(self) -> Option<T> {
        match self {
            Self::Sound(record) => Some(record),
            Self::Damaged(_) | Self::Absent => None,
        }
    }

    fn problem(&self) -> Option<String> {
        match self {
            Self::Sound(_) => None,
            Self::Damaged(why) => Some(why.clone()),
            Self::Absent => Some("is missing".to_owned()),
        }
    }
}

fn read<T: DeserializeOwned>(registry: &Dir, name: &str, limit: u64) -> Result<Found<T>, StoreError> {
    match registry.read(name, "the registry's metadata", limit) {
        Ok(Some(bytes)) => Ok(match serde_json::from_slice(&bytes) {
            Ok(record) => Found::Sound(record),
            Err(error) => Found::Damaged(format!("cannot be read: {}", why(&error))),
        }),
        Ok(None) => Ok(Found::Absent),
        Err(StoreError::TooLarge { limit, .. }) => Ok(Found::Damaged(format!("has more than {limit} bytes"))),
        Err(error) => Err(error),
    }
}

fn unknown_owner(registry: &Dir, files: &Files) -> StoreError {
    let why = files.metadata.problem().unwrap_or_default();
    damaged(registry, METADATA_FILE, &why)
}

fn damaged(registry: &Dir, file: &str, why: &str) -> StoreError {
    StoreError::malformed(
        &registry.path().join(file),
        format!("{why}; {}", restore(registry)),
    )
}

/// Says what mends a store that does not say whose it is.
fn restore(registry: &Dir) -> String {
    let folder = registry.path();
    format!(
        "nothing else says whose the store is: restore {METADATA_FILE}, or, if the store is certainly this environment's \
         own, remove {}, and it is made anew",
        folder.display()
    )
}

fn shown(text: &str) -> String {
    text.trim().chars().take(40).collect()
}
