"""What the animals of the zoo have in common: data, edges, references, and the files that the engine's side reads.

A case is a folder: `model.onnx`, `data.bin` (the numbers of all tensors, little-endian, one after another) and `case.json`
(what it is, its tensors, where each lies in `data.bin`; texts stand in it).
"""

import json
import pathlib
import warnings
from dataclasses import dataclass
from typing import Callable

import numpy as np
import onnx
import onnxruntime

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)

TYPES = {
    np.dtype(np.float32): "FP32",
    np.dtype(np.float64): "FP64",
    np.dtype(np.int64): "INT64",
    np.dtype(np.int32): "INT32",
    np.dtype(bool): "BOOL",
}
RANDOM_ROWS = 1_000
# They compute in FP32, or hold numbers in it, whatever they take; what doubles are made of their answers is no nearer.
SINGLE = {
    "Imputer",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "Scaler",
    "SVMClassifier",
    "SVMRegressor",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
}


@dataclass
class Case:
    """A model as an exporter wrote it, and what its training library answers."""

    name: str
    kind: str
    exporter: str
    model: onnx.ModelProto
    # For each input of the graph, rows like those that it was trained on.
    inputs: dict[str, np.ndarray]
    # What the training library answers to rows, in the order of the graph's outputs.
    library: Callable[[dict[str, np.ndarray]], list[np.ndarray]] | None = None
    takes_missing: bool = False
    takes_unknown: bool = True


def drawn(case, random):
    """Returns 1,000 rows near those of the training, some with a category that nobody has seen, or a value missing."""
    rows = {}
    for name, known in case.inputs.items():
        shape = (RANDOM_ROWS, known.shape[1])
        columns = np.arange(shape[1])
        picked = known[random.integers(len(known), size=shape), columns]
        if known.dtype == object:
            if case.takes_unknown:
                picked[random.random(shape) < 0.05] = "nobody has seen this"
        elif known.dtype.kind == "f":
            spread = np.nanstd(known.astype(np.float64), axis=0)
            picked = (picked + random.normal(size=shape) * 0.3 * spread).astype(known.dtype)
            if case.takes_missing:
                picked[random.random(shape) < 0.1] = np.nan
        rows[name] = picked
    return rows


