//! `aurora up` as docs/operation.md runs it in a container: process 1 of its own process namespace, a root file system that
//! cannot be written, a user without a name or a home, and a limit of memory where the kernel lets us set one.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{FREE_PORTS, Repository, aurora, copy, eventually, get, note, post};

/// Not empty where these tests must run: a machine that cannot make a container is a failure then.
const REQUIRED: &str = "REQUIRE_CONTAINER";
/// Of nobody on this machine.
const USER: &str = "4711";
/// What the container may use, in bytes.
const MEMORY: u64 = 256 << 20;

/// SIGTERM, number 15, in the mask of what a process blocks.
const TERM: u64 = 1 << 14;

/// Makes the container's file system and becomes `aurora` in it. Whatever is mounted goes with the namespace.
const CONTAINER: &str = r#"
mount --make-rprivate /
mount -t tmpfs -o size=1m,mode=755 none "$ROOT"
for name in bin sbin lib lib32 lib64 usr; do
  if [ -L "/$name" ]; then cp -P "/$name" "$ROOT/$name"
  elif [ -d "/$name" ]; then mkdir "$ROOT/$name" && mount --bind -o ro "/$name" "$ROOT/$name"; fi
done
mkdir "$ROOT/proc" "$ROOT/sys" "$ROOT/dev" "$ROOT/tmp" "$ROOT/data" "$ROOT/repo"
mount -t proc none "$ROOT/proc"
mount --rbind /sys "$ROOT/sys"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs -o size=16m,mode=1777 none "$ROOT/tmp"
mount --bind "$DATA" "$ROOT/data"
mount --bind "$REPOSITORY" "$ROOT/repo"
mount -o remount,bind,ro "$ROOT/repo"
: > "$ROOT/aurora"
mount --bind "$AURORA" "$ROOT/aurora"
mount -o remount,ro "$ROOT"
[ -z "$GROUP" ] || echo 0 > "$GROUP/cgroup.procs"
exec env -i PATH="$PATH:/usr/sbin:/sbin" chroot --userspec="$USER:$USER" --groups= "$ROOT" /aurora up --repo /repo --data-dir /data/aurora \
  --output json "$@"
"#;

/// A running container; dropping it kills everything in it.
struct Container {
    /// `unshare`, which ends as the container does.
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
    group: Option<Group>,
    _folders: [TempDir; 2],
}

impl Container {
    /// Starts one on a copy of a repository. An error says why this machine does not let us.
    fn start(repository: &Repository) -> Result<Self, String> {
        let (root, data) = (folder(), folder());
        let checkout = data.path().join("repo");
        copy(repository.path(), &checkout);
        let volume = data.path().join("data");
        fs::create_dir(&volume).unwrap();
        for path in [&volume, &checkout] {
            let owner = format!("{USER}:{USER}");
            succeeds(as_root("chown").args(["-R", &owner]).arg(path))?;
        }
        let group = Group::new()
            .map_err(|why| note(&format!("without a limit of memory: {why}")))
            .ok();
        let group_path = group.as_ref().map(|group| group.path.as_path());
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut command = as_root("env");
        command
            .arg(variable("ROOT", root.path()))
            .arg(variable("DATA", &volume))
            .arg(variable("REPOSITORY", &checkout))
            .arg(variable("AURORA", Path::new(aurora().get_program())))
            .arg(variable("GROUP", group_path.unwrap_or(Path::new(""))))
            .arg(format!("USER={USER}"))
            .args([
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-ec",
                CONTAINER,
                "sh",
            ])
            .args(FREE_PORTS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let written = events.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).expect(&line));
            }
        });
        Ok(Self {
            child,
            events,
            group,
            _folders: [root, data],
        })
    }

    /// Waits for an event, which may have come already.
    fn event(&mut self, name: &str) -> Value {
        eventually(name, || {
            let events = self.events.lock().unwrap().clone();
            let found = events.into_iter().find(|event| event["event"] == name);
            if found.is_none()
                && let Some(status) = self.child.try_wait().unwrap()
            {
                panic!("{name}: the container ended with {status}");
            }
            found
        })
    }

    /// Returns process 1 of the container, once it is `aurora`.
    fn first(&self) -> Pid {
        eventually("the container's first process is aurora", || {
            let all = with_all_below(&self.child.id().to_string());
            let is_first = |id: &&String| {
                let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
                field(&status, "NSpid:").ends_with("\t1") && field(&status, "Name:").trim() == "aurora"
            };
            let first = all.iter().find(is_first)?;
            Pid::from_raw(first.parse().ok()?)
        })
    }

    /// Waits until it has ended by itself.
    fn ended(mut self) -> ExitStatus {
        eventually("it ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The container goes with its first process, which `unshare` may not take with it.
        let all = with_all_below(&self.child.id().to_string());
        let _ended = as_root("kill").arg("-9").args(all.iter().rev()).output();
        let _reaped = self.child.wait();
    }
}

