//! Twelve set-ups that are broken, and what `aurora status` says of each to a person who has never seen Aurora: a page a
//! set-up, as golden files beside this one, and the same words where the page asks for them.
//!
//! What differs from run to run stands in angle brackets: `<time>`, `<n>`, `<port>`, `<the-digest>`, `<a-commit>`, `<data>`,
//! `<repository>`, `<namespace>`.

mod cluster;
mod plain;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use expect_test::expect_file;
use planner::Timestamp;
use planner::names::{ModelName, Version};
use registry::Store;
use tempfile::TempDir;

use self::plain::Plain;
use crate::harness::{
    FREE_PORTS, Forge, Repository, Stage, Up, aurora, eventually, get, note, root, run, skipped, text, up_at,
    up_command,
};
use crate::versions::draft;

const ENVIRONMENT: &str = "environments/dev/environment.yaml";
const IRIS: &str = "environments/dev/iris.yaml";
const SECOND: &str = "v20261120-093000";

/// What tries a second version.
const CANARY: &str = "  canary:\n    version: v20261120-093000\n    weight: 10\n";

/// How long what is said may take to come to rest.
const SETTLING: Duration = Duration::from_secs(20);

/// What trains the second version.
const JOB: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata:
  name: iris-second
spec:
  modelName: iris
  version: v20261120-093000
  dataset:
    uri: builtin:iris
  algorithm: logistic_regression
  hyperparameters:
    l2: 3
  evaluation:
    metric: accuracy
    minimum: 0.9
    holdout: { percent: 20, seed: 0 }
";

/// An environment that serves iris, to be broken by commits and from outside.
struct Ground {
    repository: Repository,
    folder: TempDir,
}

