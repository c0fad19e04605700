//! Models that a Job fetches from elsewhere, with the credential of their place.

use http::Method;
use planner::names::Digest;
use registry::artifact::{Graph, encode};
use serde_json::json;

use super::world::World;
use crate::imported::serve;

const VERSION: &str = "v20261101-120000";
const JOBS: &str = "apis/batch/v1/jobs";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fetches_a_model_with_the_secret_of_its_place_and_no_other() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let model = encode(&Graph::Linear {
        weights: vec![3.0, 1.0],
        intercept: 0.0,
    });
    let (place, asked) = serve(model.clone());
    for (name, credential) in [("team", "s3cret"), ("others", "wrong")] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "stringData": { "credential": credential },
        });
        let made = world.ask(Method::POST, "api/v1/secrets", &secret).await;
        assert_eq!(made["kind"], "Secret", "{made}");
    }
    let sources = [
        format!("--import-source=http://{place}/team=team"),
        format!("--import-source=http://{place}=others"),
    ];
    world.operate_with(&sources.each_ref().map(String::as_str)).await;
    let spec = |uri: &str| {
        json!({
            "modelName": "sum", "version": VERSION,
            "import": { "uri": uri, "digest": Digest::of(&model).to_string() },
        })
    };

    // What no source covers is asked nowhere.
    world.declare("sum", &spec("http://127.0.0.1:9/m.onnx")).await;
    let refused = world.until("apis/aurora.io/v1alpha1/mltrainingjobs/sum", |job| {
        let message = job["status"]["message"].as_str().unwrap_or_default();
        message.contains("--import-source")
    });
    refused.await;

    world
        .declare("sum", &spec(&format!("http://{place}/team/m.onnx")))
        .await;
    let status = world.until_phase("sum", "Succeeded").await;
    assert_eq!(status["digest"], Digest::of(&model).to_string(), "{status}");
    let asked = asked.lock().expect("nobody panicked").clone();
    assert!(
        asked.iter().all(|head| head.contains("Bearer s3cret")),
        "{asked:?}"
    );
    let jobs = world.get(JOBS).await;
    let jobs = jobs["items"].as_array().expect("a list").iter();
    for job in jobs {
        assert!(!job.to_string().contains("others"), "{job:#}");
        assert!(!job.to_string().contains("s3cret"), "{job:#}");
    }
    world.stop();
}
