//! Performs one write on a store, in a process that the crash test may kill: `registry-test-writer ROOT WRITE…`.

mod scenario;

use std::path::PathBuf;

fn main() -> Result<(), registry::StoreError> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().unwrap_or_default());
    let words: Vec<String> = arguments.collect();
    scenario::write(&root, &words.join(" "))
}
