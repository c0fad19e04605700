//! Which commits a source finds: branch, tag, detached HEAD, force, deletion.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::{Expect, expect};
use planner::names::Revision;
use reconciler::source::{Follow, Relation, Source, SourceError};

use crate::repository::{Repo, V1, V2, at, deployment, dev, has_git};

/// Opens the source, and shows an error with the repository's path and commit ids made stable.
fn check_open(repo: &Repo, branch: Option<&str>, expected: &Expect) {
    let error = Source::open(&repo.repository(), branch).unwrap_err().to_string();
    expected.assert_eq(&stable(repo, &error));
}

fn stable(repo: &Repo, text: &str) -> String {
    let text = text.replace(&repo.path().display().to_string(), "REPO");
    match repo.git().refname_to_id("refs/heads/main") {
        Ok(head) => text.replace(&head.to_string()[..10], "HEAD"),
        Err(_) => text,
    }
}

#[test]
fn the_checked_out_branch_is_followed_and_a_later_checkout_is_not() {
    let mut repo = Repo::with(&[]);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    assert_eq!(source.branch(), "main");
    let first = source.head().unwrap();
    let head = repo
        .git()
        .find_commit(repo.git().refname_to_id("HEAD").unwrap())
        .unwrap()
        .id();
    repo.git().reference("refs/heads/other", head, false, "").unwrap();
    repo.git().set_head("refs/heads/other").unwrap();
    assert_eq!(source.head().unwrap(), first);
    let second = repo.change("m.yaml", &deployment("m", V1, None));
    assert_eq!(source.head().unwrap(), second);
    assert_eq!(source.relation(&first, &second), Relation::Ahead);
    assert_eq!(source.relation(&second, &second), Relation::Same);
}

