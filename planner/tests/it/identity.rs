//! Hashes that must never change, and what changes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::expect;
use planner::deployment::{Autoscaling, DeclaredDeployment};
use planner::desired::{Completeness, Desired};
use planner::engine::Engine;
use planner::environment::Drift;
use planner::identity::{PlanHash, inputs_hash, plan_hash, spec_hash};
use planner::names::Digest;
use planner::training::{
    Algorithm, Container, DataSource, Derivation, Feature, Fit, Holdout, Import, ImportSource, Metric,
    RunPolicy, Target, Told, Training,
};

use crate::support::{
    declared, declared_deployment, desired, digest, model, object, schedule, training, version, weight,
};

fn base() -> Training {
    training("m", RunPolicy::Fixed(version(1)))
}

fn container() -> Container {
    Container {
        image: "example.org/train:1".to_owned(),
        command: vec!["python".to_owned()],
        args: vec!["train.py".to_owned()],
    }
}

fn import() -> Import {
    Import {
        source: ImportSource::Committed("m.onnx".to_owned()),
        digest: digest(3),
        files: BTreeMap::new(),
        signature: None,
        told: Told::default(),
    }
}

fn of(desired: &mut Desired) -> &mut DeclaredDeployment {
    &mut desired.deployments.get_mut(&object("m")).unwrap().spec
}

/// Versions in registries hold these: if this fails, every one of them looks as if it had other inputs.
#[test]
fn hashes_are_pinned() {
    let mut full = base();
    full.rows.as_mut().unwrap().dataset.source = DataSource::Committed("rows.csv".to_owned());
    full.rows.as_mut().unwrap().dataset.sha256 = Some(digest(1));
    full.rows.as_mut().unwrap().dataset.features = vec![
        Feature {
            name: "a".to_owned(),
            derivation: Derivation::Column("A".to_owned()),
        },
        Feature {
            name: "b".to_owned(),
            derivation: Derivation::Ratio(["B".to_owned(), "C".to_owned()]),
        },
    ];
    full.rows.as_mut().unwrap().dataset.target = Some(Target {
        column: "y".to_owned(),
        divide_by: Some(0.1),
        unit: Some("USD".to_owned()),
    });
    full.hyperparameters.insert("learning_rate".to_owned(), 0.1);
    expect!["8c21419e1a375105093fa84ce75e0de665ad683149a1a16b6e463867696e6a1e"]
        .assert_eq(&inputs_hash(&base()).hex());
    expect!["a9b6108218f8694d72e4392a9c465376367f06ca9d9bcf6670e1ce60a269bc86"]
        .assert_eq(&inputs_hash(&full).hex());
    // What trained before columns could be left out leaves none out.
    let mut excluding = base();
    excluding.rows.as_mut().unwrap().dataset.exclude = vec!["note".to_owned()];
    expect!["90f827fa070e705771e36ba470aa3dd3f50c59b86736ac368a609fb3d90289c3"]
        .assert_eq(&inputs_hash(&excluding).hex());
    let mut contained = base();
    contained.fit = Fit::Container(Box::new(container()));
    expect!["93f780ffdfc0f1d3809926a218c9494db1ac2df2139669b6f96522fc61bb6361"]
        .assert_eq(&inputs_hash(&contained).hex());
    let mut imported = base();
    imported.fit = Fit::Import(Box::new(import()));
    expect!["72eb0ebeab3dbdcb66c8df2b5ac0cb7e80d6fe5a2f2868d7731a0e274e77c085"]
        .assert_eq(&inputs_hash(&imported).hex());
    // Who evaluates it decides what it says.
    let mut foreign = imported;
    foreign.engine = Engine::OnnxRuntime;
    expect!["21574714e21e8094d41635d43d0835c7126fa0755c9cece04894e2f2741431be"]
        .assert_eq(&inputs_hash(&foreign).hex());
    expect!["e19f52c5a06b027006d516850841ab3a7dacfb6f6bbedb25c74198c51a8a4c2b"]
        .assert_eq(&spec_hash(&full).hex());
}

