//! Pull requests, and what of two commits, or of objects at two times, tells what comes of them.

use std::collections::BTreeMap;

use planner::deployment::{Canary, DeclaredDeployment, Pin, ResolvedDeployment, ResolvedPin};
use planner::desired::{Completeness, Dating, Declared, Desired};
use planner::finding::Location;
use planner::names::{Digest, Revision};
use reconciler::diff::Intents;
use reconciler::objects::ObservedObject;

use crate::repository::{ENVIRONMENT, Repo, V1, V2, training};

/// The models of which there are versions.
pub(crate) const MODELS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Those that are served before the first request.
pub(crate) const SERVED: [&str; 4] = ["a", "b", "c", "d"];

/// A pull request: what it changes, and whether that may happen.
pub(crate) struct Request {
    pub(crate) what: &'static str,
    pub(crate) edit: fn(&mut Repo),
    pub(crate) comes: Comes,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comes {
    /// What was planned.
    Planned,
    /// Nothing was planned, and nothing happens.
    Nothing,
    /// The plan says that something holds it back, and nothing of it happens.
    Held,
    /// What was planned is so already: two commits do not tell what was refused of the first.
    Already,
}

fn pinned(model: &str, version: &str) -> String {
    let digest = Digest::of(format!("{model} {version}").as_bytes());
    format!("{{ version: {version}, digest: \"{digest}\" }}")
}

/// An MLDeployment with digests; `more` are further lines of its spec.
fn manifest(model: &str, stable: &str, canary: Option<(&str, u8)>, more: &str) -> String {
    let canary = canary.map_or(String::new(), |(version, weight)| {
        let pin = pinned(model, version).replace(" }", &format!(", weight: {weight} }}"));
        format!("  canary: {pin}\n")
    });
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {model} }}
spec:
  modelName: {model}
  stable: {}
{canary}{more}",
        pinned(model, stable)
    )
}

pub(crate) fn write(repo: &mut Repo, model: &str, stable: &str, canary: Option<(&str, u8)>, more: &str) {
    let path = format!("environments/dev/{model}.yaml");
    repo.write(&path, &manifest(model, stable, canary, more));
}

fn environment(repo: &mut Repo, more: &str) {
    let content = ENVIRONMENT.replace("Standalone", &format!("Standalone{more}"));
    repo.write("environments/dev/environment.yaml", &content);
}

fn remove(repo: &mut Repo, file: &str) {
    repo.remove(&format!("environments/dev/{file}.yaml"));
}

/// A job's manifest, and one line of its spec instead of another.
fn job(repo: &mut Repo, line: &str, instead: &str) {
    let content = training("f", "v20261125-080000", "builtin:iris");
    assert!(content.contains(line), "{content}");
    repo.write("environments/dev/job.yaml", &content.replace(line, instead));
}

const POD: &str = "  pod: { resources: { requests: { memory: 1Gi } } }\n";
const SCALED: &str = "  autoscaling: { minReplicas: 2, maxReplicas: 5, targetCPUPercent: 70 }\n";
const STOPPED: &str = "  suspend: somebody looks at it\n";

