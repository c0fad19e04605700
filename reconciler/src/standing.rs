//! How each model stands by the last plan of it: what stops it, what it waits for, what should come to serve.

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;
use planner::finding::Finding;
use planner::names::{ModelName, Track, Version};
use planner::object::{Kind, ObjectId};
use planner::part::Part;
use planner::plan::{Plan, Waiting};

/// A pin that should come to serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AwaitedPin {
    /// The model.
    pub model: ModelName,
    /// The track.
    pub track: Track,
    /// The version.
    pub version: Version,
    /// Whether its version must be trained or imported first.
    pub is_in_training: bool,
}

fn is_for_time(waiting: &Waiting) -> bool {
    matches!(waiting, Waiting::ForTime { .. })
}

/// How everything stands. Changed model by model.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What a commit's files are found wrong for, and what is wrong with the whole.
    general: BTreeSet<Finding>,
    /// What the plans of single models found.
    found: BTreeMap<ObjectId, BTreeSet<Finding>>,
    /// All of it.
    findings: BTreeMap<Finding, usize>,
    waiting: BTreeMap<ObjectId, Vec<Waiting>>,
    waiting_count: usize,
    awaited: BTreeMap<ModelName, Vec<AwaitedPin>>,
    /// The models of which something is not as Git says, or may not be.
    behind: BTreeSet<ModelName>,
    /// The models of which somebody changed something that stands.
    drifted: BTreeSet<ModelName>,
    changes: u64,
}

