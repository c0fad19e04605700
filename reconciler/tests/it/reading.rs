//! What a repository may hold that Git itself would not write, or no longer, and what is made of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use expect_test::expect;
use git2::{ObjectType, Oid};
use planner::names::Revision;
use planner::observed::Observed;
use reconciler::resolve::{Resolution, Resolver};
use reconciler::source::{Relation, Source};

use crate::objects::object_of_a;
use crate::repository::{ENVIRONMENT, Repo, V1, V2, at, deployment, dev, has_git, training};

type Entry<'a> = (&'a str, &'a str, Oid);

/// Writes a tree with any entries, in their order.
fn tree(repo: &Repo, entries: &[Entry<'_>]) -> Oid {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").bytes());
        bytes.extend(id.as_bytes());
    }
    repo.git().odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
}

/// Commits an environment's folder on top of `main`.
fn commit(repo: &Repo, dev: Oid) -> Revision {
    let environments = tree(repo, &[("40000", "dev", dev)]);
    let root = tree(repo, &[("40000", "environments", environments)]);
    let git = repo.git();
    let root = git.find_tree(root).unwrap();
    let parent = git.head().unwrap().peel_to_commit().unwrap();
    let author = parent.author();
    let id = git.commit(
        Some("refs/heads/main"),
        &author,
        &author,
        "raw",
        &root,
        &[&parent],
    );
    crate::repository::revision(id.unwrap())
}

fn blob(repo: &Repo, content: &str) -> Oid {
    repo.git().blob(content.as_bytes()).unwrap()
}

fn resolve(repo: &Repo, resolver: &mut Resolver) -> Resolution {
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    resolver.resolution().clone()
}

fn findings(resolution: &Resolution) -> String {
    let findings: Vec<String> = resolution.findings.iter().map(ToString::to_string).collect();
    findings.join("\n")
}

