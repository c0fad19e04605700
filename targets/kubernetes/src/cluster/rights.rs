//! What an API server lacks for a part of Aurora: kinds that it does not know, and rights that the asking account has not.
//!
//! The rights are those of the Roles that an installation gives; nothing else says what a part may do.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role as GivenRole};
use kube::Api;
use kube::api::PostParams;

use super::{ListError, LookError, Namespace};

/// The version under which the kinds are served.
const SERVED: &str = "aurora.io/v1alpha1";
/// The kinds, as a path has them.
const KINDS: [&str; 3] = ["mlenvironments", "mldeployments", "mltrainingjobs"];

/// A part of Aurora that runs in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What makes the objects follow Git.
    Reconciler,
    /// What makes the children follow the objects.
    Operator,
    /// What answers for the registry and the status.
    ControlPlane,
}

impl Part {
    /// Returns the manifest that installs it.
    const fn manifest(self) -> &'static str {
        match self {
            Self::Reconciler => include_str!("../../../../deploy/base/reconciler.yaml"),
            Self::Operator => include_str!("../../../../deploy/base/operator.yaml"),
            Self::ControlPlane => include_str!("../../../../deploy/base/control-plane.yaml"),
        }
    }

    /// Returns what it may do in a namespace.
    fn rules(self) -> Vec<PolicyRule> {
        let documents = self.manifest().split("\n---\n");
        documents
            .filter_map(|document| serde_yaml::from_str::<GivenRole>(document).ok())
            .flat_map(|role| role.rules.unwrap_or_default())
            .collect()
    }
}

impl Namespace {
    /// Returns which of the three kinds the API server does not know.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn unknown_kinds(&self) -> Result<Vec<&'static str>, LookError> {
        let known = match self.client.list_api_group_resources(SERVED).await {
            Ok(known) => known
                .resources
                .into_iter()
                .map(|resource| resource.name)
                .collect(),
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(self.error(&ListError::Ask(error))),
        };
        Ok(KINDS
            .into_iter()
            .filter(|kind| !known.iter().any(|known| known == kind))
            .collect())
    }

    /// Returns what the asking account may not do of all that a part does in the namespace, e.g. `patch mldeployments.aurora.io`.
    ///
    /// # Errors
    ///
    /// The API server does not answer, or does not say what an account may do.
    pub async fn lacking(&self, part: Part) -> Result<Vec<String>, LookError> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut lacking = Vec::new();
        for attributes in part.rules().iter().flat_map(|rule| self.attributes(rule)) {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes.clone()),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| self.error(&ListError::Ask(error)))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                lacking.push(shown(&attributes));
            }
        }
        Ok(lacking)
    }

    /// Returns each single thing that a rule allows.
    fn attributes(&self, rule: &PolicyRule) -> Vec<ResourceAttributes> {
        let all = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
        let names: Vec<Option<String>> = match all(&rule.resource_names) {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        let mut attributes = Vec::new();
        for group in all(&rule.api_groups) {
            for resource in all(&rule.resources) {
                let (resource, subresource) = match resource.split_once('/') {
                    Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
                    None => (resource, None),
                };
                for (verb, name) in rule
                    .verbs
                    .iter()
                    .flat_map(|verb| names.iter().map(move |name| (verb, name)))
                {
                    attributes.push(ResourceAttributes {
                        group: Some(group.clone()),
                        name: name.clone(),
                        namespace: Some(self.name.clone()),
                        resource: Some(resource.clone()),
                        subresource: subresource.clone(),
                        verb: Some(verb.clone()),
                        ..ResourceAttributes::default()
                    });
                }
            }
        }
        attributes
    }
}

fn shown(attributes: &ResourceAttributes) -> String {
    let part = |text: &Option<String>, before: &str| match text.as_deref().unwrap_or_default() {
        "" => String::new(),
        text => format!("{before}{text}"),
    };
    [
        part(&attributes.verb, ""),
        part(&attributes.resource, " "),
        part(&attributes.subresource, "/"),
        part(&attributes.group, "."),
        part(&attributes.name, " "),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_a_part_are_those_of_its_role() {
        for (part, expected) in [
            (Part::Reconciler, "mldeployments"),
            (Part::Operator, "jobs"),
            (Part::ControlPlane, "persistentvolumeclaims"),
        ] {
            let rules = part.rules();
            let named: Vec<_> = rules
                .iter()
                .flat_map(|rule| rule.resources.iter().flatten())
                .collect();
            assert!(
                named.iter().any(|resource| *resource == expected),
                "{part:?}: {named:?}"
            );
        }
    }

    #[test]
    fn a_right_is_shown_as_a_person_would_ask_for_it() {
        let of = |group: &str, resource: &str, subresource: Option<&str>, name: Option<&str>| {
            shown(&ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                name: name.map(str::to_owned),
                verb: Some("patch".to_owned()),
                ..ResourceAttributes::default()
            })
        };
        assert_eq!(of("", "services", None, None), "patch services");
        assert_eq!(
            of("aurora.io", "mldeployments", Some("status"), Some("wine")),
            "patch mldeployments/status.aurora.io wine"
        );
    }
}
