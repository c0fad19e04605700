//! Asking for a fetch before its time, and being told of what one brought.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::schedule::{SETTLE, SETTLE_MAX};

/// Asks for a fetch now. However often it is asked within a burst, one fetch comes of it. Who wants to is told once something
/// new was fetched.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    state: Mutex<State>,
    changed: Condvar,
    told: Mutex<Told>,
}

/// What is called once something new was fetched.
#[derive(Default)]
struct Told(Vec<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Told").field(&self.0.len()).finish()
    }
}

#[derive(Debug, Default)]
struct State {
    /// When it was first asked, and when last, since the last fetch.
    asked: Option<(Instant, Instant)>,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is time.
    Due,
    /// Somebody asked.
    Asked,
    /// Nobody needs anything any more.
    Over,
}

impl Nudge {
    /// Asks for a fetch as soon as nobody else asks for a moment.
    pub fn nudge(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let first = state.asked.map_or(now, |(first, _)| first);
        state.asked = Some((first, now));
        self.0.changed.notify_all();
    }

    /// Has `told` called, on the thread that fetches, whenever another commit was fetched.
    pub fn on_fetched(&self, told: impl Fn() + Send + Sync + 'static) {
        self.told().0.push(Box::new(told));
    }

    pub(super) fn fetched(&self) {
        for told in &self.told().0 {
            told();
        }
    }

    /// Lets who waits look whether it is over.
    pub(super) fn wake(&self) {
        let _held = self.state();
        self.0.changed.notify_all();
    }

    /// Waits until it is time, or somebody asked and nobody else did for a moment, or until it is over.
    pub(super) fn wait(&self, time: Duration, is_over: &AtomicBool) -> Ended {
        let due = Instant::now() + time;
        let mut state = self.state();
        loop {
            if is_over.load(Ordering::SeqCst) {
                return Ended::Over;
            }
            let now = Instant::now();
            let settled = state
                .asked
                .map(|(first, last)| (last + SETTLE).min(first + SETTLE_MAX));
            let (until, ended) = match settled {
                Some(settled) if settled <= due => (settled, Ended::Asked),
                Some(_) | None => (due, Ended::Due),
            };
            if until <= now {
                state.asked = None;
                return ended;
            }
            let waited = self.0.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn a_burst_is_one_and_what_comes_later_another() {
        let nudge = Nudge::default();
        let is_over = AtomicBool::new(false);
        assert_eq!(nudge.wait(Duration::ZERO, &is_over), Ended::Due);
        let asking = nudge.clone();
        let asker = std::thread::spawn(move || (0..200).for_each(|_| asking.nudge()));
        asker.join().unwrap();
        assert_eq!(nudge.wait(LONG, &is_over), Ended::Asked);
        assert_eq!(nudge.wait(Duration::from_millis(1), &is_over), Ended::Due);
        nudge.nudge();
        assert_eq!(nudge.wait(LONG, &is_over), Ended::Asked);
    }

    #[test]
    fn who_never_stops_asking_is_answered_all_the_same() {
        let nudge = Nudge::default();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    nudge.nudge();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            assert_eq!(nudge.wait(LONG, &is_over), Ended::Asked);
            is_over.store(true, Ordering::SeqCst);
            nudge.wake();
            assert_eq!(nudge.wait(LONG, &is_over), Ended::Over);
        });
    }
}
