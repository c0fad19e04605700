//! What `aurora doctor` says of set-ups that work and of ones that do not.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{FREE_PORTS, Ground, aurora, run, skipped, text, without_settings};

/// Returns the exit code, and by subject the verdict with what is said.
fn look(ground: &Ground, arguments: &[&str]) -> (i32, BTreeMap<String, (String, String)>) {
    let output = run(aurora()
        .args(["doctor", "--output", "json", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data())
        .args(arguments));
    let diagnosis: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let code = output.status.code().unwrap();
    assert_eq!(diagnosis["healthy"], code == 0, "{diagnosis:#}");
    let word = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    let checks = diagnosis["checks"].as_array().unwrap().iter();
    let said = |check: &Value| format!("{}; next: {}", word(check, "message"), word(check, "next"));
    (
        code,
        checks
            .map(|check| (word(check, "subject"), (word(check, "verdict"), said(check))))
            .collect(),
    )
}

#[track_caller]
fn fails(ground: &Ground, arguments: &[&str], subject: &str, expected: &[&str]) {
    let (code, checks) = look(ground, arguments);
    assert_eq!(code, 1, "{checks:#?}");
    let failed: Vec<_> = checks
        .iter()
        .filter(|(_, (verdict, _))| verdict == "fail")
        .collect();
    let [(found, (_, said))] = failed[..] else {
        panic!("{failed:#?}");
    };
    assert_eq!(found, subject);
    for words in expected {
        assert!(said.contains(words), "{words}: {said}");
    }
}

fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            all.push(format!(
                "{} {:?}",
                entry.path().display(),
                entry.metadata().unwrap().modified().unwrap()
            ));
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    all.sort();
    all
}

#[test]
fn each_part_that_is_broken_is_named_with_what_to_do() {
    let ground = Ground::dev();
    let (code, checks) = look(&ground, &FREE_PORTS);
    assert_eq!(code, 0, "{checks:#?}");
    let subjects: Vec<&str> = checks.keys().map(String::as_str).collect();
    let expected = [
        "clock",
        "control-plane",
        "data",
        "files",
        "git",
        "inference",
        "memory",
        "processes",
        "registry",
        "time-zones",
    ];
    assert_eq!(subjects, expected);
    assert!(!ground.data().exists(), "it makes nothing");

    let with = |arguments: &[&'static str]| [&FREE_PORTS[..], arguments].concat();
    fails(
        &ground,
        &with(&["--environment", "gone"]),
        "git",
        &["environments/gone", "--environment", "dev"],
    );
    fails(&ground, &with(&["--branch", "gone"]), "git", &["gone"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ports = ["--inference", &address, "--control-plane", "127.0.0.1:0"];
    fails(&ground, &ports, "inference", &["in use", "--inference"]);
    let open = ["--inference", "0.0.0.0:0", "--control-plane", "127.0.0.1:0"];
    fails(&ground, &open, "inference", &["aurora key new"]);
    fails(
        &ground,
        &with(&["--onnxruntime", "/nowhere/libonnxruntime.so"]),
        "onnxruntime",
        &["cannot be started", "beside aurora"],
    );

    // One that was used: its registry has to be there, and be its own.
    let up = ground.up();
    let (code, checks) = look(&ground, &[]);
    assert_eq!(code, 0, "{checks:#?}");
    assert!(checks["data"].1.contains("running"), "{checks:#?}");
    assert_eq!(up.stop().code(), Some(0));
    let before = tree(&ground.data());
    assert_eq!(look(&ground, &FREE_PORTS).0, 0);
    assert_eq!(tree(&ground.data()), before, "it writes nothing");
    let installation = ground.data().join("installation");
    let id = fs::read_to_string(&installation).unwrap();
    fs::write(&installation, "another\n").unwrap();
    fails(
        &ground,
        &FREE_PORTS,
        "registry",
        &[
            "is not that of environment dev, installation another",
            "installation",
        ],
    );
    fs::write(&installation, id).unwrap();
    fs::rename(ground.data().join("registry"), ground.data().join("moved")).unwrap();
    fails(&ground, &FREE_PORTS, "registry", &["volume is mounted"]);
    fs::rename(ground.data().join("moved"), ground.data().join("registry")).unwrap();

    fs::set_permissions(ground.data(), fs::Permissions::from_mode(0o777)).unwrap();
    fails(&ground, &FREE_PORTS, "data", &["chmod"]);
    fs::set_permissions(ground.data(), fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        skipped("a registry that may not be written in; root may write anywhere");
        return;
    }
    let registry = ground.data().join("registry");
    fs::set_permissions(&registry, fs::Permissions::from_mode(0o500)).unwrap();
    fails(
        &ground,
        &FREE_PORTS,
        "registry",
        &["cannot be written in", "read-only"],
    );
    fs::set_permissions(&registry, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_file_limit_that_is_low_is_a_warning_and_the_verdict_stands_last() {
    let ground = Ground::dev();
    let output = run(without_settings(Command::new("sh"))
        .args([
            "-c",
            "ulimit -n 256 && exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_aurora"),
            "doctor",
            "--repo",
        ])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data())
        .args(FREE_PORTS));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warn  files: 256 files may be open"), "{said}");
    assert!(said.contains("next: raise it: ulimit -n"), "{said}");
    assert!(
        said.lines()
            .last()
            .unwrap()
            .contains("nothing failed of 10 checks"),
        "{said}"
    );
}
