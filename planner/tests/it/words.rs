//! Names, versions, digests, weights: what is one, what is not, and how each is shown.

use std::fmt::{Debug, Display, Write as _};
use std::str::FromStr;

use expect_test::{Expect, expect};
use planner::finding::{Finding, Location, Reason, Subject};
use planner::names::{
    Digest, EnvironmentName, ModelName, NAME_LENGTH_MAX, ObjectName, Revision, Track, Version, Weight,
};
use planner::object::{Kind, ObjectId};
use planner::training::{Algorithm, Concurrency, Metric};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{at, object, time, version};

/// Each text is a `T`, shown and stored as itself.
#[track_caller]
fn accept<T>(texts: &[&str])
where
    T: FromStr<Err: Debug> + Display + Serialize + DeserializeOwned + PartialEq + Debug,
{
    for text in texts {
        let word: T = text.parse().unwrap();
        assert_eq!(word.to_string(), *text);
        let json = serde_json::to_value(&word).unwrap();
        assert_eq!(json, **text);
        assert_eq!(serde_json::from_value::<T>(json).unwrap(), word);
    }
}

/// No text is a `T`, wherever it stands; the last one's error is shown.
#[track_caller]
fn refuse<T>(texts: &[&str], expected: &Expect)
where
    T: FromStr<Err: Display> + DeserializeOwned + Debug,
{
    let mut last = String::new();
    for text in texts {
        last = match text.parse::<T>() {
            Ok(word) => panic!("{text:?} is {word:?}"),
            Err(error) => error.to_string(),
        };
        let stored = serde_json::from_value::<T>((*text).into());
        assert_eq!(stored.unwrap_err().to_string(), last);
    }
    expected.assert_eq(&last);
}

#[test]
fn names() {
    let longest = "a".repeat(NAME_LENGTH_MAX);
    let names = ["a", "0", "a-b", "0-9", "wine-quality", "a--b", &longest];
    accept::<ModelName>(&names);
    accept::<ObjectName>(&names);
    accept::<EnvironmentName>(&names);
    assert_eq!(object("a-b").as_str(), "a-b");
    let too_long = "a".repeat(NAME_LENGTH_MAX + 1);
    refuse::<ModelName>(
        &[
            "", "-", "-a", "a-", "A", "a.b", "a_b", "a/b", "aB", "é", "a é", " a", "a\n", &too_long, "Wine",
        ],
        &expect![[
            r#""Wine" is not a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end"#
        ]],
    );
}

#[test]
fn versions() {
    accept::<Version>(&[
        "v20261101-120000",
        "v20261101-120000-2",
        "v20261101-120000-10",
        "v20261101-120000-4294967295",
        "v00010101-000000",
        "v20240229-235959",
    ]);
    refuse::<Version>(
        &[
            "",
            "v",
            "20261101-120000",
            "V20261101-120000",
            "v2026-11-01",
            "v20261101-12000",
            "v20261101-1200000",
            "v20261101-120000-",
            "v20261101-120000-0",
            "v20261101-120000-1",
            "v20261101-120000-02",
            "v20261101-120000-+2",
            "v20261101-120000-x",
            "v20261101-120000-4294967296",
            "v20261101-120000-2-3",
            "v20261101-120000x2",
            "v20261101-120000 ",
            "v20261301-120000",
            "v20260229-120000",
            "v20261101-240000",
            "v20261101-120060",
            "v20261231-235960",
            "v20261101_120000",
            "v+2026110-120000",
            "v2026110é-12000",
            "v20261101-12000é",
        ],
        &expect![[r#""v20261101-12000é" is not a version: vYYYYMMDD-HHMMSS in UTC, e.g. v20261101-120000"#]],
    );
}

#[test]
fn versions_order_by_time_and_then_by_number() {
    let texts = [
        "v20260101-000000",
        "v20260101-000000-2",
        "v20260101-000000-10",
        "v20260101-000001",
    ];
    let versions = texts.map(|text| text.parse::<Version>().unwrap());
    assert!(versions.is_sorted());
    assert_eq!(versions[2].time(), at("2026-01-01 00:00"));
}

#[test]
fn a_version_is_the_second_of_its_run_and_a_number_where_that_is_taken() {
    let first = Version::at(time(3), |_| false);
    assert_eq!(first.to_string(), "v20260101-000003");
    let mut taken = Vec::new();
    for _ in 0..4 {
        let next = Version::at(time(3), |version| taken.contains(version));
        taken.push(next);
    }
    let texts: Vec<String> = taken.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "v20260101-000003",
            "v20260101-000003-2",
            "v20260101-000003-3",
            "v20260101-000003-4"
        ]
    );
    // Less than a second is no other version.
    let late = Version::at(time(3) + chrono::Duration::milliseconds(999), |_| false);
    assert_eq!((&late, late.time()), (&first, time(3)));
}

