//! The page of algorithms, settings and metrics, made of the types that manifests are read into.

use std::fmt::Write as _;

use planner::training::{Algorithm, Hyperparameter, Metric};

const BEGINNING: &str = "\
# Algorithms, hyperparameters and metrics

What `spec.algorithm`, `spec.hyperparameters` and `spec.evaluation.metric` of an MLTrainingJob may say. This page is generated from
the types that manifests are read into (`cargo xtask generate`); what each setting does stands in
[training.md](training.md#algorithms).
";

/// Returns the whole page.
pub(super) fn page() -> String {
    let mut page = BEGINNING.to_owned();
    for algorithm in Algorithm::ALL {
        page.push_str(&section(algorithm));
    }
    page.push_str(&metrics());
    page
}

fn section(algorithm: Algorithm) -> String {
    let of = |metric: &&Metric| metric.is_of_classes() == algorithm.is_classifier();
    let metrics: Vec<String> = Metric::ALL
        .iter()
        .filter(of)
        .map(|metric| format!("`{}`", metric.as_str()))
        .collect();
    let predicts = if algorithm.is_classifier() {
        "a class"
    } else {
        "a number"
    };
    let mut section = format!(
        "\n## {}\n\nPredicts {predicts}. Metrics: {}.\n",
        algorithm.as_str(),
        metrics.join(", ")
    );
    let settings = algorithm.hyperparameters();
    if settings.is_empty() {
        section.push_str("\nIt has no settings.\n");
        return section;
    }
    section.push_str("\n| setting | default | takes |\n|---|---|---|\n");
    for setting in settings {
        let Hyperparameter { name, default, .. } = setting;
        let row = writeln!(section, "| `{name}` | {default} | {} |", setting.expected());
        row.expect("a string takes all");
    }
    section
}

fn metrics() -> String {
    let mut section = "\n## Metrics\n\n| metric | of | better | its bound |\n|---|---|---|---|\n".to_owned();
    for metric in Metric::ALL {
        let of = if metric.is_of_classes() {
            "classes"
        } else {
            "numbers"
        };
        let (better, bound) = if metric.larger_is_better() {
            ("higher", "minimum")
        } else {
            ("lower", "maximum")
        };
        let row = writeln!(
            section,
            "| `{}` | {of} | {better} | `evaluation.{bound}` |",
            metric.as_str()
        );
        row.expect("a string takes all");
    }
    section
}
