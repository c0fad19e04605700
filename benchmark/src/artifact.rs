//! `benchmark artifact`: what handing out an artifact of 1 GiB costs: memory and others' latencies while many take it, and
//! throughput beside nginx with the same file and `sendfile off`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use planner::names::{Digest, ModelName, Version};
use registry::{Draft, Entry, Reference, Store};
use tempfile::TempDir;

use crate::figures::{Limit, Report, median};
use crate::ground::{Ground, Place};
use crate::http::{ask, get};
use crate::process::Aurora;

/// The largest artifact that a registry takes.
const BYTES: usize = 1 << 30;
/// The version that is handed out: nothing declares it.
const VERSION: &str = "v20300101-000000";
/// How many take it at a time, and for how long.
const PARALLEL: usize = 100;
const TAKEN: Duration = Duration::from_secs(15);
/// How often others ask meanwhile.
const ASK: Duration = Duration::from_millis(20);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the process may hold above rest while many take it, in MB.
const MEMORY_MB_MAX: f64 = 32.0;
/// How much longer it may take than nginx does.
const RATIO_MAX: f64 = 1.25;
/// What is fast enough whatever nginx does, in bytes a second.
const ENOUGH: f64 = 1e9;
/// What others may wait at most, in milliseconds.
const OTHERS_MS_MAX: f64 = 1_000.0;

/// Where an artifact is to be had.
#[derive(Debug, Clone)]
struct At {
    address: SocketAddr,
    path: String,
}

/// nginx with one folder; dropping it kills it.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _own: TempDir,
}

/// Measures it, `rounds` downloads each.
pub fn run(place: &Place, rounds: usize) -> Result<Report> {
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(None)?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let pins = ground.scenario.pins(&model)?;
    let entry = publish(&ground.scenario.registry(&ground.data()), &model, &pins.stable)?;
    let at = At {
        address: aurora.control_plane,
        path: format!("/models/{model}/{VERSION}/artifact"),
    };
    let example = ground.example(&model, &pins.stable)?;
    let mut report = Report::new("benchmark artifact");
    // The first one has it hashed.
    let first = Instant::now();
    at.take(0..1)?;
    report.figure(
        "first byte, once hashed",
        "s",
        Limit::None,
        &[first.elapsed().as_secs_f64()],
    );
    resumed(&mut report, &at, &entry.digest)?;
    let others = [
        (
            "/health",
            get(aurora.control_plane, "/health"),
            aurora.control_plane,
        ),
        (
            "/predict",
            example.request(aurora.inference, None),
            aurora.inference,
        ),
    ];
    many(&mut report, &aurora, &at, &others)?;
    throughput(&mut report, &at, &entry, rounds)?;
    aurora.stop()?;
    Ok(report)
}

