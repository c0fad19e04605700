//! The listeners: where they listen, who may ask, what they take, and what stands in the way.

mod bounds;
mod grpc;
mod inference;
mod issuer;
mod pages;
mod place;
mod webhook;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use server::keys::{KeysError, require_loopback};
use server::{Access, Keys, Limits, Origin, Origins, Tls, TlsError};

use self::place::Place;
use crate::failure::{Context as _, Failure};
use crate::memory_limit::{self, MemoryLimit};
use bounds::Defaults;

pub(crate) use bounds::Bounds;
use grpc::BoundGrpc;
pub(crate) use grpc::GrpcArguments;
pub(crate) use inference::{InferenceAddress, InferenceArguments};
pub(crate) use webhook::{BoundWebhook, WebhookArguments};

/// Connections of the control plane that read at a time.
const CONTROL_PLANE_REQUESTS: usize = 128;

/// Where the control plane answers, for those who ask there too.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlaneAddress {
    /// Where the control plane answers: IP:PORT, localhost:PORT, or :PORT for all interfaces; port 0 takes a free one
    #[arg(
        long,
        env = "AURORA_CONTROL_PLANE",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8000"
    )]
    control_plane: Place,
}

impl ControlPlaneAddress {
    /// Returns where this machine reaches it.
    pub(crate) fn reached_at(&self) -> SocketAddr {
        self.control_plane.reached_at()
    }
}

/// Where the control plane answers, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlaneArguments {
    #[command(flatten)]
    control_plane: ControlPlaneAddress,

    /// The keys that may ask the control plane: lines `name:sha256hex`, reread as they change; mode 600
    #[arg(long, env = "AURORA_API_KEYS_FILE", value_name = "PATH")]
    api_keys_file: Option<PathBuf>,

    /// Where browsers reach inference, for the dashboard's form that asks for predictions, e.g. https://predict.example.org;
    /// it must take this dashboard's origin [default: where the same process answers it, at the address that it listens on]
    #[arg(long, env = "AURORA_INFERENCE_URL", value_name = "ORIGIN")]
    inference_url: Option<Origin>,

    /// Open connections to the control plane; the one that idles longest gives way [default: 256, fewer
    /// where memory is short]
    #[arg(
        long,
        env = "AURORA_MAX_CONTROL_PLANE_CONNECTIONS",
        value_name = "COUNT",
        help_heading = LIMITS,
        value_parser = count
    )]
    max_control_plane_connections: Option<usize>,

    /// Requests of one address to the control plane in a second; twice as many may come at once. Health is not counted
    #[arg(
        long,
        env = "AURORA_MAX_CONTROL_PLANE_REQUEST_RATE",
        value_name = "COUNT",
        default_value = "200",
        help_heading = LIMITS
    )]
    max_control_plane_request_rate: NonZero<u32>,
}

/// How both listeners treat whoever asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListenerArguments {
    /// Answer by TLS with this chain of certificates in PEM, the own one first; it and its key are reread as they change
    #[arg(
        long,
        env = "AURORA_TLS_CERTIFICATE",
        value_name = "PATH",
        requires = "tls_key"
    )]
    tls_certificate: Option<PathBuf>,

    /// The certificate's key in PEM; mode 600
    #[arg(
        long,
        env = "AURORA_TLS_KEY",
        value_name = "PATH",
        requires = "tls_certificate"
    )]
    tls_key: Option<PathBuf>,

    /// Show /metrics without a key too
    #[arg(long, env = "AURORA_METRICS_WITHOUT_KEY")]
    metrics_without_key: bool,

    /// How long a connection may idle between requests, in seconds; longer than a proxy in front keeps it
    #[arg(
        long,
        env = "AURORA_IDLE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 75,
        help_heading = LIMITS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    idle_timeout: u32,

    /// How long a request's headers may take, in seconds
    #[arg(
        long,
        env = "AURORA_HEADER_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30,
        help_heading = LIMITS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    header_timeout: u32,

    /// How long a request's body may take, in seconds
    #[arg(
        long,
        env = "AURORA_BODY_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30,
        help_heading = LIMITS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    body_timeout: u32,

    /// How long a client may take nothing of its answer, in seconds
    #[arg(
        long,
        env = "AURORA_WRITE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30,
        help_heading = LIMITS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    write_timeout: u32,

    /// How long requests under way may take at the end, in seconds; all of the end takes 2 s more at most
    #[arg(
        long,
        env = "AURORA_DRAIN_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 7,
        help_heading = LIMITS
    )]
    drain_timeout: u32,
}

