//! Commit statuses: https://docs.github.com/rest/commits/statuses

use planner::names::Revision;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web::Method;

use super::GitHub;
use crate::error::ForgeError;
use crate::standing::CommitState;

/// What a status says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Status {
    context: String,
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

impl GitHub {
    /// Lets a commit's status say so, unless it does already; a link is shown with it.
    ///
    /// # Errors
    ///
    /// It could not be read or written.
    pub async fn set_status(
        &self,
        context: &str,
        told: &CommitState,
        link: Option<&str>,
    ) -> Result<(), ForgeError> {
        let wanted = Status {
            context: context.to_owned(),
            state: told.state.word().to_owned(),
            description: Some(told.description.clone()),
            target_url: link.map(str::to_owned),
        };
        if self.status(&told.revision, context).await?.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let below = format!("statuses/{}", told.revision);
        let body = json!(wanted);
        let written = self.write("set a commit status", Method::POST, &below, &body);
        written.await.map(|_status: Value| ())
    }

    /// Returns the newest status of a context. The list begins with the newest.
    async fn status(&self, revision: &Revision, context: &str) -> Result<Option<Status>, ForgeError> {
        let all: Vec<Status> = self
            .list(
                "tell a commit's statuses",
                &format!("commits/{revision}/statuses"),
            )
            .await?;
        Ok(all.into_iter().find(|status| status.context == context))
    }
}
