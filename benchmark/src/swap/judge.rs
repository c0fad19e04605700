//! Joins each answer with the commits of its time: what was declared when it was asked for, and how long ago the swap was.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::replies::{Outcome, Replies, Reply};
use crate::scenario::Pins;

/// How long after a commit an answer may still come from what it superseded.
const SUPERSEDED_MAX: Duration = Duration::from_secs(1);

/// How long after a swap its effect on latency is looked for.
const AFTER_SWAP: Duration = Duration::from_millis(500);

/// What was declared from when on; each entry is in force until the next.
#[derive(Debug)]
pub struct CommitLog {
    entries: Vec<(Duration, Pins)>,
}

/// What one run showed. Latencies in milliseconds, delays in seconds.
#[derive(Debug)]
pub struct Judgement {
    /// How many commits were made.
    pub commits: usize,
    /// Requests without a prediction.
    pub failed: usize,
    /// Answers from a track and version that no commit in force within the last second declared.
    pub superseded: usize,
    /// Answers that differ from the first one of their version.
    pub inconsistent: usize,
    /// From each commit to the first answer of its stable version; NaN if none came before the next commit.
    pub delays: Vec<f64>,
    /// The p99 of how much later than due a request was sent.
    pub late_p99: f64,
    /// How much of the time, in percent, the load generator's core did something else.
    pub away_percent: f64,
    /// The p99 of requests due between a commit and its swap.
    pub applying_p99: f64,
    /// The p99 of requests due within [`AFTER_SWAP`] after a swap.
    pub after_p99: f64,
    /// The p99 of all others.
    pub elsewhere_p99: f64,
    /// The first faults in words.
    pub notes: Vec<String>,
}

/// Where a request lies between commits and swaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Applying,
    AfterSwap,
    Elsewhere,
}

impl CommitLog {
    /// Begins with what was declared all along.
    pub fn new(declared: Pins) -> Self {
        Self {
            entries: vec![(Duration::ZERO, declared)],
        }
    }

    /// Adds a commit that was complete at `at`.
    pub fn push(&mut self, at: Duration, declared: Pins) {
        self.entries.push((at, declared));
    }

    /// Returns how many commits were made.
    pub fn commits(&self) -> usize {
        self.entries.len() - 1
    }

    /// Returns whether an answer comes from what was declared at some time from one second before it was sent until it
    /// was received.
    fn allows(&self, reply: &Reply, outcome: &Outcome) -> bool {
        let from = reply.sent.saturating_sub(SUPERSEDED_MAX);
        let first = self
            .entries
            .partition_point(|(at, _)| *at <= from)
            .saturating_sub(1);
        let in_force = self.entries[first..]
            .iter()
            .take_while(|(at, _)| *at <= reply.received);
        in_force
            .into_iter()
            .any(|(_, pins)| match outcome.track.as_str() {
                "stable" => pins.stable == outcome.version,
                "canary" => pins
                    .canary
                    .as_ref()
                    .is_some_and(|(version, _)| *version == outcome.version),
                _ => false,
            })
    }

    /// Returns each commit's time and that of the first answer of its stable version before the next commit.
    fn swaps(&self, replies: &Replies) -> Vec<(Duration, Option<Duration>)> {
        let mut swaps: Vec<_> = self.entries[1..].iter().map(|(at, _)| (*at, None)).collect();
        for reply in &replies.all {
            let outcome = replies.outcome(reply);
            let index = self.entries.partition_point(|(at, _)| *at <= reply.received) - 1;
            let is_new = outcome.track == "stable" && outcome.version == self.entries[index].1.stable;
            if let (true, Some((_, swapped))) = (is_new, index.checked_sub(1).map(|swap| &mut swaps[swap])) {
                swapped.get_or_insert(reply.received);
            }
        }
        swaps
    }
}

