//! Pull requests, one after the other: what the plan of one says before the merge is what the passes after it do.

pub(crate) mod fixtures;

use std::collections::BTreeSet;
use std::time::Duration;

use planner::Timestamp;
use reconciler::Elsewhere;
use reconciler::diff::{Ground, Records, intents};
use reconciler::objects::ObjectStore as _;
use reconciler::preview;
use reconciler::source::Source;

use self::fixtures::{Comes, MODELS, REQUESTS, Request, SERVED, lines, observed, write};
use crate::passes::World;
use crate::repository::{Repo, V1, dev};

/// How many passes a merge is given.
const PASSES: usize = 8;

#[test]
fn what_is_planned_before_a_merge_is_what_the_passes_after_it_do() {
    let mut repo = Repo::with(&[]);
    for model in SERVED {
        write(&mut repo, model, V1, None, "");
    }
    let mut base = repo.commit("models");
    let mut world = World::new(repo, &MODELS);
    world.settle();
    let mut now: Timestamp = "2026-12-01T01:00:00Z".parse().unwrap();
    for Request { what, edit, comes } in REQUESTS {
        edit(&mut world.repo);
        let head = world.repo.commit(what);
        let (repository, store) = (world.repo.repository(), world.store.clone());
        let (from, to) = (base.as_str(), head.as_str());
        let planned = preview::between(
            &repository,
            from,
            to,
            &dev(),
            Some(&store),
            Elsewhere::default(),
            now,
        )
        .unwrap();

        let before = observed(world.target.observe(None).unwrap().objects, &base);
        let mut hashes = BTreeSet::new();
        for _ in 0..PASSES {
            now += Duration::from_secs(1);
            hashes.extend(world.pass_at(now).plan_hash);
            world.serve();
        }
        let after = observed(world.target.observe(None).unwrap().objects, &head);
        let source = Source::open_any(&repository).unwrap();
        let ground = Ground {
            records: Records(Some(&store)),
            elsewhere: Elsewhere::default(),
            source: &source,
            overridden: None,
            now,
        };
        let done = lines(&intents(&before, &after, &[], &ground));

        let planned_lines = lines(&planned);
        match comes {
            Comes::Planned => {
                assert_eq!(done, planned_lines, "{what}");
                assert!(!done.is_empty(), "{what}: {planned:?}");
                assert_eq!(hashes, BTreeSet::from([planned.hash]), "{what}");
                assert!(!planned.is_stopped(), "{what}");
            }
            Comes::Nothing => {
                assert_eq!((done, planned_lines), (vec![], vec![]), "{what}");
            }
            Comes::Already => {
                assert_eq!(done, Vec::<String>::new(), "{what}");
                assert!(!planned_lines.is_empty(), "{what}");
            }
            Comes::Held => {
                assert_eq!(done, Vec::<String>::new(), "{what}");
                let says = planned.text();
                let says_so = ["suspended", "stays all the same", "STOPS"];
                assert!(says_so.iter().any(|words| says.contains(words)), "{what}: {says}");
            }
        }
        base = head;
    }
}
