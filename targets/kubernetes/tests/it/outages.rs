//! An API server that is ended, an etcd that stands still, watches that end, requests that are refused: a rollout under way
//! comes to its end all the same.

use std::sync::Arc;
use std::time::Duration;

use testkit::{ControlPlane, Fault, Namespace, assets};

use crate::desired::Desired;
use crate::installed::{installed, serve};
use crate::repository::{V1, V2};
use crate::whole::{MODEL, Which, Whole};

/// How long etcd stands still.
const PAUSE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_after_an_api_server_is_ended_and_etcd_stood_still() {
    let Some(assets) = assets() else { return };
    // One of its own, since parts of it are stopped.
    let control_plane = Arc::new(ControlPlane::start(&assets).await.expect("a control plane"));
    let namespace = Namespace::create(control_plane.clone())
        .await
        .expect("a namespace");
    serve(&namespace.client()).await;
    let mut whole = Whole::of(Desired::of(namespace, &[MODEL]), &[MODEL]).await;
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    controllers.start_all();
    desired.until(MODEL, &format!("Idle {V1} - 0")).await;

    desired.declare(MODEL, V1, Some((V2, 10)));
    control_plane.restart_api_server().await.expect("it starts again");
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;

    desired.declare(MODEL, V1, Some((V2, 60)));
    let paused = control_plane.pause_etcd().expect("it stops");
    tokio::time::sleep(PAUSE).await;
    drop(paused);
    desired.until(MODEL, &format!("Idle {V1} {V2} 60")).await;

    desired.declare(MODEL, V2, None);
    control_plane.restart_api_server().await.expect("it starts again");
    desired.until(MODEL, &format!("Idle {V2} - 0")).await;
    controllers.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_whatever_requests_are_answered() {
    if installed().await.is_none() {
        return;
    }
    let mut whole = Whole::new(&[MODEL]).await.expect("there was one before");
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let mut faults = [
        Fault::Answer(409),
        Fault::Answer(429),
        Fault::Answer(500),
        Fault::LoseAnswer,
    ]
    .into_iter()
    .cycle();
    for which in Which::BOTH {
        controllers.start(which, |proxy| {
            // Each third write, each time in another way.
            for (n, fault) in (1..100).map(|n| 3 * n).zip(faults.by_ref()) {
                proxy.fail_write(n, fault);
            }
        });
    }
    for (stable, canary, comes_to) in [
        (V1, Some((V2, 10)), format!("Idle {V1} {V2} 10")),
        (V1, Some((V2, 60)), format!("Idle {V1} {V2} 60")),
        (V2, None, format!("Idle {V2} - 0")),
    ] {
        desired.declare(MODEL, stable, canary);
        for which in Which::BOTH {
            controllers.proxy(which).close_watches();
        }
        desired.until(MODEL, &comes_to).await;
    }
    for which in Which::BOTH {
        let writes = controllers.proxy(which).writes();
        assert!(
            writes > 6,
            "{which:?} wrote {writes} times: hardly anything went wrong"
        );
    }
    controllers.stop_all().await;
}
