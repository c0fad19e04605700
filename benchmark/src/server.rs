//! `benchmark server`: single-row inference beside a bare warp server that parses JSON and sends it back.
//!
//! Both run on the server's core and are asked by the same load, in turn, so that the ratio means something on any machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use warp::Filter;

use crate::figures::{Limit, Report};
use crate::ground::{Ground, Place};
use crate::load::{Load, Until};
use crate::predictions::Example;
use crate::processor::{self, LOAD_CORE, SERVER_CORE};
use crate::pushed::{Pushed, VERSION, serve, trees};

const CONNECTIONS: usize = 64;

/// How long each server is asked at a time.
const PERIOD: Duration = Duration::from_secs(3);

/// The echo server as a process; dropping it kills it.
pub(crate) struct Echo {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What both engines evaluate where one of them is ONNX Runtime.
const TREES: usize = 100;

/// Measures both `rounds` times; with the library of ONNX Runtime, a model that a process of its own evaluates by it too, beside
/// the same model in the engine.
pub fn run(place: &Place, onnxruntime: Option<&Path>, rounds: usize) -> Result<Report> {
    processor::pin(LOAD_CORE)?;
    let ground = Ground::new(place)?;
    let mut aurora = ground.start(Some(SERVER_CORE))?;
    ground.wait_until_ready(&mut aurora)?;
    let model = ground.canary_model()?;
    let pins = ground.scenario.pins(&model)?;
    let example = ground.example(&model, &pins.stable)?;
    let echo = Echo::start(None)?;
    let (mut inference, mut echoes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = 0;
    for _ in 0..rounds {
        let infer = rate(&example, aurora.inference, &mut failed)?;
        let bare = rate(&example, echo.address, &mut failed)?;
        inference.push(infer);
        echoes.push(bare);
        ratios.push(infer / bare);
    }
    aurora.stop()?;
    let mut report = Report::new("benchmark server");
    report.figure("single-row inference", "/s", Limit::None, &inference);
    report.figure("bare warp JSON echo", "/s", Limit::None, &echoes);
    report.figure("inference / echo", "", Limit::None, &ratios);
    #[expect(clippy::cast_precision_loss, reason = "a count that should be 0")]
    report.figure("failed requests", "", Limit::AtMost(0.0), &[failed as f64]);
    if let Some(library) = onnxruntime {
        foreign(&mut report, place, library, rounds)?;
    }
    Ok(report)
}

fn foreign(report: &mut Report, place: &Place, library: &Path, rounds: usize) -> Result<()> {
    let library = std::path::absolute(library)?;
    let pushed = |name: &str, engine| -> Result<Pushed> {
        Ok(Pushed {
            name: name.to_owned(),
            artifact: trees(TREES, 0)?,
            engine,
        })
    };
    let models = [pushed("own", "Aurora")?, pushed("foreign", "OnnxRuntime")?];
    let variables = [format!("AURORA_ONNXRUNTIME={}", library.display())];
    let serving = serve(place, &models, Some(SERVER_CORE), &variables)?;
    let example = |name| Example::read(&serving.registry, name, VERSION).context("there is no example");
    let (own, foreign) = (example("own")?, example("foreign")?);
    let (mut owns, mut foreigns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = 0;
    for _ in 0..rounds {
        let by_engine = rate(&own, serving.aurora.inference, &mut failed)?;
        let by_runtime = rate(&foreign, serving.aurora.inference, &mut failed)?;
        owns.push(by_engine);
        foreigns.push(by_runtime);
        ratios.push(by_runtime / by_engine);
    }
    serving.aurora.stop()?;
    report.figure(format!("{TREES} trees by the engine"), "/s", Limit::None, &owns);
    report.figure(
        format!("{TREES} trees by ONNX Runtime in a process of its own"),
        "/s",
        Limit::None,
        &foreigns,
    );
    report.figure("ONNX Runtime / engine", "", Limit::None, &ratios);
    #[expect(clippy::cast_precision_loss, reason = "a count that should be 0")]
    report.figure(
        "failed requests of both",
        "",
        Limit::AtMost(0.0),
        &[failed as f64],
    );
    Ok(())
}

/// Returns how many requests a second a server answers in a closed loop, and counts those that failed.
pub(crate) fn rate(example: &Example, address: SocketAddr, failed: &mut usize) -> Result<f64> {
    let request = example.request(address, Some("stable"));
    let mut load = Load::connect(address, CONNECTIONS, Instant::now())?;
    let replies = load.closed(&request, Until::Elapsed(PERIOD))?;
    *failed += replies.failures().0;
    #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred thousand")]
    Ok(replies.all.len() as f64 / PERIOD.as_secs_f64())
}

/// Serves the echo, and what `file` holds to whoever asks for it, until the process is killed, after telling its address to
/// `announce`.
pub fn echo(file: Option<&Path>, announce: impl FnOnce(SocketAddr)) -> Result<()> {
    let bytes = file.map(fs::read).transpose()?.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(listener.local_addr()?);
        let echo = warp::post()
            .and(warp::body::json())
            .map(|body: serde_json::Value| warp::reply::json(&body));
        let file = warp::get().map(move || bytes.clone());
        warp::serve(echo.or(file)).incoming(listener).run().await;
        Ok(())
    })
}

impl Echo {
    /// Starts it; it gives the bytes of a file where there is one.
    pub(crate) fn start(file: Option<&Path>) -> Result<Self> {
        Self::start_as("echo", file)
    }

    /// Starts another of this program's bare servers.
    pub(crate) fn start_as(name: &str, file: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(name)
            .args(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = processor::on_core(Some(SERVER_CORE), || command.spawn())?;
        let output = child.stdout.take().context("invariant: stdout is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the echo server names no address")?;
        Ok(Self { child, address })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // A process that has ended by itself is what we want too.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
