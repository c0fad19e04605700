"""What scikit-learn trains and skl2onnx writes, with its default options."""

from functools import partial

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import *
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import *
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from cases import Case

EXPORTER = "skl2onnx"


def pair(regressor):
    """Returns the members of an ensemble of two."""
    if regressor:
        return [("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, random_state=0))]
    return [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3, random_state=0))]


REGRESSORS = {
    "linear": LinearRegression,
    "ridge": Ridge,
    "lasso": Lasso,
    "elastic-net": ElasticNet,
    "huber": HuberRegressor,
    "bayesian-ridge": BayesianRidge,
    "ard": ARDRegression,
    "sgd": partial(SGDRegressor, random_state=0),
    "lars": Lars,
    "quantile": QuantileRegressor,
    "ransac": partial(RANSACRegressor, random_state=0),
    "theil-sen": partial(TheilSenRegressor, random_state=0),
    "tweedie": TweedieRegressor,
    "tree": partial(DecisionTreeRegressor, random_state=0),
    "extra-tree": partial(ExtraTreeRegressor, random_state=0),
    "forest": partial(RandomForestRegressor, 20, random_state=0),
    "extra-trees": partial(ExtraTreesRegressor, 20, random_state=0),
    "gradient-boosting": partial(GradientBoostingRegressor, n_estimators=20, random_state=0),
    "hist-gradient-boosting": partial(HistGradientBoostingRegressor, max_iter=20, random_state=0),
    "ada-boost": partial(AdaBoostRegressor, n_estimators=10, random_state=0),
    "bagging": partial(BaggingRegressor, n_estimators=5, random_state=0),
    "svr": SVR,
    "svr-polynomial": partial(SVR, kernel="poly"),
    "svr-sigmoid": partial(SVR, kernel="sigmoid"),
    "nu-svr": NuSVR,
    "linear-svr": LinearSVR,
    "knn": KNeighborsRegressor,
    "knn-distance": partial(KNeighborsRegressor, weights="distance"),
    "knn-manhattan": partial(KNeighborsRegressor, p=1),
    "radius": partial(RadiusNeighborsRegressor, 500.0),
    "mlp": partial(MLPRegressor, hidden_layer_sizes=(16, 16), max_iter=50, random_state=0),
    "mlp-tanh": partial(MLPRegressor, hidden_layer_sizes=(8,), activation="tanh", max_iter=50, random_state=0),
    "gaussian-process": GaussianProcessRegressor,
    "gaussian-process-rbf": lambda: GaussianProcessRegressor(RBF() + WhiteKernel()),
    "stacking": lambda: StackingRegressor(pair(True)),
    "voting": lambda: VotingRegressor(pair(True)),
}

STEPS = {
    "standard-scaler": StandardScaler,
    "min-max-scaler": MinMaxScaler,
    "robust-scaler": RobustScaler,
    "max-abs-scaler": MaxAbsScaler,
    "polynomial": partial(PolynomialFeatures, 2),
    "interactions": partial(PolynomialFeatures, 2, interaction_only=True),
    "pca": partial(PCA, 3),
    "whitened-pca": partial(PCA, 3, whiten=True),
    "incremental-pca": partial(IncrementalPCA, 3),
    "svd": partial(TruncatedSVD, 3),
    "kernel-pca": partial(KernelPCA, 3, kernel="rbf"),
    "bins-one-hot": partial(KBinsDiscretizer, 4, encode="onehot-dense"),
    "bins-ordinal": partial(KBinsDiscretizer, 4, encode="ordinal"),
    "power": PowerTransformer,
    "quantiles": partial(QuantileTransformer, n_quantiles=50),
    "normalizer": Normalizer,
    "normalizer-max": partial(Normalizer, "max"),
    "normalizer-l1": partial(Normalizer, "l1"),
    "binarizer": Binarizer,
    "k-best": partial(SelectKBest, f_regression, k=3),
    "variance-threshold": VarianceThreshold,
}

