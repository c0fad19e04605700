//! A standalone target stepped by hand: a repository, a data directory, slots in memory, and a trainer that publishes
//! at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::deployment::ResolvedPin;
use planner::names::{Digest, ModelName, Revision, Track, Weight};
use planner::rollout::{TrackState, Tracks};
use reconciler::{AwaitedPin, Beat, Pass, Standing};
use registry::run::{Ending, RunFolder, RunRequest, RunResult};
use registry::{DatasetRoots, Draft, Reference, Store};

use super::repository::{Repo, dev};
use crate::following::Following;
use crate::operator::Operator;
use crate::{DataDirError, LoadRequest, Options, Slots, Standalone, StartError, Trainer, Wake};

/// How long a test waits for processes before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Slots that verify against the registry and serve at once; what they were asked is written down.
#[derive(Default)]
pub(super) struct MemorySlots {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    tracks: BTreeMap<ModelName, Tracks>,
    revisions: BTreeMap<(ModelName, Track), Revision>,
    store: Option<Store>,
    /// Whom to tell of loads that ended.
    wake: Option<Wake>,
    /// Each weight that was set above zero while the canary served nothing: there must be none.
    violations: Vec<String>,
    /// How many loads began.
    loads: usize,
    /// The tracks that were emptied, in order.
    unloads: Vec<String>,
    /// While true, loads begin and do not end.
    is_slow: bool,
}

impl MemorySlots {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Verifies against the target's registry and wakes its operator.
    fn follow(&self, standalone: &Standalone) {
        let mut inner = self.inner();
        inner.store = Some(standalone.store().clone());
        inner.wake = Some(standalone.wake());
    }

    pub(super) fn slow(&self, is_slow: bool) {
        let mut inner = self.inner();
        inner.is_slow = is_slow;
        if !is_slow {
            let pending: Vec<(ModelName, Track, ResolvedPin)> = inner
                .tracks
                .iter()
                .flat_map(|(model, tracks)| {
                    tracks
                        .track
                        .as_ref()
                        .into_iter()
                        .filter_map(|(track, state)| Some((model.clone(), track, state.loading.clone()?)))
                })
                .collect();
            for (model, track, pin) in pending {
                inner.finish(&model, track, pin);
            }
        }
    }

    /// Shows what a model's tracks serve, e.g. `v1 + 10% of v2`.
    pub(super) fn show(&self, model: &str) -> String {
        let inner = self.inner();
        let Some(tracks) = inner.tracks.get(&model.parse().unwrap()) else {
            return "nothing".to_owned();
        };
        let version = |state: &TrackState| {
            let loading = state.loading.as_ref().map_or("", |_| " (loading)");
            let serving = state
                .serving
                .as_ref()
                .map_or("nothing".to_owned(), |pin| pin.version.to_string());
            format!("{serving}{loading}")
        };
        let is_empty =
            |state: &TrackState| (&state.serving, &state.loading, &state.unloadable) == (&None, &None, &None);
        match &tracks.track.canary {
            canary if is_empty(canary) => version(&tracks.track.stable),
            canary => format!(
                "{} + {} of {}",
                version(&tracks.track.stable),
                tracks.weight,
                version(canary)
            ),
        }
    }

    pub(super) fn revision(&self, model: &str, track: Track) -> Option<Revision> {
        self.inner()
            .revisions
            .get(&(model.parse().unwrap(), track))
            .cloned()
    }

    pub(super) fn loads(&self) -> usize {
        self.inner().loads
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    pub(super) fn unloads(&self) -> Vec<String> {
        self.inner().unloads.clone()
    }
}

impl Inner {
    fn state(&mut self, model: &ModelName, track: Track) -> &mut TrackState {
        let tracks = self.tracks.entry(model.clone()).or_default();
        tracks.track.get_mut(track)
    }

