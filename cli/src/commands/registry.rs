//! `aurora registry init`: makes an empty store for one environment.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use planner::names::EnvironmentName;
use registry::{Owner, Store, StoreError};

use crate::answers::RegistryAnswer;
use crate::arguments::OutputArguments;
use crate::clock;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Flags of `aurora registry`.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// Make an empty store; one that is there already is left as it is
    Init {
        /// The folder that holds, or will hold, aurora/
        #[arg(long, env = "AURORA_REGISTRY", value_name = "PATH")]
        registry: PathBuf,
        /// The environment that owns it
        #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
        environment: EnvironmentName,
        /// The installation that owns it: the content of <data-dir>/installation [default: a random one]
        #[arg(long, env = "AURORA_INSTALLATION", value_name = "ID")]
        installation: Option<String>,
        #[command(flatten)]
        output: OutputArguments,
    },
}

pub(crate) fn run(arguments: RegistryArguments) -> Result<ExitCode, Failure> {
    let RegistryCommand::Init {
        registry,
        environment,
        installation,
        output,
    } = arguments.command;
    let wanted = Owner {
        environment,
        installation: match &installation {
            Some(id) => id.clone(),
            None => random_id()?,
        },
    };
    let root = standalone::inspect_to_write(&registry)?;
    let was_there = Store::open(&root).is_ok();
    let owner = match Store::init(&root, &wanted, clock::now()) {
        Ok(_store) => wanted,
        // Whoever gives no installation takes the one that made it.
        Err(StoreError::OtherOwner { owner, .. })
            if installation.is_none() && owner.environment == wanted.environment =>
        {
            *owner
        }
        Err(error) => return Err(error.into()),
    };
    let terminal = Terminal::new(output.output);
    if terminal.is_json() {
        terminal.document(&RegistryAnswer {
            registry: &registry.to_string_lossy(),
            owner: &owner,
            created: !was_there,
        })?;
    } else {
        let (verb, note) = if was_there {
            ("is already", ": left as it is")
        } else {
            ("is now", "")
        };
        terminal.line(format!(
            "{} {verb} a store of environment {}, installation {}{note}",
            registry.display(),
            owner.environment,
            owner.installation
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns an id that no other installation has.
pub(crate) fn random_id() -> Result<String, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(format!("the system gives no random bytes: {error}")))?;
    Ok(hex::encode(random))
}
