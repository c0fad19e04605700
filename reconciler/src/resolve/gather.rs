//! The documents of all files, put together: one MLEnvironment, and no two manifests for one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crds::parse::{Manifest, Parsed};
use planner::deployment::DeclaredDeployment;
use planner::environment::Environment;
use planner::finding::{Finding, Location, Reason};
use planner::names::{EnvironmentName, ModelName, ObjectName, Version};
use planner::object::ObjectId;
use planner::training::{RunPolicy, Training};

use crate::source::ENVIRONMENTS;

/// One spec and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Found<S> {
    pub(super) spec: S,
    pub(super) location: Location,
}

/// What only one manifest may claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Name(ObjectId),
    Model(ModelName),
    Version(ModelName, Version),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(id) => write!(f, "the name {id}"),
            Self::Model(model) => write!(f, "model {model}"),
            Self::Version(model, version) => write!(f, "version {version} of model {model}"),
        }
    }
}

/// The documents of an environment.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    environments: Vec<Found<Environment>>,
    pub(super) deployments: BTreeMap<ObjectName, Found<DeclaredDeployment>>,
    pub(super) trainings: BTreeMap<ObjectName, Found<Training>>,
    /// Who claims what. More than one claim is one too many.
    claims: BTreeMap<Claim, Vec<(ObjectId, Location)>>,
}

impl Gathered {
    pub(super) fn add(&mut self, document: &Parsed) {
        let location = document.location.clone();
        match &document.manifest {
            Manifest::Environment(environment) => self.environments.push(Found {
                spec: environment.clone(),
                location,
            }),
            Manifest::Deployment(name, spec) => {
                let id = ObjectId::deployment(name);
                self.claim(Claim::Name(id.clone()), &id, &location);
                self.claim(Claim::Model(spec.model.clone()), &id, &location);
                let spec = spec.clone();
                self.deployments.insert(name.clone(), Found { spec, location });
            }
            Manifest::Training(name, spec) => {
                let id = ObjectId::training(name);
                self.claim(Claim::Name(id.clone()), &id, &location);
                if let RunPolicy::Fixed(version) = &spec.runs {
                    self.claim(
                        Claim::Version(spec.model.clone(), version.clone()),
                        &id,
                        &location,
                    );
                }
                let spec = Training::clone(spec);
                self.trainings.insert(name.clone(), Found { spec, location });
            }
        }
    }

    fn claim(&mut self, what: Claim, id: &ObjectId, location: &Location) {
        self.claims
            .entry(what)
            .or_default()
            .push((id.clone(), location.clone()));
    }

    /// Returns the one MLEnvironment. None, or more than one, is a finding.
    pub(super) fn environment(
        &self,
        name: &EnvironmentName,
        findings: &mut Vec<Finding>,
    ) -> Option<Environment> {
        let subject = ObjectId::environment(name).to_string();
        match self.environments.as_slice() {
            [one] => return Some(one.spec.clone()),
            [] => findings.push(Finding {
                location: Some(Location {
                    file: format!("{ENVIRONMENTS}/{name}"),
                    line: 0,
                    column: 0,
                }),
                reason: Reason::EnvironmentMissing,
                subject,
                message: "the folder has no MLEnvironment that can be read".to_owned(),
                hint: format!(
                    "commit exactly one, with metadata.name {name}; until then the last good one goes on"
                ),
            }),
            [first, rest @ ..] => findings.extend(std::iter::once(first).chain(rest).map(|found| Finding {
                location: Some(found.location.clone()),
                reason: Reason::EnvironmentMissing,
                subject: subject.clone(),
                message: format!("is one of {} MLEnvironments in the folder", rest.len() + 1),
                hint: "keep exactly one; until then the last good one goes on".to_owned(),
            })),
        }
        None
    }

    /// Takes out what two manifests claim, with a finding on each of them: neither applies, and what serves stays.
    pub(super) fn drop_duplicates(&mut self, findings: &mut Vec<Finding>) {
        let mut dropped = BTreeSet::new();
        let mut told = BTreeSet::new();
        for (what, claims) in std::mem::take(&mut self.claims) {
            // Two manifests with one name mostly have one model too: one finding says enough.
            if claims.len() < 2 || !told.insert(claims.clone()) {
                continue;
            }
            for (at, (id, location)) in claims.iter().enumerate() {
                let others: Vec<String> = claims
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != at)
                    .map(|(_, (_, location))| location.to_string())
                    .take(3)
                    .collect();
                findings.push(Finding {
                    location: Some(location.clone()),
                    reason: Reason::Duplicate,
                    subject: id.to_string(),
                    message: format!("{what} is claimed by {} too", others.join(" and ")),
                    hint: "keep one of the manifests; none of them is applied".to_owned(),
                });
                dropped.insert(id.clone());
            }
        }
        self.deployments
            .retain(|name, _| !dropped.contains(&ObjectId::deployment(name)));
        self.trainings
            .retain(|name, _| !dropped.contains(&ObjectId::training(name)));
    }

    pub(super) fn ids(&self) -> Vec<ObjectId> {
        let deployments = self.deployments.keys().map(ObjectId::deployment);
        deployments
            .chain(self.trainings.keys().map(ObjectId::training))
            .collect()
    }
}
