//! Bytes into records, strictly: what may be read in two ways is refused with its line.
//!
//! RFC 4180, with line ends LF, CRLF or CR, blanks around cells that do not count, and a byte order mark. A cell that
//! starts with a quote ends with one, and quotes within are doubled; another cell holds none.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// The longest row: a file without line ends, or with a quote left open, is not read into memory whole.
const ROW_MAX: usize = 1 << 20;

/// One row.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The line that it starts in, from 1.
    pub(super) line: u64,
    text: String,
    /// Where each cell ends in the text.
    ends: Vec<usize>,
}

impl Record {
    /// Returns how many cells it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Iterates over the cells, without the blanks around them.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.text[start..*end].trim())
    }
}

/// What is wrong with a file, and where.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something in a line, or in a cell of it (counted from 1).
    At {
        line: u64,
        cell: Option<usize>,
        problem: String,
    },
    /// The operating system refused.
    Io(io::Error),
}

/// Where in a cell the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only blanks so far.
    Start,
    /// In a cell without quotes.
    Plain,
    /// In a quoted cell; the line in which it was opened.
    Quoted(u64),
    /// Behind a quote in a quoted cell: the end, or the first of a pair.
    Quote(u64),
    /// Behind a quoted cell: only blanks may follow.
    After,
}

/// Reads records, hashing all bytes that pass.
#[derive(Debug)]
pub(super) struct Parser<R> {
    inner: R,
    sha256: Sha256,
    bytes: u64,
    bytes_max: u64,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    line: u64,
    after_cr: bool,
    /// The bytes of the record.
    text: Vec<u8>,
}

