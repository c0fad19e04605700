//! What an observer remembers, what makes it look again, and how much it then reads.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::names::{Digest, ModelName, Track};
use planner::observed::{ObservedAlias, ObservedModel, ObservedVersion};
use registry::{Observer, Store, StoreError};
use tempfile::TempDir;

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// A store with models of two versions, both aliased, and an observer that trusts all of it.
struct World {
    root: TempDir,
    observer: Observer,
}

impl World {
    fn new() -> Self {
        Self::of(1)
    }

    fn of(models: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::init(root.path(), &owner(), now()).unwrap();
        let world = Self {
            root,
            observer: Observer::new(store),
        };
        for model in (0..models).map(name) {
            for words in [
                format!("publish {model} {V1} one"),
                format!("publish {model} {V2} two"),
                format!("move {model} stable {V1}"),
                format!("move {model} canary {V2}"),
            ] {
                world.write(&words);
            }
        }
        for model in (0..models).map(name) {
            world.settle(&model);
        }
        world
    }

    fn write(&self, words: &str) {
        write(self.root.path(), words).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("aurora/wine")
    }

    fn observe(&self) -> Arc<ObservedModel> {
        self.observer.observe(&wine()).unwrap()
    }

    fn glance(&self) -> bool {
        self.observer.glance(&wine())
    }

