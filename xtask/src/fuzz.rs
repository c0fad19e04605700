//! `cargo xtask fuzz`: runs the targets of `fuzz/` over mutated inputs, for as long as one likes.

use std::time::{Duration, Instant};

use ::fuzz::{Bounds, Find, Target};
use anyhow::bail;
use clap::Args;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Flags of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// Only this target: manifest, body, artifact, model, store or signature
    target: Option<Target>,
    /// How many inputs each target takes
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// The first seed: with --runs 1 the input of one find
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Counts what is asked for.
#[global_allocator]
static COUNTED: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// What one file of any team's may take: what is read of it, and eleven answers.
const MODEL: Bounds = Bounds {
    time: Duration::from_secs(1),
    memory: Some((256 << 20, || COUNTED.stats().bytes_allocated)),
};

#[expect(clippy::print_stdout, reason = "a recipe talks to the terminal")]
pub(crate) fn run(arguments: &FuzzArguments) -> anyhow::Result<()> {
    let targets = arguments
        .target
        .map_or_else(|| Target::ALL.to_vec(), |target| vec![target]);
    for target in targets {
        let began = Instant::now();
        let name = target.as_str();
        let bounds = match target {
            Target::Model => MODEL,
            _ => Bounds::default(),
        };
        let find = ::fuzz::run(target, arguments.seed, arguments.runs, bounds, &mut |seed| {
            if seed.is_multiple_of(10_000) {
                println!("{name}: seed {seed} after {} s", began.elapsed().as_secs());
            }
        })?;
        if let Some(Find { seed, path }) = find {
            bail!("{name}: seed {seed} is not taken: {}", path.display());
        }
        println!(
            "{name}: {} inputs in {} s, none of them a find",
            arguments.runs,
            began.elapsed().as_secs()
        );
    }
    Ok(())
}