impl Standing {
    /// Returns all findings, sorted, each once.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.keys()
    }

    /// Returns how many findings there are.
    pub fn findings_count(&self) -> usize {
        self.findings.len()
    }

    /// Returns the findings that stop something, and are not only told.
    pub fn stopping(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| !finding.reason.is_report())
    }

    /// Returns what goes on by itself once something else has happened.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values().flatten()
    }

    /// Returns how much waits.
    pub fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Returns the pins that should come to serve.
    pub fn awaited(&self) -> impl Iterator<Item = &AwaitedPin> {
        self.awaited.values().flatten()
    }

    /// Returns what has a finding or waits.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &ObjectId> {
        self.found.keys().chain(self.waiting.keys())
    }

    /// Returns what the environment's policy holds back.
    pub(crate) fn held(&self) -> impl Iterator<Item = &ObjectId> {
        let by_gate = self.found.iter().filter(|(_, found)| {
            let mut found = found.iter();
            found.any(|finding| finding.reason.is_of_policy())
        });
        let by_window = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.iter().any(is_for_time));
        by_gate.map(|(id, _)| id).chain(by_window.map(|(id, _)| id))
    }

    /// Says whether anything goes on once a window allows it.
    pub(crate) fn waits_for_time(&self) -> bool {
        self.waiting().any(is_for_time)
    }

    /// Returns the times at which something goes on, as far as they are known.
    pub(crate) fn told_times(&self) -> impl Iterator<Item = Timestamp> {
        self.waiting().filter_map(|waiting| match waiting {
            Waiting::ForTime { closed, .. } => closed.until,
            _ => None,
        })
    }

    /// Counts the changes of what stops and what waits.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Replaces what is wrong beside single models.
    pub(crate) fn set_general(&mut self, general: BTreeSet<Finding>) {
        if self.general == general {
            return;
        }
        self.changes += 1;
        let before = std::mem::replace(&mut self.general, general.clone());
        for finding in &before {
            self.drop_finding(finding);
        }
        for finding in general {
            *self.findings.entry(finding).or_default() += 1;
        }
    }

    /// Replaces what the plan of a part said before by what it says now. Returns what is wrong beside single models.
    pub(crate) fn set_part(&mut self, part: &Part, plan: Plan) -> BTreeSet<Finding> {
        let mut found: BTreeMap<ObjectId, BTreeSet<Finding>> = BTreeMap::new();
        let mut beside = BTreeSet::new();
        for finding in plan.findings {
            match finding.subject.object().filter(|id| id.kind != Kind::Environment) {
                Some(id) => drop(found.entry(id.clone()).or_default().insert(finding)),
                None => drop(beside.insert(finding)),
            }
        }
        let mut waiting: BTreeMap<ObjectId, Vec<Waiting>> = BTreeMap::new();
        for one in plan.waiting {
            waiting
                .entry(ObjectId::deployment(one.deployment()))
                .or_default()
                .push(one);
        }
        // Whatever a plan says is told, also of what is not in its part.
        let told = found.keys().chain(waiting.keys());
        let ids: BTreeSet<ObjectId> = part.ids.iter().chain(told).cloned().collect();
        for id in &ids {
            self.set_findings(id, found.remove(id).unwrap_or_default());
            self.set_waiting(id, waiting.remove(id).unwrap_or_default());
        }
        beside
    }

    /// Says whether nothing is wrong with a manifest or an object, and it waits for nothing.
    pub(crate) fn is_clear(&self, id: &ObjectId) -> bool {
        !self.found.contains_key(id) && !self.waiting.contains_key(id)
    }

    /// Says whether nothing is known of what the branch's newest commit declares.
    pub fn is_blind(&self) -> bool {
        self.general.iter().any(|finding| finding.reason.is_blind())
    }

    /// Remembers whether something of a model is not as Git says; returns whether that is news.
    pub(crate) fn set_behind(&mut self, model: &ModelName, is_behind: bool) -> bool {
        if is_behind {
            self.behind.insert(model.clone())
        } else {
            self.behind.remove(model)
        }
    }

    /// Says whether a plan found that a manifest or an object was changed by somebody.
    pub(crate) fn is_drifted(&self, id: &ObjectId) -> bool {
        let found = self.found.get(id);
        found.is_some_and(|found| found.iter().any(|finding| finding.reason.is_drift()))
    }

    /// Remembers whether something of a model was changed by somebody, and stands; returns whether that is news.
    pub(crate) fn set_drifted(&mut self, model: &ModelName, is_drifted: bool) -> bool {
        if is_drifted {
            self.drifted.insert(model.clone())
        } else {
            self.drifted.remove(model)
        }
    }

    /// Forgets what was said of manifests and objects that are both gone.
    pub(crate) fn forget(&mut self, id: &ObjectId) {
        self.set_findings(id, BTreeSet::new());
        self.set_waiting(id, Vec::new());
    }

    /// Replaces what is to come to serve of a model; returns whether that is news.
    pub(crate) fn set_awaited(&mut self, model: &ModelName, awaited: &[AwaitedPin]) -> bool {
        let before = if awaited.is_empty() {
            self.awaited.remove(model)
        } else {
            self.awaited.insert(model.clone(), awaited.to_vec())
        };
        before.unwrap_or_default() != awaited
    }

    fn set_findings(&mut self, id: &ObjectId, found: BTreeSet<Finding>) {
        let before = if found.is_empty() {
            self.found.remove(id)
        } else {
            self.found.insert(id.clone(), found.clone())
        };
        let before = before.unwrap_or_default();
        if before == found {
            return;
        }
        self.changes += 1;
        for finding in &before {
            self.drop_finding(finding);
        }
        for finding in found {
            *self.findings.entry(finding).or_default() += 1;
        }
    }

    fn set_waiting(&mut self, id: &ObjectId, waiting: Vec<Waiting>) {
        let before = self.waiting.get(id).map_or(&[][..], Vec::as_slice);
        if before == waiting {
            return;
        }
        self.changes += 1;
        self.waiting_count = self.waiting_count + waiting.len() - before.len();
        if waiting.is_empty() {
            self.waiting.remove(id);
        } else {
            self.waiting.insert(id.clone(), waiting);
        }
    }

    fn drop_finding(&mut self, finding: &Finding) {
        if let Some(count) = self.findings.get_mut(finding) {
            *count -= 1;
            if *count == 0 {
                self.findings.remove(finding);
            }
        }
    }
}
