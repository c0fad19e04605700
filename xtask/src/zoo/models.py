"""Trains the animals of the zoo and writes them as cases: `models.py FOLDER SEED [--only TEXT] [--rows N]`."""

import argparse
import sys
import traceback

import numpy as np
import onnx
import pandas as pd
from sklearn.datasets import make_classification, make_regression

import boosters
import networks
import others
import scikit
from cases import write

ROWS = 240


def data(seed):
    """Returns what all are trained on: numbers, and a table with texts and missing values."""
    x, y = make_regression(ROWS, 5, noise=0.1, random_state=seed)
    cx, cy = make_classification(ROWS, 5, n_informative=3, random_state=seed)
    mx, my = make_classification(ROWS, 6, n_informative=4, n_classes=3, random_state=seed)
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "colour": random.choice(["red", "green", "blue"], ROWS).astype(object),
            "town": random.choice([f"town {at}" for at in range(12)], ROWS).astype(object),
            "age": random.integers(18, 90, ROWS),
            "income": np.where(random.random(ROWS) < 0.1, np.nan, random.normal(3.0, 1.0, ROWS)),
            "height": random.normal(1.7, 0.1, ROWS),
        }
    )
    missing = mx.copy()
    missing[random.random(missing.shape) < 0.1] = np.nan
    return {
        "regression": (x, y),
        "binary": (cx, cy),
        "multi-class": (mx, my),
        "strings": (mx, np.array(["ant", "bee", "cat"])[my]),
        "missing": (missing, my),
        "table": (table, cy, y),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("seed", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    made = 0
    for makers in (scikit.makers, others.makers, boosters.makers, networks.makers):
        for name, make in makers(data(arguments.seed)):
            if arguments.only not in name:
                continue
            try:
                write(make(), arguments.folder, arguments.seed, arguments.rows)
                made += 1
            except Exception as problem:
                where = traceback.extract_tb(problem.__traceback__)[-1]
                said = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
                print(f"{name}: not exported: {said[:120]} ({where.name})", file=sys.stderr)
    print(f"{made} models, onnx {onnx.__version__}", file=sys.stderr)


main()