/// Judges the replies of one run.
pub fn judge(replies: &Replies, log: &CommitLog) -> Judgement {
    let swaps = log.swaps(replies);
    let (failed, mut notes) = replies.failures();
    let mut predictions: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut superseded, mut inconsistent) = (0, 0);
    for reply in &replies.all {
        let outcome = replies.outcome(reply);
        if !outcome.is_success() {
            continue;
        }
        if !log.allows(reply, outcome) {
            superseded += 1;
            if superseded <= 3 {
                let (track, version, at) = (&outcome.track, &outcome.version, reply.sent.as_secs_f64());
                notes.push(format!(
                    "superseded: {track} {version} for a request sent at {at:.3} s"
                ));
            }
        }
        if *predictions.entry(&outcome.version).or_insert(&outcome.body) != outcome.body {
            inconsistent += 1;
        }
    }
    let p99 = |phase: Phase| {
        let latencies = replies.latencies(|reply| phase_of(reply.due, &swaps) == phase);
        milliseconds(latencies.value_at_quantile(0.99))
    };
    let seconds = |(commit, swap): &(Duration, Option<Duration>)| {
        swap.map_or(f64::NAN, |swap| swap.saturating_sub(*commit).as_secs_f64())
    };
    Judgement {
        commits: log.commits(),
        failed,
        superseded,
        inconsistent,
        delays: swaps.iter().map(seconds).collect(),
        away_percent: 100.0 * replies.away.as_secs_f64() / replies.span().as_secs_f64(),
        late_p99: milliseconds(replies.lateness().value_at_quantile(0.99)),
        applying_p99: p99(Phase::Applying),
        after_p99: p99(Phase::AfterSwap),
        elsewhere_p99: p99(Phase::Elsewhere),
        notes,
    }
}

fn phase_of(due: Duration, swaps: &[(Duration, Option<Duration>)]) -> Phase {
    let index = swaps.partition_point(|(commit, _)| *commit <= due);
    match index.checked_sub(1).map(|index| swaps[index].1) {
        Some(None) => Phase::Applying,
        Some(Some(swap)) if due < swap => Phase::Applying,
        Some(Some(swap)) if due < swap + AFTER_SWAP => Phase::AfterSwap,
        Some(Some(_)) | None => Phase::Elsewhere,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::Phase::{AfterSwap, Applying, Elsewhere};
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pins(stable: &str, canary: Option<&str>) -> Pins {
        Pins {
            stable: stable.to_owned(),
            canary: canary.map(|version| (version.to_owned(), 10)),
        }
    }

    /// Answers at (sent in ms, track, version), each received 1 ms later.
    fn replies(answers: &[(u64, &str, &str)]) -> Replies {
        let mut replies = Replies::default();
        for (sent, track, version) in answers {
            let outcome = replies.intern_outcome(Outcome {
                status: 200,
                track: (*track).to_owned(),
                version: (*version).to_owned(),
                revision: String::new(),
                body: format!("prediction of {version}"),
            });
            replies.push(Reply {
                due: ms(*sent),
                sent: ms(*sent),
                received: ms(*sent + 1),
                outcome,
            });
        }
        replies
    }

    /// `a` with canary `b`, promoted at 2 s, reverted at 4 s.
    fn log() -> CommitLog {
        let mut log = CommitLog::new(pins("a", Some("b")));
        log.push(ms(2000), pins("b", None));
        log.push(ms(4000), pins("a", Some("b")));
        log
    }

    #[test]
    fn a_version_may_answer_for_a_second_after_it_was_superseded() {
        let cases = [
            (1998, "stable", "b", false),
            (2000, "stable", "b", true),
            (2999, "stable", "a", true),
            (3001, "stable", "a", false),
            (2999, "canary", "b", true),
            (3001, "canary", "b", false),
            (3500, "canary", "a", false),
            (4500, "stable", "b", true),
            (5001, "stable", "b", false),
            (5001, "canary", "b", true),
        ];
        for (sent, track, version, allowed) in cases {
            let judgement = judge(&replies(&[(sent, track, version)]), &log());
            assert_eq!(
                judgement.superseded == 0,
                allowed,
                "{track} {version} at {sent} ms"
            );
        }
    }

    #[test]
    fn a_request_lies_before_within_or_after_a_swap() {
        let answers = [
            (100, "stable", "a"),
            (2200, "stable", "a"),
            (2299, "stable", "b"),
            (2900, "stable", "b"),
        ];
        let judgement = judge(&replies(&answers), &log());
        assert_eq!(format!("{:?}", judgement.delays), "[0.3, NaN]");
        let swaps = log().swaps(&replies(&answers));
        let phases = [1999, 2000, 2299, 2300, 2799, 2800, 3999, 4000].map(|due| phase_of(ms(due), &swaps));
        assert_eq!(
            phases,
            [
                Elsewhere, Applying, Applying, AfterSwap, AfterSwap, Elsewhere, Elsewhere, Applying
            ]
        );
    }

    #[test]
    fn a_version_predicts_one_thing() {
        let mut two = replies(&[(0, "stable", "a"), (1, "stable", "a")]);
        let outcome = Outcome {
            status: 200,
            version: "a".to_owned(),
            track: "stable".to_owned(),
            body: "another".to_owned(),
            ..Outcome::default()
        };
        two.all[1].outcome = two.intern_outcome(outcome);
        assert_eq!(judge(&two, &log()).inconsistent, 1);
    }
}
