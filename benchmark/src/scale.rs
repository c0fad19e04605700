//! `benchmark scale`: what an environment of many small models costs, and how that grows with their number.
//!
//! ```text
//! fleet (repository) ── seed (registry) ──> aurora up ──> answers, meter, commits ──> judge
//! ```

mod answers;
pub(crate) mod client;
mod commits;
pub(crate) mod fleet;
mod judge;
pub(crate) mod meter;
mod seed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use self::answers::Answers;
use self::client::page_bytes;
use self::commits::Series;
use self::fleet::Fleet;
use self::judge::{Measured, Quantity, grouped};
use self::meter::{Reading, Spent};
use crate::figures::Report;
use crate::ground::Place;
use crate::process::{self, Aurora};

/// The numbers of models that are measured where none is given.
pub const MODELS: [usize; 3] = [100, 1_000, 10_000];
/// Beyond so many, training all of them would take too long.
const TRAINED_MAX: usize = 2_000;
/// What a process may use at most while it counts as settled, as a share of a core.
const SETTLED_SHARE: f64 = 0.02;
/// A look that used less than this share of what the look before used tells that there is still less to come.
const SETTLING_SHARE: f64 = 0.8;
/// How long one look at that takes.
const SETTLED_LOOK: Duration = Duration::from_secs(2);
/// After so long it is measured as it is.
const SETTLE_MAX: Duration = Duration::from_mins(3);

/// Tells a person how far a long run is.
type Say<'a> = &'a dyn Fn(&str);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How long rest is watched.
    pub rest: Duration,
    /// How many commits are metered.
    pub metered: usize,
    /// How many commits are timed.
    pub timed: usize,
    /// How many commits there have been when memory and cost are looked at again; 0: not at all.
    pub commits: usize,
    /// How many restarts and validations.
    pub repeats: usize,
}

impl Effort {
    /// What a figure is published from.
    pub const FULL: Self = Self {
        rest: Duration::from_secs(30),
        metered: 20,
        timed: 10,
        commits: 100,
        repeats: 3,
    };

    /// What shows within a minute that everything works.
    pub const QUICK: Self = Self {
        rest: Duration::from_secs(5),
        metered: 4,
        timed: 4,
        commits: 0,
        repeats: 1,
    };
}

/// Measures an environment of each number of models, ascending.
///
/// `seeded` publishes all versions but one model's instead of training them. `say` is told how far it is.
pub fn run(
    place: &Place,
    models: &[usize],
    seeded: bool,
    effort: &Effort,
    say: &dyn Fn(&str),
) -> Result<Report> {
    if models.first().is_none_or(|models| *models == 0) || !models.is_sorted_by(|left, right| left < right) {
        bail!("--models wants numbers above 0, each larger than the one before");
    }
    let mut sizes = Vec::new();
    for models in models {
        say(&format!("{} models", grouped(*models)));
        let site = Site::new(place, *models)?;
        let measured = site.measure(seeded || *models > TRAINED_MAX, effort, say);
        sizes.push(measured.with_context(|| format!("with {} models", grouped(*models)))?);
    }
    Ok(judge::report(&sizes))
}

/// One number of models: a repository and a data directory, deleted when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) aurora: PathBuf,
    pub(crate) folder: TempDir,
    models: usize,
}

impl Site {
    pub(crate) fn new(place: &Place, models: usize) -> Result<Self> {
        if !place.aurora.is_file() {
            bail!(
                "no aurora at {}: build it with `cargo build --release`, or name it with --aurora",
                place.aurora.display()
            );
        }
        Ok(Self {
            aurora: fs::canonicalize(&place.aurora)?,
            folder: tempfile::Builder::new().prefix("aurora-scale-").tempdir()?,
            models,
        })
    }

