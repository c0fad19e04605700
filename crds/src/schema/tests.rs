//! The committed files are the generated ones.

use std::path::Path;

use planner::training::{Algorithm, DataSource, Metric};

use super::*;

#[test]
fn committed_definitions_are_the_generated_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (file, generated) in crd_yaml() {
        let path = folder.join(file);
        if update {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{} differs from the types in crds/src: run `cargo xtask generate` and commit the result",
            path.display(),
        );
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        files,
        crd_yaml().len(),
        "a file in {} is none of the generated ones",
        folder.display()
    );
}

#[test]
fn schema_names_every_choice_of_the_planner() {
    let schema = object_schema::<MLTrainingJob>();
    let choices = |pointer: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(pointer).unwrap().clone()).unwrap()
    };
    let spec = "/properties/spec/properties";
    assert_eq!(
        choices(&format!("{spec}/algorithm/enum")),
        Algorithm::ALL.map(Algorithm::as_str)
    );
    let metric = format!("{spec}/evaluation/properties/metric/enum");
    assert_eq!(choices(&metric), Metric::ALL.map(Metric::as_str));
}

/// A rule that does not compile would be skipped by nobody but the API server, which refuses the whole definition.
#[test]
fn every_rule_compiles_and_names_a_field() {
    for rule in crate::rules::ALL {
        let schema = serde_json::json!({ "type": "object", "x-kubernetes-validations": [rule.rule()] });
        let compiled = kube::core::cel::compile_schema(&schema);
        assert!(
            !compiled.has_errors(),
            "{}: {:?}",
            rule.cel,
            compiled.compilation_errors()
        );
        assert!(!rule.hint.is_empty() && !rule.message.is_empty());
        assert!(
            rule.field.is_empty() || rule.field.starts_with('.'),
            "{}",
            rule.field
        );
    }
}

#[test]
fn rule_is_true_without_the_field_that_it_is_about() {
    let mut about = Vec::new();
    for rule in crate::rules::ALL {
        if let Some(field) = crate::rules::only_with(rule.cel) {
            let schema = serde_json::json!({ "type": "object", "x-kubernetes-validations": [rule.rule()] });
            let without = serde_json::json!({});
            assert!(
                kube::core::cel::Validator::new()
                    .validate(&schema, &without, None)
                    .is_ok(),
                "{}",
                rule.cel
            );
            about.push(field);
        }
    }
    let of_pins = ["canary", "canary", "route", "rejected", "rejected"];
    let of_clusters = [
        "path",
        "host",
        "gateway",
        "ingressClassName",
        "tlsSecret",
        "tlsSecret",
        "grpc",
        "grpc",
        "grpc",
        "grpc",
        "labels",
        "env",
        "value",
        "tolerationSeconds",
        "drift",
        "registry",
    ];
    let of_others = ["keyFile", "keyFile"];
    let of_jobs = [
        "files",
        "engine",
        "files",
        "probabilities",
        "files",
        "dataset",
        "algorithm",
        "algorithm",
        "evaluation",
    ];
    let over_two_fields = ["minimum", "maximum", "sha256", "file"];
    let of_forms = ["divideBy", "sha256", "file", "file", "file", "path", "path"];
    let all = [
        of_pins.as_slice(),
        &of_clusters,
        &of_others,
        &of_jobs,
        &over_two_fields,
        &of_forms,
    ];
    assert_eq!(about, all.concat());
    assert_eq!(crate::rules::only_with("!has(self.a) || b ? c : d"), None);
    assert_eq!(crate::rules::only_with("!has(self.a.b) || c"), None);
}

/// The parser leaves the rules of a whole object out: there is none, since the schema limits the name.
#[test]
fn object_as_a_whole_has_no_rule_and_its_name_has_limits() {
    let objects = [
        object_schema::<MLEnvironment>(),
        object_schema::<MLDeployment>(),
        object_schema::<MLTrainingJob>(),
    ];
    for object in objects {
        assert!(object.get("x-kubernetes-validations").is_none());
        let name = &object["properties"]["metadata"]["properties"]["name"];
        assert_eq!(
            (&name["maxLength"], &name["pattern"]),
            (&40.into(), &crate::wire::NAME.into())
        );
    }
}

