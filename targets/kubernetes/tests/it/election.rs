//! Never two leaders, and none that writes after it was one.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use http::Method;
use kube::Client;
use kubernetes::leadership::{Election, Loss, Standing, Terms, now};
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Answer, ControlPlane, Namespace, assets, namespace, send};

/// How many Leases are contended for.
const RACES: usize = 1_000;
/// How many of them at a time.
const AT_ONCE: usize = 8;
/// What is waited for comes within this.
const PATIENCE: Duration = Duration::from_mins(5);
/// Short, so that a test need not wait for long.
const SHORT: Terms = Terms {
    duration: Duration::from_secs(4),
    renewed_within: Duration::from_secs(3),
    written_within: Duration::from_millis(900),
    look_every: Duration::from_millis(50),
};

fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Answer {
    let kind = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    send(client, method, kind, path, body)
        .await
        .expect("the server answers")
}

/// Makes a Lease whose holder, if it has one, is not there any more.
async fn abandoned(namespace: &Namespace, name: &str, holder: &str) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": name },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 1,
            "leaseTransitions": 3,
            "renewTime": "2026-11-28T12:00:00.000000Z",
        },
    });
    let answer = ask(
        &namespace.client(),
        Method::POST,
        &leases(namespace.name()),
        &lease,
    )
    .await;
    assert!(answer.is_success(), "{answer:?}");
}

/// One race of two replicas that have seen the same; returns how it ended for both.
async fn race(namespace: &Namespace, name: &str, replicas: &mut [Election; 2]) -> [Standing; 2] {
    let [a, b] = replicas;
    let (a, b) = tokio::join!(a.step(), b.step());
    let standings = [a.expect("an answer"), b.expect("an answer")];
    let path = format!("{}/{name}", leases(namespace.name()));
    let found = ask(&namespace.client(), Method::GET, &path, &Value::Null).await;
    let winner = standings.iter().position(|standing| *standing == Standing::Leads);
    let expected = winner.map(|winner| format!("replica-{winner}"));
    assert_eq!(
        Some(found.text("/spec/holderIdentity")),
        expected.as_deref(),
        "{standings:?}"
    );
    standings
}

/// A third each: a Lease that expired, one that was given up, none at all.
#[tokio::test]
async fn of_a_thousand_races_never_two_win() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let namespace = &namespace;
    let client = namespace.client();
    let prepared = stream::iter(0..RACES).map(async |number| {
        let name = format!("race-{number}");
        match number % 3 {
            0 => abandoned(namespace, &name, "gone").await,
            1 => abandoned(namespace, &name, "").await,
            _ => {}
        }
        let mut replicas = ["replica-0", "replica-1"]
            .map(|identity| Election::new(client.clone(), namespace.name(), &name, identity, SHORT));
        if number % 3 == 0 {
            for replica in &mut replicas {
                let standing = replica.step().await.expect("an answer");
                assert_eq!(
                    standing,
                    Standing::Follows {
                        holder: "gone".to_owned()
                    },
                    "seen for the first time"
                );
            }
        }
        (name, replicas)
    });
    let prepared: Vec<_> = prepared.buffer_unordered(AT_ONCE).collect().await;
    let all_expired_at = now() + SHORT.duration;
    while now() < all_expired_at {
        tokio::time::sleep(SHORT.look_every).await;
    }
    let ended: Vec<_> = stream::iter(prepared)
        .map(async |(name, mut replicas)| race(namespace, &name, &mut replicas).await)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let how_often = |standing: &Standing| ended.iter().flatten().filter(|ended| *ended == standing).count();
    assert_eq!(how_often(&Standing::Leads), RACES, "each has one winner");
    assert!(ended.iter().all(|[a, b]| a != b), "none has two: {ended:?}");
    let overtaken = how_often(&Standing::Overtaken);
    assert!(
        overtaken > RACES / 2,
        "they hardly raced: {overtaken} were overtaken"
    );
}

