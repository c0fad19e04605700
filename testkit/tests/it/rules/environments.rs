//! Rules of an MLEnvironment: what each refuses, and what is near that.

use super::{Fixture, Kind};

pub(super) const REFUSED: &[Fixture] = &[
    (Kind::Environment, &[("/commits", r#"{"verify": "Warn"}"#)]),
    (
        Kind::Environment,
        &[(
            "/commits",
            r#"{"verify": "Require", "keyring": "k", "forge": {"squash": "Allow"}}"#,
        )],
    ),
    (Kind::Environment, &[("/models", r#"{"verify": "Require"}"#)]),
    (Kind::Environment, &[("/notify", r#"[{"secretFile": "a"}]"#)]),
    (
        Kind::Environment,
        &[(
            "/notify",
            r#"[{"type": "Slack", "url": "https://a.example/", "secretFile": "a"}]"#,
        )],
    ),
    (
        Kind::Environment,
        &[("/promotion", r#"{"from": "staging", "keyFile": "/keys/a"}"#)],
    ),
    (Kind::Environment, &[("/registry", r#"{"keyFile": "/keys/a"}"#)]),
];

pub(super) const ACCEPTED: &[Fixture] = &[
    (Kind::Environment, &[]),
    (Kind::Environment, &[("/commits", r#"{"verify": "Off"}"#)]),
    (Kind::Environment, &[("/models", r#"{"verify": "Off"}"#)]),
    (
        Kind::Environment,
        &[("/models", r#"{"verify": "Warn", "keys": "/etc/signers.pub"}"#)],
    ),
    (
        Kind::Environment,
        &[(
            "/commits",
            r#"{"verify": "Require", "allowedSigners": "a/..b", "forge": {"keyring": "/k"}}"#,
        )],
    ),
    (
        Kind::Environment,
        &[(
            "/notify",
            r#"[{"url": "https://a.example/b", "secretFile": "a"}, {"type": "Slack", "secretFile": "a"}]"#,
        )],
    ),
    (
        Kind::Environment,
        &[(
            "/promotion",
            r#"{"from": "staging", "status": "https://a.example", "keyFile": "/keys/a"}"#,
        )],
    ),
    (
        Kind::Environment,
        &[(
            "/registry",
            r#"{"upstream": "https://a.example:8443/b", "keyFile": "/keys/a"}"#,
        )],
    ),
    (Kind::Environment, &[("/registry", r#"{"path": "/a/..b/c:d"}"#)]),
];
