//! What only a cluster makes use of: taken everywhere, and told where it is wrong.

use expect_test::expect;
use planner::deployment::{CANARY_REPLICAS, STABLE_REPLICAS};

use super::*;

fn deployment(more: &str) -> String {
    format!("{DEPLOYMENT}{more}")
}

#[test]
fn replicas_have_defaults() {
    let parsed = parse_file(PATH, DEPLOYMENT.as_bytes());
    let Manifest::Deployment(_, spec) = &parsed.documents[0].manifest else {
        panic!("{parsed:?}")
    };
    let canary = spec.canary.as_ref().unwrap();
    assert_eq!(
        (spec.replicas, canary.replicas),
        (STABLE_REPLICAS, CANARY_REPLICAS)
    );
    assert!(spec.operation().is_default());
}

#[test]
fn fields_of_a_cluster_point_at_what_is_wrong() {
    check(
        &deployment("    replicas: 0\n  autoscaling: { minReplicas: 5, maxReplicas: 1001 }\n"),
        expect![[r#"
            environments/dev/wine.yaml:11:15: InvalidManifest: MLDeployment/wine-quality: spec.canary.replicas: 0 is not a whole number from 1 to 1000
              hint: write a whole number from 1 to 1000
            environments/dev/wine.yaml:12:3: InvalidManifest: MLDeployment/wine-quality: spec.autoscaling: `targetCPUPercent` is missing
              hint: add `targetCPUPercent:` with a whole percent from 1 to 1000
            environments/dev/wine.yaml:12:47: InvalidManifest: MLDeployment/wine-quality: spec.autoscaling.maxReplicas: 1001 is not a whole number from 1 to 1000
              hint: write a whole number from 1 to 1000
        "#]],
    );
    check(
        &deployment("  autoscaling:\n    minReplicas: 5\n    maxReplicas: 4\n    targetCPUPercent: 70\n"),
        expect![[r#"
            environments/dev/wine.yaml:13:18: InvalidManifest: MLDeployment/wine-quality: spec.autoscaling.maxReplicas: `maxReplicas` is below `minReplicas`
              hint: write a `maxReplicas` that is no less than `minReplicas`
        "#]],
    );
    check(
        &deployment(
            "  pod:\n    resources:\n      requests: { cpu: 1 }\n      limits: { memory: 1GB, gpu: '1' }\n    nodeSelector: { a: 'b c' }\n",
        ),
        expect![[r#"
            environments/dev/wine.yaml:13:24: InvalidManifest: MLDeployment/wine-quality: spec.pod.resources.requests.cpu: expected a quantity in quotes or with a unit, e.g. 500m, "2" or 1.5Gi, got the number 1
              hint: put it in quotes if it is meant as text
            environments/dev/wine.yaml:14:25: InvalidManifest: MLDeployment/wine-quality: spec.pod.resources.limits.memory: "1GB" is not a quantity in quotes or with a unit, e.g. 500m, "2" or 1.5Gi
              hint: write a quantity in quotes or with a unit, e.g. 500m, "2" or 1.5Gi
            environments/dev/wine.yaml:15:24: InvalidManifest: MLDeployment/wine-quality: spec.pod.nodeSelector.a: "b c" is not at most 63 letters, digits, '-', '_' and '.', a letter or digit at each end
              hint: write at most 63 letters, digits, '-', '_' and '.', a letter or digit at each end
        "#]],
    );
    check(
        &deployment("  pod:\n    labels:\n      track: a\n    env:\n    - { name: AURORA_X, value: a }\n"),
        expect![[r#"
            environments/dev/wine.yaml:12:5: InvalidManifest: MLDeployment/wine-quality: spec.pod.labels: app, track, app.kubernetes.io/… and aurora.io/… are labels that Aurora writes
              hint: give the label another name
            environments/dev/wine.yaml:14:5: InvalidManifest: MLDeployment/wine-quality: spec.pod.env: AURORA_… are variables that Aurora writes
              hint: give the variable another name
        "#]],
    );
    let labels: String = (0..17)
        .flat_map(|n| ["      l".to_owned(), n.to_string(), ": a\n".to_owned()])
        .collect();
    check(
        &deployment(&format!("  pod:\n    labels:\n{labels}")),
        expect![[r#"
        environments/dev/wine.yaml:12:5: InvalidManifest: MLDeployment/wine-quality: spec.pod.labels: expected at most 16 labels, got 17
          hint: write at most 16
    "#]],
    );
    check(
        &deployment("  route:\n    provider: Gateway\n    path: //a\n    host: A.example.org\n"),
        expect![[r#"
            environments/dev/wine.yaml:12:15: InvalidManifest: MLDeployment/wine-quality: spec.route.provider: the text "Gateway" is not one of GatewayApi, IngressNginx, Aurora, None
              hint: write one of these
            environments/dev/wine.yaml:13:11: InvalidManifest: MLDeployment/wine-quality: spec.route.path: "//a" is not a path that begins with '/', e.g. / or /wine
              hint: write a path that begins with '/', e.g. / or /wine
            environments/dev/wine.yaml:14:11: InvalidManifest: MLDeployment/wine-quality: spec.route.host: "A.example.org" is not a host, e.g. models.example.org or *.example.org
              hint: write a host, e.g. models.example.org or *.example.org
        "#]],
    );
    check(
        &deployment("  route:\n    provider: None\n    host: a.example.org\n"),
        expect![[r#"
            environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: with provider None nothing gives the canary a share of the traffic
              hint: write `weight: 0`, or another provider
            environments/dev/wine.yaml:13:11: InvalidManifest: MLDeployment/wine-quality: spec.route.host: the provider takes no host
              hint: remove `host`: only GatewayApi and IngressNginx route by it
        "#]],
    );
    check(
        &TRAINING.replace("algorithm: gradient_boosting", "container: { image: 'a b' }"),
        expect![[r#"
            environments/dev/wine.yaml:10:23: InvalidManifest: MLTrainingJob/wine-quality: spec.container.image: "a b" is not an image, e.g. registry.example.org/team/trainer:1.2
              hint: write an image, e.g. registry.example.org/team/trainer:1.2
        "#]],
    );
    check(
        &TRAINING.replace("  algorithm: gradient_boosting\n", ""),
        expect![[r#"
            environments/dev/wine.yaml:5:1: InvalidManifest: MLTrainingJob/wine-quality: spec: a job has exactly one of `algorithm`, `command`, `container` and `import`
              hint: add `algorithm:` with one of linear_regression, gradient_boosting, logistic_regression; or `import:` with the file of a model that was made elsewhere; or `command:` with a program of your own, in a cluster `container:` with the image of one
        "#]],
    );
}
