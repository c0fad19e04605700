//! What the process that reads Git is asked and answers: typed messages in frames of bounded length.
//!
//! ```text
//! request:  length (u32, little-endian)        JSON of a Request
//! answer:   length, a Part's byte, raw bytes   any number of times
//!           length, Done or Failed, JSON       of the request's own answer, or of a GitError
//! ```
//!
//! Both ends are the same binary, so there is no version to agree on.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::hash::GitHash;
use super::remote::{Fault, Means, Scheme};

/// The longest frame, in bytes: a hundred thousand paths fit.
const FRAME_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// The most bytes of one raw part of a data file.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// What is asked. Paths of files are from the repository's root; those of the file system are bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Opens the repository that `path` lies in, or, where it was opened before, the one of `git_dir`. → [`Opened`]
    Open { path: Vec<u8>, known: Option<Opened> },
    /// Fetches a remote into its mirror. → a `Part` without content now and then, [`Fetched`]
    Fetch(Box<Fetch>),
    /// Fixes the branch: the one given, else the checked-out one. → its full name
    Branch { given: Option<String> },
    /// Resolves the newest commit of a branch, or of what is checked out: `HEAD`. → [`Newest`]
    Head { branch: String },
    /// Finds the commit that a text names. → [`GitHash`]
    Find { text: String },
    /// Says whether one commit contains another. → `bool`
    Contains { head: GitHash, commit: GitHash },
    /// Lists the files below a folder that differ from what is committed. → `Vec<String>`
    Uncommitted { folder: String },
    /// Counts the files below `environments/` that differ from what is committed. → `usize`
    UncommittedFiles,
    /// Makes a commit of the work tree, in the memory of this process. → [`GitHash`]
    WorkTree,
    /// Finds a folder of a commit. → `Option<`[`FoundFolder`]`>`
    Folder { commit: GitHash, path: String },
    /// Lists the folders in a folder of a commit, at most 100. → `Vec<String>`
    Folders { commit: GitHash, path: String },
    /// Returns a commit's time. → seconds since 1970
    Time { commit: GitHash },
    /// Returns who made a commit. → a name and an address
    Author { commit: GitHash },
    /// Reads a trailer of a commit's message, the last of its name. → `Option<String>`
    Trailer { commit: GitHash, name: String },
    /// Reads the commits that a commit contains and another one does not, as far as they touch a folder or have a
    /// trailer of this name. → the JSON of a [`Signed`] for each, and a `Part` without content now and then; [`Range`]
    SignedRange {
        base: GitHash,
        head: GitHash,
        folder: String,
        trailer: String,
    },
    /// Finds the newest commit down from one, along first parents, that touches a folder. → `Option<`[`Signed`]`>`
    SignedLatest {
        head: GitHash,
        folder: String,
        trailer: String,
    },
    /// Says whether a merge says of a folder what merging its parents anew does. → `bool`
    Remerged { commit: GitHash, folder: String },
    /// Walks a folder against an older state of it. → [`Differing`]
    Difference {
        path: String,
        old: Option<GitHash>,
        new: Option<GitHash>,
    },
    /// Reads files. → a [`ManifestPart`] for each, `()`
    Manifests {
        files: Vec<GitHash>,
        /// A larger one is not read.
        file_bytes_max: u64,
        /// One that would make all of them larger is not read.
        bytes_max: u64,
    },
    /// Counts the first-parent steps between two commits, up to a number. → `Option<usize>`
    Steps {
        head: GitHash,
        wanted: GitHash,
        /// Another commit, and its own count.
        known: Option<(GitHash, Option<usize>)>,
        steps_max: usize,
    },
    /// Finds where the lines of first parents of two commits meet. → `Option<`[`Fork`]`>`
    Fork {
        head: GitHash,
        other: GitHash,
        /// How far each of them is followed.
        steps_max: usize,
    },
    /// Goes along first parents. → the JSON of a [`Step`] for each commit that changes something, [`Walked`]
    Walk {
        from: GitHash,
        /// The walk does not go further than to this commit.
        until: Option<GitHash>,
        folder: String,
        /// Two trees of the folder, the older one first, whose difference nobody needs.
        known: Option<(GitHash, GitHash)>,
        /// Files that are looked at besides.
        data: Vec<String>,
        commits_max: usize,
    },
    /// Finds data files. → a `Result<`[`GitHash`]`, `[`NoDataFile`]`>` for each
    DataFiles { root: GitHash, paths: Vec<String> },
    /// Says at which of the paths two commits hold different things. → their positions
    MovedData {
        old: GitHash,
        new: GitHash,
        paths: Vec<String>,
    },
    /// Hashes a data file. → the digest
    DataDigest { file: GitHash, path: String },
    /// Reads a data file. → its bytes, `()`
    Data { file: GitHash, path: String },
}

