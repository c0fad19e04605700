//! What happened in an environment, kept in its data directory: `events.jsonl`, a line each, readable while it runs and
//! after.
//!
//! The file is only ever appended to. Once it has grown it is closed as `events-1.jsonl`, in place of the one before, so
//! both together stay bounded. Writing goes on on a thread of its own and stops nothing: what cannot be written is lost,
//! and that is logged.

mod record;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use planner::Timestamp;
use planner::names::{ObjectName, Revision};
use registry::StoreError;
use registry::files::Dir;
use standalone::Event;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

pub(crate) use record::{Record, of_view};

use crate::clock;
use crate::news::Teller;
use crate::terminal::{Heard, Printer};

/// The file that is appended to.
const CURRENT: &str = "events.jsonl";
/// The one before.
const CLOSED: &str = "events-1.jsonl";
/// How large the file gets before it is closed, in bytes.
const PART_BYTES_MAX: u64 = 4 << 20;
/// The most of a file that is read, in bytes: a part and what was said at once.
const READ_BYTES_MAX: u64 = 2 * PART_BYTES_MAX;
/// How long the end waits for what is not written yet.
const END: Duration = Duration::from_secs(1);

/// Who made a commit, and when that was seen first, by the commit.
pub(crate) type Authors = BTreeMap<String, (String, Timestamp)>;

/// Keeps what happens; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Printer<Vec<Record>>);

impl Journal {
    /// Starts the thread that writes into a data directory, and says that the process has started.
    pub(crate) fn start(data_dir: &Path) -> io::Result<Self> {
        let data_dir = data_dir.to_owned();
        let mut is_broken = false;
        let journal = Self(Printer::start("events", move |heard| {
            let records = match heard {
                Heard::Said(records) => records,
                Heard::Missed(count) => vec![Record::missed(count, clock::now())],
            };
            let written = append(&data_dir, &records);
            match &written {
                Err(error) if !is_broken => {
                    tracing::warn!(%error, "events are not kept for as long as this lasts");
                }
                Err(_) | Ok(()) => {}
            }
            is_broken = written.is_err();
        })?);
        journal.keep(vec![Record::started(clock::now())]);
        Ok(journal)
    }

    /// Keeps what is heard until nobody says anything any more.
    pub(crate) async fn hear(self, mut events: Receiver<Event>) {
        let mut teller = Teller::default();
        let mut commits = Commits::default();
        loop {
            let records = match events.recv().await {
                // That a run started says enough.
                Ok(Event::TrainingProgress { .. }) => continue,
                Ok(event) => {
                    let commit = commits.behind(&event);
                    let news = teller.hear(event);
                    let of_one = |news| Record::of(news, &commit, clock::now());
                    news.iter().flat_map(of_one).collect()
                }
                Err(RecvError::Lagged(count)) => vec![Record::missed(count, clock::now())],
                Err(RecvError::Closed) => return,
            };
            self.keep(records);
        }
    }

    /// Says that the process ends in order, and waits for what is not written yet, for a moment.
    pub(crate) fn end(&self) {
        self.keep(vec![Record::stopped(clock::now())]);
        let _is_written = self.0.flush(END);
    }

    fn keep(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let bytes = records.iter().map(Record::bytes).sum();
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.0.say(records, bytes, count);
    }
}

/// Waits, after the end of whoever says what happens, until the rest of it is heard, for a moment.
pub(crate) async fn heard_out(hearing: JoinHandle<()>) {
    let _is_over = tokio::time::timeout(END, hearing).await;
}

/// A commit, and who made it.
#[derive(Debug, Default)]
struct Commit {
    revision: Option<Revision>,
    author: Option<String>,
}

/// What is known of commits.
#[derive(Debug, Default)]
struct Commits {
    /// The newest one that was looked at.
    newest: Commit,
    /// The one of each training run under way.
    trainings: BTreeMap<ObjectName, Revision>,
}

impl Commits {
    /// Returns the commit behind an event: the one that a pass looked at, or that last changed the manifest.
    fn behind(&mut self, event: &Event) -> Commit {
        let revision = match event {
            Event::Pass(pass) => {
                if self.newest.revision != pass.revision {
                    self.newest.revision.clone_from(&pass.revision);
                    self.newest.author.clone_from(&pass.author);
                }
                pass.revision.clone()
            }
            Event::Rollout { revision, .. } => Some(revision.clone()),
            Event::TrainingStarted { job, revision, .. } => {
                self.trainings.insert(job.clone(), revision.clone());
                Some(revision.clone())
            }
            Event::TrainingEnded { job, .. } => self.trainings.remove(job),
            _ => None,
        };
        let is_newest = revision.is_some() && revision == self.newest.revision;
        Commit {
            revision,
            author: self.newest.author.clone().filter(|_| is_newest),
        }
    }
}

/// Appends records; a last line that a crash has torn is ended first.
fn append(data_dir: &Path, records: &[Record]) -> io::Result<()> {
    let dir = Dir::open(data_dir)?;
    let mut file = dir.open_append(CURRENT)?;
    let mut bytes = file.metadata()?.len();
    if bytes > PART_BYTES_MAX {
        dir.rename(CURRENT, CLOSED)?;
        file = dir.open_append(CURRENT)?;
        bytes = 0;
    }
    let mut last = [b'\n'];
    if bytes > 0 {
        file.read_exact_at(&mut last, bytes - 1)?;
    }
    let torn = if last == [b'\n'] { "" } else { "\n" };
    let lines: String = records.iter().map(Record::line).collect();
    file.write_all(format!("{torn}{lines}").as_bytes())
}

/// Returns what a data directory has kept, oldest first; `None` where nothing was ever kept. What is no record is passed
/// over.
pub(crate) fn read(data_dir: &Path) -> Result<Option<Vec<Record>>, StoreError> {
    let dir = Dir::open(data_dir)?;
    let mut all: Option<Vec<Record>> = None;
    for name in [CLOSED, CURRENT] {
        let Some(bytes) = dir.read(name, "a file of events", READ_BYTES_MAX)? else {
            continue;
        };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records = lines.filter_map(|line| serde_json::from_slice(line).ok());
        all.get_or_insert_with(Vec::new).extend(records);
    }
    if let Some(records) = &mut all {
        name_authors(records);
    }
    Ok(all)
}

/// Returns who made each commit that a data directory has kept something of, and when that was seen first.
pub(crate) fn authors(data_dir: &Path) -> Result<Authors, StoreError> {
    let mut authors = Authors::default();
    for record in read(data_dir)?.unwrap_or_default() {
        if let (Some(revision), Some(author)) = (record.revision, record.author) {
            authors.entry(revision.to_string()).or_insert((author, record.at));
        }
    }
    Ok(authors)
}

/// Says of each record who made its commit, where any of them says it: a model may move before the pass is told.
fn name_authors(records: &mut [Record]) {
    let known: BTreeMap<Revision, String> = records
        .iter()
        .filter_map(|record| record.revision.clone().zip(record.author.clone()))
        .collect();
    for record in records {
        let author = record.revision.as_ref().and_then(|revision| known.get(revision));
        record.author = record.author.take().or_else(|| author.cloned());
    }
}

#[cfg(test)]
mod tests;
