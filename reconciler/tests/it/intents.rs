//! Two commits compared.

use expect_test::{Expect, expect};
use planner::names::Revision;
use reconciler::Elsewhere;
use reconciler::diff::Intents;
use reconciler::preview::{self, At, Known};

use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev, training};

/// Compares two commits on a Tuesday, without a registry.
fn between(repo: &Repo, base: &Revision, head: &Revision) -> Intents {
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    preview::between(
        &repo.repository(),
        base.as_str(),
        head.as_str(),
        &dev(),
        None,
        Elsewhere::default(),
        now,
    )
    .unwrap()
}

fn check(repo: &Repo, base: &Revision, head: &Revision, expected: &Expect) {
    let intents = between(repo, base, head);
    let text = intents
        .text()
        .replace(head.as_str(), "HEAD")
        .replace(base.short(), "BASE")
        .replace(head.short(), "HEAD");
    // The hash is compared by itself.
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("plan "))
        .collect::<Vec<_>>()
        .join("\n");
    expected.assert_eq(&text);
}

#[test]
fn changes_are_told_as_a_reviewer_would() {
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let first = repo.commit("nothing");
    let canary = repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    check(
        &repo,
        &first,
        &canary,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              canary v20261120-093000 gets 10% of the traffic
            m: canary v20261120-093000 beside v20261101-120000
              requests: 0% -> 10%
              unknown: no registry was named: give --registry"#]],
    );
    let raised = repo.change("m.yaml", &deployment("m", V1, Some((V2, 50))));
    check(
        &repo,
        &canary,
        &raised,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              canary v20261120-093000: 10% -> 50% of the traffic, and none if it was aborted
            m: canary v20261120-093000 beside v20261101-120000
              requests: 10% -> 50%
              unknown: no registry was named: give --registry"#]],
    );
    let promoted = repo.change("m.yaml", &deployment("m", V2, None));
    check(
        &repo,
        &raised,
        &promoted,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              promotes canary v20261120-093000 to stable (was v20261101-120000)
            m: stable v20261120-093000 beside v20261101-120000
              requests: 50% -> 100%
              unknown: no registry was named: give --registry"#]],
    );
    check(
        &repo,
        &promoted,
        &raised,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              stable: v20261120-093000 -> v20261101-120000
              canary v20261120-093000 gets 50% of the traffic
            m: stable v20261101-120000 beside v20261120-093000
              requests: 0% -> 100%
              unknown: no registry was named: give --registry
            m: canary v20261120-093000
              requests: 100% -> 50%"#]],
    );
    repo.write(
        "environments/dev/other.yaml",
        &training("other", V1, "builtin:iris"),
    );
    repo.remove("environments/dev/m.yaml");
    let other = repo.commit("other");
    check(
        &repo,
        &promoted,
        &other,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              is no longer served; its versions stay
            other
              MLTrainingJob/other-20261101-120000 trains v20261101-120000 by linear_regression"#]],
    );
    check(
        &repo,
        &other,
        &other,
        &expect![[r#"
            dev: BASE -> BASE
            no change"#]],
    );
    let broken = repo.change("other.yaml", "kind: Nonsense\n");
    check(
        &repo,
        &other,
        &broken,
        &expect![[r#"
            dev: BASE -> HEAD
            other
              MLTrainingJob/other-20261101-120000 is not among what was understood: it stays as it is
            not everything was understood: more may change than is listed, and nothing is removed
            environments/dev/other.yaml:1:7: InvalidManifest: kind: "Nonsense" is no kind that Aurora knows
              hint: the kinds are MLEnvironment, MLDeployment and MLTrainingJob; other files of the folder may have any name that does not end in .yaml or .yml"#]],
    );
}

#[test]
fn the_hash_is_of_what_is_declared() {
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let first = repo.commit("first");
    let changed = repo.change("m.yaml", &deployment("m", V2, None));
    let back = repo.change("m.yaml", &format!("# as it was\n{}", deployment("m", V1, None)));
    let hash = |base: &Revision, head: &Revision| between(&repo, base, head).hash;
    assert_eq!(hash(&first, &first), hash(&changed, &back));
    assert_ne!(hash(&first, &first), hash(&first, &changed));
}

#[test]
fn markup_in_a_manifest_stays_text() {
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let base = repo.commit("base");
    let head = repo.change(
        "m.yaml",
        &format!("{}  suspend: \"a | <b> [c](d) @e\"\n", deployment("m", V1, None)),
    );
    let intents = between(&repo, &base, &head);
    let markdown = intents
        .markdown()
        .replace(base.short(), "BASE")
        .replace(head.short(), "HEAD");
    let markdown: Vec<&str> = markdown
        .lines()
        .filter(|line| !line.starts_with("`plan"))
        .collect();
    expect![[r#"
        ### Aurora: `dev` BASE → HEAD

        | model | change |
        |---|---|
        | m | is suspended: a \| \<b\> \[c\](d) \@e |
    "#]]
    .assert_eq(&markdown.join("\n"));
}

/// A deployment whose name is not its model's.
fn named(name: &str, model: &str) -> String {
    deployment(model, V1, None).replace(
        &format!("metadata: {{ name: {model} }}"),
        &format!("metadata: {{ name: {name} }}"),
    )
}

#[test]
fn what_is_served_is_told_whatever_its_object_is_called() {
    let mut repo = Repo::with(&[("a.yaml", &named("a", "m")), ("b.yaml", &named("b", "o"))]);
    let base = repo.commit("base");
    repo.remove("environments/dev/a.yaml");
    let renamed = repo.change("z.yaml", &named("z", "m"));
    check(
        &repo,
        &base,
        &renamed,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              is served by MLDeployment/z, until now by MLDeployment/a"#]],
    );
    // z takes model o over, and m goes.
    repo.remove("environments/dev/b.yaml");
    let taken = repo.change("z.yaml", &named("z", "o"));
    check(
        &repo,
        &renamed,
        &taken,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              is no longer served; its versions stay
            o
              is served by MLDeployment/z, until now by MLDeployment/b"#]],
    );
    // Two exchange their models.
    repo.change("a.yaml", &named("a", "m"));
    let before = repo.change("b.yaml", &named("b", "o"));
    repo.remove("environments/dev/z.yaml");
    let base = repo.commit("two");
    repo.write("environments/dev/a.yaml", &named("a", "o"));
    let exchanged = repo.change("b.yaml", &named("b", "m"));
    check(
        &repo,
        &base,
        &exchanged,
        &expect![[r#"
            dev: BASE -> HEAD
            m
              is served by MLDeployment/b, until now by MLDeployment/a
            o
              is served by MLDeployment/a, until now by MLDeployment/b"#]],
    );
    assert_ne!(before, exchanged);
}

#[test]
fn what_will_be_refused_is_told() {
    let names = ["a", "b", "c", "d"];
    let mut repo = Repo::with(&[]);
    for name in names {
        repo.write(
            &format!("environments/dev/{name}.yaml"),
            &deployment(name, V1, None),
        );
    }
    let base = repo.commit("four");
    repo.remove("environments/dev/a.yaml");
    let one = repo.commit("one goes");
    check(
        &repo,
        &base,
        &one,
        &expect![[r#"
        dev: BASE -> HEAD
        a
          is no longer served; its versions stay"#]],
    );
    // Renamed, emptied, and turned to another model: three of four.
    repo.remove("environments/dev/b.yaml");
    repo.write("environments/dev/b.json", "{}");
    repo.write("environments/dev/c.yaml", "");
    let three = repo.change("d.yaml", &named("d", "e"));
    check(
        &repo,
        &base,
        &three,
        &expect![[r#"
            dev: BASE -> HEAD
            a
              MLDeployment/a is no longer declared, and stays all the same: too much would go at once
            b
              MLDeployment/b is no longer declared, and stays all the same: too much would go at once
            c
              MLDeployment/c is no longer declared, and stays all the same: too much would go at once
            d
              MLDeployment/d is no longer declared, and stays all the same: too much would go at once
            e
              begins to serve v20261101-120000, once model d may go
            e: stable v20261101-120000
              requests: 0% -> 100%
            RemovalRefused: MLEnvironment/dev: 4 of 4 models are no longer declared (a, b, c, d), and one commit may take away no more than 3 of them and 20 %; nothing is removed
              hint: restore the manifests, or let them go by a commit with `removal: { allow: "HEAD" }` in the MLEnvironment's spec"#]],
    );
    let validated = preview::validate(
        &repo.repository(),
        At::Commit(three.as_str()),
        None,
        &Known::default(),
    )
    .unwrap();
    let reasons: Vec<_> = validated[0]
        .findings
        .iter()
        .map(|finding| finding.reason)
        .collect();
    assert_eq!(reasons, [planner::finding::Reason::RemovalRefused]);
    let validated = preview::validate(
        &repo.repository(),
        At::Commit(one.as_str()),
        None,
        &Known::default(),
    )
    .unwrap();
    assert_eq!(validated[0].findings, []);
}

#[test]
fn what_is_suspended_does_not_happen() {
    let suspended = |weight| {
        let manifest = deployment("m", V1, Some((V2, weight)));
        format!("{manifest}  suspend: audit\n")
    };
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, Some((V2, 10))))]);
    let base = repo.commit("base");
    let one = repo.change("m.yaml", &suspended(50));
    check(
        &repo,
        &base,
        &one,
        &expect![[r#"
        dev: BASE -> HEAD
        m
          is suspended: audit
          once it is no longer suspended: canary v20261120-093000: 10% -> 50% of the traffic, and none if it was aborted"#]],
    );
    let environment = ENVIRONMENT.replace("Standalone }", "Standalone, suspend: freeze }");
    repo.change("environment.yaml", &environment);
    let frozen = repo.commit("frozen");
    let all = repo.change("m.yaml", &deployment("m", V2, None));
    check(
        &repo,
        &frozen,
        &all,
        &expect![[r#"
            dev: BASE -> HEAD
            dev
              is suspended, and nothing that is listed here happens before that is lifted: freeze
            m
              is no longer suspended
              promotes canary v20261120-093000 to stable (was v20261101-120000)
            m: stable v20261120-093000 beside v20261101-120000
              requests: 50% -> 100%
              unknown: no registry was named: give --registry"#]],
    );
    let nothing = repo.commit("nothing");
    check(
        &repo,
        &all,
        &nothing,
        &expect![[r#"
        dev: BASE -> HEAD
        no change"#]],
    );
    let validated = preview::validate(
        &repo.repository(),
        At::Commit(all.as_str()),
        None,
        &Known::default(),
    )
    .unwrap();
    assert_eq!(validated[0].suspended.as_deref(), Some("freeze"));
}

/// What one manifest becoming another is told as.
fn told(before: &str, after: &str) -> String {
    let mut repo = Repo::with(&[("m.yaml", before)]);
    let base = repo.commit("base");
    let head = repo.change("m.yaml", after);
    let intents = between(&repo, &base, &head);
    assert!(intents.findings.is_empty(), "{:?}", intents.findings);
    let texts: Vec<&str> = intents
        .intents
        .iter()
        .map(|intent| intent.text.as_str())
        .collect();
    texts.join("\n")
}

#[test]
fn whatever_becomes_of_a_canary_is_told() {
    const V3: &str = "v20261122-093000";
    let was = deployment("m", V1, Some((V2, 10)));
    let afters = [
        ("leaves", deployment("m", V1, None)),
        ("leaves as stable moves to a third", deployment("m", V3, None)),
        ("is another", deployment("m", V1, Some((V3, 30)))),
        ("gets less", deployment("m", V1, Some((V2, 5)))),
        ("gets none", deployment("m", V1, Some((V2, 0)))),
        (
            "is promoted, and another follows",
            deployment("m", V2, Some((V3, 1))),
        ),
        (
            "stays as stable moves to a third",
            deployment("m", V3, Some((V2, 10))),
        ),
    ];
    let table: Vec<String> = afters
        .iter()
        .map(|(what, after)| format!("{what}:\n{}", told(&was, after)))
        .collect();
    expect![[r#"
        leaves:
        canary v20261120-093000 leaves (was 10%)
        leaves as stable moves to a third:
        stable: v20261101-120000 -> v20261122-093000
        canary v20261120-093000 leaves (was 10%)
        is another:
        canary: v20261120-093000 -> v20261122-093000, at 30%
        gets less:
        canary v20261120-093000: 10% -> 5% of the traffic
        gets none:
        canary v20261120-093000: 10% -> 0% of the traffic
        is promoted, and another follows:
        promotes canary v20261120-093000 to stable (was v20261101-120000)
        canary: v20261120-093000 -> v20261122-093000, at 1%
        stays as stable moves to a third:
        stable: v20261101-120000 -> v20261122-093000"#]]
    .assert_eq(&table.join("\n"));
}

/// A deployment of [`V1`] and a canary of [`V2`], each pinned to a digest of one repeated digit.
fn digests(stable: Option<char>, canary: Option<char>) -> String {
    let pinned = |text: String, version: &str, digit: Option<char>| match digit {
        Some(digit) => text.replace(
            &format!("version: {version}"),
            &format!(
                "version: {version}, digest: \"sha256:{}\"",
                digit.to_string().repeat(64)
            ),
        ),
        None => text,
    };
    let text = deployment("m", V1, Some((V2, 10)));
    pinned(pinned(text, V1, stable), V2, canary)
}

#[test]
fn a_pin_of_other_bytes_is_told() {
    let cases = [
        (digests(None, None), digests(Some('a'), None)),
        (digests(Some('a'), None), digests(Some('b'), None)),
        (digests(None, Some('a')), digests(None, Some('b'))),
        (digests(None, Some('a')), digests(None, None)),
        (digests(Some('a'), Some('b')), digests(Some('a'), Some('b'))),
    ];
    let table: Vec<String> = cases
        .iter()
        .map(|(before, after)| format!("- {}", told(before, after)))
        .collect();
    expect![[r#"
        - stable v20261101-120000: digest none -> aaaaaaaaaaaa
        - stable v20261101-120000: digest aaaaaaaaaaaa -> bbbbbbbbbbbb
        - canary v20261120-093000: digest aaaaaaaaaaaa -> bbbbbbbbbbbb
        - canary v20261120-093000: digest aaaaaaaaaaaa -> none
        - "#]]
    .assert_eq(&table.join("\n"));
}

#[test]
fn what_may_not_come_back_or_may_again_is_told() {
    const V3: &str = "v20261122-093000";
    let rejecting = |versions: &str| format!("{}  rejected: [{versions}]\n", deployment("m", V1, None));
    let told = told(&rejecting(V2), &rejecting(V3));
    expect![[r#"
        rejects v20261122-093000: it may not be pinned again
        rejects v20261120-093000 no more: it may be pinned again"#]]
    .assert_eq(&told);
}

#[test]
fn what_begins_or_stays_suspended_is_told() {
    let plain = || deployment("m", V1, Some((V2, 10)));
    let suspended = |reason: &str| format!("{}  suspend: {reason}\n", plain());
    let nothing = training("other", V1, "builtin:iris");
    let cases = [
        (nothing.clone(), plain()),
        (nothing, suspended("audit")),
        (suspended("audit"), suspended("a longer audit")),
        (suspended("audit"), suspended("audit")),
        (suspended("audit"), plain()),
    ];
    let table: Vec<String> = cases
        .iter()
        .map(|(before, after)| format!("- {}", told(before, after)))
        .collect();
    expect![[r#"
        - begins to serve v20261101-120000
        canary v20261120-093000 gets 10% of the traffic
        MLTrainingJob/other-20261101-120000 goes; what it made stays
        - is suspended and not served before that is lifted: audit
        MLTrainingJob/other-20261101-120000 goes; what it made stays
        - stays suspended: a longer audit
        - 
        - is no longer suspended"#]]
    .assert_eq(&table.join("\n"));
}

#[test]
fn what_changes_of_a_job_or_of_the_environment_is_told() {
    let job = |text: &str| training("m", V1, "builtin:iris").replace("seed: 0", text);
    let renamed = |text: String| text.replace("name: m-20261101-120000", "name: other");
    let pod = |team: &str| {
        job("seed: 0").replace(
            "  algorithm",
            &format!("  pod: {{ labels: {{ a: {team} }} }}\n  algorithm"),
        )
    };
    let operated = |most: u32, host: &str| {
        let scaled = format!("autoscaling: {{ minReplicas: 1, maxReplicas: {most}, targetCPUPercent: 70 }}");
        let routed = format!("route: {{ host: {host}.example.org }}");
        deployment("m", V1, None).replace("spec:\n", &format!("spec:\n  {scaled}\n  {routed}\n"))
    };
    let per_inputs = |text: String| text.replace(&format!("  version: {V1}\n"), "");
    let cases = [
        (job("seed: 0"), job("seed: 7")),
        (job("seed: 0"), renamed(job("seed: 0"))),
        (job("seed: 0"), renamed(job("seed: 7"))),
        (deployment("m", V1, None), per_inputs(job("seed: 0"))),
        (pod("b"), pod("c")),
        (operated(9, "a"), operated(8, "b")),
    ];
    let mut table: Vec<String> = cases
        .iter()
        .map(|(before, after)| format!("- {}", told(before, after)))
        .collect();
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut before = repo.commit("base");
    for spec in [
        "suspend: freeze",
        "suspend: thaw",
        "registry: { path: /models }",
        "removal: { maxCount: 5, maxPercent: 50 }",
        "target: Kubernetes, namespace: m, drift: Warn",
    ] {
        let with = if spec.starts_with("target") {
            spec.to_owned()
        } else {
            format!("target: Standalone, {spec}")
        };
        let environment = ENVIRONMENT.replace("target: Standalone", &with);
        let head = repo.change("environment.yaml", &environment);
        let intents = between(&repo, &before, &head);
        assert!(intents.findings.is_empty(), "{:?}", intents.findings);
        table.extend(intents.intents.iter().map(|intent| format!("- {}", intent.text)));
        before = head;
    }
    expect![[r#"
        - MLTrainingJob/m-20261101-120000 changes: evaluation.holdout.Percent.seed 0 -> 7
        - MLTrainingJob/m-20261101-120000 is called MLTrainingJob/other now
        - MLTrainingJob/other trains v20261101-120000 by linear_regression
        MLTrainingJob/m-20261101-120000 goes; what it made stays
        - is no longer served; its versions stay
        MLTrainingJob/m-20261101-120000 trains a version per change by linear_regression
        - MLTrainingJob/m-20261101-120000 changes: pod.labels.a "b" -> "c"
        - in a cluster: autoscaling.maxReplicas 9 -> 8, route.host "a.example.org" -> "b.example.org"
        - is suspended, and nothing that is listed here happens before that is lifted: freeze
        - is suspended, and nothing that is listed here happens before that is lifted: thaw
        - is no longer suspended
        - registry moves from <data-dir>/registry to /models (at the next start)
        - registry moves from /models to <data-dir>/registry (at the next start)
        - removal limits: 3 models and 20 % become 5 models and 50 %
        - moves from one process to namespace m of a cluster
        - drift: Correct -> Warn
        - removal limits: 5 models and 50 % become 3 models and 20 %"#]]
    .assert_eq(&table.join("\n"));
}
