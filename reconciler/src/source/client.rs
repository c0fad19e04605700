//! Asks the process that reads Git, starts another one where it is lost, and knows what every one of them must be told.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry::{Advice, Shortage};
use serde::de::DeserializeOwned;

use super::protocol::{Cause, GitError, Kind, Opened, Request, parse};
use super::session::{Configuration, Lost, Patience, Session, is_killed, said};
use super::{HEAD, Reader, Repository};

/// Ends all reading of a source, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Interrupted>);

#[derive(Debug, Default)]
struct Interrupted {
    is_over: AtomicBool,
    /// Of who reads, and of who fetches.
    streams: Mutex<[Option<UnixStream>; 2]>,
}

/// What may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The repository on this machine is read.
    Reads,
    /// A remote is fetched.
    Fetches,
}

impl Interrupt {
    /// Makes whatever is being read fail at once, and all that is asked for later.
    pub fn interrupt(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        self.end(Reading::Reads);
        self.end(Reading::Fetches);
    }

    /// Makes what is under way fail, and not what is asked for later.
    pub(crate) fn end(&self, reading: Reading) {
        if let Some(stream) = self.forget(reading) {
            // Where that fails it is closed already.
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }

    /// Ends this stream with the others.
    pub(crate) fn watch(&self, reading: Reading, stream: UnixStream) {
        self.streams()[reading as usize] = Some(stream);
    }

    pub(crate) fn forget(&self, reading: Reading) -> Option<UnixStream> {
        self.streams()[reading as usize].take()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::SeqCst)
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, [Option<UnixStream>; 2]> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One repository, as it is asked for.
#[derive(Debug)]
pub(crate) struct Client {
    reader: Reader,
    /// Absolute: the process may stand elsewhere by the time another one is started.
    path: PathBuf,
    session: Option<Session>,
    /// Whether the session has opened the repository.
    is_open: bool,
    /// The repository that was found at the path.
    opened: Option<Opened>,
    interrupt: Interrupt,
    configuration: Configuration,
}

impl Client {
    pub(crate) fn new(repository: &Repository) -> Self {
        let path = &repository.path;
        Self {
            reader: repository.reader.clone(),
            path: std::path::absolute(path).unwrap_or_else(|_gone| path.clone()),
            session: None,
            is_open: false,
            opened: repository.remote.as_ref().map(|_remote| Opened::mirror(path)),
            interrupt: Interrupt::default(),
            configuration: Configuration::Whole,
        }
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Takes in that the path leads to another repository now.
    pub(crate) fn moved(&mut self, opened: Opened) {
        tracing::info!(path = %self.path.display(), "the repository's path leads to another one now; it is followed");
        self.opened = Some(opened);
    }

    /// Lets another process take this one's place when something is asked next.
    pub(crate) fn replace(&mut self) {
        self.session = None;
    }

    /// Opens the repository, where that is not done.
    ///
    /// The user's own configuration is left out where it keeps a repository from being opened: a home that is another
    /// user's, as in a container, tells nothing of the repository.
    pub(crate) fn open(&mut self) -> Result<(), GitError> {
        let error = match self.open_with() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let may_be_configuration = match &error {
            GitError::Unreadable { cause, .. } => matches!(cause, Cause::Damaged | Cause::System),
            _ => false,
        };
        if !may_be_configuration || self.configuration == Configuration::WithoutUser {
            return Err(error);
        }
        self.session = None;
        self.configuration = Configuration::WithoutUser;
        if let Err(of_the_repository) = self.open_with() {
            self.session = None;
            self.configuration = Configuration::Whole;
            return Err(of_the_repository);
        }
        if let GitError::Unreadable { message, .. } = &error {
            tracing::warn!(
                error = message,
                "the user's own configuration of Git cannot be read, and is left out"
            );
        }
        Ok(())
    }

    fn open_with(&mut self) -> Result<(), GitError> {
        if self.session.is_none() {
            let session = Session::start(&self.reader, self.configuration)
                .and_then(|session| Ok((session.stream()?, session)));
            let (stream, session) = session.map_err(|error| self.lost(&what_of_all(), Lost::Io(error)))?;
            self.interrupt.watch(Reading::Reads, stream);
            self.session = Some(session);
            self.is_open = false;
        }
        if self.is_open {
            return Ok(());
        }
        let request = Request::Open {
            path: self.path.as_os_str().as_bytes().to_vec(),
            known: self.opened.clone(),
        };
        let opened = self.ask(&request)?.finish()?;
        self.opened = Some(opened);
        self.is_open = true;
        Ok(())
    }

    /// Asks something; the answer is to be read to its end.
    pub(crate) fn exchange(&mut self, request: &Request) -> Result<Exchange<'_>, GitError> {
        self.open()?;
        self.ask(request)
    }

    fn ask(&mut self, request: &Request) -> Result<Exchange<'_>, GitError> {
        let what = what(request);
        if self.interrupt.is_over() {
            self.session = None;
        }
        let Some(session) = &mut self.session else {
            return Err(self.lost(&what, Lost::Ended(None)));
        };
        if let Err(lost) = session.ask(request) {
            return Err(self.lost(&what, lost));
        }
        Ok(Exchange {
            client: self,
            what,
            patience: patience(request),
            is_over: false,
        })
    }

    /// Ends the process that is of no use any more, and says so.
    fn lost(&mut self, what: &str, lost: Lost) -> GitError {
        self.session = None;
        let (message, cause) = match lost {
            _ if self.interrupt.is_over() => ("Aurora is ending".to_owned(), Cause::Stopping),
            Lost::Stuck(patience) => (
                format!("there was no answer within {} s", patience.as_secs_f32()),
                Cause::Stuck,
            ),
            Lost::Ended(status) if is_killed(status) => (said(status), Cause::Killed),
            Lost::Ended(status) => (said(status), Cause::Crashed),
            Lost::Io(error) => (
                format!(
                    "cannot ask the process that reads Git: {error}{}",
                    Advice::from(Shortage::of_start(&error))
                ),
                Cause::System,
            ),
        };
        GitError::Unreadable {
            what: what.to_owned(),
            message,
            cause,
        }
    }
}

/// An answer under way. One that is not read to its end leaves nobody who knows where in it the stream stands, and ends
/// the process.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    client: &'a mut Client,
    what: String,
    patience: Patience,
    is_over: bool,
}

