//! Operators that bring features to a common scale, or put something in the place of what is missing.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use std::marker::PhantomData;

use num_traits::{AsPrimitive, Float};

use super::linear::matrix;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{
    Buffer, Dim, Element, Kernel, Missing, Real, Source, Type, Values, count, with_float, with_number,
};

type Done = Result<(), Refusal>;

/// `(x − offset) · scale`, column by column.
struct Scaler {
    source: Source,
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Kernel for Scaler {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let columns = self.offset.len();
        let rows = values.of::<f32>(self.source).chunks_exact(columns);
        for (row, out) in rows.zip(f32::of_mut(&mut out[0]).chunks_exact_mut(columns)) {
            for (((out, x), offset), scale) in out.iter_mut().zip(row).zip(&self.offset).zip(&self.scale) {
                *out = (x - offset) * scale;
            }
        }
    }
}

/// Makes a list as long as a row has columns: one entry stands for all.
fn per_column<T: Copy>(
    node: &Node<'_, '_>,
    name: &str,
    entries: Vec<T>,
    width: usize,
) -> Result<Vec<T>, Refusal> {
    match entries.len() {
        1 => Ok(vec![entries[0]; width]),
        found if found == width => Ok(entries),
        found => {
            let problem = format!("has {found} entries, and a row has {width}");
            Err(Refusal::inconsistent(node.attribute_place(name), problem))
        }
    }
}

pub(super) fn scaler(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let mut offset = node.floats("offset")?;
    if offset.is_empty() {
        offset.push(0.0);
    }
    let mut scale = node.floats("scale")?;
    if scale.is_empty() {
        scale.push(1.0);
    }
    let kernel = Scaler {
        source: rows.source,
        offset: per_column(node, "offset", offset, width)?,
        scale: per_column(node, "scale", scale, width)?,
    };
    let shape = rows.shape.clone();
    node.emit(kernel, Type::F32, shape, &[&rows])
}

/// By what a row is divided.
#[derive(Debug, Clone, Copy)]
enum Norm {
    Max,
    L1,
    L2,
}

struct Normalizer {
    source: Source,
    width: usize,
    norm: Norm,
}

impl Kernel for Normalizer {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<f32>(self.source).chunks_exact(self.width);
        for (row, out) in rows.zip(f32::of_mut(&mut out[0]).chunks_exact_mut(self.width)) {
            let norm: f32 = match self.norm {
                Norm::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Norm::L1 => row.iter().map(|x| x.abs()).sum(),
                Norm::L2 => row.iter().map(|x| x * x).sum(),
            };
            for (out, x) in out.iter_mut().zip(row) {
                *out = match self.norm {
                    _ if norm == 0.0 => *x,
                    Norm::Max | Norm::L1 => x / norm,
                    // As onnxruntime: where the squares are too large, it is no number.
                    Norm::L2 => (x * x / norm).sqrt().copysign(*x),
                };
            }
        }
    }
}

pub(super) fn normalizer(node: &mut Node<'_, '_>) -> Done {
    let norm = match node.text("norm", "MAX")?.as_str() {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        other => {
            let place = node.attribute_place("norm");
            return Err(Refusal::unsupported(
                place,
                format!("is {other:?}"),
                "MAX, L1 and L2",
            ));
        }
    };
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let shape = rows.shape.clone();
    let kernel = Normalizer {
        source: rows.source,
        width,
        norm,
    };
    let place = node.place.clone();
    let mut fact = node.build.emit(&place, kernel, Type::F32, shape, &[&rows])?;
    fact.labels = rows.labels;
    node.give(fact);
    Ok(())
}

struct Binarizer<T> {
    source: Source,
    threshold: T,
}

impl<T: Element + PartialOrd + num_traits::One> Kernel for Binarizer<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        for (out, x) in T::of_mut(&mut out[0]).iter_mut().zip(values.of::<T>(self.source)) {
            *out = if *x > self.threshold {
                T::one()
            } else {
                T::default()
            };
        }
    }
}

pub(super) fn binarizer(node: &mut Node<'_, '_>) -> Done {
    let threshold = node.float("threshold", 0.0)?;
    let input = node.input(0)?;
    with_number!(input.element, T => {
        let kernel = Binarizer::<T> {
            source: input.source,
            threshold: threshold.as_(),
        };
        node.emit(kernel, input.element, input.shape.clone(), &[&input])
    }, Err(node.wrong_type(input.element, "numbers")))
}

/// Puts a number of its column in the place of what is missing.
struct Imputer<T> {
    source: Source,
    missing: T,
    imputed: Vec<T>,
}

impl<T: Element + PartialOrd> Kernel for Imputer<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let columns = self.imputed.len();
        let rows = values.of::<T>(self.source).chunks_exact(columns);
        // A NaN differs from itself: where that is what is missing, all NaN are.
        let is_nan = |x: T| x.partial_cmp(&x).is_none();
        for (row, out) in rows.zip(T::of_mut(&mut out[0]).chunks_exact_mut(columns)) {
            for ((out, x), imputed) in out.iter_mut().zip(row).zip(&self.imputed) {
                let is_missing = *x == self.missing || (is_nan(self.missing) && is_nan(*x));
                *out = if is_missing { *imputed } else { *x };
            }
        }
    }

    fn missing(&self) -> Missing {
        match self.missing.partial_cmp(&self.missing) {
            None => Missing::Ends,
            Some(_) => Missing::Spreads,
        }
    }
}

