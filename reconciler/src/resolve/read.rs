//! Manifests read and parsed, many at once: Git is read on one thread, what is read is parsed on all cores.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::parse::{FILE_BYTES_MAX, Manifest, Parsed, ParsedFile, parse_file_with, too_large};
use planner::deployment::DeclaredDeployment;
use planner::finding::{Finding, Reason};
use planner::names::Digest;
use planner::training::{RunPolicy, Training};

use super::index::{About, Document, Reach, Size};
use crate::source::{GitHash, ManifestFile, ManifestPart, Source, SourceError, refused};

/// The most that all manifests of an environment together may have, in bytes.
const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most values that it may take to read all manifests of an environment, aliases as what they stand for: a hundred for
/// each of 100,000 files.
const TOTAL_VALUES_MAX: usize = 10_000_000;

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
    pub(super) size: Size,
    pub(super) documents: Vec<(Document, Option<Spec>)>,
    pub(super) findings: Vec<Finding>,
}

/// What a document declares, where it is not the environment itself.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    Deployment(Box<DeclaredDeployment>),
    Training(Box<Training>),
}

/// Files in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) files: Vec<ReadFile>,
    /// All files together are too large, and some were not read.
    pub(super) is_cut: bool,
}

impl Size {
    /// Says whether manifests are larger than those of one environment may be together.
    pub(super) const fn is_too_large(self) -> bool {
        self.bytes > TOTAL_BYTES_MAX || self.values > TOTAL_VALUES_MAX
    }
}

/// Reads and parses files; `before` is what the environment's other manifests have together.
pub(super) fn read(source: &Source, files: &[ManifestFile], before: Size) -> Result<Batch, SourceError> {
    let mut distinct = Distinct::default();
    let parser = Parser::new(TOTAL_VALUES_MAX.saturating_sub(before.values));
    let mut bundles = Bundles::default();
    let (is_cut, mut parsed) = if files.len() < PARALLEL_FROM {
        let mut parsed = Vec::with_capacity(files.len());
        let is_cut = read_each(source, files, before.bytes, &mut |at, file| {
            let bundle = distinct.first(at, file).map(|file| bundles.one(at, file));
            parsed.extend(bundle.into_iter().flat_map(|bundle| parser.parse(bundle)));
        })?;
        (is_cut, parsed)
    } else {
        parse_on_threads(&parser, |send| {
            let is_cut = read_each(source, files, before.bytes, &mut |at, file| {
                let file = distinct.first(at, file);
                if let Some(bundle) = file.and_then(|file| bundles.add(at, file)) {
                    send(bundle);
                }
            });
            send(bundles.rest());
            is_cut
        })?
    };
    parsed.sort_by_key(|(at, _)| *at);
    let mut batch = Batch {
        files: distinct.all(parsed),
        is_cut,
    };
    batch.cut(parser.values_left);
    Ok(batch)
}

