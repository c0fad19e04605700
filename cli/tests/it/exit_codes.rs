//! Each command's exit codes, as `docs/cli.md` lists them.

use std::fs;

use rustix::process::Signal;

use crate::harness::{FREE_PORTS, Ground, Repository, aurora, eventually, run, text, up_command};

const WINE: &str = "environments/dev/wine-quality.yaml";

/// Runs a command line, with `{…}` filled in, and compares its exit code.
#[track_caller]
fn exits(code: i32, line: &str, values: &[(&str, &str)]) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let mut word = word.to_owned();
        for (name, value) in values {
            word = word.replace(&format!("{{{name}}}"), value);
        }
        words.push(word);
    }
    let output = run(aurora().args(&words));
    assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output));
    text(&output)
}

#[test]
fn commands_that_need_no_data_directory() {
    let sound = Repository::dev();
    let broken = Repository::dev();
    broken.edit(WINE, "weight: 10", "weight: ten");
    let folder = tempfile::TempDir::new().unwrap();
    let registry = folder.path().join("registry");
    let values = [
        ("sound", sound.path().to_str().unwrap()),
        ("broken", broken.path().to_str().unwrap()),
        ("none", folder.path().to_str().unwrap()),
        ("registry", registry.to_str().unwrap()),
    ];
    for (code, line) in [
        (0, "crds"),
        (0, "key new ann"),
        (0, "--help"),
        (0, "--version"),
        (2, "key new Not-A-Name"),
        (2, "up --nonsense"),
        (2, "nonsense"),
        (0, "validate --repo {sound} --data-dir {none}/d"),
        (0, "validate --repo {sound} --data-dir {none}/d --worktree"),
        (1, "validate --repo {broken} --data-dir {none}/d"),
        (2, "validate --repo {none}"),
        (2, "validate --repo {sound} --revision gone"),
        (0, "plan --repo {sound} --base HEAD"),
        (2, "plan --repo {broken} --base HEAD~1"),
        (2, "plan --repo {sound} --base gone"),
        (2, "plan --repo {sound} --data-dir {none}/d"),
        (2, "status --data-dir {none}/d"),
        (2, "rollout status --data-dir {none}/d"),
        (2, "rollout pause iris --data-dir {none}/d"),
        (2, "serve --data-dir {none}/d"),
        (2, "control-plane --data-dir {none}/d"),
        (2, "model list --registry {registry}"),
        (0, "registry init --registry {registry}"),
        (0, "registry init --registry {registry}"),
        (0, "registry init --registry {registry} --output json"),
        (2, "registry init --registry {registry} --environment prod"),
        (2, "registry init --registry {registry} --installation another"),
        (0, "model list --registry {registry}"),
        (0, "model verify --registry {registry}"),
        (2, "model show iris --registry {registry}"),
        (2, "train gone --repo {sound} --registry {registry}"),
        (0, "train iris --repo {sound} --registry {registry}"),
        (0, "model show iris v20261101-120000 --registry {registry}"),
        (2, "train iris --repo {sound} --registry {registry}"),
        (2, "up --repo {none} --data-dir {none}/d"),
        (2, "reconcile --once --repo {none} --data-dir {none}/d"),
    ] {
        exits(code, line, &values);
    }
    let iris = "environments/dev/iris.yaml";
    let other = sound.read(iris).replace("v20261101-120000", "v20261101-120001");
    sound.write(iris, other.replace("minimum: 0.9", "minimum: 0.9999"));
    sound.commit("a version that is never good enough");
    exits(3, "train iris --repo {sound} --registry {registry}", &values);
    exits(1, "plan --repo {sound} --base HEAD~1", &values);
    let artifact = registry.join("aurora/iris/versions/v20261101-120000/model.onnx");
    let mut bytes = fs::read(&artifact).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&artifact).unwrap();
    fs::write(&artifact, bytes).unwrap();
    exits(1, "model verify --registry {registry}", &values);
    exits(2, "model gc --registry {registry} --data-dir {none}/d", &values);
}

