"""Makes the models of these tests: python make.py, with the packages that it imports (scikit-learn 1.9, skl2onnx 1.20, onnx 1.23)."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

OPSETS = {"": 18, "ai.onnx.ml": 3}


def review():
    """Texts of any words, and a class with its probabilities as a list of maps: the engine refuses how words are counted."""
    texts = ["good film", "bad film", "great story", "awful story", "good story", "bad plot", "great plot", "awful film"]
    labels = ["pos", "neg"] * 4
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts * 5, labels * 5)
    return to_onnx(model, initial_types=[("review", StringTensorType([None, 1]))], target_opset=OPSETS)


def gaps():
    """Numbers of which some may be missing."""
    rows = np.array([[1, 2], [2, 1], [np.nan, 3], [4, np.nan], [3, 3]], dtype=np.float32)
    model = make_pipeline(SimpleImputer(), Ridge()).fit(rows, [3, 3, 5, 7, 6])
    return to_onnx(model, initial_types=[("x", FloatTensorType([None, 2]))], target_opset=OPSETS)


def graph(nodes, initializers=(), width=2, open_axes=("rows",)):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*open_axes, width])]
    axes = [f"axis_{axis}" for axis in range(len(open_axes) + 1)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)]
    made = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return model


def mixed():
    """A row's answer hangs on the rows beside it."""
    axes = numpy_helper.from_array(np.array([0]), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return graph(nodes, [axes])


def open_axis():
    """More than the rows is open."""
    return graph([helper.make_node("Identity", ["x"], ["y"])], open_axes=("rows", "words"))


def hungry():
    """Asks for 32 GB as soon as it is run."""
    shape = numpy_helper.from_array(np.array([1 << 33]), "shape")
    axes = numpy_helper.from_array(np.array([0]), "axes")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big", "axes"], ["s"], keepdims=1),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    return graph(nodes, [shape, axes])


def slow():
    """Turns as often as the first number of a row says, in billions."""
    of = lambda value, name: numpy_helper.from_array(np.array(value), name)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["r", "c"]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["r", "c"]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Sub", ["most", "near"], ["past"]),
        helper.make_node("Relu", ["past"], ["over"]),
        helper.make_node("Mul", ["over", "billion"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "true", "x"], ["y"], body=body),
    ]
    constants = [of(np.float32(1e9), "billion"), of(np.float32(10), "near"), of(True, "true")]
    return graph(nodes, constants)


for make in [review, gaps, mixed, open_axis, hungry, slow]:
    model = make()
    with open(f"{make.__name__}.onnx", "wb") as file:
        file.write(model.SerializeToString())
