//! What commands write with `--output json`, read by the schema that `aurora schema` prints: each command, as it succeeds and as it
//! fails.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Ground, aurora, eventually, private, root, run, text};

/// The commands of which a cluster, or a registry and keys of their own, is needed to see them succeed: only their errors are read here.
const ELSEWHERE: [&str; 5] = ["control-plane", "operator", "operator release", "router", "serve"];

/// The schema, by which a member that it does not name is one too many.
struct Contract {
    schema: Value,
    schemas: Schemas,
    compiler: Compiler,
}

impl Contract {
    fn new() -> Self {
        let output = run(aurora().arg("schema"));
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut strict = schema.clone();
        for definition in strict["$defs"].as_object_mut().unwrap().values_mut() {
            close(definition, true);
        }
        let mut compiler = Compiler::new();
        compiler.add_resource("file:///output.json", strict).unwrap();
        Self {
            schema,
            schemas: Schemas::new(),
            compiler,
        }
    }

    /// Returns each command, by the name of what it answers.
    fn commands(&self) -> BTreeMap<String, String> {
        let definitions = self.schema["$defs"].as_object().unwrap();
        let answers = definitions
            .iter()
            .filter(|(name, _)| name.starts_with("answer-of-"));
        answers
            .map(|(name, answer)| {
                let told = answer["description"].as_str().unwrap();
                let command = told
                    .split("`aurora ")
                    .nth(1)
                    .unwrap()
                    .split(" --output")
                    .next()
                    .unwrap();
                (command.to_owned(), name.clone())
            })
            .collect()
    }

    /// Returns what is wrong with what a command wrote.
    fn wrong(&mut self, command: &str, document: &Value) -> Option<String> {
        let name = &self.commands()[command];
        let place = format!("file:///output.json#/$defs/{name}");
        let index = self.compiler.compile(&place, &mut self.schemas).unwrap();
        let error = self.schemas.validate(document, index).err()?;
        Some(format!("{command}: {document:#}\n{error:#}"))
    }
}

/// Lets a schema take no member that it does not name. `is_whole`: it says all that is said of a value, and not a part of it.
fn close(schema: &mut Value, is_whole: bool) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for part in members
            .get_mut(keyword)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            close(part, false);
        }
    }
    for part in members
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        close(part.1, true);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(part) = members.get_mut(keyword) {
            close(part, true);
        }
    }
    let says_members = ["properties", "anyOf", "oneOf", "allOf"]
        .iter()
        .any(|keyword| members.contains_key(*keyword));
    if is_whole && says_members && !members.contains_key("additionalProperties") {
        members.insert("unevaluatedProperties".to_owned(), false.into());
    }
}

/// Returns what a command wrote: one document on standard output, and nothing else there.
fn answer(line: &str, words: &[String]) -> (i32, Value) {
    let output = run(aurora().args(words).args(["-o", "json"]));
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|error| panic!("{line}: {error}: {}", text(&output)));
    (output.status.code().unwrap(), document)
}

#[test]
fn what_is_generated_is_what_is_committed() {
    for (path, arguments) in [
        ("docs/output.schema.json", &["schema"][..]),
        ("docs/command-line.md", &["man", "--markdown"]),
    ] {
        let output = run(aurora().args(arguments));
        let committed = std::fs::read_to_string(root().join(path)).unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed == committed, "{path}: run `cargo xtask generate`");
    }
}

