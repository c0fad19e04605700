//! One kill: the process runs, a commit comes, the group dies; then the restart and everything that must be true of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use benchmark::predictions::Example;
use benchmark::process::{Aurora, Options, Process, Role, family, processes};
use benchmark::scenario::Pins;

use super::disk::{Disk, Phase};
use super::scenario::{Change, ENVIRONMENT, KillScenario, MOVING, STEADY, STEADY_VERSION};
use crate::random::Random;

/// How long a start may take to converge.
const CONVERGE_WAIT_MAX: Duration = Duration::from_mins(1);

/// How long the aimed-at phase is waited for. A commit is through by then, so that the kill hits [`Phase::Idle`].
const AIM_WAIT_MAX: Duration = Duration::from_secs(20);

/// The calls between which a write is half done. Delaying them changes nothing but how long the short phases last.
const SLOWED_CALLS: &str = "fsync,fdatasync,rename,renameat,renameat2,symlink,symlinkat";
const SLOWED_BY_MICROS: u32 = 10_000;

/// Where a scenario runs.
#[derive(Debug)]
pub(super) struct Place {
    /// The `aurora` binary.
    pub(super) aurora: PathBuf,
    /// The data directory.
    pub(super) data: PathBuf,
}

/// What a kill hit.
#[derive(Debug)]
pub(super) struct Killed {
    /// The phase that the disk shows.
    pub(super) phase: Phase,
    /// How many processes died.
    pub(super) processes: usize,
}

/// Commits a change and kills the group as soon as the disk shows the phase, and a little later.
pub(super) fn kill(
    place: &Place,
    scenario: &mut KillScenario,
    aim: Phase,
    change: Change,
    random: &mut Random,
) -> Result<Killed> {
    let disk = Disk(&place.data);
    let slowed = !matches!(aim, Phase::Train | Phase::Idle);
    let mut aurora = start(place, scenario, slowed)?;
    wait_until_converged(place, scenario, &mut aurora)?;
    scenario.commit(change, random)?;
    let committed = Instant::now();
    while disk.phase(&scenario.declared) != aim && committed.elapsed() < AIM_WAIT_MAX {
        aurora.check_running()?;
        thread::sleep(Duration::from_micros(300));
    }
    let late_max = Duration::from_millis(match aim {
        Phase::Idle => 1000,
        Phase::Train => 100,
        Phase::Reconcile | Phase::Publish | Phase::Swap | Phase::Alias => 12,
    });
    thread::sleep(super::delay(late_max, random));
    let processes = aurora.usage()?.processes;
    aurora.kill()?;
    check_nobody_left(&place.data)?;
    check_versions(place).context("after the kill, before the restart")?;
    let phase = disk.phase(&scenario.declared);
    Ok(Killed { phase, processes })
}

/// The word by which the child that reads Git is known: it lives as long as its parent.
const GIT_READER: &str = "git-reader";
/// How long that child may outlive a parent that was killed.
const ORPHAN_MAX: Duration = Duration::from_secs(5);

/// Starts, waits until everything is as the head declares, checks what must be true then, and stops.
///
/// Before that, a restart is killed after each of `delays`.
pub(super) fn converge(place: &Place, scenario: &KillScenario, delays: &[Duration]) -> Result<Duration> {
    for delay in delays {
        let aurora = start(place, scenario, false)?;
        thread::sleep(*delay);
        aurora.kill()?;
        check_nobody_left(&place.data)?;
        check_versions(place).context("after the kill of a restart")?;
    }
    let mut aurora = start(place, scenario, false)?;
    wait_until_converged(place, scenario, &mut aurora)?;
    let taken = aurora.started.elapsed();
    check_versions(place).context("after the restart")?;
    if let Some(fault) = Disk(&place.data).history_fault() {
        bail!("after the restart: {fault}");
    }
    let family = family(aurora.id())?;
    let is_known = |process: &Process| process.id == aurora.id() || reads_git(process);
    ensure!(
        family.iter().all(is_known),
        "processes run although nothing is trained: {family:?}"
    );
    let status = aurora.stop()?;
    ensure!(status.success(), "SIGTERM ended it with {status}");
    check_nobody_left(&place.data)?;
    Ok(taken)
}

