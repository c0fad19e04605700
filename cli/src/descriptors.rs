//! Descriptors that whoever started us left open: a shell's, a supervisor's, a build's. None of them is handed on.

use std::fs;

/// The first descriptor that is none of the three standard ones.
const FIRST: i32 = 3;

/// Lets no process that we start inherit what we inherited; called before there are threads.
///
/// What we open ourselves is never inherited.
#[cfg_attr(
    unix,
    expect(unsafe_code, reason = "no safe crate takes a descriptor by its number")
)]
pub(crate) fn keep_to_ourselves() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor >= FIRST)
        .collect();
    for descriptor in open {
        // SAFETY: fcntl takes integers, and a descriptor that is closed by now is an error and nothing else.
        let _is_set = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
