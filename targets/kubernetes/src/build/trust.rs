//! Whose signature versions need, as the Pods that serve are told: a ConfigMap of the installation, mounted where it is there. It
//! names keys and no model, so that another key replaces no Pod.

use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use planner::commits::Verify;
use planner::names::EnvironmentName;
use planner::trust::Trust;

use super::labels::map;

/// The name of the ConfigMap: the reconciler alone writes it.
pub const TRUST: &str = "aurora-trust";
/// The key in it.
pub const TRUST_KEY: &str = "trust.json";
/// Where Pods have it, and the name of the volume.
const FOLDER: &str = "/trust";
const VOLUME: &str = "trust";

/// Returns what Pods are told.
pub fn told(trust: Option<&Trust>) -> String {
    let nobody = Trust {
        verify: Verify::Off,
        keys: Vec::new(),
    };
    serde_json::to_string(trust.unwrap_or(&nobody)).expect("invariant: texts have text keys and cannot fail")
}

/// Returns the ConfigMap that tells it.
pub fn config_map(environment: &EnvironmentName, told: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(TRUST.to_owned()),
            labels: Some(map([
                ("app.kubernetes.io/name", TRUST),
                ("app.kubernetes.io/managed-by", "aurora-reconciler"),
                (crds::ENVIRONMENT_LABEL, environment.as_str()),
            ])),
            ..ObjectMeta::default()
        },
        data: Some(map([(TRUST_KEY, told)])),
        ..ConfigMap::default()
    }
}

/// Returns the flag of a process that is held to it.
pub(super) fn flag() -> (&'static str, String) {
    ("trust-file", format!("{FOLDER}/{TRUST_KEY}"))
}

/// Returns the volume. Where nobody's signature was ever needed, there is no ConfigMap.
pub(super) fn volume() -> Volume {
    Volume {
        name: VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: TRUST.to_owned(),
            default_mode: Some(0o440),
            optional: Some(true),
            items: None,
        }),
        ..Volume::default()
    }
}

/// Returns where a container has it.
pub(super) fn mount() -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
