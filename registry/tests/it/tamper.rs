//! A store that somebody changed behind Aurora's back: each change is named, and none leads outside or to wrong bytes.

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use planner::names::{ModelName, Version};
use planner::observed::{ObservedAlias, ObservedVersion};
use registry::{Entry, Observer, Reference, Store};

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// Runs a shell command in the folder of a model with two versions, both aliased, and shows what is then seen of it.
fn check(command: &str, seen: &Expect) {
    let root = tempfile::tempdir().unwrap();
    Store::init(root.path(), &owner(), now()).unwrap();
    for words in [
        format!("publish wine {V1} one"),
        format!("publish wine {V2} two"),
        format!("move wine stable {V1}"),
        format!("move wine canary {V2}"),
    ] {
        write(root.path(), &words).unwrap();
    }
    let store = Store::open(root.path()).unwrap();
    let model: ModelName = word("wine");
    let version: Version = word(V1);
    let entry = store.resolve(&model, &Reference::Version(version)).unwrap();
    store.verify(&entry).unwrap();
    let observer = Observer::new(store.clone());
    observer.observe(&model).unwrap();

    let folder = root.path().join("aurora/wine");
    let status = Command::new("sh")
        .args(["-ec", command])
        .current_dir(&folder)
        .status();
    assert!(status.unwrap().success(), "{command}");
    let text = look(&Observer::new(store.clone()), &model, &entry);
    assert_eq!(
        look(&observer, &model, &entry),
        text,
        "what was seen before changes nothing"
    );
    let text = text.replace(&folder.display().to_string(), "…");
    seen.assert_eq(&text);
    // The owner starts all the same.
    Store::open_owned(root.path(), &owner()).unwrap();
    assert!(Path::new("/etc/passwd").exists(), "nothing outside was touched");
}

fn look(observer: &Observer, model: &ModelName, entry: &Entry) -> String {
    let store = observer.store();
    let mut text = String::new();
    match observer.observe(model) {
        Ok(seen) => {
            for (version, found) in &seen.versions {
                text += &match found {
                    ObservedVersion::Sound { .. } => format!("{version}: sound\n"),
                    ObservedVersion::Damaged(why) => format!("{version}: {}\n", short(why)),
                };
            }
            for (track, alias) in &seen.aliases {
                text += &match alias {
                    ObservedAlias::To(version) => format!("{track}: {version}\n"),
                    ObservedAlias::Broken(why) => format!("{track}: broken: {why}\n"),
                };
            }
        }
        Err(error) => text += &format!("observe: {error}\n"),
    }
    text += &match store.verify(entry) {
        Ok(()) => "verify: sound\n".to_owned(),
        Err(damage) => format!("verify: {}\n", short(&damage.to_string())),
    };
    text += &match store.read_artifact(entry) {
        Ok(bytes) => format!("read: {}\n", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("read: {}\n", short(&error.to_string())),
    };
    let stable = Reference::Alias(planner::names::Track::Stable);
    text += &match store.resolve(model, &stable) {
        Ok(entry) => format!("resolve stable: {}\n", entry.version),
        Err(error) => format!("resolve stable: {}\n", short(&error.to_string())),
    };
    text
}

/// Cuts digests to their first digits.
fn short(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        text + "sha256:" + &part[..digits.min(8)] + &part[digits..]
    })
}

