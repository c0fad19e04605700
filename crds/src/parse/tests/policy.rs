//! What an environment says of raises.

use expect_test::expect;

use super::check;

/// An MLEnvironment whose spec has this beside its target.
fn environment(policy: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: {{ name: dev }}
spec: {{ target: Standalone, {policy} }}
"
    )
}

#[test]
fn those_who_are_told_are_named_without_their_secrets() {
    check(
        &environment(
            "notify: [ { url: \"https://hooks.example.org/aurora\", secretFile: pager }, { type: Slack, secretFile: slack, on: [Finding, Abort] } ]",
        ),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLEnvironment/dev
        "#]],
    );
    check(
        &environment(
            "notify: [ { secretFile: pager }, { type: Slack, url: \"https://hooks.slack.com/T/B/X\", secretFile: slack } ]",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:39: InvalidManifest: MLEnvironment/dev: spec.notify[0].url: a webhook needs `url`, and Slack takes none
              hint: write the receiver's address as `url`; Slack's is a secret: put it into the file that `secretFile` names
            environments/dev/wine.yaml:4:82: InvalidManifest: MLEnvironment/dev: spec.notify[1].url: a webhook needs `url`, and Slack takes none
              hint: write the receiver's address as `url`; Slack's is a secret: put it into the file that `secretFile` names
        "#]],
    );
    check(
        &environment(
            "notify: [ { url: \"http://hooks.example.org\", secretFile: pager }, { url: \"https://me:x@h.example/\", secretFile: ../../etc/passwd } ]",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:46: InvalidManifest: MLEnvironment/dev: spec.notify[0].url: "http://hooks.example.org" is not an address: https://HOST/…, or http://localhost:PORT/… for this machine, without user and fragment
              hint: write an address: https://HOST/…, or http://localhost:PORT/… for this machine, without user and fragment
            environments/dev/wine.yaml:4:102: InvalidManifest: MLEnvironment/dev: spec.notify[1].url: "https://…@h.example/" is not an address: https://HOST/…, or http://localhost:PORT/… for this machine, without user and fragment
              hint: write an address: https://HOST/…, or http://localhost:PORT/… for this machine, without user and fragment
            environments/dev/wine.yaml:4:141: InvalidManifest: MLEnvironment/dev: spec.notify[1].secretFile: "../../etc/passwd" is not the name of a file: letters, digits, '-', '_' and '.', and no folder
              hint: write the name of a file: letters, digits, '-', '_' and '.', and no folder
        "#]],
    );
    check(
        &environment("notify: [ { type: Teams, secretFile: a } ]"),
        expect![[r#"
            environments/dev/wine.yaml:4:47: InvalidManifest: MLEnvironment/dev: spec.notify[0].type: the text "Teams" is not one of Webhook, Slack
              hint: write one of these
        "#]],
    );
}

#[test]
fn signatures_of_commits_say_what_is_wrong_with_them() {
    check(
        &environment(
            "commits: { verify: Require, allowedSigners: .keys/signers, keyring: /etc/keys.gpg, forge: { keyring: a..b, squash: Allow } }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLEnvironment/dev
        "#]],
    );
    check(
        &environment("commits: { verify: \"Off\" }"),
        expect![[r#"
        environments/dev/wine.yaml:1:1: MLEnvironment/dev
    "#]],
    );
    check(
        &environment("commits: { verify: Off }"),
        expect![[r#"
        environments/dev/wine.yaml:4:48: InvalidManifest: MLEnvironment/dev: spec.commits.verify: the boolean false is not one of Off, Warn, Require
          hint: write "Off", in quotes: without, YAML reads it as false
    "#]],
    );
    check(
        &environment("commits: { allowedSigners: signers }"),
        expect![[r#"
        environments/dev/wine.yaml:4:29: InvalidManifest: MLEnvironment/dev: spec.commits: `verify` is missing
          hint: add `verify:` with one of Off, Warn, Require
    "#]],
    );
    check(
        &environment("commits: { verify: Warn }"),
        expect![[r#"
        environments/dev/wine.yaml:4:48: InvalidManifest: MLEnvironment/dev: spec.commits.verify: no file says who may sign
          hint: write `allowedSigners` (SSH keys) or `keyring` (OpenPGP keys), or `verify: Off`
    "#]],
    );
    check(
        &environment("commits: { verify: Require, keyring: k, forge: { squash: Allow } }"),
        expect![[r#"
            environments/dev/wine.yaml:4:69: InvalidManifest: MLEnvironment/dev: spec.commits.forge: no file has the forge's keys
              hint: write `keyring` (GitHub signs with OpenPGP) or `allowedSigners`, or remove `forge`
        "#]],
    );
    for path in [
        "../signers",
        "keys/../../signers",
        "./signers",
        "keys//signers",
        "/etc/./signers",
        "keys/",
    ] {
        let manifest = environment(&format!("commits: {{ verify: Require, allowedSigners: {path} }}"));
        let found = super::parse_file(super::PATH, manifest.as_bytes()).findings;
        let [finding] = found.as_slice() else {
            panic!("{path}: {found:?}");
        };
        let expected = "is not the path of a file, absolute or below the environment's folder";
        assert!(finding.message.contains(expected), "{finding}");
    }
}

#[test]
fn windows_and_gates_say_what_is_wrong_with_them() {
    let windows = |windows: &str| environment(&format!("windows: [{windows}]"));
    check(
        &windows(
            "{ type: Deny, cron: 0 18 * * FRI, timeZone: Europe/Paris, duration: 62h }, { type: Allow, cron: 0 9 * * *, duration: 8h }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLEnvironment/dev
        "#]],
    );
    check(
        &windows(
            "{ type: Freeze, cron: 0 18 * * FRI, duration: 62h }, { type: Deny, cron: 0 18 * * FRY, duration: 62 h, timeZone: Europe/Pariss }, { type: Deny, duration: 1h }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:47: InvalidManifest: MLEnvironment/dev: spec.windows[0].type: the text "Freeze" is not one of Allow, Deny
              hint: write one of these
            environments/dev/wine.yaml:4:136: InvalidManifest: MLEnvironment/dev: spec.windows[1].duration: "62 h" is not a length of time from 1m to 366d, e.g. 90m, 8h or 14d
              hint: write a length of time from 1m to 366d, e.g. 90m, 8h or 14d
            environments/dev/wine.yaml:4:169: InvalidManifest: MLEnvironment/dev: spec.windows[2]: `cron` is missing
              hint: add `cron:` with a schedule of five fields, e.g. "0 18 * * FRI"
        "#]],
    );
    check(
        &windows(
            "{ type: Deny, cron: 0 18 * * FRY, duration: 400d }, { type: Deny, cron: 0 18 * * FRI, duration: 1h, timeZone: Europe/Pariss }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:83: InvalidManifest: MLEnvironment/dev: spec.windows[0].duration: "400d" is not a length of time from 1m to 366d, e.g. 90m, 8h or 14d
              hint: write a length of time from 1m to 366d, e.g. 90m, 8h or 14d
        "#]],
    );
    check(
        &windows("{ type: Deny, cron: 0 18 31 2 *, duration: 1h }"),
        expect![[r#"
            environments/dev/wine.yaml:4:59: InvalidManifest: MLEnvironment/dev: spec.windows[0].cron: "0 18 31 2 *" is not a schedule of a date that comes: none of its months has such a day
              hint: write minute, hour, day of month, month and weekday, e.g. "0 18 * * FRI"
        "#]],
    );
    check(
        &environment("gates: { maxWeightStep: 0, metric: { tolerancePercent: 0.0001 }, onUnknown: Hope }"),
        expect![[r#"
            environments/dev/wine.yaml:4:53: InvalidManifest: MLEnvironment/dev: spec.gates.maxWeightStep: 0 is not a whole percent from 1 to 100
              hint: write a whole percent from 1 to 100
            environments/dev/wine.yaml:4:105: InvalidManifest: MLEnvironment/dev: spec.gates.onUnknown: the text "Hope" is not one of Refuse, Allow
              hint: write one of these
        "#]],
    );
    check(
        &environment("gates: { metric: { tolerancePercent: 0.0001 } }"),
        expect![[r#"
            environments/dev/wine.yaml:4:66: InvalidManifest: MLEnvironment/dev: spec.gates.metric.tolerancePercent: "0.0001" is not a percentage from 0 to 100 with at most three decimals
              hint: write at most three decimals, e.g. 0.5
        "#]],
    );
    check(
        &environment("promotion: { from: staging, soak: 24h }"),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLEnvironment/dev
        "#]],
    );
    check(
        &environment("promotion: { from: dev }"),
        expect![[r#"
        environments/dev/wine.yaml:4:48: InvalidManifest: MLEnvironment/dev: spec.promotion.from: versions come from dev itself
          hint: name the environment in which they serve before this one
    "#]],
    );
    check(
        &environment("promotion: { soak: 1y }"),
        expect![[r#"
            environments/dev/wine.yaml:4:29: InvalidManifest: MLEnvironment/dev: spec.promotion: `from` is missing
              hint: add `from:` with a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end
            environments/dev/wine.yaml:4:48: InvalidManifest: MLEnvironment/dev: spec.promotion.soak: "1y" is not a length of time from 1m to 366d, e.g. 90m, 8h or 14d
              hint: write a length of time from 1m to 366d, e.g. 90m, 8h or 14d
        "#]],
    );
}

#[test]
fn another_environment_is_named_by_a_url_that_a_key_may_be_sent_to() {
    check(
        &environment(
            "registry: { upstream: 'https://staging.example.org:8000', keyFile: /keys/staging }, promotion: { from: staging, status: 'http://127.0.0.1:8000', keyFile: /keys/staging }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:1:1: MLEnvironment/dev
        "#]],
    );
    check(
        &environment(
            "registry: { upstream: 'http://staging.example.org' }, promotion: { from: staging, status: 'https://user:secret@staging.example.org' }",
        ),
        expect![[r#"
            environments/dev/wine.yaml:4:51: InvalidManifest: MLEnvironment/dev: spec.registry.upstream: "http://staging.example.org" is not a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only
              hint: write a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only
            environments/dev/wine.yaml:4:119: InvalidManifest: MLEnvironment/dev: spec.promotion.status: "https://…@staging.example.org" is not a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only
              hint: write a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only
        "#]],
    );
    check(
        &environment("registry: { keyFile: keys }, promotion: { from: staging, keyFile: /keys }"),
        expect![[r#"
            environments/dev/wine.yaml:4:50: InvalidManifest: MLEnvironment/dev: spec.registry.keyFile: "keys" is not the absolute path of a file, without backslash and control characters
              hint: write the absolute path of a file, without backslash and control characters
        "#]],
    );
    check(
        &environment("registry: { keyFile: /keys }, promotion: { from: staging, keyFile: /keys }"),
        expect![[r#"
            environments/dev/wine.yaml:4:50: InvalidManifest: MLEnvironment/dev: spec.registry.keyFile: a key is one for a control plane
              hint: add `upstream:` with the control plane's URL, or remove `keyFile`
            environments/dev/wine.yaml:4:96: InvalidManifest: MLEnvironment/dev: spec.promotion.keyFile: a key is one for a control plane
              hint: add `status:` with the control plane's URL, or remove `keyFile`
        "#]],
    );
}
