//! Starting the standalone target and keeping its two loops going.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use planner::Timestamp;
use planner::environment::{Environment, Target};
use planner::names::EnvironmentName;
use planner::object::Kind;
use reconciler::source::{Follow, Repository, Source, SourceError};
use reconciler::{
    Beat, ControlPlanes, Converged, FirstError, Locate, Reconciler, admission, first_environment,
};
use registry::{DatasetRoots, Observer, Owner, Store, StoreError};
use signing::SigningKey;
use tokio::sync::{broadcast, watch};

use crate::data_dir::{DataDir, DataDirError, refuse_tracked_by, registry_path, settle};
use crate::events::{Event, Events};
use crate::following::{Following, POLL};
use crate::models::Models;
use crate::objects::Objects;
use crate::operator::Operator;
use crate::trainings::Trainings;
use crate::{Slots, Trainer, Wake};

/// Where the registry lies in the data directory, unless the environment says otherwise.
const REGISTRY: &str = "registry";

/// How long the branch is left alone while there is more of its history to read.
const WALK_REST: Duration = Duration::from_millis(5);

/// How long a training run's process may take to end after it was killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a pass may go on once it is over; what it reads from Git then is left.
const PASS_PATIENCE: Duration = Duration::from_secs(2);

/// What a standalone target is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository, and who reads it.
    pub repository: Repository,
    /// What of it is followed.
    pub follow: Follow,
    /// The environment.
    pub environment: EnvironmentName,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The folders below which a manifest may name data files by absolute paths.
    pub dataset_roots: DatasetRoots,
    /// Who asks other environments' control planes.
    pub control_planes: Arc<dyn ControlPlanes>,
    /// The key that signs what a run here has published; absent: nothing is signed.
    pub signing_key: Option<Arc<SigningKey>>,
    /// The id that the installation gets if the data directory has none yet: random, made by the caller.
    pub installation: String,
}

/// Why a standalone target cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The repository, branch or folder is not there or cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// The first commit has no MLEnvironment that can be read, and there is no last good one.
    #[error(transparent)]
    First(#[from] FirstError),
}

/// Why a running target had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A loop ended, which is a bug: the process must end rather than look alive.
    #[error("the {which} loop ended unexpectedly: {source}")]
    LoopEnded {
        /// Which.
        which: &'static str,
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until the shutdown.
    Follow,
    /// Until nothing is left to do, or the time is over.
    Once {
        /// The longest that it may take.
        timeout: Duration,
    },
}

/// A standalone target that holds its data directory and has not begun yet.
#[derive(Debug)]
pub struct Standalone {
    source: Source,
    environment: EnvironmentName,
    objects: Arc<Objects>,
    store: Store,
    /// Whether the store that the objects know of is not there.
    is_registry_awaited: bool,
    owner: Owner,
    roots: DatasetRoots,
    control_planes: Arc<dyn ControlPlanes>,
    signing_key: Option<Arc<SigningKey>>,
    wake: Wake,
    events: Events,
}

