//! What says who signed a commit: the first byte of an input says whether it is a signature, a file of allowed signers, or
//! what gpgv prints.

use planner::Timestamp;
use reconciler::signatures::{allows, judge_gpgv};

use crate::Taker;

const SIGNED: &[u8] = include_bytes!("../../reconciler/src/signatures/fixtures/payload");
const SIGNATURE: &str = include_str!("../../reconciler/src/signatures/fixtures/ed25519.sig");
const KEY: &str = include_str!("../../reconciler/src/signatures/fixtures/ed25519.pub");
const COMMITTER: &str = "ann@example.org";
/// The most lines that are told of one file, and the lines that count the others.
const TOLD_MAX: usize = 22;

/// Makes sure that what is mutated counts as it is, and returns what takes inputs.
pub(crate) fn taker() -> Taker {
    let signers = format!("{COMMITTER} {KEY}");
    let (judged, problems) = allows(
        signers.as_bytes(),
        SIGNATURE,
        SIGNED,
        COMMITTER,
        Timestamp::default(),
    );
    assert_eq!((judged, problems), (Ok(()), vec![]));
    Box::new(take)
}

/// Whatever is read, nobody's signature is one of what they did not sign, and the same input says the same.
fn take(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b's' => signature(&text),
        b'a' => allowed(rest),
        _ => gpgv(&text),
    }
}

fn signature(text: &str) {
    let signers = format!("{COMMITTER} {KEY}");
    let judge = |payload: &[u8]| allows(signers.as_bytes(), text, payload, COMMITTER, Timestamp::default()).0;
    assert_eq!(judge(SIGNED), judge(SIGNED), "the same signature, the same word");
    assert!(judge(b"something else").is_err(), "it signs what nobody signed");
}

fn allowed(signers: &[u8]) {
    let judge =
        |payload: &[u8], committer| allows(signers, SIGNATURE, payload, committer, Timestamp::default());
    let (judged, problems) = judge(SIGNED, COMMITTER);
    assert!(problems.len() <= TOLD_MAX, "{} lines are told", problems.len());
    let lines = String::from_utf8_lossy(signers).lines().count();
    for problem in &problems {
        let line = usize::try_from(problem.location.line).unwrap();
        assert!(
            line <= lines && !problem.message.is_empty(),
            "{problem:?} of {lines} lines"
        );
    }
    if judged.is_ok() {
        let key = KEY.split_whitespace().last().unwrap();
        let text = String::from_utf8_lossy(signers);
        assert!(text.contains(key), "a key is allowed that does not stand there");
    }
    assert!(judge(b"something else", COMMITTER).0.is_err());
}

fn gpgv(status: &str) {
    if judge_gpgv(status, Timestamp::default()).is_err() {
        return;
    }
    let count = |word: &str| {
        let words = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
        words
            .filter(|line| line.split_whitespace().next() == Some(word))
            .count()
    };
    assert_eq!((count("NEWSIG"), count("VALIDSIG")), (1, 1), "{status}");
    for fault in ["BADSIG", "ERRSIG", "NO_PUBKEY", "REVKEYSIG", "EXPSIG"] {
        assert_eq!(count(fault), 0, "{status}");
    }
}
