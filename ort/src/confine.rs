//! What a process gives up before it sees a model.
//!
//! A thread gives up what it has for itself and for the threads that it starts: the library starts one when it is loaded. So the
//! process first keeps no more than loading takes, and then less.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Where libraries lie that a library is linked to, and what it asks of the processor.
const TO_LOAD: [&str; 7] = [
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/sys/devices/system",
    "/proc/cpuinfo",
];
/// Where the C library has how languages are written: who counts words asks for that when it is loaded.
const LOCALES: &str = "/usr/lib/locale";

/// Gives up all files but what it takes to load a library, and all that lies beyond this machine; what the kernel does not know it
/// cannot take.
///
/// # Errors
///
/// The kernel knows it and refuses.
pub(crate) fn before_loading(library: &Path) -> Result<(), String> {
    // The kernel's first choice when memory is short. Where it refuses, that is no reason not to evaluate.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    let own = library.parent().unwrap_or(library);
    restrict(TO_LOAD.map(Path::new).into_iter().chain([own]))
}

/// Gives up all files but those of languages, and all memory but `memory_bytes`.
///
/// # Errors
///
/// As [`before_loading`].
pub(crate) fn before_models(memory_bytes: u64) -> Result<(), String> {
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
    restrict([Path::new(LOCALES)].into_iter())
}

/// Takes the right to all files and folders but to read some, to ports, and to processes and sockets outside. What is not there is
/// not read either.
fn restrict<'p>(readable: impl Iterator<Item = &'p Path>) -> Result<(), String> {
    let abi = ABI::V6;
    let restricted = || -> Result<(), RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(abi)))?
            .restrict_self()
            .map(drop)
    };
    restricted().map_err(|error| format!("Landlock: {error}"))
}
