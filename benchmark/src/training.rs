//! `benchmark training`: what a training run takes from those who ask meanwhile.
//!
//! The server has one core and the trainer shares it, which is the hardest case; the load has the other. The same open loop
//! is measured by turns without a run and beside one that is under way for the whole time.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};
use crate::load::{Load, Until};
use crate::process::{Aurora, family};
use crate::processor::{self, LOAD_CORE, SERVER_CORE};
use crate::replies::Replies;

/// How many connections the load has.
const CONNECTIONS: usize = 64;
/// How long the closed loop looks for the saturation rate.
const SATURATION_PERIOD: Duration = Duration::from_secs(5);
/// The share of it that is sent.
const LOAD: f64 = 0.5;
/// How long a round takes.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a run may take to begin, or to end once nobody wants it.
const PATIENCE: Duration = Duration::from_mins(1);
/// A load generator that is kept from its core for longer measures the machine, not the server.
const AWAY_PERCENT_MAX: f64 = 5.0;

/// The rows and columns of what is trained on: with the most trees that a job may ask for, minutes of work.
const ROWS: u32 = 200_000;
const COLUMNS: u32 = 8;

/// What one round showed.
struct Round {
    /// In milliseconds.
    p50: f64,
    p99: f64,
    failed: usize,
    away_percent: f64,
}

/// Measures `rounds` rounds of each kind.
pub fn run(place: &Place, rounds: usize) -> Result<Report> {
    if processor::cores() < 2 {
        bail!("the server and the load need a core each, and this process may use one only");
    }
    processor::pin(LOAD_CORE)?;
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(Some(SERVER_CORE))?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let stable = ground.scenario.pins(&model)?.stable;
    let request = ground.example(&model, &stable)?.request(aurora.inference, None);
    let mut load = Load::connect(aurora.inference, CONNECTIONS, Instant::now())?;
    let saturated = load.closed(&request, Until::Elapsed(SATURATION_PERIOD))?;
    #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred thousand")]
    let rate = saturated.all.len() as f64 / SATURATION_PERIOD.as_secs_f64() * LOAD;

    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        alone.push(ask(&mut load, &request, rate)?);
        declare(&ground, round)?;
        wait_until(&mut aurora, "begin", |trainers| trainers > 0)?;
        beside.push(ask(&mut load, &request, rate)?);
        if trainers(&aurora)? == 0 {
            bail!("the run ended within the {} s of a round", PERIOD.as_secs());
        }
        withdraw(&ground)?;
        wait_until(&mut aurora, "end", |trainers| trainers == 0)?;
    }
    aurora.stop()?;
    Ok(report(rate, &alone, &beside))
}

fn ask(load: &mut Load, request: &[u8], rate: f64) -> Result<Round> {
    let end = load.now() + PERIOD;
    let replies = load.open(request, rate, &mut |now| {
        if now < end {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(Round::of(&replies))
}

impl Round {
    fn of(replies: &Replies) -> Self {
        let latencies = replies.latencies(|_all| true);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few minutes")]
        let milliseconds = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50: milliseconds(0.5),
            p99: milliseconds(0.99),
            failed: replies.failures().0,
            away_percent: replies.away.as_secs_f64() / replies.span().as_secs_f64() * 100.0,
        }
    }
}

/// Commits a job, another one each round, whose run takes longer than a round.
fn declare(ground: &Ground, round: usize) -> Result<()> {
    let folder = folder(ground);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("rows.csv"), rows())?;
    let job = json!({
        "apiVersion": "aurora.io/v1alpha1",
        "kind": "MLTrainingJob",
        "metadata": { "name": "load" },
        "spec": {
            "modelName": "load",
            "version": format!("v20300101-{round:06}"),
            "dataset": { "uri": "rows.csv", "target": { "column": "y" } },
            "algorithm": "gradient_boosting",
            "hyperparameters": { "trees": 5000, "max_leaves": 255 },
            "evaluation": { "metric": "r2" },
        },
    });
    fs::write(folder.join("load.yaml"), job.to_string())?;
    let message = format!("benchmark: train beside the load, round {round}");
    ground.scenario.commit_all(&message).map(drop)
}

/// Commits that nobody wants the run any more.
fn withdraw(ground: &Ground) -> Result<()> {
    fs::remove_dir_all(folder(ground))?;
    ground.scenario.commit_all("benchmark: train no more").map(drop)
}

fn folder(ground: &Ground) -> PathBuf {
    let environments = ground.scenario.folder().join("environments");
    environments.join(ground.scenario.environment()).join("load")
}

/// Returns rows in which `y` hangs on each column.
fn rows() -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("x{column}")).collect();
    let mut text = format!("{},y\n", names.join(","));
    for _row in 0..ROWS {
        let mut sum = 0.0;
        for column in 1..=COLUMNS {
            let value = next();
            sum += (value * f64::from(column) * 3.0).sin();
            let _infallible = write!(text, "{value:.6},");
        }
        let _infallible = writeln!(text, "{sum:.6}");
    }
    text
}

/// Returns how many training runs are under way.
fn trainers(aurora: &Aurora) -> Result<usize> {
    let family = family(aurora.id())?;
    let trains = |arguments: &[String]| arguments.get(1).is_some_and(|argument| argument == "train");
    let found = family.iter().filter(|process| trains(&process.arguments));
    Ok(found.count())
}

fn wait_until(aurora: &mut Aurora, what: &str, holds: impl Fn(usize) -> bool) -> Result<()> {
    let began = Instant::now();
    while !holds(trainers(aurora)?) {
        aurora.check_running()?;
        if began.elapsed() > PATIENCE {
            let tail = aurora.output_tail();
            bail!("the run did not {what} within {} s:\n{tail}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    // What a start or an end takes by itself is over.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn report(rate: f64, alone: &[Round], beside: &[Round]) -> Report {
    let mut report = Report::new("benchmark training");
    let each = |rounds: &[Round], of: fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(of).collect() };
    report.figure("open loop", "/s", Limit::None, &[rate]);
    for (name, rounds) in [("alone", alone), ("beside a run", beside)] {
        report.figure(
            format!("p50 {name}"),
            "ms",
            Limit::None,
            &each(rounds, |round| round.p50),
        );
        report.figure(
            format!("p99 {name}"),
            "ms",
            Limit::None,
            &each(rounds, |round| round.p99),
        );
    }
    let ratios = alone.iter().zip(beside);
    let ratios: Vec<f64> = ratios.map(|(alone, beside)| beside.p99 / alone.p99).collect();
    report.figure("p99 beside a run / alone", "", Limit::None, &ratios);
    let all = || alone.iter().chain(beside);
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let failed: Vec<f64> = all().map(|round| round.failed as f64).collect();
    report.figure("failed requests", "", Limit::AtMost(0.0), &failed);
    let away: Vec<f64> = all().map(|round| round.away_percent).collect();
    let limit = Limit::MedianAtMost(AWAY_PERCENT_MAX);
    report.figure("load generator kept from its core", "%", limit, &away);
    report
}
