//! Runs a target over mutated inputs, and keeps what it cannot take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::{Target, folder, mutate};

/// How long one input may take.
const DEADLINE: Duration = Duration::from_secs(20);

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
pub fn run(target: Target, seed: u64, runs: u64, tell: &mut dyn FnMut(u64)) -> anyhow::Result<Option<Find>> {
    let corpus = target.corpus();
    let watch = Watch::start(target, corpus.clone());
    let mut take = target.taker();
    for seed in seed..seed.saturating_add(runs) {
        let input = mutate(&corpus, seed);
        watch.begin(seed);
        let taken = catch_unwind(AssertUnwindSafe(|| take(&input)));
        watch.end();
        if taken.is_err() {
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
    fn start(target: Target, corpus: Vec<Vec<u8>>) -> Self {
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
                if started > 0 && began.elapsed() > Duration::from_millis(started - 1) + DEADLINE {
                    let seed = now[0].load(Ordering::Acquire);
                    let saved = save(target, seed, &mutate(&corpus, seed));
                    tell_of_hang(target, seed, saved);
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
fn tell_of_hang(target: Target, seed: u64, saved: anyhow::Result<PathBuf>) {
    let path = saved.map_or_else(|error| error.to_string(), |path| path.display().to_string());
    eprintln!(
        "{}: seed {seed} takes more than {} s: {path}",
        target.as_str(),
        DEADLINE.as_secs()
    );
    std::process::exit(2);
}
