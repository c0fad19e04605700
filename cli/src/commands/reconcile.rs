//! `aurora reconcile`: keeps the objects of a namespace equal to a branch (`--namespace`), or brings a data directory to
//! what a commit says and ends (`--once`). The latter trains, publishes, checks that each pinned version loads, and moves
//! the aliases; it answers no request.

mod cluster;

use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reconciler::Converged;
use reconciler::source::{Repository, Source};
use registry::StoreError;
use registry::artifact::Engines;
use server::{Metrics, Runtime};
use standalone::{Mode, Options, Standalone};

use crate::answers::ReconcileAnswer;
use crate::arguments::{
    BranchArguments, DataArguments, DatasetArguments, First, ForgeArguments, ImportArguments,
    OnnxRuntimeArguments, OutputArguments, RemoteArguments, RepositoryArguments, UpstreamArguments,
};
use crate::clock;
use crate::commands::registry::random_id;
use crate::failure::{ERROR, Failure, NO};
use crate::findings::marks;
use crate::journal::{self, Journal};
use crate::keys_of_models::SigningArguments;
use crate::listeners::{ControlPlaneArguments, ListenerArguments, WebhookArguments};
use crate::programs::ProgramArguments;
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::slots::ServerSlots;
use crate::terminal::{Colour, Terminal, painted};
use crate::trainer::ChildTrainer;

/// Flags of `aurora reconcile`.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArguments {
    /// End when nothing is left to do; on one machine, `aurora up` is what goes on
    #[arg(long)]
    once: bool,

    /// The namespace of a cluster whose objects are kept; absent: the data directory is
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// Only ask the reconciler that runs in the namespace for a pass now, and wait for it
    #[arg(long, requires = "namespace", conflicts_with = "once")]
    now: bool,

    /// The longest that it may take with --once or --now, in seconds
    #[arg(long, env = "AURORA_TIMEOUT", value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,

    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    branch: BranchArguments,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    imports: ImportArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    programs: ProgramArguments,
    #[command(flatten)]
    signing: SigningArguments,
    #[command(flatten)]
    upstream: UpstreamArguments,
    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    webhook: WebhookArguments,
    #[command(flatten)]
    forge: ForgeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

impl ReconcileArguments {
    /// Returns the repository that was named.
    fn source(&self) -> Result<Repository, Failure> {
        let first = if self.once { First::Fetched } else { First::Before };
        self.remote
            .repository(&self.repository.repo, &self.data.data_dir, first)
    }
}

pub(crate) fn run(arguments: &ReconcileArguments) -> Result<ExitCode, Failure> {
    if let Some(namespace) = &arguments.namespace {
        return cluster::run(arguments, namespace);
    }
    if !arguments.once {
        return Err(Failure::new("nothing says what is kept")
            .hint("give --namespace for a cluster, --once for a data directory, or use `aurora up`"));
    }
    let reconciled = standalone(arguments).map_err(|failure| failure.leave_in(&arguments.data.data_dir))?;
    let converged = reconciled
        .ok_or_else(|| Failure::new("stopped by a signal").hint("the next run goes on from here"))?;
    say(Terminal::new(arguments.output.output), &converged)?;
    Ok(if converged.is_converged() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// Brings a data directory to what a commit says; `None` where a signal stopped that.
fn standalone(arguments: &ReconcileArguments) -> Result<Option<Converged>, Failure> {
    let signals = Signals::catch(ERROR)?;
    let own = [&arguments.repository.repo, &arguments.data.data_dir].map(PathBuf::as_path);
    let trainer = ChildTrainer::new(
        arguments.imports.clone(),
        [arguments.programs.flags(&own), arguments.onnx_runtime.flags()].concat(),
    )?;
    let options = Options {
        repository: arguments.source()?,
        follow: arguments.branch.follow(),
        environment: arguments.repository.environment.clone(),
        data_dir: arguments.data.data_dir.clone(),
        dataset_roots: arguments.datasets.roots()?,
        control_planes: arguments.upstream.control_planes()?,
        signing_key: arguments.signing.key()?,
        installation: random_id()?,
    };
    if options.repository.remote.is_none() {
        // Nothing is served meanwhile, so nothing is gained by waiting for a repository that cannot be read.
        Source::open(&options.repository, options.follow.clone())?;
    }
    let standalone = Standalone::open(&options, clock::now())?;
    if standalone.awaits_registry() {
        return Err(StoreError::NoStore(standalone.store().root().to_owned()).into());
    }
    let timeout = Duration::from_secs(arguments.timeout);
    let journal = Journal::start(standalone.data_dir())?;
    let trainer = (trainer, arguments.onnx_runtime.engines());
    let ended = serving::block_on(once(standalone, trainer, timeout, journal.clone(), signals))?;
    journal.end();
    ended
}

async fn once(
    standalone: Standalone,
    (trainer, engines): (ChildTrainer, Engines),
    timeout: Duration,
    journal: Journal,
    signals: Signals,
) -> Result<Option<Converged>, Failure> {
    let hearing = tokio::spawn(journal.hear(standalone.events()));
    let mut parts = Parts::begin(signals);
    let runtime = Runtime::new(Metrics::new());
    let slots = ServerSlots::new(runtime, standalone.store().clone(), engines, standalone.wake());
    let stopped = parts.stopped();
    let mut running = pin!(standalone.run(
        Arc::new(slots),
        Arc::new(trainer),
        Mode::Once { timeout },
        stopped
    ));
    let converged = tokio::select! {
        converged = &mut running => Some(converged?),
        asked = parts.wait() => {
            asked?;
            // In order: runs under way are stopped as such.
            parts.stop().await?;
            running.await?;
            None
        }
    };
    journal::heard_out(hearing).await;
    Ok(converged)
}

fn say(terminal: Terminal, converged: &Converged) -> Result<(), Failure> {
    let Converged {
        is_settled,
        revision,
        suspended,
        findings,
        waiting,
    } = converged;
    if terminal.is_json() {
        terminal.document(&ReconcileAnswer {
            converged: converged.is_converged(),
            settled: *is_settled,
            revision: revision.as_ref(),
            suspended: suspended.as_deref(),
            findings,
            waiting,
        })?;
        return Ok(());
    }
    let revision = revision.as_ref().map_or("no commit", |revision| revision.short());
    let (colour, came_to, note) = if converged.is_converged() {
        (Colour::Green, "converged", String::new())
    } else if let (true, Some(reason)) = (is_settled, suspended) {
        (
            Colour::Yellow,
            "suspended",
            format!(", nothing is changed: {reason}"),
        )
    } else if *is_settled {
        (Colour::Yellow, "not all of it could be applied", String::new())
    } else {
        (Colour::Yellow, "not settled in time", String::new())
    };
    terminal.line(painted(colour, came_to).and(format!(" at {revision}{note}")))?;
    terminal.lines(marks(findings))?;
    for waiting in waiting {
        terminal.line(format!("waiting: {waiting}"))?;
    }
    Ok(())
}
