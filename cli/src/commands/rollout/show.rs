//! One model's rollout as it is shown: what its object declares beside what is live, who holds it up, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use crds::status::{FindingStatus, MLDeploymentStatus, StateName, TrackStatus, TransitionStatus};
use crds::{MLDeployment, MLEnvironment};
use planner::names::{Digest, ModelName, Version};
use planner::rollout::State;
use serde_json::{Value, json};

use crate::commands::status::{apart, behind, finding, is_serving, waits};
use crate::failure::Failure;
use crate::terminal::{Line, Terminal, table};
use crds::view::View;

/// What is known of one model's rollout.
pub(super) struct Rollout<'a> {
    deployment: &'a MLDeployment,
    status: MLDeploymentStatus,
    /// Why nothing changes, where the environment or the model says so.
    suspended: Option<String>,
    /// What is wrong with the model or with a job that makes its versions.
    findings: Vec<FindingStatus>,
    waiting: Vec<String>,
}

impl<'a> Rollout<'a> {
    pub(super) fn of(view: &View, deployment: &'a MLDeployment) -> Self {
        let model = &deployment.spec.model_name;
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let jobs = view
            .trainings
            .iter()
            .filter(|(_, training)| training.spec.model_name == *model)
            .map(|(job, _)| format!("MLTrainingJob/{job}"));
        let own: BTreeSet<String> = jobs
            .chain([format!("MLDeployment/{name}"), format!("model {model}")])
            .collect();
        let environment = view.environment.as_ref();
        let report = environment.and_then(|environment| environment.status.as_ref());
        let all = |environment: &MLEnvironment| environment.spec.suspend.clone();
        Self {
            deployment,
            status: deployment.status.clone().unwrap_or_default(),
            suspended: deployment
                .spec
                .suspend
                .clone()
                .or_else(|| environment.and_then(all)),
            findings: report
                .iter()
                .flat_map(|report| &report.findings)
                .filter(|finding| own.contains(&finding.subject))
                .cloned()
                .collect(),
            waiting: report
                .iter()
                .flat_map(|report| &report.waiting)
                .filter(|waiting| own.iter().any(|own| waiting.starts_with(&format!("{own}: "))))
                .cloned()
                .collect(),
        }
    }

    /// Says whether the model serves what Git declares.
    pub(super) fn is_as_declared(&self) -> bool {
        is_serving(self.deployment)
            && self.suspended.is_none()
            && self.findings.is_empty()
            && self.waiting.is_empty()
    }

    pub(super) fn say(&self, terminal: Terminal) -> Result<(), Failure> {
        if terminal.is_json() {
            terminal.document(&self.to_json())?;
        } else {
            terminal.lines(self.lines())?;
        }
        Ok(())
    }

    fn paused(&self) -> Option<&str> {
        self.status.memory.as_ref()?.paused.as_deref()
    }

    fn aborted(&self) -> Option<(&Digest, &str)> {
        match &self.status.memory.as_ref()?.state {
            State::Aborted { digest, reason } => Some((digest, reason)),
            State::Idle | State::Preparing | State::Holding { .. } | State::Promoting => None,
        }
    }

    fn revision(&self) -> Option<&String> {
        let annotations = self.deployment.metadata.annotations.as_ref()?;
        annotations.get("aurora.io/revision")
    }

    /// Returns the status with what it is to be held against.
    fn to_json(&self) -> Value {
        let spec = &self.deployment.spec;
        let pin =
            |version: &Version, digest: Option<&Digest>| json!({ "version": version, "digest": digest });
        let mut value = json!(self.status);
        let members = json!({
            "model": spec.model_name,
            "name": self.deployment.metadata.name,
            "revision": self.revision(),
            "declared": {
                "stable": pin(&spec.stable.version, spec.stable.digest.as_ref()),
                "canary": spec.canary.as_ref().map(|canary| pin(&canary.version, canary.digest.as_ref())),
                "weight": spec.canary.as_ref().map_or(0, |canary| canary.weight.percent()),
            },
            "paused": self.paused(),
            "aborted": self.aborted().map(|(digest, reason)| json!({ "digest": digest, "reason": reason })),
            "suspended": self.suspended,
            "behind": behind(self.deployment),
            "findings": self.findings,
            "waiting": self.waiting,
            "as_declared": self.is_as_declared(),
        });
        if let (Some(value), Value::Object(members)) = (value.as_object_mut(), members) {
            value.extend(members);
        }
        value
    }

