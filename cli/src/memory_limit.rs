//! How much memory this process may have: the smallest limit of the control groups around it, of its own, of the machine.
//!
//! In a container whose limit is passed the kernel kills, so what is held for strangers is measured by it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// The most that is read of a file of the kernel, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A limit, and who sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// In bytes.
    pub(crate) bytes: u64,
    /// A file, or a word.
    pub(crate) set_by: String,
}

/// Returns the smallest limit that holds for this process; `None` where nothing can be read of any.
pub(crate) fn smallest() -> Option<MemoryLimit> {
    let of_process = [(Resource::As, "ulimit -v"), (Resource::Data, "ulimit -d")]
        .into_iter()
        .filter_map(|(resource, set_by)| {
            let bytes = getrlimit(resource).current?;
            Some(MemoryLimit {
                bytes,
                set_by: set_by.to_owned(),
            })
        });
    of_process
        .chain(of_system(Path::new("/")))
        .min_by_key(|limit| limit.bytes)
}

/// Returns the memory of the machine, in bytes.
pub(crate) fn of_this_machine() -> Option<u64> {
    of_machine(Path::new("/")).map(|limit| limit.bytes)
}

/// Returns the limits of the machine and of the control groups, by the files below `root`.
fn of_system(root: &Path) -> Vec<MemoryLimit> {
    let mut limits: Vec<MemoryLimit> = of_machine(root).into_iter().collect();
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = read(&root.join("proc/self/mountinfo")).unwrap_or_default();
    for mount in mounts.lines().filter_map(Mount::parse) {
        let Some(group) = groups.lines().find_map(|line| mount.group(line)) else {
            continue;
        };
        for folder in mount.folders(group) {
            limits.extend(mount.limits(root, &folder));
        }
    }
    limits
}

fn of_machine(root: &Path) -> Option<MemoryLimit> {
    let info = read(&root.join("proc/meminfo"))?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(MemoryLimit {
        bytes: kibibytes << 10,
        set_by: "the machine's memory".to_owned(),
    })
}

