//! Has a remote fetched, on a thread of its own, and remembers what came of it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::Digest as _;

use super::nudge::Ended;
use super::{Fault, Remote, schedule};
use crate::source::client::{Interrupt, Reading};
use crate::source::protocol::{Fetch, Fetched, GitError, Kind, Request, Wanted, parse};
use crate::source::session::{Fetching, Lost, Patience, Session, is_too_large, said};
use crate::source::{GitHash, Reader, SourceError};

/// The longest that one fetch may take.
const WHOLE: Duration = Duration::from_mins(15);
/// After so many broken fetches in a row it may be the mirror that is broken, and it is made anew.
const BROKEN_MAX: u32 = 3;

/// Has one branch or tag of a remote fetched into its mirror.
#[derive(Debug)]
pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    remote: Remote,
    reader: Reader,
    mirror: PathBuf,
    wanted: Wanted,
    /// What the fetched commit is called in the mirror.
    local: String,
    interrupt: Interrupt,
    is_over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many fetches ended.
    ended: u64,
    faults: u32,
    /// How many in a row were broken.
    broken: u32,
    last: Option<Result<(), Fault>>,
    /// What was fetched last.
    fetched: Option<Fetched>,
    /// Whether the mirror lacks something of what was fetched.
    is_doubted: bool,
    /// The commit that was the newest when the mirror was last made anew.
    made_anew_at: Option<GitHash>,
}

impl State {
    /// Returns the full name, at the remote, of what is followed, once it is known.
    fn name(&self) -> Option<&str> {
        self.fetched.as_ref().map(|fetched| &fetched.name[..])
    }

    /// Says whether the next fetch is to go by nothing that is in the mirror.
    fn is_anew(&self) -> bool {
        self.is_doubted || self.broken >= BROKEN_MAX && self.broken.is_multiple_of(BROKEN_MAX)
    }
}

impl Fetcher {
    /// Fetches nothing yet.
    pub(crate) fn new(
        remote: Remote,
        reader: Reader,
        mirror: PathBuf,
        wanted: Wanted,
        interrupt: Interrupt,
    ) -> Self {
        let local = local(remote.address.as_str(), &wanted);
        Self {
            shared: Arc::new(Shared {
                remote,
                reader,
                mirror,
                local,
                interrupt,
                is_over: AtomicBool::new(false),
                state: Mutex::default(),
                changed: Condvar::new(),
                wanted,
            }),
            thread: None,
        }
    }

    /// Returns what the fetched commit is called in the mirror.
    pub(crate) fn local(&self) -> &str {
        &self.shared.local
    }

    /// Returns the name of the branch or tag, where it is known.
    pub(crate) fn followed(&self) -> Option<String> {
        match &self.shared.wanted {
            Wanted::Branch(name) => Some(name.clone()),
            Wanted::Tag(name) => Some(format!("tags/{name}")),
            Wanted::Default => self.shared.state().name().map(str::to_owned),
        }
    }

    /// Takes in that something of the mirror cannot be read: the next fetch makes it anew. Where that was done for the
    /// newest commit before, it is not the mirror's fault.
    pub(crate) fn doubt(&self) {
        let mut state = self.shared.state();
        let newest = state.fetched.as_ref().map(|fetched| fetched.commit);
        if newest.is_none() || state.made_anew_at != newest {
            state.is_doubted = true;
        }
    }

    /// Begins to fetch, if that is not done.
    pub(crate) fn begin(&mut self) -> Result<(), SourceError> {
        if self.thread.is_some() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("fetch".to_owned());
        let spawned = thread.spawn(move || shared.run()).map_err(|error| {
            let message = format!("cannot start a thread: {error}");
            self.error(Fault::Lost { message })
        })?;
        self.thread = Some(spawned);
        Ok(())
    }

    /// Waits until the first fetch ended, well or not.
    pub(crate) fn first(&self) -> Result<(), SourceError> {
        let state = self.shared.state();
        let ended = self.shared.changed.wait_while(state, |state| state.ended == 0);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
        self.trouble().map_or(Ok(()), Err)
    }

    /// Says whether the first look is to wait for the first fetch.
    pub(crate) fn is_awaited(&self) -> bool {
        self.shared.remote.is_fetched_first
    }

