//! `aurora rollout`: what a person asks of one model's rollout beside Git. Each command waits until the process that
//! serves has taken it up, and says so.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use crds::MLDeployment;
use crds::status::{MLDeploymentStatus, StateName, TrackStatus, TransitionStatus};
use planner::names::ModelName;
use planner::rollout;
use standalone::commands::{clear_pause, write_abort, write_pause};

use crate::arguments::{DataArguments, OutputArguments};
use crate::clock;
use crate::commands::status;
use crate::failure::{Context as _, Failure};
use crate::terminal::{Terminal, table};

/// How often the status is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Flags of `aurora rollout`.
#[derive(Debug, Args)]
pub(crate) struct RolloutArguments {
    #[command(subcommand)]
    command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
enum RolloutCommand {
    /// Show where a model's rollout, or each one, stands, and its last transitions
    Status {
        /// The model; absent: all of them
        model: Option<ModelName>,
        #[command(flatten)]
        data: DataArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Take the canary out of the traffic until its pin changes or leaves
    Abort {
        #[command(flatten)]
        model: ModelSelection,
        #[command(flatten)]
        order: Order,
    },
    /// Freeze raises of the weight, never a lowering
    Pause {
        #[command(flatten)]
        model: ModelSelection,
        #[command(flatten)]
        order: Order,
    },
    /// Lift a pause, and nothing else
    Resume {
        #[command(flatten)]
        model: ModelSelection,
        #[command(flatten)]
        patience: Patience,
    },
}

/// Which model of which data directory.
#[derive(Debug, Args)]
struct ModelSelection {
    /// The model
    model: ModelName,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Why, and how long to wait for it.
#[derive(Debug, Args)]
struct Order {
    /// Why: shown in the status and kept in the history
    #[arg(long, env = "AURORA_REASON", value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    patience: Patience,
}

/// How long to wait for an acknowledgement.
#[derive(Debug, Args)]
struct Patience {
    /// How long to wait until the process that serves has taken it up, in seconds
    #[arg(long, env = "AURORA_TIMEOUT", value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

impl Patience {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

pub(crate) fn run(arguments: &RolloutArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        RolloutCommand::Status { model, data, output } => {
            let terminal = Terminal::new(output.output);
            match model {
                Some(model) => show(terminal, &deployment(data, model)?)?,
                None => show_all(terminal, deployments(data)?)?,
            }
            let view = status::read(&data.data_dir)?;
            if let Some(reason) = view.environment.as_ref().and_then(status::suspension)
                && !terminal.is_json()
            {
                terminal.line(format!(
                    "\nthe environment is suspended, nothing is changed: {reason}"
                ))?;
            }
        }
        RolloutCommand::Abort { model, order } => abort(model, order)?,
        RolloutCommand::Pause { model, order } => {
            let reason = signed(&order.reason);
            model.deployment()?;
            write_pause(&model.data.settled()?, &model.model, &reason, clock::now())
                .context(|| "cannot write the command".to_owned())?;
            model.wait(&order.patience, |memory| memory.paused.as_ref() == Some(&reason))?;
        }
        RolloutCommand::Resume { model, patience } => {
            model.deployment()?;
            clear_pause(&model.data.settled()?, &model.model)
                .context(|| "cannot remove the command".to_owned())?;
            model.wait(patience, |memory| memory.paused.is_none())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn abort(selection: &ModelSelection, order: &Order) -> Result<(), Failure> {
    let model = &selection.model;
    let deployment = selection.deployment()?;
    let digest = deployment.spec.canary.as_ref().and_then(|canary| canary.digest);
    let digest = digest.ok_or_else(|| {
        Failure::new(format!("{model} has no canary to abort"))
            .hint("`aurora rollout status` shows what it serves")
    })?;
    write_abort(
        &selection.data.settled()?,
        model,
        digest,
        &signed(&order.reason),
        clock::now(),
    )
    .context(|| "cannot write the command".to_owned())?;
    selection.wait(
        &order.patience,
        |memory| matches!(&memory.state, rollout::State::Aborted { digest: aborted, .. } if *aborted == digest),
    )
}

/// Puts who asks before what is asked.
fn signed(reason: &str) -> String {
    match std::env::var("USER") {
        Ok(user) if !user.is_empty() => format!("{user}: {reason}"),
        _ => reason.to_owned(),
    }
}

/// Returns the data directory's deployments by model.
fn deployments(data: &DataArguments) -> Result<BTreeMap<ModelName, MLDeployment>, Failure> {
    let deployments = status::read(&data.settled()?)?.deployments.into_values();
    Ok(deployments
        .map(|deployment| (deployment.spec.model_name.clone(), deployment))
        .collect())
}

fn deployment(data: &DataArguments, model: &ModelName) -> Result<MLDeployment, Failure> {
    let mut known = deployments(data)?;
    known.remove(model).ok_or_else(|| {
        let names: Vec<_> = known.keys().map(ToString::to_string).collect();
        let hint = if names.is_empty() {
            "no model is deployed here yet".to_owned()
        } else {
            format!("deployed are: {}", names.join(", "))
        };
        Failure::new(format!("no model {model} is deployed here")).hint(hint)
    })
}

impl ModelSelection {
    fn deployment(&self) -> Result<MLDeployment, Failure> {
        deployment(&self.data, &self.model)
    }

    /// Waits until the status acknowledges a command, then shows it.
    fn wait(
        &self,
        patience: &Patience,
        is_taken_up: impl Fn(&rollout::Status) -> bool,
    ) -> Result<(), Failure> {
        let asked = Instant::now();
        loop {
            let deployment = self.deployment()?;
            let memory = deployment
                .status
                .as_ref()
                .and_then(|status| status.memory.as_ref());
            if memory.is_some_and(&is_taken_up) {
                return show(Terminal::new(self.output.output), &deployment);
            }
            if asked.elapsed() >= patience.duration() {
                return Err(Failure::new(format!(
                    "the command is written, but nobody has taken it up within {} s",
                    patience.timeout
                ))
                .hint("is `aurora up` running on this data directory? `aurora status` says when it was last alive"));
            }
            thread::sleep(POLL);
        }
    }
}

fn show(terminal: Terminal, deployment: &MLDeployment) -> Result<(), Failure> {
    let status = deployment.status.clone().unwrap_or_default();
    if terminal.is_json() {
        terminal.document(&status)?;
    } else {
        terminal.line(render(deployment, &status))?;
    }
    Ok(())
}

/// Shows each model's rollout; as JSON, an object with a member for each model.
fn show_all(terminal: Terminal, deployments: BTreeMap<ModelName, MLDeployment>) -> Result<(), Failure> {
    if terminal.is_json() {
        let statuses: BTreeMap<_, _> = deployments
            .into_iter()
            .map(|(model, deployment)| (model, deployment.status.unwrap_or_default()))
            .collect();
        terminal.document(&statuses)?;
        return Ok(());
    }
    let shown: Vec<_> = deployments
        .values()
        .map(|deployment| render(deployment, &deployment.status.clone().unwrap_or_default()))
        .collect();
    if shown.is_empty() {
        terminal.line("no model is deployed here yet")?;
    } else {
        terminal.line(shown.join("\n\n\n"))?;
    }
    Ok(())
}

fn render(deployment: &MLDeployment, status: &MLDeploymentStatus) -> String {
    let served = |track: Option<&TrackStatus>| {
        track.map_or_else(
            || "nothing".to_owned(),
            |track| format!("{} {}", track.version, track.digest.short()),
        )
    };
    let declared = deployment
        .spec
        .canary
        .as_ref()
        .map_or_else(String::new, |canary| format!(", {} declared", canary.weight));
    let mut rows = vec![
        vec!["model".to_owned(), deployment.spec.model_name.to_string()],
        vec!["state".to_owned(), state(status.state, &status.message)],
        vec!["stable".to_owned(), served(status.stable.as_ref())],
        vec!["canary".to_owned(), served(status.canary.as_ref())],
        vec!["weight".to_owned(), format!("{}{declared}", status.weight)],
    ];
    let paused = status.memory.as_ref().and_then(|memory| memory.paused.as_ref());
    rows.extend(
        paused
            .iter()
            .map(|paused| vec!["paused".to_owned(), (*paused).clone()]),
    );
    rows.extend(status::behind(deployment).map(|behind| vec!["git".to_owned(), behind]));
    let mut text = table(&rows);
    if !status.history.is_empty() {
        let mut history = vec![["at", "from", "to", "weight"].map(str::to_owned).to_vec()];
        history.extend(status.history.iter().map(|transition| {
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
        text = format!("{text}\n\n{}", table(&history));
    }
    text
}

fn state(state: Option<StateName>, message: &str) -> String {
    let name = state.map_or_else(|| "none yet".to_owned(), |state| format!("{state:?}"));
    if message.is_empty() {
        name
    } else {
        format!("{name} ({message})")
    }
}
