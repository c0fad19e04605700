//! CSV files (RFC 4180): a header, then rows of as many fields, UTF-8, at most 512 MiB.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use planner::names::Digest;
use sha2::{Digest as _, Sha256};

use super::builder::{Builder, Cell};
use super::{Place, ReadError, Table, check_names};

/// The largest file.
pub(crate) const BYTES_MAX: u64 = 512 << 20;
/// The longest line: a file without line ends is not read into memory whole.
const LINE_MAX: u64 = 1 << 20;

/// Reads a file that is open; `path` names it in errors.
pub(super) fn read(
    file: File,
    path: &Path,
    sha256: Option<&Digest>,
    uri: &str,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<Builder, ReadError>,
) -> Result<Table, ReadError> {
    let io = |error| ReadError::Io {
        uri: uri.to_owned(),
        path: path.to_owned(),
        error,
    };
    let mut guard = Guard::new(file);
    let rows = read_rows(&mut guard, uri, &open);
    // The file's digest comes first: rows of another file are no one's fault.
    let drained = guard.drain();
    if let Some(problem) = guard.refused {
        let place = Place {
            uri: uri.to_owned(),
            line: guard.line,
            column: None,
        };
        return Err(ReadError::At { place, problem });
    }
    drained.map_err(io)?;
    let quote = guard.open_quote;
    let got = Digest::from_bytes(guard.sha256.finalize().into());
    match sha256 {
        Some(expected) if *expected != got => Err(ReadError::OtherDigest { uri: uri.to_owned() }),
        _ => {
            let rows = rows?;
            match quote {
                Some(line) => Err(ReadError::At {
                    place: Place {
                        uri: uri.to_owned(),
                        line,
                        column: None,
                    },
                    problem: "a quote is opened and never closed".to_owned(),
                }),
                None => Ok(rows.finish(Some(got))),
            }
        }
    }
}

fn read_rows(
    guard: &mut Guard<File>,
    uri: &str,
    open: &impl Fn(Vec<String>, Option<&str>) -> Result<Builder, ReadError>,
) -> Result<Builder, ReadError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(guard);
    let header = reader.headers().map_err(|error| at_record(uri, &error))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    if names.is_empty() {
        let problem = "it is empty; the first line must name the columns".to_owned();
        return Err(ReadError::Dataset {
            uri: uri.to_owned(),
            problem,
        });
    }
    check_names(uri, &names)?;
    let width = names.len();
    let mut builder = open(names, None)?;
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(builder),
            Err(error) => return Err(at_record(uri, &error)),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let cells: Vec<Cell<'_>> = record.iter().map(Cell::parse).collect();
        debug_assert_eq!(cells.len(), width);
        builder.push(line, &cells)?;
    }
}

/// Says where a record cannot be read.
fn at_record(uri: &str, error: &csv::Error) -> ReadError {
    let place = |line: u64, column: Option<(usize, String)>| Place {
        uri: uri.to_owned(),
        line,
        column,
    };
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => ReadError::At {
            place: place(pos.as_ref().map_or(0, csv::Position::line), None),
            problem: format!("the row has {len} fields, and the header {expected_len}"),
        },
        csv::ErrorKind::Utf8 { pos, err } => ReadError::At {
            place: place(pos.as_ref().map_or(1, csv::Position::line), None),
            problem: format!("field {} is not UTF-8", err.field() + 1),
        },
        _ => ReadError::Dataset {
            uri: uri.to_owned(),
            problem: format!("it cannot be read: {error}"),
        },
    }
}

/// Hashes what passes, and stops at a file or line that is too large.
struct Guard<R> {
    inner: R,
    sha256: Sha256,
    bytes: u64,
    line: u64,
    line_bytes: u64,
    /// The line of a quote that waits for its pair; quotes within quotes come in pairs too.
    open_quote: Option<u64>,
    refused: Option<String>,
}

impl<R: Read> Guard<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
            bytes: 0,
            line: 1,
            line_bytes: 0,
            open_quote: None,
            refused: None,
        }
    }

    /// Reads what is left, for the digest.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        while self.refused.is_none() && self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn check(&mut self, content: &[u8]) -> Result<(), String> {
        self.bytes += content.len() as u64;
        if self.bytes > BYTES_MAX {
            return Err(format!("the file has more than {} MiB", BYTES_MAX >> 20));
        }
        for part in content.split_inclusive(|byte| *byte == b'\n') {
            self.line_bytes += part.len() as u64;
            if self.line_bytes > LINE_MAX {
                return Err(format!("the line has more than {LINE_MAX} bytes"));
            }
            if part.iter().fold(false, |odd, byte| odd ^ (*byte == b'"')) {
                self.open_quote = match self.open_quote {
                    Some(_) => None,
                    None => Some(self.line),
                };
            }
            if part.ends_with(b"\n") {
                self.line += 1;
                self.line_bytes = 0;
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.refused.is_some() {
            return Ok(0);
        }
        let n = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..n]);
        if let Err(problem) = self.check(&buffer[..n]) {
            self.refused = Some(problem);
            return Ok(0);
        }
        Ok(n)
    }
}
