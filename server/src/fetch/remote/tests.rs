//! What is fetched of another environment's control plane, whatever that does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use planner::names::Digest;
use tempfile::TempDir;
use web::Settings;

use super::super::tests::Does::{Breaks, Closes, Exchanged, Right, Says, Sends};
use super::super::tests::{Does, Scripted, artifact};
use super::*;
use crate::testing::{V1, model, version};

fn remote(key_root: &Path) -> Remote {
    let client = Client::new(Settings::default()).expect("a client");
    let roots = DatasetRoots::new(&[key_root.to_owned()]).expect("a folder");
    Remote::new(client, roots)
}

fn wanted(from: Endpoint) -> Wanted {
    Wanted {
        model: model("wine"),
        version: version(V1),
        digest: Digest::of(&artifact()),
        from,
        revision: "a".repeat(40).parse().expect("a revision"),
    }
}

fn at(control_plane: &Scripted, key_file: Option<&Path>) -> Endpoint {
    Endpoint {
        url: format!("http://{}", control_plane.address)
            .parse()
            .expect("a URL"),
        key_file: key_file.map(|file| file.display().to_string()),
    }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Writes a key that nobody else may read.
fn write_key(folder: &Path, name: &str, mode: u32) -> std::path::PathBuf {
    let file = folder.join(name);
    fs::write(&file, "secret\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
    file
}

#[test]
fn an_attempt_goes_on_where_the_last_one_stopped() {
    let folder = TempDir::new().expect("a folder");
    let control_plane = Scripted::new(vec![Right, Breaks]);
    let (remote, wanted) = (remote(folder.path()), wanted(at(&control_plane, None)));
    let mut partial = Vec::new();
    let broken = run(remote.version(&wanted, &mut partial)).expect_err("it breaks off");
    assert!(matches!(broken, Fault::Unavailable(_)), "{broken:?}");
    assert_eq!(partial, artifact()[..artifact().len() / 2]);
    let (metadata, bytes) = run(remote.version(&wanted, &mut partial)).expect("it comes");
    assert_eq!((metadata.artifact.digest, bytes), (wanted.digest, artifact()));
    assert!(partial.is_empty());
    let half = artifact().len() / 2;
    let (record, rest) = (
        format!("/models/wine/{V1}"),
        format!("/models/wine/{V1}/artifact"),
    );
    assert_eq!(
        control_plane.asked(),
        [
            record.clone(),
            rest.clone(),
            record,
            format!("{rest} from {half}")
        ]
    );
}

#[test]
fn each_fault_is_told_by_what_happens_next() {
    let folder = TempDir::new().expect("a folder");
    let mut other = artifact();
    other[20] ^= 1;
    let cases: Vec<(Vec<Does>, &str)> = vec![
        (vec![Exchanged], "OtherDigest"),
        (vec![Says("404 Not Found")], "NotThere"),
        (vec![Says("401 Unauthorized")], "Refused"),
        (vec![Says("403 Forbidden")], "Refused"),
        (vec![Right, Sends(other)], "Unusable"),
        (vec![Right, Sends([artifact(), vec![0]].concat())], "Unusable"),
        (
            vec![Says("302 Found\r\nlocation: http://127.0.0.1:9/")],
            "Unusable",
        ),
        (vec![Closes], "Unavailable"),
        (vec![Says("503 Service Unavailable")], "Unavailable"),
    ];
    for (script, expected) in cases {
        let control_plane = Scripted::new(script);
        let fetched = run(remote(folder.path()).version(&wanted(at(&control_plane, None)), &mut Vec::new()));
        let told = format!("{:?}", fetched.expect_err(expected));
        assert!(told.starts_with(expected), "{expected}: {told}");
    }
}

#[test]
fn a_key_is_sent_that_lies_where_keys_may_lie_and_nobody_else_reads() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().join("keys");
    fs::create_dir(&root).expect("made");
    let key = write_key(&root, "key", 0o600);
    let exposed = write_key(&root, "exposed", 0o644);
    let outside = write_key(folder.path(), "outside", 0o600);
    let link = root.join("link");
    std::os::unix::fs::symlink(&outside, &link).expect("a link");
    for (file, told) in [
        (&exposed, "others may read it"),
        (&outside, "below no --key-root"),
        (&folder.path().join("none"), "below no --key-root"),
        (&link, "link"),
        (&root.join("none"), "none"),
    ] {
        let control_plane = Scripted::new(vec![]);
        let wanted = wanted(at(&control_plane, Some(file)));
        let refused = run(remote(&root).version(&wanted, &mut Vec::new())).expect_err(told);
        let Fault::Refused(why) = refused else {
            panic!("{told}: {refused:?}");
        };
        assert!(why.contains(told), "{told}: {why}");
        assert_eq!(control_plane.asked(), [""; 0], "{told}");
    }
    let control_plane = Scripted::new(vec![]);
    let wanted = wanted(at(&control_plane, Some(&key)));
    run(remote(&root).version(&wanted, &mut Vec::new())).expect("it comes");
    let asked = control_plane.asked();
    assert!(
        asked.len() == 2 && asked.iter().all(|line| line.ends_with("with secret")),
        "{asked:?}"
    );
}

#[test]
fn what_is_said_of_a_model_is_bounded() {
    let folder = TempDir::new().expect("a folder");
    let asked = |does: Does| {
        let control_plane = Scripted::new(vec![does]);
        run(remote(folder.path()).status(&at(&control_plane, None), &model("wine")))
    };
    assert!(asked(Right).expect("an answer").is_some());
    assert_eq!(asked(Says("404 Not Found")).expect("an answer"), None);
    assert!(matches!(asked(Says("401 No")), Err(FetchError::Refused { .. })));
    assert!(matches!(asked(Closes), Err(FetchError::Broken(_))));
}
