//! The files of a repository of one's own: pure, from what is known of a data file.

use std::fmt::Write as _;

use planner::names::{ModelName, Version};
use trainer::{ColumnProfile, Profile};

/// How many different whole numbers a target may have and still be taken for classes.
const CLASSES_MAX: usize = 10;
/// How many columns a message names.
const NAMED_MAX: usize = 20;

/// A file, its path from the repository's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StarterFile {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Whether it is left out where there is one.
    pub(crate) is_optional: bool,
}

impl StarterFile {
    /// Says whether it is run by its name.
    pub(crate) fn is_program(&self) -> bool {
        self.text.starts_with("#!")
    }
}

/// What a starter trains on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    /// A dataset that Aurora brings.
    Iris,
    /// A data file.
    File {
        /// Its name, below `data/` beside the manifest.
        name: &'a str,
        /// What its columns hold.
        profile: &'a Profile,
        /// The column that is predicted.
        target: &'a str,
    },
}

/// Why there is no job for a data file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoJob {
    pub(crate) problem: String,
    pub(crate) hint: String,
}

/// Returns all files of a starter but the data.
pub(crate) fn files(model: &ModelName, version: &Version, data: Data<'_>) -> Result<Vec<StarterFile>, NoJob> {
    let file = |path: &str, text: &str, is_optional| StarterFile {
        path: path.to_owned(),
        text: text.to_owned(),
        is_optional,
    };
    let manifests = manifests(model, version, data)?;
    // Something that makes another model: a seed alone need not.
    let other = if manifests.contains("gradient_boosting\n") {
        "{ learning_rate: 0.05 }"
    } else {
        "{ l2: 0.1 }"
    };
    let readme = README
        .replace("OTHER", other)
        .replace("MODEL", model.as_str())
        .replace("VERSION", &version.to_string());
    let manifest = format!("environments/dev/{model}.yaml");
    let mut files = vec![
        file("environments/dev/environment.yaml", ENVIRONMENT, false),
        file(&manifest, &manifests, false),
        file("schemas/aurora.schema.json", &crds::manifest_schema(), false),
    ];
    files.extend(GITHUB.map(|(path, text)| file(path, text, true)));
    files.push(file(".pre-commit-config.yaml", HOOK, true));
    files.push(file("README.md", &readme, true));
    Ok(files)
}

/// What GitHub needs, by the path that this repository has it at too. It does nothing before variables of the repository say
/// what it is for.
const GITHUB: [(&str, &str); 7] = [
    (
        ".github/actionlint.yaml",
        include_str!("../../.github/actionlint.yaml"),
    ),
    (
        ".github/actions/plan/action.yml",
        include_str!("../../.github/actions/plan/action.yml"),
    ),
    (
        ".github/actions/plan/plan.sh",
        include_str!("../../.github/actions/plan/plan.sh"),
    ),
    (
        ".github/runner/job-started",
        include_str!("../../.github/runner/job-started"),
    ),
    (
        ".github/workflows/apply.yml",
        include_str!("../../.github/workflows/apply.yml"),
    ),
    (
        ".github/workflows/plan.yml",
        include_str!("../../.github/workflows/plan.yml"),
    ),
    (
        ".github/workflows/train.yml",
        include_str!("../../.github/workflows/train.yml"),
    ),
];

const ENVIRONMENT: &str = "\
# yaml-language-server: $schema=../../schemas/aurora.schema.json
# What holds for every model of this folder. The name is the folder's name.
apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec:
  target: Standalone # one process trains and serves: `aurora up`
";

const HOOK: &str = "\
# `pre-commit install` lets each commit be checked before it is made.
repos:
  - repo: local
    hooks:
      - id: aurora-validate
        name: aurora validate
        entry: aurora validate --worktree
        language: system
        files: ^environments/
        pass_filenames: false
";

const README: &str = r#"# MODEL, served from Git

What is committed on this branch is what serves. `aurora up` trains what is missing, serves it, and follows each commit:

```console
$ aurora up
```

It prints a `curl` that asks the model. In a second terminal, train another version: add a job to
`environments/dev/MODEL.yaml` (a copy of the first one with another `name` and `version` and, say,
`hyperparameters: OTHER`), commit it, and let the version have a tenth of the traffic:

