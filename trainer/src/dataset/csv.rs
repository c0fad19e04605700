//! CSV files: a header, then rows of as many cells, UTF-8, at most 512 MiB.

mod parse;

use std::fs::File;
use std::path::Path;

use planner::names::Digest;

use self::parse::{Fault, Parser, Record};
use super::builder::Cell;
use super::{Place, ReadError, Sink, check_names};

/// The largest file.
pub(crate) const BYTES_MAX: u64 = 512 << 20;

/// Reads a file that is open; `path` names it in errors.
pub(super) fn read<S: Sink>(
    file: File,
    path: &Path,
    sha256: Option<&Digest>,
    uri: &str,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<S::Made, ReadError> {
    let io = |error| ReadError::Io {
        uri: uri.to_owned(),
        path: path.to_owned(),
        error,
    };
    let mut parser = Parser::new(file, BYTES_MAX);
    let fault = |fault, names: &[String]| told(fault, uri, names, &io);
    let rows = read_rows(&mut parser, uri, &open, &fault);
    // The file's digest comes first: rows of another file are no one's fault.
    let got = Digest::from_bytes(parser.finish().map_err(|error| fault(error, &[]))?);
    match sha256 {
        Some(expected) if *expected != got => Err(ReadError::OtherDigest { uri: uri.to_owned() }),
        _ => rows.map(|rows| rows.finish(Some(got))),
    }
}

/// Where a row stands in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// Its line, from 1.
    pub(crate) line: u64,
    /// How much of the file was read by then, in bytes.
    pub(crate) bytes: u64,
}

/// Tells each row of a file in turn, with its place, to what is made of the columns that the first line names; `uri` names the
/// file in errors.
pub(crate) fn each_row<T>(
    path: &Path,
    uri: &str,
    begin: impl FnOnce(&[String]) -> Result<T, ReadError>,
    mut row: impl FnMut(&mut T, At, &[&str]) -> Result<(), ReadError>,
) -> Result<T, ReadError> {
    let io = |error| ReadError::Io {
        uri: uri.to_owned(),
        path: path.to_owned(),
        error,
    };
    let mut parser = Parser::new(File::open(path).map_err(io)?, BYTES_MAX);
    let fault = |fault, names: &[String]| told(fault, uri, names, &io);
    let mut record = Record::default();
    let names = read_header(&mut parser, &mut record, uri, &fault)?;
    let mut made = begin(&names)?;
    while parser.read(&mut record).map_err(|error| fault(error, &names))? {
        check_width(&record, names.len(), uri)?;
        let at = At {
            line: record.line,
            bytes: parser.bytes(),
        };
        row(&mut made, at, &record.cells().collect::<Vec<_>>())?;
    }
    Ok(made)
}

/// Returns the columns that a file's first line names; nothing where a run would refuse it.
pub(crate) fn header(line: &[u8]) -> Option<Vec<String>> {
    let mut parser = Parser::new(line, BYTES_MAX);
    let mut record = Record::default();
    parser.start().ok()?;
    if !parser.read(&mut record).ok()? {
        return None;
    }
    let names: Vec<String> = record.cells().map(str::to_owned).collect();
    let is_header =
        check_delimiter("", record.line, &names).is_ok() && check_names("", record.line, &names).is_ok();
    is_header.then_some(names)
}

/// Says what is wrong with a file, with the name of the column where it is one's.
fn told(fault: Fault, uri: &str, names: &[String], io: &impl Fn(std::io::Error) -> ReadError) -> ReadError {
    match fault {
        Fault::Io(error) => io(error),
        Fault::At { line, cell, problem } => {
            let name = |number: usize| names.get(number - 1).cloned().unwrap_or_default();
            let place = Place {
                uri: uri.to_owned(),
                line,
                column: cell.map(|number| (number, name(number))),
            };
            ReadError::At { place, problem }
        }
    }
}

fn read_header(
    parser: &mut Parser<File>,
    record: &mut Record,
    uri: &str,
    fault: &impl Fn(Fault, &[String]) -> ReadError,
) -> Result<Vec<String>, ReadError> {
    parser.start().map_err(|error| fault(error, &[]))?;
    if !parser.read(record).map_err(|error| fault(error, &[]))? {
        let problem = "it is empty; the first line must name the columns".to_owned();
        return Err(ReadError::Dataset {
            uri: uri.to_owned(),
            problem,
        });
    }
    let names: Vec<String> = record.cells().map(str::to_owned).collect();
    check_delimiter(uri, record.line, &names)?;
    check_names(uri, record.line, &names)?;
    Ok(names)
}

fn check_width(record: &Record, width: usize, uri: &str) -> Result<(), ReadError> {
    if record.len() == width {
        return Ok(());
    }
    Err(ReadError::At {
        place: Place {
            uri: uri.to_owned(),
            line: record.line,
            column: None,
        },
        problem: other_width(record, width),
    })
}

fn read_rows<S: Sink>(
    parser: &mut Parser<File>,
    uri: &str,
    open: &impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
    fault: &impl Fn(Fault, &[String]) -> ReadError,
) -> Result<S, ReadError> {
    let mut record = Record::default();
    let names = read_header(parser, &mut record, uri, fault)?;
    let mut sink = open(names.clone(), None)?;
    while parser.read(&mut record).map_err(|error| fault(error, &names))? {
        check_width(&record, names.len(), uri)?;
        let cells: Vec<Cell<'_>> = record.cells().map(Cell::parse).collect();
        sink.push(record.line, &cells)?;
    }
    Ok(sink)
}

/// Refuses a header that is one cell because something else than commas separates its names.
fn check_delimiter(uri: &str, line: u64, names: &[String]) -> Result<(), ReadError> {
    let [only] = names else { return Ok(()) };
    let others = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    let Some((_, word)) = others.iter().find(|(delimiter, _)| only.contains(*delimiter)) else {
        return Ok(());
    };
    Err(ReadError::At {
        place: Place {
            uri: uri.to_owned(),
            line,
            column: None,
        },
        problem: format!("the header has {word} and no comma: separate the cells by commas"),
    })
}

fn other_width(record: &Record, width: usize) -> String {
    let cells = |n: usize| {
        if n == 1 {
            "1 cell".to_owned()
        } else {
            format!("{n} cells")
        }
    };
    let hint = if record.len() == width + 1 && record.cells().last() == Some("") {
        ": remove the comma at its end"
    } else if record.len() > width {
        ": quote cells that hold commas"
    } else {
        ""
    };
    format!(
        "the row has {}, and the header {width}{hint}",
        cells(record.len())
    )
}
