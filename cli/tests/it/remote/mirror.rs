//! Where what was fetched lies, and who fetches it.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::{Following, TOKEN};
use crate::harness::{Forge, eventually};

#[test]
fn a_mirror_of_many_packs_or_that_is_damaged_is_made_anew() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    following.applies(forge.repository.head());
    let packs = following.mirror().join("objects/pack");
    let count = || fs::read_dir(&packs).map_or(0, Iterator::count);
    for pack in 0..60 {
        fs::write(packs.join(format!("pack-{pack:040}.pack")), "").expect("a pack");
    }
    eventually("it is made anew", || (count() < 10).then_some(()));
    following.applies(forge.commit("after it"));
    // As after a power cut.
    let following = {
        fs::remove_dir_all(&packs).expect("it goes");
        following.restart()
    };
    following.applies(forge.commit("after that"));
    following.recovers();
}

#[test]
fn a_mirror_that_lacks_what_a_new_commit_goes_on_from_is_made_anew() {
    let Some(forge) = Forge::start() else { return };
    let following = Following::start(&forge.https_address("git"), forge.https_flags());
    following.applies(forge.repository.head());
    let packs = following.mirror().join("objects/pack");
    let first: Vec<_> = fs::read_dir(&packs)
        .expect("packs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    following.applies(forge.commit("a second pack"));
    // The newest commit is there, and what it has in common with those before is not.
    for file in &first {
        fs::remove_file(file).expect("it goes");
    }
    let following = following.restart();
    following.applies(forge.commit("after it"));
    following.recovers();
}

#[test]
fn a_secret_is_in_no_argument_variable_or_file_and_a_fetcher_ends_with_who_asked() {
    let Some(forge) = Forge::start() else { return };
    let mut flags = forge.https_flags();
    flags.extend(["--fetch-timeout", "600"].map(str::to_owned));
    let following = Following::start(&forge.https_address("git"), flags);
    forge.write("stall", "");
    let fetcher = || {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        processes.map(|entry| entry.path()).find(|process| {
            let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            parent == Some(following.up.id()) && read("cmdline").ends_with(b"\0fetch\0")
        })
    };
    let process = eventually("a fetch is under way", fetcher);
    let has_token = |bytes: &[u8]| {
        bytes
            .windows(TOKEN.len())
            .any(|window| window == TOKEN.as_bytes())
    };
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(process.join(file)).expect("it runs");
        assert!(!bytes.is_empty() && !has_token(&bytes), "{file}");
    }
    let environ = fs::read(process.join("environ")).expect("it runs");
    let home = following.data.path().join("data/git/home");
    let home = format!("HOME={}\0", home.display());
    assert!(
        environ
            .windows(home.len())
            .any(|window| window == home.as_bytes()),
        "a home of its own"
    );
    let mut folders = vec![following.data.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().expect("its type").is_dir() {
                folders.push(entry.path());
            } else {
                assert!(
                    !has_token(&fs::read(entry.path()).unwrap_or_default()),
                    "{entry:?}"
                );
            }
        }
    }
    // Nobody is left to give the answer to.
    kill_process(
        Pid::from_raw(following.up.id().try_into().unwrap()).unwrap(),
        Signal::KILL,
    )
    .expect("it runs");
    eventually("it ends", || {
        (!process.join("environ").exists() || fs::read(process.join("environ")).is_ok_and(|it| it.is_empty()))
            .then_some(())
    });
}
