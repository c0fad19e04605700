//! `aurora router`: passes the requests for one model to the pods of its tracks, as `route: { provider: Aurora }` has it. It
//! follows one ConfigMap and the EndpointSlices of the Services that this names; it changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kubernetes::router::{Heard, follow};
use kubernetes::{reconcile, router::ClientError};
use serde_json::json;
use server::{Metrics, Router};

use crate::arguments::OutputArguments;
use crate::failure::{DONE, Failure};
use crate::listeners::{Bound, GrpcArguments, InferenceArguments, ListenerArguments};
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::terminal::{Announcer, Terminal};

/// Flags of `aurora router`.
#[derive(Debug, Args)]
pub(crate) struct RouterArguments {
    /// The namespace of the model
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME")]
    namespace: String,

    /// The ConfigMap that says what share each track has
    #[arg(long, env = "AURORA_CONFIG_MAP", value_name = "NAME")]
    config_map: String,

    /// How long a pod may take until its answer begins, in seconds
    #[arg(
        long,
        env = "AURORA_ANSWER_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    answer_timeout: u32,

    #[command(flatten)]
    inference: InferenceArguments,
    #[command(flatten)]
    grpc: GrpcArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: RouterArguments) -> Result<ExitCode, Failure> {
    let signals = Signals::catch(DONE)?;
    let bound = arguments
        .inference
        .bind_with(&arguments.grpc, &arguments.listener)?;
    serving::block_on(route(arguments, bound, signals))?
}

async fn route(arguments: RouterArguments, bound: Bound, signals: Signals) -> Result<ExitCode, Failure> {
    let RouterArguments {
        namespace,
        config_map,
        answer_timeout,
        output,
        ..
    } = arguments;
    let mut parts = Parts::begin(signals);
    let config = reconcile::config().await?;
    let router = Router::new(Metrics::new(), seed()?);
    let (address, url, bounds) = (bound.address, bound.url(), bound.bounds());
    let (grpc, grpc_line) = (bound.grpc(), bound.grpc_line());
    let answer_timeout = Duration::from_secs(answer_timeout.into());
    parts.router(&router, bound, answer_timeout)?;
    let stopped = parts.stopped();
    let said = Announcer::new(Terminal::new(output.output))?;
    said.say(
        [
            bounds.to_string(),
            format!("routes as ConfigMap {config_map} of {namespace} says; {url}"),
        ]
        .into_iter()
        .chain(grpc_line),
        || {
            json!({
                "event": "listening", "inference": address, "grpc": grpc, "config_map": config_map, "bounds": bounds,
            })
        },
    );
    parts.spawn("router", async move {
        let hear = |heard| match heard {
            Heard::Backends(backends) => router.follow(&backends),
            Heard::Refused(why) => router.refuse(why),
        };
        tokio::select! {
            followed = follow(config, &namespace, &config_map, hear) => followed,
            () = stopped => Ok::<_, ClientError>(()),
        }
    });
    parts.supervisor().ready();
    parts.wait().await?;
    parts.stop().await?;
    said.flush();
    Ok(ExitCode::SUCCESS)
}

/// Returns a number that no other router has: two that draw the same endpoints run after each other.
fn seed() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|error| Failure::new(format!("failed to get randomness from the system: {error}")))
}
