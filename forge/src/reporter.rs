//! Keeps what a forge shows of an environment as the newest report says. Nobody waits for it.

use std::fmt;
use std::sync::Arc;

use planner::names::EnvironmentName;
use tokio::sync::watch;

use crate::error::ForgeError;
use crate::github::GitHub;
use crate::standing::{CommitState, State};

/// Counts what was told: `ok` or `failed`.
pub type Told = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Tells a forge.
pub struct Reporter {
    github: GitHub,
    environment: EnvironmentName,
    link: Option<String>,
    told: Told,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Tells `github` of `environment`; a link leads to where more is told.
    pub fn new(github: GitHub, environment: EnvironmentName, link: Option<String>, told: Told) -> Self {
        Self {
            github,
            environment,
            link,
            told,
        }
    }

    /// Tells the newest state whenever there is one, until nobody makes states any more. What fails is tried again, by
    /// then with the newest.
    pub async fn run(self, mut states: watch::Receiver<Option<CommitState>>) {
        let mut told: Option<CommitState> = None;
        let mut failures = 0;
        loop {
            let wanted = states.borrow_and_update().clone();
            let is_told = |wanted: &CommitState| told.as_ref().is_some_and(|told| wanted.is_told_by(told));
            let Some(wanted) = wanted.filter(|wanted| !is_told(wanted)) else {
                if states.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.tell(&wanted, told.as_ref()).await {
                Ok(()) => {
                    (self.told)("ok");
                    if failures > 0 {
                        tracing::info!(repository = %self.github.repository(), "the forge takes commit statuses again");
                    }
                    failures = 0;
                    told = Some(wanted);
                }
                Err(error) => {
                    (self.told)("failed");
                    // Once: while it lasts, the counter tells.
                    if failures == 0 {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, repository = %self.github.repository(), "a forge is not told how a commit stands; it is tried again");
                    }
                    let rest = error.rest(failures);
                    failures += 1;
                    tokio::select! {
                        () = tokio::time::sleep(rest) => {}
                        () = closed(&states) => return,
                    }
                }
            }
        }
    }

    async fn tell(&self, wanted: &CommitState, before: Option<&CommitState>) -> Result<(), ForgeError> {
        let context = format!("aurora/{}", self.environment);
        let link = self.link.as_deref();
        if let Some(before) =
            before.filter(|before| before.revision != wanted.revision && before.state == State::Pending)
        {
            self.github
                .set_status(&context, &before.superseded(&wanted.revision), link)
                .await?;
        }
        self.github.set_status(&context, wanted, link).await?;
        if wanted.state == State::Success {
            self.github
                .deployed(&self.environment, &wanted.revision, link)
                .await?;
        }
        Ok(())
    }
}

/// Ends when nobody makes states any more.
async fn closed(states: &watch::Receiver<Option<CommitState>>) {
    let mut states = states.clone();
    while states.changed().await.is_ok() {}
}
