//! Imports: fetched, checked as a load checks, published as a run publishes. Nothing is visible before it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use planner::Timestamp;
use planner::deployment::Pin;
use planner::desired::Desired;
use planner::imports::{Fault, Import, Wanted};
use planner::names::{Digest, ModelName, Version};
use registry::artifact::{Engines, load_bytes};
use registry::metadata::Imported;
use registry::{Draft, Store, StoreError};

use super::rounds::{Round, Rounds};
use super::{ControlPlanes, Fetched};

/// The first pause after what may work again by itself; each other one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pause after what a person must mend: nothing tells when they have.
const PAUSE_INVALID: Duration = Duration::from_secs(10);

type Key = (ModelName, Version);

/// What was asked for and has not come yet.
pub(crate) struct Imports(Rounds<Key, Asked>);

#[derive(Debug, Clone)]
struct Asked {
    import: Import,
    at: Timestamp,
    store: Store,
    failures: u32,
}

/// What counts is what is told.
impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.import == other.import
    }
}

impl Imports {
    /// Fetches by `planes`.
    pub(crate) fn new(planes: Arc<dyn ControlPlanes>) -> Self {
        // At most one version is kept in part, whatever else is tried meanwhile.
        let partial: Mutex<Option<(Wanted, Vec<u8>)>> = Mutex::default();
        Self(Rounds::new("import", move |_key: &Key, asked: &Asked| {
            let wanted = &asked.import.wanted;
            let mut partial = partial.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = partial.take().filter(|(of, _bytes)| of == wanted);
            let mut bytes = kept.map(|(_of, bytes)| bytes).unwrap_or_default();
            let came = || import(planes.as_ref(), asked, &mut bytes);
            // What reads bytes of another machine is bounded and tested; a fault in it stops this version alone.
            let result = catch_unwind(AssertUnwindSafe(came)).unwrap_or_else(|_panic| {
                Err(Fault::Unusable("reading it failed: a fault of aurora".to_owned()))
            });
            let Err(fault) = result else {
                return Round::Done;
            };
            if !bytes.is_empty() {
                *partial = Some((wanted.clone(), bytes));
            }
            again(asked, fault)
        }))
    }

    /// Asks for a version.
    pub(crate) fn ask(&self, wanted: &Wanted, store: &Store, now: Timestamp) {
        let asked = Asked {
            import: Import {
                wanted: wanted.clone(),
                fault: None,
            },
            at: now,
            store: store.clone(),
            failures: 0,
        };
        self.0.put((wanted.model.clone(), wanted.version.clone()), asked);
    }

    /// Returns how the imports stand that the models' manifests ask for, and forgets the others.
    pub(crate) fn of(
        &self,
        models: &BTreeSet<ModelName>,
        desired: &Desired,
    ) -> BTreeMap<ModelName, BTreeMap<Version, Import>> {
        let mut pinned: BTreeMap<Key, Option<Digest>> = BTreeMap::new();
        let specs = desired.deployments.values().map(|declared| &declared.spec);
        let is_held = desired.environment.suspend.is_some();
        for spec in specs.filter(|spec| !is_held && spec.suspend.is_none()) {
            let canary = spec.canary.as_ref().map(|canary| &canary.pin);
            for Pin { version, digest } in [Some(&spec.stable), canary].into_iter().flatten() {
                pinned.insert((spec.model.clone(), version.clone()), *digest);
            }
        }
        let upstream = desired.environment.upstream.as_ref();
        self.0.retain(|key, Asked { import, .. }| {
            let is_pinned = || pinned.get(key) == Some(&Some(import.wanted.digest));
            !models.contains(&key.0) || (is_pinned() && upstream == Some(&import.wanted.from))
        });
        let mut imports: BTreeMap<ModelName, BTreeMap<Version, Import>> = BTreeMap::new();
        for key in pinned.into_keys() {
            if let Some(asked) = self.0.get(&key) {
                let (model, version) = key;
                imports.entry(model).or_default().insert(version, asked.import);
            }
        }
        imports
    }

    /// Takes the models of which an import came, or failed otherwise than before.
    pub(crate) fn news(&self) -> impl Iterator<Item = ModelName> {
        self.0.news().into_iter().map(|(model, _version)| model)
    }

    /// Counts those under way that have not failed yet.
    pub(crate) fn under_way(&self) -> usize {
        self.0.count(|asked| asked.import.fault.is_none())
    }
}

fn again(asked: &Asked, fault: Fault) -> Round<Asked> {
    let Import {
        wanted,
        fault: before,
    } = &asked.import;
    let pause = match fault {
        Fault::Unavailable(_) | Fault::Storage(_) => {
            (PAUSE * 2_u32.saturating_pow(asked.failures.min(8))).min(PAUSE_MAX)
        }
        Fault::OtherDigest(_) | Fault::NotThere | Fault::Refused(_) | Fault::Unusable(_) => PAUSE_INVALID,
    };
    if before.as_ref() != Some(&fault) {
        let Wanted {
            model, version, from, ..
        } = wanted;
        tracing::warn!(%model, %version, %from, ?fault, "cannot import a version; it is tried again");
    }
    let again = Asked {
        import: Import {
            wanted: wanted.clone(),
            fault: Some(fault),
        },
        failures: asked.failures + 1,
        ..asked.clone()
    };
    Round::Again(again, pause)
}

fn import(planes: &dyn ControlPlanes, asked: &Asked, partial: &mut Vec<u8>) -> Result<(), Fault> {
    let Asked {
        import: Import { wanted, fault: _ },
        at,
        store,
        failures: _,
    } = asked;
    let Wanted {
        model,
        version,
        digest,
        from,
        revision,
    } = wanted;
    let kept = store.record(model, version).map_err(|error| storage(&error))?;
    if kept.is_some_and(|kept| kept.artifact.digest == *digest) {
        return Ok(());
    }
    let Fetched {
        mut metadata,
        artifact,
    } = planes.version(wanted, partial)?;
    partial.clear();
    // What another engine evaluates, whoever loads it checks: a reconciler has none.
    if metadata.engine.is_own() {
        load_bytes(&artifact, &metadata, &Engines::default())
            .map_err(|error| Fault::Unusable(error.to_string()))?;
    }
    metadata.lineage.imported = Some(Imported {
        from: from.url.clone(),
        at: *at,
        revision: revision.clone(),
    });
    let bytes = artifact.len();
    store
        .publish(Draft { metadata, artifact })
        .map_err(|error| match error {
            error @ (StoreError::Draft { .. } | StoreError::Exists { .. }) => {
                Fault::Unusable(error.to_string())
            }
            error => storage(&error),
        })?;
    tracing::info!(%model, %version, %from, bytes, "imported");
    Ok(())
}

fn storage(error: &StoreError) -> Fault {
    Fault::Storage(error.to_string())
}
