//! `cargo xtask kill`: SIGKILL to the whole process group, aimed at every phase of a commit's way to the traffic.
//!
//! Each run commits a change, waits until the disk shows the phase that was hit least, kills, looks, restarts, and waits
//! until what is served, the aliases and the registry are what the commit says.

mod disk;
mod round;
mod scenario;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::disk::Phase;
use self::round::Place;
use self::scenario::{Change, KillScenario};
use crate::random::Random;

/// How often each phase must be hit.
const HITS_MIN: usize = 5;

/// A restart that is killed too lives at most this long: enough to begin a training run.
const RESTART_KILLED_WITHIN: Duration = Duration::from_millis(150);

/// Flags of `cargo xtask kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArguments {
    /// How many kills
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// The seed of which change is made and when the kill comes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The aurora binary [default: target/release/aurora]
    #[arg(long)]
    aurora: Option<PathBuf>,
}

/// Kills and restarts; fails if a restart does not converge or a phase was hit too seldom.
pub(crate) fn run(arguments: &KillArguments) -> Result<()> {
    let aurora = arguments.aurora.clone().unwrap_or_else(release_binary);
    if !aurora.is_file() {
        bail!(
            "no aurora at {}: build it with `cargo build --release`, or name it with --aurora",
            aurora.display()
        );
    }
    if Command::new("strace").arg("-V").output().is_err() {
        bail!("no strace: it makes the short phases long enough to be hit; install it");
    }
    let folder = tempfile::Builder::new().prefix("aurora-kill-").tempdir()?;
    let mut random = Random::new(arguments.seed);
    let mut scenario = KillScenario::new(&folder.path().join("clone"))?;
    let place = Place {
        aurora,
        data: folder.path().join("data"),
    };
    round::converge(&place, &scenario, &[]).context("the first start")?;
    let mut hits: BTreeMap<Phase, usize> = Phase::ALL.into_iter().map(|phase| (phase, 0)).collect();
    for number in 1..=arguments.runs {
        let aim = least_hit(&hits, &mut random);
        let change = Change::for_phase(aim, &scenario.declared, &mut random);
        let killed = round::kill(&place, &mut scenario, aim, change, &mut random)
            .with_context(|| format!("run {number}: {change}, kill aimed at {aim}"))?;
        // More kills than a failing run has attempts: none of them may count as one.
        let again = if random.below(4) == 0 { 4 } else { 0 };
        let delays: Vec<_> = (0..again)
            .map(|_| delay(RESTART_KILLED_WITHIN, &mut random))
            .collect();
        let converged = round::converge(&place, &scenario, &delays)
            .with_context(|| format!("run {number}: {change}, killed in {}", killed.phase))?;
        *hits.entry(killed.phase).or_default() += 1;
        say(&format!(
            "{number:>3}: {change}, killed in {} ({} processes){}, converged in {:.2} s",
            killed.phase,
            killed.processes,
            if again > 0 { ", and four restarts" } else { "" },
            converged.as_secs_f64()
        ));
    }
    for (phase, count) in &hits {
        say(&format!("{phase:>9}: {count} kills"));
    }
    let seldom: Vec<String> = hits
        .iter()
        .filter(|(_, count)| **count < HITS_MIN)
        .map(|(phase, _)| phase.to_string())
        .collect();
    if !seldom.is_empty() {
        bail!(
            "hit less than {HITS_MIN} times: {}; give more --runs or another --seed",
            seldom.join(", ")
        );
    }
    say(&format!(
        "{} kills, every restart converged by itself (seed {})",
        arguments.runs, arguments.seed
    ));
    Ok(())
}

/// Returns `release/aurora` in the target directory that this program lies in, as `debug/xtask` or `release/xtask`.
fn release_binary() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let target = here.ancestors().nth(2).unwrap_or(Path::new("target"));
    target.join("release/aurora")
}

/// Returns whole milliseconds below `bound`.
fn delay(bound: Duration, random: &mut Random) -> Duration {
    let millis = usize::try_from(bound.as_millis()).expect("invariant: bounds are short");
    Duration::from_millis(random.below(millis) as u64)
}

/// Returns a phase that was hit least often.
fn least_hit(hits: &BTreeMap<Phase, usize>, random: &mut Random) -> Phase {
    let least = hits.values().min().copied().unwrap_or(0);
    let candidates: Vec<Phase> = hits
        .iter()
        .filter(|(_, count)| **count == least)
        .map(|(phase, _)| *phase)
        .collect();
    candidates[random.below(candidates.len())]
}

#[expect(clippy::print_stdout, reason = "this recipe's output")]
fn say(line: &str) {
    println!("{line}");
}
