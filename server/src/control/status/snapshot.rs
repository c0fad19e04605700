//! The environment at a glance, looked at no more often than is worth it, with a number that rises with each change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crds::view::{EnvironmentRow, ModelRow, Overview, View};
use planner::word::Word;
use serde_json::{Value, json};

use super::{Known, StatusSource, unknown};

/// How long a look is as good as a new one, however many ask.
const FRESH: Duration = Duration::from_millis(200);

/// What was seen at one time.
#[derive(Debug)]
pub(in super::super) struct Snapshot {
    /// The process and the number of the change, which a client gives back: `EPOCH-GENERATION`.
    pub(super) id: String,
    /// What was seen.
    pub(super) body: Body,
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// An environment, and what keeps its state from being written down.
    Environment {
        overview: Box<Overview>,
        error: Option<String>,
        trouble: Vec<String>,
    },
    /// What a process says that looks at none.
    Process(Value),
}

impl Body {
    /// Looks. What was read last stays to be seen while nothing can be read.
    fn of(source: &dyn StatusSource, last: &mut View) -> Self {
        let trouble = source.trouble();
        match source.known() {
            Known::Objects(view) => {
                *last = *view;
                Self::Environment {
                    overview: Box::new(last.overview(unknown(source))),
                    error: None,
                    trouble,
                }
            }
            Known::Unreadable(why) => Self::Environment {
                overview: Box::new(last.overview(Some(&why))),
                error: Some(why),
                trouble,
            },
            Known::Process(said) => Self::Process(said),
        }
    }

    pub(super) fn environment(&self) -> Option<&EnvironmentRow> {
        match self {
            Self::Environment { overview, .. } => Some(&overview.environment),
            Self::Process(_) => None,
        }
    }

    pub(super) fn models(&self) -> &[ModelRow] {
        match self {
            Self::Environment { overview, .. } => &overview.models,
            Self::Process(_) => &[],
        }
    }

    pub(super) fn model(&self, name: &str) -> Option<&ModelRow> {
        self.models().iter().find(|row| row.model == name)
    }

    /// Returns it as it is shown; always an object.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Environment {
                overview,
                error,
                trouble,
            } => {
                let mut shown = json!(overview);
                if let Some(error) = error {
                    shown["error"] = json!(error);
                }
                if !trouble.is_empty() {
                    shown["trouble"] = json!(trouble);
                }
                shown
            }
            Self::Process(said) if said.is_object() => said.clone(),
            Self::Process(_) => json!({}),
        }
    }

    /// Returns what has changed since `before`: the environment where it has, the models that have, and the names of those
    /// that are gone; and what keeps the state from being read or written now.
    pub(super) fn since(&self, before: &Self) -> Value {
        let (Self::Environment { .. }, Self::Environment { .. }) = (self, before) else {
            return self.json();
        };
        let known: BTreeMap<&str, &ModelRow> = before
            .models()
            .iter()
            .map(|row| (row.model.as_str(), row))
            .collect();
        let changed = self
            .models()
            .iter()
            .filter(|row| known.get(row.model.as_str()) != Some(row));
        let removed = known.keys().filter(|name| self.model(name).is_none());
        let mut change = json!({
            "models": changed.collect::<Vec<_>>(),
            "removed": removed.collect::<Vec<_>>(),
        });
        if self.environment() != before.environment() {
            change["environment"] = json!(self.environment());
        }
        let shown = self.json();
        for name in ["error", "trouble"] {
            if !shown[name].is_null() {
                change[name] = shown[name].clone();
            }
        }
        change
    }
}

impl Snapshot {
    /// Returns how each model stands that has a word: its environment, its name, and the word.
    pub(in super::super) fn words(&self) -> impl Iterator<Item = (&str, &str, Word)> {
        let environment = self.body.environment().and_then(|row| row.name.as_deref());
        let models = self.body.models().iter();
        models.filter_map(move |row| Some((environment?, row.model.as_str(), row.standing.as_ref()?.word)))
    }
}

/// The newest of what was seen.
#[derive(Debug)]
pub(in super::super) struct Snapshots {
    epoch: u64,
    newest: Mutex<Option<Newest>>,
}

#[derive(Debug)]
struct Newest {
    generation: u64,
    looked_at: Instant,
    /// What could be read last.
    view: View,
    snapshot: Arc<Snapshot>,
}

impl Snapshots {
    /// `epoch` tells the states of one process from those of another.
    pub(in super::super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            newest: Mutex::new(None),
        }
    }

    /// Returns what was seen a moment ago, if it was, and waits for nobody.
    pub(super) fn recent(&self) -> Option<Arc<Snapshot>> {
        let newest = self.newest.try_lock().ok()?;
        let recent = newest
            .as_ref()
            .filter(|newest| newest.looked_at.elapsed() < FRESH)?;
        Some(recent.snapshot.clone())
    }

    /// Says whether somebody is looking now.
    pub(super) fn is_looked_at(&self) -> bool {
        matches!(self.newest.try_lock(), Err(std::sync::TryLockError::WouldBlock))
    }

    /// Returns what is seen now, or was a moment ago. Reads files: called on a thread that may block.
    pub(in super::super) fn look(&self, source: &dyn StatusSource) -> Arc<Snapshot> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = newest
            .as_ref()
            .filter(|newest| newest.looked_at.elapsed() < FRESH)
        {
            return newest.snapshot.clone();
        }
        let (mut view, generation, before) = newest.take().map_or_else(
            || (View::default(), 0, None),
            |newest| (newest.view, newest.generation, Some(newest.snapshot)),
        );
        let body = Body::of(source, &mut view);
        let looked_at = Instant::now();
        if let Some(snapshot) = before.filter(|before| before.body == body) {
            *newest = Some(Newest {
                generation,
                looked_at,
                view,
                snapshot: snapshot.clone(),
            });
            return snapshot;
        }
        let generation = generation + 1;
        let snapshot = Arc::new(Snapshot {
            id: format!("{:x}-{generation}", self.epoch),
            body,
        });
        *newest = Some(Newest {
            generation,
            looked_at,
            view,
            snapshot: snapshot.clone(),
        });
        snapshot
    }
}
