//! Time zones and clocks, as a person sees them.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::harness::{Ground, aurora, run, text};

#[test]
fn the_version_says_which_time_zones_count() {
    let system = tempfile::TempDir::new().unwrap();
    let folder = system.path();
    let version = || {
        let said = [["--version"], ["-V"]].map(|flag| text(&run(aurora().args(flag).env("TZDIR", folder))));
        assert_eq!(said[0], said[1]);
        said[0].trim_end().to_owned()
    };
    let aurora = concat!("aurora ", env!("CARGO_PKG_VERSION"));
    let place = folder.display();
    fs::write(folder.join("tzdata.zi"), "# version 2999z\n").unwrap();
    assert_eq!(version(), format!("{aurora}\ntime zones: IANA 2999z of {place}"));
    fs::write(folder.join("tzdata.zi"), "# version 2001a\n").unwrap();
    assert!(version().ends_with(", compiled in; the system's, 2001a, are older"));
}

#[test]
fn a_commit_that_is_dated_ahead_is_told() {
    let ground = Ground::dev();
    let git = ground.repository.git();
    let ahead = SystemTime::now() + Duration::from_hours(10 * 24);
    let seconds = ahead.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = git2::Time::new(i64::try_from(seconds).unwrap(), 0);
    let author = git2::Signature::new("Ann", "ann@example.org", &at).unwrap();
    let iris = "environments/dev/iris.yaml";
    ground.repository.edit(iris, "minimum: 0.9", "minimum: 0.8");
    let commit = git.head().unwrap().peel_to_commit().unwrap();
    commit
        .amend(Some("HEAD"), Some(&author), Some(&author), None, None, None)
        .unwrap();
    let mut once = aurora();
    once.args(["reconcile", "--once", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data());
    let said = text(&run(&mut once));
    assert_eq!(
        said.matches("the clock is doubted: a commit is dated").count(),
        1,
        "{said}"
    );
    let said = text(&run(aurora().arg("status").arg("--data-dir").arg(ground.data())));
    assert!(said.contains("\nclock doubted: a commit is dated"), "{said}");
}
