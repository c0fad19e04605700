//! What a reconciler opens before its first pass: what was applied before, the branch, the registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use planner::Timestamp;
use planner::environment::{Environment, Target};
use reconciler::objects::{ObjectStore as _, ObservedObject};
use reconciler::source::{Interrupt, Source};
use reconciler::{Reconciler, admission, first_environment};
use registry::{Gate, Observer, Owner, Store, StoreError};

use super::memory::Memory;
use super::{Options, RunError, TURNS};
use crate::leadership::{self, Fence};
use crate::objects::Objects;

/// Where the registry's volume is mounted, unless the environment says otherwise; what it says relatively lies below.
pub const REGISTRY: &str = "/shared-models";

/// What passes are run with.
pub(super) struct Opened {
    pub(super) reconciler: Reconciler,
    pub(super) memory: Memory,
    pub(super) interrupt: Interrupt,
}

/// Opens everything. Git is read here only where nothing was applied before; nor is a registry made in the place of one
/// that was in use and is not there: its volume may not be mounted.
pub(super) fn open(
    options: Options,
    objects: Arc<Objects>,
    fence: Fence,
    now: Timestamp,
) -> Result<Opened, RunError> {
    let observed = objects.observe(None).map_err(RunError::Objects)?.objects;
    let last_good = observed.into_iter().find_map(|object| match object {
        ObservedObject::Environment(environment) => Some(environment),
        ObservedObject::Deployment(..) | ObservedObject::Training(..) => None,
    });
    let was_in_use = last_good.is_some();
    let mut source = Source::follow(&options.repository, options.follow.clone());
    let target = Target::Kubernetes {
        namespace: options.namespace.clone(),
    };
    let environment = if let Some(environment) = last_good {
        environment
    } else {
        source = Source::open(&options.repository, options.follow.clone())?;
        first_environment(&mut source, &options.environment, target.clone())?
    };
    if let Target::Kubernetes { namespace } = &environment.target
        && *namespace != options.namespace
    {
        return Err(RunError::Namespace {
            declared: namespace.clone(),
            kept: options.namespace,
        });
    }
    let root = registry_root(&environment);
    let known = objects.installation();
    let mut owner = Owner {
        environment: options.environment.clone(),
        installation: known.clone().unwrap_or(options.installation),
    };
    let gate = gate(fence);
    let is_awaited = was_in_use && matches!(Store::open(&root), Err(StoreError::NoStore(_)));
    let store = if is_awaited {
        Store::at(&root).behind(gate.clone())
    } else {
        match Store::at(&root).behind(gate.clone()).make(&owner, now) {
            Ok(_made) => {}
            // Whoever is not known yet takes the store that somebody made for this environment.
            Err(StoreError::OtherOwner { owner: other, .. })
                if known.is_none() && other.environment == owner.environment =>
            {
                owner = *other;
            }
            Err(error) => return Err(error.into()),
        }
        Store::at(&root)
            .behind(gate.clone())
            .own_beside_trainers(&owner)?
    };
    objects.set_installation(&owner.installation);
    let memory = Memory::open(&options.data_dir);
    let interrupt = source.interrupt();
    let locate = Arc::new(|environment: &Environment| registry_root(environment));
    let mut reconciler = Reconciler::new(source, options.environment, objects, Observer::new(store), locate)
        .for_target(target)
        .with_data(options.dataset_roots, memory.data_digests())
        .with_control_planes(options.control_planes)
        .with_remembered(memory.history())
        .with_seen(memory.first_seen())
        .looking_within(TURNS);
    if is_awaited {
        let admit = admission(reconciler.store().root(), &owner, move |root, owner| {
            Store::at(root).behind(gate.clone()).own_beside_trainers(owner)
        });
        reconciler = reconciler.awaiting_registry(admit);
    }
    Ok(Opened {
        reconciler,
        memory,
        interrupt,
    })
}

/// No write to the registry begins later than one to the API server may.
fn gate(fence: Fence) -> Gate {
    Gate::new(move || fence.permits(leadership::now()))
}

fn registry_root(environment: &Environment) -> PathBuf {
    let declared = environment.registry_path.as_deref().unwrap_or_default();
    Path::new(REGISTRY).join(declared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leadership::Terms;

    #[test]
    fn the_registry_is_written_while_this_replica_leads() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "test".to_owned(),
        };
        let fence = Fence::closed(Terms::default());
        let store = || Store::at(folder.path()).behind(gate(fence.clone()));
        let make = || store().make(&owner, Timestamp::UNIX_EPOCH);
        assert!(matches!(make(), Err(StoreError::NotPermitted)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        fence.renewed(leadership::now());
        make().unwrap();
        fence.close();
        assert!(matches!(
            store().own_beside_trainers(&owner),
            Err(StoreError::NotPermitted)
        ));
    }
}
