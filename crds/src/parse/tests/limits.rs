//! Bytes that nobody means well with: an answer in findings, soon, and never a panic.

use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "an expectation is a temporary")]
fn check(bytes: &[u8], expected: Expect) {
    expected.assert_eq(&bounded(bytes));
}

/// Renders what bytes parse to, and asserts that it did not take long.
fn bounded(bytes: &[u8]) -> String {
    let start = Instant::now();
    let text = render(PATH, bytes);
    // Generous: a debug build on a busy machine. Unbounded expansion takes minutes or all memory.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "took {:?}",
        start.elapsed()
    );
    text
}

/// Nine anchors, each nine times the one before: 9^9 values in a kilobyte.
fn alias_bomb() -> String {
    let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(yaml, "a{level}: &a{level} [{below}]").unwrap();
    }
    yaml
}

#[test]
fn expansion_and_depth_are_bounded() {
    check(
        alias_bomb().as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:5:15: Unreadable: the document holds more than 20000 values
          hint: split it into smaller documents; aliases count as what they stand for
    "#]],
    );
    check(
        format!("spec: {}", "[".repeat(100_000)).as_bytes(),
        expect![[r#"
            environments/dev/wine.yaml:1:39: Unreadable: lists and mappings are nested deeper than 32
              hint: a manifest is never that deep
        "#]],
    );
    check(
        &b"[".repeat(1024 * 1024),
        expect![[r#"
            environments/dev/wine.yaml:1:33: Unreadable: lists and mappings are nested deeper than 32
              hint: a manifest is never that deep
        "#]],
    );
    check(
        &b"{".repeat(1024 * 1024),
        expect![[r#"
            environments/dev/wine.yaml:1:33: Unreadable: lists and mappings are nested deeper than 32
              hint: a manifest is never that deep
        "#]],
    );
    check(
        &b"- ".repeat(100_000),
        expect![[r#"
        environments/dev/wine.yaml:1:65: Unreadable: lists and mappings are nested deeper than 32
          hint: a manifest is never that deep
    "#]],
    );
    let indented: Vec<_> = (0..1_000)
        .map(|depth| {
            " ".repeat(depth)
                + "a:
"
        })
        .collect();
    check(
        indented.concat().as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:33:33: Unreadable: lists and mappings are nested deeper than 32
          hint: a manifest is never that deep
    "#]],
    );
    let recursive = "a: &a [ *a ]\n";
    check(
        recursive.as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:1:9: Unreadable: Recursive reference not allowed here
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"a: *nowhere\n",
        expect![[r#"
        environments/dev/wine.yaml:1:4: Unreadable: reference to unknown value
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
}

#[test]
fn number_of_values_and_documents_is_bounded() {
    let items = |count: usize| format!("spec: [{}]", vec!["1"; count].join(","));
    check(
        items(19_990).as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: `kind` is missing
          hint: add `kind:` with one of MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
    check(
        items(20_000).as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:1:40002: Unreadable: the document holds more than 20000 values
          hint: split it into smaller documents; aliases count as what they stand for
    "#]],
    );
    let documents = format!("---\n{}\n", items(11_000)).repeat(2);
    check(
        documents.as_bytes(),
        expect![[r#"
            environments/dev/wine.yaml:2:1: InvalidManifest: `kind` is missing
              hint: add `kind:` with one of MLEnvironment, MLDeployment and MLTrainingJob
            environments/dev/wine.yaml:4:17996: Unreadable: the file holds more than 20000 values
              hint: split it into smaller files; what follows here is not read
        "#]],
    );
    let aliases = format!(
        "a: &a [{}]\nb: [{}]\n",
        ["1"; 17].join(","),
        ["*a"; 990].join(",")
    );
    let refused = format!("---\n{aliases}b: 1\n");
    // What a document that is refused took counts for the file, however many of them there are.
    check(
        refused.repeat(340).as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:4:1: Unreadable: the key `b` stands twice
          hint: remove one of the two
        environments/dev/wine.yaml:7:359: Unreadable: the file holds more than 20000 values
          hint: split it into smaller files; what follows here is not read
    "#]],
    );
    let no_yaml = parse_file(PATH, "---\n? [a]\n: 1\n".repeat(1_000).as_bytes()).findings;
    assert_eq!(no_yaml.len(), UNREADABLE_MAX + 1);
    assert_eq!(
        no_yaml[UNREADABLE_MAX].message,
        "the file holds more than 20 documents that are no YAML"
    );
    let findings = parse_file(PATH, "---\na\n".repeat(1_001).as_bytes()).findings;
    assert_eq!(findings.len(), FINDINGS_MAX + 1);
    assert_eq!(
        findings[FINDINGS_MAX].message,
        "there are 951 more findings in this file"
    );
    check(&b"---\n".repeat(200_000), expect![[""]]);
    check(
        format!("spec: {}", "x".repeat(1024 * 1024 - 6)).as_bytes(),
        expect![[r#"
            environments/dev/wine.yaml:1:1: InvalidManifest: `kind` is missing
              hint: add `kind:` with one of MLEnvironment, MLDeployment and MLTrainingJob
        "#]],
    );
    check(
        &vec![b'a'; 1024 * 1024 + 1],
        expect![[r#"
        environments/dev/wine.yaml: Unreadable: the file has 1048577 bytes, a manifest at most 1048576
          hint: split it, or give data a name that does not end in .yaml or .yml
    "#]],
    );
}

#[test]
fn bytes_that_are_no_text_are_told_apart() {
    check(
        b"name: caf\xe9\n",
        expect![[r#"
        environments/dev/wine.yaml:1:10: Unreadable: byte 0xe9 at offset 9 is no UTF-8
          hint: save the file as UTF-8
    "#]],
    );
    check(
        "# très bien\n"
            .repeat(3)
            .into_bytes()
            .into_iter()
            .chain(*b"caf\xc3\xa9: \xff")
            .collect::<Vec<_>>()
            .as_slice(),
        expect![[r#"
            environments/dev/wine.yaml:4:7: Unreadable: byte 0xff at offset 46 is no UTF-8
              hint: save the file as UTF-8
        "#]],
    );
    check(
        b"\xff\xfea\0b\0",
        expect![[r#"
        environments/dev/wine.yaml:1:1: Unreadable: byte 0xff at offset 0 is no UTF-8
          hint: save the file as UTF-8
    "#]],
    );
    check(
        b"a: \0\n",
        expect![[r#"
        environments/dev/wine.yaml:1:4: Unreadable: unexpected character: `\u{0}'
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"\0",
        expect![[r#"
        environments/dev/wine.yaml:1:1: Unreadable: unexpected character: `\u{0}'
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"a:\n\t- b\n",
        expect![[r#"
        environments/dev/wine.yaml:2:2: Unreadable: tabs disallowed within this context (block indentation)
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"%YAML 9.9\n---\na\n",
        expect![[r#"
        environments/dev/wine.yaml:1:1: Unreadable: unsupported YAML major version
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"a: !!binary not-base64\n",
        expect![[r#"
        environments/dev/wine.yaml:1:13: Unreadable: invalid !!binary base64
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"a: !include /etc/passwd\n",
        expect![[r#"
            environments/dev/wine.yaml:1:13: Unreadable: unsupported tag `!include`
              hint: mend the YAML here: what follows in this file may not have been read
        "#]],
    );
    check(
        b"? [a, b]\n: c\n",
        expect![[r#"
        environments/dev/wine.yaml:1:3: Unreadable: expected string scalar
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"? {}\n",
        expect![[r#"
        environments/dev/wine.yaml:1:3: Unreadable: expected string scalar
          hint: mend the YAML here: what follows in this file may not have been read
    "#]],
    );
    check(
        b"1: a\ntrue: b\n",
        expect![[r#"
        environments/dev/wine.yaml:1:1: InvalidManifest: `kind` is missing
          hint: add `kind:` with one of MLEnvironment, MLDeployment and MLTrainingJob
    "#]],
    );
}

#[test]
fn byte_order_marks_and_line_ends_do_not_matter() {
    let windows = format!("\u{feff}{}", DEPLOYMENT.replace('\n', "\r\n"));
    check(
        windows.as_bytes(),
        expect![[r#"
        environments/dev/wine.yaml:1:1: MLDeployment/wine-quality
    "#]],
    );
    check(
        windows.replace("weight: 10", "weight: ten").as_bytes(),
        expect![[r#"
            environments/dev/wine.yaml:10:13: InvalidManifest: MLDeployment/wine-quality: spec.canary.weight: expected a whole percent from 0 to 100, got the text "ten"
              hint: write it in digits, without quotes or unit
        "#]],
    );
    let canonical = |yaml: &str| parse_file(PATH, yaml.as_bytes()).documents.remove(0).canonical;
    assert_eq!(canonical(&windows), canonical(DEPLOYMENT));
}

/// What it took to read a file is told, whatever became of its documents.
#[test]
fn values_that_were_read_are_counted() {
    let check =
        |yaml: &str, expect: usize| assert_eq!(parse_file(PATH, yaml.as_bytes()).values, expect, "{yaml}");
    check("", 0);
    check("a", 1);
    check("a: [1, 2]\n---\nb: {c: 1}\n", 5 + 5);
    check("a: &a [1, 2]\nb: *a\n", 9);
    // Behind the values before it, it is no YAML; where aliases may stand in what was not taken, the most is assumed.
    check("a: [1\n---\n", 3);
    check("a: &a [1]\n? *a\n: 1\n", 3 + 1 + NODES_MAX);
    check("spec: {schedule: \"*/5 0 * * *\", a: }, b\n", 7);
}

/// Every finding lies in the file that it is about.
fn assert_findings_lie_inside(bytes: &[u8]) {
    let parsed = parse_file(PATH, bytes);
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
    for finding in &parsed.findings {
        let location = finding.location.as_ref().unwrap();
        assert_eq!(location.file, PATH);
        assert!(location.line <= lines, "{finding} in {lines} lines");
        assert!(
            !finding.message.is_empty() && !finding.hint.is_empty(),
            "{finding:?}"
        );
        assert!(finding.to_string().lines().count() == 2, "{finding}");
    }
    assert_eq!(parsed, parse_file(PATH, bytes), "the same bytes, another answer");
    assert_ways_of_reading_agree(bytes);
}

/// What can be read at once is what is read one by one, positions included.
fn assert_ways_of_reading_agree(bytes: &[u8]) {
    if let Some(whole) = std::str::from_utf8(bytes).ok().and_then(document::read_whole) {
        let mut reader = bytes;
        let one_by_one: Result<Vec<_>, _> = document::read_one_by_one(&mut reader).collect();
        assert_eq!(Some(whole), one_by_one.ok());
    }
}

/// A manifest in which bytes were changed, taken away, doubled or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let manifest = prop_oneof![Just(DEPLOYMENT), Just(TRAINING)]
        .prop_map(str::as_bytes)
        .prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        Just(b"---\n".to_vec()),
        Just(b"&a ".to_vec()),
        Just(b"*a".to_vec()),
        Just(b"<<: ".to_vec()),
        Just(b"{ ".to_vec()),
        Just(b"\n\t".to_vec()),
        Just(b": ".to_vec()),
        Just(b"!!str ".to_vec()),
        Just(b"|\n".to_vec()),
        Just(b"'".to_vec()),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, piece), 1..6);
    (manifest, edits).prop_map(|(mut bytes, edits)| {
        for (at, cut, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        assert_findings_lie_inside(&bytes);
    }

    #[test]
    fn any_text_gets_an_answer(text in "[-:?,\\[\\]{}#&*!|>'\"%@` a0.~\n\t\r]{0,200}") {
        assert_findings_lie_inside(text.as_bytes());
    }

    #[test]
    fn any_change_of_a_manifest_gets_an_answer(bytes in mutated()) {
        assert_findings_lie_inside(&bytes);
    }
}
