//! Which runs that are due start: rules one by one, and a plain scan beside it.

use std::collections::BTreeSet;

use planner::names::{ModelName, ObjectName, Version};
use planner::runs::{Due, Queue};
use proptest::prelude::*;

use crate::support::{model, object, version};

/// A run of `job` that makes version `n` of `name`, compared with version `baseline`.
fn compared(job: &str, name: &str, n: u32, baseline: Option<u32>) -> Due {
    Due {
        job: object(job),
        model: model(name),
        version: version(n),
        slot: None,
        attempt: 1,
        baseline: baseline.map(version),
        is_baseline: false,
    }
}

/// A run that makes what others of its model are compared with.
fn baseline(job: &str, name: &str, n: u32) -> Due {
    Due {
        is_baseline: true,
        ..compared(job, name, n, None)
    }
}

fn queue(due: &[Due]) -> Queue {
    let mut queue = Queue::default();
    for due in due {
        queue.set(&due.job, vec![due.clone()]);
    }
    queue
}

/// Starts what is admitted; says which jobs.
fn start(queue: &mut Queue, running_max: usize) -> Vec<Due> {
    let admitted = queue.admit(running_max);
    for due in &admitted {
        queue.started(due);
    }
    admitted
}

fn jobs(admitted: &[Due]) -> Vec<&str> {
    admitted.iter().map(|due| due.job.as_str()).collect()
}

#[test]
fn at_most_so_many_are_under_way() {
    let all: Vec<Due> = ["a", "b", "c", "d"].map(|job| compared(job, job, 1, None)).into();
    let mut queue = queue(&all);
    assert!(queue.admit(0).is_empty());
    assert_eq!(jobs(&start(&mut queue, 3)), ["a", "b", "c"]);
    assert_eq!(jobs(&start(&mut queue, 3)), [""; 0]);
    queue.ended(&all[1]);
    assert_eq!(jobs(&start(&mut queue, 3)), ["d"]);
    // The limit was lowered: what is under way goes on.
    queue.ended(&all[0]);
    queue.set(&object("a"), vec![all[0].clone()]);
    assert_eq!(jobs(&start(&mut queue, 1)), [""; 0]);
    queue.ended(&all[2]);
    assert_eq!(jobs(&start(&mut queue, 1)), [""; 0]);
    queue.ended(&all[3]);
    assert_eq!(jobs(&start(&mut queue, 1)), ["a"]);
}

#[test]
fn what_is_admitted_is_taken_out() {
    let mut queue = queue(&[compared("a", "m", 1, None)]);
    assert_eq!(jobs(&queue.admit(9)), ["a"]);
    assert!(queue.is_empty(), "it was never said to have started");
    assert_eq!(queue.admit(9), []);
}

#[test]
fn what_was_due_of_a_job_is_replaced() {
    let (one, two) = (compared("a", "m", 1, None), compared("a", "m", 2, None));
    let mut queue = Queue::default();
    queue.set(&one.job, vec![one.clone(), two.clone()]);
    assert_eq!(queue.admit(1), std::slice::from_ref(&one));
    queue.set(&one.job, Vec::new());
    assert!(queue.is_empty());
    queue.set(&one.job, vec![two.clone()]);
    queue.set(&one.job, vec![one.clone()]);
    assert_eq!(queue.admit(9), [one]);
}

#[test]
fn baselines_come_first_and_those_compared_with_them_after() {
    let (first, other) = (baseline("z", "m", 1), compared("a", "m", 2, Some(1)));
    let free = compared("b", "n", 1, None);
    let mut queue = queue(&[other.clone(), first.clone(), free.clone()]);
    assert_eq!(jobs(&start(&mut queue, 9)), ["z", "b"]);
    // It is under way: its model waits.
    assert_eq!(jobs(&start(&mut queue, 9)), [""; 0]);
    queue.ended(&first);
    assert_eq!(jobs(&start(&mut queue, 9)), ["a"]);
    assert!(!queue.is_empty());
    queue.ended(&free);
    queue.ended(&other);
    assert!(queue.is_empty());
}

