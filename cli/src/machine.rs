//! What the control plane shows of the one machine that it runs on, where there is no cluster.

use serde_json::{Value, json};
use server::Infrastructure;

use crate::memory_limit;

/// This machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine;

impl Infrastructure for Machine {
    fn nodes(&self) -> Result<Value, String> {
        let name = rustix::system::uname();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let has = |memory: Option<u64>| {
            let memory = memory.map(|bytes| format!("{}Ki", bytes >> 10));
            json!({ "cpu": cores.to_string(), "memory": memory })
        };
        Ok(json!([{
            "name": name.nodename().to_string_lossy(),
            "ready": true,
            "roles": [],
            "version": concat!("aurora ", env!("CARGO_PKG_VERSION")),
            "capacity": has(memory_limit::of_this_machine()),
            "allocatable": has(memory_limit::smallest().map(|limit| limit.bytes)),
        }]))
    }

    /// A machine has no classes: its registry lies in a folder.
    fn storage_classes(&self) -> Result<Value, String> {
        Ok(json!([]))
    }

    /// Nor has it claims.
    fn volumes(&self) -> Result<Value, String> {
        Ok(json!([]))
    }
}
