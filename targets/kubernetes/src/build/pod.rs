//! What all pods have in common: who they run as, what they may do, and what the manifest's `pod` adds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, EnvVar, LocalObjectReference, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use planner::pod::{Pod, Resources};

use super::labels::Map;

/// Who all processes of an installation run as: they share the registry's files.
const USER: i64 = 10_001;
/// What a container asks for where nothing is said.
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];

/// Returns the settings of a manifest, or those of one that gives none.
pub(super) fn given(pod: Option<&Pod>) -> std::borrow::Cow<'_, Pod> {
    pod.map_or_else(
        || std::borrow::Cow::Owned(Pod::default()),
        std::borrow::Cow::Borrowed,
    )
}

/// Returns a pod without containers: it has no token, is nobody special, and may do nothing that it need not.
pub(super) fn bare(given: &Pod, grace_seconds: i64) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace_seconds),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // A volume of many files is not walked at each start.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        node_selector: some(given.node_selector.clone()),
        tolerations: some_list(given.tolerations.iter().map(toleration)),
        image_pull_secrets: some_list(
            given
                .image_pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() }),
        ),
        ..PodSpec::default()
    }
}

/// Returns what each container may do.
pub(super) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

/// Returns the labels of a pod: Aurora's own, which the manifest's never replace.
pub(super) fn labels(given: &Pod, own: Map) -> Map {
    let mut labels = given.labels.clone();
    labels.extend(own);
    labels
}

/// Returns the variables of a manifest, and those that Aurora adds. Each is what it says: a cluster would take `$(NAME)` for
/// the value of another one.
pub(super) fn env<const N: usize>(given: &Pod, own: [(&str, String); N]) -> Option<Vec<EnvVar>> {
    let given = given
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    some_list(given.chain(own).map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value.replace('$', "$$")),
        value_from: None,
    }))
}

/// Returns what a container asks for. Where neither a request nor a limit is given, a little is asked for: an autoscaler
/// can measure no percent of nothing.
pub(super) fn resources(given: &Pod) -> ResourceRequirements {
    let Resources { requests, limits } = &given.resources;
    let mut requests = requests.clone();
    for (name, quantity) in REQUESTS {
        if !limits.contains_key(name) {
            requests
                .entry(name.to_owned())
                .or_insert_with(|| quantity.to_owned());
        }
    }
    let quantities = |of: &BTreeMap<String, String>| {
        let quantities = of.iter();
        some(
            quantities
                .map(|(name, quantity)| (name.clone(), Quantity(quantity.clone())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(&requests),
        limits: quantities(limits),
        claims: None,
    }
}

fn toleration(given: &planner::pod::Toleration) -> Toleration {
    Toleration {
        key: given.key.clone(),
        operator: Some(given.operator.as_str().to_owned()),
        value: given.value.clone(),
        effect: given.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: given.toleration_seconds.map(i64::from),
    }
}

fn some<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then_some(map)
}

fn some_list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}
