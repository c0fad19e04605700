//! Any sequence of writes against the simplest store that one could think of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use planner::names::{Digest, ModelName, Track, Version};
use proptest::prelude::*;
use registry::{Collected, Keep, Observer, Store, StoreError};

use crate::scenario::{because, draft, now, owner, word, write as perform};
use crate::view::{render, render_history};

const MODELS: [&str; 2] = ["iris", "wine"];
const VERSIONS: [&str; 4] = [
    "v20261101-120000",
    "v20261101-120000-2",
    "v20261102-120000",
    "v20261103-120000",
];
const CONTENTS: [&str; 2] = ["one", "two"];

#[derive(Debug, Clone)]
enum Write {
    Publish(usize, usize, usize),
    Move(usize, Track, usize),
    Remove(usize, Track),
    Abort(usize, usize, usize),
    /// Makes a history long, so that the next entry closes it.
    Grow(usize),
    Collect {
        last: usize,
        pinned: Option<(usize, usize)>,
    },
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let (model, version) = (0..MODELS.len(), 0..VERSIONS.len());
    let track = || prop::sample::select(Track::ALL.to_vec());
    let pinned = prop::option::of((model.clone(), version.clone()));
    let write = prop_oneof![
        4 => (model.clone(), version.clone(), 0..CONTENTS.len()).prop_map(|(m, v, c)| Write::Publish(m, v, c)),
        4 => (model.clone(), track(), version).prop_map(|(m, t, v)| Write::Move(m, t, v)),
        1 => (model.clone(), track()).prop_map(|(m, t)| Write::Remove(m, t)),
        2 => (model.clone(), 0..VERSIONS.len(), 0..CONTENTS.len()).prop_map(|(m, v, c)| Write::Abort(m, v, c)),
        3 => model.prop_map(Write::Grow),
        1 => (0..3_usize, pinned).prop_map(|(last, pinned)| Write::Collect { last, pinned }),
    ];
    prop::collection::vec(write, 1..24)
}

/// The simplest store: versions, aliases, and a line of history per change.
#[derive(Debug, Default)]
struct Simple {
    versions: BTreeMap<(ModelName, Version), &'static str>,
    aliases: BTreeMap<(ModelName, Track), Version>,
    history: BTreeMap<ModelName, String>,
    /// What all of a history says.
    digests: BTreeMap<ModelName, BTreeMap<Version, Digest>>,
    aborted: BTreeMap<ModelName, BTreeSet<Digest>>,
    /// Models that once had a version: their folders stay.
    models: BTreeSet<ModelName>,
}

impl Simple {
    fn publish(&mut self, model: ModelName, version: Version, content: &'static str) -> bool {
        self.models.insert(model.clone());
        *self.versions.entry((model, version)).or_insert(content) == content
    }

    fn move_alias(&mut self, model: ModelName, track: Track, to: &Version) -> bool {
        if !self.versions.contains_key(&(model.clone(), to.clone())) {
            return false;
        }
        let from = self.aliases.insert((model.clone(), track), to.clone());
        if from.as_ref() != Some(to) {
            self.left(&model, track);
            let content = self.versions[&(model.clone(), to.clone())];
            self.named(&model, to, Digest::of(content.as_bytes()));
            self.record(model, &format!("Moved {track} {} {to}\n", name(from.as_ref())));
        }
        true
    }

    fn remove_alias(&mut self, model: ModelName, track: Track) {
        if let Some(from) = self.aliases.remove(&(model.clone(), track)) {
            self.left(&model, track);
            self.record(model, &format!("Removed {track} {from} -\n"));
        }
    }

    fn abort(&mut self, model: ModelName, version: &Version, digest: Digest) {
        self.models.insert(model.clone());
        if self.aborted.entry(model.clone()).or_default().insert(digest) {
            self.named(&model, version, digest);
            self.record(model, &format!("Aborted canary {version} -\n"));
        }
    }

    fn left(&mut self, model: &ModelName, track: Track) {
        if track == Track::Canary {
            self.aborted.remove(model);
        }
    }

    fn named(&mut self, model: &ModelName, version: &Version, digest: Digest) {
        let digests = self.digests.entry(model.clone()).or_default();
        digests.insert(version.clone(), digest);
    }

    fn record(&mut self, model: ModelName, line: &str) {
        *self.history.entry(model).or_default() += line;
    }

