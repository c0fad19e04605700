//! What keeps the control plane's processes, and ends them with the test process however that ends: it reads a pipe
//! whose other end only the test process holds.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The file that is there as long as it takes in processes: who notes a pid and does not find it afterwards, ends.
pub(crate) const ALIVE: &str = "alive";

/// `start NAME` runs `NAME.sh`, its output to `NAME.log` and its pid to `NAME.pid`; `keep` keeps the folder. At the end
/// of the input everything is ended whose pid is in a `*.pid`: a group of processes where it leads one.
const SCRIPT: &str = r#"
cd "$1" || exit 1
while read -r verb name; do
  case $verb in
    start)
      sh "./$name.sh" >>"$name.log" 2>&1 </dev/null &
      echo $! >"$name.pid.new" && mv "$name.pid.new" "$name.pid" ;;
    keep) kept=1 ;;
  esac
done
rm -f alive
for name in *.pid; do
  pid=$(cat "$name") && { kill -s KILL -- "-$pid" || kill -s KILL "$pid"; }
done
wait
[ -z "$kept" ] || exit 0
# What is not its child may be about to end, and write until then.
for attempt in 1 2 3 4 5 6 7 8 9; do
  rm -rf "$1" && exit 0
  sleep 0.1
done
"#;

/// The process that keeps the others.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Mutex<Child>,
}

impl Supervisor {
    /// Starts it in a folder that is its own from then on.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        drop(File::create(folder.join(ALIVE))?);
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "supervisor"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt of the terminal ends the tests; the supervisor is there to clean up behind them.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child: Mutex::new(child),
        })
    }

    /// Starts a program whose command is in `NAME.sh`.
    pub(crate) fn run(&self, name: &str) -> io::Result<()> {
        self.order(&format!("start {name}\n"))
    }

    /// Keeps the folder, for somebody to look at.
    pub(crate) fn keep(&self) -> io::Result<()> {
        self.order("keep\n")
    }

    fn order(&self, line: &str) -> io::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = child.stdin.as_mut().expect("invariant: its input is piped");
        orders.write_all(line.as_bytes())
    }
}

impl Drop for Supervisor {
    /// Ends it and all that it started. A process that ends without dropping it closes its input all the same.
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, test_kill_process};

    use super::*;

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(30), "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a program that would go on for ever, and returns its pid.
    fn started(folder: &Path, supervisor: &Supervisor) -> Pid {
        fs::write(folder.join("endless.sh"), "exec sleep 1000000\n").unwrap();
        supervisor.run("endless").unwrap();
        let file = folder.join("endless.pid");
        eventually("it starts", || file.exists());
        let pid = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }

    #[test]
    fn what_it_started_ends_with_its_input_and_the_folder_goes() {
        let folder = tempfile::tempdir().unwrap().keep();
        let supervisor = Supervisor::start(&folder).unwrap();
        let pid = started(&folder, &supervisor);
        drop(supervisor);
        assert!(!folder.exists());
        assert!(
            test_kill_process(pid).is_err(),
            "{pid:?} is there after its supervisor"
        );
    }

    /// Names the folder of [`holder`].
    const HELD: &str = "TESTKIT_HELD_FOLDER";

    /// The test process that the next test kills: it holds a supervisor until then.
    #[test]
    fn holder() {
        if let Some(folder) = std::env::var_os(HELD) {
            let folder = Path::new(&folder);
            let supervisor = Supervisor::start(folder).unwrap();
            started(folder, &supervisor);
            eventually("it is killed", || false);
        }
    }

    #[test]
    fn what_it_started_ends_where_the_test_process_is_killed() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "supervisor::tests::holder"])
            .env(HELD, &folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let file = folder.join("endless.pid");
        eventually("it starts", || file.exists());
        let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        assert!(test_kill_process(pid).is_ok());
        process.kill().unwrap();
        process.wait().unwrap();
        eventually("the folder goes", || !folder.exists());
        assert!(
            test_kill_process(pid).is_err(),
            "{pid:?} is there after its supervisor"
        );
    }

    #[test]
    fn a_group_that_is_noted_ends_with_all_its_members() {
        let folder = tempfile::tempdir().unwrap().keep();
        let supervisor = Supervisor::start(&folder).unwrap();
        let mut leader = Command::new("sh")
            .args([
                "-c",
                "sleep 1000000 & echo $! >member.new && mv member.new member; wait",
            ])
            .current_dir(&folder)
            .process_group(0)
            .spawn()
            .unwrap();
        eventually("it starts", || folder.join("member").exists());
        let member = fs::read_to_string(folder.join("member")).unwrap();
        fs::write(folder.join("group.pid"), leader.id().to_string()).unwrap();
        drop(supervisor);
        assert_eq!(leader.wait().unwrap().code(), None, "by a signal");
        let member = Path::new("/proc").join(member.trim()).join("cmdline");
        // One that nobody has looked after yet has no command any more.
        let is_over = || !fs::read_to_string(&member).is_ok_and(|command| command.contains("sleep"));
        eventually("its member ends", is_over);
        assert!(!folder.exists());
    }

    #[test]
    fn folder_of_a_failed_run_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("run");
        fs::create_dir(&folder).unwrap();
        let supervisor = Supervisor::start(&folder).unwrap();
        let pid = started(&folder, &supervisor);
        supervisor.keep().unwrap();
        drop(supervisor);
        assert!(folder.join("endless.log").exists());
        assert!(test_kill_process(pid).is_err());
    }
}
