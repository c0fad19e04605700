//! A commit's files → desired state and findings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use git2::Oid;
use planner::environment::{Environment, Target};
use planner::names::Digest;
use reconciler::resolve::{Resolution, Resolver};
use reconciler::source::Source;
use registry::DatasetRoots;

use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev, training};

fn resolve(repo: &Repo, last_good: Option<&Environment>) -> Resolution {
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let mut resolver = Resolver::default();
    resolver.resolve(&source, &head, &dev(), last_good).unwrap();
    resolver.into_resolution()
}

fn good() -> Environment {
    good_of(&Repo::with(&[]))
}

fn good_of(repo: &Repo) -> Environment {
    resolve(repo, None).desired.unwrap().environment
}

/// Shows what is declared, whether all was understood, and the findings; ids are cut out.
fn check(repo: &Repo, expected: &Expect) {
    let Resolution { desired, findings } = resolve(repo, Some(&good()));
    let desired = desired.unwrap();
    let mut shown = format!("{:?}\n", desired.completeness);
    for name in desired.deployments.keys() {
        writeln!(shown, "MLDeployment/{name}").unwrap();
    }
    for (name, declared) in &desired.trainings {
        let sha256 = declared
            .spec
            .rows
            .as_ref()
            .and_then(|rows| rows.dataset.sha256)
            .map_or(String::new(), |digest| format!(" {}", digest.short()));
        writeln!(shown, "MLTrainingJob/{name}{sha256}").unwrap();
    }
    for finding in findings {
        writeln!(shown, "{finding}").unwrap();
    }
    let head = repo.git().refname_to_id("refs/heads/main").unwrap().to_string();
    expected.assert_eq(&shown.replace(&head[..10], "HEAD"));
}

