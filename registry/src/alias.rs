//! Aliases: the record of which version a track serves, as relative symbolic links.
//!
//! A link is made under a temporary name and renamed over the old one. Nothing that serves reads an alias.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use planner::names::{ModelName, Track, Version};
use planner::observed::ObservedAlias;
use rustix::fs::FileType;

use crate::error::StoreError;
use crate::files::Dir;
use crate::history::{Event, HistoryEntry, Journal};
use crate::reference::{self, Reference};
use crate::store::{Store, VERSIONS};

pub(crate) const ALIASES: &str = "aliases";

impl Store {
    /// Returns a model's aliases; none where the model is unknown.
    pub fn aliases(&self, model: &ModelName) -> Result<BTreeMap<Track, ObservedAlias>, StoreError> {
        match self.model_dir(model)? {
            Some(dir) => aliases_in(&dir),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Lets an alias name `to`, which must exist, and records it.
    ///
    /// `entry` says when, by which commit, by whom and why; event, alias, `to` and, where absent, `from` and the digest
    /// are filled in. A digest in it must be the version's own. Repeating it writes nothing.
    pub fn move_alias(
        &self,
        model: &ModelName,
        track: Track,
        to: &Version,
        entry: HistoryEntry,
    ) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let not_found = || StoreError::NotFound {
            model: model.clone(),
            reference: Box::new(Reference::Version(to.clone())),
        };
        let dir = self.model_dir(model)?.ok_or_else(not_found)?;
        let versions = dir.dir(VERSIONS)?.ok_or_else(not_found)?;
        let target = reference::entry(&versions, model, to)?.ok_or_else(not_found)?;
        let digest = entry.digest.unwrap_or(target.digest);
        if digest != target.digest {
            return Err(StoreError::OtherDigest {
                model: model.clone(),
                version: to.clone(),
                there: target.digest,
                given: digest,
            });
        }
        let current = aliases_in(&dir)?.remove(&track);
        let mut journal = Journal::open(&dir)?;
        let recorded = journal
            .ledger()
            .last_change(track)
            .is_some_and(|last| last.to.as_ref() == Some(to) && last.digest == Some(digest));
        if recorded && current == Some(ObservedAlias::To(to.clone())) {
            return Ok(());
        }
        let entry = HistoryEntry {
            event: Event::Moved,
            alias: track,
            from: entry.from.or(named(current)),
            to: Some(to.clone()),
            digest: Some(digest),
            ..entry
        };
        self.refuse_folder(&dir, model, track)?;
        let aliases = dir.make_dir(ALIASES)?;
        if !aliases.is_settled()? {
            journal.sync_names();
        }
        self.permit()?;
        journal.append_change(&entry)?;
        self.permit()?;
        let link = aliases.make_temporary_link(&format!("../{VERSIONS}/{to}"))?;
        let renamed = aliases.rename(&link, track.as_str());
        aliases.discard_on_error(&link, renamed)?;
        aliases.sync()
    }

    /// Takes an alias away and records it; nothing happens where there is none.
    ///
    /// `entry` says when, by which commit, by whom and why; event, alias and, where absent, `from` are filled in.
    pub fn remove_alias(
        &self,
        model: &ModelName,
        track: Track,
        entry: HistoryEntry,
    ) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let Some(dir) = self.model_dir(model)? else {
            return Ok(());
        };
        let Some(current) = aliases_in(&dir)?.remove(&track) else {
            return Ok(());
        };
        self.refuse_folder(&dir, model, track)?;
        let journal = Journal::open(&dir)?;
        let from = entry.from.or(named(Some(current)));
        let digest = entry.digest;
        let digest = digest.or_else(|| journal.ledger().digest(from.as_ref()?));
        self.permit()?;
        journal.append_change(&HistoryEntry {
            event: Event::Removed,
            alias: track,
            from,
            to: None,
            digest,
            ..entry
        })?;
        self.permit()?;
        if let Some(aliases) = dir.dir(ALIASES)? {
            aliases.remove(track.as_str())?;
            aliases.sync()?;
        }
        Ok(())
    }

    pub(crate) fn alias_path(&self, model: &ModelName, track: Track) -> PathBuf {
        self.model_path(model).join(ALIASES).join(track.as_str())
    }

    /// A folder in an alias's place may hold somebody's files: it is neither replaced nor removed.
    fn refuse_folder(&self, dir: &Dir, model: &ModelName, track: Track) -> Result<(), StoreError> {
        if let Some(aliases) = dir.dir(ALIASES)?
            && aliases.kind(track.as_str())? == Some(FileType::Directory)
        {
            return Err(StoreError::BrokenAlias {
                path: self.alias_path(model, track),
                why: "is a folder".to_owned(),
            });
        }
        Ok(())
    }
}

pub(crate) fn aliases_in(model: &Dir) -> Result<BTreeMap<Track, ObservedAlias>, StoreError> {
    let mut aliases = BTreeMap::new();
    let Some(dir) = model.dir(ALIASES)? else {
        return Ok(aliases);
    };
    for track in Track::ALL {
        if let Some(alias) = read_alias(&dir, track)? {
            aliases.insert(track, alias);
        }
    }
    Ok(aliases)
}

fn read_alias(aliases: &Dir, track: Track) -> Result<Option<ObservedAlias>, StoreError> {
    let broken = |why: String| Ok(Some(ObservedAlias::Broken(why)));
    match aliases.kind(track.as_str())? {
        None => Ok(None),
        Some(FileType::Symlink) => {
            let target = match aliases.link_target(track.as_str()) {
                Ok(target) => target,
                // It was taken away, or replaced by something else, since the line above.
                Err(_) if aliases.kind(track.as_str())? != Some(FileType::Symlink) => return Ok(None),
                Err(error) => return Err(error),
            };
            match version_of(&target) {
                Some(version) => Ok(Some(ObservedAlias::To(version))),
                None => broken(format!(
                    "points to {:?}, not to ../{VERSIONS}/<version>",
                    target.display().to_string().chars().take(120).collect::<String>()
                )),
            }
        }
        Some(FileType::Directory) => broken("is a folder".to_owned()),
        Some(_) => broken("is no symbolic link".to_owned()),
    }
}

fn version_of(target: &Path) -> Option<Version> {
    target
        .to_str()?
        .strip_prefix("../")?
        .strip_prefix(VERSIONS)?
        .strip_prefix('/')?
        .parse()
        .ok()
}

fn named(alias: Option<ObservedAlias>) -> Option<Version> {
    match alias {
        Some(ObservedAlias::To(version)) => Some(version),
        Some(ObservedAlias::Broken(_)) | None => None,
    }
}
