//! What is news of a model or a training job.

use crds::status::{Condition, ConditionStatus, PhaseName, StateName};
use crds::{MLDeploymentStatus, MLTrainingJobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::{Api, Client, Resource};
use planner::Timestamp;

use super::MANAGER;
use crate::events::Said;

/// Returns what is news between two statuses: another state or live weight, and what a person must mend.
pub(super) fn between(before: Option<&MLDeploymentStatus>, after: &MLDeploymentStatus) -> Vec<Said> {
    let mut said = Vec::new();
    let is_moved = before.is_none_or(|before| (before.state, before.weight) != (after.state, after.weight));
    if let (true, Some(state)) = (is_moved, after.state) {
        let reason = format!("{state:?}");
        let weight = after.weight;
        let note = match after.message.as_str() {
            "" => format!("the canary's live weight is {weight}"),
            message => format!("{message}; the canary's live weight is {weight}"),
        };
        said.push(Said {
            is_warning: state == StateName::Aborted,
            reason,
            note,
        });
    }
    said.extend(stalled(
        before.map_or(&[], |before| &before.conditions),
        &after.conditions,
    ));
    said
}

/// Returns what is news between two statuses of a training job: where its newest run stands, and what a person must mend.
pub(super) fn between_runs(before: Option<&MLTrainingJobStatus>, after: &MLTrainingJobStatus) -> Vec<Said> {
    let mut said = Vec::new();
    let stands = |status: &MLTrainingJobStatus| (status.phase, status.version.clone());
    let is_moved = before.map(stands) != Some(stands(after));
    if let (true, Some(phase)) = (is_moved, after.phase) {
        let version = after.version.as_ref().map(ToString::to_string);
        let words = [version, after.message.clone()].into_iter().flatten();
        said.push(Said {
            is_warning: phase == PhaseName::Failed,
            reason: format!("{phase:?}"),
            note: words.collect::<Vec<_>>().join(": "),
        });
    }
    let skipped = after.last_skipped.as_ref();
    if let Some(skipped) =
        skipped.filter(|_| before.and_then(|before| before.last_skipped.as_ref()) != skipped)
    {
        said.push(Said {
            is_warning: false,
            reason: "Skipped".to_owned(),
            note: format!("{}: {}", skipped.version, skipped.reason),
        });
    }
    // That a run failed is told above.
    if after.phase != Some(PhaseName::Failed) || !is_moved {
        said.extend(stalled(
            before.map_or(&[], |before| &before.conditions),
            &after.conditions,
        ));
    }
    said
}

/// Returns what a person must mend, where that is news.
fn stalled(before: &[Condition], after: &[Condition]) -> Option<Said> {
    let known = before.iter().find(|found| is_stalled(found));
    let stalled = after.iter().find(|found| is_stalled(found))?;
    let is_news = known.is_none_or(|known| known.message != stalled.message);
    is_news.then(|| Said {
        is_warning: true,
        reason: stalled.reason.clone(),
        note: stalled.message.clone(),
    })
}

fn is_stalled(condition: &Condition) -> bool {
    condition.kind == "Stalled" && condition.status == ConditionStatus::True
}

/// Returns what is told of an object that is let go with something to drain.
pub(super) fn given_up() -> Said {
    Said {
        is_warning: true,
        reason: "DrainTimedOut".to_owned(),
        note: "what it served could not be drained in time: it is let go all the same".to_owned(),
    }
}

/// Tells it.
pub(super) async fn tell<K: Resource<DynamicType = ()>>(
    client: &Client,
    object: &K,
    said: &Said,
    now: Timestamp,
) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let events = Api::namespaced(client.clone(), namespace);
    let now = jiff::Timestamp::from_microsecond(now.timestamp_micros()).unwrap_or_default();
    crate::events::tell(
        &events,
        MANAGER,
        (&K::kind(&()), object.meta()),
        said,
        MicroTime(now),
    )
    .await;
}

#[cfg(test)]
mod tests {
    use planner::names::Weight;
    use reconciler::conditions::Facts;

    use super::*;

    fn status(state: StateName, weight: u64, facts: Facts) -> MLDeploymentStatus {
        MLDeploymentStatus {
            state: Some(state),
            weight: Weight::try_from(weight).unwrap(),
            conditions: facts.conditions(&[], Timestamp::UNIX_EPOCH),
            ..MLDeploymentStatus::default()
        }
    }

    #[test]
    fn only_what_is_news_is_told() {
        let idle = |weight| status(StateName::Idle, weight, Facts::Ready("Idle", String::new()));
        let stalled = |why: &str| status(StateName::Idle, 10, Facts::stalled("Stopped", why.to_owned()));
        let told = |before: Option<&MLDeploymentStatus>, after| -> Vec<String> {
            let said = between(before, &after).into_iter();
            said.map(|said| format!("{}: {}", said.reason, said.note))
                .collect()
        };
        assert_eq!(told(None, idle(0)), ["Idle: the canary's live weight is 0%"]);
        assert_eq!(
            told(Some(&idle(0)), idle(10)),
            ["Idle: the canary's live weight is 10%"]
        );
        assert_eq!(told(Some(&idle(10)), idle(10)), [""; 0]);
        assert_eq!(
            told(Some(&idle(10)), stalled("no such opset")),
            ["Stopped: no such opset"]
        );
        assert_eq!(
            told(Some(&stalled("no such opset")), stalled("no such opset")),
            [""; 0]
        );
    }
}
