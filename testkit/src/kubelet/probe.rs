//! Probes of a container, with the periods and thresholds that it has.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep_until, timeout};

use super::process::Program;

/// How much of an answer's beginning is read.
const STATUS_LINE_BYTES: usize = 12;

/// What a probe says anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has started.
    Started,
    /// It is ready, or not any more.
    Ready(bool),
    /// It has to be ended: which probe says so.
    Failed(&'static str),
}

/// What probes of one container are asked of.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) container: Container,
    pub(crate) address: Ipv4Addr,
    /// A program like the container's, for a command that is run in it.
    pub(crate) program: Program,
}

/// Runs the probes of a container, as long as its process runs.
pub(crate) async fn run(target: Target, told: UnboundedSender<Told>) {
    let container = &target.container;
    // Nobody hears it where the process has just ended.
    let say = |what| told.send(what).unwrap_or_default();
    if let Some(probe) = &container.startup_probe {
        let mut has_started = false;
        repeat(&target, probe, None, |is_well| {
            has_started = is_well;
            // Either way it is over.
            false
        })
        .await;
        if !has_started {
            return say(Told::Failed("startup"));
        }
    }
    say(Told::Started);
    let readiness = async {
        match &container.readiness_probe {
            Some(probe) => {
                let told = |is_ready| {
                    say(Told::Ready(is_ready));
                    true
                };
                repeat(&target, probe, None, told).await;
            }
            None => say(Told::Ready(true)),
        }
    };
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            let told = |is_alive: bool| is_alive;
            repeat(&target, probe, Some(true), told).await;
            say(Told::Failed("liveness"));
        }
    };
    tokio::join!(readiness, liveness);
}

/// Asks again and again, and tells what changed, until `told` says that this was enough.
async fn repeat(target: &Target, probe: &Probe, known: Option<bool>, mut told: impl FnMut(bool) -> bool) {
    let mut tally = Tally::new(known, probe);
    let period = seconds(probe.period_seconds, 10);
    let patience = seconds(probe.timeout_seconds, 1);
    let mut next = Instant::now() + seconds(probe.initial_delay_seconds, 0);
    loop {
        sleep_until(next).await;
        let succeeds = timeout(patience, ask(target, probe)).await.unwrap_or(false);
        if let Some(is_well) = tally.count(succeeds)
            && !told(is_well)
        {
            return;
        }
        next = (next + period).max(Instant::now());
    }
}

fn seconds(given: Option<i32>, otherwise: u64) -> Duration {
    Duration::from_secs(positive(given, otherwise))
}

/// Returns a number that the API server leaves at 0 or out where it has its default.
fn positive(given: Option<i32>, otherwise: u64) -> u64 {
    let given = given.and_then(|given| u64::try_from(given).ok());
    given.filter(|given| *given > 0).unwrap_or(otherwise)
}

/// What a probe has said, and how often in a row it has said otherwise.
#[derive(Debug)]
struct Tally {
    known: Option<bool>,
    last: bool,
    row: u64,
    successes: u64,
    failures: u64,
}

impl Tally {
    fn new(known: Option<bool>, probe: &Probe) -> Self {
        Self {
            known,
            last: false,
            row: 0,
            successes: positive(probe.success_threshold, 1),
            failures: positive(probe.failure_threshold, 3),
        }
    }

    /// Counts an answer, and returns what is known anew by it.
    fn count(&mut self, succeeds: bool) -> Option<bool> {
        self.row = if succeeds == self.last { self.row + 1 } else { 1 };
        self.last = succeeds;
        let needed = if succeeds { self.successes } else { self.failures };
        if self.row < needed || self.known == Some(succeeds) {
            return None;
        }
        self.known = Some(succeeds);
        self.known
    }
}

async fn ask(target: &Target, probe: &Probe) -> bool {
    if let Some(get) = &probe.http_get {
        return match port(&target.container, &get.port) {
            Some(port) => http(target.address, port, get).await.unwrap_or(false),
            None => false,
        };
    }
    if let Some(socket) = &probe.tcp_socket {
        return match port(&target.container, &socket.port) {
            Some(port) => TcpStream::connect((target.address, port)).await.is_ok(),
            None => false,
        };
    }
    match probe.exec.as_ref().and_then(|exec| exec.command.as_deref()) {
        Some(command) => target.program.with_words(command).succeeds().await,
        None => false,
    }
}

/// Returns the number of a port, which may be named.
pub(crate) fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports
                .find(|port| port.name.as_deref() == Some(name))?
                .container_port
        }
    };
    u16::try_from(number).ok()
}

/// Says whether a GET is answered with 200 to 399.
pub(crate) async fn http(address: Ipv4Addr, port: u16, get: &HTTPGetAction) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((address, port)).await?;
    let headers = get.http_headers.iter().flatten();
    let headers: Vec<_> = headers
        .map(|header| format!("{}: {}\r\n", header.name, header.value))
        .collect();
    let headers = headers.concat();
    let path = get.path.as_deref().unwrap_or("/");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: kube-probe/1.36\r\n{headers}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut line).await?;
    let code = String::from_utf8_lossy(&line);
    let code = code
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok());
    Ok(code.is_some_and(|code: u16| (200..400).contains(&code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` and `-` are answers; what each makes known is `R`, `N` or nothing (`.`).
    fn check(known: Option<bool>, answers: &str, expected: &str) {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: None,
            ..Probe::default()
        };
        let mut tally = Tally::new(known, &probe);
        let told: String = answers
            .chars()
            .map(|answer| match tally.count(answer == '+') {
                Some(true) => 'R',
                Some(false) => 'N',
                None => '.',
            })
            .collect();
        assert_eq!(told, expected, "{answers}");
    }

    #[test]
    fn thresholds_are_counted_in_a_row() {
        check(None, "++", ".R");
        check(None, "+-++", "...R");
        check(None, "---", "..N");
        check(None, "++--+---", ".R.....N");
        check(Some(true), "++", "..");
        check(Some(true), "--+---", ".....N");
        check(Some(true), "---++", "..N.R");
    }
}
