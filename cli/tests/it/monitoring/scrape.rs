//! A Prometheus that scrapes a running `up`, with a key: what rules, panels and the documentation name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use planner::word::Word;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{folder, has_prometheus, list, panels, read, rules, word};
use crate::harness::{
    FREE_PORTS, Ground, Up, aurora, eventually, free_port, get, post, private, run, up_command,
};

/// What `up` alone does not bring about, and where its scrape is looked at.
const ELSEWHERE: [(&str, &str); 4] = [
    ("aurora_router_", "cli/tests/it/routed.rs"),
    ("aurora_operator_steps_total", "cli/tests/it/operated.rs"),
    ("aurora_webhook_calls_total", "cli/tests/it/remote/webhook.rs"),
    (
        "aurora_certificate_expiry_timestamp_seconds",
        "server/src/http/tests/tls.rs",
    ),
];
const MANIFEST: &str = "environments/dev/environment.yaml";
/// Labels that a scraper gives, or the text format.
const GIVEN: [&str; 4] = ["job", "instance", "namespace", "le"];

/// A Prometheus on loopback; it goes with the test.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _ground: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Prometheus {
    /// Scrapes both listeners each second with a key, and evaluates the rules.
    fn start(up: &Up, key: &str) -> Self {
        let ground = TempDir::new().unwrap();
        private(&ground.path().join("key"), key);
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [folder().join("alerts.yaml")],
            "scrape_configs": [{
                "job_name": "aurora",
                "authorization": { "credentials_file": ground.path().join("key") },
                "static_configs": [{ "targets": [up.inference, up.control_plane] }],
            }],
        });
        let file = ground.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let address = (Ipv4Addr::LOCALHOST, free_port()).into();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                ground.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            process,
            address,
            _ground: ground,
        };
        eventually("Prometheus is ready", || {
            (get(address, "/-/ready").status == 200).then_some(())
        });
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        let answer = get(self.address, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// Returns the series of a selector, by their labels.
    fn series(&self, selector: &str) -> Vec<BTreeMap<String, String>> {
        let found = self.ask(&format!("/api/v1/series?match[]={}", encode(selector)));
        serde_json::from_value(found).unwrap()
    }

    /// Returns what an expression comes to now.
    fn query(&self, expression: &str) -> Value {
        let query = format!("/api/v1/query?query={}", encode(expression));
        self.ask(&query)["result"].clone()
    }
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02x}").unwrap();
        encoded
    })
}

/// Starts `up` with a key on both listeners and somebody who cannot be told, and lets happen what is counted.
fn counted(ground: &Ground, folder: &TempDir, key: &str, line: &str) -> Up {
    ground.repository.edit(
        MANIFEST,
        "spec:\n",
        "spec:\n  notify: [ { url: \"http://127.0.0.1:1/hook\", secretFile: pager } ]\n",
    );
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        private(&path, content);
        path
    };
    file("pager", "s3cret");
    let keys = file("keys", line);
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).args(["--header-timeout", "1"]);
    command.arg("--inference-keys-file").arg(&keys);
    command.arg("--api-keys-file").arg(&keys);
    command.arg("--notify-secrets").arg(folder.path());
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    assert_eq!(get(up.control_plane, "/models").status, 401);
    let headers = [("x-api-key", key)];
    for (inputs, status) in [("[[5.1,3.5,1.4,0.2]]", 200), ("[[1]]", 400)] {
        let body = format!("{{\"inputs\":{inputs}}}");
        assert_eq!(up.predict("iris", &headers, &body).status, status);
    }
    eventually("a canary answers", || {
        let answer = post(
            up.inference,
            "/predict/wine-quality",
            &[headers[0], ("aurora-track", "canary")],
            r#"{"inputs":[[1]]}"#,
        );
        (answer.status == 400).then_some(())
    });
    // Says nothing, and is closed.
    let mut silent = TcpStream::connect(up.inference).unwrap();
    let _end = silent.read(&mut [0]);
    up
}

/// Returns the selectors of an expression: each name with what stands in braces behind it.
fn selectors(expression: &str) -> Vec<String> {
    let mut selectors = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("aurora_") {
        rest = &rest[at..];
        let name = rest
            .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .unwrap_or(rest.len());
        let end = if rest[name..].starts_with('{') {
            name + rest[name..].find('}').expect("a brace that closes") + 1
        } else {
            name
        };
        selectors.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    selectors
}

/// Returns a selector without the word that it asks for: here all models serve.
fn of_any_state(selector: &str) -> String {
    let Some((family, state)) = selector.split_once("{state=\"") else {
        return selector.to_owned();
    };
    let state = state.trim_end_matches("\"}");
    assert!(Word::ALL.iter().any(|word| word.as_str() == state), "{selector}");
    family.to_owned()
}

/// Returns the labels that an expression groups by.
fn groups(expression: &str) -> BTreeSet<&str> {
    let lists = expression.split("by (").skip(1);
    lists
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|labels| labels.split(", "))
        .collect()
}

