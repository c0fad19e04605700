"""Checks artifacts against ONNX's checker and onnxruntime: the same predictions to relative 1e-12.

    python onnxruntime_agrees.py CASE.json…

A case is {"model": path of model.onnx, "rows": [[number]], "numbers": [[number]], "labels": [label] or null}, where
`numbers` are our predictions or probabilities, row by row. Needs the packages onnx, onnxruntime and numpy.
"""

import json
import sys

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-12


def check(path):
    with open(path, encoding="utf-8") as file:
        case = json.load(file)
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
    assert worst <= TOLERANCE, f"{case['model']}: relative {worst}"
    if case["labels"]:
        assert outputs["label"].tolist() == case["labels"]
    print(f"{len(rows)} rows of {rows.shape[1]}: largest relative difference {worst:.1e}")


for case in sys.argv[1:]:
    check(case)
