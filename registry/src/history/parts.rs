//! The files of one history: the one that counts, and the closed ones that are only shown.

use std::collections::VecDeque;

use super::{HISTORY, HistoryEntry, Junk, Line, Resume, walk};
use crate::error::StoreError;
use crate::files::{Dir, Opened};

/// The most entries that are returned at once.
const ENTRIES_MAX: usize = 20_000;

/// Returns the name of a closed part.
pub(super) fn name(number: u64) -> String {
    format!("history-{number}.jsonl")
}

/// Returns the numbers of the closed parts in a model's folder, the newest first.
pub(super) fn closed(dir: &Dir) -> Result<Vec<u64>, StoreError> {
    let number = |name: &String| {
        let digits = name.strip_prefix("history-")?.strip_suffix(".jsonl")?;
        let number = u64::from(digits.parse::<u32>().ok()?);
        // `history-007.jsonl` is not ours.
        (self::name(number) == *name).then_some(number)
    };
    let mut numbers: Vec<u64> = dir.regular_files()?.iter().filter_map(number).collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    Ok(numbers)
}

/// Returns the names of a history's files, the newest first.
fn files(dir: &Dir) -> Result<Vec<String>, StoreError> {
    let current = dir.stamp(HISTORY)?;
    let mut names = vec![HISTORY.to_owned()];
    for name in closed(dir)?.into_iter().map(name) {
        // A part that was about to be closed when a crash came has both names.
        let is_current = match (&current, dir.stamp(&name)?) {
            (Some(current), Some(stamp)) => stamp.is_same_file(current),
            _ => false,
        };
        if !is_current {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns the newest entries, oldest first.
pub(super) fn newest(dir: &Dir, count: usize) -> Result<Vec<HistoryEntry>, StoreError> {
    let count = count.min(ENTRIES_MAX);
    let mut found = VecDeque::new();
    let mut files = files(dir)?.into_iter().peekable();
    while let Some(name) = files.next()
        && found.len() < count
    {
        let Some(opened) = dir.file(&name)? else {
            continue;
        };
        let is_oldest = files.peek().is_none();
        let mut entries = VecDeque::new();
        read(&opened, &mut |line| {
            // What was carried along stands in an older part, where there still is one.
            if is_oldest || !line.carried {
                if entries.len() == count {
                    entries.pop_front();
                }
                entries.push_back(line.entry);
            }
        })?;
        while let Some(entry) = entries.pop_back()
            && found.len() < count
        {
            found.push_front(entry);
        }
    }
    Ok(found.into())
}

/// Says what is no entry, by file.
pub(super) fn junk(dir: &Dir) -> Result<Vec<(String, Junk)>, StoreError> {
    let mut found = Vec::new();
    for name in files(dir)? {
        if let Some(opened) = dir.file(&name)? {
            let junk = read(&opened, &mut |_line| {})?;
            if junk.bytes > 0 {
                found.push((name, junk));
            }
        }
    }
    Ok(found)
}

fn read(opened: &Opened, sink: &mut dyn FnMut(Line)) -> Result<Junk, StoreError> {
    let end = opened.stamp.bytes();
    let walked = walk(&opened.file, Resume::start_of(end), end, sink)
        .map_err(|e| StoreError::io("read", &opened.path, e))?;
    Ok(walked.junk)
}
