//! The Lease object ↔ what decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use super::decision::{Record, Terms};

impl Record {
    /// Returns what a Lease says; what it does not say stands for nobody and nothing.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            renewed: spec
                .renew_time
                .map(|MicroTime(time)| time.to_string())
                .unwrap_or_default(),
            transitions: spec.lease_transitions.unwrap_or_default(),
            duration: Duration::from_secs(seconds.unwrap_or_default()),
        }
    }
}

/// Returns the Lease as `identity` writes it over what was found, or anew: with the `resourceVersion` that it was read with.
pub(super) fn written(found: Option<Lease>, name: &str, identity: &str, terms: Terms) -> Lease {
    let mut lease = found.unwrap_or_default();
    lease.metadata.name = Some(name.to_owned());
    let before = lease.spec.take().unwrap_or_default();
    let is_ours = before.holder_identity.as_deref() == Some(identity);
    let was_held = before.holder_identity.is_some();
    let transitions = before.lease_transitions.unwrap_or_default();
    let time = MicroTime(wall_clock());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(whole_seconds(terms.duration)),
        acquire_time: if is_ours {
            before.acquire_time
        } else {
            Some(time.clone())
        },
        lease_transitions: Some(if is_ours || !was_held {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        renew_time: Some(time),
        ..LeaseSpec::default()
    });
    lease
}

/// Returns the Lease as nobody's.
pub(super) fn released(mut lease: Lease) -> Lease {
    if let Some(spec) = &mut lease.spec {
        // An empty holder, not none: client-go's candidates look for that too.
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(wall_clock()));
    }
    lease
}

/// For people, and to tell one renewal from the next: nothing is reckoned with it.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// At least one: an API server takes no less.
fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1000))
        .unwrap_or(i32::MAX)
        .max(1)
}