/// Publishes a version whose record is another's and whose artifact is large.
fn publish(registry: &Path, model: &str, like: &str) -> Result<Entry> {
    let store = Store::open(registry)?;
    let model: ModelName = model.parse()?;
    let like: Version = like.parse()?;
    let mut metadata = store.resolve(&model, &Reference::Version(like))?.metadata;
    let artifact: Vec<u8> = (0..BYTES / 8)
        .flat_map(|word| (word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect();
    metadata.version = VERSION.parse()?;
    metadata.artifact.digest = Digest::of(&artifact);
    metadata.artifact.bytes = artifact.len() as u64;
    Ok(store.publish(Draft { metadata, artifact })?)
}

impl At {
    /// Asks for a part and returns the connection once the head has come, with what came after it.
    fn open(&self, part: std::ops::Range<usize>) -> Result<(TcpStream, Vec<u8>)> {
        let Self { address, path } = self;
        let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let last = part.end - 1;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nrange: bytes={}-{last}\r\n\r\n",
            part.start
        )?;
        let mut head = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            match stream.read(&mut chunk)? {
                0 => bail!("{path}: it ends in its head"),
                bytes => head.extend_from_slice(&chunk[..bytes]),
            }
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = head.split_off(end + 4);
                if !head.starts_with(b"HTTP/1.1 206") {
                    bail!("{path}: {}", String::from_utf8_lossy(&head));
                }
                return Ok((stream, rest));
            }
        }
    }

    /// Returns a part.
    fn take(&self, part: std::ops::Range<usize>) -> Result<Vec<u8>> {
        let wanted = part.len();
        let (mut stream, mut bytes) = self.open(part)?;
        bytes.reserve_exact(wanted.saturating_sub(bytes.len()));
        let missing = wanted - bytes.len();
        (&mut stream).take(missing as u64).read_to_end(&mut bytes)?;
        if bytes.len() != wanted {
            bail!("{} bytes of {wanted} came", bytes.len());
        }
        Ok(bytes)
    }

    /// Takes all of it and keeps nothing; returns how many bytes came a second.
    fn drain(&self) -> Result<f64> {
        let begun = Instant::now();
        let (mut stream, rest) = self.open(0..BYTES)?;
        let mut left = BYTES - rest.len();
        let mut chunk = vec![0; 256 << 10];
        while left > 0 {
            match stream.read(&mut chunk)? {
                0 => bail!("{left} bytes did not come"),
                bytes => left -= bytes,
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        Ok(BYTES as f64 / begun.elapsed().as_secs_f64())
    }
}

/// Takes a part, is cut off, and takes the rest.
fn resumed(report: &mut Report, at: &At, digest: &Digest) -> Result<()> {
    let (mut stream, mut bytes) = at.open(0..BYTES)?;
    (&mut stream).take(BYTES as u64 / 3).read_to_end(&mut bytes)?;
    drop(stream);
    bytes.extend(at.take(bytes.len()..BYTES)?);
    let differs = f64::from(u8::from(Digest::of(&bytes) != *digest));
    report.figure("other bytes after a cut", "", Limit::AtMost(0.0), &[differs]);
    Ok(())
}

/// Lets many take it at a time, and sees what the process holds and how long others wait.
fn many(report: &mut Report, aurora: &Aurora, at: &At, others: &[(&str, Vec<u8>, SocketAddr)]) -> Result<()> {
    let rest = aurora.memory().resident;
    let is_over = AtomicBool::new(false);
    let mut held = Vec::new();
    let mut waited = vec![Vec::new(); others.len()];
    thread::scope(|scope| -> Result<()> {
        let takers: Vec<_> = (0..PARALLEL)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let (mut stream, _) = at.open(0..BYTES)?;
                    let mut chunk = vec![0; 64 << 10];
                    loop {
                        let bytes = stream.read(&mut chunk)?;
                        if bytes == 0 || is_over.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                    }
                })
            })
            .collect();
        let begun = Instant::now();
        let mut asking = || -> Result<()> {
            while begun.elapsed() < TAKEN {
                for ((what, request, address), waited) in others.iter().zip(&mut waited) {
                    let asked = Instant::now();
                    let (status, _) = ask(*address, request, PATIENCE)?;
                    if status != 200 {
                        bail!("{what} is answered {status}");
                    }
                    waited.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                #[expect(clippy::cast_precision_loss, reason = "megabytes")]
                held.push(aurora.memory().resident.saturating_sub(rest) as f64 / 1e6);
                thread::sleep(ASK);
            }
            Ok(())
        };
        let asked = asking();
        is_over.store(true, Ordering::Relaxed);
        for taker in takers {
            taker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .context("a download ends")?;
        }
        asked
    })?;
    let name = format!("{PARALLEL} downloads: held above rest");
    report.figure(name, "MB", Limit::AtMost(MEMORY_MB_MAX), &held);
    for ((what, ..), mut waited) in others.iter().zip(waited) {
        waited.sort_by(f64::total_cmp);
        let p99 = waited[(waited.len() * 99 / 100).min(waited.len() - 1)];
        let name = format!("{PARALLEL} downloads: {what}, p99");
        report.figure(name, "ms", Limit::AtMost(OTHERS_MS_MAX), &[p99]);
    }
    Ok(())
}

/// Measures one download after another, beside nginx where there is one.
fn throughput(report: &mut Report, at: &At, entry: &Entry, rounds: usize) -> Result<()> {
    let nginx = Nginx::start(&entry.dir)?;
    let theirs = nginx.as_ref().map(|nginx| At {
        address: nginx.address,
        path: format!("/{}", entry.metadata.artifact.file),
    });
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(at.drain()?);
        if let Some(theirs) = &theirs {
            others.push(theirs.drain()?);
        }
    }
    let megabytes = |rates: &[f64]| -> Vec<f64> { rates.iter().map(|rate| rate / 1e6).collect() };
    report.figure("one download", "MB/s", Limit::None, &megabytes(&ours));
    if others.is_empty() {
        report.note("skipped: there is no nginx to compare with");
        return Ok(());
    }
    report.figure("nginx, sendfile off", "MB/s", Limit::None, &megabytes(&others));
    let enough = median(&others).min(ENOUGH);
    let name = "nginx or 1 GB/s, whichever is less / one download";
    report.figure(
        name,
        "",
        Limit::MedianAtMost(RATIO_MAX),
        &[enough / median(&ours)],
    );
    Ok(())
}

impl Nginx {
    /// Starts it on a folder; `None` where there is none.
    fn start(folder: &Path) -> Result<Option<Self>> {
        let is_there = Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !is_there {
            return Ok(None);
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let home = TempDir::new()?;
        let (root, own) = (folder.display(), home.path().display());
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let settings = format!(
            "{user} daemon off; worker_processes auto; pid {own}/pid; error_log {own}/error;\n\
             events {{}}\n\
             http {{ access_log off; sendfile off; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;\n\
             fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n\
             server {{ listen {address}; root {root}; }} }}\n"
        );
        let file = format!("{own}/nginx.conf");
        fs::write(&file, settings)?;
        let child = Command::new("nginx")
            .args(["-c", &file])
            .stderr(Stdio::null())
            .spawn()?;
        let nginx = Self {
            child,
            address,
            _own: home,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("nginx does not listen");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(nginx))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        // Its workers end with it; where it has ended by itself, that is what we want too.
        let _ended = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _status = self.child.wait();
    }
}