#[test]
fn a_packed_and_a_worktree_s_branch_is_found() {
    if !has_git() {
        return;
    }
    let mut repo = Repo::with(&[]);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .arg("-C")
            .arg(repo.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    git(&["pack-refs", "--all"]);
    git(&["gc", "-q"]);
    let first = source.head().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    git(&["worktree", "add", "-q", tree.to_str().unwrap(), "-b", "side"]);
    let mut side = Source::open(&at(&tree), None).unwrap();
    assert_eq!(side.branch(), "side");
    assert_eq!(side.head().unwrap(), first);
    git(&["update-ref", "-d", "refs/heads/side"]);
    assert!(side.head().is_err());
    git(&["update-ref", "refs/heads/side", first.as_str()]);
    assert_eq!(side.head().unwrap(), first);
    let second = repo.change("m.yaml", &deployment("m", V1, None));
    assert_eq!(source.head().unwrap(), second);
    assert_eq!(side.head().unwrap(), first);
}

/// Checks a commit out in a work tree of its own, as git-sync does, and returns the repository that Git keeps for it.
fn detached(repo: &Repo, commit: &str, tree: &Path) -> git2::Repository {
    let name = tree.file_name().unwrap().to_str().unwrap();
    let made = repo.git().worktree(name, tree, None).unwrap();
    let opened = git2::Repository::open_from_worktree(&made).unwrap();
    opened.set_head_detached(commit.parse().unwrap()).unwrap();
    opened
        .find_reference(&format!("refs/heads/{name}"))
        .unwrap()
        .delete()
        .unwrap();
    opened
}

/// As [`detached`], with a folder for manifests; returns the work tree and what Git keeps for it.
fn synced(repo: &Repo, commit: &Revision, tree: &Path) -> (PathBuf, PathBuf) {
    let git_dir = detached(repo, commit.as_str(), tree).path().to_owned();
    fs::create_dir_all(tree.join("environments")).unwrap();
    (tree.to_owned(), git_dir)
}

/// Lets a link lead elsewhere, at once.
fn swap(link: &Path, target: &Path) {
    let aside = link.with_extension("aside");
    symlink(target, &aside).unwrap();
    fs::rename(&aside, link).unwrap();
}

#[test]
fn head_is_followed_through_work_trees_that_come_and_go() {
    for below in ["", "environments"] {
        let mut repo = Repo::with(&[]);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let link = folder.join("current");
        let path = link.join(below);
        let prune = |(tree, git_dir): &(PathBuf, PathBuf)| {
            fs::remove_dir_all(tree).unwrap();
            fs::remove_dir_all(git_dir).unwrap();
        };
        let first = crate::repository::revision(repo.git().refname_to_id("HEAD").unwrap());
        let one = synced(&repo, &first, &folder.join("one"));
        swap(&link, &one.0);

        let error = Source::open(&at(&path), None).unwrap_err().to_string();
        assert!(error.contains("is detached"), "{error}");
        assert!(error.contains("--follow-head"), "{error}");
        let mut source = Source::open(&at(&path), Follow::Head).unwrap();
        assert_eq!(source.followed(), "HEAD");
        assert_eq!(source.head().unwrap(), first);

        let second = repo.change("m.yaml", &deployment("m", V1, None));
        assert_eq!(
            source.head().unwrap(),
            first,
            "the branch is not what is followed"
        );
        let two = synced(&repo, &second, &folder.join("two"));
        swap(&link, &two.0);
        prune(&one);
        assert_eq!(source.head().unwrap(), second);
        assert_eq!(source.relation(&first, &second), Relation::Ahead);

        // While nothing is there, nothing is known; what comes then is followed, also back.
        prune(&two);
        assert!(source.head().is_err());
        let three = synced(&repo, &first, &folder.join("three"));
        swap(&link, &three.0);
        assert_eq!(source.head().unwrap(), first);
        assert_eq!(source.relation(&second, &first), Relation::Forced);
    }
}

#[test]
fn head_is_followed_through_checkouts_and_another_repository_in_the_folder_s_place() {
    let mut repo = Repo::with(&[]);
    let mut source = Source::open(&repo.repository(), Follow::Head).unwrap();
    let first = source.head().unwrap();
    let id = first.as_str().parse().unwrap();
    repo.git().reference("refs/heads/other", id, false, "").unwrap();
    repo.git().set_head("refs/heads/other").unwrap();
    let second = repo.change("m.yaml", &deployment("m", V1, None));
    assert_eq!(
        source.head().unwrap(),
        first,
        "main moved, and other is checked out"
    );
    repo.git().set_head("refs/heads/main").unwrap();
    assert_eq!(source.head().unwrap(), second);

    // An unborn branch is told of, and what serves is not asked to be another branch's.
    repo.git().set_head("refs/heads/new").unwrap();
    let error = stable(&repo, &source.head().unwrap_err().to_string());
    expect!["branch new of REPO has no commit; give the branch to follow with --branch, one of: main, other"]
        .assert_eq(&error);
    repo.git().set_head("refs/heads/main").unwrap();
    assert_eq!(source.head().unwrap(), second);

    // The same folder, and another work tree's `.git` in it.
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().canonicalize().unwrap().join("plain");
    detached(&repo, first.as_str(), &plain);
    let mut source = Source::open(&at(&plain), Follow::Head).unwrap();
    assert_eq!(source.head().unwrap(), first);
    let aside = folder.path().canonicalize().unwrap().join("aside");
    let other = detached(&repo, second.as_str(), &aside);
    fs::copy(aside.join(".git"), plain.join(".git")).unwrap();
    fs::write(
        other.path().join("gitdir"),
        format!("{}\n", plain.join(".git").display()),
    )
    .unwrap();
    assert_eq!(source.head().unwrap(), second);
}

#[test]
fn a_branch_forced_back_is_followed() {
    let mut repo = Repo::with(&[]);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let first = source.head().unwrap();
    let second = repo.change("m.yaml", &deployment("m", V2, None));
    repo.force(&first);
    assert_eq!(source.head().unwrap(), first);
    assert_eq!(source.relation(&second, &first), Relation::Forced);
}

#[test]
fn a_deleted_branch_is_an_error_until_it_is_back() {
    let repo = Repo::with(&[]);
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let mut branch = repo.git().find_reference("refs/heads/main").unwrap();
    let id = branch.target().unwrap();
    branch.delete().unwrap();
    let error = stable(&repo, &source.head().unwrap_err().to_string());
    expect!["branch main of REPO is gone; what was applied stays until it is back: git branch main COMMIT"]
        .assert_eq(&error);
    repo.git().reference("refs/heads/main", id, false, "").unwrap();
    assert_eq!(source.head().unwrap(), head);
}

#[test]
fn a_repository_that_is_moved_away_is_not_taken_for_the_one_around_it() {
    if !has_git() {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(outer.path())
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["commit", "-q", "--allow-empty", "-m", "outer"]);
    git(&["init", "-q", "-b", "main", "inner"]);
    git(&["-C", "inner", "commit", "-q", "--allow-empty", "-m", "inner"]);
    let inner = outer.path().join("inner");
    let mut source = Source::open(&at(&inner), None).unwrap();
    let head = source.head().unwrap();
    std::fs::rename(inner.join(".git"), inner.join("aside")).unwrap();
    let error = source.head().unwrap_err().to_string();
    expect!["INNER is no Git repository; give one with --repo, or make one there: git init && git add environments && git commit"]
        .assert_eq(&error.replace(&inner.display().to_string(), "INNER"));
    std::fs::rename(inner.join("aside"), inner.join(".git")).unwrap();
    assert_eq!(source.head().unwrap(), head);
}

#[test]
fn what_is_no_branch_is_refused_with_what_to_do() {
    let repo = Repo::with(&[]);
    let head = repo.git().refname_to_id("HEAD").unwrap();
    let commit = repo.git().find_object(head, None).unwrap();
    repo.git().tag_lightweight("release", &commit, false).unwrap();
    check_open(
        &repo,
        Some("release"),
        &expect![
            "release is a tag, which --tag follows; --branch takes a branch, one of: main; to follow that commit: git branch NAME release"
        ],
    );
    check_open(
        &repo,
        Some("HEAD~0"),
        &expect![
            "HEAD~0 is a commit, which never moves; --branch takes a branch, one of: main; to follow that commit: git branch NAME HEAD~0"
        ],
    );
    check_open(
        &repo,
        Some("nonsense"),
        &expect!["REPO has no branch nonsense; it has: main"],
    );
    repo.git().set_head_detached(head).unwrap();
    check_open(
        &repo,
        None,
        &expect![
            "HEAD of REPO is detached at HEAD: no branch is checked out; give the branch to follow with --branch, one of: main; to follow whatever is checked out, as git-sync leaves it: --follow-head"
        ],
    );
    assert_eq!(
        Source::open(&repo.repository(), Some("main")).unwrap().branch(),
        "main"
    );
}

#[test]
fn a_repository_of_another_user_is_refused_with_where_to_say_that_it_is_trusted() {
    let told = |is_behind_link, has_home| {
        let path = "/git/repo".into();
        SourceError::Ownership {
            path,
            is_behind_link,
            has_home,
        }
        .to_string()
    };
    expect!["/git/repo belongs to another user, and Git refuses to read it; if you trust it: git config --global --add safe.directory /git/repo"]
        .assert_eq(&told(false, true));
    expect!["/git/repo belongs to another user, and Git refuses to read it; if you trust it: git config --global --add safe.directory '*' (any, since the link leads to a folder of another name each time)"]
        .assert_eq(&told(true, true));
    expect!["/git/repo belongs to another user, and Git refuses to read it; if you trust it: there is no HOME whose .gitconfig could say so, so mount a file at /etc/gitconfig with the two lines `[safe]` and `directory = /git/repo`, or set HOME to a folder that this user can read"]
        .assert_eq(&told(false, false));
}

#[test]
fn a_folder_or_a_repository_without_commits_is_refused_with_what_to_do() {
    let repo = Repo::new();
    check_open(
        &repo,
        None,
        &expect![
            "branch main of REPO has no commit yet; commit the environments folder: git add environments && git commit"
        ],
    );
    check_open(
        &repo,
        Some("main"),
        &expect![
            "branch main of REPO has no commit yet; commit the environments folder: git add environments && git commit"
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let error = Source::open(&at(folder.path()), None).unwrap_err().to_string();
    expect!["FOLDER is no Git repository; give one with --repo, or make one there: git init && git add environments && git commit"].assert_eq(&error.replace(&folder.path().display().to_string(), "FOLDER"));
}

#[test]
fn an_environment_that_is_not_there_is_told_with_those_that_are() {
    let repo = Repo::with(&[]);
    let source = Source::open(&repo.repository(), None).unwrap();
    let head = source.find("HEAD").unwrap();
    let error = source.folder(&head, &"prod".parse().unwrap()).unwrap_err();
    expect!["HEAD has no folder environments/prod; give another with --environment, one of: dev"]
        .assert_eq(&stable(&repo, &error.to_string()));
}

#[test]
fn uncommitted_manifests_are_named_and_other_files_are_not() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let folder = repo.path().join("environments/dev");
    let checkout = |source: &Source| source.uncommitted(&dev());
    let source = Source::open(&repo.repository(), None).unwrap();
    // The work tree has none of the files yet: all are deleted there.
    expect![[r#"
        [
            "environments/dev/environment.yaml",
            "environments/dev/m.yaml",
        ]
    "#]]
    .assert_debug_eq(&checkout(&source));
    std::fs::create_dir_all(&folder).unwrap();
    repo.git()
        .checkout_head(Some(git2::build::CheckoutBuilder::new().force()))
        .unwrap();
    assert_eq!(checkout(&source), Vec::<String>::new());
    std::fs::write(folder.join("new.yaml"), "x").unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    std::fs::write(folder.join("m.yaml"), "x").unwrap();
    expect![[r#"
        [
            "environments/dev/m.yaml",
            "environments/dev/new.yaml",
        ]
    "#]]
    .assert_debug_eq(&checkout(&source));
}
