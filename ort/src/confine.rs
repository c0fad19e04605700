//! What a process gives up before it sees a model.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Gives up all files but those of languages, all that lies beyond this machine, and all memory but `memory_bytes`; what the kernel does not know it
/// cannot take.
///
/// # Errors
///
/// The kernel knows it and refuses.
pub(crate) fn confine(memory_bytes: u64) -> Result<(), String> {
    /// The socket, and what the library holds open.
    const FILES: u64 = 64;
    let limits = [
        (Resource::Data, memory_bytes),
        (Resource::Nofile, FILES),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit).map_err(|error| format!("the limit of {resource:?}: {error}"))?;
    }
    // The kernel's first choice when memory is short.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    restrict().map_err(|error| format!("Landlock: {error}"))
}

/// Where the C library has how languages are written: who counts words asks for that when it is loaded.
const LOCALES: &str = "/usr/lib/locale";

/// Takes the right to all files and folders but [`LOCALES`], to ports, and to processes and sockets outside.
fn restrict() -> Result<(), RulesetError> {
    let abi = ABI::V6;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules([LOCALES], AccessFs::from_read(abi)))?
        .restrict_self()
        .map(drop)
}
