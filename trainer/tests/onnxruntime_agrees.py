"""Checks artifacts against ONNX's checker and onnxruntime: the same predictions to relative 1e-12.

    python onnxruntime_agrees.py CASES.jsonl…

A line is {"model": path of model.onnx, "rows": [[number or null]], "numbers": [[number]], "labels": [label] or null},
where `numbers` are our predictions or probabilities, row by row, and null is NaN. Prints a line for each file. Needs the
packages onnx, onnxruntime and numpy.
"""

import json
import sys

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-12


def difference(case):
    """Returns the largest relative difference of one artifact."""
    onnx.checker.check_model(case["model"], full_check=True)
    session = onnxruntime.InferenceSession(case["model"], providers=["CPUExecutionProvider"])
    rows = numpy.array(case["rows"], dtype=numpy.float64)
    outputs = dict(zip((output.name for output in session.get_outputs()), session.run(None, {"input": rows})))
    ours = numpy.array(case["numbers"], dtype=numpy.float64)
    theirs = outputs["probabilities" if case["labels"] else "prediction"]
    assert theirs.dtype == numpy.float64, theirs.dtype
    assert theirs.shape == ours.shape, (theirs.shape, ours.shape)
    scale = numpy.maximum(numpy.abs(ours), numpy.abs(theirs))
    worst = float(numpy.max(numpy.abs(ours - theirs) / numpy.where(scale == 0, 1, scale)))
    assert worst <= TOLERANCE, f"onnxruntime {onnxruntime.__version__}, {case['model']}: relative {worst}"
    if case["labels"]:
        assert outputs["label"].tolist() == case["labels"]
    return worst


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        worst = [difference(json.loads(line)) for line in file]
    name = path.rsplit("/", 1)[-1].removesuffix(".jsonl")
    print(
        f"onnxruntime {onnxruntime.__version__}: {name}: {len(worst)} artifacts,",
        f"largest relative difference {max(worst):.1e}",
    )
