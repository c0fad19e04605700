//! `aurora dataset split`: writes the rows of a job that a model may be fitted to which is made elsewhere, so that the model can name
//! them.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use planner::names::{Digest, ObjectName};
use planner::training::DataSource;
use registry::DatasetRoots;
use tempfile::NamedTempFile;
use trainer::{JobRows, Trainable, write_trainable};

use crate::answers::SplitAnswer;
use crate::arguments::{BranchArguments, DatasetArguments, OutputArguments, RepositoryArguments};
use crate::failure::{Context as _, Failure};
use crate::job::{DeclaredJob, declared_before_its_model, outside};
use crate::terminal::Terminal;

/// Flags of `aurora dataset`.
#[derive(Debug, Args)]
pub(crate) struct DatasetCommandArguments {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetCommand {
    /// Write the rows of a job that its model may be fitted to, without those that it is evaluated on
    Split(SplitArguments),
}

/// Flags of `aurora dataset split`.
#[derive(Debug, Args)]
struct SplitArguments {
    /// The MLTrainingJob of the environment, as the branch's newest commit declares it
    job: ObjectName,
    /// The file to write: CSV, the dataset's own columns. One that is there is replaced
    file: PathBuf,
    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    branch: BranchArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &DatasetCommandArguments) -> Result<ExitCode, Failure> {
    let DatasetCommand::Split(arguments) = &arguments.command;
    let SplitArguments { job, file, .. } = arguments;
    let roots = arguments.datasets.roots()?;
    let declared = declared_before_its_model(job, &arguments.repository, &arguments.branch, &roots)?;
    let written = split(&declared, &roots, file)?;
    let terminal = Terminal::new(arguments.output.output);
    let Trainable {
        digest,
        rows,
        held_out,
    } = written;
    if terminal.is_json() {
        terminal.document(&SplitAnswer {
            job,
            file: &file.to_string_lossy(),
            digest: &digest,
            rows,
            held_out,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = file.display();
    terminal.line(format!("{shown}: {rows} rows to fit to; {held_out} are held out"))?;
    terminal.line(digest.to_string())?;
    terminal.line(
        "a model whose ONNX metadata has that digest as the value of a property is attested; docs/importing.md shows how",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the rows aside, and into place once they are whole.
fn split(declared: &DeclaredJob, roots: &DatasetRoots, file: &Path) -> Result<Trainable, Failure> {
    let training = &declared.declared.spec;
    let rows = training.rows.as_ref().ok_or_else(|| {
        Failure::new("the job has no rows")
            .hint("a model is evaluated on a dataset: add `dataset` and `evaluation`")
    })?;
    // They live until all is read.
    let mut copies = Vec::new();
    let mut find = |source: &DataSource, _sha256: Option<Digest>| match source {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => Ok(None),
        DataSource::Absolute(path) => outside(path, roots).map(Some),
        DataSource::Committed(path) => {
            let copy = copy(declared, path)?;
            let place = copy.path().to_owned();
            copies.push(copy);
            Ok(Some(place))
        }
    };
    let [dataset, holdout] = rows.files(&mut find)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let shown = || format!("cannot write {}", file.display());
    let mut aside = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).context(shown)?;
    let mut out = BufWriter::new(aside.as_file_mut());
    let written = write_trainable(
        JobRows {
            rows,
            dataset: dataset.as_deref(),
            holdout: holdout.as_deref(),
            roots: &roots.folders(),
            seed: training.seed,
        },
        &mut out,
    )?;
    out.flush().context(shown)?;
    drop(out);
    aside.persist(file).context(shown)?;
    Ok(written)
}

/// Copies a file of the commit out of the repository.
fn copy(declared: &DeclaredJob, path: &str) -> Result<NamedTempFile, Failure> {
    let DeclaredJob {
        source,
        desired,
        declared,
    } = declared;
    let file = source.data_file(&desired.revision, &declared.location.file, path)??;
    let mut copy = NamedTempFile::new()?;
    source
        .with_data(&file, |bytes| std::io::copy(bytes, &mut copy))?
        .context(|| format!("cannot copy {path} out of the repository"))?;
    Ok(copy)
}