    fn lines(&self) -> Vec<Line> {
        let spec = &self.deployment.spec;
        let live = |track: Option<&TrackStatus>| {
            track.map_or_else(
                || "nothing".to_owned(),
                |track| format!("{} {}", track.version, track.digest.short()),
            )
        };
        let track = |serving: Option<&TrackStatus>, declared: Option<&Version>| {
            let is_same = serving.map(|track| &track.version) == declared;
            let declared = declared.map_or_else(|| "none".to_owned(), ToString::to_string);
            let note = if is_same {
                String::new()
            } else {
                format!(", {declared} declared")
            };
            format!("{}{note}", live(serving))
        };
        let status = &self.status;
        let canary = spec.canary.as_ref();
        let stable = track(status.stable.as_ref(), Some(&spec.stable.version));
        let weight = canary.map_or_else(
            || format!("{} live", status.weight),
            |canary| format!("{} live, {} declared", status.weight, canary.weight),
        );
        let mut rows = vec![
            ("model", spec.model_name.to_string()),
            ("state", state(status.state, &status.message)),
            ("stable", stable),
            (
                "canary",
                track(status.canary.as_ref(), canary.map(|canary| &canary.version)),
            ),
            ("weight", weight),
        ];
        rows.extend(self.paused().map(|who| ("paused", who.to_owned())));
        rows.extend(
            self.aborted()
                .map(|(digest, why)| ("aborted", format!("{}: {why}", digest.short()))),
        );
        rows.extend(self.suspended.clone().map(|why| ("suspended", why)));
        rows.extend(behind(self.deployment).map(|behind| ("git", behind)));
        rows.extend(self.revision().map(|revision| ("revision", revision.clone())));
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect();
        let mut parts = vec![table(&rows)];
        if !status.history.is_empty() {
            parts.push(history(&status.history));
        }
        let mut wrong: Vec<Line> = self.findings.iter().flat_map(finding).collect();
        wrong.extend(self.waiting.iter().map(|waiting| waits(waiting)));
        parts.extend((!wrong.is_empty()).then_some(wrong));
        apart(parts)
    }
}

/// Shows all of them; as JSON, an object with a member for each model.
pub(super) fn say_all(
    terminal: Terminal,
    rollouts: &BTreeMap<&ModelName, Rollout<'_>>,
) -> Result<(), Failure> {
    if terminal.is_json() {
        let all: BTreeMap<_, _> = rollouts
            .iter()
            .map(|(model, rollout)| (model, rollout.to_json()))
            .collect();
        terminal.document(&all)?;
    } else if rollouts.is_empty() {
        terminal.line("no model is deployed here yet")?;
    } else {
        let mut parts = Vec::new();
        for rollout in rollouts.values() {
            // Two empty lines between models, one within.
            if !parts.is_empty() {
                parts.push(Vec::new());
            }
            parts.push(rollout.lines());
        }
        terminal.lines(apart(parts))?;
    }
    Ok(())
}

fn history(transitions: &[TransitionStatus]) -> Vec<Line> {
    let mut rows = vec![["at", "from", "to", "weight"].map(str::to_owned).to_vec()];
    rows.extend(transitions.iter().map(|transition| {
        let TransitionStatus {
            at,
            from,
            to,
            message,
            weight,
        } = transition;
        vec![
            at.format("%F %T").to_string(),
            state(Some(*from), ""),
            state(Some(*to), message),
            weight.to_string(),
        ]
    }));
    table(&rows)
}

fn state(state: Option<StateName>, message: &str) -> String {
    let name = state.map_or_else(|| "none yet".to_owned(), |state| format!("{state:?}"));
    if message.is_empty() {
        name
    } else {
        format!("{name} ({message})")
    }
}
