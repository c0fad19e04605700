//! The environment at a glance, looked at no more often than is worth it, with a number that rises with each change. What an
//! answer takes is made once for each change, however many ask.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crds::view::{EnvironmentRow, ModelRow, Overview, View};
use planner::word::Word;
use serde::Serialize;
use serde_json::{Value, json};

use super::{All, Known, StatusSource, unknown};

/// How long a look is as good as a new one, however many ask.
pub(super) const FRESH: Duration = Duration::from_millis(200);

/// What was read at one time.
#[derive(Debug)]
pub(super) enum Seen {
    /// The objects.
    Environment {
        /// What could be read last.
        view: Arc<View>,
        /// Why what is known is worth nothing.
        unknown: Option<String>,
        /// Why the objects cannot be read now.
        error: Option<String>,
        /// What keeps the state from being written down.
        trouble: Vec<String>,
    },
    /// What a process says that looks at none.
    Process(Value),
}

impl Seen {
    /// Looks. What was read last stays to be seen while nothing can be read.
    fn by(source: &dyn StatusSource, last: Option<&Self>) -> Self {
        let trouble = source.trouble();
        match source.known() {
            Known::Objects(view) => Self::Environment {
                view,
                unknown: unknown(source).map(str::to_owned),
                error: None,
                trouble,
            },
            Known::Unreadable(why) => Self::Environment {
                view: match last {
                    Some(Self::Environment { view, .. }) => view.clone(),
                    Some(Self::Process(_)) | None => Arc::default(),
                },
                unknown: Some(why.clone()),
                error: Some(why),
                trouble,
            },
            Known::Process(said) => Self::Process(said),
        }
    }

    /// Says whether nothing else was seen, without a look at each object.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Environment {
                    view,
                    unknown,
                    error,
                    trouble,
                },
                Self::Environment {
                    view: other_view,
                    unknown: other_unknown,
                    error: other_error,
                    trouble: other_trouble,
                },
            ) => {
                Arc::ptr_eq(view, other_view)
                    && (unknown, error, trouble) == (other_unknown, other_error, other_trouble)
            }
            (Self::Process(said), Self::Process(other)) => said == other,
            (Self::Environment { .. } | Self::Process(_), _) => false,
        }
    }
}

/// What is shown at a glance of what was seen at one time.
#[derive(Debug)]
pub(in super::super) struct Snapshot {
    /// The process and the number of the change, which a client gives back: `EPOCH-GENERATION`.
    pub(super) id: String,
    /// What was seen.
    pub(super) body: Body,
    /// What has changed since the snapshot before, and which that was.
    change: Option<Change>,
    json: OnceLock<String>,
}

#[derive(Debug)]
struct Change {
    since: String,
    json: String,
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// An environment, and what keeps its state from being read or written down.
    Environment {
        overview: Box<Overview>,
        error: Option<String>,
        trouble: Vec<String>,
    },
    /// What a process says that looks at none.
    Process(Value),
}

/// What has changed: the environment where it has, the models that have, and the names of those that are gone; and what
/// keeps the state from being read or written now.
#[derive(Debug, Serialize)]
struct Delta<'a> {
    models: Vec<&'a ModelRow>,
    removed: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a EnvironmentRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trouble: &'a [String],
}

impl Body {
    fn of(seen: &Seen) -> Self {
        match seen {
            Seen::Environment {
                view,
                unknown,
                error,
                trouble,
            } => Self::Environment {
                overview: Box::new(view.overview(unknown.as_deref())),
                error: error.clone(),
                trouble: trouble.clone(),
            },
            Seen::Process(said) if said.is_object() => Self::Process(said.clone()),
            Seen::Process(_) => Self::Process(json!({})),
        }
    }

    pub(super) fn environment(&self) -> Option<&EnvironmentRow> {
        match self {
            Self::Environment { overview, .. } => Some(&overview.environment),
            Self::Process(_) => None,
        }
    }

    /// Returns the models, by name.
    pub(super) fn models(&self) -> &[ModelRow] {
        match self {
            Self::Environment { overview, .. } => &overview.models,
            Self::Process(_) => &[],
        }
    }

    pub(super) fn model(&self, name: &str) -> Option<&ModelRow> {
        let at = self
            .models()
            .binary_search_by(|row| row.model.as_str().cmp(name))
            .ok()?;
        self.models().get(at)
    }

    /// Writes what has changed since `before` as an object.
    pub(super) fn since(&self, before: &Self) -> String {
        let (error, trouble) = match self {
            Self::Environment { error, trouble, .. } => (error, trouble),
            Self::Process(said) => return written(said),
        };
        let (models, removed) = differing(self.models(), before.models());
        written(&Delta {
            models,
            removed,
            environment: self.environment().filter(|now| before.environment() != Some(now)),
            error: error.as_deref(),
            trouble,
        })
    }
}

