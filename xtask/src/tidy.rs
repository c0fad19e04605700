//! Guards what the compiler cannot see: sizes, leftovers, module files that nothing reaches, which crate knows which.

mod walls;

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, str};

use anyhow::{Context as _, bail};

use crate::workspace;

/// The longest Rust file, in lines.
const LINES_MAX: usize = 600;
/// The median length of Rust files stays below this, in lines.
const LINES_MEDIAN_MAX: usize = 200;
/// The largest file, in bytes.
const BYTES_MAX: usize = 1_000_000;
/// What must not stay in code; each in two halves, so that this file does not contain it.
const LEFTOVERS: [&str; 7] = [
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("#[ig", "nore"),
    concat!("not implemented", " yet"),
];
/// Paths that exist on one machine only.
const PLACES: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("/ro", "ot/"),
];

/// One file of the repository.
struct File {
    /// Path from the root.
    path: String,
    bytes: Vec<u8>,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }
}

/// Fails with all that is untidy below `root`.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let files = files(root)?;
    let mut untidy = Vec::new();
    for file in &files {
        if file.bytes.len() > BYTES_MAX {
            untidy.push(format!("{}: larger than {BYTES_MAX} bytes", file.path));
        }
        leftovers(file, &mut untidy);
    }
    lengths(&files, &mut untidy);
    unreached(&files, &mut untidy);
    walls::check(root, &mut untidy)?;
    if !untidy.is_empty() {
        bail!("untidy:\n  {}", untidy.join("\n  "));
    }
    Ok(())
}

fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in workspace::paths(root)? {
        // A file that was removed but not committed, or a link, holds nothing of its own.
        let full = root.join(&path);
        if full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            let bytes = fs::read(&full).with_context(|| format!("read {path}"))?;
            files.push(File { path, bytes });
        }
    }
    Ok(files)
}

fn leftovers(file: &File, untidy: &mut Vec<String>) {
    let Ok(text) = str::from_utf8(&file.bytes) else {
        return;
    };
    for (number, line) in (1..).zip(text.lines()) {
        let words = if file.is_rust() { LEFTOVERS.as_slice() } else { &[] };
        for word in words.iter().chain(&PLACES).filter(|word| line.contains(**word)) {
            untidy.push(format!("{}:{number}: {word}", file.path));
        }
    }
}

fn lengths(files: &[File], untidy: &mut Vec<String>) {
    let mut lengths = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.bytes.split(|byte| *byte == b'\n').count() - 1;
        lengths.push(lines);
        if lines > LINES_MAX {
            untidy.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}: do two subjects share it?",
                file.path
            ));
        }
    }
    lengths.sort_unstable();
    if let Some(median) = lengths
        .get(lengths.len() / 2)
        .filter(|median| **median >= LINES_MEDIAN_MAX)
    {
        untidy.push(format!(
            "the median Rust file has {median} lines, not under {LINES_MEDIAN_MAX}"
        ));
    }
}

/// Finds Rust files that no `mod` names: they look like code and are never compiled.
fn unreached(files: &[File], untidy: &mut Vec<String>) {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files.iter().filter(|file| file.is_rust()) {
        let path = Path::new(&file.path);
        let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str()))
        else {
            continue;
        };
        if matches!(stem, "main" | "lib" | "build")
            || folder.ends_with("benches")
            || folder.ends_with("examples")
        {
            continue;
        }
        // The parent of `a/b.rs` is `a.rs`, or a crate's root in `a/`.
        let parents = [
            folder.with_extension("rs"),
            folder.join("lib.rs"),
            folder.join("main.rs"),
        ];
        let named = parents
            .iter()
            .filter_map(|parent| parent.to_str())
            .filter(|parent| paths.contains(parent))
            .filter_map(|parent| files.iter().find(|file| file.path == parent))
            .any(|parent| declares(&parent.bytes, stem));
        if !named && !files.iter().any(|other| gives_path(other, &file.path)) {
            untidy.push(format!(
                "{}: no `mod {stem};` reaches it, so it is never compiled",
                file.path
            ));
        }
    }
}

fn declares(parent: &[u8], module: &str) -> bool {
    String::from_utf8_lossy(parent).lines().any(|line| {
        line.trim()
            .strip_suffix(';')
            .and_then(|line| line.rsplit_once("mod "))
            .is_some_and(|(before, name)| name == module && (before.is_empty() || before.starts_with("pub")))
    })
}

/// Says whether a file names another one by `path = "…"`: a target of a Cargo.toml, or a module's attribute.
fn gives_path(file: &File, path: &str) -> bool {
    let (Some(folder), Some(name)) = (Path::new(&file.path).parent(), Path::new(path).file_name()) else {
        return false;
    };
    let (is_manifest, name) = (file.path.ends_with("Cargo.toml"), name.to_string_lossy());
    if !is_manifest && !file.is_rust() {
        return false;
    }
    String::from_utf8_lossy(&file.bytes)
        .lines()
        .filter_map(|line| line.split_once("path = \"")?.1.split('"').next())
        .filter(|given| given.ends_with(&*name))
        // Climbing out of the folder only shortens what has to match.
        .any(|given| {
            path.ends_with(given.trim_start_matches("../"))
                && (given.starts_with("..") || path.starts_with(&*folder.to_string_lossy()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_tree_is_tidy() {
        if let Err(error) = check(&crate::root()) {
            panic!("{error}");
        }
    }

    #[test]
    fn a_test_file_that_nothing_names_is_found() {
        let files = [
            rust("a/tests/it/main.rs", "mod named;\n// mod forgotten;\n"),
            rust("a/tests/it/named.rs", ""),
            rust("a/tests/it/forgotten.rs", ""),
            rust("a/src/lib.rs", "pub(crate) mod inner;\n"),
            rust("a/src/inner.rs", "#[cfg(test)]\nmod tests;\n"),
            rust("a/src/inner/tests.rs", ""),
        ];
        let mut untidy = Vec::new();
        unreached(&files, &mut untidy);
        assert_eq!(untidy.len(), 1, "{untidy:?}");
        assert!(untidy[0].starts_with("a/tests/it/forgotten.rs"), "{untidy:?}");
    }

    #[test]
    fn leftovers_and_long_files_are_found() {
        let mut untidy = Vec::new();
        leftovers(
            &rust("a.rs", concat!("fine\nlet x = db", "g!(1);\n")),
            &mut untidy,
        );
        leftovers(&rust("a.md", concat!("see /ho", "me/me\n")), &mut untidy);
        lengths(&[rust("b.rs", &"\n".repeat(LINES_MAX + 1))], &mut untidy);
        assert_eq!(untidy.len(), 4, "{untidy:?}");
    }
}
