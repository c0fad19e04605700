//! What no field says by itself.

use std::sync::LazyLock;

use expect_test::expect;
use kube::core::cel::{CompiledSchema, compile_schema, validate_compiled};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::object_schema;

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
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        "uri: builtin:wine-quality\n    exclude: [density]\n    features: [ { name: a, column: alcohol } ]",
        expect![[r#"
            environments/dev/wine.yaml:10:5: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.exclude: inputs are either listed by `features` or all but `exclude`, not both
              hint: remove `exclude`: what `features` does not name is no input; or remove `features`
        "#]],
    );
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        "uri: builtin:wine-quality\n    exclude: [density, alcohol, density]",
        expect![[r#"
            environments/dev/wine.yaml:10:33: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.exclude[2]: Duplicate value: "density"
              hint: remove one of the two
        "#]],
    );
}

#[test]
fn forms_of_values_are_told_where_they_stand() {
    let of_file = "uri: wine.csv\n    target: { column: quality }";
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        &format!(
            "{of_file}\n    features: [ {{ name: a, column: a }}, {{ name: b, column: b }}, {{ name: a, column: c }} ]"
        ),
        expect![[r#"
            environments/dev/wine.yaml:11:73: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.features[2]: Duplicate value: {"name":"a"}
              hint: rename or remove one of the two
        "#]],
    );
    for divisor in ["0", "-0.0", "1e-400"] {
        let target = format!("uri: wine.csv\n    target: {{ column: quality, divideBy: {divisor} }}");
        let text = render(
            PATH,
            TRAINING.replace("uri: builtin:wine-quality", &target).as_bytes(),
        );
        assert!(text.contains(":10:42: "), "{divisor}: {text}");
        assert!(
            text.contains("spec.dataset.target.divideBy: a target is divided by a number other than 0"),
            "{text}"
        );
    }
    for divisor in ["2", "0.5", "-1"] {
        let target = format!("uri: wine.csv\n    target: {{ column: quality, divideBy: {divisor} }}");
        let text = render(
            PATH,
            TRAINING.replace("uri: builtin:wine-quality", &target).as_bytes(),
        );
        assert!(!text.contains("InvalidManifest"), "{divisor}: {text}");
    }
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        r"uri: data\wine.csv",
        expect![[r#"
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: "data\\wine.csv" is not builtin:NAME, synthetic:NAME or the path of a CSV file, without backslash and control characters
              hint: separate folders by '/'
        "#]],
    );
    check_with(
        TRAINING,
        "{ percent: 20, seed: 0 }",
        "{ file: 's3://bucket/../test.csv' }",
        expect![[r#"
            environments/dev/wine.yaml:17:22: InvalidManifest: MLTrainingJob/wine-quality: spec.evaluation.holdout.file: data is not fetched from a URL
              hint: commit the file beside the manifest, or give an absolute path and its sha256
        "#]],
    );
    check_with(
        TRAINING,
        "uri: builtin:wine-quality",
        "uri: s3:bucket\n    target: { column: quality }",
        expect![[r#"
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: what stands before ':' is no kind of dataset
              hint: write builtin:NAME, synthetic:NAME or the path of a CSV file
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
            environments/dev/wine.yaml:14:15: InvalidManifest: MLTrainingJob/wine-quality: spec.hyperparameters.boosting: no algorithm has a hyperparameter of this name
              hint: remove the line
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
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: there is no builtin dataset of this name
              hint: there are builtin:iris, builtin:wine-quality
        "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "https://example.org/wine.csv",
        expect![[r#"
            environments/dev/wine.yaml:8:3: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset: `target` is missing: a CSV file does not say which column is predicted
              hint: add `target: { column: COLUMN }`
            environments/dev/wine.yaml:9:10: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset.uri: data is not fetched from a URL
              hint: commit the file beside the manifest, or give an absolute path and its sha256
        "#]],
    );
    check_with(
        TRAINING,
        "builtin:wine-quality",
        "../secret.csv",
        expect![[r#"
            environments/dev/wine.yaml:8:3: InvalidManifest: MLTrainingJob/wine-quality: spec.dataset: `target` is missing: a CSV file does not say which column is predicted
              hint: add `target: { column: COLUMN }`
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
        &schedule("cron: '@daily'"),
        expect![[r#"
            environments/dev/wine.yaml:7:21: InvalidManifest: MLTrainingJob/wine-quality: spec.schedule.cron: "@daily" is not written in five fields: write 0 0 * * * instead
              hint: write minute, hour, day of month, month and weekday, e.g. "0 3 * * SUN"
        "#]],
    );
    check_with(
        TRAINING,
        version,
        &schedule("cron: '0 0 31 4 *'"),
        expect![[r#"
            environments/dev/wine.yaml:7:21: InvalidManifest: MLTrainingJob/wine-quality: spec.schedule.cron: "0 0 31 4 *" is not a schedule of a date that comes: none of its months has such a day
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
            .replace("Standalone", "Kubernetes\n  drift: Wrn"),
        expect![[r#"
            environments/dev/wine.yaml:5:8: Unreadable: while parsing a flow mapping, did not find expected ',' or '}'
              hint: mend the YAML here: what follows in this file may not have been read
        "#]],
    );
    check(
        &environment.replace("prod", "dev").replace(
            "Standalone",
            "Standalone, removal: { maxCount: -1, allow: HEAD }, announce: []",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:50: InvalidManifest: MLEnvironment/dev: spec.removal.maxCount: -1 is not a whole number from 0 to 1000000
              hint: write a whole number from 0 to 1000000
            environments/dev/wine.yaml:4:61: InvalidManifest: MLEnvironment/dev: spec.removal.allow: "HEAD" is not a revision: the 40 or 64 hex digits of a commit
              hint: write, in quotes, the full id of the commit that was refused, as `git rev-parse` prints it
            environments/dev/wine.yaml:4:69: InvalidManifest: MLEnvironment/dev: spec: unknown field `announce`
              hint: remove it; the fields here are commits, drift, gates, models, namespace, notify, promotion, registry, removal, suspend, target, windows
        "#]],
    );
    check(
        &environment
            .replace("prod", "dev")
            .replace("Standalone", "Standalone, registry: { path: ../stores }"),
        expect![[r#"
            environments/dev/wine.yaml:4:47: InvalidManifest: MLEnvironment/dev: spec.registry.path: a path has no empty, '.' or '..' part
              hint: write an absolute path, or one below the data directory
        "#]],
    );
}

/// An object with some of these fields.
fn some_of(fields: &Json) -> impl Strategy<Value = Json> + use<> {
    let fields: Vec<_> = fields.as_object().unwrap().clone().into_iter().collect();
    prop::sample::subsequence(fields.clone(), 0..=fields.len())
        .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into())
}

/// A job that says some of what can be said, in order or not.
fn trainings() -> impl Strategy<Value = Json> {
    let schedule = json!({ "cron": "0 3 * * SUN" });
    let spec = json!({ "version": "v20261101-120000", "schedule": schedule, "seed": 1 });
    let digest = "a".repeat(64);
    let dataset = json!({ "sha256": digest, "target": { "column": "a" } });
    let target = json!({ "divideBy": 2, "unit": "EUR" });
    let evaluation = json!({ "minimum": 0.5, "maximum": 0.5 });
    let holdout = json!({ "percent": 20, "seed": 0, "file": "/a.csv", "sha256": digest });
    let feature = json!({ "column": "a", "ratio": ["a", "b"] });
    let choices = (
        prop::sample::select(vec!["builtin:iris", "/data/a.csv"]),
        prop::sample::select(vec!["logistic_regression", "linear_regression"]),
        prop::sample::select(vec!["r2", "rmse", "accuracy", "log_loss"]),
    );
    let parts = [spec, dataset, target, evaluation, holdout, feature].map(|fields| some_of(&fields));
    (parts, choices, any::<[bool; 2]>()).prop_map(|(parts, (uri, algorithm, metric), [held, featured])| {
        let [
            mut spec,
            mut dataset,
            target,
            mut evaluation,
            holdout,
            mut feature,
        ] = parts;
        feature["name"] = json!("a");
        if let Some(Json::Object(known)) = dataset.get_mut("target") {
            known.extend(target.as_object().unwrap().clone());
        }
        dataset["uri"] = json!(uri);
        if featured {
            dataset["features"] = json!([{ "name": "b", "column": "b" }, feature]);
        }
        evaluation["metric"] = json!(metric);
        if held {
            evaluation["holdout"] = holdout;
        }
        spec["modelName"] = json!("a");
        spec["algorithm"] = json!(algorithm);
        spec["dataset"] = dataset;
        spec["evaluation"] = evaluation;
        json!({ "kind": "MLTrainingJob", "metadata": { "name": "a" }, "spec": spec })
    })
}

/// A deployment whose pins are the same or not.
fn deployments() -> impl Strategy<Value = Json> {
    let version = || prop::sample::select(vec!["v20261101-120000", "v20261102-120000"]);
    let digest = || prop::sample::select(vec!["a", "b", ""]);
    (version(), digest(), version(), digest(), any::<bool>()).prop_map(
        |(stable, stable_digest, canary, canary_digest, is_tried)| {
            let pin = |version: &str, digest: &str| match digest {
                "" => json!({ "version": version }),
                digit => {
                    json!({ "version": version, "digest": format!("sha256:{}", digit.repeat(64)) })
                }
            };
            let mut spec = json!({ "modelName": "a", "stable": pin(stable, stable_digest) });
            if is_tried {
                spec["canary"] = pin(canary, canary_digest);
                spec["canary"]["weight"] = json!(1);
            }
            json!({ "kind": "MLDeployment", "metadata": { "name": "a" }, "spec": spec })
        },
    )
}

/// Evaluates every rule of an object's schema, and compares with what the parser evaluates of it.
fn assert_all_rules_say_the_same(kind: check::Kind, schema: &CompiledSchema, object: &Json) {
    let mut all: Vec<_> = validate_compiled(schema, object, None)
        .map_or_else(kube::core::cel::ValidationErrors::into_vec, |()| Vec::new())
        .into_iter()
        .map(|error| (error.field_path.trim_matches('.').to_owned(), error.message))
        .collect();
    let root = document::read_whole(&object.to_string()).unwrap().remove(0);
    let mut found: Vec<_> = check::against_rules(kind, &root, object)
        .into_iter()
        .map(|(_, problem)| (problem.field, problem.message))
        .collect();
    all.sort();
    found.sort();
    assert_eq!(found, all, "{object}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_cut_off_changes_what_rules_say_of_a_training(object in trainings()) {
        static ALL: LazyLock<CompiledSchema> =
            LazyLock::new(|| compile_schema(&object_schema::<MLTrainingJob>()));
        assert_all_rules_say_the_same(check::Kind::Training, &ALL, &object);
    }

    #[test]
    fn nothing_that_is_cut_off_changes_what_rules_say_of_a_deployment(object in deployments()) {
        static ALL: LazyLock<CompiledSchema> =
            LazyLock::new(|| compile_schema(&object_schema::<MLDeployment>()));
        assert_all_rules_say_the_same(check::Kind::Deployment, &ALL, &object);
    }
}

#[test]
fn an_id_is_the_text_that_is_written_whatever_yaml_takes_it_for() {
    let environment = |allow: &str| {
        format!(
            "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: {{ name: dev }}\nspec:\n  target: Standalone\n  removal:\n    allow: {allow} # refused on Monday\n"
        )
    };
    // A number in exponents, one beyond 64 bits, and one with zeros in front: each means its digits.
    for id in [
        "1547853700000000000000000000000000000e10",
        "1234567812345678123456781234567812345678",
        "0000000000000000000000000000000000000012",
    ] {
        for written in [id.to_owned(), format!("\"{id}\""), format!("'{id}'")] {
            let ParsedFile {
                documents: parsed,
                findings,
                ..
            } = parse_file(PATH, environment(&written).as_bytes());
            assert_eq!(findings, [], "{written}");
            let Manifest::Environment(environment) = &parsed[0].manifest else {
                unreachable!("an MLEnvironment");
            };
            let allow = environment.removal.allow.as_ref().unwrap();
            assert_eq!(allow.as_str(), id, "{written}");
        }
    }
    check(
        &environment("15478537"),
        expect![[r#"
        environments/dev/wine.yaml:7:12: InvalidManifest: MLEnvironment/dev: spec.removal.allow: "15478537" is not a revision: the 40 or 64 hex digits of a commit
          hint: write the commit's id in full and in quotes: `git rev-parse 15478537` prints it
    "#]],
    );
    check(
        &environment("1e5478"),
        expect![[r#"
        environments/dev/wine.yaml:7:12: InvalidManifest: MLEnvironment/dev: spec.removal.allow: "1e5478" is not a revision: the 40 or 64 hex digits of a commit
          hint: write the commit's id in full and in quotes: `git rev-parse 1e5478` prints it
    "#]],
    );
    check(
        &environment("12.5"),
        expect![[r#"
        environments/dev/wine.yaml:7:12: InvalidManifest: MLEnvironment/dev: spec.removal.allow: "12.5" is not a revision: the 40 or 64 hex digits of a commit
          hint: write, in quotes, the full id of the commit that was refused, as `git rev-parse` prints it
    "#]],
    );
}
