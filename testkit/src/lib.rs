//! A real Kubernetes API on loopback, for tests: etcd, kube-apiserver and kube-controller-manager.
//!
//! ```text
//! assets ──> certificates ──> control plane (one per test binary) ──> namespace (one per test) ──> clients
//!                                                                         ├─> kubelet: Pods as processes
//!                                                                         ├─> gateway: requests to Pods, by routes
//!                                                                         └─> proxy: what goes wrong on the way to the API
//! ```
//!
//! Beside it a stand-in for the few calls of GitHub's REST API that are made.
//!
//! It knows no other crate of this repository, and no product knows it. Without a [`Kubelet`] Jobs and Deployments get Pods
//! that stay Pending. Where the programs are missing, [`namespace`] says so and gives nothing; the
//! test returns. Set `REQUIRE_KUBERNETES` to fail there instead.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod assets;
pub mod audit;
mod background;
mod call;
mod certificates;
mod component;
mod control_plane;
mod gateway;
mod github;
mod install;
mod kubelet;
mod listener;
mod mirror;
mod namespace;
mod port;
mod proxy;
mod request;
mod supervisor;

pub use call::{Called, Caller};
pub use component::Component;
pub use control_plane::{ControlPlane, ControlPlaneError, PausedEtcd};
pub use gateway::{Gateway, gateway_api};
pub use github::{GitHub, Refusal};
pub use install::{condition, install};
pub use kubelet::{Containers, Ending, Image, Kubelet, Machine, evict, on_machine};
pub use namespace::{Namespace, assets, namespace};
pub use port::{free_address, free_port};
pub use proxy::{Fault, Proxy};
pub use request::{Answer, Applied, apply, send};

use std::io::Write as _;

/// Says something past the test harness, which would keep it to itself.
fn note(what: &str) {
    // A closed standard error is no reason to fail a test.
    drop(std::io::stderr().write_all(format!("{what}\n").as_bytes()));
}
