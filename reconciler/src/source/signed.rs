//! Commits with what was signed of them.

use planner::commits::ANSWER_TRAILER;
use planner::names::{EnvironmentName, Revision};

use super::client::Next;
use super::protocol::{GitError, Range, Request, Signed, parse};
use super::{ENVIRONMENTS, Source, SourceError};

impl Source {
    /// Reads the commits that `head` contains and `base` does not, as far as they touch an environment's folder, or
    /// somebody answers for another commit in them.
    pub(crate) fn signed(
        &self,
        base: &Revision,
        head: &Revision,
        environment: &EnvironmentName,
    ) -> Result<(Vec<Signed>, Range), SourceError> {
        let request = Request::SignedRange {
            base: self.hash(base)?,
            head: self.hash(head)?,
            folder: format!("{ENVIRONMENTS}/{environment}"),
            trailer: ANSWER_TRAILER.to_owned(),
        };
        let mut client = self.client();
        let mut read = || -> Result<(Vec<Signed>, Range), GitError> {
            let mut commits = Vec::new();
            let mut exchange = client.exchange(&request)?;
            loop {
                match exchange.next()? {
                    // It goes on.
                    Next::Part(part) if part.is_empty() => {}
                    Next::Part(part) => match parse(&part) {
                        Ok(commit) => commits.push(commit),
                        Err(error) => return Err(exchange.unclear(error)),
                    },
                    Next::Done(range) => return Ok((commits, range)),
                }
            }
        };
        read().map_err(|error| self.explain(error))
    }

    /// Returns the newest commit down from one, along first parents, that touches an environment's folder.
    pub(crate) fn latest_signed(
        &self,
        head: &Revision,
        environment: &EnvironmentName,
    ) -> Result<Option<Signed>, SourceError> {
        self.ask(&Request::SignedLatest {
            head: self.hash(head)?,
            folder: format!("{ENVIRONMENTS}/{environment}"),
            trailer: ANSWER_TRAILER.to_owned(),
        })
    }

    /// Says whether a merge says of an environment's folder what merging its parents anew does.
    pub(crate) fn is_remerged(
        &self,
        merge: &Revision,
        environment: &EnvironmentName,
    ) -> Result<bool, SourceError> {
        self.ask(&Request::Remerged {
            commit: self.hash(merge)?,
            folder: format!("{ENVIRONMENTS}/{environment}"),
        })
    }
}
