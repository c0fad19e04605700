//! Several documents, aliases, and what documents are compared by.

use expect_test::expect;

use super::*;

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
    let canonical = |yaml: &str| parse_file(PATH, yaml.as_bytes()).documents.remove(0).canonical;
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
fn objects_of_the_first_design_are_told_what_to_write() {
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: housing-canary }\nspec:\n  modelName: california-housing\n  strategy: { type: Canary, canaryWeight: 10 }\n  slo: { latencyP95Ms: 300, errorRatePercent: 1.0 }\n",
        expect![[r#"
            environments/dev/wine.yaml:4:1: InvalidManifest: MLDeployment/housing-canary: spec: `stable` is missing
              hint: add `stable:` with at least version
            environments/dev/wine.yaml:6:3: InvalidManifest: MLDeployment/housing-canary: spec: unknown field `strategy`
              hint: pin what serves, `stable: { version: VERSION }` and `canary: { version: VERSION, weight: PERCENT }`, instead of `strategy.canaryWeight`
            environments/dev/wine.yaml:7:3: InvalidManifest: MLDeployment/housing-canary: spec: unknown field `slo`
              hint: remove it; the fields here are allowBreaking, autoscaling, canary, engine, modelName, pod, rejected, route, stable, suspend
        "#]],
    );
    check(
        "apiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: { name: housing }\nspec:\n  modelName: california-housing\n  dataset: synthetic\n  algorithm: random_forest\n",
        expect![[r#"
            environments/dev/wine.yaml:6:12: InvalidManifest: MLTrainingJob/housing: spec.dataset: expected a mapping with exclude, features, sha256, target, uri, got the text "synthetic"
              hint: write `dataset: { uri: synthetic:NAME }`, e.g. synthetic:linear
            environments/dev/wine.yaml:7:14: InvalidManifest: MLTrainingJob/housing: spec.algorithm: the text "random_forest" is not one of linear_regression, gradient_boosting, logistic_regression
              hint: write one of these; gradient_boosting is the one of trees
        "#]],
    );
}
