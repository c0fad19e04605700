//! Routes that are refused, and near ones that are not.

use super::{Fixture, Kind};

pub(super) const REFUSED: &[Fixture] = &[
    (Kind::Deployment, &[("/route", r#"{"provider": "None"}"#)]),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"provider": "Aurora", "path": "/", "host": "a.example.org"}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"provider": "IngressNginx", "gateway": {"name": "a"}, "tlsSecret": "a"}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "a.example.org", "ingressClassName": "a", "tlsSecret": "a"}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"provider": "IngressNginx", "grpc": {"host": "a.example.org", "gateway": {"name": "a"}}}"#,
        )],
    ),
    (Kind::Deployment, &[("/route", r#"{"grpc": {}}"#)]),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "a.example.org", "grpc": {"host": "a.example.org"}}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "*.example.org", "grpc": {"host": "a.example.org"}}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "a.b.example.org", "grpc": {"host": "*.example.org"}}"#,
        )],
    ),
];

pub(super) const ACCEPTED: &[Fixture] = &[
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"provider": "IngressNginx", "path": "/a/b", "host": "*.example.org", "ingressClassName": "nginx", "tlsSecret": "a.b"}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "a.example.org", "grpc": {"host": "ba.example.org"}}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"host": "*.a.example.org", "grpc": {"host": "a.example.org"}}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/route",
            r#"{"grpc": {"gateway": {"name": "a", "sectionName": "grpc"}}}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[("/route", r#"{"provider": "Aurora", "grpc": {}}"#)],
    ),
];
