//! `benchmark`: prints figures beside the limits that they are held against, and exits 1 when one falls short.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use benchmark::figures::Report;
use benchmark::ground::Place;
use benchmark::swap::Effort;
use benchmark::{
    artifact, idle, memory, predict, process, reconcile, scale, server, soak, split, start, status, swap,
    training,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Reproduces each published figure (see benchmark/README.md).
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// How the figures are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct PlaceArguments {
    /// The aurora binary [default: the one beside this program].
    #[arg(long, global = true)]
    aurora: Option<PathBuf>,
    /// The checkout whose environments are used.
    #[arg(long, global = true, default_value = ".")]
    checkout: PathBuf,
    /// The environment.
    #[arg(long, global = true, default_value = "dev")]
    environment: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From the start of the binary to the first correct prediction.
    Start {
        /// How often.
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Counts requests after commits that move the weight.
    Split,
    /// Promotes and reverts under an open loop.
    Swap {
        /// How often.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Commits in each run.
        #[arg(long, default_value_t = 100)]
        commits: usize,
        /// The share of the saturation rate that is sent.
        #[arg(long, default_value_t = 0.5)]
        load: f64,
    },
    /// Memory and processor time while nobody asks.
    Idle {
        /// How long.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// What loaded models take: one of 500 trees beside its file, told by 20 of them, and a thousand of 100.
    Memory {
        /// The one model, as ONNX [default: 500 trees of 31 leaves, as Aurora writes them].
        #[arg(long)]
        artifact: Option<PathBuf>,
    },
    /// What an environment of many models costs, and how that grows.
    Scale {
        /// How many models, ascending; several numbers are measured one after the other.
        #[arg(long, value_delimiter = ',', default_values_t = scale::MODELS)]
        models: Vec<usize>,
        /// Trains one model and publishes the others after its pattern; always so beyond 2,000 models.
        #[arg(long)]
        seeded: bool,
        /// Shorter, for development: the figures are rough.
        #[arg(long)]
        quick: bool,
    },
    /// What keeping the objects of many models in a cluster costs, beside kubectl.
    Reconcile {
        /// How many models.
        #[arg(long, default_value_t = reconcile::MODELS)]
        models: usize,
        /// Shorter, for development: the figures are rough.
        #[arg(long)]
        quick: bool,
    },
    /// Commits, mistakes, collections, load and scrapes for a long time, and whether anything grows.
    Soak {
        /// How long, in minutes.
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Commits a second.
        #[arg(long, default_value_t = 4.0)]
        rate: f64,
    },
    /// Single-row inference beside a bare echo.
    Server {
        /// The library of ONNX Runtime, beside which the engine is measured too: aurora-ort has to lie beside aurora.
        #[arg(long, env = "AURORA_ONNXRUNTIME")]
        onnxruntime: Option<PathBuf>,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// What it costs to show how many models stand, beside a bare server.
    Status {
        /// How many models.
        #[arg(long, default_value_t = status::MODELS)]
        models: usize,
    },
    /// What handing out an artifact of 1 GiB costs, beside nginx.
    Artifact {
        /// How often it is downloaded alone.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// What a training run takes from those who ask meanwhile.
    Training {
        /// How often, without a run and beside one.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// What a prediction costs in the engine, beside onnxruntime, LightGBM and XGBoost, and over HTTP.
    Predict {
        /// The Python that `cargo xtask zoo` installed its packages for: ~/.cache/aurora/zoo/…/bin/python.
        #[arg(long, env = "AURORA_ZOO_PYTHON")]
        python: PathBuf,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// The bare server that `predict` compares with.
    #[command(hide = true)]
    Bare {
        /// The model.
        artifact: PathBuf,
    },
    /// The bare server that `server` and `status` compare with.
    #[command(hide = true)]
    Echo {
        /// What it gives to whoever asks.
        file: Option<PathBuf>,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let place = Place {
        aurora: arguments.place.aurora.unwrap_or_else(process::aurora_beside_us),
        checkout: arguments.place.checkout,
        environment: arguments.place.environment,
    };
    let report = match arguments.command {
        Command::Start { runs } => start::run(&place, runs)?,
        Command::Split => split::run(&place)?,
        Command::Swap { runs, commits, load } => swap::run(&place, Effort { runs, commits, load })?,
        Command::Idle { seconds } => idle::run(&place, Duration::from_secs(seconds))?,
        Command::Memory { artifact } => memory::run(&place, artifact.as_deref(), &say)?,
        Command::Scale {
            models,
            seeded,
            quick,
        } => {
            let effort = if quick {
                scale::Effort::QUICK
            } else {
                scale::Effort::FULL
            };
            scale::run(&place, &models, seeded, &effort, &say)?
        }
        Command::Reconcile { models, quick } => {
            let effort = if quick {
                reconcile::Effort::QUICK
            } else {
                reconcile::Effort::FULL
            };
            reconcile::run(&place, models, effort, &say)?
        }
        Command::Soak { minutes, rate } => {
            let time = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes")?;
            soak::run(&place, soak::Effort { time, rate }, &say)?
        }
        Command::Server { onnxruntime, rounds } => server::run(&place, onnxruntime.as_deref(), rounds)?,
        Command::Status { models } => status::run(&place, models)?,
        Command::Artifact { rounds } => artifact::run(&place, rounds)?,
        Command::Training { rounds } => training::run(&place, rounds)?,
        Command::Predict { python, rounds } => predict::run(&place, &python, rounds, &say)?,
        Command::Bare { artifact } => {
            predict::bare(&artifact, announce)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Echo { file } => {
            server::echo(file.as_deref(), announce)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    print(&report, arguments.output)?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stderr, reason = "how far a long run is")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the parent process reads it")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

#[expect(clippy::print_stdout, reason = "this program's output")]
fn print(report: &Report, output: Output) -> Result<()> {
    match output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
    }
    Ok(())
}
