//! The files of a store, each changed in turn: the first byte of an input says which, the rest is its content.

use std::path::{Path, PathBuf};

use planner::Timestamp;
use planner::names::{Digest, EnvironmentName, ModelName, Track, Version};
use planner::observed::ObservedVersion;
use registry::artifact::{Engines, load};
use registry::{Event, HistoryEntry, Observer, Owner, Reference, Store};

use crate::Taker;
use crate::body::draft;

/// What an input may stand for, below `aurora/`.
const FILES: [&str; 11] = [
    "wine/versions/v20260101-000000/metadata.json",
    "wine/versions/v20260101-000000/model.onnx",
    "wine/versions/v20260101-000000/checksums",
    "wine/history.jsonl",
    "wine/runs/v20260101-000000/request.json",
    "wine/runs/v20260101-000000/progress.jsonl",
    "wine/runs/v20260101-000000/result.json",
    "registry/metadata.json",
    "registry/identity.json",
    "registry/current-version",
    "wine/aliases/stable",
];

pub(crate) fn taker() -> Taker {
    // In memory where the system has such a folder: each input is synced a few times.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let root = root.unwrap();
    Box::new(move |input| {
        let place = root.path().join("store");
        take(&place, input);
        std::fs::remove_dir_all(&place).unwrap();
    })
}

fn take(root: &Path, input: &[u8]) {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let owner = Owner {
        environment: "dev".parse::<EnvironmentName>().unwrap(),
        installation: "one".to_owned(),
    };
    let (model, version): (ModelName, Version) =
        ("wine".parse().unwrap(), "v20260101-000000".parse().unwrap());
    let store = Store::init(root, &owner, now).unwrap();
    let draft = draft("wine");
    let digest = Digest::of(&draft.artifact);
    store.publish(draft).unwrap();
    let entry = |event| HistoryEntry {
        at: now,
        event,
        alias: Track::Stable,
        from: None,
        to: None,
        digest: Some(digest),
        revision: None,
        actor: "fuzz".to_owned(),
        reason: None,
    };
    drop(store.ensure_run(&model, &version).unwrap());
    store.append_history(&model, &entry(Event::Aborted)).unwrap();

    let (which, content) = input.split_first().unwrap_or((&0, &[]));
    let file = FILES[usize::from(*which) % FILES.len()];
    let path: PathBuf = root.join("aurora").join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let is_same = std::fs::read(&path).is_ok_and(|before| before == content);
    std::fs::write(&path, content).unwrap();

    // Whoever reads is told or gets what was written.
    let reference = Reference::Version(version.clone());
    if let Ok(found) = store.resolve(&model, &reference)
        && load(&store, &found, &Engines::default()).is_ok()
    {
        assert!(
            is_same || !file.ends_with("model.onnx"),
            "another artifact was loaded"
        );
        assert_eq!(found.digest, digest);
        assert!(is_same || !file.ends_with("versions/v20260101-000000/metadata.json"));
    }
    let observer = Observer::new(store.clone());
    let seen = observer.observe(&model).unwrap();
    let is_sound = matches!(seen.versions.get(&version), Some(ObservedVersion::Sound { .. }));
    let is_of_version = file.starts_with("wine/versions");
    assert!(is_sound || is_of_version, "{file} damages no version");
    assert!(!is_sound || is_same || !is_of_version || file.ends_with("checksums"));
    store.history_junk(&model).unwrap();
    drop((store.aliases(&model), store.check_identity()));
    let run = store.run(&model, &version).unwrap().unwrap();
    drop((run.request(), run.progress(), run.result()));

    // Whoever writes goes on, and is read by who looked before.
    let before = store.history(&model, usize::MAX).unwrap().len();
    store.append_history(&model, &entry(Event::Removed)).unwrap();
    assert_eq!(store.history(&model, usize::MAX).unwrap().len(), before + 1);
    let seen = observer.observe(&model).unwrap();
    assert_eq!(seen, Observer::new(store).observe(&model).unwrap());

    // The owner's own files heal as long as one is left; what another program wrote is refused.
    if let Err(error) = Store::init(root, &owner, now) {
        let is_own = file.starts_with("registry/");
        assert!(is_own, "{file}: {error}");
    } else {
        Store::open_owned(root, &owner).unwrap();
    }
}