impl Standalone {
    /// Takes the data directory and opens the registry. Quick: nothing is walked, trained or loaded.
    ///
    /// Git is read here only where nothing was applied before: what is known of an environment serves, whatever has
    /// become of the repository. Nor is a registry made in the place of one that was in use and is not there: its volume
    /// may not be mounted.
    pub fn open(options: &Options, now: Timestamp) -> Result<Self, StartError> {
        let mut source = Source::follow(&options.repository, options.follow.clone());
        if options.repository.remote.is_none() && !was_applied(options) {
            // A start that is refused leaves nothing behind. A mirror needs the data directory first.
            source = Source::open(&options.repository, options.follow.clone())?;
        }
        let repository = &options.repository.path;
        refuse_tracked_by(&options.data_dir, repository)?;
        let data_dir = Arc::new(DataDir::open(&options.data_dir, &options.installation)?);
        data_dir.watch_repository(repository)?;
        let objects = Arc::new(Objects::load(data_dir.clone(), &options.environment)?);
        let last_good = objects.environment();
        let was_in_use = last_good.is_some() && registry_path(data_dir.path()).is_some();
        let environment = if let Some(environment) = last_good {
            environment
        } else {
            first_environment(&mut source, &options.environment, Target::Standalone)?
        };
        let owner = Owner {
            environment: options.environment.clone(),
            installation: data_dir.installation().to_owned(),
        };
        let path = registry_to_use(data_dir.path(), &environment, &owner);
        let root = registry_root(data_dir.path(), &path);
        if !root.starts_with(data_dir.path()) {
            data_dir.watch_registry(&root)?;
        }
        let is_registry_awaited = was_in_use && matches!(Store::open(&root), Err(StoreError::NoStore(_)));
        let store = if is_registry_awaited {
            Store::at(&root)
        } else {
            Store::init(&root, &owner, now)?;
            Store::open_owned(&root, &owner)?
        };
        data_dir.note_registry(&path)?;
        data_dir.note_dataset_roots(&options.dataset_roots)?;
        let wake = Wake::default();
        if let Some(remote) = &options.repository.remote {
            let wake = wake.clone();
            remote.nudge.on_fetched(move || wake.reconciler());
        }
        Ok(Self {
            source,
            environment: options.environment.clone(),
            objects,
            store,
            is_registry_awaited,
            owner,
            roots: options.dataset_roots.clone(),
            control_planes: options.control_planes.clone(),
            signing_key: options.signing_key.clone(),
            wake,
            events: Events::new(),
        })
    }

    /// Returns the registry.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says whether the registry that was in use is not there: until it is, nothing is loaded, trained or decided.
    pub fn awaits_registry(&self) -> bool {
        self.is_registry_awaited
    }

    /// Returns the data directory's absolute path.
    pub fn data_dir(&self) -> &Path {
        self.objects.data_dir.path()
    }

    /// Returns the branch that is followed.
    pub fn branch(&self) -> String {
        self.source.branch()
    }