#[test]
fn rules_name_every_dataset_of_the_planner() {
    for (rule, scheme, names) in [
        (crate::rules::BUILTIN, "builtin", DataSource::BUILTIN.as_slice()),
        (
            crate::rules::SYNTHETIC,
            "synthetic",
            DataSource::SYNTHETIC.as_slice(),
        ),
    ] {
        let quoted: Vec<_> = names.iter().map(|name| format!("'{scheme}:{name}'")).collect();
        assert!(
            rule.cel.ends_with(&format!(" in [{}]", quoted.join(", "))),
            "{}",
            rule.cel
        );
        let named: Vec<_> = names.iter().map(|name| format!("{scheme}:{name}")).collect();
        assert!(rule.hint.ends_with(&named.join(", ")), "{}", rule.hint);
    }
}

/// `kubectl explain` shows descriptions and no limits.
#[test]
fn descriptions_say_what_is_accepted() {
    let schema = object_schema::<MLDeployment>();
    let canary = "/properties/spec/properties/canary/properties";
    let described = |field: &str| {
        let description = schema.pointer(&format!("{canary}/{field}/description"));
        description
            .and_then(serde_json::Value::as_str)
            .unwrap()
            .to_owned()
    };
    assert!(described("weight").ends_with(" Expects a whole percent from 0 to 100."));
    assert!(described("version").ends_with(&format!(" Expects {}.", crate::wire::VERSION_WORDS)));
}

/// What no pattern takes is refused offline, too: a new pattern needs an arm of its own.
#[test]
fn no_pattern_is_left_to_the_server() {
    fn look(schema: &serde_json::Value, found: &mut usize) {
        if let Some(pattern) = schema["pattern"].as_str() {
            *found += 1;
            assert!(!crate::wire::matches(pattern, "\0"), "{pattern}");
        }
        let object = schema.as_object().into_iter().flat_map(|fields| fields.values());
        let array = schema.as_array().into_iter().flatten();
        for inner in object.chain(array) {
            look(inner, found);
        }
    }
    let mut found = 0;
    for schema in [
        object_schema::<MLEnvironment>(),
        object_schema::<MLDeployment>(),
        object_schema::<MLTrainingJob>(),
    ] {
        look(&schema["properties"]["spec"], &mut found);
    }
    assert!(found > 30, "{found}");
}

/// Asks the API server's regular expressions what the parser asks the types.
#[test]
fn patterns_and_types_accept_the_same_texts() {
    use crate::wire::{
        DIGEST, FILE, FILE_NAME, KEY_FILE, NAME, PATH, RECEIVER, REVISION, SHA256, VERSION, matches,
    };
    let hex = |digit: &str, length: usize| digit.repeat(length);
    let texts = [
        "",
        "a",
        "-",
        "a-",
        "-a",
        "a-b",
        "A",
        "a.b",
        "a/b",
        "a/",
        "a//b",
        "/",
        "/a/.b/..c",
        ".",
        "./a",
        "a/..",
        "a/../b",
        "...",
        "a\\b",
        "a\u{7f}",
        "a\u{85}",
        "a b",
        "a\n",
        "ä",
        "9",
        "v20261101-120000",
        "v20261101-120000-1",
        "v20261101-120000-2",
        "v20261101-120000-10",
        "v20261101-120000-02",
        "v20261101-120000-0",
        "v20261101-120000-x",
        "v20261101",
        "20261101-120000",
        "V20261101-120000",
        "v20261101-120000\n",
        "../a",
        ".a",
        "a_b-c.d",
        "/",
        "/a",
        "/a/b\\",
        "https://",
        "https:///a",
        "https://h.example",
        "https://h.example:8443/a?b=c",
        "https://me:x@h.example/",
        "https://h.example/@a",
        "https://h.example/#a",
        "https://h.example/a b",
        "https://h.example/ä",
        "https://h.example/\n",
        "http://h.example/",
        "http://localhost",
        "http://localhost:/",
        "http://localhost:80a/",
        "http://localhost:8080/a",
        "http://127.0.0.1:8080",
        "http://localhost.example/",
        "http://me@localhost/",
    ];
    let digests = [
        hex("a", 64),
        hex("A", 64),
        hex("g", 64),
        hex("a", 63),
        hex("a", 65),
        hex("a", 40),
        hex("a", 41),
        format!("sha256:{}", hex("0", 64)),
        format!("sha256:{}", hex("0", 63)),
        format!("sha512:{}", hex("0", 64)),
        format!("sha256:{}", hex("F", 64)),
        format!("{}\n", hex("a", 64)),
    ];
    for pattern in [
        NAME, VERSION, DIGEST, SHA256, REVISION, PATH, KEY_FILE, FILE, RECEIVER, FILE_NAME,
    ] {
        let length = if pattern == NAME { 40 } else { 80 };
        let rule = format!("self.size() <= {length} && self.matches(r'{pattern}')");
        let schema = serde_json::json!({ "type": "string", "x-kubernetes-validations": [{ "rule": rule }] });
        for text in texts.iter().copied().chain(digests.iter().map(String::as_str)) {
            let accepted = kube::core::cel::Validator::new()
                .validate(&schema, &text.into(), None)
                .is_ok();
            assert_eq!(accepted, matches(pattern, text), "{pattern} {text:?}");
        }
    }
}