    fn finish(&mut self, model: &ModelName, track: Track, pin: ResolvedPin) {
        let store = self.store.clone().unwrap();
        let loaded = store
            .resolve(model, &Reference::Version(pin.version.clone()))
            .map_err(|error| error.to_string())
            .and_then(|entry| {
                store.verify(&entry).map_err(|damage| damage.to_string())?;
                if entry.digest == pin.digest {
                    Ok(())
                } else {
                    Err("other digest".to_owned())
                }
            });
        let revision = self.revisions.get(&(model.clone(), track)).cloned();
        let state = self.state(model, track);
        state.loading = None;
        match loaded {
            Ok(()) => {
                state.serving = Some(pin);
                state.revision = revision;
                state.unloadable = None;
            }
            Err(why) => state.unloadable = Some((pin, why)),
        }
        self.wake.as_ref().unwrap().model(model);
    }
}

impl Slots for MemorySlots {
    fn begin_load(&self, request: LoadRequest) {
        let mut inner = self.inner();
        let LoadRequest {
            model,
            track,
            pin,
            revision,
            trust: _,
            engine: _,
        } = request;
        inner.loads += 1;
        inner.revisions.insert((model.clone(), track), revision);
        inner.state(&model, track).loading = Some(pin.clone());
        inner.state(&model, track).unloadable = None;
        if !inner.is_slow {
            inner.finish(&model, track, pin);
        }
    }

    fn unload(&self, model: &ModelName, track: Track) {
        let mut inner = self.inner();
        inner.unloads.push(format!("{model} {track}"));
        *inner.state(model, track) = TrackState::default();
        if track == Track::Canary && inner.tracks[model].weight > Weight::ZERO {
            inner
                .violations
                .push(format!("{model}: canary unloaded with weight"));
        }
    }

    fn set_weight(&self, model: &ModelName, weight: Weight) {
        let mut inner = self.inner();
        let tracks = inner.tracks.entry(model.clone()).or_default();
        tracks.weight = weight;
        if weight > Weight::ZERO && tracks.track.canary.serving.is_none() {
            inner
                .violations
                .push(format!("{model}: {weight} without a canary"));
        }
    }

    fn set_revision(&self, model: &ModelName, track: Track, revision: &Revision) {
        let mut inner = self.inner();
        inner.revisions.insert((model.clone(), track), revision.clone());
        inner.state(model, track).revision = Some(revision.clone());
    }

    fn forget(&self, model: &ModelName) {
        self.inner().tracks.remove(model);
    }

    fn expect(&self, _model: &ModelName, _awaited: &[AwaitedPin]) {}

    fn expected(&self) {}

    fn tracks(&self, model: &ModelName) -> Tracks {
        self.inner().tracks.get(model).cloned().unwrap_or_default()
    }
}

/// What the next training runs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They publish.
    Publish,
    /// They publish, and say that it was something else.
    PublishAnother,
    /// They say that they published, and did not.
    Pretend,
    /// They refuse their data.
    Refuse,
    /// They find that the newest version was made from the same inputs.
    SameInputs,
    /// Their process is killed by signal 9.
    Killed,
    /// They go on until they are stopped.
    Hang,
}

/// Publishes in the parent and starts a process that only ends.
pub(super) struct FakeTrainer {
    pub(super) fate: Mutex<Fate>,
    pub(super) requests: Mutex<Vec<RunRequest>>,
}