#[test]
fn commands_that_look_at_a_data_directory() {
    let ground = Ground::dev();
    let data = ground.data();
    let values = [
        ("repo", ground.repository.path().to_str().unwrap()),
        ("data", data.to_str().unwrap()),
    ];
    exits(0, "reconcile --once --repo {repo} --data-dir {data}", &values);
    // It was reconciled, and nobody serves it.
    exits(1, "status --data-dir {data}", &values);
    // Whoever looks later learns why the last one failed.
    exits(
        2,
        "reconcile --once --repo {data}/nowhere --data-dir {data}",
        &values,
    );
    let said = exits(1, "status --data-dir {data}", &values);
    assert!(said.contains("the last that tried failed: "), "{said}");
    exits(0, "reconcile --once --repo {repo} --data-dir {data}", &values);
    let said = exits(1, "status --data-dir {data}", &values);
    assert!(!said.contains("the last that tried failed: "), "{said}");
    let said = exits(2, "rollout pause wine-quality --data-dir {data}", &values);
    assert!(said.contains("counts as soon as `aurora up` runs"), "{said}");
    let said = exits(2, "rollout resume wine-quality --data-dir {data}", &values);
    assert!(said.contains("is lifted"), "{said}");

    let mut up = ground.up();
    eventually("it is as declared", || {
        let output = run(aurora().args(["status", "--data-dir", data.to_str().unwrap()]));
        output.status.success().then_some(())
    });
    for (code, line) in [
        (0, "status --data-dir {data}"),
        (0, "status --data-dir {data} --output json"),
        (0, "rollout status --data-dir {data}"),
        (0, "rollout status wine-quality --data-dir {data}"),
        (2, "rollout status gone --data-dir {data}"),
        (0, "plan --repo {repo} --data-dir {data}"),
        (0, "validate --repo {repo} --data-dir {data}"),
        (0, "model verify --data-dir {data}"),
        (0, "model gc --data-dir {data}"),
        (2, "rollout abort iris --data-dir {data}"),
        (0, "rollout pause wine-quality --data-dir {data}"),
        (0, "rollout resume wine-quality --data-dir {data}"),
        (2, "up --repo {repo} --data-dir {data} --inference 127.0.0.1:0"),
        (0, "rollout abort wine-quality --reason slow --data-dir {data}"),
        (1, "rollout status wine-quality --data-dir {data}"),
        (1, "status --data-dir {data}"),
    ] {
        exits(code, line, &values);
    }
    let shown = exits(
        1,
        "rollout status wine-quality --output json --data-dir {data}",
        &values,
    );
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["model"], "wine-quality");
    assert_eq!(
        (&shown["weight"], &shown["declared"]["weight"]),
        (&0.into(), &10.into())
    );
    assert!(
        shown["aborted"]["reason"].as_str().unwrap().contains("slow"),
        "{shown:#}"
    );

    ground.repository.edit(WINE, "weight: 10", "weight: ten");
    up.event("the finding is told", |event| event["event"] == "finding");
    exits(1, "status --data-dir {data}", &values);
    exits(2, "plan --repo {repo} --data-dir {data}", &values);
    exits(1, "validate --repo {repo} --data-dir {data}", &values);
    let shown = exits(1, "rollout status wine-quality --data-dir {data}", &values);
    assert!(shown.contains("InvalidManifest"), "{shown}");
    assert_eq!(up.stop().code(), Some(0));
    let said = exits(1, "status --data-dir {data}", &values);
    assert!(said.contains("not running"), "the lock tells at once: {said}");
    exits(1, "reconcile --once --repo {repo} --data-dir {data}", &values);
}

#[test]
fn a_second_signal_is_told_by_the_exit_code() {
    let ground = Ground::dev();
    let mut up = ground.up();
    // An open request keeps the drain waiting.
    let mut half = std::net::TcpStream::connect(up.inference).unwrap();
    std::io::Write::write_all(
        &mut half,
        b"POST /predict/iris HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{",
    )
    .unwrap();
    up.signal(Signal::TERM);
    up.event("it says that it stops", |event| event["event"] == "stopping");
    up.signal(Signal::TERM);
    let status = eventually("the second signal ends it", || up.ended());
    assert_eq!(status.code(), Some(130));
}

#[test]
fn the_addresses_are_said_although_nothing_loads() {
    let ground = Ground::dev();
    let iris = "environments/dev/iris.yaml";
    for path in [iris, WINE] {
        let text = ground.repository.read(path);
        ground
            .repository
            .write(path, text.replace("builtin:", "builtin:no-"));
    }
    ground.repository.commit("nothing can be trained");
    let mut command = up_command(ground.repository.path(), &ground.data());
    let mut child = command
        .args(FREE_PORTS)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.starts_with("listening at http://127.0.0.1:"), "{first}");
    assert_eq!(first.matches("http://127.0.0.1:").count(), 2, "{first}");
}
