//! What a process, or its machine, may have no more of. Such an error says nothing of what was to be opened or started.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// A limit that was reached. Shown, it says what to raise, as a clause: `the limit on open files is reached (…)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// This process may have no more files open.
    Files,
    /// The machine has no more files to open.
    FilesOfMachine,
    /// This user, or the container, may have no more processes and threads.
    Processes,
}

impl Shortage {
    /// Returns what an error says there is no more of.
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Self::Files),
            Errno::NFILE => Some(Self::FilesOfMachine),
            _ => None,
        }
    }

    /// The same, of the start of a process or a thread.
    pub fn of_start(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::AGAIN => Some(Self::Processes),
            _ => Self::of(error),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = |resource| {
            getrlimit(resource)
                .current
                .map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
        };
        match self {
            Self::Files => write!(
                f,
                "the limit on open files is reached: raise it (ulimit -n, here {}; LimitNOFILE= of a service)",
                now(Resource::Nofile)
            ),
            Self::FilesOfMachine => f.write_str(
                "the whole machine's limit on open files is reached: raise it (sysctl fs.file-max)",
            ),
            Self::Processes => write!(
                f,
                "the limit on processes and threads is reached: raise it (ulimit -u, here {}; TasksMax= of a service, \
                 pids.max of a container)",
                now(Resource::Nproc)
            ),
        }
    }
}

/// What follows an error's own words where a limit was reached: `; …`, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Advice(Option<Shortage>);

impl From<Option<Shortage>> for Advice {
    fn from(shortage: Option<Shortage>) -> Self {
        Self(shortage)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |shortage| write!(f, "; {shortage}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_used_up_is_a_shortage() {
        let of = |errno: Errno| {
            let error = io::Error::from(errno);
            (Shortage::of(&error), Shortage::of_start(&error))
        };
        let files = Some(Shortage::Files);
        assert_eq!(of(Errno::MFILE), (files, files));
        let all = Some(Shortage::FilesOfMachine);
        assert_eq!(of(Errno::NFILE), (all, all));
        // A file that would block is no limit.
        assert_eq!(of(Errno::AGAIN), (None, Some(Shortage::Processes)));
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::IO] {
            assert_eq!(of(errno), (None, None), "{errno}");
        }
        assert_eq!(Shortage::of(&io::Error::other("without a number")), None);
        let words = Shortage::Files.to_string();
        assert!(words.contains("ulimit -n, here "), "{words}");
    }
}
