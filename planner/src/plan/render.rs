//! A plan as text that a reviewer can read: one line per action, then what waits, then findings.

use std::fmt;

use super::{Action, Plan, Waiting};
use crate::deployment::{ResolvedDeployment, ResolvedPin};
use crate::engine::Engine;
use crate::imports::Wanted;
use crate::names::{Version, Weight};
use crate::observed::{Behind, DeploymentObject, ObservedAlias, TrainingObject};
use crate::training::{RunPolicy, Training};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            writeln!(f, "no changes")?;
        }
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        for action in &self.held {
            writeln!(f, "held: {action}")?;
        }
        for waiting in &self.waiting {
            writeln!(f, "waiting: {waiting}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutEnvironment(environment) => write!(f, "MLEnvironment/{}: apply", environment.name),
            Self::StageDataset { job, path, sha256 } => {
                write!(f, "MLTrainingJob/{job}: stage {path} ({})", sha256.short())
            }
            Self::Import(wanted) => {
                let Wanted {
                    model,
                    version,
                    digest,
                    from,
                    revision,
                } = &**wanted;
                write!(
                    f,
                    "{model}: import {version} ({}) from {from} [{}]",
                    digest.short(),
                    revision.short()
                )
            }
            Self::PutTraining { name, from, object } if self.is_note() => {
                let from = from.as_deref().and_then(|from| from.behind.as_ref());
                write!(f, "MLTrainingJob/{name}: {}", note(from, object.behind.as_ref()))
            }
            Self::PutTraining { name, from, object } => {
                write!(f, "MLTrainingJob/{name}: {}", training(from.as_deref(), object))
            }
            Self::PutDeployment { name, from, object } if self.is_note() => {
                let from = from.as_deref().and_then(|from| from.behind.as_ref());
                write!(f, "MLDeployment/{name}: {}", note(from, object.behind.as_ref()))
            }
            Self::PutDeployment { name, from, object } => {
                write!(f, "MLDeployment/{name}: {}", deployment(from.as_deref(), object))
            }
            Self::MoveAlias {
                model,
                track,
                from,
                to,
                revision: _,
                overridden: _,
            } => {
                write!(
                    f,
                    "alias {model}@{track}: {} -> {}",
                    alias(from.as_ref()),
                    pin(to)
                )
            }
            Self::RemoveAlias {
                model,
                track,
                from,
                revision: _,
            } => {
                write!(f, "alias {model}@{track}: {} -> none", alias(Some(from)))
            }
            Self::RecordAbort {
                model,
                version,
                digest,
                reason,
            } => {
                write!(
                    f,
                    "{model}: record the abort of canary {version} ({}): {reason}",
                    digest.short()
                )
            }
            Self::DeleteDeployment { name, model: _ } => write!(f, "MLDeployment/{name}: remove"),
            Self::DeleteTraining { name } => write!(f, "MLTrainingJob/{name}: remove"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForVersion {
                deployment,
                track,
                version,
                job,
            } => write!(
                f,
                "MLDeployment/{deployment}: {track} waits for {version}, which MLTrainingJob/{job} makes"
            ),
            Self::ForImport {
                deployment,
                track,
                version,
                from,
            } => write!(
                f,
                "MLDeployment/{deployment}: {track} waits for {version}, which is imported from {from}"
            ),
            Self::ForTrack { deployment, track } => write!(
                f,
                "MLDeployment/{deployment}: the alias {track} waits until the track serves its pin"
            ),
            Self::ForModel {
                deployment,
                model,
                holder,
            } => write!(
                f,
                "MLDeployment/{deployment}: waits until MLDeployment/{holder} has left model {model}"
            ),
            Self::ForTime {
                deployment,
                track,
                version,
                closed,
            } => write!(
                f,
                "MLDeployment/{deployment}: {track} waits with {version}: {closed}"
            ),
            Self::ToLeave { deployment, model } => write!(
                f,
                "MLDeployment/{deployment}: goes on with model {model}, which is no longer declared, until that may go"
            ),
        }
    }
}

/// Says what keeps the object from what Git says, or that nothing does any more.
fn note(from: Option<&Behind>, to: Option<&Behind>) -> String {
    match (from, to) {
        (_, Some(Behind::Stopped(what))) => format!("is stopped: {what}"),
        (_, Some(Behind::Waits(_))) => "waits".to_owned(),
        (_, Some(Behind::Held(what))) => format!("is held: {what}"),
        (Some(Behind::Stopped(_)), None) => "is no longer stopped".to_owned(),
        (Some(Behind::Held(_)), None) => "is no longer held".to_owned(),
        (Some(Behind::Waits(_)) | None, None) => "waits no longer".to_owned(),
    }
}

fn pin(pin: &ResolvedPin) -> String {
    format!("{} ({})", pin.version, pin.digest.short())
}

fn alias(alias: Option<&ObservedAlias>) -> String {
    match alias {
        None => "none".to_owned(),
        Some(ObservedAlias::To(version)) => version.to_string(),
        Some(ObservedAlias::Broken(what)) => format!("broken ({what})"),
    }
}

