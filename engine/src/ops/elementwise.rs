//! Operators that look at one entry of each input at a time.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use std::marker::PhantomData;

use num_traits::{AsPrimitive, Float};

use super::walk::{Walk, broadcast};
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{
    Buffer, Dim, Element, Kernel, Source, Symbol, Type, Values, with_float, with_number, with_type,
};

type Done = Result<(), Refusal>;

/// One value, entry by entry.
struct Map<T, U, F> {
    source: Source,
    function: F,
    types: PhantomData<fn(T) -> U>,
}

impl<T: Element, U: Element, F: Fn(T) -> U + Send + Sync> Kernel for Map<T, U, F> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        for (out, entry) in U::of_mut(&mut out[0]).iter_mut().zip(entries) {
            *out = (self.function)(*entry);
        }
    }
}

/// Two values, entry by entry, stretched to one shape.
struct Zip<T, U, F> {
    left: Source,
    right: Source,
    shape: Vec<Dim>,
    shapes: [Vec<Dim>; 2],
    function: F,
    types: PhantomData<fn(T) -> U>,
}

impl<T: Element, U: Element, F: Fn(T, T) -> U + Send + Sync> Kernel for Zip<T, U, F> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let (left, right) = (values.of::<T>(self.left), values.of::<T>(self.right));
        let out = U::of_mut(&mut out[0]);
        let function = &self.function;
        if left.len() == out.len() && right.len() == out.len() {
            for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
                *out = function(*left, *right);
            }
            return;
        }
        let walk = Walk::new(&self.shape, [&self.shapes[0], &self.shapes[1]], values.rows);
        let steps = (walk.step(0), walk.step(1));
        walk.each(|start, length, [a, b]| {
            let out = &mut out[start..start + length];
            match steps {
                (0, 0) => out.fill_with(|| function(left[a], right[b])),
                (0, _) => {
                    let left = left[a];
                    out.iter_mut()
                        .zip(&right[b..b + length])
                        .for_each(|(out, right)| *out = function(left, *right));
                }
                (_, 0) => {
                    let right = right[b];
                    out.iter_mut()
                        .zip(&left[a..a + length])
                        .for_each(|(out, left)| *out = function(*left, right));
                }
                _ => {
                    let pairs = left[a..a + length].iter().zip(&right[b..b + length]);
                    out.iter_mut()
                        .zip(pairs)
                        .for_each(|(out, (left, right))| *out = function(*left, *right));
                }
            }
        });
    }
}

/// `Where`: one of two values, by a third.
struct Choose<T> {
    sources: [Source; 3],
    shape: Vec<Dim>,
    shapes: [Vec<Dim>; 3],
    types: PhantomData<fn(T)>,
}

impl<T: Element> Kernel for Choose<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let condition = values.of::<bool>(self.sources[0]);
        let (yes, no) = (values.of::<T>(self.sources[1]), values.of::<T>(self.sources[2]));
        let out = T::of_mut(&mut out[0]);
        let shapes = [self.shapes[0].as_slice(), &self.shapes[1], &self.shapes[2]];
        let walk = Walk::new(&self.shape, shapes, values.rows);
        let steps = [walk.step(0), walk.step(1), walk.step(2)];
        walk.each(|start, length, [c, y, n]| {
            for (entry, out) in out[start..start + length].iter_mut().enumerate() {
                *out = if condition[c + entry * steps[0]] {
                    yes[y + entry * steps[1]]
                } else {
                    no[n + entry * steps[2]]
                };
            }
        });
    }
}

fn map<T: Element, U: Element>(
    node: &mut Node<'_, '_>,
    function: impl Fn(T) -> U + Send + Sync + 'static,
) -> Done {
    node.at_most(1)?;
    let input = node.input(0)?;
    map_fact(node, &input, function)
}

fn map_fact<T: Element, U: Element>(
    node: &mut Node<'_, '_>,
    input: &Fact,
    function: impl Fn(T) -> U + Send + Sync + 'static,
) -> Done {
    let kernel = Map {
        source: input.source,
        function,
        types: PhantomData,
    };
    node.emit(kernel, U::TYPE, input.shape.clone(), &[input])
}

