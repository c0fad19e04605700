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

/// Whatever is fitted is fitted to rows, and what they are is evaluated.
const WITHOUT_ROWS: &[Fixture] = &[
    (Kind::Training, &[("/dataset", "null")]),
    (Kind::Training, &[("/dataset", "null"), ("/evaluation", "null")]),
    (Kind::Training, &[("/evaluation", "null")]),
];

/// A program of the commit is the one thing that makes the model, and its files lie in the commit.
const COMMANDS_REFUSED: &[Fixture] = &[
    (Kind::Training, &[("/command", r#"["python", "train.py"]"#)]),
    (Kind::Training, &[("/algorithm", "null"), ("/command", "[]")]),
    (Kind::Training, &[("/files", r#"["train.py"]"#)]),
    // What is fitted here is evaluated here.
    (Kind::Training, &[("/engine", r#""OnnxRuntime""#)]),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            ("/command", r#"["sh"]"#),
            ("/files", r#"["/bin/sh"]"#),
        ],
    ),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            ("/command", r#"["sh"]"#),
            ("/files", r#"["a/../b"]"#),
        ],
    ),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            ("/command", r#"["sh"]"#),
            ("/files", r#"["a@sha256:0"]"#),
        ],
    ),
];

const COMMANDS_ACCEPTED: &[Fixture] = &[
    (Kind::Training, &[("/engine", r#""Aurora""#)]),
    (Kind::Training, &[("/command", "[]"), ("/files", "[]")]),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            ("/command", r#"["python", "-u", "fit/train.py"]"#),
            (
                "/files",
                r#"["fit/train.py", "me@home.py", "m@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]"#,
            ),
            ("/hyperparameters", r#"{"depth": 3}"#),
            ("/engine", r#""OnnxRuntime""#),
            ("/seed", "7"),
        ],
    ),
];

pub(super) fn refused() -> impl Iterator<Item = &'static Fixture> {
    REFUSED.iter().chain(WITHOUT_ROWS).chain(COMMANDS_REFUSED)
}

pub(super) fn accepted() -> impl Iterator<Item = &'static Fixture> {
    ACCEPTED.iter().chain([&UNEVALUATED]).chain(COMMANDS_ACCEPTED)
}

const REFUSED: &[Fixture] = importing![
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
    ("/import/uri", r#""s3://Team/m.onnx""#),
    ("/import/uri", r#""az://team/m.onnx""#),
    ("/import/uri", r#""mlflow://h/wine/latest""#),
    ("/import/uri", r#""oci://h/team/wine:latest""#),
    ("/dataset", "null"),
    ("/evaluation", "null"),
    ("/import/features", r#"["alcohol"]"#),
    (
        "/import/files",
        r#"{"../m.data": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#
    ),
    (
        "/import/files",
        r#"{".data": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#
    ),
    ("/import/signature", r#""../m.sig""#),
    ("/import/signature", r#""a/./m.sig""#),
    ("/import/signature", r#""/keys/m.sig""#),
    ("/import/signature", r#""m.sig@sha256:0""#),
    ("/import/signature", r#""a:b""#),
    ("/import/signature", r#""ftp://h/m.sig""#),
    ("/import/signature", r#""https://u:p@h/m.sig""#),
    ("/import/signature", r#""https://h/m.sig?a""#),
    ("/import/signature", r#""mlflow://h/wine/3""#),
    ("/import/signature", r#""oci://h/team/wine""#),
    ("/import/outputs", "{}"),
    ("/import/outputs", r#"{"prediction": "a", "label": "b"}"#),
    ("/import/outputs", r#"{"prediction": "a", "probabilities": "b"}"#),
];

/// What no dataset says, the job does.
const UNEVALUATED: Fixture = (
    Kind::Training,
    &[
        ("/algorithm", "null"),
        ("/import", IMPORT),
        ("/import/features", r#"["alcohol"]"#),
        ("/import/labels", r#"["no", "yes"]"#),
        (
            "/import/outputs",
            r#"{"label": "class", "probabilities": "shares"}"#,
        ),
        ("/dataset", "null"),
        ("/evaluation", "null"),
    ],
);

const ACCEPTED: &[Fixture] = importing![
    ("/engine", r#""OnnxRuntime""#),
    ("/seed", "0"),
    ("/import/features", "[]"),
    (
        "/import/files",
        r#"{"_m.onnx-data+1": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#
    ),
    ("/import/labels", r#"["1", "2"]"#),
    ("/import/outputs", r#"{"prediction": "a"}"#),
    ("/import/signature", r#""models/.sigs/a b.sig""#),
    (
        "/import/signature",
        r#""m.sig@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb""#
    ),
    ("/import/signature", r#""https://127.0.0.1:8443/a/m+1.sig""#),
    ("/import/signature", r#""s3://team.models/a/m.sig""#),
    ("/import/signature", r#""az://team/models/a/m.sig""#),
    (
        "/import/signature",
        r#""hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.sig""#
    ),
    ("/import/uri", r#""https://127.0.0.1:8443/a/m+1.onnx""#),
    ("/import/uri", r#""s3://team.models/a/m.onnx""#),
    ("/import/uri", r#""gs://team_models/m.onnx""#),
    ("/import/uri", r#""az://team/models/a/m.onnx""#),
    ("/import/uri", r#""mlflow+http://127.0.0.1:5000/wine/3""#),
    ("/import/uri", r#""oci://ghcr.io/team/wine""#),
    (
        "/import/uri",
        r#""hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.onnx""#
    ),
];
