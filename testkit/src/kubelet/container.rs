//! The life of one container: started, probed, ended, started again.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use k8s_openapi::jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::probe::{self, Target, Told};
use super::process::{Process, Program};
use super::status::{ContainerStatus, Ended, RestartPolicy, State};

/// The longest message that a container leaves, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// The longest end of a log that stands for a message.
const LOG_BYTES_MAX: usize = 2048;
/// A process is given this long after `preStop`, whatever that left.
const GRACE_MIN: Duration = Duration::from_secs(2);
/// The longest wait before a container starts again.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);

/// What its Pod, or a test, asks of a container.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// End for good, at the latest then.
    Stop { by: Instant },
    /// End this process as a kernel does that has no memory left.
    OutOfMemory,
}

/// A container that can run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spec: Container,
    pub(crate) target: Target,
    pub(crate) program: Program,
    pub(crate) policy: RestartPolicy,
    /// Where the process leaves its last word.
    pub(crate) message: PathBuf,
    /// The first wait before it starts again; each is twice the last.
    pub(crate) back_off: Duration,
    /// How long it has to end when a probe says so.
    pub(crate) grace: Duration,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Itself,
    OutOfMemory,
    Stopped,
}

/// Runs a container until it is over, and tells each state that it comes to.
pub(crate) async fn run(
    prepared: Prepared,
    mut status: ContainerStatus,
    mut orders: UnboundedReceiver<Order>,
    told: UnboundedSender<ContainerStatus>,
) {
    let mut back_off = prepared.back_off;
    loop {
        let (ended, cause) = once(&prepared, &mut status, &mut orders, &told).await;
        status.is_ready = false;
        status.is_started = false;
        let goes_on = cause != Cause::Stopped && prepared.policy.restarts(ended.exit_code);
        if !goes_on {
            status.state = State::Terminated(ended);
            drop(told.send(status));
            return;
        }
        status.state = State::Waiting {
            reason: "CrashLoopBackOff",
            message: format!("back-off {back_off:?} restarting failed container"),
        };
        status.last = Some(ended.clone());
        drop(told.send(status.clone()));
        let stopped = async { while !matches!(orders.recv().await, Some(Order::Stop { .. }) | None) {} };
        tokio::select! {
            () = sleep(back_off) => {}
            () = stopped => {
                status.state = State::Terminated(ended);
                drop(told.send(status));
                return;
            }
        }
        status.restarts += 1;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// Ends a task with whoever holds this.
#[derive(Debug)]
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One process of the container, from its start to its end.
async fn once(
    prepared: &Prepared,
    status: &mut ContainerStatus,
    orders: &mut UnboundedReceiver<Order>,
    told: &UnboundedSender<ContainerStatus>,
) -> (Ended, Cause) {
    let started = Timestamp::now();
    let ended = |exit_code, reason, message| Ended {
        exit_code,
        reason,
        message,
        started,
        finished: Timestamp::now(),
    };
    // Of this process alone.
    drop(fs::write(&prepared.message, ""));
    let mut process = match prepared.program.start() {
        Ok(process) => process,
        Err(error) => return (ended(128, "StartError", error.to_string()), Cause::Itself),
    };
    status.state = State::Running { since: started };
    drop(told.send(status.clone()));
    let (tells, mut said) = unbounded_channel();
    let probing = tokio::spawn(probe::run(prepared.target.clone(), tells));
    let _probing = Aborted(probing.abort_handle());
    let mut cause = Cause::Itself;
    let mut endings: Vec<Aborted> = Vec::new();
    let exit_code = loop {
        tokio::select! {
            exit_code = process.wait() => break exit_code,
            Some(what) = said.recv() => {
                match what {
                    Told::Started => status.is_started = true,
                    Told::Ready(is_ready) => status.is_ready = is_ready,
                    Told::Failed(_) if endings.is_empty() => {
                        let end = end(prepared, &process, Instant::now() + prepared.grace);
                        endings.push(Aborted(tokio::spawn(end).abort_handle()));
                    }
                    Told::Failed(_) => {}
                }
                drop(told.send(status.clone()));
            }
            order = orders.recv() => match order {
                Some(Order::OutOfMemory) => {
                    cause = Cause::OutOfMemory;
                    process.group().kill();
                }
                Some(Order::Stop { by }) if endings.is_empty() => {
                    cause = Cause::Stopped;
                    endings.push(Aborted(tokio::spawn(end(prepared, &process, by)).abort_handle()));
                }
                // It is ending already; somebody may be less patient.
                Some(Order::Stop { by }) => {
                    cause = Cause::Stopped;
                    let group = process.group();
                    let kill = async move {
                        sleep_until(by).await;
                        group.kill();
                    };
                    endings.push(Aborted(tokio::spawn(kill).abort_handle()));
                }
                // Its Pod is gone.
                None => {
                    cause = Cause::Stopped;
                    process.group().kill();
                }
            },
        }
    };
    // Nothing that is still to come may reach whoever has its pid next.
    endings.clear();
    drop(process);
    let reason = match (cause, exit_code) {
        (Cause::OutOfMemory, _) => "OOMKilled",
        (_, 0) => "Completed",
        _ => "Error",
    };
    (ended(exit_code, reason, message(prepared, exit_code)), cause)
}

/// Ends a process as Kubernetes does: `preStop`, a `TERM`, and a `KILL` when the time is over.
fn end(prepared: &Prepared, process: &Process, by: Instant) -> impl Future<Output = ()> + Send + use<> {
    let group = process.group();
    let lifecycle = prepared.spec.lifecycle.as_ref();
    let before = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.clone());
    let target = prepared.target.clone();
    async move {
        if let Some(handler) = before {
            drop(timeout_at(by, before_end(&handler, &target)).await);
        }
        group.signal(Signal::TERM);
        sleep_until(by.max(Instant::now() + GRACE_MIN)).await;
        group.kill();
    }
}

async fn before_end(handler: &LifecycleHandler, target: &Target) {
    if let Some(pause) = &handler.sleep {
        let seconds = u64::try_from(pause.seconds).unwrap_or_default();
        sleep(Duration::from_secs(seconds)).await;
    }
    if let Some(command) = handler.exec.as_ref().and_then(|exec| exec.command.as_ref()) {
        target.program.with_words(command).succeeds().await;
    }
    if let Some(get) = &handler.http_get
        && let Some(port) = probe::port(&target.container, &get.port)
    {
        drop(probe::http(target.address, port, get).await);
    }
}

/// Returns the last word that a process left, or the end of its log where the container asks for that.
fn message(prepared: &Prepared, exit_code: i32) -> String {
    let message = tail(&prepared.message, MESSAGE_BYTES_MAX);
    let policy = prepared.spec.termination_message_policy.as_deref();
    if message.is_empty() && exit_code != 0 && policy == Some("FallbackToLogsOnError") {
        return tail(&prepared.program.log, LOG_BYTES_MAX);
    }
    message
}

/// Returns the end of a file.
fn tail(path: &Path, bytes_max: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(bytes_max)..]).into_owned()
}
