//! What commands answer with `--output json`, as types, and the JSON schema of all of it: `docs/output.schema.json`.
//!
//! A command writes one document; one that goes on writes one a line; one that fails writes an [`ErrorAnswer`] in its place. Members are
//! only ever added: whoever reads leaves out what he does not know.

mod shapes;

use std::collections::BTreeMap;

use crds::MLEnvironmentStatus;
use crds::view::Overview;
use planner::Timestamp;
use planner::finding::Finding;
use planner::names::{Digest, EnvironmentName, ModelName, ObjectName, Revision, Track, Version};
use registry::metadata::{Attestation, VersionMetadata};
use registry::run::Ending;
use registry::{Description, Owner};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::commands::doctor::Diagnosis;
use crate::journal::Record;

/// Why a command did not do what it was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorAnswer<'a> {
    /// The error.
    pub(crate) error: ErrorMembers<'a>,
}

/// What is said of an error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorMembers<'a> {
    /// What went wrong, a fragment.
    pub(crate) message: &'a str,
    /// What there is to say besides, a line each.
    pub(crate) details: Vec<String>,
    /// What to do about it, where that is known.
    pub(crate) hint: Option<&'a str>,
    /// The exit code.
    pub(crate) code: u8,
}

/// `init`: what was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InitAnswer<'a> {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The version that its job makes.
    #[schemars(with = "String")]
    pub(crate) version: &'a Version,
    /// The files that were written.
    pub(crate) files: &'a [String],
    /// Those that were there, and stay as they are.
    pub(crate) kept: &'a [String],
    /// The first commit; `null` in a repository that was there.
    #[schemars(with = "Option<String>")]
    pub(crate) commit: Option<&'a Revision>,
}

/// `validate`: what was found in an environment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ValidateAnswer<'a> {
    /// The environment.
    #[schemars(with = "String")]
    pub(crate) environment: &'a EnvironmentName,
    /// The commit; `null` for the work tree.
    #[schemars(with = "Option<String>")]
    pub(crate) revision: Option<&'a Revision>,
    /// Whether the files were read as they lie in the work tree.
    pub(crate) worktree: bool,
    /// Why nothing is changed, where the environment is suspended.
    pub(crate) suspended: Option<&'a str>,
    /// Whether pins were checked against a registry.
    pub(crate) registry_checked: bool,
    /// How many files below `environments/` were not read, since they are not committed.
    pub(crate) uncommitted_files: usize,
    /// How many jobs name data of which nobody can say here whether it may be read.
    pub(crate) datasets_unchecked: usize,
    /// What is wrong.
    #[schemars(with = "Vec<shapes::FindingShape>")]
    pub(crate) findings: &'a [Finding],
}

/// `pin`, `promote`, `rollback`: what was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EditAnswer<'a> {
    /// The environment.
    #[schemars(with = "String")]
    pub(crate) environment: &'a EnvironmentName,
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The manifest, from the repository's root.
    pub(crate) file: &'a str,
    /// Whether it said something else before.
    pub(crate) changed: bool,
    /// The change, as a unified difference.
    pub(crate) difference: Option<&'a str>,
    /// The branch that was committed to.
    pub(crate) branch: Option<&'a str>,
    /// The commit.
    #[schemars(with = "Option<String>")]
    pub(crate) commit: Option<&'a Revision>,
    /// The page of the pull request.
    pub(crate) pull_request: Option<&'a str>,
}

/// `reconcile --once`: what it came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReconcileAnswer<'a> {
    /// Whether everything is as Git says.
    pub(crate) converged: bool,
    /// Whether nothing was left to do in time.
    pub(crate) settled: bool,
    /// The commit.
    #[schemars(with = "Option<String>")]
    pub(crate) revision: Option<&'a Revision>,
    /// Why nothing is changed, where the environment is suspended.
    pub(crate) suspended: Option<&'a str>,
    /// What stands in the way.
    #[schemars(with = "Vec<shapes::FindingShape>")]
    pub(crate) findings: &'a [Finding],
    /// What still waits, one sentence each.
    pub(crate) waiting: &'a [String],
}

