//! The version of the form in which memories stand in a status.

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The version of a memory's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(pub u32);

impl Default for Format {
    fn default() -> Self {
        Self(FORMAT)
    }
}

/// A later program wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is written in form {0}, and this aurora reads up to {FORMAT}: a later aurora wrote it, start that one"
)]
pub struct UnknownFormat(pub u32);

impl Format {
    /// Fails where this program does not know the form.
    pub const fn known(self) -> Result<(), UnknownFormat> {
        if self.0 <= FORMAT {
            Ok(())
        } else {
            Err(UnknownFormat(self.0))
        }
    }
}

/// Reads a memory once its format is known: a later form may have any shape, and is refused for being later.
pub(crate) fn read<'de, D: Deserializer<'de>, M: DeserializeOwned>(deserializer: D) -> Result<M, D::Error> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        format: Format,
    }
    let memory = Value::deserialize(deserializer)?;
    let Head { format } = Head::deserialize(&memory).map_err(D::Error::custom)?;
    format.known().map_err(D::Error::custom)?;
    M::deserialize(memory).map_err(D::Error::custom)
}
