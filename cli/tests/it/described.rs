//! What `aurora model show` says of a version, and what people say of it.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Ground, aurora, get, run, skipped, text};

#[test]
fn a_version_is_shown_with_what_it_predicts_how_it_is_asked_and_what_people_say_of_it() {
    let ground = Ground::dev();
    let data = ground.data();
    let up = ground.up();
    let inference = up.inference.to_string();
    let show = |arguments: &[&str]| {
        let output = run(aurora()
            .args(["model", "show"])
            .args(arguments)
            .args(["--inference", &inference, "--data-dir"])
            .arg(&data));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for (model, track, target, classes, answer) in [
        (
            "iris",
            "stable",
            "one of 3 classes",
            Some("classes"),
            "\"predictions\"",
        ),
        ("wine-quality", "stable", "a number", None, "\"predictions\""),
        ("wine-quality", "canary", "a number", None, "\"predictions\""),
    ] {
        let said = show(&[model, track]);
        let row = |name: &str| {
            said.lines()
                .find(|line| line.starts_with(name))
                .map(str::to_owned)
        };
        assert!(row("target").unwrap().contains(target), "{said}");
        assert_eq!(row("classes").is_some(), classes.is_some(), "{said}");
        assert_eq!(row("owner"), None, "{said}");
        let line = row("try").unwrap();
        let line = line.trim_start_matches("try").trim();
        assert_eq!(line.contains("aurora-track: canary"), track == "canary", "{line}");
        if Command::new("curl").arg("--version").output().is_err() {
            skipped("the printed request; it needs the command curl");
            continue;
        }
        let answered = run(Command::new("sh").args(["-c", line]));
        assert!(text(&answered).contains(answer), "{line}: {}", text(&answered));
    }

    let describe = |arguments: &[&str]| {
        let output = run(aurora()
            .args(["model", "describe", "iris"])
            .args(arguments)
            .arg("--data-dir")
            .arg(&data)
            .env("USER", "ann"));
        (output.status.code().unwrap(), text(&output))
    };
    let digest = |said: &str| {
        said.lines()
            .find(|line| line.starts_with("digest"))
            .unwrap()
            .to_owned()
    };
    let before = digest(&show(&["iris"]));
    let (code, said) = describe(&[
        "stable",
        "--owner",
        "flowers",
        "--description",
        "of 1936",
        "--tag",
        "tier=gold",
    ]);
    assert_eq!(code, 0, "{said}");
    let said = show(&["iris"]);
    for row in ["flowers", "of 1936", "tier=gold", " by ann"] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert_eq!(digest(&said), before);
    let shown: Value = serde_json::from_str(&show(&["iris", "-o", "json"])).unwrap();
    assert_eq!(shown["description"]["tags"]["tier"], "gold");
    let listed = get(up.control_plane, "/models/iris").json();
    assert_eq!(
        listed["versions"][0]["description"]["owner"], "flowers",
        "{listed:#}"
    );
    let verified = run(aurora().args(["model", "verify", "--data-dir"]).arg(&data));
    assert!(verified.status.success(), "{}", text(&verified));

    for (arguments, expected) in [
        (&["stable"][..], "--owner"),
        (&["stable", "--tag", "gold"], "NAME=VALUE"),
        (&["v20200101-000000", "--owner", "x"], "v20200101-000000"),
        (&["stable", "--owner", &"x".repeat(300)], "300 characters"),
    ] {
        let (code, said) = describe(arguments);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
