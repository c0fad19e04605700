//! The listener of inference: where it listens, who may ask, and what it takes.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;
use server::keys::require_loopback;
use server::{Access, Limits, Origin};

use super::bounds::Defaults;
use super::place::Place;
use super::{Bound, INFERENCE, KEYS_HINT, LIMITS, ListenerArguments, bind, count, keys, seconds, size};
use crate::failure::{Context as _, Failure};
use crate::memory_limit;

/// Where inference is answered, for those who ask there too.
#[derive(Debug, Clone, Args)]
pub(crate) struct InferenceAddress {
    /// Where inference requests are answered: IP:PORT, localhost:PORT, or :PORT for all interfaces; port 0 takes a free one
    #[arg(
        long,
        env = "AURORA_INFERENCE",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    inference: Place,
}

impl InferenceAddress {
    /// Returns where this machine reaches it.
    pub(crate) fn reached_at(&self) -> SocketAddr {
        self.inference.reached_at()
    }
}

/// Where inference is answered, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct InferenceArguments {
    #[command(flatten)]
    inference: InferenceAddress,

    /// The keys that may ask for predictions: lines `name:sha256hex`, reread as they change; mode 600
    #[arg(long, env = "AURORA_INFERENCE_KEYS_FILE", value_name = "PATH")]
    inference_keys_file: Option<PathBuf>,

    /// Answer requests from other machines, and under any name, without a key
    #[arg(long, env = "AURORA_INSECURE_INFERENCE")]
    pub(super) insecure_inference: bool,

    /// Let pages of this origin ask for predictions from a browser: of a dashboard that stands behind a name, e.g.
    /// https://aurora.example.org. That of the same process may, at the address that it listens on
    #[arg(
        long = "dashboard-origin",
        env = "AURORA_DASHBOARD_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    dashboard_origins: Vec<Origin>,

    #[command(flatten)]
    limits: InferenceLimits,
}

/// What the inference listener takes from strangers.
#[derive(Debug, Clone, Args)]
struct InferenceLimits {
    /// Open connections to inference; the one that idles longest gives way [default: 1024, fewer where
    /// memory is short]
    #[arg(
        long,
        env = "AURORA_MAX_CONNECTIONS",
        value_name = "COUNT",
        help_heading = LIMITS,
        value_parser = count
    )]
    max_connections: Option<usize>,

    /// Inference requests that are evaluated or wait for it [default: 512, at most one per connection]
    #[arg(
        long,
        env = "AURORA_MAX_REQUESTS",
        value_name = "COUNT",
        help_heading = LIMITS,
        value_parser = count
    )]
    max_requests: Option<usize>,

    /// Inference requests of one address in a second; twice as many may come at once [default: no bound]
    #[arg(
        long,
        env = "AURORA_MAX_REQUEST_RATE",
        value_name = "COUNT",
        help_heading = LIMITS
    )]
    max_request_rate: Option<NonZero<u32>>,

    /// Rows of one request
    #[arg(
        long,
        env = "AURORA_MAX_ROWS",
        value_name = "COUNT",
        default_value_t = 100_000,
        help_heading = LIMITS,
        value_parser = count
    )]
    max_rows: usize,

    /// The body of one request [default: 16MiB, at most a sixteenth of the memory]
    #[arg(
        long,
        env = "AURORA_MAX_BODY",
        value_name = "SIZE",
        help_heading = LIMITS,
        value_parser = size
    )]
    max_body: Option<usize>,

    /// All bodies that are held at once, beyond the first 16 KiB of each [default: 64MiB, at most a
    /// sixteenth of the memory]
    #[arg(
        long,
        env = "AURORA_MAX_BODIES",
        value_name = "SIZE",
        help_heading = LIMITS,
        value_parser = size
    )]
    max_bodies: Option<usize>,

    /// One answer [default: 64MiB, at most all answers]
    #[arg(
        long,
        env = "AURORA_MAX_ANSWER",
        value_name = "SIZE",
        help_heading = LIMITS,
        value_parser = size
    )]
    max_answer: Option<usize>,

    /// All answers that are made or not yet taken, beyond 16 KiB of each [default: 256MiB, at most 5/64 of the
    /// memory]
    #[arg(
        long,
        env = "AURORA_MAX_ANSWERS",
        value_name = "SIZE",
        help_heading = LIMITS,
        value_parser = size
    )]
    max_answers: Option<usize>,

    /// How long a request may wait for its turn to be evaluated, in seconds
    #[arg(
        long,
        env = "AURORA_QUEUE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 10,
        help_heading = LIMITS
    )]
    queue_timeout: u32,
}

impl InferenceArguments {
    /// Takes the port.
    pub(crate) fn bind(&self, listener: &ListenerArguments) -> Result<Bound, Failure> {
        let keys = keys(self.inference_keys_file.as_ref())?;
        if !self.insecure_inference {
            let flag = "--inference-keys-file";
            require_loopback(self.inference.inference.address(), &keys, flag)
                .hint(|| KEYS_HINT.to_owned())?;
        }
        let InferenceLimits {
            max_connections,
            max_requests,
            max_request_rate,
            max_rows,
            max_body,
            max_bodies,
            max_answer,
            max_answers,
            queue_timeout,
        } = self.limits;
        let memory = memory_limit::smallest();
        let defaults = Defaults::of(memory.as_ref());
        let connections = max_connections.unwrap_or(defaults.connections);
        let bodies_bytes = max_bodies.unwrap_or(defaults.bodies_bytes.max(max_body.unwrap_or(0)));
        let answers_bytes = max_answers.unwrap_or(defaults.answers_bytes.max(max_answer.unwrap_or(0)));
        let limits = Limits {
            connections,
            requests: max_requests.unwrap_or(defaults.requests.min(connections)),
            peer_requests_per_second: max_request_rate,
            rows: max_rows,
            body_bytes: max_body.unwrap_or(defaults.body_bytes.min(bodies_bytes)),
            bodies_bytes,
            answer_bytes: max_answer.unwrap_or(defaults.answer_bytes.min(answers_bytes)),
            answers_bytes,
            queue_timeout: seconds(queue_timeout),
            ..listener.limits()
        };
        let access = Access {
            origins: self.dashboard_origins.iter().cloned().collect(),
            ..listener.access(keys, self.insecure_inference)
        };
        let tls = listener.tls()?;
        bind(self.inference.inference, INFERENCE, access, limits, memory, None).map(|bound| bound.over(tls))
    }
}
