//! Why a Pod does not run, in words that a person can act on.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition};

/// How much of what a node or a program says is told, in characters.
const WORDS_MAX: usize = 300;

/// Returns how the containers of a Pod are, in the order in which they run.
pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.init_container_statuses.as_deref());
    let then = status.and_then(|status| status.container_statuses.as_deref());
    [first, then].into_iter().flatten().flatten()
}

/// Returns a condition of a Pod, where it is of this value.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str, value: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == value)
}

/// Returns what keeps a Pod from running, unless that is only its beginning: a container that cannot start, or ends again and
/// again, or that no node takes it.
pub(crate) fn stuck(pod: &Pod) -> Option<String> {
    let unplaced = || {
        let why = condition(pod, "PodScheduled", "False")?.message.as_deref()?;
        Some(format!("no node takes its Pod: {}", cut(why)))
    };
    statuses(pod).find_map(stuck_container).or_else(unplaced)
}

fn stuck_container(status: &ContainerStatus) -> Option<String> {
    let Some(ContainerState {
        waiting: Some(waiting),
        ..
    }) = &status.state
    else {
        return None;
    };
    let reason = waiting.reason.as_deref()?;
    if matches!(reason, "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let last = status
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    // What it said last tells more than that it is waited for before it is started again.
    let message = match last {
        Some(last) => {
            let said = last
                .message
                .as_deref()
                .map(str::trim)
                .filter(|said| !said.is_empty());
            let said = said.or(last.reason.as_deref()).unwrap_or("it said nothing");
            format!("it ended with code {}: {}", last.exit_code, cut(said))
        }
        None => cut(waiting.message.as_deref().unwrap_or_default()),
    };
    Some(format!(
        "container {} cannot start: {reason}: {message}",
        status.name
    ))
}

fn cut(words: &str) -> String {
    words.chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: &Value, expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
        assert_eq!(stuck(&pod).as_deref(), expected, "{status}");
    }

    fn waiting(waiting: &Value, last: &Value) -> Value {
        let container = json!({
            "name": "aurora", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": waiting }, "lastState": last,
        });
        json!({ "containerStatuses": [container] })
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_told() {
        let no_last = json!({});
        check(&json!({}), None);
        check(&json!({ "phase": "Running" }), None);
        check(
            &waiting(&json!({ "reason": "ContainerCreating" }), &no_last),
            None,
        );
        check(
            &waiting(
                &json!({ "reason": "ImagePullBackOff", "message": "no such image" }),
                &no_last,
            ),
            Some("container aurora cannot start: ImagePullBackOff: no such image"),
        );
        check(
            &waiting(
                &json!({ "reason": "CreateContainerConfigError", "message": "secret \"aurora-keys\" not found" }),
                &no_last,
            ),
            Some(
                "container aurora cannot start: CreateContainerConfigError: secret \"aurora-keys\" not found",
            ),
        );
        let ended = |message: Value| json!({ "terminated": { "exitCode": 2, "message": message, "reason": "Error" } });
        let again =
            json!({ "reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container" });
        check(
            &waiting(&again, &ended("the key is not known\n".into())),
            Some(
                "container aurora cannot start: CrashLoopBackOff: it ended with code 2: the key is not known",
            ),
        );
        check(
            &waiting(&again, &ended(Value::Null)),
            Some("container aurora cannot start: CrashLoopBackOff: it ended with code 2: Error"),
        );
        let unplaced = |message: &str| {
            json!({ "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message },
            ] })
        };
        check(
            &unplaced("0/3 nodes are available: 3 Insufficient memory."),
            Some("no node takes its Pod: 0/3 nodes are available: 3 Insufficient memory."),
        );
        let long = format!("no node takes its Pod: {}", "x".repeat(WORDS_MAX));
        check(&unplaced(&"x".repeat(1000)), Some(&long));
    }
}
