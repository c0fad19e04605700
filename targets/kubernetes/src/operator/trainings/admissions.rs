//! Which of the runs that are due start now, over all jobs: pure.
//!
//! Who is admitted is the planner's to say ([`Queue`]); here it is kept what it goes by. A place that a run was given is
//! kept for it until a step of its job has started it or does not want it any more.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{ModelName, ObjectName, Version};
use planner::runs::{Claims, Due, Queue, Status};

#[derive(Debug)]
pub(super) struct Admissions {
    queue: Queue,
    /// The runs that have a place.
    placed: BTreeMap<ObjectName, Vec<Placed>>,
    claims: Claims,
    /// The generations that jobs were stepped at; none of those that could not be read.
    stepped: BTreeMap<ObjectName, Option<i64>>,
    /// The jobs that are new, or were changed, and not stepped since: one of them may be what others are compared with.
    unstepped: BTreeSet<ObjectName>,
    /// The jobs that have a run which may start since somebody else's step.
    touched: BTreeSet<ObjectName>,
    most: usize,
}

#[derive(Debug, Clone)]
struct Placed {
    run: Due,
    /// Whether it is recorded as under way.
    is_begun: bool,
}

impl Admissions {
    /// Lets so many runs be under way at a time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            queue: Queue::default(),
            placed: BTreeMap::new(),
            claims: Claims::default(),
            stepped: BTreeMap::new(),
            unstepped: BTreeSet::new(),
            touched: BTreeSet::new(),
            most,
        }
    }

    /// Takes in that a job is there, as a watch tells. What it claims is known before anything is decided about another.
    pub(super) fn heard(
        &mut self,
        job: &ObjectName,
        generation: Option<i64>,
        said: Option<(&ModelName, &Status)>,
    ) {
        // One that could not be read is not waited for: who knows when it can.
        let stepped = self.stepped.get(job);
        if stepped != Some(&generation) && stepped != Some(&None) {
            self.unstepped.insert(job.clone());
        }
        if let Some((model, runs)) = said
            && !self.claims.knows(job)
        {
            self.claims.set(job, model, runs, std::iter::empty());
        }
    }

    /// Returns the jobs that were heard of.
    pub(super) fn all(&self) -> BTreeSet<ObjectName> {
        self.stepped.keys().chain(&self.unstepped).cloned().collect()
    }

    /// A step of a job is over, whatever came of it: nobody waits for it.
    pub(super) fn stepped(&mut self, job: &ObjectName, generation: Option<i64>) {
        self.stepped.insert(job.clone(), generation);
        self.unstepped.remove(job);
        self.admit();
    }

    /// Returns the versions that the model's other jobs claim.
    pub(super) fn claimed(&self, job: &ObjectName, model: &ModelName) -> BTreeSet<Version> {
        self.claims.of_others(job, model)
    }

    /// Claims versions for a job, unless others claim something else than was decided with: then it is to be decided anew.
    pub(super) fn claim<'a>(
        &mut self,
        job: &ObjectName,
        (model, claimed): (&ModelName, &BTreeSet<Version>),
        runs: &'a Status,
        due: impl Iterator<Item = &'a Version>,
    ) -> bool {
        let is_so_still = self.claims.of_others(job, model) == *claimed;
        if is_so_still {
            self.claims.set(job, model, runs, due);
        }
        is_so_still
    }

    /// Takes in what of a job is under way, and what is due. Returns the runs of it that start now.
    pub(super) fn settle(&mut self, job: &ObjectName, running: Vec<Due>, due: Vec<Due>) -> Vec<Due> {
        let mut before = self.placed.remove(job).unwrap_or_default();
        let mut placed = Vec::new();
        for run in running {
            let known = take(&mut before, &run);
            if known.is_none() {
                self.queue.started(&run);
            }
            let run = known.map_or(run, |known| known.run);
            placed.push(Placed { run, is_begun: true });
        }
        let mut waiting = Vec::new();
        for run in due {
            match take(&mut before, &run) {
                Some(known) if !known.is_begun => placed.push(known),
                Some(known) => {
                    self.queue.ended(&known.run);
                    waiting.push(run);
                }
                None => waiting.push(run),
            }
        }
        for Placed { run, .. } in before {
            self.queue.ended(&run);
        }
        if !placed.is_empty() {
            self.placed.insert(job.clone(), placed);
        }
        self.queue.set(job, waiting);
        self.unstepped.remove(job);
        self.admit();
        self.touched.remove(job);
        let placed = self.placed.get(job).into_iter().flatten();
        let starts = placed.filter(|placed| !placed.is_begun);
        starts.map(|placed| placed.run.clone()).collect()
    }

    /// Gives up what a job has: somebody must mend it first.
    pub(super) fn release(&mut self, job: &ObjectName) {
        for Placed { run, .. } in self.placed.remove(job).unwrap_or_default() {
            self.queue.ended(&run);
        }
        self.queue.set(job, Vec::new());
        self.unstepped.remove(job);
        self.touched.remove(job);
        self.admit();
    }

    /// A job is gone.
    pub(super) fn forget(&mut self, job: &ObjectName) {
        self.claims.remove(job);
        self.stepped.remove(job);
        self.release(job);
    }

    /// Takes the jobs that are to be stepped because of others.
    pub(super) fn take_touched(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.touched)
    }

    fn admit(&mut self) {
        if !self.unstepped.is_empty() {
            return;
        }
        for run in self.queue.admit(self.most) {
            self.queue.started(&run);
            self.touched.insert(run.job.clone());
            let placed = self.placed.entry(run.job.clone()).or_default();
            placed.push(Placed { run, is_begun: false });
        }
    }
}

