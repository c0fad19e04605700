//! The recipes of this repository: `cargo xtask generate`, `cargo xtask check`, `cargo xtask fuzz`, `cargo xtask kill`,
//! `cargo xtask kubernetes-assets`, `cargo xtask mutants`, `cargo xtask rbac-coverage`, `cargo xtask zoo`.

mod check;
mod fuzz;
mod generate;
mod kill;
mod kubernetes_assets;
mod mutants;
mod random;
mod rbac_coverage;
mod tidy;
mod workspace;
mod zoo;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// The recipes of this repository.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Debug, Subcommand)]
enum Recipe {
    /// Write what is generated from the code: crds/yaml
    Generate,
    /// Check the tree as CI does: formatting, lints, generated files, tidiness
    Check(check::CheckArguments),
    /// Feed what reads bytes from outside with inputs near those of a corpus, and keep what it cannot take
    Fuzz(fuzz::FuzzArguments),
    /// Kill `aurora up` in every phase of a commit's way, and see that each restart converges
    Kill(kill::KillArguments),
    /// Print the folder of a control plane's programs for tests, which are built where there are none
    KubernetesAssets,
    /// Change the code in small ways, and see which changes no test notices
    Mutants(mutants::MutantsArguments),
    /// Print what components were denied in tests, and what their Roles allow that none has used
    RbacCoverage(rbac_coverage::RbacCoverageArguments),
    /// Compare what the engine answers with onnxruntime, on models as scikit-learn, LightGBM, XGBoost and CatBoost export them
    Zoo(zoo::ZooArguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().recipe {
        Recipe::Generate => generate::write(&root()),
        Recipe::Check(arguments) => check::run(&arguments, &root()),
        Recipe::Fuzz(arguments) => fuzz::run(&arguments),
        Recipe::Kill(arguments) => kill::run(&arguments),
        Recipe::KubernetesAssets => kubernetes_assets::run(&root()),
        Recipe::Mutants(arguments) => mutants::run(&arguments, &root()),
        Recipe::RbacCoverage(arguments) => rbac_coverage::run(&arguments),
        Recipe::Zoo(arguments) => zoo::run(&arguments, &root()),
    }
}

/// Returns the repository's root.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
