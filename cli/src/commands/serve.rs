//! `aurora serve`: answers inference requests with what a data directory's objects say, without a repository. Changes
//! nothing: the pins, the weight and an abort are those that were last reconciled. With `--digest` it serves that one
//! version for its life, from a control plane ([`pinned`]).

mod pinned;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use crds::convert::read_deployment_object;
use planner::deployment::ResolvedPin;
use planner::names::{ModelName, Revision, Track, Weight};
use planner::observed::DeploymentObject;
use registry::Store;
use registry::artifact::Engines;
use serde_json::json;
use server::{Awaited, Health, Metrics, Runtime};
use standalone::{LoadRequest, Slots as _, Wake};

use crate::arguments::{OnnxRuntimeArguments, OutputArguments};
use crate::commands::model::StoreArguments;
use crate::commands::status;
use crate::failure::{DONE, Failure};
use crate::listeners::{Bound, GrpcArguments, InferenceArguments, ListenerArguments};
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::slots::ServerSlots;
use crate::terminal::{Announcer, Terminal};
use pinned::PinnedArguments;

/// How often it is looked whether everything is loaded.
const LOAD_POLL: Duration = Duration::from_millis(10);

/// Flags of `aurora serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pinned: PinnedArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    inference: InferenceArguments,
    #[command(flatten)]
    grpc: GrpcArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What one model serves.
struct Deployed {
    object: DeploymentObject,
    weight: Weight,
}

pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let signals = Signals::catch(DONE)?;
    let bound = arguments
        .inference
        .bind_with(&arguments.grpc, &arguments.listener)?;
    if let Some(pinned) = arguments.pinned.given(arguments.onnx_runtime.engines()) {
        return pinned.serve(bound, Terminal::new(arguments.output.output), signals);
    }
    let deployed = deployed(arguments)?;
    let store = arguments.store.open()?;
    let terminal = Terminal::new(arguments.output.output);
    let store = (store, arguments.onnx_runtime.engines());
    serving::block_on(serve(deployed, store, bound, terminal, signals))?
}

fn deployed(arguments: &ServeArguments) -> Result<Vec<Deployed>, Failure> {
    let data_dir = arguments.store.data().settled()?;
    let view = status::read(&data_dir)?;
    let mut deployed = Vec::new();
    for (name, deployment) in view.deployments {
        let object = read_deployment_object(&deployment).map_err(|error| {
            Failure::new(format!("MLDeployment/{name} in {}: {error}", data_dir.display()))
        })?;
        let declared = object
            .spec
            .canary
            .as_ref()
            .map_or(Weight::ZERO, |canary| canary.weight);
        let aborted = object
            .spec
            .canary
            .as_ref()
            .is_some_and(|canary| object.abort == Some(canary.pin.digest));
        // Never more than the commit declares, nor than was live.
        let live = deployment
            .status
            .as_ref()
            .map_or(declared, |status| status.weight);
        deployed.push(Deployed {
            weight: if aborted { Weight::ZERO } else { declared.min(live) },
            object,
        });
    }
    if deployed.is_empty() {
        return Err(Failure::new(format!("{} declares no model", data_dir.display()))
            .hint("`aurora reconcile --once` brings it to what a commit says"));
    }
    Ok(deployed)
}

async fn serve(
    deployed: Vec<Deployed>,
    (store, engines): (Store, Engines),
    bound: Bound,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let runtime = Runtime::new(Metrics::new());
    let slots = ServerSlots::new(runtime.clone(), store, engines, Wake::default());
    for Deployed { object, .. } in &deployed {
        let mut awaited = Vec::new();
        for request in requests(object) {
            awaited.push(Awaited {
                model: request.model.clone(),
                track: request.track,
                version: request.pin.version.clone(),
                training: false,
            });
            slots.begin_load(request);
        }
        runtime.expect(&object.spec.model, awaited);
    }
    runtime.expected(Instant::now());
    let url = bound.url();
    let bounds = bound.bounds();
    let (grpc, grpc_line) = (bound.grpc(), bound.grpc_line());
    parts.inference(&runtime, bound, Health::Ready)?;
    parts.supervisor().ready();
    tokio::select! {
        loaded = load(&slots, &deployed) => loaded?,
        asked = parts.wait() => {
            asked?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let said = Announcer::new(terminal)?;
    said.say(
        [bounds.to_string(), format!("inference      {url}")]
            .into_iter()
            .chain(grpc_line),
        || json!({ "event": "ready", "inference": url, "grpc": grpc, "bounds": bounds }),
    );
    parts.wait().await?;
    parts.stop().await?;
    said.flush();
    Ok(ExitCode::SUCCESS)
}

fn requests(object: &DeploymentObject) -> impl Iterator<Item = LoadRequest> {
    let request = |track, pin: &ResolvedPin, revision: &Revision| LoadRequest {
        model: object.spec.model.clone(),
        track,
        pin: pin.clone(),
        revision: revision.clone(),
        trust: object.trust.clone(),
        engine: object.spec.engine,
    };
    let stable = request(Track::Stable, &object.spec.stable, &object.stable_revision);
    let canary = object.spec.canary.as_ref().map(|canary| {
        let revision = object.canary_revision.as_ref().unwrap_or(&object.revision);
        request(Track::Canary, &canary.pin, revision)
    });
    [stable].into_iter().chain(canary)
}

/// Waits until all pins are loaded, then sets the weights; fails with the first that does not load.
async fn load(slots: &ServerSlots, deployed: &[Deployed]) -> Result<(), Failure> {
    for Deployed { object, weight } in deployed {
        let model = &object.spec.model;
        while !is_loaded(slots, model)? {
            tokio::time::sleep(LOAD_POLL).await;
        }
        slots.set_weight(model, *weight);
    }
    Ok(())
}

fn is_loaded(slots: &ServerSlots, model: &ModelName) -> Result<bool, Failure> {
    let tracks = slots.tracks(model);
    for (_, track) in tracks.track.as_ref() {
        if let Some((pin, why)) = &track.unloadable {
            return Err(
                Failure::new(format!("{model} {} does not load: {why}", pin.version))
                    .hint("`aurora model verify` says which versions are sound"),
            );
        }
    }
    Ok(tracks
        .track
        .as_ref()
        .into_iter()
        .all(|(_, track)| track.loading.is_none()))
}
