"""Fits a pipeline to the rows that Aurora hands over, and leaves it as ONNX."""

import json
import os

import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

settings = json.loads(os.environ["AURORA_HYPERPARAMETERS"])
rows = pd.read_csv(os.environ["AURORA_DATASET"], dtype={"sex": str, "port": str})
columns, answer = rows.drop(columns="survived"), rows["survived"]
words = ["sex", "port"]
# A port that is missing is a port of its own: the empty text, as Aurora asks for it too.
columns[words] = columns[words].fillna("")

numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
prepare = ColumnTransformer(
    [("numbers", numbers, ["age", "fare"]), ("words", OneHotEncoder(handle_unknown="ignore"), words)]
)
model = make_pipeline(prepare, LogisticRegression(C=settings["c"]))
model.fit(columns, answer)

# One input for each column, so that `rows` of requests name them.
kinds = {name: StringTensorType if name in words else FloatTensorType for name in columns}
inputs = [(name, kind([None, 1])) for name, kind in kinds.items()]
onnx = to_onnx(model, initial_types=inputs, options={"zipmap": False})

output = os.environ["AURORA_OUTPUT"]
with open(f"{output}/model.onnx", "wb") as file:
    file.write(onnx.SerializeToString())
with open(f"{output}/metrics.json", "w") as file:
    json.dump({"training_accuracy": model.score(columns, answer)}, file)
