//! One template writes manifests in many styles; an edited one is what the template writes of the edited content.

use planner::deployment::{Canary, DeclaredDeployment, Pin};
use planner::names::{Digest, ModelName, Version, Weight};

use super::*;

fn model() -> ModelName {
    "wine".parse().unwrap()
}

fn version(n: u8) -> Version {
    format!("v2026110{n}-120000").parse().unwrap()
}

fn pin(n: u8, has_digest: bool) -> Pin {
    Pin {
        version: version(n),
        digest: has_digest.then(|| Digest::of(&[n])),
    }
}

fn canary(n: u8, percent: u64) -> Canary<Pin> {
    Canary {
        pin: pin(n, true),
        weight: Weight::try_from(percent).unwrap(),
        replicas: 1,
    }
}

/// What a manifest says.
#[derive(Debug, Clone)]
struct Content {
    stable: Pin,
    canary: Option<Canary<Pin>>,
    rejected: Vec<Version>,
}

impl Content {
    fn deployment(&self) -> DeclaredDeployment {
        DeclaredDeployment {
            model: model(),
            stable: self.stable.clone(),
            replicas: 3,
            canary: self.canary.clone(),
            autoscaling: None,
            pod: None,
            route: None,
            engine: planner::engine::Engine::Aurora,
            suspend: None,
            rejected: self.rejected.clone(),
            allow_breaking: Vec::new(),
        }
    }
}

/// How it is written.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that files differ in"
)]
struct Style {
    /// Quotes of versions, digests and names.
    quote: &'static str,
    is_flow: bool,
    indent: usize,
    has_comments: bool,
    has_crlf: bool,
    /// Other documents stand before and behind.
    has_company: bool,
    ends_with_newline: bool,
}

fn styles() -> Vec<Style> {
    let mut styles = Vec::new();
    for quote in ["", "'", "\""] {
        for is_flow in [false, true] {
            for indent in [2, 4] {
                for bits in 0..16 {
                    styles.push(Style {
                        quote,
                        is_flow,
                        indent,
                        has_comments: bits & 1 != 0,
                        has_crlf: bits & 2 != 0,
                        has_company: bits & 4 != 0,
                        ends_with_newline: bits & 8 != 0,
                    });
                }
            }
        }
    }
    styles
}

impl Style {
    fn write(&self, content: &Content) -> String {
        let quote = self.quote;
        let comment = |text: &str| {
            if self.has_comments {
                format!("   # {text} \u{1f377}")
            } else {
                String::new()
            }
        };
        let indent = " ".repeat(self.indent);
        let pin = |pin: &Pin| {
            let mut fields = vec![format!("version: {quote}{}{quote}", pin.version)];
            // A digest that is new has the quotes of a new one.
            let quote = if quote.is_empty() { "\"" } else { quote };
            fields.extend(pin.digest.map(|digest| format!("digest: {quote}{digest}{quote}")));
            fields
        };
        let mapping = |name: &str, fields: Vec<String>| {
            if self.is_flow {
                return vec![format!(
                    "{indent}{name}: {{ {} }}{}",
                    fields.join(", "),
                    comment(name)
                )];
            }
            let mut lines = vec![format!("{indent}{name}:{}", comment(name))];
            for field in fields {
                // What follows a version may be written anew, and then has no comment.
                let comment = if field.starts_with("version") {
                    comment("pinned")
                } else {
                    String::new()
                };
                lines.push(format!("{indent}{indent}{field}{comment}"));
            }
            lines
        };
        let mut lines = Vec::new();
        if self.has_company {
            lines.extend(
                [
                    "# yaml-language-server: $schema=x",
                    "---",
                    "a: &shared { version: 1 }",
                    "b: *shared",
                    "---",
                ]
                .map(str::to_owned),
            );
        }
        if self.has_comments {
            lines.push("# The wine that customers see.".to_owned());
        }
        lines.push("apiVersion: aurora.io/v1alpha1".to_owned());
        lines.push(format!("kind: {quote}MLDeployment{quote}"));
        lines.push("metadata: { name: wine }".to_owned());
        lines.push(format!("spec:{}", comment("spec")));
        lines.push(format!("{indent}modelName: {quote}wine{quote}"));
        lines.extend(mapping("stable", pin(&content.stable)));
        if self.has_comments {
            lines.push(format!("{indent}# What is tried."));
        }
        if let Some(Canary { pin: of, weight, .. }) = &content.canary {
            let mut fields = pin(of);
            fields.push(format!("weight: {}", weight.percent()));
            lines.extend(mapping("canary", fields));
        }
        if !content.rejected.is_empty() {
            let listed: Vec<_> = content
                .rejected
                .iter()
                .map(|version| format!("{version}"))
                .collect();
            if self.is_flow || listed.len() == 1 {
                lines.push(format!("{indent}rejected: [{}]", listed.join(", ")));
            } else {
                lines.push(format!("{indent}rejected:"));
                lines.extend(listed.iter().map(|version| format!("{indent}- {version}")));
            }
        }
        if self.has_comments {
            lines.push(format!("{indent}# The last word."));
        }
        lines.push(format!("{indent}suspend: {quote}a: reason{quote}").replace("a: reason", "reason"));
        if self.has_company {
            lines.extend(
                [
                    "---",
                    "kind: Other",
                    "spec: { modelName: wine, stable: { version: v20261101-120000 } }",
                ]
                .map(str::to_owned),
            );
        }
        let line_break = if self.has_crlf { "\r\n" } else { "\n" };
        let mut text = lines.join(line_break);
        if self.ends_with_newline {
            text.push_str(line_break);
        }
        text
    }
}

