//! The table of processes in `/proc`, read as far as a figure needs it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Result;

/// One line of the process table.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// The process that started it, or took it over.
    pub parent: u32,
    /// Its process group.
    pub group: i32,
    /// User and system time, its own and that of the children that it has waited for.
    pub processor: Duration,
    /// Of that, its own.
    pub processor_own: Duration,
    /// Its arguments; empty for one that has ended.
    pub arguments: Vec<String>,
}

/// Returns the processes that live, zombies left out.
pub fn processes() -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the reads.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(process) = read_stat(id, &stat, &arguments) {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Returns a process and all that descend from it, whatever group they are in.
pub fn family(id: u32) -> Result<Vec<Process>> {
    Ok(descending(id, processes()?))
}

fn descending(id: u32, all: Vec<Process>) -> Vec<Process> {
    let mut ids = BTreeSet::from([id]);
    loop {
        let before = ids.len();
        let children = all.iter().filter(|process| ids.contains(&process.parent));
        let children: Vec<u32> = children.map(|process| process.id).collect();
        ids.extend(children);
        if ids.len() == before {
            break;
        }
    }
    all.into_iter()
        .filter(|process| ids.contains(&process.id))
        .collect()
}

/// Reads `/proc/ID/stat`; `None` for a zombie.
fn read_stat(id: u32, stat: &str, arguments: &[u8]) -> Option<Process> {
    // The name in parentheses may hold spaces and parentheses: the fields start after the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let times = fields.get(11..15)?;
    let total = |times: &[&str]| {
        let ticks: u64 = times.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    };
    let is_zombie = *fields.first()? == "Z";
    (!is_zombie).then_some(Process {
        id,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        processor: total(times),
        processor_own: total(&times[..2]),
        arguments: String::from_utf8_lossy(arguments)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
    })
}

/// Returns `VmRSS` in bytes; 0 for a process that has ended.
pub(super) fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status_bytes(&status, "VmRSS:")
}

/// Returns a size of `/proc/ID/status` in bytes; 0 where there is none.
pub(super) fn status_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 42 42 0 -1 4194304 1 2 3 4 150 50 25 25 20 0 1 0 9";
        let process = read_stat(7, stat, b"aurora\0up\0").unwrap();
        assert_eq!(
            (process.group, process.processor, process.processor_own),
            (42, Duration::from_millis(2500), Duration::from_secs(2))
        );
        assert_eq!(process.arguments, ["aurora", "up"]);
        assert_eq!(read_stat(7, &stat.replace(") S", ") Z"), b""), None);
    }

    #[test]
    fn a_family_is_whoever_descends_from_a_process() {
        let process = |id: u32, parent: u32, group: i32| Process {
            id,
            parent,
            group,
            processor: Duration::ZERO,
            processor_own: Duration::ZERO,
            arguments: Vec::new(),
        };
        let all = vec![
            process(9, 7, 9),
            process(5, 1, 5),
            process(7, 5, 5),
            process(6, 1, 6),
        ];
        let ids: Vec<u32> = descending(5, all).iter().map(|process| process.id).collect();
        assert_eq!(ids, [9, 5, 7]);
    }

    #[test]
    fn sizes_are_read_by_name_and_absent_ones_are_none() {
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        for (name, bytes) in [("VmRSS:", 1 << 20), ("VmHWM:", 2 << 20), ("VmSwap:", 0)] {
            assert_eq!(status_bytes(status, name), bytes, "{name}");
        }
    }
}