#[test]
fn status_says_the_same_as_yaml_and_more_in_a_wide_table() {
    let ground = Ground::dev();
    assert!(ground.up().stop().success());
    let status = |words: &[&str]| {
        run(aurora()
            .arg("status")
            .args(words)
            .arg("--data-dir")
            .arg(ground.data()))
    };
    for model in [&[][..], &["iris"]] {
        let [json, yaml] = ["json", "yaml"].map(|form| {
            let output = status(&[model, &["-o", form]].concat());
            let mut document: Value = serde_yaml::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
            // What goes on between two looks.
            document["age_seconds"] = Value::Null;
            document
        });
        assert_eq!(json, yaml, "{model:?}");
    }
    let unknown = status(&["gone", "-o", "yaml"]);
    let said: Value = serde_yaml::from_slice(&unknown.stdout).expect("YAML");
    assert_eq!(said["error"]["message"], "no model gone is known here");

    let objects: Value = serde_json::from_slice(&status(&["-o", "json"]).stdout).expect("JSON");
    let iris = &objects["overview"]["models"][0]["stable"]["digest"];
    let digest = &iris.as_str().expect("a digest")["sha256:".len()..][..12];
    let table = |form| text(&status(&["-o", form]));
    let wide = table("wide");
    for column in [
        "stable digest",
        "canary digest",
        "since",
        "by",
        "seen",
        digest,
        "Ann",
    ] {
        assert!(wide.contains(column), "{column}: {wide}");
    }
    assert!(!table("text").contains(digest), "{}", table("text"));
}

#[test]
fn every_command_fails_with_an_error_that_the_schema_knows() {
    let mut contract = Contract::new();
    for command in contract.commands().into_keys() {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.extend(["--nonsense", "--output=json"]);
        let output = run(aurora().args(&words));
        assert_eq!(output.status.code(), Some(2), "{command}: {}", text(&output));
        // A log says it where a log's errors go.
        let logs = matches!(command.as_str(), "up" | "serve" | "control-plane");
        let written = if logs { &output.stderr } else { &output.stdout };
        let document: Value = serde_json::from_slice(written).unwrap_or_else(|_| panic!("{}", text(&output)));
        assert_eq!(contract.wrong(&command, &document), None);
        if !logs {
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains("--nonsense"), "{message}");
            assert_eq!(document["error"]["code"], 2);
            let people = String::from_utf8_lossy(&output.stderr);
            assert!(people.starts_with("error: "), "{people}");
        }
    }
}

