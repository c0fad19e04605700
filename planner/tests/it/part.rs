//! What hangs together.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use planner::names::{ModelName, ObjectName};
use planner::object::ObjectId;
use planner::observed::{ObservedDeployment, ObservedTraining, TrainingObject};
use planner::part::{Links, Side};
use planner::training::RunPolicy;

use crate::support::{
    declared, declared_deployment, deployment_object, desired, model, object, resolved_deployment, revision,
    time, training, version,
};

/// Links and the models that the last change touched.
#[derive(Default)]
struct Case {
    links: Links,
    log: String,
}

impl Case {
    /// Manifest (`+`) or object (`=`) `name` is about `about` now, or is gone.
    fn set(&mut self, side: Side, name: &str, about: Option<&str>) -> &mut Self {
        let mut touched = BTreeSet::new();
        let id = ObjectId::deployment(&object(name));
        self.links.set(side, &id, about.map(model).as_ref(), &mut touched);
        let sign = match side {
            Side::Declared => '+',
            Side::Observed => '=',
        };
        writeln!(
            self.log,
            "{sign}{name} {:<4} touches {:<4} | {}{}",
            about.unwrap_or("-"),
            names(&touched),
            self.show(),
            // What nobody declares belongs even to the part of no model.
            if self.links.part(&BTreeSet::new()).models.is_empty() {
                ""
            } else {
                " | undeclared"
            }
        )
        .unwrap();
        self
    }

    fn declare(&mut self, name: &str, about: Option<&str>) -> &mut Self {
        self.set(Side::Declared, name, about)
    }

    fn find(&mut self, name: &str, about: Option<&str>) -> &mut Self {
        self.set(Side::Observed, name, about)
    }

    /// Each model with its ids, and the models that are decided about with it.
    fn show(&self) -> String {
        let one = |name: &ModelName| {
            let ids: Vec<&str> = self.links.ids(name).map(|id| id.name.as_str()).collect();
            let part = self.links.part(&BTreeSet::from([name.clone()]));
            format!("{name}: {} with {}", ids.join(","), names(&part.models))
        };
        self.links.models().map(one).collect::<Vec<_>>().join("; ")
    }
}

fn names(models: &BTreeSet<ModelName>) -> String {
    let names: Vec<&str> = models.iter().map(ModelName::as_str).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(",")
    }
}

#[track_caller]
fn check(case: &Case, expected: &Expect) {
    expected.assert_eq(&case.log);
}

