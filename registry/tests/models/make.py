"""Makes the models of this folder: what teams bring, as their exporters write it. `strict.onnx` is the zoo's `columns-strict-f32`.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 pandas && python make.py
"""

import numpy as np
import onnx
import pandas as pd
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

random = np.random.default_rng(0)
rows = 400
age = random.uniform(1, 80, rows).astype(np.float32)
fare = random.exponential(30, rows).astype(np.float32)
sex = random.choice(["female", "male"], rows)
port = random.choice(["Cherbourg", "Queenstown", "Southampton"], rows)
table = pd.DataFrame({"age": age, "fare": fare, "sex": sex, "port": port})
survived = np.where((sex == "female") ^ (age < 10) ^ (fare > 60), "yes", "no")


def write(name, model, example, **options):
    with open(f"{name}.onnx", "wb") as file:
        file.write(to_onnx(model, example, **options).SerializeToString())


# An input for each column, texts among them; ZipMap; missing numbers are imputed, unseen categories are none.
numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
words = OneHotEncoder(handle_unknown="ignore")
columns = ColumnTransformer([("numbers", numbers, ["age", "fare"]), ("words", words, ["sex", "port"])])
write("survival", make_pipeline(columns, LogisticRegression()).fit(table, survived), table[:1])

# One wide input of FP32, and one output.
wide = np.stack([age, fare], axis=1)
forest = RandomForestRegressor(n_estimators=3, max_depth=3, random_state=0).fit(wide, age * 0.5 + fare)
write("forest", forest, wide[:1])

# Two numbers at once.
both = LinearRegression().fit(wide, np.stack([age + fare, age - fare], axis=1))
write("both", both, wide[:1])

# Whole numbers, and a class without a name.
counts = random.integers(0, 9, (rows, 2)).astype(np.int64)
write("counts", LogisticRegression().fit(counts, counts.sum(axis=1) > 8), counts[:1], options={"zipmap": False})

# Tensors in a file of their own, as torch's exporter leaves them where they are large.
network = to_onnx(MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, random_state=0).fit(wide, age * 0.5 + fare), wide[:1])
for tensor in network.graph.initializer:
    if tensor.data_type == onnx.TensorProto.FLOAT:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
external = {"save_as_external_data": True, "location": "network.data", "size_threshold": 0}
onnx.save_model(network, "network.onnx", **external)