CLASSIFIERS = {
    "logistic": LogisticRegression,
    "logistic-cv": partial(LogisticRegressionCV, cv=3),
    "sgd": partial(SGDClassifier, loss="log_loss", random_state=0),
    "perceptron": Perceptron,
    "ridge": RidgeClassifier,
    "tree": partial(DecisionTreeClassifier, random_state=0),
    "extra-tree": partial(ExtraTreeClassifier, random_state=0),
    "forest": partial(RandomForestClassifier, 10, random_state=0),
    "extra-trees": partial(ExtraTreesClassifier, 10, random_state=0),
    "gradient-boosting": partial(GradientBoostingClassifier, n_estimators=10, random_state=0),
    "hist-gradient-boosting": partial(HistGradientBoostingClassifier, max_iter=10, random_state=0),
    "ada-boost": partial(AdaBoostClassifier, n_estimators=5, random_state=0),
    "bagging": partial(BaggingClassifier, n_estimators=5, random_state=0),
    "svc": SVC,
    "svc-linear": partial(SVC, kernel="linear"),
    "svc-probability": partial(SVC, probability=True, random_state=0),
    "nu-svc": partial(NuSVC, probability=True, random_state=0),
    "linear-svc": LinearSVC,
    "knn": KNeighborsClassifier,
    "gaussian-nb": GaussianNB,
    "bernoulli-nb": BernoulliNB,
    "multinomial-nb": lambda: make_pipeline(MinMaxScaler(), MultinomialNB()),
    "complement-nb": lambda: make_pipeline(MinMaxScaler(), ComplementNB()),
    "mlp": partial(MLPClassifier, hidden_layer_sizes=(16,), max_iter=50, random_state=0),
    "gaussian-process": GaussianProcessClassifier,
    "lda": LinearDiscriminantAnalysis,
    "qda": partial(QuadraticDiscriminantAnalysis, reg_param=0.1),
    "calibrated": lambda: CalibratedClassifierCV(LinearSVC(), cv=3),
    "calibrated-isotonic": lambda: CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=3),
    "stacking": lambda: StackingClassifier(pair(False)),
    "voting": lambda: VotingClassifier(pair(False), flatten_transform=False),
    "soft-voting": lambda: VotingClassifier(pair(False), voting="soft", flatten_transform=False),
    "one-vs-rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "one-vs-one": lambda: OneVsOneClassifier(LogisticRegression()),
    "scaled": lambda: make_pipeline(StandardScaler(), PCA(3), LogisticRegression()),
}

OPSETS = [(9, 1), (10, 1), (11, 1), (12, 2), (13, 2), (15, 3), (17, 3), (18, 3), (21, 3), (22, 4), (23, 5)]


def asked(model, is_classifier):
    """Returns what asks a fitted model as its graph is asked."""

    def ask(rows):
        x = next(iter(rows.values()))
        if not is_classifier:
            return [np.asarray(model.predict(x)).reshape(len(x), -1)]
        labels = model.predict(x)
        labels = labels.astype(object) if labels.dtype.kind in "US" else labels.astype(np.int64)
        # Margins of two classes are one column here and two in a graph.
        for scores in ("predict_proba", "decision_function"):
            if hasattr(model, scores) and (found := getattr(model, scores)(x)).ndim == 2:
                return [labels, found]
        return [labels]

    return ask


def of_array(name, kind, make, x, y, dtype, is_classifier, takes_missing=False, **options):
    x = x.astype(dtype)
    model = make().fit(x, y)
    onx = to_onnx(model, x[:1], **options)
    ask = asked(model, is_classifier)
    return Case(name, kind, EXPORTER, onx, {onx.graph.input[0].name: x}, ask, takes_missing)


def of_table(name, kind, make, table, y, is_classifier, export={}, **more):
    model = make().fit(table, y)
    ask = asked(model, is_classifier)
    onx = to_onnx(model, table[:1], **export)
    inputs = {column: table[[column]].to_numpy() for column in table.columns}
    asked_table = lambda rows: ask({"table": pd.DataFrame({column: of[:, 0] for column, of in rows.items()})})
    return Case(name, kind, EXPORTER, onx, inputs, asked_table, takes_missing=True, **more)


def columns(scale=True, encode=None):
    """Returns what makes numbers of a table: texts encoded, what is missing filled in."""
    encode = encode or OneHotEncoder(handle_unknown="ignore")
    fill = SimpleImputer(strategy="median")
    numbers = make_pipeline(fill, StandardScaler()) if scale else fill
    return ColumnTransformer([("texts", encode, ["colour", "town"]), ("numbers", numbers, ["income", "height"])])


