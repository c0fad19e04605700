//! `aurora rollback`: the version before, as a commit that says of the one that goes that it may not come back.

use std::process::ExitCode;

use clap::Args;
use crds::edit::{roll_back, withdraw_canary};
use planner::names::{EnvironmentName, ModelName, Track, Version};

use super::{Change, EditArguments, Editing, pinned};
use crate::commands::model::StoreArguments;
use crate::failure::Failure;

/// Flags of `aurora rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// The model
    model: ModelName,

    /// The environment: a folder below environments/
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: EnvironmentName,

    /// The track: stable goes back to a version, the canary goes
    #[arg(long, value_name = "TRACK", default_value_t = Track::Stable)]
    track: Track,

    /// The version to go back to [default: what stable was before, by the history of the branch]
    #[arg(long, value_name = "VERSION")]
    to: Option<Version>,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    edit: EditArguments,
}

pub(crate) fn run(arguments: &RollbackArguments) -> Result<ExitCode, Failure> {
    let RollbackArguments {
        model,
        environment,
        track,
        to,
        store,
        edit,
    } = arguments;
    let editor = edit.open()?;
    let serving = edit.find(&editor, environment, model)?.deployment;
    let going = match (track, &serving.canary) {
        (Track::Stable, _) => &serving.stable.version,
        (Track::Canary, Some(canary)) => &canary.pin.version,
        (Track::Canary, None) => {
            return Err(Failure::new(format!(
                "{model} has no canary in environment {environment}"
            )));
        }
    };
    let editing = Editing::begin(edit, editor, environment, model, &format!("without-{going}"))?;
    let manifest = &editing.found.deployment;
    if *track == Track::Canary {
        return editing.end(&Change {
            edits: withdraw_canary(manifest),
            what: format!("take canary {going} away"),
        });
    }
    let has_gone = manifest.stable.version != *going && manifest.rejected.contains(going);
    let leads_here = |to: &Version| *to == manifest.stable.version;
    if has_gone && to.as_ref().is_none_or(leads_here) {
        // The branch is there from an attempt that was cut off: there is nothing left to change.
        return editing.end(&Change {
            edits: Vec::new(),
            what: format!("roll back to {} (from {going})", manifest.stable.version),
        });
    }
    let to = match to {
        Some(version) if *version == manifest.stable.version => {
            return Err(Failure::new(format!("{model} serves {version} in {environment}"))
                .hint("give another version with --to"));
        }
        Some(version) => pinned(version, None, model, store)?,
        None => editing.editor.before(&editing.place, &editing.found)?,
    };
    editing.end(&Change {
        edits: roll_back(manifest, &to),
        what: format!("roll back to {} (from {})", to.version, manifest.stable.version),
    })
}
