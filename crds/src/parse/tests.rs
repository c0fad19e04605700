//! What people write, and what Aurora tells them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

const PATH: &str = "environments/dev/wine.yaml";

/// Renders what a file parses to: one line per document that is in order, then the findings.
fn render(path: &str, bytes: &[u8]) -> String {
    let (parsed, findings) = parse_file(path, bytes);
    let mut text = String::new();
    for document in parsed {
        let name = match &document.manifest {
            Manifest::Environment(environment) => format!("MLEnvironment/{}", environment.name),
            Manifest::Deployment(name, _) => format!("MLDeployment/{name}"),
            Manifest::Training(name, _) => format!("MLTrainingJob/{name}"),
        };
        writeln!(text, "{}: {name}", document.location).unwrap();
    }
    for finding in findings {
        assert!(!finding.hint.is_empty(), "a finding says what to do: {finding}");
        writeln!(text, "{finding}").unwrap();
    }
    text
}

#[expect(clippy::needless_pass_by_value, reason = "an expectation is a temporary")]
fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&render(PATH, yaml.as_bytes()));
}

#[test]
fn example_has_no_findings() {
    for (path, yaml) in [
        (
            "environments/dev/environment.yaml",
            include_str!("../../../environments/dev/environment.yaml"),
        ),
        (
            "environments/dev/wine-quality.yaml",
            include_str!("../../../environments/dev/wine-quality.yaml"),
        ),
        (
            "environments/dev/iris.yaml",
            include_str!("../../../environments/dev/iris.yaml"),
        ),
    ] {
        let (parsed, findings) = parse_file(path, yaml.as_bytes());
        assert_eq!(findings, [], "{path}");
        assert!(!parsed.is_empty(), "{path}");
    }
}

const DEPLOYMENT: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata:
  name: wine-quality
spec:
  modelName: wine-quality
  stable: { version: v20261101-120000 }
  canary:
    version: v20261120-093000
    weight: 10
";

const TRAINING: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata:
  name: wine-quality
spec:
  modelName: wine-quality
  version: v20261101-120000
  dataset:
    uri: builtin:wine-quality
  algorithm: gradient_boosting
  hyperparameters:
    trees: 100
  seed: 42
  evaluation:
    metric: r2
    minimum: 0.2
    holdout: { percent: 20, seed: 0 }
";

/// Checks a manifest in which one text is replaced by another.
fn check_with(manifest: &str, text: &str, replacement: &str, expected: Expect) {
    assert!(manifest.contains(text), "{text:?} is not in the manifest");
    check(&manifest.replace(text, replacement), expected);
}

