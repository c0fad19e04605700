//! What an MLEnvironment says of raises: when they may come, and what is demanded of them.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::KubeSchema;
use planner::endpoint::Url;
use planner::gates;
use planner::names::EnvironmentName;
use planner::span::Span;
use planner::window;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, wire};

/// A time in which commits may raise what a version is exposed to, or may not.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowSpec {
    /// Allow: raises are allowed in it; where an environment has such windows, at no other time. Deny: raises are refused
    /// in it, also where another window allows them. Lowering is never refused.
    #[serde(rename = "type")]
    pub kind: WindowType,

    /// When it begins, in five fields: minute, hour, day of month, month, weekday.
    #[schemars(
        length(min = 1, max = 256),
        title = "a schedule of five fields, e.g. \"0 18 * * FRI\""
    )]
    pub cron: String,

    /// The IANA time zone in which the fields are read.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), title = "an IANA time zone, e.g. Europe/Paris")]
    pub time_zone: String,

    /// How long it lasts, by elapsed time.
    #[schemars(with = "String", length(max = 8), regex(pattern = wire::SPAN), title = wire::SPAN_WORDS)]
    pub duration: Span,

    /// Why it is there, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), title = "text: the reason for the window")]
    pub reason: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What a window does.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowType {
    /// Raises are allowed in it, and at no other time.
    Allow,
    /// Raises are refused in it.
    Deny,
}

impl From<WindowType> for window::WindowKind {
    fn from(kind: WindowType) -> Self {
        match kind {
            WindowType::Allow => Self::Allow,
            WindowType::Deny => Self::Deny,
        }
    }
}

impl From<window::WindowKind> for WindowType {
    fn from(kind: window::WindowKind) -> Self {
        match kind {
            window::WindowKind::Allow => Self::Allow,
            window::WindowKind::Deny => Self::Deny,
        }
    }
}

/// What is demanded before a commit may let more requests reach a version than before.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GatesSpec {
    /// What happens to a version whose signature breaks clients of the present stable and that no `allowBreaking` names.
    pub signature: GatePolicy,

    /// How a version's metric must compare with that of the present stable on the same holdout. Absent: as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricGateSpec>,

    /// By how many percent of all requests one commit may raise a version's share.
    #[schemars(range(min = 1, max = 100), title = "a whole percent from 1 to 100")]
    pub max_weight_step: u8,

    /// What happens where something is not known that is demanded.
    pub on_unknown: GatePolicy,
}

impl Default for GatesSpec {
    fn default() -> Self {
        Self::from(&gates::Gates::default())
    }
}

/// Through which environment versions come before this one.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::KEY_OF_STATUS.rule())]
pub struct PromotionSpec {
    /// The environment of this repository whose stable a version must be, by digest, before it gets requests here.
    #[schemars(with = "String", length(max = 40), regex(pattern = wire::NAME), title = wire::NAME_WORDS)]
    pub from: EnvironmentName,

    /// For how long it must have been. Absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 8), regex(pattern = wire::SPAN), title = wire::SPAN_WORDS)]
    pub soak: Option<Span>,

    /// The control plane of that environment, which is asked besides since when the version serves there as stable. Absent:
    /// the times of the commits alone count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 512), regex(pattern = wire::URL), title = wire::URL_WORDS)]
    pub status: Option<Url>,

    /// The file with the key for that control plane, below a `--key-root` of the process. Absent: it asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = wire::FILE), title = wire::FILE_WORDS)]
    pub key_file: Option<String>,
}

/// How a version's metric must compare with that of the present stable.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricGateSpec {
    /// By how many percent of the stable's value it may be worse.
    #[serde(default)]
    #[schemars(
        range(min = 0, max = 100),
        title = "a percentage from 0 to 100 with at most three decimals"
    )]
    pub tolerance_percent: f64,
}

/// What happens where a gate finds a fault.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GatePolicy {
    /// The raise does not come: what serves stays.
    Refuse,
    /// It is told, and the raise comes.
    Allow,
}

impl From<GatePolicy> for gates::OnFault {
    fn from(policy: GatePolicy) -> Self {
        match policy {
            GatePolicy::Refuse => Self::Refuse,
            GatePolicy::Allow => Self::Allow,
        }
    }
}

impl From<gates::OnFault> for GatePolicy {
    fn from(policy: gates::OnFault) -> Self {
        match policy {
            gates::OnFault::Refuse => Self::Refuse,
            gates::OnFault::Allow => Self::Allow,
        }
    }
}

impl From<&gates::Gates> for GatesSpec {
    fn from(gates: &gates::Gates) -> Self {
        let gates::Gates {
            signature,
            metric,
            max_weight_step,
            on_unknown,
        } = *gates;
        Self {
            signature: signature.into(),
            metric: metric.map(|tolerance| MetricGateSpec {
                tolerance_percent: tolerance.into(),
            }),
            max_weight_step: max_weight_step.percent(),
            on_unknown: on_unknown.into(),
        }
    }
}
