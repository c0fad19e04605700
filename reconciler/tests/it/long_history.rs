//! Commits after a history that is too long to be read at once.

use std::time::Duration;

use reconciler::objects::{ObjectStore as _, ObservedObject};

use crate::passes::{World, start};
use crate::repository::{Repo, V1, V2, deployment};

/// Each commit is applied at once, however many are before it; which one changed what is corrected after it.
#[test]
fn no_commit_waits_for_a_long_history() {
    let mut repo = Repo::with(&[
        ("iris.yaml", &deployment("iris", V1, None)),
        ("wine.yaml", &deployment("wine", V1, None)),
    ]);
    let first = repo.git().refname_to_id("refs/heads/main").unwrap();
    for n in 0..150 {
        repo.change("iris.yaml", &deployment("iris", V1, Some((V2, 1 + n % 9))));
    }
    let mut world = World::new(repo, &["iris", "wine"]);
    world.reconciler = start(&world.repo, &world.target, &world.store).with_patience(Duration::ZERO);
    let of_wine = |world: &World| {
        let objects = world.target.observe(None).unwrap().objects.into_iter();
        let found = objects.filter_map(|object| match object {
            ObservedObject::Deployment(name, found) if name.as_str() == "wine" => Some(found.object),
            _ => None,
        });
        let object = found.last().unwrap();
        (object.revision, object.stable_revision)
    };
    let pass = world.pass();
    assert!(pass.is_walking && !pass.is_quiet());
    let (stands_in, serves) = of_wine(&world);
    assert_eq!(stands_in, serves);
    assert_ne!(stands_in, crate::repository::revision(first));
    let head = world.repo.change("iris.yaml", &deployment("iris", V2, None));
    let pass = world.pass();
    assert!(pass.is_walking);
    assert_eq!(pass.attempted, Some(head.clone()));

    world.settle();
    let first = crate::repository::revision(first);
    assert_eq!(of_wine(&world), (first.clone(), first));
    assert_eq!(world.reconciler.walked_to(), Some(head));
}