impl Exchange<'_> {
    /// Returns the next part; after the last one, the answer itself.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Next<T>, GitError> {
        let answer = match &mut self.client.session {
            Some(session) => session.answer(self.patience),
            None => Err(Lost::Ended(None)),
        };
        let (kind, bytes) = answer.map_err(|lost| self.client.lost(&self.what, lost))?;
        self.is_over = kind != Kind::Part;
        let mut unclear = |error| self.client.lost(&self.what, Lost::Io(error));
        match kind {
            Kind::Part => Ok(Next::Part(bytes)),
            Kind::Done => parse(&bytes).map(Next::Done).map_err(unclear),
            Kind::Failed => match parse(&bytes) {
                Ok(error) => {
                    if is_last_word(&error) {
                        self.client.session = None;
                    }
                    Err(error)
                }
                Err(error) => Err(unclear(error)),
            },
        }
    }

    /// Returns the answer of a request that has no parts.
    pub(crate) fn finish<T: DeserializeOwned>(mut self) -> Result<T, GitError> {
        loop {
            if let Next::Done(answer) = self.next()? {
                return Ok(answer);
            }
        }
    }

    /// Says that a part is not what it should be.
    pub(crate) fn unclear(&mut self, error: std::io::Error) -> GitError {
        self.client.lost(&self.what, Lost::Io(error))
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.client.session = None;
        }
    }
}

