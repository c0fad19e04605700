//! MLTrainingJob ↔ [`Training`].

use std::collections::BTreeMap;

use planner::names::{Digest, Malformed};
use planner::schedule::{Schedule, ScheduleText, is_zone, zone_names};
use planner::training::{
    Algorithm, Command, Container, DataSource, Dataset, Derivation, Evaluation, Feature, Fit, Holdout,
    Import, ImportSource, Outputs, Rows, RunPolicy, Scheme, Target, Told, Training,
};

use super::{Problem, dataset, pod};
use crate::rules;
use crate::{
    ContainerSpec, DatasetSpec, EvaluationSpec, FeatureSpec, HoldoutSpec, ImportSpec, MLTrainingJob,
    MLTrainingJobSpec, OutputsSpec, ScheduleSpec, TargetSpec,
};

/// Says whether a time zone that is not compiled in is known besides, e.g. to the system.
pub type KnowsZone<'a> = &'a dyn Fn(&str) -> bool;

/// Returns what an MLTrainingJob says.
///
/// # Errors
///
/// All that is wrong beyond the schema: cron and time zone, paths, features, hyperparameters.
pub fn training(job: &MLTrainingJob, knows: KnowsZone<'_>) -> Result<Training, Vec<Problem>> {
    let mut problems = Vec::new();
    let training = read(job, &mut problems, |spec| schedule(spec, knows));
    training.filter(|_| problems.is_empty()).ok_or(problems)
}

/// Returns what an MLTrainingJob says that was accepted once: what has been refused since is no reason to lose its runs.
///
/// # Errors
///
/// All that cannot be understood.
pub fn accepted_training(job: &MLTrainingJob) -> Result<Training, Vec<Problem>> {
    let mut problems = Vec::new();
    read(job, &mut problems, accepted_schedule).ok_or(problems)
}

/// Reads what can be understood, and tells what is wrong with it.
fn read(
    job: &MLTrainingJob,
    problems: &mut Vec<Problem>,
    schedule: impl FnOnce(&ScheduleSpec) -> Result<RunPolicy, Problem>,
) -> Option<Training> {
    let MLTrainingJobSpec {
        model_name,
        version,
        schedule: of_job,
        dataset,
        algorithm,
        container,
        command,
        files,
        import,
        engine,
        hyperparameters,
        seed,
        evaluation,
        active_deadline_seconds,
        suspend,
        pod,
    } = &job.spec;
    let runs = match (version, of_job) {
        (_, Some(of_job)) => keep(problems, schedule(of_job)),
        (Some(version), None) => Some(RunPolicy::Fixed(version.clone())),
        (None, None) => Some(RunPolicy::PerInputs),
    };
    let rows = match (dataset, evaluation) {
        (Some(dataset), Some(evaluation)) => rows(dataset, evaluation, problems).map(Some),
        (None, None) if import.is_some() => Some(None),
        (None, None) => keep(problems, Err(rules::ROWS_OF_FIT.problem("spec"))),
        (Some(_), None) | (None, Some(_)) => keep(problems, Err(rules::EVALUATION_OF_ROWS.problem("spec"))),
    };
    let made = Made {
        algorithm: *algorithm,
        container: container.as_ref(),
        command,
        files,
        import: import.as_ref(),
    };
    let fit = keep(problems, made.fit());
    if algorithm.is_some() && !engine.is_own() {
        problems.push(rules::ENGINE_OF_FIT.problem("spec"));
    }
    if let Some(algorithm) = algorithm {
        problems.extend(hyperparameter_problems(*algorithm, hyperparameters));
    }
    Some(Training {
        model: model_name.clone(),
        runs: runs?,
        rows: rows?,
        fit: fit?,
        engine: *engine,
        hyperparameters: hyperparameters.clone(),
        seed: *seed,
        active_deadline_seconds: *active_deadline_seconds,
        suspend: *suspend,
        pod: pod::pod(pod.as_ref()),
    })
}

fn rows(dataset: &DatasetSpec, evaluation: &EvaluationSpec, problems: &mut Vec<Problem>) -> Option<Rows> {
    let source = keep(problems, dataset::parse(&dataset.uri, "spec.dataset"));
    let sha256 = keep(problems, digest(dataset.sha256.as_deref(), "spec.dataset.sha256"));
    let features = keep_all(problems, features(&dataset.features));
    let evaluation = keep(problems, self::evaluation(evaluation));
    Some(Rows {
        dataset: Dataset {
            source: source?,
            sha256: sha256?,
            features: features?,
            exclude: dataset.exclude.clone(),
            target: dataset.target.as_ref().map(target),
        },
        evaluation: evaluation?,
    })
}

