//! Gates: what an environment demands before a commit lets more requests reach a version than before.
//!
//! Only raises are judged: nothing keeps a commit from taking requests away from a version. The same function judges a
//! commit on a pull request, from what two commits declare, and in a pass, from what an object serves.

mod judge;
mod raise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::endpoint::Endpoint;
use crate::finding::Reason;
use crate::names::{Digest, EnvironmentName, Malformed, Track, Version, Weight};
use crate::signature::Signature;
use crate::span::Span;
use crate::training::Metric;
use crate::window::Closed;
pub use judge::{Ground, judge};
pub use raise::{Raise, Tracks, raises};

/// What an environment demands of a raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// What happens to a version whose signature breaks clients of the present stable.
    pub signature: OnFault,
    /// How much worse than the present stable a version may be; absent: as much as it likes.
    pub metric: Option<Tolerance>,
    /// By how much of all requests one commit may raise what a version gets.
    pub max_weight_step: Weight,
    /// What happens where something is not known that a gate asks for.
    pub on_unknown: OnFault,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            signature: OnFault::Refuse,
            metric: None,
            max_weight_step: Weight::FULL,
            on_unknown: OnFault::Refuse,
        }
    }
}

impl fmt::Display for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signature,
            metric,
            max_weight_step,
            on_unknown,
        } = self;
        write!(f, "signature {}", signature.as_str())?;
        if let Some(tolerance) = metric {
            write!(f, ", metric at most {tolerance} worse")?;
        }
        write!(
            f,
            ", steps of at most {max_weight_step}, what is unknown {}",
            on_unknown.as_str()
        )
    }
}

/// What to do about a version that nobody who is trusted has signed.
pub(crate) const TRUST_HINT: &str =
    "sign it by a trusted key (`aurora model sign`), or pin a version that is signed";

/// What happens where a gate finds a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnFault {
    /// The raise does not come: what serves stays.
    #[default]
    Refuse,
    /// It is told, and the raise comes.
    Allow,
}

impl OnFault {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "Refuse",
            Self::Allow => "Allow",
        }
    }
}

/// Through which environment a version comes before this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionOrder {
    /// The environment whose stable it must be, by digest.
    pub from: EnvironmentName,
    /// For how long it must have been; absent: not at all.
    pub soak: Option<Span>,
    /// The control plane that says since when it serves there; absent: Git alone says since when it is declared.
    #[serde(default)]
    pub status: Option<Endpoint>,
}

/// What the environment before says of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promoted {
    /// It is stable there, since this time or longer.
    Since(Timestamp),
    /// It is not: what is.
    Not(String),
    /// Nobody can say: why.
    Unknown(String),
    /// Its control plane is being asked.
    Asked,
}

impl Promoted {
    /// Returns what Git and the environment's own control plane say together: both must agree, as far as both know.
    #[must_use]
    pub fn and(self, served: Self) -> Self {
        match (self, served) {
            (Self::Not(what), _) | (_, Self::Not(what)) => Self::Not(what),
            (Self::Asked, _) | (_, Self::Asked) => Self::Asked,
            (Self::Since(declared), Self::Since(served)) => Self::Since(declared.max(served)),
            (Self::Since(since), Self::Unknown(_)) | (Self::Unknown(_), Self::Since(since)) => {
                Self::Since(since)
            }
            (Self::Unknown(git), Self::Unknown(status)) => Self::Unknown(format!("{git}, and {status}")),
        }
    }
}

/// How much worse a metric may be, in percent of what it is compared with: 0 to 100, in steps of a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Tolerance {
    thousandths: u32,
}

impl TryFrom<f64> for Tolerance {
    type Error = Malformed;

    fn try_from(percent: f64) -> Result<Self, Malformed> {
        let thousandths = (percent * 1_000.0).round();
        if !(0.0..=100_000.0).contains(&thousandths) || (thousandths / 1_000.0 - percent).abs() > 1e-9 {
            let expected = "a percentage from 0 to 100 with at most three decimals";
            return Err(Malformed::new(&percent.to_string(), expected));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 100,000, as was just seen"
        )]
        Ok(Self {
            thousandths: thousandths as u32,
        })
    }
}