/// `reconcile --now`: the report after the pass.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReconcileNowAnswer<'a> {
    /// The environment.
    #[schemars(with = "String")]
    pub(crate) environment: &'a EnvironmentName,
    /// Its status.
    pub(crate) status: &'a MLEnvironmentStatus,
}

/// `operator release`: what was let go.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReleaseAnswer<'a> {
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// How many MLDeployments.
    pub(crate) released: usize,
}

/// `events`: what happened, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventsAnswer<'a> {
    /// What is shown.
    pub(crate) events: &'a [Record],
    /// How many earlier ones are not.
    pub(crate) earlier: usize,
}

/// `model gc`: what was removed, or would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CollectAnswer {
    /// Whether nothing was removed.
    pub(crate) dry_run: bool,
    /// Each.
    #[schemars(with = "Vec<shapes::CollectedShape>")]
    pub(crate) collected: Vec<Value>,
}

/// `model push`: the version that was published.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PushAnswer<'a> {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: &'a Version,
    /// The digest of its artifact: another one than the file's where something was told that the graph does not say.
    #[schemars(with = "String")]
    pub(crate) digest: &'a Digest,
    /// Its `metadata.json`.
    pub(crate) metadata: &'a VersionMetadata,
}

/// `dataset split`: the rows that a model may be fitted to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SplitAnswer<'a> {
    /// The job.
    #[schemars(with = "String")]
    pub(crate) job: &'a ObjectName,
    /// The file that was written.
    pub(crate) file: &'a str,
    /// Its SHA-256, which a model that was fitted to it names.
    #[schemars(with = "String")]
    pub(crate) digest: &'a Digest,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// How many are held out.
    pub(crate) held_out: usize,
}

/// `model describe`: what is said of a version now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DescribeAnswer<'a> {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: &'a Version,
    /// What is said of it.
    pub(crate) description: &'a Description,
}

/// `model sign`: who signed which version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SignAnswer<'a> {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: &'a Version,
    /// The digest of its artifact.
    #[schemars(with = "String")]
    pub(crate) digest: &'a Digest,
    /// What a signature calls the key: the SHA-256 of the public key in PEM, in hex.
    pub(crate) key: &'a str,
}

/// `model show`: all that is known of a version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShowAnswer<'a> {
    /// The tracks whose alias names it.
    #[schemars(with = "Vec<String>")]
    pub(crate) aliases: &'a [Track],
    /// Where its files lie.
    pub(crate) dir: &'a str,
    /// Its `metadata.json`.
    pub(crate) metadata: &'a VersionMetadata,
    /// What people say of it.
    pub(crate) description: &'a Description,
    /// The keys that signatures of it say to be by; whether they are, `model verify --keys` tells.
    pub(crate) signatures: Vec<String>,
    /// A command line that asks it for a prediction; `null` where no alias names it.
    pub(crate) curl: Option<&'a str>,
}

/// `predict`: what versions say of one row.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PredictAnswer {
    /// Its line in the file.
    pub(crate) line: u64,
    /// The columns that were to be kept, as the file has them.
    pub(crate) kept: BTreeMap<String, String>,
    /// What each version says.
    pub(crate) said: Vec<SaidAnswer>,
}

/// What one version says of a row.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SaidAnswer {
    /// What it was asked by.
    pub(crate) reference: String,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: Version,
    /// A number, a list of them, or a class; `null` for a number that JSON cannot hold.
    pub(crate) prediction: Value,
    /// By class; `null` where they were not asked for.
    pub(crate) probabilities: Option<BTreeMap<String, f64>>,
}

/// `model compare`: how two versions differ.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CompareAnswer {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: ModelName,
    /// Both, the one that is compared with first.
    pub(crate) versions: [ComparedAnswer; 2],
    /// What the second one's signature means to clients of the first: `same`, `additive` or `breaking`.
    pub(crate) signature: &'static str,
    /// How the signatures differ, a sentence each.
    pub(crate) signature_differences: Vec<String>,
    /// What both reached on the same holdout when they were published, by metric; `null` where that is not known.
    pub(crate) recorded: Option<BTreeMap<String, [f64; 2]>>,
    /// Why that is not known.
    pub(crate) recorded_unknown: Option<String>,
    /// What they say of the rows of a file; `null` where none was given.
    pub(crate) predictions: Option<DifferenceAnswer>,
}

