//! The committed files are the generated ones.

use std::path::Path;

use planner::training::{Algorithm, Metric};

use super::*;

#[test]
fn committed_definitions_are_the_generated_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (file, generated) in crd_yaml() {
        let path = folder.join(file);
        if update {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{} differs from the types in crds/src: run `cargo xtask generate` and commit the result",
            path.display(),
        );
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        files,
        crd_yaml().len(),
        "a file in {} is none of the generated ones",
        folder.display()
    );
}

#[test]
fn schema_names_every_choice_of_the_planner() {
    let schema = object_schema::<MLTrainingJob>();
    let choices = |pointer: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(pointer).unwrap().clone()).unwrap()
    };
    let spec = "/properties/spec/properties";
    assert_eq!(
        choices(&format!("{spec}/algorithm/enum")),
        Algorithm::ALL.map(Algorithm::as_str)
    );
    let metric = format!("{spec}/evaluation/properties/metric/enum");
    assert_eq!(choices(&metric), Metric::ALL.map(Metric::as_str));
}

/// A rule that does not compile would be skipped by nobody but the API server, which refuses the whole definition.
#[test]
fn every_rule_compiles_and_names_a_field() {
    for rule in crate::rules::ALL {
        let schema = serde_json::json!({ "type": "object", "x-kubernetes-validations": [rule.rule()] });
        let compiled = kube::core::cel::compile_schema(&schema);
        assert!(
            !compiled.has_errors(),
            "{}: {:?}",
            rule.cel,
            compiled.compilation_errors()
        );
        assert!(!rule.hint.is_empty() && !rule.message.is_empty());
        assert!(
            rule.field.is_empty() || rule.field.starts_with('.'),
            "{}",
            rule.field
        );
    }
}
