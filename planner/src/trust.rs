//! Signed versions: what an environment demands of who made what it serves.
//!
//! Who signed a version is found out elsewhere, by keys that the last applied commit names; what follows from it is decided by
//! the gate [`Trust`](crate::gates::Gate::Trust) before a version gets more requests, and held to again whenever it is loaded.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::commits::Verify;
use crate::names::{ModelName, Version};

/// What is told of an import that names no signature where one is needed.
pub const UNNAMED_SIGNATURE: &str =
    "the environment demands signed models, and `import.signature` names no signature of this one";

/// What to do about an import that nobody who is trusted has signed.
pub const HOW_TO_SIGN: &str = "sign the file by a key of the environment's `models.keys` (`model_signing sign key --private_key KEY \
                               --signature FILE.sig FILE`; its folder where `import.files` names others), and name what comes out in \
                               `import.signature`: a file of the commit, or an address";

/// Whose signature versions need.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelPolicy {
    /// What becomes of a version that nobody whom it trusts signed.
    pub verify: Verify,
    /// The file of public keys: a relative path is a file of the environment's folder, an absolute one a file of the machine.
    pub keys: Option<String>,
    /// The public keys that it holds, each in PEM.
    #[serde(default)]
    pub trusted: Vec<String>,
}

impl ModelPolicy {
    /// Returns what whoever loads a version holds it to; nothing where nobody's signature is needed.
    pub fn trust(&self) -> Option<Trust> {
        (self.verify != Verify::Off).then(|| Trust {
            verify: self.verify,
            keys: self.trusted.clone(),
        })
    }
}

impl fmt::Display for ModelPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verify,
            keys,
            trusted,
        } = self;
        f.write_str(verify.as_str())?;
        let Some(keys) = keys else {
            return Ok(());
        };
        write!(f, " {keys} ({} keys)", trusted.len())
    }
}

/// What whoever loads a version holds it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// What becomes of a version that none of the keys signed: it is told, or not loaded.
    pub verify: Verify,
    /// The public keys, each in PEM.
    pub keys: Vec<String>,
}

/// Who signed a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// A key that is trusted: its first digits.
    Key(String),
    /// Nobody who is trusted: why each signature that there is does not count.
    Nobody(String),
    /// That cannot be said.
    Unknown(String),
}

/// Who signed which versions, as far as anything asks.
pub type Signers = BTreeMap<ModelName, BTreeMap<Version, Signer>>;
