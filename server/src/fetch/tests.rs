//! What is fetched from a control plane that does not always answer as ours does.

mod trust;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use tempfile::TempDir;

use super::*;
use crate::testing::{V1, V2, draft, linear, model, version};

/// What a scripted control plane does with one request.
#[derive(Clone)]
pub(super) enum Does {
    /// Answers as ours does.
    Right,
    /// Ends the connection in the middle of the artifact; a record is answered.
    Breaks,
    /// Says nothing more in the middle of the artifact; a record is answered.
    Stalls,
    /// Answers nothing at all.
    Hangs,
    /// Ends the connection.
    Closes,
    /// Answers a status.
    Says(&'static str),
    /// Answers the whole artifact, whatever part is asked for.
    Whole,
    /// Answers another part of the artifact than is asked for.
    OtherPart,
    /// Sends an artifact that is one byte longer, or whatever else.
    Sends(Vec<u8>),
    /// Tags the artifact otherwise.
    Tags(&'static str),
    /// Has another artifact under this version.
    Exchanged,
    /// Speaks no HTTP.
    Gibberish,
}
use Does::{Breaks, Closes, Exchanged, Gibberish, Hangs, OtherPart, Right, Says, Sends, Stalls, Tags, Whole};

/// A control plane that does what it is told, one request after the other, and then what is right.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    /// The first line of each request, with what its range and key say.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(super) fn new(script: Vec<Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        thread::spawn(move || {
            let mut script = script.into_iter();
            for stream in listener.incoming() {
                let does = script.next().unwrap_or(Right);
                let noted = noted.clone();
                // One that hangs keeps no other waiting.
                thread::spawn(move || drop(answer(stream.expect("accepted"), &does, &noted)));
            }
        });
        Self { address, asked }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic under the lock").clone()
    }
}

fn answer(mut stream: TcpStream, does: &Does, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let head = head(&mut stream)?;
    let line = head.lines().next().unwrap_or_default();
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned))
    };
    let from = field("range:").and_then(|range| {
        let first = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>();
        first.ok()
    });
    let mut note = line.split(' ').nth(1).unwrap_or_default().to_owned();
    if let Some(first) = from {
        note = format!("{note} from {first}");
    }
    if let Some(key) = field("x-api-key:") {
        note = format!("{note} with {key}");
    }
    noted.lock().expect("no panic under the lock").push(note);
    let (metadata, bytes) = match does {
        Exchanged => draft("wine", V1, &linear(7.0)),
        _ => draft("wine", V1, &linear(0.0)),
    };
    let tag = format!("\"{}\"", metadata.artifact.digest);
    match does {
        Hangs => loop {
            thread::park();
        },
        Closes => return Ok(()),
        Gibberish => return stream.write_all(b"220 welcome\r\n\r\n"),
        Says(status) => return write(&mut stream, status, &[], br#"{"error":"because"}"#, None),
        _ => {}
    }
    if line.contains("/signatures") {
        let handed_out = match does {
            Sends(other) => other.clone(),
            _ => trust::unsigned(),
        };
        return write(&mut stream, "200 OK", &[], &handed_out, None);
    }
    if !line.contains("/artifact") {
        let record = serde_json::to_vec(&metadata).expect("a record");
        return write(&mut stream, "200 OK", &[], &record, None);
    }
    let (status, part, first) = match (does, from) {
        (Whole, _) | (_, None) => ("200 OK", &bytes[..], 0),
        (_, Some(first)) => ("206 Partial Content", &bytes[first..], first),
    };
    let said = if matches!(does, OtherPart) {
        first + 1
    } else {
        first
    };
    let range = format!("bytes {said}-{}/{}", bytes.len() - 1, bytes.len());
    let tag = if let Tags(tag) = does { *tag } else { &tag };
    let headers = [("etag", tag), ("content-range", &range)];
    match does {
        Sends(other) => write(&mut stream, status, &headers, other, None),
        Breaks => write(&mut stream, status, &headers, part, Some(part.len() / 2)),
        Stalls => {
            write(&mut stream, status, &headers, part, Some(part.len() / 2))?;
            loop {
                thread::park();
            }
        }
        _ => write(&mut stream, status, &headers, part, None),
    }
}

fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).to_lowercase())
}