/// What to do where a listener that others reach has no keys.
const KEYS_HINT: &str = "`aurora key new NAME` makes a key; --insecure-inference lets everybody ask";

/// The flags that say where they listen.
const INFERENCE: &str = "--inference";
const CONTROL_PLANE: &str = "--control-plane";

/// Where the help lists bounds.
const LIMITS: &str = "Limits of the listeners";

/// The sockets of a listener.
#[derive(Debug)]
pub(crate) struct BoundSockets {
    pub(crate) http: Vec<TcpListener>,
    /// Those that gRPC comes in by; none where it is not spoken.
    pub(crate) grpc: Vec<TcpListener>,
}

/// A bound listener and who may use it.
#[derive(Debug)]
pub(crate) struct Bound {
    sockets: Vec<TcpListener>,
    /// The address, with the port that was taken where 0 was asked for; of several, the first.
    pub(crate) address: SocketAddr,
    access: Access,
    limits: Limits,
    tls: Option<Tls>,
    /// Where browsers reach inference, for a dashboard that is here.
    inference: Option<Origin>,
    /// Where the same is answered by gRPC.
    grpc: Option<BoundGrpc>,
    /// The memory that the limits are measured by.
    memory: Option<MemoryLimit>,
}

impl ControlPlaneArguments {
    /// Takes the port. `inference` is the listener that was bound before, where one process has both.
    pub(crate) fn bind(
        &self,
        listener: &ListenerArguments,
        inference: Option<&Bound>,
    ) -> Result<Bound, Failure> {
        let keys = keys(self.api_keys_file.as_ref())?;
        require_loopback(
            self.control_plane.control_plane.address(),
            &keys,
            "--api-keys-file",
        )
        .hint(|| "`aurora key new NAME` makes a key".to_owned())?;
        let tls = listener.tls()?;
        let memory = memory_limit::smallest();
        let defaults = Defaults::of(memory.as_ref());
        let limits = Limits {
            connections: self
                .max_control_plane_connections
                .unwrap_or(defaults.control_plane_connections),
            requests: CONTROL_PLANE_REQUESTS,
            peer_requests_per_second: Some(self.max_control_plane_request_rate),
            answer_bytes: defaults.control_plane_answers_bytes,
            answers_bytes: defaults.control_plane_answers_bytes,
            ..listener.limits()
        };
        bind(
            self.control_plane.control_plane,
            CONTROL_PLANE,
            listener.access(keys, false),
            limits,
            memory,
            inference,
        )
        .map(|bound| Bound {
            inference: self.inference_url.clone().or_else(|| inference?.origin()),
            ..bound.over(tls)
        })
    }
}

impl ListenerArguments {
    /// Reads the certificate, if one was given.
    fn tls(&self) -> Result<Option<Tls>, TlsError> {
        let files = self.tls_certificate.as_ref().zip(self.tls_key.as_ref());
        files
            .map(|(certificate, key)| Tls::from_files(certificate, key))
            .transpose()
    }

    fn access(&self, keys: Keys, open_names: bool) -> Access {
        Access {
            keys,
            open_metrics: self.metrics_without_key,
            open_names,
            origins: Origins::default(),
        }
    }

