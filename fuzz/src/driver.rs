//! Runs a target over mutated inputs, and keeps what it cannot take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::{Target, folder};

/// What one input may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long.
    pub time: Duration,
    /// How many bytes of memory, all that is asked for added up, and what has been asked for so far.
    pub memory: Option<(usize, fn() -> usize)>,
}

impl Default for Bounds {
    /// For a machine that has other things to do.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(20),
            memory: None,
        }
    }
}

/// An input that a target did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// What makes it from the corpus.
    pub seed: u64,
    /// Where it was saved.
    pub path: PathBuf,
}

/// Runs `runs` inputs, the first made from `seed`, and returns the first that is not taken.
///
/// An input that takes too long ends the process, once it is saved: nothing else stops it. The same goes for one that
/// takes all memory, without the saving; the seeds are printed as they pass.
pub fn run(
    target: Target,
    seed: u64,
    runs: u64,
    bounds: Bounds,
    tell: &mut dyn FnMut(u64),
) -> anyhow::Result<Option<Find>> {
    let corpus = target.corpus();
    let watch = Watch::start(target, corpus.clone(), bounds.time);
    let mut take = target.taker();
    for seed in seed..seed.saturating_add(runs) {
        let input = target.input(&corpus, seed);
        watch.begin(seed);
        let asked = || bounds.memory.map(|(_, asked)| asked());
        let before = asked();
        let taken = catch_unwind(AssertUnwindSafe(|| take(&input)));
        watch.end();
        let asked = asked().zip(before).map(|(now, before)| now - before);
        let is_too_much = bounds
            .memory
            .is_some_and(|(most, _)| asked.is_some_and(|asked| asked > most));
        if taken.is_err() || is_too_much {
            let path = save(target, seed, &input)?;
            return Ok(Some(Find { seed, path }));
        }
        tell(seed);
    }
    Ok(None)
}

fn save(target: Target, seed: u64, input: &[u8]) -> anyhow::Result<PathBuf> {
    let finds = folder().join("finds").join(target.as_str());
    std::fs::create_dir_all(&finds).with_context(|| format!("cannot make {}", finds.display()))?;
    let path = finds.join(seed.to_string());
    std::fs::write(&path, input).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Sees that no input takes for ever.
struct Watch {
    began: Instant,
    /// The seed under way, and 1 + the millisecond at which it began; 0 in between.
    now: Arc<[AtomicU64; 2]>,
    is_over: Arc<AtomicBool>,
}

impl Watch {
    fn start(target: Target, corpus: Vec<Vec<u8>>, deadline: Duration) -> Self {
        let watch = Self {
            began: Instant::now(),
            now: Arc::default(),
            is_over: Arc::default(),
        };
        let (began, now, is_over) = (watch.began, watch.now.clone(), watch.is_over.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(200));
                let started = now[1].load(Ordering::Acquire);
                if started > 0 && began.elapsed() > Duration::from_millis(started - 1) + deadline {
                    let seed = now[0].load(Ordering::Acquire);
                    let saved = save(target, seed, &target.input(&corpus, seed));
                    tell_of_hang(target, seed, deadline, saved);
                }
            }
        });
        watch
    }

    fn begin(&self, seed: u64) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.now[0].store(seed, Ordering::Release);
        self.now[1].store(elapsed + 1, Ordering::Release);
    }

    fn end(&self) {
        self.now[1].store(0, Ordering::Release);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}

#[expect(
    clippy::exit,
    clippy::print_stderr,
    reason = "the thread that hangs cannot be stopped: only the end of the process tells"
)]
fn tell_of_hang(target: Target, seed: u64, deadline: Duration, saved: anyhow::Result<PathBuf>) {
    let path = saved.map_or_else(|error| error.to_string(), |path| path.display().to_string());
    eprintln!(
        "{}: seed {seed} takes more than {} s: {path}",
        target.as_str(),
        deadline.as_secs_f64()
    );
    std::process::exit(2);
}