/// Says whether whoever answered is of no use any more: it panicked.
fn is_last_word(error: &GitError) -> bool {
    matches!(
        error,
        GitError::Unreadable {
            cause: Cause::Crashed,
            ..
        }
    )
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Next<T> {
    Part(Vec<u8>),
    Done(T),
}

/// Returns what a request reads, for an error.
fn what(request: &Request) -> String {
    match request {
        Request::Open { .. } => what_of_all(),
        Request::Fetch(fetch) => fetch.address.clone(),
        Request::Branch { given: None } => HEAD.to_owned(),
        Request::Head { branch } if branch == HEAD => HEAD.to_owned(),
        Request::Branch { given: Some(branch) } | Request::Head { branch } => {
            format!("branch {}", super::short(branch))
        }
        Request::Find { text } => text.clone(),
        Request::Contains { head: commit, .. }
        | Request::Time { commit }
        | Request::Author { commit }
        | Request::Trailer { commit, .. }
        | Request::Steps { head: commit, .. }
        | Request::SignedRange { head: commit, .. }
        | Request::SignedLatest { head: commit, .. }
        | Request::Remerged { commit, .. }
        | Request::Fork { head: commit, .. }
        | Request::Walk { from: commit, .. } => format!("the history of {}", &commit.to_string()[..10]),
        Request::Uncommitted { folder: path }
        | Request::Folder { path, .. }
        | Request::Folders { path, .. }
        | Request::Difference { path, .. }
        | Request::DataDigest { path, .. }
        | Request::Data { path, .. } => path.clone(),
        Request::UncommittedFiles | Request::WorkTree => "the work tree".to_owned(),
        Request::Manifests { .. } => "the manifests".to_owned(),
        Request::DataFiles { .. } | Request::MovedData { .. } => "the data files".to_owned(),
    }
}

fn what_of_all() -> String {
    "the repository".to_owned()
}

/// Returns what a request may take until more of its answer is there.
fn patience(request: &Request) -> Patience {
    let (work_millis, seconds) = match request {
        Request::Open { .. }
        | Request::Branch { .. }
        | Request::Head { .. }
        | Request::Find { .. }
        | Request::Folder { .. }
        | Request::Folders { .. }
        | Request::Time { .. }
        | Request::Author { .. }
        | Request::Trailer { .. }
        | Request::Manifests { .. } => (400, 10),
        // Many entries or commits are looked at before there is anything to say.
        Request::Contains { .. }
        | Request::Uncommitted { .. }
        | Request::UncommittedFiles
        | Request::Difference { .. }
        | Request::Steps { .. }
        | Request::SignedRange { .. }
        | Request::SignedLatest { .. }
        | Request::Remerged { .. }
        | Request::Fork { .. }
        | Request::Walk { .. }
        | Request::DataFiles { .. }
        | Request::MovedData { .. } => (5_000, 30),
        // From a pack, 512 MiB are unpacked at once.
        // Of a work tree, 1 GiB may be read.
        // A fetch has a patience of its own.
        Request::DataDigest { .. } | Request::Data { .. } | Request::WorkTree | Request::Fetch(_) => {
            (30_000, 120)
        }
    };
    Patience {
        work: Duration::from_millis(work_millis),
        time: Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use expect_test::expect;

    use super::*;
    use crate::source::SourceError;

    #[test]
    fn a_process_that_was_killed_blames_no_object() {
        let mut client = Client::new(&Repository {
            path: "/repo".into(),
            reader: Reader::Thread,
            remote: None,
        });
        let mut said = |status| {
            let GitError::Unreadable { what, message, cause } = client.lost("m.yaml", Lost::Ended(status))
            else {
                panic!("read");
            };
            let path = "/repo".into();
            let revision = None;
            let error = SourceError::Unreadable {
                path,
                what,
                revision,
                message,
                cause,
            };
            format!("{error}\n")
        };
        let all = [Some(ExitStatus::from_raw(9)), Some(ExitStatus::from_raw(6)), None];
        let all: String = all.into_iter().map(&mut said).collect();
        expect![[r#"
            cannot read m.yaml of /repo: the process that reads Git was killed (signal 9), by the kernel if memory ran out; another one has its place, and it is tried again: raise the memory limit if it was the kernel
            cannot read m.yaml of /repo: the process that reads Git was ended by signal 6; the process that reads Git was lost over it, and another one has its place: git -C /repo fsck says whether an object is damaged; commit it anew
            cannot read m.yaml of /repo: the process that reads Git closed its stream; the process that reads Git was lost over it, and another one has its place: git -C /repo fsck says whether an object is damaged; commit it anew
        "#]].assert_eq(&all);
    }
}