    /// Observes until what was just written is old enough to be trusted.
    fn settle(&self, model: &ModelName) {
        until(|| {
            self.observer.observe(model).unwrap();
            !self.observer.glance(model)
        });
    }
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(5);
    while !done() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn name(n: usize) -> ModelName {
    word(&if n == 0 {
        "wine".to_owned()
    } else {
        format!("wine-{n}")
    })
}

fn wine() -> ModelName {
    name(0)
}

fn shell(folder: &Path, command: &str) {
    let status = Command::new("sh")
        .args(["-ec", command])
        .current_dir(folder)
        .status();
    assert!(status.unwrap().success(), "{command}");
}

fn append(file: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_does_not_change_is_not_read_again() {
    let world = World::new();
    let (first, hashed, read) = (
        world.observe(),
        world.observer.hashed(),
        world.observer.history_bytes(),
    );
    for _ in 0..10 {
        assert!(!world.glance());
        assert!(Arc::ptr_eq(&world.observe(), &first));
        let sharer = world.observer.clone();
        assert!(Arc::ptr_eq(&sharer.observe(&wine()).unwrap(), &first));
        assert!(Arc::ptr_eq(&sharer.known(&wine()).unwrap(), &first));
    }
    assert_eq!(world.observer.hashed(), hashed);
    assert_eq!(world.observer.history_bytes(), read);

    world.observer.forget(&wine());
    assert_eq!(world.observer.known(&wine()), None);
    assert!(world.glance(), "what is forgotten was never seen");
    assert_eq!(world.observe(), first);
    assert_eq!(world.observer.hashed(), hashed + 2);
}

/// A change below a model's folder, by itself, and what the look then finds.
type Case = (String, fn(&ObservedModel) -> bool);

#[test]
fn a_glance_tells_what_a_folder_tells() {
    let cases: [Case; 7] = [
        (format!("ln -sfn ../versions/{V2} aliases/stable"), |observed| {
            observed.aliases[&Track::Stable] == ObservedAlias::To(word(V2))
        }),
        ("rm aliases/canary".to_owned(), |observed| {
            observed.aliases.keys().eq([&Track::Stable])
        }),
        (format!("mv versions/{V1} runs"), |observed| {
            observed.versions.keys().map(ToString::to_string).eq([V2])
        }),
        (
            format!("cp -a versions/{V1} versions/v20270101-000000"),
            |observed| observed.versions.len() == 3,
        ),
        ("rm history.jsonl".to_owned(), |observed| {
            observed.history_digests.is_empty()
        }),
        ("rm -r ./*".to_owned(), |observed| {
            *observed == ObservedModel::default()
        }),
        ("mv \"$PWD\" ../away".to_owned(), |observed| {
            *observed == ObservedModel::default()
        }),
    ];
    let world = World::of(cases.len());
    for (n, (command, found)) in cases.iter().enumerate() {
        let model = name(n);
        let before = world.observer.observe(&model).unwrap();
        assert!(!world.observer.glance(&model), "{command}");
        shell(&world.root.path().join("aurora").join(model.as_str()), command);
        assert!(world.observer.glance(&model), "{command}");
        let after = world.observer.observe(&model).unwrap();
        assert!(found(&after), "{command}: {after:?}");
        assert_ne!(before, after, "{command}");
    }
    assert!(
        world.observer.glance(&name(0)),
        "what was just changed is not trusted"
    );
    assert!(
        !world.observer.glance(&name(6)),
        "what is not there cannot change unseen"
    );
}

#[test]
fn damage_in_place_is_found_by_the_look() {
    let world = World::new();
    let first = world.observe();
    // The same size and time of modification: the change of the inode's own time tells.
    let file = world.folder().join("versions").join(V1).join("model.onnx");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "oen").unwrap();
    fs::File::open(&file).unwrap().set_modified(modified).unwrap();
    let hashed = world.observer.hashed();
    let changed = world.observe();
    assert_eq!(world.observer.hashed(), hashed + 1);
    assert!(matches!(changed.versions[&word(V1)], ObservedVersion::Damaged(_)));
    assert_eq!(changed.versions[&word(V2)], first.versions[&word(V2)]);

    // Until its stamp can be trusted it is hashed again with each look, then never again.
    assert!(world.glance());
    world.settle(&wine());
    assert!(Arc::ptr_eq(&world.observe(), &changed));
    let hashed = world.observer.hashed();
    world.observe();
    assert_eq!(world.observer.hashed(), hashed);

    fs::write(&file, "one").unwrap();
    assert_eq!(world.observe(), first);
}

#[test]
fn of_a_history_only_what_was_appended_is_read() {
    let world = World::new();
    let file = world.folder().join("history.jsonl");
    let read = |change: &dyn Fn()| {
        let before = world.observer.history_bytes();
        change();
        assert_eq!(
            world.observe(),
            Observer::new(world.observer.store().clone())
                .observe(&wine())
                .unwrap()
        );
        world.observer.history_bytes() - before
    };
    for n in 0..100 {
        world.write(&format!("move wine canary {}", if n % 2 == 0 { V1 } else { V2 }));
    }
    let long = fs::metadata(&file).unwrap().len();
    assert!(long > 20_000);
    read(&|| {});

    let short = read(&|| world.write(&format!("abort wine {V2} two")));
    assert!(short < 1_000, "{short}");
    assert_eq!(
        world.observe().aborted.iter().collect::<Vec<_>>(),
        [&Digest::of(b"two")]
    );
    assert_eq!(read(&|| {}), 0, "not even while its stamp is young");

    // A torn line never happened, and its place is taken by the next entry.
    let torn = read(&|| append(&file, r#"{"at":"2026-11-20T09:3"#));
    assert!(torn < 1_000, "{torn}");
    read(&|| world.write("remove wine canary"));
    assert!(world.observe().aborted.is_empty());

    // Junk is passed over.
    let junk = read(&|| append(&file, "rubbish\n\u{fffd}\n{}\n"));
    assert!(junk < 1_000, "{junk}");
    read(&|| world.write(&format!("abort wine {V1} one")));
    assert_eq!(
        world.observe().aborted.iter().collect::<Vec<_>>(),
        [&Digest::of(b"one")]
    );

    // Another file, one that was shortened, and one that was written anew and is longer, are read whole.
    let whole = fs::read_to_string(&file).unwrap();
    let replaced = read(&|| shell(&world.folder(), "cp history.jsonl x; mv x history.jsonl"));
    assert_eq!(replaced, whole.len() as u64);
    let shortened = read(&|| {
        shell(
            &world.folder(),
            "head -n 1 history.jsonl > x; cat x > history.jsonl; rm x",
        );
    });
    assert!(shortened < 1_000, "{shortened}");
    assert_eq!(world.observe().history_digests.len(), 1);
    let rewritten = read(&|| fs::write(&file, format!("{{}}\n{whole}")).unwrap());
    assert!(rewritten > whole.len() as u64);
    assert_eq!(world.observe().history_digests.len(), 2);
}

#[test]
fn a_look_that_fails_is_not_taken_for_one() {
    let world = World::new();
    let first = world.observe();
    let hashed = world.observer.hashed();
    let aliases = world.folder().join("aliases");
    shell(&world.folder(), "mv aliases away; ln -s away aliases");
    for _ in 0..2 {
        assert!(matches!(
            world.observer.observe(&wine()),
            Err(StoreError::Link { .. })
        ));
        assert!(world.glance());
        assert_eq!(world.observer.known(&wine()), None);
    }
    fs::remove_file(&aliases).unwrap();
    shell(&world.folder(), "mv away aliases");
    assert!(Arc::ptr_eq(&world.observe(), &first));
    assert_eq!(world.observer.hashed(), hashed, "what was verified stays so");

    fs::remove_dir_all(world.root.path().join("aurora")).unwrap();
    assert!(world.glance());
    let gone = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::NoStore(_))));
    gone(world.observer.observe(&wine()).map(drop));
    gone(world.observer.datasets().map(drop));
    gone(world.observer.note_models().map(drop));
    assert!(world.glance());
}

