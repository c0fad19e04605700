//! What a process that serves one version does where somebody must have signed it. That it loads what somebody has is shown with
//! keys, over a control plane of ours, in `cli/tests/it/pods/trust.rs`.

use std::time::Instant;

use registry::{Draft, Owner, Reference, Store};

use super::*;

/// What our control plane hands out of a version that nobody signed.
pub(super) fn unsigned() -> Vec<u8> {
    let folder = TempDir::new().expect("a folder");
    let owner = Owner {
        environment: "dev".parse().expect("a name"),
        installation: "1".to_owned(),
    };
    let store = Store::init(folder.path(), &owner, version(V1).time()).expect("a store");
    let (metadata, artifact) = draft("wine", V1, &linear(0.0));
    store.publish(Draft { metadata, artifact }).expect("published");
    let entry = store.resolve(&model("wine"), &Reference::Version(version(V1)));
    let signed = store.signed(&entry.expect("an entry"));
    SignedVersion::write(signed.expect("it is sound"))
}

struct Held {
    folder: TempDir,
}

impl Held {
    fn to(trust: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let held = Self { folder };
        held.write(trust);
        held
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("trust.json")
    }

    fn write(&self, trust: &str) {
        fs::write(self.file(), trust).expect("written");
    }

    /// Fetches over a script; returns how that ended, and what was asked for.
    fn fetch(&self, script: &[Does]) -> (String, Vec<String>) {
        let control_plane = Scripted::new(script.to_vec());
        let source = Source {
            trust_file: Some(self.file()),
            ..source(control_plane.address, &self.folder.path().join("cache"))
        };
        let ended = match fetch_from(&source) {
            Ok(artifact) => {
                assert_eq!(artifact.digest, wanted().digest);
                "loads".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let asked = control_plane.asked().into_iter();
        let before = format!("/models/wine/{V1}");
        let asked = asked.map(|path| path.replace(&before, "")).collect();
        (ended.replace(&self.file().display().to_string(), "FILE"), asked)
    }
}

const REQUIRE: &str = r#"{"verify":"Require","keys":[]}"#;
const WARN: &str = r#"{"verify":"Warn","keys":[]}"#;
const OFF: &str = r#"{"verify":"Off","keys":[]}"#;

#[test]
fn what_nobody_signed_is_loaded_where_that_is_only_to_be_told() {
    let unsigned = format!("wine {V1} is not to be trusted: nobody has signed it");
    let none =
        format!("wine {V1} is not to be trusted: the control plane hands out no signatures of it: because");
    let missing = Says("404 Not Found");
    let all = &["/signatures", "", "/artifact"][..];
    let asked_five = &["/signatures"; 5][..];
    for (trust, script, ended, asked) in [
        (OFF, vec![], "loads", &["", "/artifact"][..]),
        (WARN, vec![], "loads", all),
        (WARN, vec![missing.clone()], "loads", all),
        (WARN, vec![Sends(b"{}".to_vec())], "loads", all),
        (REQUIRE, vec![], &unsigned, asked_five),
        (REQUIRE, vec![missing; 5], &none, asked_five),
        // What is away is waited for, and counts as no refusal.
        (
            REQUIRE,
            vec![Closes, Says("503 Service Unavailable"), Closes],
            &unsigned,
            &["/signatures"; 8],
        ),
        (
            WARN,
            vec![Closes],
            "loads",
            &["/signatures", "/signatures", "", "/artifact"],
        ),
        (
            REQUIRE,
            vec![Sends(b"{}".to_vec()); 5],
            "what answers there is no control plane of Aurora: missing field `checksums` at line 1 column 2",
            asked_five,
        ),
        (
            REQUIRE,
            vec![Sends(vec![b' '; 8 << 20]); 5],
            &format!("the list of signatures has more than the {ANSWER_BYTES_MAX} bytes that it may have"),
            asked_five,
        ),
        (
            "{",
            vec![],
            "what versions are held to cannot be read: FILE: EOF while parsing an object at line 1 column 1",
            &[],
        ),
    ] {
        let (got, paths) = Held::to(trust).fetch(&script);
        assert_eq!(
            (got.as_str(), &paths[..]),
            (
                ended,
                &asked.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()[..]
            ),
            "{trust}"
        );
    }
}

#[test]
fn what_was_kept_is_held_to_what_counts_now_and_its_artifact_is_not_fetched_again() {
    let held = Held::to(OFF);
    assert_eq!(held.fetch(&[]).0, "loads");
    let kept = |trust: &str, ended: &str, asked: &[&str]| {
        held.write(trust);
        let (got, paths) = held.fetch(&[]);
        assert!(got.contains(ended), "{trust}: {got}");
        assert_eq!(paths, asked, "{trust}");
    };
    kept(OFF, "loads", &[]);
    kept(WARN, "loads", &[]);
    kept(REQUIRE, "nobody has signed it", &["/signatures"; 5]);
    kept("", "cannot be read", &[]);
    fs::remove_file(held.file()).expect("removed");
    assert_eq!(held.fetch(&[]), ("loads".to_owned(), vec![]));
}

#[test]
fn the_file_is_read_anew_for_each_attempt() {
    let held = Held::to(REQUIRE);
    let file = held.file();
    let changing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        let aside = file.with_extension("new");
        fs::write(&aside, WARN).expect("written");
        fs::rename(aside, file).expect("renamed");
    });
    let began = Instant::now();
    // It is away, so that the tries do not end before.
    let script: Vec<Does> = std::iter::repeat_n(Closes, 200).collect();
    let (ended, asked) = held.fetch(&script);
    assert_eq!(ended, "loads", "after {:?}: {asked:?}", began.elapsed());
    changing.join().expect("it changes");
}