    /// Returns what slots call when one of them changed.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Listens to what happens. A listener that is more than 1,024 events behind misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Runs until `shutdown`, or, once, until nothing is left to do. Training runs under way are killed at the end.
    ///
    /// Called on a multi-threaded Tokio runtime with its time and process drivers.
    pub async fn run(
        self,
        slots: Arc<dyn Slots>,
        trainer: Arc<dyn Trainer>,
        mode: Mode,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Converged, RunError> {
        let wake = self.wake.clone();
        let events = self.events.clone();
        let reading = self.source.interrupt();
        let data_dir = self.objects.data_dir.clone();
        let (following, operator) = self.assemble(slots, trainer);

        let (stop, stopped) = watch::channel(false);
        let (rest, resting) = watch::channel(None);
        let mut operating = tokio::spawn(operate(operator, wake.clone(), rest, stopped.clone()));
        let mut reconciling = tokio::spawn(reconcile(following, wake, mode, resting, events, stopped));
        tokio::select! {
            () = shutdown => {}
            ended = &mut operating => {
                let Err(source) = ended.and_then(|ended| ended) else {
                    return Ok(Converged::default());
                };
                return Err(RunError::LoopEnded { which: "operator", source });
            }
            ended = &mut reconciling => {
                note_stop(&data_dir);
                let _operator = stop.send(true);
                let converged = ended
                    .and_then(|ended| ended)
                    .map_err(|source| RunError::LoopEnded { which: "reconciler", source })?;
                let _killed = tokio::time::timeout(STOP_PATIENCE, operating).await;
                return Ok(converged);
            }
        }
        // First: however long the rest takes, and whoever loses patience with it, the runs under way were stopped in order.
        note_stop(&data_dir);
        let _loops = stop.send(true);
        let _killed = tokio::time::timeout(STOP_PATIENCE, operating).await;
        let ended = match tokio::time::timeout(PASS_PATIENCE, &mut reconciling).await {
            Ok(ended) => ended,
            Err(_late) => {
                reading.interrupt();
                match tokio::time::timeout(PASS_PATIENCE, &mut reconciling).await {
                    Ok(ended) => ended,
                    // A pass may be cut anywhere.
                    Err(_later) => return Ok(Converged::default()),
                }
            }
        };
        ended
            .and_then(|ended| ended)
            .map_err(|source| RunError::LoopEnded {
                which: "reconciler",
                source,
            })
    }
}

impl Standalone {
    pub(crate) fn assemble(self, slots: Arc<dyn Slots>, trainer: Arc<dyn Trainer>) -> (Following, Operator) {
        let Self {
            source,
            environment,
            objects,
            store,
            is_registry_awaited,
            owner,
            roots,
            control_planes,
            signing_key,
            wake,
            events,
        } = self;
        let registry = Observer::new(store);
        let models = Models::new(objects.clone(), slots.clone(), registry.clone(), events.clone());
        let trainings = Trainings::new(
            objects.clone(),
            registry.clone(),
            trainer,
            roots.clone(),
            events.clone(),
            wake.clone(),
        )
        .signing_by(signing_key);
        let mut operator = Operator::new(objects.clone(), models, trainings, wake.clone(), events.clone());
        let locate = locate(&objects.data_dir);
        let digests = objects.data_dir.data_digests();
        let mut reconciler = Reconciler::new(source, environment, objects.clone(), registry, locate)
            .for_target(Target::Standalone)
            .with_data(roots, digests)
            .with_control_planes(control_planes)
            .with_remembered(objects.data_dir.history())
            .with_seen(objects.data_dir.seen());
        if is_registry_awaited {
            let admit = admission(reconciler.store().root(), &owner, Store::open_owned);
            operator = operator.awaiting_registry(admit.clone());
            reconciler = reconciler.awaiting_registry(admit);
        }
        let following = Following::new(reconciler, objects, owner, slots, wake, events);
        (following, operator)
    }
}

fn note_stop(data_dir: &DataDir) {
    if let Err(error) = data_dir.note_stop() {
        tracing::warn!(%error, "cannot write down that this end is an orderly one; runs under way may count as tried");
    }
}

type Loop<T> = Result<T, tokio::task::JoinError>;

/// Makes every [`POLL`] a turn, however often a loop is woken.
#[derive(Debug, Default)]
struct Turns {
    last: Option<Instant>,
}

impl Turns {
    fn beat(&mut self) -> Beat {
        if self.last.is_some_and(|last| last.elapsed() < POLL) {
            return Beat::Touch;
        }
        self.last = Some(Instant::now());
        Beat::Turn
    }
}

async fn operate(
    mut operator: Operator,
    wake: Wake,
    rest: watch::Sender<Option<u64>>,
    mut stopped: watch::Receiver<bool>,
) -> Loop<()> {
    let mut turns = Turns::default();
    while !*stopped.borrow() {
        let beat = turns.beat();
        let step;
        (operator, step) = tokio::task::spawn_blocking(move || {
            let step = operator.step(beat, now());
            (operator, step)
        })
        .await?;
        if rest.send_if_modified(|rest| std::mem::replace(rest, step.settled_at) != step.settled_at) {
            wake.reconciler();
        }
        tokio::select! {
            () = wake.0.operator.notified() => {}
            () = tokio::time::sleep(step.wait) => {}
            _changed = stopped.changed() => {}
        }
    }
    operator.stop_all();
    Ok(())
}

async fn reconcile(
    mut following: Following,
    wake: Wake,
    mode: Mode,
    resting: watch::Receiver<Option<u64>>,
    events: Events,
    mut stopped: watch::Receiver<bool>,
) -> Loop<Converged> {
    let began = Instant::now();
    let mut converged = Converged::default();
    let mut turns = Turns::default();
    let mut is_first = true;
    while !*stopped.borrow() {
        let beat = turns.beat();
        // The operator must have rested before the pass, with the objects as they still are after it.
        let rested_at = *resting.borrow();
        let look;
        (following, look) = tokio::task::spawn_blocking(move || {
            let look = following.look(beat, now());
            if is_first && mode == Mode::Follow {
                following.tell_uncommitted();
            }
            (following, look)
        })
        .await?;
        is_first = false;
        let is_walking = look.pass.is_walking;
        let is_settled =
            rested_at == Some(look.generation) && *resting.borrow() == rested_at && look.pass.is_quiet();
        let before = (converged.is_settled, converged.revision.clone());
        if look.pass.is_touched || before != (is_settled, look.pass.attempted.clone()) {
            let new = following.reconciler().converged(&look.pass, is_settled);
            if is_settled && new != converged {
                events.send(Event::Settled {
                    revision: new.revision.clone(),
                });
            }
            converged = new;
        }
        if let Mode::Once { timeout } = mode
            && (converged.is_settled || began.elapsed() >= timeout)
        {
            break;
        }
        tokio::select! {
            () = wake.0.reconciler.notified() => {}
            () = tokio::time::sleep(if is_walking { WALK_REST } else { POLL }) => {}
            _changed = stopped.changed() => {}
        }
    }
    // Whatever it was asked to end for, nothing is waited for: the history is only written.
    tokio::task::spawn_blocking(move || following.remember_history(1)).await?;
    Ok(converged)
}

/// Returns where the registry lies that a data directory uses: where it was when it was last used, else where the
/// environment says.
pub fn registry_in_use(data_dir: &Path, declared: Option<&str>) -> PathBuf {
    let remembered = registry_path(data_dir);
    registry_root(data_dir, remembered.as_deref().or(declared).unwrap_or(REGISTRY))
}

/// Decides which registry is used from this start on. Another one than before counts once somebody has moved the store
/// there: an empty one in its place would lose each version that no job makes anew.
fn registry_to_use(data_dir: &Path, environment: &Environment, owner: &Owner) -> String {
    let declared = environment.registry_path.as_deref().unwrap_or(REGISTRY);
    match registry_path(data_dir) {
        Some(used)
            if used != declared
                && is_store_of(&registry_root(data_dir, &used), owner)
                && !is_store_of(&registry_root(data_dir, declared), owner) =>
        {
            tracing::warn!(
                declared,
                used,
                "the environment names another registry, which is none yet: the one in use is used"
            );
            used
        }
        _ => declared.to_owned(),
    }
}

/// Says whether the data directory holds what was applied of the environment.
fn was_applied(options: &Options) -> bool {
    DataDir::peek(&options.data_dir).is_ok_and(|data_dir| {
        let name = options.environment.as_str();
        let stamp = data_dir.object_file(Kind::Environment, name).stamp();
        stamp.is_ok_and(|stamp| stamp.is_some())
    })
}

fn is_store_of(root: &Path, owner: &Owner) -> bool {
    Store::open(root).is_ok_and(|store| store.belongs_to(owner))
}

/// Returns where a registry lies whose path is one of a manifest's. Links on the way to an absolute one are whoever
/// administers the machine's; below the data directory there are none.
fn registry_root(data_dir: &Path, path: &str) -> PathBuf {
    let root = data_dir.join(path);
    if root.starts_with(data_dir) {
        return root;
    }
    settle(&root).unwrap_or(root)
}

/// Says where an environment's registry lies by its manifest.
pub(crate) fn locate(data_dir: &Arc<DataDir>) -> Locate {
    let data_dir = data_dir.clone();
    Arc::new(move |environment| {
        let declared = environment.registry_path.as_deref().unwrap_or(REGISTRY);
        registry_root(data_dir.path(), declared)
    })
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
