//! `cargo xtask mutants`: changes the code in small ways, and tells which changes no test notices.
//!
//! ```text
//! cargo-mutants' list ── draw (by seed) ──> mutant ── in a worker's copy ──> tests of its crate
//!                                                                               │ all pass
//!                         caught, time-out, unviable, alive <── judge ── tests of the crates above
//! ```
//! The checkout is only read: the workers change, build and test copies of it, which go with the recipe, as does whatever
//! they have started. Results come in the order of the draw, so that those of a run that was interrupted are what a
//! smaller sample with the same seed gives, and `--after` goes on from there.

mod copy;
mod draw;
mod graph;
mod list;
mod process;
mod trial;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::copy::Copy;
use self::list::Mutant;
use self::trial::{Crates, Tested};
use self::verdict::{Table, Verdict};
use crate::workspace::Metadata;

/// The crates that decide or keep something.
const CRATES: [&str; 10] = [
    "planner",
    "crds",
    "engine",
    "registry",
    "importer",
    "trainer",
    "server",
    "reconciler",
    "standalone",
    "cli",
];
/// Files that only draw on a terminal or arrange a process, in which changes show to nobody but a person or a profiler.
const LEFT_OUT: [&str; 9] = [
    "cli/src/main.rs",
    "cli/src/clock.rs",
    "cli/src/descriptors.rs",
    "cli/src/init.rs",
    "cli/src/memory.rs",
    "cli/src/terminal.rs",
    "cli/src/terminal/",
    "cli/src/commands/up/banner.rs",
    "cli/src/commands/up/presenter.rs",
];
/// Flags of `cargo xtask mutants`.
#[derive(Debug, Args)]
pub(crate) struct MutantsArguments {
    /// How many mutants to draw
    #[arg(long, default_value_t = 100)]
    sample: usize,
    /// The seed of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of the draw an earlier run has tried, which are not tried again
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    after: usize,
    /// How many mutants are tried at a time, each in a copy of the tree
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// Only mutants of this crate [default: all that decide or keep something]
    #[arg(long = "crate", value_name = "CRATE")]
    package: Option<String>,
    /// Only mutants of files that match this glob; may be given more than once
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
}

/// Tries a sample and prints what became of each, and a table of all.
pub(crate) fn run(arguments: &MutantsArguments, root: &Path) -> Result<()> {
    let metadata = Metadata::read(root)?;
    let crates = match &arguments.package {
        Some(package) if metadata.packages.iter().any(|known| known.name == *package) => {
            vec![package.as_str()]
        }
        Some(package) => bail!("no crate {package} in this workspace: try {}", CRATES.join(", ")),
        None => CRATES.to_vec(),
    };
    let is_left_out = |path: &str| LEFT_OUT.iter().any(|start| path.starts_with(start));
    let listed = list::list(root, &crates, &arguments.file, is_left_out)?;
    let known = listed.len();
    let drawn = draw::draw(listed, arguments.sample, arguments.seed);
    say(&format!(
        "{} of {known} mutants, drawn with seed {}",
        drawn.len(),
        arguments.seed
    ));
    let Some(sample) = drawn.get(arguments.after..).filter(|sample| !sample.is_empty()) else {
        bail!("--after {} leaves none of them", arguments.after);
    };
    process::catch_interrupts()?;
    let folder = tempfile::Builder::new().prefix("aurora-mutants-").tempdir()?;
    let warm = Path::new(&metadata.target_directory);
    let copies = (0..arguments.workers)
        .map(|number| Copy::of_checkout(root, folder.path().join(number.to_string()), warm))
        .collect::<Result<Vec<_>>>()?;
    let tested = tested(&metadata, root);
    let table = try_all(sample, arguments.after, &copies, &tested)?;
    say(&format!("\n{table}"));
    folder.close().context("remove the copies")
}

/// Returns the crates of the workspace, with those above each.
fn tested(metadata: &Metadata, root: &Path) -> Crates {
    let tested = metadata.packages.iter().map(|package| {
        let folder = Path::new(&package.manifest_path)
            .parent()
            .and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok())
            .unwrap_or(Path::new(""));
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        Tested::new(
            package.name.clone(),
            roots
                .into_iter()
                .filter(|file| root.join(file).is_file())
                .collect(),
            graph::above(metadata, &package.name)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        )
    });
    tested.map(|tested| (tested.name.clone(), tested)).collect()
}

/// What became of the mutant at a place of the draw; none where the end was asked for.
type Told = (usize, Result<Option<Verdict>>);

/// Builds what the mutants of a sample are tried on, so that none is late for that; says whether the end was not asked for.
fn prepare(copy: &Copy, sample: &[Mutant], crates: &Crates) -> Result<bool> {
    let sampled: BTreeSet<&str> = sample.iter().map(|mutant| mutant.package.as_str()).collect();
    for package in crates
        .values()
        .filter(|package| sampled.contains(package.name.as_str()))
    {
        if !trial::build(copy, package)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tries all, each worker the next that nobody has taken, and counts what the beginning of the draw gave.
fn try_all(sample: &[Mutant], after: usize, copies: &[Copy], crates: &Crates) -> Result<Table> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for copy in copies {
            let sender: Sender<Told> = sender.clone();
            let next = &next;
            scope.spawn(move || {
                match prepare(copy, sample, crates) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        // Whoever reports has ended where another has failed too.
                        let _told = sender.send((0, Err(error)));
                        return;
                    }
                }
                while let Some((place, mutant)) = take(sample, next) {
                    let told = trial::attempt(copy, mutant, crates);
                    let is_last = !matches!(told, Ok(Some(_)));
                    if sender.send((place, told)).is_err() || is_last {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let table = report(sample, after, &receiver);
        // Who still works stops when a fault has ended this.
        next.store(sample.len(), Ordering::Relaxed);
        table
    })
}

fn take<'a>(sample: &'a [Mutant], next: &AtomicUsize) -> Option<(usize, &'a Mutant)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, sample.get(place)?))
}

/// Prints results in the order of the draw, of which `after` are an earlier run's, until all are there or one is missing
/// for good.
fn report(sample: &[Mutant], after: usize, receiver: &Receiver<Told>) -> Result<Table> {
    let mut table = Table::default();
    let mut early = BTreeMap::new();
    let mut printed = 0;
    for (place, told) in receiver {
        let Some(verdict) = told.with_context(|| sample[place].name.clone())? else {
            continue;
        };
        early.insert(place, verdict);
        while let Some(verdict) = early.remove(&printed) {
            let mutant = &sample[printed];
            printed += 1;
            say(&format!("{:>4} {verdict:<8} {mutant}", after + printed));
            table.add(&mutant.package, verdict);
        }
    }
    if printed < sample.len() {
        say(&format!(
            "\ninterrupted: the first {printed} of {} were tried; --after {} goes on",
            sample.len(),
            after + printed
        ));
    }
    Ok(table)
}

#[expect(clippy::print_stdout, reason = "this recipe's output")]
fn say(line: &str) {
    println!("{line}");
}