/// Answers, with so many bytes of the body where not all.
fn write(
    stream: &mut TcpStream,
    status: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    part: Option<usize>,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&body[..part.unwrap_or(body.len())])
}

fn wanted() -> Wanted {
    Wanted {
        model: model("wine"),
        version: version(V1),
        digest: Digest::of(&artifact()),
        track: Track::Stable,
        revision: "0123456789012345678901234567890123456789"
            .parse()
            .expect("a revision"),
    }
}

pub(super) fn artifact() -> Vec<u8> {
    draft("wine", V1, &linear(0.0)).1
}

fn source(address: SocketAddr, cache: &Path) -> Source {
    Source {
        control_plane: format!("http://{address}").parse().expect("an address"),
        key_file: None,
        cache: cache.to_owned(),
        trust_file: None,
        engines: Engines::default(),
    }
}

/// As fast as a test wants it.
fn pace() -> Pace {
    Pace {
        limits: Limits {
            stall: Duration::from_millis(500),
            ..LIMITS
        },
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        ..Pace::default()
    }
}

fn fetch_from(source: &Source) -> Result<Artifact, FetchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(fetch_at(source, &wanted(), &pace()))
}

/// Fetches over a script, and compares how that ends and what was asked for. `{half}` is half of the artifact.
fn check(script: &[Does], expected: &str, asked: &[&str]) {
    let cache = TempDir::new().expect("a folder");
    let control_plane = Scripted::new(script.to_vec());
    let fetched = fetch_from(&source(control_plane.address, cache.path()));
    let ended = match &fetched {
        Ok(artifact) => {
            assert_eq!(artifact.digest, wanted().digest);
            "loads".to_owned()
        }
        Err(error) => error.to_string(),
    };
    let half = artifact().len() / 2;
    let pinned = wanted().digest.to_string();
    let origin = control_plane.address.to_string();
    assert_eq!(
        ended.replace(&pinned, "DIGEST").replace(&origin, "HERE"),
        expected
    );
    let asked: Vec<_> = asked
        .iter()
        .map(|path| format!("/models/wine/{V1}{}", path.replace("{half}", &half.to_string())))
        .collect();
    assert_eq!(control_plane.asked(), asked, "{expected}");
}

#[test]
fn what_an_outage_interrupts_goes_on_where_it_stopped() {
    check(&[], "loads", &["", "/artifact"]);
    check(
        &[Right, Breaks],
        "loads",
        &["", "/artifact", "/artifact from {half}"],
    );
    check(
        &[Right, Stalls],
        "loads",
        &["", "/artifact", "/artifact from {half}"],
    );
    check(
        &[Right, Breaks, Closes, Hangs],
        "loads",
        &[
            "",
            "/artifact",
            "/artifact from {half}",
            "/artifact from {half}",
            "/artifact from {half}",
        ],
    );
    check(
        &[
            Closes,
            Hangs,
            Gibberish,
            Says("503 Service Unavailable"),
            Says("500 Oh"),
        ],
        "loads",
        &["", "", "", "", "", "", "/artifact"],
    );
    // What does not know of parts gives all, and what gives another part is asked for all.
    check(
        &[Right, Breaks, Whole],
        "loads",
        &["", "/artifact", "/artifact from {half}"],
    );
    check(
        &[Right, Breaks, OtherPart],
        "loads",
        &["", "/artifact", "/artifact from {half}", "/artifact"],
    );
    check(
        &[Right, Breaks, Says("416 Range Not Satisfiable")],
        "loads",
        &["", "/artifact", "/artifact from {half}", "/artifact"],
    );
}

#[test]
fn a_refusal_is_tried_a_few_times_and_then_told() {
    let refused = Says("401 Unauthorized");
    check(
        &[refused.clone(), refused.clone()],
        "loads",
        &["", "", "", "/artifact"],
    );
    let five = |does: &Does| vec![does.clone(); 5];
    check(
        &five(&refused),
        "the control plane refuses the key (401 Unauthorized): because",
        &[""; 5],
    );
    check(
        &five(&Says("404 Not Found")),
        &format!("the control plane has no wine {V1}: because"),
        &[""; 5],
    );
    // Nothing is sent after a redirect, least of all the key.
    check(
        &five(&Says("307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/")),
        "what answers there is no control plane of Aurora: http://HERE redirects to http://127.0.0.1:9: give the address that answers itself",
        &[""; 5],
    );
}

