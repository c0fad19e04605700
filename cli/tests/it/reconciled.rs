//! `aurora reconcile` of a cluster as a process, behind a real API server: once, following, and asked for a pass now.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use http::Method;
use planner::names::{ModelName, Version};
use registry::{Owner, Store};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Component, Namespace, install, namespace, send};

use crate::cluster::definitions;
use crate::harness::{Repository, Up, aurora, eventually, free_port, get, run, text};
use crate::versions::draft;

const VERSION: &str = "v20261101-120000";
const LATER: &str = "v20261102-120000";

/// A run that is nobody's here to make.
const JOB: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: wine }
spec:
  modelName: wine
  version: v20261101-120000
  dataset: { uri: 'builtin:wine-quality' }
  algorithm: linear_regression
  evaluation: { metric: r2, minimum: 0.1 }
";

/// A namespace, a repository whose environment is in it, and a registry that holds one version.
pub(crate) struct Ground {
    pub(crate) namespace: Namespace,
    /// That of the reconciler's account.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) repository: Repository,
    folder: TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Option<Self> {
        let namespace = namespace().await?;
        let client = namespace.client();
        install(&client, &definitions())
            .await
            .expect("the kinds are served");
        let kubeconfig = namespace.kubeconfig_of(Component::Reconciler).await;
        let folder = TempDir::new().unwrap();
        let registry = folder.path().join("registry");
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "test".to_owned(),
        };
        let now = std::time::SystemTime::now().into();
        let store = Store::init(&registry, &owner, now).unwrap();
        let (model, version): (ModelName, Version) = ("iris".parse().unwrap(), VERSION.parse().unwrap());
        store.publish(draft(&model, &version, None)).unwrap();
        let repository = Repository::empty();
        repository.write(
            "environments/dev/environment.yaml",
            format!(
                "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: {{ name: dev }}\nspec:\n  \
                 target: Kubernetes\n  namespace: {}\n  drift: Warn\n  registry: {{ path: {} }}\n",
                namespace.name(),
                registry.display()
            ),
        );
        repository.write("environments/dev/wine.yaml", JOB);
        repository.commit("first");
        Some(Self {
            kubeconfig: kubeconfig.expect("the reconciler's account has a token"),
            namespace,
            repository,
            folder,
        })
    }

    /// Returns the command of a reconciler; what is given besides says what it is to do.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = aurora();
        command
            .args([
                "reconcile",
                "--namespace",
                self.namespace.name(),
                "--environment",
                "dev",
            ])
            .arg("--repo")
            .arg(self.repository.path())
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(flags)
            .env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Commits a pin of a model.
    pub(crate) fn pin(&self, model: &str) {
        let path = format!("environments/dev/{model}.yaml");
        self.repository.write(&path, deployment(model));
        self.repository.commit(model);
    }

    fn once(&self, code: i32) -> Value {
        let output = run(&mut self.command(&["--once", "--timeout", "60", "--output", "json"]));
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Asks as a person does, who may do more than a reconciler.
    fn now(&self, timeout: &str) -> Output {
        let mut command = self.command(&["--now", "--timeout", timeout, "--output", "json"]);
        run(command.env("KUBECONFIG", self.namespace.control_plane().kubeconfig()))
    }

    async fn object(&self, name: &str) -> Value {
        let path = format!(
            "/apis/aurora.io/v1alpha1/namespaces/{}/{name}",
            self.namespace.name()
        );
        let client = self.namespace.client();
        let answer = send(&client, Method::GET, "application/json", &path, &Value::Null).await;
        answer.expect("the server answers").body
    }
}

