//! `aurora-ort`: evaluates one model by ONNX Runtime, for the process that started it.
//!
//! It loads the library, gives up all that it has no need of, takes a model and then rows from its standard input, a socket,
//! and answers there. It ends with whoever started it.

mod confine;
mod elements;
mod session;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use aurora_ort::protocol::{Answer, Ask, Question, Say, receive, send};
use rustix::process::{Pid, getppid};
use session::{Library, Session};

/// How often it is looked whether whoever started it is still there.
const PARENT_POLL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(env::args_os().skip(1)) else {
        // Nobody types this: whoever does is told, and nothing is read.
        #[expect(clippy::print_stderr, reason = "a program's own usage")]
        {
            eprintln!("aurora-ort is started by aurora (--onnxruntime PATH)");
        }
        return ExitCode::from(2);
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked is gone, or asks what makes no sense.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What the process was started with.
struct Arguments {
    library: PathBuf,
    memory_bytes: u64,
    threads: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let (mut library, mut memory_bytes, mut threads) = (None, None, None);
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.to_str()? {
                "--library" => library = Some(PathBuf::from(value)),
                "--memory-bytes" => memory_bytes = value.to_str()?.parse().ok(),
                "--threads" => threads = value.to_str()?.parse().ok(),
                _ => return None,
            }
        }
        Some(Self {
            library: library?,
            memory_bytes: memory_bytes?,
            threads: threads?,
        })
    }
}

/// Ends this process once `parent`, which started it, is gone, also in the middle of an evaluation.
fn end_with(parent: Option<Pid>) {
    let watching = thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while getppid() == parent {
            thread::sleep(PARENT_POLL);
        }
        #[expect(clippy::exit, reason = "nobody waits for an answer any more")]
        std::process::exit(1);
    });
    drop(watching);
}

/// Loads the library within what that takes, and gives that up too.
fn started(arguments: &Arguments) -> Result<Library, String> {
    confine::before_loading(&arguments.library)?;
    let library = Library::load(&arguments.library, arguments.threads)?;
    confine::before_models(arguments.memory_bytes)?;
    Ok(library)
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let (mut questions, mut answers) = (File::from(socket.try_clone()?), File::from(socket));
    let mut say = |say: Say| send(&mut answers, &Answer { say: Some(say) });
    let parent = getppid();
    let started = started(arguments);
    end_with(parent);
    let library = match started {
        Ok(library) => library,
        Err(why) => {
            // The first question is waited for: then there is somebody who is told.
            let _question: Option<Question> = receive(&mut questions)?;
            return say(Say::NotStarted(why));
        }
    };
    let mut session: Option<Session> = None;
    while let Some(Question { ask }) = receive(&mut questions)? {
        let said = match (ask, &mut session) {
            (Some(Ask::Load(model)), None) => match Session::load(&library, &model) {
                Ok((loaded, described)) => {
                    session = Some(loaded);
                    Say::Loaded(described)
                }
                Err(why) => Say::Refused(why),
            },
            (Some(Ask::Run(run)), Some(session)) => match session.run(&run) {
                Ok(ran) => Say::Ran(ran),
                Err(why) => Say::Refused(why),
            },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        say(said)?;
    }
    Ok(())
}
