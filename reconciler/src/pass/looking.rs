//! How a pass looks into the registry: whether it is there, and how much of it in a turn.

use super::{Admit, Reconciler};
use crate::observe::Looks;

impl Reconciler {
    /// Decides nothing until the registry is there, as `admit` says: what was applied stands on versions that it holds.
    #[must_use]
    pub fn awaiting_registry(self, admit: Admit) -> Self {
        Self {
            awaited: Some(admit),
            ..self
        }
    }

    /// Looks into the registry for each model once within so many turns, instead of for a fixed number in each.
    #[must_use]
    pub fn looking_within(self, turns: usize) -> Self {
        Self {
            looks: Looks::within(turns),
            ..self
        }
    }

    /// Says whether the registry has not been there since the start.
    pub fn awaits_registry(&self) -> bool {
        self.awaited.is_some()
    }
}
