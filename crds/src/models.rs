//! What an MLEnvironment says of models: whose signature the versions need that it serves.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::KubeSchema;
use planner::trust::ModelPolicy;
use serde::{Deserialize, Serialize};

use crate::commits::VerifyPolicy;
use crate::{rules, wire};

/// Whose signature a version needs before it gets requests, and whenever it is loaded.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::KEYS_OF_MODELS.rule())]
pub struct ModelsSpec {
    /// What becomes of a version that none of the keys has signed.
    pub verify: VerifyPolicy,

    /// Public keys in PEM that may sign (OpenSSF Model Signing): a file of the environment's folder, as the last applied commit
    /// has it, or by an absolute path of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::KEY_FILE), title = wire::KEY_FILE_WORDS)]
    pub keys: Option<String>,
}

impl From<&ModelsSpec> for ModelPolicy {
    fn from(spec: &ModelsSpec) -> Self {
        let ModelsSpec { verify, keys } = spec.clone();
        Self {
            trusted: Vec::new(),
            verify: verify.into(),
            keys,
        }
    }
}

impl From<&ModelPolicy> for ModelsSpec {
    fn from(policy: &ModelPolicy) -> Self {
        let ModelPolicy {
            verify,
            keys,
            trusted: _,
        } = policy.clone();
        Self {
            verify: verify.into(),
            keys,
        }
    }
}
