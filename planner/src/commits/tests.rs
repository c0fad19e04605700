use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn revision(number: u8) -> Revision {
    format!("{number:040x}").parse().unwrap()
}

fn commit(number: u8, verdict: Verdict, shape: Shape) -> SignedCommit {
    SignedCommit {
        revision: revision(number),
        author: "Ann <ann@example.org>".to_owned(),
        verdict,
        shape,
        touches: true,
        answers_for: BTreeSet::new(),
    }
}

fn policy(verify: Verify, squash: Squash) -> CommitPolicy {
    CommitPolicy {
        verify,
        signers: KeyFiles {
            allowed_signers: Some("signers".to_owned()),
            keyring: None,
        },
        forge: Some(Forge {
            keys: KeyFiles::default(),
            squash,
        }),
    }
}

fn dev() -> EnvironmentName {
    "dev".parse().unwrap()
}

fn faults() -> Vec<Fault> {
    let at = |text: &str| text.parse().unwrap();
    let key = || "SHA256:abc".to_owned();
    vec![
        Fault::Unsigned,
        Fault::UnknownKey(key()),
        Fault::BadSignature(key()),
        Fault::OtherNamespace("file".to_owned()),
        Fault::NotForGit(key()),
        Fault::OtherPrincipal {
            key: key(),
            principals: "ann@example.org".to_owned(),
            committer: "bob@example.org".to_owned(),
        },
        Fault::NotYetValid {
            key: key(),
            from: at("2026-12-02T00:00:00Z"),
            seen: at("2026-12-01T00:00:00Z"),
        },
        Fault::Expired {
            key: key(),
            until: Some(at("2026-11-01T00:00:00Z")),
            seen: at("2026-12-01T00:00:00Z"),
        },
        Fault::Expired {
            key: key(),
            until: None,
            seen: at("2026-12-01T00:00:00Z"),
        },
        Fault::Revoked(key()),
        Fault::Unsupported("X.509".to_owned()),
        Fault::Malformed("it ends too early".to_owned()),
        Fault::Unverifiable("gpgv is not installed".to_owned()),
        Fault::Squashed,
        Fault::OtherMerge,
    ]
}

