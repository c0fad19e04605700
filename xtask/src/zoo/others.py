"""What scikit-learn and others do besides regression and classification of numbers: clusters, outliers, several targets, what a
tree's leaves are called, whole numbers and truth values, and boosters at the end of a pipeline."""

from functools import partial

import lightgbm
import numpy as np
import xgboost
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import ExtraTreesRegressor, IsolationForest, RandomForestClassifier
from sklearn.linear_model import Lasso, LogisticRegression, MultiTaskLasso
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import CategoricalNB
from sklearn.neighbors import KNeighborsRegressor, KNeighborsTransformer, LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.random_projection import GaussianRandomProjection
from sklearn.svm import OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from cases import Case
from scikit import EXPORTER, columns, of_array, of_table

for booster, convert in (
    (lightgbm.LGBMClassifier, convert_lightgbm),
    (xgboost.XGBClassifier, convert_xgboost),
):
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
    shapes = calculate_linear_classifier_output_shapes
    update_registered_converter(booster, booster.__name__, shapes, convert, options=options)

# What isolation forests and the converters of boosters know.
KNOWN = {"": 17, "ai.onnx.ml": 3}

WITHOUT_TARGET = {
    "k-means": partial(KMeans, 4, n_init=1, random_state=0),
    "k-means-batches": partial(MiniBatchKMeans, 4, n_init=1, random_state=0),
    "k-means-scaled": lambda: make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)),
    "mixture": partial(GaussianMixture, 3, random_state=0),
    "mixture-diagonal": partial(GaussianMixture, 3, covariance_type="diag", random_state=0),
    "mixture-tied": partial(GaussianMixture, 3, covariance_type="tied", random_state=0),
    "mixture-spherical": partial(GaussianMixture, 3, covariance_type="spherical", random_state=0),
    "mixture-bayesian": partial(BayesianGaussianMixture, n_components=3, random_state=0),
    "isolation-forest": partial(IsolationForest, n_estimators=10, random_state=0),
    "local-outliers": partial(LocalOutlierFactor, novelty=True),
    "one-class": OneClassSVM,
    "projection": partial(GaussianRandomProjection, 3, random_state=0),
    "neighbours": partial(KNeighborsTransformer, n_neighbors=3),
}

SEVERAL_TARGETS = {
    "lasso": MultiTaskLasso,
    "knn": KNeighborsRegressor,
    "extra-trees": partial(ExtraTreesRegressor, 5, random_state=0),
    "pls": partial(PLSRegression, 2),
    "each-lasso": lambda: MultiOutputRegressor(Lasso()),
}

WHOLE = {
    "categories-nb": CategoricalNB,
    "forest": partial(RandomForestClassifier, 5, random_state=0),
    "one-hot": lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
    "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
}

BOOSTERS = {
    "lightgbm": partial(lightgbm.LGBMClassifier, n_estimators=5, num_leaves=7, verbose=-1),
    "xgboost": partial(xgboost.XGBClassifier, n_estimators=5, max_depth=3),
}


def without_target(name, make, x):
    onx = to_onnx(make().fit(x), x[:1], target_opset=KNOWN)
    return Case(name, "no target", EXPORTER, onx, {onx.graph.input[0].name: x})


def makers(data):
    """Yields the name and the maker of each case."""
    x, y = data["regression"]
    for name, make in WITHOUT_TARGET.items():
        yield name, partial(without_target, name, make, x.astype(np.float32))
    for name, make in SEVERAL_TARGETS.items():
        full = f"{name}-several-targets"
        yield full, partial(of_array, full, "regressor", make, x, np.c_[y, -y], np.float32, False)
    cx, cy = data["binary"]
    whole = np.floor(cx).clip(-2, 2) + 2
    for name, make in WHOLE.items():
        full = f"{name}-whole"
        yield full, partial(of_array, full, "binary", make, whole, cy, np.int64, True)
    full = "forest-truth"
    yield full, partial(of_array, full, "binary", WHOLE["forest"], cx > 0, cy, bool, True)
    for kind in ("binary", "multi-class", "strings"):
        for name, make in {
            "forest": partial(RandomForestClassifier, 3, max_depth=3, random_state=0),
            "tree": partial(DecisionTreeClassifier, max_depth=3, random_state=0),
        }.items():
            for what in ("decision_path", "decision_leaf"):
                full = f"{name}-{what.replace('_', '-')}-{kind}"
                said = {"options": {what: True, "zipmap": False}, "target_opset": KNOWN}
                yield full, partial(of_array, full, kind, make, *data[kind], np.float32, True, **said)
    full = "union-scaled"
    make = lambda: make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", StandardScaler())]), LogisticRegression())
    yield full, partial(of_array, full, "binary", make, cx, cy, np.float32, True)
    table, classes, _targets = data["table"]
    narrow = table.astype({"income": np.float32, "height": np.float32})
    for name, make in BOOSTERS.items():
        full = f"columns-{name}"
        pipeline = lambda make=make: make_pipeline(columns(False), make())
        yield full, partial(
            of_table, full, "several inputs", pipeline, narrow, classes, True, export={"target_opset": KNOWN}
        )
