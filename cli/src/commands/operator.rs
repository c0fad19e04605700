//! `aurora operator`: makes a namespace follow its MLDeployments and MLTrainingJobs, beside its health and its metrics.
//! `release` lets go of what an operator that is gone would still have to drain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use kubernetes::build::{DatasetClaim, ImportSource, Installation};
use kubernetes::leadership::Terms;
use kubernetes::operator::{self, Health, Options, Scope};
use kubernetes::reconcile;
use planner::names::EnvironmentName;
use planner::route::Gateway;
use serde_json::json;
use server::{Known, Metrics, StatusSource};

use crate::answers::ReleaseAnswer;
use crate::arguments::OutputArguments;
use crate::clock;
use crate::controller::{Controller, identity};
use crate::failure::{DONE, ERROR, Failure};
use crate::listeners::{Bound, ControlPlaneArguments, ListenerArguments};
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::terminal::Terminal;

/// Flags of `aurora operator`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct OperatorArguments {
    #[command(subcommand)]
    command: Option<OperatorCommand>,

    /// The namespace whose MLDeployments and MLTrainingJobs are followed
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME", required = true)]
    namespace: Option<String>,

    /// The environment that the namespace is
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: EnvironmentName,

    /// The image of the pods that serve and train: Aurora's own
    #[arg(long, env = "AURORA_IMAGE", value_name = "IMAGE", required = true)]
    image: Option<String>,

    /// The image of those that load models of ONNX Runtime (docs/importing.md); absent: none loads one
    #[arg(long, env = "AURORA_ONNXRUNTIME_IMAGE", value_name = "IMAGE")]
    onnxruntime_image: Option<String>,

    /// Where pods that serve fetch their model
    #[arg(
        long,
        env = "AURORA_ARTIFACTS",
        value_name = "URL",
        default_value = "http://aurora-control-plane:8000"
    )]
    artifacts: String,

    /// The Secret whose `inference` is the key with which they do
    #[arg(
        long,
        env = "AURORA_KEYS_SECRET",
        value_name = "NAME",
        default_value = "aurora-keys"
    )]
    keys_secret: String,

    /// The claim of the volume that is the registry
    #[arg(
        long,
        env = "AURORA_REGISTRY_CLAIM",
        value_name = "NAME",
        default_value = "aurora-model-pvc"
    )]
    registry_claim: String,

    /// Where that volume is mounted for this process, to be read
    #[arg(
        long,
        env = "AURORA_REGISTRY",
        value_name = "DIR",
        default_value = reconcile::REGISTRY
    )]
    registry: PathBuf,

    /// How many training runs are under way at a time
    #[arg(
        long,
        env = "AURORA_TRAINING_RUNS_MAX",
        value_name = "N",
        default_value_t = operator::RUNS_MAX
    )]
    training_runs_max: usize,

    /// A folder that jobs may read data from, and the claim of its volume; may be given several times
    #[arg(
        long,
        env = "AURORA_DATASET_CLAIM",
        value_name = "FOLDER=CLAIM",
        value_delimiter = ',',
        value_parser = dataset_claim
    )]
    dataset_claim: Vec<DatasetClaim>,

    /// The beginning of addresses that models may be imported from, and the Secret whose `credential` is the credential for it
    /// (docs/importing.md); may be given several times [default: none, files of the commit alone]
    #[arg(
        long = "import-source",
        env = "AURORA_IMPORT_SECRETS",
        value_name = "PREFIX[=SECRET]",
        value_delimiter = ' ',
        value_parser = import_source
    )]
    import_sources: Vec<ImportSource>,

    /// The ConfigMap whose `ca.crt` has the certificates of authorities, in PEM, that are trusted there beside the image's
    #[arg(long, env = "AURORA_IMPORT_CA", value_name = "NAME")]
    import_ca: Option<String>,

    /// The Gateway of routes that name none, in the namespace or as NAMESPACE/NAME
    #[arg(
        long,
        env = "AURORA_GATEWAY",
        value_name = "NAME",
        default_value = "inference",
        value_parser = gateway
    )]
    gateway: Gateway,

    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Let go of the MLDeployments of a namespace whose operator is gone for good, for uninstalling
    Release(ReleaseArguments),
}

