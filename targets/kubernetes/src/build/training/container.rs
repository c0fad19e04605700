//! A run that somebody else's program makes the model of: three containers, one after the other.
//!
//! ```text
//! rows    (Aurora)   derives the rows that a fit may see     registry, data ──> /scratch/rows.csv
//! fit     (theirs)   fits                                    /scratch/rows.csv ──> /scratch/output/model.onnx
//! aurora  (Aurora)   checks, evaluates, gates, publishes     /scratch/output  ──> registry
//! ```
//!
//! Theirs sees the rows and its output, and nothing else: neither the holdout, nor the registry.

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PodSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use planner::pod::Pod;
use planner::training;
use registry::run::RunRequest;

use crate::build::pod;

/// The container of somebody else's program.
pub(crate) const FIT: &str = "fit";
/// The container that derives the rows.
pub(super) const ROWS: &str = "rows";
/// The folder that is handed on.
const SCRATCH: &str = "/scratch";
/// What is handed on takes at most so much.
const SCRATCH_LIMIT: &str = "8Gi";

/// Adds the containers of a run to its Pod. `aurora` makes one that runs Aurora with these arguments.
pub(super) fn add(
    spec: &mut PodSpec,
    container: &training::Container,
    request: &RunRequest,
    given: &Pod,
    aurora: &dyn Fn(&[&str]) -> Container,
) {
    let rows = Container {
        name: ROWS.to_owned(),
        // What is asked for is for the fit; a Pod asks for the most that one of its steps does.
        resources: Some(ResourceRequirements::default()),
        ..with_scratch(aurora(&["train", "--prepare=/scratch"]))
    };
    let publish = with_scratch(aurora(&["train", "--publish=/scratch/output"]));
    spec.init_containers = Some(vec![rows, fit(container, request, given)]);
    spec.containers = vec![publish];
    let volumes = spec.volumes.get_or_insert_default();
    volumes.push(empty("scratch", SCRATCH_LIMIT));
    volumes.push(empty("tmp", "1Gi"));
}

fn fit(container: &training::Container, request: &RunRequest, given: &Pod) -> Container {
    let training = &request.training;
    let settings = serde_json::to_string(&training.hyperparameters)
        .expect("invariant: settings have text keys and cannot fail");
    let own = [
        ("AURORA_DATASET", format!("{SCRATCH}/rows.csv")),
        ("AURORA_HYPERPARAMETERS", settings),
        ("AURORA_OUTPUT", format!("{SCRATCH}/output")),
        ("AURORA_SEED", training.seed.to_string()),
        ("HOME", "/tmp".to_owned()),
    ];
    let some = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    with_scratch(Container {
        name: FIT.to_owned(),
        image: Some(container.image.clone()),
        command: some(&container.command),
        args: some(&container.args),
        env: pod::env(given, own),
        resources: Some(pod::resources(given)),
        security_context: Some(pod::confined()),
        // Its last lines are all that there is to tell of why it failed.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![VolumeMount {
            name: "tmp".to_owned(),
            mount_path: "/tmp".to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    })
}

fn with_scratch(mut container: Container) -> Container {
    container.volume_mounts.get_or_insert_default().push(VolumeMount {
        name: "scratch".to_owned(),
        mount_path: SCRATCH.to_owned(),
        ..VolumeMount::default()
    });
    container
}

fn empty(name: &str, limit: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(limit.to_owned())),
            medium: None,
        }),
        ..Volume::default()
    }
}
