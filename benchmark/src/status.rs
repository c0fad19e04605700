//! `benchmark status`: what it costs to show how many models stand: answers, streams and changes, beside a bare warp route that
//! gives the same bytes.
//!
//! Nobody reconciles: the objects lie in a data directory as `aurora up` leaves them, and the changes are files that are
//! replaced as it replaces them.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use registry::files::Dir;
use registry::{Owner, Store};
use serde_json::{Value, json};

use crate::figures::{Limit, Report};
use crate::ground::Place;
use crate::http::{ask, get};
use crate::process::{Aurora, Options, Role};
use crate::processor::{self, LOAD_CORE, SERVER_CORE};
use crate::scale::meter::Reading;
use crate::server::Echo;

/// How many models there are where it is not said.
pub const MODELS: usize = 1_000;

/// How often each path is asked.
const ASKED: usize = 50;
/// How long the processor is watched.
const WATCHED: Duration = Duration::from_secs(15);
/// How often a model changes meanwhile.
const CHANGE: Duration = Duration::from_millis(100);
/// How many streams are read.
const STREAMS: [usize; 3] = [0, 1, 64];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `/status` may take at most, in milliseconds, and have at most, in bytes.
const ANSWER_MS_MAX: f64 = 20.0;
const ANSWER_BYTES_MAX: f64 = 1e6;

/// A data directory that nobody owns.
struct Objects {
    folder: tempfile::TempDir,
    models: usize,
    /// How many have changed since they were written, one after the other.
    changed: Cell<usize>,
}

impl Objects {
    fn write(models: usize) -> Result<Self> {
        let objects = Self {
            folder: tempfile::Builder::new().prefix("aurora-benchmark-").tempdir()?,
            models,
            changed: Cell::new(0),
        };
        let owner = Owner {
            environment: "dev".parse()?,
            installation: "benchmark".to_owned(),
        };
        Store::init(
            &objects.data().join("registry"),
            &owner,
            planner::Timestamp::UNIX_EPOCH,
        )?;
        objects.beat()?;
        let environment = object("MLEnvironment", "dev", &json!({ "target": "Standalone" }));
        let status = json!({ "conditions": [], "appliedRevision": "c0".repeat(20) });
        objects.put("objects/MLEnvironment", "dev", &environment)?;
        objects.put("status/MLEnvironment", "dev", &status)?;
        for index in 0..models {
            let name = name(index);
            let declared = json!({ "modelName": name, "stable": pin() });
            objects.put(
                "objects/MLDeployment",
                &name,
                &object("MLDeployment", &name, &declared),
            )?;
            objects.change(index, 0)?;
        }
        Ok(objects)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Says that somebody reconciles.
    fn beat(&self) -> Result<()> {
        fs::write(self.data().join("heartbeat"), "").context("failed to touch the heartbeat")
    }

    /// Gives a model the status that follows from how often it changed: a canary, and none, in turn.
    fn change(&self, index: usize, times: usize) -> Result<()> {
        let canary = (times % 2 == 1).then(pin);
        let weight = if canary.is_some() { 10 } else { 0 };
        let memory = json!({
            "format": 1, "state": "Idle", "since": "2026-11-01T12:05:00Z", "stable": pin(), "canary": null, "weight": 0,
            "lost": null, "paused": null, "history": [],
        });
        let status =
            json!({ "state": "Idle", "stable": pin(), "canary": canary, "weight": weight, "memory": memory });
        self.put("status/MLDeployment", &name(index), &status)
    }

    /// Changes the model whose turn it is.
    fn change_next(&self) -> Result<()> {
        let changed = self.changed.get();
        self.changed.set(changed + 1);
        self.change(changed % self.models, changed / self.models + 1)
    }

    fn put(&self, folder: &str, name: &str, value: &Value) -> Result<()> {
        let folder = Dir::ensure(&self.data().join(folder))?;
        Ok(folder.replace_unsynced(&format!("{name}.json"), value.to_string().as_bytes())?)
    }
}

fn name(index: usize) -> String {
    format!("model-{index:05}")
}

fn pin() -> Value {
    json!({ "version": "v20261101-120000", "digest": format!("sha256:{}", "ab".repeat(32)) })
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": kind, "spec": spec,
        "metadata": { "name": name, "annotations": { "aurora.io/revision": "c0".repeat(20) } },
    })
}

/// Those who read the stream, each a thread that ends with the server.
#[derive(Default)]
struct Readers {
    count: usize,
    bytes: Arc<AtomicUsize>,
    changes: Arc<AtomicUsize>,
}

impl Readers {
    /// Opens streams until there are `count`.
    fn open(&mut self, address: SocketAddr, count: usize) -> Result<()> {
        while self.count < count {
            self.count += 1;
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&get(address, "/status/events"))?;
            let mut lines = BufReader::new(stream).lines();
            let head = lines.next().context("a stream ends at once")??;
            if !head.contains("200") {
                bail!("a stream is refused: {head}");
            }
            // What is there already does not count.
            lines
                .by_ref()
                .find(|line| line.as_ref().is_ok_and(|line| line.starts_with("data: ")))
                .context("a stream ends before its first event")??;
            let (bytes, changes) = (self.bytes.clone(), self.changes.clone());
            thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    bytes.fetch_add(line.len() + 1, Ordering::Relaxed);
                    changes.fetch_add(usize::from(line == "event: change"), Ordering::Relaxed);
                }
            });
        }
        Ok(())
    }
}

