//! What a Pod's status says of its containers: values in, JSON out.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`.
    pub(crate) reason: &'static str,
    /// What it wrote as its last word.
    pub(crate) message: String,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// No process runs: why, and what is missing.
    Waiting {
        reason: &'static str,
        message: String,
    },
    Running {
        since: Timestamp,
    },
    Terminated(Ended),
}

/// One container of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) state: State,
    /// The process before this one.
    pub(crate) last: Option<Ended>,
    /// Its startup probe succeeded; true at once where it has none.
    pub(crate) is_started: bool,
    pub(crate) is_ready: bool,
    pub(crate) restarts: u32,
}

/// What becomes of a container's process that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// An init container that succeeded has done its work.
    pub(crate) fn of_init(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::OnFailure | Self::Always => Self::OnFailure,
        }
    }

    pub(crate) fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// Why a Pod fails whatever its containers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    DeadlineExceeded,
    Evicted,
}

/// All that a status is made of.
#[derive(Debug, Clone)]
pub(crate) struct PodState {
    pub(crate) policy: RestartPolicy,
    pub(crate) init: Vec<ContainerStatus>,
    pub(crate) containers: Vec<ContainerStatus>,
    pub(crate) fate: Option<Fate>,
    /// It is being ended: no container starts again.
    pub(crate) is_ending: bool,
    /// How the API names its address.
    pub(crate) address: String,
    pub(crate) started: Timestamp,
}

impl ContainerStatus {
    pub(crate) fn waiting(name: &str, image: &str, reason: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            state: State::Waiting {
                reason,
                message: String::new(),
            },
            last: None,
            is_started: false,
            is_ready: false,
            restarts: 0,
        }
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.exit_code() == Some(0)
    }

    fn exit_code(&self) -> Option<i32> {
        match &self.state {
            State::Terminated(ended) => Some(ended.exit_code),
            State::Waiting { .. } | State::Running { .. } => None,
        }
    }

    fn json(&self) -> Value {
        let mut state = json!({});
        match &self.state {
            State::Waiting { reason, message } => {
                state["waiting"] = json!({ "reason": reason, "message": message });
            }
            State::Running { since } => state["running"] = json!({ "startedAt": second(*since) }),
            State::Terminated(ended) => state["terminated"] = ended.json(),
        }
        let last = self
            .last
            .as_ref()
            .map(|ended| json!({ "terminated": ended.json() }));
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": self.image,
            "state": state,
            "lastState": last.unwrap_or_else(|| json!({})),
            "started": self.is_started,
            "ready": self.is_ready,
            "restartCount": self.restarts,
        })
    }
}

impl Ended {
    fn json(&self) -> Value {
        json!({
            "exitCode": self.exit_code,
            "reason": self.reason,
            "message": self.message,
            "startedAt": second(self.started),
            "finishedAt": second(self.finished),
        })
    }
}

impl PodState {
    pub(crate) fn phase(&self) -> &'static str {
        let is_new = |container: &ContainerStatus| {
            matches!(container.state, State::Waiting { .. }) && container.last.is_none()
        };
        let all = || self.init.iter().chain(&self.containers);
        if self.is_ending && all().all(|container| container.exit_code().is_some() || is_new(container)) {
            let has_succeeded =
                self.fate.is_none() && all().all(|container| container.exit_code() == Some(0));
            return if has_succeeded { "Succeeded" } else { "Failed" };
        }
        let has_failed = |init: &ContainerStatus| init.exit_code().is_some_and(|code| code != 0);
        if self.policy == RestartPolicy::Never && self.init.iter().any(has_failed) {
            return "Failed";
        }
        if !self.is_initialized() || self.containers.iter().any(is_new) {
            return "Pending";
        }
        let codes: Vec<_> = self.containers.iter().map(ContainerStatus::exit_code).collect();
        if codes
            .iter()
            .any(|code| code.is_none_or(|code| self.policy.restarts(code)))
        {
            "Running"
        } else if codes.iter().all(|code| *code == Some(0)) {
            "Succeeded"
        } else {
            "Failed"
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.init.iter().all(ContainerStatus::has_succeeded)
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.is_over() && self.is_initialized() && self.containers.iter().all(|container| container.is_ready)
    }