fn check(before: &Content, edits: &[Edit], after: &Content) -> usize {
    check_in(before, edits, after, |_| true)
}

fn check_in(before: &Content, edits: &[Edit], after: &Content, applies: fn(&Style) -> bool) -> usize {
    let styles: Vec<Style> = styles().into_iter().filter(applies).collect();
    for style in &styles {
        let (text, expected) = (style.write(before), style.write(after));
        let edited = edit("m.yaml", &text, &model(), edits);
        let edited = edited.unwrap_or_else(|error| panic!("{error}\n{style:?}\n{text}"));
        assert!(
            edited == expected,
            "{style:?}\n--- before\n{text}\n--- edited\n{edited}\n--- expected\n{expected}"
        );
    }
    styles.len()
}

fn content(stable: Pin, canary: Option<Canary<Pin>>, rejected: &[u8]) -> Content {
    Content {
        stable,
        canary,
        rejected: rejected.iter().map(|n| version(*n)).collect(),
    }
}

#[test]
fn pins_change_in_every_style_and_nothing_else() {
    let before = content(pin(1, true), Some(canary(2, 10)), &[7, 8]);
    let manifest = before.deployment();
    let after = content(pin(3, true), Some(canary(2, 10)), &[7, 8]);
    let mut files = check(&before, &pin_stable(&manifest, &pin(3, true)), &after);
    for percent in [10, 50] {
        let after = content(pin(1, true), Some(canary(3, percent)), &[7, 8]);
        let weight = Weight::try_from(percent).ok().filter(|_| percent != 10);
        files += check(&before, &pin_canary(&manifest, &pin(3, true), weight), &after);
    }
    assert!(files >= 200, "{files}");
}

#[test]
fn a_digest_comes_and_goes_with_its_version() {
    let without = content(pin(1, false), Some(canary(2, 10)), &[]);
    let with = content(pin(3, true), Some(canary(2, 10)), &[]);
    // What is new is written in double quotes, whatever stands beside it.
    let edits = pin_stable(&without.deployment(), &pin(3, true));
    check_in(&without, &edits, &with, |style| style.quote != "'");
    let without = content(pin(4, false), Some(canary(2, 10)), &[]);
    check(&with, &pin_stable(&with.deployment(), &pin(4, false)), &without);
    // Of the same version it is kept.
    check(&with, &pin_stable(&with.deployment(), &pin(3, false)), &with);
}

#[test]
fn a_canary_comes_in_the_style_of_stable() {
    let before = content(pin(1, true), None, &[7]);
    let after = content(pin(1, true), Some(canary(2, 0)), &[7]);
    let edits = pin_canary(&before.deployment(), &pin(2, true), None);
    check_in(&before, &edits, &after, |style| {
        style.quote.is_empty() && !style.has_comments
    });
}

#[test]
fn a_promotion_takes_the_canary_and_a_rollback_says_what_may_not_come_back() {
    let before = content(pin(1, true), Some(canary(2, 10)), &[7, 8]);
    let promoted = content(pin(2, true), None, &[7, 8]);
    // Its digest stands there.
    for has_digest in [true, false] {
        let edits = pin_stable(&before.deployment(), &pin(2, has_digest));
        check(&before, &edits, &promoted);
    }
    let back = content(pin(1, true), None, &[7, 8, 2]);
    check(
        &promoted,
        &roll_back(&promoted.deployment(), &pin(1, true)),
        &back,
    );
    let first = content(pin(2, true), Some(canary(3, 5)), &[]);
    let back = content(pin(1, true), Some(canary(3, 5)), &[2]);
    check(&first, &roll_back(&first.deployment(), &pin(1, true)), &back);
    // A comment before what is gone stays where it is.
    let back = content(pin(3, true), None, &[2]);
    let edits = roll_back(&first.deployment(), &pin(3, true));
    check_in(&first, &edits, &back, |style| !style.has_comments);
    let withdrawn = content(pin(2, true), None, &[3]);
    let edits = withdraw_canary(&first.deployment());
    check_in(&first, &edits, &withdrawn, |style| !style.has_comments);
    assert_eq!(withdraw_canary(&withdrawn.deployment()), []);
}

/// Pins a manifest that serves version 1 as these tests write it.
fn pin_plain(n: u8, has_digest: bool) -> Vec<Edit> {
    let plain = content(pin(1, false), None, &[]);
    pin_stable(&plain.deployment(), &pin(n, has_digest))
}

const HEAD: &str = "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: wine }\n";