fn zip<T: Element, U: Element>(
    node: &mut Node<'_, '_>,
    left: &Fact,
    right: &Fact,
    function: impl Fn(T, T) -> U + Send + Sync + 'static,
) -> Result<Fact, Refusal> {
    let shape = broadcast(node, &[&left.shape, &right.shape])?;
    let kernel = Zip {
        left: left.source,
        right: right.source,
        shape: shape.clone(),
        shapes: [left.shape.clone(), right.shape.clone()],
        function,
        types: PhantomData,
    };
    let place = node.place.clone();
    node.build.emit(&place, kernel, U::TYPE, shape, &[left, right])
}

fn pair(node: &Node<'_, '_>) -> Result<(Fact, Fact), Refusal> {
    node.at_most(2)?;
    let (left, right) = (node.input(0)?, node.input(1)?);
    if left.element != right.element {
        return Err(node.unsupported(
            format!("takes {} and {}", left.element, right.element),
            "two of one type",
        ));
    }
    Ok((left, right))
}

/// Operators over one floating-point value.
macro_rules! over_floats {
    ($($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            let input = node.input(0)?;
            with_float!(input.element, T => map::<T, _>(node, $function), Err(node.wrong_type(input.element, "FP32 or FP64")))
        })+
    };
}

over_floats! {
    ceil: |x: T| x.ceil();
    exp: |x: T| x.exp();
    floor: |x: T| x.floor();
    is_nan: |x: T| x.is_nan();
    log: |x: T| x.ln();
    reciprocal: |x: T| x.recip();
    round: |x: T| x.round_ties_even();
    sigmoid: |x: T| sigmoid_of(x);
    mish: |x: T| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh();
    softsign: |x: T| x / (x.abs() + 1.0);
    hard_swish: |x: T| x * (x / 6.0 + 0.5).clamp(0.0, 1.0);
    softplus: |x: T| x.max(0.0) + (-x.abs()).exp().ln_1p();
    sqrt: |x: T| x.sqrt();
    tanh: |x: T| x.tanh();
    erf: |x: T| Error::erf(x);
}

/// Operators over two numbers.
macro_rules! over_pairs {
    ($($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            legacy_axis(node)?;
            let (left, right) = pair(node)?;
            let fact = with_number!(left.element, T => zip::<T, _>(node, &left, &right, $function)?,
                return Err(node.wrong_type(left.element, "numbers")));
            node.give(fact);
            Ok(())
        })+
    };
}

over_pairs! {
    add: |a: T, b: T| Number::plus(a, b);
    sub: |a: T, b: T| Number::minus(a, b);
    mul: |a: T, b: T| Number::times(a, b);
    div: |a: T, b: T| Number::over(a, b);
    less: |a: T, b: T| a < b;
    less_or_equal: |a: T, b: T| a <= b;
    greater: |a: T, b: T| a > b;
    greater_or_equal: |a: T, b: T| a >= b;
}

/// Operators over two truth values.
macro_rules! over_truths {
    ($($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            let (left, right) = pair(node)?;
            if left.element != Type::Bool {
                return Err(node.wrong_type(left.element, "BOOL"));
            }
            let fact = zip::<bool, bool>(node, &left, &right, $function)?;
            node.give(fact);
            Ok(())
        })+
    };
}

over_truths! {
    and: |a, b| a && b;
    or: |a, b| a || b;
    xor: |a, b| a != b;
}

/// Before operator set 7 stretching had to be asked for; its attributes are not read.
fn legacy_axis(node: &Node<'_, '_>) -> Done {
    if node.has("broadcast") {
        return Err(node.unsupported("has the attribute \"broadcast\" of operator set 6", "7 and later"));
    }
    Ok(())
}