/// They follow one another.
pub(crate) const REQUESTS: &[Request] = {
    use Comes::{Already, Held, Nothing, Planned};
    const fn request(what: &'static str, comes: Comes, edit: fn(&mut Repo)) -> Request {
        Request { what, edit, comes }
    }
    &[
        request("a model is served", Planned, |repo| {
            write(repo, "e", V1, None, "");
        }),
        request("a canary", Planned, |repo| {
            write(repo, "a", V1, Some((V2, 10)), "");
        }),
        request("more of it", Planned, |repo| {
            write(repo, "a", V1, Some((V2, 50)), "");
        }),
        request("less of it", Planned, |repo| {
            write(repo, "a", V1, Some((V2, 5)), "");
        }),
        request("a promotion", Planned, |repo| write(repo, "a", V2, None, "")),
        request("a roll back", Planned, |repo| {
            write(repo, "a", V1, None, &format!("  rejected: [ {V2} ]\n"));
        }),
        request("a rejection lifted", Planned, |repo| {
            write(repo, "a", V1, None, "");
        }),
        request("a canary leaves again", Planned, |repo| {
            write(repo, "b", V1, Some((V2, 10)), "");
            write(repo, "c", V1, None, POD);
        }),
        request("a canary that goes", Planned, |repo| {
            write(repo, "b", V1, None, "");
        }),
        request("an autoscaler", Planned, |repo| {
            write(repo, "c", V1, None, SCALED);
        }),
        request("settings of pods", Planned, |repo| {
            write(repo, "c", V1, None, POD);
        }),
        request("neither", Planned, |repo| write(repo, "c", V1, None, "")),
        request("a comment", Nothing, |repo| {
            let content = format!("# by hand\n{}", manifest("c", V1, None, ""));
            repo.write("environments/dev/c.yaml", &content);
        }),
        request("a file moves", Nothing, |repo| {
            remove(repo, "c");
            repo.write("environments/dev/sub/c.yaml", &manifest("c", V1, None, ""));
        }),
        request("a file that is none of ours", Nothing, |repo| {
            repo.write("README", "hello");
        }),
        request("another name for the object of a model", Planned, |repo| {
            let content = manifest("c", V1, None, "").replace("{ name: c }", "{ name: c2 }");
            repo.write("environments/dev/sub/c.yaml", &content);
        }),
        request("two objects exchange their models", Planned, |repo| {
            for (name, other) in [("a", "b"), ("b", "a")] {
                let name = format!("{{ name: {name} }}");
                let content = manifest(other, V1, None, "").replace(&format!("{{ name: {other} }}"), &name);
                repo.write(&format!("environments/dev/{other}.yaml"), &content);
            }
        }),
        request("a model is suspended", Planned, |repo| {
            write(repo, "d", V1, None, STOPPED);
        }),
        request("another version for it meanwhile", Held, |repo| {
            write(repo, "d", V2, None, STOPPED);
        }),
        request("which is taken back", Held, |repo| {
            write(repo, "d", V1, None, STOPPED);
        }),
        request("and it goes on", Planned, |repo| write(repo, "d", V1, None, "")),
        request("with another version", Planned, |repo| {
            write(repo, "d", V2, None, "");
        }),
        request("a model goes", Planned, |repo| remove(repo, "e")),
        request("too many go", Held, |repo| {
            for file in ["a", "b", "d", "sub/c"] {
                remove(repo, file);
            }
        }),
        request("and come back", Already, |repo| {
            write(repo, "d", V2, None, "");
            let content = manifest("c", V1, None, "").replace("{ name: c }", "{ name: c2 }");
            repo.write("environments/dev/sub/c.yaml", &content);
            for (name, other) in [("a", "b"), ("b", "a")] {
                let name = format!("{{ name: {name} }}");
                let content = manifest(other, V1, None, "").replace(&format!("{{ name: {other} }}"), &name);
                repo.write(&format!("environments/dev/{other}.yaml"), &content);
            }
        }),
        request("a job", Planned, |repo| job(repo, "f", "f")),
        request("another seed for its holdout", Planned, |repo| {
            job(repo, "seed: 0", "seed: 7");
        }),
        request("the job goes", Planned, |repo| remove(repo, "job")),
        request("other limits of removals", Planned, |repo| {
            environment(repo, ", removal: { maxCount: 4 }");
        }),
        request("all is suspended", Planned, |repo| {
            environment(repo, ", suspend: a freeze");
        }),
        request("a canary meanwhile", Held, |repo| {
            write(repo, "d", V2, Some((V1, 10)), "");
        }),
        request("which is taken back, too", Held, |repo| {
            write(repo, "d", V2, None, "");
        }),
        request("all goes on", Planned, |repo| environment(repo, "")),
        request("a file that cannot be read", Nothing, |repo| {
            repo.write("environments/dev/broken.yaml", "kind: [");
        }),
        request("a canary beside it", Planned, |repo| {
            write(repo, "d", V2, Some((V1, 20)), "");
        }),
        request("it is mended", Nothing, |repo| remove(repo, "broken")),
        request("a largest step", Planned, |repo| {
            environment(repo, ", gates: { maxWeightStep: 20, onUnknown: Allow }");
        }),
        request("a step that is larger", Held, |repo| {
            write(repo, "d", V2, Some((V1, 90)), "");
        }),
        request("which is taken back at last", Already, |repo| {
            write(repo, "d", V2, Some((V1, 20)), "");
        }),
        request("one that is not", Planned, |repo| {
            write(repo, "d", V2, Some((V1, 40)), "");
        }),
    ]
};

fn declared(spec: &ResolvedDeployment) -> DeclaredDeployment {
    let pin = |pin: &ResolvedPin| Pin {
        version: pin.version.clone(),
        digest: Some(pin.digest),
    };
    DeclaredDeployment {
        model: spec.model.clone(),
        stable: pin(&spec.stable),
        replicas: spec.replicas,
        canary: spec.canary.as_ref().map(|canary| Canary {
            pin: pin(&canary.pin),
            weight: canary.weight,
            replicas: canary.replicas,
        }),
        autoscaling: spec.autoscaling,
        pod: spec.pod.clone(),
        route: spec.route.clone(),
        engine: spec.engine,
        suspend: spec.suspend.clone(),
        rejected: spec.rejected.clone(),
        allow_breaking: spec.allow_breaking.clone(),
    }
}

/// What the objects say, as if a commit had said so.
pub(crate) fn observed(objects: Vec<ObservedObject>, revision: &Revision) -> Desired {
    fn of<S>(spec: S, revision: &Revision) -> Declared<S> {
        Declared {
            spec,
            revision: revision.clone(),
            committed_at: planner::Timestamp::default(),
            dating: Dating::Known,
            location: Location {
                file: String::new(),
                line: 1,
                column: 1,
            },
        }
    }
    let (mut environment, mut deployments, mut trainings) = (None, BTreeMap::new(), BTreeMap::new());
    for object in objects {
        match object {
            ObservedObject::Environment(found) => environment = Some(found),
            ObservedObject::Deployment(name, found) => {
                deployments.insert(name, of(declared(&found.object.spec), revision));
            }
            ObservedObject::Training(name, found) => {
                trainings.insert(name, of(found.object.spec, revision));
            }
        }
    }
    Desired {
        revision: revision.clone(),
        environment: environment.unwrap(),
        completeness: Completeness::Complete,
        deployments,
        trainings,
        allowed: None,
        overrides: BTreeMap::new(),
        promoted: BTreeMap::new(),
    }
}

/// The lines of a plan that say what is to happen.
pub(crate) fn lines(intents: &Intents) -> Vec<String> {
    let intents = intents.intents.iter();
    intents
        .map(|intent| format!("{}: {}", intent.subject, intent.text))
        .collect()
}
