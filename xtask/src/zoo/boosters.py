"""What LightGBM, XGBoost and CatBoost train, as onnxmltools and CatBoost itself write it."""

import tempfile
from functools import partial

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from cases import Case


def asked(model, is_classifier):
    """Returns what asks a fitted model as its graph is asked."""

    def ask(rows):
        x = next(iter(rows.values()))
        if not is_classifier:
            return [np.asarray(model.predict(x), dtype=np.float32).reshape(len(x), -1)]
        labels = np.asarray(model.predict(x)).reshape(-1)
        labels = labels.astype(object) if labels.dtype.kind in "USO" else labels.astype(np.int64)
        return [labels, np.asarray(model.predict_proba(x), dtype=np.float32)]

    return ask


def of_onnxmltools(name, kind, convert, model, x, y, is_classifier, takes_missing, **options):
    x = x.astype(np.float32)
    model.fit(x, y)
    types = [("input", FloatTensorType([None, x.shape[1]]))]
    onx = convert(model, initial_types=types, **options)
    exporter = f"onnxmltools {type(model).__module__.split('.')[0]}"
    return Case(name, kind, exporter, onx, {"input": x}, asked(model, is_classifier), takes_missing)


def of_catboost(name, kind, model, x, y, is_classifier, takes_missing):
    x = x.astype(np.float32)
    model.fit(x, y)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        model.save_model(file.name, format="onnx")
        onx = onnx.load(file.name)
    return Case(name, kind, "catboost", onx, {"features": x}, asked(model, is_classifier), takes_missing)


def makers(data):
    """Yields the name and the maker of each case."""
    x, y = data["regression"]
    gaps, classes = data["missing"]
    sets = {
        "binary": (*data["binary"], False),
        "multi-class": (*data["multi-class"], False),
        "strings": (*data["strings"], False),
        "missing values": (gaps, classes, True),
    }
    light = partial(lightgbm.LGBMClassifier, n_estimators=20, num_leaves=15, verbose=-1, random_state=0)
    lines = partial(lightgbm.LGBMRegressor, n_estimators=20, num_leaves=15, verbose=-1, random_state=0)
    for boosting in ("gbdt", "dart", "rf"):
        bagging = {"bagging_freq": 1, "bagging_fraction": 0.8} if boosting == "rf" else {}
        model = lines(boosting_type=boosting, **bagging)
        full = f"lightgbm-{boosting}-regressor"
        convert = onnxmltools.convert_lightgbm
        yield full, partial(of_onnxmltools, full, "regressor", convert, model, x, y, False, False)
    for objective in ("poisson", "tweedie", "quantile", "l1"):
        full = f"lightgbm-{objective}"
        convert = onnxmltools.convert_lightgbm
        model = lines(objective=objective)
        yield full, partial(of_onnxmltools, full, "regressor", convert, model, x, np.abs(y), False, False)
    for objective in ("reg:squarederror", "count:poisson", "reg:absoluteerror", "reg:tweedie", "reg:gamma"):
        full = f"xgboost-{objective.split(':')[1]}"
        model = xgboost.XGBRegressor(n_estimators=20, max_depth=4, objective=objective)
        convert = onnxmltools.convert_xgboost
        yield full, partial(of_onnxmltools, full, "regressor", convert, model, x, np.abs(y) + 1, False, False)
    for kind, (cx, cy, takes_missing) in sets.items():
        rest = (cx, cy, True, takes_missing)
        full = f"lightgbm-{kind.replace(' ', '-')}"
        yield full, partial(of_onnxmltools, full, kind, onnxmltools.convert_lightgbm, light(), *rest)
        if kind != "strings":
            full = f"xgboost-{kind.replace(' ', '-')}"
            model = xgboost.XGBClassifier(n_estimators=20, max_depth=4)
            yield full, partial(of_onnxmltools, full, kind, onnxmltools.convert_xgboost, model, *rest)
        full = f"catboost-{kind.replace(' ', '-')}"
        model = catboost.CatBoostClassifier(iterations=20, depth=4, verbose=False, random_seed=0, allow_writing_files=False)
        yield full, partial(of_catboost, full, kind, model, *rest)
    # Splits by categories, which share what lies below; whole numbers, so that thresholds are met.
    cx, cy = data["binary"]
    whole = np.floor(4 + cx).clip(0, 9)
    convert = onnxmltools.convert_lightgbm
    full = "lightgbm-categories"
    model = lightgbm.LGBMClassifier(
        n_estimators=20, num_leaves=15, verbose=-1, random_state=0, categorical_feature=[0, 1, 2], min_data_per_group=5
    )
    yield full, partial(of_onnxmltools, full, "binary", convert, model, whole, cy, True, False)
    full = "xgboost-hinge"
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=4, objective="binary:hinge")
    yield full, partial(of_onnxmltools, full, "binary", onnxmltools.convert_xgboost, model, cx, cy, True, False)
    for depth in (2, 6):
        full = f"catboost-depth-{depth}-regressor"
        model = catboost.CatBoostRegressor(iterations=20, depth=depth, verbose=False, random_seed=0, allow_writing_files=False)
        yield full, partial(of_catboost, full, "regressor", model, x, y, False, False)
    for opset in (9, 13, 15):
        full = f"lightgbm-opset-{opset}"
        convert = onnxmltools.convert_lightgbm
        rest = (*data["binary"], True, False)
        yield full, partial(of_onnxmltools, full, "binary", convert, light(), *rest, target_opset=opset)
        full = f"xgboost-opset-{opset}"
        model = xgboost.XGBClassifier(n_estimators=5, max_depth=3)
        yield full, partial(of_onnxmltools, full, "binary", onnxmltools.convert_xgboost, model, *rest, target_opset=opset)
