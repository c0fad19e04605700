//! An operator as a process that is killed after a write, time and again in one rollout under load: the next goes on, and no
//! request is lost.

use http::Method;
use serde_json::Value;
use testkit::{Component, Proxy, send};

use crate::harness::{eventually, note};
use crate::operated::{Installation, Load, ask};

/// The Lease of operators, as a dead one leaves it.
async fn give_up_lease(installation: &Installation) {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/aurora-operator",
        installation.namespace.name()
    );
    let client = installation.namespace.client();
    let gone = send(&client, Method::DELETE, "application/json", &path, &Value::Null).await;
    gone.expect("the server answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_after_a_write_is_gone_on_from_and_no_request_is_lost() {
    let Some(mut installation) = Installation::begin().await else {
        return;
    };
    let (first, second) = (installation.stable.clone(), installation.canary.clone());
    let gateway = installation.gateway.address();
    installation.commit(&first, None).await;
    installation.until(&first, None, 0).await;
    eventually("the gateway follows", || {
        (ask(gateway) == first.version).then_some(())
    });

    let load = Load::begin(gateway);
    let kubeconfig = tempfile::tempdir().expect("a folder");
    let kubeconfig = kubeconfig.path().join("kubeconfig");
    // A canary's Service is there and its pods are not; the route is written and the status is not; stable begins to turn;
    // the canary's share is taken and its pods are there; stable turns back.
    for (stable, canary, weight, writes) in [
        (&first, Some(&second), 20, 1),
        (&first, Some(&second), 50, 1),
        (&second, None, 0, 2),
        (&second, Some(&first), 50, 4),
        (&second, None, 0, 1),
    ] {
        let config = installation.namespace.config_of(Component::Operator).await;
        let proxy = Proxy::start(config.expect("a configuration")).expect("a proxy");
        proxy.write_kubeconfig(&kubeconfig).expect("a file");
        proxy.cut_after(writes);
        installation.operate(&kubeconfig);
        give_up_lease(&installation).await;
        installation
            .commit(stable, canary.map(|canary| (canary, weight)))
            .await;
        proxy.until_cut().await;
        let kubeconfig = installation.namespace.kubeconfig_of(Component::Operator).await;
        installation.operate(&kubeconfig.expect("the operator's account has a token"));
        give_up_lease(&installation).await;
        installation.until(stable, canary, weight).await;
    }
    let counted = load.end();
    note(&format!("stopped: answers under load, by version: {counted:?}"));
    let versions: Vec<&String> = counted.keys().collect();
    let mut expected = [&first.version, &second.version];
    expected.sort();
    assert_eq!(versions, expected, "{counted:?}");
    installation.end();
}
