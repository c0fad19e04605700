//! `aurora plan`: what a commit would change. Exits 0 if nothing, 1 if something, 2 if that cannot be said.
//!
//! Without `--base`: what the branch's newest commit would do to a data directory. With `--base` and `--head`: what one
//! commit means to change against another, as intents; needs no data directory.

mod annotations;
mod pull_request;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use planner::finding::Finding;
use planner::plan::Action;
use planner::shown::markdown;
use reconciler::Elsewhere;
use reconciler::diff::Intents;
use reconciler::preview::{self, Preview};
use registry::Store;
use serde_json::json;

use self::pull_request::PullRequestArguments;
use self::traffic::{Counting, TrafficArguments};
use crate::arguments::{
    BranchArguments, DataArguments, DatasetArguments, Format, RemoteArguments, RepositoryArguments,
    UpstreamArguments,
};
use crate::clock;
use crate::failure::{Context as _, ERROR, Failure, NO};
use crate::findings::{SHOWN_MAX, besides, marks};
use crate::terminal::Terminal;

/// Flags of `aurora plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    branch: BranchArguments,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    upstream: UpstreamArguments,

    /// Compare with this commit instead of the data directory
    #[arg(long, env = "AURORA_BASE", value_name = "REV")]
    base: Option<String>,

    /// The commit that is compared with --base
    #[arg(
        long,
        env = "AURORA_HEAD",
        value_name = "REV",
        default_value = "HEAD",
        requires = "base"
    )]
    head: String,

    /// With --base: the registry in which versions are looked up, the folder that holds aurora/ [default: that of the data
    /// directory, if there is one]
    #[arg(long, value_name = "PATH", requires = "base")]
    registry: Option<PathBuf>,

    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pull_request: PullRequestArguments,

    /// The form of the output
    #[arg(
        long,
        short,
        env = "AURORA_OUTPUT",
        value_name = "FORM",
        default_value = "text"
    )]
    output: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For a pull request.
    Markdown,
}

