//! Deployment records: https://docs.github.com/rest/deployments

use planner::names::{EnvironmentName, Revision};
use serde::Deserialize;
use serde_json::{Value, json};
use web::Method;

use super::GitHub;
use crate::error::ForgeError;

/// What tells our records from those of others in the same environment.
const TASK: &str = "aurora";

#[derive(Debug, Deserialize)]
struct Deployment {
    id: u64,
    sha: String,
}

#[derive(Debug, Deserialize)]
struct DeploymentStatus {
    state: String,
}

impl GitHub {
    /// Lets the environment's newest record be one of this commit that succeeded, and the one before it inactive.
    ///
    /// # Errors
    ///
    /// It could not be read or written; asked again, it goes on from there.
    pub async fn deployed(
        &self,
        environment: &EnvironmentName,
        revision: &Revision,
        link: Option<&str>,
    ) -> Result<(), ForgeError> {
        let below = format!("deployments?environment={environment}&task={TASK}&per_page=2");
        // The list begins with the newest.
        let known: Vec<Deployment> = self.get("tell its deployments", &below).await?;
        let (newest, before) = match &known[..] {
            [newest, before, ..] if newest.sha == revision.as_str() => (Some(newest.id), Some(before.id)),
            [newest] if newest.sha == revision.as_str() => (Some(newest.id), None),
            [before, ..] => (None, Some(before.id)),
            [] => (None, None),
        };
        let id = match newest {
            Some(id) => id,
            None => self.create(environment, revision).await?,
        };
        self.set_state(id, "success", link).await?;
        // Of production's, GitHub lets none become inactive by itself.
        if let Some(before) = before {
            self.set_state(before, "inactive", None).await?;
        }
        Ok(())
    }

    async fn create(&self, environment: &EnvironmentName, revision: &Revision) -> Result<u64, ForgeError> {
        let body = json!({
            "ref": revision, "task": TASK, "environment": environment, "description": "applied by Aurora",
            "transient_environment": false,
            // It tells of what was done: nothing is merged for it, and nothing has to be green before.
            "auto_merge": false, "required_contexts": [],
        });
        let made: Deployment = self
            .write("record a deployment", Method::POST, "deployments", &body)
            .await?;
        Ok(made.id)
    }

    async fn set_state(&self, id: u64, state: &str, link: Option<&str>) -> Result<(), ForgeError> {
        let below = format!("deployments/{id}/statuses");
        let all: Vec<DeploymentStatus> = self
            .get("tell a deployment's state", &format!("{below}?per_page=1"))
            .await?;
        if all.first().is_some_and(|newest| newest.state == state) {
            return Ok(());
        }
        let mut body = json!({ "state": state, "auto_inactive": true });
        if let Some(link) = link {
            body["environment_url"] = json!(link);
        }
        let written = self.write("set a deployment's state", Method::POST, &below, &body);
        written.await.map(|_status: Value| ())
    }
}
