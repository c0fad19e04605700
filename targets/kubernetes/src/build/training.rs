//! A training run: one Job, one Pod that trains, and what the Pod's exit code means to the Job.
//!
//! A Job is named by its MLTrainingJob, the version and the attempt, and is made once, never applied: its template cannot
//! change, and whether it is suspended is a queue's to say. What broke off is tried again by another Job, as the planner
//! decides; a Pod that was evicted is replaced by the same one, and counts as no attempt.

mod container;
mod import;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use planner::identity::run_hash;
use planner::names::{Digest, ObjectName, Version};
use planner::pod::Pod;
use planner::training::{Fit, Import, Training};
use registry::run::RunRequest;
use serde_json::{Value, json};

pub(crate) use self::container::FIT;
pub(crate) use self::import::FETCHES;
use super::intent::sealed;
use super::labels::{Component, VERSION, labels, map, metadata};
use super::{DatasetClaim, Installation, Owner, pod};

/// Where the registry is mounted.
pub const REGISTRY: &str = "/shared-models";
/// The container whose exit code counts.
pub const CONTAINER: &str = "aurora";
/// The annotation with the number of the attempt.
pub const ATTEMPT: &str = "aurora.io/attempt";
/// The annotation with the hash of the spec that a Job was made for: another spec's may bear the same name.
pub const SPEC: &str = "aurora.io/spec";
/// The exit codes that say that the inputs are at fault, and would be again.
pub(crate) const AT_FAULT: [i32; 2] = [2, 3];
/// The label of a Job that waits for quota, which is given by who removes its suspension.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// How long a Job stays once what came of it is known.
const KEPT_SECONDS: i32 = 3_600;
/// The longest name of a Job: its Pods carry it as a label.
const NAME_LENGTH_MAX: usize = 63;
/// The longest request that a variable holds: Linux takes 128 KiB for one, its name included.
const REQUEST_BYTES_MAX: usize = 128 * 1024 - 64;
/// How long a trainer may take to end; it ends at once, for a version appears whole or not at all.
const GRACE_SECONDS: i64 = 30;

/// A run that is to start.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where it runs.
    pub installation: &'a Installation,
    /// Its MLTrainingJob.
    pub owner: &'a Owner,
    /// What the trainer is asked, with paths as it sees them.
    pub request: &'a RunRequest,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

/// Why there can be no Job of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request has {bytes} bytes, and a process can be given {REQUEST_BYTES_MAX}: list fewer features, or the columns that are none by `exclude`"
)]
pub struct TooLarge {
    bytes: usize,
}

/// Returns the name of a run's Job.
pub fn name(job: &ObjectName, version: &Version, attempt: u32) -> String {
    let name = format!("{job}-{version}-{attempt}");
    if name.len() <= NAME_LENGTH_MAX {
        return name;
    }
    // Names are ASCII. What is cut off is told apart by the hash of the whole.
    let hash = Digest::of(name.as_bytes()).hex();
    let kept = NAME_LENGTH_MAX - 9;
    format!("{}-{}", name[..kept].trim_end_matches('-'), &hash[..8])
}

/// Returns the Job of a run, to be made as it is.
pub fn job(run: &Run<'_>) -> Result<Job, TooLarge> {
    let Run {
        installation,
        owner,
        request,
        attempt,
    } = *run;
    let training = &request.training;
    let given = pod::given(training.pod.as_deref());
    let mut own = labels(installation, owner, &request.model, Component::Training);
    let queue = given.labels.get(QUEUE);
    own.extend(queue.map(|queue| (QUEUE.to_owned(), queue.clone())));
    if training.fit.import().is_some_and(Import::is_from_elsewhere) {
        own.insert(FETCHES.to_owned(), "elsewhere".to_owned());
    }
    let annotations = map([
        (VERSION, &request.version.to_string()),
        (ATTEMPT, &attempt.to_string()),
        (SPEC, &run_hash(training, request.trust.as_ref()).to_string()),
    ]);
    let job_name = name(&owner.name, &request.version, attempt);
    let mut metadata = metadata(installation, owner, job_name, own.clone());
    metadata.annotations = Some(annotations.clone());
    let seconds = i64::try_from(training.active_deadline_seconds).unwrap_or(i64::MAX);
    Ok(sealed(Job {
        metadata,
        spec: Some(JobSpec {
            // Whether a Pod that broke off is tried again is not the Job's to decide.
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            completion_mode: Some("NonIndexed".to_owned()),
            active_deadline_seconds: Some(seconds),
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(failure_policy(&training.fit)),
            suspend: queue.is_some().then_some(true),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod::labels(&given, own)),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(run, &given)?),
            },
            ..JobSpec::default()
        }),
        status: None,
    }))
}

