//! Asks a reconciler in a cluster for a pass, and waits for its answer.

use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::config::Config;
use planner::names::EnvironmentName;
use serde_json::json;

use crate::objects::REQUESTED_AT;

/// The field manager of what a person asks for on the command line.
const MANAGER: &str = "aurora-cli";
/// How often it is looked whether the answer is there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a pass was not asked for, or not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The cluster cannot be asked, or refuses.
    #[error("cannot ask the API server")]
    Ask(#[source] Box<kube::Error>),
    /// There is no such environment.
    #[error("namespace {namespace} has no MLEnvironment {environment}: nothing was applied there yet")]
    NoEnvironment {
        /// Where it was looked for.
        namespace: String,
        /// Its name.
        environment: EnvironmentName,
    },
    /// No reconciler took it up.
    #[error("no reconciler answered within {} s: does one run, and can it read the branch?", .0.as_secs())]
    NoAnswer(Duration),
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        Self::Ask(Box::new(error))
    }
}

/// Asks for a pass by `aurora.io/requestedAt`, and returns the environment once one that began later was run.
///
/// # Errors
///
/// It cannot be asked for, or is not answered within the time-out.
pub async fn request(
    config: Config,
    namespace: &str,
    environment: &EnvironmentName,
    at: planner::Timestamp,
    timeout: Duration,
) -> Result<crds::MLEnvironment, RequestError> {
    let api: Api<crds::MLEnvironment> = Api::namespaced(Client::try_from(config)?, namespace);
    let name = environment.as_str();
    if api.get_opt(name).await?.is_none() {
        return Err(RequestError::NoEnvironment {
            namespace: namespace.to_owned(),
            environment: environment.clone(),
        });
    }
    let at = at.to_rfc3339();
    let note = json!({ "metadata": { "annotations": { REQUESTED_AT: at } } });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    drop(api.patch_metadata(name, &params, &Patch::Merge(&note)).await?);
    let began = Instant::now();
    while began.elapsed() < timeout {
        let found = api.get(name).await?;
        let answered = found
            .status
            .as_ref()
            .and_then(|status| status.requested_at.as_ref());
        if answered == Some(&at) {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(RequestError::NoAnswer(timeout))
}
