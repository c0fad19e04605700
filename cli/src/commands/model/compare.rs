//! `aurora model compare`: how two versions differ, before anybody lets one take the other's place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use planner::names::ModelName;
use planner::signature::{Compatibility, compare};
use registry::artifact::{Inputs, Model};
use registry::metadata::{Attestation, VersionMetadata};
use serde_json::{Value, json};
use trainer::comparison::{Comparing, Comparison, Said};
use trainer::scoring::{columns, each_batch};

use super::{StoreArguments, Typed, models};
use crate::answers::{CompareAnswer, ComparedAnswer, DifferenceAnswer, PartAnswer, WorstAnswer};
use crate::arguments::{OnnxRuntimeArguments, OutputArguments};
use crate::commands::predict::{Speaker, bar};
use crate::failure::{Context as _, Failure};
use crate::terminal::{Line, Terminal, table};

/// For how long the speed of a row is looked at.
const TIMED: Duration = Duration::from_millis(100);

/// Flags of `aurora model compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The model
    model: ModelName,
    /// The version that is compared with: stable, canary, a version or a digest
    #[arg(default_value = "stable")]
    old: Typed,
    /// The other one
    #[arg(default_value = "canary")]
    new: Typed,
    /// Rows for which both say what they predict: a CSV file whose header names the raw columns. Where it has the target too,
    /// both are measured on it
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,
    /// A column of it by which the differences are told apart
    #[arg(long, value_name = "COLUMN", requires = "data")]
    by: Option<String>,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &CompareArguments) -> Result<ExitCode, Failure> {
    let store = arguments.store.open()?;
    let model = &arguments.model;
    models(&store, Some(model))?;
    let engines = arguments.onnx_runtime.engines();
    let speakers = [
        Speaker::load(&store, model, &arguments.old, &engines)?,
        Speaker::load(&store, model, &arguments.new, &engines)?,
    ];
    let [old, new] = speakers.each_ref().map(|speaker| &speaker.entry.metadata);
    let signature = compare(&old.facts().signature, &new.facts().signature);
    let recorded = recorded(old, new);
    let terminal = Terminal::new(arguments.output.output);
    let predictions = match &arguments.data {
        None => None,
        Some(file) => Some(differences(arguments, file, &speakers, terminal)?),
    };
    let answer = CompareAnswer {
        model: model.clone(),
        versions: speakers.each_ref().map(|speaker| ComparedAnswer {
            reference: speaker.asked.clone(),
            version: speaker.entry.version.clone(),
            digest: speaker.entry.digest,
            bytes: speaker.entry.metadata.artifact.bytes,
            holdout: speaker.entry.metadata.lineage.holdout,
            row_microseconds: speed(&speaker.model, &speaker.entry.metadata),
        }),
        signature: signature.as_str(),
        signature_differences: match signature {
            Compatibility::Same => Vec::new(),
            Compatibility::Additive(what) | Compatibility::Breaking(what) => what,
        },
        recorded: recorded.clone().ok(),
        recorded_unknown: recorded.err(),
        predictions,
    };
    if terminal.is_json() {
        terminal.document(&answer)?;
    } else {
        terminal.lines(lines(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what both reached on one holdout when they were published, or why that is not known.
fn recorded(old: &VersionMetadata, new: &VersionMetadata) -> Result<BTreeMap<String, [f64; 2]>, String> {
    let not_evaluated = |record: &VersionMetadata| format!("{} was not evaluated", record.version);
    let ours = new.metrics.as_ref().ok_or_else(|| not_evaluated(new))?;
    let baseline = new.baseline.as_ref();
    if let Some(baseline) = baseline.filter(|baseline| baseline.digest == old.artifact.digest) {
        return Ok(both(&baseline.values, &ours.values));
    }
    let theirs = old.metrics.as_ref().ok_or_else(|| not_evaluated(old))?;
    if theirs.holdout_digest != ours.holdout_digest {
        return Err("they were measured on different holdouts".to_owned());
    }
    Ok(both(&theirs.values, &ours.values))
}

fn both(old: &BTreeMap<String, f64>, new: &BTreeMap<String, f64>) -> BTreeMap<String, [f64; 2]> {
    let pairs = new.iter();
    pairs
        .filter_map(|(name, after)| Some((name.clone(), [*old.get(name)?, *after])))
        .collect()
}

/// Lets both predict the rows of a file.
fn differences(
    arguments: &CompareArguments,
    file: &std::path::Path,
    speakers: &[Speaker; 2],
    terminal: Terminal,
) -> Result<DifferenceAnswer, Failure> {
    let called = file.display().to_string();
    let failed = |error: &dyn std::error::Error| Failure::of(error);
    let has = columns(file, &called).map_err(|error| failed(&error))?;
    let signature = speakers[1].model.signature();
    let target = signature
        .target_column
        .as_ref()
        .filter(|target| has.contains(target));
    let models = [&speakers[0].model, &speakers[1].model];
    let answer = target.map(|_| signature.target_divide_by);
    let comparing = Comparing::new(models, arguments.by.is_some(), answer);
    let mut comparing = comparing.map_err(|why| {
        Failure::new(format!(
            "{} and {} cannot be compared row by row: {why}",
            speakers[0].entry.version, speakers[1].entry.version
        ))
        .hint("leave out --data: what goes in and comes out is compared without")
    })?;
    let beside: Vec<String> = arguments.by.iter().chain(target).cloned().collect();
    let bar = bar(terminal, file);
    let mut added = Ok(());
    let read = each_batch(file, &called, &models, &beside, &mut |batch| {
        bar.set_position(batch.bytes);
        if added.is_ok() {
            added = comparing.add(batch);
        }
    });
    bar.finish_and_clear();
    added.map_err(|error| failed(&error))?;
    read.map_err(|error| failed(&error))
        .hint(|| "`aurora model show MODEL` names the columns that it takes".to_owned())?;
    Ok(told(called, comparing.finish()))
}

fn told(file: String, found: Comparison) -> DifferenceAnswer {
    let said = |said: &Said| match said {
        Said::Number(number) => json!(number),
        Said::Class(class) => json!(class),
    };
    DifferenceAnswer {
        file,
        rows: found.rows,
        mean: found.difference.mean,
        p50: found.difference.p50,
        p90: found.difference.p90,
        p99: found.difference.p99,
        max: found.difference.max,
        shift: found.shift,
        changed: found.changed,
        worst: found
            .worst
            .iter()
            .map(|row| WorstAnswer {
                line: row.line,
                said: row.said.each_ref().map(said),
                difference: row.difference,
            })
            .collect(),
        parts: found
            .parts
            .into_iter()
            .map(|part| PartAnswer {
                name: part.name,
                rows: part.rows,
                mean: part.mean,
                max: part.max,
            })
            .collect(),
        answered: found.measured.as_ref().map_or(0, |(rows, _)| *rows),
        reached: found.measured.map(|(_, [old, new])| both(&old, &new)),
    }
}

/// Returns what one row takes, in microseconds: the median of as many as there is time for.
fn speed(model: &Model, metadata: &VersionMetadata) -> f64 {
    let Inputs { buffers, mut symbols } = model
        .inputs(&metadata.example.inputs)
        .expect("invariant: what was loaded has predicted its example");
    let began = Instant::now();
    let mut taken = Vec::new();
    while began.elapsed() < TIMED || taken.len() < 10 {
        let start = Instant::now();
        drop(std::hint::black_box(model.answer(&buffers, 1, &mut symbols)));
        taken.push(start.elapsed());
    }
    taken.sort_unstable();
    taken[taken.len() / 2].as_secs_f64() * 1e6
}

fn lines(answer: &CompareAnswer) -> Vec<Line> {
    let [old, new] = &answer.versions;
    let mut rows = vec![
        [String::new(), old.reference.clone(), new.reference.clone()],
        [
            "version".to_owned(),
            old.version.to_string(),
            new.version.to_string(),
        ],
        ["digest".to_owned(), old.digest.short(), new.digest.short()],
        ["bytes".to_owned(), old.bytes.to_string(), new.bytes.to_string()],
        [
            "a row".to_owned(),
            format!("{:.1} µs", old.row_microseconds),
            format!("{:.1} µs", new.row_microseconds),
        ],
    ];
    let pair = |name: &str, pair: &[f64; 2]| {
        let [old, new] = pair.map(|value| format!("{value:.4}"));
        [name.to_owned(), old, new]
    };
    if [old, new].iter().any(|version| version.holdout.is_some()) {
        let word = |version: &ComparedAnswer| version.holdout.map_or("-", Attestation::as_str).to_owned();
        rows.push(["holdout".to_owned(), word(old), word(new)]);
    }
    if let Some(recorded) = &answer.recorded {
        rows.extend(recorded.iter().map(|(name, values)| pair(name, values)));
    }
    let found = answer.predictions.as_ref();
    if let Some((found, reached)) = found.and_then(|found| Some((found, found.reached.as_ref()?))) {
        let measured = reached
            .iter()
            .map(|(name, values)| pair(&format!("{name} on {} rows", found.answered), values));
        rows.extend(measured);
    }
    let rows: Vec<_> = rows.into_iter().map(|row| row.to_vec()).collect();
    let mut lines: Vec<Line> = table(&rows).into_iter().collect();
    lines.push(Line::default());
    lines.push(match answer.signature {
        "same" => "signature: same".into(),
        other => format!("signature: {other}: {}", answer.signature_differences.join("; ")).into(),
    });
    if let Some(why) = &answer.recorded_unknown {
        lines.push(format!("metrics: not comparable: {why}").into());
    }
    if let Some(found) = found {
        lines.extend(of_predictions(found));
    }
    lines
}

fn of_predictions(found: &DifferenceAnswer) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![
        format!(
            "predictions of {} rows of {} differ by {:.4} in the mean, {:.4} in the median, {:.4} at 99 %, at most {:.4}",
            found.rows, found.file, found.mean, found.p50, found.p99, found.max
        )
        .into(),
    ];
    if let Some(shift) = found.shift {
        lines.push(format!("shift: {shift:+.4} in the mean").into());
    }
    if let Some(changed) = found.changed {
        lines.push(format!("{changed} rows get another class").into());
    }
    if !found.worst.is_empty() {
        let mut rows = vec![["line", "old", "new", "difference"].map(str::to_owned).to_vec()];
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        rows.extend(found.worst.iter().map(|row| {
            let [old, new] = row.said.each_ref().map(text);
            vec![row.line.to_string(), old, new, format!("{:.4}", row.difference)]
        }));
        lines.push(Line::default());
        lines.extend(table(&rows));
    }
    if !found.parts.is_empty() {
        let mut rows = vec![["part", "rows", "mean", "at most"].map(str::to_owned).to_vec()];
        rows.extend(found.parts.iter().map(|part| {
            vec![
                part.name.clone(),
                part.rows.to_string(),
                format!("{:.4}", part.mean),
                format!("{:.4}", part.max),
            ]
        }));
        lines.push(Line::default());
        lines.extend(table(&rows));
    }
    lines
}
