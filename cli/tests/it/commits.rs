//! From a commit to live traffic: weight, promotion, revert, a branch that is forced back or gone.

use serde_json::{Value, json};

use crate::harness::{Answer, Ground, Up, aurora, eventually, get, run, text};

const WINE: &str = "environments/dev/wine-quality.yaml";
const STABLE: &str = "v20261101-120000";
const CANARY: &str = "v20261120-093000";

/// Returns the example's manifests with another deployment of wine-quality as the last document.
fn deploying(manifests: &str, stable: &str, canary: Option<(&str, u8)>) -> String {
    let (jobs, _deployment) = manifests
        .rsplit_once("---\n")
        .expect("the deployment is the last document");
    let canary = canary.map_or_else(String::new, |(version, weight)| {
        format!("  canary: {{ version: {version}, weight: {weight} }}\n")
    });
    format!(
        "{jobs}---\napiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: wine-quality }}\nspec:\n  \
         modelName: wine-quality\n  stable: {{ version: {stable} }}\n{canary}"
    )
}

/// Returns what a version's metadata gives as an example: a request and the prediction that it must get.
fn example(up: &Up, model: &str, reference: &str) -> (String, Value) {
    let answer = get(up.control_plane, &format!("/models/{model}/{reference}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let metadata = answer.json();
    let example = &metadata["example"];
    assert!(example["row"].is_object(), "{metadata}");
    (
        json!({ "rows": [example["row"]] }).to_string(),
        example["prediction"].clone(),
    )
}

/// Asks 100 times; each answer must be 200, and `percent` of them within 2 must come from the canary.
fn canary_gets(up: &Up, body: &str, percent: usize) {
    let answers: Vec<Answer> = (0..100).map(|_| up.predict("wine-quality", &[], body)).collect();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let canary = answers.iter().filter(|answer| answer.track() == "canary").count();
    let exact = matches!(percent, 0 | 100);
    let off = canary.abs_diff(percent);
    assert!(
        off <= if exact { 0 } else { 2 },
        "{canary} of 100 at weight {percent}"
    );
}

/// Waits until the stable track answers with `version`.
fn stable_is(up: &Up, body: &str, version: &str) {
    eventually(&format!("stable is {version}"), || {
        let answer = up.predict("wine-quality", &[("aurora-track", "stable")], body);
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.version() == version).then_some(())
    });
}

/// Waits until the live weight is `percent`.
fn weight_is(up: &Up, percent: u64) {
    eventually(&format!("the weight is {percent}"), || {
        let status = up.status();
        let deployments = status["deployments"].as_array().cloned().unwrap_or_default();
        let wine = deployments
            .into_iter()
            .find(|d| d["metadata"]["name"] == "wine-quality")?;
        (wine["status"]["weight"] == percent).then_some(())
    });
}

/// Waits for a commit as a workflow does; returns the exit code and what was said.
fn waited(ground: &Ground, revision: &str, timeout: &str) -> (Option<i32>, String) {
    let output = run(aurora()
        .args([
            "status",
            "--wait",
            "--revision",
            revision,
            "--timeout",
            timeout,
            "--repo",
        ])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data()));
    (output.status.code(), text(&output))
}

#[test]
fn whoever_waits_for_a_commit_is_told_when_it_is_live_or_why_it_is_not() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let first = repository.head().to_string();
    assert_eq!(
        waited(&ground, "HEAD", "5m").0,
        Some(2),
        "there is no data directory"
    );
    let up = ground.up();
    let (code, said) = waited(&ground, "HEAD", "5m");
    assert_eq!(code, Some(0), "{said}");

    let raised = repository.edit(WINE, "weight: 10", "weight: 50").to_string();
    let (code, said) = waited(&ground, &raised, "5m");
    assert_eq!(code, Some(0), "{said}");
    let status = up.status();
    let shares = status["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["status"]["weight"]);
    assert!(shares.into_iter().any(|weight| *weight == 50), "{status}");
    // What a later commit contains is live too.
    assert_eq!(waited(&ground, &first, "5m").0, Some(0));

    // A commit of another branch is not seen.
    let git = repository.git();
    let parent = git.find_commit(first.parse().unwrap()).unwrap();
    let (author, tree) = (parent.author(), parent.tree().unwrap());
    git.commit(
        Some("refs/heads/other"),
        &author,
        &author,
        "aside",
        &tree,
        &[&parent],
    )
    .unwrap();
    let (code, said) = waited(&ground, "other", "1s");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("not live: after 1 s: the commit was not seen yet"),
        "{said}"
    );

    repository.edit(WINE, "weight: 50", "weight: 500");
    let (code, said) = waited(&ground, "HEAD", "5m");
    assert_eq!(code, Some(1), "{said}");
    let finding = said.trim().lines().last().unwrap_or_default();
    assert!(
        finding.starts_with("not live: ") && finding.contains("InvalidManifest"),
        "{said}"
    );

    assert_eq!(waited(&ground, "nothing", "1s").0, Some(2));
    drop(up);
}

