//! What a trainer needs of the machine that it runs on: it asks nobody and starts nothing itself.

use std::path::Path;

use planner::finding::Disposition;
use planner::names::Digest;
use planner::training::{Address, FileName};
use registry::artifact::Engines;

/// What whoever runs a trainer can do for it.
pub trait Means {
    /// Returns the bytes that are wanted of an address.
    ///
    /// # Errors
    ///
    /// Why there are none.
    fn fetch(&self, address: &Address, wanted: Wanted<'_>) -> Fetched;

    /// Returns what models may be evaluated by beside our own engine: nothing, unless this process was given it.
    fn engines(&self) -> Engines {
        Engines::default()
    }

    /// Runs a program of a commit to its end.
    ///
    /// # Errors
    ///
    /// It may not be run here, cannot be, or ended with an error.
    fn start(&self, _launch: &Launch<'_>) -> Result<Isolation, Unmet> {
        Err(Unmet {
            disposition: Disposition::Waiting,
            message: "commands of commits are not run here: start aurora with --allow-commands".to_owned(),
        })
    }
}

/// Fetches, and runs no program.
impl<F: Fn(&Address, Wanted<'_>) -> Fetched> Means for F {
    fn fetch(&self, address: &Address, wanted: Wanted<'_>) -> Fetched {
        self(address, wanted)
    }
}

/// What is wanted of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The file that the digest names.
    File(&'a Digest),
    /// Another one beside it.
    Beside(&'a FileName, &'a Digest),
    /// Whatever is there, of at most so many bytes: what vouches for a file.
    Within(u64),
}

/// The bytes from elsewhere, or why there are none.
pub type Fetched = Result<Vec<u8>, Unmet>;

/// A program to be run.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// The program and its arguments; one without a slash is looked for as a shell does.
    pub argv: &'a [String],
    /// The folder that is its own, to write in.
    pub folder: &'a Path,
    /// Where in it it runs.
    pub within: &'a Path,
    /// Variables beside those that any program needs.
    pub variables: Vec<(&'static str, String)>,
    /// What of this run it has no business with: the store and data outside it.
    pub hidden: Vec<&'a Path>,
}

/// What kept a program from the rows that were held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The kernel.
    Enforced,
    /// Nothing but its good will.
    Trusted,
}

/// Says why something is not there that a run needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unmet {
    /// What happens next.
    pub disposition: Disposition,
    /// What went wrong, and what to do.
    pub message: String,
}
