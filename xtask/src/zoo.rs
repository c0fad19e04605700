//! `cargo xtask zoo`: models as other teams' tools write them, answered by the engine and by onnxruntime.
//!
//! ```text
//! zoo/*.py ──train, export, ask onnxruntime──▶ a folder for each model ──engine──▶ equal, tie, refused, differs
//! ```
//!
//! The Python part runs in an environment of pinned packages, made once a machine.

mod case;
mod compare;
mod python;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use self::case::Case;
use self::compare::{Verdict, compare};

/// Flags of `cargo xtask zoo`.
#[derive(Debug, Args)]
pub(crate) struct ZooArguments {
    /// What data, models and rows follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only models whose name holds this text
    #[arg(long, default_value = "")]
    only: String,
    /// How many random rows and how many edge rows are asked at most [default: 1,000, and all edges]
    #[arg(long)]
    rows: Option<usize>,
    /// Keep models and answers in this new folder
    #[arg(long, conflicts_with = "kept")]
    keep: Option<PathBuf>,
    /// Compare what an earlier run kept here, and train nothing
    #[arg(long)]
    kept: Option<PathBuf>,
}

/// Prints how many models of each kind and exporter are answered alike, and fails where one is not.
#[expect(clippy::print_stdout, reason = "this recipe's output")]
pub(crate) fn run(arguments: &ZooArguments, root: &Path) -> anyhow::Result<()> {
    let aside = tempfile::tempdir().context("make a folder for the models")?;
    let folder = if let Some(folder) = &arguments.kept {
        folder.clone()
    } else {
        let made = aside.path().join("models");
        let folder = arguments.keep.clone().unwrap_or(made);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        python::make(root, &folder, arguments.seed, &arguments.only, arguments.rows)?;
        folder
    };
    let mut table = Table::default();
    for path in cases(&folder)? {
        let case = Case::read(&path)?;
        if !case.name.contains(&arguments.only) {
            continue;
        }
        let verdict = compare(&case)?;
        if let Some(said) = verdict.said() {
            println!("{}: {said}", case.name);
        }
        table.add(&case, &verdict);
    }
    println!("{table}");
    match table.count(Verdict::DIFFERS) {
        0 => Ok(()),
        count => bail!("{count} models are answered otherwise than they should be"),
    }
}

/// Returns the folders of the models, by name.
fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(|path| path.join("case.json").exists());
    paths.sort();
    if paths.is_empty() {
        bail!("{} holds no model", folder.display());
    }
    Ok(paths)
}

/// How many models of a kind and an exporter had which verdict.
#[derive(Debug, Default)]
struct Table {
    counts: BTreeMap<(String, String), [usize; Verdict::NAMES.len()]>,
}

impl Table {
    fn add(&mut self, case: &Case, verdict: &Verdict) {
        let row = self
            .counts
            .entry((case.kind.clone(), case.exporter.clone()))
            .or_default();
        row[verdict.column()] += 1;
    }

    fn count(&self, column: usize) -> usize {
        self.counts.values().map(|row| row[column]).sum()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut write = |kind: &str, exporter: &str, cells: &[String]| {
            write!(formatter, "{kind:<16} {exporter:<22}")?;
            cells
                .iter()
                .try_for_each(|cell| write!(formatter, " {cell:>12}"))?;
            writeln!(formatter)
        };
        write("kind", "exporter", &Verdict::NAMES.map(str::to_owned))?;
        for ((kind, exporter), row) in &self.counts {
            write(kind, exporter, &row.map(|count| count.to_string()))?;
        }
        let all: Vec<String> = (0..Verdict::NAMES.len())
            .map(|column| self.count(column).to_string())
            .collect();
        write("all", "", &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few models of `cargo xtask zoo --rows 12 --keep …` lie beside the engine's tests.
    #[test]
    fn the_samples_are_answered_as_their_references_say() {
        let folder = crate::root().join("engine/tests/zoo");
        let paths = cases(&folder).unwrap();
        assert!(paths.len() >= 12, "{} samples", paths.len());
        for path in paths {
            let case = Case::read(&path).unwrap();
            let verdict = compare(&case).unwrap();
            assert_eq!(verdict.said(), None, "{}", case.name);
            assert_eq!(verdict, Verdict::Equal, "{}", case.name);
        }
    }
}