fn keep<T>(problems: &mut Vec<Problem>, result: Result<T, Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn keep_all<T>(problems: &mut Vec<Problem>, result: Result<T, Vec<Problem>>) -> Option<T> {
    result.map_err(|more| problems.extend(more)).ok()
}

/// What a job says of what makes its model.
struct Made<'a> {
    algorithm: Option<Algorithm>,
    container: Option<&'a ContainerSpec>,
    command: &'a [String],
    files: &'a [String],
    import: Option<&'a ImportSpec>,
}

impl Made<'_> {
    fn fit(&self) -> Result<Fit, Problem> {
        let Self {
            algorithm,
            container,
            command,
            files,
            import,
        } = self;
        if command.is_empty() && !files.is_empty() {
            return Err(rules::FILES_OF_COMMAND.problem("spec"));
        }
        match (algorithm, container, command, import) {
            (Some(algorithm), None, [], None) => Ok(Fit::Algorithm(*algorithm)),
            (None, Some(ContainerSpec { image, command, args }), [], None) => {
                Ok(Fit::Container(Box::new(Container {
                    image: image.clone(),
                    command: command.clone(),
                    args: args.clone(),
                })))
            }
            (None, None, [_, ..], None) => {
                let files = files.iter().map(|file| file.parse());
                Ok(Fit::Command(Box::new(Command {
                    argv: command.to_vec(),
                    files: files
                        .collect::<Result<_, _>>()
                        .map_err(|_malformed: Malformed| rules::PARTS_OF_FILES.problem("spec"))?,
                })))
            }
            (None, None, [], Some(import)) => Ok(Fit::Import(Box::new(self::import(import)?))),
            _ => Err(rules::ONE_FIT.problem("spec")),
        }
    }
}

fn import(spec: &ImportSpec) -> Result<Import, Problem> {
    let ImportSpec {
        uri,
        digest,
        files,
        signature,
        features,
        labels,
        outputs,
    } = spec;
    let files = files.iter().map(|(name, digest)| {
        let name = name.parse();
        let name = name.map_err(|_malformed| rules::IMPORT_FILES.problem("spec.import"));
        Ok((name?, *digest))
    });
    let outputs = match outputs {
        None => Outputs::default(),
        Some(OutputsSpec {
            prediction,
            label,
            probabilities,
        }) => Outputs {
            prediction: prediction.clone(),
            label: label.clone(),
            probabilities: probabilities.clone(),
        },
    };
    Ok(Import {
        source: import_source(uri)?,
        digest: *digest,
        files: files.collect::<Result<_, Problem>>()?,
        signature: signature
            .as_ref()
            .map(|text| text.parse())
            .transpose()
            .map_err(|_malformed: Malformed| rules::IMPORT_SIGNATURE.problem("spec.import"))?,
        told: Told {
            features: features.clone(),
            labels: labels.clone(),
            outputs,
        },
    })
}

fn import_source(uri: &str) -> Result<ImportSource, Problem> {
    if Scheme::ALL
        .iter()
        .any(|scheme| uri.starts_with(&format!("{}://", scheme.as_str())))
    {
        let address = uri.parse();
        return address
            .map(ImportSource::Elsewhere)
            .map_err(|_malformed| rules::IMPORT_ADDRESS.problem("spec.import"));
    }
    match dataset::path(uri, &dataset::IMPORT, "spec.import")? {
        DataSource::Committed(path) => Ok(ImportSource::Committed(path)),
        DataSource::Absolute(_) | DataSource::Builtin(_) | DataSource::Synthetic(_) => {
            Err(rules::IMPORT_KIND.problem("spec.import"))
        }
    }
}

fn schedule(spec: &ScheduleSpec, knows: KnowsZone<'_>) -> Result<RunPolicy, Problem> {
    let zone = &spec.time_zone;
    if !is_zone(zone) && !knows(zone) {
        return Err(no_zone(zone, "spec.schedule.timeZone"));
    }
    written(spec, Schedule::check_dates)
}

/// Says that there is no such time zone.
pub(super) fn no_zone(zone: &str, field: &str) -> Problem {
    let hint = match crate::parse::nearest(zone, zone_names()) {
        Some(near) => format!("did you mean {near}?"),
        None => "write an IANA time zone, e.g. Europe/Paris".to_owned(),
    };
    Problem::new(field, format!("{zone:?} is no IANA time zone"), hint)
}

fn accepted_schedule(spec: &ScheduleSpec) -> Result<RunPolicy, Problem> {
    written(spec, |_schedule| Ok(()))
}

