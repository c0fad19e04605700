//! The reconciler's loop: polls the branch, and runs a pass when it moved, when something was reported, or when one is
//! due anyway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::names::Revision;
use registry::{Owner, Store};

use super::Wake;
use super::events::{AwaitedPin, Event, Events, PassSummary};
use super::objects::Objects;
use super::operator::Retry;
use crate::driver::Driver;
use crate::report::Pass;

/// How often the branch is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often a pass looks at the registry although nothing was reported: at least so long after the last one, and 20
/// times as long as a pass takes.
const INTERVAL: Duration = Duration::from_secs(2);

/// Makes the objects follow Git.
pub(super) struct Reconciler {
    driver: Driver,
    objects: Arc<Objects>,
    owner: Owner,
    wake: Wake,
    events: Events,
    head: Option<Revision>,
    last: Option<Last>,
    retry: Retry,
}

/// The last pass.
struct Last {
    began: Instant,
    took: Duration,
    told: Told,
}

/// What listeners were told last; nothing is told twice.
#[derive(Debug, PartialEq)]
struct Told {
    revision: Option<Revision>,
    findings: Vec<planner::finding::Finding>,
    waiting: Vec<String>,
    awaited: Vec<AwaitedPin>,
}

/// What a look came to.
#[derive(Debug)]
pub(super) struct Look {
    /// The pass that was run, if one was.
    pub(super) pass: Option<Pass>,
    /// The generation of the objects after it.
    pub(super) generation: u64,
    /// How long to wait for a wake-up.
    pub(super) wait: Duration,
}

/// Returns what a pass came to, in one word.
fn result(pass: &Pass) -> &'static str {
    if pass.is_cut_short || !pass.applied.failed.is_empty() {
        "failed"
    } else if pass.stopping().next().is_some() {
        "findings"
    } else if pass.is_converged() {
        "converged"
    } else {
        "changed"
    }
}

impl Reconciler {
    pub(super) fn new(
        driver: Driver,
        objects: Arc<Objects>,
        owner: Owner,
        wake: Wake,
        events: Events,
    ) -> Self {
        Self {
            driver,
            objects,
            owner,
            wake,
            events,
            head: None,
            last: None,
            retry: Retry::default(),
        }
    }

    /// Looks at the branch, and runs a pass if one is due or `is_woken`.
    pub(super) fn look(&mut self, is_woken: bool, now: Timestamp) -> Look {
        self.mend_data_dir(now);
        let head = self.driver.head().ok();
        let has_moved = head != self.head;
        let is_due = self
            .last
            .as_ref()
            .is_none_or(|last| last.began.elapsed() >= INTERVAL.max(last.took * 20));
        if !(has_moved || is_woken || is_due) {
            return Look {
                pass: None,
                generation: self.objects.state().generation,
                wait: POLL,
            };
        }
        let began = Instant::now();
        let before = self.objects.state().generation;
        let wake = self.wake.clone();
        let pass = self.driver.pass(now, &mut || wake.wake());
        let generation = self.objects.state().generation;
        if generation != before {
            self.wake.wake();
        }
        self.head = head;
        self.tell(&pass, began);
        Look {
            pass: Some(pass),
            generation,
            wait: POLL,
        }
    }

    fn tell(&mut self, pass: &Pass, began: Instant) {
        let told = Told {
            revision: pass.attempted.clone(),
            findings: pass.findings.clone(),
            waiting: pass.waiting.iter().map(ToString::to_string).collect(),
            awaited: pass.awaited.clone(),
        };
        let last = self.last.take();
        let is_first = last.is_none();
        let is_news = last.is_none_or(|last| last.told != told);
        if is_news || !pass.applied.done.is_empty() {
            self.events.send(Event::Pass(Box::new(PassSummary {
                revision: told.revision.clone(),
                is_first,
                changes: pass.applied.done.iter().map(ToString::to_string).collect(),
                findings: told.findings.clone(),
                waiting: told.waiting.clone(),
                awaited: told.awaited.clone(),
            })));
        }
        let took = began.elapsed();
        self.events.send(Event::PassEnded {
            result: result(pass),
            took,
        });
        self.last = Some(Last { began, took, told });
    }

    /// Makes a data directory that was deleted anew, from memory. The registry in it is lost: what serves goes on
    /// serving from memory, and what can be trained is trained again.
    fn mend_data_dir(&mut self, now: Timestamp) {
        let data_dir = &self.objects.data_dir;
        let registry = self.driver.store().root().to_owned();
        let is_registry_ours = registry.starts_with(data_dir.path());
        let is_registry_lost = is_registry_ours && !registry.join("aurora/registry/current-version").exists();
        let is_intact = data_dir.is_intact() && !is_registry_lost && self.objects.are_there();
        if is_intact || !self.retry.is_due(now) {
            return;
        }
        tracing::error!(
            data_dir = %data_dir.path().display(),
            registry_lost = is_registry_lost,
            "the data directory was deleted; what serves goes on, and it is made anew from memory and Git"
        );
        let made = data_dir
            .remake()
            .map_err(|error| error.to_string())
            .and_then(|()| {
                if is_registry_ours {
                    let store =
                        Store::init(&registry, &self.owner, now).map_err(|error| error.to_string())?;
                    self.driver.replace_store(store);
                }
                self.objects.rewrite().map_err(|error| error.to_string())
            });
        match made {
            Ok(()) => {
                self.retry.succeeded();
                self.events.send(Event::Trouble(format!(
                    "the data directory {} was deleted and has been made anew; the versions of the registry in it are lost: what serves goes on, and training jobs run again",
                    self.objects.data_dir.path().display()
                )));
            }
            Err(error) => {
                if self.retry.failed(now) {
                    self.events.send(Event::Trouble(format!(
                        "the data directory {} was deleted and cannot be made anew: {error}; what serves goes on",
                        self.objects.data_dir.path().display()
                    )));
                }
            }
        }
    }
}