#[test]
fn digests() {
    let hex = "0123456789abcdef".repeat(4);
    let text = format!("sha256:{hex}");
    accept::<Digest>(&[&text]);
    let digest: Digest = text.parse().unwrap();
    assert_eq!(
        (digest.hex(), digest.short().as_str()),
        (hex.clone(), "0123456789ab")
    );
    assert_eq!(format!("{digest:?}"), text);
    assert_eq!(Digest::from_hex(&hex), Ok(digest));
    let bytes = std::array::from_fn(|index| [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][index % 8]);
    assert_eq!(Digest::from_bytes(bytes), digest);
    expect!["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
        .assert_eq(&Digest::of(b"abc").to_string());
    let upper = format!("sha256:{}", hex.to_uppercase());
    let sha1 = format!("sha1:{hex}");
    let (long, short) = (format!("{text}00"), text[..text.len() - 2].to_owned());
    let odd = text[..text.len() - 1].to_owned();
    refuse::<Digest>(
        &[&upper, &sha1, &hex, &long, &short, &odd, "sha256:", "", "abc"],
        &expect![[r#""abc" is not a digest: sha256: and 64 lower-case hex digits"#]],
    );
    let error = Digest::from_hex("ABC").unwrap_err();
    expect![[r#""ABC" is not a SHA-256: 64 lower-case hex digits"#]].assert_eq(&error.to_string());
    assert!(Digest::from_hex(&hex[..62]).is_err());
    assert!(Digest::from_hex(&"g".repeat(64)).is_err());
}

#[test]
fn revisions() {
    let (sha1, sha256) = ("0123456789abcdef0123".repeat(2), "0123456789abcdef".repeat(4));
    accept::<Revision>(&[&sha1, &sha256]);
    let revision: Revision = sha1.parse().unwrap();
    assert_eq!((revision.short(), revision.as_str()), ("0123456789", &*sha1));
    let (upper, other) = (sha1.to_uppercase(), "g".repeat(40));
    // Characters around the digits and letters of hex.
    let around: Vec<String> = ['/', ':', '@', 'G', '`', 'g']
        .iter()
        .map(|c| format!("{c}{}", &sha1[1..]))
        .collect();
    let mut refused: Vec<&str> = around.iter().map(String::as_str).collect();
    refused.extend(["", "main", &upper, &other, &sha1[1..], &sha256[..50], "HEAD"]);
    refuse::<Revision>(
        &refused,
        &expect![[r#""HEAD" is not a revision: the 40 or 64 hex digits of a commit"#]],
    );
}

#[test]
fn an_error_shows_no_more_than_the_beginning() {
    let error = "é".repeat(1000).parse::<Revision>().unwrap_err();
    assert_eq!(error.got, "é".repeat(80));
}

#[test]
fn weights() {
    for percent in [0_u64, 1, 99, 100] {
        let weight = Weight::try_from(percent).unwrap();
        assert_eq!(u64::from(weight.percent()), percent);
        assert_eq!(weight.to_string(), format!("{percent}%"));
        assert_eq!(serde_json::to_value(weight).unwrap(), percent);
        assert_eq!(serde_json::from_value::<Weight>(percent.into()).unwrap(), weight);
    }
    assert_eq!((Weight::ZERO.percent(), Weight::FULL.percent()), (0, 100));
    for percent in [101_u64, 255, 256, 356, u64::MAX] {
        assert!(Weight::try_from(percent).is_err(), "{percent}");
    }
    expect![[r#""356" is not a weight: a whole percent from 0 to 100"#]]
        .assert_eq(&Weight::try_from(356).unwrap_err().to_string());
    for text in ["-1", "1.5", "\"1\"", "null"] {
        assert!(serde_json::from_str::<Weight>(text).is_err(), "{text}");
    }
}

#[test]
fn tracks() {
    accept::<Track>(&["stable", "canary"]);
    assert_eq!(Track::ALL.map(Track::as_str), ["stable", "canary"]);
    expect![[r#""Stable" is not a track: stable or canary"#]]
        .assert_eq(&"Stable".parse::<Track>().unwrap_err().to_string());
}

#[test]
fn kinds() {
    accept::<Kind>(&["MLEnvironment", "MLDeployment", "MLTrainingJob"]);
    assert_eq!(
        Kind::ALL.map(Kind::as_str),
        ["MLEnvironment", "MLDeployment", "MLTrainingJob"]
    );
    for text in ["", "mldeployment", "Deployment", "MLDeployment "] {
        assert!(text.parse::<Kind>().is_err(), "{text}");
    }
    expect![[r#""Pod" is not a kind: MLEnvironment, MLDeployment or MLTrainingJob"#]]
        .assert_eq(&"Pod".parse::<Kind>().unwrap_err().to_string());
}

#[test]
fn an_object_is_called_by_kind_and_name() {
    let ids = [
        (
            ObjectId::environment(&"dev".parse().unwrap()),
            "MLEnvironment/dev",
        ),
        (ObjectId::deployment(&object("m")), "MLDeployment/m"),
        (ObjectId::training(&object("t")), "MLTrainingJob/t"),
    ];
    for (id, text) in ids {
        assert_eq!(id.to_string(), text);
        let subject = Subject::from(id.clone());
        assert_eq!(
            (subject.to_string().as_str(), subject.object()),
            (text, Some(&id))
        );
        assert!(!subject.is_empty());
        // As text it is the same subject.
        assert_eq!(Subject::from(text.to_owned()), subject);
        assert_eq!(serde_json::to_value(&subject).unwrap(), text);
        assert_eq!(serde_json::from_value::<Subject>(text.into()).unwrap(), subject);
    }
}

#[test]
fn a_subject_that_is_no_object_is_words() {
    for text in [
        "",
        "environments/dev",
        "MLDeployment",
        "MLDeployment/",
        "MLDeployment/M",
        "MLDeployment/a/b",
        "Pod/m",
        "/m",
        "the data directory",
    ] {
        let subject = Subject::from(text.to_owned());
        assert_eq!(subject, Subject::Other(text.to_owned()));
        assert_eq!((subject.object(), subject.is_empty()), (None, text.is_empty()));
        assert_eq!(String::from(subject.clone()), text);
        let json = serde_json::to_value(&subject).unwrap();
        assert_eq!(serde_json::from_value::<Subject>(json).unwrap(), subject);
    }
    assert!(Subject::default().is_empty());
}

#[test]
fn a_finding_as_a_person_reads_it() {
    let full = Finding {
        location: Some(Location {
            file: "a.yaml".to_owned(),
            line: 3,
            column: 7,
        }),
        reason: Reason::Duplicate,
        subject: ObjectId::deployment(&object("m")).into(),
        message: "two manifests claim it".to_owned(),
        hint: "rename one".to_owned(),
    };
    let whole_file = Location {
        line: 0,
        column: 0,
        ..full.location.clone().unwrap()
    };
    let bare = Finding {
        location: Some(whole_file),
        subject: Subject::default(),
        hint: String::new(),
        ..full.clone()
    };
    let nowhere = Finding {
        location: None,
        ..full.clone()
    };
    let text = format!("{full}\n{bare}\n{nowhere}\n");
    expect![[r#"
        a.yaml:3:7: Duplicate: MLDeployment/m: two manifests claim it
          hint: rename one
        a.yaml: Duplicate: two manifests claim it
        Duplicate: MLDeployment/m: two manifests claim it
          hint: rename one
    "#]]
    .assert_eq(&text);
    // As JSON it is read back.
    for finding in [full, bare, nowhere] {
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
    }
    assert_eq!(version(1).to_string(), "v20260102-000000");
}

/// The words of a training: each is what a manifest writes and what a record holds.
#[test]
fn algorithms_metrics_and_policies() {
    let mut text = String::new();
    for algorithm in Algorithm::ALL {
        assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        let kind = if algorithm.is_classifier() {
            "classes"
        } else {
            "numbers"
        };
        let settings: Vec<&str> = algorithm
            .hyperparameters()
            .iter()
            .map(|setting| setting.name)
            .collect();
        writeln!(text, "{} of {kind}: {}", algorithm.as_str(), settings.join(" ")).unwrap();
    }
    for metric in Metric::ALL {
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.as_str());
        let kind = if metric.is_of_classes() {
            "classes"
        } else {
            "numbers"
        };
        let better = if metric.larger_is_better() {
            "larger"
        } else {
            "smaller"
        };
        writeln!(text, "{} of {kind}: {better} is better", metric.as_str()).unwrap();
    }
    for policy in [Concurrency::Forbid, Concurrency::Replace, Concurrency::Allow] {
        assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
    }
    expect![[r#"
        linear_regression of numbers: 
        gradient_boosting of numbers: trees max_leaves learning_rate max_depth min_leaf_weight l2 subsample column_sample
        logistic_regression of classes: l2 iterations
        r2 of numbers: larger is better
        rmse of numbers: smaller is better
        mae of numbers: smaller is better
        accuracy of classes: larger is better
        log_loss of classes: smaller is better
    "#]].assert_eq(&text);
}