/// One of two versions.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ComparedAnswer {
    /// What it was asked by.
    pub(crate) reference: String,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: Version,
    /// Its digest.
    #[schemars(with = "String")]
    pub(crate) digest: Digest,
    /// The size of its artifact.
    pub(crate) bytes: u64,
    /// Whether a model that was made elsewhere says not to have seen the rows that it was measured on; `null` of one that was
    /// fitted here, or not measured.
    pub(crate) holdout: Option<Attestation>,
    /// What one row takes here, in microseconds: the median of many.
    pub(crate) row_microseconds: f64,
}

/// How what two versions say of the same rows differs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DifferenceAnswer {
    /// The file.
    pub(crate) file: String,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// By how much predictions differ, without their sign.
    pub(crate) mean: f64,
    /// The median.
    pub(crate) p50: f64,
    /// What nine tenths are at most.
    pub(crate) p90: f64,
    /// What ninety-nine in a hundred are at most.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
    /// The mean of the second one's predictions less the first one's; `null` of classes.
    pub(crate) shift: Option<f64>,
    /// How many rows get another class; `null` of numbers.
    pub(crate) changed: Option<u64>,
    /// The rows that differ most.
    pub(crate) worst: Vec<WorstAnswer>,
    /// Parts of the rows, by a column.
    pub(crate) parts: Vec<PartAnswer>,
    /// How many rows the file answers.
    pub(crate) answered: u64,
    /// What both reach on those, by metric; `null` where the file has no answers.
    pub(crate) reached: Option<BTreeMap<String, [f64; 2]>>,
}

/// A row of which two versions say different things.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorstAnswer {
    /// Its line in the file.
    pub(crate) line: u64,
    /// What each says: a number, or a class.
    pub(crate) said: [Value; 2],
    /// By how much that differs.
    pub(crate) difference: f64,
}

/// A part of the rows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PartAnswer {
    /// A text of the column, or a range of its numbers.
    pub(crate) name: String,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// The mean of the differences, without their sign.
    pub(crate) mean: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// `registry init`: whose store is there now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RegistryAnswer<'a> {
    /// The folder that holds `aurora/`.
    pub(crate) registry: &'a str,
    /// Its owner.
    #[schemars(with = "shapes::OwnerShape")]
    pub(crate) owner: &'a Owner,
    /// Whether it was made now.
    pub(crate) created: bool,
}

/// `train JOB`: how the run ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TrainAnswer<'a> {
    /// The model.
    #[schemars(with = "String")]
    pub(crate) model: &'a ModelName,
    /// The version.
    #[schemars(with = "String")]
    pub(crate) version: &'a Version,
    /// How it ended.
    #[schemars(with = "shapes::EndingShape")]
    pub(crate) ending: &'a Ending,
}

/// `health`: what the listener says.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HealthAnswer<'a> {
    /// Whether it is well.
    pub(crate) healthy: bool,
    /// Where it was asked.
    #[schemars(with = "String")]
    pub(crate) address: std::net::SocketAddr,
    /// The path that was asked.
    pub(crate) path: &'a str,
    /// What it said, or why it did not answer.
    pub(crate) said: &'a str,
}

/// `key new`: a key, shown once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyAnswer<'a> {
    /// Whose it is.
    pub(crate) name: &'a str,
    /// What clients send.
    pub(crate) key: &'a str,
    /// The line of the keys file.
    pub(crate) line: &'a str,
}

/// `version`: which aurora this is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionAnswer {
    /// Its version.
    pub(crate) version: &'static str,
    /// The commit that it was built from, where `AURORA_COMMIT` said so at the build.
    pub(crate) commit: Option<&'static str>,
    /// The processor and the system that it was built for.
    pub(crate) target: String,
    /// The time zones that schedules are read by here.
    pub(crate) time_zones: String,
}

/// Something that a command tells while it goes on.
#[derive(Debug, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
#[expect(dead_code, reason = "each event has members of its own besides")]
struct EventLine {
    /// What happened, as a stable word: `listening`, `ready`, `applied`, `error`, …
    event: String,
    /// When, UTC.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    at: Option<Timestamp>,
}

