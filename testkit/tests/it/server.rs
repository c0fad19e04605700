//! A program that serves, as a container of these tests runs it: this test binary itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Serves if it was started to do so: `/ready` and `/alive` are answered with 503 as long as files `not-ready` and
/// `not-alive` are in the folder that `SERVER_STATE` names, all else with `SERVER_WORD`.
#[test]
fn serves() {
    let Some(address) = std::env::var_os("SERVER_ADDRESS") else {
        return;
    };
    let word = std::env::var("SERVER_WORD").unwrap();
    let state = PathBuf::from(std::env::var_os("SERVER_STATE").unwrap());
    let listener = TcpListener::bind(address.to_str().unwrap()).unwrap();
    for stream in listener.incoming().flatten() {
        let (word, state) = (word.clone(), state.clone());
        // Who goes away in the middle is no fault.
        thread::spawn(move || drop(answer_all(&stream, &word, &state)));
    }
}

fn answer_all(stream: &TcpStream, word: &str, state: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let path = first.split(' ').nth(1).unwrap_or_default();
        let is_well = match path {
            "/ready" => !state.join("not-ready").exists(),
            "/alive" => !state.join("not-alive").exists(),
            _ => true,
        };
        let status = if is_well {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        let length = word.len();
        let mut writer = stream;
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{word}"
        )?;
    }
    Ok(())
}