/// Where a hierarchy of control groups that limits memory is mounted.
#[derive(Debug)]
struct Mount {
    version: Version,
    /// The group that is seen at the mount's top.
    top: PathBuf,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Mount {
    /// Reads a line of `/proc/self/mountinfo`: `id parent device TOP PATH options … - TYPE source OPTIONS`.
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, path) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let version = match name {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Self {
            version,
            top: PathBuf::from(top),
            path: PathBuf::from(path),
        })
    }

    /// Reads this process's group from a line of `/proc/self/cgroup`, where that is of this hierarchy:
    /// `number:controllers:GROUP`.
    fn group<'a>(&self, line: &'a str) -> Option<&'a Path> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let is_of_this = match self.version {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => controllers.is_empty(),
        };
        is_of_this.then(|| Path::new(group))
    }

    /// Returns the folders of a group and of those above it, as far as they are seen here.
    fn folders(&self, group: &Path) -> Vec<PathBuf> {
        let below = group.strip_prefix(&self.top).unwrap_or(Path::new(""));
        // A group outside of what is seen here is written with `..`.
        let is_seen = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let below = if is_seen { below } else { Path::new("") };
        let lowest = self.path.join(below);
        let above = lowest.ancestors().map(Path::to_owned);
        above.take(below.components().count() + 1).collect()
    }

    /// Returns the limits that a group's folder tells of.
    fn limits(&self, root: &Path, folder: &Path) -> Vec<MemoryLimit> {
        let read = |name: &str| read(&root.join(folder.strip_prefix("/").unwrap_or(folder)).join(name));
        let limit = |name: &str, bytes: &str| {
            Some(MemoryLimit {
                // `max` is no limit.
                bytes: bytes.trim().parse().ok()?,
                set_by: folder.join(name).display().to_string(),
            })
        };
        match self.version {
            Version::Two => {
                let name = "memory.max";
                read(name)
                    .and_then(|text| limit(name, &text))
                    .into_iter()
                    .collect()
            }
            Version::One => {
                let own = "memory.limit_in_bytes";
                // It knows of groups above that are not seen from here.
                let of_all = "memory.stat";
                let above = read(of_all).and_then(|text| {
                    let line = text
                        .lines()
                        .find_map(|line| line.strip_prefix("hierarchical_memory_limit "))?;
                    limit(of_all, line)
                });
                read(own)
                    .and_then(|text| limit(own, &text))
                    .into_iter()
                    .chain(above)
                    .collect()
            }
        }
    }
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The smallest limit of a system with these files.
    fn smallest_of(files: &[(&str, &str)]) -> Option<(u64, String)> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let limits = of_system(root.path());
        let smallest = limits.into_iter().min_by_key(|limit| limit.bytes)?;
        Some((smallest.bytes, smallest.set_by))
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        1024 kB\nMemFree: 3 kB\n");
    const TWO: (&str, &str) = (
        "proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn the_machine_is_a_limit() {
        assert_eq!(
            smallest_of(&[MEMINFO]),
            Some((1 << 20, "the machine's memory".to_owned()))
        );
        assert_eq!(smallest_of(&[]), None);
    }

    #[test]
    fn the_smallest_of_a_group_and_those_above_it_counts() {
        let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        for (above, own, expected) in [
            ("max", "5000", "/sys/fs/cgroup/a.slice/b.service/memory.max"),
            ("5000", "max", "/sys/fs/cgroup/a.slice/memory.max"),
            ("5000", "6000", "/sys/fs/cgroup/a.slice/memory.max"),
        ] {
            let limit = smallest_of(&[
                MEMINFO,
                TWO,
                group,
                ("sys/fs/cgroup/a.slice/memory.max", above),
                ("sys/fs/cgroup/a.slice/b.service/memory.max", own),
                ("sys/fs/cgroup/a.slice/other.service/memory.max", "1"),
            ]);
            assert_eq!(limit, Some((5000, expected.to_owned())));
        }
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_top() {
        for group in ["0::/\n", "0::/../outside\n"] {
            let limit = smallest_of(&[
                TWO,
                ("proc/self/cgroup", group),
                ("sys/fs/cgroup/memory.max", "67108864\n"),
            ]);
            assert_eq!(limit, Some((64 << 20, "/sys/fs/cgroup/memory.max".to_owned())));
        }
    }

    #[test]
    fn the_first_version_tells_of_groups_that_are_not_seen() {
        let files = |top: &str, stat| {
            let mount = format!(
                "35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n34 31 0:3 / /sys/fs/cgroup/cpu rw - \
                 cgroup cgroup rw,cpu\n"
            );
            smallest_of(&[
                ("proc/self/mountinfo", &mount),
                ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/1\n0::/\n"),
                (
                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
                ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "8000\n"),
                ("sys/fs/cgroup/memory/memory.stat", stat),
            ])
        };
        let unlimited = "cache 1\nhierarchical_memory_limit 9223372036854771712\n";
        let own = "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes";
        assert_eq!(files("/", unlimited), Some((8000, own.to_owned())));
        let above = "cache 1\nhierarchical_memory_limit 7000\n";
        let stat = "/sys/fs/cgroup/memory/memory.stat";
        assert_eq!(files("/docker/1", above), Some((7000, stat.to_owned())));
    }

    #[test]
    fn files_that_say_nonsense_set_no_limit() {
        for text in ["", "-1", "lots", "max\n", "1 2"] {
            let limit = smallest_of(&[
                TWO,
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", text),
                ("proc/meminfo", "MemTotal: many"),
            ]);
            assert_eq!(limit, None, "{text:?}");
        }
    }

    #[test]
    fn this_process_has_a_limit() {
        assert!(smallest().is_some());
    }
}