/// Takes the place of a run.
fn take(placed: &mut Vec<Placed>, run: &Due) -> Option<Placed> {
    let is_it = |placed: &Placed| (&placed.run.version, placed.run.attempt) == (&run.version, run.attempt);
    let place = placed.iter().position(is_it)?;
    Some(placed.remove(place))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn name(name: &str) -> ObjectName {
        name.parse().unwrap()
    }

    /// A run of a job, e.g. `a 1`: of its first attempt.
    fn run(job: &str, attempt: u32, is_baseline: bool) -> Due {
        Due {
            job: name(job),
            model: "wine".parse().unwrap(),
            version: format!("v202611{:02}-120000", job.as_bytes()[0] - b'a' + 1)
                .parse()
                .unwrap(),
            slot: None,
            attempt,
            baseline: None,
            is_baseline,
        }
    }

    fn jobs(runs: &[Due]) -> Vec<&str> {
        runs.iter().map(|run| run.job.as_str()).collect()
    }

    fn touched(admissions: &mut Admissions) -> Vec<String> {
        let touched = admissions.take_touched().into_iter();
        touched.map(|name| name.to_string()).collect()
    }

    #[test]
    fn so_many_run_at_a_time_and_whoever_ends_makes_room() {
        let mut admissions = Admissions::new(1);
        let mut settle = |job: &str, running: &[Due], due: &[Due]| {
            let starts = admissions.settle(&name(job), running.to_vec(), due.to_vec());
            (jobs(&starts).join(" "), touched(&mut admissions).join(" "))
        };
        let told = |starts: &str, touched: &str| (starts.to_owned(), touched.to_owned());
        let (a, b) = (run("a", 1, false), run("b", 1, false));
        assert_eq!(settle("a", &[], from_ref(&a)), told("a", ""));
        // Its status could not be written: it has its place still, and none is given twice.
        assert_eq!(settle("a", &[], from_ref(&a)), told("a", ""));
        assert_eq!(settle("b", &[], from_ref(&b)), told("", ""));
        assert_eq!(settle("a", from_ref(&a), &[]), told("", ""));
        assert_eq!(settle("a", &[], &[]), told("", "b"));
        assert_eq!(settle("b", &[], from_ref(&b)), told("b", ""));
        assert_eq!(settle("b", from_ref(&b), &[]), told("", ""));
        // It broke off, and is tried again.
        let again = run("b", 2, false);
        assert_eq!(settle("b", &[], from_ref(&again)), told("b", ""));
        assert_eq!(settle("a", &[], from_ref(&a)), told("", ""));
        assert_eq!(settle("b", &[again], &[]), told("", ""));
        admissions.release(&name("b"));
        assert_eq!(touched(&mut admissions), ["a"]);
        admissions.forget(&name("a"));
        assert!(admissions.queue.is_empty() && admissions.placed.is_empty());
    }

    /// Whoever leads anew finds runs under way.
    #[test]
    fn what_is_under_way_counts() {
        let mut admissions = Admissions::new(2);
        for job in ["a", "b", "c"] {
            assert!(
                admissions
                    .settle(&name(job), vec![run(job, 1, false)], Vec::new())
                    .is_empty()
            );
        }
        assert!(
            admissions
                .settle(&name("d"), Vec::new(), vec![run("d", 1, false)])
                .is_empty()
        );
        admissions.settle(&name("a"), Vec::new(), Vec::new());
        assert_eq!(touched(&mut admissions), [""; 0]);
        admissions.settle(&name("b"), Vec::new(), Vec::new());
        assert_eq!(touched(&mut admissions), ["d"]);
    }

    /// A commit brings both: whichever is stepped first, the one that is compared with runs first.
    #[test]
    fn nobody_starts_before_all_that_is_new_was_stepped() {
        let mut admissions = Admissions::new(9);
        for job in ["a", "b", "c"] {
            admissions.heard(&name(job), Some(1), None);
        }
        let compared = vec![run("a", 1, false)];
        assert!(
            admissions
                .settle(&name("a"), Vec::new(), compared.clone())
                .is_empty()
        );
        admissions.stepped(&name("a"), Some(1));
        // It cannot be stepped: nobody waits for it.
        admissions.stepped(&name("c"), Some(1));
        let baseline = run("b", 1, true);
        let starts = admissions.settle(&name("b"), Vec::new(), vec![baseline.clone()]);
        assert_eq!(jobs(&starts), ["b"]);
        admissions.stepped(&name("b"), Some(1));
        admissions.settle(&name("b"), vec![baseline], Vec::new());
        assert_eq!(touched(&mut admissions), [""; 0]);
        admissions.settle(&name("b"), Vec::new(), Vec::new());
        assert_eq!(touched(&mut admissions), ["a"]);
        // What was stepped as it is, is not new; what could not be read may stay so for long.
        admissions.heard(&name("c"), Some(1), None);
        admissions.stepped(&name("d"), None);
        admissions.heard(&name("d"), Some(2), None);
        assert_eq!(jobs(&admissions.settle(&name("a"), Vec::new(), compared)), ["a"]);
        assert_eq!(admissions.all(), ["a", "b", "c", "d"].map(name).into());
    }

    #[test]
    fn what_others_claim_meanwhile_is_decided_with() {
        let mut admissions = Admissions::new(9);
        let model: ModelName = "wine".parse().unwrap();
        let version: Version = "v20261101-120000".parse().unwrap();
        let (runs, none) = (Status::default(), BTreeSet::new());
        let claimed = admissions.claimed(&name("a"), &model);
        assert!(admissions.claim(&name("b"), (&model, &none), &runs, [&version].into_iter()));
        assert!(!admissions.claim(&name("a"), (&model, &claimed), &runs, [&version].into_iter()));
        assert_eq!(admissions.claimed(&name("a"), &model), BTreeSet::from([version]));
        // What a step has claimed is newer than what a watch tells.
        admissions.heard(&name("b"), None, Some((&model, &runs)));
        assert_eq!(admissions.claimed(&name("a"), &model).len(), 1);
    }
}
