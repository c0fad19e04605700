//! `benchmark soak`: commits, mistakes, collections, load and scrapes for as long as one likes, and whether anything grows.
//!
//! The time is cut into quarters. The last is held against the second: by then all that is only warm-up is over.

mod quarters;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::quarters::{Quarter, report};
use crate::figures::Report;
use crate::ground::{Ground, Place};
use crate::http;
use crate::process::{Aurora, family};
use crate::scale::client::Client;
use crate::scale::meter::{Reading, Spent};
use crate::scenario::Pins;

/// How often a prediction is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// How often memory and descriptors are looked at, and the pages that a Prometheus and a person read are fetched.
const SCRAPED_EVERY: Duration = Duration::from_secs(1);
/// How often versions and objects that nothing names are collected, as a share of a quarter.
const COLLECTED_EVERY: u32 = 4;
/// How long the load goes on before the first commit, to know what it costs by itself.
const RESTS: Duration = Duration::from_secs(10);
/// How long a page may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the last commit may take to be applied.
const APPLIED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Every so many commits, one is a mistake: it names a version that nobody makes, or a weight that there is not.
const MISTAKE_EVERY: u64 = 15;
/// Every so many commits, the canary is promoted, until the next commit.
const PROMOTION_EVERY: u64 = 10;

/// How long, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The whole time of the four quarters.
    pub time: Duration,
    /// Commits a second.
    pub rate: f64,
}

/// Soaks an `aurora up`. `say` is told how far it is.
pub fn run(place: &Place, effort: Effort, say: &dyn Fn(&str)) -> Result<Report> {
    if !(effort.rate > 0.0 && effort.rate <= 100.0) || effort.time.is_zero() {
        bail!("--minutes wants a number above 0, and --rate one above 0 and at most 100");
    }
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(None)?;
    ground.wait_until_ready(&mut aurora)?;
    let soak = Soak::new(&ground, place)?;
    let asking = Asking::start(&aurora, &soak)?;

    let rest = rest(&aurora)?;
    let mut quarters = Vec::new();
    let mut commits = 0;
    for number in 1..=4 {
        let quarter = soak.quarter(&mut aurora, effort, rest, &mut commits, &asking)?;
        say(&format!("quarter {number} of 4: {}", quarter.line()));
        quarters.push(quarter);
    }
    let applied = soak.settle(&mut aurora)?;
    drop(asking);
    aurora.stop()?;
    Ok(report(&quarters, applied))
}

/// What is committed, asked for and collected.
struct Soak<'a> {
    ground: &'a Ground,
    aurora: PathBuf,
    model: String,
    declared: Pins,
    canary: String,
}

impl<'a> Soak<'a> {
    fn new(ground: &'a Ground, place: &Place) -> Result<Self> {
        let model = ground.canary_model()?;
        let declared = ground.scenario.pins(&model)?;
        let canary = declared.canary.as_ref().map(|(version, _weight)| version.clone());
        Ok(Self {
            ground,
            aurora: fs::canonicalize(&place.aurora)?,
            model,
            declared,
            canary: canary.context("invariant: the model has a canary")?,
        })
    }

    /// Returns what the n-th commit pins.
    fn pins(&self, number: u64) -> Pins {
        let weight = u8::try_from(number % 101).unwrap_or(0);
        let weighed = |weight| Pins {
            stable: self.declared.stable.clone(),
            canary: Some((self.canary.clone(), weight)),
        };
        match number {
            _ if number.is_multiple_of(2 * MISTAKE_EVERY) => weighed(200),
            _ if number.is_multiple_of(MISTAKE_EVERY) => Pins {
                stable: "v20000101-000000".to_owned(),
                canary: None,
            },
            _ if number.is_multiple_of(PROMOTION_EVERY) => Pins {
                stable: self.canary.clone(),
                canary: None,
            },
            _ => weighed(weight),
        }
    }

    fn commit(&self, pins: &Pins) -> Result<String> {
        let tree = self.ground.scenario.tree(&self.model, pins)?;
        let commit = self.ground.scenario.commit_tree(tree, "benchmark: soak")?;
        Ok(commit.to_string())
    }

    fn quarter(
        &self,
        aurora: &mut Aurora,
        effort: Effort,
        rest: Spent,
        commits: &mut u64,
        asking: &Asking,
    ) -> Result<Quarter> {
        let time = effort.time / 4;
        let mut quarter = Quarter::default();
        asking.take();
        let (began, before) = (Instant::now(), Reading::of(aurora)?);
        let (mut scraped, mut collected, mut count) = (0, 0, 0_u64);
        while began.elapsed() < time {
            #[expect(clippy::cast_precision_loss, reason = "a count of some ten thousand")]
            let due = Duration::from_secs_f64(count as f64 / effort.rate);
            thread::sleep(due.saturating_sub(began.elapsed()).min(SCRAPED_EVERY / 4));
            if began.elapsed() >= due {
                *commits += 1;
                count += 1;
                self.commit(&self.pins(*commits))?;
            }
            if began.elapsed() >= SCRAPED_EVERY * scraped {
                scraped += 1;
                aurora.check_running()?;
                scrape(aurora)?;
                quarter.resident.push(resident(aurora)?);
                quarter.descriptors.push(descriptors(aurora)?);
            }
            if began.elapsed() >= time / COLLECTED_EVERY * collected {
                collected += 1;
                self.collect()?;
            }
        }
        let spent = Reading::of(aurora)?.since(&before);
        #[expect(clippy::cast_precision_loss, reason = "a count of some ten thousand")]
        let each = spent.beyond(rest) / count.max(1) as f64;
        quarter.processor = each;
        quarter.commits = count;
        (quarter.latencies, quarter.failed) = asking.take();
        quarter.disk = bytes_below(&self.ground.data())?;
        Ok(quarter)
    }

