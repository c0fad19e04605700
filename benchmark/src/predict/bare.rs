//! The listener beside a bare route that does the same work: parse the protocol's JSON, evaluate, write JSON.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use engine::{Buffer, Symbols};
use registry::artifact::{Limits, Model};
use serde::{Deserialize, Serialize};
use warp::Filter;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};
use crate::processor::{self, LOAD_CORE, SERVER_CORE};
use crate::server::{Echo, rate};

/// So much of a request as is looked at.
#[derive(Deserialize)]
struct Asked {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    shape: Vec<usize>,
    data: Vec<f64>,
}

#[derive(Serialize)]
struct Answered<'a> {
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    shape: Vec<usize>,
    datatype: &'static str,
    data: Vec<f64>,
}

/// Serves a model until the process is killed, after telling its address to `announce`.
pub fn serve(artifact: &Path, announce: impl FnOnce(SocketAddr)) -> Result<()> {
    let model =
        Model::read(&fs::read(artifact)?, &Limits::default()).context("the engine refuses the model")?;
    let model = Arc::new(model);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(listener.local_addr()?);
        let infer = warp::post()
            .and(warp::body::json())
            .map(move |asked: Asked| warp::reply::json(&answer(&model, asked)));
        warp::serve(infer).incoming(listener).run().await;
        Ok(())
    })
}

fn answer(model: &Model, asked: Asked) -> Answered<'_> {
    let rows = asked.inputs.first().map_or(0, |input| input.shape[0]);
    let inputs: Vec<Buffer> = asked
        .inputs
        .into_iter()
        .map(|input| Buffer::F64(input.data))
        .collect();
    let answers = model
        .answer(&inputs, rows, &mut Symbols::default())
        .unwrap_or_default();
    let outputs = model.output_tensors().iter().zip(answers);
    let outputs = outputs.map(|(output, answer)| Output {
        name: &output.name,
        shape: output.shape.iter().map(|dim| dim.at(rows)).collect(),
        datatype: output.element.protocol_name(),
        data: match answer {
            Buffer::F64(numbers) => numbers,
            _ => Vec::new(),
        },
    });
    Answered {
        outputs: outputs.collect(),
    }
}

/// Measures both `rounds` times.
pub(super) fn run(report: &mut Report, place: &Place, rounds: usize) -> Result<()> {
    processor::pin(LOAD_CORE)?;
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(Some(SERVER_CORE))?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let pins = ground.scenario.pins(&model)?;
    let example = ground.example(&model, &pins.stable)?;
    let versions = ground
        .scenario
        .registry(&ground.data())
        .join("aurora")
        .join(&model)
        .join("versions");
    let artifact = versions.join(&pins.stable).join("model.onnx");
    let bare = Echo::start_as("bare", Some(&artifact))?;
    let (mut ours, mut bares, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = 0;
    for _ in 0..rounds {
        let answered = rate(&example, aurora.inference, &mut failed)?;
        let by_bare = rate(&example, bare.address, &mut failed)?;
        ours.push(answered);
        bares.push(by_bare);
        ratios.push(by_bare / answered);
    }
    aurora.stop()?;
    report.figure("over HTTP", "/s", Limit::None, &ours);
    report.figure(
        "over a bare route that evaluates the same",
        "/s",
        Limit::None,
        &bares,
    );
    report.figure("bare / HTTP", "", Limit::MedianAtMost(1.0 / 0.8), &ratios);
    #[expect(clippy::cast_precision_loss, reason = "a count that should be 0")]
    report.figure("failed requests", "", Limit::AtMost(0.0), &[failed as f64]);
    Ok(())
}
