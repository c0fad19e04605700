//! Which crates stand above one in the graph: their tests may see what its own do not.

use std::collections::BTreeSet;

use crate::workspace::{Dependency, Metadata, Package};

/// What tests and measures the others, and stands above all: its own tests say nothing of them.
const TOOLS: [&str; 3] = ["benchmark", "testkit", "xtask"];

/// Returns the crates that know `name`, directly or not, those that know least first.
pub(super) fn above<'a>(metadata: &'a Metadata, name: &str) -> Vec<&'a str> {
    let mut above: Vec<(usize, &str)> = metadata
        .packages
        .iter()
        .filter(|package| !TOOLS.contains(&package.name.as_str()))
        .map(|package| (known(metadata, package), package.name.as_str()))
        .filter(|(known, _)| known.contains(name))
        .map(|(known, package)| (known.len(), package))
        .collect();
    above.sort_unstable();
    above.into_iter().map(|(_, package)| package).collect()
}

/// Returns the names of all that a crate knows, directly or not. What only tests use may know it in turn, and is left out.
fn known<'a>(metadata: &'a Metadata, package: &'a Package) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    let mut next = vec![package];
    while let Some(package) = next.pop() {
        let is_used = |dependency: &&Dependency| dependency.kind.as_deref() != Some("dev");
        for dependency in package.dependencies.iter().filter(is_used) {
            let ours = metadata
                .packages
                .iter()
                .find(|package| package.name == dependency.name);
            next.extend(ours.filter(|package| known.insert(package.name.as_str())));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_are_all_that_know_it_and_cli_comes_last() {
        let graph: [(&str, &[&str]); 6] = [
            ("cli", &["server", "registry", "anyhow"]),
            ("planner", &["serde"]),
            ("server", &["registry"]),
            ("trainer", &["planner"]),
            ("registry", &["planner"]),
            ("xtask", &["registry"]),
        ];
        let mut packages = graph.map(|(name, knows)| Package {
            name: name.to_owned(),
            manifest_path: String::new(),
            dependencies: knows.iter().map(|name| dependency(name)).collect(),
        });
        // By what only tests use, a crate may know one that stands above it.
        packages[1].dependencies.push(Dependency {
            kind: Some("dev".to_owned()),
            ..dependency("server")
        });
        let metadata = Metadata {
            packages: packages.into(),
            workspace_root: String::new(),
            target_directory: String::new(),
        };
        for (name, expected) in [
            ("planner", vec!["registry", "trainer", "server", "cli"]),
            ("registry", vec!["server", "cli"]),
            ("server", vec!["cli"]),
            ("cli", vec![]),
        ] {
            assert_eq!(above(&metadata, name), expected, "{name}");
        }
    }

    fn dependency(name: &str) -> Dependency {
        Dependency {
            name: name.to_owned(),
            kind: None,
        }
    }
}
