//! A program of the commit that makes a model on one machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CommittedFile;
use crate::shown::escape;

/// A program that is given the rows that a fit may see, in a folder with its files, and writes a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments. Not empty.
    pub argv: Vec<String>,
    /// What of the commit it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<CommittedFile>,
}

/// As a plan names it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("command")?;
        self.argv
            .iter()
            .try_for_each(|word| write!(f, " {}", escape(word)))
    }
}