    fn measure(&self, is_seeded: bool, effort: &Effort, say: Say<'_>) -> Result<Measured> {
        let mut measured = Measured::new(self.models);
        if is_seeded {
            self.seed(say)?;
        }
        let fleet = Fleet::declare(&self.repository(), fleet::STANDALONE, self.models)?;
        let mut answers = Answers::new(fleet.registry(&self.data()), fleet.pins());

        let mut aurora = self.start(&fleet)?;
        let patience = self.patience(is_seeded);
        let answered = answers.wait(&mut aurora, patience, say)?.all;
        let aliased = answers.wait_for_aliases(&mut aurora, patience)?;
        let convergence = if is_seeded {
            Quantity::Adoption
        } else {
            Quantity::Convergence
        };
        measured.add(convergence, answered.max(aliased).as_secs_f64());
        say("converged");

        let rest = rest(&mut aurora, effort.rest, &mut measured)?;
        measured.add(Quantity::Metrics, self.metrics(&aurora)?);
        Series {
            fleet: &fleet,
            answers: &answers,
            models: self.models,
        }
        .run(&mut aurora, rest, effort, &mut measured, say)?;

        for _ in 0..effort.repeats {
            let asked = Instant::now();
            aurora.stop()?;
            measured.add(Quantity::Stop, asked.elapsed().as_secs_f64());
            aurora = self.start(&fleet)?;
            let readiness = answers.wait(&mut aurora, patience, say)?;
            measured.add(Quantity::RestartFirst, readiness.first.as_secs_f64());
            measured.add(Quantity::RestartAll, readiness.all.as_secs_f64());
        }
        aurora.stop()?;
        say("restarted");

        for _ in 0..effort.repeats {
            let nothing = self.folder.path().join("nothing");
            measured.add(Quantity::Validate, self.validate(&fleet, &nothing)?);
            measured.add(Quantity::ValidateApplied, self.validate(&fleet, &self.data())?);
        }
        Ok(measured)
    }

    /// Trains the first model in a repository that declares no other, and publishes the others' versions.
    pub(crate) fn seed(&self, say: Say<'_>) -> Result<()> {
        let fleet = Fleet::declare(&self.repository(), fleet::STANDALONE, 1)?;
        let registry = fleet.registry(&self.data());
        let mut aurora = self.start(&fleet)?;
        Answers::new(registry.clone(), fleet.pins()).wait(&mut aurora, self.patience(true), say)?;
        aurora.stop()?;
        seed::publish(&registry, self.models, say)?;
        say("seeded");
        Ok(())
    }

    fn start(&self, fleet: &Fleet) -> Result<Aurora> {
        Aurora::start(&process::Options {
            aurora: self.aurora.clone(),
            repository: fleet.folder().to_owned(),
            environment: fleet::ENVIRONMENT.to_owned(),
            data: self.data(),
            core: None,
            wrapper: Vec::new(),
            role: process::Role::Up,
        })
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns how long anything may take before the run is given up, on a busy machine too.
    pub(crate) fn patience(&self, is_seeded: bool) -> Duration {
        let per_model = if is_seeded { 0.05 } else { 0.5 };
        #[expect(clippy::cast_precision_loss, reason = "counts of some ten thousand")]
        Duration::from_secs_f64(120.0 + self.models as f64 * per_model)
    }

    /// Returns the bytes of `/metrics` per model.
    #[expect(clippy::cast_precision_loss, reason = "sizes of a few megabytes")]
    fn metrics(&self, aurora: &Aurora) -> Result<f64> {
        let bytes = page_bytes(aurora.inference, "/metrics").context("failed to read /metrics")?;
        Ok(bytes as f64 / self.models as f64)
    }

    /// Returns how many seconds `aurora validate` takes.
    fn validate(&self, fleet: &Fleet, data: &Path) -> Result<f64> {
        let started = Instant::now();
        let output = Command::new(&self.aurora)
            .args(["validate", "--environment", fleet::ENVIRONMENT, "--repo"])
            .arg(fleet.folder())
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .output()?;
        let took = started.elapsed().as_secs_f64();
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said: String = String::from_utf8_lossy(&said).chars().take(2_000).collect();
            bail!("aurora validate ended with {}:\n{said}", output.status);
        }
        Ok(took)
    }
}

/// Waits until the process has settled, and watches it rest for `period`.
fn rest(aurora: &mut Aurora, period: Duration, measured: &mut Measured) -> Result<Spent> {
    measured.add(Quantity::Settling, settle(aurora)?.as_secs_f64());
    let before = Reading::of(aurora)?;
    while before.age() < period {
        thread::sleep(Duration::from_secs(1));
        aurora.check_running()?;
        measured.add(Quantity::Resident, megabytes(aurora.memory().resident));
    }
    let rest = Reading::of(aurora)?.since(&before);
    measured.add(Quantity::Rest, rest.share() * 100.0);
    measured.add(Quantity::Peak, megabytes(aurora.memory().peak));
    Ok(rest)
}

/// Waits until the process has settled, and returns how long that took.
pub(crate) fn settle(aurora: &Aurora) -> Result<Duration> {
    let settling = Instant::now();
    let mut last = f64::INFINITY;
    while settling.elapsed() < SETTLE_MAX {
        let before = Reading::of(aurora)?;
        thread::sleep(SETTLED_LOOK);
        let share = Reading::of(aurora)?.since(&before).share();
        if share < SETTLED_SHARE && share >= last * SETTLING_SHARE {
            break;
        }
        last = share;
    }
    Ok(settling.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
