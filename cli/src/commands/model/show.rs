//! `aurora model show`: all that is known of one version, and what happened to the model's aliases.

use std::process::ExitCode;

use clap::Args;
use planner::names::ModelName;
use planner::shown::escape;
use registry::metadata::{Fit, Imported, Labels, Signature, Source, VersionMetadata};
use registry::{Reference, Store};

use super::{StoreArguments, describe, models, tracks};
use crate::answers::ShowAnswer;
use crate::arguments::OutputArguments;
use crate::commands::up::banner::{body, curl};
use crate::failure::Failure;
use crate::listeners::InferenceAddress;
use crate::terminal::{Terminal, table};

/// How many lines of the model's history are shown.
const HISTORY_LENGTH: usize = 10;

/// How many classes are named.
const CLASSES_SHOWN: usize = 50;

/// Flags of `aurora model show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The model
    model: ModelName,
    /// Which version: stable, canary, a version or a digest
    #[arg(default_value = "stable")]
    reference: Reference,
    #[command(flatten)]
    inference: InferenceAddress,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &ShowArguments) -> Result<ExitCode, Failure> {
    let store = arguments.store.open()?;
    let model = &arguments.model;
    models(&store, Some(model))?;
    let entry = store.resolve(model, &arguments.reference)?;
    let aliases = tracks(&store, model, &entry.version)?;
    let said = store.description(model, &entry.version)?;
    let signatures: Vec<String> = store.signatures(model, &entry.version)?.into_keys().collect();
    let url = format!("http://{}", arguments.inference.reached_at());
    let track = aliases.first().copied();
    let curl = track.map(|track| curl(&url, model, track, &body(&entry)));
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&ShowAnswer {
            aliases: &aliases,
            dir: &entry.dir.to_string_lossy(),
            metadata: &entry.metadata,
            description: &said,
            signatures,
            curl: curl.as_deref(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = facts(&entry.metadata);
    rows.splice(2..2, describe::rows(&said));
    let aliases: Vec<_> = aliases.iter().map(|track| track.as_str()).collect();
    rows.insert(2, ["alias".to_owned(), aliases.join(", ")]);
    let signed: Vec<_> = signatures
        .iter()
        .map(|key| escape(key.get(..12).unwrap_or(key)))
        .collect();
    rows.push(["signed by".to_owned(), signed.join(", ")]);
    rows.push(["files".to_owned(), entry.dir.display().to_string()]);
    rows.push(["try".to_owned(), curl.unwrap_or_default()]);
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|[_name, value]| !value.is_empty())
        .map(|row| row.to_vec())
        .collect();
    terminal.lines(table(&rows))?;
    let history = history(&store, model)?;
    if history.len() > 1 {
        terminal.line("")?;
        terminal.lines(table(&history))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how a fit went; empty where there is nothing to tell.
fn how_it_went(fit: &Fit) -> String {
    let Fit {
        iterations,
        gradient_norm,
        loss,
        warnings,
        reported,
    } = fit;
    let steps = iterations.map(|iterations| format!("optimum after {iterations} iterations"));
    let gradient = gradient_norm.map(|norm| format!("gradient {norm:.1e}"));
    let loss = loss.first().zip(loss.last());
    let loss = loss.map(|(first, last)| format!("loss {first:.4} to {last:.4}"));
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    // Words of a program that is not ours.
    let reported = reported
        .iter()
        .map(|(name, value)| format!("{} {value:.4} as it says itself", escape(name)));
    let said = steps.into_iter().chain(gradient).chain(loss);
    let said = said.chain(warnings).chain(reported);
    let said: Vec<String> = said.collect();
    said.join(", ")
}

/// Says what is predicted, and in which unit.
fn target(signature: &Signature) -> String {
    let column = signature
        .target_column
        .as_deref()
        .map(|column| format!("column {}", escape(column)));
    let what = match signature.labels.len() {
        0 => "a number".to_owned(),
        count => format!("one of {count} classes"),
    };
    let divided = signature.target_divide_by.map(|by| format!("divided by {by}"));
    let unit = signature
        .target_unit
        .as_deref()
        .map(|unit| format!("in {}", escape(unit)));
    let said: Vec<String> = std::iter::once(what)
        .chain(column)
        .chain(divided)
        .chain(unit)
        .collect();
    said.join(", ")
}

/// Lists the first classes, and counts the rest.
fn classes(labels: &Labels) -> String {
    let named: Vec<String> = match labels {
        Labels::Numbers(numbers) => numbers
            .iter()
            .take(CLASSES_SHOWN)
            .map(ToString::to_string)
            .collect(),
        Labels::Words(words) => words
            .iter()
            .take(CLASSES_SHOWN)
            .map(|word| escape(word).into_owned())
            .collect(),
    };
    match labels.len() - named.len() {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// Says what a model was made of elsewhere, and who signed it there.
fn source(source: &Source) -> String {
    let Source {
        uri,
        digest,
        files,
        signer,
    } = source;
    let beside = files.iter().map(|(name, digest)| format!(", {name} ({digest})"));
    let signed = signer.as_ref().map(|key| {
        let key = escape(key.get(..12).unwrap_or(key));
        format!(", signed by the key {key}")
    });
    format!(
        "{uri} ({digest}){}{}",
        beside.collect::<String>(),
        signed.unwrap_or_default()
    )
}

fn facts(metadata: &VersionMetadata) -> Vec<[String; 2]> {
    let VersionMetadata {
        model_name,
        version,
        framework,
        algorithm,
        trained_at,
        features: _,
        metric: _,
        artifact,
        engine,
        inputs_hash,
        signature,
        metrics,
        baseline,
        dataset,
        hyperparameters,
        fit,
        seed,
        lineage,
        reference: _,
        example: _,
    } = metadata;
    let values = |values: &std::collections::BTreeMap<String, f64>| {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        values.join(", ")
    };
    let settings: Vec<_> = hyperparameters
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let features: Vec<_> = signature
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    vec![
        ["model".to_owned(), model_name.to_string()],
        ["version".to_owned(), version.to_string()],
        [
            "digest".to_owned(),
            format!("{} ({} bytes)", artifact.digest, artifact.bytes),
        ],
        [
            "algorithm".to_owned(),
            match seed {
                Some(seed) => format!("{algorithm} ({framework}), seed {seed}"),
                None => format!("{algorithm} ({framework})"),
            },
        ],
        [
            "engine".to_owned(),
            if engine.is_own() {
                String::new()
            } else {
                engine.to_string()
            },
        ],
        ["settings".to_owned(), settings.join(", ")],
        ["fit".to_owned(), how_it_went(fit)],
        [
            "holdout".to_owned(),
            metrics.as_ref().map_or("not evaluated".to_owned(), |metrics| {
                let attested = lineage
                    .holdout
                    .map_or_else(String::new, |word| format!(", {}", word.as_str()));
                format!(
                    "{} ({} rows{attested})",
                    values(&metrics.values),
                    metrics.holdout_rows
                )
            }),
        ],
        [
            "baseline".to_owned(),
            baseline
                .as_ref()
                .map(|baseline| {
                    format!(
                        "{} on the same rows: {}",
                        baseline.version,
                        values(&baseline.values)
                    )
                })
                .unwrap_or_default(),
        ],
        [
            "data".to_owned(),
            dataset.as_ref().map_or_else(String::new, |dataset| {
                format!("{} ({} rows, {})", dataset.uri, dataset.rows, dataset.digest)
            }),
        ],
        ["features".to_owned(), features.join(", ")],
        ["target".to_owned(), target(signature)],
        ["classes".to_owned(), classes(&signature.labels)],
        [
            "trained".to_owned(),
            format!("{} by {}", trained_at.format("%F %T UTC"), lineage.trainer),
        ],
        [
            "revision".to_owned(),
            lineage
                .revision
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ],
        [
            "imported".to_owned(),
            lineage
                .imported
                .as_ref()
                .map(|Imported { from, at, revision }| {
                    format!("from {from} at {}, pinned by {revision}", at.format("%F %T UTC"))
                })
                .unwrap_or_default(),
        ],
        [
            "source".to_owned(),
            lineage.source.as_ref().map(source).unwrap_or_default(),
        ],
        [
            "job".to_owned(),
            lineage.job.as_ref().map(ToString::to_string).unwrap_or_default(),
        ],
        [
            "inputs".to_owned(),
            inputs_hash.map(|hash| hash.to_string()).unwrap_or_default(),
        ],
    ]
}

fn history(store: &Store, model: &ModelName) -> Result<Vec<Vec<String>>, Failure> {
    let entries = store.history(model, HISTORY_LENGTH)?;
    let mut rows = vec![
        ["at", "alias", "event", "from", "to", "revision", "by", "reason"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for entry in &entries {
        let event = serde_json::to_value(entry.event)?;
        rows.push(vec![
            entry.at.format("%F %T").to_string(),
            entry.alias.to_string(),
            event.as_str().unwrap_or_default().to_owned(),
            entry.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            entry.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            entry
                .revision
                .as_ref()
                .map(|revision| revision.short().to_owned())
                .unwrap_or_default(),
            entry.actor.clone(),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_predicted_is_said_of_regressions_and_of_classifiers() {
        let words = |words: &[&str]| Labels::Words(words.iter().map(|word| (*word).to_owned()).collect());
        let many = Labels::Numbers((0..60).collect());
        for (labels, column, divided, unit, expected, named) in [
            (
                Labels::Numbers(vec![]),
                Some("price"),
                Some(1000.0),
                Some("1,000 USD"),
                "a number, column price, divided by 1000, in 1,000 USD",
                "",
            ),
            (
                Labels::Numbers(vec![]),
                Some("quality"),
                None,
                None,
                "a number, column quality",
                "",
            ),
            // Recorded before columns were.
            (Labels::Numbers(vec![]), None, None, None, "a number", ""),
            (
                Labels::Numbers(vec![-1, 1]),
                Some("sign"),
                None,
                None,
                "one of 2 classes, column sign",
                "-1, 1",
            ),
            (
                words(&["setosa", "a\nb"]),
                Some("species"),
                None,
                None,
                "one of 2 classes, column species",
                "setosa, a\\nb",
            ),
            (
                many,
                Some("digit"),
                None,
                None,
                "one of 60 classes, column digit",
                "48, 49, and 10 more",
            ),
        ] {
            let signature = Signature {
                inputs: vec![],
                outputs: vec![],
                features: vec![],
                labels,
                target_column: column.map(str::to_owned),
                target_divide_by: divided,
                target_unit: unit.map(str::to_owned),
                missing_values: false,
                roles: registry::metadata::Roles::default(),
            };
            assert_eq!(target(&signature), expected);
            let classes = classes(&signature.labels);
            assert!(classes.ends_with(named), "{classes}");
            assert_eq!(classes.is_empty(), named.is_empty());
        }
    }
}
