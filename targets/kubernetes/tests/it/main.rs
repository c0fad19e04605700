//! A real API server: replicas that contend for a Lease, the objects of an environment, a reconciler that keeps them, an
//! operator that follows them, and what is shown of a cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod at_rest;
mod by_hand;
mod cluster;
mod desired;
mod election;
mod faults;
mod golden;
mod installed;
mod objects;
mod operator;
mod outages;
mod planned;
mod reconciling;
mod removals;
#[expect(
    dead_code,
    reason = "shared with the reconciler's tests, which need more of it"
)]
#[path = "../../../../reconciler/tests/it/repository.rs"]
mod repository;
#[path = "../../../../reconciler/tests/it/requests/fixtures.rs"]
mod requests;
mod rights;
mod signed;
mod stopped;
mod trainings;
#[path = "../../../../reconciler/tests/it/versions.rs"]
mod versions;
mod whole;
