//! Operators that look at shapes alone: the elements stay where they are.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Values, with, written};

type Done = Result<(), Refusal>;

pub(super) fn identity(node: &mut Node<'_, '_>) -> Done {
    node.at_most(1)?;
    let input = node.input(0)?;
    node.give(input);
    Ok(())
}

/// `Dropout` drops nothing when a model answers; its mask says that all were kept.
pub(super) fn dropout(node: &mut Node<'_, '_>) -> Done {
    node.ignore(&["ratio", "seed", "is_test"]);
    if let Some(training) = node.optional_input(2)?
        && node.known::<bool>(&training, "training_mode")?.contains(&true)
    {
        return Err(node.unsupported("is in training mode", "inference"));
    }
    let input = node.input(0)?;
    node.give(input);
    Ok(())
}

pub(super) fn constant(node: &mut Node<'_, '_>) -> Done {
    let (shape, elements) = if let Some(tensor) = node.tensor("value")? {
        tensor
    } else if node.has("value_float") {
        (Vec::new(), Buffer::F32(vec![node.float("value_float", 0.0)?]))
    } else if node.has("value_int") {
        (Vec::new(), Buffer::I64(vec![node.int("value_int", 0)?]))
    } else if node.has("value_string") {
        let text = node.bytes("value_string")?.unwrap_or_default();
        (Vec::new(), Buffer::Text(vec![node.symbol(text)?]))
    } else if node.has("value_floats") {
        let floats = node.floats("value_floats")?;
        (vec![floats.len()], Buffer::F32(floats))
    } else if node.has("value_ints") {
        let ints = node.ints("value_ints")?;
        (vec![ints.len()], Buffer::I64(ints))
    } else if node.has("value_strings") {
        let texts = node.texts("value_strings")?;
        let texts = node.symbols(&texts)?;
        (vec![texts.len()], Buffer::Text(texts))
    } else {
        return Err(node.unsupported(
            "has no dense value",
            "value, value_float, value_int, value_string and their lists",
        ));
    };
    let fact = node.build.constant(&shape, elements)?;
    node.give(fact);
    Ok(())
}

pub(super) fn shape(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let rank = i64::try_from(input.rank()).unwrap_or(i64::MAX);
    let bound = |value: i64| {
        let from_start = if value < 0 { value + rank } else { value };
        usize::try_from(from_start.clamp(0, rank)).unwrap_or(0)
    };
    let (start, end) = (bound(node.int("start", 0)?), bound(node.int("end", rank)?));
    let extents = input.shape.get(start..end).unwrap_or_default().to_vec();
    let place = node.place.clone();
    let fact = node.build.extents_value(&place, &[extents.len()], extents)?;
    node.give(fact);
    Ok(())
}

/// All elements are the same one.
struct Fill {
    value: Buffer,
}

impl Kernel for Fill {
    fn run(&self, _values: &Values<'_>, out: &mut [Buffer]) {
        fn fill<T: Element>(value: &[T], out: &mut Buffer) {
            T::of_mut(out).fill(value[0]);
        }
        with!(&self.value, value => fill(value, &mut out[0]));
    }
}

pub(super) fn constant_of_shape(node: &mut Node<'_, '_>) -> Done {
    let value = node
        .tensor("value")?
        .map_or(Buffer::F32(vec![0.0]), |(_, value)| value);
    if value.len() != 1 {
        return Err(node.inconsistent(format!("has a value of {} elements, not one", value.len())));
    }
    let wanted = node.input(0)?;
    let Some(shape) = node.build.extents(&wanted) else {
        return Err(node.unsupported("takes a shape from a request", "a constant, or what Shape gives"));
    };
    let element = value.element();
    node.emit(Fill { value }, element, shape, &[])
}

pub(super) fn flatten(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let rank = i64::try_from(input.rank()).unwrap_or(i64::MAX);
    let axis = node.int("axis", 1)?;
    let from_start = if axis < 0 { axis + rank } else { axis };
    let Some(axis) = usize::try_from(from_start)
        .ok()
        .filter(|axis| *axis <= input.rank())
    else {
        return Err(node.inconsistent(format!("has axis {axis}, and its input has {rank} axes")));
    };
    let shape = vec![product(&input.shape[..axis]), product(&input.shape[axis..])];
    keep(node, input, shape)
}

/// Returns the extent of several axes taken as one.
fn product(shape: &[Dim]) -> Dim {
    let fixed = shape
        .iter()
        .fold(1_usize, |total, dim| total.saturating_mul(dim.at(1)));
    if shape.iter().any(|dim| dim.is_rows()) {
        Dim::Rows(fixed)
    } else {
        Dim::Fixed(fixed)
    }
}

