//! `aurora model push`: publishes a model that lies in a file, by hand, into a registry on disk. What serves is still what Git
//! says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use planner::engine::Engine;
use planner::names::{ModelName, Version};
use planner::training::{FileName, Outputs, Told};
use registry::artifact::{Limits, files_of, with_files};
use registry::files::open_file;
use trainer::pushed::draft;

use super::StoreArguments;
use crate::answers::PushAnswer;
use crate::arguments::{OnnxRuntimeArguments, OutputArguments};
use crate::clock;
use crate::failure::{Context as _, Failure};
use crate::terminal::Terminal;

/// Flags of `aurora model push`.
#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The model
    model: ModelName,
    /// The model as ONNX, of the operators in docs/operators.md; files that hold its tensors lie beside it
    file: PathBuf,
    /// The version that it becomes [default: of this second]
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// What a column is called, once for each in the order of the inputs [default: as the inputs are named]
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// A class, once for each in the order of the probabilities [default: as the graph says]
    #[arg(long = "class", value_name = "LABEL")]
    classes: Vec<String>,
    /// The output that is the prediction [default: the first of numbers, where none is a label]
    #[arg(long, value_name = "OUTPUT")]
    prediction: Option<String>,
    /// The output that is the class [default: the first whole number or text of a row]
    #[arg(long, value_name = "OUTPUT", conflicts_with = "prediction")]
    label: Option<String>,
    /// The output that says how likely each class is
    #[arg(long, value_name = "OUTPUT", requires = "label")]
    probabilities: Option<String>,
    /// What checks it, and is to serve it: Aurora or OnnxRuntime, with --onnxruntime
    #[arg(long, value_name = "ENGINE", default_value_t = Engine::Aurora)]
    engine: Engine,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &PushArguments) -> Result<ExitCode, Failure> {
    arguments.store.refuse_to_write()?;
    let store = arguments.store.open()?;
    let bytes = whole(&arguments.file)?;
    let now = clock::now();
    let taken = store.versions(&arguments.model)?;
    let of_now = || Version::at(now, |version| taken.contains(version));
    let version = arguments.version.clone().unwrap_or_else(of_now);
    let told = Told {
        features: arguments.features.clone(),
        labels: arguments.classes.clone(),
        outputs: Outputs {
            prediction: arguments.prediction.clone(),
            label: arguments.label.clone(),
            probabilities: arguments.probabilities.clone(),
        },
    };
    let engines = arguments.onnx_runtime.engines();
    let by = (arguments.engine, &engines);
    let draft = draft(&arguments.model, &version, bytes, &told, by, now)
        .map_err(|error| Failure::of(&error))
        .hint(|| "docs/operators.md lists what is served".to_owned())?;
    let entry = store.publish(draft)?;
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&PushAnswer {
            model: &entry.model,
            version: &entry.version,
            digest: &entry.digest,
            metadata: &entry.metadata,
        })?;
    } else {
        let (model, version) = (&entry.model, &entry.version);
        terminal.line(format!("{model} {version} {}", entry.digest))?;
        terminal.line(format!(
            "nothing serves it yet: `aurora pin {model} {version} --track canary` in the repository; `aurora model show {model} {version}` \
             tells what it takes"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the model, with those of its tensors that lie in files beside it.
fn whole(file: &Path) -> Result<Vec<u8>, Failure> {
    let model = read(file)?;
    let names = files_of(&model).map_err(|error| Failure::of(&error))?;
    let mut files = BTreeMap::new();
    for name in names {
        let beside: FileName = name
            .parse()
            .context(|| format!("{} refers to another file", file.display()))?;
        files.insert(name, read(&file.with_file_name(beside.as_str()))?);
    }
    with_files(model, &files, &Limits::default()).map_err(|error| Failure::of(&error))
}

/// Reads a file, through no link, as far as a model may be large.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;

    let bytes_max = Limits::default().bytes_max as u64;
    let shown = file.display();
    let opened = open_file(file)?.ok_or_else(|| Failure::new(format!("there is no file {shown}")))?;
    let mut bytes = Vec::new();
    let read = opened.file.take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("failed to read {shown}: {error}")))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::new(format!("{shown} has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}
