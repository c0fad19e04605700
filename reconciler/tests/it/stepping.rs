//! Resolving commit by commit gives what resolving the newest one alone gives, and tells what it touched.

use std::collections::BTreeSet;
use std::path::Path;

use planner::desired::Desired;
use planner::environment::Environment;
use planner::names::Revision;
use planner::object::{Kind, ObjectId};
use proptest::prelude::*;
use proptest::sample::select;
use reconciler::resolve::{Resolution, Resolver, Touched};
use reconciler::source::Source;

use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev, training};

/// Something that somebody commits.
#[derive(Debug, Clone)]
enum Edit {
    Write(&'static str, String),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    Copy(&'static str, &'static str),
    Link(&'static str),
    Submodule,
    NotUtf8,
    /// An MLEnvironment that allows what some earlier commit took away.
    Allow(prop::sample::Index),
    /// The branch is forced to some earlier commit.
    Force(prop::sample::Index),
    Commit,
}

/// What happens between two resolves, and whether the last good MLEnvironment is known at the second.
type Step = (Vec<Edit>, bool);

const DEEP: &str = "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/deep.yaml";
const MANIFESTS: [&str; 6] = [
    "a.yaml",
    "b.yaml",
    "environment.yaml",
    "sub/a.yaml",
    "sub/x/b.yml",
    DEEP,
];
const DATA: [&str; 4] = ["rows.csv", "sub/rows.csv", "sub", "sub/x"];

fn manifest() -> impl Strategy<Value = String> {
    let deployments = (
        select(vec!["a", "b"]),
        select(vec!["a", "b"]),
        select(vec![V1, V2]),
        select(vec![None, Some(("v20261121-093000", 5))]),
    )
        .prop_map(|(name, model, stable, canary)| {
            let named = format!("name: {name} }}");
            deployment(model, stable, canary).replacen(&format!("name: {model} }}"), &named, 1)
        });
    let trainings = (
        select(vec!["a", "b"]),
        select(vec![V1, V2]),
        select(vec!["builtin:iris", "rows.csv", "rows.csv", "sub/rows.csv"]),
        any::<bool>(),
    )
        .prop_map(|(model, version, data, is_renamed)| {
            let manifest = training(model, version, data);
            if is_renamed {
                manifest.replacen("metadata: { name: ", "metadata: { name: z-", 1)
            } else {
                manifest
            }
        });
    let others = select(vec![
        "kind: [".to_owned(),
        "# nothing\n".to_owned(),
        deployment("a", V1, None).replace("stable", "stabel"),
        ENVIRONMENT.to_owned(),
        "# padding\n".repeat(110_000),
    ]);
    let document = prop_oneof![4 => deployments, 4 => trainings, 1 => others];
    (any::<bool>(), prop::collection::vec(document, 1..4)).prop_map(|(is_commented, documents)| {
        let documents = documents.join("---\n");
        if is_commented {
            format!("# why\n{documents}")
        } else {
            documents
        }
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let path = || select(MANIFESTS.to_vec());
    prop_oneof![
        8 => (path(), manifest()).prop_map(|(path, content)| Edit::Write(path, content)),
        3 => (select(DATA.to_vec()), select(vec!["x,quality\n1,2\n", "x,quality\n3,4\n"]))
            .prop_map(|(path, content)| Edit::Write(path, content.to_owned())),
        2 => Just(Edit::Write("environment.yaml", ENVIRONMENT.to_owned())),
        2 => select([&MANIFESTS[..], &DATA[..], &["."]].concat()).prop_map(Edit::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Copy(from, to)),
        1 => select(vec!["link.yaml", "sub", "rows.csv", "a.yaml"]).prop_map(Edit::Link),
        1 => Just(Edit::Submodule),
        1 => Just(Edit::NotUtf8),
        1 => any::<prop::sample::Index>().prop_map(Edit::Allow),
        1 => any::<prop::sample::Index>().prop_map(Edit::Force),
        4 => Just(Edit::Commit),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        (prop::collection::vec(edit(), 1..6), prop::bool::weighted(0.8)),
        1..8,
    )
}

fn below(path: &str) -> String {
    if path == "." {
        "environments/dev".to_owned()
    } else {
        format!("environments/dev/{path}")
    }
}

/// Frees a path: what lies at it, below it, or where its folders must be.
fn clear(repo: &mut Repo, path: &str) {
    let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
    for folder in folders {
        if content(repo, &below(folder)).is_some() {
            repo.remove(&below(folder));
        }
    }
    repo.remove(&below(path));
    let mut index = repo.git().index().unwrap();
    index.remove_dir(Path::new(&below(path)), 0).unwrap();
    index.write().unwrap();
}

/// Returns the content of what is staged at a path, if that is a file or a link.
fn content(repo: &Repo, path: &str) -> Option<Vec<u8>> {
    let entry = repo.git().index().unwrap().get_path(Path::new(path), 0)?;
    Some(repo.git().find_blob(entry.id).ok()?.content().to_vec())
}

fn write(repo: &mut Repo, path: &str, content: &[u8]) {
    clear(repo, path);
    repo.entry(below(path).as_bytes(), 0o100_644, content);
}

fn run(repo: &mut Repo, commits: &mut Vec<Revision>, edit: &Edit) {
    let chosen =
        |commits: &[Revision], index: &prop::sample::Index| commits[index.index(commits.len())].clone();
    match edit {
        Edit::Write(path, content) => write(repo, path, content.as_bytes()),
        Edit::Remove(path) => clear(repo, path),
        Edit::Rename(from, to) | Edit::Copy(from, to) => {
            if let Some(content) = content(repo, &below(from)) {
                if matches!(edit, Edit::Rename(..)) {
                    clear(repo, from);
                }
                write(repo, to, &content);
            }
        }
        Edit::Link(path) => {
            clear(repo, path);
            repo.entry(below(path).as_bytes(), 0o120_000, b"elsewhere");
        }
        Edit::Submodule => {
            clear(repo, "module");
            let commit = repo.git().refname_to_id("refs/heads/main").unwrap();
            repo.entry_of(below("module").as_bytes(), 0o160_000, commit);
        }
        Edit::NotUtf8 => repo.entry(b"environments/dev/caf\xe9.yaml", 0o100_644, b"x"),
        Edit::Allow(index) => {
            let allow = chosen(commits, index);
            let allowing = format!("Standalone, removal: {{ allow: \"{allow}\" }} }}");
            let content = ENVIRONMENT.replace("Standalone }", &allowing);
            write(repo, "environment.yaml", content.as_bytes());
        }
        Edit::Force(index) => repo.force(&chosen(commits, index)),
        Edit::Commit => commits.push(repo.commit("edit")),
    }
}

/// Returns what differs between two desired states.
fn differing(before: &Desired, after: &Desired) -> BTreeSet<ObjectId> {
    let names = |desired: &Desired| {
        let deployments = desired.deployments.keys().map(ObjectId::deployment);
        let trainings = desired.trainings.keys().map(ObjectId::training);
        deployments.chain(trainings).collect::<Vec<_>>()
    };
    let mut ids: BTreeSet<ObjectId> = names(before).into_iter().chain(names(after)).collect();
    ids.retain(|id| match id.kind {
        Kind::Deployment => before.deployments.get(&id.name) != after.deployments.get(&id.name),
        Kind::Training => before.trainings.get(&id.name) != after.trainings.get(&id.name),
        Kind::Environment => true,
    });
    if before.environment != after.environment || before.allowed != after.allowed {
        ids.insert(ObjectId::environment(&dev()));
    }
    ids
}

fn check_touched(before: &Resolution, after: &Resolution, touched: &Touched) {
    let Touched::Manifests(touched) = touched else {
        return;
    };
    match (&before.desired, &after.desired) {
        (Some(before), Some(after)) => {
            let differing = differing(before, after);
            assert!(differing.is_subset(touched), "{differing:?} but only {touched:?}");
        }
        (before, after) => assert_eq!(before, after, "what is desired came or went untold"),
    }
}

/// Resolves the newest commit with a resolver that has seen others, and with one that has not.
fn check(repo: &Repo, resolver: &mut Resolver, fresh: Resolver, last_good: Option<&Environment>) -> Touched {
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let before = resolver.resolution().clone();
    let touched = resolver.resolve(&source, &head, &dev(), last_good).unwrap();
    let mut anew = fresh;
    let everything = anew.resolve(&source, &head, &dev(), last_good).unwrap();
    assert_eq!(everything, Touched::Everything);
    assert_eq!(resolver.resolution(), anew.resolution());
    check_touched(&before, resolver.resolution(), &touched);
    touched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn commit_by_commit_gives_what_the_newest_alone_gives(steps in steps()) {
        let mut repo = Repo::with(&[
            ("a.yaml", &deployment("a", V1, None)),
            ("sub/a.yaml", &training("a", V1, "rows.csv")),
            ("sub/rows.csv", "x,quality\n1,2\n"),
        ]);
        let source = Source::open(&repo.repository(), None).unwrap();
        let mut commits = vec![source.find("main").unwrap()];
        let mut resolver = Resolver::default();
        let mut comparing = Resolver::without_history();
        check(&repo, &mut resolver, Resolver::default(), None);
        let last_good = resolver.resolution().desired.clone().unwrap().environment;
        for (edits, is_last_good_known) in &steps {
            for edit in edits {
                run(&mut repo, &mut commits, edit);
            }
            commits.push(repo.commit("last"));
            let last_good = is_last_good_known.then_some(&last_good);
            check(&repo, &mut resolver, Resolver::default(), last_good);
            check(&repo, &mut comparing, Resolver::without_history(), last_good);
        }
    }
}

fn touched(of: &[ObjectId]) -> Touched {
    Touched::Manifests(of.iter().cloned().collect())
}

fn job(model: &str) -> ObjectId {
    ObjectId::training(&format!("{model}-20261101-120000").parse().unwrap())
}

#[test]
fn a_commit_touches_what_it_changes_and_nothing_else() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
        (
            "jobs.yaml",
            &format!(
                "{}---\n{}",
                training("a", V1, "rows.csv"),
                training("b", V1, "builtin:iris")
            ),
        ),
        ("rows.csv", "x,quality\n1,2\n"),
    ]);
    let mut resolver = Resolver::default();
    let mut step = |repo: &Repo, last_good| check(repo, &mut resolver, Resolver::default(), last_good);
    let deployment_of = |model: &str| ObjectId::deployment(&model.parse().unwrap());
    assert_eq!(step(&repo, None), Touched::Everything);
    assert_eq!(step(&repo, None), touched(&[]));
    repo.commit("nothing");
    assert_eq!(step(&repo, None), touched(&[]));
    repo.change("a.yaml", &deployment("a", V2, None));
    assert_eq!(step(&repo, None), touched(&[deployment_of("a")]));
    // Changed and changed back: what is declared is the same, the commit that declared it is not.
    repo.change("b.yaml", &deployment("b", V2, None));
    repo.change("b.yaml", &deployment("b", V1, None));
    assert_eq!(step(&repo, None), touched(&[deployment_of("b")]));
    repo.change("rows.csv", "x,quality\n3,4\n");
    assert_eq!(step(&repo, None), touched(&[job("a")]));
    repo.change("again.yaml", &deployment("b", V1, None));
    assert_eq!(step(&repo, None), touched(&[deployment_of("b")]));
    repo.change(
        "environment.yaml",
        &ENVIRONMENT.replace("Standalone", "Standalone, suspend: why"),
    );
    assert_eq!(step(&repo, None), touched(&[ObjectId::environment(&dev())]));
    repo.remove("environments/dev");
    repo.write("README.md", "empty");
    repo.commit("folder gone");
    assert_eq!(step(&repo, None), Touched::Everything);
}

#[test]
fn an_object_that_cannot_be_read_leaves_the_last_resolution() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
    ]);
    let mut resolver = Resolver::default();
    check(&repo, &mut resolver, Resolver::default(), None);
    let before = resolver.resolution().clone();

    // The one file of a commit that is gone is that of a manifest, or of a job's data.
    let edits = [
        ("a.yaml", deployment("a", V2, None)),
        ("rows.csv", "x,quality\n1,2\n".to_owned()),
    ];
    repo.write("environments/dev/job.yaml", &training("b", V1, "rows.csv"));
    repo.remove("environments/dev/b.yaml");
    for (path, content) in &edits {
        repo.write(&below(path), content);
    }
    let head = repo.commit("all");
    for (_, content) in &edits {
        let id = git2::Oid::hash_object(git2::ObjectType::Blob, content.as_bytes())
            .unwrap()
            .to_string();
        let object = repo.path().join(".git/objects").join(&id[..2]).join(&id[2..]);
        let aside = object.with_extension("aside");
        std::fs::rename(&object, &aside).unwrap();
        let source = Source::open(&repo.repository(), None).unwrap();
        resolver.resolve(&source, &head, &dev(), None).unwrap_err();
        assert_eq!(*resolver.resolution(), before);
        std::fs::rename(&aside, &object).unwrap();
    }
    let touched = check(&repo, &mut resolver, Resolver::default(), None);
    assert!(matches!(touched, Touched::Manifests(_)), "{touched:?}");
}