    /// Returns the status; `since` tells how long a condition has been as it is.
    pub(crate) fn json(&self, mut since: impl FnMut(&'static str, bool) -> Timestamp) -> Value {
        let ready = self.is_ready();
        let mut conditions = Vec::new();
        for (kind, is_true) in [
            ("Initialized", self.is_initialized()),
            ("ContainersReady", ready),
            ("Ready", ready),
        ] {
            conditions.push(json!({
                "type": kind,
                "status": if is_true { "True" } else { "False" },
                "lastTransitionTime": second(since(kind, is_true)),
            }));
        }
        if self.fate == Some(Fate::Evicted) {
            conditions.push(json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByKubelet",
                "lastTransitionTime": second(since("DisruptionTarget", true)),
            }));
        }
        let containers = |of: &[ContainerStatus]| of.iter().map(ContainerStatus::json).collect::<Vec<_>>();
        let reason = self.fate.map(|fate| match fate {
            Fate::DeadlineExceeded => "DeadlineExceeded",
            Fate::Evicted => "Evicted",
        });
        json!({
            "phase": self.phase(),
            "reason": reason,
            "conditions": conditions,
            "podIP": self.address,
            "podIPs": [{ "ip": self.address }],
            "startTime": second(self.started),
            "initContainerStatuses": containers(&self.init),
            "containerStatuses": containers(&self.containers),
        })
    }
}

/// Times in a Pod's status have whole seconds.
fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(word: &str) -> ContainerStatus {
        let mut status = ContainerStatus::waiting("a", "a", "ContainerCreating");
        let time = Timestamp::UNIX_EPOCH;
        let ended = |exit_code| Ended {
            exit_code,
            reason: "Error",
            message: String::new(),
            started: time,
            finished: time,
        };
        match word {
            "new" => {}
            "runs" => status.state = State::Running { since: time },
            "ready" => {
                status.state = State::Running { since: time };
                status.is_ready = true;
            }
            "again" => status.last = Some(ended(1)),
            code => status.state = State::Terminated(ended(code.parse().unwrap())),
        }
        status
    }

    /// `init | containers` as words.
    fn pod(policy: RestartPolicy, words: &str) -> PodState {
        let (init, containers) = words.split_once('|').unwrap();
        let containers_of = |words: &str| words.split_whitespace().map(container).collect();
        PodState {
            policy,
            init: containers_of(init),
            containers: containers_of(containers),
            fate: None,
            is_ending: false,
            address: "10.1.2.3".to_owned(),
            started: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn phase_is_as_the_containers_are() {
        use RestartPolicy::{Always, Never, OnFailure};
        for (words, [always, on_failure, never]) in [
            ("| new", ["Pending"; 3]),
            ("| runs new", ["Pending"; 3]),
            ("new | new", ["Pending"; 3]),
            ("runs | new", ["Pending"; 3]),
            ("0 1 | new", ["Pending", "Pending", "Failed"]),
            ("0 | runs", ["Running"; 3]),
            ("| ready 0", ["Running"; 3]),
            ("| again", ["Running"; 3]),
            ("| 0 0", ["Running", "Succeeded", "Succeeded"]),
            ("| 0 1", ["Running", "Running", "Failed"]),
        ] {
            assert_eq!(pod(Always, words).phase(), always, "{words}");
            assert_eq!(pod(OnFailure, words).phase(), on_failure, "{words}");
            assert_eq!(pod(Never, words).phase(), never, "{words}");
        }
    }

    #[test]
    fn one_that_is_ended_is_over_once_its_containers_are() {
        for (words, phase) in [
            ("| runs", "Running"),
            ("| 0", "Succeeded"),
            ("| 143", "Failed"),
            ("0 | new", "Failed"),
            ("1 | new", "Failed"),
        ] {
            let mut pod = pod(RestartPolicy::Always, words);
            pod.is_ending = true;
            assert_eq!(pod.phase(), phase, "{words}");
        }
    }

    #[test]
    fn ready_are_all_containers_or_none() {
        for (words, ready) in [
            ("| ready ready", true),
            ("0 | ready", true),
            ("| ready runs", false),
            ("runs | ready", false),
        ] {
            assert_eq!(pod(RestartPolicy::Always, words).is_ready(), ready, "{words}");
        }
    }

    #[test]
    fn one_that_is_evicted_has_failed_once_its_containers_are_over() {
        let mut pod = pod(RestartPolicy::Always, "| runs");
        pod.fate = Some(Fate::Evicted);
        pod.is_ending = true;
        assert_eq!(pod.phase(), "Running");
        pod.containers = vec![container("0")];
        let status = pod.json(|_, _| Timestamp::UNIX_EPOCH);
        assert_eq!(status["phase"], "Failed");
        assert_eq!(status["reason"], "Evicted");
        assert_eq!(status["conditions"][3]["type"], "DisruptionTarget");
        assert_eq!(
            status["conditions"][2]["lastTransitionTime"],
            "1970-01-01T00:00:00Z"
        );
    }
}