TABLES = {
    "columns-logistic": (lambda: make_pipeline(columns(), LogisticRegression()), True),
    "columns-forest": (
        lambda: make_pipeline(columns(False), RandomForestClassifier(10, random_state=0)),
        True,
    ),
    "columns-boosting": (
        lambda: make_pipeline(columns(False), GradientBoostingClassifier(n_estimators=10, random_state=0)),
        True,
    ),
    "columns-mlp": (lambda: make_pipeline(columns(), MLPClassifier(hidden_layer_sizes=(8,), max_iter=50, random_state=0)), True),
    "columns-ridge": (lambda: make_pipeline(columns(), Ridge()), False),
    "columns-ordinal": (
        lambda: make_pipeline(
            columns(False, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            RandomForestRegressor(5, random_state=0),
        ),
        False,
    ),
    "columns-passed": (
        lambda: make_pipeline(
            ColumnTransformer(
                [
                    ("texts", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
                    ("passed", "passthrough", ["height"]),
                    ("filled", SimpleImputer(), ["income"]),
                ]
            ),
            LinearRegression(),
        ),
        False,
    ),
}


def makers(data):
    """Yields the name and the maker of each case."""
    x, y = data["regression"]
    for short, dtype in (("f32", np.float32), ("f64", np.float64)):
        for name, make in REGRESSORS.items():
            full = f"{name}-regressor-{short}"
            yield full, partial(of_array, full, "regressor", make, x, y, dtype, False)
        for name, step in STEPS.items():
            full = f"{name}-ridge-{short}"
            make = lambda step=step: make_pipeline(step(), Ridge())
            yield full, partial(of_array, full, "pipeline", make, x, y, dtype, False)
        for kind in ("binary", "multi-class", "strings"):
            for name, make in CLASSIFIERS.items():
                full = f"{name}-{kind}-{short}"
                yield full, partial(of_array, full, kind, make, *data[kind], dtype, True)
        for name, make in {
            "forest-two-targets": partial(RandomForestRegressor, 5, random_state=0),
            "linear-two-targets": LinearRegression,
            "boosting-two-targets": lambda: MultiOutputRegressor(GradientBoostingRegressor(n_estimators=5)),
        }.items():
            full = f"{name}-{short}"
            yield full, partial(of_array, full, "regressor", make, x, np.c_[y, 2 * y], dtype, False)
        gaps, classes = data["missing"]
        for name, make in {
            "mean": lambda: make_pipeline(SimpleImputer(), LogisticRegression()),
            "median": lambda: make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()),
            "frequent": lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), LogisticRegression()),
            "indicated": lambda: make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()),
            "knn": lambda: make_pipeline(KNNImputer(), LogisticRegression()),
            "tree": partial(DecisionTreeClassifier, random_state=0),
            "forest": partial(RandomForestClassifier, 10, random_state=0),
        }.items():
            # skl2onnx never returns from a split by missing values in doubles.
            if dtype == np.float64 and name in ("tree", "forest"):
                continue
            full = f"{name}-missing-{short}"
            yield full, partial(
                of_array, full, "missing values", make, gaps, classes, dtype, True, takes_missing=True
            )
    for standard, ml in OPSETS:
        for name, make in {
            "logistic": LogisticRegression,
            "forest": partial(RandomForestClassifier, 5, random_state=0),
            "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        }.items():
            full = f"{name}-opset-{standard}"
            options = {"target_opset": {"": standard, "ai.onnx.ml": ml}}
            yield full, partial(of_array, full, "binary", make, *data["binary"], np.float32, True, **options)
    for name in ("logistic", "gaussian-nb", "knn", "mlp", "forest"):
        full = f"{name}-without-zipmap"
        options = {"options": {"zipmap": False}}
        yield full, partial(of_array, full, "strings", CLASSIFIERS[name], *data["strings"], np.float32, True, **options)
    # One score for two classes with something behind it, and a whole number of what is missing.
    make = partial(GradientBoostingClassifier, loss="exponential", n_estimators=10, random_state=0)
    full = "gradient-boosting-exponential"
    yield full, partial(of_array, full, "binary", make, *data["binary"], np.float32, True)
    full = "one-class-svm"
    make = lambda: make_pipeline(StandardScaler(), OneClassSVM())
    yield full, partial(of_array, full, "binary", make, *data["binary"], np.float32, True)
    table, classes, targets = data["table"]
    narrow = table.astype({"income": np.float32, "height": np.float32})
    for short, of in (("f32", narrow), ("f64", table)):
        for name, (make, is_classifier) in TABLES.items():
            full = f"{name}-{short}"
            y = classes if is_classifier else targets
            yield full, partial(of_table, full, "several inputs", make, of, y, is_classifier)
        # By default an encoder refuses what it does not know.
        full = f"columns-strict-{short}"
        make = lambda: make_pipeline(columns(encode=OneHotEncoder()), LogisticRegression())
        yield full, partial(of_table, full, "several inputs", make, of, classes, True, takes_unknown=False)