pub(super) fn equal(node: &mut Node<'_, '_>) -> Done {
    let (left, right) = pair(node)?;
    let fact = if left.element == Type::Text {
        let known = [&left, &right].map(|fact| node.build.known::<Symbol>(fact).is_some());
        if !known.contains(&true) {
            return Err(node.unsupported("compares two texts of a request", "one with a constant"));
        }
        zip::<Symbol, bool>(node, &left, &right, |a, b| a == b)?
    } else {
        with_type!(left.element, T => zip::<T, bool>(node, &left, &right, |a: T, b: T| same(&a, &b))?)
    };
    node.give(fact);
    Ok(())
}

pub(super) fn not(node: &mut Node<'_, '_>) -> Done {
    match node.input(0)?.element {
        Type::Bool => map::<bool, bool>(node, |truth| !truth),
        other => Err(node.wrong_type(other, "BOOL")),
    }
}

macro_rules! over_numbers {
    ($($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            let input = node.input(0)?;
            with_number!(input.element, T => map::<T, _>(node, $function), Err(node.wrong_type(input.element, "numbers")))
        })+
    };
}

over_numbers! {
    abs: |x: T| Number::absolute(x);
    neg: |x: T| Number::negative(x);
    relu: |x: T| if x < T::default() { T::default() } else { x };
    sign: |x: T| Number::sign(x);
}

/// `Min`, `Max`, `Sum` and `Mean` of any number of values, from the first on.
fn fold(
    node: &mut Node<'_, '_>,
    step: fn(&mut Node<'_, '_>, &Fact, &Fact) -> Result<Fact, Refusal>,
) -> Result<Fact, Refusal> {
    let inputs = node.inputs()?;
    let mut inputs = inputs.into_iter();
    let Some(mut all) = inputs.next() else {
        return Err(node.inconsistent("has no input"));
    };
    for input in inputs {
        if input.element != all.element {
            return Err(node.unsupported(
                format!("takes {} and {}", all.element, input.element),
                "inputs of one type",
            ));
        }
        all = step(node, &all, &input)?;
    }
    Ok(all)
}

macro_rules! over_many {
    ($($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            let fact = fold(node, |node, left, right| {
                with_number!(left.element, T => zip::<T, T>(node, left, right, $function),
                    Err(node.wrong_type(left.element, "numbers")))
            })?;
            node.give(fact);
            Ok(())
        })+
    };
}

over_many! {
    sum: |a: T, b: T| Number::plus(a, b);
    min: |a: T, b: T| if b < a || Number::is_missing(b) { b } else { a };
    max: |a: T, b: T| if b > a || Number::is_missing(b) { b } else { a };
}

pub(super) fn mean(node: &mut Node<'_, '_>) -> Done {
    let inputs = node.input_count();
    let total = fold(node, |node, left, right| {
        with_float!(left.element, T => zip::<T, T>(node, left, right, |a: T, b: T| a + b),
            Err(node.wrong_type(left.element, "FP32 or FP64")))
    })?;
    with_float!(total.element, T => {
        let count: T = inputs.as_();
        map_fact::<T, T>(node, &total, move |x: T| x / count)
    }, Err(node.wrong_type(total.element, "FP32 or FP64")))
}

/// `Mod`: with the divisor's sign, or by `fmod` with the dividend's.
pub(super) fn modulo(node: &mut Node<'_, '_>) -> Done {
    let is_fmod = node.flag("fmod", false)?;
    let (left, right) = pair(node)?;
    let fact = with_number!(left.element, T => zip::<T, T>(node, &left, &right, move |a: T, b: T| {
        let rest = Number::rest(a, b);
        let zero = T::default();
        if !is_fmod && !same(&rest, &zero) && ((rest < zero) != (b < zero)) { Number::plus(rest, b) } else { rest }
    })?, return Err(node.wrong_type(left.element, "numbers")));
    node.give(fact);
    Ok(())
}

