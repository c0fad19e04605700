//! Who of several replicas leads, by one Lease object.
//!
//! ```text
//! GET Lease ──> seen, and since when ──> decide (pure) ──> PUT with its resourceVersion ──> fence: writes may begin
//! ```
//!
//! Of two that write over the same Lease, the API server refuses one, since each names the `resourceVersion` that it has
//! read. A Lease has expired once it was not seen to change for its duration, by this process's own clock: what is written
//! in it was written by another's. A leader that is not renewed within [`Terms::renewed_within`] has lost, and so has one that
//! reads another holder; [`Election::keep`] then returns and the process has to end. Until it has, its [`Fence`] refuses
//! every write that would begin.

mod decision;
mod fence;
mod lease;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use decision::{Decision, Seen, decide, loss};

pub use decision::{Loss, Record, Terms};
pub use fence::{Fence, FenceLayer, Fenced, NotLeading};
pub(crate) use lease::wall_clock;

/// A moment, as time since the machine was started; it goes on while the machine sleeps.
pub type Moment = Duration;

/// Returns the moment that it is.
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// One replica that wants to lead.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Election {
    leases: Api<Lease>,
    /// The Lease that is contended for.
    name: String,
    /// Who this is: no other process has ever had it.
    identity: String,
    terms: Terms,
    seen: Option<Seen>,
    /// When the renewal began that was answered last, while this one leads.
    renewed_at: Option<Moment>,
    fence: Fence,
}

/// How one look at the Lease ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This replica leads.
    Leads,
    /// Another does, as far as is known.
    Follows {
        /// Who.
        holder: String,
    },
    /// Another wrote between the reading and the writing: who leads is seen by the next look.
    Overtaken,
}

impl Election {
    /// Returns a replica that has not looked yet. `client` is not fenced: it writes the Lease.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, terms: Terms) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            terms,
            seen: None,
            renewed_at: None,
            fence: Fence::closed(terms),
        }
    }

    /// Returns what lets writes of this replica begin while it leads.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Returns once this replica leads. What an API server does not answer is asked again.
    pub async fn acquire(&mut self) {
        loop {
            match self.step().await {
                Ok(Standing::Leads) => return,
                Ok(standing) => tracing::debug!(lease = self.name, ?standing, "does not lead"),
                Err(error) => tracing::warn!(lease = self.name, %error, "could not look who leads"),
            }
            sleep(self.terms.look_every).await;
        }
    }

    /// Renews until that is not possible any more, and says why. From then on the fence lets nothing through.
    pub async fn keep(&mut self) -> Loss {
        let lost = self.renew_until_lost().await;
        self.fence.close();
        lost
    }

    async fn renew_until_lost(&mut self) -> Loss {
        loop {
            if let Some(lost) = loss(
                self.renewed_at,
                self.seen.as_ref(),
                &self.identity,
                self.terms,
                now(),
            ) {
                return lost;
            }
            sleep(self.terms.look_every.min(self.remaining())).await;
            match timeout(self.remaining(), self.step()).await {
                Ok(Ok(Standing::Follows { holder })) => return Loss::Taken { holder },
                Ok(Ok(Standing::Leads | Standing::Overtaken)) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "could not renew"),
            }
        }
    }

    /// Returns how long the last renewal still counts.
    fn remaining(&self) -> Duration {
        let ends_at = self.renewed_at.unwrap_or_default() + self.terms.renewed_within;
        ends_at.saturating_sub(now())
    }

    /// Gives the Lease up, so that another need not wait for its end.
    ///
    /// # Errors
    ///
    /// The API server does not answer, or another leads.
    pub async fn release(mut self) -> Result<(), kube::Error> {
        self.fence.close();
        let found = self.leases.get_opt(&self.name).await?;
        match found {
            Some(found) if self.renewed_at.take().is_some() && Record::of(&found).holder == self.identity => {
                let released = lease::released(found);
                self.leases
                    .replace(&self.name, &PostParams::default(), &released)
                    .await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Looks at the Lease once and, where it is ours or may become it, writes it.
    ///
    /// # Errors
    ///
    /// The API server does not answer, or refuses for another reason than that somebody else has written.
    pub async fn step(&mut self) -> Result<Standing, kube::Error> {
        let found = self.leases.get_opt(&self.name).await?;
        let record = found.as_ref().map(Record::of);
        self.seen = Seen::after(self.seen.take(), record.clone(), now());
        let decision = decide(self.seen.as_ref(), &self.identity, self.terms, now());
        if decision == Decision::Wait {
            if self.renewed_at.take().is_some() {
                self.fence.close();
            }
            let holder = record.map(|record| record.holder).unwrap_or_default();
            return Ok(Standing::Follows { holder });
        }
        let began_at = now();
        let written = lease::written(found, &self.name, &self.identity, self.terms);
        let params = PostParams::default();
        let answer = match written.metadata.resource_version {
            Some(_) => self.leases.replace(&self.name, &params, &written).await,
            None => self.leases.create(&params, &written).await,
        };
        match answer {
            Ok(lease) => {
                self.seen = Seen::after(self.seen.take(), Some(Record::of(&lease)), now());
                self.renewed_at = Some(began_at);
                self.fence.renewed(began_at);
                Ok(Standing::Leads)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Standing::Overtaken),
            Err(error) => Err(error),
        }
    }
}
