use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;

const REVISION: &str = "8cdae6d33b8cdae6d33b8cdae6d33b8cdae6d33b";

fn pin(day: u32, digit: char) -> Value {
    let digest = digit.to_string().repeat(64);
    json!({ "version": format!("v202611{day:02}-120000"), "digest": format!("sha256:{digest}") })
}

/// An environment with one model, whose rollout stands somewhere.
fn view(state: &Value, message: &str, findings: &Value, waits: &Value) -> View {
    let canary =
        json!({ "version": pin(20, 'b')["version"], "digest": pin(20, 'b')["digest"], "weight": 25 });
    let memory = json!({
        "format": 1, "state": state, "since": "2026-11-29T10:02:00Z", "stable": pin(1, 'a'), "canary": pin(20, 'b'),
        "weight": 10, "lost": null, "paused": null, "history": [],
    });
    let name = state.as_str().unwrap_or("Holding");
    let deployment = json!({
        "apiVersion": crds::API_VERSION, "kind": "MLDeployment",
        "metadata": { "name": "wine", "annotations": { "aurora.io/revision": REVISION } },
        "spec": { "modelName": "wine", "stable": pin(1, 'a'), "canary": canary },
        "status": {
            "state": name, "message": message, "stable": pin(1, 'a'), "canary": pin(20, 'b'), "weight": 10,
            "memory": memory,
            "history": [{
                "at": "2026-11-29T10:02:00Z", "from": "Preparing", "to": name, "message": message, "weight": 10,
            }],
        },
    });
    let environment = json!({
        "apiVersion": crds::API_VERSION, "kind": "MLEnvironment", "metadata": { "name": "dev" },
        "spec": { "target": "Standalone" }, "status": { "findings": findings, "waits": waits },
    });
    View {
        environment: Some(serde_json::from_value(environment).unwrap()),
        deployments: [(
            "wine".to_owned(),
            Arc::new(serde_json::from_value(deployment).unwrap()),
        )]
        .into(),
        ..View::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(view: &View, life: Life, expected: Expect) {
    let models = view.models(life.unknown());
    let found = &models["wine"];
    let lines = render(&found.row("wine"), found, None);
    let text: Vec<String> = lines
        .iter()
        .map(|line| line.render(false).trim_end().to_owned())
        .collect();
    expected.assert_eq(&text.join("\n"));
}

#[test]
fn a_person_is_told_what_serves_why_and_what_to_do() {
    let none = json!([]);
    check(
        &view(&json!("Idle"), "", &none, &none),
        Life::Running(1),
        expect![[r#"
            wine: Serving, since 2026-11-29 10:02:00 UTC: it serves what Git declares

                    declared by 8cdae6d33b         serves
            stable  v20261101-120000 aaaaaaaaaaaa  v20261101-120000 aaaaaaaaaaaa
            canary  v20261120-120000 bbbbbbbbbbbb  v20261120-120000 bbbbbbbbbbbb
            weight  25%                            10%

            2026-11-29 10:02:00 UTC  Preparing -> Idle, canary 10%"#]],
    );
    let lost = json!({ "Holding": { "reason": "CanaryLost", "message": "canary v20261120-120000 stopped answering" } });
    check(
        &view(&lost, "canary v20261120-120000 stopped answering", &none, &none),
        Life::Running(1),
        expect![[r#"
            wine: Degraded, since 2026-11-29 10:02:00 UTC: canary v20261120-120000 stopped answering
              reason: CanaryLost
              next: it is tried again by itself; pin another version by a commit if it does not come

                    declared by 8cdae6d33b         serves
            stable  v20261101-120000 aaaaaaaaaaaa  v20261101-120000 aaaaaaaaaaaa
            canary  v20261120-120000 bbbbbbbbbbbb  v20261120-120000 bbbbbbbbbbbb
            weight  25%                            10%

            2026-11-29 10:02:00 UTC  Preparing -> Holding, canary 10%: canary v20261120-120000 stopped answering"#]],
    );
    let finding = json!([{
        "location": "environments/dev/wine.yaml:12:3", "reason": "InvalidManifest", "subject": "MLDeployment/wine",
        "message": "spec.canary.weight: 250 is no percentage", "hint": "give a number from 0 to 100",
    }]);
    check(
        &view(&json!("Idle"), "", &finding, &none),
        Life::Running(1),
        expect![[r#"
            wine: Degraded: spec.canary.weight: 250 is no percentage
              reason: InvalidManifest, environments/dev/wine.yaml:12:3
              next: give a number from 0 to 100

                    declared by 8cdae6d33b         serves
            stable  v20261101-120000 aaaaaaaaaaaa  v20261101-120000 aaaaaaaaaaaa
            canary  v20261120-120000 bbbbbbbbbbbb  v20261120-120000 bbbbbbbbbbbb
            weight  25%                            10%

            2026-11-29 10:02:00 UTC  Preparing -> Idle, canary 10%"#]],
    );
    let waits = json!([{
        "subject": "MLDeployment/wine", "reason": "WaitingForTime",
        "message": "MLDeployment/wine: canary waits with v20261120-120000: the window \"freeze\" refuses",
        "until": "2026-11-30T06:00:00Z",
    }]);
    check(
        &view(&json!("Idle"), "", &none, &waits),
        Life::Running(1),
        expect![[r#"
            wine: Held: canary waits with v20261120-120000: the window "freeze" refuses
              reason: WaitingForTime
              next: nothing: it goes on by itself at 2026-11-30 06:00 UTC

                    declared by 8cdae6d33b         serves
            stable  v20261101-120000 aaaaaaaaaaaa  v20261101-120000 aaaaaaaaaaaa
            canary  v20261120-120000 bbbbbbbbbbbb  v20261120-120000 bbbbbbbbbbbb
            weight  25%                            10%

            2026-11-29 10:02:00 UTC  Preparing -> Idle, canary 10%"#]],
    );
    check(
        &view(&json!("Idle"), "", &none, &none),
        Life::Stopped(3_600),
        expect![[r#"
            wine: Unknown: whoever reconciles has not been seen alive lately; what is shown is the last that was known
              reason: KnowledgeTooOld
              next: see whether the process that reconciles is alive, and what its log says

                    declared by 8cdae6d33b         serves
            stable  v20261101-120000 aaaaaaaaaaaa  v20261101-120000 aaaaaaaaaaaa
            canary  v20261120-120000 bbbbbbbbbbbb  v20261120-120000 bbbbbbbbbbbb
            weight  25%                            10%

            2026-11-29 10:02:00 UTC  Preparing -> Idle, canary 10%"#]],
    );
}