/// Measures the status of `models` models.
pub fn run(place: &Place, models: usize) -> Result<Report> {
    processor::pin(LOAD_CORE)?;
    let objects = Objects::write(models)?;
    let aurora = start(place, &objects)?;
    let mut report = Report::new("benchmark status");
    answers(&mut report, &objects, aurora.control_plane)?;
    let mut readers = Readers::default();
    for count in STREAMS {
        readers.open(aurora.control_plane, count)?;
        for is_changing in [false, true] {
            watch(&mut report, &aurora, &objects, &readers, is_changing)?;
        }
    }
    aurora.kill()?;
    Ok(report)
}

fn start(place: &Place, objects: &Objects) -> Result<Aurora> {
    let mut aurora = Aurora::start(&Options {
        aurora: place.aurora.clone(),
        repository: PathBuf::new(),
        environment: String::new(),
        data: objects.data(),
        core: Some(SERVER_CORE),
        wrapper: Vec::new(),
        role: Role::Show,
    })?;
    let asked = Instant::now();
    let health = get(aurora.control_plane, "/health");
    while ask(aurora.control_plane, &health, PATIENCE).is_err() {
        aurora.check_running()?;
        if asked.elapsed() > PATIENCE {
            bail!("it does not answer:\n{}", aurora.output_tail());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(aurora)
}

/// Measures what each answer takes on a connection of its own, and how large it is.
fn answers(report: &mut Report, objects: &Objects, address: SocketAddr) -> Result<()> {
    let of_model = format!("/status/models/{}", name(objects.models / 2));
    let packed = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept-encoding: gzip\r\n\r\n").into_bytes()
    };
    let status = get(address, "/status");
    let mut medians = Vec::new();
    for (what, request, milliseconds_max, bytes_max) in [
        ("/status", status.clone(), Some(ANSWER_MS_MAX), None),
        (
            "/status, gzip",
            packed("/status"),
            Some(ANSWER_MS_MAX),
            Some(ANSWER_BYTES_MAX),
        ),
        ("/status/models/M", get(address, &of_model), None, None),
    ] {
        let mut bytes = 0;
        objects.beat()?;
        let took = times(|| {
            bytes = asked(address, &request)?.len();
            Ok(())
        })?;
        let limit = |most: Option<f64>| most.map_or(Limit::None, Limit::MedianAtMost);
        report.figure(what, "ms", limit(milliseconds_max), &took);
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        report.figure(
            format!("{what}: size"),
            "bytes",
            limit(bytes_max),
            &[bytes as f64],
        );
        medians.push(crate::figures::median(&took));
    }
    let bare = bare(objects.folder.path(), &asked(address, &status)?)?;
    report.figure("bare warp route, same bytes", "ms", Limit::None, &bare);
    let ratio = medians[0] / crate::figures::median(&bare);
    report.figure("/status / bare", "", Limit::None, &[ratio]);
    Ok(())
}

/// Measures a bare route that gives these bytes.
fn bare(folder: &Path, bytes: &[u8]) -> Result<Vec<f64>> {
    let file = folder.join("status.json");
    fs::write(&file, bytes)?;
    let echo = Echo::start(Some(&file))?;
    let request = get(echo.address, "/");
    times(|| asked(echo.address, &request).map(drop))
}

fn times(mut act: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    (0..ASKED)
        .map(|_| {
            let begun = Instant::now();
            act()?;
            Ok(begun.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn asked(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    match ask(address, request, PATIENCE)? {
        (200, body) => Ok(body),
        (status, body) => bail!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// Measures the processor while streams are read and, where so wanted, models change.
fn watch(
    report: &mut Report,
    aurora: &Aurora,
    objects: &Objects,
    readers: &Readers,
    is_changing: bool,
) -> Result<()> {
    let told = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (bytes, changes) = (told(&readers.bytes), told(&readers.changes));
    let before = Reading::of(aurora)?;
    let mut next = Instant::now();
    while before.age() < WATCHED {
        objects.beat()?;
        if is_changing {
            objects.change_next()?;
        }
        next += CHANGE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let spent = Reading::of(aurora)?.since(&before);
    let doing = if is_changing {
        "10 changes a second"
    } else {
        "at rest"
    };
    let count = readers.count;
    let what = format!("{count} streams, {doing}");
    report.figure(
        format!("{what}: processor"),
        "%",
        Limit::None,
        &[spent.share() * 100.0],
    );
    let (bytes, changes) = (told(&readers.bytes) - bytes, told(&readers.changes) - changes);
    if is_changing && count > 0 {
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let each = bytes as f64 / changes as f64;
        report.figure(format!("{what}: size of an event"), "bytes", Limit::None, &[each]);
    }
    Ok(())
}