/// Says what an object becomes; of what stays the same, nothing but stable.
fn deployment(from: Option<&DeploymentObject>, to: &DeploymentObject) -> String {
    let mut parts = Vec::new();
    let mut old = from.map(|from| &from.spec);
    if let Some(other) = old.take_if(|old| old.model != to.spec.model) {
        // Pins of another model are nothing to compare with.
        parts.push(format!("model {} -> {}", other.model, to.spec.model));
    }
    parts.push(match old.map(|old| &old.stable) {
        Some(old) if *old != to.spec.stable => format!("stable {} -> {}", pin(old), pin(&to.spec.stable)),
        Some(_) | None => format!("stable {}", pin(&to.spec.stable)),
    });
    parts.extend(canary(old, &to.spec));
    parts.extend(old.into_iter().flat_map(|old| operation(old, &to.spec)));
    let engine = old.map_or_else(Engine::default, |old| old.engine);
    if engine != to.spec.engine {
        parts.push(format!("engine {engine} -> {}", to.spec.engine));
    }
    match (
        old.and_then(|old| old.suspend.as_deref()),
        to.spec.suspend.as_deref(),
    ) {
        (old, Some(reason)) if old != Some(reason) => parts.push(format!("suspend: {reason}")),
        (Some(_), None) => parts.push("resume".to_owned()),
        (_, Some(_) | None) => {}
    }
    match (from.and_then(|from| from.abort), to.abort) {
        (old, Some(digest)) if old != Some(digest) => parts.push(format!("abort {}", digest.short())),
        (Some(_), None) => parts.push("abort lifted".to_owned()),
        (_, Some(_) | None) => {}
    }
    if let Some(reason) = to
        .overridden
        .as_ref()
        .filter(|_| from.is_none_or(|from| from.overridden != to.overridden))
    {
        parts.push(format!("windows overridden ({reason})"));
    }
    let verb = if from.is_some() { "" } else { "create: " };
    format!("{verb}{} [{}]", parts.join(", "), to.revision.short())
}

fn canary(from: Option<&ResolvedDeployment>, to: &ResolvedDeployment) -> Option<String> {
    let weight = |old: Weight, new: Weight| {
        if old == new {
            format!("at {new}")
        } else {
            format!("at {old} -> {new}")
        }
    };
    Some(
        match (from.and_then(|from| from.canary.as_ref()), to.canary.as_ref()) {
            (None, None) => return None,
            (Some(old), None) if old.pin.digest == to.stable.digest => {
                format!("canary {} promoted", old.pin.version)
            }
            (Some(old), None) => format!("canary {} -> none", pin(&old.pin)),
            (None, Some(new)) if from.is_none() => format!("canary {} at {}", pin(&new.pin), new.weight),
            (None, Some(new)) => format!("canary none -> {} at {}", pin(&new.pin), new.weight),
            (Some(old), Some(new)) if old.pin == new.pin => {
                format!("canary {} {}", pin(&new.pin), weight(old.weight, new.weight))
            }
            (Some(old), Some(new)) => {
                format!(
                    "canary {} -> {} {}",
                    pin(&old.pin),
                    pin(&new.pin),
                    weight(old.weight, new.weight)
                )
            }
        },
    )
}

/// Says what changes of how a cluster is to run a model.
fn operation(from: &ResolvedDeployment, to: &ResolvedDeployment) -> Vec<String> {
    let mut parts = Vec::new();
    if from.replicas != to.replicas {
        parts.push(format!("replicas {} -> {}", from.replicas, to.replicas));
    }
    if let (Some(from), Some(to)) = (&from.canary, &to.canary)
        && from.replicas != to.replicas
    {
        parts.push(format!("canary replicas {} -> {}", from.replicas, to.replicas));
    }
    let changed = [
        ("autoscaling", from.autoscaling != to.autoscaling),
        ("pod", from.pod != to.pod),
        ("route", from.route != to.route),
        ("rejected", from.rejected != to.rejected),
    ];
    let changed = changed.into_iter().filter(|(_, differs)| *differs);
    parts.extend(changed.map(|(what, _)| format!("{what} changes")));
    parts
}

fn training(from: Option<&TrainingObject>, to: &TrainingObject) -> String {
    let verb = if from.is_some() { "change" } else { "create" };
    if let Some(from) = from.filter(|from| from.spec == to.spec && from.revision == to.revision) {
        let shown =
            |version: &Option<Version>| version.as_ref().map_or("none".to_owned(), Version::to_string);
        return format!("baseline {} -> {}", shown(&from.baseline), shown(&to.baseline));
    }
    let revision = to.revision.short();
    format!(
        "{verb}: {} with {}, {} [{revision}]",
        runs(&to.spec),
        to.spec.by(),
        to.spec.model
    )
}

fn runs(training: &Training) -> String {
    match &training.runs {
        RunPolicy::Fixed(version) => format!("train {version}"),
        RunPolicy::PerInputs => "train when the inputs change".to_owned(),
        RunPolicy::Scheduled { schedule, .. } => {
            let text = schedule.text();
            format!("train at `{}` {}", text.cron, text.time_zone)
        }
    }
}
