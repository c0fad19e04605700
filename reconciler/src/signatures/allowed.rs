//! OpenSSH's allowed signers: which keys may sign, for whom, for what and when.
//!
//! Unlike there, a line that makes no sense is told, a time without `Z` is one of UTC, and the address of who committed has to
//! match the principals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDate;
use planner::Timestamp;
use planner::commits::{Fault, KeyProblem};
use planner::finding::Location;

use super::ssh::{self, fingerprint};

/// The most lines of a file.
const LINES_MAX: usize = 10_000;
/// How many lines are told that make no sense; the others are counted.
const TOLD_MAX: usize = 20;
/// What a signature of Git is made for.
pub(super) const NAMESPACE: &str = "git";

/// The keys of a file.
#[derive(Debug, Default)]
pub(crate) struct AllowedSigners {
    lines: Vec<AllowedSigner>,
}

/// One line.
#[derive(Debug)]
struct AllowedSigner {
    principals: String,
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    /// The key, in its wire form.
    key: Vec<u8>,
}

impl AllowedSigners {
    /// Reads a file of this name. What is told of lines lets the others count.
    pub(crate) fn parse(bytes: &[u8], file: &str) -> (Self, Vec<KeyProblem>) {
        let problem = |line: usize, message: String| KeyProblem {
            location: Location {
                file: file.to_owned(),
                line: u64::try_from(line).unwrap_or(u64::MAX),
                column: 1,
            },
            message,
            hint:
                "the other lines count; write `PRINCIPAL[,PRINCIPAL…] [OPTIONS] KEYTYPE KEY`, or take it out"
                    .to_owned(),
        };
        let text = String::from_utf8_lossy(bytes);
        let mut signers = Self::default();
        let mut problems = Vec::new();
        let mut untold = 0;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if signers.lines.len() >= LINES_MAX {
                problems.push(problem(
                    number,
                    format!("this and what follows is not read: more than {LINES_MAX} keys"),
                ));
                break;
            }
            match AllowedSigner::parse(line) {
                Ok(signer) => signers.lines.push(signer),
                Err(why) if problems.len() < TOLD_MAX => problems.push(problem(number, why)),
                Err(_one_more) => untold += 1,
            }
        }
        if untold > 0 {
            problems.push(problem(0, format!("and {untold} more lines make no sense")));
        }
        (signers, problems)
    }

    /// Says whether a key may have signed what this committer committed, as of when it was first seen.
    pub(crate) fn judge(&self, key: &[u8], committer: &str, seen: Timestamp) -> Result<(), Fault> {
        let mut fault = Fault::UnknownKey(fingerprint(key));
        for line in self.lines.iter().filter(|line| line.key == key) {
            match line.judge(committer, seen) {
                Ok(()) => return Ok(()),
                Err(of_line) => fault = of_line,
            }
        }
        Err(fault)
    }
}

impl AllowedSigner {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = Words { rest: line };
        let principals = words.next().ok_or("it is empty")?.replace('"', "");
        if principals.split(',').any(|pattern| matches!(pattern, "" | "!")) {
            return Err("a principal is empty".to_owned());
        }
        let mut kind = words.next().ok_or("it has no key")?;
        let mut signer = Self {
            principals,
            namespaces: None,
            valid_after: None,
            valid_before: None,
            key: Vec::new(),
        };
        if !ssh::is_kind(kind) {
            signer.take_options(kind)?;
            kind = words.next().ok_or("it has no key")?;
        }
        let text = words.next().ok_or("it has no key")?;
        let key = STANDARD
            .decode(text)
            .map_err(|error| format!("its key is no base64: {error}"))?;
        ssh::check_key(&key, kind)?;
        Ok(Self { key, ..signer })
    }

    fn take_options(&mut self, options: &str) -> Result<(), String> {
        for option in split(options, |c| c == ',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "namespaces" if !value.is_empty() => self.namespaces = Some(value.to_owned()),
                "valid-after" => self.valid_after = Some(time(value)?),
                "valid-before" => self.valid_before = Some(time(value)?),
                "cert-authority" => {
                    return Err("certificates are not supported (`cert-authority`): list each key".to_owned());
                }
                _ => return Err(format!("`{option}` is neither an option nor the type of a key")),
            }
        }
        match (self.valid_after, self.valid_before) {
            (Some(after), Some(before)) if after >= before => {
                Err("`valid-before` is not after `valid-after`".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, committer: &str, seen: Timestamp) -> Result<(), Fault> {
        let key = fingerprint(&self.key);
        let namespaces = self.namespaces.as_deref();
        if namespaces.is_some_and(|namespaces| !matches_list(namespaces, NAMESPACE)) {
            return Err(Fault::NotForGit(key));
        }
        if !matches_list(&self.principals, committer) {
            return Err(Fault::OtherPrincipal {
                key,
                principals: self.principals.clone(),
                committer: committer.to_owned(),
            });
        }
        match (self.valid_after, self.valid_before) {
            (Some(from), _) if seen < from => Err(Fault::NotYetValid { key, from, seen }),
            (_, Some(until)) if seen > until => Err(Fault::Expired {
                key,
                until: Some(until),
                seen,
            }),
            _ => Ok(()),
        }
    }
}

/// The words of a line; a quoted part holds blanks.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let word = split(rest, char::is_whitespace)
            .next()
            .filter(|word| !word.is_empty())?;
        self.rest = &rest[word.len()..];
        Some(word)
    }
}

/// Splits a text at what is not quoted.
fn split(text: &str, is_end: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        !is_quoted && is_end(c)
    })
}

/// Reads `YYYYMMDD[HHMM[SS]][Z]`.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    let wrong = || format!("`{text}` is no time: write YYYYMMDD or YYYYMMDDHHMM[SS], in UTC");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let year = digits[..4].parse().ok();
    let date = year
        .zip(number(4, 6))
        .zip(number(6, 8))
        .and_then(|((year, month), day)| NaiveDate::from_ymd_opt(year, month, day));
    let at = date.and_then(|date| {
        let (hour, minute) = (number(8, 10), number(10, 12));
        date.and_hms_opt(
            hour.unwrap_or(0),
            minute.unwrap_or(0),
            number(12, 14).unwrap_or(0),
        )
    });
    at.map(|at| at.and_utc()).ok_or_else(wrong)
}

/// Says whether a text matches one of the patterns between commas, and none that begins with `!`.
fn matches_list(patterns: &str, text: &str) -> bool {
    let mut matches = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(pattern, text) => return false,
            Some(_) => {}
            None => matches |= matches_pattern(pattern, text),
        }
    }
    matches
}

/// Says whether a text matches a pattern: `*` stands for anything, `?` for one character.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut of) = (0, 0);
    let mut star = None;
    while of < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                // The last star takes one more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    (at, of) = (star_at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}