fn written(
    spec: &ScheduleSpec,
    check: impl FnOnce(&Schedule) -> Result<(), Malformed>,
) -> Result<RunPolicy, Problem> {
    let ScheduleSpec {
        cron,
        time_zone,
        starting_deadline_seconds,
        concurrency_policy,
    } = spec;
    let text = ScheduleText {
        cron: cron.clone(),
        time_zone: time_zone.clone(),
    };
    let schedule = Schedule::accepted(text)
        .and_then(|schedule| check(&schedule).map(|()| schedule))
        .map_err(|malformed| {
            Problem::new(
                "spec.schedule.cron",
                malformed.to_string(),
                "write minute, hour, day of month, month and weekday, e.g. \"0 3 * * SUN\"",
            )
        })?;
    Ok(RunPolicy::Scheduled {
        schedule,
        starting_deadline_seconds: *starting_deadline_seconds,
        concurrency: *concurrency_policy,
    })
}

fn digest(text: Option<&str>, field: &str) -> Result<Option<Digest>, Problem> {
    text.map(Digest::from_hex).transpose().map_err(|malformed| {
        Problem::new(
            field,
            malformed.to_string(),
            "write the output of `sha256sum FILE`",
        )
    })
}

fn features(specs: &[FeatureSpec]) -> Result<Vec<Feature>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut features: Vec<Feature> = Vec::with_capacity(specs.len());
    for (index, FeatureSpec { name, column, ratio }) in specs.iter().enumerate() {
        let field = format!("spec.dataset.features[{index}]");
        let derivation = match (column, ratio.as_deref()) {
            (Some(column), None) => Derivation::Column(column.clone()),
            (None, Some([numerator, denominator])) => {
                Derivation::Ratio([numerator.clone(), denominator.clone()])
            }
            _ => {
                problems.push(Problem::new(
                    field,
                    "a feature is either a `column` or a `ratio` of two",
                    "",
                ));
                continue;
            }
        };
        features.push(Feature {
            name: name.clone(),
            derivation,
        });
    }
    if problems.is_empty() {
        Ok(features)
    } else {
        Err(problems)
    }
}

fn target(spec: &TargetSpec) -> Target {
    let TargetSpec {
        column,
        divide_by,
        unit,
    } = spec.clone();
    Target {
        column,
        divide_by,
        unit,
    }
}

fn evaluation(spec: &EvaluationSpec) -> Result<Evaluation, Problem> {
    let EvaluationSpec {
        metric,
        minimum,
        maximum,
        holdout,
    } = spec;
    let bound = if metric.larger_is_better() {
        minimum
    } else {
        maximum
    };
    Ok(Evaluation {
        metric: *metric,
        bound: *bound,
        holdout: self::holdout(holdout)?,
    })
}

fn holdout(spec: &HoldoutSpec) -> Result<Holdout, Problem> {
    let HoldoutSpec {
        percent,
        seed,
        file,
        sha256,
    } = spec;
    match (percent, file) {
        (Some(percent), None) => Ok(Holdout::Percent {
            percent: *percent,
            seed: seed.unwrap_or(0),
        }),
        (None, Some(file)) => Ok(Holdout::File {
            source: dataset::path(file, &dataset::HOLDOUT, "spec.evaluation.holdout")?,
            sha256: digest(sha256.as_deref(), "spec.evaluation.holdout.sha256")?,
        }),
        _ => Err(Problem::new(
            "spec.evaluation.holdout",
            "a holdout is either a `percent` of the rows or a `file`",
            "",
        )),
    }
}

