//! Processor time of an `aurora up` to the microsecond, where `/proc/PID/stat` counts in hundredths of a second.
//!
//! A commit costs a few milliseconds. The scheduler counts the nanoseconds of each thread that lives; threads that have
//! ended and child processes are in the ticks alone.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{self, Aurora};

/// How far the ticks of one process may be off over any window: two, one for each of its two counters.
const TICKS_ERROR: Duration = Duration::from_millis(20);

/// The processor time that was used up to a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    at: Instant,
    /// Thread → time, as the scheduler counts it.
    threads: BTreeMap<u32, Duration>,
    /// The server process's own time in ticks, with that of threads that have ended.
    own: Duration,
    /// The time of all children that live or were waited for, in ticks.
    children: Duration,
}

/// What was used between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spent {
    /// Processor time.
    pub(crate) processor: Duration,
    /// Time on the wall.
    pub(crate) wall: Duration,
}

impl Reading {
    /// Reads the clocks of a process and of its children.
    pub(crate) fn of(aurora: &Aurora) -> Result<Self> {
        let (mut own, mut children) = (Duration::ZERO, Duration::ZERO);
        for process in process::family(aurora.id())? {
            if process.id == aurora.id() {
                own = process.processor_own;
                children += process.processor.saturating_sub(process.processor_own);
            } else {
                children += process.processor;
            }
        }
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", aurora.id()))? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread may end between the listing and the read.
            let schedule = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            if let (Some(id), Some(time)) = (id, on_processor(&schedule)) {
                threads.insert(id, time);
            }
        }
        Ok(Self {
            at: Instant::now(),
            threads,
            own,
            children,
        })
    }

    /// Returns how long ago it was taken.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Returns what was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Spent {
        let exact: Duration = self
            .threads
            .iter()
            .map(|(id, time)| time.saturating_sub(before.threads.get(id).copied().unwrap_or_default()))
            .sum();
        let ticks = self.own.saturating_sub(before.own);
        // Where the ticks say clearly more, threads that have ended took it.
        let own = exact.max(ticks.saturating_sub(TICKS_ERROR));
        Spent {
            processor: own + self.children.saturating_sub(before.children),
            wall: self.at.saturating_duration_since(before.at),
        }
    }
}

impl Spent {
    /// Returns the processor time as a share of one core.
    pub(crate) fn share(self) -> f64 {
        self.processor.as_secs_f64() / self.wall.as_secs_f64()
    }

    /// Returns the milliseconds of processor time beyond what rest takes over the same time; below 0 for noise.
    pub(crate) fn beyond(self, rest: Self) -> f64 {
        (self.processor.as_secs_f64() - rest.share() * self.wall.as_secs_f64()) * 1e3
    }
}

/// Reads the time on a processor out of a `schedstat`, in nanoseconds there.
fn on_processor(schedule: &str) -> Option<Duration> {
    let nanoseconds = schedule.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn threads_count_exactly_and_ended_ones_by_their_ticks() {
        let at = Instant::now();
        let reading = |seconds: u64, threads: &[(u32, u64)], own: u64, children: u64| Reading {
            at: at + Duration::from_secs(seconds),
            threads: threads.iter().map(|(id, time)| (*id, millis(*time))).collect(),
            own: millis(own),
            children: millis(children),
        };
        let before = reading(0, &[(1, 100), (2, 50)], 150, 10);
        let check = |after: Reading, processor: u64| {
            assert_eq!(after.since(&before).processor, millis(processor), "{after:?}");
        };
        check(reading(2, &[(1, 103), (2, 50), (3, 4)], 160, 10), 7);
        check(reading(2, &[(1, 103), (2, 50)], 150, 40), 33);
        // Thread 2 has ended after 500 ms of work.
        check(reading(2, &[(1, 103)], 650, 10), 480);
        assert_eq!(reading(2, &[], 150, 10).since(&before).wall, millis(2000));
    }

    #[test]
    fn rest_is_taken_off_for_as_long_as_the_work_took() {
        let rest = Spent {
            processor: millis(300),
            wall: millis(30_000),
        };
        let work = Spent {
            processor: millis(45),
            wall: millis(1500),
        };
        assert!((rest.share() - 0.01).abs() < 1e-12);
        assert!((work.beyond(rest) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_schedule_is_read_by_its_first_number() {
        let check = |text: &str, expect: Option<Duration>| assert_eq!(on_processor(text), expect, "{text:?}");
        check("63459 12 1\n", Some(Duration::from_nanos(63_459)));
        check("", None);
        check("x 1 2", None);
    }
}
