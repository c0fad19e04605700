//! A container's last words: what is written to its termination log stands in its Pod's status.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

/// The most that a Pod's status takes of one container, in bytes.
pub(crate) const BYTES_MAX: usize = 4096;

/// Where a container's last words go.
#[derive(Debug, Clone, Args)]
pub(crate) struct TerminationArguments {
    /// A container's termination log: how it ended is written there too, if the file is there
    #[arg(
        long,
        env = "AURORA_TERMINATION_LOG",
        value_name = "FILE",
        default_value = "/dev/termination-log"
    )]
    termination_log: PathBuf,
}

impl TerminationArguments {
    /// Writes the last words, as much of them as the log takes. Outside of a container there is no such file, and none is made.
    pub(crate) fn write(&self, words: &str) {
        if let Err(error) = self.try_write(words)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(
                file = %self.termination_log.display(),
                error = &error as &dyn std::error::Error,
                "failed to write the termination log"
            );
        }
    }

    fn try_write(&self, words: &str) -> io::Result<()> {
        let mut log = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.termination_log)?;
        log.write_all(start(words, BYTES_MAX).as_bytes())
    }
}

/// Returns as many whole characters of a text as `bytes_max` bytes hold.
pub(crate) fn start(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
