//! The reconciler in a cluster: leads, opens what it needs, and runs one pass after the other until it is asked to end or
//! leads no more.
//!
//! ```text
//! Lease ──> objects (list, watch) ──> registry on its volume ──> passes ──> the Lease is given up
//!   └ lost: the process has to end, and its fence lets nothing through until it has
//! ```

mod memory;
mod opening;
mod request;
mod signing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use kube::config::Config;
use planner::Timestamp;
use planner::names::EnvironmentName;
use reconciler::objects::TargetError;
use reconciler::source::{Follow, Interrupt, Repository, SourceError};
use reconciler::{Beat, ControlPlanes, Converged, FirstError, Pass, Reconciler, Standing};
use registry::{DatasetRoots, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinError;

use crate::leadership::{Election, Fence, Loss, Terms};
use crate::objects::Objects;
use memory::Memory;
use opening::Opened;
use signing::Signer;

pub use opening::REGISTRY;
pub use request::{RequestError, request};

/// The Lease that the replicas contend for.
pub const LEASE: &str = "aurora-reconciler";
/// How often the branch is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often it is looked into the registry: its volume may be another machine's.
const TURN: Duration = Duration::from_secs(1);
/// Within how many turns each model had one: an alias that somebody moved is moved back within a minute.
const TURNS: usize = 45;
/// How long it is waited for further changes after one that an operator or a person made.
const GATHER: Duration = Duration::from_millis(20);
/// How long the branch is left alone while there is more of its history to read.
const WALK_REST: Duration = Duration::from_millis(5);
/// How long nothing is tried after a pass that could not read or report: the next could not either.
const FAILED_REST: Duration = Duration::from_secs(1);
/// How long a pass may go on once it is over; what it reads from Git then is left.
const PASS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the Lease's last write may take.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// What a reconciler in a cluster is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository, and who reads it.
    pub repository: Repository,
    /// What of it is followed.
    pub follow: Follow,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its namespace.
    pub namespace: String,
    /// A folder that remembers what is expensive to find out; losing it costs time alone.
    pub data_dir: PathBuf,
    /// The folders below which a manifest may name data files by absolute paths.
    pub dataset_roots: DatasetRoots,
    /// Who asks other environments' control planes.
    pub control_planes: Arc<dyn ControlPlanes>,
    /// The file of the key that signs what Jobs have published, read whenever there is something to sign; absent, or not there:
    /// nothing is signed.
    pub signing_key: Option<PathBuf>,
    /// Who this replica is: no other process has ever had it.
    pub identity: String,
    /// The installation's id, where neither the cluster nor the registry knows one yet: random, made by the caller.
    pub installation: String,
    /// How long things take in the election.
    pub terms: Terms,
}

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until the shutdown.
    Follow,
    /// Until the objects are as Git says as far as that goes by now, or the time is over.
    Once {
        /// The longest that it may take.
        timeout: Duration,
    },
}

/// What is told of a pass that did or found something, or after which a while had passed.
#[derive(Debug)]
pub struct Told<'a> {
    /// The pass.
    pub pass: &'a Pass,
    /// How everything stands after it.
    pub standing: &'a Standing,
    /// What it came to, in one word.
    pub result: &'static str,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Timestamp,
}

