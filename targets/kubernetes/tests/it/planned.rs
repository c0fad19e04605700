//! Pull requests in a cluster: what the plan of one says before the merge is what the reconciler after it does.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use planner::Timestamp;
use reconciler::Elsewhere;
use reconciler::diff::{Ground, Records, intents};
use reconciler::objects::{ObjectStore as _, ObservedObject};
use reconciler::preview;
use reconciler::source::Source;
use serde_json::Value;

use crate::desired::{Desired, PATIENCE, eventually, now};
use crate::installed::{follow, get};
use crate::repository::{V1, V2, dev};
use crate::requests::{Comes, MODELS, REQUESTS, Request, SERVED, lines, observed, write};
use crate::versions::draft;
use crate::whole::Whole;

/// So many of the requests are made: the later ones are about an environment of one process.
const COUNT: usize = 18;

impl Desired {
    async fn objects(&self) -> Vec<ObservedObject> {
        let objects = follow(&self.namespace);
        let seen = Mutex::new(Vec::new());
        eventually("the objects are seen", async || {
            let Ok(changes) = tokio::task::block_in_place(|| objects.observe(None)) else {
                return false;
            };
            *seen.lock().unwrap() = changes.objects;
            true
        })
        .await;
        seen.into_inner().unwrap()
    }

    /// Waits until a commit is live, and returns the status.
    async fn until_applied(&self, head: &str) -> Value {
        let found = Mutex::new(Value::Null);
        eventually(head, async || {
            let status = get(&self.namespace, "mlenvironments/dev").await.body["status"].clone();
            let is_applied = status["appliedRevision"] == head;
            *found.lock().unwrap() = status;
            is_applied
        })
        .await;
        found.into_inner().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planned_before_a_merge_is_what_the_reconciler_does_after_it() {
    let Some(mut whole) = Whole::new(&SERVED).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let store = desired.store();
    for model in MODELS.iter().filter(|model| !SERVED.contains(model)) {
        for version in [V1, V2] {
            let draft = draft(&model.parse().unwrap(), &version.parse().unwrap(), None);
            store.publish(draft).unwrap();
        }
    }
    for model in SERVED {
        write(&mut desired.repo, model, V1, None, "");
    }
    let mut base = desired.repo.commit("models");
    controllers.start_all();
    desired.until_applied(base.as_str()).await;
    for Request { what, edit, comes } in &REQUESTS[..COUNT] {
        let before = observed(desired.objects().await, &base);
        edit(&mut desired.repo);
        let head = desired.repo.commit(what);
        let now: Timestamp = now();
        let repository = desired.repo.repository();
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
        let status = desired.until_applied(head.as_str()).await;
        let source = Source::open_any(&repository).unwrap();
        let ground = Ground {
            records: Records(Some(&store)),
            elsewhere: Elsewhere::default(),
            source: &source,
            overridden: None,
            now,
        };
        // What goes is drained first.
        let began = Instant::now();
        let done = loop {
            let after = observed(desired.objects().await, &head);
            let done = lines(&intents(&before, &after, &[], &ground));
            if done == lines(&planned) || began.elapsed() > PATIENCE {
                break done;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(done, lines(&planned), "{what}");
        assert_eq!(done.is_empty(), *comes == Comes::Nothing, "{what}: {done:?}");
        if *comes == Comes::Planned {
            let history = status["history"].as_array().unwrap();
            let hash = planned.hash.to_string();
            assert!(
                history.iter().any(|pass| pass["planHash"] == *hash),
                "{what}: {history:?}"
            );
        }
        base = head;
    }
    controllers.stop_all().await;
}