#[test]
fn every_command_answers_as_the_schema_says() {
    let mut contract = Contract::new();
    let ground = Ground::dev();
    let (folder, data) = (TempDir::new().unwrap(), ground.data());
    let wine = "environments/dev/wine-quality.yaml";
    ground.repository.edit(wine, "weight: 10", "weight: 20");
    let mut up = ground.up();
    eventually("all serves", || {
        let output = run(aurora().args(["status", "--data-dir"]).arg(&data));
        output.status.success().then_some(())
    });
    let (inference, root) = (up.inference.to_string(), root());
    let shown = run(aurora()
        .args(["model", "show", "wine-quality", "--output=json", "--data-dir"])
        .arg(&data));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let row = shown["metadata"]["example"]["row"].as_object().unwrap();
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let cells: Vec<String> = row.values().map(ToString::to_string).collect();
    let wine = format!("{}\n{}\n", names.join(","), cells.join(","));
    std::fs::write(folder.path().join("wine.csv"), wine).unwrap();
    let key = std::fs::read_to_string(root.join("signing/src/vectors/p256.key")).unwrap();
    private(&folder.path().join("signing.key"), &key);
    let values = [
        ("{repo}", ground.repository.path().to_str().unwrap()),
        ("{data}", data.to_str().unwrap()),
        ("{folder}", folder.path().to_str().unwrap()),
        ("{inference}", &inference),
        ("{root}", root.to_str().unwrap()),
    ];
    let mut seen: BTreeSet<String> = ELSEWHERE.map(str::to_owned).into();
    seen.insert("up".to_owned());
    let mut wrong = Vec::new();
    for (code, command, arguments) in [
        (0, "status", "--data-dir {data}"),
        (0, "status", "wine-quality --data-dir {data}"),
        (2, "status", "gone --data-dir {data}"),
        (2, "status", "--data-dir {folder}"),
        (0, "events", "--data-dir {data}"),
        (0, "events", "iris --data-dir {data}"),
        (0, "rollout status", "--data-dir {data}"),
        (0, "rollout status", "wine-quality --data-dir {data}"),
        (0, "rollout pause", "wine-quality --data-dir {data}"),
        (0, "rollout resume", "wine-quality --data-dir {data}"),
        (0, "plan", "--repo {repo} --data-dir {data}"),
        (1, "plan", "--repo {repo} --base HEAD~1"),
        (0, "validate", "--repo {repo} --data-dir {data}"),
        (0, "validate", "--repo {repo} --worktree"),
        (0, "model list", "--data-dir {data}"),
        (0, "model show", "iris --data-dir {data}"),
        (
            0,
            "model describe",
            "iris stable --owner flowers --tag tier=gold --data-dir {data}",
        ),
        (2, "model describe", "iris stable --data-dir {data}"),
        (2, "model show", "gone --data-dir {data}"),
        (0, "model compare", "wine-quality --data-dir {data}"),
        (
            0,
            "model compare",
            "wine-quality stable canary --data {folder}/wine.csv --by alcohol --data-dir {data}",
        ),
        (2, "model compare", "iris --data-dir {data}"),
        (
            0,
            "predict",
            "wine-quality {folder}/wine.csv --keep alcohol --data-dir {data}",
        ),
        (
            0,
            "predict",
            "wine-quality {folder}/wine.csv --compare stable canary --data-dir {data}",
        ),
        (2, "predict", "iris {folder}/wine.csv --data-dir {data}"),
        (
            0,
            "model push",
            "survival {root}/registry/tests/models/survival.onnx --version v20261201-000000 --data-dir {data}",
        ),
        (2, "model push", "survival {folder}/wine.csv --data-dir {data}"),
        (0, "model verify", "--data-dir {data}"),
        (
            0,
            "model sign",
            "iris v20261101-120000 --key {folder}/signing.key --data-dir {data}",
        ),
        (
            2,
            "model sign",
            "iris stable --key {folder}/signing.key --data-dir {data}",
        ),
        (0, "model gc", "--dry-run --data-dir {data}"),
        (
            0,
            "doctor",
            "--repo {repo} --data-dir {data} --inference 127.0.0.1:0 --control-plane 127.0.0.1:0",
        ),
        (0, "health", "--inference {inference}"),
        (0, "key new", "ann"),
        (0, "version", ""),
        (0, "rollout abort", "wine-quality --data-dir {data}"),
        (0, "init", "--folder {folder}/own"),
        (0, "dataset split", "iris {folder}/train.csv --repo {repo}"),
        (2, "dataset split", "gone {folder}/train.csv --repo {repo}"),
        (0, "registry init", "--registry {folder}/registry"),
        (0, "train", "iris --repo {repo} --registry {folder}/registry"),
        (2, "train", "iris --repo {repo} --registry {folder}/registry"),
        (
            0,
            "pin",
            "wine-quality v20261121-000000 --repo {repo} --dry-run --track canary",
        ),
        (0, "promote", "wine-quality --repo {repo} --dry-run"),
        (
            0,
            "rollback",
            "wine-quality --track canary --repo {repo} --dry-run",
        ),
        (
            0,
            "reconcile",
            "--once --repo {folder}/own --data-dir {folder}/data",
        ),
    ] {
        let line = format!("{command} {arguments}");
        let mut words = Vec::new();
        for word in line.split_whitespace() {
            let mut word = word.to_owned();
            for (name, value) in values {
                word = word.replace(name, value);
            }
            words.push(word);
        }
        let (ended, document) = answer(&line, &words);
        if ended != code {
            wrong.push(format!("{line}: {ended}, not {code}: {document:#}"));
        }
        wrong.extend(contract.wrong(command, &document));
        seen.insert(command.to_owned());
    }
    up.event("it hears of the abort", |event| event["state"] == "Aborted");
    for event in up.events() {
        wrong.extend(contract.wrong("up", &event));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<String> = contract.commands().into_keys().collect();
    assert_eq!(seen, all, "a command that answers has a line here");
}

#[test]
fn a_member_that_the_schema_does_not_name_is_one_too_many() {
    let mut contract = Contract::new();
    let document = json!({ "name": "ann", "key": "k", "line": "ann:00" });
    assert_eq!(contract.wrong("key new", &document), None);
    let mut document = document;
    document["more"] = 1.into();
    assert!(contract.wrong("key new", &document).is_some());
}
