//! What Git says, parsed: nothing here can be malformed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::deployment::DeclaredDeployment;
use crate::environment::Environment;
use crate::finding::Location;
use crate::gates::Promoted;
use crate::names::{ModelName, ObjectName, Revision, Version};
use crate::training::Training;

/// The desired state of one environment at one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The branch's newest commit.
    pub revision: Revision,
    /// The environment's own spec at that commit.
    pub environment: Environment,
    /// Whether all of the folder was understood. If not, nothing is removed.
    pub completeness: Completeness,
    /// The MLDeployments by name; no two have one model.
    pub deployments: BTreeMap<ObjectName, Declared<DeclaredDeployment>>,
    /// The MLTrainingJobs by name; datasets of the commit carry their digest.
    pub trainings: BTreeMap<ObjectName, Declared<Training>>,
    /// What `removal.allow` stands for; absent where it is not given, or names no commit of this branch's first-parent
    /// history, or one whose folder was not understood.
    #[serde(default)]
    pub allowed: Option<AllowedRemovals>,
    /// Why the commits that last changed manifests override windows, of those that do and were asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<Revision, String>,
    /// What the environment that versions come through says of those that were asked about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub promoted: BTreeMap<ModelName, BTreeMap<Version, Promoted>>,
}

/// What the commit that `removal.allow` names declares in this environment.
///
/// No commit can name itself, so `allow` names an earlier one that took the manifests away: what that commit still
/// declares is not allowed to go. A standing `allow` thus allows nothing that a later commit takes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedRemovals {
    /// The commit.
    pub revision: Revision,
    /// The models whose MLDeployments it still declares.
    pub models: BTreeSet<ModelName>,
}

/// Whether all of an environment's folder was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// Every file was read and parsed.
    Complete,
    /// Something was not: what is missing here may only be unreadable.
    Partial,
}

/// One manifest's spec and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Declared<S> {
    /// What it says.
    pub spec: S,
    /// The newest first-parent commit where the parsed document differs from its parent's.
    pub revision: Revision,
    /// That commit's committer time.
    pub committed_at: Timestamp,
    /// Whether that commit is known.
    pub dating: Dating,
    /// The start of the document.
    pub location: Location,
}

/// Whether the commit that last changed a manifest is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dating {
    /// It is.
    #[default]
    Known,
    /// A long history is still being read: another commit stands for it.
    Provisional,
    /// It is, and this one stood for it before.
    Corrected(Revision),
}
