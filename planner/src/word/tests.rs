use super::*;
use crate::deployment::ResolvedPin;
use crate::names::Weight;
use crate::per_track::PerTrack;
use crate::rollout::Transition;

fn at(minute: u32) -> Timestamp {
    format!("2026-11-01T12:{minute:02}:00Z").parse().unwrap()
}

fn pin() -> ResolvedPin {
    ResolvedPin {
        version: "v20261101-120000".parse().unwrap(),
        digest: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
    }
}

fn holding(reason: HoldReason) -> State {
    State::Holding {
        reason,
        message: "why it holds".to_owned(),
    }
}

fn aborted() -> State {
    State::Aborted {
        digest: pin().digest,
        reason: "by hand".to_owned(),
    }
}

/// A rollout that stands somewhere since 12:05.
fn status(state: State, answers: bool, has_answered: bool) -> rollout::Status {
    let came = Transition {
        at: at(1),
        from: State::Preparing,
        to: State::Idle,
        weight: Weight::ZERO,
    };
    rollout::Status {
        state,
        since: at(5),
        serving: PerTrack {
            stable: answers.then(pin),
            canary: None,
        },
        weight: Weight::ZERO,
        routed_at: None,
        lost: None,
        thinned: None,
        paused: None,
        ceiling: None,
        frozen: None,
        retry: PerTrack::default(),
        history: has_answered.then_some(came).into_iter().collect(),
    }
}

fn found(reason: Reason) -> Found<'static> {
    Found {
        reason: Some(reason),
        name: "Reason",
        message: "what is wrong",
        hint: "what to do",
    }
}

fn doubt(why: &'static str) -> Doubt<'static> {
    Doubt { why, next: "look" }
}

fn waits(reason: WaitReason) -> Waits<'static> {
    Waits {
        reason,
        message: "what it waits for",
        blocked_by: (reason == WaitReason::WaitingForVersion).then_some("MLTrainingJob/wine"),
        because: None,
        until: (reason == WaitReason::WaitingForTime).then(|| at(30)),
    }
}

/// A model that serves what Git declares; rows change what they are about.
#[derive(Clone)]
struct Row {
    has_object: bool,
    is_declared: bool,
    status: Option<rollout::Status>,
    suspended: Option<&'static str>,
    environment: Option<&'static str>,
    unknown: Option<&'static str>,
    unreadable: Option<&'static str>,
    behind: Option<Behind>,
    findings: Vec<Reason>,
    waits: Vec<WaitReason>,
    failed_run: Option<&'static str>,
}

fn serving() -> Row {
    Row {
        has_object: true,
        is_declared: true,
        status: Some(status(State::Idle, true, true)),
        suspended: None,
        environment: None,
        unknown: None,
        unreadable: None,
        behind: None,
        findings: Vec::new(),
        waits: Vec::new(),
        failed_run: None,
    }
}

fn said(row: &Row) -> Option<Standing> {
    let deployment = row.has_object.then(|| DeploymentFacts {
        suspended: row.suspended,
        behind: row.behind.as_ref(),
        status: row.status.as_ref(),
        since: Some(at(2)),
    });
    of_model(&ModelFacts {
        unknown: row.unknown.map(doubt),
        blind: None,
        unreadable: row.unreadable,
        suspended: row.environment,
        deployment,
        is_declared: row.is_declared,
        findings: row.findings.iter().copied().map(found).collect(),
        waits: row.waits.iter().copied().map(waits).collect(),
        failed_run: row.failed_run,
    })
}

