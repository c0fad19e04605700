//! What a job says of a model that was made elsewhere.

use super::*;

/// The rule says what the type parses: what it lets through is understood, and what it refuses is told with its words.
#[test]
fn a_signature_of_an_import_is_a_file_of_the_commit_or_an_address_of_one() {
    let told = |signature: &str| {
        let import = format!(
            "import: {{ uri: m.onnx, digest: \"sha256:{}\", signature: \"{signature}\" }}",
            "a".repeat(64)
        );
        let fitted = "algorithm: gradient_boosting\n  hyperparameters:\n    trees: 100\n  seed: 42";
        render(PATH, TRAINING.replace(fitted, &import).as_bytes())
    };
    let digest = format!("m.sig@sha256:{}", "b".repeat(64));
    for signature in [
        "m.sig",
        "models/.sigs/a b.sig",
        &digest,
        "https://h:8443/a/m.sig",
        "az://team/models/m.sig",
    ] {
        assert!(
            told(signature).ends_with("MLTrainingJob/wine-quality\n"),
            "{}",
            told(signature)
        );
    }
    for signature in [
        "../m.sig",
        "a/./m.sig",
        "a//m.sig",
        "/keys/m.sig",
        "m.sig@sha256:0",
        "a:b",
        "ftp://h/m.sig",
        "https://u:p@h/m.sig",
        "https://h/a/../m.sig",
        "s3://Team/m.sig",
        "mlflow://h/wine/3",
        "oci://h/team/wine",
    ] {
        let said = told(signature);
        assert!(
            said.contains("spec.import.signature: a signature is a file of the commit, or lies at"),
            "{said}"
        );
    }
}
