//! What should come to serve and does not yet, of each model: so that it is not ready, rather than unknown.

use std::collections::BTreeMap;

use planner::names::{Track, Version};
use planner::per_track::PerTrack;

use super::Awaited;

/// What of one model should serve and does not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coming {
    /// The pins that are awaited.
    pub(crate) awaited: Vec<Awaited>,
    /// The versions that did not load.
    pub(crate) failed: PerTrack<Option<Version>>,
}

/// What is to come, by model; models of which everything serves are not in it.
#[derive(Debug, Default)]
pub(crate) struct AllComing(BTreeMap<String, Coming>);

impl AllComing {
    /// Returns what is to come of a model.
    pub(crate) fn get(&self, model: &str) -> Option<&Coming> {
        self.0.get(model)
    }

    /// Returns what is to come of each model, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Coming)> {
        self.0.iter().map(|(model, coming)| (model.as_str(), coming))
    }

    /// Replaces what is awaited of a model. What did not load and is awaited again is no longer said to have failed.
    pub(super) fn expect(&mut self, model: &str, awaited: Vec<Awaited>) {
        self.change(model, |coming| {
            for pin in &awaited {
                *coming.failed.get_mut(pin.track) = None;
            }
            coming.awaited = awaited;
        });
    }

    /// A version came to a slot.
    pub(super) fn loaded(&mut self, model: &str, track: Track, version: &Version) {
        self.change(model, |coming| {
            *coming.failed.get_mut(track) = None;
            coming
                .awaited
                .retain(|pin| pin.track != track || pin.version != *version);
        });
    }

    /// A version did not load.
    pub(super) fn failed(&mut self, model: &str, track: Track, version: &Version) {
        self.change(model, |coming| {
            *coming.failed.get_mut(track) = Some(version.clone());
            coming
                .awaited
                .retain(|pin| pin.track != track || pin.version != *version);
        });
    }

    /// Nothing is to come to a slot any more that failed to.
    pub(super) fn emptied(&mut self, model: &str, track: Track) {
        self.change(model, |coming| *coming.failed.get_mut(track) = None);
    }

    pub(super) fn remove(&mut self, model: &str) {
        self.0.remove(model);
    }

    fn change(&mut self, model: &str, change: impl FnOnce(&mut Coming)) {
        let mut coming = self.0.remove(model).unwrap_or_default();
        change(&mut coming);
        let PerTrack { stable, canary } = &coming.failed;
        if !coming.awaited.is_empty() || stable.is_some() || canary.is_some() {
            self.0.insert(model.to_owned(), coming);
        }
    }
}
