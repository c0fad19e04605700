//! When the server as a whole is ready: a latch over what the first pass wants loaded.
//!
//! It closes once and for all when every awaited pin is loaded, has a finding (and is no longer awaited), or has
//! waited long enough for its training run. After that only a drain or an empty runtime makes the server not ready.
//! It counts what is awaited instead of looking: ten thousand models are asked for every few milliseconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use planner::names::{ModelName, Track, Version};

/// How long the server's readiness waits for a version that a training run is still making.
pub(super) const TRAINING_WAIT: Duration = Duration::from_mins(1);

/// One pin that is not served yet and has no finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The registered model.
    pub model: ModelName,
    /// The slot that the pin is for.
    pub track: Track,
    /// The pinned version.
    pub version: Version,
    /// Whether it waits for a training run: then only for a minute from the end of the first pass on.
    pub training: bool,
}

#[derive(Debug, Default)]
pub(super) struct Latch {
    /// The pins that are still awaited, none of them loaded since; empty once latched.
    awaited: BTreeMap<ModelName, Vec<Awaited>>,
    /// How many of these wait for a training run.
    training: usize,
    /// How many of these do not.
    pinned: usize,
    /// When the first pass had said all that it expects.
    first: Option<Instant>,
    latched: bool,
    draining: bool,
}

impl Latch {
    /// Replaces what `model` waits for; `loaded` says which of it is there already.
    pub(super) fn expect(
        &mut self,
        model: &ModelName,
        mut awaited: Vec<Awaited>,
        loaded: impl Fn(&Awaited) -> bool,
    ) {
        if self.latched {
            return;
        }
        for pin in self.awaited.remove(model).into_iter().flatten() {
            *self.count(&pin) -= 1;
        }
        awaited.retain(|pin| !loaded(pin));
        for pin in &awaited {
            *self.count(pin) += 1;
        }
        if !awaited.is_empty() {
            self.awaited.insert(model.clone(), awaited);
        }
    }

    /// Begins the minute of training pins, the first time.
    pub(super) fn expected(&mut self, now: Instant) {
        self.first.get_or_insert(now);
    }

    /// Says whether a pass has said all that it expects.
    pub(super) fn is_told(&self) -> bool {
        self.first.is_some()
    }

