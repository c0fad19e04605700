//! A start in a container as docs/operation.md tells it: a read-only root that holds the program, what it is linked to and
//! nothing else, a user without a name, a repository of another user, and a data directory on a volume.
//!
//! `AURORA_STATIC_BINARY` names a static build to put there instead of this one, as `FROM scratch` does.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Repository, Up, aurora, copy, eventually, get, run, skipped, text};

/// A user that nothing on the machine has a name for.
const USER: u32 = 61_234;

/// What is done in a mount namespace of its own, before the program has the process: the root becomes read-only but for
/// the volume.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --bind "$VOLUME" "$ROOT/data"
mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$ID:$ID" --groups= "$ROOT" /aurora "$@"
"#;

const NIGHTLY: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: nightly }
spec:
  modelName: nightly
  schedule: { cron: \"0 3 * * *\", timeZone: Europe/Paris }
  dataset:
    uri: builtin:iris
  algorithm: logistic_regression
  evaluation: { metric: accuracy, minimum: 0.5, holdout: { percent: 20, seed: 0 } }
";

struct Image {
    root: tempfile::TempDir,
    volume: tempfile::TempDir,
}

impl Image {
    fn of(program: &Path, repository: &Repository) -> Self {
        let root = tempfile::tempdir().unwrap();
        let volume = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["data", "proc", "dev", "etc"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::copy(program, root.path().join("aurora")).unwrap();
        for library in libraries(program) {
            let inside = root.path().join(library.strip_prefix("/").unwrap());
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            fs::copy(&library, inside).unwrap();
        }
        copy(repository.path(), &root.path().join("repo"));
        fs::write(root.path().join("etc/gitconfig"), "[safe]\n\tdirectory = /repo\n").unwrap();
        chown(volume.path(), Some(USER), Some(USER)).unwrap();
        Self { root, volume }
    }

    /// Returns a command that becomes `aurora` in the container.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .args(arguments)
            .env("ROOT", self.root.path())
            .env("VOLUME", self.volume.path())
            .env("ID", USER.to_string())
            .env_remove("HOME");
        command
    }
}

/// Returns what a program is linked to; nothing for a static one.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = run(Command::new("ldd").arg(program));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

/// Says why no container can be made here.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can give a process a user without a name".to_owned());
    }
    let tried = Command::new("unshare")
        .args(["--mount", "mount", "--make-rprivate", "/"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(text(&output).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

#[test]
fn a_read_only_root_with_nothing_else_in_it_and_a_user_without_a_name_are_enough() {
    if let Some(why) = obstacle() {
        return skipped(&format!("a start in a container: {why}"));
    }
    let program = std::env::var_os("AURORA_STATIC_BINARY")
        .map_or_else(|| PathBuf::from(aurora().get_program()), PathBuf::from);
    let repository = Repository::dev();
    repository.write("environments/dev/nightly.yaml", NIGHTLY);
    repository.commit("a schedule in a zone");
    let image = Image::of(&program, &repository);
    let up = ["up", "--repo", "/repo", "--data-dir", "/data/aurora"];
    let free = ["--inference", "127.0.0.1:0", "--control-plane", "127.0.0.1:0"];
    let mut up = Up::watch(image.command(&[up.as_slice(), &free].concat()));
    up.event("it has trained and serves", |event| event["event"] == "ready");
    assert_eq!(get(up.inference, "/v2/models/iris/ready").status, 200);
    // The zone is known, although the image has no data of zones.
    eventually("the next run is known", || {
        let status = up.status();
        let jobs = status["trainings"].as_array()?.clone();
        let nightly = jobs
            .iter()
            .find(|job| job["metadata"]["name"] == "nightly")?
            .clone();
        let next = nightly["status"]["nextRun"].as_str()?.to_owned();
        (next.contains("T01:00:00") || next.contains("T02:00:00")).then_some(())
    });
    let findings = up.status()["environment"]["status"]["findings"].clone();
    assert!(findings.as_array().is_none_or(Vec::is_empty), "{findings}");
    let address = up.inference.to_string();
    let healthy = run(&mut image.command(&["health", "--inference", &address]));
    assert!(healthy.status.success(), "{}", text(&healthy));
    assert!(up.stop().success());
}
