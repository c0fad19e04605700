//! Manifests read and parsed, many at once: Git is read on one thread, what is read is parsed on all cores.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crds::parse::{FILE_BYTES_MAX, Manifest, Parsed, parse_file, too_large};
use planner::deployment::DeclaredDeployment;
use planner::finding::{Finding, Reason};
use planner::names::Digest;
use planner::training::{RunPolicy, Training};

use super::index::{About, Document};
use crate::source::{GitHash, ManifestFile, ManifestPart, Source, SourceError, refused};

/// The most that all manifests of an environment together may have, in bytes.
pub(super) const TOTAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Fewer files than this are parsed where they are read: threads cost more than they save.
const PARALLEL_FROM: usize = 64;

/// How many files are handed over at a time: one by one, threads would wake each other more than they parse.
const BUNDLE: usize = 16;

/// The most bundles that wait for being parsed; each file has at most 1 MiB.
const AHEAD_MAX: usize = 4;

/// The most threads that parse.
const THREADS_MAX: usize = 8;

/// A file that was read, or refused for its size.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) file: ManifestFile,
    pub(super) bytes: usize,
    pub(super) documents: Vec<(Document, Option<Spec>)>,
    pub(super) findings: Vec<Finding>,
}

/// What a document declares, where it is not the environment itself.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    Deployment(DeclaredDeployment),
    Training(Box<Training>),
}

/// Files in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) files: Vec<ReadFile>,
    /// All files together are too large, and some were not read.
    pub(super) is_cut: bool,
}

/// Reads and parses files; `bytes_before` is what the environment's other manifests have together.
pub(super) fn read(
    source: &Source,
    files: &[ManifestFile],
    bytes_before: usize,
) -> Result<Batch, SourceError> {
    let bytes_before = u64::try_from(bytes_before).unwrap_or(u64::MAX);
    let mut batch = Batch {
        files: Vec::with_capacity(files.len()),
        is_cut: false,
    };
    let mut distinct = Distinct::default();
    if files.len() < PARALLEL_FROM {
        let mut parsed = Vec::with_capacity(files.len());
        batch.is_cut = read_each(source, files, bytes_before, &mut |at, file| {
            parsed.extend(distinct.first(at, file).map(|file| (at, file.parse())));
        })?;
        batch.files = distinct.all(parsed);
        return Ok(batch);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel(AHEAD_MAX);
    // The threads alone own the receiver: were all of them gone, sending would fail instead of waiting for ever.
    let receiver = Arc::new(Mutex::new(receiver));
    let (is_cut, mut parsed) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(THREADS_MAX))
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || parse_all(&receiver))
            })
            .collect();
        drop(receiver);
        let mut bundle = Vec::with_capacity(BUNDLE);
        let is_cut = read_each(source, files, bytes_before, &mut |at, file| {
            bundle.extend(distinct.first(at, file).map(|file| (at, file)));
            if bundle.len() == BUNDLE {
                // A thread that panicked is told of where it is joined.
                drop(sender.send(std::mem::replace(&mut bundle, Vec::with_capacity(BUNDLE))));
            }
        });
        drop(sender.send(bundle));
        drop(sender);
        let mut parsed = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(more) => parsed.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (is_cut, parsed)
    });
    batch.is_cut = is_cut?;
    parsed.sort_by_key(|(at, _)| *at);
    batch.files = distinct.all(parsed);
    Ok(batch)
}

/// Knows one content under several names: it is parsed once, however often a commit has it.
#[derive(Default)]
struct Distinct {
    first: HashMap<GitHash, usize>,
    /// The files whose content another one has too, and that one's position.
    others: Vec<(usize, ManifestFile, usize)>,
}

