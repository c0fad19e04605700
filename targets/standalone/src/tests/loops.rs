//! The loops as they run by themselves.

use std::time::Duration;

use expect_test::expect;

use super::model;
use super::repository::{Repo, V1, V2, deployment};
use super::world::{Parts, until};
use crate::{Event, Mode};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commits_are_followed_until_the_shutdown() {
    let mut repo = Repo::with(&[("m.yaml", &model("m", V1, Some((V2, 10))))]);
    let folder = tempfile::tempdir().unwrap();
    let Parts {
        standalone,
        slots,
        trainer,
    } = Parts::new(&repo, folder.path());
    let mut events = standalone.events();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(standalone.run(slots.clone(), trainer, Mode::Follow, async {
        let _sender_gone = stopped.await;
    }));
    until("the first commit serves", || {
        slots.show("m") == format!("{V1} + 10% of {V2}")
    })
    .await;
    repo.change("m.yaml", &model("m", V1, Some((V2, 50))));
    until("the weight moves", || {
        slots.show("m") == format!("{V1} + 50% of {V2}")
    })
    .await;
    let head = repo.change("m.yaml", &model("m", V2, None));
    until("the canary is promoted", || slots.show("m") == V2).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    // The next start reads no history but what comes from here on.
    let remembered = std::fs::read_to_string(folder.path().join("data/git/history.json")).unwrap();
    assert!(remembered.contains(head.as_str()), "{remembered}");

    let mut seen = std::collections::BTreeSet::new();
    while let Ok(event) = events.try_recv() {
        seen.insert(match event {
            Event::Pass(pass) if pass.is_first => "first pass",
            Event::Pass(_) => "pass",
            Event::PassEnded { .. } => "pass ended",
            Event::Reported(_) => "reported",
            Event::TrainingStarted { .. } => "training started",
            Event::TrainingProgress { .. } => "training progress",
            Event::TrainingEnded { .. } => "training ended",
            Event::Rollout { .. } => "rollout",
            Event::Removed { .. } => "removed",
            Event::Settled { .. } => "settled",
            Event::Trouble(_) => "trouble",
            Event::Recovered => "recovered",
            Event::Uncommitted(_) => "uncommitted",
        });
    }
    for expected in [
        "first pass",
        "pass",
        "pass ended",
        "reported",
        "training started",
        "training ended",
        "rollout",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen:?}");
    }
    assert!(!seen.contains("trouble"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn once_ends_when_nothing_is_left_to_do() {
    let mut repo = Repo::with(&[("m.yaml", &model("m", V1, None))]);
    let folder = tempfile::tempdir().unwrap();
    let once = Mode::Once {
        // It ends when nothing is left to do, however busy the machine is.
        timeout: Duration::from_mins(10),
    };
    for expected_trainings in [2, 0] {
        let Parts {
            standalone,
            slots,
            trainer,
        } = Parts::new(&repo, folder.path());
        let converged = standalone
            .run(slots.clone(), trainer.clone(), once, std::future::pending())
            .await
            .unwrap();
        assert!(converged.is_converged(), "{converged:?}");
        assert_eq!(slots.show("m"), V1);
        assert_eq!(trainer.requests.lock().unwrap().len(), expected_trainings);
    }
    repo.change("other.yaml", &deployment("other", V1, None));
    let Parts {
        standalone,
        slots,
        trainer,
    } = Parts::new(&repo, folder.path());
    let converged = standalone
        .run(slots, trainer, once, std::future::pending())
        .await
        .unwrap();
    assert!(converged.is_settled && !converged.is_converged());
    let findings: Vec<_> = converged.findings.iter().map(ToString::to_string).collect();
    expect![[r#"
        environments/dev/other.yaml:1:1: VersionMissing: MLDeployment/other: stable: version v20261101-120000 of other does not exist and no training job makes it
          hint: the registry holds no version of other: add an MLTrainingJob with `version: v20261101-120000`"#]].assert_eq(&findings.join("\n"));
}
