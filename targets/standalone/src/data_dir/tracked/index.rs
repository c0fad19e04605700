//! The paths in a Git index, versions 2 to 4 (`Documentation/gitformat-index`).

use std::fmt::Write as _;

/// Which hash objects are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// How an entry's path fits the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// As it is spelt.
    Exact,
    /// But for upper and lower case.
    Cased,
}

/// What an entry's mode says that it is: only folders that Git does not look into are entries themselves.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;

/// Calls `found` for each entry at `prefix`, below it, or in the place of a folder above it. Returns the name of the
/// index that a split one is split from.
pub(super) fn scan(
    bytes: &[u8],
    hash: Hash,
    prefix: &[u8],
    found: &mut dyn FnMut(&[u8], Match),
) -> Result<Option<String>, String> {
    let mut left = Bytes(bytes);
    if left.take(4)? != b"DIRC" {
        return Err("it is no index".to_owned());
    }
    let version = left.number()?;
    if !(2..=4).contains(&version) {
        return Err(format!("it has version {version}, and this aurora reads 2 to 4"));
    }
    let count = left.number()?;
    let mut name = Vec::new();
    for _ in 0..count {
        let before = left.0.len();
        left.take(24)?;
        let mode = left.number()?;
        left.take(12 + hash.bytes())?;
        let flags = left.take(2)?;
        if flags[0] & 0x40 != 0 {
            left.take(2)?;
        }
        if version == 4 {
            let stripped = left.varint()?;
            let kept = name.len().checked_sub(stripped).ok_or_else(cut)?;
            name.truncate(kept);
            name.extend_from_slice(left.text()?);
        } else {
            name.clear();
            name.extend_from_slice(left.text()?);
            // An entry ends at a multiple of eight bytes; one of the zeros is taken already.
            let taken = before - left.0.len();
            left.take(taken.next_multiple_of(8) - taken)?;
        }
        if let Some(matched) = matched(&name, mode, prefix) {
            found(&name, matched);
        }
    }
    while left.0.len() > hash.bytes() {
        let signature = left.take(4)?;
        let length = usize::try_from(left.number()?).map_err(|_too_long| cut())?;
        let extension = left.take(length)?;
        if signature == b"link" {
            let base = extension.get(..hash.bytes()).ok_or_else(cut)?;
            let mut hex = String::new();
            for byte in base {
                // Writing to a text does not fail.
                let _written = write!(hex, "{byte:02x}");
            }
            return Ok(base.iter().any(|byte| *byte != 0).then_some(hex));
        }
    }
    Ok(None)
}

fn matched(name: &[u8], mode: u32, prefix: &[u8]) -> Option<Match> {
    if prefix.is_empty() {
        return Some(Match::Exact);
    }
    let is_above = name.len() < prefix.len();
    let (shorter, longer) = if is_above { (name, prefix) } else { (prefix, name) };
    let is_part = longer.len() == shorter.len() || longer.get(shorter.len()) == Some(&b'/');
    if !is_part || !longer.get(..shorter.len())?.eq_ignore_ascii_case(shorter) {
        return None;
    }
    // A submodule above the folder, or a part of the tree that is not checked out, holds an index or nothing.
    if is_above && ![LINK, FILE].contains(&(mode & KIND)) {
        return None;
    }
    let is_exact = longer.starts_with(shorter);
    Some(if is_exact { Match::Exact } else { Match::Cased })
}

fn cut() -> String {
    "it is cut off, or damaged".to_owned()
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, left) = self.0.split_at_checked(count).ok_or_else(cut)?;
        self.0 = left;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    /// Takes what stands before the next zero, and that.
    fn text(&mut self) -> Result<&'a [u8], String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// Takes a number as `OFS_DELTA` entries of a pack have it.
    fn varint(&mut self) -> Result<usize, String> {
        let mut number: usize = 0;
        for position in 0..5 {
            let byte = self.take(1)?[0];
            number = (number << 7) | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            number += 1;
            debug_assert!(position < 5);
        }
        Err(cut())
    }
}