/// Tries to write with a client, and says whether that reached the server.
async fn writes(client: &Client, namespace: &Namespace, name: &str) -> Result<(), String> {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    let path = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
    let answer = send(client, Method::POST, "application/json", &path, &map).await;
    answer.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn after_a_lease_is_taken_over_the_old_leader_begins_no_write() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let replica = |identity: &str| Election::new(namespace.client(), namespace.name(), "a", identity, SHORT);
    let mut old = replica("old");
    old.acquire().await;
    let config = namespace.control_plane().config().await.unwrap();
    let client = old.fence().client(config.clone()).unwrap();
    writes(&client, &namespace, "while-it-leads").await.unwrap();

    // It stands still, and another takes over.
    let mut new = replica("new");
    new.acquire().await;
    let refused = writes(&client, &namespace, "after").await.unwrap_err();
    assert!(refused.contains("does not lead"), "{refused}");
    let maps = format!("/api/v1/namespaces/{}/configmaps/after", namespace.name());
    assert_eq!(
        ask(&namespace.client(), Method::GET, &maps, &Value::Null)
            .await
            .code,
        404
    );
    // It may still read, and what it reads ends it.
    assert_eq!(ask(&client, Method::GET, &maps, &Value::Null).await.code, 404);
    let standing = old.step().await.unwrap();
    assert_eq!(
        standing,
        Standing::Follows {
            holder: "new".to_owned()
        }
    );
    let taken = Loss::Taken {
        holder: "new".to_owned(),
    };
    assert_eq!(old.keep().await, taken);
    let lease = format!("{}/a", leases(namespace.name()));
    let lease = ask(&namespace.client(), Method::GET, &lease, &Value::Null).await;
    assert_eq!(lease.body["spec"]["leaseTransitions"], 1, "{lease:?}");

    // One that ends in order makes the next wait for nothing.
    let mut next = replica("next");
    assert_eq!(
        next.step().await.unwrap(),
        Standing::Follows {
            holder: "new".to_owned()
        }
    );
    new.release().await.unwrap();
    assert_eq!(next.step().await.unwrap(), Standing::Leads);
}

#[tokio::test]
async fn a_leader_that_is_renewed_goes_on_until_another_writes() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let client = namespace.client();
    let path = format!("{}/a", leases(namespace.name()));
    // As long as usual, looked at more often.
    let terms = Terms {
        look_every: SHORT.look_every,
        ..Terms::default()
    };
    let mut leader = Election::new(client.clone(), namespace.name(), "a", "leader", terms);
    leader.acquire().await;
    let fence = leader.fence();
    let renewals = async {
        let mut seen = std::collections::BTreeSet::new();
        let started = Instant::now();
        while seen.len() < 5 {
            assert!(started.elapsed() < PATIENCE, "not renewed: {seen:?}");
            let lease = ask(&client, Method::GET, &path, &Value::Null).await;
            assert_eq!(lease.text("/spec/holderIdentity"), "leader");
            seen.insert(lease.text("/spec/renewTime").to_owned());
            // What somebody else does to the object is no loss.
            let note = json!({ "metadata": { "annotations": { "seen": seen.len().to_string() } } });
            assert!(ask(&client, Method::PATCH, &path, &note).await.is_success());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let usurped = json!({ "spec": { "holderIdentity": "usurper" } });
        assert!(ask(&client, Method::PATCH, &path, &usurped).await.is_success());
    };
    let (lost, ()) = tokio::join!(leader.keep(), renewals);
    assert_eq!(
        lost,
        Loss::Taken {
            holder: "usurper".to_owned()
        }
    );
    assert!(!fence.permits(now()));
}

#[tokio::test]
async fn a_leader_that_gets_no_answer_has_lost_in_time() {
    let Some(assets) = assets() else { return };
    // One of its own, since it is stopped.
    let control_plane = std::sync::Arc::new(ControlPlane::start(&assets).await.unwrap());
    let namespace = Namespace::create(control_plane.clone()).await.unwrap();
    let mut leader = Election::new(namespace.client(), namespace.name(), "a", "leader", SHORT);
    leader.acquire().await;
    let stopped_at = now();
    control_plane.signal("kube-apiserver", Signal::STOP).unwrap();
    assert_eq!(leader.keep().await, Loss::NotRenewed);
    assert!(now() >= stopped_at, "time goes on");
    assert!(!leader.fence().permits(now()));
    control_plane.signal("kube-apiserver", Signal::CONT).unwrap();
    assert!(!leader.fence().permits(now()), "what is lost stays lost");
}
