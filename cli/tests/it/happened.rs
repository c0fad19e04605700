//! What happened, as `aurora events` tells it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Ground, aurora, eventually, run, text};

const WINE: &str = "environments/dev/wine-quality.yaml";

#[test]
fn what_happened_is_told_after_the_end_with_who_and_which_commit() {
    let ground = Ground::dev();
    let data = ground.data();
    let events = |arguments: &[&str]| {
        let output = run(aurora()
            .arg("events")
            .args(arguments)
            .arg("--data-dir")
            .arg(&data));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let parsed = |arguments: &[&str]| serde_json::from_str::<Value>(&events(arguments)).unwrap();
    let up = ground.up();
    let raise = ground
        .repository
        .edit(WINE, "weight: 10", "weight: 50")
        .to_string();
    eventually("the raise is kept", || {
        events(&["wine-quality"])
            .contains("canary weight: 10% -> 50%")
            .then_some(())
    });
    assert_eq!(up.stop().code(), Some(0));

    let said = events(&[]);
    let line = said.lines().find(|line| line.contains("10% -> 50%")).unwrap();
    assert!(line.contains(" UTC * "), "{line}");
    assert!(line.ends_with(&format!("({} by Ann)", &raise[..10])), "{line}");
    assert!(said.lines().last().unwrap().contains("aurora stopped"), "{said}");

    // A model's events are its own, its object's and its jobs'.
    let kept = parsed(&["wine-quality", "--since", "1h", "--output", "json"]);
    let subjects: Vec<&str> = kept["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["subject"].as_str().unwrap())
        .collect();
    for subject in [
        "model wine-quality",
        "MLDeployment/wine-quality",
        "MLTrainingJob/wine-quality-linear",
    ] {
        assert!(subjects.contains(&subject), "{subject}: {subjects:?}");
    }
    assert!(
        subjects.iter().all(|subject| subject.contains("wine-quality")),
        "{subjects:?}"
    );
    assert_eq!(
        parsed(&["--since", "2999-01-01T00:00:00Z", "--output", "json"])["events"],
        serde_json::json!([])
    );

    // Whoever watches gets a document a line.
    for command in ["events", "status iris", "status"] {
        let mut child = aurora()
            .args(command.split(' '))
            .args(["--watch", "-o", "json", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{command}: {line}");
    }

    // Where nothing was kept, the objects remember their newest changes.
    std::fs::remove_file(data.join("events.jsonl")).unwrap();
    let said = events(&[]);
    assert!(said.contains("MLDeployment/wine-quality: "), "{said}");
    assert!(said.contains(&raise[..10]), "{said}");
}

#[test]
fn a_command_line_that_names_no_time_is_refused() {
    for since in ["yesterday", "1w", "2026-11-29"] {
        let output = run(aurora().args(["events", "--since", since]));
        assert_eq!(output.status.code(), Some(2), "{since}");
        assert!(text(&output).contains("expected a time"), "{}", text(&output));
    }
}
