//! The commands, one file each: they read flags, call the crate that does the work and say what came of it.

mod completions;
mod control_plane;
mod crds;
mod dataset;
pub(crate) mod doctor;
mod edit;
mod events;
mod health;
mod init;
mod key;
mod man;
pub(crate) mod model;
mod operator;
mod plan;
mod predict;
mod reconcile;
pub(crate) mod registry;
mod rollout;
mod router;
mod schema;
mod serve;
pub(crate) mod status;
mod train;
pub(crate) mod up;
pub(crate) mod validate;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve an environment: follow its branch, train what is missing, apply each commit to live traffic
    Up(up::UpArguments),
    /// Make a repository of one's own that `up` serves at once: from a CSV file, or with a dataset that Aurora brings
    Init(init::InitArguments),
    /// Say what is wrong with the manifests of a commit; exits 1 if something is
    Validate(validate::ValidateArguments),
    /// Say what a commit would change; exits 0 if nothing, 1 if something, 2 if that cannot be said
    Plan(plan::PlanArguments),
    /// Apply a commit to a data directory without serving it: train, publish, move aliases
    Reconcile(reconcile::ReconcileArguments),
    /// Make the Deployments, Services and routes of a namespace follow its MLDeployments
    Operator(operator::OperatorArguments),
    /// Let a track serve another version: a commit on a branch that changes the pin
    Pin(edit::pin::PinArguments),
    /// Let what was tried serve: a commit that pins the canary, or another environment's version, as stable
    Promote(edit::promote::PromoteArguments),
    /// Let the version before serve again: a commit that pins it and says which one may not come back
    Rollback(edit::rollback::RollbackArguments),
    /// Show how an environment stands; exits 1 if not all serves as Git declares
    Status(status::StatusArguments),
    /// Say what a version, or two of them, predict for the rows of a CSV file
    Predict(predict::PredictArguments),
    /// Show what happened: what changed, who did it, by which commit
    Events(events::EventsArguments),
    /// Watch or stop the rollout of one model
    Rollout(rollout::RolloutArguments),
    /// Look into the registry, check it, clean it up
    Model(model::ModelArguments),
    /// Split a job's rows, for whoever makes its model elsewhere
    Dataset(dataset::DatasetCommandArguments),
    /// Make a registry
    Registry(registry::RegistryArguments),
    /// Run one training job
    Train(train::TrainArguments),
    /// Serve what a data directory says, without following a branch
    Serve(serve::ServeArguments),
    /// Split a model's requests between its tracks in a cluster, exactly as its MLDeployment's route says
    Router(router::RouterArguments),
    /// Answer the control plane's requests from a data directory
    ControlPlane(control_plane::ControlPlaneCommandArguments),
    /// Ask a listener of this machine whether it is well; exits 1 if it is not, or does not answer
    Health(health::HealthArguments),
    /// Say whether an environment could be run as the flags say, and what to do where it could not; exits 1 if it could not
    Doctor(doctor::DoctorArguments),
    /// Make keys for the APIs
    Key(key::KeyArguments),
    /// Print the custom resource definitions as YAML
    Crds(crds::CrdsArguments),
    /// Print the JSON schema of what commands write with --output json
    Schema(schema::SchemaArguments),
    /// Print what lets a shell complete the command line
    Completions(completions::CompletionsArguments),
    /// Write the pages for man, or print the whole reference
    Man(man::ManArguments),
    /// Say which aurora this is
    Version(version::VersionArguments),
}

impl Command {
    /// Says how it ends that the machine lacks what any command needs.
    pub(crate) fn cannot_start(&self, failure: Failure) -> Result<ExitCode, Failure> {
        match self {
            Self::Train(arguments) => train::cannot_start(arguments, failure),
            _ => Err(failure),
        }
    }

    /// Says whether it ends in order when it is asked to; any other is ended by the signal itself.
    pub(crate) fn catches_signals(&self) -> bool {
        match self {
            Self::Up(_)
            | Self::Reconcile(_)
            | Self::Operator(_)
            | Self::Serve(_)
            | Self::Router(_)
            | Self::ControlPlane(_) => true,
            Self::Validate(_)
            | Self::Init(_)
            | Self::Plan(_)
            | Self::Pin(_)
            | Self::Promote(_)
            | Self::Rollback(_)
            | Self::Status(_)
            | Self::Events(_)
            | Self::Predict(_)
            | Self::Doctor(_)
            | Self::Rollout(_)
            | Self::Model(_)
            | Self::Dataset(_)
            | Self::Registry(_)
            | Self::Train(_)
            | Self::Key(_)
            | Self::Crds(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version(_)
            | Self::Health(_) => false,
        }
    }

    /// Does it and returns the exit code.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Up(arguments) => up::run(&arguments),
            Self::Init(arguments) => init::run(&arguments),
            Self::Validate(arguments) => validate::run(&arguments),
            Self::Plan(arguments) => plan::run(&arguments),
            Self::Pin(arguments) => edit::pin::run(&arguments),
            Self::Promote(arguments) => edit::promote::run(&arguments),
            Self::Rollback(arguments) => edit::rollback::run(&arguments),
            Self::Reconcile(arguments) => reconcile::run(&arguments),
            Self::Operator(arguments) => operator::run(arguments),
            Self::Status(arguments) => status::run(&arguments),
            Self::Events(arguments) => events::run(&arguments),
            Self::Predict(arguments) => predict::run(&arguments),
            Self::Rollout(arguments) => rollout::run(&arguments),
            Self::Model(arguments) => model::run(arguments),
            Self::Dataset(arguments) => dataset::run(&arguments),
            Self::Registry(arguments) => registry::run(arguments),
            Self::Train(arguments) => train::run(&arguments),
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Router(arguments) => router::run(arguments),
            Self::ControlPlane(arguments) => control_plane::run(&arguments),
            Self::Health(arguments) => health::run(&arguments),
            Self::Doctor(arguments) => doctor::run(&arguments),
            Self::Key(arguments) => key::run(&arguments),
            Self::Crds(arguments) => crds::run(&arguments),
            Self::Schema(arguments) => schema::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Man(arguments) => man::run(&arguments),
            Self::Version(arguments) => version::run(&arguments),
        }
    }
}
