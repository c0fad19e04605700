//! `aurora train`: one training run, in this process. `--request` is how `up` starts it as a child, `AURORA_REQUEST` how a
//! Job's Pod does; with a job's name a person trains what a repository declares.

mod job;
mod pod;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use planner::names::ObjectName;
use registry::run::Ending;
use trainer::Means;

use crate::arguments::{
    BranchArguments, DatasetArguments, ImportArguments, OnnxRuntimeArguments, OutputArguments,
    RepositoryArguments,
};
use crate::clock;
use crate::commands::model::StoreArguments;
use crate::failure::{Failure, NO, REFUSED};
use crate::programs::ProgramArguments;
use crate::termination::TerminationArguments;
use crate::trainer::be_a_child;
use pod::Part;

/// Flags of `aurora train`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["job", "request"]))]
pub(crate) struct TrainArguments {
    /// The MLTrainingJob of the environment to run; in a Pod of a Job, AURORA_REQUEST says what to run instead
    #[arg(value_name = "JOB")]
    job: Option<ObjectName>,

    /// Run what this request file asks, and write progress and result beside it
    #[arg(long, value_name = "FILE", conflicts_with = "job")]
    request: Option<PathBuf>,

    /// In a Pod of a Job whose fit is somebody else's: write the training rows to FOLDER/rows.csv, make FOLDER/output, and
    /// fit nothing
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["job", "request", "publish"])]
    prepare: Option<PathBuf>,

    /// In a Pod of a Job whose fit is somebody else's: check, evaluate and publish what it left in FOLDER: model.onnx and,
    /// if it likes, metrics.json
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["job", "request"])]
    publish: Option<PathBuf>,

    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    branch: BranchArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    imports: ImportArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    programs: ProgramArguments,
    #[command(flatten)]
    termination: TerminationArguments,
    #[command(flatten)]
    output: OutputArguments,
}

impl TrainArguments {
    /// Returns what a run can do in this process; `own` are the repository and the data directory, where nobody gave them by a flag.
    fn means(&self, own: &[&Path]) -> Result<impl Means, Failure> {
        let fetch = self.imports.fetcher()?;
        Ok(self.programs.means(fetch, self.onnx_runtime.engines(), own))
    }
}

pub(crate) fn run(arguments: &TrainArguments) -> Result<ExitCode, Failure> {
    let ending = match (&arguments.request, &arguments.job) {
        (Some(request), _) => {
            be_a_child()?;
            trainer::run_file(request, &arguments.means(&[])?, &mut |_progress| {}, &clock::now)?
        }
        (None, Some(job)) => job::run(job, arguments)?,
        (None, None) => {
            let asked = pod::asked().ok_or_else(|| {
                Failure::new("nothing says what to train")
                    .hint("give the name of a job, as `aurora train JOB`")
            })?;
            let part = match (&arguments.prepare, &arguments.publish) {
                (Some(folder), _) => Part::Prepare(folder),
                (None, Some(folder)) => Part::Publish(folder),
                (None, None) => Part::Whole,
            };
            return pod::run(asked, part, arguments);
        }
    };
    Ok(code(&ending))
}

/// Says that a run cannot start for what this machine lacks. A Job takes the usual code for a fault of the run's inputs, which
/// another machine would find as well.
pub(crate) fn cannot_start(arguments: &TrainArguments, failure: Failure) -> Result<ExitCode, Failure> {
    let is_in_pod = arguments.request.is_none() && arguments.job.is_none() && pod::asked().is_some();
    if is_in_pod {
        return Ok(pod::broke_off(failure, &arguments.termination));
    }
    Err(failure)
}

/// Returns the exit code that says how a run ended.
fn code(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Published { .. } | Ending::SameInputs => ExitCode::SUCCESS,
        Ending::Refused { .. } => ExitCode::from(REFUSED),
        Ending::Transient { .. } => ExitCode::from(NO),
    }
}
