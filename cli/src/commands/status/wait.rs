//! `aurora status --wait`: whether a commit is live, by the data directory or the namespace alone, looked at until there is an
//! answer.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use crds::MLDeployment;
use crds::status::StateName;
use planner::names::Revision;
use reconciler::source::{Relation, Source};

use super::place::{Place, Seen};
use super::{behind, is_serving, is_well, suspension};
use crate::failure::Failure;
use crate::git_reader;
use crate::life::Life;
use crds::view::View;

/// How many hex digits a commit's whole id has at least.
const ID_LENGTH_MIN: usize = 40;

/// What is waited for, and how long.
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// Wait until all serves as Git declares; exits 1 at the first finding, or when the time is over
    #[arg(long)]
    wait: bool,

    /// Wait until this commit is applied, or a later one of its branch
    #[arg(long, env = "AURORA_REVISION", value_name = "REV", requires = "wait")]
    revision: Option<String>,

    /// How long to wait: seconds, or e.g. 90s, 5m, 1h
    #[arg(long, env = "AURORA_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = time)]
    timeout: Duration,

    /// The repository that says what --revision names, and what contains it
    #[arg(long, env = "AURORA_REPO", value_name = "PATH", default_value = ".")]
    repo: PathBuf,
}

/// How a commit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Course {
    /// It is live.
    Live,
    /// A person must act.
    Stopped(String),
    /// It goes on by itself.
    Awaited(String),
}

/// How the commit that is waited for relates to others.
#[derive(Debug)]
struct Target {
    revision: Revision,
    source: Option<Source>,
}

impl WaitArguments {
    /// Waits, where that is asked for; returns why the commit is not live, where it is not.
    pub(super) fn wait(&self, place: &Place) -> Result<Option<String>, Failure> {
        if !self.wait {
            return Ok(None);
        }
        let target = self
            .revision
            .as_deref()
            .map(|text| self.target(text))
            .transpose()?;
        let begun = Instant::now();
        loop {
            let contains = |commit: &Revision| target.as_ref().is_none_or(|target| target.is_in(commit));
            let course = match place.look()? {
                Seen::State(view, life) => course(&view, life, contains),
                Seen::Unknown(why) => Course::Awaited(why.message().to_owned()),
            };
            match course {
                Course::Live => return Ok(None),
                Course::Stopped(why) => return Ok(Some(why)),
                Course::Awaited(what) if begun.elapsed() >= self.timeout => {
                    return Ok(Some(format!("after {} s: {what}", self.timeout.as_secs())));
                }
                Course::Awaited(_) => thread::sleep(place.poll()),
            }
        }
    }

    fn target(&self, text: &str) -> Result<Target, Failure> {
        let source = Source::open_any(&git_reader::repository(&self.repo));
        // A whole id needs no repository, as long as it is that very commit that is applied.
        let whole = || text.parse().ok().filter(|_| text.len() >= ID_LENGTH_MIN);
        let (revision, source) = match (source, whole()) {
            (Ok(source), Some(revision)) => (revision, Some(source)),
            (Ok(source), None) => (source.find(text)?, Some(source)),
            (Err(_no_repository), Some(revision)) => (revision, None),
            (Err(error), None) => return Err(error.into()),
        };
        Ok(Target { revision, source })
    }
}

impl Target {
    /// Says whether it is a commit, or contained in it as far as the repository knows.
    fn is_in(&self, commit: &Revision) -> bool {
        let contains = |source: &Source| source.relation(&self.revision, commit) == Relation::Ahead;
        *commit == self.revision || self.source.as_ref().is_some_and(contains)
    }
}

/// Says how the commit stands that `contains` knows the later ones of.
fn course(view: &View, life: Life, contains: impl Fn(&Revision) -> bool) -> Course {
    let Some(environment) = &view.environment else {
        return Course::Awaited("no pass has been run yet".to_owned());
    };
    if let Some(reason) = suspension(environment) {
        return Course::Stopped(format!("the environment is suspended: {reason}"));
    }
    let Some(status) = &environment.status else {
        return Course::Awaited("no pass has been run yet".to_owned());
    };
    let is_in = |commit: &Option<Revision>| commit.as_ref().is_some_and(&contains);
    if !is_in(&status.attempted_revision) {
        let newest = status.attempted_revision.as_ref();
        let newest = newest.map_or("nothing", |revision| revision.short());
        return Course::Awaited(format!(
            "the commit was not seen yet, {newest} is the newest ({life})"
        ));
    }
    if let Some(finding) = status.findings.first() {
        let besides = status.findings.len() - 1;
        let besides = if besides > 0 {
            format!(" (and {besides} more findings)")
        } else {
            String::new()
        };
        let place = finding
            .location
            .as_deref()
            .map(|place| format!("{place}: "))
            .unwrap_or_default();
        return Course::Stopped(format!(
            "{place}{}: {}: {}{besides}",
            finding.reason, finding.subject, finding.message
        ));
    }
    if let Some(why) = view.deployments.values().find_map(|deployment| held(deployment)) {
        return Course::Stopped(why);
    }
    if !is_in(&status.applied_revision) {
        return Course::Awaited(first(&status.waiting, "not all of the commit is applied yet"));
    }
    if let Some(deployment) = view
        .deployments
        .values()
        .find(|deployment| !is_serving(deployment))
    {
        let state = deployment.status.as_ref().and_then(|status| status.state);
        let state = state.map_or_else(|| "not looked at yet".to_owned(), |state| format!("{state:?}"));
        let behind = behind(deployment)
            .map(|behind| format!(", {behind}"))
            .unwrap_or_default();
        return Course::Awaited(format!("{} is {state}{behind}", deployment.spec.model_name));
    }
    if is_well(view, life) {
        return Course::Live;
    }
    Course::Awaited(first(
        &status.waiting,
        &format!("nobody is known to serve: {life}"),
    ))
}

/// Returns by whose will a model does not serve what is declared.
fn held(deployment: &MLDeployment) -> Option<String> {
    let MLDeployment { spec, status, .. } = deployment;
    let model = &spec.model_name;
    if let Some(reason) = &spec.suspend {
        return Some(format!("{model} is suspended: {reason}"));
    }
    let status = status
        .as_ref()
        .filter(|status| status.state == Some(StateName::Aborted))?;
    Some(format!("the canary of {model} was aborted: {}", status.message))
}

fn first(waiting: &[String], otherwise: &str) -> String {
    waiting.first().map_or(otherwise, String::as_str).to_owned()
}

/// Reads a time: seconds, or a number with its unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let seconds = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        _ => None,
    };
    let seconds = seconds.and_then(|unit: u64| number.parse::<u64>().ok()?.checked_mul(unit));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a time, e.g. 90, 90s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text| time(text).ok().map(|time| time.as_secs());
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h", Some(3_600)),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for text in [
            "",
            "m",
            "5 m",
            "-1",
            "1d",
            "1.5m",
            "99999999999999999999h",
            "9999999999999999h",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