#[test]
fn weight_is_a_whole_percent() {
    for weight in [
        "101",
        "ten",
        "-1",
        "10.5",
        "10.0",
        "\"10\"",
        "10%",
        "",
        "true",
        "[10]",
        "{ percent: 10 }",
        ".nan",
        "1e99",
        "99999999999999999999",
    ] {
        let yaml = DEPLOYMENT.replace("weight: 10", &format!("weight: {weight}"));
        let (parsed, findings) = parse_file(PATH, yaml.as_bytes());
        assert_eq!((parsed.len(), findings.len()), (0, 1), "{weight}: {findings:?}");
    }
    for weight in ["0", "1", "100", "0x0a"] {
        let yaml = DEPLOYMENT.replace("weight: 10", &format!("weight: {weight}"));
        let (parsed, findings) = parse_file(PATH, yaml.as_bytes());
        assert_eq!((parsed.len(), findings), (1, vec![]), "{weight}");
    }
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight: 101",
        expect![[r#"
        environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: 101 is not a whole percent from 0 to 100
          hint: 0 sends no request to the canary, 100 sends every one
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight: ten",
        expect![[r#"
        environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got the text "ten"
          hint: write it in digits, without quotes or unit
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight: \"10\"",
        expect![[r#"
        environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got the text "10"
          hint: remove the quotes
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight:",
        expect![[r#"
        environments/dev/wine.yaml:10:11: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got nothing
          hint: give it a value, or remove the line
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight: .nan",
        expect![[r#"
            environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got NaN, which is no number that fits
              hint: write it in digits, without quotes or unit
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "    weight: 10\n",
        "",
        expect![[r#"
        environments/dev/wine.yaml:8:3: InvalidManifest: MLDeployment/wine-quality: spec.canary: `weight` is missing
          hint: add `weight:` with a whole percent from 0 to 100
    "#]],
    );
}

#[test]
fn unknown_and_missing_fields_say_what_was_meant() {
    check_with(
        DEPLOYMENT,
        "modelName:",
        "modelname:",
        expect![[r#"
            environments/dev/wine.yaml:6:3: InvalidManifest: MLDeployment/wine-quality: spec: unknown field `modelname`
              hint: did you mean `modelName`?
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "    weight:",
        "    wieght:",
        expect![[r#"
            environments/dev/wine.yaml:10:5: InvalidManifest: MLDeployment/wine-quality: spec.canary: unknown field `wieght`
              hint: did you mean `weight`?
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "stable: { version: v20261101-120000 }",
        "stable: { replicas: 3 }",
        expect![[r#"
            environments/dev/wine.yaml:7:3: InvalidManifest: MLDeployment/wine-quality: spec.stable: `version` is missing
              hint: add `version:` with a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000
            environments/dev/wine.yaml:7:13: InvalidManifest: MLDeployment/wine-quality: spec.stable: unknown field `replicas`
              hint: remove it; the fields here are digest, version
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "  name: wine-quality\n",
        "  name: wine-quality\n  namespace: prod\n  labels: { a: b }\n",
        expect![[r#"
            environments/dev/wine.yaml:5:3: InvalidManifest: MLDeployment/wine-quality: metadata: unknown field `namespace`
              hint: remove it: the folder below `environments/` says where the object belongs
            environments/dev/wine.yaml:6:3: InvalidManifest: MLDeployment/wine-quality: metadata: unknown field `labels`
              hint: remove it: a manifest's metadata is its name
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "metadata:\n  name: wine-quality\n",
        "",
        expect![[r#"
            environments/dev/wine.yaml:1:1: InvalidManifest: MLDeployment: `metadata` is missing
              hint: add `metadata:` with at least name
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "spec:",
        "status: {}\nspec:",
        expect![[r#"
        environments/dev/wine.yaml:5:1: InvalidManifest: MLDeployment/wine-quality: unknown field `status`
          hint: remove it: Aurora writes the status
    "#]],
    );
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: a }\n",
        expect![[r#"
            environments/dev/wine.yaml:1:1: InvalidManifest: MLDeployment/a: `spec` is missing
              hint: add `spec:` with at least modelName, stable
        "#]],
    );
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: a }\nspec:\n",
        expect![[r#"
            environments/dev/wine.yaml:4:5: InvalidManifest: MLDeployment/a: spec: expected a mapping with canary, modelName, stable, suspend, got nothing
              hint: give it a value, or remove the line
        "#]],
    );
}

#[test]
fn kinds_and_api_versions_are_told_apart() {
    check_with(
        DEPLOYMENT,
        "MLDeployment",
        "MLDeploymnt",
        expect![[r#"
        environments/dev/wine.yaml:2:7: InvalidManifest: kind: "MLDeploymnt" is no kind that Aurora knows
          hint: did you mean `MLDeployment`?
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "MLDeployment",
        "ConfigMap",
        expect![[r#"
        environments/dev/wine.yaml:2:7: InvalidManifest: kind: "ConfigMap" is no kind that Aurora knows
          hint: the kinds are MLEnvironment, MLDeployment and MLTrainingJob; other files of the folder may have any name that does not end in .yaml or .yml
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "kind: MLDeployment\n",
        "",
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: `kind` is missing
          hint: add `kind:` with one of MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "kind: MLDeployment",
        "kind: 7",
        expect![[r#"
        environments/dev/wine.yaml:2:7: InvalidManifest: kind: expected the name of a kind, got the number 7
          hint: the kinds are MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "aurora.io/v1alpha1",
        "aurora.io/v1",
        expect![[r#"
        environments/dev/wine.yaml:1:13: InvalidManifest: MLDeployment/wine-quality: apiVersion: expected aurora.io/v1alpha1, got the text "aurora.io/v1"
          hint: write `apiVersion: aurora.io/v1alpha1`
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "apiVersion: aurora.io/v1alpha1\n",
        "",
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: MLDeployment/wine-quality: `apiVersion` is missing
          hint: add `apiVersion: aurora.io/v1alpha1`
    "#]],
    );
    check(
        "just text",
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: expected a manifest, got the text "just text"
          hint: a manifest has apiVersion, kind, metadata and spec; the kinds are MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
    check(
        "- a\n- b\n",
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: expected a manifest, got a list
          hint: a manifest has apiVersion, kind, metadata and spec; the kinds are MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
}

#[test]
fn names_versions_and_digests_have_their_form() {
    check_with(
        DEPLOYMENT,
        "modelName: wine-quality",
        "modelName: ../wine",
        expect![[r#"
            environments/dev/wine.yaml:6:14: InvalidManifest: MLDeployment/wine-quality: spec.modelName: "../wine" is not a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end
              hint: write e.g. `wine`
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "modelName: wine-quality",
        "modelName: no",
        expect![[r#"
            environments/dev/wine.yaml:6:14: InvalidManifest: MLDeployment/wine-quality: spec.modelName: expected a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end, got the boolean false
              hint: put it in quotes if it is meant as text
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "name: wine-quality\nspec",
        "name: Wine_Quality\nspec",
        expect![[r#"
            environments/dev/wine.yaml:4:9: InvalidManifest: MLDeployment/Wine_Quality: metadata.name: "Wine_Quality" is not a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end
              hint: write e.g. `wine-quality`
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "v20261101-120000",
        "v1",
        expect![[r#"
        environments/dev/wine.yaml:7:22: InvalidManifest: MLDeployment/wine-quality: spec.stable.version: "v1" is not a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000
          hint: `aurora model list` shows the versions that exist, with their digests
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "v20261101-120000",
        "v20260230-120000",
        expect![[r#"
        environments/dev/wine.yaml:7:22: InvalidManifest: MLDeployment/wine-quality: spec.stable.version: "v20260230-120000" is not a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000
          hint: `aurora model list` shows the versions that exist, with their digests
    "#]],
    );
    check_with(
        DEPLOYMENT,
        "version: v20261101-120000",
        "version: v20261101-120000, digest: 'sha256:abc'",
        expect![[r#"
            environments/dev/wine.yaml:7:48: InvalidManifest: MLDeployment/wine-quality: spec.stable.digest: "sha256:abc" is not a digest: sha256: and 64 lower-case hex digits
              hint: `aurora model list` shows the versions that exist, with their digests
        "#]],
    );
    let long = format!("modelName: {}", "x".repeat(200));
    check_with(
        DEPLOYMENT,
        "modelName: wine-quality",
        &long,
        expect![[r#"
        environments/dev/wine.yaml:6:14: InvalidManifest: MLDeployment/wine-quality: spec.modelName: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end
          hint: a model's name is also its folder in the registry
    "#]],
    );
}

#[test]
fn rules_over_two_fields_point_at_one_of_them() {
    check_with(
        DEPLOYMENT,
        "v20261120-093000",
        "v20261101-120000",
        expect![[r#"
        environments/dev/wine.yaml:9:14: InvalidManifest: MLDeployment/wine-quality: spec.canary.version: the canary pins the version that stable pins
          hint: pin another version as canary, or remove `canary`
    "#]],
    );
    let digest = format!("digest: 'sha256:{}'", "a".repeat(64));
    let both = DEPLOYMENT
        .replace(
            "version: v20261101-120000 }",
            &format!("version: v20261101-120000, {digest} }}"),
        )
        .replace("    weight", &format!("    {digest}\n    weight"));
    check(
        &both,
        expect![[r#"
        environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.digest: the canary pins the digest that stable pins
          hint: one of the two digests is wrong: `aurora model list` shows each version's
    "#]],
    );
    let schedule = "version: v20261101-120000\n  schedule: { cron: '0 3 * * SUN' }";
    check_with(
        TRAINING,
        "version: v20261101-120000",
        schedule,
        expect![[r#"
        environments/dev/wine.yaml:7:12: InvalidManifest: MLTrainingJob/wine-quality: spec.version: a job has either a version or a schedule, not both
          hint: remove `version`: each scheduled run names its version after its slot; or remove `schedule` to train this version once
    "#]],
    );
    check_with(
        TRAINING,
        "metric: r2",
        "metric: rmse",
        expect![[r#"
        environments/dev/wine.yaml:16:14: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.minimum: the metric is better when lower: it has a `maximum`
          hint: write `maximum:` instead of `minimum:`
    "#]],
    );
    check_with(
        TRAINING,
        "minimum: 0.2",
        "maximum: 0.2",
        expect![[r#"
        environments/dev/wine.yaml:16:14: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.maximum: the metric is better when higher: it has a `minimum`
          hint: write `minimum:` instead of `maximum:`
    "#]],
    );
    check_with(
        TRAINING,
        "minimum: 0.2",
        "minimum: 0.2\n    maximum: 0.4",
        expect![[r#"
            environments/dev/wine.yaml:17:14: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.maximum: an evaluation has one bound, not both `minimum` and `maximum`
              hint: keep `minimum` for r2 and accuracy, `maximum` for rmse, mae and log_loss
        "#]],
    );
    check_with(
        TRAINING,
        "metric: r2",
        "metric: accuracy",
        expect![[r#"
        environments/dev/wine.yaml:15:13: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.metric: the metric is one of classes, the algorithm predicts numbers
          hint: use r2, rmse or mae, or the algorithm logistic_regression
    "#]],
    );
    check_with(
        TRAINING,
        "gradient_boosting\n  hyperparameters:\n    trees: 100",
        "logistic_regression",
        expect![[r#"
            environments/dev/wine.yaml:13:13: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.metric: the metric is one of numbers, the algorithm predicts classes
              hint: use accuracy or log_loss, or a regression algorithm
        "#]],
    );
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        "uri: /data/wine.csv\n    target: { column: quality }",
        expect![[r#"
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: a file outside the repository needs its sha256
              hint: add `sha256:` with the output of `sha256sum FILE`, so that what was reviewed is what is trained on
        "#]],
    );
    check_with(
        TRAINING,
        "{ percent: 20, seed: 0 }",
        "{ seed: 0 }",
        expect![[r#"
            environments/dev/wine.yaml:17:5: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.holdout: a holdout is either a `percent` of the rows or a `file`
              hint: write `{ percent: 20, seed: 0 }` or `{ file: PATH }`
        "#]],
    );
    check_with(
        TRAINING,
        "{ percent: 20, seed: 0 }",
        "{ file: test.csv, seed: 0 }",
        expect![[r#"
            environments/dev/wine.yaml:17:38: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.holdout.seed: a holdout file is taken as it is: it has no seed
              hint: remove `seed`
        "#]],
    );
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        "uri: wine.csv\n    target: { column: quality }\n    features: [ { name: a }, { name: b, column: b } ]",
        expect![[r#"
            environments/dev/wine.yaml:11:17: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.features[0]: a feature is either a `column` or a `ratio` of two
              hint: write `{ name: NAME, column: COLUMN }` or `{ name: NAME, ratio: [COLUMN, COLUMN] }`
        "#]],
    );
}

#[test]
fn training_says_what_it_cannot_do() {
    check_with(
        TRAINING,
        "gradient_boosting",
        "random_forest",
        expect![[r#"
            environments/dev/wine.yaml:10:14: InvalidManifest: MLTrainingJob/wine-quality: spec.algorithm: the text "random_forest" is not one of linear_regression, gradient_boosting, logistic_regression
              hint: write one of these; gradient_boosting is the one of trees
        "#]],
    );
    check_with(
        TRAINING,
        "trees: 100",
        "treees: 100",
        expect![[r#"
        environments/dev/wine.yaml:12:13: InvalidManifest: MLTrainingJob/wine-quality: spec.hyperparameters.treees: gradient_boosting has no such hyperparameter
          hint: did you mean `trees`?
    "#]],
    );
    check_with(
        TRAINING,
        "trees: 100",
        "trees: 0.5\n    learning_rate: 0\n    boosting: dart",
        expect![[r#"
            environments/dev/wine.yaml:14:15: InvalidManifest: MLTrainingJob/wine-quality: spec.hyperparameters.boosting: expected a number, got the text "dart"
              hint: write it in digits, without quotes or unit
        "#]],
    );
    check_with(
        TRAINING,
        "trees: 100",
        "trees: 0.5\n    learning_rate: 0",
        expect![[r#"
            environments/dev/wine.yaml:12:12: InvalidManifest: MLTrainingJob/wine-quality: spec.hyperparameters.trees: 0.5 is not a whole number from 1 to 5000
              hint: without it, 100 is taken
            environments/dev/wine.yaml:13:20: InvalidManifest: MLTrainingJob/wine-quality: spec.hyperparameters.learning_rate: 0 is not a number above 0, at most 1
              hint: without it, 0.1 is taken
        "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "builtin:wine",
        expect![[r#"
        environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: no dataset "wine" ships in the binary
          hint: these ship in the binary: iris, wine-quality
    "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "https://example.org/wine.csv",
        expect![[r#"
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: data is not fetched over https
              hint: commit the file beside the manifest, or give an absolute path and its sha256
        "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "../secret.csv",
        expect![[r#"
        environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: a path has no empty, '.' or '..' part
          hint: data of the commit lies in the manifest's folder or below it; other files have an absolute path and a sha256
    "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "wine.csv",
        expect![[r#"
        environments/dev/wine.yaml:8:3: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset: `target` is missing: a CSV file does not say which column is predicted
          hint: add `target: { column: COLUMN }`
    "#]],
    );
    check_with(
        TRAINING,
        "percent: 20",
        "percent: 100",
        expect![[r#"
        environments/dev/wine.yaml:17:25: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.holdout.percent: 100 is not a whole percent from 1 to 99
          hint: write a whole percent from 1 to 99
    "#]],
    );
    let schedule = |fields: &str| format!("schedule: {{ {fields} }}");
    let version = "version: v20261101-120000";
    check_with(
        TRAINING,
        version,
        &schedule("cron: '0 3 * * SUN', timeZone: Europe/Pariss"),
        expect![[r#"
            environments/dev/wine.yaml:7:46: InvalidManifest: MLTrainingJob/wine-quality: spec.schedule.timeZone: "Europe/Pariss" is no IANA time zone
              hint: did you mean Europe/Paris?
        "#]],
    );
    check_with(
        TRAINING,
        version,
        &schedule("cron: '0 30 * * SUN'"),
        expect![[r#"
            environments/dev/wine.yaml:7:21: InvalidManifest: MLTrainingJob/wine-quality: spec.schedule.cron: "30" is not a cron hour (second field): 0-23, lists (6,18), ranges (9-17), steps (*/6) or *
              hint: write minute, hour, day of month, month and weekday, e.g. "0 3 * * SUN"
        "#]],
    );
    check_with(
        TRAINING,
        version,
        &schedule("cron: '0 3 * * SUN', concurrencyPolicy: Queue"),
        expect![[r#"
            environments/dev/wine.yaml:7:55: InvalidManifest: MLTrainingJob/wine-quality: spec.schedule.concurrencyPolicy: the text "Queue" is not one of Forbid, Replace, Allow
              hint: write one of these
        "#]],
    );
}

#[test]
fn objects_of_the_first_design_are_told_what_to_write() {
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: housing-canary }\nspec:\n  modelName: california-housing\n  strategy: { type: Canary, canaryWeight: 10 }\n  slo: { latencyP95Ms: 300, errorRatePercent: 1.0 }\n",
        expect![[r#"
            environments/dev/wine.yaml:4:1: InvalidManifest: MLDeployment/housing-canary: spec: `stable` is missing
              hint: add `stable:` with at least version
            environments/dev/wine.yaml:6:3: InvalidManifest: MLDeployment/housing-canary: spec: unknown field `strategy`
              hint: pin what serves, `stable: { version: VERSION }` and `canary: { version: VERSION, weight: PERCENT }`, instead of `strategy.canaryWeight`
            environments/dev/wine.yaml:7:3: InvalidManifest: MLDeployment/housing-canary: spec: unknown field `slo`
              hint: remove it; the fields here are canary, modelName, stable, suspend
        "#]],
    );
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: { name: housing }\nspec:\n  modelName: california-housing\n  dataset: synthetic\n  algorithm: random_forest\n",
        expect![[r#"
            environments/dev/wine.yaml:4:1: InvalidManifest: MLTrainingJob/housing: spec: `evaluation` is missing
              hint: add `evaluation:` with at least metric
            environments/dev/wine.yaml:6:12: InvalidManifest: MLTrainingJob/housing: spec.dataset: expected a mapping with features, sha256, target, uri, got the text "synthetic"
              hint: write `dataset: { uri: synthetic:NAME }`, e.g. synthetic:linear
            environments/dev/wine.yaml:7:14: InvalidManifest: MLTrainingJob/housing: spec.algorithm: the text "random_forest" is not one of linear_regression, gradient_boosting, logistic_regression
              hint: write one of these; gradient_boosting is the one of trees
        "#]],
    );
}

#[test]
fn one_document_does_not_hide_the_others() {
    let broken = DEPLOYMENT.replace("weight: 10", "weight: ten");
    check(
        &format!("---\n# nothing\n---\n{DEPLOYMENT}---\n{broken}---\n{TRAINING}---\n"),
        expect![[r#"
            environments/dev/wine.yaml:4:1: MLDeployment/wine-quality
            environments/dev/wine.yaml:26:1: MLTrainingJob/wine-quality
            environments/dev/wine.yaml:24:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got the text "ten"
              hint: write it in digits, without quotes or unit
        "#]],
    );
    let duplicate = DEPLOYMENT.replace("    weight: 10", "    weight: 10\n    weight: 20");
    check(
        &format!("{duplicate}---\n{TRAINING}"),
        expect![[r#"
            environments/dev/wine.yaml:13:1: MLTrainingJob/wine-quality
            environments/dev/wine.yaml:11:5: Unreadable: the key `weight` stands twice
              hint: remove one of the two
        "#]],
    );
    check(
        &format!("{DEPLOYMENT}---\nspec: [ 1, 2\n---\n{TRAINING}"),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLDeployment/wine-quality
            environments/dev/wine.yaml:12:7: Unreadable: unclosed bracket '['
              hint: mend the YAML here: what follows in this file may not have been read
        "#]],
    );
    check(
        &format!("spec: \"never closed\n{DEPLOYMENT}"),
        expect![[r#"
            environments/dev/wine.yaml:1:7: Unreadable: unclosed quote
              hint: mend the YAML here: what follows in this file may not have been read
        "#]],
    );
    check("", expect![[""]]);
    check("# only a comment\n---\n---\n", expect![[""]]);
}

#[test]
fn aliases_and_merges_point_at_where_they_are_used() {
    check_with(
        DEPLOYMENT,
        "weight: 10",
        "weight: &w ten\n  suspend: *w",
        expect![[r#"
            environments/dev/wine.yaml:10:16: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got the text "ten"
              hint: write it in digits, without quotes or unit
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "stable: { version: v20261101-120000 }",
        "stable: &pin { version: v20261101-120000 }",
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLDeployment/wine-quality
        "#]],
    );
    check_with(
        DEPLOYMENT,
        "stable: { version: v20261101-120000 }\n  canary:\n",
        "stable: &pin { version: v20261101-120000 }\n  canary:\n    <<: *pin\n",
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLDeployment/wine-quality
        "#]],
    );
}

#[test]
fn equal_documents_have_equal_canonical_text() {
    let canonical = |yaml: &str| parse_file(PATH, yaml.as_bytes()).0.remove(0).canonical;
    let commented = DEPLOYMENT.replace("  canary:", "  # why\n  canary: # because");
    let moved = "# a file\n---\nspec:\n  canary: { weight: 10, version: v20261120-093000 }\n  stable:\n    version: 'v20261101-120000'\n  modelName: wine-quality\nkind: MLDeployment\nmetadata: { name: wine-quality }\napiVersion: aurora.io/v1alpha1\n";
    assert_eq!(canonical(DEPLOYMENT), canonical(&commented));
    assert_eq!(canonical(DEPLOYMENT), canonical(moved));
    assert_ne!(
        canonical(DEPLOYMENT),
        canonical(&DEPLOYMENT.replace("weight: 10", "weight: 11"))
    );
}

#[test]
fn environment_is_named_like_its_folder() {
    let environment = "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: prod }\nspec: { target: Standalone }\n";
    check(
        environment,
        expect![[r#"
        environments/dev/wine.yaml:3:19: InvalidManifest: MLEnvironment/prod: metadata.name: the environment is named "prod", its folder "dev"
          hint: write `name: dev`, or rename the folder
    "#]],
    );
    check(
        &environment.replace("prod", "dev"),
        expect![[r#"
        environments/dev/wine.yaml:1:1: MLEnvironment/dev
    "#]],
    );
    check(
        &environment
            .replace("prod", "dev")
            .replace("Standalone", "Kubernetes"),
        expect![[r#"
            environments/dev/wine.yaml:4:17: InvalidManifest: MLEnvironment/dev: spec.target: the text "Kubernetes" is not one of Standalone
              hint: write `Standalone`
        "#]],
    );
    check(
        &environment.replace("prod", "dev").replace(
            "Standalone",
            "Standalone, removal: { maxCount: -1, allow: HEAD }, windows: []",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:50: InvalidManifest: MLEnvironment/dev: spec.removal.maxCount: -1 is not a whole number from 0 to 1000000
              hint: write a whole number from 0 to 1000000
            environments/dev/wine.yaml:4:61: InvalidManifest: MLEnvironment/dev: spec.removal.allow: "HEAD" is not a revision: the 40 or 64 hex digits of a commit
              hint: write the full commit id that `git rev-parse HEAD` prints
            environments/dev/wine.yaml:4:69: InvalidManifest: MLEnvironment/dev: spec: unknown field `windows`
              hint: remove it; the fields here are registry, removal, suspend, target
        "#]],
    );
}