/// What is fetched, from where, and with what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fetch {
    /// The bare repository that it is fetched into; made if it is missing.
    pub(crate) mirror: Vec<u8>,
    /// The home of the process, where libssh2 looks for known hosts.
    pub(crate) home: Vec<u8>,
    pub(crate) address: String,
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Who logs in over SSH.
    pub(crate) user: String,
    pub(crate) wanted: Wanted,
    /// What the commit is called in the mirror.
    pub(crate) local: String,
    /// Whether nothing of the mirror is gone by: it is made anew.
    pub(crate) is_anew: bool,
    pub(crate) means: Means,
    /// The time, in seconds since 1970.
    pub(crate) now: i64,
}

/// What of a remote is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// The branch that its HEAD names.
    Default,
    Branch(String),
    Tag(String),
}

impl Wanted {
    /// Reads a full name.
    pub(crate) fn of(name: &str) -> Self {
        match name.strip_prefix("refs/tags/") {
            Some(tag) => Self::Tag(tag.to_owned()),
            None => Self::Branch(super::short(name).to_owned()),
        }
    }
}

/// What was fetched.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// Its full name at the remote.
    pub(crate) name: String,
    /// The commit that it names.
    pub(crate) commit: GitHash,
}

/// A repository that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// Its own folder.
    pub(crate) git_dir: Vec<u8>,
    /// What the path was, with all links resolved.
    pub(crate) real_path: Vec<u8>,
    /// Where in the work tree, or in a bare repository's own folder, the path led; absent where in neither.
    pub(crate) place: Option<Vec<u8>>,
}

impl Opened {
    /// Returns how a mirror is opened: there, and nowhere around it.
    pub(crate) fn mirror(path: &Path) -> Self {
        // The mirror itself is no link, whatever leads to it.
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let path = folder.map_or(path.to_owned(), |folder| {
            folder.join(path.file_name().unwrap_or_default())
        });
        Self {
            git_dir: path.as_os_str().as_bytes().to_vec(),
            real_path: path.as_os_str().as_bytes().to_vec(),
            place: Some(Vec::new()),
        }
    }
}

/// A branch's newest commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Newest {
    pub(crate) commit: GitHash,
    /// The repository, where it is another one than before: its path leads elsewhere.
    pub(crate) moved: Option<Opened>,
    /// The process has grown, and another one would be smaller.
    pub(crate) is_large: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FoundFolder {
    pub(crate) tree: GitHash,
    /// The tree of the whole commit.
    pub(crate) root: GitHash,
}

/// A file of a commit that is named like a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    /// Its path from the repository's root.
    pub(crate) path: String,
    pub(crate) id: GitHash,
}

/// What two folders do not share.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Differing {
    pub(crate) gone: Listed,
    pub(crate) new: Listed,
    /// More was found than may be, or a tree is not in Git's order: the rest was not looked at, or in vain.
    pub(crate) is_unclear: bool,
}

/// What one of two folders has for itself, in the order of its tree.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) manifests: Vec<ManifestFile>,
    pub(crate) refused: Vec<RefusedEntry>,
    /// How many entries, folders included.
    pub(crate) entries: usize,
}

/// An entry that is not taken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefusedEntry {
    pub(crate) path: String,
    pub(crate) why: Refusal,
}

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    TooDeep,
    TooMany,
    TooMuchWork,
    TooManyRefused,
    NotUtf8,
    Link,
    Submodule,
    /// A mode of no kind that Git knows.
    Mode(u32),
}

/// A commit, with what somebody may have signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub(crate) commit: GitHash,
    pub(crate) parents: Vec<GitHash>,
    /// A name and an address.
    pub(crate) author: String,
    /// The address of who committed.
    pub(crate) committer: String,
    pub(crate) signature: SignatureText,
    /// Whether it is not, of the folder, what each of its parents is.
    pub(crate) touches: bool,
    /// What its trailers say.
    pub(crate) trailers: Vec<String>,
}

/// What a commit has of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SignatureText {
    None,
    /// As it stands in the commit, and what was signed.
    Text {
        signature: String,
        payload: Vec<u8>,
    },
    /// It is not one that can be read: why.
    Unreadable(String),
}

/// What lies between two commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Range {
    /// The older one is contained in the newer one: every commit between them was looked at.
    Whole,
    /// It is not: the branch was forced. What the newer one has for itself was looked at.
    Forced,
    /// The older one is not there.
    NoBase,
    /// There are more commits than are looked at.
    TooMany,
}

/// What is read of one file.
#[derive(Debug)]
pub(crate) enum ManifestPart {
    Content(Vec<u8>),
    /// It is too large by itself; its size in bytes.
    TooLarge(u64),
    /// It is too large with those before it.
    Surplus,
}

/// Where two lines of first parents meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fork {
    pub(crate) commit: GitHash,
    /// How many steps lead there from the one.
    pub(crate) ahead: usize,
    /// How many from the other.
    pub(crate) behind: usize,
    /// The commits of the other line above it.
    pub(crate) dropped: Vec<GitHash>,
}

/// A commit that changes something against its first parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) commit: GitHash,
    /// Its committer time, in seconds since 1970.
    pub(crate) time: i64,
    pub(crate) changes: Changes,
    /// The data files that are others, by their positions in the request.
    pub(crate) moved: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Changes {
    /// The two trees of the request.
    Known,
    Manifests {
        gone: Vec<ManifestFile>,
        new: Vec<ManifestFile>,
    },
}