/// Runs `read`, which hands over bundles, and parses these on all cores meanwhile. Returns in no order.
fn parse_on_threads<T>(
    parser: &Parser,
    read: impl FnOnce(&mut dyn FnMut(Bundle)) -> Result<T, SourceError>,
) -> Result<(T, Vec<(usize, ReadFile)>), SourceError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel(AHEAD_MAX);
    // The threads alone own the receiver: were all of them gone, sending would fail instead of waiting for ever.
    let receiver = Arc::new(Mutex::new(receiver));
    std::thread::scope(|scope| {
        // Where there may be no more threads, fewer do it, or the one that reads.
        let threads: Vec<_> = (0..threads.min(THREADS_MAX))
            .map_while(|_| {
                let receiver = receiver.clone();
                let parse = move || parser.parse_all(&receiver);
                std::thread::Builder::new().spawn_scoped(scope, parse).ok()
            })
            .collect();
        drop(receiver);
        let mut parsed = Vec::new();
        let result = if threads.is_empty() {
            read(&mut |bundle| parsed.extend(parser.parse(bundle)))
        } else {
            // A thread that panicked is told of where it is joined.
            read(&mut |bundle| drop(sender.send(bundle)))
        };
        drop(sender);
        for thread in threads {
            match thread.join() {
                Ok(more) => parsed.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok((result?, parsed))
    })
}

impl Batch {
    /// Refuses the files that come after too many values: always the same ones, however threads took their turns.
    fn cut(&mut self, values_left: usize) {
        let mut values = 0;
        for file in &mut self.files {
            let is_surplus = values > values_left;
            values += file.size.values;
            if is_surplus {
                self.is_cut = true;
                *file = surplus(file.file.clone(), &format!("{TOTAL_VALUES_MAX} values")).parse();
            }
        }
    }
}

/// Files that are handed over together, with their positions in what was asked for.
#[derive(Default)]
struct Bundle {
    number: usize,
    files: Vec<(usize, Unparsed)>,
}

/// Puts files together.
#[derive(Default)]
struct Bundles {
    next: Bundle,
}

impl Bundles {
    /// Adds a file, and returns the bundle that it fills.
    fn add(&mut self, at: usize, file: Unparsed) -> Option<Bundle> {
        self.next.files.push((at, file));
        (self.next.files.len() == BUNDLE).then(|| self.rest())
    }

    /// Returns a file by itself.
    fn one(&mut self, at: usize, file: Unparsed) -> Bundle {
        self.next.files.push((at, file));
        self.rest()
    }

    /// Returns what is left.
    fn rest(&mut self) -> Bundle {
        let next = Bundle {
            number: self.next.number + 1,
            files: Vec::with_capacity(BUNDLE),
        };
        std::mem::replace(&mut self.next, next)
    }
}

/// Parses bundles until those before took too many values.
struct Parser {
    /// The most that all may take.
    values_left: usize,
    /// What each bundle took so far.
    values: Mutex<Vec<usize>>,
}

impl Parser {
    const fn new(values_left: usize) -> Self {
        Self {
            values_left,
            values: Mutex::new(Vec::new()),
        }
    }

    fn parse_all(&self, receiver: &Mutex<Receiver<Bundle>>) -> Vec<(usize, ReadFile)> {
        let mut parsed = Vec::new();
        loop {
            let next = lock(receiver).recv();
            match next {
                Ok(bundle) => parsed.extend(self.parse(bundle)),
                Err(_all_are_read) => return parsed,
            }
        }
    }

    fn parse(&self, bundle: Bundle) -> Vec<(usize, ReadFile)> {
        let is_surplus = self.taken_before(bundle.number) > self.values_left;
        let files = bundle.files.into_iter();
        let parsed: Vec<_> = files
            .map(|(at, file)| (at, if is_surplus { file.unread() } else { file.parse() }))
            .collect();
        let mut values = lock(&self.values);
        if values.len() <= bundle.number {
            values.resize(bundle.number + 1, 0);
        }
        values[bundle.number] = parsed.iter().map(|(_, file)| file.size.values).sum();
        parsed
    }

    /// Returns what the bundles before one took, as far as they are parsed.
    fn taken_before(&self, number: usize) -> usize {
        lock(&self.values).iter().take(number).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            size: self.size,
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
    bytes_before: usize,
    take: &mut dyn FnMut(usize, Unparsed),
) -> Result<bool, SourceError> {
    let left = TOTAL_BYTES_MAX.saturating_sub(bytes_before) as u64;
    let mut is_cut = false;
    source.manifests(files, FILE_BYTES_MAX, left, &mut |at, part| {
        let Some(file) = files.get(at).cloned() else {
            return;
        };
        let unparsed = match part {
            ManifestPart::Content(content) => Unparsed::Content(file, content),
            ManifestPart::TooLarge(size) => {
                let finding = too_large(&file.path, size);
                Unparsed::Refused(file, finding)
            }
            ManifestPart::Surplus => {
                is_cut = true;
                surplus(file, &format!("{TOTAL_BYTES_MAX} bytes"))
            }
        };
        take(at, unparsed);
    })?;
    Ok(is_cut)
}

/// Returns a file that is not read because the environment's manifests together pass a limit.
fn surplus(file: ManifestFile, limit: &str) -> Unparsed {
    let message =
        format!("the environment's manifests have more than {limit} together; this one is not read");
    let finding = refused(&file.path, Reason::Unreadable, &message, "split the environment");
    Unparsed::Refused(file, finding)
}

impl Unparsed {
    fn parse(self) -> ReadFile {
        match self {
            Self::Content(file, content) => {
                let ParsedFile {
                    documents,
                    findings,
                    values,
                } = parse_file_with(&file.path, &content, &crate::zones::system_knows);
                ReadFile {
                    file,
                    size: Size {
                        bytes: content.len(),
                        values,
                    },
                    documents: documents.into_iter().map(split).collect(),
                    findings,
                }
            }
            Self::Refused(file, finding) => ReadFile {
                file,
                size: Size::default(),
                documents: Vec::new(),
                findings: vec![finding],
            },
        }
    }

    /// Returns the file as one that [`Batch::cut`] refuses.
    fn unread(self) -> ReadFile {
        match self {
            Self::Content(file, _) => ReadFile {
                file,
                size: Size::default(),
                documents: Vec::new(),
                findings: Vec::new(),
            },
            refused @ Self::Refused(..) => refused.parse(),
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
        Manifest::Environment(environment) => (About::Environment(environment), None),
        Manifest::Deployment(name, spec) => (
            About::Deployment(name, spec.model.clone(), Reach::of(&spec).map(Box::new)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever commits decides how much there is to parse; which files are refused for it, threads do not.
    #[test]
    fn files_beyond_too_many_values_are_refused_in_whatever_order_threads_parse() {
        let bundles = || {
            let mut bundles = Bundles::default();
            let files = (0..5 * BUNDLE).map(|at| {
                let file = ManifestFile {
                    path: format!("{at:03}.yaml"),
                    id: GitHash::from_bytes([u8::try_from(at).unwrap(); 20]),
                };
                (at, Unparsed::Content(file, b"a: [1]".to_vec()))
            });
            let mut all: Vec<Bundle> = files.filter_map(|(at, file)| bundles.add(at, file)).collect();
            all.push(bundles.rest());
            all
        };
        let refused = |values_left: usize, order: &[usize]| {
            let parser = Parser::new(values_left);
            let mut bundles: Vec<Option<Bundle>> = bundles().into_iter().map(Some).collect();
            let order = order.iter().filter_map(|number| bundles[*number].take());
            let mut parsed: Vec<_> = order.flat_map(|bundle| parser.parse(bundle)).collect();
            parsed.sort_by_key(|(at, _)| *at);
            let mut batch = Batch {
                files: parsed.into_iter().map(|(_, file)| file).collect(),
                is_cut: false,
            };
            batch.cut(parser.values_left);
            let is_refused = |file: &&ReadFile| {
                file.findings
                    .iter()
                    .any(|found| found.message.contains("values together"))
            };
            let first = batch
                .files
                .iter()
                .find(is_refused)
                .map(|file| file.file.path.clone());
            assert_eq!(first.is_some(), batch.is_cut);
            let count = batch.files.iter().filter(is_refused).count();
            (first, count)
        };
        let check = |values_left: usize, expect: (Option<&str>, usize)| {
            let expect = (expect.0.map(str::to_owned), expect.1);
            for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
                assert_eq!(
                    refused(values_left, &order),
                    expect,
                    "{values_left} left, {order:?}"
                );
            }
        };
        // Each file takes four: a mapping, a key, a list and a number.
        check(4 * 5 * BUNDLE, (None, 0));
        check(4 * BUNDLE + 1, (Some("017.yaml"), 5 * BUNDLE - 17));
        check(4 * BUNDLE - 1, (Some("016.yaml"), 4 * BUNDLE));
        check(0, (Some("001.yaml"), 5 * BUNDLE - 1));
    }
}