#[test]
fn a_baseline_that_is_not_due_any_more_keeps_nobody() {
    let first = baseline("z", "m", 1);
    let mut queue = queue(&[compared("a", "m", 2, Some(1)), first.clone()]);
    queue.set(&first.job, Vec::new());
    assert_eq!(jobs(&start(&mut queue, 9)), ["a"]);
    // Nor does one that was admitted and could not be started.
    let mut queue = super::queue::queue(&[compared("a", "m", 2, Some(1)), first.clone()]);
    assert_eq!(jobs(&queue.admit(1)), ["z"]);
    assert_eq!(jobs(&start(&mut queue, 9)), ["a"]);
}

#[test]
fn two_baselines_of_a_model_keep_the_others_until_both_are_done() {
    let (one, two) = (baseline("y", "m", 1), baseline("z", "m", 2));
    let mut queue = queue(&[one.clone(), two.clone(), compared("a", "m", 3, Some(1))]);
    assert_eq!(jobs(&start(&mut queue, 9)), ["y", "z"]);
    queue.ended(&one);
    assert_eq!(jobs(&start(&mut queue, 9)), [""; 0]);
    queue.ended(&two);
    assert_eq!(jobs(&start(&mut queue, 9)), ["a"]);
}

#[test]
fn no_run_starts_whose_folder_a_process_still_writes_to() {
    let run = compared("a", "m", 1, None);
    let mut queue = queue(std::slice::from_ref(&run));
    start(&mut queue, 9);
    // It was stopped, and is to start anew before its process is gone; another job makes the same version.
    queue.set(&run.job, vec![run.clone()]);
    queue.set(&object("b"), vec![compared("b", "m", 1, None)]);
    assert_eq!(jobs(&start(&mut queue, 9)), [""; 0]);
    queue.ended(&run);
    assert_eq!(jobs(&start(&mut queue, 9)), ["a"], "one at a time");
    queue.ended(&run);
    assert_eq!(jobs(&start(&mut queue, 9)), ["b"]);
    // The same version of another model has a folder of its own.
    queue.set(&object("c"), vec![compared("c", "n", 1, None)]);
    assert_eq!(jobs(&start(&mut queue, 9)), ["c"]);
}

#[test]
fn a_folder_is_busy_until_its_last_process_is_gone() {
    let run = compared("a", "m", 1, None);
    let mut queue = Queue::default();
    // One that was on its way out when the target began, and the one that it began itself.
    queue.started(&run);
    queue.started(&run);
    queue.set(&run.job, vec![run.clone()]);
    queue.ended(&run);
    assert_eq!(queue.admit(9), []);
    queue.ended(&run);
    assert_eq!(jobs(&queue.admit(9)), ["a"]);
}

#[test]
fn an_end_that_nobody_started_counts_for_nothing() {
    let (run, stranger) = (compared("a", "m", 1, None), baseline("b", "n", 1));
    let mut queue = queue(&[compared("c", "n", 2, Some(1)), stranger.clone()]);
    queue.started(&run);
    queue.ended(&stranger);
    assert_eq!(jobs(&queue.admit(9)), ["b"], "the baseline is due still");
    queue.ended(&run);
    queue.ended(&run);
    assert_eq!(jobs(&queue.admit(1)), ["c"]);
}

/// The baseline cannot start yet, for another job's process writes to its folder; its model waits all the same.
#[test]
fn an_end_of_a_compared_run_does_not_end_the_baseline() {
    let (writer, other) = (compared("a", "m", 1, None), compared("b", "m", 2, None));
    let mut queue = queue(&[writer.clone(), other.clone()]);
    assert_eq!(jobs(&start(&mut queue, 9)), ["a", "b"]);
    queue.set(&object("z"), vec![baseline("z", "m", 1)]);
    queue.set(&object("c"), vec![compared("c", "m", 3, Some(1))]);
    queue.ended(&other);
    assert_eq!(jobs(&start(&mut queue, 9)), [""; 0]);
    queue.ended(&writer);
    assert_eq!(jobs(&start(&mut queue, 9)), ["z"]);
}

