//! Artifacts and aliases that somebody else wrote to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use planner::names::Digest;

use super::{CANARY, STABLE, Traffic, body, finding, nothing_is_wrong, status_text};
use crate::harness::{Ground, Up, eventually};

fn registry(ground: &Ground) -> PathBuf {
    ground.data().join("registry/aurora")
}

/// Flips one bit in the middle of a file.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("a file of this test");
}

#[test]
fn a_tampered_artifact_is_found_fails_closed_and_is_trained_again_on_demand() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let version = registry(&ground).join(format!("wine-quality/versions/{STABLE}"));
    let artifact = version.join("model.onnx");
    let body = body(&up, "wine-quality", STABLE);

    let traffic = Traffic::start(&up);
    flip(&artifact);
    let subject = "MLDeployment/wine-quality";
    finding(
        &mut up,
        subject,
        &[
            "ArtifactChanged",
            STABLE,
            "is damaged",
            "model.onnx",
            "what serves stays",
        ],
    );
    finding(
        &mut up,
        "MLTrainingJob/wine-quality-linear",
        &["ArtifactChanged", "remove", "trains it again"],
    );
    assert!(
        status_text(&ground).contains("ArtifactChanged"),
        "{}",
        status_text(&ground)
    );
    // Put right by hand, it is over.
    flip(&artifact);
    nothing_is_wrong(&up);
    traffic.end();

    // A start does not load what is damaged; the other model, and the model's other track, serve.
    flip(&artifact);
    assert!(up.stop().success());
    let mut up = ground.up();
    finding(&mut up, subject, &["ArtifactChanged", STABLE, "is damaged"]);
    let stable = [("aurora-track", "stable")];
    assert_eq!(up.predict("wine-quality", &stable, &body).status, 404);
    let canary = up.predict("wine-quality", &[("aurora-track", "canary")], &body);
    assert_eq!((canary.status, canary.version()), (200, CANARY), "{canary:?}");
    let flower = super::body(&up, "iris", STABLE);
    assert_eq!(up.predict("iris", &[], &flower).version(), STABLE);
    let said = status_text(&ground);
    assert!(said.contains("LoadFailed") && said.contains("remove"), "{said}");

    // What the hint says works.
    fs::remove_dir_all(&version).expect("a folder of this test");
    eventually("it is trained again and serves", || {
        let answer = up.predict("wine-quality", &stable, &body);
        (answer.status == 200 && answer.version() == STABLE).then_some(())
    });
    nothing_is_wrong(&up);
    assert!(up.stop().success());
}

/// The artifact is as it was, and what its inputs mean is not.
#[test]
fn a_version_whose_metadata_was_changed_is_not_loaded_until_it_is_restored() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let version = registry(&ground).join(format!("iris/versions/{STABLE}"));
    let metadata = version.join("metadata.json");
    let whole = fs::read_to_string(&metadata).expect("the file");
    let flower = body(&up, "iris", STABLE);
    let other = whole.replace("\"petal", "\"pedal");
    assert_ne!(other, whole);

    let traffic = Traffic::start(&up);
    fs::write(&metadata, &other).expect("a file of this test");
    let subject = "MLDeployment/iris";
    finding(
        &mut up,
        subject,
        &["ArtifactChanged", STABLE, "metadata.json", "what serves stays"],
    );
    traffic.end();
    assert!(up.stop().success());

    let mut up = ground.up();
    finding(&mut up, subject, &["ArtifactChanged", STABLE, "metadata.json"]);
    eventually("it is unavailable", || {
        (up.predict("iris", &[], &flower).status == 503).then_some(())
    });
    let said = status_text(&ground);
    assert!(
        said.contains("LoadFailed") && said.contains("restore its metadata.json"),
        "{said}"
    );
    fs::write(&metadata, &whole).expect("a file of this test");
    eventually("it serves again", || {
        (up.predict("iris", &[], &flower).status == 200).then_some(())
    });
    assert!(up.stop().success());

    // With a checksum of its own it still contradicts the artifact.
    let checksums = version.join("checksums");
    let sums = fs::read_to_string(&checksums).expect("the file");
    let sum = |text: &str| Digest::of(text.as_bytes()).hex();
    fs::write(&metadata, &other).expect("a file of this test");
    fs::write(&checksums, sums.replace(&sum(&whole), &sum(&other))).expect("a file of this test");
    let up = ground.up();
    eventually("it is refused", || {
        status_text(&ground).contains("signature.features[").then_some(())
    });
    eventually("it is unavailable", || {
        (up.predict("iris", &[], &flower).status == 503).then_some(())
    });
    assert!(up.stop().success());
}

/// Waits until the alias names the version.
fn names(alias: &Path, version: &str) {
    eventually(&format!("{} names {version}", alias.display()), || {
        let target = fs::read_link(alias).ok()?;
        (target == Path::new(&format!("../versions/{version}"))).then_some(())
    });
}

#[test]
fn a_tampered_alias_is_set_right_or_told() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let registry = registry(&ground);
    let stable = registry.join("wine-quality/aliases/stable");
    let canary = registry.join("wine-quality/aliases/canary");
    let iris = registry.join("iris/aliases/stable");
    let aliases = [(&stable, STABLE), (&canary, CANARY), (&iris, STABLE)];
    let all_are_right = |_up: &Up| {
        for (alias, version) in aliases {
            names(alias, version);
        }
    };
    let point = |alias: &Path, target: &str| {
        fs::remove_file(alias).expect("the alias");
        symlink(target, alias).expect("a link");
    };
    all_are_right(&up);
    let traffic = Traffic::start(&up);

    // Another version, nowhere, out of the root.
    point(&stable, &format!("../versions/{CANARY}"));
    point(&canary, "../versions/v20990101-000000");
    point(&iris, "/etc");
    all_are_right(&up);

    // Taken away, a file, out of the root by a relative path.
    fs::remove_file(&stable).expect("the alias");
    fs::remove_file(&canary).expect("the alias");
    fs::write(&canary, "v20261120-093000").expect("a file");
    point(&iris, &format!("../../../../../versions/{STABLE}"));
    all_are_right(&up);

    // A folder may hold somebody's files: it is told, not replaced.
    fs::remove_file(&stable).expect("the alias");
    fs::create_dir(&stable).expect("a folder");
    finding(
        &mut up,
        "alias wine-quality@stable",
        &["StorageUnavailable", "is a folder", "remove it by hand"],
    );
    fs::remove_dir(&stable).expect("the folder");
    all_are_right(&up);
    nothing_is_wrong(&up);
    traffic.end();
    assert!(up.stop().success());
}
