//! What a model serves: pins, the declared weight, and their resolved form; and how a cluster is to run it.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::names::{Digest, ModelName, Version, Weight};
use crate::pod::Pod;
use crate::route::Route;

/// How many replicas a stable track has in a cluster where nothing is said.
pub const STABLE_REPLICAS: u32 = 3;

/// How many replicas a canary track has at least in a cluster where nothing is said.
pub const CANARY_REPLICAS: u32 = 1;

/// What a manifest says that a track serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The version.
    pub version: Version,
    /// The artifact's digest, where the manifest gives it.
    pub digest: Option<Digest>,
}

/// A pin with the digest that it stands for: byte for byte what serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResolvedPin {
    /// The version.
    pub version: Version,
    /// The digest of the version's artifact.
    pub digest: Digest,
}

/// The canary of a manifest: its pin and Git's ceiling for its traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary<P> {
    /// What it serves.
    pub pin: P,
    /// The declared weight.
    pub weight: Weight,
    /// How many replicas it has at least in a cluster, 1 to 1000: more where its share of the traffic needs more. A slot
    /// in one process is one, whatever this says.
    pub replicas: u32,
}

/// The spec of an MLDeployment, `P` being [`Pin`] in a manifest and [`ResolvedPin`] in an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment<P> {
    /// The registered model.
    pub model: ModelName,
    /// What stable serves.
    pub stable: P,
    /// How many replicas stable has in a cluster, 1 to 1000; with `autoscaling`, how many it begins with. A slot in one
    /// process is one, whatever this says.
    pub replicas: u32,
    /// What the canary serves, if there is one. Never the stable version.
    pub canary: Option<Canary<P>>,
    /// By what the number of stable's replicas in a cluster follows the load. Absent: it does not.
    pub autoscaling: Option<Autoscaling>,
    /// Settings of the pods in a cluster.
    pub pod: Option<Box<Pod>>,
    /// How requests reach the model in a cluster. Absent: by the default of [`Route`].
    pub route: Option<Box<Route>>,
    /// What versions may be evaluated by, beside Aurora's own engine.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    pub engine: Engine,
    /// While given, nothing is changed and what serves stays: the reason.
    pub suspend: Option<String>,
    /// The versions that may not be pinned until their line is lifted. None is pinned here.
    pub rejected: Vec<Version>,
    /// The versions that may break clients of the present stable.
    pub allow_breaking: Vec<Version>,
}

/// By what the number of replicas follows the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// There are never fewer, 1 to 1000.
    pub min_replicas: u32,
    /// There are never more; at least `min_replicas`, at most 1000.
    pub max_replicas: u32,
    /// The percent of the CPU time asked for that is aimed at, 1 to 1000.
    #[serde(rename = "targetCPUPercent")]
    pub target_cpu_percent: u16,
}

/// How a cluster is to run a model, whatever the model: all of an MLDeployment that one process has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation<'a> {
    replicas: u32,
    canary_replicas: u32,
    autoscaling: Option<Autoscaling>,
    pod: Option<&'a Pod>,
    route: Option<&'a Route>,
}

impl<P> Deployment<P> {
    /// Returns how a cluster is to run it.
    pub fn operation(&self) -> Operation<'_> {
        Operation {
            replicas: self.replicas,
            canary_replicas: self
                .canary
                .as_ref()
                .map_or(CANARY_REPLICAS, |canary| canary.replicas),
            autoscaling: self.autoscaling,
            pod: self.pod.as_deref(),
            route: self.route.as_deref(),
        }
    }
}

impl Operation<'_> {
    /// Returns it without what is said of the canary.
    #[must_use]
    pub fn without_canary(self) -> Self {
        Self {
            canary_replicas: CANARY_REPLICAS,
            ..self
        }
    }

    /// Says whether nothing is said of it.
    pub fn is_default(&self) -> bool {
        *self
            == Self {
                replicas: STABLE_REPLICAS,
                canary_replicas: CANARY_REPLICAS,
                autoscaling: None,
                pod: None,
                route: None,
            }
    }
}

/// An MLDeployment as Git declares it.
pub type DeclaredDeployment = Deployment<Pin>;

/// An MLDeployment as its object holds it: the resolved form of the file.
pub type ResolvedDeployment = Deployment<ResolvedPin>;