#[test]
fn what_counts_as_inputs_and_what_as_spec() {
    type Change = fn(&mut Training);
    let changes: [(&str, Change); 16] = [
        ("model", |t| t.model = "n".parse().unwrap()),
        ("data", |t| {
            t.rows.as_mut().unwrap().dataset.source = DataSource::Synthetic("iris".to_owned());
        }),
        ("features", |t| {
            t.rows.as_mut().unwrap().dataset.features = vec![Feature {
                name: "a".to_owned(),
                derivation: Derivation::Column("a".to_owned()),
            }];
        }),
        ("algorithm", |t| {
            t.fit = Fit::Algorithm(Algorithm::GradientBoosting);
        }),
        ("hyperparameters", |t| {
            t.hyperparameters.insert("leaves".to_owned(), 8.0);
        }),
        ("seed", |t| t.seed = 1),
        ("holdout", |t| {
            t.rows.as_mut().unwrap().evaluation.holdout = Holdout::Percent { percent: 20, seed: 1 }
        }),
        ("bound", |t| t.rows.as_mut().unwrap().evaluation.bound = Some(0.1)),
        ("metric", |t| {
            t.rows.as_mut().unwrap().evaluation.metric = Metric::Mae;
        }),
        ("deadline", |t| t.active_deadline_seconds = 1),
        ("version", |t| t.runs = RunPolicy::Fixed(version(2))),
        ("schedule", |t| {
            t.runs = RunPolicy::Scheduled {
                schedule: schedule("0 3 * * *", "UTC"),
                starting_deadline_seconds: None,
                concurrency: planner::training::Concurrency::Forbid,
            };
        }),
        ("suspend", |t| t.suspend = true),
        ("container", |t| t.fit = Fit::Container(Box::new(container()))),
        ("import", |t| t.fit = Fit::Import(Box::new(import()))),
        ("pod", |t| t.pod = Some(Box::default())),
    ];
    let mut text = String::new();
    for (name, change) in changes {
        let mut other = base();
        change(&mut other);
        let word = |old: Digest, new: Digest| if old == new { "same" } else { "other" };
        writeln!(
            text,
            "{name:<16} inputs {:<6} spec {}",
            word(inputs_hash(&base()), inputs_hash(&other)),
            word(spec_hash(&base()), spec_hash(&other)),
        )
        .unwrap();
    }
    expect![[r#"
        model            inputs other  spec other
        data             inputs other  spec other
        features         inputs other  spec other
        algorithm        inputs other  spec other
        hyperparameters  inputs other  spec other
        seed             inputs other  spec other
        holdout          inputs other  spec other
        bound            inputs same   spec other
        metric           inputs same   spec other
        deadline         inputs same   spec other
        version          inputs same   spec other
        schedule         inputs same   spec other
        suspend          inputs same   spec same
        container        inputs other  spec other
        import           inputs other  spec other
        pod              inputs same   spec other
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_file_is_its_bytes_wherever_it_lies() {
    let at = |source| {
        let mut training = base();
        training.rows.as_mut().unwrap().dataset.source = source;
        training.rows.as_mut().unwrap().dataset.sha256 = Some(digest(1));
        training
    };
    let committed = at(DataSource::Committed("a.csv".to_owned()));
    let absolute = at(DataSource::Absolute("/b.csv".to_owned()));
    assert_eq!(inputs_hash(&committed), inputs_hash(&absolute));
    assert_ne!(spec_hash(&committed), spec_hash(&absolute));
}

#[test]
fn a_plan_is_what_is_declared_and_not_where_or_when() {
    let mut one = desired(1);
    one.deployments.insert(
        object("m"),
        declared("a", declared_deployment("m", 1, Some((2, 10))), 1),
    );
    one.trainings.insert(object("t"), declared("a", base(), 1));
    let mut two = one.clone();
    two.revision = desired(2).revision;
    two.deployments.insert(
        object("m"),
        declared("b", declared_deployment("m", 1, Some((2, 10))), 2),
    );
    assert_eq!(plan_hash(&one), plan_hash(&two));
    let canary = &mut two.deployments.get_mut(&object("m")).unwrap().spec.canary;
    canary.as_mut().unwrap().weight = weight(11);
    assert_ne!(plan_hash(&one), plan_hash(&two));
}

/// However a plan's hash came about, it is that of what is declared now.
#[test]
fn a_hash_that_follows_changes_is_that_of_the_whole() {
    let environment = desired(1).environment;
    let whole = |models: &[(usize, u32)]| {
        let mut hash = PlanHash::default();
        for (name, content) in models {
            hash.set(&model(&format!("m{name}")), Some(digest(*content)));
        }
        hash.of(&environment)
    };
    let mut followed = PlanHash::default();
    assert_eq!(followed.of(&environment), whole(&[]));
    // More models than leaves, so that some share one.
    let mut models: Vec<(usize, u32)> = (0..600).map(|name| (name, 1)).collect();
    for (name, content) in &models {
        followed.set(&model(&format!("m{name}")), Some(digest(*content)));
    }
    let first = followed.of(&environment);
    assert_eq!(first, whole(&models));
    models[7].1 = 2;
    followed.set(&model("m7"), Some(digest(2)));
    assert_eq!(followed.of(&environment), whole(&models));
    let gone = models.remove(300);
    followed.set(&model("m300"), None);
    assert_eq!(followed.of(&environment), whole(&models));
    // And back again.
    followed.set(&model("m300"), Some(digest(gone.1)));
    followed.set(&model("m7"), Some(digest(1)));
    assert_eq!(followed.of(&environment), first);
}

/// The reports of a revision hold it.
#[test]
fn what_counts_as_a_plan() {
    type Change = fn(&mut Desired);
    let base = || {
        let mut base = desired(1);
        let deployment = declared("a", declared_deployment("m", 1, Some((2, 10))), 1);
        base.deployments.insert(object("m"), deployment);
        base.trainings.insert(object("t"), declared("a", self::base(), 1));
        base
    };
    expect!["598cbab3fb25e93679328b089597b1defb2c2d6b2e3c363a4056fdddcd744c8e"]
        .assert_eq(&plan_hash(&base()).hex());
    let changes: [(&str, Change); 23] = [
        ("revision", |d| d.revision = desired(9).revision),
        ("completeness", |d| d.completeness = Completeness::Partial),
        ("allow", |d| {
            d.environment.removal.allow = Some(desired(9).revision);
        }),
        ("no deployment", |d| d.deployments.clear()),
        ("no job", |d| d.trainings.clear()),
        ("a job's name", |d| {
            let job = d.trainings.remove(&object("t")).unwrap();
            d.trainings.insert(object("u"), job);
        }),
        ("a job's suspension", |d| {
            d.trainings.get_mut(&object("t")).unwrap().spec.suspend = true;
        }),
        ("a job's seed", |d| {
            d.trainings.get_mut(&object("t")).unwrap().spec.seed = 9;
        }),
        ("a suspension", |d| {
            d.deployments.get_mut(&object("m")).unwrap().spec.suspend = Some("audit".to_owned());
        }),
        ("a digest", |d| {
            d.deployments.get_mut(&object("m")).unwrap().spec.stable.digest = Some(digest(1));
        }),
        ("environment's name", |d| {
            d.environment.name = "prod".parse().unwrap();
        }),
        ("environment's suspension", |d| {
            d.environment.suspend = Some("freeze".to_owned());
        }),
        ("registry", |d| d.environment.registry_path = Some("r".to_owned())),
        ("upstream", |d| {
            d.environment.upstream = Some(planner::endpoint::Endpoint {
                url: "https://staging.example.org".parse().unwrap(),
                key_file: None,
            });
        }),
        ("count", |d| d.environment.removal.max_count = 9),
        ("percent", |d| d.environment.removal.max_percent = 9),
        ("target", |d| {
            d.environment.target = planner::environment::Target::Kubernetes {
                namespace: "m".to_owned(),
            };
        }),
        ("drift", |d| d.environment.drift = Drift::Warn),
        ("replicas", |d| of(d).replicas = 2),
        ("canary's replicas", |d| {
            of(d).canary.as_mut().unwrap().replicas = 2;
        }),
        ("autoscaling", |d| {
            of(d).autoscaling = Some(Autoscaling {
                min_replicas: 1,
                max_replicas: 2,
                target_cpu_percent: 70,
            });
        }),
        ("pod", |d| of(d).pod = Some(Box::default())),
        ("route", |d| of(d).route = Some(Box::default())),
    ];
    let mut text = String::new();
    for (name, change) in changes {
        let mut other = base();
        change(&mut other);
        let is_same = plan_hash(&other) == plan_hash(&base());
        writeln!(text, "{name:<26}{}", if is_same { "same" } else { "other" }).unwrap();
    }
    expect![[r#"
        revision                  same
        completeness              same
        allow                     same
        no deployment             other
        no job                    other
        a job's name              other
        a job's suspension        other
        a job's seed              other
        a suspension              other
        a digest                  other
        environment's name        other
        environment's suspension  other
        registry                  other
        upstream                  other
        count                     other
        percent                   other
        target                    other
        drift                     other
        replicas                  other
        canary's replicas         other
        autoscaling               other
        pod                       other
        route                     other
    "#]]
    .assert_eq(&text);
}

/// Where a model lies is a matter of the job, and what it is one of the version.
#[test]
fn an_import_is_its_digest() {
    let hashes = |import: Import| {
        let mut training = base();
        training.fit = Fit::Import(Box::new(import));
        (inputs_hash(&training), spec_hash(&training))
    };
    let moved = Import {
        source: ImportSource::Committed("n.onnx".to_owned()),
        ..import()
    };
    let other = Import {
        digest: digest(4),
        ..import()
    };
    assert_eq!(hashes(moved.clone()).0, hashes(import()).0);
    assert_ne!(hashes(moved).1, hashes(import()).1);
    let beside = Import {
        files: BTreeMap::from([("m.data".parse().unwrap(), digest(5))]),
        ..import()
    };
    assert_ne!(hashes(beside).0, hashes(import()).0);
    // Who signed it decides whether it may be imported, and not what it is.
    let signed = |text: &str| Import {
        signature: Some(text.parse().unwrap()),
        ..import()
    };
    let bundle = |n| format!("m.sig@{}", digest(n));
    assert_eq!(hashes(signed("m.sig")).0, hashes(import()).0);
    assert_ne!(hashes(signed("m.sig")).1, hashes(import()).1);
    assert_ne!(hashes(signed(&bundle(1))).1, hashes(signed(&bundle(2))).1);
    assert_ne!(hashes(other).0, hashes(import()).0);
}

/// What a program of the commit is made of counts, by name and by bytes.
#[test]
fn a_command_is_its_words_and_its_files() {
    let file = |name: &str, bytes: &[u8]| format!("{name}@{}", Digest::of(bytes)).parse().unwrap();
    let hash = |argv: &[&str], files: &[planner::training::CommittedFile]| {
        let mut training = base();
        training.fit = Fit::Command(Box::new(planner::training::Command {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            files: files.to_vec(),
        }));
        inputs_hash(&training)
    };
    let known = hash(&["sh", "a"], &[file("a", b"1")]);
    assert_eq!(hash(&["sh", "a"], &[file("a", b"1")]), known);
    for (argv, files) in [
        (vec!["sh", "b"], vec![file("a", b"1")]),
        (vec!["sh", "a"], vec![file("a", b"2")]),
        (vec!["sh", "a"], vec![file("b", b"1")]),
        (vec!["sh", "a"], vec![]),
    ] {
        assert_ne!(hash(&argv, &files), known, "{argv:?} {files:?}");
    }
}

/// Each part of a container counts: another argument is another program.
#[test]
fn a_container_is_its_image_command_and_arguments() {
    type Change = fn(&mut Container);
    let changes: [Change; 3] = [
        |c| c.image.push('1'),
        |c| c.command.push("-u".to_owned()),
        |c| drop(c.args.pop()),
    ];
    let hash = |container: Container| {
        let mut training = base();
        training.fit = Fit::Container(Box::new(container));
        inputs_hash(&training)
    };
    for change in changes {
        let mut other = container();
        change(&mut other);
        assert_ne!(hash(other), hash(container()));
    }
}