#[test]
fn the_committed_schema_for_editors_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("aurora.schema.json");
    let generated = manifest_schema();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} differs from the types in crds/src: run `cargo xtask generate` and commit the result",
        path.display(),
    );
}

/// Says what an editor underlines first; nothing where a document is in order.
fn underlined(document: &Value) -> Option<String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = serde_json::from_str(&manifest_schema()).unwrap();
    compiler.add_resource("aurora.schema.json", schema).unwrap();
    let schema = compiler.compile("aurora.schema.json", &mut schemas).unwrap();
    let refused = schemas.validate(document, schema).err()?;
    let leaf = std::iter::successors(Some(&refused), |error| error.causes.first()).last()?;
    Some(format!("{}: {}", leaf.instance_location, leaf.kind))
}

#[test]
fn editors_take_what_validate_takes_and_underline_wrong_fields() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../environments");
    let mut taken = 0;
    for environment in ["dev", "staging", "prod"] {
        for file in std::fs::read_dir(folder.join(environment)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                for document in crate::parse::values(&std::fs::read(&path).unwrap()).unwrap() {
                    assert_eq!(underlined(&document), None, "{}", path.display());
                    taken += 1;
                }
            }
        }
    }
    assert!(taken >= 13, "{taken}");
    let manifest = |kind: &str, metadata: Value, spec: Value| json!({ "apiVersion": "aurora.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec });
    let serving = |stable: Value| {
        manifest(
            "MLDeployment",
            json!({ "name": "a" }),
            json!({ "modelName": "a", "stable": stable }),
        )
    };
    let version = json!({ "version": "v20261101-120000" });
    for (document, place) in [
        (serving(version.clone()), None),
        (serving(json!({ "version": "v1" })), Some("/spec/stable/version")),
        (
            serving(json!({ "version": "v20261101-120000", "digest": null })),
            Some("/spec/stable/digest"),
        ),
        (
            serving(json!({ "versoin": "v20261101-120000" })),
            Some("/spec/stable"),
        ),
        (
            manifest("MLDeploymnet", json!({ "name": "a" }), json!({})),
            Some("/kind"),
        ),
        (
            manifest(
                "MLDeployment",
                json!({ "name": "A" }),
                json!({ "modelName": "a", "stable": version }),
            ),
            Some("/metadata/name"),
        ),
        (
            manifest(
                "MLDeployment",
                json!({ "name": "a", "namespace": "b" }),
                json!({ "modelName": "a", "stable": version }),
            ),
            Some("/metadata"),
        ),
        (
            manifest(
                "MLEnvironment",
                json!({ "name": "a" }),
                json!({ "target": "Standalone", "registry": { "path": "a\nb" } }),
            ),
            Some("/spec/registry/path"),
        ),
        (
            manifest("MLEnvironment", json!({ "name": "a" }), json!({ "stable": {} })),
            Some("/spec"),
        ),
    ] {
        let told = underlined(&document);
        let at = told
            .as_deref()
            .map(|told| told.split(": ").next().unwrap_or_default());
        assert_eq!(at, place, "{told:?} {document}");
    }
}