/// A control group with a limit of memory.
struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes one. An error says why that cannot be.
    fn new() -> Result<Self, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (top, limit) = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ]
        .into_iter()
        .find(|(top, _limit)| Path::new(top).join("cgroup.procs").exists())
        .ok_or("no control groups below /sys/fs/cgroup")?;
        let path = Path::new(top).join(format!("aurora-test-{}-{number}", std::process::id()));
        succeeds(as_root("mkdir").arg(&path))?;
        let group = Self { path };
        let line = format!("echo {MEMORY} > \"$1\"");
        succeeds(
            as_root("sh")
                .args(["-c", &line, "sh"])
                .arg(group.path.join(limit)),
        )?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process may still be on its way out.
        for _ in 0..100 {
            if succeeds(as_root("rmdir").arg(&self.path)).is_ok() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Returns a command with the rights to make a container, where there is a way to have them.
fn as_root(program: &str) -> Command {
    if rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Returns the ids of the processes that a process started.
fn children(id: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Returns a process's id and those of all that it and they started.
fn with_all_below(id: &str) -> Vec<String> {
    let mut all = vec![id.to_owned()];
    let mut next = 0;
    while let Some(id) = all.get(next).cloned() {
        all.extend(children(&id));
        next += 1;
    }
    all
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
}

fn send(to: Pid, signal: &str) {
    succeeds(as_root("kill").args(["-s", signal, &to.as_raw_nonzero().to_string()])).unwrap();
}

/// Starts a container, or says why there is none, which is a failure where there has to be one.
fn container(repository: &Repository) -> Option<Container> {
    let can = as_root("unshare")
        .args(["--mount", "--pid", "--fork", "true"])
        .output();
    let why = match can {
        Ok(output) if output.status.success() => match Container::start(repository) {
            Ok(container) => return Some(container),
            Err(why) => why,
        },
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    assert!(
        !is_required,
        "{REQUIRED} is set, and no container can be made: {why}"
    );
    note(&format!("skipped: no container can be made here: {why}"));
    None
}

#[test]
fn a_container_serves_within_its_limits_and_ends_in_order() {
    let repository = Repository::dev();
    let Some(mut container) = container(&repository) else {
        return;
    };
    let listening = container.event("listening");
    let address = |name: &str| -> SocketAddr { listening[name].as_str().unwrap().parse().unwrap() };
    let (inference, control_plane) = (address("inference"), address("control_plane"));
    if container.group.is_some() {
        assert_eq!(listening["bounds"]["memory_bytes"], MEMORY, "{listening}");
    }
    container.event("ready");
    let ask = || {
        post(
            inference,
            "/predict/iris",
            &[],
            r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#,
        )
        .status
    };
    assert_eq!(ask(), 200);
    assert_eq!(get(control_plane, "/status").status, 200);

    // What is left behind in it is reaped, by nobody but its first process.
    let first = container.first();
    let id = first.as_raw_nonzero().to_string();
    let is_there = |id: &str| Path::new("/proc").join(id).exists();
    let before = children(&id);
    let line = "sleep 1000 > /dev/null 2>&1 &";
    succeeds(as_root("nsenter").args(["--target", &id, "--pid", "sh", "-c", line])).unwrap();
    let orphan = eventually("it is the first process's child", || {
        children(&id).into_iter().find(|child| !before.contains(child))
    });
    send(Pid::from_raw(orphan.parse().unwrap()).unwrap(), "KILL");
    eventually("nothing is left of it", || (!is_there(&orphan)).then_some(()));
    assert_eq!(ask(), 200);

    send(first, "TERM");
    container.event("stopping");
    assert!(container.ended().success());
}

#[test]
fn a_signal_at_the_very_start_of_a_container_is_not_lost() {
    let repository = Repository::dev();
    let Some(container) = container(&repository) else {
        return;
    };
    let first = container.first();
    eventually("it holds signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", first.as_raw_nonzero())).ok()?;
        let blocked = u64::from_str_radix(field(&status, "SigBlk:").trim(), 16).ok()?;
        // While it waits for one of them they show as let through.
        let is_attended = !children(&first.as_raw_nonzero().to_string()).is_empty();
        (blocked & TERM != 0 || is_attended).then_some(())
    });
    send(first, "TERM");
    assert!(container.ended().success());
}
