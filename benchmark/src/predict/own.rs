//! The own predictors of LightGBM and XGBoost, in a process that speaks C with them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Asked;

const SOURCE: &str = include_str!("boosters.c");

/// Where the libraries of a Python lie.
pub(super) struct Libraries {
    pub(super) onnxruntime: PathBuf,
    lightgbm: PathBuf,
    xgboost: PathBuf,
}

/// Finds them.
pub(super) fn libraries(python: &Path) -> Result<Libraries> {
    let script = "import glob, importlib.util as i
for package, name in (('onnxruntime', 'capi/libonnxruntime.so*'), ('lightgbm', 'lib/lib_lightgbm.so'), ('xgboost', 'lib/libxgboost.so')):
    print(glob.glob(i.find_spec(package).submodule_search_locations[0] + '/' + name)[0])";
    let output = Command::new(python).args(["-c", script]).output()?;
    ensure!(
        output.status.success(),
        "{} lacks a package: {}",
        python.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let found = String::from_utf8(output.stdout)?;
    let mut found = found.lines().map(PathBuf::from);
    let mut next = || found.next().context("Python names no library");
    Ok(Libraries {
        onnxruntime: next()?,
        lightgbm: next()?,
        xgboost: next()?,
    })
}

/// Compiles what asks them; returns where it is.
pub(super) fn compile(folder: &Path) -> Result<PathBuf> {
    let (source, program) = (folder.join("boosters.c"), folder.join("boosters"));
    fs::write(&source, SOURCE)?;
    let status = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(&source)
        .arg("-ldl")
        .status()
        .context("run cc")?;
    ensure!(status.success(), "cc ended with {status}");
    Ok(program)
}

/// A model in its library's predictor; dropping it kills the process.
pub(super) struct Own {
    pub(super) library: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it writes what it predicts.
    values: PathBuf,
}

impl Own {
    /// Starts it where the model is one of a library that has a predictor.
    pub(super) fn start(program: &Path, libraries: &Libraries, asked: &Asked) -> Result<Option<Self>> {
        let known = [
            ("lightgbm", "lightgbm.txt", &libraries.lightgbm),
            ("xgboost", "xgboost.ubj", &libraries.xgboost),
        ];
        let found = known
            .into_iter()
            .find(|(_, file, _)| asked.folder.join(file).exists());
        let Some((name, file, library)) = found else {
            return Ok(None);
        };
        let mut child = Command::new(program)
            .arg(library)
            .arg(name)
            .arg(asked.folder.join(file))
            .arg(asked.folder.join("numbers"))
            .arg(asked.width.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("invariant: stdin is piped")?;
        let output = child.stdout.take().context("invariant: stdout is piped")?;
        Ok(Some(Self {
            library: name,
            child,
            input,
            output: BufReader::new(output),
            values: asked.folder.join("values"),
        }))
    }

    /// Returns the nanoseconds of a row, one at a time or in batches.
    pub(super) fn measure(&mut self, rows: usize) -> Result<f64> {
        self.ask(if rows == 1 { "single" } else { "batch" })
    }

    /// Returns what it predicts for every row.
    pub(super) fn values(&mut self) -> Result<Vec<f32>> {
        self.ask(&format!("values {}", self.values.display()))?;
        let bytes = fs::read(&self.values)?;
        let (chunks, _rest) = bytes.as_chunks();
        Ok(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    fn ask(&mut self, what: &str) -> Result<f64> {
        writeln!(self.input, "{what}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim()
            .parse()
            .with_context(|| format!("the predictor of {} ended", self.library))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A process that has ended by itself is what we want too.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
