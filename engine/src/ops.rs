//! The operators: which versions of each are run, and who reads it.

mod cast;
mod distances;
mod elementwise;
mod encoders;
mod gather;
mod linear;
mod matmul;
mod movement;
mod reduce;
mod scalers;
mod search;
mod shapes;
mod softmax;
mod svm;
mod transform;
mod trees;
mod walk;
mod zipmap;

use crate::node::Node;
use crate::refusal::Refusal;

/// The newest operator set of `ai.onnx` that is read: that of onnx 1.23.
pub(crate) const STANDARD_MAX: i64 = 28;
/// The oldest one: LightGBM's exporter writes it.
pub(crate) const STANDARD_MIN: i64 = 8;
/// The newest operator set of `ai.onnx.ml` that is read.
pub(crate) const ML_MAX: i64 = 5;
/// The domain of classical machine learning.
pub(crate) const ML: &str = "ai.onnx.ml";

/// What holds for an operator, for the table of docs/operators.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supported {
    /// `ai.onnx` or `ai.onnx.ml`.
    pub domain: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The types, or what must be known when the model is read.
    pub holds: &'static str,
}

/// Returns all operators that are run, by domain and name.
pub fn supported() -> impl Iterator<Item = Supported> {
    OPERATORS.iter().map(|operator| Supported {
        domain: if operator.domain.is_empty() {
            "ai.onnx"
        } else {
            operator.domain
        },
        name: operator.name,
        holds: operator.holds,
    })
}

/// Reads a node into the program.
type Read = fn(&mut Node<'_, '_>) -> Result<(), Refusal>;

/// One operator: its domain and name, who reads it, and what holds for it beside the specification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) read: Read,
    pub(crate) holds: &'static str,
}

const fn standard(name: &'static str, read: Read, holds: &'static str) -> Operator {
    Operator {
        domain: "",
        name,
        read,
        holds,
    }
}

const fn ml(name: &'static str, read: Read, holds: &'static str) -> Operator {
    Operator {
        domain: ML,
        name,
        read,
        holds,
    }
}

const NUMBERS: &str = "FP32, FP64, INT64, INT32";
const FLOATS: &str = "FP32, FP64";
const ALL: &str = "all types";

