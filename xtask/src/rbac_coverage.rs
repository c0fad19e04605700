//! `cargo xtask rbac-coverage`: what the shipped Roles allow, beside what the components asked for.
//!
//! Tests that run components as their ServiceAccounts leave audit logs where `TESTKIT_AUDIT_FOLDER` says. A call that was
//! denied is a right that is missing; a right that no call used is one too many, or one that no test shows. Accounts are
//! matched by their names, since each test has a namespace of its own.

mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use testkit::audit::{self, Call};

use rights::{Right, rights};

/// Flags of `cargo xtask rbac-coverage`.
#[derive(Debug, Args)]
pub(crate) struct RbacCoverageArguments {
    /// A file with manifests, or a folder whose *.yaml are taken, e.g. what `kubectl kustomize deploy/base` prints
    #[arg(long, required = true, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// An audit log, or a folder whose *.log are taken
    #[arg(long, required = true, value_name = "PATH")]
    audit: Vec<PathBuf>,
}

/// What the two say of each other; each line is one fault.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coverage {
    denied: Vec<String>,
    unused: Vec<String>,
    wildcards: Vec<String>,
    /// Calls of the accounts.
    calls: usize,
    /// Rights of the accounts.
    rights: usize,
}

/// Prints denied calls, unused permissions and wildcards, and fails if there are any.
#[expect(clippy::print_stdout, reason = "this recipe's output")]
pub(crate) fn run(arguments: &RbacCoverageArguments) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    for path in files(&arguments.manifests, "yaml")? {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let documents = serde_yaml::from_multiple::<Value>(&text);
        objects.extend(documents.with_context(|| format!("parse {}", path.display()))?);
    }
    let mut calls = Vec::new();
    for path in files(&arguments.audit, "log")? {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        calls.extend(audit::calls(&text));
    }
    let coverage = coverage(&objects, &calls);
    println!("{} calls, {} permissions", coverage.calls, coverage.rights);
    for (title, lines) in [
        ("denied calls", &coverage.denied),
        ("unused permissions", &coverage.unused),
        ("wildcards", &coverage.wildcards),
    ] {
        println!("{title}: {}", lines.len());
        for line in lines {
            println!("  {line}");
        }
    }
    if coverage.calls == 0 || coverage.rights == 0 {
        bail!("nothing was compared: no call of an account, or no permission of one");
    }
    if !(coverage.denied.is_empty() && coverage.unused.is_empty() && coverage.wildcards.is_empty()) {
        bail!("the Roles are not what the components need");
    }
    Ok(())
}

/// Returns files as they are and those of folders by their extension, in order.
fn files(paths: &[PathBuf], extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        for entry in entries {
            let path = entry?.path();
            if has_extension(&path, extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Compares what Roles allow to ServiceAccounts with what these asked for.
fn coverage(objects: &[Value], calls: &[Call]) -> Coverage {
    let rights = rights(objects);
    let mut coverage = Coverage {
        rights: rights.values().map(BTreeSet::len).sum(),
        ..Coverage::default()
    };
    let mut denied: BTreeMap<String, usize> = BTreeMap::new();
    for (account, allowed) in &rights {
        let own = || {
            calls
                .iter()
                .filter(|call| call.account().is_some_and(|(_, name)| name == account))
        };
        coverage.calls += own().count();
        for call in own().filter(|call| call.is_forbidden) {
            *denied.entry(format!("{account}: {}", said(call))).or_default() += 1;
        }
        let granted: Vec<&Call> = own().filter(|call| !call.is_forbidden).collect();
        for right in allowed {
            if right.is_wildcard() {
                coverage.wildcards.push(format!("{account}: {right}"));
            } else if !granted.iter().any(|call| right.allows(call)) {
                coverage.unused.push(format!("{account}: {right}"));
            }
        }
    }
    coverage.denied = denied
        .into_iter()
        .map(|(call, times)| format!("{call} ({times} times)"))
        .collect();
    coverage
}

fn said(call: &Call) -> String {
    if call.resource.is_empty() {
        return format!("{} {}", call.verb, call.uri);
    }
    Right::of(call).to_string()
}

#[cfg(test)]
mod tests;