#[test]
fn a_model_has_the_first_word_that_holds() {
    use WaitReason::*;
    use Word::*;
    let state = |state: State, answers: bool| Row {
        status: Some(status(state, answers, true)),
        ..serving()
    };
    let new = |reasons: &[Reason]| Row {
        status: Some(status(State::Preparing, false, false)),
        findings: reasons.to_vec(),
        ..serving()
    };
    let with = |reasons: &[Reason]| Row {
        findings: reasons.to_vec(),
        ..serving()
    };
    let waiting = |reasons: &[WaitReason]| Row {
        waits: reasons.to_vec(),
        ..serving()
    };
    let behind = |behind: Behind| Row {
        behind: Some(behind),
        ..serving()
    };
    let no_object = |is_declared: bool, failed_run: Option<&'static str>| Row {
        has_object: false,
        status: None,
        is_declared,
        failed_run,
        ..serving()
    };
    let what = || "what".to_owned();
    let thinned = {
        let mut thinned = state(holding(HoldReason::CanaryCapacity), true);
        let digest = pin().digest;
        let status = thinned.status.as_mut().unwrap();
        status.thinned = Some(rollout::Thinned {
            digest,
            count: 1,
            weight: Weight::ZERO,
            until: at(9),
        });
        thinned
    };
    let rows = vec![
        ("nothing is wrong", serving(), Some((Serving, "Serving"))),
        (
            "a report stops nothing",
            with(&[Reason::BranchForced]),
            Some((Serving, "Serving")),
        ),
        // What answers nothing.
        ("new", new(&[]), Some((RollingOut, "Preparing"))),
        (
            "new and wrong",
            new(&[Reason::LoadFailed]),
            Some((Failed, "Reason")),
        ),
        (
            "answered once",
            state(State::Preparing, false),
            Some((Failed, "NothingAnswers")),
        ),
        (
            "no step yet",
            Row {
                status: None,
                ..serving()
            },
            Some((RollingOut, "New")),
        ),
        (
            "new and stopped",
            Row {
                behind: Some(Behind::Stopped(what())),
                ..new(&[])
            },
            Some((Failed, "Stopped")),
        ),
        (
            "new, behind a gate",
            new(&[Reason::MetricWorse]),
            Some((Held, "Reason")),
        ),
        (
            "no object, its manifest is wrong",
            Row {
                findings: vec![Reason::VersionMissing],
                ..no_object(true, None)
            },
            Some((Failed, "Reason")),
        ),
        (
            "no object, a run makes its version",
            Row {
                waits: vec![WaitingForVersion],
                ..no_object(true, None)
            },
            Some((Training, "WaitingForVersion")),
        ),
        ("no object yet", no_object(true, None), Some((RollingOut, "New"))),
        ("a job alone", no_object(false, None), None),
        (
            "a job alone that failed",
            no_object(false, Some("why")),
            Some((Failed, "TrainingFailed")),
        ),
        // What somebody wants so.
        (
            "suspended",
            Row {
                suspended: Some("why"),
                ..state(holding(HoldReason::Suspended), true)
            },
            Some((Held, "Suspended")),
        ),
        (
            "the environment is suspended",
            Row {
                environment: Some("why"),
                ..with(&[Reason::InvalidManifest])
            },
            Some((Held, "Suspended")),
        ),
        (
            "a gate, before anything else wrong",
            with(&[Reason::Drifted, Reason::GateUnknown]),
            Some((Held, "Reason")),
        ),
        (
            "a window",
            waiting(&[WaitingForVersion, WaitingForTime]),
            Some((Held, "WaitingForTime")),
        ),
        (
            "paused",
            state(holding(HoldReason::Paused), true),
            Some((Held, "Paused")),
        ),
        ("held", behind(Behind::Held(what())), Some((Held, "Held"))),
        // What waits.
        (
            "a run",
            waiting(&[WaitingForVersion]),
            Some((Training, "WaitingForVersion")),
        ),
        (
            "a run and an import",
            waiting(&[WaitingForVersion, WaitingForImport]),
            Some((Waiting, "WaitingForImport")),
        ),
        (
            "another holder",
            waiting(&[WaitingForModel]),
            Some((Waiting, "WaitingForModel")),
        ),
        (
            "what leaves",
            waiting(&[WaitingToLeave]),
            Some((Waiting, "WaitingToLeave")),
        ),
        (
            "a wait that no report names",
            behind(Behind::Waits(what())),
            Some((Waiting, "Waiting")),
        ),
        (
            "an alias",
            waiting(&[WaitingForTrack]),
            Some((RollingOut, "WaitingForTrack")),
        ),
        // What serves something else.
        (
            "a finding",
            with(&[Reason::InvalidManifest]),
            Some((Degraded, "Reason")),
        ),
        (
            "a wait before a finding",
            Row {
                waits: vec![WaitingForImport],
                ..with(&[Reason::InvalidManifest])
            },
            Some((Waiting, "WaitingForImport")),
        ),
        (
            "stopped",
            behind(Behind::Stopped(what())),
            Some((Degraded, "Stopped")),
        ),
        ("aborted", state(aborted(), true), Some((Degraded, "Aborted"))),
        (
            "a pin does not load",
            state(holding(HoldReason::LoadFailed), true),
            Some((Degraded, "LoadFailed")),
        ),
        (
            "the canary went",
            state(holding(HoldReason::CanaryLost), true),
            Some((Degraded, "CanaryLost")),
        ),
        ("replicas went", thinned, Some((Degraded, "CanaryCapacity"))),
        // What is on its way.
        (
            "replicas come",
            state(holding(HoldReason::CanaryCapacity), true),
            Some((RollingOut, "CanaryCapacity")),
        ),
        (
            "preparing",
            state(State::Preparing, true),
            Some((RollingOut, "Preparing")),
        ),
        (
            "promoting",
            state(State::Promoting, true),
            Some((RollingOut, "Promoting")),
        ),
        // What nobody knows.
        (
            "old knowledge",
            Row {
                unknown: Some("why"),
                ..state(State::Preparing, false)
            },
            Some((Unknown, "KnowledgeTooOld")),
        ),
        (
            "an object that cannot be read",
            Row {
                unreadable: Some("why"),
                ..no_object(false, None)
            },
            Some((Unknown, "Unreadable")),
        ),
    ];
    for (name, row, expected) in rows {
        let said = said(&row);
        let told = said.as_ref().map(|said| (said.word, said.reason.as_str()));
        assert_eq!(told, expected, "{name}");
        let is_well = said.as_ref().is_none_or(|said| said.word == Serving);
        let has_next = said.as_ref().is_some_and(|said| !said.next.is_empty());
        assert!(is_well || has_next, "{name}: {said:?}");
    }
}

