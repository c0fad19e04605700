use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::finding::{Location, Reason};
use planner::names::Digest;
use planner::per_track::PerTrack;
use planner::rollout::HoldReason;
use planner::rollout::Transition;
use standalone::PassSummary;

use super::*;

fn time() -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).unwrap()
}

fn pin(version: &str) -> ResolvedPin {
    ResolvedPin {
        version: version.parse().unwrap(),
        digest: Digest::of(version.as_bytes()),
    }
}

fn rollout(stable: &str, canary: Option<&str>, weight: u64, state: State) -> Event {
    Event::Rollout {
        deployment: "wine".parse().unwrap(),
        model: "wine".parse().unwrap(),
        revision: "a".repeat(40).parse().unwrap(),
        status: Box::new(Status {
            state,
            since: time(),
            serving: PerTrack {
                stable: Some(pin(stable)),
                canary: canary.map(pin),
            },
            weight: Weight::try_from(weight).unwrap(),
            routed_at: None,
            lost: None,
            thinned: None,
            paused: None,
            ceiling: None,
            frozen: None,
            retry: PerTrack::default(),
            history: Vec::<Transition>::new(),
        }),
    }
}

fn pass(changes: &[&str], findings: &[&str]) -> Event {
    Event::Pass(Box::new(PassSummary {
        revision: Some("a".repeat(40).parse().unwrap()),
        author: Some("Ann <ann@example.org>".to_owned()),
        is_first: false,
        suspended: None,
        behind: Vec::new(),
        drifted: Vec::new(),
        is_blind: false,
        changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        findings: findings
            .iter()
            .map(|message| Finding {
                location: Some(Location {
                    file: "environments/dev/wine.yaml".to_owned(),
                    line: 3,
                    column: 5,
                }),
                reason: Reason::InvalidManifest,
                subject: "MLDeployment/wine".to_owned().into(),
                message: (*message).to_owned(),
                hint: "write 50".to_owned(),
            })
            .collect(),
        waiting: Vec::new(),
    }))
}

fn check(events: Vec<Event>, expected: &Expect) {
    let mut teller = Teller::default();
    let lines: Vec<String> = events
        .into_iter()
        .flat_map(|event| teller.hear(event))
        .map(|news| format!("{} {news}", if news.is_bad() { "!" } else { "*" }))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_promotion_is_told_by_what_changes() {
    let (old, new) = ("v20260101-000000", "v20260202-000000");
    check(
        vec![
            rollout(old, Some(new), 10, State::Idle),
            rollout(old, Some(new), 10, State::Idle),
            rollout(old, Some(new), 10, State::Promoting),
            rollout(new, Some(new), 10, State::Promoting),
            rollout(new, None, 0, State::Idle),
        ],
        &expect![[r#"
            * wine stable: nothing -> v20260101-000000
            * wine canary: nothing -> v20260202-000000
            * wine canary weight: 0% -> 10%
            * wine stable: v20260101-000000 -> v20260202-000000
            * wine canary: v20260202-000000 -> nothing
            * wine canary weight: 10% -> 0%"#]],
    );
}

#[test]
fn a_finding_is_told_once_and_once_more_when_it_is_gone() {
    check(
        vec![
            pass(
                &[
                    "MLDeployment/wine: stable v20260101-000000 [aaaaaaaaaa]",
                    "MLDeployment/old: stable v20260101-000000 [bbbbbbbbbb]",
                ],
                &[],
            ),
            pass(&[], &["weight is a word"]),
            pass(&[], &["weight is a word"]),
            pass(&[], &[]),
        ],
        &expect![[r#"
            * aaaaaaaaaa MLDeployment/wine: stable v20260101-000000, MLDeployment/old: stable v20260101-000000 [bbbbbbbbbb]
            ! environments/dev/wine.yaml:3:5: InvalidManifest: MLDeployment/wine: weight is a word
              hint: write 50
            * resolved: InvalidManifest MLDeployment/wine"#]],
    );
}

#[test]
fn a_canary_that_is_held_back_is_told() {
    let (old, new) = ("v20260101-000000", "v20260202-000000");
    let held = |message: &str| State::Holding {
        reason: HoldReason::LoadFailed,
        message: message.to_owned(),
    };
    check(
        vec![
            rollout(old, None, 0, State::Idle),
            rollout(old, None, 0, held("no such file")),
            rollout(old, Some(new), 5, State::Idle),
        ],
        &expect![[r#"
            * wine stable: nothing -> v20260101-000000
            ! wine Holding: LoadFailed: no such file
            * wine canary: nothing -> v20260202-000000
            * wine canary weight: 0% -> 5%"#]],
    );
}

#[test]
fn nothing_is_resolved_while_something_is_wrong_there() {
    let hinted = |hint: &str| {
        let Event::Pass(mut pass) = self::pass(&[], &["too much goes"]) else {
            unreachable!("a pass");
        };
        pass.findings[0].hint = hint.to_owned();
        Event::Pass(pass)
    };
    check(
        vec![
            pass(&[], &["weight is a word"]),
            pass(&[], &["weight is 110"]),
            pass(&[], &["weight is 110", "stable is missing"]),
            pass(&[], &["weight is 110"]),
            pass(&[], &[]),
            // What to do about it names another commit each time.
            hinted("allow a"),
            hinted("allow b"),
        ],
        &expect![[r#"
            ! environments/dev/wine.yaml:3:5: InvalidManifest: MLDeployment/wine: weight is a word
              hint: write 50
            ! environments/dev/wine.yaml:3:5: InvalidManifest: MLDeployment/wine: weight is 110
              hint: write 50
            ! environments/dev/wine.yaml:3:5: InvalidManifest: MLDeployment/wine: stable is missing
              hint: write 50
            * resolved: InvalidManifest MLDeployment/wine
            ! environments/dev/wine.yaml:3:5: InvalidManifest: MLDeployment/wine: too much goes
              hint: allow a"#]],
    );
}

#[test]
fn a_hundred_findings_are_told_and_the_rest_is_counted() {
    let messages: Vec<String> = (0..130).map(|at| format!("wrong {at:03}")).collect();
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let mut teller = Teller::default();
    let told = teller.hear(pass(&[], &messages));
    assert_eq!(told.len(), 101);
    assert_eq!(told[100].to_string(), "and 30 more findings");
    assert!(told[100].is_bad());
    // They are all of one place: it is resolved when the last of them is.
    assert_eq!(teller.hear(pass(&[], &messages[..129])), []);
}

#[test]
fn a_suspension_is_told_when_it_comes_and_when_it_goes() {
    let suspended = |reason: Option<&str>| {
        let Event::Pass(mut pass) = self::pass(&[], &[]) else {
            unreachable!("a pass");
        };
        pass.suspended = reason.map(str::to_owned);
        Event::Pass(pass)
    };
    check(
        vec![
            suspended(None),
            suspended(Some("freeze")),
            suspended(Some("freeze")),
            suspended(None),
        ],
        &expect![[r#"
            ! suspended: freeze; nothing is changed while it stands, and what serves stays
            * no longer suspended"#]],
    );
}
