"""Asks a running inference listener with the Open Inference Protocol's Python client, in JSON.

Run by the Rust tests when AURORA_TRITONCLIENT_PYTHON names a Python that has tritonclient[http]:
serves `wine` (a + 10 * b_per_c on stable, 1000 more on canary) and `iris` (three classes).
"""

import sys

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException

STABLE, CANARY = "v20260101-000000", "v20260202-000000"

client = http.InferenceServerClient(sys.argv[1])
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("wine")
assert client.is_model_ready("wine", STABLE)
assert not client.is_model_ready("wine", "1")
assert not client.is_model_ready("other")

server = client.get_server_metadata()
assert server["name"] == "aurora", server
assert "binary_tensor_data" not in server["extensions"], server

metadata = client.get_model_metadata("wine")
assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}], metadata
assert metadata["versions"] == [STABLE, CANARY], metadata

index = client.get_model_repository_index()
assert {"name": "wine", "version": CANARY, "state": "READY", "reason": ""} in index, index


def ask(model, rows, datatype, outputs, **options):
    tensor = http.InferInput("input", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=False)
    wanted = [http.InferRequestedOutput(name, binary_data=False) for name in outputs]
    return client.infer(model, [tensor], outputs=wanted, **options)


rows = np.array([[1.0, 0.5], [2.0, 0.1]])
answer = ask("wine", rows, "FP64", ["prediction"], request_id="r-1")
assert answer.as_numpy("prediction").tolist() == [[6.0], [3.0]], answer.get_response()
assert answer.get_response()["id"] == "r-1"
assert answer.get_response()["model_version"] == STABLE

answer = ask("wine", rows.astype(np.float32), "FP32", ["prediction"], model_version=CANARY)
expected = (rows.astype(np.float32).astype(np.float64) @ [1.0, 10.0] + 1000.0).reshape(-1, 1)
assert np.allclose(answer.as_numpy("prediction"), expected, rtol=1e-12), answer.get_response()

answer = ask("wine", rows, "FP64", ["prediction"], headers={"aurora-track": "canary"})
assert answer.get_response()["model_version"] == CANARY

answer = ask("iris", np.array([[3.0, 0.0], [0.0, 4.0]]), "FP64", ["label", "probabilities"])
assert answer.as_numpy("label").tolist() in (["setosa", "versicolor"], [b"setosa", b"versicolor"])
assert np.allclose(answer.as_numpy("probabilities").sum(axis=1), 1.0)

for refused, words in [
    (lambda: ask("wine", rows.astype(np.int64), "INT64", ["prediction"]), "got INT64"),
    (lambda: ask("wine", rows[:, :1], "FP64", ["prediction"]), "got shape"),
    (lambda: ask("wine", rows, "FP64", ["nothing"]), "unknown"),
    (lambda: ask("other", rows, "FP64", ["prediction"]), "no such model"),
    (lambda: client.load_model("wine"), "commit"),
    (lambda: client.unload_model("wine"), "commit"),
]:
    try:
        refused()
    except InferenceServerException as error:
        assert words in error.message(), error
    else:
        raise AssertionError(f"not refused: {words}")