#[test]
fn good_files_are_declared_and_others_ignored() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, Some((V2, 10)))),
        ("deep/er/b.yml", &deployment("b", V1, None)),
        ("job.yaml", &training("a", V1, "data/rows.csv")),
        ("data/rows.csv", "x,quality\n1,2\n"),
        ("README.md", "kind: ["),
    ]);
    repo.entry(b"environments/dev/latest.csv", 0o120_000, b"data/rows.csv");
    repo.entry(b"environments/dev/script.sh", 0o100_755, b"exit 1");
    repo.commit("more");
    check(
        &repo,
        &expect![[r#"
            Complete
            MLDeployment/a
            MLDeployment/b
            MLTrainingJob/a-20261101-120000 0f766484b632
        "#]],
    );
}

#[test]
fn entries_that_are_no_files_are_findings() {
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    repo.entry(b"environments/dev/b.yaml", 0o120_000, b"../../secret.yaml");
    repo.entry(b"environments/dev/shared", 0o120_000, b"../other");
    repo.entry(b"environments/dev/caf\xe9.yaml", 0o100_644, b"x");
    let commit = repo.git().refname_to_id("HEAD").unwrap();
    repo.entry_of(b"environments/dev/sub", 0o160_000, commit);
    repo.commit("more");
    check(
        &repo,
        &expect![[r#"
        Partial
        MLDeployment/a
        environments/dev/b.yaml: UnsupportedEntry: is a symbolic link, which Aurora does not follow
          hint: commit a copy of the file, or move the file here
        environments/dev/caf�.yaml: UnsupportedEntry: name is not UTF-8
          hint: rename it
        environments/dev/shared: UnsupportedEntry: is a symbolic link, which Aurora does not follow
          hint: commit a copy of the file, or move the file here
        environments/dev/sub: UnsupportedEntry: is a submodule, which Aurora does not follow
          hint: commit its manifests into this repository
    "#]],
    );
}

#[test]
fn large_and_deep_files_are_findings() {
    let deep = "d/".repeat(18);
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("big.yaml", &"# padding\n".repeat(210_000)),
        ("data.csv", &"1,2\n".repeat(300_000)),
    ]);
    repo.change(&format!("{deep}z.yaml"), &deployment("z", V1, None));
    check(
        &repo,
        &expect![[r#"
        Partial
        MLDeployment/a
        environments/dev/big.yaml: Unreadable: the file has 2100000 bytes, a manifest at most 1048576
          hint: split it, or give data a name that does not end in .yaml or .yml
        environments/dev/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d: Unreadable: folder lies more than 16 levels below the environment
          hint: move its manifests up
    "#]],
    );
}

#[test]
fn two_manifests_for_one_thing_both_stay_out() {
    let repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("a-again.yaml", &deployment("a", V2, None)),
        ("b.yaml", &deployment("b", V1, None)),
        ("c.yaml", &deployment("c", V1, None)),
        ("d.yaml", &deployment("c", V1, None).replace("name: c", "name: d")),
        ("job.yaml", &training("b", V1, "builtin:iris")),
        (
            "job-again.yaml",
            &training("b", V1, "builtin:iris").replace("name: b-", "name: other-"),
        ),
    ]);
    check(
        &repo,
        &expect![[r#"
            Partial
            MLDeployment/b
            environments/dev/a-again.yaml:1:1: Duplicate: MLDeployment/a: the name MLDeployment/a is claimed by environments/dev/a.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
            environments/dev/a.yaml:1:1: Duplicate: MLDeployment/a: the name MLDeployment/a is claimed by environments/dev/a-again.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
            environments/dev/c.yaml:1:1: Duplicate: MLDeployment/c: model c is claimed by environments/dev/d.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
            environments/dev/d.yaml:1:1: Duplicate: MLDeployment/d: model c is claimed by environments/dev/c.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
            environments/dev/job-again.yaml:1:1: Duplicate: MLTrainingJob/other-20261101-120000: version v20261101-120000 of model b is claimed by environments/dev/job.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
            environments/dev/job.yaml:1:1: Duplicate: MLTrainingJob/b-20261101-120000: version v20261101-120000 of model b is claimed by environments/dev/job-again.yaml:1:1 too
              hint: keep one of the manifests; until then none of them is applied, and what serves stays
        "#]],
    );
}

/// In a cluster a route shadows another one of its host and path; one process has no routes.
#[test]
fn two_models_at_one_host_and_path_both_stay_out_of_a_cluster() {
    let routed = |model: &str, route: &str| {
        let manifest = deployment(model, V1, None);
        (
            format!("{model}.yaml"),
            format!("{}\n  route: {route}\n", manifest.trim_end()),
        )
    };
    let manifests = [
        routed("a", "{ path: /wine }"),
        routed("b", "{ provider: IngressNginx, path: /wine }"),
        routed("c", "{ path: /wine, host: models.example.org }"),
        routed("d", "{ path: /v2/models/e }"),
        routed("e", "{}"),
        routed("f", "{ provider: Aurora }"),
        routed("g", "{ provider: None }"),
        routed("h", "{ path: /wine/red }"),
    ];
    let files: Vec<(&str, &str)> = manifests
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mut repo = Repo::with(&files);
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| format!("MLDeployment/{name}"));
    let told = |repo: &Repo| {
        let found = resolve(repo, None);
        let deployments = found.desired.unwrap().deployments.into_keys();
        let names: Vec<String> = deployments.map(|name| format!("MLDeployment/{name}")).collect();
        (
            names,
            found.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    };
    assert_eq!(told(&repo), (all.to_vec(), vec![]));
    let elsewhere = ENVIRONMENT.replace("target: Standalone", "target: Kubernetes, namespace: m");
    repo.change("environment.yaml", &elsewhere);
    let (names, findings) = told(&repo);
    assert_eq!(
        names,
        ["c", "f", "g", "h"].map(|name| format!("MLDeployment/{name}"))
    );
    expect![[r#"
        environments/dev/a.yaml:1:1: Duplicate: MLDeployment/a: path /wine of any host is claimed by environments/dev/b.yaml:1:1 too
          hint: give one of the models another route.path or route.host, or name the Gateway (or class) of each where those differ; neither manifest is applied, and what serves stays
        environments/dev/b.yaml:1:1: Duplicate: MLDeployment/b: path /wine of any host is claimed by environments/dev/a.yaml:1:1 too
          hint: give one of the models another route.path or route.host, or name the Gateway (or class) of each where those differ; neither manifest is applied, and what serves stays
        environments/dev/d.yaml:1:1: Duplicate: MLDeployment/d: path /v2/models/e of any host is claimed by environments/dev/e.yaml:1:1 too
          hint: give one of the models another route.path or route.host, or name the Gateway (or class) of each where those differ; neither manifest is applied, and what serves stays
        environments/dev/e.yaml:1:1: Duplicate: MLDeployment/e: path /v2/models/e of any host is claimed by environments/dev/d.yaml:1:1 too
          hint: give one of the models another route.path or route.host, or name the Gateway (or class) of each where those differ; neither manifest is applied, and what serves stays"#]].assert_eq(&findings.join("\n"));
}

/// Returns the names of the deployments that are declared.
fn declared(repo: &Repo, resolver: &mut Resolver) -> Vec<String> {
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    let desired = resolver.resolution().desired.as_ref().unwrap();
    desired.deployments.keys().map(ToString::to_string).collect()
}

/// Each line is what manifests say of their routes; of the models at one place none is declared.
#[test]
fn one_host_and_path_is_one_place_only_where_requests_come_through_the_same() {
    let elsewhere = ENVIRONMENT.replace("target: Standalone", "target: Kubernetes, namespace: m");
    let check = |routes: &[&str], kept_out: &str| {
        let name = |at: usize| char::from(b'a' + u8::try_from(at).unwrap()).to_string();
        let manifest = |at: usize, route: &str| {
            let route = format!("  route: {{ path: /wine, {route} }}\n");
            (
                format!("{}.yaml", name(at)),
                deployment(&name(at), V1, None) + &route,
            )
        };
        let manifests: Vec<(String, String)> = routes
            .iter()
            .enumerate()
            .map(|(at, route)| manifest(at, route))
            .collect();
        let mut repo = Repo::with(&[("environment.yaml", elsewhere.as_str())]);
        let mut resolver = Resolver::default();
        // One after the other, and back again.
        let all = 1..=manifests.len();
        for count in all.clone().chain(all.rev()) {
            for (at, (file, text)) in manifests.iter().enumerate() {
                let path = format!("environments/dev/{file}");
                if at < count {
                    repo.write(&path, text);
                } else {
                    repo.remove(&path);
                }
            }
            repo.commit("changed");
            let found = declared(&repo, &mut resolver);
            assert_eq!(
                found,
                declared(&repo, &mut Resolver::default()),
                "{routes:?}, {count} of them"
            );
            if count == manifests.len() {
                let out: String = (0..count)
                    .map(name)
                    .filter(|name| !found.contains(name))
                    .collect();
                assert_eq!(out, kept_out, "{routes:?}: {:?}", resolver.resolution().findings);
            }
        }
    };
    let gateway = |name: &str| format!("gateway: {{ name: {name} }}");
    check(&[&gateway("x"), &gateway("x")], "ab");
    check(&[&gateway("x"), &gateway("w")], "");
    // The installation's may be any; that it may be two does not make the two one.
    check(&[&gateway("x"), "", &gateway("w")], "abc");
    check(&[&gateway("x"), &gateway("w"), &gateway("x")], "ac");
    check(&[&gateway("x"), "gateway: { name: x, namespace: m }"], "ab");
    check(&[&gateway("x"), "gateway: { name: x, namespace: o }"], "");
    check(
        &[
            "gateway: { name: x, sectionName: a }",
            "gateway: { name: x, sectionName: b }",
        ],
        "",
    );
    check(
        &[
            "gateway: { name: x, sectionName: a }",
            &gateway("x"),
            "gateway: { name: x, sectionName: b }",
        ],
        "abc",
    );
    let ingress = |class: &str| format!("provider: IngressNginx, ingressClassName: {class}");
    check(&[&ingress("x"), &ingress("w"), &gateway("x")], "");
    check(&[&ingress("x"), "provider: IngressNginx"], "ab");
}

#[test]
fn an_environment_that_is_missing_doubled_or_broken_leaves_the_last_good_one() {
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    repo.change("environment.yaml", "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: dev }\nspec: { targt: Standalone }\n");
    check(
        &repo,
        &expect![[r#"
        Partial
        MLDeployment/a
        environments/dev: EnvironmentMissing: MLEnvironment/dev: the folder has no MLEnvironment that can be read
          hint: commit exactly one, with metadata.name dev; until then the last good one goes on
        environments/dev/environment.yaml:4:9: InvalidManifest: MLEnvironment/dev: spec: unknown field `targt`
          hint: did you mean `target`?
    "#]],
    );
    repo.remove("environments/dev/environment.yaml");
    repo.commit("gone");
    check(
        &repo,
        &expect![[r#"
        Partial
        MLDeployment/a
        environments/dev: EnvironmentMissing: MLEnvironment/dev: the folder has no MLEnvironment that can be read
          hint: commit exactly one, with metadata.name dev; until then the last good one goes on
    "#]],
    );
    assert_eq!(resolve(&repo, None).desired, None);
    repo.write("environments/dev/environment.yaml", ENVIRONMENT);
    repo.change("other.yaml", ENVIRONMENT);
    check(
        &repo,
        &expect![[r#"
        Partial
        MLDeployment/a
        environments/dev/environment.yaml:1:1: EnvironmentMissing: MLEnvironment/dev: is one of 2 MLEnvironments in the folder
          hint: keep exactly one; until then the last good one goes on
        environments/dev/other.yaml:1:1: EnvironmentMissing: MLEnvironment/dev: is one of 2 MLEnvironments in the folder
          hint: keep exactly one; until then the last good one goes on
    "#]],
    );
    repo.remove("environments/dev");
    repo.write("README.md", "empty");
    repo.commit("folder gone");
    check(
        &repo,
        &expect![[r#"
            Partial
            environments/dev: EnvironmentMissing: MLEnvironment/dev: the commit has no such folder, nor another environment
              hint: what was applied stays; restore the folder, or commit it with its MLEnvironment and without the manifests of the models that are to go
        "#]],
    );
}

/// Whoever carries it out can do nothing with an environment of another target; who only looks at it can.
#[test]
fn an_environment_of_another_target_leaves_the_last_good_one() {
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    let good = good();
    let elsewhere = ENVIRONMENT.replace("target: Standalone", "target: Kubernetes, namespace: m");
    let head = repo.change("environment.yaml", &elsewhere);
    let source = Source::open_any(&repo.repository()).unwrap();
    let mut resolver = Resolver::without_history().for_target(Target::Standalone);
    resolver.resolve(&source, &head, &dev(), Some(&good)).unwrap();
    let resolution = resolver.resolution();
    assert_eq!(resolution.desired.as_ref().unwrap().environment, good);
    let told: Vec<String> = resolution.findings.iter().map(ToString::to_string).collect();
    expect![[r#"
        environments/dev/environment.yaml:1:1: InvalidManifest: MLEnvironment/dev: spec.target: is Kubernetes, and this is the Standalone target
          hint: `aurora up` serves Standalone environments, `aurora reconcile` those in Kubernetes; what was applied as Standalone goes on"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(resolve(&repo, Some(&good)).findings, []);
}

/// A commit moves nothing from one namespace to another: what serves would be left behind.
#[test]
fn an_environment_of_another_namespace_leaves_the_last_good_one() {
    let in_namespace = |name: &str| {
        ENVIRONMENT.replace(
            "target: Standalone",
            &format!("target: Kubernetes, namespace: {name}"),
        )
    };
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    repo.change("environment.yaml", &in_namespace("here"));
    let good = good_of(&repo);
    let head = repo.change("environment.yaml", &in_namespace("there"));
    let source = Source::open_any(&repo.repository()).unwrap();
    let mut resolver = Resolver::without_history().for_target(good.target.clone());
    resolver.resolve(&source, &head, &dev(), Some(&good)).unwrap();
    let resolution = resolver.resolution();
    assert_eq!(resolution.desired.as_ref().unwrap().environment, good);
    let told: Vec<String> = resolution.findings.iter().map(ToString::to_string).collect();
    expect![[r#"
        environments/dev/environment.yaml:1:1: InvalidManifest: MLEnvironment/dev: spec.namespace: is there, and this reconciler keeps here
          hint: what was applied goes on in here; to move it, install Aurora in there, let requests go there, then remove the installation in here"#]]
    .assert_eq(&told.join("\n"));
}

/// A file outside the repository is judged by its path alone: whether there is one is not looked at.
#[test]
fn a_file_outside_the_repository_must_lie_below_a_root_where_roots_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("data");
    std::fs::create_dir(&root).unwrap();
    let job = |name: &str, path: &str| {
        let sha256 = format!("\", sha256: \"{}\"", "0".repeat(64));
        training(name, V1, path).replace("\",", &format!("{sha256},"))
    };
    let inside = root.join("rows.csv").display().to_string();
    let holdout = job("holdout", &inside).replace(
        "{ percent: 20, seed: 0 }",
        &format!("{{ file: /etc/hostname, sha256: \"{}\" }}", "0".repeat(64)),
    );
    let repo = Repo::with(&[
        ("inside.yaml", &job("inside", &inside)),
        ("exists.yaml", &job("exists", "/etc/passwd")),
        ("missing.yaml", &job("missing", "/nowhere/at/all.csv")),
        ("holdout.yaml", &holdout),
    ]);
    let resolve = |roots: Option<DatasetRoots>| {
        let mut source = Source::open(&repo.repository(), None).unwrap();
        let head = source.head().unwrap();
        let mut resolver = Resolver::default().with_dataset_roots(roots);
        resolver.resolve(&source, &head, &dev(), None).unwrap();
        let Resolution { desired, findings } = resolver.into_resolution();
        let lines = findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        let jobs = desired.unwrap().trainings.into_keys();
        (
            jobs.map(|job| job.to_string()).collect::<Vec<_>>(),
            lines.join("\n"),
        )
    };
    let (jobs, findings) = resolve(Some(DatasetRoots::new(&[root]).unwrap()));
    assert_eq!(jobs, ["inside-20261101-120000"]);
    expect![[r#"
        environments/dev/exists.yaml:1:1: DatasetUnusable: MLTrainingJob/exists-20261101-120000: spec.dataset: /etc/passwd lies in no folder that data may be read from
          hint: commit the file, or start aurora with --dataset-root and the folder that holds it
        environments/dev/holdout.yaml:1:1: DatasetUnusable: MLTrainingJob/holdout-20261101-120000: spec.evaluation.holdout.file: /etc/hostname lies in no folder that data may be read from
          hint: commit the file, or start aurora with --dataset-root and the folder that holds it
        environments/dev/missing.yaml:1:1: DatasetUnusable: MLTrainingJob/missing-20261101-120000: spec.dataset: /nowhere/at/all.csv lies in no folder that data may be read from
          hint: commit the file, or start aurora with --dataset-root and the folder that holds it"#]].assert_eq(&findings);
    let (jobs, findings) = resolve(Some(DatasetRoots::default()));
    assert_eq!(jobs, [""; 0]);
    assert_eq!(
        findings
            .matches("lies in no folder that data may be read from")
            .count(),
        5,
        "{findings}"
    );
    // Where nobody knows, nothing is said.
    let (jobs, findings) = resolve(None);
    assert_eq!((jobs.len(), findings.as_str()), (4, ""));
}

#[test]
fn what_is_known_of_a_data_file_s_content_is_not_found_out_again() {
    let repo = Repo::with(&[
        ("rows.csv", "x,quality\n1,2\n"),
        ("job.yaml", &training("m", V1, "rows.csv")),
    ]);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let id = Oid::hash_object(git2::ObjectType::Blob, b"x,quality\n1,2\n")
        .unwrap()
        .to_string();
    let told = Digest::of(b"as it was told");
    let known = BTreeMap::from([(id.clone(), told)]);
    let mut resolver = Resolver::default().with_data_digests(known.clone());
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    let digest = |resolver: &Resolver| {
        let desired = resolver.resolution().desired.clone().unwrap();
        desired
            .trainings
            .into_values()
            .next()
            .unwrap()
            .spec
            .rows
            .unwrap()
            .dataset
            .sha256
    };
    assert_eq!(digest(&resolver), Some(told), "it was not hashed");
    assert_eq!(*resolver.data_digests(), known);
    // Of what nobody told, the content is what counts; and it is told on.
    let mut resolver = Resolver::default().with_data_digests(BTreeMap::from([("0".repeat(40), told)]));
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    let found = Digest::of(b"x,quality\n1,2\n");
    assert_eq!(digest(&resolver), Some(found));
    assert_eq!(*resolver.data_digests(), BTreeMap::from([(id, found)]));
}

#[test]
fn data_files_must_lie_in_the_commit() {
    let with_digest = training("m", V1, "rows.csv").replace(
        "rows.csv\"",
        &format!("rows.csv\", sha256: \"{}\"", "0".repeat(64)),
    );
    let importing = |model: &str, file: &str, digest: &Digest| {
        let import = format!("import: {{ uri: {file}, digest: \"{digest}\" }}");
        training(model, V1, "rows.csv").replace("algorithm: linear_regression", &import)
    };
    let of_model = Digest::of(b"an");
    let signed = |model: &str, signature: &str| {
        let digest = format!("digest: \"{of_model}\"");
        let signed = format!("{digest}, signature: \"{signature}\"");
        importing(model, "model.onnx", &of_model).replace(&digest, &signed)
    };
    let mut repo = Repo::with(&[
        ("rows.csv", "x,quality\n1,2\n"),
        ("good.yaml", &training("good", V1, "rows.csv")),
        ("sub/rows.csv", "1"),
        ("missing.yaml", &training("missing", V1, "nothing.csv")),
        ("folder.yaml", &training("folder", V1, "sub")),
        ("link.yaml", &training("link", V1, "link.csv")),
        ("pointer.yaml", &training("pointer", V1, "pointer.csv")),
        (
            "pointer.csv",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ),
        ("digest.yaml", &with_digest),
        ("model.onnx", "an"),
        ("import.yaml", &importing("import", "model.onnx", &of_model)),
        (
            "other.yaml",
            &importing("other", "model.onnx", &Digest::of(b"other")),
        ),
        ("none.yaml", &importing("none", "models/none.onnx", &of_model)),
        ("model.sig", "a signature"),
        ("signed.yaml", &signed("signed", "model.sig")),
        ("unsigned.yaml", &signed("unsigned", "none.sig")),
        ("pinned.yaml", &signed("pinned", &format!("model.sig@{of_model}"))),
    ]);
    repo.entry(b"environments/dev/link.csv", 0o120_000, b"rows.csv");
    repo.commit("link");
    check(
        &repo,
        &expect![[r#"
            Partial
            MLTrainingJob/good-20261101-120000 0f766484b632
            MLTrainingJob/import-20261101-120000 0f766484b632
            MLTrainingJob/signed-20261101-120000 0f766484b632
            environments/dev/digest.yaml:1:1: DatasetUnusable: MLTrainingJob/m-20261101-120000: spec.dataset: the sha256 of rows.csv is not 0000000000000000000000000000000000000000000000000000000000000000
              hint: correct sha256, or leave it out: a file of the commit needs none
            environments/dev/folder.yaml:1:1: DatasetUnusable: MLTrainingJob/folder-20261101-120000: spec.dataset: environments/dev/sub is a folder; commit the file itself
            environments/dev/link.yaml:1:1: DatasetUnusable: MLTrainingJob/link-20261101-120000: spec.dataset: environments/dev/link.csv is a symbolic link; commit the file itself
            environments/dev/missing.yaml:1:1: DatasetUnusable: MLTrainingJob/missing-20261101-120000: spec.dataset: environments/dev/nothing.csv is not in the commit; commit it, with a path relative to the manifest's folder
            environments/dev/none.yaml:1:1: DatasetUnusable: MLTrainingJob/none-20261101-120000: spec.import.uri: environments/dev/models/none.onnx is not in the commit; commit it, with a path relative to the manifest's folder
            environments/dev/other.yaml:1:1: DatasetUnusable: MLTrainingJob/other-20261101-120000: spec.import.digest: the digest of model.onnx is not sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa
              hint: if the file is the one that is meant, write sha256:ea325d761f98c6b73320e442b67f2a3574d9924716d788ddc0dbbdcaca853fe7
            environments/dev/pinned.yaml:1:1: DatasetUnusable: MLTrainingJob/pinned-20261101-120000: spec.import.signature: the digest of model.sig is not sha256:ea325d761f98c6b73320e442b67f2a3574d9924716d788ddc0dbbdcaca853fe7
              hint: leave the digest out: a file of the commit needs none
            environments/dev/pointer.yaml:1:1: DatasetUnusable: MLTrainingJob/pointer-20261101-120000: spec.dataset: environments/dev/pointer.csv is a Git LFS pointer, whose content is not in the commit; commit the file itself, or give an absolute path with sha256
            environments/dev/unsigned.yaml:1:1: DatasetUnusable: MLTrainingJob/unsigned-20261101-120000: spec.import.signature: environments/dev/none.sig is not in the commit; commit it, with a path relative to the manifest's folder
        "#]],
    );
}

#[test]
fn removals_are_allowed_by_a_commit_of_the_branch() {
    let allowing = |allow: &str| {
        ENVIRONMENT.replace(
            "Standalone }",
            &format!("Standalone, removal: {{ allow: \"{allow}\" }} }}"),
        )
    };
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
    ]);
    repo.remove("environments/dev/a.yaml");
    let removed = repo.commit("a goes");
    repo.change("environment.yaml", &allowing(removed.as_str()));
    let allowed = resolve(&repo, None).desired.unwrap().allowed.unwrap();
    assert_eq!(allowed.revision, removed);
    assert_eq!(
        allowed.models.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["b"]
    );

    let unknown = Oid::from_bytes(&[7; 20]).unwrap();
    repo.change("environment.yaml", &allowing(&unknown.to_string()));
    assert_eq!(resolve(&repo, None).desired.unwrap().allowed, None);
}
