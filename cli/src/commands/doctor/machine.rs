//! What is looked at on the machine itself: its limits, the repository, the data directory, the registry, the ports, the clock.

use std::path::Path;

use planner::Timestamp;
use planner::clock::doubt;
use reconciler::source::Source;
use reconciler::zones::{InUse, Zones};
use registry::{Owner, Store};
use rustix::fs::Access;
use standalone::DataDir;

use super::{Check, DoctorArguments};
use crate::arguments::RepositoryArguments;
use crate::clock;
use crate::failure::Failure;
use crate::journal;
use crate::life::Life;
use crate::limits;
use crate::memory_limit;
use crate::view;

/// Open files below which many connections at a time are refused.
const FILES_WANTED: usize = 1_024;
/// Threads that a start takes on a small machine.
const THREADS_WANTED: usize = 16;
/// Memory below which training runs are likely to be killed, in bytes.
const MEMORY_WANTED: u64 = 256 << 20;
/// Free space below which a registry is nearly full, in bytes.
const SPACE_WANTED: u64 = 1 << 30;

/// Looks at what the system lets a process have.
pub(super) fn limits() -> Vec<Check> {
    let files = limits::files();
    let next = "raise it: ulimit -n, LimitNOFILE= of a service";
    let files = match files {
        usize::MAX => Check::ok("files", "any number of files may be open"),
        files if files < FILES_WANTED => Check::warn("files", format!("{files} files may be open"), next),
        files => Check::ok("files", format!("{files} files may be open")),
    };
    let threads = match limits::try_threads(THREADS_WANTED) {
        Ok(()) => Check::ok(
            "processes",
            format!("{THREADS_WANTED} more threads can be started"),
        ),
        Err(error) => Check::failed("processes", &Failure::from(error)),
    };
    let memory = match memory_limit::smallest() {
        Some(limit) => {
            let message = format!("{} MiB, set by {}", limit.bytes >> 20, limit.set_by);
            if limit.bytes < MEMORY_WANTED {
                let next = "give it more, or train elsewhere: a training run may be killed";
                Check::warn("memory", message, next)
            } else {
                Check::ok("memory", message)
            }
        }
        None => Check::warn(
            "memory",
            "nothing says how much there is",
            "requests are bounded by the defaults",
        ),
    };
    vec![files, threads, memory]
}

/// Looks at the repository, a fetch included where it is on another machine; returns the time of its newest commit.
pub(super) fn repository(arguments: &DoctorArguments, checks: &mut Vec<Check>) -> Option<Timestamp> {
    match read(arguments) {
        Ok((message, at)) => {
            checks.push(Check::ok("git", message));
            Some(at)
        }
        Err(failure) => {
            checks.push(Check::failed("git", &failure));
            None
        }
    }
}

fn read(arguments: &DoctorArguments) -> Result<(String, Timestamp), Failure> {
    let RepositoryArguments { repo, environment } = &arguments.repository;
    let (repository, _until_the_end) = arguments.remote.looked_at(repo)?;
    let mut source = Source::open(&repository, arguments.branch.follow())?;
    let head = source.head()?;
    let environments = source.environment_names(&head)?;
    if !environments.contains(environment) {
        let names: Vec<_> = environments.iter().map(ToString::to_string).collect();
        return Err(Failure::new(format!(
            "{} at {} has no environments/{environment}",
            source.followed(),
            head.short()
        ))
        .hint(if names.is_empty() {
            "`aurora init` makes one".to_owned()
        } else {
            format!(
                "give another one with --environment; there are {}",
                names.join(", ")
            )
        }));
    }
    let message = format!(
        "{} at {} has environments/{environment}",
        source.followed(),
        head.short()
    );
    Ok((message, source.changed_at(&head)?.committed_at))
}

/// Looks at what `up` keeps and where it listens.
pub(super) fn place(arguments: &DoctorArguments, checks: &mut Vec<Check>) {
    let data_dir = match arguments.data.writable() {
        Ok(data_dir) => data_dir,
        Err(error) => {
            checks.push(Check::failed("data", &Failure::from(error)));
            return;
        }
    };
    let life = Life::of(&data_dir);
    checks.push(if data_dir.exists() {
        writable("data", &data_dir, &life.to_string())
    } else {
        Check::ok(
            "data",
            format!("{} is not there yet: `aurora up` makes it", data_dir.display()),
        )
    });
    checks.push(registry(arguments, &data_dir));
    checks.extend(ports(arguments, life));
    checks.extend(onnx_runtime(arguments));
}