/// Returns the merge patch that lets a Job go after a while: once what came of it stands in a status.
pub fn expiring() -> Value {
    json!({ "spec": { "ttlSecondsAfterFinished": KEPT_SECONDS } })
}

/// What a Pod's end means to its Job. The first rule that fits counts, and an evicted process may end with any code.
fn failure_policy(fit: &Fit) -> PodFailurePolicy {
    let evicted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: Some("True".to_owned()),
        }]),
        on_exit_codes: None,
    };
    // What the codes of somebody else's program mean is not known.
    let of_aurora: &[&str] = match fit {
        Fit::Algorithm(_) | Fit::Command(_) | Fit::Import(_) => &[CONTAINER],
        Fit::Container(_) => &[container::ROWS, CONTAINER],
    };
    let at_fault = of_aurora.iter().map(|container| PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some((*container).to_owned()),
            operator: "In".to_owned(),
            values: AT_FAULT.to_vec(),
        }),
        on_pod_conditions: None,
    });
    PodFailurePolicy {
        rules: [evicted].into_iter().chain(at_fault).collect(),
    }
}

fn pod_spec(run: &Run<'_>, given: &Pod) -> Result<PodSpec, TooLarge> {
    let training = &run.request.training;
    let asked = asked(run.request)?;
    let datasets = claims(training, run.installation);
    let aurora = |args: &[&str]| aurora(run, given, &datasets, &asked, args);
    let mut spec = PodSpec {
        restart_policy: Some("Never".to_owned()),
        volumes: Some(volumes(run.installation, &datasets)),
        ..pod::bare(given, GRACE_SECONDS)
    };
    match &training.fit {
        Fit::Algorithm(_) | Fit::Command(_) => spec.containers = vec![aurora(&["train"])],
        Fit::Import(import) => {
            spec.containers = vec![aurora(&["train"])];
            import::add(&mut spec, import, run.installation);
        }
        Fit::Container(container) => container::add(&mut spec, container, run.request, given, &aurora),
    }
    Ok(spec)
}

/// Returns what the trainer is asked, as text.
fn asked(request: &RunRequest) -> Result<String, TooLarge> {
    let asked = serde_json::to_string(request).expect("invariant: a request has text keys and cannot fail");
    if asked.len() > REQUEST_BYTES_MAX {
        return Err(TooLarge { bytes: asked.len() });
    }
    Ok(asked)
}

/// Returns the claims that hold data of a job outside the registry.
fn claims<'a>(training: &Training, installation: &'a Installation) -> Vec<&'a DatasetClaim> {
    let is_in = |claim: &DatasetClaim| {
        training
            .outside()
            .any(|path| std::path::Path::new(path).starts_with(&claim.folder))
    };
    installation
        .dataset_claims
        .iter()
        .filter(|claim| is_in(claim))
        .collect()
}

fn volumes(installation: &Installation, datasets: &[&DatasetClaim]) -> Vec<Volume> {
    let volume = |name: String, claim: &str, read_only: bool| Volume {
        name,
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    };
    let registry = volume("registry".to_owned(), &installation.registry_claim, false);
    let datasets = datasets.iter().enumerate();
    let datasets = datasets.map(|(number, dataset)| volume(format!("data-{number}"), &dataset.claim, true));
    [registry].into_iter().chain(datasets).collect()
}

/// Returns a container that runs Aurora: it reads the registry and the data, and writes its own model's folder alone.
fn aurora(run: &Run<'_>, given: &Pod, datasets: &[&DatasetClaim], asked: &str, args: &[&str]) -> Container {
    let of_model = format!("aurora/{}", run.request.model);
    let registry = VolumeMount {
        name: "registry".to_owned(),
        mount_path: REGISTRY.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let model = VolumeMount {
        name: "registry".to_owned(),
        mount_path: format!("{REGISTRY}/{of_model}"),
        sub_path: Some(of_model),
        ..VolumeMount::default()
    };
    let data = datasets.iter().enumerate().map(|(number, dataset)| VolumeMount {
        name: format!("data-{number}"),
        mount_path: dataset.folder.clone(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    let own = [
        ("AURORA_OUTPUT", "json".to_owned()),
        ("AURORA_REQUEST", asked.to_owned()),
    ];
    Container {
        name: CONTAINER.to_owned(),
        image: Some(run.installation.image_of(run.request.training.engine).to_owned()),
        args: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
        env: pod::env(given, own),
        resources: Some(pod::resources(given)),
        security_context: Some(pod::confined()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some([registry, model].into_iter().chain(data).collect()),
        ..Container::default()
    }
}
