//! One keep-alive connection that asks one thing at a time, and the size of an answer that is too large to keep.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::http;

/// How long a busy server may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// No page that we count is larger.
const PAGE_BYTES_MAX: u64 = 1 << 30;

/// A connection that is made when it is needed, and made anew when it broke.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) track: String,
    pub(crate) version: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and waits for its answer; after an error the next request has a new connection.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request)?;
        self.buffer.clear();
        let mut chunk = [0; 16 << 10];
        loop {
            match stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.buffer.extend_from_slice(&chunk[..bytes]),
            }
            if let Some(answer) = http::parse(&self.buffer).map_err(|error| io::Error::other(error.0))? {
                if !answer.closes {
                    self.stream = Some(stream);
                }
                return Ok(Reply {
                    status: answer.status,
                    track: answer.track.to_owned(),
                    version: answer.version.to_owned(),
                    body: answer.body.to_vec(),
                });
            }
        }
    }
}

/// Returns how many bytes the body of a page has, without keeping them.
pub(crate) fn page_bytes(address: SocketAddr, path: &str) -> io::Result<u64> {
    let mut stream = connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    body_bytes(stream.take(PAGE_BYTES_MAX))
}

/// Counts what follows the head of an answer that ends with its connection.
fn body_bytes(mut answer: impl Read) -> io::Result<u64> {
    let mut head = Vec::new();
    let mut chunk = [0; 16 << 10];
    let mut body = None;
    loop {
        let bytes = match answer.read(&mut chunk)? {
            0 => return body.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            bytes => &chunk[..bytes],
        };
        if let Some(count) = &mut body {
            *count += bytes.len() as u64;
            continue;
        }
        head.extend_from_slice(bytes);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            if !head.starts_with(b"HTTP/1.1 200 ") {
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
            }
            body = Some((head.len() - end - 4) as u64);
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_WAIT_MAX)?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    stream.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time, as a socket may.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.len().min(3);
            buffer[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    #[test]
    fn a_page_is_counted_without_its_head() {
        let check = |answer: &str, expect: Result<u64, &str>| {
            let counted = body_bytes(Dribble(answer.as_bytes())).map_err(|error| error.to_string());
            assert_eq!(counted, expect.map_err(str::to_owned), "{answer:?}");
        };
        check("HTTP/1.1 200 OK\r\na: b\r\n\r\n0123456789", Ok(10));
        check("HTTP/1.1 200 OK\r\n\r\n", Ok(0));
        check(
            "HTTP/1.1 503 Service Unavailable\r\n\r\nno",
            Err("HTTP/1.1 503 Service Unavailable"),
        );
        check("HTTP/1.1 200 OK\r\n", Err("unexpected end of file"));
    }
}
