//! How many requests come for a model, as the control plane of its environment counts them.

use planner::endpoint::Endpoint;
use planner::names::ModelName;
use serde::Deserialize;

use super::ControlPlanes;
use super::served::known_now;

/// The control plane that counts the requests of the environment that a comparison is about.
#[derive(Debug, Clone, Copy)]
pub struct Traffic<'a> {
    /// Who asks it.
    pub planes: &'a dyn ControlPlanes,
    /// Where it is.
    pub at: &'a Endpoint,
}

/// The parts of `/status/models/{model}` that are read.
#[derive(Debug, Deserialize)]
struct Answer {
    /// Absent where nobody counts.
    #[serde(default)]
    traffic: Option<Tracks>,
    age_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
struct Tracks {
    #[serde(default)]
    stable: Option<Counted>,
    #[serde(default)]
    canary: Option<Counted>,
}

/// What a track answered over the last minute.
#[derive(Debug, Deserialize)]
struct Counted {
    per_second: Option<f64>,
}

/// Asks for one model after the other, and for no other once nobody answers.
#[derive(Debug)]
pub(crate) struct Rates<'a> {
    traffic: Traffic<'a>,
    silent: Option<String>,
}

impl<'a> Rates<'a> {
    pub(crate) fn new(traffic: Traffic<'a>) -> Self {
        Self {
            traffic,
            silent: None,
        }
    }

    /// Returns how many requests a second came for a model over the last minute, on both tracks; else why nobody knows.
    pub(crate) fn of(&mut self, model: &ModelName) -> Result<f64, String> {
        if let Some(why) = &self.silent {
            return Err(why.clone());
        }
        let Traffic { planes, at } = self.traffic;
        let answer = planes.status(at, model).map_err(|why| {
            let why = format!("{at}: {why}");
            self.silent = Some(why.clone());
            why
        })?;
        let answer = answer.ok_or_else(|| format!("{at} does not serve {model}"))?;
        per_second(&answer).map_err(|why| format!("{at}: {why}"))
    }
}

fn per_second(answer: &[u8]) -> Result<f64, String> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|error| format!("it answers something else: {error}"))?;
    known_now(answer.age_seconds)?;
    let Tracks { stable, canary } = answer.traffic.unwrap_or_default();
    let counted: Vec<Counted> = stable.into_iter().chain(canary).collect();
    let rates: Option<Vec<f64>> = counted.iter().map(|counted| counted.per_second).collect();
    match rates {
        Some(rates) if !rates.is_empty() && rates.iter().all(|rate| *rate >= 0.0) => Ok(rates.iter().sum()),
        Some(_) | None => Err("it does not say how many requests come".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_many_requests_come() {
        let silent = Err("it does not say how many requests come");
        for (traffic, expected) in [
            (
                r#"{ "stable": { "requests": 600, "per_second": 10.0 }, "canary": { "per_second": 2.5 } }"#,
                Ok(12.5),
            ),
            (r#"{ "stable": { "per_second": 0.0 }, "canary": null }"#, Ok(0.0)),
            // One track that nobody counts makes the sum unknown.
            (
                r#"{ "stable": { "per_second": 10.0 }, "canary": { "per_second": null } }"#,
                silent,
            ),
            (r#"{ "stable": { "per_second": -1.0 } }"#, silent),
            ("{}", silent),
            ("null", silent),
        ] {
            let answer = format!(r#"{{ "traffic": {traffic}, "age_seconds": 3.5 }}"#);
            let got = per_second(answer.as_bytes());
            assert_eq!(got, expected.map_err(str::to_owned), "{traffic}");
        }
        for (answer, why) in [
            (
                r#"{ "age_seconds": 1 }"#,
                "it does not say how many requests come",
            ),
            (
                r#"{ "traffic": { "stable": { "per_second": 1 } }, "age_seconds": 61 }"#,
                "what it knows is 61 s old",
            ),
            (
                r#"{ "traffic": 7, "age_seconds": 1 }"#,
                "it answers something else",
            ),
        ] {
            let got = per_second(answer.as_bytes()).expect_err(answer);
            assert!(got.starts_with(why), "{answer}: {got}");
        }
    }
}