/// Starts ONNX Runtime as a model would, where there is one.
fn onnx_runtime(arguments: &DoctorArguments) -> Option<Check> {
    let (runtime, library) = arguments.onnx_runtime.runtime()?;
    let subject = "onnxruntime";
    Some(match runtime.try_start() {
        Ok(()) => Check::ok(subject, format!("{} can be loaded", library.display())),
        Err(error) => Check::failed(
            subject,
            &Failure::from(error)
                .hint("name the library of ONNX Runtime 1.24 or newer, and put aurora-ort beside aurora"),
        ),
    })
}

/// Says whether a folder can be written in, and how much fits.
fn writable(subject: &'static str, folder: &Path, said: &str) -> Check {
    let shown = folder.display();
    if let Err(error) = rustix::fs::access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let next = "let this user read and write there, and see that it is not mounted read-only";
        return Check::fail(subject, format!("{shown} cannot be written in: {error}"), next);
    }
    let free = rustix::fs::statvfs(folder).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) if free < SPACE_WANTED => {
            let message = format!("{shown}: {said}; {} MiB are free", free >> 20);
            Check::warn(
                subject,
                message,
                "free some space, for instance with `aurora model gc`",
            )
        }
        Ok(_) | Err(_) => Check::ok(subject, format!("{shown}: {said}")),
    }
}

fn registry(arguments: &DoctorArguments, data_dir: &Path) -> Check {
    let root = match arguments.data.registry_root() {
        Ok(root) => root,
        Err(failure) => return Check::failed("registry", &failure),
    };
    let store = match Store::open(&root) {
        Ok(store) => store,
        // Whoever never ran has none; one that was used has to be there.
        Err(_none) if Life::of(data_dir) == Life::NeverRun => {
            return Check::ok("registry", "there is none yet: `aurora up` makes one");
        }
        Err(error) => {
            let failure = Failure::from(error)
                .hint("see that its volume is mounted there; where it is lost, restore its backup");
            return Check::failed("registry", &failure);
        }
    };
    let installation = DataDir::peek(data_dir).map(|dir| dir.installation().to_owned());
    let environment = view::read(data_dir)
        .ok()
        .and_then(|view| view.environment)
        .and_then(|environment| environment.metadata.name?.parse().ok());
    if let (Ok(installation), Some(environment)) = (installation, environment) {
        let owner = Owner {
            environment,
            installation,
        };
        if !store.belongs_to(&owner) {
            return Check::fail(
                "registry",
                format!(
                    "{} is not that of environment {}, installation {}",
                    root.display(),
                    owner.environment,
                    owner.installation
                ),
                "see that the right volume is mounted there, and restore the data directory's `installation` with a backup",
            );
        }
        let said = format!(
            "that of environment {}, installation {}",
            owner.environment, owner.installation
        );
        return writable("registry", &root, &said);
    }
    writable("registry", &root, "a registry")
}

/// Takes both ports for a moment, with the keys and certificates that were named.
fn ports(arguments: &DoctorArguments, life: Life) -> Vec<Check> {
    let inference = arguments
        .inference
        .bind_with(&arguments.grpc, &arguments.listener);
    let control_plane = arguments
        .control_plane
        .bind(&arguments.listener, inference.as_ref().ok());
    let both = [("inference", inference), ("control-plane", control_plane)];
    both.map(|(subject, bound)| match bound {
        Ok(bound) => Check::ok(subject, format!("{} is free", bound.url())),
        Err(failure) if life.is_running() => Check::ok(
            subject,
            format!(
                "{}, while the process of this data directory runs",
                failure.message()
            ),
        ),
        Err(failure) => Check::failed(subject, &failure),
    })
    .to_vec()
}

/// Looks at the clock, by what was recorded and committed, and at the data of time zones.
pub(super) fn times(arguments: &DoctorArguments, commit: Option<Timestamp>) -> Vec<Check> {
    let recorded = arguments.data.settled().ok();
    let recorded =
        recorded.and_then(|data_dir| journal::read(&data_dir).ok()??.last().map(|record| record.at));
    let now = clock::now();
    let clock = match doubt(recorded, commit, now) {
        Some(doubt) => Check::warn(
            "clock",
            doubt.to_string(),
            "synchronise it, for instance by systemd-timesyncd or chrony",
        ),
        None => Check::ok("clock", format!("{}", now.format("%F %T UTC"))),
    };
    let zones = Zones::default().in_use();
    let zones = match &zones {
        InUse::Bundled { older: Some(_) } => Check::warn(
            "time-zones",
            zones.to_string(),
            "update the system's tzdata, if others read it too",
        ),
        InUse::Bundled { older: None } | InUse::System { .. } => Check::ok("time-zones", zones.to_string()),
    };
    vec![clock, zones]
}