    /// Collects what the registry and Git keep for nobody.
    fn collect(&self) -> Result<()> {
        let mut collection = Command::new(&self.aurora);
        collection.args(["model", "gc", "--minimum-age", "0", "--data-dir"]);
        collection.arg(self.ground.data()).arg("--repo");
        let output = collection.arg(self.ground.scenario.folder()).output()?;
        // While a mistake is the newest commit, nothing is removed.
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && !said.contains("findings") {
            bail!("aurora model gc ended with {}:\n{said}", output.status);
        }
        // Where there is no `git`, loose objects stay.
        let folder = self.ground.scenario.folder();
        let packed = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["gc", "--quiet"])
            .stderr(Stdio::null())
            .status();
        drop(packed);
        Ok(())
    }

    /// Commits what was declared at first, and waits until it is applied; returns how long that took, in seconds.
    fn settle(&self, aurora: &mut Aurora) -> Result<f64> {
        let commit = self.commit(&self.declared)?;
        let asked = Instant::now();
        while asked.elapsed() < APPLIED_WAIT_MAX {
            let (_, body) = http::ask(
                aurora.control_plane,
                &http::get(aurora.control_plane, "/status/objects"),
                ANSWER_WAIT_MAX,
            )?;
            let status: Value = serde_json::from_slice(&body)?;
            if status
                .to_string()
                .contains(&format!("\"appliedRevision\":\"{commit}\""))
            {
                return Ok(asked.elapsed().as_secs_f64());
            }
            aurora.check_running()?;
            thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "{commit} was not applied within {} s:\n{}",
            APPLIED_WAIT_MAX.as_secs(),
            aurora.output_tail()
        )
    }
}

/// Watches the load alone.
fn rest(aurora: &Aurora) -> Result<Spent> {
    let before = Reading::of(aurora)?;
    while before.age() < RESTS {
        thread::sleep(SCRAPED_EVERY);
        scrape(aurora)?;
    }
    Ok(Reading::of(aurora)?.since(&before))
}

/// Fetches what a Prometheus and a person read.
fn scrape(aurora: &Aurora) -> Result<()> {
    let pages = [
        (aurora.inference, "/metrics"),
        (aurora.control_plane, "/metrics"),
        (aurora.control_plane, "/status"),
    ];
    for (address, path) in pages {
        let (status, _body) = http::ask(address, &http::get(address, path), ANSWER_WAIT_MAX)
            .with_context(|| format!("failed to read {path}"))?;
        if status != 200 {
            bail!("{path} answers {status}");
        }
    }
    Ok(())
}

/// Returns the resident memory of the process and its children, in MB.
#[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
fn resident(aurora: &Aurora) -> Result<f64> {
    Ok(aurora.usage()?.resident as f64 / 1e6)
}

/// Counts the open descriptors of the process and its children.
#[expect(clippy::cast_precision_loss, reason = "a count of some hundreds")]
fn descriptors(aurora: &Aurora) -> Result<f64> {
    let mut count = 0;
    for process in family(aurora.id())? {
        // It may have ended meanwhile.
        count += fs::read_dir(format!("/proc/{}/fd", process.id)).map_or(0, Iterator::count);
    }
    Ok(count as f64)
}

/// Returns the size of all files below a folder, in MB.
#[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
fn bytes_below(folder: &Path) -> Result<f64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // It may be gone by now.
            let Ok(metadata) = entry.path().symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes as f64 / 1e6)
}

/// A client that asks for predictions at a steady rate, on a thread of its own, until it is dropped.
struct Asking {
    stops: Arc<AtomicBool>,
    answers: Arc<Mutex<(Vec<f64>, u64)>>,
}

impl Asking {
    fn start(aurora: &Aurora, soak: &Soak<'_>) -> Result<Self> {
        let example = soak.ground.example(&soak.model, &soak.declared.stable)?;
        let request = example.request(aurora.inference, None);
        let mut client = Client::new(aurora.inference);
        let asking = Self {
            stops: Arc::default(),
            answers: Arc::default(),
        };
        let (stops, answers) = (Arc::clone(&asking.stops), Arc::clone(&asking.answers));
        thread::Builder::new().name("asking".to_owned()).spawn(move || {
            let mut due = Instant::now();
            while !stops.load(Ordering::Relaxed) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let answer = client.ask(&request);
                // From when it was due: whoever waits behind a slow answer waits too.
                let took = due.elapsed().as_secs_f64() * 1e3;
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(reply) if reply.status == 200 => answers.0.push(took),
                    Ok(_) | Err(_) => answers.1 += 1,
                }
                drop(answers);
                due += ASKED_EVERY;
            }
        })?;
        Ok(asking)
    }

    /// Takes the latencies since the last time, in milliseconds, and how many requests failed.
    fn take(&self) -> (Vec<f64>, u64) {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}