```console
$ aurora pin MODEL v20270101-000000 --track canary --weight 10 --branch main
```

Look at how both do (`aurora status`, `aurora model list`), then let the new one serve, or go back:

```console
$ aurora promote MODEL --branch main
$ aurora rollback MODEL --branch main
```

Without `--branch main` each of these makes a branch of its own, for a pull request.

## Pull requests on GitHub

The workflows show on a pull request what its merge would do, and follow a push until it is live. They do nothing before
somebody

1. sets up a self-hosted runner with the label `aurora`, which has `git`, `curl`, `python3` and `aurora`,
2. keeps forks off it: `.github/runner/job-started`, put where jobs cannot write, and named in the runner's `.env` file as
   `ACTIONS_RUNNER_HOOK_JOB_STARTED`,
3. sets the repository's variable `AURORA_ENVIRONMENTS` to `dev`.

Aurora's `docs/github.md` has the rest: which status to require, and the variables of what follows a push.

## What lies where

| file | what |
|---|---|
| `environments/dev/environment.yaml` | what holds for all models of this environment |
| `environments/dev/MODEL.yaml` | how VERSION is trained, and what serves |
| `.github/` | pull requests, pushes, and training by hand on GitHub |
| `schemas/aurora.schema.json` | lets editors complete and check manifests |
| `.pre-commit-config.yaml` | `aurora validate` before each commit |
| `.aurora/` | the running state; never committed |
"#;

/// Returns the job and the deployment of a model.
fn manifests(model: &ModelName, version: &Version, data: Data<'_>) -> Result<String, NoJob> {
    let job = match data {
        Data::Iris => IRIS.to_owned(),
        Data::File {
            name,
            profile,
            target,
        } => job(name, profile, target)?,
    };
    Ok(format!(
        "\
# yaml-language-server: $schema=../../schemas/aurora.schema.json
# How a version is trained. It is trained once, as soon as a commit says so.
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {model} }}
spec:
  modelName: {model}
  version: {version}
{job}---
# What serves.
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {model} }}
spec:
  modelName: {model}
  stable: {{ version: {version} }}
"
    ))
}

const IRIS: &str = "  \
  dataset: { uri: \"builtin:iris\" }
  algorithm: logistic_regression
  evaluation: { metric: accuracy, minimum: 0.9, holdout: { percent: 20, seed: 0 } }
";

/// Returns the rest of a job's spec.
fn job(name: &str, profile: &Profile, target: &str) -> Result<String, NoJob> {
    let column = named(profile, target)?;
    let is_classes = !column.is_number || (column.is_whole && column.distinct <= CLASSES_MAX);
    if column.distinct < 2 {
        return Err(NoJob {
            problem: format!("column {target} holds one value only: there is nothing to predict"),
            hint: "name another column with --target".to_owned(),
        });
    }
    let mut excluded = Vec::new();
    for other in profile.columns.iter().filter(|other| other.name != target) {
        if !other.is_number {
            excluded.push((other, "not all of its cells are numbers"));
        } else if other.distinct < 2 {
            excluded.push((other, "it holds one value only"));
        }
    }
    if excluded.len() + 1 == profile.columns.len() {
        return Err(NoJob {
            problem: format!(
                "no column but {target} holds numbers that differ: there is nothing to predict it from"
            ),
            hint: "features are columns of numbers; write others as numbers first".to_owned(),
        });
    }
    let mut text = format!("  dataset:\n    uri: {}\n", quoted(&format!("data/{name}")));
    let _infallible = writeln!(text, "    target: {{ column: {} }}", quoted(target));
    if !excluded.is_empty() {
        text += "    exclude: # every other column is a feature\n";
    }
    for (column, why) in excluded {
        let _infallible = writeln!(text, "      - {} # {why}", quoted(&column.name));
    }
    text += if is_classes {
        "  # The target's values are taken for classes; for numbers: gradient_boosting and the metric r2.\n  \
         algorithm: logistic_regression\n  \
         evaluation: { metric: accuracy, holdout: { percent: 20, seed: 0 } }\n"
    } else {
        "  algorithm: gradient_boosting\n  \
         evaluation: { metric: r2, holdout: { percent: 20, seed: 0 } }\n"
    };
    text += "  seed: 0\n";
    Ok(text)
}

