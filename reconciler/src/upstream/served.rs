//! What another environment's control plane says of the version that serves there as stable, and since when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use planner::Timestamp;
use planner::deployment::Pin;
use planner::endpoint::Endpoint;
use planner::gates::Promoted;
use planner::names::{Digest, ModelName, Version};
use serde::Deserialize;

use super::ControlPlanes;
use super::rounds::{Round, Rounds};

/// How often a control plane is asked again while anything depends on its answer.
const EVERY: Duration = Duration::from_secs(30);
/// How soon it is asked again where it gave none.
const AGAIN: Duration = Duration::from_secs(5);
/// How old that what it knows may be, in seconds: its own processes look every few seconds.
const AGE_SECONDS_MAX: f64 = 60.0;

/// What serves as stable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Served {
    /// This version, since this time.
    Since(Version, Digest, Timestamp),
    /// Nothing, or not what its registry says: why.
    Nothing(String),
}

/// The parts of `/status/models/{model}` that are read.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    deployments: Vec<Deployment>,
    #[serde(default)]
    stable: Option<Moved>,
    age_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Deployment {
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    stable: Option<Track>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Track {
    version: Version,
    digest: Digest,
}

#[derive(Debug, Deserialize)]
struct Moved {
    #[serde(flatten)]
    to: Track,
    since: Timestamp,
}

impl Served {
    /// Reads an answer.
    fn read(answer: &[u8]) -> Result<Self, String> {
        let Answer {
            deployments,
            stable,
            age_seconds,
        } = serde_json::from_slice(answer).map_err(|error| format!("it answers something else: {error}"))?;
        known_now(age_seconds)?;
        let mut tracks = deployments.into_iter().filter_map(|found| found.status?.stable);
        let Some(serves) = tracks.next() else {
            return Ok(Self::Nothing("nothing serves there as stable".to_owned()));
        };
        match stable {
            Some(moved) if moved.to == serves => Ok(Self::Since(serves.version, serves.digest, moved.since)),
            Some(_) | None => Ok(Self::Nothing(format!(
                "{} serves there, and its registry does not say since when",
                serves.version
            ))),
        }
    }

    /// Says what that means for a pin.
    pub(crate) fn of(&self, pin: &Pin) -> Promoted {
        match self {
            Self::Nothing(what) => Promoted::Not(what.clone()),
            Self::Since(version, _, _) if *version != pin.version => {
                Promoted::Not(format!("it serves {version}"))
            }
            Self::Since(version, digest, since) => match pin.digest {
                Some(pinned) if pinned == *digest => Promoted::Since(*since),
                Some(_) => Promoted::Not(format!("its {version} is another artifact ({})", digest.short())),
                None => Promoted::Unknown(format!("nobody can say which artifact {version} is here")),
            },
        }
    }
}

/// Refuses knowledge that is too old to count.
pub(super) fn known_now(age_seconds: Option<f64>) -> Result<(), String> {
    match age_seconds {
        Some(age) if age <= AGE_SECONDS_MAX => Ok(()),
        Some(age) => Err(format!("what it knows is {age:.0} s old")),
        None => Err("it does not say how old that is what it knows".to_owned()),
    }
}

type Key = (ModelName, Endpoint);
/// What is known of a model; nothing while the first answer is still to come, and why where there is none.
pub(crate) type Known = Option<Result<Served, String>>;

/// What was asked, and what came of it.
pub(crate) struct Statuses(Rounds<Key, Known>);

impl Statuses {
    /// Asks by `planes`.
    pub(crate) fn new(planes: Arc<dyn ControlPlanes>) -> Self {
        Self(Rounds::new(
            "statuses",
            move |(model, at): &Key, _before: &Known| {
                let answer = ask(Some(planes.as_ref()), at, model);
                let pause = if answer.is_ok() { EVERY } else { AGAIN };
                Round::Again(Some(answer), pause)
            },
        ))
    }

    /// Returns what is known of a model; `None` while the first answer is still to come.
    pub(crate) fn of(&self, at: &Endpoint, model: &ModelName) -> Known {
        let key = (model.clone(), at.clone());
        if let Some(known) = self.0.get(&key) {
            return known;
        }
        self.0.put(key, None);
        None
    }

    /// Forgets what was not asked of these models.
    pub(crate) fn keep(&self, models: &BTreeSet<ModelName>, asked: &BTreeSet<Key>) {
        self.0
            .retain(|key, _known| !models.contains(&key.0) || asked.contains(key));
    }

    /// Takes the models of which there is another answer.
    pub(crate) fn news(&self) -> impl Iterator<Item = ModelName> {
        self.0.news().into_iter().map(|(model, _at)| model)
    }
}

/// Asks a control plane, and waits for its answer.
pub(crate) fn ask(
    planes: Option<&dyn ControlPlanes>,
    at: &Endpoint,
    model: &ModelName,
) -> Result<Served, String> {
    let planes = planes.ok_or_else(|| "nobody asks it".to_owned())?;
    match planes.status(at, model)? {
        Some(answer) => Served::read(&answer),
        None => Ok(Served::Nothing("it does not serve that model".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "v20261101-120000";
    const V2: &str = "v20261120-093000";

    fn answer(serves: &str, stable: &str, age: &str) -> Vec<u8> {
        format!(
            r#"{{ "model": "m", "deployments": [{{ "status": {{ "stable": {serves} }} }}], "stable": {stable}, "age_seconds": {age}, "more": 1 }}"#
        )
        .into_bytes()
    }

    fn track(version: &str, bytes: &str, more: &str) -> String {
        let digest = Digest::of(bytes.as_bytes());
        format!(r#"{{ "version": "{version}", "digest": "{digest}"{more} }}"#)
    }

    #[test]
    fn an_answer_says_since_when_a_pin_is_what_serves() {
        let since = r#", "since": "2026-11-20T10:00:00Z""#;
        let (one, two) = (track(V1, "a", ""), track(V2, "b", ""));
        let (moved, other) = (track(V1, "a", since), track(V2, "b", since));
        for (answer, expected) in [
            (answer(&one, &moved, "3.5"), "since 2026-11-20 10:00:00 UTC"),
            (answer(&two, &other, "3.5"), "not: it serves v20261120-093000"),
            (
                answer(&track(V1, "c", ""), &track(V1, "c", since), "0"),
                "not: its v20261101-120000 is another artifact (2e7d2c03a950)",
            ),
            (
                answer(&one, &other, "0"),
                "not: v20261101-120000 serves there, and its registry does not say since when",
            ),
            (
                answer(&one, "null", "0"),
                "not: v20261101-120000 serves there, and its registry does not say since when",
            ),
            (answer("null", &moved, "0"), "not: nothing serves there as stable"),
            (answer(&one, &moved, "61"), "unknown: what it knows is 61 s old"),
            (
                answer(&one, &moved, "null"),
                "unknown: it does not say how old that is what it knows",
            ),
            (
                b"<html>".to_vec(),
                "unknown: it answers something else: expected value at line 1 column 1",
            ),
        ] {
            let pin = Pin {
                version: V1.parse().unwrap(),
                digest: Some(Digest::of(b"a")),
            };
            let promoted = match Served::read(&answer) {
                Ok(served) => served.of(&pin),
                Err(why) => Promoted::Unknown(why),
            };
            let shown = match promoted {
                Promoted::Since(since) => format!("since {since}"),
                Promoted::Not(what) => format!("not: {what}"),
                Promoted::Unknown(why) => format!("unknown: {why}"),
                Promoted::Asked => "asked".to_owned(),
            };
            assert_eq!(shown, expected, "{}", String::from_utf8_lossy(&answer));
        }
    }
}
