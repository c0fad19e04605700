//! What is shown of a node, of a storage class and of a claim.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

/// The label whose end is a role of the node.
const ROLE: &str = "node-role.kubernetes.io/";
/// The annotation that marks the class of claims that name none.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// Shows a node: whether it is ready, and what it has.
pub(super) fn node(node: &Node) -> Value {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten();
    let mut ready = ready
        .filter(|condition| condition.type_ == "Ready")
        .map(|ready| ready.status == "True");
    let labels = node.metadata.labels.iter().flatten();
    let roles: Vec<_> = labels.filter_map(|(label, _)| label.strip_prefix(ROLE)).collect();
    json!({
        "name": node.metadata.name,
        // One that has not said so is not known to be.
        "ready": ready.next_back().unwrap_or(false),
        "roles": roles,
        "version": status.node_info.map(|info| info.kubelet_version),
        "capacity": quantities(status.capacity.as_ref()),
        "allocatable": quantities(status.allocatable.as_ref()),
    })
}

fn quantities(quantities: Option<&BTreeMap<String, Quantity>>) -> Value {
    let quantities = quantities.into_iter().flatten();
    quantities
        .map(|(name, Quantity(quantity))| (name.clone(), json!(quantity)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Shows a storage class, with the defaults of what it does not say.
pub(super) fn class(class: &StorageClass) -> Value {
    let annotations = class.metadata.annotations.iter().flatten();
    let is_default = annotations
        .into_iter()
        .any(|(name, value)| name == DEFAULT && value == "true");
    json!({
        "name": class.metadata.name,
        "provisioner": class.provisioner,
        "default": is_default,
        "expansion": class.allow_volume_expansion.unwrap_or(false),
        "binding_mode": class.volume_binding_mode.as_deref().unwrap_or("Immediate"),
    })
}

/// Shows a claim of storage.
pub(super) fn claim(claim: &PersistentVolumeClaim) -> Value {
    let spec = claim.spec.clone().unwrap_or_default();
    let status = claim.status.clone().unwrap_or_default();
    let requested = spec.resources.and_then(|resources| resources.requests);
    let storage = |quantities: Option<BTreeMap<String, Quantity>>| {
        quantities
            .and_then(|mut quantities| quantities.remove("storage"))
            .map(|Quantity(quantity)| quantity)
    };
    json!({
        "name": claim.metadata.name,
        "class": spec.storage_class_name,
        "volume": spec.volume_name,
        "phase": status.phase,
        "requested": storage(requested),
        "capacity": storage(status.capacity),
        "access_modes": status.access_modes.or(spec.access_modes).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: &Value, expected: &Value, show: impl Fn(Value) -> Value) {
        assert_eq!(show(object.clone()), *expected, "{object}");
    }

    #[test]
    fn a_node_is_ready_when_it_says_so() {
        let show = |object| node(&serde_json::from_value(object).expect("a node"));
        check(
            &json!({
                "metadata": { "name": "a", "labels": {
                    "node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/gpu": "true", "zone": "1",
                } },
                "status": {
                    "conditions": [
                        { "type": "MemoryPressure", "status": "False" },
                        { "type": "Ready", "status": "True" },
                    ],
                    "capacity": { "cpu": "4", "memory": "16Gi" },
                    "allocatable": { "cpu": "3800m" },
                    "nodeInfo": {
                        "kubeletVersion": "v1.36.3", "architecture": "", "bootID": "", "containerRuntimeVersion": "",
                        "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
                        "systemUUID": "",
                    },
                },
            }),
            &json!({
                "name": "a", "ready": true, "roles": ["control-plane", "gpu"], "version": "v1.36.3",
                "capacity": { "cpu": "4", "memory": "16Gi" }, "allocatable": { "cpu": "3800m" },
            }),
            show,
        );
        let unknown = json!({
            "name": "b", "ready": false, "roles": [], "version": null, "capacity": {}, "allocatable": {},
        });
        for status in [
            json!({}),
            json!({ "conditions": [{ "type": "Ready", "status": "Unknown" }] }),
            json!({ "conditions": [{ "type": "Ready", "status": "False" }] }),
        ] {
            check(
                &json!({ "metadata": { "name": "b" }, "status": status }),
                &unknown,
                show,
            );
        }
        check(&json!({ "metadata": { "name": "b" } }), &unknown, show);
    }

    #[test]
    fn a_class_has_the_defaults_of_what_it_does_not_say() {
        let show = |object| class(&serde_json::from_value(object).expect("a class"));
        check(
            &json!({
                "metadata": { "name": "cephfs", "annotations": { DEFAULT: "true" } },
                "provisioner": "cephfs.csi.ceph.com", "allowVolumeExpansion": true,
                "volumeBindingMode": "WaitForFirstConsumer",
            }),
            &json!({
                "name": "cephfs", "provisioner": "cephfs.csi.ceph.com", "default": true, "expansion": true,
                "binding_mode": "WaitForFirstConsumer",
            }),
            show,
        );
        check(
            &json!({ "metadata": { "name": "b", "annotations": { DEFAULT: "false" } }, "provisioner": "p" }),
            &json!({
                "name": "b", "provisioner": "p", "default": false, "expansion": false, "binding_mode": "Immediate",
            }),
            show,
        );
    }

    #[test]
    fn a_claim_shows_what_it_asks_for_and_what_it_got() {
        let show = |object| claim(&serde_json::from_value(object).expect("a claim"));
        check(
            &json!({
                "metadata": { "name": "models" },
                "spec": {
                    "accessModes": ["ReadWriteMany"], "storageClassName": "fast", "volumeName": "pv-1",
                    "resources": { "requests": { "storage": "1Gi" } },
                },
                "status": { "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "2Gi" } },
            }),
            &json!({
                "name": "models", "class": "fast", "volume": "pv-1", "phase": "Bound", "requested": "1Gi",
                "capacity": "2Gi", "access_modes": ["ReadWriteOnce"],
            }),
            show,
        );
        check(
            &json!({ "metadata": { "name": "new" } }),
            &json!({
                "name": "new", "class": null, "volume": null, "phase": null, "requested": null, "capacity": null,
                "access_modes": [],
            }),
            show,
        );
    }
}
