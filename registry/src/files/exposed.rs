//! Who may read a file that holds a secret.

const OTHERS: u32 = 0o007;
const GROUP_WRITE: u32 = 0o020;
const GROUP: u32 = 0o070;

/// Says, of a secret's file, whether somebody may read or write it who should not. The group may read what root gave it:
/// that is how a Secret with `defaultMode: 0440` and an `fsGroup` reaches a process.
pub fn is_exposed(mode: u32, owner: u32) -> bool {
    let refused = if owner == 0 {
        OTHERS | GROUP_WRITE
    } else {
        OTHERS | GROUP
    };
    mode & refused != 0
}