impl From<Tolerance> for f64 {
    fn from(tolerance: Tolerance) -> Self {
        Self::from(tolerance.thousandths) / 1_000.0
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(*self))
    }
}

/// What gates ask of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionFacts {
    /// The digest of its artifact.
    pub digest: Digest,
    /// What goes in and comes out.
    pub signature: Signature,
    /// The metric that its evaluation decided on.
    pub metric: Option<Metric>,
    /// What was measured on its holdout.
    pub measured: BTreeMap<String, f64>,
    /// The digest of that holdout; unknown of a version that nobody evaluated.
    pub holdout: Option<Digest>,
    /// What the version that was stable when it was trained reached on the same holdout.
    pub baseline: Option<Baseline>,
}

/// What another version reached on a version's holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The digest of the other version's artifact.
    pub digest: Digest,
    /// What was measured.
    pub measured: BTreeMap<String, f64>,
}

/// What is known of a model's versions, as far as anything asks.
pub type Facts = BTreeMap<Version, VersionFacts>;

/// One of the things that an environment may demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Gate {
    /// The step in weight is small enough.
    WeightStep,
    /// The signature breaks no client.
    Signature,
    /// The metric is not worse.
    Metric,
    /// Somebody who is trusted has signed it.
    Trust,
    /// It has been stable in the environment before for long enough.
    Promotion,
    /// A window is open.
    Window,
}

impl Gate {
    /// All, in the order in which they are told. What a person must mend comes before what time mends.
    pub const ALL: [Self; 6] = [
        Self::WeightStep,
        Self::Signature,
        Self::Metric,
        Self::Trust,
        Self::Promotion,
        Self::Window,
    ];

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WeightStep => "weight step",
            Self::Signature => "signature",
            Self::Metric => "metric",
            Self::Trust => "trust",
            Self::Promotion => "promotion",
            Self::Window => "window",
        }
    }
}

/// What a gate says of a raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Which gate.
    pub gate: Gate,
    /// The track.
    pub track: Track,
    /// What it says.
    pub outcome: Outcome,
    /// Why, in words for a person.
    pub why: String,
    /// Where it stops the raise until a time comes: when that is, as far as it is known.
    pub waits: Option<Closed>,
}

impl Judged {
    /// Returns why a finding is made where it stops a raise; `None` where time mends that.
    pub const fn reason(&self) -> Option<Reason> {
        match (self.gate, self.outcome) {
            _ if self.waits.is_some() => None,
            (Gate::Window, _) => None,
            (Gate::Trust, _) => Some(Reason::VersionUntrusted),
            (_, Outcome::Unknown) => Some(Reason::GateUnknown),
            (Gate::WeightStep, _) => Some(Reason::WeightStepTooLarge),
            (Gate::Signature, _) => Some(Reason::SignatureBreaking),
            (Gate::Metric, _) => Some(Reason::MetricWorse),
            (Gate::Promotion, _) => Some(Reason::NotPromoted),
        }
    }

    /// Says what a person may do where it stops a version.
    pub fn hint(&self, version: &Version) -> String {
        match (self.gate, self.outcome) {
            (Gate::Window, _) => {
                "it comes by itself; a trailer `Aurora-Window-Override: why` in the message of the model's commit overrides windows".to_owned()
            }
            (Gate::Trust, _) => TRUST_HINT.to_owned(),
            (_, Outcome::Unknown) => {
                "pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before".to_owned()
            }
            (Gate::WeightStep, _) => "raise it in smaller steps, a commit each".to_owned(),
            (Gate::Signature, _) => format!(
                "pin a version that clients can go on with, or name it: `allowBreaking: [{version}]`"
            ),
            (Gate::Metric, _) => "pin a better version".to_owned(),
            (Gate::Promotion, _) if self.waits.is_some() => "it comes by itself".to_owned(),
            (Gate::Promotion, _) => "make it stable there first, with its digest".to_owned(),
        }
    }
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The raise may come.
    Passes,
    /// It may not.
    Stops,
    /// Something is not known that it asks for, and so the raise may not come.
    Unknown,
    /// It may come though there is a fault or something is not known: the policy, the manifest or the commit says so.
    Allowed,
}

impl Outcome {
    /// Says whether the raise may not come.
    pub const fn stops(self) -> bool {
        matches!(self, Self::Stops | Self::Unknown)
    }
}
