//! What is done to a running `up` from outside: its registry tampered with, its disk taken away, its trainer killed.
//!
//! Each time it is said in words, what served serves throughout, and once the fault is lifted it converges by itself.

mod registry;
mod storage;
mod trainer;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{FREE_PORTS, Ground, Up, aurora, eventually, get, post, run, text, up_command};

const WINE: &str = "environments/dev/wine-quality.yaml";
const STABLE: &str = "v20261101-120000";
const CANARY: &str = "v20261120-093000";

/// A request that `reference` of a model answers.
fn body(up: &Up, model: &str, reference: &str) -> String {
    let answer = get(up.control_plane, &format!("/models/{model}/{reference}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    json!({ "rows": [answer.json()["example"]["row"]] }).to_string()
}

/// Asks the stable tracks all the time; each answer must be a 200 of the version that serves now.
struct Traffic {
    ends: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Vec<String>)>,
}

impl Traffic {
    fn start(up: &Up) -> Self {
        let bodies = ["wine-quality", "iris"].map(|model| (model, body(up, model, STABLE)));
        let inference = up.inference;
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let asking = thread::spawn(move || {
            let mut count = 0;
            let mut wrong = Vec::new();
            while !told.load(Ordering::Relaxed) {
                for (model, body) in &bodies {
                    let path = format!("/predict/{model}");
                    let answer = post(inference, &path, &[("aurora-track", "stable")], body);
                    count += 1;
                    if answer.status != 200 || answer.version() != STABLE {
                        wrong.push(format!("{answer:?}"));
                    }
                }
                thread::sleep(Duration::from_millis(5));
            }
            (count, wrong)
        });
        Self { ends, asking }
    }

    /// Ends it: nothing may have gone wrong.
    #[track_caller]
    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        let (count, wrong) = self.asking.join().expect("the thread only asks");
        assert!(count > 1, "nothing was asked");
        assert!(
            wrong.is_empty(),
            "{} of {count}: {:?}",
            wrong.len(),
            wrong.first()
        );
    }
}

/// Waits for a finding about `subject` that holds all of `words`, and returns it.
fn finding(up: &mut Up, subject: &str, words: &[&str]) -> Value {
    up.event(&format!("a finding about {subject} with {words:?}"), |event| {
        let text = event.to_string();
        event["event"] == "finding"
            && event["subject"] == subject
            && words.iter().all(|word| text.contains(word))
    })
}

/// Waits until the environment's status has no finding.
fn nothing_is_wrong(up: &Up) {
    eventually("nothing is wrong any more", || {
        let status = &up.status()["environment"]["status"];
        let findings = status["findings"].as_array().is_none_or(Vec::is_empty);
        (findings && status["appliedRevision"].is_string()).then_some(())
    });
}

/// Waits until the live weight of wine-quality is `percent`.
fn weight_is(up: &Up, percent: u64) {
    eventually(&format!("the weight is {percent}"), || {
        let status = up.status();
        let deployments = status["deployments"].as_array().cloned().unwrap_or_default();
        let wine = deployments
            .into_iter()
            .find(|deployment| deployment["metadata"]["name"] == "wine-quality")?;
        (wine["status"]["weight"] == percent).then_some(())
    });
}

/// Returns what `aurora status` prints about a data directory.
fn status_text(ground: &Ground) -> String {
    let output = run(aurora().args(["status", "--data-dir"]).arg(ground.data()));
    // 1 where something is wrong, which is what these tests look for.
    assert!(output.status.code() < Some(2), "{}", text(&output));
    text(&output)
}

#[test]
fn a_second_up_that_asks_for_the_same_ports_is_told_of_the_data_directory() {
    let ground = Ground::dev();
    let up = ground.up();
    let traffic = Traffic::start(&up);
    let output = run(up_command(ground.repository.path(), &ground.data())
        .args(["--inference", &up.inference.to_string()])
        .args(["--control-plane", &up.control_plane.to_string()]));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let data = ground.data().canonicalize().expect("it exists");
    for words in [
        &data.display().to_string(),
        "in use",
        &up.id().to_string(),
        "--data-dir",
    ] {
        assert!(said.contains(words), "{words:?} is missing in: {said}");
    }
    traffic.end();
    nothing_is_wrong(&up);
    assert!(up.stop().success());
}

#[test]
fn a_data_directory_that_an_up_has_left_is_free_again() {
    let ground = Ground::dev();
    let up = ground.up();
    drop(up); // SIGKILL: the kernel releases the lock, the file stays.
    let mut again = up_command(ground.repository.path(), &ground.data());
    again.args(FREE_PORTS).stderr(Stdio::inherit());
    let mut up = Up::watch(again);
    up.event("it is ready", |event| event["event"] == "ready");
    assert!(up.stop().success());
}