impl Trainer for FakeTrainer {
    fn command(&self, request: &Path) -> tokio::process::Command {
        let folder = RunFolder::of_request(request).unwrap();
        let request = folder.request().unwrap().unwrap();
        let fate = *self.fate.lock().unwrap();
        let ending = match fate {
            Fate::Publish | Fate::PublishAnother | Fate::Pretend => {
                let store = Store::open(&request.registry).unwrap();
                let entry = (fate != Fate::Pretend).then(|| store.publish(draft(&request)).unwrap());
                Some(Ending::Published {
                    digest: entry
                        .filter(|_| fate == Fate::Publish)
                        .map_or_else(|| Digest::of(b"another"), |entry| entry.digest),
                    metrics: BTreeMap::from([("r2".to_owned(), 0.5)]),
                })
            }
            Fate::Refuse => Some(Ending::Refused {
                message: "rows.csv:3: a number was expected".to_owned(),
            }),
            Fate::SameInputs => Some(Ending::SameInputs),
            Fate::Killed | Fate::Hang => None,
        };
        self.requests.lock().unwrap().push(request);
        if let Some(ending) = ending {
            let at = "2026-12-01T00:00:00Z".parse().unwrap();
            folder.write_result(&RunResult { at, ending }).unwrap();
        }
        let mut command = tokio::process::Command::new("sh");
        command.arg("-c").arg(match fate {
            Fate::Publish | Fate::PublishAnother | Fate::Pretend | Fate::SameInputs => "exit 0",
            Fate::Refuse => "exit 3",
            Fate::Killed => "kill -9 $$",
            Fate::Hang => "exec sleep 1000",
        });
        command
    }
}

/// The version that a request asks for.
fn draft(request: &RunRequest) -> Draft {
    let RunRequest {
        model,
        version,
        job,
        revision,
        inputs_hash,
        ..
    } = request;
    super::versions::draft(model, version, Some((job, revision, *inputs_hash)))
}

/// One target and everything around it.
pub(super) struct World {
    pub(super) repo: Repo,
    folder: tempfile::TempDir,
    data_dir: PathBuf,
    pub(super) slots: Arc<MemorySlots>,
    pub(super) trainer: Arc<FakeTrainer>,
    loops: Option<(Following, Operator)>,
    pub(super) store: Store,
    pub(super) last: Option<Pass>,
    now: Timestamp,
}

impl World {
    /// Starts a target on a repository. Needs a Tokio runtime.
    pub(super) fn start(repo: Repo) -> Self {
        Self::start_at(repo, None)
    }

    /// Starts a target whose data directory lies in the clone, as it does unless somebody means otherwise.
    pub(super) fn start_in_clone(repo: Repo) -> Self {
        let data_dir = repo.path().join(".aurora");
        Self::start_at(repo, Some(data_dir))
    }

    fn start_at(repo: Repo, data_dir: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = data_dir.unwrap_or_else(|| folder.path().join("data"));
        let slots = Arc::new(MemorySlots::default());
        let trainer = Arc::new(FakeTrainer {
            fate: Mutex::new(Fate::Publish),
            requests: Mutex::default(),
        });
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let standalone = open(&repo, &data_dir, now).unwrap();
        let store = standalone.store().clone();
        slots.follow(&standalone);
        let loops = standalone.assemble(slots.clone(), trainer.clone());
        Self {
            repo,
            folder,
            data_dir,
            slots,
            trainer,
            loops: Some(loops),
            store,
            last: None,
            now,
        }
    }

    /// Ends the process as a kill would.
    pub(super) fn end(&mut self) {
        self.loops = None;
    }

    /// Ends the process as a kill would, and starts another one: slots are empty, children gone.
    pub(super) fn restart(&mut self) {
        self.end();
        {
            let mut inner = self.slots.inner();
            inner.tracks.clear();
            inner.revisions.clear();
        }
        let standalone = self.start_again().unwrap();
        self.slots.follow(&standalone);
        self.loops = Some(standalone.assemble(self.slots.clone(), self.trainer.clone()));
    }

