//! What only one manifest of an environment may claim, and who claims it.

use std::collections::BTreeSet;
use std::fmt;

use planner::deployment::DeclaredDeployment;
use planner::names::{ModelName, Version};
use planner::object::ObjectId;
use planner::route::Provider;

use super::Place;

/// Where requests from outside a cluster reach a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::resolve) struct Reach {
    /// Absent: any.
    host: Option<Box<str>>,
    path: Box<str>,
}

/// What only one manifest may claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    Name(ObjectId),
    Model(ModelName),
    Version(ModelName, Version),
    /// In a cluster alone: one process asks no route.
    Reach(Reach),
}

/// Who claims one thing, in the folder's order: almost always one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claimants {
    One(Place),
    More(BTreeSet<Place>),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(id) => write!(f, "the name {id}"),
            Self::Model(model) => write!(f, "model {model}"),
            Self::Version(model, version) => write!(f, "version {version} of model {model}"),
            Self::Reach(Reach { host, path }) => match host {
                Some(host) => write!(f, "path {path} of host {host}"),
                None => write!(f, "path {path} of any host"),
            },
        }
    }
}

impl Claim {
    /// Says what two who claim it can do.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) | Self::Model(_) | Self::Version(..) => {
                "keep one of the manifests; none of them is applied"
            }
            Self::Reach(_) => {
                "give one of the models another route.path or route.host; neither manifest is applied, and what serves stays"
            }
        }
    }
}

impl Reach {
    /// Returns where a deployment is reached, unless nothing of the cluster's brings requests by their path.
    pub(in crate::resolve) fn of(spec: &DeclaredDeployment) -> Option<Self> {
        let route = spec.route.as_deref();
        match route.map(|route| route.provider).unwrap_or_default() {
            Provider::GatewayApi | Provider::IngressNginx => {}
            Provider::Aurora | Provider::None => return None,
        }
        let path = route.and_then(|route| route.path.as_deref());
        Some(Self {
            host: route.and_then(|route| route.host.as_deref()).map(Into::into),
            path: match path {
                Some(path) => path.into(),
                // Of the paths that name a model, the one that another manifest could name as well.
                None => format!("/v2/models/{}", spec.model).into(),
            },
        })
    }
}

impl Claimants {
    /// Adds one more and returns the one that was alone until then.
    pub(super) fn add(&mut self, place: Place) -> Option<Place> {
        match self {
            Self::One(first) => {
                let first = first.clone();
                *self = Self::More(BTreeSet::from([first.clone(), place]));
                Some(first)
            }
            Self::More(places) => {
                places.insert(place);
                None
            }
        }
    }
}