/// Who is told of passes.
pub type Listener = Box<dyn FnMut(Told<'_>) + Send>;

/// Why the reconciler had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster cannot be asked.
    #[error("cannot ask the API server")]
    Ask(#[source] Box<kube::Error>),
    /// The objects cannot be read.
    #[error("cannot read the objects: {0}")]
    Objects(#[source] TargetError),
    /// There is nothing to begin with.
    #[error(transparent)]
    First(#[from] FirstError),
    /// The branch cannot be read, and nothing was applied before.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The environment is of another namespace.
    #[error(
        "the MLEnvironment says that its namespace is {declared}, and this reconciler keeps {kept}: give --namespace {declared}, or change the manifest"
    )]
    Namespace {
        /// What the MLEnvironment says.
        declared: String,
        /// What it was started for.
        kept: String,
    },
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// Another replica leads, or may.
    #[error("this replica leads no more: {0}")]
    Lost(#[from] Loss),
    /// A pass died, which is a bug.
    #[error("a pass died")]
    Died(#[from] JoinError),
}

/// Returns how the API server is reached: as a Pod is told, or as `KUBECONFIG` says.
///
/// # Errors
///
/// Neither says how.
pub async fn config() -> Result<Config, ConfigError> {
    Ok(Config::infer().await?)
}

/// Nothing says how the API server is reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing says how the API server is reached: run it in a Pod with a ServiceAccount, or set KUBECONFIG"
)]
pub struct ConfigError(#[from] kube::config::InferConfigError);

/// Runs until `shutdown`, or, once, until nothing is left to do.
///
/// Called on a multi-threaded Tokio runtime. Whatever it returns, the process has to end then.
///
/// # Errors
///
/// What is needed is not there, or this replica leads no more.
pub async fn run(
    config: Config,
    options: Options,
    mode: Mode,
    listener: Listener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Converged, RunError> {
    let client = Client::try_from(config.clone()).map_err(|error| RunError::Ask(Box::new(error)))?;
    let Options {
        namespace, identity, ..
    } = &options;
    let mut election = Election::new(client, namespace, LEASE, identity, options.terms);
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = election.acquire() => {}
        () = &mut shutdown => return Ok(Converged::default()),
    }
    tracing::info!(lease = LEASE, namespace, identity, "leads");
    let fence = election.fence();
    let (stop, stopped) = watch::channel(false);
    let (tell_reading, reading) = watch::channel(None);
    let mut passes = tokio::spawn(passes(
        config,
        options,
        mode,
        fence,
        listener,
        tell_reading,
        stopped,
    ));
    let ended = tokio::select! {
        ended = &mut passes => ended?,
        lost = election.keep() => {
            // Nothing is waited for: another may lead by now.
            passes.abort();
            return Err(lost.into());
        }
        () = &mut shutdown => {
            let _passes = stop.send(true);
            let ended = finish(&mut passes, &reading).await;
            ended.unwrap_or_else(|| Ok(Converged::default()))
        }
    };
    // So that another replica need not wait for the Lease's end.
    match tokio::time::timeout(RELEASE_PATIENCE, election.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "could not give up the Lease; it expires"),
        Err(_elapsed) => tracing::warn!("could not give up the Lease in time; it expires"),
    }
    ended
}

/// Waits for the pass under way, which may be cut anywhere; `None` where it does not end.
async fn finish(
    passes: &mut tokio::task::JoinHandle<Result<Converged, RunError>>,
    reading: &watch::Receiver<Option<Interrupt>>,
) -> Option<Result<Converged, RunError>> {
    let ended = match tokio::time::timeout(PASS_PATIENCE, &mut *passes).await {
        Ok(ended) => Some(ended),
        Err(_late) => {
            if let Some(reading) = &*reading.borrow() {
                reading.interrupt();
            }
            tokio::time::timeout(PASS_PATIENCE, passes).await.ok()
        }
    };
    ended.map(|ended| ended.map_err(RunError::from).and_then(|ended| ended))
}

/// Opens what is needed, and runs passes.
async fn passes(
    config: Config,
    options: Options,
    mode: Mode,
    fence: Fence,
    listener: Listener,
    tell_reading: watch::Sender<Option<Interrupt>>,
    stopped: watch::Receiver<bool>,
) -> Result<Converged, RunError> {
    let client = fence
        .client(config)
        .map_err(|error| RunError::Ask(Box::new(error)))?;
    let Options {
        namespace,
        environment,
        ..
    } = &options;
    let objects = Arc::new(Objects::follow(&client, namespace, environment));
    let fetched = Arc::new(Notify::new());
    if let Some(remote) = &options.repository.remote {
        let fetched = fetched.clone();
        remote.nudge.on_fetched(move || fetched.notify_one());
    }
    let signer = options.signing_key.clone().map(Signer::new);
    let opening = objects.clone();
    let fencing = fence.clone();
    let Opened {
        reconciler,
        memory,
        interrupt,
    } = tokio::task::spawn_blocking(move || opening::open(options, opening, fencing, now())).await??;
    let _told = tell_reading.send(Some(interrupt));
    let passing = Passing {
        reconciler,
        objects,
        memory,
        listener,
        signer,
        fetched,
        turned: None,
        counted: None,
        result: "",
    };
    follow(passing, mode, stopped).await
}

/// What passes are run with.
struct Passing {
    reconciler: Reconciler,
    objects: Arc<Objects>,
    memory: Memory,
    listener: Listener,
    /// Who signs what Jobs publish.
    signer: Option<Signer>,
    /// Told once something new was fetched.
    fetched: Arc<Notify>,
    /// When it was last looked into the registry.
    turned: Option<Instant>,
    /// When a pass was last told, and what it came to.
    counted: Option<Instant>,
    result: &'static str,
}

/// How often a pass that found nothing to do is told.
const COUNTED: Duration = Duration::from_secs(2);

impl Passing {
    fn pass(&mut self) -> Pass {
        let requested = self.objects.requested();
        let is_turn = requested.is_some() || self.turned.is_none_or(|turned| turned.elapsed() >= TURN);
        let beat = if is_turn { Beat::Turn } else { Beat::Touch };
        let began = Instant::now();
        if is_turn {
            self.turned = Some(began);
        }
        if requested.is_some() {
            self.reconciler.look_again();
        }
        // What waits for a signature goes on with this pass.
        if let Some(signer) = &mut self.signer {
            signer.step(&self.objects, self.reconciler.store());
        }
        let pass = self.reconciler.pass(beat, now(), &mut || {});
        if let Some(requested) = requested.filter(|_| !pass.is_cut_short)
            && let Err(error) = self.objects.answer(requested)
        {
            tracing::warn!(%error, "cannot answer a request for a pass; the next pass tries again");
        }
        if let Err(error) = self.objects.keep_report() {
            tracing::warn!(%error, "cannot write the report again; the next pass tries again");
        }
        if let Err(error) = self.objects.keep_trust() {
            tracing::warn!(%error, "cannot tell Pods whose signature versions need; the next pass tries again");
        }
        if pass.is_touched {
            self.memory.remember(&self.reconciler);
        }
        self.tell(&pass, began);
        pass
    }

    fn tell(&mut self, pass: &Pass, began: Instant) {
        let result = self.reconciler.result(pass);
        let is_quiet = !pass.is_touched && pass.reported.is_none() && result == self.result;
        if is_quiet && self.counted.is_some_and(|counted| counted.elapsed() < COUNTED) {
            return;
        }
        self.counted = Some(began);
        self.result = result;
        (self.listener)(Told {
            pass,
            standing: self.reconciler.standing(),
            result,
            took: began.elapsed(),
            at: now(),
        });
    }
}

async fn follow(
    mut passing: Passing,
    mode: Mode,
    mut stopped: watch::Receiver<bool>,
) -> Result<Converged, RunError> {
    let began = Instant::now();
    let mut converged = Converged::default();
    while !*stopped.borrow() {
        let pass;
        // A pass blocks: it reads Git and files, and waits for the API server.
        (passing, pass) = tokio::task::spawn_blocking(move || {
            let pass = passing.pass();
            (passing, pass)
        })
        .await?;
        let rest = if pass.is_walking {
            WALK_REST
        } else if pass.is_cut_short {
            FAILED_REST
        } else {
            POLL
        };
        if let Mode::Once { timeout } = mode {
            converged = passing.reconciler.converged(&pass, pass.is_quiet());
            if converged.is_settled || began.elapsed() >= timeout {
                break;
            }
        }
        let next = async {
            // What comes together is decided together.
            passing.objects.changed().await;
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = next => {}
            () = passing.fetched.notified() => {}
            () = tokio::time::sleep(rest) => {}
            _changed = stopped.changed() => {}
        }
    }
    tokio::task::spawn_blocking(move || passing.memory.keep(&passing.reconciler)).await?;
    Ok(converged)
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
