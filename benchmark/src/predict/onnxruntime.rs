//! onnxruntime by its C interface, one thread.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorRef};

use super::Asked;

/// Loads the library.
pub(super) fn load(library: &Path) -> Result<Environment> {
    Ok(ort::init_from(library)?.build()?)
}

/// A model as onnxruntime runs it.
pub(super) struct Onnxruntime {
    session: Session,
    /// The last output: numbers.
    output: String,
}

impl Onnxruntime {
    pub(super) fn open(environment: &Environment, model: &Path) -> Result<Self> {
        // An error holds the builder, which no other thread may have.
        let told = |error: ort::Error<SessionBuilder>| anyhow!("{error}");
        let builder = Session::builder(environment)?;
        let builder = builder
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(told)?;
        let builder = builder.with_intra_threads(1).map_err(told)?;
        let mut builder = builder.with_inter_threads(1).map_err(told)?;
        let session = builder.commit_from_file(model)?;
        let output = session.outputs().last().context("a model has outputs")?;
        Ok(Self {
            output: output.name().to_owned(),
            session,
        })
    }

    /// Returns the numbers of the last output for some rows.
    pub(super) fn ask(&mut self, asked: &Asked, first: usize, rows: usize) -> Result<Vec<f32>> {
        let numbers = TensorRef::from_array_view(([rows, asked.width], asked.numbers(first, rows)))?;
        // In the order in which they were declared: numbers, then texts.
        let answers = if asked.columns == 0 {
            self.session.run([SessionInputValue::from(numbers)])?
        } else {
            let texts = Tensor::from_string_array(([rows, asked.columns], asked.texts(first, rows)))?;
            self.session
                .run([SessionInputValue::from(numbers), SessionInputValue::from(texts)])?
        };
        let (_shape, answered) = answers[self.output.as_str()].try_extract_tensor::<f32>()?;
        Ok(answered.to_vec())
    }
}
