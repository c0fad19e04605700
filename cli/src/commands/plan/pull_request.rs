//! What a pull request is shown of a plan: one comment, a commit status, the summary of a job, annotations.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ::forge::{Comment, Commented, CommitState, GitHub, State};
use clap::Args;
use planner::finding::Finding;
use planner::names::{EnvironmentName, Revision};
use planner::shown::markdown;
use reconciler::diff::Intents;

use super::annotations::annotations;
use crate::arguments::{Format, GitHubArguments, RemoteArguments};
use crate::commands::registry::random_id;
use crate::failure::{Context as _, Failure};
use crate::serving;
use crate::terminal::Terminal;

/// The most that GitHub shows of a job's summary, in bytes. Of a larger one it shows nothing, and the job stays green.
const SUMMARY_BYTES_MAX: u64 = 1 << 20;

/// Flags for a pull request.
#[derive(Debug, Args)]
#[command(next_help_heading = "A pull request on GitHub")]
pub(crate) struct PullRequestArguments {
    /// The pull request that gets one comment with the plan, kept up to date, and whose newest commit the status
    /// aurora/plan/ENVIRONMENT
    #[arg(long, env = "AURORA_PULL_REQUEST", value_name = "NUMBER", requires_all = ["base", "pull_request_head", "github_token_file"])]
    pull_request: Option<u64>,

    /// Its newest commit, which --head may be a merge of
    #[arg(
        long,
        env = "AURORA_PULL_REQUEST_HEAD",
        value_name = "COMMIT",
        requires = "pull_request"
    )]
    pull_request_head: Option<Revision>,

    /// Whose comment it is: the account of the token
    #[arg(
        long,
        env = "AURORA_GITHUB_AUTHOR",
        value_name = "LOGIN",
        default_value = "github-actions[bot]"
    )]
    github_author: String,

    /// The file that the plan is appended to in Markdown: a job's $GITHUB_STEP_SUMMARY
    #[arg(long, env = "AURORA_SUMMARY", value_name = "FILE", requires = "base")]
    summary: Option<PathBuf>,

    /// Also print what is wrong as annotations that GitHub's runner reads
    #[arg(long, env = "AURORA_ANNOTATE", requires = "base")]
    annotate: bool,

    #[command(flatten)]
    github: GitHubArguments,
}

/// A plan, or why there is none.
type Planned<'a> = Result<&'a Intents, &'a Failure>;

impl PullRequestArguments {
    /// Prints a plan. Where the runner reads along, nothing of what a commit says is a command to it.
    pub(super) fn guarded(&self, print: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if !self.annotate {
            return print();
        }
        let (terminal, token) = (Terminal::new(Format::Text), random_id()?);
        terminal.line(format!("::stop-commands::{token}"))?;
        print()?;
        terminal.line(format!("::{token}::"))?;
        Ok(())
    }

    /// Shows a plan, or that it could not be computed, which takes the place of what was shown before.
    pub(super) fn show(
        &self,
        planned: Planned<'_>,
        environment: &EnvironmentName,
        repo: &Path,
        remote: &RemoteArguments,
    ) -> Result<(), Failure> {
        let text = match planned {
            Ok(intents) => intents.markdown(),
            Err(failure) => format!(
                "### Aurora: `{environment}`\n\n**The plan could not be computed, and nothing is known of what would change:** {}\n",
                markdown(failure.message())
            ),
        };
        if let Some(file) = &self.summary {
            append(file, &text).context(|| format!("--summary {}", file.display()))?;
        }
        let terminal = Terminal::new(Format::Text);
        if let (true, Ok(intents)) = (self.annotate, planned) {
            terminal.text(annotations(intents).trim_end())?;
        }
        let (Some(pull), Some(head)) = (self.pull_request, &self.pull_request_head) else {
            return Ok(());
        };
        let Some((github, link)) = self.github.github(repo, || remote.web())? else {
            return Ok(());
        };
        let comment = Comment {
            pull,
            head,
            marker: &format!("<!-- aurora plan {environment} -->"),
            author: &self.github_author,
            body: &text,
        };
        serving::block_on(tell(&github, &comment, planned, environment, link.as_deref()))?
    }
}

async fn tell(
    github: &GitHub,
    comment: &Comment<'_>,
    planned: Planned<'_>,
    environment: &EnvironmentName,
    link: Option<&str>,
) -> Result<(), Failure> {
    if github.comment(comment).await? == Commented::Outdated {
        return Err(Failure::new(
            "the pull request has a newer commit: its plan is not replaced by this one",
        ));
    }
    // What was not computed is not green, nor red: where it is required it is missing.
    if let Ok(intents) = planned {
        let state = state(intents, comment.head);
        github
            .set_status(&format!("aurora/plan/{environment}"), &state, link)
            .await?;
    }
    Ok(())
}

/// Returns what the commit's status says of a plan.
fn state(intents: &Intents, head: &Revision) -> CommitState {
    let stopped = intents.exposures.iter().find(|exposure| exposure.is_stopped());
    let (state, description) = if let Some(finding) = intents.findings.first() {
        let Finding { reason, message, .. } = finding;
        (
            State::Failure,
            format!("{} findings, first {reason}: {message}", intents.findings.len()),
        )
    } else if !intents.is_complete {
        (State::Failure, "not everything was understood".to_owned())
    } else if let Some(stopped) = stopped {
        (
            State::Failure,
            format!("a gate stops {} {}", stopped.model, stopped.version),
        )
    } else {
        let description = match intents.intents.len() {
            0 => "no change".to_owned(),
            1 => "1 change".to_owned(),
            changes => format!("{changes} changes"),
        };
        (State::Success, description)
    };
    CommitState::new(head.clone(), state, &description)
}

/// Appends to a job's summary, as far as that is shown.
fn append(file: &Path, text: &str) -> std::io::Result<()> {
    let mut summary = OpenOptions::new().append(true).create(true).open(file)?;
    let left = SUMMARY_BYTES_MAX.saturating_sub(summary.metadata()?.len() + 1);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if text.len() <= left {
        return summary.write_all(format!("{text}\n").as_bytes());
    }
    let note = "\n\n…and more than a summary holds: see the output of the job.";
    let mut end = left.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(0);
    if end == 0 {
        return Ok(());
    }
    summary.write_all(format!("{}{note}\n", &text[..end]).as_bytes())
}
