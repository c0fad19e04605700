//! What an MLEnvironment says of those who are told.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::KubeSchema;
use planner::notify::{Form, Receiver, Topic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::convert::Problem;
use crate::{rules, wire};

/// Somebody who is told of what happens.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::URL_OF_RECEIVER.rule())]
pub struct NotifySpec {
    /// Webhook: a call signed as Standard Webhooks has it. Slack: a message to the incoming webhook that `secretFile` holds.
    #[serde(rename = "type", default)]
    pub kind: NotifyType,

    /// Where a webhook is: `https`, or `http` on this machine. Slack's is a secret, and so stands in `secretFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = wire::RECEIVER), title = wire::RECEIVER_WORDS)]
    pub url: Option<String>,

    /// The name of a file in the folder of `--notify-secrets`: what calls are signed with, or Slack's address.
    #[schemars(length(min = 1, max = 100), regex(pattern = wire::FILE_NAME), title = wire::FILE_NAME_WORDS)]
    pub secret_file: String,

    /// What is told.
    #[serde(default = "all")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"), title = "a list of Finding, Drift, Abort and Applied")]
    pub on: Vec<NotifyTopic>,
}

/// How somebody is told.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotifyType {
    /// By a signed call.
    #[default]
    Webhook,
    /// In a channel of Slack.
    Slack,
}

/// What somebody is told of.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotifyTopic {
    /// Something is wrong with a manifest, or cannot be done.
    Finding,
    /// Somebody changed what Git declares, and that stands.
    Drift,
    /// A canary gets no more requests.
    Abort,
    /// A pass changed something.
    Applied,
}

fn all() -> Vec<NotifyTopic> {
    use NotifyTopic::{Abort, Applied, Drift, Finding};
    vec![Finding, Drift, Abort, Applied]
}

/// Returns who is told.
pub(crate) fn receivers(specs: &[NotifySpec]) -> Result<Vec<Receiver>, Vec<Problem>> {
    let receiver = |spec: &NotifySpec| {
        let NotifySpec {
            kind,
            url,
            secret_file,
            on,
        } = spec;
        let form = match (kind, url) {
            (NotifyType::Slack, _) => Form::Slack,
            (NotifyType::Webhook, Some(url)) => Form::Webhook { url: url.clone() },
            (NotifyType::Webhook, None) => return Err(vec![rules::URL_OF_RECEIVER.problem("spec.notify")]),
        };
        let topics = on.iter().map(|topic| match topic {
            NotifyTopic::Finding => Topic::Finding,
            NotifyTopic::Drift => Topic::Drift,
            NotifyTopic::Abort => Topic::Abort,
            NotifyTopic::Applied => Topic::Applied,
        });
        Ok(Receiver {
            form,
            secret_file: secret_file.clone(),
            topics: topics.collect(),
        })
    };
    specs.iter().map(receiver).collect()
}

impl From<&Receiver> for NotifySpec {
    fn from(receiver: &Receiver) -> Self {
        let Receiver {
            form,
            secret_file,
            topics,
        } = receiver;
        let (kind, url) = match form {
            Form::Webhook { url } => (NotifyType::Webhook, Some(url.clone())),
            Form::Slack => (NotifyType::Slack, None),
        };
        let on = topics.iter().map(|topic| match topic {
            Topic::Finding => NotifyTopic::Finding,
            Topic::Drift => NotifyTopic::Drift,
            Topic::Abort => NotifyTopic::Abort,
            Topic::Applied => NotifyTopic::Applied,
        });
        Self {
            kind,
            url,
            secret_file: secret_file.clone(),
            on: on.collect(),
        }
    }
}
