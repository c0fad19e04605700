//! What an MLEnvironment says of commits: whose signature they need.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::KubeSchema;
use planner::commits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, wire};

/// Whose signature a commit needs that touches the environment's folder.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::SIGNERS_OF_COMMITS.rule())]
pub struct CommitsSpec {
    /// What becomes of a commit that nobody whom it allows signed: with `Require` no commit after it is applied either.
    pub verify: VerifyPolicy,

    /// SSH keys that may sign, in the form of OpenSSH's allowed signers: a file of the environment's folder, as the last
    /// applied commit has it, or by an absolute path of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::KEY_FILE), title = wire::KEY_FILE_WORDS)]
    pub allowed_signers: Option<String>,

    /// OpenPGP keys that may sign, as a binary keyring; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::KEY_FILE), title = wire::KEY_FILE_WORDS)]
    pub keyring: Option<String>,

    /// What the forge itself may sign. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeSpec>,
}

/// The keys with which a forge signs: they count for merges of signed commits that change nothing besides.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::KEYS_OF_FORGE.rule())]
pub struct ForgeSpec {
    /// Its SSH keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::KEY_FILE), title = wire::KEY_FILE_WORDS)]
    pub allowed_signers: Option<String>,

    /// Its OpenPGP keys, as a binary keyring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::KEY_FILE), title = wire::KEY_FILE_WORDS)]
    pub keyring: Option<String>,

    /// Whether they count for commits that are no merge, too: squashed requests, and edits in the forge's own editor.
    #[serde(default)]
    pub squash: SquashPolicy,
}

/// What becomes of what is not signed as it should be.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerifyPolicy {
    /// It is applied: no signature is looked at.
    Off,
    /// It is told, and applied.
    Warn,
    /// It is not applied: what was applied before serves on.
    Require,
}

impl From<VerifyPolicy> for commits::Verify {
    fn from(policy: VerifyPolicy) -> Self {
        match policy {
            VerifyPolicy::Off => Self::Off,
            VerifyPolicy::Warn => Self::Warn,
            VerifyPolicy::Require => Self::Require,
        }
    }
}

impl From<commits::Verify> for VerifyPolicy {
    fn from(verify: commits::Verify) -> Self {
        match verify {
            commits::Verify::Off => Self::Off,
            commits::Verify::Warn => Self::Warn,
            commits::Verify::Require => Self::Require,
        }
    }
}

/// Whether a forge may sign what nobody else signed.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SquashPolicy {
    /// It may not.
    #[default]
    Refuse,
    /// It may.
    Allow,
}

impl From<&CommitsSpec> for commits::CommitPolicy {
    fn from(spec: &CommitsSpec) -> Self {
        let CommitsSpec {
            verify,
            allowed_signers,
            keyring,
            forge,
        } = spec.clone();
        Self {
            verify: verify.into(),
            signers: commits::KeyFiles {
                allowed_signers,
                keyring,
            },
            forge: forge.map(commits::Forge::from),
        }
    }
}

impl From<ForgeSpec> for commits::Forge {
    fn from(spec: ForgeSpec) -> Self {
        let ForgeSpec {
            allowed_signers,
            keyring,
            squash,
        } = spec;
        Self {
            keys: commits::KeyFiles {
                allowed_signers,
                keyring,
            },
            squash: match squash {
                SquashPolicy::Refuse => commits::Squash::Refuse,
                SquashPolicy::Allow => commits::Squash::Allow,
            },
        }
    }
}

impl From<&commits::CommitPolicy> for CommitsSpec {
    fn from(policy: &commits::CommitPolicy) -> Self {
        let commits::CommitPolicy {
            verify,
            signers:
                commits::KeyFiles {
                    allowed_signers,
                    keyring,
                },
            forge,
        } = policy.clone();
        Self {
            verify: verify.into(),
            allowed_signers,
            keyring,
            forge: forge.map(ForgeSpec::from),
        }
    }
}

impl From<commits::Forge> for ForgeSpec {
    fn from(forge: commits::Forge) -> Self {
        let commits::Forge {
            keys: commits::KeyFiles {
                allowed_signers,
                keyring,
            },
            squash,
        } = forge;
        Self {
            allowed_signers,
            keyring,
            squash: match squash {
                commits::Squash::Refuse => SquashPolicy::Refuse,
                commits::Squash::Allow => SquashPolicy::Allow,
            },
        }
    }
}