#[test]
fn a_manifest_and_its_object() {
    let mut case = Case::default();
    case.declare("a", Some("m"))
        .find("a", Some("m"))
        .find("a", Some("m"))
        .declare("a", None)
        .find("a", None)
        .find("a", None);
    check(
        &case,
        &expect![[r#"
        +a m    touches m    | m: a with m
        =a m    touches m    | m: a with m
        =a m    touches m    | m: a with m
        +a -    touches m    | m: a with m | undeclared
        =a -    touches m    | 
        =a -    touches -    | 
    "#]],
    );
}

#[test]
fn a_turn_joins_two_models_until_the_object_follows() {
    let mut case = Case::default();
    case.declare("a", Some("m"))
        .find("a", Some("m"))
        .declare("b", Some("n"))
        .declare("a", Some("n"))
        .find("a", Some("n"));
    check(
        &case,
        &expect![[r#"
            +a m    touches m    | m: a with m
            =a m    touches m    | m: a with m
            +b n    touches n    | m: a with m; n: b with n
            +a n    touches m,n  | m: a with m,n; n: a,b with m,n | undeclared
            =a n    touches m,n  | n: a,b with n
        "#]],
    );
}

#[test]
fn a_turn_of_the_object_alone() {
    let mut case = Case::default();
    case.find("a", Some("m"))
        .find("a", Some("n"))
        .declare("a", Some("m"))
        .find("a", None);
    check(
        &case,
        &expect![[r#"
            =a m    touches m    | m: a with m | undeclared
            =a n    touches m,n  | n: a with n | undeclared
            +a m    touches m    | m: a with m,n; n: a with m,n | undeclared
            =a -    touches n    | m: a with m
        "#]],
    );
}

#[test]
fn what_nobody_declares_belongs_to_every_part() {
    let mut case = Case::default();
    case.declare("a", Some("m"))
        .find("a", Some("m"))
        .find("b", Some("n"))
        .find("c", Some("o"))
        .declare("b", Some("n"))
        .find("c", None);
    check(
        &case,
        &expect![[r#"
        +a m    touches m    | m: a with m
        =a m    touches m    | m: a with m
        =b n    touches n    | m: a with m,n; n: b with n | undeclared
        =c o    touches o    | m: a with m,n,o; n: b with n,o; o: c with n,o | undeclared
        +b n    touches n    | m: a with m,o; n: b with n,o; o: c with o | undeclared
        =c -    touches o    | m: a with m; n: b with n
    "#]],
    );
}

#[test]
fn a_rename_is_one_part() {
    let mut case = Case::default();
    case.declare("a", Some("m"))
        .find("a", Some("m"))
        .declare("x", Some("z"))
        .declare("a", None)
        .declare("b", Some("m"))
        .find("b", Some("m"))
        .find("a", None);
    check(
        &case,
        &expect![[r#"
        +a m    touches m    | m: a with m
        =a m    touches m    | m: a with m
        +x z    touches z    | m: a with m; z: x with z
        +a -    touches m    | m: a with m; z: x with m,z | undeclared
        +b m    touches m    | m: a,b with m; z: x with m,z | undeclared
        =b m    touches m    | m: a,b with m; z: x with m,z | undeclared
        =a -    touches m    | m: b with m; z: x with z
    "#]],
    );
}

#[test]
fn models_in_turns() {
    let mut links = Links::default();
    for name in ["a", "b", "c", "d"] {
        let id = ObjectId::deployment(&object(name));
        links.set(Side::Declared, &id, Some(&model(name)), &mut BTreeSet::new());
    }
    let after = |last: Option<&str>, count| -> String {
        let turn = links.models_after(last.map(model).as_ref(), count);
        turn.iter().map(ModelName::as_str).collect()
    };
    assert_eq!(after(None, 2), "ab");
    assert_eq!(after(None, 9), "abcd");
    assert_eq!(after(Some("b"), 1), "c");
    assert_eq!(after(Some("b"), 3), "cda");
    assert_eq!(after(Some("d"), 2), "ab");
    // Each once, the last itself at the end.
    assert_eq!(after(Some("b"), 9), "cdab");
    assert_eq!(after(Some("b"), 0), "");
    // The last is gone.
    assert_eq!(after(Some("bb"), 2), "cd");
    assert_eq!(after(Some("z"), 2), "ab");
    assert_eq!(after(Some("0"), 9), "abcd");
    assert_eq!(Links::default().models_after(Some(&model("a")), 5), []);
    // Every model has its turn.
    let mut seen = String::new();
    let mut last = None;
    for _ in 0..4 {
        let turn = links.models_after(last.as_ref(), 3);
        last = turn.last().cloned();
        seen.extend(turn.iter().map(ModelName::as_str));
    }
    assert_eq!(seen, "abcdabcdabcd");
}

/// A part has what it is about, all that is about the environment, and how much there is beside it.
#[test]
fn a_part_of_what_is_declared_and_of_what_is_there() {
    let mut whole = desired(3);
    let mut seen = planner::observed::Observed {
        elsewhere: 5,
        ..Default::default()
    };
    let mut links = Links::default();
    let mut touched = BTreeSet::new();
    for name in ["m", "n", "o"] {
        let spec = declared_deployment(name, 1, None);
        whole.deployments.insert(object(name), declared(name, spec, 1));
        let job = training(name, RunPolicy::Fixed(version(1)));
        let job_name = object(&format!("t{name}"));
        whole
            .trainings
            .insert(job_name.clone(), declared(name, job.clone(), 1));
        let mut spec = resolved_deployment(1, None);
        spec.model = model(name);
        let found = ObservedDeployment {
            object: deployment_object(spec),
            status: None,
        };
        seen.deployments.insert(object(name), found);
        let found = ObservedTraining {
            object: TrainingObject {
                spec: job,
                revision: revision(1),
                committed_at: time(0),
                baseline: None,
                trust: None,
                behind: None,
            },
            phase: None,
            recorded_at: None,
        };
        seen.trainings.insert(job_name.clone(), found);
        seen.models.insert(model(name), std::sync::Arc::default());
        for id in [ObjectId::deployment(&object(name)), ObjectId::training(&job_name)] {
            links.set(Side::Declared, &id, Some(&model(name)), &mut touched);
            links.set(Side::Observed, &id, Some(&model(name)), &mut touched);
        }
    }
    let part = links.part(&BTreeSet::from([model("m")]));
    let (declared, observed) = (part.desired(&whole), part.observed(&seen));
    assert_eq!(
        (&declared.revision, &declared.environment, declared.completeness),
        (&whole.revision, &whole.environment, whole.completeness)
    );
    let only = |names: Vec<&str>, name| assert_eq!(names, [name]);
    only(declared.deployments.keys().map(ObjectName::as_str).collect(), "m");
    only(declared.trainings.keys().map(ObjectName::as_str).collect(), "tm");
    only(observed.deployments.keys().map(ObjectName::as_str).collect(), "m");
    only(observed.trainings.keys().map(ObjectName::as_str).collect(), "tm");
    only(observed.models.keys().map(ModelName::as_str).collect(), "m");
    assert_eq!(observed.elsewhere, 5 + 2);
    // A model that nobody knows has a part of its own, with nothing in it.
    let part = links.part(&BTreeSet::from([model("z")]));
    assert_eq!((part.models.len(), part.ids.len()), (1, 0));
    assert_eq!(part.observed(&seen).elsewhere, 5 + 3);
}
