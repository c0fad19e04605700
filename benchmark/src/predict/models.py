"""Trains what teams bring, and writes it with rows to ask: for `benchmark predict`, run in the environment of `cargo xtask zoo`.

Each model lies in a folder of its own: `model.onnx`, `numbers` (float32, little-endian, row by row) and, where it takes texts,
`texts` (one a line); `lightgbm.txt` or `xgboost.ubj` is what its library's own predictor reads.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as Columns
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ASKED = 4000
FEATURES = 8
WORDS = [[f"town-{n}" for n in range(20)], [f"kind-{n}" for n in range(5)]]


def main(folder):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20_640, FEATURES)).astype(np.float32)
    y = (np.sin(x[:, 0] * 2) + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + 0.1 * rng.normal(size=len(x))).astype(np.float32)
    asked = rng.normal(size=(ASKED, FEATURES)).astype(np.float32)

    def write(name, onx, own=None):
        own_folder = folder / name
        own_folder.mkdir()
        (own_folder / "model.onnx").write_bytes(onx.SerializeToString())
        (own_folder / "numbers").write_bytes(asked.tobytes())
        if own:
            library, save = own
            # XGBoost's reader goes by the name's end.
            save(str(own_folder / {"xgboost": "xgboost.ubj", "lightgbm": "lightgbm.txt"}[library]))

    for name, model in (
        ("linear", LinearRegression()),
        ("forest-50-depth-10", RandomForestRegressor(50, max_depth=10, random_state=0, n_jobs=-1)),
        ("mlp-64-64", MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=20, random_state=0)),
    ):
        write(name, to_onnx(model.fit(x, y), x[:1]))
    for trees in (100, 500):
        model = xgboost.XGBRegressor(n_estimators=trees, max_depth=6).fit(x, y)
        onx = onnxmltools.convert_xgboost(model, initial_types=[("input", Columns([None, FEATURES]))])
        write(f"xgboost-{trees}", onx, ("xgboost", model.save_model))
    model = lightgbm.LGBMRegressor(n_estimators=500, num_leaves=31, verbose=-1).fit(x, y)
    onx = onnxmltools.convert_lightgbm(model, initial_types=[("input", Columns([None, FEATURES]))])
    write("lightgbm-500x31", onx, ("lightgbm", model.booster_.save_model))

    words = [rng.choice(column, size=len(x)) for column in WORDS]
    table = np.concatenate([x.astype(object), np.stack(words, axis=1).astype(object)], axis=1)
    places = list(range(FEATURES)), list(range(FEATURES, FEATURES + len(WORDS)))
    classes = (y + (words[0] == "town-3") > 0.8).astype(np.int64)
    types = [("numbers", FloatTensorType([None, FEATURES])), ("texts", StringTensorType([None, len(WORDS)]))]
    texts = [[rng.choice(column) for column in WORDS] for _ in range(ASKED)]
    for name, last in (
        ("pipeline-one-hot", LogisticRegression(max_iter=500)),
        ("pipeline-one-hot-trees", GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0)),
    ):
        columns = ColumnTransformer(
            [("numbers", StandardScaler(), places[0]), ("texts", OneHotEncoder(handle_unknown="ignore"), places[1])]
        )
        fitted = make_pipeline(columns, last).fit(table, classes)
        write(name, to_onnx(fitted, initial_types=types, options={"zipmap": False}))
        lines = "\n".join(text for row in texts for text in row)
        (folder / name / "texts").write_text(lines)
    print(json.dumps(sorted(path.name for path in folder.iterdir())))


main(Path(sys.argv[1]))