/// Gives a value another shape, if that leaves each row's elements in its own rows.
fn keep(node: &mut Node<'_, '_>, input: Fact, shape: Vec<Dim>) -> Done {
    let mixed = |node: &Node<'_, '_>| {
        node.unsupported(
            format!(
                "makes {} of {}, which mixes rows",
                written(&shape),
                written(&input.shape)
            ),
            "shapes that keep rows apart",
        )
    };
    if product(&input.shape) != product(&shape) {
        let problem = format!("makes {} of {}", written(&shape), written(&input.shape));
        return Err(node.inconsistent(problem));
    }
    let before = |shape: &[Dim]| {
        let axis = shape.iter().position(|dim| dim.is_rows())?;
        Some(product(&shape[..axis]))
    };
    if before(&input.shape) != before(&shape) {
        return Err(mixed(node));
    }
    node.reshape(input, shape)
}

pub(super) fn reshape(node: &mut Node<'_, '_>) -> Done {
    let allow_zero = node.flag("allowzero", false)?;
    let input = node.stack()?;
    let wanted = if node.has("shape") {
        Wanted::Numbers(node.ints("shape")?)
    } else {
        let shape = node.input(1)?;
        match (node.build.known::<i64>(&shape), &shape.extents) {
            (Some(numbers), _) => Wanted::Numbers(numbers.to_vec()),
            (None, Some(extents)) => Wanted::Extents(extents.clone()),
            (None, None) => {
                return Err(
                    node.unsupported("takes a shape from a request", "a constant, or what Shape gives")
                );
            }
        }
    };
    let shape = match wanted {
        Wanted::Extents(extents) => extents,
        Wanted::Numbers(numbers) if input.is_stack && numbers.contains(&0) => {
            return Err(node.unsupported(format!("keeps axes of {}", written(&input.shape)), "numbers"));
        }
        Wanted::Numbers(numbers) => resolve(node, &input, &numbers, allow_zero)?,
    };
    keep(node, input, shape)
}

enum Wanted {
    Numbers(Vec<i64>),
    Extents(Vec<Dim>),
}

/// Returns the shape that numbers mean: 0 is the input's own axis, -1 is what is left.
///
/// A model that was traced with one row says 1 where it means the rows.
fn resolve(
    node: &Node<'_, '_>,
    input: &Fact,
    numbers: &[i64],
    allow_zero: bool,
) -> Result<Vec<Dim>, Refusal> {
    let mut shape = Vec::with_capacity(numbers.len());
    let mut open = None;
    for (axis, number) in numbers.iter().enumerate() {
        let dim = match *number {
            0 if !allow_zero => match input.shape.get(axis) {
                Some(dim) => *dim,
                None => {
                    return Err(node.inconsistent(format!("has 0 for axis {axis}, which its input lacks")));
                }
            },
            -1 if open.is_none() => {
                open = Some(axis);
                Dim::Fixed(1)
            }
            number => match usize::try_from(number) {
                Ok(number) => Dim::Fixed(number),
                Err(_) => return Err(node.inconsistent(format!("has shape {numbers:?}"))),
            },
        };
        shape.push(dim);
    }
    let all = product(&input.shape);
    match open {
        Some(axis) => {
            let given = product(&shape);
            let rest = all.at(1).checked_div(given.at(1)).unwrap_or(0);
            shape[axis] = if all.is_rows() && !given.is_rows() {
                Dim::Rows(rest)
            } else {
                Dim::Fixed(rest)
            };
        }
        None if all.is_rows()
            && product(&shape) == Dim::Fixed(all.at(1))
            && shape.first() == Some(&Dim::Fixed(1)) =>
        {
            shape[0] = Dim::Rows(1);
        }
        None => {}
    }
    Ok(shape)
}

pub(super) fn squeeze(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let axes = match node.ints_or_input("axes", 1)? {
        Some(axes) => axes
            .iter()
            .map(|axis| node.axis(*axis, input.rank()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..input.rank())
            .filter(|axis| input.shape[*axis] == Dim::Fixed(1))
            .collect(),
    };
    if let Some(axis) = axes.iter().find(|axis| input.shape[**axis] != Dim::Fixed(1)) {
        let found = format!("drops axis {axis} of {}", written(&input.shape));
        return Err(node.unsupported(found, "axes of one entry"));
    }
    let shape = input
        .shape
        .iter()
        .enumerate()
        .filter(|(axis, _)| !axes.contains(axis));
    let shape: Vec<Dim> = shape.map(|(_, dim)| *dim).collect();
    node.reshape(input, shape)
}

pub(super) fn unsqueeze(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let axes = node.ints_or_input("axes", 1)?.unwrap_or_default();
    let rank = input.rank() + axes.len();
    let mut axes = axes
        .iter()
        .map(|axis| node.axis(*axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    let mut shape = input.shape.clone();
    for axis in axes {
        if axis > shape.len() {
            return Err(node.inconsistent(format!("adds axis {axis} to {}", written(&shape))));
        }
        shape.insert(axis, Dim::Fixed(1));
    }
    node.reshape(input, shape)
}

/// Says what [`Dim`] is fixed to, or refuses with words.
pub(super) fn fixed(node: &Node<'_, '_>, dim: Dim, what: &str) -> Result<usize, Refusal> {
    dim.fixed()
        .ok_or_else(|| node.unsupported(format!("has rows as {what}"), "a fixed number"))
}
