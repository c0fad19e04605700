//! `aurora rollout`: what a person asks of one model's rollout beside Git. Each command waits until the process that
//! serves has taken it up, and says so.

mod show;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use crds::MLDeployment;
use planner::names::ModelName;
use planner::rollout;
use standalone::commands::{clear_pause, write_abort, write_pause};

use crate::arguments::{DataArguments, OutputArguments};
use crate::clock;
use crate::commands::status;
use crate::failure::{Context as _, Failure, NO};
use crate::life::Life;
use crate::terminal::Terminal;
use show::Rollout;

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
    /// Show where a model's rollout, or each one, stands; exits 1 if one is not where Git says
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
            return status_of(terminal, data, model.as_ref());
        }
        RolloutCommand::Abort { model, order } => abort(model, order)?,
        RolloutCommand::Pause { model, order } => {
            let reason = signed(&order.reason);
            model.deployment()?;
            write_pause(&model.data.writable()?, &model.model, &reason, clock::now())
                .context(|| "cannot write the command".to_owned())?;
            let asked = Asked {
                what: "the pause is written, and counts".to_owned(),
                undo: format!("`aurora rollout resume {}` takes it back", model.model),
            };
            model.wait(&order.patience, &asked, |memory| {
                memory.paused.as_ref() == Some(&reason)
            })?;
        }
        RolloutCommand::Resume { model, patience } => {
            model.deployment()?;
            clear_pause(&model.data.writable()?, &model.model)
                .context(|| "cannot remove the command".to_owned())?;
            let asked = Asked {
                what: "the pause is lifted, and that counts".to_owned(),
                undo: format!("`aurora rollout pause {}` keeps it", model.model),
            };
            model.wait(patience, &asked, |memory| memory.paused.is_none())?;
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
        &selection.data.writable()?,
        model,
        digest,
        &signed(&order.reason),
        clock::now(),
    )
    .context(|| "cannot write the command".to_owned())?;
    let asked = Asked {
        what: "the abort is written, and counts".to_owned(),
        undo: "a commit that changes or removes the canary's pin ends it".to_owned(),
    };
    selection.wait(
        &order.patience,
        &asked,
        |memory| matches!(&memory.state, rollout::State::Aborted { digest: aborted, .. } if *aborted == digest),
    )
}

/// What was asked for, in words, while nobody has taken it up.
struct Asked {
    /// What stands, and from when on: the rest of the sentence says from when.
    what: String,
    /// How to take it back.
    undo: String,
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
        .map(|deployment| {
            let deployment = Arc::unwrap_or_clone(deployment);
            (deployment.spec.model_name.clone(), deployment)
        })
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
        asked: &Asked,
        is_taken_up: impl Fn(&rollout::Status) -> bool,
    ) -> Result<(), Failure> {
        let data_dir = &self.data.settled()?;
        let since = Instant::now();
        let not_yet = |why: String| {
            let Asked { what, undo } = asked;
            Err(Failure::new(format!(
                "{why}: {what} as soon as `aurora up` runs on {}",
                data_dir.display()
            ))
            .hint(undo.clone()))
        };
        loop {
            let deployment = self.deployment()?;
            let memory = deployment
                .status
                .as_ref()
                .and_then(|status| status.memory.as_ref());
            let life = Life::of(data_dir);
            // What a status says is true while somebody keeps it.
            if life.is_running() && memory.is_some_and(&is_taken_up) {
                let rollout = Rollout::of(&status::read(data_dir)?, &deployment);
                return rollout.say(Terminal::new(self.output.output));
            }
            if matches!(life, Life::Stopped(_) | Life::NeverRun) {
                return not_yet("nobody is there to take it up".to_owned());
            }
            if since.elapsed() >= patience.duration() {
                return not_yet(format!("not taken up within {} s", patience.timeout));
            }
            thread::sleep(POLL);
        }
    }
}

/// Shows a model's rollout, or each one; as JSON of all, an object with a member for each model.
fn status_of(
    terminal: Terminal,
    data: &DataArguments,
    model: Option<&ModelName>,
) -> Result<ExitCode, Failure> {
    let data_dir = data.settled()?;
    let view = status::read(&data_dir)?;
    let shown = match model {
        Some(model) => BTreeMap::from([(model.clone(), deployment(data, model)?)]),
        None => deployments(data)?,
    };
    let rollouts: BTreeMap<&ModelName, Rollout<'_>> = shown
        .iter()
        .map(|(model, deployment)| (model, Rollout::of(&view, deployment)))
        .collect();
    match model.and_then(|model| rollouts.get(model)) {
        Some(rollout) => rollout.say(terminal)?,
        None => show::say_all(terminal, &rollouts)?,
    }
    let is_as_declared = Life::of(&data_dir).is_running() && rollouts.values().all(Rollout::is_as_declared);
    Ok(if is_as_declared {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}