impl Distinct {
    /// Returns a file that is to be parsed.
    fn first(&mut self, at: usize, file: Unparsed) -> Option<Unparsed> {
        match file {
            Unparsed::Content(file, content) => match self.first.entry(file.id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(at);
                    Some(Unparsed::Content(file, content))
                }
                Entry::Occupied(first) => {
                    self.others.push((at, file, *first.get()));
                    None
                }
            },
            Unparsed::Refused(..) => Some(file),
        }
    }

    /// Returns all files in their order; those that were parsed are given in theirs.
    fn all(self, mut parsed: Vec<(usize, ReadFile)>) -> Vec<ReadFile> {
        let mut others = Vec::with_capacity(self.others.len());
        for (at, file, first) in self.others {
            if let Ok(first) = parsed.binary_search_by_key(&first, |(at, _)| *at) {
                others.push((at, parsed[first].1.named(file)));
            }
        }
        if !others.is_empty() {
            parsed.extend(others);
            parsed.sort_by_key(|(at, _)| *at);
        }
        parsed.into_iter().map(|(_, file)| file).collect()
    }
}

impl ReadFile {
    /// Returns the same content under another name.
    fn named(&self, file: ManifestFile) -> Self {
        let mut findings = self.findings.clone();
        for location in findings
            .iter_mut()
            .filter_map(|finding| finding.location.as_mut())
        {
            location.file.clone_from(&file.path);
        }
        Self {
            file,
            bytes: self.bytes,
            documents: self.documents.clone(),
            findings,
        }
    }
}

/// What is known of a file before it is parsed.
enum Unparsed {
    Content(ManifestFile, Vec<u8>),
    Refused(ManifestFile, Finding),
}

/// Gives the content of each file to `take` and says whether some were refused because all together are too large.
fn read_each(
    source: &Source,
    files: &[ManifestFile],
    bytes_before: u64,
    take: &mut dyn FnMut(usize, Unparsed),
) -> Result<bool, SourceError> {
    let left = TOTAL_BYTES_MAX.saturating_sub(bytes_before);
    let mut is_cut = false;
    source.manifests(files, FILE_BYTES_MAX, left, &mut |at, part| {
        let Some(file) = files.get(at).cloned() else { return };
        let unparsed = match part {
            ManifestPart::Content(content) => Unparsed::Content(file, content),
            ManifestPart::TooLarge(size) => {
                let finding = too_large(&file.path, size);
                Unparsed::Refused(file, finding)
            }
            ManifestPart::Surplus => {
                is_cut = true;
                let finding = refused(
                    &file.path,
                    Reason::Unreadable,
                    &format!(
                        "the environment's manifests have more than {TOTAL_BYTES_MAX} bytes together; this one is not read"
                    ),
                    "split the environment",
                );
                Unparsed::Refused(file, finding)
            }
        };
        take(at, unparsed);
    })?;
    Ok(is_cut)
}

fn parse_all(receiver: &Mutex<Receiver<Vec<(usize, Unparsed)>>>) -> Vec<(usize, ReadFile)> {
    let mut parsed = Vec::new();
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(bundle) => parsed.extend(bundle.into_iter().map(|(at, file)| (at, file.parse()))),
            Err(_all_are_read) => return parsed,
        }
    }
}

impl Unparsed {
    fn parse(self) -> ReadFile {
        match self {
            Self::Content(file, content) => {
                let (documents, findings) = parse_file(&file.path, &content);
                ReadFile {
                    file,
                    bytes: content.len(),
                    documents: documents.into_iter().map(split).collect(),
                    findings,
                }
            }
            Self::Refused(file, finding) => ReadFile {
                file,
                bytes: 0,
                documents: Vec::new(),
                findings: vec![finding],
            },
        }
    }
}

/// Splits a document into what is remembered of it and what it declares.
fn split(parsed: Parsed) -> (Document, Option<Spec>) {
    let Parsed {
        manifest,
        location,
        canonical,
    } = parsed;
    let (about, spec) = match manifest {
        Manifest::Environment(environment) => (About::Environment(Box::new(environment)), None),
        Manifest::Deployment(name, spec) => (
            About::Deployment(name, spec.model.clone()),
            Some(Spec::Deployment(spec)),
        ),
        Manifest::Training(name, spec) => {
            let version = match &spec.runs {
                RunPolicy::Fixed(version) => Some((spec.model.clone(), version.clone())),
                RunPolicy::PerInputs | RunPolicy::Scheduled { .. } => None,
            };
            (About::Training(name, version), Some(Spec::Training(spec)))
        }
    };
    let document = Document {
        about,
        line: location.line,
        column: location.column,
        digest: Digest::of(&canonical),
    };
    (document, spec)
}
