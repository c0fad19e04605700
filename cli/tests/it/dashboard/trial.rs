//! The form of a model's page that asks each track what it predicts for a row.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::{Browser, Page, SCREENS};
use crate::harness::{FREE_PORTS, Ground, Up, aurora, post, private, run, up_command};

const FORM: &str = "document.querySelector('.trial')";

/// Asks with the row that stands in the form, and waits for what is predicted.
pub(super) fn ask(page: &mut Page<'_>) {
    page.until("the form is there", &format!("{FORM} !== null"));
    page.ask(&format!("{FORM}.requestSubmit()"));
    page.until(
        "predictions are there",
        "document.querySelector('.trial ~ .scroll') !== null",
    );
}

/// Returns what the table of predictions says, row by row.
fn table(page: &mut Page<'_>) -> Vec<Vec<String>> {
    let rows = page.ask(
        "[...document.querySelectorAll('.trial ~ .scroll tr')]
            .map((row) => [...row.children].map((cell) => cell.innerText.trim()))",
    );
    serde_json::from_value(rows).expect("rows of texts")
}

#[test]
fn both_tracks_answer_side_by_side_and_errors_are_shown_as_they_are() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    // As people write it: another origin than the address that inference is at.
    let address = format!(
        "http://localhost:{}/#/models/wine-quality",
        up.control_plane.port()
    );
    let mut page = browser.open(&address, SCREENS[0]);
    ask(&mut page);
    let rows = table(&mut page);
    assert_eq!(rows[0], ["", "stable", "canary"]);
    let [name, stable, canary] = [0, 1, 2].map(|at| rows[1][at].as_str());
    assert_eq!(name, "version");
    assert!(
        stable.starts_with('v') && canary.starts_with('v') && stable != canary,
        "{rows:?}"
    );
    let [name, stable, canary] = [0, 1, 2].map(|at| rows[2][at].as_str());
    assert!(name.ends_with("prediction"), "{rows:?}");
    let predicted: f64 = stable.parse().expect("a number");
    // What is predicted, and by how much that differs from stable.
    let (_predicted, difference) = canary.split_once(['+', '\u{2212}']).expect("they differ");
    assert!(difference.parse::<f64>().is_ok_and(|by| by > 0.0), "{rows:?}");
    // Written by keyboard alone: two rows, of which the second is the first.
    page.ask("document.getElementById('trial-body').focus(); document.getElementById('trial-body').select()");
    let row = page.ask("JSON.stringify(JSON.parse(document.getElementById('trial-body').value).rows[0])");
    let row = row.as_str().expect("text");
    page.write(&format!("{{\"rows\":[{row},{row}]}}"));
    page.press("Tab");
    page.press("Enter");
    page.until(
        "both rows are predicted",
        "document.querySelectorAll('.trial ~ .scroll tr').length === 4",
    );
    let rows = table(&mut page);
    for (at, name) in [(2, "row 1"), (3, "row 2")] {
        assert!(rows[at][0].ends_with(name), "{rows:?}");
        assert_eq!(rows[at][1].parse(), Ok(predicted), "{rows:?}");
    }
    assert_eq!(page.complaints(), Vec::<String>::new());
    let body = r#"{"rows":[{"nonsense":1}]}"#;
    page.ask("document.getElementById('trial-body').focus(); document.getElementById('trial-body').select()");
    page.write(body);
    page.ask(&format!("{FORM}.requestSubmit()"));
    let refusal = post(up.inference, "/predict/wine-quality", &[], body).json();
    page.until(
        "the refusal is shown",
        &format!(
            "document.querySelector('.trial ~ .warning')?.textContent === {}",
            refusal["error"]
        ),
    );
    // The page was drawn anew: what somebody writes stays.
    assert_eq!(
        page.ask("document.getElementById('trial-body').value"),
        json!(body)
    );
}

#[test]
fn a_key_is_typed_in_kept_in_memory_and_sent_to_inference_alone() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("keys");
    let made = run(aurora().args(["key", "new", "reader", "--output", "json"]));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let key = made["key"].as_str().expect("a key").to_owned();
    private(&file, &format!("{}\n", made["line"].as_str().expect("a line")));
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).arg("--inference-keys-file").arg(&file);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    let address = format!("http://{}/#/models/iris", up.control_plane);
    let mut page = browser.open(&address, SCREENS[0]);
    page.until("the form is there", &format!("{FORM} !== null"));
    page.ask(&format!("{FORM}.requestSubmit()"));
    page.until(
        "a key is asked for",
        "document.getElementById('trial-key') !== null
            && document.querySelector('.trial ~ .warning').textContent.includes('a key is needed')",
    );
    page.ask("document.getElementById('trial-key').focus()");
    page.write(&key);
    page.press("Enter");
    page.until(
        "predictions are there",
        "document.querySelector('.trial ~ .scroll') !== null",
    );
    let rows = table(&mut page);
    assert_eq!(rows[2][0], "prediction");
    let likely = format!("probability of {}", rows[2][1]);
    let likely = rows
        .iter()
        .find(|row| row[0] == likely)
        .expect("that of what is predicted");
    assert!(
        likely[1].parse::<f64>().is_ok_and(|likely| likely > 1.0 / 3.0),
        "{rows:?}"
    );
    let kept = page.ask(
        "JSON.stringify([location.href, {...sessionStorage}, {...localStorage}, document.cookie,
            performance.getEntriesByType('resource').map(({ name }) => name), document.documentElement.outerHTML])",
    );
    assert!(!kept.to_string().contains(&key), "{kept}");
}

#[test]
fn without_knowing_where_inference_is_it_says_so_and_shows_the_request() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    assert!(ground.up().stop().success());
    let mut command = aurora();
    command
        .args(["control-plane", "--control-plane", "127.0.0.1:0", "--data-dir"])
        .arg(ground.data());
    let control_plane = Up::watch(command);
    let address = control_plane.control_plane;
    let mut page = browser.open(&format!("http://{address}/#/models/iris"), SCREENS[0]);
    page.until(
        "it says what is missing",
        &format!(
            "document.querySelector('[aria-label=\"Try a row\"]')?.textContent.includes({}) ?? false",
            json!(format!("--dashboard-origin http://{address}"))
        ),
    );
    assert_eq!(page.ask(&format!("{FORM} === null")), json!(true));
    assert_eq!(
        page.ask("document.querySelector('pre').checkVisibility()"),
        json!(true)
    );
    assert_eq!(page.complaints(), Vec::<String>::new());
}
