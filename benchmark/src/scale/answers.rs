//! Who answers what: waits until every track of every model predicts what its pinned version must predict.
//!
//! The machine is busy while we wait, so a round asks only until a few tracks in a row did not answer.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Say;
use super::client::Client;
use crate::ground::Readiness;
use crate::predictions::Example;
use crate::process::Aurora;

/// After so many tracks in a row that did not answer as they should, a round ends.
const MISSES_MAX: usize = 8;
/// How long a round's end is waited out.
const PAUSE: Duration = Duration::from_millis(5);
/// How far apart the places are at which every other round begins.
const STRIDE: usize = 7_919;
/// How often a long wait says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What one track must serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) model: String,
    pub(crate) track: &'static str,
    pub(crate) version: &'static str,
}

/// The pins of an environment and what each must predict, once its version is there.
#[derive(Debug)]
pub(crate) struct Answers {
    registry: PathBuf,
    pins: Vec<Pin>,
    examples: Vec<Option<Example>>,
}

impl Answers {
    /// Knows what to expect of `pins`, whose versions lie below `registry`.
    pub(crate) fn new(registry: PathBuf, pins: Vec<Pin>) -> Self {
        let examples = vec![None; pins.len()];
        Self {
            registry,
            pins,
            examples,
        }
    }

    /// Waits until every track answers as it should, and says when the first and the last of them did.
    pub(crate) fn wait(
        &mut self,
        aurora: &mut Aurora,
        patience: Duration,
        say: Say<'_>,
    ) -> Result<Readiness> {
        let mut client = Client::new(aurora.inference);
        let mut pending: Vec<usize> = (0..self.pins.len()).collect();
        let (mut first, mut told, mut round) = (None, Instant::now(), 0_usize);
        loop {
            // Whatever is loaded first is seldom far from the beginning; the rest is found from anywhere.
            let from = if round.is_multiple_of(2) {
                0
            } else {
                round * STRIDE % pending.len()
            };
            round += 1;
            let (left, missed) = ask_round(&pending, from, |pin| {
                let is_answered = self.is_answered(pin, &mut client);
                if is_answered {
                    first.get_or_insert_with(|| aurora.started.elapsed());
                }
                is_answered
            });
            pending = left;
            if let (true, Some(first)) = (pending.is_empty(), first) {
                let all = aurora.started.elapsed();
                return Ok(Readiness { first, all });
            }
            aurora.check_running()?;
            let asked = self.pins.len();
            if aurora.started.elapsed() > patience {
                let (waiting, pin) = (pending.len(), &self.pins[pending[0]]);
                bail!(
                    "{waiting} of {asked} tracks do not answer after {} s, first of all {pin:?}:\n{}",
                    patience.as_secs(),
                    aurora.output_tail()
                );
            }
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                say(&format!("{} of {asked} tracks answer", asked - pending.len()));
            }
            if missed {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Waits until the registry's aliases name what is pinned, which is the last that a pass does.
    pub(crate) fn wait_for_aliases(&self, aurora: &mut Aurora, patience: Duration) -> Result<Duration> {
        let mut pending: Vec<&Pin> = self.pins.iter().collect();
        loop {
            while pending.last().is_some_and(|pin| is_aliased(&self.registry, pin)) {
                pending.pop();
            }
            let Some(pin) = pending.last() else {
                return Ok(aurora.started.elapsed());
            };
            aurora.check_running()?;
            if aurora.started.elapsed() > patience {
                bail!("no alias for {pin:?}:\n{}", aurora.output_tail());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Returns a request for the pin's model that takes part in the split.
    pub(crate) fn request(&self, model: &str, address: SocketAddr) -> Result<Vec<u8>> {
        let place = self.pins.iter().position(|pin| pin.model == model);
        let example = place.and_then(|place| self.examples[place].as_ref());
        let example = example.with_context(|| format!("{model} has not answered yet"))?;
        Ok(example.request(address, None))
    }

    /// Asks one track. Without a version there is nothing to compare with, and nobody needs to be asked.
    fn is_answered(&mut self, place: usize, client: &mut Client) -> bool {
        let Pin {
            model,
            track,
            version,
        } = &self.pins[place];
        let example = &mut self.examples[place];
        if example.is_none() {
            *example = Example::read(&self.registry, model, version);
        }
        let Some(example) = example else { return false };
        let request = example.request(client.address(), Some(track));
        client.ask(&request).is_ok_and(|reply| {
            reply.status == 200
                && reply.track == *track
                && reply.version == *version
                && example.is_in(&reply.body)
        })
    }
}

/// Asks `pending` in turn, from the place `from` on and around, until [`MISSES_MAX`] in a row missed. Returns who is
/// left, and whether anyone missed.
fn ask_round(pending: &[usize], from: usize, mut ask: impl FnMut(usize) -> bool) -> (Vec<usize>, bool) {
    let mut is_left = vec![true; pending.len()];
    let (mut in_a_row, mut has_missed) = (0, false);
    for place in (from..pending.len()).chain(0..from) {
        if ask(pending[place]) {
            is_left[place] = false;
            in_a_row = 0;
        } else {
            has_missed = true;
            in_a_row += 1;
            if in_a_row == MISSES_MAX {
                break;
            }
        }
    }
    let left = pending
        .iter()
        .zip(is_left)
        .filter_map(|(pin, left)| left.then_some(*pin));
    (left.collect(), has_missed)
}

fn is_aliased(registry: &Path, pin: &Pin) -> bool {
    let link = registry
        .join("aurora")
        .join(&pin.model)
        .join("aliases")
        .join(pin.track);
    fs::read_link(link).is_ok_and(|target| target.ends_with(pin.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_after_a_few_misses_in_a_row() {
        let check = |pending: &[usize], from: usize, answering: &[usize], left: &[usize], asked: usize| {
            let mut count = 0;
            let (found, missed) = ask_round(pending, from, |pin| {
                count += 1;
                answering.contains(&pin)
            });
            assert_eq!(
                (found.as_slice(), count),
                (left, asked),
                "{pending:?} from {from}"
            );
            assert_eq!(missed, asked > pending.len() - left.len());
        };
        check(&[1, 2, 3], 0, &[1, 2, 3], &[], 3);
        check(&[1, 2, 3], 2, &[1], &[2, 3], 3);
        let many: Vec<usize> = (0..20).collect();
        check(&many, 0, &[], &many, MISSES_MAX);
        let left: Vec<usize> = (0..20).filter(|pin| ![18, 4].contains(pin)).collect();
        // From 15 to 19, from 0 to 4, and on from 5.
        check(&many, 15, &[18, 4], &left, 10 + MISSES_MAX);
    }

    #[test]
    fn an_alias_counts_when_it_names_the_version() {
        let registry = tempfile::tempdir().unwrap();
        let aliases = registry.path().join("aurora/iris/aliases");
        fs::create_dir_all(&aliases).unwrap();
        std::os::unix::fs::symlink("../versions/v20261101-120000", aliases.join("stable")).unwrap();
        let check = |track, version, expect| {
            let model = "iris".to_owned();
            let pin = Pin {
                model,
                track,
                version,
            };
            assert_eq!(is_aliased(registry.path(), &pin), expect, "{pin:?}");
        };
        check("stable", "v20261101-120000", true);
        check("stable", "v20261102-120000", false);
        check("canary", "v20261101-120000", false);
    }
}
