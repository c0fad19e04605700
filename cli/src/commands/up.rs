//! `aurora up`: everything for one standalone environment in one process.
//!
//! Wires the reconciler to the server's slots and to training as child processes; decides nothing. A part that ends by
//! itself ends the process.

mod banner;
mod presenter;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use planner::names::EnvironmentName;
use registry::Store;
use server::{Metrics, Runtime};
use standalone::{DataDir, Event, Mode, Options, Standalone};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use self::banner::Addresses;
use self::presenter::Presenter;
use crate::arguments::{
    BranchArguments, DataArguments, DatasetArguments, OutputArguments, RepositoryArguments,
};
use crate::clock;
use crate::commands::registry::random_id;
use crate::failure::Failure;
use crate::git_reader;
use crate::listeners::{Bound, ControlPlaneArguments, InferenceArguments, ListenerArguments};
use crate::memory::Heap;
use crate::meters::Meters;
use crate::news::Teller;
use crate::serving::{self, Parts};
use crate::slots::ServerSlots;
use crate::status_files::{StatusFiles, Trouble};
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
    data: DataArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    inference: InferenceArguments,
    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &UpArguments) -> Result<ExitCode, Failure> {
    // A second `up` usually asks for the same ports too, and those are not what to change.
    DataDir::refuse_in_use(&arguments.data.data_dir)?;
    // Then the ports: a start that is refused leaves nothing behind.
    let inference = arguments.inference.bind(&arguments.listener)?;
    let control_plane = arguments.control_plane.bind(&arguments.listener)?;
    let RepositoryArguments { repo, environment } = &arguments.repository;
    let options = Options {
        repository: git_reader::repository(repo),
        branch: arguments.branch.branch.clone(),
        environment: environment.clone(),
        data_dir: arguments.data.data_dir.clone(),
        dataset_roots: arguments.datasets.roots()?,
        installation: random_id()?,
    };
    let standalone = Standalone::open(&options, clock::now())?;
    let presenter = Presenter::new(Terminal::new(arguments.output.output));
    serving::block_on(serve(
        standalone,
        environment,
        inference,
        control_plane,
        presenter,
    ))?
}

async fn serve(
    standalone: Standalone,
    environment: &EnvironmentName,
    inference: Bound,
    control_plane: Bound,
    presenter: Presenter,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::new()?;
    let metrics = Metrics::new();
    let runtime = Runtime::new(metrics.clone());
    let slots = ServerSlots::new(runtime.clone(), standalone.store().clone(), standalone.wake());
    let status = Arc::new(StatusFiles::new(standalone.data_dir().to_owned()));
    let mut telling = Telling {
        trouble: status.trouble(),
        environment: environment.clone(),
        events: standalone.events(),
        meters: Meters::new(metrics.clone(), environment.clone()),
        teller: Teller::default(),
        presenter,
        runtime: runtime.clone(),
        store: standalone.store().clone(),
        addresses: Addresses::new(&inference, &control_plane),
        heap: Heap::default(),
        ready_since: None,
        is_settled: false,
        is_told: false,
    };
    telling
        .presenter
        .listening(inference.address, control_plane.address);

    parts.inference(&runtime, inference)?;
    parts.control_plane(standalone.store().clone(), status, metrics, control_plane)?;
    let trainer = Arc::new(ChildTrainer::new()?);
    let stopped = parts.stopped();
    parts.spawn("reconciler", async move {
        standalone
            .run(Arc::new(slots), trainer, Mode::Follow, stopped)
            .await
            .map(|_converged| ())
    });

    tokio::select! {
        ended = parts.wait() => ended?,
        () = telling.run() => {}
    }
    telling.presenter.stopping();
    parts.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what happens.
struct Telling {
    trouble: Trouble,
    environment: EnvironmentName,
    events: Receiver<Event>,
    meters: Meters,
    teller: Teller,
    presenter: Presenter,
    runtime: Runtime,
    store: Store,
    addresses: Addresses,
    heap: Heap,
    /// Since when the server can answer.
    ready_since: Option<Instant>,
    /// Whether the last that was heard is that nothing is left to do.
    is_settled: bool,
    is_told: bool,
}

impl Telling {
    async fn run(&mut self) {
        let mut look = tokio::time::interval(READY_POLL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => self.hear(event),
                    Err(RecvError::Lagged(missed)) => {
                        self.heap.used(missed);
                        tracing::warn!(missed, "too much happened to tell all of it");
                    }
                    // The reconciler ended; whoever waits for it says so.
                    Err(RecvError::Closed) => return std::future::pending().await,
                },
                _now = look.tick(), if !self.is_told => self.look(),
            }
        }
    }

    fn hear(&mut self, event: Event) {
        if let Event::Pass(pass) = &event {
            self.trouble.found(&pass.findings);
        }
        if let Event::Uncommitted(files) = &event {
            self.presenter.uncommitted(files);
        }
        self.meters.hear(&event);
        if !matches!(event, Event::PassEnded { .. }) {
            self.is_settled = matches!(event, Event::Settled { .. });
            self.heap.used(1);
            if self.is_settled {
                self.heap.tidy();
            }
        }
        let news = self.teller.hear(event);
        self.presenter.news(&news);
    }

    /// Says what serves as soon as everything does.
    fn look(&mut self) {
        let now = Instant::now();
        if !self.runtime.ready(now) {
            return;
        }
        let since = *self.ready_since.get_or_insert(now);
        if !self.is_settled && now.duration_since(since) < SETTLING {
            return;
        }
        self.is_told = true;
        let served = banner::served(self.meters.models(), &self.runtime, &self.store);
        let models = self.meters.models().count();
        let folder = format!("environments/{}", self.environment);
        self.presenter.ready(&served, models, &self.addresses, &folder);
    }
}
