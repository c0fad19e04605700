//! `aurora model`: what a registry holds. Reads; only `gc` removes, and it says what; `describe` says more, and `sign` signs.

mod compare;
mod describe;
mod gc;
mod push;
mod show;
mod sign;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use planner::names::{ModelName, Track, Version};
use planner::observed::ObservedAlias;
use registry::metadata::VersionMetadata;
use registry::{Entry, Reference, Store};
use serde_json::{Value, json};

use crate::arguments::{DataArguments, OnnxRuntimeArguments, OutputArguments};
use crate::failure::{Context as _, Failure, chain};
use crate::keys_of_models::verifying_keys;
use crate::terminal::{Terminal, table};

/// Flags of `aurora model`.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// List the versions of all models, or of one
    List {
        /// Only this model
        model: Option<ModelName>,
        #[command(flatten)]
        store: StoreArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Show what is known of a version
    Show(show::ShowArguments),
    /// Compare two versions: what goes in and comes out, what they reach, and what they predict for the same rows
    Compare(compare::CompareArguments),
    /// Say of a version who answers for it, what it is, and tags: kept beside it, in no digest, deciding nothing
    Describe(describe::DescribeArguments),
    /// Check versions, aliases, histories, staged data and the registry's own files; exits 1 if something is damaged
    Verify {
        /// Only this model
        model: Option<ModelName>,
        /// Only this version: stable, canary, a version or a digest
        reference: Option<Reference>,
        /// Public keys in PEM: each version must be signed by one of them, as it is
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        #[command(flatten)]
        onnx_runtime: OnnxRuntimeArguments,
        #[command(flatten)]
        store: StoreArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Sign a version by a key: what its folder holds, kept beside it (OpenSSF Model Signing)
    Sign(sign::SignArguments),
    /// Publish a model that lies in a file, as it is and evaluated by nobody: for laptops and tests; what serves is what Git says
    Push(push::PushArguments),
    /// Remove versions that nothing names and that are not among the newest
    Gc(gc::GcArguments),
}

/// A version as it was typed.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) text: String,
    pub(crate) reference: Reference,
}

impl FromStr for Typed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self {
            text: text.to_owned(),
            reference,
        })
    }
}

/// Which registry.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArguments {
    /// The registry: the folder that holds aurora/ [default: that of the data directory]
    #[arg(long, env = "AURORA_REGISTRY", value_name = "PATH")]
    registry: Option<PathBuf>,
    #[command(flatten)]
    data: DataArguments,
}

impl StoreArguments {
    /// Returns the data directory.
    pub(crate) fn data(&self) -> &DataArguments {
        &self.data
    }

    /// Fails if this user is not to write in the data directory, or in a registry that was named.
    pub(crate) fn refuse_to_write(&self) -> Result<(), Failure> {
        self.data.writable()?;
        if let Some(root) = &self.registry {
            standalone::inspect_untracked(root)?;
        }
        Ok(())
    }

    /// Opens the store to read it.
    pub(crate) fn open(&self) -> Result<Store, Failure> {
        let root = match &self.registry {
            Some(root) => standalone::settle(root)?,
            None => self.data.registry_root()?,
        };
        Store::open(&root)
            .hint(|| "give the registry with --registry, or the data directory with --data-dir".to_owned())
    }
}

pub(crate) fn run(arguments: ModelArguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        ModelCommand::List { model, store, output } => {
            list(model.as_ref(), &store.open()?, Terminal::new(output.output))
        }
        ModelCommand::Show(arguments) => show::run(&arguments),
        ModelCommand::Compare(arguments) => compare::run(&arguments),
        ModelCommand::Describe(arguments) => describe::run(&arguments),
        ModelCommand::Verify {
            model,
            reference,
            keys,
            onnx_runtime,
            store,
            output,
        } => {
            let keys = keys.as_deref().map(verifying_keys).transpose()?;
            verify::run(
                model.as_ref(),
                reference.as_ref(),
                (keys.as_deref(), &onnx_runtime.engines()),
                &store.open()?,
                Terminal::new(output.output),
            )
        }
        ModelCommand::Sign(arguments) => sign::run(&arguments),
        ModelCommand::Push(arguments) => push::run(&arguments),
        ModelCommand::Gc(arguments) => gc::run(&arguments),
    }
}

pub(crate) fn models(store: &Store, model: Option<&ModelName>) -> Result<Vec<ModelName>, Failure> {
    let known = store.models()?;
    match model {
        Some(model) if !known.contains(model) => Err(unknown(model, &known)),
        Some(model) => Ok(vec![model.clone()]),
        None => Ok(known),
    }
}

fn unknown(model: &ModelName, known: &[ModelName]) -> Failure {
    let known: Vec<_> = known.iter().map(ModelName::as_str).collect();
    let failure = Failure::new(format!("the registry has no model {model}"));
    if known.is_empty() {
        failure.hint("it is empty: `aurora up` trains what an environment declares")
    } else {
        failure.hint(format!("it has {}", known.join(", ")))
    }
}

/// Returns the tracks whose alias names a version.
fn tracks(store: &Store, model: &ModelName, version: &Version) -> Result<Vec<Track>, Failure> {
    Ok(store
        .aliases(model)?
        .into_iter()
        .filter(|(_track, alias)| *alias == ObservedAlias::To(version.clone()))
        .map(|(track, _alias)| track)
        .collect())
}

/// Renders the metric that a version's evaluation decided on, e.g. `r2 0.353`.
pub(crate) fn metric(metadata: &VersionMetadata) -> String {
    metadata
        .metric
        .iter()
        .next()
        .map(|(name, value)| format!("{} {value:.3}", name.trim_end_matches("_score")))
        .unwrap_or_default()
}

fn list(model: Option<&ModelName>, store: &Store, terminal: Terminal) -> Result<ExitCode, Failure> {
    let mut rows = vec![
        [
            "model",
            "version",
            "alias",
            "digest",
            "algorithm",
            "metric",
            "trained",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let mut values: Vec<Value> = Vec::new();
    for model in models(store, model)? {
        for version in store.versions(&model)? {
            let tracks = tracks(store, &model, &version)?;
            let names: Vec<_> = tracks.iter().map(|track| track.as_str()).collect();
            match store.resolve(&model, &Reference::Version(version.clone())) {
                Ok(entry) => {
                    let Entry { digest, metadata, .. } = &entry;
                    rows.push(vec![
                        model.to_string(),
                        version.to_string(),
                        names.join(","),
                        digest.short(),
                        metadata.algorithm.clone(),
                        metric(metadata),
                        metadata.trained_at.format("%F %T").to_string(),
                    ]);
                    values.push(json!({
                        "model": model, "version": version, "aliases": tracks, "digest": digest,
                        "algorithm": metadata.algorithm, "metrics": metadata.metrics.as_ref().map(|metrics| &metrics.values), "trained_at": metadata.trained_at,
                    }));
                }
                // One damaged version must not hide the others.
                Err(error) => {
                    let error = chain(&error);
                    rows.push(vec![
                        model.to_string(),
                        version.to_string(),
                        names.join(","),
                        error.clone(),
                    ]);
                    values.push(
                        json!({ "model": model, "version": version, "aliases": tracks, "error": error }),
                    );
                }
            }
        }
    }
    if terminal.is_json() {
        terminal.document(&values)?;
    } else if values.is_empty() {
        terminal.line("the registry holds no version")?;
    } else {
        terminal.lines(table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