/// All that is run, by domain and name.
pub(crate) const OPERATORS: &[Operator] = &[
    standard("Abs", elementwise::abs, NUMBERS),
    standard("Add", elementwise::add, NUMBERS),
    standard("And", elementwise::and, "BOOL"),
    standard("ArgMax", search::arg_max, "one fixed axis"),
    standard("ArgMin", search::arg_min, "one fixed axis"),
    standard(
        "BatchNormalization",
        scalers::batch_normalization,
        "for inference",
    ),
    standard("Cast", cast::cast, "numbers and truth values"),
    standard("CastLike", cast::cast_like, "numbers and truth values"),
    standard("Ceil", elementwise::ceil, FLOATS),
    standard("Celu", elementwise::celu, FLOATS),
    standard("Clip", elementwise::clip, "constant bounds"),
    standard("Concat", movement::concat, ALL),
    standard("Constant", shapes::constant, ALL),
    standard(
        "ConstantOfShape",
        shapes::constant_of_shape,
        "a shape that is known",
    ),
    standard("CumSum", reduce::cum_sum, "one fixed axis"),
    standard("Div", elementwise::div, NUMBERS),
    standard("Dropout", shapes::dropout, "for inference"),
    standard("Elu", elementwise::elu, FLOATS),
    standard("Equal", elementwise::equal, ALL),
    standard("Erf", elementwise::erf, FLOATS),
    standard("Exp", elementwise::exp, FLOATS),
    standard("Expand", movement::expand, "a shape that is known"),
    standard("Flatten", shapes::flatten, ALL),
    standard("Floor", elementwise::floor, FLOATS),
    standard("Gather", gather::gather, "not along the rows"),
    standard("GatherElements", gather::gather_elements, "not along the rows"),
    standard("Gelu", elementwise::gelu, FLOATS),
    standard("Gemm", matmul::gemm, FLOATS),
    standard("Greater", elementwise::greater, NUMBERS),
    standard("GreaterOrEqual", elementwise::greater_or_equal, NUMBERS),
    standard("HardSigmoid", elementwise::hard_sigmoid, FLOATS),
    standard("HardSwish", elementwise::hard_swish, FLOATS),
    standard("Identity", shapes::identity, ALL),
    standard("IsInf", elementwise::is_inf, FLOATS),
    standard("IsNaN", elementwise::is_nan, FLOATS),
    standard(
        "LayerNormalization",
        scalers::layer_normalization,
        "over fixed axes, constant scale",
    ),
    standard("LeakyRelu", elementwise::leaky_relu, FLOATS),
    standard("Less", elementwise::less, NUMBERS),
    standard("LessOrEqual", elementwise::less_or_equal, NUMBERS),
    standard("Log", elementwise::log, FLOATS),
    standard("LogSoftmax", softmax::log_softmax, "one fixed axis"),
    standard("MatMul", matmul::matmul, FLOATS),
    standard("Max", elementwise::max, NUMBERS),
    standard("Mean", elementwise::mean, FLOATS),
    standard("Min", elementwise::min, NUMBERS),
    standard("Mish", elementwise::mish, FLOATS),
    standard("Mod", elementwise::modulo, NUMBERS),
    standard("Mul", elementwise::mul, NUMBERS),
    standard("Neg", elementwise::neg, NUMBERS),
    standard("Not", elementwise::not, "BOOL"),
    standard("Or", elementwise::or, "BOOL"),
    standard("PRelu", elementwise::prelu, FLOATS),
    standard("Pow", elementwise::pow, NUMBERS),
    standard("Reciprocal", elementwise::reciprocal, FLOATS),
    standard("ReduceL1", reduce::l1, "fixed axes"),
    standard("ReduceL2", reduce::l2, "fixed axes"),
    standard("ReduceLogSum", reduce::log_sum, "fixed axes"),
    standard("ReduceLogSumExp", reduce::log_sum_exp, "fixed axes"),
    standard("ReduceMax", reduce::max, "fixed axes"),
    standard("ReduceMean", reduce::mean, "fixed axes"),
    standard("ReduceMin", reduce::min, "fixed axes"),
    standard("ReduceProd", reduce::product, "fixed axes"),
    standard("ReduceSum", reduce::sum, "fixed axes"),
    standard("ReduceSumSquare", reduce::sum_square, "fixed axes"),
    standard("Relu", elementwise::relu, NUMBERS),
    standard("Reshape", shapes::reshape, "a shape that keeps rows apart"),
    standard("Round", elementwise::round, FLOATS),
    standard(
        "Scan",
        distances::scan,
        "distances to constant points, as skl2onnx writes them",
    ),
    standard("Selu", elementwise::selu, FLOATS),
    standard("Shape", shapes::shape, ALL),
    standard("Sigmoid", elementwise::sigmoid, FLOATS),
    standard("Sign", elementwise::sign, NUMBERS),
    standard("Slice", movement::slice, "constant bounds, not along the rows"),
    standard("Softmax", softmax::softmax, "one fixed axis"),
    standard("Softplus", elementwise::softplus, FLOATS),
    standard("Softsign", elementwise::softsign, FLOATS),
    standard("Split", movement::split, "constant parts, not along the rows"),
    standard("Sqrt", elementwise::sqrt, FLOATS),
    standard("Squeeze", shapes::squeeze, ALL),
    standard("Sub", elementwise::sub, NUMBERS),
    standard("Sum", elementwise::sum, NUMBERS),
    standard("Tanh", elementwise::tanh, FLOATS),
    standard("ThresholdedRelu", elementwise::thresholded_relu, FLOATS),
    standard("Tile", movement::tile, "constant repeats"),
    standard("TopK", search::top_k, "a constant k, one fixed axis"),
    standard("Transpose", movement::transpose, ALL),
    standard("Unsqueeze", shapes::unsqueeze, ALL),
    standard("Where", elementwise::where_, ALL),
    standard("Xor", elementwise::xor, "BOOL"),
    ml("ArrayFeatureExtractor", gather::array_feature_extractor, ALL),
    ml("Binarizer", scalers::binarizer, NUMBERS),
    ml("CategoryMapper", encoders::category_mapper, "INT64, BYTES"),
    ml("FeatureVectorizer", movement::feature_vectorizer, NUMBERS),
    ml("Imputer", scalers::imputer, NUMBERS),
    ml("LabelEncoder", encoders::label_encoder, "versions 1, 2 and 4"),
    ml("LinearClassifier", linear::classifier, NUMBERS),
    ml("LinearRegressor", linear::regressor, NUMBERS),
    ml("Normalizer", scalers::normalizer, NUMBERS),
    ml(
        "OneHotEncoder",
        encoders::one_hot,
        "FP32, FP64, INT64, INT32, BYTES; with zeros = 0 a row with an unknown category has no answer",
    ),
    ml("SVMClassifier", svm::classifier, NUMBERS),
    ml("SVMRegressor", svm::regressor, NUMBERS),
    ml("Scaler", scalers::scaler, NUMBERS),
    ml("TreeEnsemble", trees::ensemble, "SUM, AVERAGE, MIN, MAX"),
    ml("TreeEnsembleClassifier", trees::classifier, "versions 1, 3 and 5"),
    ml("TreeEnsembleRegressor", trees::regressor, "versions 1, 3 and 5"),
    ml(
        "ZipMap",
        zipmap::zip_map,
        "becomes a tensor in the order of its labels",
    ),
];

/// Returns the operator of a domain and name.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    OPERATORS
        .iter()
        .find(|operator| operator.domain == domain && operator.name == name)
}
