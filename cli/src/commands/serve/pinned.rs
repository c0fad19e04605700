//! Serves one version, known by its digest, for the life of the process: what a serving Pod runs.
//!
//! The listener answers from the first moment on (alive, not ready), and is ready once the version is loaded. What only a
//! person can mend ends the process, with the reason in the container's termination log; whoever starts it again waits longer
//! each time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use planner::names::{Digest, ModelName, Revision, Track, Version};
use registry::artifact::Engines;
use serde_json::json;
use server::fetch::{self, Address, Source, Wanted};
use server::{Artifact, Awaited, Health, Metrics, Runtime};

use crate::failure::{Failure, chain};
use crate::listeners::Bound;
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::terminal::{Announcer, Terminal};
use crate::termination::TerminationArguments;

/// Where the help lists them.
const PINNED: &str = "One version from a control plane";

/// The flags that name the version, and where it comes from. All of them, or none.
#[derive(Debug, Args)]
pub(super) struct PinnedArguments {
    /// Serve this artifact alone, for the life of the process, and get it from a control plane: sha256:…
    #[arg(
        long,
        env = "AURORA_DIGEST",
        value_name = "DIGEST",
        help_heading = PINNED,
        requires_all = ["model", "version", "revision", "url", "cache"]
    )]
    digest: Option<Digest>,

    /// The registered model
    #[arg(long, env = "AURORA_MODEL", value_name = "NAME", help_heading = PINNED, requires = "digest")]
    model: Option<ModelName>,

    /// The version that has this artifact
    #[arg(long, env = "AURORA_VERSION", value_name = "VERSION", help_heading = PINNED, requires = "digest")]
    version: Option<Version>,

    /// The track that it answers as
    #[arg(
        long,
        env = "AURORA_TRACK",
        value_name = "TRACK",
        help_heading = PINNED,
        default_value = "stable"
    )]
    track: Track,

    /// The commit that its answers name
    #[arg(long, env = "AURORA_REVISION", value_name = "COMMIT", help_heading = PINNED, requires = "digest")]
    revision: Option<Revision>,

    /// The control plane that hands it out: http://HOST:PORT
    #[arg(
        id = "url",
        long = "control-plane",
        env = "AURORA_CONTROL_PLANE_URL",
        value_name = "URL",
        help_heading = PINNED,
        requires = "digest"
    )]
    control_plane: Option<Address>,

    /// The file that holds the key to the control plane
    #[arg(long, env = "AURORA_KEY_FILE", value_name = "FILE", help_heading = PINNED, requires = "digest")]
    key_file: Option<PathBuf>,

    /// The folder that keeps what was fetched, by digest
    #[arg(long, env = "AURORA_CACHE", value_name = "PATH", help_heading = PINNED, requires = "digest")]
    cache: Option<PathBuf>,

    /// The file that says whose signature the version needs (verify and keys, as JSON), read anew before each load; absent, or not
    /// there: nobody's
    #[arg(long, env = "AURORA_TRUST_FILE", value_name = "FILE", help_heading = PINNED, requires = "digest")]
    trust_file: Option<PathBuf>,

    #[command(flatten)]
    termination: TerminationArguments,
}

impl PinnedArguments {
    /// Returns what is asked for, if one version is.
    pub(super) fn given(&self, engines: Engines) -> Option<Pinned> {
        let Self {
            digest,
            model,
            version,
            track,
            revision,
            control_plane,
            key_file,
            cache,
            trust_file,
            termination,
        } = self;
        // clap has seen to it that they come together.
        Some(Pinned {
            wanted: Wanted {
                model: model.clone()?,
                version: version.clone()?,
                digest: (*digest)?,
                track: *track,
                revision: revision.clone()?,
            },
            source: Source {
                control_plane: control_plane.clone()?,
                key_file: key_file.clone(),
                cache: cache.clone()?,
                trust_file: trust_file.clone(),
                engines,
            },
            termination: termination.clone(),
        })
    }
}

/// One version, and where it comes from.
#[derive(Debug)]
pub(super) struct Pinned {
    wanted: Wanted,
    source: Source,
    termination: TerminationArguments,
}

impl Pinned {
    /// Serves until a signal.
    pub(super) fn serve(
        self,
        bound: Bound,
        terminal: Terminal,
        signals: Signals,
    ) -> Result<ExitCode, Failure> {
        let Self {
            wanted,
            mut source,
            termination,
        } = self;
        // The links of whoever gave the path are theirs; none is followed below.
        source.cache = standalone::settle(&source.cache)?;
        let served = serving::block_on(serve(&wanted, &source, bound, terminal, signals))?;
        served.inspect_err(|failure| termination.write(failure.message()))
    }
}

async fn serve(
    wanted: &Wanted,
    source: &Source,
    bound: Bound,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let runtime = Runtime::new(Metrics::new());
    expect(&runtime, wanted);
    let (address, url, bounds) = (bound.address, bound.url(), bound.bounds());
    let (grpc, grpc_line) = (bound.grpc(), bound.grpc_line());
    parts.inference(&runtime, bound, Health::Alive)?;
    let said = Announcer::new(terminal)?;
    said.say(
        [bounds.to_string(), format!("inference      {url}")]
            .into_iter()
            .chain(grpc_line),
        || json!({ "event": "listening", "inference": address, "grpc": grpc, "bounds": bounds }),
    );
    let artifact = tokio::select! {
        fetched = fetch::fetch(source, wanted) => fetched.map_err(|error| refused(wanted, &error))?,
        asked = parts.wait() => {
            asked?;
            return stop(parts, &said).await;
        }
    };
    load(&runtime, artifact).await?;
    parts.supervisor().ready();
    let Wanted {
        model,
        version,
        digest,
        track,
        ..
    } = wanted;
    said.say(
        [format!("ready          {model} {version} as {track}")],
        || json!({ "event": "ready", "model": model, "version": version, "digest": digest, "track": track }),
    );
    parts.wait().await?;
    stop(parts, &said).await
}

async fn stop(parts: Parts, said: &Announcer) -> Result<ExitCode, Failure> {
    parts.stop().await?;
    said.flush();
    Ok(ExitCode::SUCCESS)
}

/// Tells the runtime what has to be there before it is ready.
fn expect(runtime: &Runtime, wanted: &Wanted) {
    let awaited = Awaited {
        model: wanted.model.clone(),
        track: wanted.track,
        version: wanted.version.clone(),
        training: false,
    };
    runtime.expect(&wanted.model, vec![awaited]);
    runtime.expected(Instant::now());
}

async fn load(runtime: &Runtime, artifact: Artifact) -> Result<(), Failure> {
    let runtime = runtime.clone();
    tokio::task::spawn_blocking(move || runtime.load_alone(artifact)).await?;
    Ok(())
}

fn refused(wanted: &Wanted, error: &fetch::FetchError) -> Failure {
    let Wanted { model, version, .. } = wanted;
    let failure = Failure::new(format!("{model} {version} cannot be served: {}", chain(error)));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
