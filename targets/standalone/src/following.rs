//! The reconciler's loop: polls the branch, and runs a pass. A pass over nothing that was touched costs next to nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::finding::Finding;
use planner::names::Revision;
use reconciler::resolve::DataDigests;
use reconciler::signatures::Seen;
use reconciler::{Beat, Pass, Reconciler};
use registry::files::may_be_there;
use registry::{Owner, Store};

use crate::events::{Event, Events, PassSummary};
use crate::objects::Objects;
use crate::operator::Retry;
use crate::{Slots, Wake};

/// How often the branch is looked at, and some of the registry in turns.
pub(crate) const POLL: Duration = Duration::from_millis(200);
/// How often a pass that found nothing to do is counted.
const COUNTED: Duration = Duration::from_secs(2);
/// How long a Git command may hold its lock before it is told, and before it is taken for one that died.
const CHECKOUT_TOLD: Duration = Duration::from_secs(5);
const CHECKOUT_MAX: Duration = Duration::from_mins(2);
/// How many commits the data directory may know less of than a running process: reading them takes a fraction of a
/// second, writing a large memory with each commit would cost more.
const COMMITS_UNREMEMBERED: usize = 200;
/// How much of what waits is told.
const TOLD_MAX: usize = 100;

/// Makes the objects follow Git.
pub(crate) struct Following {
    reconciler: Reconciler,
    objects: Arc<Objects>,
    owner: Owner,
    slots: Arc<dyn Slots>,
    wake: Wake,
    events: Events,
    last: Option<Last>,
    /// What the data directory remembers of the repository's data files.
    remembered: Option<DataDigests>,
    seen: Seen,
    memory: Memory,
    /// Whether the last pass left some of the history to read.
    was_walking: bool,
    /// Since when Git has been filling the work tree around the data directory, and whether that was told.
    checkout: Option<(Instant, bool)>,
    retry: Retry,
}

/// What the data directory remembers of the branch's history.
#[derive(Debug, Default)]
struct Memory {
    /// The commit down from which it does.
    written: Option<Revision>,
    /// The last one down from which more is known.
    seen: Option<Revision>,
    /// How many such commits there were.
    since: usize,
}

/// The last pass that was counted, and what listeners were told; nothing is told twice.
struct Last {
    counted: Instant,
    revision: Option<Revision>,
    suspended: Option<String>,
    findings: Vec<Finding>,
    waiting: Vec<String>,
}

/// What a look came to.
#[derive(Debug)]
pub(crate) struct Look {
    /// The pass that was run.
    pub(crate) pass: Pass,
    /// The generation of the objects after it.
    pub(crate) generation: u64,
}

impl Following {
    pub(crate) fn new(
        reconciler: Reconciler,
        objects: Arc<Objects>,
        owner: Owner,
        slots: Arc<dyn Slots>,
        wake: Wake,
        events: Events,
    ) -> Self {
        let seen = reconciler.seen().clone();
        let memory = Memory {
            written: reconciler.walked_to(),
            ..Memory::default()
        };
        Self {
            reconciler,
            objects,
            owner,
            slots,
            wake,
            events,
            last: None,
            remembered: None,
            seen,
            memory,
            was_walking: false,
            checkout: None,
            retry: Retry::default(),
        }
    }

    /// Returns the reconciler, to ask how everything stands.
    pub(crate) fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// Looks at the branch and at what was touched, and brings the objects to what it says.
    pub(crate) fn look(&mut self, beat: Beat, now: Timestamp) -> Look {
        if self.is_under_checkout() {
            let pass = Pass {
                attempted: self.last.as_ref().and_then(|last| last.revision.clone()),
                is_cut_short: true,
                ..Pass::default()
            };
            let generation = self.objects.generation();
            return Look { pass, generation };
        }
        self.mend_data_dir(now);
        let began = Instant::now();
        let before = self.objects.generation();
        let wake = self.wake.clone();
        let pass = self.reconciler.pass(beat, now, &mut || wake.operator());
        let generation = self.objects.generation();
        if generation != before {
            self.wake.operator();
        }
        for (model, awaited) in &pass.awaited {
            self.slots.expect(model, awaited);
        }
        self.slots.expected();
        self.remember_seen();
        if pass.is_touched {
            self.remember_data();
        }
        let has_walked = std::mem::replace(&mut self.was_walking, pass.is_walking) && !pass.is_walking;
        if has_walked {
            self.remember_history(1);
        } else if pass.is_touched {
            self.remember_history(COMMITS_UNREMEMBERED);
        }
        self.tell(&pass, began);
        Look { pass, generation }
    }

    /// Says whether Git is filling a work tree around the data directory. It writes the files first and its index last,
    /// so nothing is decided meanwhile by what lies there. A lock that nobody gives back is told, and then passed over.
    fn is_under_checkout(&mut self) -> bool {
        let Some(lock) = self.objects.data_dir.checkout() else {
            self.checkout = None;
            return false;
        };
        let (since, is_told) = self.checkout.get_or_insert_with(|| (Instant::now(), false));
        let lasts = since.elapsed();
        if lasts >= CHECKOUT_TOLD && !std::mem::replace(is_told, true) {
            self.events.send(Event::Trouble(format!(
                "{} is there: Git is at work around the data directory, and no commit is applied until it is done; if no Git command runs, remove that file",
                lock.display()
            )));
        }
        lasts < CHECKOUT_MAX
    }

