"""Fits boosted trees to the rows that Aurora hands over, and leaves them as ONNX."""

import json
import os

import pandas as pd
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from xgboost import XGBRegressor

settings = json.loads(os.environ["AURORA_HYPERPARAMETERS"])
rows = pd.read_csv(os.environ["AURORA_DATASET"])
# The target is the last column.
inputs, answer = rows.iloc[:, :-1].to_numpy(), rows.iloc[:, -1]

model = XGBRegressor(
    n_estimators=int(settings["trees"]),
    max_depth=int(settings["depth"]),
    learning_rate=settings["learning_rate"],
    random_state=int(os.environ["AURORA_SEED"]),
    n_jobs=1,
)
model.fit(inputs, answer)

onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, inputs.shape[1]]))])
output = os.environ["AURORA_OUTPUT"]
with open(f"{output}/model.onnx", "wb") as file:
    file.write(onnx.SerializeToString())
with open(f"{output}/metrics.json", "w") as file:
    json.dump({"training_r2": model.score(inputs, answer)}, file)