#[track_caller]
fn check(judgement: &Judgement, expected: &Expect) {
    let what = if judgement.is_refused {
        "refused"
    } else {
        "applied"
    };
    let findings = judgement.findings.iter().map(ToString::to_string);
    let lines: Vec<String> = [what.to_owned()].into_iter().chain(findings).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn each_fault_has_words_of_its_own() {
    let mut said = BTreeSet::new();
    for fault in faults() {
        assert!(said.insert(fault.to_string()), "{fault}");
        assert!(!fault.hint().is_empty());
    }
    let commits = [commit(
        1,
        Verdict::Fault(Fault::UnknownKey("SHA256:abc".to_owned())),
        Shape::Plain,
    )];
    let judgement = judge(&policy(Verify::Require, Squash::Refuse), &dev(), &commits, &[]);
    check(
        &judgement,
        &expect![[r#"
        refused
        CommitRefused: MLEnvironment/dev: commit 0000000000 by Ann <ann@example.org>: it is signed with key SHA256:abc, which is not among the allowed ones
          hint: if whoever signed may, add the key to the environment's keys in a commit of its own; or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: 0000000000000000000000000000000000000001""#]],
    );
}

#[test]
fn policy_decides_what_follows() {
    let unsigned = [commit(1, Verdict::Fault(Fault::Unsigned), Shape::Plain)];
    let gap = [Gap {
        message: "the history is cut".to_owned(),
        hint: "fetch all of it".to_owned(),
    }];
    for (verify, commits, gaps, is_refused, findings) in [
        (Verify::Off, &unsigned[..], &gap[..], false, 0),
        (Verify::Warn, &unsigned[..], &gap[..], false, 2),
        (Verify::Require, &unsigned[..], &[], true, 1),
        (Verify::Require, &[], &gap[..], true, 1),
        (Verify::Require, &[], &[], false, 0),
    ] {
        let judged = judge(&policy(verify, Squash::Refuse), &dev(), commits, gaps);
        let stops = judged
            .findings
            .iter()
            .any(|finding| finding.reason.stops_commit());
        assert_eq!(
            (judged.is_refused, judged.findings.len(), stops),
            (is_refused, findings, is_refused),
            "{verify:?}"
        );
    }
}

#[test]
fn what_the_forge_signed_counts_for_what_others_signed() {
    use Shape::{Merge, Plain, Remerged};
    use Squash::{Allow, Refuse};
    for (shape, squash, counts) in [
        (Remerged, Refuse, true),
        (Remerged, Allow, true),
        (Merge, Refuse, false),
        (Merge, Allow, false),
        (Plain, Refuse, false),
        (Plain, Allow, true),
    ] {
        let commits = [commit(1, Verdict::Forge, shape)];
        let judged = judge(&policy(Verify::Require, squash), &dev(), &commits, &[]);
        assert_eq!(!judged.is_refused, counts, "{shape:?} {squash:?}");
    }
    let mut without = policy(Verify::Require, Allow);
    without.forge = None;
    let commits = [commit(1, Verdict::Forge, Plain)];
    assert!(judge(&without, &dev(), &commits, &[]).is_refused);
}

#[test]
fn a_signer_answers_for_a_commit_and_nobody_else_does() {
    let unsigned = || commit(1, Verdict::Fault(Fault::Unsigned), Shape::Plain);
    let answer = |verdict, number| SignedCommit {
        answers_for: BTreeSet::from([revision(number)]),
        touches: false,
        ..commit(2, verdict, Shape::Plain)
    };
    for (verdict, number, is_refused) in [
        (Verdict::Signer, 1, false),
        (Verdict::Signer, 3, true),
        (Verdict::Forge, 1, true),
        (Verdict::Fault(Fault::Unsigned), 1, true),
    ] {
        let commits = [unsigned(), answer(verdict.clone(), number)];
        let judged = judge(&policy(Verify::Require, Squash::Allow), &dev(), &commits, &[]);
        assert_eq!(judged.is_refused, is_refused, "{verdict:?} {number}");
    }
    // It answers for itself just as little.
    let mut own = unsigned();
    own.answers_for.insert(own.revision.clone());
    assert!(judge(&policy(Verify::Require, Squash::Allow), &dev(), &[own], &[]).is_refused);
}

#[test]
fn a_commit_beside_the_folder_needs_no_signature() {
    let beside = SignedCommit {
        touches: false,
        ..commit(1, Verdict::Fault(Fault::Unsigned), Shape::Plain)
    };
    check(
        &judge(&policy(Verify::Require, Squash::Refuse), &dev(), &[beside], &[]),
        &expect!["applied"],
    );
}

#[test]
fn many_are_counted() {
    let commits: Vec<_> = (0..50)
        .map(|number| commit(number, Verdict::Fault(Fault::Unsigned), Shape::Plain))
        .collect();
    let judged = judge(&policy(Verify::Warn, Squash::Refuse), &dev(), &commits, &[]);
    assert_eq!(judged.findings.len(), NAMED_MAX + 1);
    let counted = judged.findings.iter().map(|finding| finding.message.as_str());
    assert!(counted.clone().any(|message| message.starts_with("and 30 more")));
}

fn any_commit() -> impl Strategy<Value = SignedCommit> {
    let verdict = prop_oneof![
        Just(Verdict::Signer),
        Just(Verdict::Forge),
        proptest::sample::select(faults()).prop_map(Verdict::Fault),
    ];
    let shape = proptest::sample::select(vec![Shape::Plain, Shape::Remerged, Shape::Merge]);
    let answers = proptest::collection::btree_set(0_u8..6, 0..3);
    (0_u8..6, verdict, shape, any::<bool>(), answers).prop_map(
        |(number, verdict, shape, touches, answers)| SignedCommit {
            touches,
            answers_for: answers.into_iter().map(revision).collect(),
            ..commit(number, verdict, shape)
        },
    )
}

proptest! {
    /// Whatever comes together, no commit that touched the folder is applied that nobody answers for.
    #[test]
    fn require_applies_nothing_that_is_not_verified(
        commits in proptest::collection::vec(any_commit(), 0..8),
        allows_squash in any::<bool>(),
        has_forge in any::<bool>(),
    ) {
        let squash = if allows_squash { Squash::Allow } else { Squash::Refuse };
        let mut policy = policy(Verify::Require, squash);
        if !has_forge {
            policy.forge = None;
        }
        let judged = judge(&policy, &dev(), &commits, &[]);
        if !judged.is_refused {
            for commit in commits.iter().filter(|commit| commit.touches) {
                let has_answer = commits.iter().any(|other| {
                    other.verdict == Verdict::Signer && other.answers_for.contains(&commit.revision)
                });
                let is_sound = match commit.verdict {
                    Verdict::Signer => true,
                    Verdict::Forge => commit.shape == Shape::Remerged
                        || has_forge && allows_squash && commit.shape == Shape::Plain,
                    Verdict::Fault(_) => false,
                };
                prop_assert!(is_sound || has_answer, "{commit:?}");
            }
        }
        prop_assert_eq!(judged.is_refused, !judged.findings.is_empty());
    }
}