#[test]
fn a_commit_becomes_live_traffic_and_a_revert_takes_it_back() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let first = repository.head();
    let up = ground.up();

    // Each track answers its example as it was recorded when it was trained.
    let (body, _) = example(&up, "wine-quality", STABLE);
    for (track, version) in [("stable", STABLE), ("canary", CANARY)] {
        let (body, expected) = example(&up, "wine-quality", version);
        let answer = up.predict("wine-quality", &[("aurora-track", track)], &body);
        assert_eq!((answer.status, answer.version()), (200, version), "{answer:?}");
        assert_eq!(answer.json()["predictions"], expected, "{answer:?}");
        assert_eq!(answer.headers["aurora-revision"], first.to_string());
    }
    let (flower, _) = example(&up, "iris", "stable");
    assert_eq!(up.predict("iris", &[], &flower).status, 200);

    weight_is(&up, 10);
    canary_gets(&up, &body, 10);

    let raised = repository.edit(WINE, "weight: 10", "weight: 50");
    weight_is(&up, 50);
    canary_gets(&up, &body, 50);
    // The pins did not change, so neither did the commit that answers name.
    let answer = up.predict("wine-quality", &[("aurora-track", "canary")], &body);
    assert_eq!(answer.headers["aurora-revision"], first.to_string());

    // What the reconciler knows stands in the metrics.
    let metrics = get(up.control_plane, "/metrics").body;
    for line in [
        "aurora_canary_weight{environment=\"dev\",model=\"wine-quality\"} 50",
        "aurora_model_converged{environment=\"dev\",model=\"wine-quality\"} 1",
        "aurora_reconcile_total{environment=\"dev\",result=\"changed\"}",
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }

    // Promotion: stable becomes the canary's version, and the canary leaves.
    repository.write(WINE, deploying(&repository.read(WINE), CANARY, None));
    let promotion = repository.commit("promote");
    stable_is(&up, &body, CANARY);
    weight_is(&up, 0);
    canary_gets(&up, &body, 0);
    assert_eq!(
        up.predict("wine-quality", &[("aurora-track", "canary")], &body)
            .status,
        404
    );
    let answer = up.predict("wine-quality", &[], &body);
    assert_eq!(answer.headers["aurora-revision"], promotion.to_string());

    // git revert, of the promotion and then of the weight.
    repository.revert_to(raised);
    stable_is(&up, &body, STABLE);
    weight_is(&up, 50);
    repository.revert_to(first);
    weight_is(&up, 10);
    canary_gets(&up, &body, 10);

    // A restart serves the same, without training anything.
    assert!(up.stop().success());
    let up = ground.up();
    weight_is(&up, 10);
    canary_gets(&up, &body, 10);
    assert!(
        !up.events().iter().any(|event| event["event"] == "training"),
        "{:?}",
        up.events()
    );
    assert!(up.stop().success());
}

#[test]
fn a_branch_that_is_forced_back_or_deleted_is_reported() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let first = repository.head();
    let mut up = ground.up();
    let (body, _) = example(&up, "wine-quality", STABLE);

    repository.edit(WINE, "weight: 10", "weight: 30");
    weight_is(&up, 30);
    repository.reset_to(first);
    weight_is(&up, 10);
    let forced = up.event("the report", |event| {
        event["event"] == "finding" && event["reason"] == "BranchForced"
    });
    assert!(
        forced["message"].to_string().contains(&first.to_string()[..10]),
        "{forced}"
    );

    // A detached HEAD changes nothing: the branch is followed, not what is checked out.
    repository.git().set_head_detached(first).unwrap();
    let commit = repository.git().find_commit(first).unwrap();
    repository
        .git()
        .find_branch("main", git2::BranchType::Local)
        .unwrap()
        .delete()
        .unwrap();
    up.event("the finding", |event| {
        event["event"] == "finding" && event["reason"] == "SourceUnavailable"
    });
    canary_gets(&up, &body, 10);

    repository.git().branch("main", &commit, false).unwrap();
    repository.git().set_head("refs/heads/main").unwrap();
    up.event("it is over", |event| {
        event["event"] == "resolved" && event["reason"] == "SourceUnavailable"
    });
    repository.edit(WINE, "weight: 10", "weight: 20");
    weight_is(&up, 20);
    assert!(up.stop().success());
}

#[test]
fn a_training_job_and_its_pin_come_with_one_commit() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let mut up = ground.up();
    let (body, _) = example(&up, "wine-quality", STABLE);

    let version = "v20261201-070000";
    let manifests = repository.read(WINE);
    let boosted = manifests
        .split("---\n")
        .find(|document| document.contains("name: wine-quality-boosted"))
        .expect("the example trains a boosted model");
    let job = boosted
        .replace("name: wine-quality-boosted", "name: wine-quality-boosted-2")
        .replace(CANARY, version)
        .replace("seed: 42", "seed: 43");
    repository.write("environments/dev/wine-quality-2.yaml", job);
    repository.write(WINE, deploying(&manifests, STABLE, Some((version, 10))));
    repository.commit("train and try");

    up.event("it is trained", |event| {
        event["event"] == "training" && event["version"] == version && event["phase"] == "Succeeded"
    });
    eventually("the new canary answers", || {
        let answer = up.predict("wine-quality", &[("aurora-track", "canary")], &body);
        (answer.version() == version).then_some(())
    });
    weight_is(&up, 10);
    assert!(up.stop().success());
}
