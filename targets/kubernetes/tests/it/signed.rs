//! Signed models in a cluster: what Pods are told of whose signatures count, and what Jobs publish is signed.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use kubernetes::build::trust::{TRUST, TRUST_KEY};
use kubernetes::reconcile::{self, Mode};
use serde_json::{Value, json};
use testkit::Component;
use tokio::sync::oneshot;

use crate::desired::{Desired, environment, eventually};
use crate::installed::get;
use crate::repository::{V1, deployment, training};
use crate::whole::Whole;

const MAPS: &str = "api/v1/configmaps";
/// What a job makes.
const TRAINED: &str = "v20261128-080000";

fn vector(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../signing/src/vectors")
        .join(file)
}

fn key(file: &str) -> String {
    fs::read_to_string(vector(file)).unwrap()
}

impl Desired {
    /// Commits whose signature versions need.
    fn demand(&mut self, models: &str, keys: &str) {
        let manifest = environment(&self.root(), self.namespace.name(), "Warn");
        self.repo.write("environments/dev/signers.pub", keys);
        self.repo
            .change("environment.yaml", &format!("{manifest}  models: {models}\n"));
    }

    /// Returns what Pods are told; nothing where there is no ConfigMap.
    async fn pods_told(&self) -> Option<Value> {
        let found = self.ask(Method::GET, MAPS, TRUST, &Value::Null).await;
        let said = found.body["data"][TRUST_KEY].as_str();
        said.filter(|_| found.is_success())
            .map(|said| serde_json::from_str(said).unwrap())
    }

    async fn until_told(&self, expected: &Value) {
        eventually(&expected.to_string(), async || {
            self.pods_told().await.as_ref() == Some(expected)
        })
        .await;
    }
}

/// The reconciler does it as its account: with what it is shipped with, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn pods_are_told_what_the_last_applied_commit_says_whoever_else_writes_there() {
    let Some(mut world) = Desired::new(&["iris"]).await else {
        return;
    };
    let config = world.namespace.config_of(Component::Reconciler).await.unwrap();
    let options = world.options("signed");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        reconcile::run(config, options, Mode::Follow, Box::new(|_told| ()), stopped).await
    });
    eventually("the object is there", async || {
        get(&world.namespace, "mldeployments/iris").await.is_success()
    })
    .await;
    // Where nobody's signature was ever needed, nothing is said.
    assert_eq!(world.pods_told().await, None);

    let require = "{ verify: Require, keys: signers.pub }";
    let (first, second) = (key("p256.pub"), key("p384.pub"));
    let said = |keys: &[&String]| json!({ "verify": "Require", "keys": keys });
    world.demand(require, &first);
    world.until_told(&said(&[&first])).await;
    // Whoever changes it, or takes it away, is corrected, although `drift` is Warn.
    let changed = json!({ "data": { TRUST_KEY: r#"{"verify":"Off","keys":[]}"# } });
    let patched = world.ask(Method::PATCH, MAPS, TRUST, &changed).await;
    assert!(patched.is_success(), "{patched:?}");
    world.until_told(&said(&[&first])).await;
    let deleted = world.ask(Method::DELETE, MAPS, TRUST, &Value::Null).await;
    assert!(deleted.is_success(), "{deleted:?}");
    world.until_told(&said(&[&first])).await;

    // Another key, and another word.
    world.demand(require, &format!("{first}{second}"));
    world.until_told(&said(&[&first, &second])).await;
    world.demand("{ verify: Warn, keys: signers.pub }", &second);
    world
        .until_told(&json!({ "verify": "Warn", "keys": [second] }))
        .await;
    world.demand("{ verify: \"Off\" }", &second);
    world.until_told(&json!({ "verify": "Off", "keys": [] })).await;
    drop(stop);
    running.await.unwrap().unwrap();
}

/// What a Job has published is signed by the reconciler's key as soon as there is one; what waited for that goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_publishes_is_signed_and_a_raise_that_waited_for_it_goes_on() {
    let Some(mut whole) = Whole::new(&["iris"]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let file = desired.folder.path().join("signing.key");
    controllers.options.signing_key = Some(file.clone());
    controllers.start_all();
    desired.until("iris", &format!("Idle {V1} - 0")).await;
    let public = key("p256.pub");
    desired.demand("{ verify: Require, keys: signers.pub }", &public);
    desired
        .until_told(&json!({ "verify": "Require", "keys": [public] }))
        .await;
    desired
        .repo
        .change("job.yaml", &training("iris", TRAINED, "builtin:iris"));
    desired
        .repo
        .change("iris.yaml", &deployment("iris", V1, Some((TRAINED, 10))));
    // There is no key yet: the job is done, and the raise waits.
    eventually("the raise waits for a signature", async || {
        let status = get(&desired.namespace, "mlenvironments/dev").await.body["status"].clone();
        let mut findings = status["findings"].as_array().into_iter().flatten();
        findings.any(|finding| {
            let message = finding["message"].as_str().unwrap_or_default();
            finding["reason"] == "VersionUntrusted" && message.contains(TRAINED)
        })
    })
    .await;
    let signatures = desired.root().join("aurora/iris/signatures").join(TRAINED);
    assert!(!signatures.exists());

    write_private(&file, &key("p256.key"));
    desired.until("iris", &format!("Idle {V1} {TRAINED} 10")).await;
    assert_eq!(fs::read_dir(&signatures).unwrap().count(), 1);
    // What no run has published is not signed.
    assert!(!desired.root().join("aurora/iris/signatures").join(V1).exists());
    controllers.stop_all().await;
}

fn write_private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let aside = path.with_extension("new");
    fs::write(&aside, content).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(aside, path).unwrap();
}
