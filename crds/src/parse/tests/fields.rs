//! Single fields: their form, their names, their absence.

use expect_test::expect;

use super::*;

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
        let ParsedFile {
            documents: parsed,
            findings,
            ..
        } = parse_file(PATH, yaml.as_bytes());
        assert_eq!((parsed.len(), findings.len()), (0, 1), "{weight}: {findings:?}");
    }
    for weight in ["0", "1", "100", "0x0a"] {
        let yaml = DEPLOYMENT.replace("weight: 10", &format!("weight: {weight}"));
        let ParsedFile {
            documents: parsed,
            findings,
            ..
        } = parse_file(PATH, yaml.as_bytes());
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
        "stable: { size: 3 }",
        expect![[r#"
            environments/dev/wine.yaml:7:3: InvalidManifest: MLDeployment/wine-quality: spec.stable: `version` is missing
              hint: add `version:` with a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000
            environments/dev/wine.yaml:7:13: InvalidManifest: MLDeployment/wine-quality: spec.stable: unknown field `size`
              hint: remove it; the fields here are digest, replicas, version
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
            environments/dev/wine.yaml:4:5: InvalidManifest: MLDeployment/a: spec: expected a mapping with allowBreaking, autoscaling, canary, engine, modelName, pod, rejected, route, stable, suspend, got nothing
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
