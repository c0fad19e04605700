//! A push whose environment stands in a namespace: the workflow that follows it asks the cluster how that fares.

use git2::Oid;
use serde_json::json;

use super::{PullRequest, steps};
use crate::harness::{Up, has_git};
use crate::reconciled::Ground;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_followed_in_a_namespace_until_it_is_live_or_cannot_be() {
    if !has_git() {
        return;
    }
    let Some(ground) = Ground::new().await else {
        return;
    };
    let pull = PullRequest::open(&ground.repository);
    let _following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    let places = format!("AURORA_PLACES=dev={}", ground.namespace.name());
    let kubeconfig = format!("KUBECONFIG={}", ground.kubeconfig.display());
    let pushed = |before: Oid, after: Oid, timeout: &str| {
        let event = json!({
            "ref": "refs/heads/main", "before": before.to_string(), "after": after.to_string(), "deleted": false,
            "repository": { "full_name": "octo/models", "default_branch": "main" },
        });
        let timeout = format!("AURORA_APPLY_TIMEOUT={timeout}");
        let settings = ["--var", &places, "--var", &timeout, "--env", &kubeconfig];
        pull.run_workflow("apply.yml", "push", &event, &settings)
    };

    // What is declared there is a job, which is live once its object is made.
    let (first, head) = (pull.base, ground.repository.head());
    let Some(said) = pushed(first, head, "60s") else {
        return;
    };
    assert_eq!(
        steps(&said),
        ["applied: Wait until it is applied: success"],
        "{said}"
    );
    for words in ["### Aurora: `dev`", "applied and live"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Nobody makes what is pinned, so it cannot be live.
    ground.pin("nobody");
    let said = pushed(head, ground.repository.head(), "60s").unwrap();
    assert_eq!(
        steps(&said),
        ["applied: Wait until it is applied: failure"],
        "{said}"
    );
    for words in ["VersionMissing", "::error title=Aurora::dev does not serve"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
