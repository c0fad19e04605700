//! What every [`ObjectStore`] must do, as checks that each target's tests run against its own store.
//!
//! Each check panics with what was wrong; a store is given empty.

use planner::deployment::{Deployment, ResolvedPin, STABLE_REPLICAS};
use planner::environment::{Drift, Environment, RemovalLimits, Target};
use planner::names::{Digest, ObjectName, Version};
use planner::object::ObjectId;
use planner::observed::{DeploymentObject, ObservedDeployment};

use super::{Changes, Mark, Object, ObjectStore, ObservedObject};

/// Runs every check, each on a store of its own.
///
/// # Panics
///
/// The store does not do what it must.
pub fn check<S: ObjectStore>(empty: impl Fn() -> S) {
    what_is_put_is_observed(&empty());
    only_what_changed_is_observed(&empty());
    repeating_changes_nothing(&empty());
    what_is_deleted_is_gone_once(&empty());
    a_report_is_known_to_who_asks_for_everything(&empty());
    an_old_mark_misses_nothing(&empty());
}

fn environment() -> Environment {
    Environment {
        name: "dev".parse().expect("a name"),
        target: Target::Standalone,
        commits: planner::commits::CommitPolicy::default(),
        models: planner::trust::ModelPolicy::default(),
        drift: Drift::Correct,
        suspend: None,
        notify: Vec::new(),
        registry_path: None,
        removal: RemovalLimits::default(),
        windows: Vec::new(),
        gates: None,
        promotion: None,
        upstream: None,
    }
}

fn name(text: &str) -> ObjectName {
    text.parse().expect("a name")
}

fn deployment(text: &str, stable: u8) -> Object {
    let version: Version = format!("v202601{stable:02}-000000").parse().expect("a version");
    let revision = "a".repeat(40);
    let object = DeploymentObject {
        spec: Deployment {
            model: text.parse().expect("a name"),
            stable: ResolvedPin {
                version,
                digest: Digest::of(&[stable]),
            },
            replicas: STABLE_REPLICAS,
            canary: None,
            autoscaling: None,
            pod: None,
            route: None,
            engine: planner::engine::Engine::Aurora,
            suspend: None,
            rejected: Vec::new(),
            allow_breaking: Vec::new(),
        },
        revision: revision.parse().expect("a revision"),
        stable_revision: revision.parse().expect("a revision"),
        canary_revision: None,
        abort: None,
        overridden: None,
        kept: None,
        trust: None,
        behind: None,
    };
    Object::Deployment(name(text), object)
}

fn observed(object: &Object) -> ObservedObject {
    match object.clone() {
        Object::Deployment(name, object) => {
            ObservedObject::Deployment(name, ObservedDeployment::written(None, object))
        }
        Object::Environment(environment) => ObservedObject::Environment(environment),
        Object::Training(..) => unreachable!("no check puts a job"),
    }
}

fn put(store: &impl ObjectStore, object: &Object) {
    store.put(object).expect("an object is written");
}

fn observe(store: &impl ObjectStore, since: Option<Mark>) -> Changes {
    let mut changes = store.observe(since).expect("objects are observed");
    changes.objects.sort_by_key(ObservedObject::id);
    changes.gone.sort();
    changes
}

fn what_is_put_is_observed(store: &impl ObjectStore) {
    let all = [
        Object::Environment(environment()),
        deployment("a", 1),
        deployment("b", 2),
    ];
    for object in &all {
        put(store, object);
    }
    let changes = observe(store, None);
    assert!(changes.is_complete, "everything was asked for");
    assert_eq!(changes.objects, all.iter().map(observed).collect::<Vec<_>>());
    assert_eq!(changes.gone, []);
}

fn only_what_changed_is_observed(store: &impl ObjectStore) {
    put(store, &deployment("a", 1));
    put(store, &deployment("b", 1));
    let mark = observe(store, None).mark;
    let nothing = observe(store, Some(mark));
    assert!(!nothing.is_complete, "a mark asks for what is new");
    assert_eq!((nothing.objects, nothing.gone), (vec![], vec![]));
    put(store, &deployment("b", 2));
    let changes = observe(store, Some(mark));
    assert_eq!(changes.objects, [observed(&deployment("b", 2))]);
    assert_eq!(observe(store, Some(changes.mark)).objects, []);
}

fn repeating_changes_nothing(store: &impl ObjectStore) {
    put(store, &Object::Environment(environment()));
    put(store, &deployment("a", 1));
    let mark = observe(store, None).mark;
    put(store, &Object::Environment(environment()));
    put(store, &deployment("a", 1));
    let changes = observe(store, Some(mark));
    assert_eq!((changes.objects, changes.gone), (vec![], vec![]));
}

fn what_is_deleted_is_gone_once(store: &impl ObjectStore) {
    put(store, &deployment("a", 1));
    put(store, &deployment("b", 1));
    let mark = observe(store, None).mark;
    let id = ObjectId::deployment(&name("a"));
    store.delete(&id).expect("an object is removed");
    let changes = observe(store, Some(mark));
    assert_eq!((changes.objects, changes.gone), (vec![], vec![id.clone()]));
    store.delete(&id).expect("what is gone is removed already");
    let again = observe(store, Some(changes.mark));
    assert_eq!((again.objects, again.gone), (vec![], vec![]));
    assert_eq!(observe(store, None).objects, [observed(&deployment("b", 1))]);
    // It comes back as something new.
    put(store, &deployment("a", 1));
    let back = observe(store, Some(again.mark));
    assert_eq!(
        (back.objects, back.gone),
        (vec![observed(&deployment("a", 1))], vec![])
    );
}

fn a_report_is_known_to_who_asks_for_everything(store: &impl ObjectStore) {
    put(store, &Object::Environment(environment()));
    let status = crds::MLEnvironmentStatus {
        attempted_revision: Some("b".repeat(40).parse().expect("a revision")),
        ..crds::MLEnvironmentStatus::default()
    };
    store.report(&status).expect("a report is written");
    store.report(&status).expect("and written again");
    let changes = observe(store, None);
    assert_eq!(changes.report.as_deref(), Some(&status));
    assert_eq!(observe(store, Some(changes.mark)).objects, []);
}

fn an_old_mark_misses_nothing(store: &impl ObjectStore) {
    let first = observe(store, None).mark;
    for round in 1..=3 {
        put(store, &deployment("a", round));
        put(store, &deployment("b", round));
    }
    store
        .delete(&ObjectId::deployment(&name("b")))
        .expect("an object is removed");
    let changes = observe(store, Some(first));
    let known = if changes.is_complete { vec![] } else { changes.gone };
    assert_eq!(changes.objects, [observed(&deployment("a", 3))]);
    // Whether it ever was is nobody's business: it must not be there.
    assert!(known.iter().all(|id| *id == ObjectId::deployment(&name("b"))));
}
