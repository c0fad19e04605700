"""Fits boosted trees to the rows that Aurora hands over, and leaves them as ONNX."""

import json
import os

import pandas as pd
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

settings = json.loads(os.environ["AURORA_HYPERPARAMETERS"])
rows = pd.read_csv(os.environ["AURORA_DATASET"])
# The target is the last column.
inputs, answer = rows.iloc[:, :-1], rows.iloc[:, -1]

model = LGBMClassifier(
    n_estimators=int(settings["trees"]),
    num_leaves=int(settings["leaves"]),
    learning_rate=settings["learning_rate"],
    random_state=int(os.environ["AURORA_SEED"]),
    n_jobs=1,
    verbose=-1,
)
model.fit(inputs.to_numpy(), answer)

onnx = convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, inputs.shape[1]]))], zipmap=False)
output = os.environ["AURORA_OUTPUT"]
with open(f"{output}/model.onnx", "wb") as file:
    file.write(onnx.SerializeToString())
with open(f"{output}/metrics.json", "w") as file:
    json.dump({"training_accuracy": model.score(inputs.to_numpy(), answer)}, file)
