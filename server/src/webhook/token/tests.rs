use expect_test::expect;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::*;

/// Made for these tests: `openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -outform DER`.
const KEY: &[u8] = include_bytes!("key.der");
/// When the tests take place, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

fn pair() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(KEY).unwrap()
}

/// The key set of the issuer, whose key is called `one`.
fn key_set() -> Value {
    let public: PublicKeyComponents<Vec<u8>> = pair().public().into();
    let [n, e] = [public.n, public.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({ "keys": [
        { "kty": "EC", "kid": "curve", "crv": "P-256", "x": "AA", "y": "AA" },
        { "kty": "RSA", "kid": "locks", "use": "enc", "n": n, "e": e },
        { "kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": n, "e": e },
    ] })
}

fn signed(header: &Value, claims: &Value) -> String {
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = parts.join(".");
    let key = pair();
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn issued() -> Arc<Issued> {
    let issued = Issued::by(Issuer {
        issuer: "https://token.example.org".to_owned(),
        audience: "aurora".to_owned(),
        repository: "team/models".to_owned(),
    });
    issued.know(IssuerKeys::parse(key_set().to_string().as_bytes()).unwrap());
    issued
}

/// What a job of the repository shows.
fn claims() -> Value {
    json!({
        "iss": "https://token.example.org", "aud": "aurora", "repository": "team/models",
        "sub": "repo:team/models:ref:refs/heads/main", "jti": "a-b-c", "nbf": NOW - 60, "iat": NOW, "exp": NOW + 300,
    })
}

#[test]
fn a_token_counts_for_one_listener_by_one_repository_s_jobs_in_its_time() {
    let issued = issued();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "one" });
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signed(&header, &claims)
    };
    let by = |header: Value| signed(&header, &claims());
    let good = signed(&header, &claims());
    let [head, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other_body = URL_SAFE_NO_PAD.encode(claims().to_string().replace("a-b-c", "d-e-f"));
    let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": "one" }).to_string());
    let cases: Vec<(&str, String)> = vec![
        ("as it should be", good.clone()),
        ("several audiences", with("aud", json!(["other", "aurora"]))),
        ("another audience", with("aud", json!("https://github.com/team"))),
        (
            "another issuer",
            with("iss", json!("https://token.example.org.evil")),
        ),
        (
            "another repository",
            with("repository", json!("team/models-fork")),
        ),
        ("no repository", with("repository", Value::Null)),
        ("of no name", with("jti", Value::Null)),
        ("a minute too early", with("nbf", json!(NOW + 61))),
        ("within what clocks are apart", with("nbf", json!(NOW + 60))),
        ("too late", with("exp", json!(NOW - 60))),
        ("late, within what clocks are apart", with("exp", json!(NOW - 59))),
        ("of no end", with("exp", Value::Null)),
        ("for an hour", with("exp", json!(NOW + 3_600))),
        ("for longer", with("exp", json!(NOW + 3_601))),
        ("of the end of time", with("exp", json!(u64::MAX))),
        ("another key", by(json!({ "alg": "RS256", "kid": "two" }))),
        (
            "a key for something else",
            by(json!({ "alg": "RS256", "kid": "locks" })),
        ),
        ("not signed", format!("{none}.{body}.")),
        ("signed otherwise", by(json!({ "alg": "HS256", "kid": "one" }))),
        (
            "with a condition",
            by(json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] })),
        ),
        ("changed", format!("{head}.{other_body}.{signature}")),
        ("cut", format!("{head}.{body}.{}", &signature[..20])),
        ("padded", format!("{head}.{body}.{signature}=")),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{head}.{body}.{signature}.{signature}")),
        ("nothing", String::new()),
        ("too long", format!("{head}.{}.{signature}", "A".repeat(20_000))),
    ];
    let mut table = String::new();
    for (what, token) in cases {
        let judged = match issued.judge(&token, Duration::from_secs(NOW)) {
            Ok(id) => id,
            Err(refusal) => format!("{refusal:?}"),
        };
        table.push_str(what);
        table.push_str(": ");
        table.push_str(&judged);
        table.push('\n');
    }
    expect![[r#"
        as it should be: a-b-c
        several audiences: a-b-c
        another audience: Forged
        another issuer: Forged
        another repository: Forged
        no repository: Forged
        of no name: Unidentified
        a minute too early: Stale
        within what clocks are apart: a-b-c
        too late: Stale
        late, within what clocks are apart: a-b-c
        of no end: Forged
        for an hour: a-b-c
        for longer: Stale
        of the end of time: Forged
        another key: UnknownKey
        a key for something else: UnknownKey
        not signed: Forged
        signed otherwise: Forged
        with a condition: Forged
        changed: Forged
        cut: Forged
        padded: Forged
        two parts: Forged
        four parts: Forged
        nothing: Forged
        too long: Forged
    "#]]
    .assert_eq(&table);
}

#[test]
fn keys_are_those_for_signatures() {
    let mut table = String::new();
    for text in [
        key_set().to_string(),
        json!({ "keys": [] }).to_string(),
        json!({ "keys": [{ "kty": "EC", "kid": "curve" }] }).to_string(),
        json!({ "keys": [{ "kty": "RSA", "kid": "one", "n": "?", "e": "AQAB" }] }).to_string(),
        "<html>".to_owned(),
    ] {
        let said = match IssuerKeys::parse(text.as_bytes()) {
            Ok(keys) => format!("{keys:?} {:?}", keys.0.keys()),
            Err(why) => why,
        };
        table.push_str(&said);
        table.push('\n');
    }
    expect![[r#"
        IssuerKeys(1) ["one"]
        it holds no RSA key for signatures
        it holds no RSA key for signatures
        it holds no RSA key for signatures
        it is no set of keys: expected value at line 1 column 1
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn a_key_that_is_missed_is_asked_for() {
    let issued = issued();
    let token = signed(&json!({ "alg": "RS256", "kid": "two" }), &claims());
    assert_eq!(
        issued.judge(&token, Duration::from_secs(NOW)),
        Err(Refusal::UnknownKey)
    );
    issued.missed().await;
    let mut set = key_set();
    set["keys"][2]["kid"] = json!("two");
    issued.know(IssuerKeys::parse(set.to_string().as_bytes()).unwrap());
    assert!(issued.judge(&token, Duration::from_secs(NOW)).is_ok());
}
