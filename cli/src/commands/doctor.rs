//! `aurora doctor`: says whether an environment could be run as the flags say, and what keeps it from that: each part is asked
//! by the code that asks it at a start. Reads only; what it takes for a look, a port or a fetched commit, it gives back.

mod cluster;
mod machine;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::{
    BranchArguments, DataArguments, OnnxRuntimeArguments, OutputArguments, RemoteArguments,
    RepositoryArguments,
};
use crate::failure::{Failure, NO};
use crate::listeners::{ControlPlaneArguments, GrpcArguments, InferenceArguments, ListenerArguments};
use crate::terminal::{Colour, Line, Terminal, painted};

/// Flags of `aurora doctor`: those of `up`, or a namespace.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The namespace of a cluster that is looked at; absent: this machine, as `up` would use it
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// Whose rights in the namespace the account should have
    #[arg(long, value_name = "PART", default_value = "reconciler")]
    part: Part,

    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    branch: BranchArguments,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    inference: InferenceArguments,
    #[command(flatten)]
    grpc: GrpcArguments,
    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// A part of Aurora that runs in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `aurora reconcile`.
    Reconciler,
    /// `aurora operator`.
    Operator,
    /// `aurora control-plane`.
    ControlPlane,
}

/// What all checks came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Diagnosis {
    /// Whether no check failed.
    healthy: bool,
    /// The checks, in the order in which a start needs them.
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
struct Check {
    /// What was looked at, as a stable word.
    subject: &'static str,
    /// What came of it.
    verdict: Verdict,
    /// What is there, or what is wrong.
    message: String,
    /// What to do; empty where there is nothing to do.
    next: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It is as it should be.
    Ok,
    /// It works, and somebody may want to know.
    Warn,
    /// It does not work.
    Fail,
}

impl Check {
    fn ok(subject: &'static str, message: impl Into<String>) -> Self {
        Self {
            subject,
            verdict: Verdict::Ok,
            message: message.into(),
            next: String::new(),
        }
    }

    fn warn(subject: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            next: next.into(),
            ..Self::ok(subject, message)
        }
    }

    fn fail(subject: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(subject, message, next)
        }
    }

    fn failed(subject: &'static str, failure: &Failure) -> Self {
        Self::fail(subject, failure.message(), failure.advice())
    }
}

pub(crate) fn run(arguments: &DoctorArguments) -> Result<ExitCode, Failure> {
    let mut checks = machine::limits();
    let commit = machine::repository(arguments, &mut checks);
    match &arguments.namespace {
        Some(namespace) => cluster::look(namespace, arguments.part, &mut checks)?,
        None => machine::place(arguments, &mut checks),
    }
    checks.extend(machine::times(arguments, commit));
    let diagnosis = Diagnosis {
        healthy: checks.iter().all(|check| check.verdict != Verdict::Fail),
        checks,
    };
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&diagnosis)?;
    } else {
        terminal.lines(render(&diagnosis))?;
    }
    Ok(if diagnosis.healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// Shows each check, and last what all of them came to.
fn render(diagnosis: &Diagnosis) -> Vec<Line> {
    let mut lines: Vec<Line> = diagnosis.checks.iter().flat_map(shown).collect();
    let count = |verdict| {
        diagnosis
            .checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    let (failed, warned, all) = (count(Verdict::Fail), count(Verdict::Warn), diagnosis.checks.len());
    lines.push(Line::default());
    lines.push(match (failed, warned) {
        (0, 0) => painted(Colour::Green, format!("all {all} checks passed")),
        (0, warned) => painted(
            Colour::Yellow,
            format!("nothing failed of {all} checks, {warned} to look at"),
        ),
        (failed, _) => painted(Colour::Red, format!("{failed} of {all} checks failed")),
    });
    lines
}

fn shown(check: &Check) -> Vec<Line> {
    let Check {
        subject,
        verdict,
        message,
        next,
    } = check;
    let mark = match verdict {
        Verdict::Ok => painted(Colour::Green, "ok  "),
        Verdict::Warn => painted(Colour::Yellow, "warn"),
        Verdict::Fail => painted(Colour::Red, "fail"),
    };
    let mut lines = vec![mark.and(format!("  {subject}: {message}"))];
    if !next.is_empty() {
        lines.push(Line::from(format!("      next: {next}")));
    }
    lines
}
