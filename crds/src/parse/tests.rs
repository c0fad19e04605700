//! What people write, and what Aurora tells them.

mod bad_commits;
mod cluster;
mod documents;
mod fields;
mod imports;
mod limits;
mod policy;
mod rules;

use std::fmt::Write as _;

use expect_test::Expect;

use super::*;

const PATH: &str = "environments/dev/wine.yaml";

/// Renders what a file parses to: one line per document that is in order, then the findings.
fn render(path: &str, bytes: &[u8]) -> String {
    let ParsedFile {
        documents: parsed,
        findings,
        ..
    } = parse_file(path, bytes);
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
        let ParsedFile {
            documents: parsed,
            findings,
            ..
        } = parse_file(path, yaml.as_bytes());
        assert_eq!(findings, [], "{path}");
        assert!(!parsed.is_empty(), "{path}");
    }
}
