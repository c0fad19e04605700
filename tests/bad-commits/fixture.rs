//! Reads the faults of `tests/bad-commits` and applies them to a tree in memory. Included by test crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A commit's content: paths from the repository's root.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file with its bytes.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Symlink(String),
    /// A submodule.
    Submodule,
}

/// One folder of `tests/bad-commits`.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The folder's name.
    pub(crate) name: String,
    /// Where parsing files shows it.
    pub(crate) level: Level,
    /// The golden findings' file.
    pub(crate) expected: PathBuf,
    overlay: Tree,
    steps: Vec<Step>,
}

/// What it takes to see a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// The text of one file.
    File,
    /// The commit as a whole, or what it is compared with.
    Repository,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(rename = "about")]
    _about: String,
    level: Level,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Step {
    Replace {
        path: String,
        text: String,
        with: String,
    },
    Append {
        path: String,
        text: Option<String>,
        hex: Option<String>,
        times: Option<usize>,
    },
    Delete {
        path: String,
    },
    Symlink {
        path: String,
        target: String,
    },
    Submodule {
        path: String,
    },
}

/// Returns the files of `environments/dev`: what the faults are committed on top of.
pub(crate) fn example() -> Tree {
    let mut tree = Tree::new();
    read_folder(&root().join("environments/dev"), "environments/dev", &mut tree);
    tree
}

/// Returns all faults by name.
pub(crate) fn faults() -> Vec<Fault> {
    let folder = root().join("tests/bad-commits");
    let mut faults: Vec<Fault> = list(&folder)
        .into_iter()
        .filter(|name| folder.join(name).is_dir())
        .map(|name| read_fault(&folder.join(&name), name))
        .collect();
    faults.sort_by(|a, b| a.name.cmp(&b.name));
    faults
}

impl Fault {
    /// Applies what the commit does.
    pub(crate) fn apply(&self, tree: &mut Tree) {
        tree.extend(self.overlay.clone());
        for step in &self.steps {
            step.apply(tree, &self.name);
        }
    }
}

impl Step {
    fn apply(&self, tree: &mut Tree, fault: &str) {
        match self {
            Self::Replace { path, text, with } => {
                let Some(Entry::File(bytes)) = tree.get_mut(path) else {
                    unreachable!("{fault}: no file {path}")
                };
                let content = String::from_utf8(bytes.clone()).expect("invariant: the example is UTF-8");
                assert_eq!(
                    content.matches(text).count(),
                    1,
                    "{fault}: {text:?} stands once in {path}"
                );
                *bytes = content.replace(text, with).into_bytes();
            }
            Self::Append {
                path,
                text,
                hex,
                times,
            } => {
                let piece = match (text, hex) {
                    (Some(text), None) => text.clone().into_bytes(),
                    (None, Some(digits)) => from_hex(digits),
                    _ => unreachable!("{fault}: append takes either text or hex"),
                };
                let entry = tree
                    .entry(path.clone())
                    .or_insert_with(|| Entry::File(Vec::new()));
                let Entry::File(bytes) = entry else {
                    unreachable!("{fault}: {path} is no file")
                };
                bytes.extend(piece.repeat(times.unwrap_or(1)));
            }
            Self::Delete { path } => {
                let before = tree.len();
                let below = format!("{path}/");
                tree.retain(|file, _| !path.is_empty() && file != path && !file.starts_with(&below));
                assert!(tree.len() < before, "{fault}: there is no {path:?} to delete");
            }
            Self::Symlink { path, target } => {
                tree.insert(path.clone(), Entry::Symlink(target.clone()));
            }
            Self::Submodule { path } => {
                tree.insert(path.clone(), Entry::Submodule);
            }
        }
    }
}

fn from_hex(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = str::from_utf8(pair).expect("invariant: hex digits are ASCII");
            u8::from_str_radix(pair, 16).expect("invariant: two hex digits are a byte")
        })
        .collect()
}

fn read_fault(folder: &Path, name: String) -> Fault {
    let file = folder.join("fault.json");
    let text =
        std::fs::read_to_string(&file).unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
    let description: Description =
        serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
    let mut overlay = Tree::new();
    if folder.join("overlay").is_dir() {
        read_folder(&folder.join("overlay"), "", &mut overlay);
    }
    Fault {
        name,
        level: description.level,
        expected: folder.join("expected.txt"),
        overlay,
        steps: description.steps,
    }
}

fn read_folder(folder: &Path, prefix: &str, tree: &mut Tree) {
    for name in list(folder) {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        let file = folder.join(&name);
        if file.is_dir() {
            read_folder(&file, &path, tree);
        } else {
            let bytes = std::fs::read(&file).expect("invariant: a file that was listed can be read");
            tree.insert(path, Entry::File(bytes));
        }
    }
}

fn list(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap_or_else(|error| unreachable!("{}: {error}", folder.display()))
        .map(|entry| {
            let name = entry
                .expect("invariant: a folder that was opened can be read")
                .file_name();
            name.into_string()
                .expect("invariant: names of the repository are UTF-8")
        })
        .collect()
}

/// The repository's root: each crate that includes this file lies directly below it.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("invariant: a crate lies in the workspace")
}