pub(super) fn imputer(node: &mut Node<'_, '_>) -> Done {
    let floats = node.floats("imputed_value_floats")?;
    let whole = node.ints("imputed_value_int64s")?;
    let missing_float = node.float("replaced_value_float", 0.0)?;
    let missing_whole = node.int("replaced_value_int64", 0)?;
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[Type::F64, Type::I64])?;
    let shape = rows.shape.clone();
    if rows.element == Type::I64 {
        let kernel = Imputer {
            source: rows.source,
            missing: missing_whole,
            imputed: per_column(node, "imputed_value_int64s", whole, width)?,
        };
        return node.emit(kernel, Type::I64, shape, &[&rows]);
    }
    let imputed = per_column(node, "imputed_value_floats", floats, width)?;
    with_float!(rows.element, T => {
        let kernel = Imputer::<T> {
            source: rows.source,
            missing: missing_float.as_(),
            imputed: imputed.iter().map(|value| value.as_()).collect(),
        };
        node.emit(kernel, rows.element, shape, &[&rows])
    }, Err(node.wrong_type(rows.element, "numbers")))
}

/// `scale · (x − mean) / √(variance + ε) + bias`, channel by channel.
struct BatchNormalization<T> {
    source: Source,
    channels: usize,
    inner: Vec<Dim>,
    /// What each channel is multiplied with and what is added.
    lines: Vec<(T, T)>,
    types: PhantomData<fn(T)>,
}

impl<T: Element + Float> Kernel for BatchNormalization<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let inner = count(&self.inner, values.rows);
        for (at, (out, x)) in T::of_mut(&mut out[0])
            .iter_mut()
            .zip(values.of::<T>(self.source))
            .enumerate()
        {
            let (factor, added) = self.lines[(at / inner) % self.channels];
            *out = *x * factor + added;
        }
    }
}

pub(super) fn batch_normalization(node: &mut Node<'_, '_>) -> Done {
    node.ignore(&["momentum", "spatial", "is_test"]);
    if node.flag("training_mode", false)? {
        return Err(node.unsupported("is in training mode", "inference"));
    }
    let epsilon = node.float("epsilon", 1e-5)?;
    let input = node.input(0)?;
    let channels = match input.shape.get(1) {
        Some(Dim::Fixed(channels)) => *channels,
        _ => return Err(node.wrong_shape(&input.shape, "[rows, channels, …]")),
    };
    with_float!(input.element, T => {
        let mut parameters = Vec::new();
        for (index, name) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
            let fact = node.input(index + 1)?;
            let numbers = node.known::<T>(&fact, name)?;
            if numbers.len() != channels {
                return Err(node.inconsistent(format!("has a {name} of {} entries, and there are {channels} channels", numbers.len())));
            }
            parameters.push(numbers);
        }
        let epsilon: T = epsilon.as_();
        let lines = (0..channels).map(|channel| {
            let factor = parameters[0][channel] / (parameters[3][channel] + epsilon).sqrt();
            (factor, parameters[1][channel] - parameters[2][channel] * factor)
        });
        let kernel = BatchNormalization::<T> {
            source: input.source,
            channels,
            inner: input.shape[2..].to_vec(),
            lines: lines.collect(),
            types: PhantomData,
        };
        node.emit(kernel, input.element, input.shape.clone(), &[&input])
    }, Err(node.wrong_type(input.element, "FP32 or FP64")))
}

/// Brings the entries of the last axes to a mean of 0 and a deviation of 1, then scales and moves them.
struct LayerNormalization<T> {
    source: Source,
    /// How many are brought so for a row of a request.
    rows: usize,
    epsilon: T,
    scale: Vec<T>,
    bias: Vec<T>,
}

impl<T: Real> Kernel for LayerNormalization<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let length = self.scale.len();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a row has fewer entries than a double counts"
        )]
        let count = T::nearest(length as f64);
        let rows = values.of::<T>(self.source).chunks_exact(length);
        for (row, out) in rows.zip(T::of_mut(&mut out[0]).chunks_exact_mut(length)) {
            let mean = row.iter().fold(T::zero(), |sum, x| sum + *x) / count;
            let squares = row.iter().map(|x| (*x - mean) * (*x - mean));
            let deviation = (squares.fold(T::zero(), |sum, x| sum + x) / count + self.epsilon).sqrt();
            let lines = self.scale.iter().zip(&self.bias);
            for ((out, x), (scale, bias)) in out.iter_mut().zip(row).zip(lines) {
                *out = (*x - mean) / deviation * *scale + *bias;
            }
        }
    }

    fn work(&self) -> usize {
        6 * self.rows * self.scale.len()
    }
}

pub(super) fn layer_normalization(node: &mut Node<'_, '_>) -> Done {
    node.ignore(&["stash_type"]);
    let epsilon = node.float("epsilon", 1e-5)?;
    let axis = node.int("axis", -1)?;
    let input = node.input(0)?;
    let axis = node.axis(axis, input.rank())?;
    for axis in axis..input.rank() {
        node.not_rows(&input, axis)?;
    }
    let length = count(&input.shape[axis..], 1);
    let (scale, bias) = (node.input(1)?, node.optional_input(2)?);
    with_float!(input.element, T => {
        let scale = node.known::<T>(&scale, "scale")?;
        let bias = match bias {
            Some(bias) => node.known::<T>(&bias, "bias")?,
            None => vec![0.0; length],
        };
        if scale.len() != length || bias.len() != length || length == 0 {
            let problem = format!("has {} scales and {} offsets for {length} entries", scale.len(), bias.len());
            return Err(node.inconsistent(problem));
        }
        let kernel = LayerNormalization::<T> {
            source: input.source,
            rows: count(&input.shape[..axis], 1),
            epsilon: epsilon.as_(),
            scale,
            bias,
        };
        node.emit(kernel, input.element, input.shape.clone(), &[&input])
    }, Err(node.wrong_type(input.element, "FP32 or FP64")))
}
