//! What came back: one small record per request, the distinct answers interned, and latencies over any part of them.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::http::Answer;

/// Durations are counted up to ten minutes.
const DURATION_MICROS_MAX: u64 = 600_000_000;

/// One request and what became of it. Times count from the load's origin.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// When it was due.
    pub due: Duration,
    /// When it was written to the socket.
    pub sent: Duration,
    /// When its answer was complete, or its failure seen.
    pub received: Duration,
    /// What came, as an index for [`Replies::outcome`].
    pub outcome: usize,
}

/// What an answer says, apart from its times and request id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Outcome {
    /// The status code; 0 where there was no answer.
    pub status: u16,
    /// `aurora-track`.
    pub track: String,
    /// `aurora-model-version`.
    pub version: String,
    /// `aurora-revision`.
    pub revision: String,
    /// The body, or why there was no answer.
    pub body: String,
}

/// The replies of one run, in the order in which they came.
#[derive(Debug, Default)]
pub struct Replies {
    /// Each of them.
    pub all: Vec<Reply>,
    /// How long the open loop did not run although it never waits: what others took of its core.
    pub away: Duration,
    outcomes: Vec<Outcome>,
    index: HashMap<Outcome, usize>,
    latest: Option<usize>,
}

impl Outcome {
    /// Returns the outcome of a request that got no answer.
    pub fn failed(reason: &str) -> Self {
        Self {
            body: reason.to_owned(),
            ..Self::default()
        }
    }

    /// Returns whether the request was answered with a prediction.
    pub fn is_success(&self) -> bool {
        self.status == 200
    }

    fn is(&self, answer: &Answer<'_>) -> bool {
        self.status == answer.status
            && self.track == answer.track
            && self.version == answer.version
            && self.revision == answer.revision
            && self.body.as_bytes() == answer.body
    }
}

impl Replies {
    /// Returns what came back for a reply.
    pub fn outcome(&self, reply: &Reply) -> &Outcome {
        &self.outcomes[reply.outcome]
    }

    /// Returns the distinct outcomes.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Returns how many requests were answered on a track.
    pub fn on_track(&self, track: &str) -> usize {
        self.all
            .iter()
            .filter(|reply| self.outcome(reply).track == track)
            .count()
    }

    /// Returns how many requests failed, and the first failures in words.
    pub fn failures(&self) -> (usize, Vec<String>) {
        let failed = |reply: &&Reply| !self.outcome(reply).is_success();
        let words = self.all.iter().filter(failed).take(3).map(|reply| {
            let outcome = self.outcome(reply);
            format!(
                "status {} at {:.3} s: {}",
                outcome.status,
                reply.received.as_secs_f64(),
                outcome.body
            )
        });
        (self.all.iter().filter(failed).count(), words.collect())
    }

    /// Returns the latencies from due to received of the replies that `part` picks, in microseconds.
    pub fn latencies(&self, part: impl Fn(&Reply) -> bool) -> Histogram<u64> {
        let picked = self.all.iter().filter(|reply| part(reply));
        histogram(picked.map(|reply| reply.received.saturating_sub(reply.due)))
    }

    /// Returns by how much requests were sent later than due, in microseconds.
    pub fn lateness(&self) -> Histogram<u64> {
        histogram(self.all.iter().map(|reply| reply.sent.saturating_sub(reply.due)))
    }

    /// Returns the time from the first request to the last answer.
    pub fn span(&self) -> Duration {
        let first = self.all.iter().map(|reply| reply.due).min().unwrap_or_default();
        let last = self
            .all
            .iter()
            .map(|reply| reply.received)
            .max()
            .unwrap_or_default();
        last.saturating_sub(first)
    }

    /// Adds the replies of another run.
    pub fn append(&mut self, other: &Self) {
        for reply in &other.all {
            let outcome = self.intern_outcome(other.outcome(reply).clone());
            self.all.push(Reply { outcome, ..*reply });
        }
    }

    /// Adds a reply.
    pub(crate) fn push(&mut self, reply: Reply) {
        self.all.push(reply);
    }

    /// Returns the index of an answer's outcome.
    pub(crate) fn intern(&mut self, answer: &Answer<'_>) -> usize {
        if let Some(latest) = self.latest.filter(|latest| self.outcomes[*latest].is(answer)) {
            return latest;
        }
        self.intern_outcome(Outcome {
            status: answer.status,
            track: answer.track.to_owned(),
            version: answer.version.to_owned(),
            revision: answer.revision.to_owned(),
            body: String::from_utf8_lossy(answer.body).into_owned(),
        })
    }

    /// Returns the index of an outcome.
    pub(crate) fn intern_outcome(&mut self, outcome: Outcome) -> usize {
        let index = *self.index.entry(outcome).or_insert_with_key(|outcome| {
            self.outcomes.push(outcome.clone());
            self.outcomes.len() - 1
        });
        self.latest = Some(index);
        index
    }
}

fn histogram(durations: impl Iterator<Item = Duration>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_max(DURATION_MICROS_MAX, 3).expect("invariant: valid bounds");
    for duration in durations {
        histogram.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }
    histogram
}