fn hyperparameter_problems(algorithm: Algorithm, given: &BTreeMap<String, f64>) -> Vec<Problem> {
    given
        .iter()
        .filter_map(|(name, value)| {
            let field = format!("spec.hyperparameters.{name}");
            let known = algorithm.hyperparameters();
            let Some(hyperparameter) = known.iter().find(|known| known.name == name) else {
                let hint = match crate::parse::nearest(name, known.iter().map(|known| known.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "remove it".to_owned(),
                    None => {
                        let names: Vec<_> = known.iter().map(|known| known.name).collect();
                        format!("it has: {}", names.join(", "))
                    }
                };
                let message = format!("{} has no such hyperparameter", algorithm.as_str());
                return Some(Problem::new(field, message, hint));
            };
            (!hyperparameter.allows(*value)).then(|| {
                Problem::new(
                    field,
                    format!("{value} is not {}", hyperparameter.expected()),
                    format!("without it, {} is taken", hyperparameter.default),
                )
            })
        })
        .collect()
}

/// Returns a training job in its wire form.
pub(super) fn training_spec(training: &Training) -> MLTrainingJobSpec {
    let Training {
        model,
        runs,
        rows,
        fit,
        engine,
        hyperparameters,
        seed,
        active_deadline_seconds,
        suspend,
        pod,
    } = training;
    let algorithm = fit.algorithm();
    let import = fit.import().map(import_spec);
    let container = match fit {
        Fit::Container(container) => Some(container_spec(container)),
        Fit::Algorithm(_) | Fit::Command(_) | Fit::Import(_) => None,
    };
    let (command, files) = match fit.command() {
        Some(Command { argv, files }) => (argv.clone(), files.iter().map(ToString::to_string).collect()),
        None => (Vec::new(), Vec::new()),
    };
    let (version, schedule) = match runs {
        RunPolicy::Fixed(version) => (Some(version.clone()), None),
        RunPolicy::PerInputs => (None, None),
        RunPolicy::Scheduled {
            schedule,
            starting_deadline_seconds,
            concurrency,
        } => {
            let ScheduleText { cron, time_zone } = schedule.clone().into();
            let schedule = ScheduleSpec {
                cron,
                time_zone,
                starting_deadline_seconds: *starting_deadline_seconds,
                concurrency_policy: *concurrency,
            };
            (None, Some(schedule))
        }
    };
    MLTrainingJobSpec {
        model_name: model.clone(),
        version,
        schedule,
        dataset: rows.as_ref().map(|rows| dataset_spec(&rows.dataset)),
        algorithm,
        container,
        command,
        files,
        import,
        engine: *engine,
        hyperparameters: hyperparameters.clone(),
        seed: *seed,
        evaluation: rows.as_ref().map(|rows| evaluation_spec(&rows.evaluation)),
        active_deadline_seconds: *active_deadline_seconds,
        suspend: *suspend,
        pod: pod::pod_spec(pod.as_deref()),
    }
}

fn container_spec(container: &Container) -> ContainerSpec {
    let Container { image, command, args } = container.clone();
    ContainerSpec { image, command, args }
}

fn dataset_spec(dataset: &Dataset) -> DatasetSpec {
    let Dataset {
        source,
        sha256,
        features,
        exclude,
        target,
    } = dataset;
    DatasetSpec {
        uri: dataset::uri(source),
        sha256: sha256.map(|digest| digest.hex()),
        features: features.iter().map(feature_spec).collect(),
        exclude: exclude.clone(),
        target: target.as_ref().map(target_spec),
    }
}

fn import_spec(import: &Import) -> ImportSpec {
    let Import {
        source,
        digest,
        files,
        signature,
        told: Told {
            features,
            labels,
            outputs,
        },
    } = import;
    let is_told = *outputs != Outputs::default();
    let Outputs {
        prediction,
        label,
        probabilities,
    } = outputs.clone();
    ImportSpec {
        uri: source.to_string(),
        digest: *digest,
        files: files
            .iter()
            .map(|(name, digest)| (name.to_string(), *digest))
            .collect(),
        signature: signature.as_ref().map(ToString::to_string),
        features: features.clone(),
        labels: labels.clone(),
        outputs: is_told.then_some(OutputsSpec {
            prediction,
            label,
            probabilities,
        }),
    }
}

fn feature_spec(Feature { name, derivation }: &Feature) -> FeatureSpec {
    let (column, ratio) = match derivation {
        Derivation::Column(column) => (Some(column.clone()), None),
        Derivation::Ratio(columns) => (None, Some(columns.to_vec())),
    };
    FeatureSpec {
        name: name.clone(),
        column,
        ratio,
    }
}

fn target_spec(target: &Target) -> TargetSpec {
    let Target {
        column,
        divide_by,
        unit,
    } = target.clone();
    TargetSpec {
        column,
        divide_by,
        unit,
    }
}

fn evaluation_spec(evaluation: &Evaluation) -> EvaluationSpec {
    let Evaluation {
        metric,
        bound,
        holdout,
    } = evaluation;
    let (minimum, maximum) = if metric.larger_is_better() {
        (*bound, None)
    } else {
        (None, *bound)
    };
    let none = HoldoutSpec {
        percent: None,
        seed: None,
        file: None,
        sha256: None,
    };
    let holdout = match holdout {
        Holdout::Percent { percent, seed } => HoldoutSpec {
            percent: Some(*percent),
            seed: Some(*seed),
            ..none
        },
        Holdout::File { source, sha256 } => HoldoutSpec {
            file: Some(dataset::uri(source)),
            sha256: sha256.map(|digest| digest.hex()),
            ..none
        },
    };
    EvaluationSpec {
        metric: *metric,
        minimum,
        maximum,
        holdout,
    }
}
