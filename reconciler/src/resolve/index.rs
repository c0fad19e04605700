//! What is known of an environment's files: which documents they hold, and what each of those claims.
//!
//! Files are replaced one by one. What a replacement can change for other manifests is what they claim as well, so that
//! only the claims of the replaced documents are judged anew. The specs themselves are not kept here.

mod claim;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;

use planner::environment::{Environment, Target};
use planner::finding::{Finding, Location, Reason};
use planner::names::{Digest, EnvironmentName, ModelName, ObjectName, Version};
use planner::object::ObjectId;

pub(super) use claim::Reach;
use claim::{Claim, Claimants};

use crate::source::{Documents, ENVIRONMENTS, GitHash, ManifestFile};

/// The documents of an environment.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<Arc<str>, File>,
    /// The files with findings.
    wrong: BTreeSet<Arc<str>>,
    /// The entries that are not taken, and how many there are with this very finding.
    refused: BTreeMap<Finding, usize>,
    environments: BTreeSet<Place>,
    /// The one target that an MLEnvironment may have; absent where it may have any.
    pub(super) target: Option<Target>,
    /// Who claims what. More than one claim is one too many.
    claims: BTreeMap<Claim, Claimants>,
    contested: BTreeSet<Claim>,
    /// How many entries the folder has, folders included.
    pub(super) entries: usize,
    /// What the manifests have together.
    pub(super) size: Size,
}

/// How large manifests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    pub(super) bytes: usize,
    /// How many values it took to read them, aliases as what they stand for.
    pub(super) values: usize,
}

impl Size {
    /// Returns what is left without a part.
    pub(super) const fn without(self, part: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(part.bytes),
            values: self.values.saturating_sub(part.values),
        }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.values += more.values;
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) id: GitHash,
    pub(super) size: Size,
    pub(super) documents: Box<[Document]>,
    pub(super) findings: Box<[Finding]>,
}

/// What is remembered of one document that is in order.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) about: About,
    pub(super) line: u64,
    pub(super) column: u64,
    /// The digest of its canonical form.
    pub(super) digest: Digest,
}

/// What a document is about, with what only one may claim.
#[derive(Debug, Clone)]
pub(super) enum About {
    Environment(Box<Environment>),
    Deployment(ObjectName, ModelName, Option<Box<Reach>>),
    Training(ObjectName, Option<(ModelName, Version)>),
}

/// Where a document is: its file and its number in it. Orders as the documents of a folder do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) path: Arc<str>,
    pub(super) at: usize,
}

impl Document {
    /// Returns what it is about, where that is not the environment itself.
    pub(super) fn id(&self) -> Option<ObjectId> {
        match &self.about {
            About::Environment(_) => None,
            About::Deployment(name, ..) => Some(ObjectId::deployment(name)),
            About::Training(name, _) => Some(ObjectId::training(name)),
        }
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        let reach = match &self.about {
            About::Deployment(_, _, Some(reach)) => Some(Claim::Reach(Reach::clone(reach))),
            About::Deployment(_, _, None) | About::Environment(_) | About::Training(..) => None,
        };
        let second = match &self.about {
            About::Deployment(_, model, _) => Some(Claim::Model(model.clone())),
            About::Training(_, Some((model, version))) => {
                Some(Claim::Version(model.clone(), version.clone()))
            }
            About::Environment(_) | About::Training(_, None) => None,
        };
        self.id().map(Claim::Name).into_iter().chain(second).chain(reach)
    }

    /// Returns where it starts in its file.
    pub(super) fn location(&self, path: &str) -> Location {
        Location {
            file: path.to_owned(),
            line: self.line,
            column: self.column,
        }
    }
}

impl File {
    /// Returns the documents as a history compares them.
    pub(super) fn documents(&self) -> Documents {
        let id = |document: &Document| Some((document.id()?, document.digest));
        self.documents.iter().filter_map(id).collect()
    }
}

