//! Pins of versions that only another environment has.

use expect_test::expect;
use planner::endpoint::Endpoint;
use planner::imports::Fault;
use planner::training::RunPolicy;

use super::{Case, serving};
use crate::support::{declared_deployment, digest, object, revision, training, version};

/// Stable 1 serves, and a commit pins stable 3, with its digest, which only the upstream has.
fn pins_what_is_elsewhere() -> Case {
    let mut case = serving(2, None);
    case.desired.environment.upstream = Some(Endpoint {
        url: "https://staging.example.org".parse().unwrap(),
        key_file: Some("/keys/staging".to_owned()),
    });
    case.converge();
    let mut spec = declared_deployment("m", 3, None);
    spec.stable.digest = Some(digest(3));
    case.commit_deployment(2, "m", spec);
    case
}

#[test]
fn a_version_of_another_environment_is_imported_once() {
    let mut case = pins_what_is_elsewhere();
    case.apply(&expect![[r#"
        m: import v20260104-000000 (88185d128d99) from https://staging.example.org [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000002]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which is imported from https://staging.example.org
    "#]]);
    // It was asked for.
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: stable waits for v20260104-000000, which is imported from https://staging.example.org
    "#]]);
    // Asked for by another commit, it is the same.
    case.desired.deployments.get_mut(&object("m")).unwrap().revision = revision(3);
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000003]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which is imported from https://staging.example.org
    "#]]);
    // Another digest is another version.
    let mut spec = declared_deployment("m", 3, None);
    spec.stable.digest = Some(digest(4));
    case.commit_deployment(4, "m", spec);
    case.check(&expect![[r#"
        m: import v20260104-000000 (1bc5d0e3df0e) from https://staging.example.org [0000000004]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000004]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which is imported from https://staging.example.org
    "#]]);
    // It came.
    let mut spec = declared_deployment("m", 3, None);
    spec.stable.digest = Some(digest(3));
    case.commit_deployment(5, "m", spec);
    case.publish("m", 3, None);
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99) [0000000005]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn what_is_made_here_or_has_no_digest_is_not_imported() {
    let mut case = pins_what_is_elsewhere();
    case.commit_training(3, "t", training("m", RunPolicy::Fixed(version(3))));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260104-000000 with linear_regression, m [0000000003]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000002]
        waiting: MLDeployment/m: stable waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
    let mut case = pins_what_is_elsewhere();
    case.commit(3, 3, None);
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: VersionMissing: stable: version v20260104-000000 of m does not exist here, and without a digest it is not imported from https://staging.example.org
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260104-000000 of m does not exist here, and without a digest it is not imported from https://staging.example.org
          hint: write `digest:` into the pin, as `aurora promote` does
    "#]]);
    // While nothing may be changed, nothing is asked for.
    let mut case = pins_what_is_elsewhere();
    case.desired.environment.suspend = Some("audit".to_owned());
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        held: m: import v20260104-000000 (88185d128d99) from https://staging.example.org [0000000002]
        held: MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000002]
    "#]]);
}

#[test]
fn an_import_that_failed_says_why_and_what_serves_stays() {
    let mut case = pins_what_is_elsewhere();
    case.converge();
    for (fault, expected) in [
        (
            Fault::OtherDigest(digest(9)),
            expect![[r#"
            environments/dev/m.yaml:1:1: DigestMismatch: MLDeployment/m: stable: version v20260104-000000 of m is sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3 at https://staging.example.org, the pin says sha256:88185d128d9922e0e6bcd32b07b6c7f20f27968eab447a1d8d1cdf250f79f7d3
              hint: what serves stays; pin the digest that was reviewed there, as `aurora promote` does"#]],
        ),
        (
            Fault::NotThere,
            expect![[r#"
            environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260104-000000 of m is neither here nor at https://staging.example.org
              hint: what serves stays, and it is asked again; pin a version that is there"#]],
        ),
        (
            Fault::Refused("no key".to_owned()),
            expect![[r#"
            environments/dev/m.yaml:1:1: ImportFailed: MLDeployment/m: stable: version v20260104-000000 of m is not handed out by https://staging.example.org: no key
              hint: what serves stays, and it is asked again; `keyFile` must name a file with a key that its control plane knows"#]],
        ),
        (
            Fault::Unusable("its example differs".to_owned()),
            expect![[r#"
                environments/dev/m.yaml:1:1: ImportFailed: MLDeployment/m: stable: version v20260104-000000 of m from https://staging.example.org cannot be used: its example differs
                  hint: what serves stays; `aurora model verify` there says which versions are sound"#]],
        ),
        (
            Fault::Unavailable("connection refused".to_owned()),
            expect![[r#"
                environments/dev/m.yaml:1:1: UpstreamUnavailable: MLDeployment/m: stable: version v20260104-000000 of m cannot be fetched from https://staging.example.org: connection refused
                  hint: what serves stays, and it is tried again"#]],
        ),
        (
            Fault::Storage("no space left".to_owned()),
            expect![[r#"
            environments/dev/m.yaml:1:1: StorageUnavailable: MLDeployment/m: stable: version v20260104-000000 of m came from https://staging.example.org and cannot be kept: no space left
              hint: what serves stays, and it is tried again"#]],
        ),
    ] {
        let imports = case.observed.imports.values_mut();
        for import in imports.flat_map(|imports| imports.values_mut()) {
            import.fault = Some(fault.clone());
        }
        let findings = case.plan().findings;
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        expected.assert_eq(&findings.join("\n"));
    }
}