/// `Pow`: the exponent may be of another type than the base, whose type the result has.
pub(super) fn pow(node: &mut Node<'_, '_>) -> Done {
    node.at_most(2)?;
    let (base, exponent) = (node.input(0)?, node.input(1)?);
    let exponent = super::cast::to(node, &exponent, base.element)?;
    let fact = with_number!(base.element, T => zip::<T, T>(node, &base, &exponent, |a: T, b: T| Number::power(a, b))?,
        return Err(node.wrong_type(base.element, "numbers")));
    node.give(fact);
    Ok(())
}

pub(super) fn prelu(node: &mut Node<'_, '_>) -> Done {
    let (input, slope) = pair(node)?;
    let fact = with_float!(input.element, T => zip::<T, T>(node, &input, &slope, |x: T, slope: T| if x < 0.0 { x * slope } else { x })?,
        return Err(node.wrong_type(input.element, "FP32 or FP64")));
    node.give(fact);
    Ok(())
}

pub(super) fn where_(node: &mut Node<'_, '_>) -> Done {
    node.at_most(3)?;
    let facts = [node.input(0)?, node.input(1)?, node.input(2)?];
    if facts[0].element != Type::Bool || facts[1].element != facts[2].element {
        let found = format!(
            "takes {}, {} and {}",
            facts[0].element, facts[1].element, facts[2].element
        );
        return Err(node.unsupported(found, "BOOL and two of one type"));
    }
    let shape = broadcast(node, &[&facts[0].shape, &facts[1].shape, &facts[2].shape])?;
    let element = facts[1].element;
    with_type!(element, T => {
        let kernel = Choose::<T> {
            sources: [facts[0].source, facts[1].source, facts[2].source],
            shape: shape.clone(),
            shapes: [facts[0].shape.clone(), facts[1].shape.clone(), facts[2].shape.clone()],
            types: PhantomData,
        };
        node.emit(kernel, element, shape, &[&facts[0], &facts[1], &facts[2]])
    })
}

/// `Clip`: the bounds are attributes before operator set 11, inputs since.
pub(super) fn clip(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    with_number!(input.element, T => {
        let mut bounds: [Option<T>; 2] = [None, None];
        for (index, name) in ["min", "max"].into_iter().enumerate() {
            if node.has(name) {
                let bound: T = node.float(name, 0.0)?.as_();
                bounds[index] = Some(bound);
            } else if let Some(bound) = node.optional_input(index + 1)? {
                bounds[index] = node.known::<T>(&bound, name)?.first().copied();
            }
        }
        let [least, most] = bounds;
        map_fact::<T, T>(node, &input, move |x: T| {
            let x = least.filter(|least| x < *least).unwrap_or(x);
            most.filter(|most| x > *most).unwrap_or(x)
        })
    }, Err(node.wrong_type(input.element, "numbers")))
}

pub(super) fn is_inf(node: &mut Node<'_, '_>) -> Done {
    let (below, above) = (
        node.flag("detect_negative", true)?,
        node.flag("detect_positive", true)?,
    );
    let input = node.input(0)?;
    with_float!(input.element, T => map::<T, bool>(node, move |x: T| x.is_infinite() && if x > 0.0 { above } else { below }),
        Err(node.wrong_type(input.element, "FP32 or FP64")))
}

/// Operators over a floating-point value with parameters.
macro_rules! with_parameters {
    ($($name:ident($($parameter:ident = $default:expr),*): $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            $(let $parameter = node.float(stringify!($parameter), $default)?;)*
            let input = node.input(0)?;
            with_float!(input.element, T => {
                $(let $parameter: T = $parameter.as_();)*
                map::<T, T>(node, $function)
            }, Err(node.wrong_type(input.element, "FP32 or FP64")))
        })+
    };
}

with_parameters! {
    elu(alpha = 1.0): move |x: T| if x < 0.0 { alpha * x.exp_m1() } else { x };
    celu(alpha = 1.0): move |x: T| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x };
    thresholded_relu(alpha = 1.0): move |x: T| if x > alpha { x } else { 0.0 };
    leaky_relu(alpha = 0.01): move |x: T| if x < 0.0 { alpha * x } else { x };
    hard_sigmoid(alpha = 0.2, beta = 0.5): move |x: T| (alpha * x + beta).clamp(0.0, 1.0);
    selu(alpha = 1.673_263_2, gamma = 1.050_701): move |x: T| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x };
}

