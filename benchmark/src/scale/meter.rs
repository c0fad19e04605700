//! Processor time of an `aurora up` to the microsecond, where `/proc/PID/stat` counts in hundredths of a second.
//!
//! A commit costs a few milliseconds, in the server and in the child that reads Git. The scheduler counts the nanoseconds
//! of each thread that lives; threads and processes that have ended are in the ticks alone.

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
    /// The server and its children, by their ids.
    living: BTreeMap<u32, Used>,
    /// The time of all processes that these have waited for, in ticks.
    ended: Duration,
}

/// What one process that lives has used.
#[derive(Debug, Clone, Default, PartialEq)]
struct Used {
    /// Thread → time, as the scheduler counts it.
    threads: BTreeMap<u32, Duration>,
    /// The process's own time in ticks, with that of threads that have ended.
    ticks: Duration,
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
        let (mut living, mut ended) = (BTreeMap::new(), Duration::ZERO);
        for process in process::family(aurora.id())? {
            ended += process.processor.saturating_sub(process.processor_own);
            let used = Used {
                threads: threads(process.id),
                ticks: process.processor_own,
            };
            living.insert(process.id, used);
        }
        Ok(Self {
            at: Instant::now(),
            living,
            ended,
        })
    }

    /// Returns how long ago it was taken.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Returns what was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Spent {
        let none = Used::default();
        let living = self.living.iter();
        let living: Duration = living
            .map(|(id, used)| used.since(before.living.get(id).unwrap_or(&none)))
            .sum();
        // What has ended since was there before, with what it had used by then.
        let gone = before
            .living
            .iter()
            .filter(|(id, _)| !self.living.contains_key(id));
        let known: Duration = gone.map(|(_, used)| used.ticks).sum();
        Spent {
            processor: living + self.ended.saturating_sub(before.ended + known),
            wall: self.at.saturating_duration_since(before.at),
        }
    }
}

impl Used {
    fn since(&self, before: &Self) -> Duration {
        let threads = self.threads.iter();
        let exact: Duration = threads
            .map(|(id, time)| time.saturating_sub(before.threads.get(id).copied().unwrap_or_default()))
            .sum();
        // Where the ticks say clearly more, threads that have ended took it.
        exact.max(
            self.ticks
                .saturating_sub(before.ticks)
                .saturating_sub(TICKS_ERROR),
        )
    }
}

/// Reads the clock of each thread of a process; none for one that has ended.
fn threads(process: u32) -> BTreeMap<u32, Duration> {
    let entries = fs::read_dir(format!("/proc/{process}/task"));
    let entries = entries.into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            // A thread may end between the listing and the read.
            let schedule = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            Some((id, on_processor(&schedule)?))
        })
        .collect()
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
    fn threads_count_exactly_and_what_has_ended_by_its_ticks() {
        type Processes<'a> = &'a [(u32, &'a [(u32, u64)], u64)];
        let at = Instant::now();
        let reading = |seconds: u64, living: Processes<'_>, ended: u64| Reading {
            at: at + Duration::from_secs(seconds),
            living: living
                .iter()
                .map(|(id, threads, ticks)| {
                    let threads = threads.iter().map(|(id, time)| (*id, millis(*time))).collect();
                    let ticks = millis(*ticks);
                    (*id, Used { threads, ticks })
                })
                .collect(),
            ended: millis(ended),
        };
        let server: (u32, &[(u32, u64)], u64) = (1, &[(1, 100), (2, 50)], 150);
        let child: (u32, &[(u32, u64)], u64) = (8, &[(8, 40)], 40);
        let before = reading(0, &[server, child], 10);
        let check = |living: Processes<'_>, ended: u64, processor: u64| {
            let after = reading(2, living, ended);
            assert_eq!(after.since(&before).processor, millis(processor), "{after:?}");
        };
        check(&[server, child], 10, 0);
        check(&[(1, &[(1, 103), (2, 50), (3, 4)], 160), child], 10, 7);
        // What the child that reads Git takes counts as exactly.
        check(&[server, (8, &[(8, 43)], 40)], 10, 3);
        // A training came and went.
        check(&[server, child], 40, 30);
        // Thread 2 has ended after 500 ms of work.
        check(&[(1, &[(1, 103)], 650), child], 10, 480);
        // The child has ended, 20 ms after its last reading; another took its place.
        check(&[server, (9, &[(9, 5)], 10)], 70, 25);
        assert_eq!(reading(2, &[], 10).since(&before).wall, millis(2000));
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
