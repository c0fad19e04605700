//! What a pin of a version needs that another engine evaluates.

use expect_test::expect;
use planner::engine::Engine;
use planner::observed::ObservedVersion;

use super::serving;
use crate::support::{declared_deployment, digest, version};

#[test]
fn a_version_that_another_engine_evaluates_needs_the_deployments_word() {
    let mut case = serving(2, None);
    case.publish("m", 3, None);
    let foreign = ObservedVersion::Sound {
        digest: digest(3),
        inputs: None,
        engine: Engine::OnnxRuntime,
    };
    case.model("m").versions.insert(version(3), foreign);
    case.commit(2, 3, None);
    case.check(&expect![[r#"
        MLDeployment/m: is stopped: EngineNotDeclared: stable: version v20260104-000000 of m is evaluated by OnnxRuntime, which the deployment does not allow
        environments/dev/m.yaml:1:1: EngineNotDeclared: MLDeployment/m: stable: version v20260104-000000 of m is evaluated by OnnxRuntime, which the deployment does not allow
          hint: add `engine: OnnxRuntime` to the deployment, or pin another version
    "#]]);
    let mut spec = declared_deployment("m", 3, None);
    spec.engine = Engine::OnnxRuntime;
    case.commit_deployment(3, "m", spec);
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260104-000000 (88185d128d99), engine Aurora -> OnnxRuntime [0000000003]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    // What our own engine evaluates needs none.
    let mut spec = declared_deployment("m", 2, None);
    spec.engine = Engine::OnnxRuntime;
    case.commit_deployment(4, "m", spec);
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d), engine Aurora -> OnnxRuntime [0000000004]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}