/// A plain scan over all that is due.
#[derive(Debug, Default)]
struct Plain {
    due: Vec<Due>,
    running: Vec<Due>,
}

impl Plain {
    fn admit(&mut self, running_max: usize) -> Vec<Due> {
        self.due
            .sort_by_key(|due| (!due.is_baseline, due.job.clone(), due.version.clone()));
        let folder = |due: &Due| -> (ModelName, Version) { (due.model.clone(), due.version.clone()) };
        let mut admitted: Vec<Due> = Vec::new();
        for due in &self.due {
            let others = self.due.iter().chain(&self.running);
            let waits = !due.is_baseline
                && others
                    .into_iter()
                    .any(|other| other.is_baseline && other.model == due.model);
            let mut writers = self.running.iter().chain(&admitted);
            let is_busy = writers.any(|other| folder(other) == folder(due));
            if self.running.len() + admitted.len() < running_max && !waits && !is_busy {
                admitted.push(due.clone());
            }
        }
        self.due.retain(|due| !admitted.contains(due));
        admitted
    }
}

#[derive(Debug, Clone)]
enum Event {
    Set(ObjectName, Vec<Due>),
    /// So many may be under way; of those admitted, this one does not start.
    Admit(usize, usize),
    /// The process of this index ends.
    End(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    let run = (0..3_u32, 0..2_usize, any::<bool>());
    let set = (0..5_usize, prop::collection::vec(run, 0..3)).prop_map(|(job, runs)| {
        let job = ["a", "b", "c", "d", "e"][job];
        let mut seen = BTreeSet::new();
        let due = runs
            .into_iter()
            .filter(|(n, _, _)| seen.insert(*n))
            .map(|(n, of, is_baseline)| Due {
                is_baseline,
                ..compared(job, ["m", "n"][of], n, Some(0))
            });
        Event::Set(object(job), due.collect())
    });
    prop_oneof![
        3 => set,
        3 => (0..5_usize, 0..20_usize).prop_map(|(most, lost)| Event::Admit(most, lost)),
        2 => any::<prop::sample::Index>().prop_map(Event::End),
    ]
}

proptest! {
    #[test]
    fn it_admits_what_a_plain_scan_does(events in prop::collection::vec(event(), 1..60)) {
        let (mut queue, mut plain) = (Queue::default(), Plain::default());
        for event in events {
            match event {
                Event::Set(job, due) => {
                    queue.set(&job, due.clone());
                    plain.due.retain(|old| old.job != job);
                    plain.due.extend(due);
                }
                Event::Admit(running_max, lost) => {
                    let admitted = queue.admit(running_max);
                    prop_assert_eq!(&admitted, &plain.admit(running_max));
                    for (index, due) in admitted.into_iter().enumerate() {
                        if index != lost {
                            queue.started(&due);
                            plain.running.push(due);
                        }
                    }
                }
                Event::End(index) => {
                    if !plain.running.is_empty() {
                        let due = plain.running.remove(index.index(plain.running.len()));
                        queue.ended(&due);
                    }
                }
            }
            prop_assert_eq!(queue.is_empty(), plain.due.is_empty() && plain.running.is_empty());
        }
    }
}

#[test]
fn nothing_is_remembered_of_what_was_admitted_and_has_ended() {
    let mut queue = queue(&[baseline("a", "m", 1), compared("b", "n", 1, None)]);
    for due in start(&mut queue, 9) {
        assert!(!queue.is_empty());
        queue.ended(&due);
    }
    assert!(queue.is_empty(), "{queue:?}");
}
