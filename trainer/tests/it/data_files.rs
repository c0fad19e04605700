//! Data files: which may be read, what a refusal tells of them, and what happens when they change.

use expect_test::expect;
use planner::names::Digest;
use planner::training::{Algorithm, DataSource, Holdout};
use registry::run::Ending;

use crate::bad_data::{check, good};
use crate::world::{World, declared, now, nowhere, published, refused, run, target};

/// What a refusal shows of a file that the manifest's author may not have seen: nothing but the cell that is wrong.
#[test]
fn files_outside_the_repository_are_read_below_their_root_and_shown_by_the_cell() {
    let world = World::new();
    let folder = world.dir.path().canonicalize().unwrap();
    let root = folder.join("data");
    std::fs::create_dir(&root).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/bash,hash\n$6$secret,2\n";
    let long = format!("a,b,y\n1,{}\u{1b}[2J\u{202e}secret,3\n", "x".repeat(45));
    let steering = "a,b,y\n1,\u{1b}[2J\u{202e}!,3\n";
    for (name, content) in [
        ("good.csv", good()),
        ("passwd", passwd.to_owned()),
        ("long.csv", long),
        ("steering.csv", steering.to_owned()),
        ("../secret.csv", good()),
    ] {
        std::fs::write(root.join(name), content).unwrap();
    }
    for (target, link) in [
        ("good.csv", "link.csv"),
        ("../secret.csv", "out.csv"),
        ("../none.csv", "gone.csv"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let request = |path: &std::path::Path| {
        let source = DataSource::Absolute(path.display().to_string());
        let mut request = world.request(Algorithm::LinearRegression, source);
        request.dataset = Some(path.to_owned());
        request.dataset_roots = vec![root.clone()];
        declared(&mut request).dataset.target = Some(target("y"));
        request
    };
    let said = |name: &str| {
        let said = match run(&request(&root.join(name))) {
            Ending::Published { .. } => "published".to_owned(),
            Ending::SameInputs => "the same inputs".to_owned(),
            Ending::Refused { message } | Ending::Transient { message } => message,
        };
        said.replace(&folder.display().to_string(), "…")
    };
    check(
        &[
            said("good.csv"),
            said("passwd"),
            said("long.csv"),
            said("steering.csv"),
            said("out.csv"),
            said("gone.csv"),
            said("../secret.csv"),
            said("../none.csv"),
            said("/etc/passwd"),
            said("/etc/none"),
            said("none.csv"),
            said("."),
        ],
        &expect![[r#"
            published
            failed to read the data: …/data/passwd: there is no column "y", which the target needs; the columns: not shown of a file outside the repository
            failed to read the data: …/data/long.csv, line 2, column 2: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a number: leave the column out by `exclude: […]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: …/data/steering.csv, line 2, column 2: "�[2J�!" is not a number: leave the column out by `exclude: […]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: …/data/out.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/gone.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/../secret.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/../none.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: /etc/passwd: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: /etc/none: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/none.csv (…/data/none.csv): No such file or directory (os error 2)
            failed to read the data: …/data/.: it is no regular file
        "#]],
    );
    // A link that stays below the root is the operator's own way of naming a file.
    let mut linked = request(&root.join("link.csv"));
    linked.version = "v20261102-120000".parse().unwrap();
    published(&linked);
    // Another digest than the file's is refused without saying which would be right.
    linked.version = "v20261103-120000".parse().unwrap();
    declared(&mut linked).dataset.sha256 = Some(Digest::of(b"other"));
    let message = refused(&linked);
    for digest in [Digest::of(b"other"), Digest::of(good().as_bytes())] {
        assert!(!message.contains(&digest.hex()[..12]), "{message}");
    }
}

#[test]
fn files_that_changed_are_refused_and_files_that_are_missing_may_come_back() {
    let world = World::new();
    let mut request = world.csv(good() + "1,abc,3\n");
    // The digest is judged first: the rows of another file are no one's fault.
    declared(&mut request).dataset.sha256 = Some(Digest::of(b"other"));
    let other = refused(&request);
    request.dataset = Some("/nowhere/data.csv".into());
    let Ending::Transient { message } = run(&request) else {
        panic!("tried again")
    };
    assert!(
        !other.contains(&Digest::of((good() + "1,abc,3\n").as_bytes()).hex()),
        "the right digest is told"
    );
    check(
        &[other, message],
        &expect![[r#"
            failed to read the data: data.csv: the file's sha256 is not the one that the manifest gives: the data changed after it was named, or another file was meant
            failed to read the data: data.csv (/nowhere/data.csv): there is no such file
        "#]],
    );
}

/// Data that was staged for a run is read through the registry; whatever became of the copy, the run is tried again with
/// another one and is never refused for it.
#[test]
fn a_damaged_copy_of_the_data_is_no_fault_of_the_data() {
    let lines = (0..60).map(|n| format!("{n},{}\n", 2 * n + 1));
    let content = format!("x,y\n{}", lines.collect::<String>());
    let sha256 = Digest::of(content.as_bytes());
    for (what, damage) in [
        ("truncated", "head -c 100 $F > x; cat x > $F; rm x"),
        ("of other rows", "sed -i s/7/8/ $F"),
        ("of one long line", "head -c 3000000 /dev/zero | tr '\\0' x > $F"),
        ("a link", "mv $F ../y; ln -s ../y $F"),
        ("a pipe", "rm $F; mkfifo $F"),
        ("missing", "rm $F"),
    ] {
        let world = World::new();
        let mut request = world.csv(&content);
        declared(&mut request).dataset.sha256 = Some(sha256);
        request.dataset = Some(world.store.dataset_path(&sha256));
        world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
        let status = std::process::Command::new("sh")
            .args(["-ec", damage])
            .env("F", sha256.hex())
            .current_dir(world.store.root().join("aurora/datasets"))
            .status();
        assert!(status.unwrap().success(), "{what}");
        let ending = trainer::run(&request, &nowhere, &mut |_| {}, &now);
        let Ending::Transient { message } = ending else {
            panic!("{what}: {ending:?}")
        };
        assert!(
            message.contains("the staged copy of data.csv is missing or damaged"),
            "{what}: {message}"
        );
        assert!(world.store.datasets().unwrap().is_empty(), "{what}");
        world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
        published(&request);
    }
    // What is wrong with the rows themselves is said as ever.
    let world = World::new();
    let content = "x,y\n1,2\n1,z\n";
    let sha256 = Digest::of(content.as_bytes());
    let mut request = world.csv(content);
    declared(&mut request).dataset.sha256 = Some(sha256);
    request.dataset = Some(world.store.dataset_path(&sha256));
    world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
    assert!(matches!(
        trainer::run(&request, &nowhere, &mut |_| {}, &now),
        Ending::Refused { .. }
    ));
    assert_eq!(world.store.datasets().unwrap().len(), 1);
}

/// Without a digest the bytes are the inputs, as the run reads them: not the path, the size or the time of the file.
#[test]
fn what_lies_at_a_path_is_what_its_bytes_are() {
    let world = World::new();
    let rows = |slope: usize| -> String {
        let lines = (10..70).map(|n| format!("{n},{}\n", slope * n % 89 + 10));
        format!("x,y\n{}", lines.collect::<String>())
    };
    let absolute = |path: &std::path::Path| DataSource::Absolute(path.display().to_string());
    let (data, holdout) = (
        world.write("data.csv", rows(1)),
        world.write("holdout.csv", rows(2)),
    );
    let mut slot = 0;
    let mut newest = None;
    let mut run_on = |data: &std::path::Path, sha256: Option<Digest>| {
        slot += 1;
        let mut request = world.request(Algorithm::LinearRegression, absolute(data));
        request.version = format!("v20261101-12{slot:02}00").parse().unwrap();
        declared(&mut request).dataset.target = Some(target("y"));
        declared(&mut request).dataset.sha256 = sha256;
        request.dataset = Some(data.to_owned());
        declared(&mut request).evaluation.holdout = Holdout::File {
            source: absolute(&holdout),
            sha256: None,
        };
        request.holdout = Some(holdout.clone());
        request.published_inputs = newest;
        match run(&request) {
            Ending::SameInputs => "the same inputs",
            Ending::Published { .. } => {
                newest = world.entry(&request).metadata.inputs_hash;
                "published"
            }
            Ending::Refused { message } | Ending::Transient { message } => panic!("{message}"),
        }
    };
    assert_eq!(run_on(&data, None), "published");
    assert_eq!(run_on(&data, None), "the same inputs");
    // The same bytes elsewhere, or with their digest.
    let copy = world.write("copy.csv", rows(1));
    assert_eq!(run_on(&copy, None), "the same inputs");
    assert_eq!(
        run_on(&data, Some(Digest::of(rows(1).as_bytes()))),
        "the same inputs"
    );
    // Other bytes of the same size, at the same time.
    let modified = std::fs::metadata(&data).unwrap().modified().unwrap();
    assert_eq!(rows(1).len(), rows(3).len());
    world.write("data.csv", rows(3));
    let file = std::fs::File::options().write(true).open(&data).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(run_on(&data, None), "published");
    assert_eq!(run_on(&data, None), "the same inputs");
    // The holdout is an input too.
    world.write("holdout.csv", rows(4));
    assert_eq!(run_on(&data, None), "published");
    assert_eq!(run_on(&data, None), "the same inputs");
}

/// A file that nobody touched since a run read it is not read again; what is kept of it decides nothing.
#[test]
fn an_unchanged_file_is_not_read_twice() {
    let world = World::new();
    // Older than this test: what was changed just now is read again in any case.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/data")
        .canonicalize()
        .unwrap();
    let data = folder.join("line.csv");
    let source = DataSource::Absolute(data.display().to_string());
    let mut request = world.request(Algorithm::LinearRegression, source);
    declared(&mut request).dataset.target = Some(target("y"));
    request.dataset = Some(data);
    published(&request);
    request.published_inputs = world.entry(&request).metadata.inputs_hash;
    let stages = || {
        let mut stages = Vec::new();
        let ending = trainer::run(
            &request,
            &nowhere,
            &mut |progress| stages.push(progress.stage),
            &now,
        );
        assert_eq!(ending, Ending::SameInputs);
        stages.join(" ")
    };
    assert_eq!(stages(), "");
    let kept = world.store.root().join("aurora/m/runs/data.json");
    let content = std::fs::read_to_string(&kept).unwrap();
    // Gone, damaged, or of other bytes: it is read, and ends as before.
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(stages(), "read");
    assert_eq!(stages(), "");
    std::fs::write(&kept, "[1").unwrap();
    assert_eq!(stages(), "read");
    let sha256 = content.split('"').rev().nth(1).unwrap().to_owned();
    let other = content.replace(&sha256, &Digest::of(b"other").to_string());
    assert_ne!(other, content);
    std::fs::write(&kept, other).unwrap();
    assert_eq!(stages(), "read");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), content);
}