fn start(place: &Place, scenario: &KillScenario, slowed: bool) -> Result<Aurora> {
    let inject = format!("inject={SLOWED_CALLS}:delay_enter={SLOWED_BY_MICROS}");
    let trace = format!("trace={SLOWED_CALLS}");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    Aurora::start(&Options {
        aurora: place.aurora.clone(),
        repository: scenario.folder().to_owned(),
        environment: ENVIRONMENT.to_owned(),
        data: place.data.clone(),
        core: None,
        role: Role::Up,
        wrapper: if slowed {
            strace.map(str::to_owned).to_vec()
        } else {
            Vec::new()
        },
    })
}

/// Waits until each track predicts what its version predicts, and objects, status and aliases are as declared.
fn wait_until_converged(place: &Place, scenario: &KillScenario, aurora: &mut Aurora) -> Result<()> {
    let disk = Disk(&place.data);
    let mut missing = String::new();
    while aurora.started.elapsed() < CONVERGE_WAIT_MAX {
        aurora.check_running()?;
        match first_difference(disk, &scenario.declared, aurora) {
            None => return Ok(()),
            Some(difference) => missing = difference,
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!(
        "not converged within {} s: {missing}\n{}",
        CONVERGE_WAIT_MAX.as_secs(),
        aurora.output_tail()
    )
}

/// Returns what is not as declared.
fn first_difference(disk: Disk<'_>, declared: &Pins, aurora: &Aurora) -> Option<String> {
    let canary = declared
        .canary
        .as_ref()
        .map(|(version, _weight)| version.as_str());
    let tracks = [
        (STEADY, "stable", Some(STEADY_VERSION)),
        (MOVING, "stable", Some(declared.stable.as_str())),
        (MOVING, "canary", canary),
    ];
    for (model, track, version) in tracks {
        let Some(version) = version else { continue };
        let answers = Example::read(&disk.registry(), model, version)
            .is_some_and(|example| example.is_predicted(aurora.inference, Some(track)));
        if !answers {
            return Some(format!(
                "{model} {track} does not predict what {version} predicts"
            ));
        }
    }
    let phase = disk.phase(declared);
    if phase != Phase::Idle {
        return Some(format!("the disk is in phase {phase}"));
    }
    let left = disk.temporaries();
    (!left.is_empty()).then(|| format!("half-written files are left: {left:?}"))
}

/// Fails if a process of the data directory is left. Whoever reads Git for nobody any more has a moment to notice.
fn check_nobody_left(data: &Path) -> Result<()> {
    let data = data.to_string_lossy();
    let killed = Instant::now();
    loop {
        let mut left = processes()?;
        left.retain(|process| {
            process
                .arguments
                .iter()
                .any(|argument| argument.starts_with(&*data))
        });
        ensure!(left.is_empty(), "processes are left: {left:?}");
        let mut orphans = processes()?;
        orphans.retain(|process| process.parent == 1 && reads_git(process));
        if orphans.is_empty() {
            return Ok(());
        }
        ensure!(killed.elapsed() < ORPHAN_MAX, "processes are left: {orphans:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn reads_git(process: &Process) -> bool {
    process.arguments.iter().any(|argument| argument == GIT_READER)
}

/// Fails if a version that can be seen is not whole.
fn check_versions(place: &Place) -> Result<()> {
    let registry = Disk(&place.data).registry();
    if !registry.join("aurora").is_dir() {
        return Ok(());
    }
    let output = Command::new(&place.aurora)
        .args(["model", "verify", "--registry"])
        .arg(&registry)
        .output()?;
    ensure!(
        output.status.success(),
        "aurora model verify ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
