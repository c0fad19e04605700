//! Models in a real ONNX Runtime, where there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use aurora_ort::{Limits, OnnxRuntime};
use planner::engine::Engine;
use registry::artifact::{ArtifactError, Engines, Model};
use registry::metadata::Cell;

pub(crate) const LIMITS: Limits = Limits {
    memory_bytes: 1 << 30,
    threads: 1,
    load: Duration::from_mins(5),
    answer: Duration::from_mins(5),
};

/// Returns the library and the program; says that a test is skipped where they are not there.
fn installed() -> Option<(PathBuf, PathBuf)> {
    let library = env::var_os("AURORA_ONNXRUNTIME").map(PathBuf::from);
    assert!(
        library.is_some() || env::var_os("REQUIRE_ONNXRUNTIME").is_none_or(|word| word.is_empty()),
        "AURORA_ONNXRUNTIME names no library: .ci/run does"
    );
    let Some(library) = library else {
        let line =
            b"skipped: models in ONNX Runtime; AURORA_ONNXRUNTIME names no library: .ci/run brings one\n";
        std::io::Write::write_all(&mut std::io::stderr(), line).expect("standard error is open");
        return None;
    };
    let own = env::current_exe().expect("a test is a program");
    let program = own
        .ancestors()
        .nth(2)
        .expect("it lies in deps")
        .join("aurora-ort");
    assert!(
        program.exists(),
        "{} is missing: cargo build -p aurora-ort --features onnxruntime",
        program.display()
    );
    Some((program, library))
}

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/models")
        .join(name);
    fs::read(path).expect("a model of these tests")
}

pub(crate) fn open(name: &str, limits: Limits) -> Option<Result<Model, ArtifactError>> {
    let (program, library) = installed()?;
    let engines = Engines::with_onnx_runtime(Arc::new(OnnxRuntime::new(&program, &library, limits)));
    Some(Model::open_as(
        &bytes(name),
        (Engine::OnnxRuntime, &engines),
        |signature| signature,
    ))
}

pub(crate) fn numbers(numbers: &[f64]) -> Vec<Cell> {
    numbers
        .iter()
        .map(|number| {
            if number.is_nan() {
                Cell::Missing
            } else {
                Cell::Number(*number)
            }
        })
        .collect()
}
