//! Which object has a model, and whose memory goes on, while one is renamed or turns to another model.

use super::Status;
use crate::names::ObjectName;

/// An object that says that it serves the model.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// Its own memory of this model.
    pub status: Option<&'a Status>,
}

/// Chooses the object that has the model, and the memory that its rollout goes on with.
///
/// There are two while a renamed object takes over: the reconciler makes the new one before it removes the old. The one
/// whose name comes last has the model, so that every look says the same. Its memory is its own; where it has none yet,
/// what the model was left with (`left`), else another claimant's: a rename loses neither an abort nor a back-off.
pub fn owner<'a>(
    claimants: &[Claimant<'a>],
    left: Option<&'a Status>,
) -> Option<(&'a ObjectName, Option<&'a Status>)> {
    let owner = claimants.iter().max_by_key(|claimant| claimant.name)?;
    let other = || claimants.iter().rev().find_map(|claimant| claimant.status);
    Some((owner.name, owner.status.or(left).or_else(other)))
}
