//! A process that dies under a model: by itself, for the tests beside it would lose theirs.

#[path = "../it/common.rs"]
mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{LIMITS, numbers, open};
use registry::artifact::{PredictError, Unanswered};
use rustix::process::{Pid, Signal, kill_process};

/// Returns the processes that evaluate models for this one.
fn processes() -> Vec<i32> {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").expect("processes").flatten();
    all.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let is_child = rest.split(' ').nth(1) == Some(&own);
        (is_child && name == "aurora-ort").then(|| entry.file_name().to_str()?.parse().ok())?
    })
    .collect()
}

#[test]
fn a_process_has_given_up_what_it_has_no_need_of_and_is_started_again_where_it_dies() {
    let Some(model) = open("gaps.onnx", LIMITS) else {
        return;
    };
    let model = model.expect("it loads");
    let fine = numbers(&[1.0, 2.0]);
    let before = model.predict_cells(&fine);
    let pid = *processes().last().expect("it is there");
    let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it is ours");
    assert!(of("environ").is_empty(), "{}", of("environ"));
    assert_eq!(of("oom_score_adj").trim(), "1000");
    // Landlock takes the right to more rights with the others, of each thread for itself.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it is ours");
    for thread in threads.flatten() {
        let status = fs::read_to_string(thread.path().join("status")).expect("it is ours");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let limits = of("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next())
            .map(str::to_owned)
    };
    // And what a model of this size needs to be loaded.
    let memory: u64 = limit("Max data size")
        .and_then(|bytes| bytes.parse().ok())
        .expect("a limit");
    assert!(
        (LIMITS.memory_bytes..LIMITS.memory_bytes + (1 << 20)).contains(&memory),
        "{memory}"
    );
    assert_eq!(limit("Max file size"), Some("0".to_owned()));
    assert_eq!(limit("Max core file size"), Some("0".to_owned()));

    let pid = Pid::from_raw(pid).expect("a process");
    kill_process(pid, Signal::KILL).expect("ours");
    let deadline = Instant::now() + Duration::from_mins(5);
    loop {
        match model.predict_cells(&fine) {
            answered @ Ok(_) => break assert_eq!(answered, before),
            Err(PredictError::Unanswered(Unanswered::Unavailable(why))) => {
                assert!(why.contains("signal 9"), "{why}");
            }
            Err(other) => panic!("{other}"),
        }
        assert!(Instant::now() < deadline);
    }
}