pub(super) fn gelu(node: &mut Node<'_, '_>) -> Done {
    let approximate = node.text("approximate", "none")?;
    let input = node.input(0)?;
    let is_tanh = match approximate.as_str() {
        "none" => false,
        "tanh" => true,
        other => return Err(node.unsupported(format!("approximates by {other:?}"), "none and tanh")),
    };
    with_float!(input.element, T => map::<T, T>(node, move |x: T| {
        if is_tanh {
            let scale: T = (2.0 / std::f64::consts::PI).sqrt().as_();
            let cubic: T = 0.044_715_f64.as_();
            0.5 * x * (1.0 + (scale * (x + cubic * x * x * x)).tanh())
        } else {
            let root: T = std::f64::consts::SQRT_2.as_();
            0.5 * x * (1.0 + Error::erf(x / root))
        }
    }), Err(node.wrong_type(input.element, "FP32 or FP64")))
}

/// Says whether two entries are the same to the last bit that counts: the operators mean that.
fn same<T: PartialEq>(left: &T, right: &T) -> bool {
    left == right
}

/// The logistic function, which neither overflows nor loses small values.
pub(super) fn sigmoid_of<T: Float>(x: T) -> T {
    let one = T::one();
    if x >= T::zero() {
        one / (one + (-x).exp())
    } else {
        let raised = x.exp();
        raised / (one + raised)
    }
}

/// The error function.
trait Error {
    fn erf(self) -> Self;
}

impl Error for f32 {
    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Error for f64 {
    fn erf(self) -> Self {
        libm::erf(self)
    }
}

/// Arithmetic that is the same for all numbers: whole ones wrap around, and have 0 where they are divided by it.
pub(super) trait Number: Element + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn rest(self, other: Self) -> Self;
    fn power(self, other: Self) -> Self;
    fn absolute(self) -> Self;
    fn negative(self) -> Self;
    fn sign(self) -> Self;
    fn is_missing(self) -> bool;
    /// Returns the sum: that of floats is kept in a double until it is whole.
    fn total(entries: impl Iterator<Item = Self>) -> Self;
}

macro_rules! float_numbers {
    ($($rust:ty),+) => {
        $(impl Number for $rust {
            fn plus(self, other: Self) -> Self { self + other }
            fn minus(self, other: Self) -> Self { self - other }
            fn times(self, other: Self) -> Self { self * other }
            fn over(self, other: Self) -> Self { self / other }
            fn rest(self, other: Self) -> Self { self % other }
            fn power(self, other: Self) -> Self {
                if same(&other, &2.0) { self * self } else { self.powf(other) }
            }
            fn absolute(self) -> Self { self.abs() }
            fn negative(self) -> Self { -self }
            fn sign(self) -> Self {
                if self > 0.0 { 1.0 } else if self < 0.0 { -1.0 } else { self }
            }
            fn is_missing(self) -> bool { self.is_nan() }
            fn total(entries: impl Iterator<Item = Self>) -> Self {
                crate::types::Real::nearest(entries.fold(0.0, |sum, x| sum + f64::from(x)))
            }
        })+
    };
}

macro_rules! whole_numbers {
    ($($rust:ty),+) => {
        $(impl Number for $rust {
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn over(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            fn rest(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
            fn power(self, other: Self) -> Self {
                u32::try_from(other).map_or(0, |exponent| self.wrapping_pow(exponent))
            }
            fn absolute(self) -> Self { self.wrapping_abs() }
            fn negative(self) -> Self { self.wrapping_neg() }
            fn sign(self) -> Self { self.signum() }
            fn is_missing(self) -> bool { false }
            fn total(entries: impl Iterator<Item = Self>) -> Self {
                entries.fold(0, Self::wrapping_add)
            }
        })+
    };
}

float_numbers!(f32, f64);
whole_numbers!(i64, i32);
