//! Which calls are taken: by whose signature, how often, and when.

use std::fmt::Write as _;

use expect_test::expect;
use hyper::header::{HeaderName, HeaderValue};

use super::*;

const SECRETS: [&str; 2] = ["It's a Secret to Everybody", "another secret of ours"];
const BODY: &[u8] = "{\"ref\":\"refs/heads/main\",\"by\":\"😀\"}".as_bytes();
const NOW: Duration = Duration::from_hours(500_000);

fn secrets() -> Vec<String> {
    SECRETS.map(str::to_owned).to_vec()
}

fn known(secrets: &[String]) -> Known<'_> {
    Known {
        secrets,
        issued: None,
    }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn an_hmac_is_that_of_the_documents() {
    // GitHub's documentation, and RFC 4231, test cases 2 and 6.
    let hex = |key: &[u8], text: &[u8]| hex::encode(hmac(key, &[text]));
    assert_eq!(
        hex(SECRETS[0].as_bytes(), b"Hello, World!"),
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    assert_eq!(
        hex(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        hex(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First"
        ),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}

#[test]
fn each_form_is_taken_once_and_nothing_else_is() {
    let sha = |secret: &str, body: &[u8]| hex::encode(hmac(secret.as_bytes(), &[body]));
    let [first, second] = SECRETS.map(|secret| sha(secret, BODY));
    let github = |signature: &str, id: &str, event: &str| {
        headers(&[
            ("x-hub-signature-256", &format!("sha256={signature}")),
            ("x-github-delivery", id),
            ("x-github-event", event),
        ])
    };
    let standard = |secret: &str, id: &str, at: u64, body: &[u8]| {
        let at = at.to_string();
        let made = hmac(
            secret.as_bytes(),
            &[id.as_bytes(), b".", at.as_bytes(), b".", body],
        );
        let made = format!("v1,AAAA v1,{}", STANDARD.encode(made));
        headers(&[
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", &made),
        ])
    };
    let now = NOW.as_secs();
    let other: &[u8] = b"{}";
    let calls: Vec<(&str, HeaderMap, &[u8])> = vec![
        ("nothing", headers(&[]), BODY),
        (
            "another's secret",
            github(&sha("another's", BODY), "1", "push"),
            BODY,
        ),
        ("another body", github(&first, "1", "push"), other),
        ("no hex", github("zz", "1", "push"), BODY),
        ("cut", github(&first[..62], "1", "push"), BODY),
        (
            "sha-1 alone",
            headers(&[("x-hub-signature", "sha1=00"), ("x-github-delivery", "1")]),
            BODY,
        ),
        ("no id", github(&first, "", "push"), BODY),
        ("a ping", github(&first, "1", "ping"), BODY),
        ("a push", github(&first, "1", "push"), BODY),
        (
            "its id again",
            github(&sha(SECRETS[0], other), "1", "push"),
            other,
        ),
        ("its body again", github(&first, "2", "push"), BODY),
        (
            "by the second secret",
            github(&sha(SECRETS[1], other), "3", "push"),
            other,
        ),
        ("of before, by the second", github(&second, "4", "push"), BODY),
        (
            "gitea",
            headers(&[
                ("x-gitea-signature", &sha(SECRETS[0], b"gitea")),
                ("x-gitea-delivery", "5"),
                ("x-gitea-event", "push"),
            ]),
            b"gitea",
        ),
        (
            "standard",
            standard(SECRETS[0], "6", now, b"standard"),
            b"standard",
        ),
        (
            "standard again",
            standard(SECRETS[0], "6", now + 1, b"standard"),
            b"standard",
        ),
        ("standard, forged", standard("another's", "7", now, b"7"), b"7"),
        ("standard, another id", standard(SECRETS[0], "8", now, b"8"), b"9"),
        ("standard, old", standard(SECRETS[0], "9", now - 301, b"9"), b"9"),
        (
            "standard, ahead",
            standard(SECRETS[0], "9", now + 301, b"9"),
            b"9",
        ),
        (
            "standard, just so",
            standard(SECRETS[1], "9", now - 300, b"9"),
            b"9",
        ),
    ];
    let mut seen = Seen::default();
    let mut table = String::new();
    for (what, headers, body) in &calls {
        let verdict = judge(&Call::of(headers, body), known(&secrets()), NOW, &mut seen);
        writeln!(table, "{what}: {} {}", verdict.status().as_u16(), verdict.word()).unwrap();
    }
    // Of two signatures in one call, none counts.
    let mut twice = github(&first, "10", "push");
    twice.append("x-hub-signature-256", HeaderValue::from_static("sha256=00"));
    let verdict = judge(&Call::of(&twice, BODY), known(&secrets()), NOW, &mut seen);
    writeln!(table, "two signatures: {}", verdict.word()).unwrap();
    expect![[r#"
        nothing: 403 forged
        another's secret: 403 forged
        another body: 403 forged
        no hex: 403 forged
        cut: 403 forged
        sha-1 alone: 403 forged
        no id: 400 unidentified
        a ping: 200 ignored
        a push: 202 accepted
        its id again: 200 duplicate
        its body again: 200 duplicate
        by the second secret: 202 accepted
        of before, by the second: 200 duplicate
        gitea: 202 accepted
        standard: 202 accepted
        standard again: 200 duplicate
        standard, forged: 403 forged
        standard, another id: 403 forged
        standard, old: 400 stale
        standard, ahead: 400 stale
        standard, just so: 202 accepted
        two signatures: forged
    "#]]
    .assert_eq(&table);
}
