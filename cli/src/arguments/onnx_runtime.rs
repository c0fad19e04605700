//! ONNX Runtime, for the models whose job and deployment ask for it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aurora_ort::{Limits, OnnxRuntime};
use clap::Args;
use registry::artifact::Engines;

use crate::listeners::size;

/// The program that evaluates a model; it lies beside this one.
const PROGRAM: &str = "aurora-ort";
/// How long a model may take to load, and rows to be answered.
const LOAD: Duration = Duration::from_mins(1);
const ANSWER: Duration = Duration::from_secs(10);

/// Flags for models that ONNX Runtime evaluates.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ONNX Runtime")]
pub(crate) struct OnnxRuntimeArguments {
    /// The library of ONNX Runtime, 1.24 or newer: it evaluates the models whose job and deployment say `engine: OnnxRuntime`,
    /// each in a process of its own (aurora-ort, which lies beside this program) [default: none is evaluated by it]
    #[arg(long, env = "AURORA_ONNXRUNTIME", value_name = "PATH")]
    onnxruntime: Option<PathBuf>,

    /// What each such process may allocate
    #[arg(
        long,
        env = "AURORA_ONNXRUNTIME_MEMORY",
        value_name = "SIZE",
        default_value = "1GiB",
        value_parser = size
    )]
    onnxruntime_memory: usize,
}

impl OnnxRuntimeArguments {
    /// Returns what models may be evaluated by in this process.
    pub(crate) fn engines(&self) -> Engines {
        self.runtime()
            .map_or_else(Engines::default, |(runtime, _library)| {
                Engines::with_onnx_runtime(Arc::new(runtime))
            })
    }

    /// Returns what starts the library, and where that lies; [`None`] where no model is evaluated by it.
    pub(crate) fn runtime(&self) -> Option<(OnnxRuntime, PathBuf)> {
        let library = self.onnxruntime.as_ref()?;
        let limits = Limits {
            memory_bytes: self.onnxruntime_memory as u64,
            threads: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            load: LOAD,
            answer: ANSWER,
        };
        let library = std::path::absolute(library).unwrap_or_else(|_| library.clone());
        Some((OnnxRuntime::new(&program(), &library, limits), library))
    }

    /// Returns the flags that let another process of this binary evaluate the same models.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let Some(library) = &self.onnxruntime else {
            return Vec::new();
        };
        vec![
            "--onnxruntime".into(),
            library.into(),
            "--onnxruntime-memory".into(),
            self.onnxruntime_memory.to_string().into(),
        ]
    }
}

/// Returns where the other program is: beside this one.
fn program() -> PathBuf {
    env::current_exe().map_or_else(|_| PROGRAM.into(), |own| own.with_file_name(PROGRAM))
}