    /// Returns the default limits with the time-outs that were given.
    fn limits(&self) -> Limits {
        Limits {
            idle_timeout: seconds(self.idle_timeout),
            header_timeout: seconds(self.header_timeout),
            body_timeout: seconds(self.body_timeout),
            write_timeout: seconds(self.write_timeout),
            drain_timeout: seconds(self.drain_timeout),
            ..Limits::default()
        }
    }
}

impl Bound {
    fn over(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Returns where it answers.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Returns what its requests may hold, to be told.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::new(&self.limits, self.memory.as_ref())
    }

    /// Returns how long requests under way may take at the end.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.limits.drain_timeout
    }

    /// Hands over the sockets, those of gRPC apart, by what connections come, who may ask, and what they take. No other
    /// handle is left: the port is free as soon as they are dropped.
    pub(crate) fn into_parts(self) -> io::Result<(BoundSockets, Option<Tls>, Access, Limits)> {
        let sockets = BoundSockets {
            http: self.sockets,
            grpc: self.grpc.map_or_else(Vec::new, |grpc| grpc.sockets),
        };
        for socket in sockets.http.iter().chain(&sockets.grpc) {
            socket.set_nonblocking(true)?;
        }
        Ok((sockets, self.tls, self.access, self.limits))
    }

    /// Says whether a place asks for what this listener has.
    fn has(&self, place: Place) -> bool {
        let grpc = self.grpc.iter().flat_map(|grpc| &grpc.sockets);
        let mut taken = self
            .sockets
            .iter()
            .chain(grpc)
            .filter_map(|socket| socket.local_addr().ok());
        taken.any(|taken| place.overlaps(taken))
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Reads how many of something there may be: at least one.
fn count(text: &str) -> Result<usize, String> {
    /// More would overflow what counts them.
    const MAX: usize = 1 << 30;
    text.parse()
        .ok()
        .filter(|count| (1..=MAX).contains(count))
        .ok_or_else(|| format!("a whole number from 1 to {MAX} is expected"))
}

/// Reads a number of bytes, with or without a unit.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let expected = || "bytes are expected, or a whole number with KiB, MiB or GiB, e.g. 16MiB".to_owned();
    let digits = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    let number: usize = number.parse().map_err(|_no_number| expected())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(expected)
}

fn keys(file: Option<&PathBuf>) -> Result<Keys, KeysError> {
    file.map_or_else(|| Ok(Keys::none()), |path| Keys::from_file(path))
}

fn bind(
    place: Place,
    flag: &str,
    access: Access,
    limits: Limits,
    memory: Option<MemoryLimit>,
    other: Option<&Bound>,
) -> Result<Bound, Failure> {
    let bound = place.listen().and_then(|sockets| {
        let first = sockets
            .first()
            .ok_or_else(|| io::Error::other("it has no address"));
        Ok((first.and_then(TcpListener::local_addr)?, sockets))
    });
    match bound {
        Ok((address, sockets)) => Ok(Bound {
            sockets,
            address,
            access,
            limits,
            tls: None,
            inference: None,
            grpc: None,
            memory,
        }),
        Err(error) => {
            let failure = match error.kind() {
                io::ErrorKind::AddrInUse if other.is_some_and(|other| other.has(place)) => {
                    Failure::new(format!("{INFERENCE} and {flag} both ask for {place}"))
                }
                io::ErrorKind::AddrInUse => {
                    return Err(Failure::new(format!("{place} is in use by another process")).hint(format!(
                        "`ss -ltnp` says by which: end that, or give another address with {flag}, e.g. {flag} 127.0.0.1:0 for a free port"
                    )));
                }
                _ => Failure::new(format!("cannot listen on {place}: {error}")),
            };
            Err(failure.hint(format!(
                "give another address with {flag}, e.g. {flag} 127.0.0.1:0 for a free port"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_two() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("512B", Some(512)),
            ("16KiB", Some(16 << 10)),
            ("16 MiB", Some(16 << 20)),
            ("2GiB", Some(2 << 30)),
            ("0", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("16MB", None),
            ("99999999999999999999GiB", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text:?}");
        }
    }
}
