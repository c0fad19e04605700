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
    through: Through,
}

/// What brings requests there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Through {
    /// Absent: the installation's, which may be any.
    Gateway(Option<Box<Gateway>>),
    /// Of a class; absent: the cluster's default, which may be any.
    Ingress(Option<Box<str>>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Gateway {
    name: Box<str>,
    /// Absent: the environment's.
    namespace: Option<Box<str>>,
    /// Absent: all of its listeners.
    section: Option<Box<str>>,
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
            Self::Reach(Reach { host, path, .. }) => match host {
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
                "keep one of the manifests; until then none of them is applied, and what serves stays"
            }
            Self::Reach(_) => {
                "give one of the models another route.path or route.host, or name the Gateway (or class) of each where those differ; neither manifest is applied, and what serves stays"
            }
        }
    }
}

impl Reach {
    /// Returns where a deployment is reached, unless nothing of the cluster's brings requests by their path.
    pub(in crate::resolve) fn of(spec: &DeclaredDeployment) -> Option<Self> {
        let route = spec.route.as_deref();
        let through = match route.map(|route| route.provider).unwrap_or_default() {
            Provider::GatewayApi => Through::Gateway(route.and_then(|route| {
                route.gateway.as_ref().map(|gateway| {
                    Box::new(Gateway {
                        name: gateway.name.as_str().into(),
                        namespace: gateway.namespace.as_deref().map(Into::into),
                        section: gateway.section_name.as_deref().map(Into::into),
                    })
                })
            })),
            Provider::IngressNginx => {
                let class = route.and_then(|route| route.ingress_class_name.as_deref());
                Through::Ingress(class.map(Into::into))
            }
            Provider::Aurora | Provider::None => return None,
        };
        let path = route.and_then(|route| route.path.as_deref());
        Some(Self {
            host: route.and_then(|route| route.host.as_deref()).map(Into::into),
            path: match path {
                Some(path) => path.into(),
                // Of the paths that name a model, the one that another manifest could name as well.
                None => format!("/v2/models/{}", spec.model).into(),
            },
            through,
        })
    }

    /// Returns the first one of this host and path, whatever brings requests there.
    pub(super) fn first(&self) -> Self {
        Self {
            through: Through::Gateway(None),
            ..self.clone()
        }
    }

    /// Says whether a request may find both. What is not said may be what the other one says. `namespace` is the
    /// environment's, where that is known.
    pub(super) fn meets(&self, other: &Self, namespace: Option<&str>) -> bool {
        self.is_beside(other) && self.through.meets(&other.through, namespace)
    }

    /// Says whether both are of one host and path.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (&self.host, &self.path) == (&other.host, &other.path)
    }
}

impl Through {
    fn meets(&self, other: &Self, of_environment: Option<&str>) -> bool {
        match (self, other) {
            (Self::Gateway(Some(one)), Self::Gateway(Some(other))) => {
                let namespaces = [one, other].map(|gateway| gateway.namespace.as_deref().or(of_environment));
                one.name == other.name
                    && may_be(namespaces[0], namespaces[1])
                    && may_be(one.section.as_deref(), other.section.as_deref())
            }
            (Self::Gateway(_), Self::Gateway(_)) => true,
            (Self::Ingress(one), Self::Ingress(other)) => may_be(one.as_deref(), other.as_deref()),
            // One proxy may be both; that it is not, two names say.
            (Self::Gateway(gateway), Self::Ingress(class))
            | (Self::Ingress(class), Self::Gateway(gateway)) => gateway.is_none() || class.is_none(),
        }
    }
}

/// Says whether two may be the same, where one that is not given may be any.
fn may_be(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_none() || other.is_none() || one == other
}

impl Claimants {
    /// Returns them all, in the folder's order.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let (one, more) = match self {
            Self::One(one) => (Some(one), None),
            Self::More(more) => (None, Some(more)),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }

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