#[test]
fn data_files_are_listed_when_their_folder_changed() {
    let world = World::new();
    let empty = world.observer.datasets().unwrap();
    assert!(empty.is_empty());
    world.write("stage rows");
    let staged = world.observer.datasets().unwrap();
    assert_eq!(staged.iter().collect::<Vec<_>>(), [&Digest::of(b"rows")]);
    assert!(Arc::ptr_eq(&world.observer.datasets().unwrap(), &staged));
    let file = world.observer.store().dataset_path(&Digest::of(b"rows"));
    fs::remove_file(file).unwrap();
    assert_eq!(world.observer.datasets().unwrap(), empty);
}

#[test]
fn the_list_of_models_is_written_when_a_model_comes_or_goes() {
    let world = World::new();
    let file = world.root.path().join("aurora/registry/metadata.json");
    let check = |command: &str, expected: &[&str]| {
        shell(&world.root.path().join("aurora"), command);
        assert!(world.observer.note_models().unwrap(), "{command}");
        assert!(!world.observer.note_models().unwrap(), "{command}");
        let list: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(list["models"], serde_json::json!(expected), "{command}");
    };
    check("true", &["wine"]);
    check("mkdir iris", &["iris", "wine"]);
    check("rmdir iris", &["wine"]);
    // Also what somebody wrote into it.
    check(r#"sed -i 's/"wine"/"beer"/' registry/metadata.json"#, &["wine"]);
    until(|| {
        world.observer.note_models().unwrap();
        let settled = fs::metadata(&file).unwrap().modified().unwrap();
        settled.elapsed().unwrap() > Duration::from_secs(4)
    });
    check("mkdir iris", &["iris", "wine"]);
}

#[test]
fn threads_share_what_was_seen() {
    let world = World::new();
    world.write(&format!("publish beer {V1} one"));
    let beer: ModelName = word("beer");
    let hashed = world.observer.hashed();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(world.observe().versions.len(), 2);
                    assert_eq!(world.observer.observe(&beer).unwrap().versions.len(), 1);
                }
            });
        }
    });
    let of_beer = world.observer.hashed() - hashed;
    assert!(of_beer <= 200, "wine was seen before: {of_beer}");
}