/// Checks single files; `~` stands for the fields before `spec`.
fn check_text(text: &str, edits: &[Edit], expected: Result<&str, &str>) {
    let edited = edit("m.yaml", &text.replace('~', HEAD), &model(), edits);
    let edited = edited.map_err(|error| error.to_string());
    assert_eq!(
        edited,
        expected
            .map(|text| text.replace('~', HEAD))
            .map_err(str::to_owned),
        "{text}"
    );
}

const REFUSED: &str = "cannot be edited in its place";

fn refused(place: &str, why: &str) -> String {
    format!("m.yaml:{place}: {REFUSED}: {why}; change it by hand")
}

#[test]
fn what_is_written_in_other_ways_is_edited_too() {
    let edits = pin_plain(3, true);
    let digest = Digest::of(&[3]);
    for (text, expected) in [
        // All in flow, over several lines.
        (
            "~spec: {modelName: wine,\n  stable: {version: v20261101-120000}}\n".to_owned(),
            format!(
                "~spec: {{modelName: wine,\n  stable: {{version: v20261103-120000, digest: \"{digest}\"}}}}\n"
            ),
        ),
        // A value on a line of its own, a byte order mark, blanks at the end of lines.
        (
            "\u{feff}~spec:\n  modelName: wine\n  stable:  \n    version:\n      v20261101-120000  \n"
                .to_owned(),
            format!(
                "\u{feff}~spec:\n  modelName: wine\n  stable:  \n    version:\n      v20261103-120000  \n    digest: \"{digest}\"\n"
            ),
        ),
        // Keys in quotes, no line break at the end.
        (
            "~\"spec\":\n  'modelName': wine\n  \"stable\": { \"version\": \"v20261101-120000\" }".to_owned(),
            format!(
                "~\"spec\":\n  'modelName': wine\n  \"stable\": {{ \"version\": \"v20261103-120000\", digest: \"{digest}\" }}"
            ),
        ),
        // An anchor that nobody uses.
        (
            "~spec:\n  modelName: wine\n  stable: &s { version: v20261101-120000 }\n".to_owned(),
            format!(
                "~spec:\n  modelName: wine\n  stable: &s {{ version: v20261103-120000, digest: \"{digest}\" }}\n"
            ),
        ),
    ] {
        check_text(&text, &edits, Ok(&expected));
    }
}

#[test]
fn what_cannot_be_edited_in_its_place_is_refused_with_the_place() {
    let edits = pin_plain(3, false);
    for (text, place, why) in [
        (
            "~spec:\n  modelName: wine\n  stable: { version: &v v20261101-120000 }\n",
            "6:25",
            "version has an anchor or a tag",
        ),
        (
            "~spec:\n  modelName: wine\n  stable: { version: !!str v20261101-120000 }\n",
            "6:28",
            "version has an anchor or a tag",
        ),
        (
            "~spec:\n  modelName: wine\n  suspend: &v v20261101-120000\n  stable: { version: *v }\n",
            "7:22",
            "version is no plain value",
        ),
        (
            "a: &v { version: v20261101-120000 }\n---\na: &s { version: v20261101-120000 }\nb: *s\n---\n~spec: &t { modelName: wine, stable: { version: v20261101-120000 } }\n",
            "",
            "",
        ),
        (
            "~spec:\n  modelName: wine\n  stable:\n    version: |-\n      v20261101-120000\n",
            "8:7",
            "version is a block of text",
        ),
    ] {
        let expected = refused(place, why);
        if why.is_empty() {
            let edited = text.replacen("stable: { version: v20261101", "stable: { version: v20261103", 1);
            check_text(text, &edits, Ok(&edited));
        } else {
            check_text(text, &edits, Err(&expected));
        }
    }
}

#[test]
fn what_would_change_elsewhere_too_is_refused() {
    let text = "~spec:\n  modelName: wine\n  stable: &s { version: v20261101-120000 }\n  canary: { version: v20261102-120000, weight: 0, <<: *s }\n";
    let why = "something else would change with it: is it used elsewhere by an alias?";
    check_text(text, &pin_plain(3, true), Err(&refused("1:1", why)));
    let beside = format!("{text}---\n}}\n");
    let edited = edit(
        "m.yaml",
        &beside.replace('~', HEAD),
        &model(),
        &pin_plain(3, false),
    );
    assert!(
        edited
            .unwrap_err()
            .to_string()
            .contains("m.yaml:1:1: cannot be edited"),
        "another document is no YAML"
    );
}

#[test]
fn exactly_one_document_is_meant() {
    let edits = pin_plain(3, false);
    let said = |count| {
        format!(
            "m.yaml: {count} MLDeployments of wine are in order here, and one is needed: run aurora validate"
        )
    };
    let document = "~spec: { modelName: wine, stable: { version: v20261101-120000 } }\n";
    check_text("", &edits, Err(&said(0)));
    check_text(&document.replace("wine,", "beer,"), &edits, Err(&said(0)));
    check_text(&document.replace("120000", "999999"), &edits, Err(&said(0)));
    check_text(&format!("{document}---\n{document}"), &edits, Err(&said(2)));
}
