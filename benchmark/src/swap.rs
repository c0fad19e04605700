//! `benchmark swap`: promotions and reverts under an open loop, each answer joined with the commits of its time.
//!
//! The server has one core, the load (and the commits) the other. Latencies count from when a request was due.

pub mod judge;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use git2::Oid;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};
use crate::load::{Load, Until};
use crate::process::Aurora;
use crate::processor::{self, LOAD_CORE, SERVER_CORE};
use crate::replies::Replies;
use crate::scenario::Pins;
use judge::{CommitLog, Judgement};

const CONNECTIONS: usize = 64;

/// How long the closed loop looks for the saturation rate.
const SATURATION_PERIOD: Duration = Duration::from_secs(5);

/// Commits are at least this far apart, so that a superseded version has time to show itself.
const COMMIT_GAP: Duration = Duration::from_millis(1200);

/// By how much gaps are longer, at most.
const COMMIT_GAP_SPREAD: Duration = Duration::from_millis(500);

/// How often the p99 near a swap may be the one elsewhere.
const RATIO_MAX: f64 = 2.0;

/// A load generator that is kept from its core for longer measures the machine, not the server.
const AWAY_PERCENT_MAX: f64 = 5.0;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Open-loop runs; the ratio's median is held against its limit.
    pub runs: usize,
    /// Commits in each run: an even number, so that each run begins and ends with what the environment declares.
    pub commits: usize,
    /// The share of the saturation rate that the open loop sends.
    pub load: f64,
}

/// The two states between which commits go back and forth.
struct Trees {
    /// What the environment declares: a stable version and a canary.
    declared: (Oid, Pins),
    /// The canary promoted to stable.
    promoted: (Oid, Pins),
}

/// Measures it.
pub fn run(place: &Place, effort: Effort) -> Result<Report> {
    if processor::cores() < 2 {
        bail!("the server and the load need a core each, and this process may use one only");
    }
    if !effort.commits.is_multiple_of(2) {
        bail!("each promotion has its revert: the number of commits must be even");
    }
    processor::pin(LOAD_CORE)?;
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(Some(SERVER_CORE))?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let declared = ground.scenario.pins(&model)?;
    let (canary, _weight) = declared
        .canary
        .clone()
        .context("invariant: the model has a canary")?;
    let promoted = Pins {
        stable: canary.clone(),
        canary: None,
    };
    let trees = Trees {
        declared: (ground.scenario.tree(&model, &declared)?, declared.clone()),
        promoted: (ground.scenario.tree(&model, &promoted)?, promoted),
    };
    let example = ground.example(&model, &declared.stable)?;
    let request = example.request(aurora.inference, None);

    let mut load = Load::connect(aurora.inference, CONNECTIONS, Instant::now())?;
    let saturated = load.closed(&request, Until::Elapsed(SATURATION_PERIOD))?;
    #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred thousand")]
    let saturation = saturated.all.len() as f64 / SATURATION_PERIOD.as_secs_f64();
    drop(load);

    let rate = saturation * effort.load;
    let mut judgements = Vec::new();
    for _ in 0..effort.runs {
        let (replies, log) = swap_under_load(&ground, &aurora, &trees, &request, effort, rate)?;
        judgements.push(judge::judge(&replies, &log));
        aurora.check_running()?;
    }
    aurora.stop()?;
    Ok(report(saturation, rate, &saturated, &judgements))
}

/// Sends requests while commits promote and revert in turn.
fn swap_under_load(
    ground: &Ground,
    aurora: &Aurora,
    trees: &Trees,
    request: &[u8],
    effort: Effort,
    rate: f64,
) -> Result<(Replies, CommitLog)> {
    let origin = Instant::now();
    let mut load = Load::connect(aurora.inference, CONNECTIONS, origin)?;
    let mut log = CommitLog::new(trees.declared.1.clone());
    let mut failure = None;
    let mut due = load.now() + gap(0);
    let mut commit_when_due = |now: Duration| {
        let done = log.commits();
        if now < due {
            return ControlFlow::Continue(());
        }
        if done == effort.commits {
            return ControlFlow::Break(());
        }
        let (tree, pins) = if done.is_multiple_of(2) {
            &trees.promoted
        } else {
            &trees.declared
        };
        if let Err(error) = ground.scenario.commit_tree(*tree, "benchmark: swap") {
            failure = Some(error);
            return ControlFlow::Break(());
        }
        let committed = origin.elapsed();
        log.push(committed, pins.clone());
        due = committed + gap(done + 1);
        ControlFlow::Continue(())
    };
    let replies = load.open(request, rate, &mut commit_when_due)?;
    match failure {
        Some(error) => Err(error.context("failed to commit")),
        None => Ok((replies, log)),
    }
}

/// Returns the time before the n-th commit: it walks by the golden ratio, so that no phase of a poll is favoured.
#[expect(clippy::cast_precision_loss, reason = "a count of hundreds")]
fn gap(number: usize) -> Duration {
    let place = (number as f64 * 0.618_033_988_749_894_9).fract();
    COMMIT_GAP + COMMIT_GAP_SPREAD.mul_f64(place)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few million")]
fn report(saturation: f64, rate: f64, saturated: &Replies, judgements: &[Judgement]) -> Report {
    let mut report = Report::new("benchmark swap");
    let each = |of: &dyn Fn(&Judgement) -> f64| -> Vec<f64> { judgements.iter().map(of).collect() };
    report.figure("saturation, closed loop", "/s", Limit::None, &[saturation]);
    report.figure("open loop", "/s", Limit::None, &[rate]);
    report.figure("commits", "", Limit::None, &each(&|run| run.commits as f64));
    report.figure("sent late by, p99", "ms", Limit::None, &each(&|run| run.late_p99));
    let name = "load generator kept from its core";
    report.figure(
        name,
        "%",
        Limit::MedianAtMost(AWAY_PERCENT_MAX),
        &each(&|run| run.away_percent),
    );
    let failed = saturated.failures();
    let mut failures = each(&|run| run.failed as f64);
    failures.push(failed.0 as f64);
    report.figure("failed requests", "", Limit::AtMost(0.0), &failures);
    report.figure(
        "superseded for over 1 s",
        "",
        Limit::AtMost(0.0),
        &each(&|run| run.superseded as f64),
    );
    let name = "answers that differ within a version";
    report.figure(
        name,
        "",
        Limit::AtMost(0.0),
        &each(&|run| run.inconsistent as f64),
    );
    let delays: Vec<f64> = judgements
        .iter()
        .flat_map(|run| run.delays.iter().copied())
        .collect();
    report.figure("commit to first answer", "s", Limit::AtMost(1.0), &delays);
    report.figure(
        "p99 elsewhere",
        "ms",
        Limit::None,
        &each(&|run| run.elsewhere_p99),
    );
    report.figure(
        "p99 from commit to swap",
        "ms",
        Limit::None,
        &each(&|run| run.applying_p99),
    );
    report.figure(
        "p99 within 500 ms after a swap",
        "ms",
        Limit::None,
        &each(&|run| run.after_p99),
    );
    let limit = Limit::MedianAtMost(RATIO_MAX);
    let ratios = each(&|run| run.applying_p99 / run.elsewhere_p99);
    report.figure("p99 from commit to swap / elsewhere", "", limit, &ratios);
    let ratios = each(&|run| run.after_p99 / run.elsewhere_p99);
    report.figure("p99 after a swap / elsewhere", "", limit, &ratios);
    for note in failed
        .1
        .iter()
        .chain(judgements.iter().flat_map(|run| &run.notes))
    {
        report.note(note);
    }
    report
}