    fn collect(&mut self, keep: &Keep) -> Vec<Collected> {
        let mut doomed = Vec::new();
        for model in &self.models {
            let of_model = self.versions.keys().filter(|(of, _)| of == model);
            let mut old: Vec<_> = of_model.rev().skip(keep.last).cloned().collect();
            old.reverse();
            for (model, version) in old {
                let aliased = Track::ALL
                    .iter()
                    .any(|track| self.aliases.get(&(model.clone(), *track)) == Some(&version));
                if !aliased && !keep.pinned.contains(&(model.clone(), version.clone())) {
                    doomed.push((model, version));
                }
            }
        }
        for key in &doomed {
            self.versions.remove(key);
        }
        doomed
            .into_iter()
            .map(|(model, version)| Collected::Version(model, version))
            .collect()
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for model in &self.models {
            for ((_, version), content) in self.versions.iter().filter(|((of, _), _)| of == model) {
                text += &format!("{model} {version} {}\n", Digest::of(content.as_bytes()).short());
            }
            for ((_, track), version) in self.aliases.iter().filter(|((of, _), _)| of == model) {
                text += &format!("{model} {track} -> {version}\n");
            }
        }
        text
    }
}

fn name(version: Option<&Version>) -> String {
    version.map_or("-".to_owned(), ToString::to_string)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_simple_store_on_a_disk(writes in writes()) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::init(root.path(), &owner(), now()).unwrap();
        let observer = Observer::new(store.clone());
        let mut simple = Simple::default();
        for write in writes {
            match write {
                Write::Publish(model, version, content) => {
                    let (model, version, content) = (MODELS[model], VERSIONS[version], CONTENTS[content]);
                    let published = store.publish(draft(model, version, content));
                    if simple.publish(word(model), word(version), content) {
                        prop_assert_eq!(published.unwrap().digest, Digest::of(content.as_bytes()));
                    } else {
                        let exists = matches!(published, Err(StoreError::Exists { .. }));
                        prop_assert!(exists, "{:?}", published);
                    }
                }
                Write::Move(model, track, to) => {
                    let (model, to): (ModelName, Version) = (word(MODELS[model]), word(VERSIONS[to]));
                    let moved = store.move_alias(&model, track, &to, because("pinned"));
                    if simple.move_alias(model, track, &to) {
                        moved.unwrap();
                    } else {
                        let missing = matches!(moved, Err(StoreError::NotFound { .. }));
                        prop_assert!(missing, "{:?}", moved);
                    }
                }
                Write::Remove(model, track) => {
                    let model: ModelName = word(MODELS[model]);
                    store.remove_alias(&model, track, because("unpinned")).unwrap();
                    simple.remove_alias(model, track);
                }
                Write::Abort(model, version, content) => {
                    let (model, version, content) = (MODELS[model], VERSIONS[version], CONTENTS[content]);
                    perform(root.path(), &format!("abort {model} {version} {content}")).unwrap();
                    simple.abort(word(model), &word(version), Digest::of(content.as_bytes()));
                }
                Write::Grow(model) => {
                    if simple.history.contains_key(&word::<ModelName>(MODELS[model])) {
                        perform(root.path(), &format!("grow {}", MODELS[model])).unwrap();
                    }
                }
                Write::Collect { last, pinned } => {
                    let pinned = pinned.map(|(m, v)| (word(MODELS[m]), word(VERSIONS[v])));
                    let keep = Keep {
                        pinned: pinned.into_iter().collect(),
                        datasets: BTreeSet::new(),
                        last,
                        minimum_age: Duration::from_hours(24),
                    };
                    // Nothing is old enough today; in a hundred years everything is.
                    prop_assert_eq!(store.collect(&keep, now(), false).unwrap(), []);
                    let later = word("2126-11-20T09:30:00Z");
                    let announced = store.collect(&keep, later, true).unwrap();
                    prop_assert_eq!(&announced, &store.collect(&keep, later, false).unwrap());
                    prop_assert_eq!(announced, simple.collect(&keep));
                }
            }
            prop_assert_eq!(render(root.path()).unwrap(), simple.render());
            for model in &simple.models {
                let history = simple.history.get(model).cloned().unwrap_or_default();
                prop_assert_eq!(render_history(root.path(), model).unwrap(), history);
                // Whoever has seen all of it sees what somebody new does, and knows that nothing else is there.
                let observed = observer.observe(model).unwrap();
                prop_assert_eq!(&observed, &Observer::new(store.clone()).observe(model).unwrap());
                prop_assert!(std::sync::Arc::ptr_eq(&observed, &observer.observe(model).unwrap()));
                // However often its history was closed.
                prop_assert_eq!(&observed.history_digests, &simple.digests.get(model).cloned().unwrap_or_default());
                prop_assert_eq!(&observed.aborted, &simple.aborted.get(model).cloned().unwrap_or_default());
            }
        }
    }
}
