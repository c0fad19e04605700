//! What `deploy/monitoring` holds: alert rules that fire when they should, a dashboard, and no name that a running `up` lacks.

mod scrape;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{root, run, skipped, text};

/// Not empty where these tests must run: a machine without Prometheus is a failure then.
const REQUIRED: &str = "REQUIRE_PROMETHEUS";
/// Two scrapes, a minute apart.
const SCRAPES: Duration = Duration::from_mins(2);

fn folder() -> PathBuf {
    root().join("deploy/monitoring")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Returns the alert rules.
fn rules() -> Vec<Value> {
    let file = yaml("deploy/monitoring/alerts.yaml");
    let rules: Vec<Value> = list(&file["groups"])
        .iter()
        .flat_map(|group| list(&group["rules"]))
        .cloned()
        .collect();
    assert!(!rules.is_empty());
    rules
}

/// Returns the dashboard's panels, without the rows that they lie in.
fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let panels = list(&dashboard["panels"]).iter();
    panels.filter(|panel| panel["type"] != "row").cloned().collect()
}

/// Says whether Prometheus and its tool are there; if not, that a test is skipped.
fn has_prometheus() -> bool {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let Some(missing) = ["promtool", "prometheus"]
        .into_iter()
        .find(|program| !is_there(program))
    else {
        return true;
    };
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    assert!(!is_required, "there is no {missing}: install prometheus");
    skipped(&format!(
        "a test of alerts and dashboards; it needs {missing}, by the package prometheus"
    ));
    false
}

/// Reads a time as Prometheus writes it.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("{text}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

#[test]
fn each_alert_waits_says_what_it_is_and_has_a_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## Aurora"))
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in &rules() {
        let alert = word(rule, "alert");
        let name = alert.strip_prefix("Aurora").expect(alert);
        assert!(alerts.insert(name.to_owned()), "twice: {alert}");
        assert!(duration(word(rule, "for")) > SCRAPES, "{alert}");
        let severity = word(&rule["labels"], "severity");
        assert!(matches!(severity, "page" | "ticket"), "{alert}: {severity}");
        assert!(!word(&rule["annotations"], "summary").is_empty(), "{alert}");
        let section = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert_eq!(word(&rule["annotations"], "runbook_url"), section);
        assert!(sections.contains(name), "docs/runbook.md has no section {alert}");
    }
    let alerts: BTreeSet<&str> = alerts.iter().map(String::as_str).collect();
    assert_eq!(sections, alerts, "a section without an alert");
    for section in runbook.split("\n## ").skip(1) {
        for part in ["\n**Means:** ", "\n**Look:** ", "\n**Do:** "] {
            assert!(section.contains(part), "no {part:?} in:\n{section}");
        }
    }
}

/// Of each rule that it fires and not before its time, that without series it is as it should be, and after a restart.
#[test]
fn each_rule_is_tried() {
    let tests = yaml("deploy/monitoring/alerts.test.yaml");
    let tests = list(&tests["tests"]);
    for rule in &rules() {
        let alert = word(rule, "alert");
        for case in ["fires", "absent", "restart"] {
            let name = format!("{alert}: {case}");
            let test = tests.iter().find(|test| test["name"] == name.as_str());
            let test = test.unwrap_or_else(|| panic!("no test {name}"));
            let looks: Vec<usize> = list(&test["alert_rule_test"])
                .iter()
                .filter(|look| look["alertname"] == alert)
                .map(|look| list(&look["exp_alerts"]).len())
                .collect();
            assert!(!looks.is_empty(), "{name} looks at nothing");
            let is_tried = case != "fires" || (looks[0] == 0 && looks.contains(&1));
            assert!(is_tried, "{name}: quiet first, then one alert");
        }
    }
    if has_prometheus() {
        let check = |arguments: &[&str]| {
            let output = run(Command::new("promtool").args(arguments).current_dir(folder()));
            assert!(output.status.success(), "{}", text(&output));
        };
        check(&["check", "rules", "--lint-fatal", "alerts.yaml"]);
        check(&["test", "rules", "alerts.test.yaml"]);
    }
}

#[test]
fn the_dashboard_can_be_provisioned_beside_others() {
    let text = read("deploy/monitoring/dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["id"].is_null() && dashboard.as_object().unwrap().contains_key("id"));
    assert!(!word(&dashboard, "uid").is_empty() && !word(&dashboard, "title").is_empty());
    // These work where somebody imports it by hand, and nowhere else.
    assert!(!text.contains("__inputs") && !text.contains("${DS_"));
    let variables = list(&dashboard["templating"]["list"]);
    assert!(
        variables
            .iter()
            .any(|variable| variable["name"] == "datasource" && variable["type"] == "datasource")
    );
    let mut ids = BTreeSet::new();
    for panel in &panels() {
        let title = word(panel, "title");
        assert!(
            !title.is_empty() && !word(panel, "description").is_empty(),
            "{panel}"
        );
        assert!(
            !word(&panel["fieldConfig"]["defaults"], "unit").is_empty(),
            "{title}"
        );
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        for part in std::iter::once(panel).chain(list(&panel["targets"])) {
            assert_eq!(part["datasource"]["uid"], "${datasource}", "{title}");
        }
        for target in list(&panel["targets"]) {
            let ranges = word(target, "expr").split('[').skip(1);
            for range in ranges {
                assert!(range.starts_with("$__rate_interval]"), "{title}: [{range}");
            }
        }
    }
}
