//! A stand-in for GitHub's REST API on loopback: the few calls that Aurora makes of one repository, kept in memory.
//!
//! It answers as the documentation says, limits of length and page included, over plain HTTP.

mod answer;
mod calls;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use answer::Answer;
use calls::Repository;

/// The token that is let in.
const TOKEN: &str = "gh-t0ken-of-a-test";
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// A forge that lives as long as the process.
#[derive(Debug, Clone)]
pub struct GitHub {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    repository: Repository,
    refusals: Vec<Refusal>,
    calls: Vec<(Instant, String)>,
}

/// What the next calls are answered instead.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status code; 0 closes the connection.
    pub code: u16,
    /// Headers, `name: value` each.
    pub headers: Vec<String>,
}

/// One call.
struct Call {
    method: String,
    /// Without its query.
    path: String,
    query: String,
    is_known: bool,
    /// Null where it is no JSON.
    body: Value,
    bytes: Vec<u8>,
}

impl GitHub {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let github = Self {
            port: listener.local_addr()?.port(),
            shared: Arc::default(),
        };
        let serving = github.clone();
        thread::Builder::new().name("github".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that left is no fault.
                drop(serving.serve(&stream));
            }
        })?;
        Ok(github)
    }

    /// Returns the address of the API.
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}/api/v3", self.port)
    }

    /// Returns the token that is let in.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Refuses the next calls, one each.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.shared().refusals.extend(refusals);
    }

    /// Returns what was asked and when, `METHOD path` each.
    pub fn calls(&self) -> Vec<(Instant, String)> {
        self.shared().calls.clone()
    }

    /// Returns the writes that were made, in order.
    pub fn writes(&self) -> Vec<String> {
        let calls = self.calls().into_iter().map(|(_at, call)| call);
        calls.filter(|call| !call.starts_with("GET ")).collect()
    }

    /// Returns the statuses of a commit, `context state description` each, oldest first.
    pub fn statuses(&self, revision: &str) -> Vec<String> {
        self.shared().repository.statuses(revision)
    }

    /// Returns the deployment records, `environment commit state` each, oldest first.
    pub fn deployments(&self) -> Vec<String> {
        self.shared().repository.deployments()
    }

    /// Opens a pull request, or moves it on to another commit.
    pub fn open(&self, pull: u64, head: &str) {
        self.shared().repository.open(&pull.to_string(), head);
    }

    /// Returns the pull requests that were opened by a call, `branch into branch: title` each, oldest first.
    pub fn proposed(&self) -> Vec<String> {
        self.shared().repository.proposed()
    }

    /// Lets somebody comment on a pull request.
    pub fn comment(&self, pull: u64, author: &str, text: &str) {
        self.shared().repository.comment(&pull.to_string(), author, text);
    }

    /// Returns the comments of a pull request, `author: text` each, oldest first.
    pub fn comments(&self, pull: u64) -> Vec<String> {
        self.shared().repository.comments(&pull.to_string())
    }

    /// Returns the releases, oldest first: `tag draft` or `tag published`, and the files of each by name.
    pub fn releases(&self) -> Vec<(String, BTreeMap<String, Vec<u8>>)> {
        self.shared().repository.releases()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let call = read(stream)?;
        let answer = {
            let mut shared = self.shared();
            shared
                .calls
                .push((Instant::now(), format!("{} {}", call.method, call.path)));
            if shared.refusals.is_empty() {
                shared.repository.answer(&call, &self.api())
            } else {
                let Refusal { code, headers } = shared.refusals.remove(0);
                Answer {
                    code,
                    headers,
                    ..Answer::problem(code, "refused by the test")
                }
            }
        };
        answer.write(stream)
    }
}

fn read(stream: &TcpStream) -> io::Result<Call> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target
        .split_once('?')
        .map_or((target.as_str(), ""), |parts| parts);
    let mut call = Call {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        is_known: false,
        body: Value::Null,
        bytes: Vec::new(),
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => call.is_known = value == format!("Bearer {TOKEN}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    call.body = serde_json::from_slice(&body).unwrap_or_default();
    call.bytes = body;
    Ok(call)
}

impl Answer {
    fn write(&self, mut stream: &TcpStream) -> io::Result<()> {
        if self.code == 0 {
            return Ok(());
        }
        let body = if self.code == 204 {
            String::new()
        } else {
            self.body.to_string()
        };
        let mut text = format!("HTTP/1.1 {} Any\r\ncontent-length: {}\r\n", self.code, body.len());
        for header in &self.headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        stream.write_all(format!("{text}connection: close\r\n\r\n{body}").as_bytes())
    }
}
