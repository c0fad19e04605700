//! The dashboard of a running `aurora up`, in a real browser.

mod browser;
mod many;
mod trial;

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use browser::{Browser, Page, SCREENS, axe};
use many::{MODELS, Many};

use crate::harness::{FREE_PORTS, Ground, Up, aurora, post, private, run, text, up_command};

/// How soon a page shows what a commit changed, at best: others may keep the machine busy. What it does until it shows what is
/// there takes no longer either.
const SOON: Duration = Duration::from_secs(1);
const IRIS: &str = "environments/dev/iris.yaml";
const ROW: &str = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;

fn address(up: &Up) -> String {
    format!("http://{}/", up.control_plane)
}

/// Says what a model's row has to say, as an expression of the page.
fn row_says(model: &str, what: &str) -> String {
    format!(
        "document.querySelector('[data-row=\"{model}\"]')?.closest('[role=row]').textContent.includes({}) ?? false",
        json!(what)
    )
}

fn unfold(page: &mut Page<'_>) {
    page.ask("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
}

#[test]
fn a_commit_shows_within_a_second_and_the_page_is_not_loaded_again() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    let mut page = browser.open(&address(&up), SCREENS[0]);
    page.until("iris serves", &row_says("iris", "Serving"));
    page.ask("window.loadedOnce = true");
    let mut took = Vec::new();
    for _ in 0..3 {
        for (from, to, word) in [
            (
                "spec:\n  modelName: iris\n  stable",
                "spec:\n  suspend: <img id=markup src=x onerror=alert(1)>\n  modelName: iris\n  stable",
                "Held",
            ),
            (
                "  suspend: <img id=markup src=x onerror=alert(1)>\n",
                "",
                "Serving",
            ),
        ] {
            ground.repository.edit(IRIS, from, to);
            let committed = Instant::now();
            page.until(word, &row_says("iris", word));
            took.push(committed.elapsed());
        }
    }
    assert_eq!(page.ask("window.loadedOnce"), json!(true));
    // What a commit says is text.
    assert_eq!(page.ask("document.getElementById('markup')"), Value::Null);
    assert!(took.iter().any(|took| *took < SOON), "{took:?}");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn nothing_keeps_people_out_on_any_screen_in_any_theme() {
    let (Some(mut browser), Some(axe)) = (Browser::start(), axe()) else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    // A finding and a model that is held, so that there is something to read.
    let broken = "kind: MLDeployment\nspec: [\n";
    ground.repository.write("environments/dev/broken.yaml", broken);
    ground.repository.commit("break a file");
    let mut page = browser.open(&address(&up), SCREENS[0]);
    page.until(
        "the finding is shown",
        "document.querySelector('.finding')?.textContent.includes('broken.yaml') ?? false",
    );
    page.ask(&format!("{axe}; 0"));
    for (name, place, sign) in [
        ("overview", "#/", "h1"),
        ("model", "#/models/iris", ".losses"),
        ("canary", "#/models/wine-quality", ".compare"),
    ] {
        page.ask(&format!("location.hash = {}", json!(place)));
        page.until(
            "the view is there",
            &format!("document.querySelector('#main {sign}') !== null"),
        );
        if name != "overview" {
            trial::ask(&mut page);
        }
        for screen in SCREENS {
            page.show_on(screen);
            unfold(&mut page);
            let found = page.ask(
                "axe.run().then(({ violations }) => violations
                    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`))",
            );
            assert_eq!(found, json!([]), "{name} {screen:?}");
            let beyond =
                page.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(beyond, json!(0), "{name} {screen:?}: it has to be moved sideways");
            page.picture(&format!("{name}-{}-{}.png", screen.width, screen.theme));
        }
    }
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn what_each_track_answers_is_on_its_card() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    let mut page = browser.open(&format!("{}#/models/iris", address(&up)), SCREENS[0]);
    let card_says = |what: &str| {
        format!(
            "document.querySelector('.of-stable .traffic')?.textContent.includes({}) ?? false",
            json!(what)
        )
    };
    page.until("nobody has asked", &card_says("0 requests in "));
    for _ in 0..20 {
        assert_eq!(post(up.inference, "/predict/iris", &[], ROW).status, 200);
    }
    page.until("they are counted", &card_says("20 requests in "));
    page.until("how long they took is told", &card_says(" ms"));
    assert_eq!(page.ask(&card_says("0 of 20")), json!(true));
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn the_keyboard_alone_finds_a_model_and_the_way_back() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    let mut page = browser.open(&address(&up), SCREENS[0]);
    page.until("iris serves", &row_says("iris", "Serving"));
    page.ask("document.getElementById('filter').focus()");
    page.write("iris");
    page.until(
        "one row is left",
        "document.querySelectorAll('[data-row]').length === 1",
    );
    assert_eq!(page.ask("location.hash"), json!("#/?q=iris"));
    page.press("ArrowDown");
    assert_eq!(page.ask("document.activeElement.dataset.row"), json!("iris"));
    page.press("Enter");
    page.until(
        "the model's page is there",
        "document.querySelector('h1')?.textContent === 'iris' && document.activeElement?.tagName === 'H1'",
    );
    page.ask("history.back()");
    page.until(
        "the focus is where it was",
        "document.activeElement?.dataset?.row === 'iris'",
    );
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn a_key_is_asked_for_once_and_stands_in_no_address() {
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
    command.args(FREE_PORTS).arg("--api-keys-file").arg(&file);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    let mut page = browser.open(&address(&up), SCREENS[0]);
    for (typed, then) in [
        ("wrong", "document.querySelector('.door .warning') !== null"),
        (
            key.as_str(),
            "document.querySelector('[data-row=\"iris\"]') !== null",
        ),
    ] {
        page.until("the door is there", "document.activeElement?.id === 'key'");
        page.write(typed);
        page.press("Enter");
        page.until("it was tried", then);
    }
    page.ask("document.querySelector('[data-row=\"iris\"]').click()");
    page.until(
        "the model's page is there",
        "document.querySelector('.facts, .compare') !== null",
    );
    let asked =
        page.ask("performance.getEntriesByType('resource').map(({ name }) => name).concat(location.href)");
    assert!(!asked.to_string().contains(&key), "{asked}");
    page.reload();
    page.until(
        "the key was kept",
        "document.querySelector('.facts, .compare') !== null",
    );
}

#[test]
fn what_was_known_stays_in_sight_and_is_said_to_be_old() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let ground = Ground::dev();
    let up = ground.up();
    let mut page = browser.open(&address(&up), SCREENS[0]);
    page.until("iris serves", &row_says("iris", "Serving"));
    up.signal(Signal::KILL);
    page.until(
        "it says so",
        "document.querySelector('.banner')?.textContent.includes('Not connected') ?? false",
    );
    assert_eq!(page.ask(&row_says("iris", "Serving")), Value::Bool(true));
    assert_eq!(
        page.ask("document.documentElement.classList.contains('stale')"),
        Value::Bool(true)
    );
}

#[test]
fn of_a_thousand_models_those_in_sight_take_less_than_a_second() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let many = Many::start();
    let address = format!("http://{}/", many.address);
    let mut page = browser.open(&address, SCREENS[0]);
    page.until(
        "the first models are there",
        "document.querySelector('[data-row]') !== null",
    );
    let busy = page.busy();
    assert!(busy < SOON, "{busy:?}");
    let chip = page.ask("document.querySelector('.chip b').textContent");
    assert_eq!(
        chip.as_str().map(|shown| shown.replace(',', "")),
        Some(MODELS.to_string())
    );
    let built = page.ask("document.querySelectorAll('[data-row]').length");
    assert!(built.as_u64().is_some_and(|built| built < 40), "{built}");
    page.ask("scrollTo(0, document.body.scrollHeight)");
    page.until(
        "the last model is there",
        "document.querySelector('[data-row=\"model-0999\"]') !== null",
    );
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn parts_of_the_page_do_as_they_say() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let many = Many::start();
    let mut page = browser.open(&format!("http://{}/", many.address), SCREENS[0]);
    page.until(
        "the page is there",
        "document.querySelector('[data-row]') !== null",
    );
    let module = |name: &str| {
        format!("import(document.querySelector('link[rel=modulepreload][href*=\"/{name}-\"]').href)")
    };
    let frames = "retry: 2000\nevent: snapshot\nid: a-1\ndata: {\"model\":\"wein\u{df}\u{2028}\"}\n\n\
                  : a comment\nevent: beat\r\ndata: {}\r\ndata: 1\n\ndata: cut";
    let expected = json!([
        { "event": "snapshot", "id": "a-1", "data": "{\"model\":\"wein\u{df}\u{2028}\"}" },
        { "event": "beat", "data": "{}\n1" },
    ]);
    for bytes in [1, 2, 7, 1000] {
        let read = page.ask(&format!(
            "(async () => {{
                const {{ framesOf }} = await {};
                const bytes = new TextEncoder().encode({});
                const frames = [];
                for await (const frame of framesOf(new Blob([bytes]).stream().pipeThrough(new TransformStream({{
                    transform(chunk, to) {{ for (let at = 0; at < chunk.length; at += {bytes}) to.enqueue(chunk.slice(at, at + {bytes})); }},
                }})))) frames.push(frame);
                return frames;
            }})()",
            module("link"),
            json!(frames),
        ));
        assert_eq!(read, expected, "{bytes} bytes at a time");
    }
    // Rows of 10 pixels, of 30: the window, the focus, and which are built (6 beyond what is in sight).
    for (top, bottom, focused, built) in [
        (0, 20, -1, (0..=8).collect::<Vec<_>>()),
        (100, 120, 2, [2].into_iter().chain(4..=18).collect()),
        (0, 20, 29, (0..=8).chain([29]).collect()),
        (-2000, -1100, -1, vec![]),
        (-2000, -1100, 3, vec![3]),
        (2000, 2900, -1, vec![]),
        (2000, 2900, 29, vec![29]),
        (0, 20, 30, (0..=8).collect()),
    ] {
        let frame = json!({ "height": 10, "top": top, "bottom": bottom, "focused": focused });
        let indices = page.ask(&format!(
            "(async () => (await {}).visible(30, {frame}))()",
            module("overview")
        ));
        assert_eq!(indices, json!(built), "{frame}");
    }
    let pasted = page.ask(&format!(
        "(async () => (await {}).curl('wine', {{ example: {{ row: {{ \"it's; $(id)\": 1 }} }} }}, new URL('http://aurora.example:8000')))()",
        module("trial"),
    ));
    let shown = run(Command::new("sh").args([
        "-c",
        &pasted.as_str().expect("text").replacen("curl", "printf '%s|'", 1),
    ]));
    let words = text(&shown);
    assert!(
        words.starts_with("-s|http://aurora.example:8080/predict/wine|-H|"),
        "{words}"
    );
    assert!(
        words.ends_with("|-d|{\"rows\":[{\"it's; $(id)\":1}]}|"),
        "{words}"
    );
}
