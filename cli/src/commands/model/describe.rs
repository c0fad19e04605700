//! `aurora model describe`: says of a version who answers for it, what it is, and tags. It changes nothing of the version.

use std::process::ExitCode;

use clap::Args;
use planner::names::ModelName;
use registry::{Description, DescriptionChange, Reference};

use super::StoreArguments;
use crate::answers::DescribeAnswer;
use crate::arguments::OutputArguments;
use crate::clock;
use crate::failure::Failure;
use crate::terminal::{Terminal, table};

/// Flags of `aurora model describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    /// The model
    model: ModelName,
    /// Which version: stable, canary, a version or a digest
    reference: Reference,
    /// Who answers for it; empty: nobody any more
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// What it is, at most 2,000 characters; empty: nothing any more
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A tag; may be given several times, at most 50 in all
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// A tag that is taken away; may be given several times
    #[arg(long = "untag", value_name = "NAME")]
    untags: Vec<String>,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &DescribeArguments) -> Result<ExitCode, Failure> {
    let change = change(arguments)?;
    if change.is_empty() {
        return Err(Failure::new("nothing is said of the version")
            .hint("say something with --owner, --description, --tag or --untag; `aurora model show` shows what was said"));
    }
    arguments.store.refuse_to_write()?;
    let store = arguments.store.open()?;
    let (entry, said) = store.describe(&arguments.model, &arguments.reference, change)?;
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&DescribeAnswer {
            model: &entry.model,
            version: &entry.version,
            description: &said,
        })?;
    } else {
        terminal.line(format!("{} {}", entry.model, entry.version))?;
        let rows: Vec<_> = rows(&said).into_iter().map(|row| row.to_vec()).collect();
        terminal.lines(table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn change(arguments: &DescribeArguments) -> Result<DescriptionChange, Failure> {
    let user = std::env::var("USER").unwrap_or_default();
    let mut change = DescriptionChange::new(clock::now(), &user)?;
    if let Some(owner) = &arguments.owner {
        change = change.owner(owner)?;
    }
    if let Some(description) = &arguments.description {
        change = change.description(description)?;
    }
    for (name, value) in &arguments.tags {
        change = change.tag(name, Some(value))?;
    }
    for name in &arguments.untags {
        change = change.tag(name, None)?;
    }
    Ok(change)
}

/// Returns what is said of a version, a row for each part; a part that nobody says has none.
pub(super) fn rows(said: &Description) -> Vec<[String; 2]> {
    let Description {
        owner,
        description,
        tags,
        changed_at,
        changed_by,
    } = said;
    let tags: Vec<_> = tags
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let by = changed_by.as_deref().filter(|by| !by.is_empty());
    let by = by.map_or_else(String::new, |by| format!(" by {by}"));
    let changed = changed_at.map(|at| format!("{}{by}", at.format("%F %T UTC")));
    [
        ("owner", owner.clone()),
        ("about", description.clone()),
        ("tags", Some(tags.join(", "))),
        ("described", changed),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some([name.to_owned(), value.filter(|value| !value.is_empty())?]))
    .collect()
}

/// Reads a tag.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE, e.g. tier=gold".to_owned()),
    }
}
