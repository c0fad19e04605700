//! What of a version is signed, as it is handed out.

use registry::{SIGNATURES_BYTES_MAX, Signed};

use super::*;
use crate::signed::{ANSWER_BYTES_MAX, SignedVersion};

fn read(fixture: &Fixture, path: &str) -> Signed {
    let response = fixture.get(path);
    assert_eq!(response.status(), 200, "{path}");
    assert!(response.body().len() as u64 <= ANSWER_BYTES_MAX);
    SignedVersion::read(response.body()).expect("an answer")
}

#[test]
fn what_is_signed_and_its_signatures_are_handed_out_as_they_are() {
    let fixture = fixture();
    let of_version = fixture.artifact_path(V1);
    let file = |name: &str| std::fs::read(of_version.with_file_name(name)).expect("there");
    let path = "/models/wine/stable/signatures";
    let unsigned = read(&fixture, path);
    assert_eq!(unsigned.signatures, std::collections::BTreeMap::new());
    assert_eq!(
        (unsigned.checksums, unsigned.metadata),
        (file("checksums"), file("metadata.json"))
    );
    let folder = fixture.folder.path().join("aurora/wine/signatures").join(V1);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("a.json"), [0xff, 0]).expect("written");
    std::fs::write(folder.join("notes.txt"), "by ann").expect("written");
    let signed = read(&fixture, path);
    assert_eq!(
        signed.signatures.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), vec![0xff, 0])]
    );
    // Whoever may write there makes no answer that is larger.
    for at in 0..150 {
        std::fs::write(folder.join(format!("b{at:03}.json")), vec![b' '; 100 << 10]).expect("written");
    }
    let bytes: usize = read(&fixture, path).signatures.values().map(Vec::len).sum();
    assert!(bytes <= SIGNATURES_BYTES_MAX, "{bytes}");
    fixture.check(
        "GET",
        "/models/wine/v20260303-000000/signatures",
        expect![[r#"404 {"error":"wine has no version v20260303-000000"}"#]],
    );
    fixture.check(
        "GET",
        "/models/other/stable/signatures",
        expect![[r#"404 {"error":"other has no alias stable"}"#]],
    );
}

#[test]
fn what_does_not_fit_its_checksum_is_not_handed_out() {
    let fixture = fixture();
    let metadata = fixture.artifact_path(V1).with_file_name("metadata.json");
    std::fs::write(&metadata, "{}").expect("written");
    let path = format!("/models/wine/{V1}/signatures");
    let response = fixture.get(&path);
    assert_eq!(response.status(), 500);
    let said = String::from_utf8_lossy(response.body()).into_owned();
    assert!(said.contains("damaged"), "{said}");
    // Through a link nothing is, either.
    std::fs::remove_file(&metadata).expect("removed");
    std::os::unix::fs::symlink("/etc/hostname", &metadata).expect("linked");
    assert_eq!(fixture.get(&path).status(), 500);
}