/// Where a walk ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Walked {
    /// The first commit that was not compared with its parent.
    pub(crate) reached: GitHash,
    pub(crate) time: i64,
    /// How many commits were.
    pub(crate) commits: usize,
    pub(crate) end: WalkEnd,
}

/// Why a walk ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WalkEnd {
    /// There is more.
    Bounds,
    /// It came to where it was to go.
    Arrived,
    /// The commit is the first one.
    First,
    /// The clone goes no further back.
    Cut,
    /// What the commit changes cannot be read.
    Unreadable(String),
}

/// Why a path is no data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoDataFile {
    Missing,
    Link,
    Folder,
    Submodule,
    OtherMode,
    LfsPointer,
    TooLarge(usize),
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GitError {
    NotARepository,
    Ownership {
        /// What Git wants to have listed.
        path: String,
    },
    Detached {
        at: String,
        branches: Vec<String>,
    },
    NotABranch {
        name: String,
        kind: Immovable,
        branches: Vec<String>,
    },
    NoBranch {
        name: String,
        branches: Vec<String>,
    },
    Unborn {
        branch: String,
        branches: Vec<String>,
    },
    Gone,
    Fetch(Fault),
    Torn {
        branch: String,
        /// The newest commit that the branch's log names.
        logged: Option<String>,
    },
    Unreadable {
        what: String,
        message: String,
        cause: Cause,
    },
}

/// What is named instead of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Immovable {
    /// A tag.
    Tag,
    /// A commit.
    Commit,
}

/// Why Git could not read something, as far as it decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// An object is not there.
    Missing,
    /// An object is not there, and the clone is one that left objects out.
    Partial,
    /// An object is there and is not what it should be.
    Damaged,
    /// Reading took more time than it may.
    Stuck,
    /// Reading took the process with it: a fault of ours, or of libgit2.
    Crashed,
    /// The process was killed while it read: by the kernel where memory ran out, or by somebody.
    Killed,
    /// The system refused: a disk, a permission, a limit.
    System,
    /// Aurora is ending.
    Stopping,
}

/// What a frame of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Part,
    Done,
    Failed,
}

/// Writes a request; the writer is to be flushed.
pub(crate) fn write_request(output: &mut impl Write, request: &Request) -> io::Result<()> {
    write_bytes(output, None, &[&serde_json::to_vec(request)?])
}

/// Reads a request's JSON; `None` at the end of the input.
pub(crate) fn read_request(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => read_bytes(input, length).map(Some),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a frame of an answer, whose content may be in pieces.
pub(crate) fn write_answer(output: &mut impl Write, kind: Kind, pieces: &[&[u8]]) -> io::Result<()> {
    let kind = match kind {
        Kind::Part => 0,
        Kind::Done => 1,
        Kind::Failed => 2,
    };
    write_bytes(output, Some(kind), pieces)
}

/// Reads a frame of an answer.
pub(crate) fn read_answer(input: &mut impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut kind = [0];
    input.read_exact(&mut kind)?;
    let kind = match kind[0] {
        0 => Kind::Part,
        1 => Kind::Done,
        2 => Kind::Failed,
        other => return Err(invalid(format!("a frame of kind {other}"))),
    };
    Ok((kind, read_bytes(input, length)?))
}

fn write_bytes(output: &mut impl Write, kind: Option<u8>, pieces: &[&[u8]]) -> io::Result<()> {
    let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let length = u32::try_from(length)
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX)
        .ok_or_else(|| invalid(format!("a frame of {length} bytes")))?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(kind.as_slice())?;
    pieces.iter().try_for_each(|piece| output.write_all(piece))
}

fn read_bytes(input: &mut impl Read, length: [u8; 4]) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(length);
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    // Grows with what comes, not with what was announced.
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() != usize::try_from(length).unwrap_or(usize::MAX) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Reads JSON that the other end wrote.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl ManifestPart {
    pub(crate) fn read(mut bytes: Vec<u8>) -> io::Result<Self> {
        Ok(match bytes.pop() {
            Some(0) => Self::Content(bytes),
            Some(1) => {
                let size = bytes
                    .try_into()
                    .map_err(|_length| invalid("a size of another length than 8 bytes".to_owned()))?;
                Self::TooLarge(u64::from_le_bytes(size))
            }
            Some(2) => Self::Surplus,
            Some(_) | None => return Err(invalid("a manifest without its kind".to_owned())),
        })
    }
}

/// Writes a manifest's content; the byte behind it says that it is one.
pub(crate) fn write_content(output: &mut impl Write, content: &[u8]) -> io::Result<()> {
    write_answer(output, Kind::Part, &[content, &[0]])
}

pub(crate) fn write_too_large(output: &mut impl Write, size: u64) -> io::Result<()> {
    write_answer(output, Kind::Part, &[&size.to_le_bytes(), &[1]])
}

pub(crate) fn write_surplus(output: &mut impl Write) -> io::Result<()> {
    write_answer(output, Kind::Part, &[&[2]])
}