#[derive(Debug, Args)]
struct ReleaseArguments {
    /// The namespace
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME")]
    namespace: String,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: OperatorArguments) -> Result<ExitCode, Failure> {
    let OperatorArguments {
        command,
        namespace,
        environment,
        image,
        onnxruntime_image,
        artifacts,
        keys_secret,
        registry_claim,
        registry,
        training_runs_max,
        dataset_claim,
        import_sources,
        import_ca,
        gateway,
        control_plane,
        listener,
        output,
    } = arguments;
    if let Some(OperatorCommand::Release(arguments)) = command {
        let signals = Signals::catch(ERROR)?;
        return serving::block_on(release(arguments, signals))?;
    }
    let (Some(namespace), Some(image)) = (namespace, image) else {
        unreachable!("invariant: clap requires both where there is no subcommand");
    };
    let installation = Installation {
        environment,
        namespace,
        image,
        onnx_runtime_image: onnxruntime_image,
        control_plane: artifacts,
        keys_secret,
        registry_claim,
        dataset_claims: dataset_claim,
        import_sources,
        import_ca,
        gateway,
    };
    let options = Options {
        scope: Scope {
            installation,
            registry,
            runs_max: training_runs_max,
        },
        identity: identity()?,
        terms: Terms::default(),
        clock: clock::now,
    };
    let signals = Signals::catch(DONE)?;
    let bound = control_plane.bind(&listener, None)?;
    serving::block_on(lead(options, bound, Terminal::new(output.output), signals))?
}

async fn lead(
    options: Options,
    bound: Bound,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let parts = Parts::begin(signals);
    let config = reconcile::config().await?;
    let health = Arc::new(Health::default());
    let controller = Controller {
        name: "operator",
        verb: "operates",
        namespace: options.scope.installation.namespace.clone(),
        status: Arc::new(Steps(health.clone())),
        metrics: Metrics::new(),
    };
    let counting = health.clone();
    controller
        .metrics
        .count_steps(move || (counting.steps(), counting.failures()));
    let work = operator::lead(config, options, health, parts.stopped());
    controller.run(parts, bound, terminal, work).await
}

async fn release(arguments: ReleaseArguments, mut signals: Signals) -> Result<ExitCode, Failure> {
    signals.begin();
    let ReleaseArguments { namespace, output } = arguments;
    let config = reconcile::config().await?;
    let released = tokio::select! {
        released = operator::release::release(config, &namespace) => released?,
        () = signals.next() => return Err(Failure::new("stopped by a signal").hint("what was let go stays so")),
    };
    let terminal = Terminal::new(output.output);
    if terminal.is_json() {
        terminal.document(&ReleaseAnswer {
            namespace: &namespace,
            released,
        })?;
    } else {
        terminal.line(format!("let go of {released} MLDeployments of {namespace}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What this process has done, for those who ask it.
#[derive(Debug)]
struct Steps(Arc<Health>);

impl StatusSource for Steps {
    fn known(&self) -> Known {
        Known::Process(json!({ "operator": { "steps": self.0.steps(), "failures": self.0.failures() } }))
    }

    fn age_seconds(&self) -> Option<f64> {
        Some(0.0)
    }
}

fn dataset_claim(text: &str) -> Result<DatasetClaim, String> {
    match text.split_once('=') {
        Some((folder, claim)) if folder.starts_with('/') && !claim.is_empty() => Ok(DatasetClaim {
            folder: folder.to_owned(),
            claim: claim.to_owned(),
        }),
        _ => Err("expected an absolute folder and a claim, e.g. /data=team-data".to_owned()),
    }
}

fn import_source(text: &str) -> Result<ImportSource, String> {
    let (prefix, secret) = match text.split_once('=') {
        Some((prefix, secret)) => (prefix, Some(secret.to_owned())),
        None => (text, None),
    };
    let is_named = secret.as_ref().is_none_or(|secret| !secret.is_empty());
    match prefix.parse() {
        Ok(prefix) if is_named => Ok(ImportSource { prefix, secret }),
        // It may hold a secret itself, and is not repeated.
        _ => Err("expected the beginning of an address and a Secret, e.g. https://models.example.org/team=models-team".to_owned()),
    }
}

fn gateway(text: &str) -> Result<Gateway, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    if name.is_empty() || name.contains('/') || namespace == Some("") {
        return Err("expected a name, or a namespace and a name, e.g. gateways/inference".to_owned());
    }
    Ok(Gateway {
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        section_name: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_in_one_word_is_taken_apart() {
        for (text, expected) in [
            ("inference", Some((None, "inference"))),
            ("gateways/inference", Some((Some("gateways"), "inference"))),
            ("/inference", None),
            ("gateways/", None),
            ("a/b/c", None),
            ("", None),
        ] {
            let found = gateway(text).ok();
            let found = found
                .as_ref()
                .map(|found| (found.namespace.as_deref(), found.name.as_str()));
            assert_eq!(found, expected, "{text}");
        }
        for (text, expected) in [
            ("/data=team", Some(("/data", "team"))),
            ("data=team", None),
            ("/data=", None),
            ("/data", None),
        ] {
            let found = dataset_claim(text).ok();
            let found = found
                .as_ref()
                .map(|found| (found.folder.as_str(), found.claim.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
