//! The committed files are the generated ones.

use std::path::Path;

use super::*;

#[test]
fn committed_definitions_are_the_generated_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (file, generated) in crd_yaml() {
        let path = folder.join(file);
        if update {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{} differs from the types in crds/src: run `cargo xtask generate` and commit the result",
            path.display(),
        );
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        files,
        crd_yaml().len(),
        "a file in {} is none of the generated ones",
        folder.display()
    );
}
