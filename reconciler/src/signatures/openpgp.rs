//! OpenPGP signatures, verified by `gpgv`: a child process that is told where to read, and by no configuration.
//!
//! Its exit code says too little: it is 0 for a revoked key. What counts are its status lines: one signature, good, by a
//! key that counted when the commit was first seen.

use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::commits::Fault;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// What the text of a signature begins with.
pub(super) const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
/// The program.
const PROGRAM: &str = "gpgv";
/// How long it may take for one signature, and for all that are looked at together: nothing else is done meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_OF_ALL: Duration = Duration::from_secs(20);
/// How often it is looked whether it has ended.
const TICK: Duration = Duration::from_millis(5);
/// The most that it may say, in bytes: what a pipe holds of one that is not read meanwhile.
const OUTPUT_BYTES_MAX: u64 = 32 << 10;
/// What it may allocate, in bytes.
const MEMORY_MAX: u64 = 256 << 20;
/// What each of its lines begins with.
const STATUS: &str = "[GNUPG:] ";

/// Asks the program; it is given up for this and what follows once it took too long.
#[derive(Debug, Default)]
pub(super) struct Gpgv {
    took: Cell<Duration>,
}

impl Gpgv {
    /// Verifies that a key of a keyring signed this, as of when it was first seen.
    pub(super) fn verify(
        &self,
        signature: &str,
        payload: &[u8],
        keyring: &[u8],
        seen: Timestamp,
    ) -> Result<(), Fault> {
        if self.took.get() > PATIENCE_OF_ALL {
            let seconds = PATIENCE_OF_ALL.as_secs();
            let why = format!("gpgv took more than {seconds} s for the commits looked at before");
            return Err(Fault::Unverifiable(why));
        }
        let began = Instant::now();
        let status = status(signature, payload, keyring);
        self.took.set(self.took.get() + began.elapsed());
        judge(&status.map_err(Fault::Unverifiable)?, seen)
    }
}

/// Runs the program, and returns its status lines.
fn status(signature: &str, payload: &[u8], keyring: &[u8]) -> Result<String, String> {
    let program = program().ok_or("gpgv is not installed (it comes with GnuPG)")?;
    let failed = |error: std::io::Error| format!("cannot ask gpgv: {error}");
    let folder = tempfile::tempdir().map_err(failed)?;
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf, String> {
        let path = folder.path().join(name);
        fs::write(&path, bytes).map_err(failed)?;
        Ok(path)
    };
    let keyring = write("keyring", keyring)?;
    let signature = write("signature", signature.as_bytes())?;
    let payload = write("payload", payload)?;
    let child = Command::new(program)
        .args(["--status-fd", "1", "--weak-digest", "SHA1", "--homedir"])
        .arg(folder.path())
        .arg("--keyring")
        .args([keyring, signature, payload])
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut running = Running(child);
    running.limit();
    running.wait()
}

/// Finds the program in the folders that commands are looked for in.
fn program() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&folders).map(|folder| folder.join(PROGRAM));
    programs
        .into_iter()
        .find(|program| program.is_absolute() && Path::is_file(program))
}

/// A process that is ended with what waits for it.
struct Running(Child);

impl Running {
    fn limit(&self) {
        let Some(id) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        for (resource, most) in [
            (Resource::Data, MEMORY_MAX),
            (Resource::Fsize, 0),
            (Resource::Core, 0),
        ] {
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            // One that has ended needs none.
            let _limited = prlimit(Some(id), resource, limit);
        }
    }

    /// Waits for the end, and returns what it said.
    fn wait(&mut self) -> Result<String, String> {
        let since = Instant::now();
        while self.0.try_wait().map_err(|error| error.to_string())?.is_none() {
            if since.elapsed() > PATIENCE {
                return Err(format!("gpgv did not end within {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(TICK);
        }
        let mut said = Vec::new();
        if let Some(output) = self.0.stdout.take() {
            let read = output.take(OUTPUT_BYTES_MAX).read_to_end(&mut said);
            read.map_err(|error| error.to_string())?;
        }
        if said.len() >= usize::try_from(OUTPUT_BYTES_MAX).unwrap_or(usize::MAX) {
            return Err("gpgv says more than is read".to_owned());
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there to be ended.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Says what status lines come to.
pub(super) fn judge(status: &str, seen: Timestamp) -> Result<(), Fault> {
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| line.strip_prefix(STATUS))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let all = |word: &'static str| lines.iter().filter(move |line| line.first() == Some(&word));
    let first = |word| all(word).next();
    let argument = |word, at: usize| first(word).and_then(|line| line.get(at)).copied().unwrap_or("?");
    let count = |word| all(word).count();
    // The last field names the primary key: a subkey may have signed.
    let valid = first("VALIDSIG")
        .and_then(|line| line.last())
        .copied()
        .unwrap_or("?");
    let key = || valid.to_owned();
    match (count("NEWSIG"), count("VALIDSIG")) {
        (0, _) => {
            return Err(Fault::Malformed(
                "it holds no signature that gpgv reads".to_owned(),
            ));
        }
        (1, 0 | 1) => {}
        (more, _) => return Err(Fault::Malformed(format!("it holds {more} signatures"))),
    }
    if count("BADSIG") > 0 {
        return Err(Fault::BadSignature(argument("BADSIG", 1).to_owned()));
    }
    if count("NO_PUBKEY") > 0 {
        let full = first("ERRSIG").and_then(|line| line.get(7)).copied();
        let full = full.filter(|full| *full != "-");
        return Err(Fault::UnknownKey(
            full.unwrap_or(argument("NO_PUBKEY", 1)).to_owned(),
        ));
    }
    if count("ERRSIG") > 0 {
        let key = argument("ERRSIG", 1);
        return Err(Fault::Unverifiable(format!(
            "gpgv cannot verify what key {key} made: its algorithms are not supported, or too weak"
        )));
    }
    if count("REVKEYSIG") > 0 {
        return Err(Fault::Revoked(key()));
    }
    if count("EXPSIG") > 0 {
        return Err(Fault::Expired {
            key: key(),
            until: None,
            seen,
        });
    }
    if count("EXPKEYSIG") > 0 {
        let until = all("KEYEXPIRED").next_back().and_then(|line| line.get(1));
        let until = until.and_then(|seconds| Timestamp::from_timestamp(seconds.parse().ok()?, 0));
        // It counted when the commit was first seen.
        if count("VALIDSIG") == 1 && until.is_some_and(|until| seen < until) {
            return Ok(());
        }
        return Err(Fault::Expired {
            key: key(),
            until,
            seen,
        });
    }
    match (count("GOODSIG"), count("VALIDSIG")) {
        (1, 1) => Ok(()),
        _ => Err(Fault::Unverifiable(
            "gpgv says neither that it is good nor what is wrong".to_owned(),
        )),
    }
}
