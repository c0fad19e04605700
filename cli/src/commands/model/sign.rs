//! `aurora model sign`: signs a version by a key, beside it. It changes nothing of the version.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use planner::names::ModelName;
use registry::Reference;

use super::StoreArguments;
use crate::answers::SignAnswer;
use crate::arguments::OutputArguments;
use crate::failure::Failure;
use crate::keys_of_models::signing_key;
use crate::terminal::Terminal;

/// Flags of `aurora model sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The model
    model: ModelName,
    /// Which version: a version or a digest; an alias may be another one's by then
    reference: Reference,
    /// A private key in PEM that nobody else may read: `openssl ecparam -name prime256v1 -genkey -noout -out FILE`
    #[arg(long, env = "AURORA_SIGNING_KEY", value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &SignArguments) -> Result<ExitCode, Failure> {
    if let Reference::Alias(track) = arguments.reference {
        return Err(
            Failure::new(format!("{track} may be another version by the time it is signed"))
                .hint("name the version or its digest: `aurora model show` says both"),
        );
    }
    let key = signing_key(&arguments.key)?;
    arguments.store.refuse_to_write()?;
    let store = arguments.store.open()?;
    let entry = store.resolve(&arguments.model, &arguments.reference)?;
    store.sign(&entry, &key)?;
    let id = key.verifying().id();
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&SignAnswer {
            model: &entry.model,
            version: &entry.version,
            digest: &entry.digest,
            key: id.as_str(),
        })?;
    } else {
        terminal.line(format!(
            "{} {} is signed by the key {}",
            entry.model,
            entry.version,
            id.short()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
