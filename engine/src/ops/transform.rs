//! `post_transform`, which the classical operators have in common.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html>; what the specification leaves open is as
//! onnxruntime answers.

use num_traits::Float;

use super::elementwise::sigmoid_of;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::Real;

/// What is done to the scores of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    /// Leaves zeros as they are.
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// Reads the attribute.
    pub(super) fn read(node: &mut Node<'_, '_>) -> Result<Self, Refusal> {
        let name = node.text("post_transform", "NONE")?;
        Ok(match name.as_str() {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            _ => {
                let place = node.attribute_place("post_transform");
                return Err(Refusal::unsupported(
                    place,
                    format!("is {name:?}"),
                    "NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT",
                ));
            }
        })
    }

    /// Applies it to the scores of a row.
    pub(super) fn apply<T: Real>(self, scores: &mut [T]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = sigmoid_of(*score)),
            Self::Softmax => softmax(scores, |_| false),
            Self::SoftmaxZero => softmax(scores, |score| score.abs() <= T::nearest(1e-7)),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }
}

fn softmax<T: Float>(scores: &mut [T], is_left: impl Fn(T) -> bool) {
    let most = scores.iter().copied().fold(T::neg_infinity(), T::max);
    let mut sum = T::zero();
    for score in scores.iter_mut() {
        if is_left(*score) {
            *score = *score * (-most).exp();
        } else {
            *score = (*score - most).exp();
            sum = sum + *score;
        }
    }
    for score in scores {
        *score = *score / sum;
    }
}

/// The inverse of the normal distribution, by Winitzki's approximation of the inverse error function with `a` = 0.147.
fn probit<T: Real>(probability: T) -> T {
    let one = T::one();
    let x = probability + probability - one;
    let log = ((one - x) * (one + x)).ln();
    let a = T::nearest(0.147);
    let first = T::nearest(2.0 / std::f64::consts::PI) / a + T::nearest(0.5) * log;
    let root = ((first * first - log / a).sqrt() - first).sqrt();
    let root = if x < T::zero() { -root } else { root };
    T::nearest(std::f64::consts::SQRT_2) * root
}