/// Finds a column by its name.
fn named<'a>(profile: &'a Profile, name: &str) -> Result<&'a ColumnProfile, NoJob> {
    let mut columns = profile.columns.iter();
    columns.find(|column| column.name == name).ok_or_else(|| NoJob {
        problem: format!("the file has no column {name}"),
        hint: format!("its columns are {}", names(profile)),
    })
}

/// Names the columns of a file, some of many.
pub(crate) fn names(profile: &Profile) -> String {
    let named: Vec<&str> = profile
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .take(NAMED_MAX)
        .collect();
    let besides = profile.columns.len().saturating_sub(NAMED_MAX);
    let besides = if besides > 0 {
        format!(" and {besides} more")
    } else {
        String::new()
    };
    format!("{}{besides}", named.join(", "))
}

/// Writes any text as YAML: what JSON says.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use crds::parse::parse_file;

    use super::*;

    fn column(name: &str, kind: &str, distinct: usize) -> ColumnProfile {
        ColumnProfile {
            name: name.to_owned(),
            is_number: kind != "text",
            is_whole: kind == "whole",
            distinct,
        }
    }

    fn check(columns: &[ColumnProfile], target: &str, expected: Result<&[&str], &str>) {
        let profile = Profile {
            rows: 1_000,
            columns: columns.to_vec(),
        };
        let data = Data::File {
            name: "a \"b\".csv",
            profile: &profile,
            target,
        };
        let version: Version = "v20261101-120000".parse().unwrap();
        let made = files(&"wine".parse().unwrap(), &version, data).map_err(|no_job| no_job.problem);
        let made = made.map(|files| {
            for file in files.iter().filter(|file| file.path.starts_with("environments/")) {
                let parsed = parse_file(&file.path, file.text.as_bytes());
                assert_eq!(parsed.findings, [], "{}", file.text);
            }
            let manifest = files
                .iter()
                .find(|file| file.path.ends_with("wine.yaml"))
                .unwrap()
                .text
                .clone();
            let lines = manifest.lines().map(str::trim);
            let told = lines.filter(|line| line.starts_with("- ") || line.starts_with("algorithm"));
            told.map(str::to_owned).collect::<Vec<_>>()
        });
        let expected = expected.map(|lines| lines.iter().map(|&line| line.to_owned()).collect());
        assert_eq!(made, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_job_takes_what_can_be_learnt_from() {
        let number = || column("size: \u{e9}\"x\"", "number", 900);
        check(
            &[number(), column("price", "number", 800)],
            "price",
            Ok(&["algorithm: gradient_boosting"]),
        );
        check(
            &[
                number(),
                column("city", "text", 12),
                column("one", "whole", 1),
                column("kind", "whole", 3),
            ],
            "kind",
            Ok(&[
                "- \"city\" # not all of its cells are numbers",
                "- \"one\" # it holds one value only",
                "algorithm: logistic_regression",
            ]),
        );
        check(
            &[number(), column("name", "text", 2)],
            "name",
            Ok(&["algorithm: logistic_regression"]),
        );
        check(
            &[number(), column("year", "whole", 40)],
            "year",
            Ok(&["algorithm: gradient_boosting"]),
        );
    }

    #[test]
    fn what_nothing_can_be_learnt_from_is_told() {
        let number = || column("size", "number", 900);
        check(&[number()], "price", Err("the file has no column price"));
        check(
            &[number(), column("one", "whole", 1)],
            "one",
            Err("column one holds one value only: there is nothing to predict"),
        );
        check(
            &[number(), column("name", "text", 900)],
            "size",
            Err("no column but size holds numbers that differ: there is nothing to predict it from"),
        );
    }

    #[test]
    fn without_data_the_starter_has_flowers() {
        let version = "v20261101-120000".parse().unwrap();
        for file in files(&"iris".parse().unwrap(), &version, Data::Iris).unwrap() {
            if file.path.starts_with("environments/") {
                let parsed = parse_file(&file.path, file.text.as_bytes());
                assert_eq!(
                    (parsed.findings.len(), !parsed.documents.is_empty()),
                    (0, true),
                    "{}",
                    file.text
                );
            }
        }
    }
}
