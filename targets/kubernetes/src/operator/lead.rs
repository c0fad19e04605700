//! One of several replicas of the operator: it waits until it leads, works while it does, and ends when it does not.

use std::sync::Arc;

use kube::{Client, Config};
use planner::Timestamp;

use super::Scope;
use super::run::{Health, run};
use crate::leadership::{Election, Loss, Terms};

/// The Lease that is contended for.
const LEASE: &str = "aurora-operator";

/// What an operator runs with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is operated, and with what.
    pub scope: Scope,
    /// Who this replica is: no other process has ever had it.
    pub identity: String,
    /// How the Lease is held.
    pub terms: Terms,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Why an operator ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// There is no client of the cluster.
    #[error("cannot make a client of the cluster: {0}")]
    Client(#[from] kube::Error),
    /// It does not lead any more.
    #[error("does not lead any more ({0:?}): another replica goes on")]
    Lost(Loss),
}

/// Leads, as soon as it can, until `stop` comes.
///
/// # Errors
///
/// There is no client, or the lead was lost: the process has to end.
pub async fn lead(
    config: Config,
    options: Options,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let Options {
        scope,
        identity,
        terms,
        clock,
    } = options;
    let unfenced = Client::try_from(config.clone())?;
    let mut election = Election::new(unfenced, &scope.installation.namespace, LEASE, &identity, terms);
    let client = election.fence().client(config)?;
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        () = election.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    tracing::info!(identity, "leads");
    let mut lost = None;
    let until = async {
        tokio::select! {
            why = election.keep() => lost = Some(why),
            () = &mut stop => {}
        }
    };
    run(client, scope, clock, health, until).await;
    if let Some(why) = lost {
        return Err(Ended::Lost(why));
    }
    if let Err(error) = election.release().await {
        tracing::debug!(%error, "could not give the lease up");
    }
    Ok(())
}
