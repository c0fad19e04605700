//! `aurora up`: everything for one standalone environment in one process.
//!
//! Wires the reconciler to the server's slots and to training as child processes; decides nothing. A part that ends by
//! itself ends the process.

pub(crate) mod banner;
mod presenter;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use planner::names::EnvironmentName;
use reconciler::zones::Zones;
use registry::Store;
use registry::artifact::Engines;
use server::{Health, Metrics, Runtime};
use standalone::{DataDir, Event, Mode, Options, Standalone};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use self::banner::Addresses;
use self::presenter::Presenter;
use crate::arguments::{
    BranchArguments, DataArguments, DatasetArguments, First, ForgeArguments, ImportArguments,
    OnnxRuntimeArguments, OutputArguments, RemoteArguments, RepositoryArguments, UpstreamArguments,
};
use crate::clock;
use crate::commands::registry::random_id;
use crate::failure::{DONE, Failure};
use crate::journal::{self, Journal};
use crate::keys_of_models::SigningArguments;
use crate::listeners::{
    Bound, BoundWebhook, ControlPlaneArguments, GrpcArguments, InferenceArguments, ListenerArguments,
    WebhookArguments,
};
use crate::machine::Machine;
use crate::memory::Heap;
use crate::meters::Meters;
use crate::news::Teller;
use crate::outward::{Outward, OutwardSettings};
use crate::programs::ProgramArguments;
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::slots::ServerSlots;
use crate::status_files::{StatusFiles, Trouble};
use crate::supervisor::{Supervisor, Word};
use crate::terminal::Terminal;
use crate::trainer::ChildTrainer;

/// How often it is looked whether everything serves, until it does.
const READY_POLL: Duration = Duration::from_millis(10);

/// How long weights and aliases may take to follow once the server can answer; a training run may take longer still.
const SETTLING: Duration = Duration::from_secs(2);

/// Flags of `aurora up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
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
    inference: InferenceArguments,
    #[command(flatten)]
    grpc: GrpcArguments,
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

pub(crate) fn run(arguments: &UpArguments) -> Result<ExitCode, Failure> {
    up(arguments).map_err(|failure| failure.leave_in(&arguments.data.data_dir))
}

fn up(arguments: &UpArguments) -> Result<ExitCode, Failure> {
    let signals = Signals::catch(DONE)?;
    let own = [&arguments.repository.repo, &arguments.data.data_dir].map(PathBuf::as_path);
    let trainer = ChildTrainer::new(
        arguments.imports.clone(),
        [arguments.programs.flags(&own), arguments.onnx_runtime.flags()].concat(),
    )?;
    // A second `up` usually asks for the same ports too, and those are not what to change.
    DataDir::refuse_in_use(&arguments.data.data_dir)?;
    // Then the ports: a start that is refused leaves nothing behind.
    let inference = arguments
        .inference
        .bind_with(&arguments.grpc, &arguments.listener)?;
    let control_plane = arguments
        .control_plane
        .bind(&arguments.listener, Some(&inference))?;
    let inference = inference.open_to_pages_of(&control_plane);
    let RepositoryArguments { repo, environment } = &arguments.repository;
    let options = Options {
        repository: arguments
            .remote
            .repository(repo, &arguments.data.data_dir, First::Before)?,
        follow: arguments.branch.follow(),
        environment: environment.clone(),
        data_dir: arguments.data.data_dir.clone(),
        dataset_roots: arguments.datasets.roots()?,
        control_planes: arguments.upstream.control_planes()?,
        signing_key: arguments.signing.key()?,
        installation: random_id()?,
    };
    let webhook = arguments.webhook.bind(&options.repository, &arguments.listener)?;
    let outward = arguments.forge.outward(repo, &arguments.remote)?;
    let standalone = Standalone::open(&options, clock::now())?;
    let presenter = Presenter::new(Terminal::new(arguments.output.output))?;
    let journal = Journal::start(standalone.data_dir())?;
    let bound = (inference, control_plane, webhook);
    let ended = serving::block_on(serve(
        (standalone, trainer, arguments.onnx_runtime.engines()),
        environment,
        bound,
        outward,
        (presenter.clone(), journal.clone()),
        signals,
    ))?;
    journal.end();
    presenter.flush();
    ended
}