    /// Notes that the process was asked to end, as the first thing of its end.
    pub(super) fn note_stop(&self) {
        crate::DataDir::peek(&self.data_dir).unwrap().note_stop().unwrap();
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    pub(super) fn second_start(&self) -> Result<Standalone, StartError> {
        open(&self.repo, &self.data_dir, self.now)
    }

    /// As another process does that starts once the first one has ended.
    pub(super) fn start_again(&self) -> Result<Standalone, StartError> {
        open_again(&self.repo, &self.data_dir, self.now)
    }

    pub(super) fn operator_step(&mut self) -> bool {
        self.now += Duration::from_millis(10);
        let (_, operator) = self.loops.as_mut().unwrap();
        operator.step(Beat::Turn, self.now).settled_at.is_some()
    }

    /// One pass, then one step of the operator. Returns whether nothing is left to do.
    pub(super) fn turn(&mut self) -> bool {
        self.now += Duration::from_millis(10);
        let (following, operator) = self.loops.as_mut().unwrap();
        let pass = following.look(Beat::Turn, self.now).pass;
        let step = operator.step(Beat::Turn, self.now);
        let is_settled =
            step.settled_at.is_some() && pass.applied.done.is_empty() && pass.applied.failed.is_empty();
        self.last = Some(pass);
        is_settled
    }

    /// Turns until nothing is left to do.
    pub(super) fn settle(&mut self) {
        self.turn_until(|_| true);
    }

    /// Turns until nothing is left to do and `holds` does.
    pub(super) fn turn_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !(self.turn() && self.turn() && holds(self)) {
            assert!(Instant::now() < deadline, "not settled: {:?}", self.last);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Turns until `holds` does, settled or not.
    pub(super) fn turn_till(&mut self, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {:?}",
                self.last
            );
            self.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Sets the clock back.
    pub(super) fn set_back(&mut self, time: Duration) {
        self.now -= time;
    }

    /// How everything stands by the last pass.
    pub(super) fn standing(&self) -> &Standing {
        self.loops.as_ref().unwrap().0.reconciler().standing()
    }

    pub(super) fn findings(&self) -> String {
        let lines: Vec<String> = self.standing().findings().map(ToString::to_string).collect();
        lines
            .join("\n")
            .replace(
                &self.folder.path().canonicalize().unwrap().display().to_string(),
                "FOLDER",
            )
            .replace(&self.repo.path().display().to_string(), "REPO")
    }

    pub(super) fn alias(&self, model: &str, track: Track) -> Option<String> {
        let entry = self
            .store
            .resolve(&model.parse().unwrap(), &Reference::Alias(track))
            .ok()?;
        Some(entry.version.to_string())
    }

    /// Every file below the data directory but the heartbeat, with its content's time.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, std::time::SystemTime> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.data_dir()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
                if entry.file_name() != "heartbeat" {
                    files.insert(entry.path(), metadata.modified().unwrap());
                }
            }
        }
        files
    }
}

/// The parts of a target that runs by itself.
pub(super) struct Parts {
    pub(super) standalone: Standalone,
    pub(super) slots: Arc<MemorySlots>,
    pub(super) trainer: Arc<FakeTrainer>,
}

impl Parts {
    pub(super) fn new(repo: &Repo, folder: &Path) -> Self {
        let standalone = open_again(
            repo,
            &folder.join("data"),
            Timestamp::from(std::time::SystemTime::now()),
        )
        .unwrap();
        let slots = Arc::new(MemorySlots::default());
        slots.follow(&standalone);
        let trainer = Arc::new(FakeTrainer {
            fate: Mutex::new(Fate::Publish),
            requests: Mutex::default(),
        });
        Self {
            standalone,
            slots,
            trainer,
        }
    }
}

/// Waits until something holds.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Opens what another process had open. A process that another test is about to start shares this one's files until it
/// runs: the lock too.
fn open_again(repo: &Repo, data_dir: &Path, now: Timestamp) -> Result<Standalone, StartError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match open(repo, data_dir, now) {
            Err(StartError::DataDir(DataDirError::InUse { .. })) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

fn open(repo: &Repo, data_dir: &Path, now: Timestamp) -> Result<Standalone, StartError> {
    let options = Options {
        repository: repo.repository(),
        follow: reconciler::source::Follow::CheckedOut,
        environment: dev(),
        data_dir: data_dir.to_owned(),
        dataset_roots: DatasetRoots::default(),
        control_planes: std::sync::Arc::new(reconciler::Nobody),
        signing_key: None,
        installation: "test-installation".to_owned(),
    };
    Standalone::open(&options, now)
}
