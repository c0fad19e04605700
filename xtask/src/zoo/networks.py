"""Small networks in the form in which `torch.onnx` writes them: `Gemm` with its weights turned, and an activation.

PyTorch itself weighs some gigabytes, so that the nodes are written here by hand.
"""

from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cases import Case

ACTIVATIONS = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "leaky-relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "softplus": ("Softplus", {}),
}


def network(name, kind, x, activation, opset, widths, ends, batch):
    random = np.random.default_rng(0)
    operator, attributes = ACTIVATIONS[activation]
    nodes, weights, last = [], [], "input"
    for at, (wide, narrow) in enumerate(zip([x.shape[1], *widths[:-1]], widths)):
        for part, shape in (("weight", (narrow, wide)), ("bias", (narrow,))):
            array = random.normal(scale=0.5, size=shape).astype(np.float32)
            weights.append(numpy_helper.from_array(array, f"net.{2 * at}.{part}"))
        inputs = [last, f"net.{2 * at}.weight", f"net.{2 * at}.bias"]
        is_last = at + 1 == len(widths)
        last = "output" if is_last and not ends else f"/net/net.{2 * at}/Gemm_output_0"
        nodes.append(helper.make_node("Gemm", inputs, [last], f"/net/net.{2 * at}/Gemm", alpha=1.0, beta=1.0, transB=1))
        if not is_last:
            given, last = last, f"/net/net.{2 * at + 1}/{operator}_output_0"
            nodes.append(helper.make_node(operator, [given], [last], f"/net/net.{2 * at + 1}/{operator}", **attributes))
    if ends:
        nodes.append(helper.make_node("Softmax", [last], ["output"], "/Softmax", axis=1))
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, x.shape[1]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, widths[-1]])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="pytorch")
    # The newest version of the format is not what exporters write.
    model.ir_version = 8
    onnx.checker.check_model(model)
    return Case(name, kind, "torch.onnx (form)", model, {"input": x.astype(np.float32)})


def makers(data):
    """Yields the name and the maker of each case."""
    x, _ = data["regression"]
    cx, _ = data["multi-class"]
    for activation in ACTIVATIONS:
        for opset in (11, 17):
            full = f"mlp-{activation}-torch-{opset}"
            yield full, partial(network, full, "regressor", x, activation, opset, [64, 64, 1], False, "batch")
        full = f"mlp-{activation}-softmax-torch"
        yield full, partial(network, full, "multi-class", cx, activation, 18, [32, 3], True, "batch")