/// A command that answers, and with what.
type Answer = (&'static str, fn(&mut SchemaGenerator) -> Vec<Schema>);

macro_rules! answers {
    ($($command:literal: $($type:ty),+;)*) => {
        [$(($command, |generator: &mut SchemaGenerator| vec![$(generator.subschema_for::<$type>()),+])),*]
    };
}

/// What each command answers.
const ANSWERS: [Answer; 35] = answers! {
    "up": EventLine;
    "init": InitAnswer<'_>;
    "validate": Vec<ValidateAnswer<'_>>;
    "plan": shapes::PlanShape, shapes::IntentsShape;
    "reconcile": ReconcileAnswer<'_>, ReconcileNowAnswer<'_>, EventLine;
    "operator": EventLine;
    "operator release": ReleaseAnswer<'_>;
    "pin": EditAnswer<'_>;
    "promote": EditAnswer<'_>;
    "rollback": EditAnswer<'_>;
    "status": shapes::StatusShape, shapes::ModelStatusShape, Overview;
    "predict": PredictAnswer;
    "events": EventsAnswer<'_>, Record;
    "rollout status": shapes::RolloutShape, std::collections::BTreeMap<String, shapes::RolloutShape>;
    "rollout abort": shapes::RolloutShape;
    "rollout pause": shapes::RolloutShape;
    "rollout resume": shapes::RolloutShape;
    "model list": Vec<shapes::ListedShape>;
    "model show": ShowAnswer<'_>;
    "model compare": CompareAnswer;
    "model describe": DescribeAnswer<'_>;
    "model sign": SignAnswer<'_>;
    "model push": PushAnswer<'_>;
    "model verify": Vec<shapes::VerifiedShape>;
    "model gc": CollectAnswer;
    "dataset split": SplitAnswer<'_>;
    "registry init": RegistryAnswer<'_>;
    "train": TrainAnswer<'_>;
    "serve": EventLine;
    "router": EventLine;
    "control-plane": EventLine;
    "doctor": Diagnosis;
    "health": HealthAnswer<'_>;
    "key new": KeyAnswer<'_>;
    "version": VersionAnswer;
};

/// Returns the schema of all that commands answer: `$defs` has a member for each, named after it with `-` for spaces.
pub(crate) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let error = generator.subschema_for::<ErrorAnswer<'_>>();
    let mut answers = Map::new();
    for (command, schemas) in ANSWERS {
        let mut any: Vec<Value> = schemas(&mut generator)
            .into_iter()
            .map(Schema::to_value)
            .collect();
        any.push(error.clone().to_value());
        answers.insert(
            format!("answer-of-{}", command.replace(' ', "-")),
            json!({ "description": format!("What `aurora {command} --output json` writes."), "anyOf": any }),
        );
    }
    let all: Vec<Value> = answers
        .keys()
        .map(|name| json!({ "$ref": format!("#/$defs/{name}") }))
        .collect();
    let mut definitions = generator.take_definitions(true);
    definitions.extend(answers);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What aurora writes with --output json",
        "description": "One document; for a command that goes on, one a line. `$defs/answer-of-COMMAND` is what one command writes.",
        "anyOf": all,
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::*;
    use crate::arguments::Arguments;

    /// Returns each command that takes `--output`, as it is typed.
    fn answering(command: &Command) -> Vec<String> {
        let mut all = Vec::new();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            if subcommand
                .get_arguments()
                .any(|argument| argument.get_long() == Some("output"))
            {
                all.push(name.to_owned());
            }
            all.extend(
                answering(subcommand)
                    .into_iter()
                    .map(|inner| format!("{name} {inner}")),
            );
        }
        all
    }

    #[test]
    fn every_command_that_takes_a_form_of_output_has_a_schema() {
        let mut taking = answering(&Arguments::command());
        taking.sort();
        let mut known: Vec<_> = ANSWERS.iter().map(|(command, _)| (*command).to_owned()).collect();
        known.sort();
        assert_eq!(known, taking);
    }
}
