//! Things that go wrong between a client and the API server.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Fault, Namespace, Proxy, namespace, send};

use crate::world::{create, get};

/// Returns a client that does not try again.
fn client(proxy: &Proxy) -> Client {
    let mut config: Config = proxy.config();
    config.default_retry = false;
    Client::try_from(config).expect("a client of a proxy")
}

/// Writes a ConfigMap through a client, and returns the code; 0 where there is no answer.
async fn write(client: &Client, namespace: &Namespace, name: &str) -> u16 {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    let path = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
    let answer = send(client, Method::POST, "application/json", &path, &map).await;
    answer.map_or(0, |answer| answer.code)
}

async fn exists(namespace: &Namespace, name: &str) -> bool {
    !get(namespace, "ConfigMap", name).await.is_null()
}

#[tokio::test]
async fn the_nth_write_fares_as_it_was_said() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let proxy = Proxy::start(namespace.control_plane().config().await.unwrap()).unwrap();
    let client = client(&proxy);
    proxy.fail_write(2, Fault::Answer(409));
    proxy.fail_write(3, Fault::Answer(429));
    proxy.fail_write(4, Fault::LoseAnswer);
    for (name, code, is_there) in [
        ("a", 201, true),
        ("b", 409, false),
        ("c", 429, false),
        ("d", 0, true),
        ("e", 201, true),
    ] {
        assert_eq!(write(&client, &namespace, name).await, code, "{name}");
        assert_eq!(exists(&namespace, name).await, is_there, "{name}");
    }
    assert_eq!(proxy.writes(), 5);
    proxy.fail_each(2, Fault::Answer(500));
    assert_eq!(write(&client, &namespace, "f").await, 500);
    proxy.mend();
    assert_eq!(write(&client, &namespace, "f").await, 201);
}

#[tokio::test]
async fn after_the_cut_nothing_passes() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let account = namespace
        .config_of_account(namespace.name(), "default")
        .await
        .unwrap();
    let proxy = Proxy::start(account).unwrap();
    let client = client(&proxy);
    proxy.cut_after(2);
    assert_eq!(
        write(&client, &namespace, "a").await,
        403,
        "the proxy is the account"
    );
    assert_eq!(write(&client, &namespace, "b").await, 0);
    proxy.until_cut().await;
    assert_eq!(write(&client, &namespace, "c").await, 0);
    proxy.mend();
    assert_eq!(write(&client, &namespace, "d").await, 403);
}

#[tokio::test]
async fn watches_end_when_they_are_closed_and_no_sooner() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let proxy = Proxy::start(namespace.control_plane().config().await.unwrap()).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client(&proxy), namespace.name());
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let map = ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some("seen".to_owned()),
            ..Default::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    loop {
        let event = events.next().await.expect("the watch goes on").expect("an event");
        if matches!(&event, WatchEvent::Added(map) if map.name_any() == "seen") {
            break;
        }
    }
    proxy.close_watches();
    let rest = tokio::time::timeout(Duration::from_mins(1), events.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the watch ends");
}

/// A router is told where endpoints are on this machine.
#[tokio::test]
async fn endpoints_have_their_addresses_here() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let nobody = namespace.control_plane().config_of_nobody().await.unwrap();
    let proxy = Proxy::start(nobody).unwrap();
    let slice = json!({
        "metadata": { "name": "s" },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.1.2.3"] }],
        "ports": [{ "port": 80 }],
    });
    create(&namespace, "EndpointSlice", &slice).await;
    let path = format!("{}/s", crate::world::objects(&namespace, "EndpointSlice"));
    let ask = async |client: &Client| {
        let answer = send(client, Method::GET, "application/json", &path, &Value::Null).await;
        answer.expect("the server answers")
    };
    assert_eq!(ask(&client(&proxy)).await.code, 403, "nobody may nothing");
    let admin = Proxy::start(namespace.control_plane().config().await.unwrap()).unwrap();
    assert_eq!(
        ask(&client(&admin)).await.body["endpoints"][0]["addresses"],
        json!(["127.1.2.3"])
    );
}
