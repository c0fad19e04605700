use serde_json::{Value, json};

use planner::word::Word;

use super::*;

const REVISION: &str = "8cdae6d33b8cdae6d33b8cdae6d33b8cdae6d33b";

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn deployment(name: &str, model: &str, status: &Value) -> Arc<MLDeployment> {
    let object = serde_json::from_value(json!({
        "apiVersion": "aurora.io/v1alpha1", "kind": "MLDeployment",
        "metadata": { "name": name, "annotations": { "aurora.io/revision": REVISION } },
        "spec": { "modelName": model, "stable": { "version": "v20261101-120000", "digest": digest() } },
        "status": status,
    }));
    Arc::new(object.unwrap())
}

fn training(name: &str, model: &str, status: &Value) -> Arc<MLTrainingJob> {
    let object = serde_json::from_value(json!({
        "apiVersion": "aurora.io/v1alpha1", "kind": "MLTrainingJob", "metadata": { "name": name },
        "spec": {
            "modelName": model, "version": "v20261101-120000", "dataset": { "uri": "builtin:iris" },
            "algorithm": "logistic_regression", "evaluation": { "metric": "accuracy", "minimum": 0.9 },
        },
        "status": status,
    }));
    Arc::new(object.unwrap())
}

/// A status of a model that serves what Git declares.
fn idle() -> Value {
    let pin = json!({ "version": "v20261101-120000", "digest": digest() });
    json!({
        "state": "Idle", "stable": pin,
        "memory": {
            "format": 1, "state": "Idle", "since": "2026-11-01T12:05:00Z", "stable": pin, "canary": null, "weight": 0,
            "lost": null, "paused": null, "history": [],
        },
    })
}

fn view(findings: &Value, waits: &Value) -> View {
    let environment = serde_json::from_value(json!({
        "apiVersion": "aurora.io/v1alpha1", "kind": "MLEnvironment", "metadata": { "name": "dev" },
        "spec": { "target": "Standalone" },
        "status": {
            "appliedRevision": REVISION, "findings": findings, "waits": waits,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Applied", "message": "",
                "lastTransitionTime": "2026-11-01T12:00:00Z",
            }],
        },
    }));
    View {
        environment: Some(environment.unwrap()),
        ..View::default()
    }
}

/// Renders each model with its word, and the environment's.
fn words(view: &View) -> String {
    let Overview { environment, models } = view.overview(None);
    let said = |standing: &StandingRow| format!("{} {}", standing.word, standing.reason);
    let mut words: Vec<String> = models
        .iter()
        .map(|row| {
            format!(
                "{}: {}",
                row.model,
                row.standing.as_ref().map_or_else(|| "-".to_owned(), said)
            )
        })
        .collect();
    words.push(said(&environment.standing));
    words.join(", ")
}

fn finding(subject: &str, reason: &str) -> Value {
    json!({ "subject": subject, "reason": reason, "message": "what is wrong", "hint": "what to do" })
}

#[test]
fn what_is_said_of_an_object_is_said_of_its_model() {
    let check = |findings: &Value, waits: &Value, expected: &str| {
        let mut view = view(findings, waits);
        view.deployments
            .insert("wine-a".to_owned(), deployment("wine-a", "wine", &idle()));
        view.trainings
            .insert("wine-job".to_owned(), training("wine-job", "wine", &Value::Null));
        assert_eq!(words(&view), expected);
    };
    check(&json!([]), &json!([]), "wine: Serving Serving, Serving Serving");
    for subject in ["MLDeployment/wine-a", "MLTrainingJob/wine-job"] {
        check(
            &json!([finding(subject, "InvalidManifest")]),
            &json!([]),
            "wine: Degraded InvalidManifest, Degraded InvalidManifest",
        );
    }
    // It has no object yet.
    check(
        &json!([finding("MLDeployment/iris", "VersionMissing")]),
        &json!([]),
        "iris: Failed VersionMissing, wine: Serving Serving, Failed VersionMissing",
    );
    let waits = json!([{
        "subject": "MLDeployment/iris", "reason": "WaitingForVersion", "message": "it waits",
        "blockedBy": "MLTrainingJob/iris",
    }]);
    check(
        &json!([]),
        &waits,
        "iris: Training WaitingForVersion, wine: Serving Serving, Training WaitingForVersion",
    );
    // What is about no model is the environment's, and so is what is wrong with a job that nothing waits for.
    check(
        &json!([finding("", "CommitRefused")]),
        &json!([]),
        "wine: Serving Serving, Degraded CommitRefused",
    );
    check(
        &json!([finding("MLTrainingJob/other", "DatasetUnusable")]),
        &json!([]),
        "other: -, wine: Serving Serving, Degraded DatasetUnusable",
    );
    // A reason that this program does not know.
    check(
        &json!([finding("MLDeployment/wine-a", "Eclipsed")]),
        &json!([]),
        "wine: Degraded Eclipsed, Degraded Eclipsed",
    );
}

