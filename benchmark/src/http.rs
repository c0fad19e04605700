//! The few bytes of HTTP/1.1 that a load generator needs: one request as bytes, one answer read out of a buffer.
//!
//! Answers must carry a `Content-Length`; everything else is malformed. No pipelining, no chunks, no TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str;
use std::time::Duration;

/// Nothing that we ask for answers with more than this.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Says what is wrong with an answer, for a person.
#[derive(Debug)]
pub struct Malformed(pub &'static str);

/// One complete answer at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `aurora-track`, empty where it is absent.
    pub track: &'a str,
    /// `aurora-model-version`, empty where it is absent.
    pub version: &'a str,
    /// `aurora-revision`, empty where it is absent.
    pub revision: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Whether the server closes the connection after it.
    pub closes: bool,
    /// How many bytes of the buffer it takes.
    pub bytes: usize,
}

/// Returns the bytes of a `POST` of a JSON body.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Returns the bytes of a `GET`.
pub fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

/// Reads the answer that `buffer` begins with; `None` while it is incomplete.
pub fn parse(buffer: &[u8]) -> Result<Option<Answer<'_>>, Malformed> {
    let Some(head_bytes) = find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > ANSWER_BYTES_MAX {
            Err(Malformed("head without an end"))
        } else {
            Ok(None)
        };
    };
    let head = str::from_utf8(&buffer[..head_bytes]).map_err(|_utf8| Malformed("head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or(Malformed("no HTTP/1.1 status line"))?;
    let (mut track, mut version, mut revision) = ("", "", "");
    let mut closes = false;
    let mut body_bytes = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Malformed("header without a colon"))?;
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = Some(
                value
                    .parse::<usize>()
                    .map_err(|_number| Malformed("content-length"))?,
            );
        } else if name.eq_ignore_ascii_case("aurora-track") {
            track = value;
        } else if name.eq_ignore_ascii_case("aurora-model-version") {
            version = value;
        } else if name.eq_ignore_ascii_case("aurora-revision") {
            revision = value;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    let body_bytes = body_bytes.ok_or(Malformed("no content-length"))?;
    if body_bytes > ANSWER_BYTES_MAX {
        return Err(Malformed("body over 4 MiB"));
    }
    let start = head_bytes + 4;
    let bytes = start + body_bytes;
    Ok(buffer.get(start..bytes).map(|body| Answer {
        status,
        track,
        version,
        revision,
        body,
        closes,
        bytes,
    }))
}

/// Sends one request on a connection of its own and returns status and body.
///
/// `timeout` bounds each read and write.
pub fn ask(address: SocketAddr, request: &[u8], timeout: Duration) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(request)?;
    let mut buffer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(answer) = parse(&buffer).map_err(|error| io::Error::other(error.0))? {
            return Ok((answer.status, answer.body.to_vec()));
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => buffer.extend_from_slice(&chunk[..bytes]),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\naurora-track:  canary \r\n\
        Aurora-Model-Version: v20261101-120000\r\nconnection: keep-alive\r\n\r\n{}HTTP/1.1";

    #[test]
    fn an_answer_is_read_once_it_is_complete() {
        let complete = ANSWER.len() - 8;
        for bytes in 0..complete {
            assert_eq!(parse(&ANSWER[..bytes]).unwrap(), None, "{bytes} bytes");
        }
        let answer = parse(ANSWER).unwrap().unwrap();
        assert_eq!(
            (
                answer.status,
                answer.track,
                answer.version,
                answer.revision,
                answer.closes
            ),
            (200, "canary", "v20261101-120000", "", false)
        );
        assert_eq!((answer.body, answer.bytes), (&b"{}"[..], complete));
    }

    #[test]
    fn an_answer_without_a_length_is_malformed() {
        let error = parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        assert_eq!(error.0, "no content-length");
    }
}
