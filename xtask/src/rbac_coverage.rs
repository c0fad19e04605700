//! `cargo xtask rbac-coverage`: what the shipped Roles allow, beside what the components asked for.
//!
//! Tests that run components as their ServiceAccounts leave audit logs where `TESTKIT_AUDIT_FOLDER` says. A call that was
//! denied is a right that is missing; a right that no call used is one too many, or one that no test shows. Accounts are
//! matched by their names, since each test has a namespace of its own, and count where a call of theirs stood on the
//! shipped Role: a test may give an account of that name other rights, or none.

mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use testkit::audit::{self, Call};

use rights::{Account, Right, accounts};

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
    /// Calls that were denied although the Role allows them: the server did not know it yet, e.g. after a restart. Told,
    /// and no fault of the Role.
    denied_early: usize,
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
    let mut logs = Vec::new();
    for path in files(&arguments.audit, "log")? {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        logs.push(audit::calls(&text));
    }
    let coverage = coverage(&objects, &logs);
    println!(
        "{} calls, {} permissions; {} calls came before the server knew the permission",
        coverage.calls, coverage.rights, coverage.denied_early
    );
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

/// Compares what Roles allow to ServiceAccounts with what these asked for, by the log of each API server.
fn coverage(objects: &[Value], logs: &[Vec<Call>]) -> Coverage {
    let mut coverage = Coverage::default();
    let mut denied: BTreeMap<String, usize> = BTreeMap::new();
    for (name, account) in &accounts(objects) {
        let calls: Vec<(&str, &Call)> = logs.iter().flat_map(|log| of(log, name, account)).collect();
        coverage.calls += calls.len();
        for (namespace, call) in &calls {
            if call.is_forbidden && account.allows(namespace, call) {
                coverage.denied_early += 1;
            } else if is_denied(call) {
                *denied.entry(format!("{name}: {}", said(call))).or_default() += 1;
            }
        }
        for right in account.rights() {
            coverage.rights += 1;
            let is_used = || {
                calls
                    .iter()
                    .any(|(_, call)| !is_denied(call) && right.allows(call))
            };
            if right.is_wildcard() {
                coverage.wildcards.push(format!("{name}: {right}"));
            } else if !is_used() {
                coverage.unused.push(format!("{name}: {right}"));
            }
        }
    }
    coverage.denied = denied
        .into_iter()
        .map(|(call, times)| format!("{call} ({times} times)"))
        .collect();
    coverage
}

/// Returns the calls of the accounts of a name that have the shipped Role, each with the account's namespace.
fn of<'a>(log: &'a [Call], name: &str, account: &Account) -> Vec<(&'a str, &'a Call)> {
    let own = log.iter().filter_map(|call| {
        let (namespace, called) = call.account()?;
        (called == name).then_some((namespace, call))
    });
    let own: Vec<_> = own.collect();
    let shipped: BTreeSet<&str> = own
        .iter()
        .filter(|(_, call)| account.roles.contains(&call.role))
        .map(|(namespace, _)| *namespace)
        .collect();
    own.into_iter()
        .filter(|(namespace, _)| shipped.contains(namespace))
        .collect()
}

/// Says whether a call was refused for who asked: by the rules, or where an apply would have had to make the object.
fn is_denied(call: &Call) -> bool {
    call.is_forbidden || (call.code == 403 && !call.is_over_quota)
}

fn said(call: &Call) -> String {
    if call.resource.is_empty() {
        return format!("{} {}", call.verb, call.uri);
    }
    Right::of(call).to_string()
}

#[cfg(test)]
mod tests;
