//! `Scan`, in the one form in which skl2onnx writes distances: the rows of a request stay as they are, each step takes one
//! point of the model, and gives how far each row is from it.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx__Scan.html>; the body is `onnx_cdist` of skl2onnx.

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::node::Node;
use crate::onnx;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Kernel, Real, Source, Values, with_float};

/// What is done to the difference of a row and a point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// The sum of squares.
    SquaredEuclidean,
    /// The sum of absolute values.
    Manhattan,
    /// The largest absolute value.
    Chebyshev,
    /// The sum of absolute values raised to a power, without the root.
    Powers(f64),
}

struct Distances<T> {
    rows: Source,
    points: Source,
    /// How many points there are.
    count: usize,
    width: usize,
    metric: Metric,
    /// What the body does with the sum, in its order.
    after: Vec<After>,
    types: PhantomData<fn(T)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Root,
    Power(f64),
}

impl<T: Real> Kernel for Distances<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<T>(self.rows);
        let count = rows.len() / self.width;
        let points = values.of::<T>(self.points).chunks_exact(self.width);
        for (point, out) in points.zip(T::of_mut(&mut out[0]).chunks_exact_mut(count.max(1))) {
            for (row, out) in rows.chunks_exact(self.width).zip(out) {
                let mut apart = self.between(row, point);
                for after in &self.after {
                    apart = match after {
                        After::Root => apart.sqrt(),
                        After::Power(exponent) => apart.powf(T::nearest(*exponent)),
                    };
                }
                *out = apart;
            }
        }
    }

    fn work(&self) -> usize {
        3 * self.width * self.count
    }
}

impl<T: Real> Distances<T> {
    fn between(&self, row: &[T], point: &[T]) -> T {
        let differences = row.iter().zip(point).map(|(x, y)| *x - *y);
        match self.metric {
            Metric::SquaredEuclidean => differences.fold(T::zero(), |sum, x| sum + x * x),
            Metric::Manhattan => differences.fold(T::zero(), |sum, x| sum + x.abs()),
            Metric::Chebyshev => differences.fold(T::zero(), |most, x| most.max(x.abs())),
            Metric::Powers(exponent) => {
                let exponent = T::nearest(exponent);
                differences.fold(T::zero(), |sum, x| sum + x.abs().powf(exponent))
            }
        }
    }
}

pub(super) fn scan(node: &mut Node<'_, '_>) -> Result<(), Refusal> {
    node.ignore(&[
        "scan_input_axes",
        "scan_output_axes",
        "scan_input_directions",
        "scan_output_directions",
    ]);
    let is_one =
        node.int("num_scan_inputs", 0)? == 1 && node.input_count() == 2 && node.raw.outputs.len() == 2;
    let body = node.graph("body")?;
    let (rows, points) = (node.input(0)?, node.input(1)?);
    let supported = "distances to constant points, as skl2onnx writes them";
    let chain = read_body(&body, node)?;
    let (Some((metric, after)), true) = (chain, is_one) else {
        let operators: Vec<&str> = body.nodes.iter().map(|inner| inner.operator).collect();
        return Err(node.unsupported(format!("has the body {}", operators.join(", ")), supported));
    };
    let (width, count) = match (rows.shape.as_slice(), points.shape.as_slice()) {
        ([_, Dim::Fixed(width)], [Dim::Fixed(count), Dim::Fixed(own)])
            if width == own && *width > 0 && rows.element == points.element =>
        {
            (*width, *count)
        }
        _ => return Err(node.wrong_shape(&rows.shape, supported)),
    };
    let shape = vec![Dim::Fixed(count), rows.shape[0]];
    let element = rows.element;
    node.give(rows.clone());
    with_float!(element, T => {
        let kernel = Distances::<T> {
            rows: rows.source,
            points: points.source,
            count,
            width,
            metric,
            after,
            types: PhantomData,
        };
        node.emit(kernel, element, shape, &[&rows, &points])
    }, Err(node.wrong_type(element, "FP32 or FP64")))
}

/// Reads what the body does with the difference of the rows and the point; `None` where it is of another form.
fn read_body(
    body: &onnx::Graph<'_>,
    node: &mut Node<'_, '_>,
) -> Result<Option<(Metric, Vec<After>)>, Refusal> {
    let [state, point] = body.inputs.as_slice() else {
        return Ok(None);
    };
    let [kept, given] = body.outputs.as_slice() else {
        return Ok(None);
    };
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut chain: Vec<&onnx::Node<'_>> = Vec::new();
    let mut last = None;
    for inner in &body.nodes {
        let input = inner
            .inputs
            .first()
            .map_or("", |name| names.get(name).copied().unwrap_or(name));
        let output = inner.outputs.first().copied().unwrap_or("");
        if inner.operator == "Identity" {
            names.insert(output, input);
            continue;
        }
        let is_next = match last {
            None => {
                inner.operator == "Sub" && input == state.name && inner.inputs.get(1) == Some(&point.name)
            }
            Some(last) => input == last,
        };
        if !is_next || !inner.domain.is_empty() {
            return Ok(None);
        }
        last = Some(output);
        chain.push(inner);
    }
    let source_of = |name: &str| names.get(name).copied().unwrap_or("").to_owned();
    if source_of(kept.name) != state.name || last.is_none_or(|last| source_of(given.name) != last) {
        return Ok(None);
    }
    // The one tensor of the body beside axes is an exponent.
    let exponent = |inner: &onnx::Node<'_>, node: &mut Node<'_, '_>| -> Result<Option<f64>, Refusal> {
        let Some(name) = inner.inputs.get(1) else {
            return Ok(None);
        };
        let Some(tensor) = body.initializers.iter().find(|tensor| tensor.name == *name) else {
            return Ok(None);
        };
        let limits = node.build.limits;
        let (_, values) = tensor.values(&mut node.build.symbols, limits)?;
        Ok(match values {
            Buffer::F32(numbers) if numbers.len() == 1 => Some(f64::from(numbers[0])),
            Buffer::F64(numbers) if numbers.len() == 1 => Some(numbers[0]),
            _ => None,
        })
    };
    let operators: Vec<&str> = chain.iter().map(|inner| inner.operator).collect();
    let (metric, rest) = match operators.as_slice() {
        ["Sub", "ReduceSumSquare", ..] => (Metric::SquaredEuclidean, 2),
        ["Sub", "Abs", "ReduceSum", ..] => (Metric::Manhattan, 3),
        ["Sub", "Abs", "ReduceMax", ..] => (Metric::Chebyshev, 3),
        ["Sub", "Abs", "Pow", "ReduceSum", ..] => match exponent(chain[2], node)? {
            Some(exponent) => (Metric::Powers(exponent), 4),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let mut after = Vec::new();
    for inner in &chain[rest..] {
        after.push(match inner.operator {
            "Sqrt" => After::Root,
            "Pow" => match exponent(inner, node)? {
                Some(exponent) => After::Power(exponent),
                None => return Ok(None),
            },
            _ => return Ok(None),
        });
    }
    // A distance has one number for each row: the reduction is along the last axis, which is then gone.
    let reduction = chain[rest - 1];
    let keeps = reduction
        .attributes
        .iter()
        .find(|attribute| attribute.name == "keepdims");
    if keeps.is_none_or(|keeps| keeps.int().ok() != Some(0)) {
        return Ok(None);
    }
    Ok(Some((metric, after)))
}
