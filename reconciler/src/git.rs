//! The process that reads Git: it answers what a [`Source`](crate::source::Source) asks, and knows nothing else.
//!
//! ```text
//! stream ──requests──> a thread of their own ──> one after the other: repository, branch, difference, walk, data
//! stream <──frames of an answer─────────────────────────────────────────┘
//! ```
//!
//! A repository is written by others, and a library in C reads it: what is damaged or made to do harm can loop for ever
//! in it, eat memory or panic. So this runs in a process that may be killed at any time. It only reads, holds nothing
//! that anybody needs, and ends when whoever asks is gone, also while it hangs.

mod branch;
mod commits;
mod data;
mod difference;
mod entries;
mod fetch;
mod manifests;
mod repository;
mod signed;
#[cfg(test)]
mod tests;
mod walk;
mod work_tree;

use std::any::Any;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};

use registry::{Advice, Shortage};

use crate::source::protocol::{Cause, GitError, Kind, Request, read_request, write_answer};
use repository::{Opened, Server};

/// How much of an answer is gathered before it is sent, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The stream on which an answer is written.
type Output = BufWriter<UnixStream>;

/// Why a request was not answered as it was to be.
enum Failure {
    /// Git could not be read; this is the answer.
    Git(GitError),
    /// There is nobody to answer.
    Stream(io::Error),
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Answers the requests of a stream until its other end is closed. `gone` is called as soon as that is so, on another
/// thread and whatever is being read then: a process ends itself there.
pub fn serve(stream: UnixStream, gone: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let input = io::BufReader::new(stream.try_clone()?);
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, stream);
    let receiver = match requests(input, gone) {
        Ok(receiver) => receiver,
        Err(error) => return refuse(output, &error),
    };
    // What is read is hardly ever read again.
    git2::opts::enable_caching(false);
    let mut server = Server::default();
    for request in receiver {
        let request: Request = crate::source::protocol::parse(&request)?;
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&mut server, request, &mut output)));
        match answered {
            Ok(Ok(())) => {}
            Ok(Err(Failure::Git(error))) => {
                write_answer(&mut output, Kind::Failed, &[&serde_json::to_vec(&error)?])?;
            }
            Ok(Err(Failure::Stream(error))) => return Err(error),
            Err(panic) => {
                let error = GitError::Unreadable {
                    what: "what was asked for".to_owned(),
                    message: format!("the reader panicked: {}", said(&*panic)),
                    cause: Cause::Crashed,
                };
                write_answer(&mut output, Kind::Failed, &[&serde_json::to_vec(&error)?])?;
                // What it holds may be half changed: another one has its place, as after any crash.
                return output.flush();
            }
        }
        output.flush()?;
    }
    Ok(())
}

/// Reads requests on a thread of their own; its end says that whoever asks is gone.
fn requests(
    mut input: io::BufReader<UnixStream>,
    gone: impl FnOnce() + Send + 'static,
) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Ok(Some(request)) = read_request(&mut input) {
                if sender.send(request).is_err() {
                    return;
                }
            }
            drop(sender);
            gone();
        })?;
    Ok(receiver)
}

/// Answers whatever is asked first with why nothing can be read: the system refuses what this needs.
fn refuse(mut output: Output, error: &io::Error) -> io::Result<()> {
    let error = GitError::Unreadable {
        what: "the repository".to_owned(),
        message: format!(
            "the process that reads Git cannot start a thread: {error}{}",
            Advice::from(Shortage::of_start(error))
        ),
        cause: Cause::System,
    };
    write_answer(&mut output, Kind::Failed, &[&serde_json::to_vec(&error)?])?;
    output.flush()
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

/// Does what a request asks, and writes its answer.
fn answer(server: &mut Server, request: Request, output: &mut Output) -> Result<(), Failure> {
    #[cfg(test)]
    tests::strike(&request);
    match request {
        Request::Open { path, known } => done(output, &server.open(&path, known)?),
        Request::Head { branch } => done(output, &server.head(&branch)?),
        Request::WorkTree => done(output, &server.work_tree()?),
        Request::Fetch(request) => {
            let fetched = fetch::fetch(&request, output)?;
            done(output, &fetched)
        }
        request => {
            let opened = server.opened()?;
            answer_from(opened, request, output)
        }
    }
}

fn answer_from(opened: &Opened, request: Request, output: &mut Output) -> Result<(), Failure> {
    match request {
        // Answered before.
        Request::Open { .. } | Request::Head { .. } | Request::WorkTree | Request::Fetch(_) => Ok(()),
        Request::Branch { given } => done(output, &branch::fix(opened, given.as_deref())?),
        Request::Find { text } => done(output, &opened.find(&text)?),
        Request::Contains { head, commit } => done(output, &opened.contains(head, commit)),
        Request::Uncommitted { folder } => done(output, &opened.uncommitted(&folder)),
        Request::UncommittedFiles => done(output, &opened.uncommitted_files()?),
        Request::Folder { commit, path } => done(output, &opened.folder(commit, &path)?),
        Request::Folders { commit, path } => done(output, &opened.folders(commit, &path)?),
        Request::Time { commit } => done(output, &opened.commit(commit)?.time().seconds()),
        Request::Author { commit } => done(output, &signed::author(&opened.commit(commit)?)),
        Request::Trailer { commit, name } => done(output, &opened.trailer(commit, &name)?),
        Request::SignedRange {
            base,
            head,
            folder,
            trailer,
        } => {
            let looked = signed::Looked::new(opened, &folder, &trailer);
            let range = looked.range(base, head, output)?;
            done(output, &range)
        }
        Request::SignedLatest {
            head,
            folder,
            trailer,
        } => done(
            output,
            &signed::Looked::new(opened, &folder, &trailer).latest(head)?,
        ),
        Request::Remerged { commit, folder } => done(output, &signed::is_remerged(opened, commit, &folder)?),
        Request::Difference { path, old, new } => {
            done(output, &difference::difference(opened, &path, old, new)?)
        }
        Request::Manifests {
            files,
            file_bytes_max,
            bytes_max,
        } => {
            manifests::read(opened, &files, file_bytes_max, bytes_max, output)?;
            done(output, &())
        }
        Request::Steps {
            head,
            wanted,
            known,
            steps_max,
        } => done(output, &walk::steps(opened, head, wanted, known, steps_max)?),
        Request::Fork {
            head,
            other,
            steps_max,
        } => done(output, &walk::fork(opened, head, other, steps_max)?),
        Request::Walk {
            from,
            until,
            folder,
            known,
            data,
            commits_max,
        } => {
            let walk = walk::Walk {
                opened,
                until,
                folder: &folder,
                known,
                data: &data,
                commits_max,
            };
            let walked = walk.go(from, output)?;
            done(output, &walked)
        }
        Request::DataFiles { root, paths } => done(output, &data::find(opened, root, &paths)?),
        Request::MovedData { old, new, paths } => done(output, &data::moved(opened, old, new, &paths)?),
        Request::DataDigest { file, path } => done(output, &data::digest(opened, file, &path)?),
        Request::Data { file, path } => {
            data::read(opened, file, &path, &mut |chunk| {
                write_answer(output, Kind::Part, &[chunk])
            })?;
            done(output, &())
        }
    }
}

fn done<T: serde::Serialize>(output: &mut Output, answer: &T) -> Result<(), Failure> {
    let json = serde_json::to_vec(answer).map_err(io::Error::from)?;
    Ok(write_answer(output, Kind::Done, &[&json])?)
}
