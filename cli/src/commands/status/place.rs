//! Where an environment's state stands: in a data directory, or in a namespace of a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kubernetes::cluster::{Look, LookError, Namespace};
use planner::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::look;
use crate::arguments::DataArguments;
use crate::failure::{Context as _, Failure};
use crate::journal::{self, Authors};
use crate::life::{Life, age_of};
use crds::view::View;

/// How often a namespace is looked at.
const CLUSTER_POLL: Duration = Duration::from_secs(1);
/// How often a data directory is looked at.
const DATA_POLL: Duration = Duration::from_millis(200);

/// Which environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArguments {
    /// The namespace of a cluster that KUBECONFIG names, or that this runs in; absent: the data directory says how the
    /// environment stands
    #[arg(long, env = "AURORA_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    data: DataArguments,
}

/// What is looked at.
pub(crate) enum Place {
    DataDir(PathBuf),
    Namespace {
        name: String,
        found: Namespace,
        runtime: Runtime,
    },
}

/// What a look came to.
pub(crate) enum Seen {
    /// How the environment stands, and whether anybody keeps it.
    State(Box<View>, Life),
    /// Nobody can say now: why.
    Unknown(Failure),
}

impl PlaceArguments {
    pub(crate) fn find(&self) -> Result<Place, Failure> {
        let Some(name) = &self.namespace else {
            return Ok(Place::DataDir(self.data.settled()?));
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(Namespace::find(name)).hint(|| {
            "in a Pod it takes the ServiceAccount's token, elsewhere KUBECONFIG names the cluster".to_owned()
        })?;
        Ok(Place::Namespace {
            name: name.clone(),
            found,
            runtime,
        })
    }
}

impl Place {
    /// Looks, and fails only where looking again does not help.
    pub(crate) fn look(&self) -> Result<Seen, Failure> {
        match self {
            Self::DataDir(data_dir) => Ok(Seen::State(Box::new(look(data_dir)?), Life::of(data_dir))),
            Self::Namespace { found, runtime, .. } => match runtime.block_on(found.look()) {
                Ok(Look { objects, is_led }) => Ok(Seen::State(
                    Box::new(Arc::unwrap_or_clone(objects.view)),
                    life(objects.renewed, is_led),
                )),
                Err(error @ LookError::Unavailable { .. }) => Ok(Seen::Unknown(error.into())),
                Err(error @ LookError::Refused { .. }) => Err(Failure::from(error).hint(
                    "it takes the rights to read MLEnvironments, MLDeployments, MLTrainingJobs and Leases there",
                )),
            },
        }
    }

    /// Returns how the environment stands now.
    pub(crate) fn state(&self) -> Result<(View, Life), Failure> {
        let (view, life) = match self.look()? {
            Seen::State(view, life) => (*view, life),
            Seen::Unknown(why) => return Err(why),
        };
        match self {
            Self::Namespace { name, .. } if view.environment.is_none() => Err(Failure::new(format!(
                "namespace {name} has no MLEnvironment: nothing was applied there yet"
            ))
            .hint("give the namespace with --namespace; `aurora reconcile --namespace` fills it")),
            Self::Namespace { .. } | Self::DataDir(_) => Ok((view, life)),
        }
    }

    /// Returns who made which commit, as far as that was kept: a namespace keeps none of it.
    pub(crate) fn authors(&self) -> Result<Authors, Failure> {
        Ok(match self {
            Self::DataDir(data_dir) => journal::authors(data_dir)?,
            Self::Namespace { .. } => Authors::default(),
        })
    }

    /// Returns how long to wait between two looks.
    pub(crate) const fn poll(&self) -> Duration {
        match self {
            Self::DataDir(_) => DATA_POLL,
            Self::Namespace { .. } => CLUSTER_POLL,
        }
    }
}

/// Says whether the reconciler of a namespace is alive, by the last renewal of its Lease.
pub(crate) fn life(renewed: Option<Timestamp>, is_led: bool) -> Life {
    let Some(renewed) = renewed else {
        return Life::NeverRun;
    };
    Life::by_age(age_of(renewed), is_led)
}
