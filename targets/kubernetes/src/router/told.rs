//! What the operator tells a router: `route.json` of its ConfigMap, as `build::route` writes it.

use k8s_openapi::api::core::v1::ConfigMap;
use planner::names::{ModelName, Version, Weight};
use serde::Deserialize;

/// The key of the ConfigMap under which a router finds what it is told.
pub(crate) const KEY: &str = "route.json";
/// The most that is read of it.
const BYTES_MAX: usize = 64 << 10;
/// The longest name of a Service.
const NAME_LENGTH_MAX: usize = 63;

/// What a router is told. What a newer operator adds is nothing to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Told {
    pub(super) model: ModelName,
    pub(super) weight: Weight,
    pub(super) stable: Served,
    /// Absent while there is none to ask.
    pub(super) canary: Option<Served>,
}

/// A track: where it is found, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Served {
    pub(super) service: String,
    pub(super) version: Version,
}

impl Told {
    /// Returns the Services that it names.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        let tracks = [Some(&self.stable), self.canary.as_ref()];
        tracks.into_iter().flatten().map(|served| served.service.as_str())
    }
}

/// Reads a ConfigMap; says what is wrong with it, where it cannot be gone by.
pub(super) fn parse(map: &ConfigMap) -> Result<Told, String> {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| format!("it has no key {KEY}"))?;
    read(text).map_err(|why| format!("{KEY}: {why}"))
}

fn read(text: &str) -> Result<Told, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("larger than {BYTES_MAX} bytes"));
    }
    // A list of the fields' values would be taken too.
    if !text.trim_start().starts_with('{') {
        return Err("no JSON object".to_owned());
    }
    let told: Told = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // They become part of a selector.
    if let Some(service) = told.services().find(|service| !is_name(service)) {
        return Err(format!("{service:?} is no name of a Service"));
    }
    if told.canary.is_none() && told.weight > Weight::ZERO {
        return Err(format!("weight {} without a canary", told.weight));
    }
    Ok(told)
}

fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: &str = r#""stable":{"service":"m-stable","version":"v20261101-010000"}"#;
    const CANARY: &str = r#""canary":{"service":"m-canary","version":"v20261101-020000"}"#;

    /// Shows what is read, or why it is refused.
    fn shown(text: &str) -> String {
        match read(text) {
            Ok(told) => {
                let services: Vec<_> = told.services().collect();
                format!("{} {} {}", told.model, told.weight, services.join(" "))
            }
            Err(why) => why,
        }
    }

    #[test]
    fn what_can_be_gone_by_is_read() {
        for (text, expected) in [
            (format!(r#"{{"model":"m","weight":0,{STABLE}}}"#), "m 0% m-stable"),
            (
                format!(r#"{{"model":"m","weight":0,{STABLE},"canary":null}}"#),
                "m 0% m-stable",
            ),
            (
                format!(r#"{{"model":"m","weight":100,{STABLE},{CANARY}}}"#),
                "m 100% m-stable m-canary",
            ),
            (
                format!(r#"{{"model":"m","weight":0,{STABLE},{CANARY},"sticky":"x-entity"}}"#),
                "m 0% m-stable m-canary",
            ),
        ] {
            assert_eq!(shown(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_operator_writes_is_read() {
        let golden = include_str!("../../tests/golden/route-aurora.yaml");
        let map = golden.split("\n---\n").next().expect("the ConfigMap comes first");
        let told = parse(&serde_yaml::from_str(map).expect("a ConfigMap")).expect("it can be gone by");
        let services: Vec<_> = told.services().collect();
        assert_eq!(services, ["wine-stable", "wine-canary"]);
        assert_eq!((told.model.as_str(), told.weight.percent()), ("wine-quality", 10));
    }

    #[test]
    fn what_cannot_is_refused_with_the_reason() {
        let long = " ".repeat(BYTES_MAX + 1);
        for (text, told) in [
            (String::new(), "no JSON object"),
            ("{".to_owned(), "EOF while parsing"),
            (format!(r#"["m",0,{{{STABLE}}},null]"#), "no JSON object"),
            (long, "larger than 65536 bytes"),
            (format!(r#"{{"weight":0,{STABLE}}}"#), "missing field `model`"),
            (format!(r#"{{"model":"m",{STABLE}}}"#), "missing field `weight`"),
            (r#"{"model":"m","weight":0}"#.to_owned(), "missing field `stable`"),
            (format!(r#"{{"model":"M/","weight":0,{STABLE}}}"#), "name"),
            (
                format!(r#"{{"model":"m","weight":101,{STABLE},{CANARY}}}"#),
                "101",
            ),
            (format!(r#"{{"model":"m","weight":-1,{STABLE},{CANARY}}}"#), "-1"),
            (
                format!(r#"{{"model":"m","weight":0.5,{STABLE},{CANARY}}}"#),
                "0.5",
            ),
            (
                format!(r#"{{"model":"m","weight":5,{STABLE}}}"#),
                "weight 5% without a canary",
            ),
            (
                r#"{"model":"m","weight":0,"stable":{"service":"a,b","version":"v20261101-010000"}}"#
                    .to_owned(),
                r#""a,b" is no name of a Service"#,
            ),
            (
                r#"{"model":"m","weight":0,"stable":{"service":"a","version":"1"}}"#.to_owned(),
                "version",
            ),
        ] {
            let shown = shown(&text);
            assert!(shown.contains(told), "{text}: {shown}");
        }
    }

    #[test]
    fn a_map_without_the_key_says_so() {
        assert_eq!(
            parse(&ConfigMap::default()),
            Err("it has no key route.json".to_owned())
        );
    }
}