pub(crate) fn run(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let RepositoryArguments { repo, environment } = &arguments.repository;
    let place = repo;
    let (repo, _until_the_end) = &arguments.remote.looked_at(repo)?;
    let (changes, findings) = if let Some(base) = &arguments.base {
        let registry = arguments.registry()?;
        let head = &arguments.head;
        let planes = arguments.upstream.control_planes()?;
        let counting = arguments.traffic.counting(&arguments.upstream)?;
        let elsewhere = Elsewhere {
            planes: Some(planes.as_ref()),
            traffic: counting.as_ref().map(Counting::traffic),
        };
        let registry = registry.as_ref();
        let planned = preview::between(repo, base, head, environment, registry, elsewhere, clock::now());
        let planned = planned.map_err(Failure::from);
        let shown = &arguments.pull_request;
        let told = shown.show(planned.as_ref(), environment, place, &arguments.remote);
        let intents = planned?;
        shown.guarded(|| say_intents(arguments.output, &intents))?;
        told?;
        (
            !intents.intents.is_empty(),
            !intents.is_complete || stops(&intents.findings) || intents.is_stopped(),
        )
    } else {
        let follow = arguments.branch.follow();
        let roots = arguments.datasets.known_roots()?;
        let data_dir = &arguments.data.data_dir;
        let planes = Some(arguments.upstream.control_planes()?);
        let preview = standalone::preview(repo, follow, environment, data_dir, roots, planes, clock::now())?;
        say_preview(arguments.output, &preview)?;
        (
            !preview.plan.actions.is_empty() || !preview.plan.held.is_empty(),
            stops(&preview.plan.findings),
        )
    };
    // What has a finding could not be computed, and that is never shown as no change.
    Ok(match (findings, changes) {
        (true, _) => ExitCode::from(ERROR),
        (false, true) => ExitCode::from(NO),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Says whether a finding is more than a report.
fn stops<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> bool {
    findings.into_iter().any(|finding| !finding.reason.is_report())
}

impl PlanArguments {
    /// Opens the registry in which versions are looked up: the one that was named, else that of a data directory that is
    /// there.
    fn registry(&self) -> Result<Option<Store>, Failure> {
        if let Some(named) = &self.registry {
            let root = standalone::settle(named)?;
            let store = Store::open(&root).hint(|| "give a folder that holds aurora/".to_owned())?;
            return Ok(Some(store));
        }
        let root = self.data.registry_root().ok();
        Ok(root.and_then(|root| Store::open(&root).ok()))
    }
}

impl PlanFormat {
    fn terminal(self) -> Terminal {
        Terminal::new(match self {
            Self::Json => Format::Json,
            Self::Text | Self::Markdown => Format::Text,
        })
    }
}

fn say_intents(format: PlanFormat, intents: &Intents) -> Result<(), Failure> {
    let terminal = format.terminal();
    match format {
        PlanFormat::Text => terminal.text(intents.text().trim_end())?,
        PlanFormat::Json => terminal.document(intents)?,
        PlanFormat::Markdown => terminal.text(intents.markdown().trim_end())?,
    }
    Ok(())
}

fn say_preview(format: PlanFormat, preview: &Preview) -> Result<(), Failure> {
    let terminal = format.terminal();
    let Preview {
        revision,
        plan,
        hash,
        unjudged: _,
        suspended,
    } = preview;
    let told = |actions: &[Action]| -> Vec<String> {
        let told = actions.iter().filter(|action| !action.is_note());
        told.map(ToString::to_string).collect()
    };
    let (actions, held) = (told(&plan.actions), told(&plan.held));
    let suspended = suspended
        .as_ref()
        .map(|reason| format!("suspended, nothing is changed: {reason}"));
    let waiting: Vec<_> = plan.waiting.iter().map(ToString::to_string).collect();
    match format {
        PlanFormat::Json => terminal.document(&json!({
            "revision": revision, "hash": hash, "actions": plan.actions, "changes": actions,
            "suspended": preview.suspended, "held": held, "waiting": waiting, "findings": plan.findings,
        }))?,
        PlanFormat::Text => {
            let is_quiet = actions.is_empty() && held.is_empty() && plan.findings.is_empty();
            match (&suspended, is_quiet) {
                (Some(suspended), _) => terminal.line(format!("{}: {suspended}", revision.short()))?,
                (None, true) => terminal.line(format!("{}: no change", revision.short()))?,
                (None, false) => terminal.line(format!("{}:", revision.short()))?,
            }
            for action in actions {
                terminal.line(format!("  {action}"))?;
            }
            for action in held {
                terminal.line(format!("  once it is lifted: {action}"))?;
            }
            for waiting in waiting {
                terminal.line(format!("  waiting: {waiting}"))?;
            }
            terminal.lines(marks(&plan.findings))?;
            terminal.line(format!("plan {hash}"))?;
        }
        PlanFormat::Markdown => {
            terminal.text(&format!("### Aurora: {}\n\n", revision.short()))?;
            if let Some(suspended) = &suspended {
                terminal.text(&format!("**{}**\n\n", markdown(suspended)))?;
            } else if actions.is_empty() && plan.findings.is_empty() {
                terminal.line("No change.")?;
            }
            let held = held
                .into_iter()
                .map(|action| format!("once it is lifted: {action}"));
            let actions = actions.into_iter().chain(held);
            let waiting = waiting.into_iter().map(|waiting| format!("waiting: {waiting}"));
            for line in actions.chain(waiting) {
                terminal.line(format!("- {}", markdown(&line)))?;
            }
            for finding in plan.findings.iter().take(SHOWN_MAX) {
                let finding = finding.to_string().replace("\n  ", " ");
                terminal.line(format!("- **{}**", markdown(&finding)))?;
            }
            if let Some(more) = besides(plan.findings.len().saturating_sub(SHOWN_MAX)) {
                terminal.line(format!("- {more}"))?;
            }
            terminal.text(&format!("\n`plan {hash}`"))?;
        }
    }
    Ok(())
}