#[test]
fn only_what_was_pinned_is_loaded() {
    let twice = |does: Does| -> Vec<Does> {
        std::iter::once(Right)
            .chain(std::iter::repeat_n(does, 5))
            .collect()
    };
    let artifacts = [
        "",
        "/artifact",
        "/artifact",
        "/artifact",
        "/artifact",
        "/artifact",
    ];
    let mut other = artifact();
    other[20] ^= 1;
    let got = Digest::of(&other);
    check(
        &twice(Sends(other)),
        &format!("what came has digest {got}, and DIGEST is what was pinned: it was changed on its way"),
        &artifacts,
    );
    let longer = [artifact(), vec![0]].concat();
    check(
        &twice(Sends(longer)),
        &format!(
            "the artifact has more than the {} bytes that it may have",
            artifact().len()
        ),
        &artifacts,
    );
    check(
        &twice(Tags("\"another\"")),
        "what answers there is no control plane of Aurora: it tags the artifact with \"another\", not \"DIGEST\"",
        &artifacts,
    );
    let exchanged = Digest::of(&draft("wine", V1, &linear(7.0)).1);
    check(
        &[Exchanged],
        &format!("wine {V1} has digest {exchanged} there, and DIGEST is what was pinned"),
        &[""],
    );
}

#[test]
fn the_cache_serves_without_a_control_plane_and_is_believed_nothing() {
    let folder = TempDir::new().expect("a folder");
    let cache = folder.path().join("cache");
    let fetched = |asked: usize, why: &str| {
        let control_plane = Scripted::new(vec![]);
        let loaded = fetch_from(&source(control_plane.address, &cache));
        assert!(loaded.is_ok(), "{why}: {loaded:?}");
        assert_eq!(control_plane.asked().len(), asked, "{why}");
    };
    fetched(2, "it is empty");
    fetched(0, "all is there");
    let name = format!("sha256-{}.onnx", wanted().digest.hex());
    let (artifact_file, record_file) = (cache.join(name), cache.join(format!("wine.{V1}.json")));
    let record = fs::read(&record_file).expect("a record");
    let mut changed = artifact();
    changed[20] ^= 1;
    let of_another = serde_json::to_vec(&draft("wine", V2, &linear(0.0)).0).expect("a record");
    let unfitting = String::from_utf8(record).expect("JSON").replace("\"a\"", "\"z\"");
    for (file, content, why) in [
        (&artifact_file, changed, "a bit of the artifact is another"),
        (&artifact_file, artifact()[..10].to_vec(), "the artifact is cut"),
        (&artifact_file, Vec::new(), "the artifact is empty"),
        (&record_file, b"{".to_vec(), "the record is cut"),
        (&record_file, of_another, "the record is another's"),
        (
            &record_file,
            unfitting.replace("2.0", "3.0").into_bytes(),
            "the record does not fit",
        ),
    ] {
        fs::write(file, content).expect("written");
        fetched(2, why);
        fetched(0, "it is whole again");
    }
    fs::remove_file(&artifact_file).expect("removed");
    std::os::unix::fs::symlink("/etc/hostname", &artifact_file).expect("a link");
    fetched(2, "a link is in its place");
    fetched(0, "the link is gone");
}

#[test]
fn a_cache_that_takes_nothing_stops_nothing() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let control_plane = Scripted::new(vec![]);
    let loaded = fetch_from(&source(control_plane.address, &file));
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn the_key_is_read_anew_for_each_attempt() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("key");
    let mut source = source(Scripted::new(vec![]).address, &folder.path().join("cache"));
    source.key_file = Some(file.clone());
    for (content, told) in [
        (None, "No such file"),
        (Some("\n"), "does not hold one key"),
        (Some("one\ntwo\n"), "does not hold one key"),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).expect("written");
        }
        let refused = fetch_from(&source).expect_err("no key").to_string();
        assert!(refused.contains(told), "{refused}");
    }
    fs::write(&file, " secret\n").expect("written");
    let control_plane = Scripted::new(vec![Breaks]);
    source.control_plane = format!("http://{}", control_plane.address)
        .parse()
        .expect("an address");
    assert!(fetch_from(&source).is_ok());
    let asked = control_plane.asked();
    assert!(
        asked.iter().all(|line| line.ends_with("with secret")),
        "{asked:?}"
    );
}