/// Returns the rows that differ from those before, and the names of those that are gone; both are by name.
fn differing<'a>(now: &'a [ModelRow], before: &'a [ModelRow]) -> (Vec<&'a ModelRow>, Vec<&'a str>) {
    let (mut changed, mut removed) = (Vec::new(), Vec::new());
    let mut before = before.iter().peekable();
    for row in now {
        while let Some(gone) = before.next_if(|known| known.model < row.model) {
            removed.push(gone.model.as_str());
        }
        let known = before.next_if(|known| known.model.cmp(&row.model) == Ordering::Equal);
        if known != Some(row) {
            changed.push(row);
        }
    }
    removed.extend(before.map(|gone| gone.model.as_str()));
    (changed, removed)
}

fn written(shown: &impl Serialize) -> String {
    serde_json::to_string(shown).expect("invariant: text keys, written to memory")
}

impl Snapshot {
    /// Returns all of it as an object without its age: that is [`aged`] for each answer.
    pub(super) fn json(&self) -> &str {
        self.json.get_or_init(|| match &self.body {
            Body::Environment {
                overview,
                error,
                trouble,
            } => written(&All {
                overview,
                id: &self.id,
                error: error.as_deref(),
                trouble,
            }),
            Body::Process(said) => {
                let mut shown = said.clone();
                shown["id"] = json!(self.id);
                written(&shown)
            }
        })
    }

    /// Writes what has changed since a snapshot, as [`Body::since`]: made once for all who have the one before.
    pub(super) fn since(&self, before: &Self) -> Cow<'_, str> {
        match &self.change {
            Some(change) if change.since == before.id => Cow::Borrowed(&change.json),
            _ => Cow::Owned(self.body.since(&before.body)),
        }
    }

    /// Returns how each model stands that has a word: its environment, its name, and the word.
    pub(in super::super) fn words(&self) -> impl Iterator<Item = (&str, &str, Word)> {
        let environment = self.body.environment().and_then(|row| row.name.as_deref());
        let models = self.body.models().iter();
        models.filter_map(move |row| Some((environment?, row.model.as_str(), row.standing.as_ref()?.word)))
    }
}

/// Writes how old the knowledge is into an object that is written already.
pub(super) fn aged(age_seconds: Option<f64>, object: &str) -> String {
    let rest = object
        .strip_prefix('{')
        .expect("invariant: what is shown is an object");
    let comma = if rest == "}" { "" } else { "," };
    format!("{{\"age_seconds\":{}{comma}{rest}", json!(age_seconds))
}

/// The newest of what was seen.
#[derive(Debug)]
pub(in super::super) struct Snapshots {
    epoch: u64,
    newest: Mutex<Option<Newest>>,
}

#[derive(Debug, Clone)]
struct Newest {
    generation: u64,
    looked_at: Instant,
    seen: Arc<Seen>,
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
        self.newest(source).snapshot
    }

    /// Returns the objects behind what [`Snapshots::look`] returns.
    pub(super) fn objects(&self, source: &dyn StatusSource) -> Arc<Seen> {
        self.newest(source).seen
    }

    fn newest(&self, source: &dyn StatusSource) -> Newest {
        let mut kept = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = match kept.take() {
            Some(newest) if newest.looked_at.elapsed() < FRESH => newest,
            last => self.renewed(source, last),
        };
        kept.insert(newest).clone()
    }

    fn renewed(&self, source: &dyn StatusSource, last: Option<Newest>) -> Newest {
        let seen = Seen::by(source, last.as_ref().map(|last| &*last.seen));
        let looked_at = Instant::now();
        let (generation, before) = match last {
            Some(last) if last.seen.is_same(&seen) => return Newest { looked_at, ..last },
            Some(last) => (last.generation, Some(last.snapshot)),
            None => (0, None),
        };
        let body = Body::of(&seen);
        let seen = Arc::new(seen);
        let (generation, snapshot) = match before {
            Some(before) if before.body == body => (generation, before),
            before => {
                let generation = generation + 1;
                (
                    generation,
                    Arc::new(self.changed(generation, body, before.as_deref())),
                )
            }
        };
        Newest {
            generation,
            looked_at,
            seen,
            snapshot,
        }
    }

    fn changed(&self, generation: u64, body: Body, before: Option<&Snapshot>) -> Snapshot {
        let change = before.map(|before| Change {
            since: before.id.clone(),
            json: body.since(&before.body),
        });
        Snapshot {
            id: format!("{:x}-{generation}", self.epoch),
            body,
            change,
            json: OnceLock::new(),
        }
    }
}
