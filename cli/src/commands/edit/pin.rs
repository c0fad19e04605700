//! `aurora pin`: another version for a track, as a commit.

use std::process::ExitCode;

use clap::Args;
use crds::edit::{pin_canary, pin_stable};
use planner::names::{Digest, EnvironmentName, ModelName, Track, Version, Weight};

use super::{Change, EditArguments, Editing, pinned};
use crate::commands::model::StoreArguments;
use crate::failure::Failure;

/// Flags of `aurora pin`.
#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    /// The model
    model: ModelName,
    /// The version that is to serve
    version: Version,

    /// The environment: a folder below environments/
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: EnvironmentName,

    /// The track that is to serve it
    #[arg(long, value_name = "TRACK", default_value_t = Track::Stable)]
    track: Track,

    /// Percent of requests to the canary [default: what it has; a new one: 0]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    weight: Option<Weight>,

    /// The digest of the version's artifact [default: what the registry at hand says, if there is one]
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    edit: EditArguments,
}

pub(crate) fn run(arguments: &PinArguments) -> Result<ExitCode, Failure> {
    let PinArguments {
        model,
        version,
        track,
        weight,
        ..
    } = arguments;
    if *track == Track::Stable && weight.is_some() {
        return Err(
            Failure::new("--weight is the canary's").hint("give --track canary, or leave --weight away")
        );
    }
    let pin = pinned(version, arguments.digest, model, &arguments.store)?;
    let editing = Editing::begin(
        &arguments.edit,
        arguments.edit.open()?,
        &arguments.environment,
        model,
        &version.to_string(),
    )?;
    let manifest = &editing.found.deployment;
    let change = match track {
        Track::Stable => Change {
            edits: pin_stable(manifest, &pin),
            what: format!("stable {version} (was {})", manifest.stable.version),
        },
        Track::Canary => Change {
            edits: pin_canary(manifest, &pin, *weight),
            what: match weight.or(manifest.canary.as_ref().map(|canary| canary.weight)) {
                Some(weight) => format!("canary {version} at {}%", weight.percent()),
                None => format!("canary {version} at 0%"),
            },
        },
    };
    editing.end(&change)
}

/// Reads a weight.
pub(super) fn percent(text: &str) -> Result<Weight, String> {
    let number: u64 = text
        .parse()
        .map_err(|_no_number| "expected a whole percent from 0 to 100")?;
    Weight::try_from(number).map_err(|malformed| malformed.to_string())
}
