//! What others do to the children of an operator, and what it makes of that.

use super::*;

/// Statuses of children change all the time, by their own controllers: that is no reason to write.
#[tokio::test]
async fn what_a_controller_says_of_a_child_is_not_written_over() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 10))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    let ready = |found: &Value| testkit::condition(found, "Ready") == Some("True");
    world
        .until_child("apis/aurora.io/v1alpha1/mldeployments", "iris", ready)
        .await;
    let own = (world.namespace.name().to_owned(), Component::Operator.account());
    let patched = || {
        let calls = world.namespace.control_plane().calls().unwrap();
        let of_routes = calls.iter().filter(|call| {
            let is_own = call.account() == Some((own.0.as_str(), own.1));
            is_own && call.verb == "patch" && call.resource == "httproutes"
        });
        of_routes.count()
    };
    let route = format!("{}/iris-route", world.path(ROUTES));
    let before = patched();
    for round in 0..3 {
        let told = json!({ "status": { "parents": [{
            "parentRef": { "name": "aurora" }, "controllerName": "example.org/gateway",
            "conditions": [{
                "type": "Accepted", "status": "True", "reason": "Accepted", "message": format!("round {round}"),
                "lastTransitionTime": "2026-11-01T12:00:00Z",
            }],
        }] } });
        let steps = world.health.steps();
        let answer = world.ask(Method::PATCH, &format!("{route}/status"), &told).await;
        assert!(answer["status"]["parents"].is_array(), "{answer:#}");
        // The step that hears of it, and whatever one was under way.
        while world.health.steps() < steps + 2 {
            world.touch("iris").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    assert_eq!(patched(), before);
    world.stop().await;
}

#[tokio::test]
async fn what_others_do_to_children_is_done_over() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 10))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    // A child is deleted.
    let service = format!("{}/iris-stable", world.path("api/v1/services"));
    let before = world.ask(Method::GET, &service, &Value::Null).await;
    world.ask(Method::DELETE, &service, &Value::Null).await;
    let is_new = |found: &Value| {
        found["metadata"]["uid"].is_string() && found["metadata"]["uid"] != before["metadata"]["uid"]
    };
    world.until_child("api/v1/services", "iris-stable", is_new).await;
    // A weight is moved.
    let route = format!("{}/iris-route", world.path(ROUTES));
    let mut edited = world.ask(Method::GET, &route, &Value::Null).await["spec"].clone();
    let rules = edited["rules"].as_array_mut().unwrap();
    rules.last_mut().unwrap()["backendRefs"][1]["weight"] = json!(90);
    world.ask(Method::PATCH, &route, &json!({ "spec": edited })).await;
    world
        .until_child(ROUTES, "iris-route", |found| {
            let rules = found["spec"]["rules"].as_array().unwrap();
            rules.last().unwrap()["backendRefs"][1]["weight"] == 10
        })
        .await;
    // A Deployment is edited.
    let stable = format!("{}/iris-stable", world.path(DEPLOYMENTS));
    world
        .ask(Method::PATCH, &stable, &json!({ "spec": { "replicas": 7 } }))
        .await;
    world
        .until_child(DEPLOYMENTS, "iris-stable", |found| found["spec"]["replicas"] == 2)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_said_and_nothing_is_forced() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let services = world.path("api/v1/services");
    let foreign = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "iris-stable" },
        "spec": { "ports": [{ "port": 1 }] } });
    let answer = testkit::send(
        &world.namespace.client(),
        Method::POST,
        "application/json",
        &services,
        &foreign,
    )
    .await;
    assert!(answer.unwrap().is_success());
    world.commit("iris", &object(spec(1, None))).await;
    let path = "apis/aurora.io/v1alpha1/mldeployments";
    let found = world
        .until_child(path, "iris", |found| {
            testkit::condition(found, "Stalled") == Some("True")
        })
        .await;
    assert_eq!(
        found
            .pointer("/status/conditions/2/message")
            .and_then(Value::as_str),
        Some("Service iris-stable is there and not of this object: rename one of the two, or delete it")
    );
    let left = world
        .ask(Method::GET, &format!("{services}/iris-stable"), &Value::Null)
        .await;
    assert_eq!(left["spec"]["ports"][0]["port"], 1);
    world.stop().await;
}

/// A quota of the namespace leaves no room for a child: whoever looks is told, and once there is room it goes on.
#[tokio::test]
async fn a_quota_that_leaves_no_room_is_said_until_there_is_room() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let quotas = world.path("api/v1/resourcequotas");
    let quota = json!({ "metadata": { "name": "tight" }, "spec": { "hard": { "services": "0" } } });
    let client = world.namespace.client();
    let made = testkit::send(&client, Method::POST, "application/json", &quotas, &quota).await;
    assert!(made.unwrap().is_success());
    world
        .until_child("api/v1/resourcequotas", "tight", |found| {
            found["status"]["hard"]["services"] == "0"
        })
        .await;
    world.commit("iris", &object(spec(1, None))).await;
    let path = "apis/aurora.io/v1alpha1/mldeployments";
    let stalled = world
        .until_child(path, "iris", |found| {
            testkit::condition(found, "Stalled") == Some("True")
        })
        .await;
    let stalled = &stalled["status"]["conditions"][2];
    assert_eq!(stalled["reason"], "ChildRefused", "{stalled}");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("exceeded quota: tight"), "{message}");
    world
        .ask(Method::DELETE, &format!("{quotas}/tight"), &Value::Null)
        .await;
    world.until("iris", "Idle v20261101-120000 - 0").await;
    let events = format!(
        "{}?fieldSelector=reason=ChildRefused",
        world.path("apis/events.k8s.io/v1/events")
    );
    let told = world.ask(Method::GET, &events, &Value::Null).await;
    assert_eq!(told["items"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told["items"][0]["type"], "Warning", "{told}");
    world.stop().await;
}
