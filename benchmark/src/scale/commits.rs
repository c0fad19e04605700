//! Commits that each move the weight of one model's canary: what they cost, and how soon traffic follows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::answers::Answers;
use super::client::Client;
use super::fleet::{self, Fleet};
use super::judge::{Measured, Quantity};
use super::meter::{Reading, Spent};
use super::{Effort, Say, megabytes};
use crate::process::Aurora;

/// How far apart metered commits are: all that one causes is over by then.
const SPACING: Duration = Duration::from_millis(1_500);
/// How often it is asked who answers while a commit is timed.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How often it is asked where nothing is timed.
const ASK_SELDOM: Duration = Duration::from_millis(50);
/// How long traffic may take to follow before the run is given up.
const FOLLOW_MAX: Duration = Duration::from_mins(1);
/// How many commits are metered after many.
const LATE: usize = 5;

/// What commits are made on, and how their effect is seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) answers: &'a Answers,
    pub(super) models: usize,
}

/// One commit of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Move {
    /// The model's index.
    index: usize,
    /// The canary's weight from now on: 0 or 100, so that one answer tells whether it is in force.
    weight: u8,
}

impl Series<'_> {
    /// Meters commits, times others, and looks at both again after many.
    pub(super) fn run(
        &self,
        aurora: &mut Aurora,
        rest: Spent,
        effort: &Effort,
        measured: &mut Measured,
        say: Say<'_>,
    ) -> Result<()> {
        let mut moves = moves(fleet::canaries(self.models).len());
        let mut next = || moves.next().unwrap_or(Move { index: 0, weight: 0 });
        let first = Reading::of(aurora)?;
        for _ in 0..effort.metered {
            let cost = self.metered(aurora, next(), rest)?;
            measured.add(Quantity::Commit, cost);
        }
        let all = Reading::of(aurora)?.since(&first);
        #[expect(clippy::cast_precision_loss, reason = "some twenty commits")]
        measured.add(Quantity::CommitMean, all.beyond(rest) / effort.metered as f64);
        for _ in 0..effort.timed {
            let took = self.follow(aurora, next(), ASK_EVERY)?;
            measured.add(Quantity::Traffic, took.as_secs_f64() * 1e3);
            // Else each commit would meet the reconciler at the same moment of its poll.
            thread::sleep(Duration::from_millis(337));
        }
        say("commits measured");
        if effort.commits == 0 {
            return Ok(());
        }
        for _ in effort.metered + effort.timed..effort.commits {
            self.follow(aurora, next(), ASK_SELDOM)?;
        }
        thread::sleep(SPACING);
        measured.add(Quantity::ResidentLate, megabytes(aurora.memory().resident));
        for _ in 0..LATE {
            let cost = self.metered(aurora, next(), rest)?;
            measured.add(Quantity::CommitLate, cost);
        }
        Ok(())
    }

    /// Returns the milliseconds of processor time that a commit costs beyond rest. Nobody asks while it is at work.
    fn metered(&self, aurora: &mut Aurora, step: Move, rest: Spent) -> Result<f64> {
        let before = Reading::of(aurora)?;
        self.fleet.move_weight(step.index, step.weight)?;
        while before.age() < SPACING {
            thread::sleep(SPACING.saturating_sub(before.age()));
        }
        // A commit that takes longer than that is metered to its end.
        self.wait_for(aurora, step, ASK_SELDOM)?;
        Ok(Reading::of(aurora)?.since(&before).beyond(rest))
    }

    /// Commits, and returns how long it took until an answer followed.
    fn follow(&self, aurora: &mut Aurora, step: Move, ask_every: Duration) -> Result<Duration> {
        self.fleet.move_weight(step.index, step.weight)?;
        let committed = Instant::now();
        self.wait_for(aurora, step, ask_every)?;
        Ok(committed.elapsed())
    }

    /// Waits until an answer comes from the track that a weight of 0 or 100 sends all requests to.
    fn wait_for(&self, aurora: &mut Aurora, step: Move, ask_every: Duration) -> Result<()> {
        let model = fleet::model_name(step.index);
        let track = if step.weight == 0 { "stable" } else { "canary" };
        let mut client = Client::new(aurora.inference);
        let request = self.answers.request(&model, client.address())?;
        let started = Instant::now();
        while started.elapsed() < FOLLOW_MAX {
            let reply = client.ask(&request)?;
            if reply.status != 200 {
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                bail!("{model} answers {} after a commit: {body}", reply.status);
            }
            if reply.track == track {
                return Ok(());
            }
            aurora.check_running()?;
            thread::sleep(ask_every);
        }
        bail!(
            "{model} is not answered by {track} {} s after the commit:\n{}",
            FOLLOW_MAX.as_secs(),
            aurora.output_tail()
        )
    }
}

/// Returns commits without end, each on another model than the one before: all to 100, then all to 0, from 0.
fn moves(canaries: usize) -> impl Iterator<Item = Move> {
    let turn = move |weight| (0..canaries).map(move |index| Move { index, weight });
    [100, 0].into_iter().cycle().flat_map(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_changes_a_weight() {
        let mut weights = [0; 3];
        for step in moves(3).take(20) {
            assert_ne!(weights[step.index], step.weight, "{step:?}");
            weights[step.index] = step.weight;
        }
        assert_eq!(
            moves(1).take(3).map(|step| step.weight).collect::<Vec<_>>(),
            [100, 0, 100]
        );
    }
}