    /// Returns why the last fetch failed, if it did.
    pub(crate) fn trouble(&self) -> Option<SourceError> {
        let last = self.shared.state().last.clone();
        last.and_then(Result::err).map(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> SourceError {
        let what = match &self.shared.wanted {
            Wanted::Branch(name) => format!("branch {name} of "),
            Wanted::Tag(name) => format!("tag {name} of "),
            Wanted::Default => String::new(),
        };
        SourceError::Fetch {
            what: format!("{what}{}", self.shared.remote.address),
            fault: Box::new(fault),
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.interrupt.end(Reading::Fetches);
        self.shared.remote.nudge.wake();
        if let Some(thread) = self.thread.take() {
            // It waits for nothing that was not ended.
            drop(thread.join());
        }
    }
}

/// Returns what is fetched is called in the mirror: another address or branch has another name, and no name lies in
/// another as `a` and `a/b` would.
fn local(address: &str, wanted: &Wanted) -> String {
    let (kind, name) = match wanted {
        Wanted::Default => ("", ""),
        Wanted::Branch(name) => ("heads", &name[..]),
        Wanted::Tag(name) => ("tags", &name[..]),
    };
    let hash = sha2::Sha256::digest(format!("{address}\n{kind}\n{name}"));
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&hash[..20]);
    format!("refs/aurora/{}", GitHash::from_bytes(bytes))
}

impl Shared {
    fn run(&self) {
        loop {
            let fetched = self.fetch();
            let faults = self.take(fetched);
            let wait = schedule::wait(self.remote.interval, faults, (self.remote.chance.jitter)());
            let ended = self.remote.nudge.wait(wait, &self.is_over);
            if ended == Ended::Over || self.interrupt.is_over() {
                return;
            }
        }
    }

    /// Takes in how a fetch ended; returns how many in a row failed.
    fn take(&self, fetched: Result<Fetched, Fault>) -> u32 {
        let mut state = self.state();
        let before = state.fetched.as_ref().map(|before| before.commit);
        let is_new = fetched
            .as_ref()
            .is_ok_and(|fetched| before != Some(fetched.commit));
        state.ended += 1;
        match fetched {
            Ok(fetched) => {
                if state.is_anew() {
                    tracing::warn!(address = %self.remote.address, "the mirror lacked something, and was made anew");
                    state.made_anew_at = Some(fetched.commit);
                    state.is_doubted = false;
                }
                state.fetched = Some(fetched);
                (state.faults, state.broken) = (0, 0);
                state.last = Some(Ok(()));
            }
            Err(fault) => {
                state.faults = state.faults.saturating_add(1);
                state.broken = match fault {
                    Fault::Broken { .. } => state.broken.saturating_add(1),
                    _ => 0,
                };
                if state.last.as_ref() != Some(&Err(fault.clone())) {
                    tracing::warn!(address = %self.remote.address, error = %fault, "cannot fetch");
                }
                state.last = Some(Err(fault));
            }
        }
        self.changed.notify_all();
        let faults = state.faults;
        drop(state);
        if is_new {
            self.remote.nudge.fetched();
        }
        faults
    }

    /// Fetches once, in a process of its own.
    fn fetch(&self) -> Result<Fetched, Fault> {
        let access = &self.remote.access;
        let means = access.read(&self.remote.address)?;
        let home = self.mirror.with_file_name("home");
        let address = &self.remote.address;
        let (wanted, is_anew) = {
            let state = self.state();
            let wanted = match (&self.wanted, state.name()) {
                // Fixed by the first fetch.
                (Wanted::Default, Some(name)) => Wanted::of(name),
                (wanted, _) => wanted.clone(),
            };
            (wanted, state.is_anew())
        };
        let request = Request::Fetch(Box::new(Fetch {
            mirror: self.mirror.as_os_str().as_bytes().to_vec(),
            home: home.as_os_str().as_bytes().to_vec(),
            address: address.as_str().to_owned(),
            scheme: address.scheme(),
            host: address.host().to_owned(),
            port: address.port(),
            user: address.user().to_owned(),
            wanted,
            local: self.local.clone(),
            is_anew,
            means,
            now: (self.remote.chance.now)(),
        }));
        let lost = |lost| self.lost(lost);
        let fetching = Fetching {
            home: &home,
            authorities: access.authorities.as_deref(),
            agent: access.agent.as_deref(),
        };
        let mut session =
            Session::start_fetching(&self.reader, &fetching).map_err(|error| lost(Lost::Io(error)))?;
        let stream = session.stream().map_err(|error| lost(Lost::Io(error)))?;
        self.interrupt.watch(Reading::Fetches, stream);
        if self.is_over() {
            return Err(Fault::Stopping);
        }
        session.ask(&request).map_err(lost)?;
        let answer = self.answer(&mut session);
        self.interrupt.forget(Reading::Fetches);
        answer
    }

    fn answer(&self, session: &mut Session) -> Result<Fetched, Fault> {
        let began = Instant::now();
        let patience = Patience {
            work: WHOLE,
            time: self.remote.stall,
        };
        let unclear = |error| self.lost(Lost::Io(error));
        loop {
            let (kind, bytes) = session.answer(patience).map_err(|lost| self.lost(lost))?;
            match kind {
                // Something came: it goes on.
                Kind::Part if began.elapsed() < WHOLE => {}
                Kind::Part => {
                    return Err(Fault::TooLong {
                        minutes: WHOLE.as_secs() / 60,
                    });
                }
                Kind::Done => return parse(&bytes).map_err(unclear),
                Kind::Failed => {
                    return Err(match parse(&bytes).map_err(unclear)? {
                        GitError::Fetch(fault) => fault,
                        GitError::Unreadable { message, .. } => Fault::Lost { message },
                        other => Fault::Lost {
                            message: format!("the process that fetches answers {other:?}"),
                        },
                    });
                }
            }
        }
    }

    fn lost(&self, lost: Lost) -> Fault {
        match lost {
            _ if self.is_over() => Fault::Stopping,
            Lost::Stuck(patience) => Fault::Stalled {
                seconds: patience.as_secs(),
            },
            Lost::Ended(status) if is_too_large(status) => Fault::TooLarge {
                what: "4 GiB in one file".to_owned(),
            },
            Lost::Ended(status) => Fault::Lost {
                message: said(status),
            },
            Lost::Io(error) => Fault::Lost {
                message: format!("cannot ask the process that fetches: {error}"),
            },
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst) || self.interrupt.is_over()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
