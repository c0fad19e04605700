//! A registry that cannot be read.

use super::*;

#[test]
fn a_commit_is_not_applied_while_the_registry_cannot_be_read() {
    for place in ["aurora", "aurora/o", "aurora/o/versions"] {
        let repo = Repo::with(&[
            ("m.yaml", &deployment("m", V1, None)),
            ("o.yaml", &deployment("o", V1, None)),
        ]);
        let mut world = World::new(repo, &["m", "o"]);
        world.settle();
        let before = world.target.last_report().unwrap().applied_revision;
        let folder = world.store.root().join(place);
        let aside = folder.with_file_name("aside");
        std::fs::rename(&folder, &aside).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
        world
            .repo
            .write("environments/dev/o.yaml", &deployment("o", V2, None));
        let revision = world.repo.change("m.yaml", &deployment("m", V2, None));
        for _ in 0..3 {
            world.pass();
            world.serve();
            let report = world.target.last_report().unwrap();
            assert_eq!(report.attempted_revision.as_ref(), Some(&revision), "{place}");
            assert_eq!(report.applied_revision, before, "{place}");
        }
        assert!(world.findings().contains("StorageUnavailable"), "{place}");
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&aside, &folder).unwrap();
        world.now += std::time::Duration::from_mins(1);
        world.settle();
        assert_eq!(world.findings(), "", "{place}");
        let report = world.target.last_report().unwrap();
        assert_eq!(report.applied_revision, Some(revision), "{place}");
        assert_eq!(world.alias("o", Track::Stable).as_deref(), Some(V2), "{place}");
    }
}
