//! A browser without a window, driven over its debugging pipe: enough to open pages, ask them, and hear what they complain of.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{PATIENCE, eventually, skipped};

/// Not empty where these tests must run: a machine without a browser is a failure then.
const REQUIRED: &str = "REQUIRE_BROWSER";
/// The names that Chromium goes by.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Its pipe is descriptors 3 and 4: a shell makes them of what a child is given anyway.
const ON_A_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;
const FLAGS: [&str; 7] = [
    "--headless",
    "--remote-debugging-pipe",
    // It is root's in a container, and sees pages of ours alone.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
];

/// A running browser; dropping it ends it.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    /// What came before the answer that was waited for.
    heard: Vec<Value>,
    _profile: TempDir,
}

/// What a page is shown on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// `light` or `dark`.
    pub(crate) theme: &'static str,
}

/// A phone and a desk, by day and by night.
pub(crate) const SCREENS: [Screen; 4] = [
    Screen {
        width: 1280,
        height: 900,
        theme: "light",
    },
    Screen {
        width: 1280,
        height: 900,
        theme: "dark",
    },
    Screen {
        width: 390,
        height: 844,
        theme: "light",
    },
    Screen {
        width: 390,
        height: 844,
        theme: "dark",
    },
];

/// An open page.
pub(crate) struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Browser {
    /// Starts one; nothing, and a line that says why, where there is none.
    pub(crate) fn start() -> Option<Self> {
        let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        let Some(program) = PROGRAMS.into_iter().find(is_there) else {
            lacks("chromium");
            return None;
        };
        let profile = TempDir::new().expect("a temporary folder");
        let mut child = Command::new("sh")
            .args(["-c", ON_A_PIPE, program])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("a browser writes JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            input: child.stdin.take().expect("standard input is piped"),
            child,
            messages,
            last_id: 0,
            heard: Vec::new(),
            _profile: profile,
        })
    }

    /// Opens an address.
    pub(crate) fn open(&mut self, address: &str, screen: Screen) -> Page<'_> {
        self.heard.clear();
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", &attach)["sessionId"].clone();
        let session = session.as_str().expect("a session").to_owned();
        let mut page = Page {
            browser: self,
            session,
        };
        for domain in ["Runtime", "Log", "Page"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.call("Performance.enable", &json!({ "timeDomain": "threadTicks" }));
        page.show_on(screen);
        page.call("Page.navigate", &json!({ "url": address }));
        page
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.attempt(session, method, params)
            .unwrap_or_else(|refusal| panic!("{method}: {refusal}"))
    }

    /// As [`Self::call`]; the browser's words where it refuses, e.g. while a page is being loaded.
    fn attempt(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut line = message.to_string().into_bytes();
        line.push(0);
        self.input.write_all(&line).expect("the browser reads");
        loop {
            let message = self
                .messages
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == json!(id) {
                return match &message["error"] {
                    Value::Null => Ok(message["result"].clone()),
                    refusal => Err(refusal.clone()),
                };
            }
            self.heard.push(message);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Page<'_> {
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Shows it on another screen.
    pub(crate) fn show_on(&mut self, screen: Screen) {
        let Screen { width, height, theme } = screen;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// Returns the value of an expression, of what it promises where it is a promise.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &params);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression:.200}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, what: &str, expression: &str) {
        let params = json!({ "expression": expression, "returnByValue": true });
        eventually(what, || {
            let answer = self
                .browser
                .attempt(Some(&self.session), "Runtime.evaluate", &params)
                .ok()?;
            (answer["result"]["value"] == json!(true)).then_some(())
        });
    }

    /// Returns how long a processor has been busy with it, however long others kept it waiting.
    pub(crate) fn busy(&mut self) -> Duration {
        let metrics = self.call("Performance.getMetrics", &json!({}));
        let metrics = metrics["metrics"].as_array().expect("metrics");
        let tasks = metrics.iter().find(|metric| metric["name"] == "TaskDuration");
        let seconds = tasks.and_then(|metric| metric["value"].as_f64());
        Duration::from_secs_f64(seconds.expect("a time"))
    }

    /// Loads it again.
    pub(crate) fn reload(&mut self) {
        self.ask("window.isOld = true");
        self.call("Page.reload", &json!({}));
        self.until("it is loaded again", "window.isOld !== true");
    }

    /// Presses a key, e.g. `Enter`.
    pub(crate) fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            key if key.len() == 1 => key,
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "text": if kind == "keyDown" { text } else { "" },
                "windowsVirtualKeyCode": match key { "Enter" => 13, "Tab" => 9, "ArrowDown" => 40, _ => 0 } });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Writes where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Returns what the page complained of since it was opened.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // What was said before this answer has been heard.
        self.ask("0");
        let is_complaint = |message: &&Value| match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => message["params"]["type"] == "error",
            Some("Log.entryAdded") => message["params"]["entry"]["level"] == "error",
            _ => false,
        };
        let heard = self.browser.heard.iter();
        heard
            .filter(is_complaint)
            .map(|message| message["params"].to_string())
            .collect()
    }

    /// Keeps a picture of all of it for people, below the folder for what tests make.
    pub(crate) fn picture(&mut self, name: &str) {
        let size = &self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let all = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": all });
        let answer = self.call("Page.captureScreenshot", &params);
        let bytes = BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), bytes.expect("base64")).expect("a file");
    }
}

/// Returns the source of axe-core, which finds what keeps people out of a page; nothing where it is not installed.
pub(crate) fn axe() -> Option<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let file = cache.join("aurora/axe/axe_playwright_python/axe.min.js");
    let source = fs::read_to_string(file).ok();
    if source.is_none() {
        lacks("axe-core");
    }
    source
}

fn lacks(what: &str) {
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    assert!(!is_required, "there is no {what}: .ci/run installs it");
    skipped(&format!(
        "the dashboard in a browser; it needs {what}, which .ci/run installs"
    ));
}