    /// Tells which manifests of the work tree are not committed, and so do not count.
    pub(crate) fn tell_uncommitted(&self) {
        let files = self.reconciler.uncommitted();
        if !files.is_empty() {
            self.events.send(Event::Uncommitted(files));
        }
    }

    fn tell(&mut self, pass: &Pass, began: Instant) {
        if let Some(reported) = &pass.reported {
            self.events.send(Event::Reported(reported.clone()));
        }
        let standing = self.reconciler.standing();
        let is_quiet = !pass.is_touched && !pass.is_cut_short;
        let known = self.last.as_ref();
        if is_quiet
            && known.is_some_and(|last| {
                last.revision == pass.attempted
                    && last.findings.len() == standing.findings_count()
                    && last.counted.elapsed() < COUNTED
            })
        {
            return;
        }
        let findings: Vec<Finding> = standing.findings().cloned().collect();
        let waiting: Vec<String> = standing
            .waiting()
            .take(TOLD_MAX)
            .map(ToString::to_string)
            .collect();
        let is_told = known.is_some_and(|last| {
            last.revision == pass.attempted
                && last.suspended == pass.suspended
                && last.findings == findings
                && last.waiting == waiting
        });
        let has_news = !(pass.applied.done.is_empty() && pass.behind.is_empty() && pass.drifted.is_empty());
        if !is_told || has_news {
            let done = pass.applied.done.iter().filter(|action| !action.is_note());
            let is_new = known.and_then(|last| last.revision.as_ref()) != pass.attempted.as_ref();
            let new = pass.attempted.as_ref().filter(|_| is_new);
            self.events.send(Event::Pass(Box::new(PassSummary {
                revision: pass.attempted.clone(),
                author: new.and_then(|revision| self.reconciler.author(revision)),
                is_first: known.is_none(),
                suspended: pass.suspended.clone(),
                behind: pass.behind.clone(),
                drifted: pass.drifted.clone(),
                is_blind: standing.is_blind(),
                changes: done.map(ToString::to_string).collect(),
                findings: findings.clone(),
                waiting: waiting.clone(),
            })));
        }
        self.events.send(Event::PassEnded {
            result: self.reconciler.result(pass),
            took: began.elapsed(),
        });
        self.last = Some(Last {
            counted: began,
            revision: pass.attempted.clone(),
            suspended: pass.suspended.clone(),
            findings,
            waiting,
        });
    }

    /// Remembers what is known of the repository's data files, so that the next start hashes none of them.
    fn remember_data(&mut self) {
        let digests = self.reconciler.data_digests();
        if self.remembered.as_ref() == Some(digests) {
            return;
        }
        if let Err(error) = self.objects.data_dir.set_data_digests(digests) {
            tracing::debug!(%error, "cannot remember the digests of data files; the next start computes them");
        }
        self.remembered = Some(digests.clone());
    }

    /// Remembers when commits were first seen: by that time their keys are judged.
    fn remember_seen(&mut self) {
        let seen = self.reconciler.seen();
        if self.seen == *seen {
            return;
        }
        if let Err(error) = self.objects.data_dir.set_seen(seen) {
            tracing::warn!(%error, "cannot remember when commits were first seen; the next start sees them anew");
        }
        self.seen.clone_from(seen);
    }

    /// Remembers what is known of the branch's history where as many commits came since the last time, so that the next
    /// start reads no more than those.
    pub(crate) fn remember_history(&mut self, commits: usize) {
        let Some(head) = self.reconciler.walked_to() else {
            return;
        };
        let Memory { written, seen, since } = &mut self.memory;
        if written.as_ref() == Some(&head) {
            return;
        }
        if seen.as_ref() != Some(&head) {
            *seen = Some(head.clone());
            *since += 1;
        }
        if written.is_some() && *since < commits {
            return;
        }
        if let Some(remembered) = self.reconciler.remembered()
            && let Err(error) = self.objects.data_dir.set_history(&remembered)
        {
            tracing::debug!(%error, "cannot remember the branch's history; the next start reads it");
        }
        self.memory = Memory {
            written: Some(head),
            ..Memory::default()
        };
    }

    /// Makes a data directory that was deleted anew, from memory. The registry in it is lost: what serves goes on
    /// serving from memory, and what can be trained is trained again.
    fn mend_data_dir(&mut self, now: Timestamp) {
        let data_dir = &self.objects.data_dir;
        let registry = self.reconciler.store().root().to_owned();
        let is_registry_ours = registry.starts_with(data_dir.path());
        // One that was not there at the start is on a volume that may come yet.
        let is_registry_lost = is_registry_ours
            && !self.reconciler.awaits_registry()
            && !may_be_there(&registry.join("aurora/registry/current-version"));
        let is_intact = data_dir.is_intact() && !is_registry_lost && self.objects.are_there();
        if is_intact || !self.retry.is_due(now) {
            return;
        }
        // What a commit put in the place of our files is for a person to take away; nothing is made through it.
        // The pass says so.
        if data_dir.refuse_tracked().is_err() {
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
                if !self.reconciler.awaits_registry()
                    && let Ok(path) = registry.strip_prefix(data_dir.path())
                {
                    data_dir
                        .note_registry(&path.to_string_lossy())
                        .map_err(|error| error.to_string())?;
                    Store::init(&registry, &self.owner, now).map_err(|error| error.to_string())?;
                }
                self.reconciler.look_again();
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