#[test]
fn a_job_alone_counts_once_it_failed() {
    for (status, expected) in [
        (Value::Null, "wine: -, Serving NoModels"),
        (json!({ "phase": "Succeeded" }), "wine: -, Serving NoModels"),
        (
            json!({ "phase": "Failed", "message": "line 5" }),
            "wine: Failed TrainingFailed, Failed TrainingFailed",
        ),
    ] {
        let mut view = view(&json!([]), &json!([]));
        view.trainings
            .insert("job".to_owned(), training("job", "wine", &status));
        assert_eq!(words(&view), expected);
    }
}

#[test]
fn what_cannot_be_read_costs_one_row() {
    let mut view = view(&json!([]), &json!([]));
    view.deployments
        .insert("wine".to_owned(), deployment("wine", "wine", &idle()));
    view.unreadable
        .insert("MLDeployment/iris".to_owned(), "it is cut off".to_owned());
    let expected = "iris: Unknown Unreadable, wine: Serving Serving, Unknown Unreadable";
    assert_eq!(words(&view), expected);
}

#[test]
fn of_two_objects_of_a_model_that_which_serves_it_counts() {
    let mut view = view(&json!([]), &json!([]));
    for (name, status) in [("a", Value::Null), ("b", idle()), ("c", Value::Null)] {
        view.deployments
            .insert(name.to_owned(), deployment(name, "wine", &status));
    }
    assert_eq!(words(&view), "wine: Serving Serving, Serving Serving");
}

#[test]
fn nothing_is_known_before_the_first_pass_or_once_it_is_too_old() {
    assert_eq!(words(&View::default()), "Unknown KnowledgeTooOld");
    let mut view = view(&json!([]), &json!([]));
    view.deployments
        .insert("wine".to_owned(), deployment("wine", "wine", &idle()));
    let overview = view.overview(Some("long ago"));
    assert_eq!(overview.environment.standing.word, Word::Unknown);
    assert_eq!(
        overview.environment.words,
        BTreeMap::from([("Unknown".to_owned(), 1)])
    );
    // What was known stays to be seen.
    assert_eq!(
        overview.models[0].stable.as_ref().unwrap().digest.to_string(),
        digest()
    );
}

#[test]
fn what_stops_a_commit_is_said_of_the_models_that_it_stops() {
    let refused = finding("MLEnvironment/dev", "RemovalRefused");
    // That of a file says nothing of a model that has one of its own.
    let (of_file, of_model) = (
        finding("", "Duplicate"),
        finding("MLDeployment/beer", "Duplicate"),
    );
    let mut view = view(&json!([refused, of_file, of_model]), &json!([]));
    for (name, why) in [
        ("beer", Some("Duplicate: what is wrong")),
        ("iris", None),
        (
            "wine",
            Some("RemovalRefused: no manifest declares it, and more would go at once than may"),
        ),
    ] {
        let mut object = deployment(name, name, &idle());
        let annotations = Arc::make_mut(&mut object)
            .metadata
            .annotations
            .get_or_insert_default();
        annotations.extend(why.map(|why| ("aurora.io/stopped".to_owned(), why.to_owned())));
        view.deployments.insert(name.to_owned(), object);
    }
    let expected =
        "beer: Degraded Duplicate, iris: Serving Serving, wine: Held RemovalRefused, Degraded RemovalRefused";
    assert_eq!(words(&view), expected);
    assert_eq!(view.models(None)["beer"].findings.len(), 1);
}

#[test]
fn a_job_that_cannot_start_is_the_cause_of_what_waits_for_it() {
    let waits = json!([{
        "subject": "MLDeployment/wine", "reason": "WaitingForVersion", "blockedBy": "MLTrainingJob/wine-job",
        "message": "MLDeployment/wine: stable waits for v20261101-120000, which MLTrainingJob/wine-job makes",
    }]);
    let mut view = view(&json!([]), &waits);
    view.deployments
        .insert("wine".to_owned(), deployment("wine", "wine", &idle()));
    let mut check = |status: &Value, expected: &str| {
        view.trainings
            .insert("wine-job".to_owned(), training("wine-job", "wine", status));
        let models = view.models(None);
        let said = models["wine"].standing.clone().expect("it has a word");
        assert_eq!(format!("{}: {}", said.word, said.message), expected);
    };
    check(
        &json!({ "phase": "Running", "message": "of another run" }),
        "Training: stable waits for v20261101-120000, which MLTrainingJob/wine-job makes",
    );
    check(
        &json!({ "phase": "Pending", "message": "cannot start: the disk is full" }),
        "Waiting: stable waits for v20261101-120000, which MLTrainingJob/wine-job makes, and that waits: \
         cannot start: the disk is full",
    );
}

#[test]
fn why_nobody_reconciles_is_said_where_word_of_it_was_left() {
    let mut view = view(&json!([]), &json!([]));
    view.failure = Some(Failure {
        message: "the port is in use".to_owned(),
        hint: "give another one".to_owned(),
    });
    let said = view.overview(Some("long ago")).environment.standing;
    assert!(said.message.contains("the port is in use"), "{said:?}");
    assert_eq!(said.next, "give another one");
    // It says nothing of a process that runs.
    assert_eq!(view.overview(None).environment.standing.word, Word::Serving);
}