impl Index {
    /// Puts a file in another one's place, or takes it out, and returns what was there.
    ///
    /// `touched` gets each manifest that may be declared otherwise or no more.
    pub(super) fn replace(
        &mut self,
        path: &Arc<str>,
        file: Option<File>,
        touched: &mut BTreeSet<ObjectId>,
    ) -> Option<File> {
        let old = self.files.remove(path);
        for (at, document) in old.iter().flat_map(|old| old.documents.iter().enumerate()) {
            let path = path.clone();
            self.unclaim(document, &Place { path, at }, touched);
        }
        if let Some(old) = &old {
            self.size = self.size.without(old.size);
            self.wrong.remove(path);
        }
        if let Some(new) = file {
            for (at, document) in new.documents.iter().enumerate() {
                let path = path.clone();
                self.claim(document, Place { path, at }, touched);
            }
            self.size += new.size;
            if !new.findings.is_empty() {
                self.wrong.insert(path.clone());
            }
            self.files.insert(path.clone(), new);
        }
        old
    }

    fn claim(&mut self, document: &Document, place: Place, touched: &mut BTreeSet<ObjectId>) {
        touched.extend(document.id());
        if matches!(document.about, About::Environment(_)) {
            self.environments.insert(place);
            self.touch_reached(touched);
            return;
        }
        for claim in document.claims() {
            // The second claimant takes out the first; a third changes nothing for them.
            let second = match self.claims.entry(claim.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Claimants::One(place.clone()));
                    self.meet(&claim, touched);
                    None
                }
                Entry::Occupied(mut occupied) => occupied.get_mut().add(place.clone()),
            };
            if let Some(first) = second {
                touched.extend(self.document(&first).and_then(Document::id));
                self.contested.insert(claim);
            }
        }
    }

    fn unclaim(&mut self, document: &Document, place: &Place, touched: &mut BTreeSet<ObjectId>) {
        touched.extend(document.id());
        if self.environments.remove(place) {
            self.touch_reached(touched);
        }
        for claim in document.claims() {
            match self.claims.get_mut(&claim) {
                Some(Claimants::More(places)) => {
                    places.remove(place);
                    // The last one left is declared again, unless something else of it is contested.
                    if places.len() == 1
                        && let Some(last) = places.pop_first()
                    {
                        touched.extend(self.document(&last).and_then(Document::id));
                        self.claims.insert(claim.clone(), Claimants::One(last));
                        self.settle(&claim);
                    }
                }
                Some(Claimants::One(_)) => {
                    self.claims.remove(&claim);
                    self.contested.remove(&claim);
                    for met in self.met(&claim, None) {
                        self.touch_claimants(&met, touched);
                        self.settle(&met);
                    }
                }
                None => {}
            }
        }
    }

    /// Takes in that a claim is there that was not: it may meet others that are not the same.
    fn meet(&mut self, claim: &Claim, touched: &mut BTreeSet<ObjectId>) {
        for met in self.met(claim, None) {
            self.touch_claimants(&met, touched);
            self.contested.insert(met);
            self.contested.insert(claim.clone());
        }
    }

    /// Takes in that a claim may be contested no more.
    fn settle(&mut self, claim: &Claim) {
        let is_shared = matches!(self.claims.get(claim), Some(Claimants::More(_)));
        if !is_shared && self.met(claim, None).is_empty() {
            self.contested.remove(claim);
        }
    }

    /// Returns the other claims that say the same with other words: one of them is about where requests come through.
    fn met(&self, claim: &Claim, namespace: Option<&str>) -> Vec<Claim> {
        let Claim::Reach(reach) = claim else {
            return Vec::new();
        };
        let beside = self.claims.range(Claim::Reach(reach.first())..);
        let beside = beside.map_while(|(other, _)| match other {
            Claim::Reach(other) => reach.is_beside(other).then_some(other),
            Claim::Name(_) | Claim::Model(_) | Claim::Version(..) => None,
        });
        let met = beside.filter(|other| *other != reach && reach.meets(other, namespace));
        met.map(|other| Claim::Reach(other.clone())).collect()
    }

    fn touch_claimants(&self, claim: &Claim, touched: &mut BTreeSet<ObjectId>) {
        let places = self.claims.get(claim).into_iter().flat_map(Claimants::places);
        touched.extend(places.filter_map(|place| self.document(place)?.id()));
    }

    /// Adds who shares where models are reached: what the environment's target is decides whether that counts.
    fn touch_reached(&self, touched: &mut BTreeSet<ObjectId>) {
        let reached = self
            .contested
            .iter()
            .filter(|claim| matches!(claim, Claim::Reach(_)));
        for claim in reached {
            self.touch_claimants(claim, touched);
        }
    }

    /// Returns all who claim one thing, whatever the words, where there are two or more: none of them has it.
    fn rivals(&self, claim: &Claim) -> Option<BTreeSet<&Place>> {
        let namespace = match claim {
            Claim::Name(_) | Claim::Model(_) | Claim::Version(..) => None,
            Claim::Reach(_) => match self.target()? {
                Target::Kubernetes { namespace } => Some(namespace.as_str()),
                // One process asks no route.
                Target::Standalone => return None,
            },
        };
        let met = self.met(claim, namespace);
        let claims = met.iter().chain([claim]);
        let places = claims.filter_map(|claim| self.claims.get(claim));
        let rivals: BTreeSet<&Place> = places.flat_map(Claimants::places).collect();
        (rivals.len() > 1).then_some(rivals)
    }

    fn target(&self) -> Option<&Target> {
        let declared = || {
            let place = self.environments.first()?;
            match &self.document(place)?.about {
                About::Environment(environment) => Some(&environment.target),
                About::Deployment(..) | About::Training(..) => None,
            }
        };
        self.target.as_ref().or_else(declared)
    }

    /// Takes in an entry that is not taken.
    pub(super) fn refuse(&mut self, finding: Finding) {
        *self.refused.entry(finding).or_default() += 1;
    }

    /// Forgets an entry that was not taken and is gone.
    pub(super) fn unrefuse(&mut self, finding: &Finding) {
        if let Some(count) = self.refused.get_mut(finding) {
            *count -= 1;
            if *count == 0 {
                self.refused.remove(finding);
            }
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Returns what is to be read for having a file's specs.
    pub(super) fn manifest(&self, path: &str) -> Option<ManifestFile> {
        let id = self.files.get(path)?.id;
        let path = path.to_owned();
        Some(ManifestFile { path, id })
    }

    pub(super) fn document(&self, place: &Place) -> Option<&Document> {
        self.files.get(&place.path)?.documents.get(place.at)
    }

    /// Returns the one document that declares a manifest, if nothing of it is claimed by another one.
    pub(super) fn declared(&self, id: &ObjectId) -> Option<Place> {
        let Claimants::One(place) = self.claims.get(&Claim::Name(id.clone()))? else {
            return None;
        };
        let is_free = |claim: Claim| !(self.contested.contains(&claim) && self.rivals(&claim).is_some());
        self.document(place)?.claims().all(is_free).then(|| place.clone())
    }

    /// Says whether any document is about a manifest.
    pub(super) fn is_claimed(&self, id: &ObjectId) -> bool {
        self.claims.contains_key(&Claim::Name(id.clone()))
    }

    /// Returns the one MLEnvironment. None, more than one, or one of another target is a finding.
    pub(super) fn environment(
        &self,
        name: &EnvironmentName,
        findings: &mut Vec<Finding>,
    ) -> Option<&Environment> {
        let subject = planner::finding::Subject::from(ObjectId::environment(name));
        let found: Vec<(&Place, &Document)> = self
            .environments
            .iter()
            .filter_map(|place| Some((place, self.document(place)?)))
            .collect();
        match found.as_slice() {
            [(place, only)] => {
                let About::Environment(environment) = &only.about else {
                    return None;
                };
                let theirs = &environment.target;
                let Some(ours) = self.target.as_ref().filter(|ours| *ours != theirs) else {
                    return Some(environment);
                };
                let (message, hint) = elsewhere(ours, theirs);
                findings.push(Finding {
                    location: Some(only.location(&place.path)),
                    reason: Reason::InvalidManifest,
                    subject,
                    message,
                    hint,
                });
            }
            [] => findings.push(Finding {
                location: Some(Location {
                    file: format!("{ENVIRONMENTS}/{name}"),
                    line: 0,
                    column: 0,
                }),
                reason: Reason::EnvironmentMissing,
                subject,
                message: "the folder has no MLEnvironment that can be read".to_owned(),
                hint: format!(
                    "commit exactly one, with metadata.name {name}; until then the last good one goes on"
                ),
            }),
            all => findings.extend(all.iter().map(|(place, document)| Finding {
                location: Some(document.location(&place.path)),
                reason: Reason::EnvironmentMissing,
                subject: subject.clone(),
                message: format!("is one of {} MLEnvironments in the folder", all.len()),
                hint: "keep exactly one; until then the last good one goes on".to_owned(),
            })),
        }
        None
    }

    /// Adds what is wrong with entries, files and documents: all that needs no look into Git.
    pub(super) fn findings(&self, findings: &mut Vec<Finding>) {
        findings.extend(self.refused.keys().cloned());
        let wrong = self.wrong.iter().filter_map(|path| self.files.get(path));
        findings.extend(wrong.flat_map(|file| file.findings.iter().cloned()));
        self.duplicates(findings);
    }

    /// Adds a finding on each of two manifests that claim one thing: neither applies, and what serves stays.
    fn duplicates(&self, findings: &mut Vec<Finding>) {
        let mut told: BTreeSet<(Vec<&Place>, BTreeSet<&Place>)> = BTreeSet::new();
        for what in &self.contested {
            let (Some(claimants), Some(rivals)) = (self.claims.get(what), self.rivals(what)) else {
                continue;
            };
            let claimants: Vec<&Place> = claimants.places().collect();
            // Two manifests with one name mostly have one model too: one finding says enough.
            if !told.insert((claimants.clone(), rivals.clone())) {
                continue;
            }
            for claimant in claimants {
                let Some((document, id)) = self
                    .document(claimant)
                    .and_then(|document| Some((document, document.id()?)))
                else {
                    continue;
                };
                let others: Vec<String> = rivals
                    .iter()
                    .filter(|rival| **rival != claimant)
                    .filter_map(|rival| Some(self.document(rival)?.location(&rival.path).to_string()))
                    .take(3)
                    .collect();
                findings.push(Finding {
                    location: Some(document.location(&claimant.path)),
                    reason: Reason::Duplicate,
                    subject: id.into(),
                    message: format!("{what} is claimed by {} too", others.join(" and ")),
                    hint: what.hint().to_owned(),
                });
            }
        }
    }
}

/// Says that an MLEnvironment is none of whoever carries it out, and what to do. Nothing is moved by a commit: what serves
/// elsewhere would be left behind, or lost.
fn elsewhere(ours: &Target, theirs: &Target) -> (String, String) {
    if let (Target::Kubernetes { namespace: kept }, Target::Kubernetes { namespace: declared }) =
        (ours, theirs)
    {
        return (
            format!("spec.namespace: is {declared}, and this reconciler keeps {kept}"),
            format!(
                "what was applied goes on in {kept}; to move it, install Aurora in {declared}, let requests go there, then remove the installation in {kept}"
            ),
        );
    }
    let (ours, theirs) = (ours.name().as_str(), theirs.name().as_str());
    (
        format!("spec.target: is {theirs}, and this is the {ours} target"),
        format!(
            "`aurora up` serves Standalone environments, `aurora reconcile` those in Kubernetes; what was applied as {ours} goes on"
        ),
    )
}
