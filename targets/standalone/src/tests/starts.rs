//! What a start meets: another process, and what was left, changed or is not there.

use std::fs;
use std::time::Duration;

use expect_test::expect;

use super::trouble::{assert_serving, serving};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_that_is_not_there_at_the_start_is_awaited_and_none_is_made_in_its_place() {
    let mut world = serving();
    let registry = world.data_dir().join("registry");
    let volume = world.data_dir().join("unmounted");
    fs::rename(&registry, &volume).unwrap();
    // What remains of a volume that is not mounted is the folder that it is mounted on.
    fs::create_dir(&registry).unwrap();
    let trained = world.trainer.requests.lock().unwrap().len();
    world.restart();
    for _ in 0..5 {
        world.turn();
        world.wait(Duration::from_mins(5));
    }
    expect![[r#"
        StorageUnavailable: the registry: FOLDER/data/registry holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)
          hint: what serves stays; mend it, then it goes on by itself"#]]
    .assert_eq(&world.findings());
    assert_eq!(
        fs::read_dir(&registry).unwrap().count(),
        0,
        "nothing is made on the root disk"
    );
    assert_eq!(world.trainer.requests.lock().unwrap().len(), trained);

    // Another installation's volume is not taken for it.
    let other = registry::Owner {
        environment: super::repository::dev(),
        installation: "other".to_owned(),
    };
    registry::Store::init(&registry, &other, "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    for _ in 0..3 {
        world.wait(Duration::from_mins(5));
        world.turn();
    }
    assert!(
        world
            .findings()
            .contains("belongs to environment dev (installation other)"),
        "{}",
        world.findings()
    );
    assert_eq!(world.trainer.requests.lock().unwrap().len(), trained);

    fs::remove_dir_all(&registry).unwrap();
    fs::rename(&volume, &registry).unwrap();
    world.wait(Duration::from_mins(5));
    world.settle();
    assert_serving(&world);
    assert_eq!(world.findings(), "");
    assert_eq!(world.trainer.requests.lock().unwrap().len(), trained);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_start_is_refused_with_the_first_one_s_process() {
    let world = serving();
    let error = world.second_start().unwrap_err().to_string();
    let error = error
        .replace(
            &world.data_dir().canonicalize().unwrap().display().to_string(),
            "DATA",
        )
        .replace(&std::process::id().to_string(), "PID");
    expect!["DATA is in use by another aurora (process PID); stop that one, or give another folder with --data-dir"].assert_eq(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damaged_files_of_the_data_directory_are_made_anew() {
    let mut world = serving();
    for file in [
        "objects/MLDeployment/m.json",
        "status/MLDeployment/other.json",
        "status/MLEnvironment/dev.json",
    ] {
        fs::write(world.data_dir().join(file), "{ half").unwrap();
    }
    world.restart();
    world.settle();
    assert_serving(&world);
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_object_of_another_version_of_the_api_is_refused_and_left_as_it_is() {
    let mut world = serving();
    world.end();
    for kind in ["MLEnvironment", "MLDeployment", "MLTrainingJob"] {
        let mut files = fs::read_dir(world.data_dir().join("objects").join(kind)).unwrap();
        let file = files.next().unwrap().unwrap().path();
        let ours = fs::read_to_string(&file).unwrap();
        for (line, found) in [
            ("\"apiVersion\": \"aurora.io/v2\",", "apiVersion \"aurora.io/v2\""),
            ("\"apiVersion\": 7,", "apiVersion 7"),
            ("", "no apiVersion"),
        ] {
            let foreign = ours.replace("\"apiVersion\": \"aurora.io/v1alpha1\",", line);
            assert_ne!(foreign, ours);
            fs::write(&file, &foreign).unwrap();
            let error = world.start_again().unwrap_err().to_string();
            let expected = format!(
                "{} has {found}, and this aurora reads aurora.io/v1alpha1",
                file.file_name().unwrap().display()
            );
            assert!(error.contains(&expected), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), foreign);
        }
        fs::write(&file, ours).unwrap();
    }
    world.restart();
    world.settle();
    assert_serving(&world);
}
