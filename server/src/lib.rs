//! Answers: inference, control plane, status.
//!
//! ```text
//! runtime     which model answers: two slots and a weight per model, swapped atomically
//! inference   Open Inference Protocol v2 and /predict over the runtime
//! router      the same where versions are served elsewhere: by which track, by which endpoint
//! control     /models…, /status…, /cluster/nodes, /storage/classes over the registry, a StatusSource, an Infrastructure
//! dashboard   the page that shows /status to people
//! http        connections: limits, time-outs, drain; the shape of answers and errors
//! webhook     who pushed asks for a fetch
//! fetch       the other end of the control plane: one version by its digest
//! keys        who may ask
//! signed      what of a version is signed, from one end of the control plane to the other
//! metrics     what is counted, under the names of docs/metrics.md
//! ```
//!
//! Serving reads no alias, no Git and no object: it is told what each slot holds, and answers.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod control;
mod dashboard;
pub mod fetch;
mod http;
pub mod inference;
pub mod keys;
pub mod metrics;
mod router;
pub mod runtime;
mod signed;
#[cfg(test)]
mod testing;
mod webhook;

pub use control::{ControlPlane, Infrastructure, Known, StatusSource, openapi, serve_control_plane};
pub use http::{Limits, NoOrigin, Origin, Origins, Sockets, Tls, TlsError, probe};
pub use inference::{Doors, Health, InferenceOptions, serve_inference};
pub use keys::{Access, Keys};
pub use metrics::{Metrics, Page};
pub use router::{Router, RouterOptions, serve_router};
pub use runtime::{Artifact, Awaited, Runtime};
pub use webhook::{Issued, Issuer, IssuerKeys, SecretsError, Webhook, WebhookSecrets, serve_webhook, sign};