impl<R: Read> Parser<R> {
    /// Reads at most `bytes_max` bytes.
    pub(super) fn new(inner: R, bytes_max: u64) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
            bytes: 0,
            bytes_max,
            buffer: vec![0; 1 << 16].into_boxed_slice(),
            from: 0,
            to: 0,
            line: 1,
            after_cr: false,
            text: Vec::new(),
        }
    }

    /// Returns how many bytes were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Skips a byte order mark, and refuses files of other kinds by their first bytes.
    pub(super) fn start(&mut self) -> Result<(), Fault> {
        self.fill()?;
        let first = &self.buffer[..self.to];
        let kinds: [(&[u8], &str); 6] = [
            (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
            (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
            (b"\x1f\x8b", "compressed by gzip: unpack it"),
            (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
            (b"PK\x03\x04", "a spreadsheet or ZIP archive: export it as CSV"),
            (b"PAR1", "Parquet: export it as CSV"),
        ];
        if let Some((_, kind)) = kinds.iter().find(|(start, _)| first.starts_with(start)) {
            return Err(self.fault(None, format!("the file is {kind}")));
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            self.from = 3;
        }
        Ok(())
    }

    /// Reads the next record that is not blank; false at the end.
    pub(super) fn read(&mut self, record: &mut Record) -> Result<bool, Fault> {
        loop {
            self.text.clear();
            record.ends.clear();
            record.line = self.line;
            let is_there = self.read_line(record)?;
            if !is_there {
                return Ok(false);
            }
            let is_blank = record.len() == 1 && self.text.trim_ascii().is_empty();
            if !is_blank {
                break;
            }
        }
        record.text.clear();
        let mut start = 0;
        // Cell by cell: halves of a character in two cells are no character.
        for (at, end) in record.ends.iter().enumerate() {
            let Ok(cell) = str::from_utf8(&self.text[start..*end]) else {
                return Err(Fault::At {
                    line: record.line,
                    cell: Some(at + 1),
                    problem: "the cell is not UTF-8: save the file as UTF-8".to_owned(),
                });
            };
            record.text.push_str(cell);
            start = *end;
        }
        Ok(true)
    }

    fn read_line(&mut self, record: &mut Record) -> Result<bool, Fault> {
        let mut state = State::Start;
        let mut start = 0;
        let mut bytes = 0;
        loop {
            let cell = Some(record.len() + 1);
            let Some(byte) = self.byte()? else {
                return match state {
                    State::Quoted(line) => Err(Fault::At {
                        line,
                        cell,
                        problem: "a quote is opened and never closed".to_owned(),
                    }),
                    State::Start if record.ends.is_empty() && self.text.is_empty() => Ok(false),
                    _ => {
                        record.ends.push(self.text.len());
                        Ok(true)
                    }
                };
            };
            bytes += 1;
            if bytes > ROW_MAX {
                let (line, problem) = match state {
                    State::Quoted(line) => (line, "a quote is opened, and not closed"),
                    _ => (record.line, "the row does not end"),
                };
                let problem = format!("{problem} within {ROW_MAX} bytes");
                return Err(Fault::At { line, cell, problem });
            }
            if byte == 0 {
                let problem = "the file holds a NUL byte: is it text in UTF-8?".to_owned();
                return Err(self.fault(cell, problem));
            }
            state = match (state, byte) {
                (State::Quoted(line), b'"') => State::Quote(line),
                (State::Quoted(_), byte) => {
                    self.text.push(byte);
                    state
                }
                (State::Quote(line), b'"') => {
                    self.text.push(b'"');
                    State::Quoted(line)
                }
                (_, b',') => {
                    record.ends.push(self.text.len());
                    start = self.text.len();
                    State::Start
                }
                (_, b'\n') => {
                    record.ends.push(self.text.len());
                    return Ok(true);
                }
                (State::Quote(_) | State::After, b' ' | b'\t') => State::After,
                (State::Quote(_) | State::After, _) => {
                    let problem = "something follows the quote that closes the cell: a quote within a quoted cell is \
                                   doubled (\"\")";
                    return Err(self.fault(cell, problem.to_owned()));
                }
                (State::Start, b'"') => {
                    self.text.truncate(start);
                    State::Quoted(self.line)
                }
                (State::Plain, b'"') => {
                    let problem = "a quote stands inside a cell that does not start with one: quote the whole cell, \
                                   and double the quotes in it (\"\")";
                    return Err(self.fault(cell, problem.to_owned()));
                }
                (State::Start, b' ' | b'\t') => {
                    self.text.push(byte);
                    State::Start
                }
                (State::Start | State::Plain, byte) => {
                    self.text.push(byte);
                    State::Plain
                }
            };
        }
    }

    /// Returns the next byte, each line end as `\n`.
    fn byte(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            if self.from == self.to && self.fill()? == 0 {
                return Ok(None);
            }
            let byte = self.buffer[self.from];
            self.from += 1;
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    return Ok(Some(b'\n'));
                }
                byte => return Ok(Some(byte)),
            }
        }
    }

    /// Fills the empty buffer; 0 at the end of the file.
    fn fill(&mut self) -> Result<usize, Fault> {
        (self.from, self.to) = (0, 0);
        // The first bytes are looked at together.
        while self.to < self.buffer.len() {
            match self.inner.read(&mut self.buffer[self.to..]) {
                Ok(0) => break,
                Ok(n) => self.to += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        self.sha256.update(&self.buffer[..self.to]);
        self.bytes += self.to as u64;
        if self.bytes > self.bytes_max {
            let problem = format!(
                "the file has more than the {} MiB that a data file may have: give fewer rows, only the columns that \
                 are needed, or numbers of fewer digits",
                self.bytes_max >> 20
            );
            return Err(self.fault(None, problem));
        }
        Ok(self.to)
    }

    /// Reads what is left and returns the SHA-256 of the whole file.
    pub(super) fn finish(mut self) -> Result<[u8; 32], Fault> {
        while self.fill()? > 0 {}
        Ok(self.sha256.finalize().into())
    }

    fn fault(&self, cell: Option<usize>, problem: String) -> Fault {
        Fault::At {
            line: self.line,
            cell,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Renders records as `line: cell|cell`, and the fault that ends them.
    fn records<R: Read>(content: R) -> String {
        let mut parser = Parser::new(content, 1 << 30);
        let mut record = Record::default();
        let mut text = String::new();
        let mut next = |parser: &mut Parser<R>| -> Result<bool, Fault> {
            let is_there = parser.read(&mut record)?;
            if is_there {
                let cells: Vec<String> = record.cells().map(|cell| format!("{cell:?}")).collect();
                let line = record.line;
                let cells = cells.join("|").replace('"', "");
                text = format!("{text}{line}: {cells}\n");
            }
            Ok(is_there)
        };
        let mut result = parser.start().map(|()| true);
        while let Ok(true) = result {
            result = next(&mut parser);
        }
        if let Err(Fault::At { line, cell, problem }) = result {
            text = format!("{text}line {line}, cell {cell:?}: {problem}\n");
        }
        text
    }

    #[track_caller]
    fn check(content: &[u8], expected: &Expect) {
        expected.assert_eq(&records(content));
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let expected = expect![[r#"
            1: x|y
            2: 1|a\nb
            5: 2|c
            6: 3|d
        "#]];
        for end in ["\n", "\r\n", "\r"] {
            let text = "x,y\n1,\"a\nb\"\n\n2,c\n3,d".replace('\n', end);
            check(text.as_bytes(), &expected);
            check(format!("\u{feff}{text}{end}").as_bytes(), &expected);
        }
    }

    /// A file of which each read gives one byte, after one that a signal interrupts.
    struct Interrupted<'a> {
        content: &'a [u8],
        is_interrupted: bool,
    }

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = self.content.len().min(1).min(buffer.len());
            self.content.read(&mut buffer[..length])
        }
    }

    #[test]
    fn a_read_that_a_signal_interrupts_goes_on() {
        let content = b"x,y\n1,\"a\nb\"\n2,c\n".as_slice();
        let interrupted = Interrupted {
            content,
            is_interrupted: false,
        };
        assert_eq!(records(interrupted), records(content));
    }

    #[test]
    fn blanks_around_cells_do_not_count() {
        check(
            b" x ,\t\"y\"  , z\n  \n1,\"2\" ,\n,,\n",
            &expect![[r#"
                1: x|y|z
                3: 1|2|
                4: ||
            "#]],
        );
    }

    #[test]
    fn stray_quotes_are_named() {
        for end in ["\n", "\r\n", "\r"] {
            let check = |text: &str, expected: &Expect| check(text.replace('\n', end).as_bytes(), expected);
            check(
                "x,y\n1,5'11\"\n",
                &expect![[r#"
                    1: x|y
                    line 2, cell Some(2): a quote stands inside a cell that does not start with one: quote the whole cell, and double the quotes in it ("")
                "#]],
            );
            check(
                "x,y\n\n1,\"a\"b\n",
                &expect![[r#"
                    1: x|y
                    line 3, cell Some(2): something follows the quote that closes the cell: a quote within a quoted cell is doubled ("")
                "#]],
            );
            check(
                "x,y\n1,\"a\n2,b\n",
                &expect![[r#"
                    1: x|y
                    line 2, cell Some(2): a quote is opened and never closed
                "#]],
            );
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        check(
            b"x\0,y\n",
            &expect![[r#"
                line 1, cell Some(1): the file holds a NUL byte: is it text in UTF-8?
            "#]],
        );
        check(
            b"x,y\n1,\xe9t\xe9\n",
            &expect![[r#"
                1: x|y
                line 2, cell Some(2): the cell is not UTF-8: save the file as UTF-8
            "#]],
        );
        // Two halves of an é.
        check(
            b"x,y\n\xc3,\xa9\n",
            &expect![[r#"
                1: x|y
                line 2, cell Some(1): the cell is not UTF-8: save the file as UTF-8
            "#]],
        );
        check(
            b"\xff\xfex\0",
            &expect![[r#"
                line 1, cell None: the file is UTF-16 text: save it as UTF-8
            "#]],
        );
        check(
            b"PK\x03\x04....",
            &expect![[r#"
                line 1, cell None: the file is a spreadsheet or ZIP archive: export it as CSV
            "#]],
        );
    }

    #[test]
    fn what_never_ends_is_not_read_whole() {
        let row = [b"x,y\n1,".to_vec(), vec![b'2'; 2 << 20]].concat();
        let quote = [b"x,y\n\"1\n".to_vec(), b"2\n".repeat(1 << 20)].concat();
        check(
            &row,
            &expect![[r#"
                1: x|y
                line 2, cell Some(2): the row does not end within 1048576 bytes
            "#]],
        );
        check(
            &quote,
            &expect![[r#"
                1: x|y
                line 2, cell Some(1): a quote is opened, and not closed within 1048576 bytes
            "#]],
        );
        check(
            &[b"x,y\n".to_vec(), vec![b','; 2 << 20]].concat(),
            &expect![[r#"
                1: x|y
                line 2, cell Some(1048577): the row does not end within 1048576 bytes
            "#]],
        );
        let mut parser = Parser::new(&b"x,y\n1,2\n"[..], 7);
        let error = parser.start().unwrap_err();
        assert!(
            matches!(error, Fault::At { problem, .. } if problem.starts_with("the file has more than the 0 MiB"))
        );
    }

    #[test]
    fn the_hash_is_of_all_bytes() {
        let content = b"\xef\xbb\xbfx,y\r\n1,\"\r\n";
        let mut parser = Parser::new(&content[..], 1 << 20);
        let mut record = Record::default();
        parser.start().unwrap();
        while let Ok(true) = parser.read(&mut record) {}
        let expected: [u8; 32] = Sha256::digest(content).into();
        assert_eq!(parser.finish().unwrap(), expected);
    }
}
