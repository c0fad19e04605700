//! What `aurora pin`, `promote` and `rollback` have in common: a manifest is changed in its place, as a commit on a branch.

pub(super) mod pin;
pub(super) mod promote;
mod request;
pub(super) mod rollback;

use std::path::PathBuf;
use std::process::ExitCode;

use ::forge::Opened;
use clap::Args;
use crds::edit::Edit;
use planner::deployment::Pin;
use planner::names::{Digest, EnvironmentName, ModelName, Version};
use reconciler::edit::{Editor, Found, Place};
use registry::{Reference, StoreError};

use super::model::StoreArguments;
use crate::answers::EditAnswer;
use crate::arguments::OutputArguments;
use crate::failure::Failure;
use crate::terminal::Terminal;
use request::{RequestArguments, Requesting};

/// Where a change goes.
#[derive(Debug, Args)]
pub(crate) struct EditArguments {
    /// The desired-state repository: a folder inside a Git work tree, or a bare repository
    #[arg(long, env = "AURORA_REPO", value_name = "PATH", default_value = ".")]
    repo: PathBuf,

    /// The branch that gets the commit, at its end; one that is new begins at --base [default:
    /// aurora/ENVIRONMENT-MODEL-VERSION]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,

    /// The commit at which a new branch begins
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    base: String,

    /// Change the file in the work tree, and commit nothing
    #[arg(long, conflicts_with_all = ["branch", "base", "message"])]
    in_place: bool,

    /// The commit's message [default: one that says what changes]
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,

    /// Only show what would change
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    request: RequestArguments,

    #[command(flatten)]
    output: OutputArguments,
}

/// A model of an environment, about to be changed.
struct Editing<'a> {
    arguments: &'a EditArguments,
    editor: Editor,
    place: Place,
    found: Found,
}

/// What is said of a change.
struct Change {
    edits: Vec<Edit>,
    /// What it does, for the first line of a commit: `stable v2 (was v1)`.
    what: String,
}

impl EditArguments {
    fn open(&self) -> Result<Editor, Failure> {
        Ok(Editor::open(&self.repo)?)
    }

    /// Finds a manifest as it stands before any change: in the work tree, at the end of the branch that was named, or at
    /// the commit where one would begin.
    fn find(
        &self,
        editor: &Editor,
        environment: &EnvironmentName,
        model: &ModelName,
    ) -> Result<Found, Failure> {
        let place = match (&self.branch, self.in_place) {
            (_, true) => Place::WorkTree,
            (Some(name), false) => self.on(name, true),
            (None, false) => self.on(&self.base, true),
        };
        Ok(editor.find(&place, environment, model)?)
    }

    /// Finds a manifest at the commit where a new branch would begin.
    fn find_at_base(
        &self,
        editor: &Editor,
        environment: &EnvironmentName,
        model: &ModelName,
    ) -> Result<Found, Failure> {
        Ok(editor.find(&self.on(&self.base, true), environment, model)?)
    }

    fn on(&self, name: &str, is_given: bool) -> Place {
        Place::Branch {
            name: name.to_owned(),
            base: self.base.clone(),
            is_given,
        }
    }
}

impl<'a> Editing<'a> {
    /// Finds the manifest. `aim` names the branch where none is given: what the change brings.
    fn begin(
        arguments: &'a EditArguments,
        editor: Editor,
        environment: &EnvironmentName,
        model: &ModelName,
        aim: &str,
    ) -> Result<Self, Failure> {
        let place = if arguments.in_place {
            Place::WorkTree
        } else {
            match &arguments.branch {
                Some(branch) => arguments.on(branch, true),
                None => arguments.on(&format!("aurora/{environment}-{model}-{aim}"), false),
            }
        };
        Ok(Self {
            found: editor.find(&place, environment, model)?,
            arguments,
            editor,
            place,
        })
    }

    /// Makes the change, and says what came of it.
    fn end(&self, change: &Change) -> Result<ExitCode, Failure> {
        let Found {
            environment,
            deployment,
            path,
            ..
        } = &self.found;
        let text = Editor::change(&self.found, &change.edits)?;
        let shown = text.as_deref().map(|text| Editor::difference(&self.found, text));
        let shown = shown.transpose()?;
        let title = format!("{environment}: {} {}", deployment.model, change.what);
        let message = self.arguments.message.as_deref().unwrap_or(&title);
        // Whom nobody can ask is said before anything is written.
        let requesting = self.requesting()?;
        let written = text.as_deref().filter(|_| !self.arguments.dry_run);
        let written = written.map(|text| self.editor.write(&self.place, &self.found, text, message));
        let commit = written.transpose()?.flatten();
        let branch = match &self.place {
            Place::Branch { name, .. } => Some(name).filter(|_| commit.is_some()),
            Place::WorkTree => None,
        };
        let opened = self.request(requesting)?;
        let terminal = Terminal::new(self.arguments.output.output);
        if terminal.is_json() {
            terminal.document(&EditAnswer {
                environment,
                model: &deployment.model,
                file: path,
                changed: text.is_some(),
                difference: shown.as_deref(),
                branch: branch.map(String::as_str),
                commit: commit.as_ref(),
                pull_request: opened.as_ref().map(|opened| opened.page.as_str()),
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(shown) = shown else {
            terminal.line(format!("{path} says so already: {title}"))?;
            terminal.lines(opened.as_ref().map(request::said))?;
            return Ok(ExitCode::SUCCESS);
        };
        terminal.text(shown.trim_end())?;
        terminal.line(match (branch, &commit) {
            (Some(branch), Some(commit)) => format!("{} on branch {branch}: {message}", commit.short()),
            _ if self.arguments.dry_run => "nothing was changed: --dry-run".to_owned(),
            _ => format!("{path} is changed, and not committed"),
        })?;
        terminal.lines(opened.as_ref().map(request::said))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Says whom the branch is proposed to, where that is asked for.
    fn requesting(&self) -> Result<Option<Requesting>, Failure> {
        let EditArguments {
            request,
            repo,
            dry_run: false,
            ..
        } = self.arguments
        else {
            return Ok(None);
        };
        match &self.place {
            Place::Branch { name, .. } => request.begin(repo, name),
            Place::WorkTree => Ok(None),
        }
    }

    /// Proposes the branch as its newest commit says. One that is there from an attempt that was cut off is proposed too.
    fn request(&self, requesting: Option<Requesting>) -> Result<Option<Opened>, Failure> {
        let (Some(requesting), Place::Branch { name, .. }) = (requesting, &self.place) else {
            return Ok(None);
        };
        let message = self.editor.newest_message(name);
        message.map(|message| requesting.end(&message)).transpose()
    }
}

/// Returns a pin whose digest is given, or known to the registry at hand; one without is resolved once it is applied.
fn pinned(
    version: &Version,
    digest: Option<Digest>,
    model: &ModelName,
    store: &StoreArguments,
) -> Result<Pin, Failure> {
    let known = || match store.open() {
        Ok(store) => match store.resolve(model, &Reference::Version(version.clone())) {
            Ok(entry) => Ok(Some(entry.digest)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        },
        Err(_none_at_hand) => Ok(None),
    };
    Ok(Pin {
        version: version.clone(),
        digest: match digest {
            Some(digest) => Some(digest),
            None => known()?,
        },
    })
}
