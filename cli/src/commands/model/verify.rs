//! `aurora model verify`: whether what a registry holds is what was written, and what to do where it is not.

use std::error::Error;
use std::process::ExitCode;

use planner::names::ModelName;
use planner::observed::ObservedAlias;
use registry::artifact::{self, Engines, Pinned};
use registry::{Entry, Reference, Store, StoreError};
use serde_json::{Value, json};
use signing::{KeyId, VerifyingKey};

use super::models;
use crate::failure::{Failure, NO, chain, shortage};
use crate::terminal::{Colour, Terminal, painted};

/// What was found so far; printed as it is found.
struct Report<'a> {
    terminal: Terminal,
    /// The keys of which one must have signed each version.
    keys: Option<&'a [VerifyingKey]>,
    /// What versions are loaded by.
    engines: &'a Engines,
    values: Vec<Value>,
    is_damaged: bool,
}

pub(super) fn run(
    model: Option<&ModelName>,
    reference: Option<&Reference>,
    (keys, engines): (Option<&[VerifyingKey]>, &Engines),
    store: &Store,
    terminal: Terminal,
) -> Result<ExitCode, Failure> {
    let mut report = Report {
        terminal,
        keys,
        engines,
        values: Vec::new(),
        is_damaged: false,
    };
    if model.is_none() {
        own_files(store, &mut report)?;
    }
    for model in models(store, model)? {
        match reference {
            Some(reference) => version(store, &model, reference, &mut report)?,
            None => whole_model(store, &model, &mut report)?,
        }
    }
    if model.is_none() {
        staged_data(store, &mut report)?;
    }
    if terminal.is_json() {
        terminal.document(&report.values)?;
    }
    Ok(if report.is_damaged {
        ExitCode::from(NO)
    } else {
        ExitCode::SUCCESS
    })
}

fn whole_model(store: &Store, model: &ModelName, report: &mut Report<'_>) -> Result<(), Failure> {
    match store.versions(model) {
        Ok(versions) => {
            for found in versions {
                version(store, model, &Reference::Version(found), report)?;
            }
        }
        Err(error) => report.unread(Some(model), "versions", error)?,
    }
    match store.aliases(model) {
        Ok(aliases) => {
            for (track, alias) in aliases {
                if let ObservedAlias::Broken(why) = alias {
                    let error = format!("{why}: remove it by hand, the next pass sets it anew");
                    report.damaged_file(Some(model), &format!("aliases/{track}"), &error)?;
                }
            }
        }
        Err(error) => report.unread(Some(model), "aliases", error)?,
    }
    match store.history_junk(model) {
        Ok(files) => files.iter().try_for_each(|(file, junk)| {
            let error = format!(
                "{} lines of {} bytes, the first at byte {}, are no entries: they are passed over, and may be deleted",
                junk.lines, junk.bytes, junk.first_at
            );
            report.damaged_file(Some(model), file, &error)
        }),
        Err(error) => report.unread(Some(model), "history.jsonl", error),
    }
}

/// Checks a version's files, and loads it as whoever serves does.
fn version(
    store: &Store,
    model: &ModelName,
    reference: &Reference,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    match checked(store, model, reference, (report.keys, report.engines)) {
        Ok((entry, pinned, signer)) => {
            let (held_by, remark) = match pinned {
                Some(Pinned::ByDigest) => (Some("digest"), ""),
                None => (
                    None,
                    " (not loaded: ONNX Runtime evaluates it, name the library by --onnxruntime)",
                ),
                Some(Pinned::ByChecksum) => (
                    Some("checksum"),
                    " (made before artifacts held their signature: metadata.json is held by its checksum only; \
                     train another version to pin it)",
                ),
            };
            let by_whom =
                signer.map_or_else(String::new, |key| format!(", signed by the key {}", key.short()));
            report.values.push(json!({
                "model": model, "version": entry.version, "digest": entry.digest, "sound": true,
                "signature": held_by, "signer": signer.map(KeyId::as_str),
            }));
            report.line(
                Colour::Green,
                "ok",
                &format!("{model} {}: {}{by_whom}{remark}", entry.version, entry.digest),
            )
        }
        Err(error) if shortage(&*error).is_some() => Err(Failure::of(&*error)),
        Err(error) => {
            let error = chain(&*error);
            report.is_damaged = true;
            report.values.push(json!({
                "model": model, "reference": reference.to_string(), "sound": false, "error": error,
            }));
            report.line(Colour::Red, "damaged", &format!("{model} {reference}: {error}"))
        }
    }
}

/// A version that is sound: what holds its signature, where it was loaded, and who signed it, where that was asked.
type Checked<'k> = (Entry, Option<Pinned>, Option<&'k KeyId>);

fn checked<'k>(
    store: &Store,
    model: &ModelName,
    reference: &Reference,
    (keys, engines): (Option<&'k [VerifyingKey]>, &Engines),
) -> Result<Checked<'k>, Box<dyn Error>> {
    let entry = store.resolve(model, reference)?;
    store.verify(&entry)?;
    let pinned = if engines.have(entry.metadata.engine) {
        Some(artifact::inspect(store, &entry, engines)?)
    } else {
        None
    };
    let signer = keys.map(|keys| store.signer(&entry, keys)).transpose()?;
    let signer = signer.transpose()?.map(VerifyingKey::id);
    Ok((entry, pinned, signer))
}

/// Checks the files that say what the store is.
fn own_files(store: &Store, report: &mut Report<'_>) -> Result<(), Failure> {
    match store.check_identity() {
        Ok(wrong) => {
            for wrong in wrong {
                report.damaged_file(None, &wrong.file, &wrong.why)?;
            }
            Ok(())
        }
        Err(error) => report.unread(None, "registry", error),
    }
}

fn staged_data(store: &Store, report: &mut Report<'_>) -> Result<(), Failure> {
    match store.datasets() {
        Ok(datasets) => {
            for sha256 in datasets {
                if let Err(damage) = store.verify_dataset(&sha256) {
                    if shortage(&damage).is_some() {
                        return Err(damage.into());
                    }
                    let error = format!("{}; it is staged again when a run reads it", chain(&damage));
                    report.damaged_file(None, &format!("datasets/{}", sha256.hex()), &error)?;
                }
            }
            Ok(())
        }
        Err(error) => report.unread(None, "datasets", error),
    }
}

impl Report<'_> {
    /// Tells of what cannot be read. Where a limit is reached, that says nothing of it, and nothing is told of the rest.
    fn unread(&mut self, model: Option<&ModelName>, file: &str, error: StoreError) -> Result<(), Failure> {
        if error.shortage().is_some() {
            return Err(error.into());
        }
        self.damaged_file(model, file, &chain(&error))
    }

    fn damaged_file(&mut self, model: Option<&ModelName>, file: &str, error: &str) -> Result<(), Failure> {
        self.is_damaged = true;
        self.values
            .push(json!({ "model": model, "file": file, "sound": false, "error": error }));
        let place = model.map_or_else(|| file.to_owned(), |model| format!("{model} {file}"));
        self.line(Colour::Red, "damaged", &format!("{place}: {error}"))
    }

    fn line(&self, colour: Colour, word: &str, text: &str) -> Result<(), Failure> {
        if !self.terminal.is_json() {
            self.terminal
                .line(painted(colour, word).and(format!(" {text}")))?;
        }
        Ok(())
    }
}