fn git(repo: &std::path::Path, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_mode_that_only_old_tools_write_is_a_file_s() {
    let repo = Repo::with(&[]);
    let environment = blob(&repo, ENVIRONMENT);
    let modes = ["100600", "100640", "100664", "100666", "100775", "100000"];
    let names: Vec<String> = (0..modes.len()).map(|at| format!("m{at}")).collect();
    let files: Vec<(String, Oid)> = names
        .iter()
        .map(|name| (format!("{name}.yaml"), blob(&repo, &deployment(name, V1, None))))
        .collect();
    let mut entries: Vec<Entry<'_>> = vec![("100600", "environment.yaml", environment)];
    entries.extend(
        modes
            .iter()
            .zip(&files)
            .map(|(mode, (name, id))| (*mode, name.as_str(), *id)),
    );
    let raw = tree(&repo, &entries);
    commit(&repo, raw);
    let mut resolver = Resolver::default();
    let resolution = resolve(&repo, &mut resolver);
    assert_eq!(findings(&resolution), "");
    let declared = resolution.desired.unwrap().deployments;
    assert_eq!(
        declared.keys().map(ToString::to_string).collect::<Vec<_>>(),
        names
    );

    // The same files with the modes that Git writes: nothing changes.
    for entry in &mut entries {
        entry.0 = "100644";
    }
    let mended = tree(&repo, &entries);
    commit(&repo, mended);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let touched = resolver.resolve(&source, &head, &dev(), None).unwrap();
    assert_eq!(
        touched,
        reconciler::resolve::Touched::Manifests(std::collections::BTreeSet::new())
    );
}

#[test]
fn a_mode_of_no_kind_is_a_finding_and_the_commit_that_mends_it_is_followed() {
    let repo = Repo::with(&[]);
    let (environment, a, b) = (
        blob(&repo, ENVIRONMENT),
        blob(&repo, &deployment("a", V1, None)),
        blob(&repo, &deployment("b", V1, None)),
    );
    let entries = |mode| {
        [
            ("100644", "a.yaml", a),
            (mode, "b.yaml", b),
            ("100644", "environment.yaml", environment),
        ]
    };
    let mut resolver = Resolver::default();
    for mode in ["10644", "60000", "177777"] {
        let raw = tree(&repo, &entries(mode));
        commit(&repo, raw);
        let resolution = resolve(&repo, &mut resolver);
        assert_eq!(
            findings(&resolution),
            format!(
                "environments/dev/b.yaml: UnsupportedEntry: has mode {mode:0>6}, which Git gives to no kind of entry\n  \
                 hint: commit it anew: git rm --cached, then git add"
            )
        );
        assert_eq!(resolution.desired.unwrap().deployments.len(), 1);
        let mended = tree(&repo, &entries("100644"));
        commit(&repo, mended);
        let resolution = resolve(&repo, &mut resolver);
        assert_eq!(
            (
                findings(&resolution).as_str(),
                resolution.desired.unwrap().deployments.len()
            ),
            ("", 2)
        );
    }
}

#[test]
fn folders_that_stand_for_any_number_of_files_are_a_finding() {
    let repo = Repo::with(&[]);
    let environment = blob(&repo, ENVIRONMENT);
    let a = blob(&repo, &deployment("a", V1, None));
    let names: Vec<String> = (0..10).map(|at| format!("d{at}")).collect();
    let bomb = |leaf: &str, mode: &str, levels: usize| {
        let leaf_id = blob(&repo, "x");
        let mut below = tree(&repo, &[(mode, leaf, leaf_id)]);
        for _ in 0..levels {
            let entries: Vec<Entry<'_>> = names.iter().map(|name| ("40000", name.as_str(), below)).collect();
            below = tree(&repo, &entries);
        }
        below
    };
    // Files that do not count, manifests, links, and nothing at all.
    let bombs = [
        bomb("x.txt", "100644", 15),
        bomb("x.yaml", "100644", 14),
        bomb("x", "120000", 13),
        bomb("x", "40000", 12),
    ];
    let mut resolver = Resolver::default();
    for bomb in bombs {
        let entries = [
            ("100644", "a.yaml", a),
            ("100644", "environment.yaml", environment),
            ("40000", "z", bomb),
        ];
        let raw = tree(&repo, &entries);
        commit(&repo, raw);
        let source = Source::open(&repo.repository(), None).unwrap();
        let head = source.find("HEAD").unwrap();
        match resolver.resolve(&source, &head, &dev(), None) {
            Ok(_) => {
                let resolution = resolver.resolution();
                assert!(!resolution.findings.is_empty());
                assert!(
                    resolution.findings.len() <= 10_001,
                    "{}",
                    resolution.findings.len()
                );
            }
            Err(error) => assert!(error.to_string().contains(head.short()), "{error}"),
        }
        let mended = tree(&repo, &entries[..2]);
        commit(&repo, mended);
        let resolution = resolve(&repo, &mut resolver);
        assert_eq!(
            (
                findings(&resolution).as_str(),
                resolution.desired.unwrap().deployments.len()
            ),
            ("", 1)
        );
    }
}

#[test]
fn one_content_under_many_names_is_wrong_under_each() {
    let names: Vec<String> = (0..100).map(|at| format!("{at:03}.yaml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "kind: [\n")).collect();
    let repo = Repo::with(&files);
    let resolution = resolve(&repo, &mut Resolver::default());
    let places = resolution
        .findings
        .iter()
        .filter_map(|finding| finding.location.as_ref());
    let places: Vec<&str> = places.map(|place| place.file.as_str()).collect();
    let expected: Vec<String> = names
        .iter()
        .map(|name| format!("environments/dev/{name}"))
        .collect();
    assert_eq!(places, expected);
}

#[test]
fn a_long_word_of_a_manifest_makes_no_long_finding() {
    let word = "ä".repeat(400_000);
    let job = training("a", V1, "builtin:iris");
    let repo = Repo::with(&[("a.yaml", &format!("{job}  hyperparameters: {{ {word}: 1 }}\n"))]);
    let resolution = resolve(&repo, &mut Resolver::default());
    assert!(!resolution.findings.is_empty());
    for finding in &resolution.findings {
        assert!(
            finding.to_string().len() < 3_000,
            "{} bytes",
            finding.to_string().len()
        );
    }
}

#[test]
fn a_branch_stands_before_a_tag_of_its_name() {
    let mut repo = Repo::with(&[]);
    let first = repo.git().refname_to_id("HEAD").unwrap();
    git(repo.path(), &["tag", "main", &first.to_string()]);
    let second = repo.change("a.yaml", &deployment("a", V1, None));
    let third = repo.change("a.yaml", &deployment("a", V2, None));
    let mut source = Source::open(&repo.repository(), Some("main")).unwrap();
    assert_eq!(source.head().unwrap(), third);
    for (text, expected) in [("main", &third), ("main~1", &second), ("main^{tree}^", &third)] {
        match source.find(text) {
            Ok(found) => assert_eq!(found, *expected, "{text}"),
            Err(error) => assert!(text.contains("tree"), "{text}: {error}"),
        }
    }
    assert_eq!(
        source.find("tags/main").unwrap(),
        crate::repository::revision(first)
    );
}

#[test]
fn a_branch_s_file_that_names_no_commit_is_told_with_the_commit_that_its_log_names() {
    let repo = Repo::with(&[]);
    let head = repo.git().refname_to_id("HEAD").unwrap();
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let file = repo.path().join(".git/refs/heads/main");
    for torn in ["", "\0\0\0\0", "garbage"] {
        fs::write(&file, torn).unwrap();
        for error in [
            source.head().unwrap_err(),
            Source::open(&repo.repository(), None).unwrap_err(),
        ] {
            let error = error
                .to_string()
                .replace(&repo.path().display().to_string(), "REPO");
            expect!["branch main of REPO is damaged: its file names no commit, as after a power cut; what was applied stays until it is mended: remove .git/refs/heads/main, then git update-ref refs/heads/main HEAD"]
                .assert_eq(&error.replace(&head.to_string(), "HEAD"));
        }
    }
    fs::remove_file(&file).unwrap();
    git(repo.path(), &["update-ref", "refs/heads/main", &head.to_string()]);
    assert_eq!(source.head().unwrap(), crate::repository::revision(head));
}

#[test]
fn a_branch_that_names_something_else_than_a_commit_is_damaged_and_not_missing() {
    let repo = Repo::with(&[]);
    let git = repo.git();
    let head = git.head().unwrap().peel_to_commit().unwrap();
    let tag = git
        .tag("t", head.as_object(), &head.author(), "a tag", false)
        .unwrap();
    for id in [blob(&repo, "text"), head.tree_id(), tag] {
        fs::write(repo.path().join(".git/refs/heads/main"), format!("{id}\n")).unwrap();
        let mut source = Source::open(&repo.repository(), None).unwrap();
        let named = source.head().unwrap();
        let error = Resolver::default()
            .resolve(&source, &named, &dev(), None)
            .unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&id.to_string()[..10]), "{said}");
        assert!(said.contains("fsck says what is damaged"), "{said}");
        assert!(!said.contains("missing"), "{said}");
    }
}

#[test]
fn a_link_to_the_repository_that_is_swapped_is_followed() {
    if !has_git() {
        return;
    }
    let mut repo = Repo::with(&[]);
    let first = repo.change("a.yaml", &deployment("a", V1, None));
    let folder = tempfile::tempdir().unwrap();
    let clone = |name: &str| {
        let path = folder.path().join(name);
        git(
            folder.path(),
            &["clone", "-q", repo.path().to_str().unwrap(), name],
        );
        path
    };
    let old = clone("old");
    let link = folder.path().join("current");
    symlink(&old, &link).unwrap();
    let mut source = Source::open(&at(&link), None).unwrap();
    assert_eq!(source.head().unwrap(), first);
    let second = repo.change("a.yaml", &deployment("a", V2, None));
    let new = {
        git(
            folder.path(),
            &["clone", "-q", repo.path().to_str().unwrap(), "new"],
        );
        folder.path().join("new")
    };
    let aside = folder.path().join("aside");
    symlink(&new, &aside).unwrap();
    fs::rename(&aside, &link).unwrap();
    assert_eq!(source.head().unwrap(), second);
    assert_eq!(source.relation(&first, &second), Relation::Ahead);
    fs::remove_dir_all(&old).unwrap();
    assert_eq!(source.head().unwrap(), second);
    // A link that leads nowhere, or to what is no repository, changes nothing of what is known.
    fs::remove_file(&link).unwrap();
    assert_eq!(source.head().unwrap(), second);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    symlink(&empty, &link).unwrap();
    assert_eq!(source.head().unwrap(), second);
}

#[test]
fn a_clone_that_left_files_out_says_how_to_complete_it() {
    if !has_git() {
        return;
    }
    let mut repo = Repo::with(&[]);
    repo.change("a.yaml", &deployment("a", V1, None));
    git(repo.path(), &["config", "uploadpack.allowFilter", "true"]);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", repo.path().display());
    git(
        folder.path(),
        &[
            "clone",
            "-q",
            "--no-checkout",
            "--filter=blob:none",
            &url,
            "partial",
        ],
    );
    let partial = folder.path().join("partial");
    let mut source = Source::open(&at(&partial), None).unwrap();
    let head = source.head().unwrap();
    let mut resolver = Resolver::default();
    let error = resolver
        .resolve(&source, &head, &dev(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("left objects out"), "{error}");
    assert!(error.contains(head.short()), "{error}");
    let advice = "fetch --refetch --no-filter";
    assert!(error.contains(advice), "{error}");
    // What it says helps.
    git(&partial, &advice.split(' ').collect::<Vec<_>>());
    let mut source = Source::open(&at(&partial), None).unwrap();
    let head = source.head().unwrap();
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    assert_eq!(
        resolver.resolution().desired.as_ref().unwrap().deployments.len(),
        1
    );
}

/// Takes a blob out of the repository.
fn lose(repo: &Repo, content: &str) {
    let id = Oid::hash_object(ObjectType::Blob, content.as_bytes())
        .unwrap()
        .to_string();
    fs::remove_file(repo.path().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
}

#[test]
fn what_an_older_commit_has_lost_keeps_no_newer_one_from_being_followed() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
    ]);
    let mut following = Resolver::default();
    resolve(&repo, &mut following);
    let lost = deployment("a", V1, Some((V2, 10)));
    repo.change("a.yaml", &lost);
    lose(&repo, &lost);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let error = following
        .resolve(&source, &head, &dev(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("environments/dev/a.yaml"), "{error}");
    assert!(error.contains(head.short()), "{error}");

    let mending = repo.change("a.yaml", &deployment("a", V2, None));
    for resolver in [&mut following, &mut Resolver::default()] {
        let desired = resolve(&repo, resolver).desired.unwrap();
        let changed = |name: &str| &desired.deployments[&name.parse().unwrap()].revision;
        assert_eq!(*changed("a"), mending);
        assert_ne!(*changed("b"), mending);
    }
}

#[test]
fn where_a_clone_is_shallow_what_was_known_of_a_manifest_stands() {
    if !has_git() {
        return;
    }
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", repo.path().display());
    git(
        folder.path(),
        &["clone", "-q", "--depth=1", "--no-checkout", &url, "mirror"],
    );
    let mirror = folder.path().join("mirror");
    let first = crate::repository::revision(repo.git().refname_to_id("HEAD").unwrap());
    let changed = |resolver: &mut Resolver| {
        let mut source = Source::open(&at(&mirror), None).unwrap();
        let head = source.head().unwrap();
        resolver.resolve(&source, &head, &dev(), None).unwrap();
        let desired = resolver.resolution().desired.as_ref().unwrap();
        desired
            .deployments
            .values()
            .map(|it| it.revision.clone())
            .collect::<Vec<_>>()
    };
    let mut following = Resolver::default();
    assert_eq!(changed(&mut following), [first.clone(), first.clone()]);
    let mut fetch = |version: &str| {
        let commit = repo.change("a.yaml", &deployment("a", version, None));
        git(
            &mirror,
            &["fetch", "-q", "--depth=1", "origin", "+main:refs/heads/next"],
        );
        git(&mirror, &["update-ref", "refs/heads/main", commit.as_str()]);
        git(&mirror, &["update-ref", "-d", "refs/heads/next"]);
        git(&mirror, &["reflog", "expire", "--expire=now", "--all"]);
        git(&mirror, &["gc", "-q", "--prune=now"]);
        commit
    };
    let second = fetch(V2);
    assert_eq!(changed(&mut following), [second.clone(), first.clone()]);
    let third = fetch(V1);
    assert_eq!(changed(&mut following), [third.clone(), first.clone()]);
    // Nobody forced anything, and the clone could not tell.
    let source = Source::open(&at(&mirror), None).unwrap();
    assert_eq!(source.relation(&second, &third), Relation::Ahead);

    // Another process knows what the objects say, as far as they say what is declared.
    for (version, expected) in [(V1, &second), (V2, &third)] {
        let mut observed = Observed::default();
        observed
            .deployments
            .insert("a".parse().unwrap(), object_of_a(version, &second));
        let mut resolver = Resolver::default();
        resolver.carry_on(&observed);
        assert_eq!(changed(&mut resolver), [expected.clone(), third.clone()]);
    }
}

#[test]
fn a_tree_that_an_older_commit_has_lost_keeps_no_newer_one_from_being_followed() {
    let mut repo = Repo::with(&[
        ("job.yaml", &training("a", V1, "rows.csv")),
        ("rows.csv", "x,quality\n1,2\n"),
    ]);
    let mut following = Resolver::default();
    let before = resolve(&repo, &mut following).desired.unwrap();
    let older = repo
        .git()
        .head()
        .unwrap()
        .peel_to_tree()
        .unwrap()
        .id()
        .to_string();
    // The environment's own folder stays what it was.
    repo.write("README.md", "new words");
    repo.commit("words");
    fs::remove_file(
        repo.path()
            .join(".git/objects")
            .join(&older[..2])
            .join(&older[2..]),
    )
    .unwrap();
    let resolution = resolve(&repo, &mut following);
    assert_eq!(findings(&resolution), "");
    assert_eq!(resolution.desired.unwrap().trainings, before.trainings);
}

#[test]
fn a_removal_that_a_lost_commit_would_allow_is_not_allowed_and_stops_nothing() {
    let removed = deployment("gone", V1, None);
    let mut repo = Repo::with(&[("gone.yaml", &removed), ("b.yaml", &deployment("b", V1, None))]);
    let allow = crate::repository::revision(repo.git().refname_to_id("HEAD").unwrap());
    repo.remove("environments/dev/gone.yaml");
    let allowing = format!("Standalone, removal: {{ allow: \"{allow}\" }} }}");
    repo.change(
        "environment.yaml",
        &ENVIRONMENT.replace("Standalone }", &allowing),
    );
    let mut whole = Resolver::default();
    assert!(resolve(&repo, &mut whole).desired.unwrap().allowed.is_some());
    lose(&repo, &removed);
    let desired = resolve(&repo, &mut Resolver::default()).desired.unwrap();
    assert_eq!(desired.allowed, None);
    assert_eq!(desired.deployments.len(), 1);
}

#[test]
fn a_job_has_changed_where_its_data_has() {
    let mut repo = Repo::with(&[
        ("job.yaml", &training("a", V1, "rows.csv")),
        ("other.yaml", &training("b", V1, "builtin:iris")),
        ("rows.csv", "x,quality\n1,2\n"),
    ]);
    let first = repo.git().refname_to_id("HEAD").unwrap();
    let mut following = Resolver::default();
    resolve(&repo, &mut following);
    let data = repo.change("rows.csv", "x,quality\n1,3\n");
    repo.change("notes.txt", "nothing of a job");
    for resolver in [&mut following, &mut Resolver::default()] {
        let desired = resolve(&repo, resolver).desired.unwrap();
        let changed: Vec<&Revision> = desired.trainings.values().map(|job| &job.revision).collect();
        assert_eq!(changed, [&data, &crate::repository::revision(first)]);
    }
}