#[test]
fn a_word_says_since_when_and_what_next() {
    let check = |row: &Row, since: Option<Timestamp>, next: &str| {
        let said = said(row).unwrap();
        assert_eq!((said.since, said.next.as_str()), (since, next), "{said:?}");
    };
    check(&serving(), Some(at(5)), "");
    let with = |reasons: &[Reason]| Row {
        findings: reasons.to_vec(),
        ..serving()
    };
    check(&with(&[Reason::InvalidManifest]), Some(at(2)), "what to do");
    let waiting = |reason: WaitReason| Row {
        waits: vec![reason],
        ..serving()
    };
    let by_itself = "nothing: it goes on by itself";
    check(
        &waiting(WaitReason::WaitingForTime),
        Some(at(2)),
        &format!("{by_itself} at 2026-11-01 12:30 UTC"),
    );
    check(
        &waiting(WaitReason::WaitingForVersion),
        Some(at(2)),
        &format!("{by_itself}; MLTrainingJob/wine comes first"),
    );
    check(&waiting(WaitReason::WaitingForImport), Some(at(2)), by_itself);
}

#[test]
fn what_keeps_a_wait_waiting_and_what_hides_git_is_said() {
    let facts = || ModelFacts {
        deployment: Some(DeploymentFacts {
            suspended: None,
            behind: None,
            status: None,
            since: None,
        }),
        ..ModelFacts::default()
    };
    let check = |facts: ModelFacts<'_>, expected: &str| {
        let said = of_model(&facts).expect("it has a word");
        let Standing {
            word,
            reason,
            message,
            next,
            since: _,
        } = said;
        assert_eq!(format!("{word} {reason}: {message} > {next}"), expected);
    };
    check(
        ModelFacts {
            waits: vec![Waits {
                because: Some("no place to write"),
                ..waits(WaitReason::WaitingForVersion)
            }],
            ..facts()
        },
        "Waiting WaitingForVersion: what it waits for, and that waits: no place to write > mend what MLTrainingJob/wine says; it goes on by itself after that",
    );
    let idle = status(State::Idle, true, true);
    check(
        ModelFacts {
            deployment: Some(DeploymentFacts {
                status: Some(&idle),
                ..facts().deployment.expect("it has one")
            }),
            blind: Some(found(Reason::SourceUnavailable)),
            ..facts()
        },
        "Serving Reason: it serves what Git declared when that was last read, and now: what is wrong > what to do",
    );
}

#[test]
fn an_environment_has_the_word_of_the_worst() {
    use Word::*;
    let model = |word: Word| standing(word, "Reason", "why", "next");
    let facts = || EnvironmentFacts {
        since: Some(at(2)),
        ..EnvironmentFacts::default()
    };
    let with = |reason: Reason| EnvironmentFacts {
        findings: vec![found(reason)],
        ..facts()
    };
    let suspended = EnvironmentFacts {
        suspended: Some("why it is suspended"),
        ..facts()
    };
    let unknown = EnvironmentFacts {
        unknown: Some(doubt("why nothing is known")),
        ..facts()
    };
    for (facts, models, expected) in [
        (facts(), &[][..], "Serving NoModels: no model is declared"),
        (
            facts(),
            &[Serving],
            "Serving Serving: the model serves what Git declares",
        ),
        (
            facts(),
            &[Serving, Serving],
            "Serving Serving: all 2 models serve what Git declares",
        ),
        (
            facts(),
            &[Serving, Failed, Degraded],
            "Failed Reason: 1 of 3 models, first b: why",
        ),
        (
            facts(),
            &[Held, Training],
            "Training Reason: 1 of 2 models, first b: why",
        ),
        (
            facts(),
            &[Waiting, Serving, Waiting],
            "Waiting Reason: 2 of 3 models, first a: why",
        ),
        (facts(), &[Failed], "Failed Reason: 1 of 1 model, first a: why"),
        (
            with(Reason::CommitRefused),
            &[Serving],
            "Degraded Reason: what is wrong",
        ),
        (
            with(Reason::CommitRefused),
            &[Failed],
            "Failed Reason: 1 of 1 model, first a: why",
        ),
        (
            with(Reason::SourceUnavailable),
            &[Serving],
            "Unknown Reason: what is wrong",
        ),
        (
            with(Reason::BranchForced),
            &[Serving],
            "Serving Serving: the model serves what Git declares",
        ),
        (
            suspended,
            &[Held],
            "Held Suspended: the environment is suspended: why it is suspended",
        ),
        (
            unknown,
            &[Failed],
            "Unknown KnowledgeTooOld: why nothing is known",
        ),
    ] {
        let models: Vec<Standing> = models.iter().copied().map(model).collect();
        let named = ["a", "b", "c"].into_iter().zip(&models);
        let said = of_environment(&facts, named);
        assert_eq!(
            format!("{} {}: {}", said.word, said.reason, said.message),
            expected
        );
    }
}