async fn serve(
    (standalone, trainer, engines): (Standalone, ChildTrainer, Engines),
    environment: &EnvironmentName,
    (inference, control_plane, webhook): (Bound, Bound, Option<BoundWebhook>),
    outward: OutwardSettings,
    (presenter, journal): (Presenter, Journal),
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let metrics = Metrics::new();
    let runtime = Runtime::new(metrics.clone());
    let slots = ServerSlots::new(
        runtime.clone(),
        standalone.store().clone(),
        engines,
        standalone.wake(),
    );
    let status = Arc::new(StatusFiles::new(standalone.data_dir().to_owned()));
    let events = standalone.events();
    let keeping = Keeping {
        trouble: status.trouble(),
        events: standalone.events(),
        meters: Meters::new(metrics.clone(), environment.clone()),
        heap: Heap::default(),
        outward: Outward::start(&mut parts, environment, outward, &metrics),
    };
    let telling = Telling {
        environment: environment.clone(),
        events: standalone.events(),
        teller: Teller::default(),
        word: Word::default(),
        supervisor: parts.supervisor().clone(),
        presenter: presenter.clone(),
        runtime: runtime.clone(),
        store: standalone.store().clone(),
        addresses: Addresses::new(&inference, &control_plane),
        ready_since: None,
        is_settled: false,
        is_told: false,
    };
    presenter.listening(
        &telling.addresses,
        &inference,
        &control_plane,
        &Zones::default().in_use().to_string(),
    );

    let drain = inference.drain_timeout();
    if let Some(webhook) = webhook {
        parts.webhook(webhook, metrics.clone())?;
    }
    parts.inference(&runtime, inference, Health::Ready)?;
    parts.control_plane(
        standalone.store().clone(),
        status,
        Arc::new(Machine),
        metrics,
        control_plane,
    )?;
    parts.supervisor().ready();
    let stopped = parts.stopped();
    parts.spawn("reconciler", async move {
        standalone
            .run(Arc::new(slots), Arc::new(trainer), Mode::Follow, stopped)
            .await
            .map(|_converged| ())
    });
    // Each a task of its own: what is counted does not wait for what is told.
    let hearing = tokio::spawn(journal.hear(events));
    let listeners = [tokio::spawn(keeping.run()), tokio::spawn(telling.run())];

    let ended = parts.wait().await;
    let [_keeping, telling] = &listeners;
    telling.abort();
    ended?;
    presenter.stopping(drain);
    parts.stop().await?;
    journal::heard_out(hearing).await;
    Ok(ExitCode::SUCCESS)
}

/// Keeps what others look at: the metrics, what is wrong with the storage, and the memory that is free.
struct Keeping {
    trouble: Trouble,
    events: Receiver<Event>,
    meters: Meters,
    heap: Heap,
    outward: Outward,
}

impl Keeping {
    async fn run(mut self) {
        loop {
            match self.events.recv().await {
                Ok(event) => self.hear(&event),
                Err(RecvError::Lagged(missed)) => {
                    self.heap.used(missed);
                    tracing::warn!(missed, "too much happened to count all of it");
                }
                // The reconciler ended; whoever waits for it says so.
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        if let Event::Pass(pass) = event {
            self.trouble.found(&pass.findings);
        }
        if let Event::Reported(reported) = event {
            self.outward.hear(reported);
        }
        if let Event::PassEnded { result, took } = event {
            self.outward.passed(result, *took);
        }
        self.outward.happened(event);
        self.meters.hear(event);
        if !matches!(event, Event::PassEnded { .. } | Event::Reported(_)) {
            self.heap.used(1);
            if matches!(event, Event::Settled { .. }) {
                self.heap.tidy();
            }
        }
    }
}

/// Tells what happens.
struct Telling {
    environment: EnvironmentName,
    events: Receiver<Event>,
    teller: Teller,
    word: Word,
    supervisor: Supervisor,
    presenter: Presenter,
    runtime: Runtime,
    store: Store,
    addresses: Addresses,
    /// Since when the server can answer.
    ready_since: Option<Instant>,
    /// Whether the last that was heard is that nothing is left to do.
    is_settled: bool,
    is_told: bool,
}

impl Telling {
    async fn run(mut self) {
        let mut look = tokio::time::interval(READY_POLL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => self.hear(event),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "too much happened to tell all of it");
                    }
                    Err(RecvError::Closed) => return,
                },
                _now = look.tick(), if !self.is_told => self.look().await,
            }
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::Uncommitted(files) = &event {
            self.presenter.uncommitted(files);
        }
        if !matches!(event, Event::PassEnded { .. } | Event::Reported(_)) {
            self.is_settled = matches!(event, Event::Settled { .. });
        }
        if let Some(word) = self.word.hear(&event) {
            self.supervisor.status(word);
        }
        let news = self.teller.hear(event);
        self.presenter.news(&news);
    }

    /// Says what serves as soon as everything does.
    async fn look(&mut self) {
        let now = Instant::now();
        if !self.runtime.ready(now) {
            return;
        }
        let since = *self.ready_since.get_or_insert(now);
        if !self.is_settled && now.duration_since(since) < SETTLING {
            return;
        }
        self.is_told = true;
        let models = self.teller.models();
        let count = models.len();
        let (runtime, store) = (self.runtime.clone(), self.store.clone());
        // The registry's disk may be slow, and these threads answer requests.
        let served = tokio::task::spawn_blocking(move || banner::served(&models, &runtime, &store));
        let served = served.await.unwrap_or_default();
        let folder = format!("environments/{}", self.environment);
        self.presenter.ready(&served, count, &self.addresses, &folder);
    }
}
