//! `cargo xtask check`: what CI checks before it tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::{generate, tidy};

/// Flags of `cargo xtask check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Only these [default: all, in this order]
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Formatting
    Fmt,
    /// Lints, a warning being an error
    Clippy,
    /// Generated files that are not what the code generates
    Drift,
    /// What the compiler cannot see
    Tidy,
}

pub(crate) fn run(arguments: &CheckArguments, root: &Path) -> anyhow::Result<()> {
    let steps = if arguments.steps.is_empty() {
        Step::value_variants()
    } else {
        &arguments.steps
    };
    for step in steps {
        match step {
            Step::Fmt => cargo(root, &["fmt", "--all", "--check"])?,
            Step::Clippy => cargo(
                root,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--features",
                    "aurora-ort/onnxruntime",
                    "--",
                    "-D",
                    "warnings",
                ],
            )?,
            Step::Drift => generate::check(root)?,
            Step::Tidy => tidy::check(root)?,
        }
    }
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    // Cargo sets CARGO for the programs that it runs.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("cargo {} found something", arguments.join(" "));
    }
    Ok(())
}
