//! `aurora promote`: what was tried becomes what serves, as a commit: the canary of an environment, or the stable version of
//! another one.

use std::process::ExitCode;

use clap::Args;
use crds::edit::{pin_canary, pin_stable};
use planner::deployment::Pin;
use planner::names::{EnvironmentName, ModelName, Track, Weight};

use super::pin::percent;
use super::{Change, EditArguments, Editing};
use crate::failure::Failure;

/// Flags of `aurora promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArguments {
    /// The model
    model: ModelName,

    /// The environment whose canary becomes its stable version: a folder below environments/
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: EnvironmentName,

    /// The environment whose stable version another one is to serve
    #[arg(long, value_name = "NAME", requires = "to")]
    from: Option<EnvironmentName>,

    /// The environment that is to serve it
    #[arg(long, value_name = "NAME", requires = "from", conflicts_with = "environment")]
    to: Option<EnvironmentName>,

    /// The track of --to that is to serve it
    #[arg(long, value_name = "TRACK", default_value_t = Track::Stable, requires = "to")]
    track: Track,

    /// Percent of requests to the canary of --to [default: what it has; a new one: 0]
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "track")]
    weight: Option<Weight>,

    #[command(flatten)]
    edit: EditArguments,
}

pub(crate) fn run(arguments: &PromoteArguments) -> Result<ExitCode, Failure> {
    match (&arguments.from, &arguments.to) {
        (Some(from), Some(to)) if from == to => Err(Failure::new(format!("--from and --to are both {from}"))
            .hint("give two environments, or --environment alone to promote its canary")),
        (Some(from), Some(to)) => across(arguments, from, to),
        _ => within(arguments),
    }
}

/// Promotes the canary of an environment.
fn within(arguments: &PromoteArguments) -> Result<ExitCode, Failure> {
    let PromoteArguments {
        model,
        environment,
        edit,
        ..
    } = arguments;
    let editor = edit.open()?;
    let found = edit.find(&editor, environment, model)?.deployment;
    // On a branch that was named and is there, an attempt that was cut off may have promoted it.
    let promoted = || {
        let before = edit.find_at_base(&editor, environment, model).ok()?;
        let canary = before.deployment.canary?;
        (canary.pin.version == found.stable.version).then_some(canary)
    };
    let Some(canary) = found.canary.or_else(promoted) else {
        return Err(
            Failure::new(format!("{model} has no canary in environment {environment}"))
                .hint("pin one with `aurora pin --track canary`, or promote from another environment with --from and --to"),
        );
    };
    let editing = Editing::begin(edit, editor, environment, model, &canary.pin.version.to_string())?;
    let manifest = &editing.found.deployment;
    editing.end(&Change {
        edits: pin_stable(manifest, &canary.pin),
        what: format!(
            "promote canary {} (stable was {})",
            canary.pin.version, manifest.stable.version
        ),
    })
}

/// Writes the stable version of one environment into another.
fn across(
    arguments: &PromoteArguments,
    from: &EnvironmentName,
    to: &EnvironmentName,
) -> Result<ExitCode, Failure> {
    let PromoteArguments {
        model,
        track,
        weight,
        edit,
        ..
    } = arguments;
    let editor = edit.open()?;
    let Pin { version, digest } = edit.find(&editor, from, model)?.deployment.stable;
    if digest.is_none() {
        return Err(Failure::new(format!(
            "{from} pins {model} {version} without a digest, and another environment may hold another artifact by that name"
        ))
        .hint(format!(
            "run `aurora pin {model} {version} --environment {from} --digest …` first; `aurora model show {model} {version}` says it"
        )));
    }
    let pin = Pin { version, digest };
    let editing = Editing::begin(edit, editor, to, model, &pin.version.to_string())?;
    let manifest = &editing.found.deployment;
    let edits = match track {
        Track::Stable => pin_stable(manifest, &pin),
        Track::Canary => pin_canary(manifest, &pin, *weight),
    };
    editing.end(&Change {
        edits,
        what: format!("{track} {} from {from}", pin.version),
    })
}