def thresholds(model):
    """Returns column and number of the splits that trees make, at most 100 of them."""
    found = []
    for node in model.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        values = attributes.get("nodes_values") or attributes.get("nodes_splits")
        for tensor in ("nodes_values_as_tensor", "nodes_splits"):
            if isinstance(attributes.get(tensor), onnx.TensorProto):
                values = onnx.numpy_helper.to_array(attributes[tensor])
        modes = attributes.get("nodes_modes")
        for at, column in enumerate(attributes["nodes_featureids"]):
            if not isinstance(modes, list) or modes[at] != b"LEAF":
                found.append((column, values[at]))
    return found[:: max(1, len(found) // 100)][:100]


def edges(case, rows):
    """Returns rows with infinities, missing values, large numbers, and numbers at and beside the thresholds of trees."""
    changes = []
    for name, known in case.inputs.items():
        for column in range(min(known.shape[1], 8)):
            if known.dtype == object:
                odd = ["", "a", "\N{LATIN SMALL LETTER E WITH ACUTE}", "A" * 300] if case.takes_unknown else []
            elif known.dtype.kind == "f":
                odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-30]
            elif known.dtype.kind == "i":
                odd = [0, -1, 2**31, -(2**31)]
            else:
                odd = [False, True]
            changes += [(name, column, value) for value in odd]
    name, known = next(iter(case.inputs.items()))
    if known.dtype.kind == "f":
        for column, value in thresholds(case.model):
            value = known.dtype.type(value)
            if column < known.shape[1]:
                for near in (np.nextafter(value, -np.inf), value, np.nextafter(value, np.inf)):
                    changes.append((name, column, near))
    edge = {name: np.repeat(of[:1], len(changes), axis=0) for name, of in rows.items()}
    for row, (name, column, value) in enumerate(changes):
        edge[name][row, column] = value
    return edge


def zipped(model, output):
    """Returns the labels by which a ZipMap names the columns of an output."""
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.output[0] == output:
            return [
                key.decode() if isinstance(key, bytes) else key
                for entry in node.attribute
                for key in onnx.helper.get_attribute_value(entry)
            ]
    return None


def without_zipmap(model):
    """Returns a model that gives the tensors themselves: onnxruntime makes dictionaries of FP32 alone."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        if node.op_type == "ZipMap":
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
            for output in changed.graph.output:
                if output.name == node.output[0]:
                    output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.DOUBLE, None))
    return changed


def answered(model, rows):
    """Asks onnxruntime; returns for each output an array and, where it is a list of dictionaries, their keys."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {entry.name for entry in session.get_inputs()}
    answers = session.run(None, {name: array for name, array in rows.items() if name in given})
    outputs = []
    for answer in answers:
        if isinstance(answer, list):
            keys = list(answer[0])
            array = np.array([[row[key] for key in keys] for row in answer], dtype=np.float32)
            outputs.append((array, keys))
        else:
            outputs.append((np.asarray(answer), None))
    return outputs


def asked_library(case, near, rows):
    """Returns what the training library answers to the random rows, and these; or nothing, and all rows."""
    if case.library is not None:
        try:
            return [(array, None) for array in case.library(near)], near
        except Exception:
            # It takes no missing value where the graph does.
            pass
    return [], rows


class Writer:
    """Writes tensors into one file, and where they lie into another."""

    def __init__(self):
        self.data = bytearray()

    def tensor(self, name, array):
        entry = {"name": name, "shape": list(array.shape)}
        if array.dtype == object or array.dtype.kind in "US":
            return entry | {"type": "BYTES", "texts": [str(text) for text in array.ravel()]}
        entry |= {"type": TYPES[array.dtype], "at": len(self.data)}
        self.data += np.ascontiguousarray(array).tobytes()
        return entry


def write(case, folder, seed, rows_max=None):
    """Writes a case; `rows_max` shortens it to so many random and edge rows each."""
    random = np.random.default_rng([seed, *case.name.encode()])
    near = drawn(case, random)
    far = edges(case, near)
    if rows_max:
        near = {name: array[:rows_max] for name, array in near.items()}
        step = max(1, len(next(iter(far.values()))) // rows_max)
        far = {name: array[::step][:rows_max] for name, array in far.items()}
    rows = {name: np.concatenate([near[name], far[name]]) for name in near}
    said = {"name": case.name, "kind": case.kind, "exporter": case.exporter}
    names = [output.name for output in case.model.graph.output]
    random_rows = len(next(iter(near.values())))
    outputs = []
    try:
        outputs = answered(case.model, rows)
    except Exception as problem:
        said["refused"] = str(problem).splitlines()[0][:200]
        try:
            outputs = answered(without_zipmap(case.model), rows)
            outputs = [(array, keys or zipped(case.model, name)) for name, (array, keys) in zip(names, outputs)]
        except Exception:
            outputs, rows = asked_library(case, near, rows)
    writer = Writer()
    said["random_rows"] = random_rows
    said["computes_singles"] = any(node.op_type in SINGLE for node in case.model.graph.node)
    said["inputs"] = [writer.tensor(name, array) for name, array in rows.items()]
    said["outputs"] = []
    for name, (array, keys) in zip(names, outputs):
        entry = writer.tensor(name, array)
        if keys is not None:
            entry["labels"] = [str(key) for key in keys]
        said["outputs"].append(entry)
    target = pathlib.Path(folder) / case.name
    target.mkdir(parents=True)
    (target / "model.onnx").write_bytes(case.model.SerializeToString())
    (target / "data.bin").write_bytes(writer.data)
    (target / "case.json").write_text(json.dumps(said) + "\n")