fn deployment(model: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: {model} }}\nspec:\n  \
         modelName: {model}\n  stable: {{ version: {VERSION} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn once_applies_a_commit_and_its_exit_code_says_what_that_came_to() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let told = ground.once(0);
    assert_eq!(
        (&told["converged"], &told["findings"]),
        (&true.into(), &Value::Array(vec![]))
    );
    assert_eq!(told["revision"], ground.repository.head().to_string());
    let made = ground.object("mltrainingjobs/wine").await;
    assert_eq!(made["spec"]["version"], VERSION, "{made}");
    assert_eq!(made["metadata"]["labels"]["aurora.io/environment"], "dev");

    // Again: nothing is written.
    assert_eq!(ground.once(0)["converged"], true);
    let again = ground.object("mltrainingjobs/wine").await;
    assert_eq!(
        again["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );

    // Nobody serves here: the object is made, its alias waits, and the answer is no.
    ground.pin("iris");
    let told = ground.once(1);
    let waiting = told["waiting"][0].as_str().unwrap_or_default();
    assert!(
        waiting.starts_with("MLDeployment/iris: the alias stable waits"),
        "{told}"
    );
    let made = ground.object("mldeployments/iris").await;
    assert_eq!(made["spec"]["stable"]["version"], VERSION, "{made}");

    // What nobody makes is a finding.
    ground.pin("nobody");
    let told = ground.once(1);
    assert_eq!(
        (&told["settled"], &told["converged"]),
        (&true.into(), &false.into()),
        "{told}"
    );
    assert_eq!(told["findings"][0]["reason"], "VersionMissing", "{told}");
    assert_eq!(ground.object("mldeployments/nobody").await["code"], 404);

    // A namespace that cannot be asked is an error.
    let output = run(ground.command(&["--once"]).env("KUBECONFIG", "/nowhere"));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_asked_for_now_is_run_by_the_reconciler_that_follows() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let refused = ground.now("5");
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(
        text(&refused).contains("has no MLEnvironment dev"),
        "{}",
        text(&refused)
    );

    ground.pin("iris");
    let head = ground.repository.head().to_string();
    let following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    eventually("the first commit is applied", || {
        let told = get(following.control_plane, "/status").json();
        (told["environment"]["revision"] == head.as_str()).then_some(())
    });
    let answered = ground.now("60");
    assert_eq!(answered.status.code(), Some(0), "{}", text(&answered));
    let told: Value = serde_json::from_slice(&answered.stdout).unwrap();
    assert_eq!(told["environment"], "dev", "{told}");
    assert_eq!(told["status"]["attemptedRevision"], head.as_str(), "{told}");
    assert!(told["status"]["requestedAt"].is_string(), "{told}");

    // Nobody operates here: the model's tracks do not serve what its object says.
    let metrics = get(following.control_plane, "/metrics").body;
    for line in [
        r#"aurora_model_converged{environment="dev",model="iris"} 0"#,
        r#"aurora_drifted{environment="dev",model="iris"} 0"#,
        r#"aurora_canary_weight{environment="dev",model="iris"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // What somebody changes stands here, and is told.
    let change = serde_json::json!({ "spec": { "suspend": "by hand" } });
    let path = format!(
        "/apis/aurora.io/v1alpha1/namespaces/{}/mldeployments/iris",
        ground.namespace.name()
    );
    let client = ground.namespace.client();
    let changed = send(
        &client,
        Method::PATCH,
        "application/merge-patch+json",
        &path,
        &change,
    )
    .await;
    assert!(changed.unwrap().is_success());
    eventually("the change is told", || {
        let metrics = get(following.control_plane, "/metrics").body;
        metrics
            .contains(r#"aurora_drifted{environment="dev",model="iris"} 1"#)
            .then_some(())
    });
    assert!(following.stop().success());

    let unanswered = ground.now("1");
    assert_eq!(unanswered.status.code(), Some(2), "{}", text(&unanswered));
    let said = text(&unanswered);
    assert!(said.contains("no reconciler answered within 1 s"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_commit_in_a_cluster_is_told_when_it_is_live_or_why_it_is_not() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let stranger = ground.namespace.kubeconfig_of(Component::Router).await;
    let waited = |kubeconfig: &Path, flags: &[&str]| {
        let mut command = aurora();
        command
            .args(["status", "--namespace", ground.namespace.name(), "--repo"])
            .arg(ground.repository.path())
            .args(flags)
            .env("KUBECONFIG", kubeconfig);
        let output = run(&mut command);
        (output.status.code(), text(&output))
    };
    let wait = |timeout: &str| {
        let flags = ["--wait", "--revision", "HEAD", "--timeout", timeout];
        waited(&ground.kubeconfig, &flags)
    };
    let (code, said) = waited(&ground.kubeconfig, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has no MLEnvironment"), "{said}");
    let (code, said) = waited(&stranger.unwrap(), &["--wait"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the rights to read"), "{said}");

    let following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    let (code, said) = wait("60s");
    assert_eq!(code, Some(0), "{said}");

    // Nobody operates here, so what is pinned is not served.
    ground.pin("iris");
    let (code, said) = wait("5s");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("not live: after 5 s: iris is not looked at yet"),
        "{said}"
    );
    ground.pin("nobody");
    let (code, said) = wait("60s");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("not live:") && said.contains("VersionMissing"),
        "{said}"
    );
    assert!(following.stop().success());

    // What was reported stays, and says that nobody keeps it.
    let (code, said) = waited(&ground.kubeconfig, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not running"), "{said}");
}

/// Another environment, which has trained a version: its registry, and where its control plane is to be.
struct Staging {
    registry: TempDir,
    port: u16,
}

impl Staging {
    fn trained() -> Self {
        let staging = Self {
            registry: TempDir::new().unwrap(),
            port: free_port(),
        };
        let repository = Repository::dev();
        let path = "environments/dev/iris.yaml";
        repository.write(path, repository.read(path).replace(VERSION, LATER));
        repository.commit("another version");
        let done = |words: &[&str]| {
            let mut command = aurora();
            command.args(words).arg("--registry").arg(staging.registry.path());
            let output = run(&mut command);
            assert!(output.status.success(), "{}", text(&output));
        };
        done(&["registry", "init"]);
        done(&["train", "iris", "--repo", repository.path().to_str().unwrap()]);
        staging
    }

    fn control_plane(&self) -> Up {
        let mut command = aurora();
        command
            .args(["control-plane", "--control-plane"])
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--registry")
            .arg(self.registry.path());
        Up::watch(command)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_the_registry_lacks_is_imported_before_its_object_is_made() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let staging = Staging::trained();
    let digest = get(
        staging.control_plane().control_plane,
        &format!("/models/iris/{LATER}"),
    )
    .json();
    let digest = digest["artifact"]["digest"].as_str().unwrap();
    let address = format!("http://127.0.0.1:{}", staging.port);
    let upstream = format!("registry: {{ upstream: '{address}', path: ");
    ground.repository.edit(
        "environments/dev/environment.yaml",
        "registry: { path: ",
        &upstream,
    );
    let pin = format!("version: {LATER}, digest: '{digest}'");
    let manifest = deployment("iris").replace(&format!("version: {VERSION}"), &pin);
    ground.repository.write("environments/dev/iris.yaml", manifest);
    ground.repository.commit("pin what staging has");

    // While staging is away that is told, and there is no object that nobody could serve.
    let following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    let told = || get(following.control_plane, "/status").json()["environment"].clone();
    eventually("it is told that staging is away", || {
        (told()["findings"][0]["reason"] == "UpstreamUnavailable").then_some(())
    });
    assert_eq!(ground.object("mldeployments/iris").await["code"], 404);

    // Once it is back, what it has is here, with its origin, and the object pins those very bytes.
    let _control_plane = staging.control_plane();
    eventually("it is imported, and nobody serves it here", || {
        let waits = told()["waiting"][0].as_str()?.contains("the alias stable waits");
        waits.then_some(())
    });
    assert_eq!(told()["findings"], Value::Array(vec![]));
    let made = ground.object("mldeployments/iris").await;
    assert_eq!(made["spec"]["stable"]["digest"], digest, "{made}");
    let shown = run(aurora()
        .args(["model", "show", "iris", LATER, "--registry"])
        .arg(ground.folder.path().join("registry")));
    assert!(
        text(&shown).contains(&format!("from {address} at ")),
        "{}",
        text(&shown)
    );
    assert!(following.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_and_what_is_missing_is_told_of_a_namespace() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let of_namespace = |words: &[&str]| {
        let mut command = aurora();
        command
            .args(words)
            .args(["--namespace", ground.namespace.name(), "--output", "json"])
            .env("KUBECONFIG", &ground.kubeconfig);
        let output = run(&mut command);
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        (output.status.code(), document)
    };
    let repository = ground.repository.path().to_str().unwrap();
    let verdicts = |part: &str| {
        let (code, diagnosis) = of_namespace(&["doctor", "--repo", repository, "--part", part]);
        let checks = diagnosis["checks"].as_array().unwrap().clone();
        let find = move |subject: &str| {
            let check = checks.iter().find(|check| check["subject"] == subject).unwrap();
            format!(
                "{}: {}",
                check["verdict"].as_str().unwrap(),
                check["message"].as_str().unwrap()
            )
        };
        (code, find)
    };
    let (code, find) = verdicts("reconciler");
    assert_eq!(code, Some(0), "{}", find("rights"));
    assert!(find("crds").starts_with("ok"), "{}", find("crds"));
    assert!(find("rights").starts_with("ok"), "{}", find("rights"));
    assert!(
        find("reconciler").starts_with("warn: never run"),
        "{}",
        find("reconciler")
    );
    // The account is the reconciler's, and may do nothing of the operator's work.
    let (code, find) = verdicts("operator");
    assert_eq!(code, Some(1));
    assert!(
        find("rights").contains("fail: the account may not patch mldeployments/status.aurora.io"),
        "{}",
        find("rights")
    );

    let following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    let happened = eventually("the job's object is told", || {
        let (code, document) = of_namespace(&["events"]);
        let events = document["events"].as_array()?.clone();
        (code == Some(0)
            && events
                .iter()
                .any(|event| event["subject"] == "MLTrainingJob/wine"))
        .then_some(events)
    });
    let head = ground.repository.head().to_string();
    assert!(
        happened.iter().all(|event| event["revision"] == *head),
        "{happened:#?}"
    );
    let (_, find) = verdicts("reconciler");
    assert!(
        find("reconciler").starts_with("ok: running"),
        "{}",
        find("reconciler")
    );
    assert!(following.stop().success());
}