/// Returns what rules and panels ask, and who asks it.
fn expressions() -> Vec<(String, String)> {
    let rules = rules();
    let rules = rules
        .iter()
        .map(|rule| (word(rule, "alert").to_owned(), word(rule, "expr").to_owned()));
    let panels = panels();
    let panels = panels.iter().flat_map(|panel| {
        let targets = list(&panel["targets"]).iter();
        targets.map(|target| (word(panel, "title").to_owned(), word(target, "expr").to_owned()))
    });
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let variables = list(&dashboard["templating"]["list"]).iter();
    let variables = variables.filter_map(|variable| {
        let query = variable["definition"].as_str()?;
        let name = query.strip_prefix("label_values(")?.split(',').next()?;
        Some((query.to_owned(), name.to_owned()))
    });
    rules
        .chain(panels)
        .chain(variables)
        .map(|(whose, expression)| {
            let expression = expression
                .replace("$__rate_interval", "10s")
                .replace("$environment", ".*")
                .replace("$model", ".*");
            (whose, expression)
        })
        .collect()
}

#[test]
fn what_rules_panels_and_the_documentation_name_is_in_a_real_scrape() {
    if !has_prometheus() {
        return;
    }
    let made = run(aurora().args(["key", "new", "prometheus", "--output", "json"]));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let (key, line) = (word(&made, "key"), word(&made, "line"));
    let (ground, folder) = (Ground::dev(), TempDir::new().unwrap());
    let up = counted(&ground, &folder, key, line);
    let prometheus = Prometheus::start(&up, key);
    eventually("both listeners were scraped with the key", || {
        (prometheus.query("sum(up)")[0]["value"][1] == "2").then_some(())
    });
    eventually("it was told that nobody takes messages", || {
        let failed = prometheus.query("aurora_told_total{result=\"failed\"} > 0");
        (!list(&failed).is_empty()).then_some(())
    });

    let scraped = prometheus.series("{__name__=~\"aurora_.*\"}");
    in_step_with_the_documentation(&scraped);
    on_one_page_each(scraped);
    for (whose, expression) in &expressions() {
        let mut labels: BTreeSet<String> = GIVEN.map(str::to_owned).into();
        let mut is_whole = true;
        for selector in selectors(expression) {
            let series = prometheus.series(&of_any_state(&selector));
            let is_here = !series.is_empty();
            assert!(
                is_here || is_elsewhere(&selector),
                "{whose}: no series {selector}"
            );
            is_whole &= is_here;
            labels.extend(series.into_iter().flat_map(BTreeMap::into_keys));
        }
        for label in groups(expression) {
            assert!(!is_whole || labels.contains(label), "{whose}: no label {label}");
        }
        if expression.contains('(') || expression.contains('=') {
            prometheus.query(expression);
        }
    }
    eventually("each rule was evaluated, and none fires", || {
        let groups = prometheus.ask("/api/v1/rules");
        let rules = list(&groups["groups"])
            .iter()
            .flat_map(|group| list(&group["rules"]))
            .collect::<Vec<_>>();
        assert!(rules.iter().all(|rule| rule["state"] != "firing"), "{rules:?}");
        let are_well = rules.len() == super::rules().len() && rules.iter().all(|rule| rule["health"] == "ok");
        are_well.then_some(())
    });
    assert!(up.stop().success());
}

/// Each name that is scraped is documented, and each documented one is scraped here or elsewhere.
fn in_step_with_the_documentation(scraped: &[BTreeMap<String, String>]) {
    let document = read("docs/metrics.md");
    let documented: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("aurora_"))
        .collect();
    let names: BTreeSet<&str> = scraped
        .iter()
        .map(|series| {
            let name = series["__name__"].as_str();
            let is_of = |suffix: &str| name.strip_suffix(suffix).filter(|name| documented.contains(name));
            ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(is_of)
                .unwrap_or(name)
        })
        .collect();
    let undocumented: Vec<_> = names.difference(&documented).collect();
    assert!(
        undocumented.is_empty(),
        "not in docs/metrics.md: {undocumented:?}"
    );
    let missing: Vec<_> = documented
        .difference(&names)
        .filter(|name| !is_elsewhere(name))
        .collect();
    assert!(
        missing.is_empty(),
        "in docs/metrics.md, and in no scrape: {missing:?}"
    );
    for (name, file) in ELSEWHERE {
        assert!(read(file).contains(name), "{file}: {name}");
    }
}

fn is_elsewhere(name: &str) -> bool {
    ELSEWHERE.iter().any(|(known, _)| name.starts_with(known))
}

/// Whoever sums over both listeners adds up nothing twice.
fn on_one_page_each(scraped: Vec<BTreeMap<String, String>>) {
    // Each is of the listener itself, and both have it.
    let own = [
        "aurora_requests_total",
        "aurora_errors_total",
        "aurora_request_latency_seconds",
    ];
    let mut seen = BTreeSet::new();
    for mut series in scraped {
        series.remove("instance");
        if own.iter().any(|name| series["__name__"].starts_with(name)) {
            continue;
        }
        assert!(!seen.contains(&series), "on both pages: {series:?}");
        seen.insert(series);
    }
}