/// What counts is the data that a job reads where it is declared now, not where it was before.
#[test]
fn a_job_that_is_moved_to_other_data_is_dated_alike() {
    for before in [None, Some("x,quality\n3,4\n")] {
        let mut repo = Repo::with(&[
            ("a.yaml", &deployment("a", V1, None)),
            ("sub/a.yaml", &training("a", V1, "rows.csv")),
            ("sub/rows.csv", "x,quality\n1,2\n"),
        ]);
        let mut resolver = Resolver::default();
        check(&repo, &mut resolver, Resolver::default(), None);
        let job = training("a", V2, "rows.csv");
        if let Some(rows) = before {
            repo.write("environments/dev/sub/x/rows.csv", rows);
        }
        repo.change("sub/x/b.yml", &job);
        check(&repo, &mut resolver, Resolver::default(), None);
        repo.commit("nothing");
        repo.remove("environments/dev/sub/x");
        repo.change("sub/a.yaml", &job);
        check(&repo, &mut resolver, Resolver::default(), None);
    }
}

/// A job that another manifest's name kept from being declared, while its data changed.
#[test]
fn a_job_whose_data_changed_while_it_was_not_declared_is_dated_alike() {
    let another = || deployment("a", V1, None);
    // Whether nothing at all is desired meanwhile, and whether another process goes on.
    for (is_broken, restarts) in [(true, false), (false, false), (false, true), (true, true)] {
        let mut repo = Repo::with(&[
            ("a.yaml", &deployment("a", V1, None)),
            ("sub/a.yaml", &training("a", V1, "rows.csv")),
            ("sub/rows.csv", "x,quality\n1,2\n"),
        ]);
        let mut resolver = Resolver::default();
        check(&repo, &mut resolver, Resolver::default(), None);
        let last_good = resolver.resolution().desired.clone().unwrap().environment;
        repo.change("a.yaml", &training("a", V1, "builtin:iris"));
        check(&repo, &mut resolver, Resolver::default(), None);
        if restarts {
            resolver = Resolver::default().with_remembered(resolver.remembered());
        }
        repo.write("environments/dev/sub/rows.csv", "x,quality\n3,4\n");
        if is_broken {
            repo.change("environment.yaml", &another());
        } else {
            repo.commit("rows");
        }
        if !restarts {
            check(&repo, &mut resolver, Resolver::default(), None);
        }
        repo.change("a.yaml", &another());
        check(&repo, &mut resolver, Resolver::default(), Some(&last_good));
    }
}
