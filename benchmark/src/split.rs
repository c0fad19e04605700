//! `benchmark split`: what a commit that moves the weight does to the very next requests, counted one by one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};
use crate::load::{Load, Until};
use crate::process::Aurora;
use crate::replies::Replies;
use crate::scenario::Pins;

/// The weights in the order in which commits declare them; each differs from the one before.
const WEIGHTS: [u8; 8] = [0, 1, 10, 50, 99, 100, 10, 0];

/// How many requests in a row are counted.
const ROW: usize = 1000;

/// How far a row may be from its weight; weights 0 and 100 are exact.
const ROW_DEVIATION_MAX: f64 = 2.0;

/// A commit counts from now on.
const COMMIT_WAIT: Duration = Duration::from_secs(1);

/// How far the [`ROW`] own requests of a client that is every tenth one may be from their weight. The golden-ratio
/// sequence taken ten apart is within 6 of every weight, wherever the client begins (see the test).
const TENTH_DEVIATION_MAX: f64 = 6.0;

/// What was seen, for all weights and connections.
#[derive(Debug, Default)]
struct Seen {
    rows: Vec<(usize, Vec<f64>)>,
    exact: Vec<f64>,
    tenth: Vec<f64>,
    changed: Vec<f64>,
    failed: usize,
    notes: Vec<String>,
}

/// Moves the canary's weight by commits and counts who answers.
pub fn run(place: &Place) -> Result<Report> {
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(None)?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let pins = ground.scenario.pins(&model)?;
    let (canary, _weight) = pins.canary.clone().context("invariant: the model has a canary")?;
    let request = ground
        .example(&model, &pins.stable)?
        .request(aurora.inference, None);
    let mut seen = Seen::default();
    for weight in WEIGHTS {
        let mut load = Load::connect(aurora.inference, 1, Instant::now())?;
        let canary = Some((canary.clone(), weight));
        let stable = pins.stable.clone();
        let message = format!("{model}: weight {weight}");
        ground
            .scenario
            .commit(&model, &Pins { stable, canary }, &message)?;
        let committed = load.now();
        let replies = load.closed(&request, Until::Elapsed(COMMIT_WAIT))?;
        seen.note_failures(&replies);
        seen.changed.push(changed_after(&replies, weight, committed));
        seen.count_rows(&aurora, &request, weight)?;
        seen.count_tenths(&aurora, &request, weight)?;
        aurora.check_running()?;
    }
    aurora.stop()?;
    Ok(seen.report())
}

impl Seen {
    fn count_rows(&mut self, aurora: &Aurora, request: &[u8], weight: u8) -> Result<()> {
        for connections in [1, 8, 64] {
            let mut load = Load::connect(aurora.inference, connections, Instant::now())?;
            let replies = load.closed(request, Until::Requests(ROW))?;
            self.note_failures(&replies);
            let deviation = deviation(&replies, weight);
            match self.rows.iter_mut().find(|(counted, _)| *counted == connections) {
                _ if weight == 0 || weight == 100 => self.exact.push(deviation),
                Some((_, row)) => row.push(deviation),
                None => self.rows.push((connections, vec![deviation])),
            }
        }
        Ok(())
    }

    /// Nine requests of other clients, then one of ours, on two connections in strict order.
    fn count_tenths(&mut self, aurora: &Aurora, request: &[u8], weight: u8) -> Result<()> {
        let origin = Instant::now();
        let mut others = Load::connect(aurora.inference, 1, origin)?;
        let mut ours = Load::connect(aurora.inference, 1, origin)?;
        let mut replies = Replies::default();
        for _ in 0..ROW {
            let theirs = others.closed(request, Until::Requests(9))?;
            self.note_failures(&theirs);
            replies.append(&ours.closed(request, Until::Requests(1))?);
        }
        self.note_failures(&replies);
        self.tenth.push(deviation(&replies, weight));
        Ok(())
    }

    fn note_failures(&mut self, replies: &Replies) {
        let (count, words) = replies.failures();
        self.failed += count;
        self.notes.extend(words);
        self.notes.truncate(10);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
    fn report(self) -> Report {
        let mut report = Report::new("benchmark split");
        report.figure(
            "commit to changed split",
            "s",
            Limit::AtMost(COMMIT_WAIT.as_secs_f64()),
            &self.changed,
        );
        for (connections, row) in &self.rows {
            let name = format!("1,000 in a row, {connections} connections: off by");
            report.figure(name, "", Limit::AtMost(ROW_DEVIATION_MAX), row);
        }
        report.figure("weights 0 and 100: off by", "", Limit::AtMost(0.0), &self.exact);
        let name = "every tenth request, 1,000 of its own: off by";
        report.figure(name, "", Limit::AtMost(TENTH_DEVIATION_MAX), &self.tenth);
        report.figure("failed requests", "", Limit::AtMost(0.0), &[self.failed as f64]);
        for note in self.notes {
            report.note(note);
        }
        report
    }
}

/// Returns by how many requests the canary's share differs from the weight.
#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
fn deviation(replies: &Replies, weight: u8) -> f64 {
    let expected = replies.all.len() as f64 * f64::from(weight) / 100.0;
    (replies.on_track("canary") as f64 - expected).abs()
}

/// Returns the seconds from the commit to the first request from which on the split is the declared one: no stretch of
/// up to [`ROW`] requests that begins there is off by more than the sequence ever is. NaN if there is none.
fn changed_after(replies: &Replies, weight: u8, committed: Duration) -> f64 {
    let canary: Vec<bool> = replies
        .all
        .iter()
        .map(|reply| replies.outcome(reply).track == "canary")
        .collect();
    let share = f64::from(weight) / 100.0;
    let conforms = |from: usize| {
        let mut surplus = 0.0_f64;
        canary[from..].iter().take(ROW).all(|is_canary| {
            surplus += f64::from(u8::from(*is_canary)) - share;
            surplus.abs() <= 2.0
        })
    };
    let first = (0..canary.len()).find(|from| conforms(*from));
    first.map_or(f64::NAN, |first| {
        (replies.all[first].received.saturating_sub(committed)).as_secs_f64()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

    /// Returns how far `count` requests, `step` apart, may be from any weight.
    #[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
    fn deviation_max(step: u64, count: usize) -> f64 {
        let starts = (0..200).chain((0..200).map(|n: u64| n.wrapping_mul(0xD134_2543_DE82_EF95) >> 20));
        let mut worst = 0.0_f64;
        for start in starts {
            let mut points: Vec<u64> = (0..count as u64)
                .map(|n| (start + n * step).wrapping_mul(GOLDEN))
                .collect();
            points.sort_unstable();
            for weight in 1..100_u32 {
                let threshold = u64::try_from((u128::from(weight) << 64) / 100).unwrap();
                let canary = points.partition_point(|point| *point < threshold);
                worst = worst.max((canary as f64 - count as f64 * f64::from(weight) / 100.0).abs());
            }
        }
        worst
    }

    #[test]
    fn the_bounds_are_those_of_the_golden_ratio_sequence() {
        assert!(deviation_max(1, ROW) <= ROW_DEVIATION_MAX);
        assert!(deviation_max(10, ROW) <= TENTH_DEVIATION_MAX);
    }
}
