//! Building and running the tests of crates: once without a mutant, which gives the time limits, then with each.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::copy::Copy;
use super::list::Mutant;
use super::process::{self, Ended};
use super::verdict::{End, Tried, Verdict, judge};
use crate::workspace::cargo;

/// How long anything may take before its usual time is known.
const UNMEASURED_MAX: Duration = Duration::from_hours(1);
/// A limit is this many times the usual time, as the workers and whoever else share the machine …
const LIMIT_TIMES: u32 = 3;
/// … and this much more.
const BUILD_GRACE: Duration = Duration::from_mins(1);
const TESTS_GRACE: Duration = Duration::from_secs(30);
/// How Rust's harness ends the line of a test that failed. One is enough: the others are not waited for.
const FAILURE: &str = "... FAILED";

/// How long building the tests of a crate after a change of it took, and running them.
#[derive(Debug, Clone, Copy)]
struct Usual {
    build: Duration,
    tests: Duration,
}

impl Usual {
    /// Returns what a mutant is given, where the crates that are built anew for it usually take `build`.
    fn limit(self, build: Duration) -> Self {
        Self {
            build: build * LIMIT_TIMES + BUILD_GRACE,
            tests: self.tests * LIMIT_TIMES + TESTS_GRACE,
        }
    }
}

/// A crate whose tests may be asked.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) name: String,
    /// The files, from the root of a tree, that a build of it begins with.
    pub(super) roots: Vec<PathBuf>,
    /// The crates that know it, those that know least first.
    pub(super) above: Vec<String>,
    /// Known once it was needed.
    usual: Mutex<Option<Usual>>,
}

/// All crates, by their names.
pub(super) type Crates = BTreeMap<String, Tested>;

impl Tested {
    pub(super) fn new(name: String, roots: Vec<PathBuf>, above: Vec<String>) -> Self {
        Self {
            name,
            roots,
            above,
            usual: Mutex::new(None),
        }
    }

    /// Returns the usual times, measured in a copy without a mutant where they are not known; [`None`] where the end was
    /// asked for.
    fn usual(&self, copy: &Copy) -> Result<Option<Usual>> {
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if usual.is_none() {
            *usual = measure(copy, self)?;
        }
        Ok(*usual)
    }
}

/// Builds the tests of a crate that nobody has changed; says whether the end was not asked for.
pub(super) fn build(copy: &Copy, tested: &Tested) -> Result<bool> {
    Ok(passing(copy, &tested.name, true)?.is_some())
}

fn measure(copy: &Copy, tested: &Tested) -> Result<Option<Usual>> {
    if !build(copy, tested)? {
        return Ok(None);
    }
    for file in &tested.roots {
        File::options()
            .append(true)
            .open(copy.tree().join(file))?
            .set_modified(SystemTime::now())?;
    }
    let (Some(built), Some(ran)) = (
        passing(copy, &tested.name, true)?,
        passing(copy, &tested.name, false)?,
    ) else {
        return Ok(None);
    };
    copy.clean()?;
    Ok(Some(Usual {
        build: built.took,
        tests: ran.took,
    }))
}

fn passing(copy: &Copy, package: &str, only_build: bool) -> Result<Option<Ended>> {
    let run = || {
        process::run(
            tests(copy, package, only_build),
            copy.home(),
            UNMEASURED_MAX,
            None,
        )
    };
    let mut ended = run()?;
    // One failure on a busy machine does not cost what was tried before it.
    if ended.as_ref().is_some_and(|ended| ended.end != End::Passed) {
        ended = run()?;
    }
    if let Some(ended) = ended.as_ref().filter(|ended| ended.end != End::Passed) {
        bail!(
            "the tests of {package} do not pass without a mutant:\n{}",
            ended.tail
        );
    }
    Ok(ended)
}

/// Tries a mutant on its own crate, and while it is alive on those above; [`None`] where the end was asked for.
pub(super) fn attempt(copy: &Copy, mutant: &Mutant, crates: &Crates) -> Result<Option<Verdict>> {
    let tested = known(crates, &mutant.package)?;
    let Some(usual) = tested.usual(copy)? else {
        return Ok(None);
    };
    let own = copy.with(mutant, || tried(copy, &tested.name, usual.limit(usual.build)))?;
    copy.clean()?;
    let Some(own) = own else {
        return Ok(None);
    };
    if judge(own, &[]) != Verdict::Alive {
        return Ok(Some(judge(own, &[])));
    }
    // What lies between is built again too.
    let mut build = usual.build;
    let mut limits = Vec::new();
    for name in &tested.above {
        let Some(usual) = known(crates, name)?.usual(copy)? else {
            return Ok(None);
        };
        build += usual.build;
        limits.push((name, usual.limit(build)));
    }
    let mut above = Vec::new();
    let is_finished = copy.with(mutant, || {
        for (name, limit) in limits {
            let Some(tried) = tried(copy, name, limit)? else {
                return Ok(false);
            };
            above.push(tried);
            if judge(own, &above) != Verdict::Alive {
                break;
            }
        }
        Ok(true)
    })?;
    copy.clean()?;
    Ok(is_finished.then(|| judge(own, &above)))
}

fn known<'a>(crates: &'a Crates, name: &str) -> Result<&'a Tested> {
    crates
        .get(name)
        .with_context(|| format!("cargo knows no crate {name} in this workspace"))
}

fn tried(copy: &Copy, package: &str, limit: Usual) -> Result<Option<Tried>> {
    let Some(Ended { end: build, .. }) =
        process::run(tests(copy, package, true), copy.home(), limit.build, None)?
    else {
        return Ok(None);
    };
    if build != End::Passed {
        return Ok(Some(Tried { build, tests: None }));
    }
    let ended = process::run(
        tests(copy, package, false),
        copy.home(),
        limit.tests,
        Some(FAILURE),
    )?;
    Ok(ended.map(|ended| Tried {
        build,
        tests: Some(ended.end),
    }))
}

fn tests(copy: &Copy, package: &str, only_build: bool) -> Command {
    let mut command = Command::new(cargo());
    command
        .args(["test", "--offline", "--tests", "--package", package])
        .args(only_build.then_some("--no-run"))
        .current_dir(copy.tree())
        .env("CARGO_TARGET_DIR", copy.target())
        .env("TMPDIR", copy.temporary());
    command
}