    /// Drops what waited for this version in this slot.
    pub(super) fn loaded(&mut self, model: &ModelName, track: Track, version: &Version) {
        let Some(mut awaited) = self.awaited.remove(model) else {
            return;
        };
        awaited.retain(|pin| {
            let arrived = pin.track == track && pin.version == *version;
            if arrived {
                *self.count(pin) -= 1;
            }
            !arrived
        });
        if !awaited.is_empty() {
            self.awaited.insert(model.clone(), awaited);
        }
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether the server is ready; `any` says that something is loaded.
    pub(super) fn ready(&mut self, now: Instant, any: bool) -> bool {
        if !self.latched
            && let Some(first) = self.first
        {
            let waited = now.saturating_duration_since(first) >= TRAINING_WAIT;
            self.latched = any && self.pinned == 0 && (self.training == 0 || waited);
            if self.latched {
                self.awaited = BTreeMap::new();
            }
        }
        self.latched && any && !self.draining
    }

    fn count(&mut self, pin: &Awaited) -> &mut usize {
        if pin.training {
            &mut self.training
        } else {
            &mut self.pinned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "v20260101-000000";
    const V2: &str = "v20260202-000000";

    /// What happens to a latch, in the order of a test.
    enum Does<'a> {
        /// A model's pins on stable are said: version, and whether it is trained.
        Expect(&'a str, &'a [(&'a str, bool)]),
        /// A pass has said all.
        Expected,
        /// A version is loaded on stable.
        Loads(&'a str, &'a str),
        /// Everything is unloaded.
        Empties,
        /// Milliseconds pass.
        Passes(u64),
        Drains,
    }
    use Does::{Drains, Empties, Expect, Expected, Loads, Passes};

    #[derive(Default)]
    struct Script {
        latch: Latch,
        loaded: std::collections::BTreeSet<(String, String)>,
        at: Duration,
    }

    impl Script {
        /// Does all of it and returns whether it is ready then.
        fn ready_after(&mut self, start: Instant, does: &[Does<'_>]) -> bool {
            for one in does {
                match one {
                    Expect(model, pins) => {
                        let pin = |(version, training): &(&str, bool)| Awaited {
                            model: model.parse().expect("a name"),
                            track: Track::Stable,
                            version: version.parse().expect("a version"),
                            training: *training,
                        };
                        let is_loaded = |pin: &Awaited| {
                            let key = (pin.model.to_string(), pin.version.to_string());
                            self.loaded.contains(&key)
                        };
                        let model = model.parse().expect("a name");
                        self.latch
                            .expect(&model, pins.iter().map(pin).collect(), is_loaded);
                    }
                    Expected => self.latch.expected(start + self.at),
                    Loads(model, version) => {
                        self.loaded.insert(((*model).to_owned(), (*version).to_owned()));
                        let (model, version) = (model.parse(), version.parse());
                        self.latch.loaded(
                            &model.expect("a name"),
                            Track::Stable,
                            &version.expect("a version"),
                        );
                    }
                    Empties => self.loaded.clear(),
                    Passes(milliseconds) => self.at += Duration::from_millis(*milliseconds),
                    Drains => self.latch.drain(),
                }
            }
            self.latch.ready(start + self.at, !self.loaded.is_empty())
        }
    }

    /// Each step is what happens, and whether the server is ready after it.
    fn check(steps: &[(&[Does<'_>], bool)]) {
        let start = Instant::now();
        let mut script = Script::default();
        for (number, (does, expected)) in steps.iter().enumerate() {
            assert_eq!(script.ready_after(start, does), *expected, "step {number}");
        }
    }

    #[test]
    fn not_ready_before_the_first_pass_even_with_a_loaded_model() {
        check(&[
            (&[Loads("a", V1)], false),
            (&[Expect("a", &[(V1, false)])], false),
            (&[Expected], true),
        ]);
        check(&[(&[Expected], false), (&[Loads("a", V1)], true)]);
    }

    #[test]
    fn ready_when_every_awaited_pin_is_loaded_and_stays_so_while_anything_is() {
        check(&[
            (
                &[Expect("a", &[(V1, false)]), Expect("b", &[(V1, false)]), Expected],
                false,
            ),
            (&[Loads("a", V1), Passes(120_000)], false),
            (&[Loads("b", V2)], false),
            (&[Loads("b", V1)], true),
            // A model that is added later has a readiness of its own.
            (&[Expect("c", &[(V1, false)]), Expected], true),
            (&[Empties], false),
            (&[Loads("a", V1)], true),
            (&[Drains], false),
        ]);
    }

    #[test]
    fn what_was_loaded_before_it_was_expected_is_not_awaited() {
        check(&[
            (
                &[Loads("a", V1), Expect("a", &[(V1, false), (V2, false)]), Expected],
                false,
            ),
            (&[Loads("a", V2)], true),
        ]);
    }

    #[test]
    fn a_pin_that_is_trained_holds_readiness_up_for_a_minute() {
        check(&[
            (
                &[Expect("a", &[(V1, false)]), Expect("b", &[(V1, true)]), Expected],
                false,
            ),
            (&[Loads("a", V1), Passes(30_000)], false),
            // A later pass does not start the minute anew.
            (&[Expect("b", &[(V1, true)]), Expected, Passes(29_999)], false),
            (&[Passes(1)], true),
        ]);
        // Over, but nothing is loaded.
        check(&[
            (&[Expect("b", &[(V1, true)]), Expected, Passes(60_000)], false),
            (&[Loads("c", V1)], true),
        ]);
        // The minute begins with the end of the first pass, not with what it says first.
        check(&[
            (
                &[
                    Loads("a", V1),
                    Expect("b", &[(V1, true)]),
                    Passes(60_000),
                    Expected,
                ],
                false,
            ),
            (&[Passes(60_000)], true),
        ]);
    }

    #[test]
    fn a_pin_with_a_finding_is_no_longer_awaited() {
        check(&[
            (
                &[Loads("b", V1), Expect("a", &[(V1, false), (V2, true)]), Expected],
                false,
            ),
            (&[Expect("a", &[(V2, true)])], false),
            (&[Expect("a", &[])], true),
        ]);
    }

    #[test]
    fn what_is_expected_once_it_is_latched_is_not_kept() {
        let mut latch = Latch::default();
        latch.expected(Instant::now());
        assert!(latch.ready(Instant::now(), true));
        let pin = Awaited {
            model: "a".parse().expect("a name"),
            track: Track::Stable,
            version: V1.parse().expect("a version"),
            training: false,
        };
        latch.expect(&pin.model.clone(), vec![pin], |_| false);
        assert!(latch.awaited.is_empty() && latch.pinned == 0);
    }
}