#[test]
fn changed_files() {
    check(
        &format!("printf x >> versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad
            read: wine v20261101-120000 is damaged: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("printf oen > versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad
            read: wine v20261101-120000 is damaged: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("sed -i 's/linfa/forust/' versions/{V1}/metadata.json"),
        &expect![[r#"
            v20261101-120000: metadata.json has sha256:74f64108, and its record says sha256:80633a36
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json has sha256:74f64108, and its record says sha256:80633a36
            read: one
            resolve stable: wine v20261101-120000 is damaged: metadata.json has sha256:74f64108, and its record says sha256:80633a36; restore its metadata.json, or publish another version
        "#]],
    );
    check(
        &format!("sed -i 's/^./x/' versions/{V1}/checksums"),
        &expect![[r#"
            v20261101-120000: checksums is no list of checksums in line 1
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: checksums is no list of checksums in line 1
            read: one
            resolve stable: wine v20261101-120000 is damaged: checksums is no list of checksums in line 1; restore its checksums, or publish another version
        "#]],
    );
    check(
        &format!(
            "printf oen > versions/{V1}/model.onnx; cd versions/{V1}; sha256sum metadata.json model.onnx > checksums"
        ),
        &expect![[r#"
            v20261101-120000: metadata.json says that model.onnx has sha256:7692c3ad in 3 bytes, and it has sha256:a2b65fc8 in 3
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json says that model.onnx has sha256:7692c3ad in 3 bytes, and it has sha256:a2b65fc8 in 3
            read: wine v20261101-120000 is damaged: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
}

#[test]
fn missing_and_extra_files() {
    check(
        &format!("rm versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is missing
            read: wine v20261101-120000 is damaged: model.onnx is missing; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("rm versions/{V1}/metadata.json"),
        &expect![[r#"
            v20261101-120000: metadata.json is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json is missing
            read: one
            resolve stable: wine v20261101-120000 is damaged: metadata.json is missing; restore its metadata.json, or publish another version
        "#]],
    );
    check(
        &format!("rm versions/{V1}/checksums"),
        &expect![[r#"
            v20261101-120000: checksums is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: checksums is missing
            read: one
            resolve stable: wine v20261101-120000 is damaged: checksums is missing; restore its checksums, or publish another version
        "#]],
    );
    check(
        &format!("rm -r versions/{V1}"),
        &expect![[r#"
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: its folder is missing
            read: wine v20261101-120000 is damaged: model.onnx is missing; restore its model.onnx, or publish another version
            resolve stable: wine has no version v20261101-120000
        "#]],
    );
    check(
        &format!("touch versions/{V1}/run.sh"),
        &expect![[r#"
            v20261101-120000: run.sh does not belong to it
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: run.sh does not belong to it
            read: one
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("rm versions/{V1}/model.onnx; mkfifo versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx is no regular file
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is no regular file
            read: …/versions/v20261101-120000/model.onnx is no regular file
            resolve stable: v20261101-120000
        "#]],
    );
}

#[test]
fn swapped_versions() {
    check(
        &format!("mv versions/{V1} versions/x; mv versions/{V2} versions/{V1}; mv versions/x versions/{V2}"),
        &expect![[r#"
            v20261101-120000: metadata.json is that of wine v20261120-093000
            v20261120-093000: metadata.json is that of wine v20261101-120000
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json is that of wine v20261120-093000
            read: wine v20261101-120000 is damaged: model.onnx has sha256:3fc4ccfe, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: wine v20261101-120000 is damaged: metadata.json is that of wine v20261120-093000; restore its metadata.json, or publish another version
        "#]],
    );
}

#[test]
fn links_that_lead_elsewhere() {
    check(
        &format!(
            "mv versions/{V1}/model.onnx ../model.onnx; ln -s ../../../model.onnx versions/{V1}/model.onnx"
        ),
        &expect![[r#"
            v20261101-120000: model.onnx is a symbolic link
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is a symbolic link
            read: …/versions/v20261101-120000/model.onnx is a symbolic link where a file should be: nothing of aurora's is read or written through one
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("mv versions/{V1} ../x; ln -s ../../x versions/{V1}"),
        &expect![[r#"
            v20261101-120000: v20261101-120000 is a symbolic link
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: v20261101-120000 is a symbolic link
            read: …/versions/v20261101-120000 is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: …/versions/v20261101-120000 is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
    check(
        "mv versions ../x; ln -s ../x versions",
        &expect![[r#"
            observe: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            verify: versions is a symbolic link
            read: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
    check(
        "cp -a . ../x; rm -r ../wine; ln -s x ../wine",
        &expect![[r#"
            observe: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            verify: wine is a symbolic link
            read: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
}

#[test]
fn aliases_that_are_none() {
    check(
        "ln -sfn ../versions/v20270101-000000 aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: v20270101-000000
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: wine has no version v20270101-000000
        "#]],
    );
    check(
        "ln -sfn ../../../../etc aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "../../../../etc", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "../../../../etc", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        &format!("ln -sfn $PWD/versions/{V1} aliases/stable"),
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "…/versions/v20261101-120000", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "…/versions/v20261101-120000", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        &format!("ln -sfn ../versions/../versions/{V1} aliases/stable"),
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "../versions/../versions/v20261101-120000", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "../versions/../versions/v20261101-120000", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        "rm aliases/stable; mkdir aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: is a folder
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable is a folder: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        "rm aliases/stable; echo v1 > aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: is no symbolic link
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable is no symbolic link: remove it by hand, the next pass sets it anew
        "#]],
    );
}
