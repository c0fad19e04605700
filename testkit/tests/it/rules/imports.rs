//! What is wrong, and what is near that and is not, with a job that imports a model.

use super::{Fixture, Kind};

const IMPORT: &str = r#"{"uri": "m.onnx", "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;

/// Writes fixtures of jobs that import, each by what is changed besides.
macro_rules! importing {
    ($($changes:tt,)+) => {
        &[$((
            Kind::Training,
            &[("/algorithm", "null"), ("/import", IMPORT), $changes],
        ),)+]
    };
}

pub(super) const REFUSED: &[Fixture] = importing![
    // Both are given.
    ("/algorithm", r#""gradient_boosting""#),
    ("/schedule", r#"{"cron": "0 3 * * SUN"}"#),
    ("/seed", "1"),
    ("/hyperparameters", r#"{"trees": 1}"#),
    ("/import/uri", r#""../m.onnx""#),
    ("/import/uri", r#""/models/m.onnx""#),
    ("/import/uri", r#""ftp://h/m.onnx""#),
    ("/import/uri", r#""https://u:p@h/m.onnx""#),
    ("/import/uri", r#""https://h/a/../m.onnx""#),
    ("/import/uri", r#""https://h/m.onnx?a""#),
    ("/import/uri", r#""hf://team/wine@main/m.onnx""#),
];

pub(super) const ACCEPTED: &[Fixture] = importing![
    ("/seed", "0"),
    ("/import/uri", r#""https://127.0.0.1:8443/a/m+1.onnx""#),
    (
        "/import/uri",
        r#""hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.onnx""#
    ),
];