impl Ground {
    fn new() -> Self {
        let repository = Repository::empty();
        for path in [ENVIRONMENT, IRIS] {
            repository.write(path, fs::read(root().join(path)).expect("a manifest"));
        }
        repository.commit("declare iris");
        Self {
            repository,
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn up(&self) -> Up {
        Up::ready(self.repository.path(), &self.data())
    }

    /// Adds to a file, which it makes where there is none, and commits.
    fn add(&self, path: &str, further: &str) {
        let known = fs::read_to_string(self.repository.file(path)).unwrap_or_default();
        self.repository.write(path, known + further);
        self.repository.commit(&format!("{path} says more"));
    }

    /// Waits until iris stands so, and checks what a person is told.
    #[track_caller]
    fn told(&self, up: &Up, stands: [&str; 3], name: &str) {
        until(up.control_plane, stands);
        let said = says(name, &self.plain(), || pages(&self.data_flags(), run));
        is_on_the_page(up.control_plane, &said);
    }

    fn data_flags(&self) -> [String; 2] {
        ["--data-dir".to_owned(), self.data().display().to_string()]
    }

    fn plain(&self) -> Plain {
        let data = self.data();
        let paths = [
            (data.as_path(), "<data>"),
            (self.repository.path(), "<repository>"),
        ];
        Plain::new(paths).and(&today(), "<today>")
    }
}

/// Returns the cron expression of midnight today.
fn today() -> String {
    Timestamp::from(SystemTime::now())
        .format("0 0 %-d %-m *")
        .to_string()
}

/// Waits until iris has a word for a reason, and says so in these words.
fn until(control_plane: SocketAddr, [word, reason, words]: [&str; 3]) {
    eventually(&format!("iris is {word} for {reason}: {words}"), || {
        let answer = get(control_plane, "/status/models/iris");
        let told = (answer.status == 200).then(|| answer.json())?["summary"].clone();
        let is_so = told["word"] == word && told["reason"] == reason;
        (is_so && told["message"].as_str()?.contains(words)).then_some(())
    });
}

/// Returns what a person sees who asks for the environment, and then for the model.
fn pages(place: &[String], run: impl Fn(&mut Command) -> Output) -> String {
    let asked = |arguments: &[&str]| {
        let mut command = aurora();
        command.args(arguments).args(place);
        let output = run(&mut command);
        format!("$ aurora {}\n{}", arguments.join(" "), text(&output))
    };
    format!("{}\n{}", asked(&["status"]), asked(&["status", "iris"]))
}

/// Checks what is said against a golden file, without what differs from run to run. Objects and reports are written one
/// after another, so it may come to that only soon.
#[track_caller]
fn says(name: &str, plain: &Plain, mut said: impl FnMut() -> String) -> String {
    let path = root().join(format!("cli/tests/it/broken/{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let begun = Instant::now();
    loop {
        let now = said();
        let text = plain.render(&now);
        if text == expected || begun.elapsed() > SETTLING {
            expect_file![path].assert_eq(&text);
            return now;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Says that the page has the words of the command line: it may be asked while the next pass looks again, so it may come to
/// that only soon.
#[track_caller]
fn is_on_the_page(control_plane: SocketAddr, said: &str) {
    let begun = Instant::now();
    loop {
        let told = get(control_plane, "/status/models/iris").json()["summary"].clone();
        let other = ["word", "message", "next"]
            .map(|field| told[field].as_str().unwrap_or_default())
            .into_iter()
            .find(|words| !said.contains(words));
        match other {
            None => return,
            Some(words) => assert!(
                begun.elapsed() < SETTLING,
                "{words:?} is on the page and missing in: {said}"
            ),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn version_missing() {
    let ground = Ground::new();
    let up = ground.up();
    ground.add(IRIS, CANARY);
    ground.told(
        &up,
        ["Degraded", "VersionMissing", "does not exist"],
        "version-missing",
    );
}

#[test]
fn digest_changed() {
    let ground = Ground::new();
    let up = ground.up();
    let artifact = ground
        .data()
        .join("registry/aurora/iris/versions/v20261101-120000/model.onnx");
    let mut bytes = fs::read(&artifact).expect("the artifact");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&artifact, bytes).expect("a file of this test");
    ground.told(
        &up,
        ["Degraded", "ArtifactChanged", "is damaged"],
        "digest-changed",
    );
}

#[test]
fn metric_below_the_minimum() {
    let ground = Ground::new();
    let up = ground.up();
    ground.repository.write(
        "environments/dev/iris-second.yaml",
        JOB.replace("minimum: 0.9", "minimum: 0.999"),
    );
    ground.add(IRIS, CANARY);
    ground.told(
        &up,
        ["Degraded", "TrainingFailed", "accuracy"],
        "metric-below-the-minimum",
    );
}

#[test]
fn two_manifests_for_one_model() {
    let ground = Ground::new();
    let up = ground.up();
    ground.add(
        "environments/dev/flowers.yaml",
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata:\n  name: flowers\nspec:\n  modelName: iris\n  \
         stable:\n    version: v20261101-120000\n",
    );
    ground.told(
        &up,
        ["Degraded", "Duplicate", "is claimed"],
        "two-manifests-for-one-model",
    );
}

#[test]
fn git_unreachable() {
    let Some(mut forge) = Forge::start() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut up = Up::watch(up_at(&forge.https_address("git"), &data, &forge.https_flags()));
    up.event("it is ready", |event| event["event"] == "ready");
    forge.stop();
    eventually("the environment is not known", || {
        (get(up.control_plane, "/status").json()["environment"]["reason"] == "SourceUnavailable")
            .then_some(())
    });
    let place = ["--data-dir".to_owned(), data.display().to_string()];
    let plain = Plain::new([(data.as_path(), "<data>")]);
    let said = says("git-unreachable", &plain, || pages(&place, run));
    is_on_the_page(up.control_plane, &said);
}

#[test]
fn registry_read_only() {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(why) => return skipped(&format!("no mount that could become read-only: {why}")),
    };
    note("read-only is a read-only bind mount over the registry, so root is refused too");
    let ground = Ground::new();
    let data = stage.disk().join("data");
    let mut command = up_command(ground.repository.path(), &data);
    command.args(FREE_PORTS);
    let mut up = Up::watch(stage.inside(&command));
    up.event("it is ready", |event| event["event"] == "ready");
    stage.run("r=$DISK/data/registry; mount --bind $r $r && mount -o remount,bind,ro $r");
    ground.repository.write("environments/dev/iris-second.yaml", JOB);
    ground.add(IRIS, CANARY);
    until(
        up.control_plane,
        ["Waiting", "WaitingForVersion", "Read-only file system"],
    );
    let place = ["--data-dir".to_owned(), data.display().to_string()];
    let plain = Plain::new([(data.as_path(), "<data>")]);
    let said = says("registry-read-only", &plain, || {
        pages(&place, |command| run(&mut stage.inside(command)))
    });
    is_on_the_page(up.control_plane, &said);
}

#[test]
fn port_taken() {
    let ground = Ground::new();
    assert!(ground.up().stop().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = run(up_command(ground.repository.path(), &ground.data()).args([
        "--inference",
        &address,
        "--control-plane",
        "127.0.0.1:0",
    ]));
    let refused = text(&output);
    says("port-taken", &ground.plain(), || {
        format!("$ aurora up\n{refused}\n{}", pages(&ground.data_flags(), run))
    });
}

#[test]
fn canary_never_ready() {
    let ground = Ground::new();
    let up = ground.up();
    // Its bytes are those of its record, and no model.
    let store = Store::open(&ground.data().join("registry")).expect("the registry");
    let (model, version): (ModelName, Version) = ("iris".parse().unwrap(), SECOND.parse().unwrap());
    store
        .publish(draft(&model, &version, None))
        .expect("it is published");
    ground.add(IRIS, CANARY);
    ground.told(
        &up,
        ["Degraded", "LoadFailed", "cannot load"],
        "canary-never-ready",
    );
}

#[test]
fn closed_window() {
    let ground = Ground::new();
    let up = ground.up();
    let today = today();
    let window = format!(
        "  windows:\n    - {{ type: Deny, cron: \"{today}\", duration: 2d, reason: \"the quarter is closed\" }}\n"
    );
    ground.add(ENVIRONMENT, &window);
    let head = ground.repository.head().to_string();
    eventually("the window counts", || {
        let told = get(up.control_plane, "/status").json();
        (told["environment"]["applied_revision"] == head.as_str()).then_some(())
    });
    ground.repository.write("environments/dev/iris-second.yaml", JOB);
    ground.add(IRIS, CANARY);
    eventually("the second version is there", || {
        let told = get(up.control_plane, "/status/models/iris").json();
        let trainings = told["trainings"].as_array()?.clone();
        let is_over = |training: &serde_json::Value| training["status"]["finishedAt"].is_string();
        (trainings.len() == 2 && trainings.iter().all(is_over)).then_some(())
    });
    ground.told(
        &up,
        ["Held", "WaitingForTime", "the quarter is closed"],
        "closed-window",
    );
}

#[test]
fn suspended_environment() {
    let ground = Ground::new();
    let up = ground.up();
    ground.add(ENVIRONMENT, "  suspend: \"audit until Friday, ask Ann\"\n");
    ground.repository.write("environments/dev/iris-second.yaml", JOB);
    ground.add(IRIS, CANARY);
    ground.told(&up, ["Held", "Suspended", "ask Ann"], "suspended-environment");
}

#[test]
fn refused_removal() {
    let ground = Ground::new();
    let other = fs::read_to_string(root().join(IRIS)).expect("a manifest");
    let other = other
        .replace("name: iris", "name: petals")
        .replace("modelName: iris", "modelName: petals");
    ground.repository.write("environments/dev/petals.yaml", other);
    ground.add(ENVIRONMENT, "  removal:\n    maxCount: 1\n");
    let up = ground.up();
    for file in [IRIS, "environments/dev/petals.yaml"] {
        fs::remove_file(ground.repository.file(file)).expect("a file of this test");
    }
    ground.repository.commit("take both away");
    ground.told(
        &up,
        ["Held", "RemovalRefused", "no longer declared"],
        "refused-removal",
    );
}
