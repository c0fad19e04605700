//! What evaluates a model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What evaluates a model's versions: somebody has to opt into anything but our own engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Engine {
    /// The engine in this process, which refuses what it does not know.
    #[default]
    Aurora,
    /// ONNX Runtime, in a process of its own for each version.
    OnnxRuntime,
}

impl Engine {
    /// Says whether it is our own.
    pub const fn is_own(&self) -> bool {
        matches!(self, Self::Aurora)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aurora => "Aurora",
            Self::OnnxRuntime => "OnnxRuntime",
        })
    }
}

/// Says that a text names no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Aurora or OnnxRuntime is expected")]
pub struct NotAnEngine;

impl FromStr for Engine {
    type Err = NotAnEngine;

    fn from_str(text: &str) -> Result<Self, NotAnEngine> {
        [Self::Aurora, Self::OnnxRuntime]
            .into_iter()
            .find(|engine| engine.to_string() == text)
            .ok_or(NotAnEngine)
    }
}
