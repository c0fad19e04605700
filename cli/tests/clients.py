"""Asks a running `aurora up` as the clients do that teams have: tritonclient itself, and what KServe's and MLflow's put on
the wire. Run by the test `clients` of the command line, with the address of the inference listener.

Serves `iris` (a classifier) and `wine-quality` (a regression with a canary). Every answer is held against that of `/predict`.
"""

import asyncio
import gzip
import importlib.util
import json
import sys
import time
import urllib.error
import urllib.request

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
# A copy of these each time: tritonclient writes into the headers that it is given.
STABLE = {"aurora-track": "stable"}
MODELS = {"iris": ["label", "probabilities"], "wine-quality": ["prediction"]}


def ask(path, body=None, headers=None):
    """Returns the status, the headers and the body of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def answer(path, body=None, headers=None):
    status, _, content = ask(path, body, headers)
    assert status == 200, (path, status, content)
    return json.loads(content)


def example(model):
    """Returns the row that describes a model, and the features that it derives to."""
    document = answer(f"/predict/{model}/openapi.json")
    content = document["paths"][f"/predict/{model}"]["post"]["requestBody"]["content"]["application/json"]
    return [content["examples"][name]["value"][name] for name in ("rows", "inputs")]


def refused(words, act):
    try:
        act()
    except InferenceServerException as error:
        assert words in error.message(), error
    else:
        raise AssertionError(f"not refused: {words}")


def tensor(rows, datatype="FP64", name="input", **options):
    given = http.InferInput(name, list(rows.shape), datatype)
    given.set_data_from_numpy(rows, **options)
    return given


def triton():
    client = http.InferenceServerClient(ADDRESS)
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert server["name"] == "aurora", server
    assert server["extensions"] == ["binary_tensor_data", "model_configuration"], server
    index = client.get_model_repository_index()
    until = time.monotonic() + 120
    while any(entry["state"] == "LOADING" for entry in index) and time.monotonic() < until:
        time.sleep(0.1)
        index = client.get_model_repository_index()
    assert [(entry["name"], entry["state"]) for entry in index] == [
        ("iris", "READY"),
        ("wine-quality", "READY"),
        ("wine-quality", "READY"),
    ], index
    for model, names in MODELS.items():
        triton_model(client, model, names)
    canary = [entry["version"] for entry in index if entry["name"] == "wine-quality"][1]
    rows = np.array(example("wine-quality")[1])
    for asked in ({"model_version": canary}, {"headers": {"aurora-track": "canary"}}):
        got = client.infer("wine-quality", [tensor(rows)], **asked)
        assert got.get_response()["model_version"] == canary, got.get_response()
    for model in ("other", ""):
        refused("no such", lambda: client.infer(model, [tensor(rows)]))
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("iris", "1")
    refused("models change by commit", lambda: client.load_model("iris"))
    refused("models change by commit", lambda: client.unload_model("iris"))
    counted = client.get_inference_statistics()["model_stats"]
    assert len(counted) == len(index), counted


def triton_model(client, model, names):
    assert client.is_model_ready(model)
    metadata = client.get_model_metadata(model)
    version = metadata["versions"][0]
    assert client.is_model_ready(model, version)
    assert client.get_model_metadata(model, version)["inputs"] == metadata["inputs"]
    config = client.get_model_config(model)
    assert [output["name"] for output in config["output"]] == names, config
    assert config["input"][0]["dims"] == metadata["inputs"][0]["shape"][1:], config
    assert client.get_model_config(model, version)["max_batch_size"] == config["max_batch_size"]

    _, inputs = example(model)
    rows = np.array(inputs * 100)
    expected = answer(f"/predict/{model}", {"inputs": inputs * 100}, STABLE)["predictions"]

    def same(got):
        found = got.as_numpy(names[0]).reshape(-1).tolist()
        found = [text.decode() if isinstance(text, bytes) else text for text in found]
        assert found == expected, (model, found[0], expected[0])

    # As the client does without being told: binary both ways, all outputs.
    got = client.infer(model, [tensor(rows)], request_id="r-1", headers=dict(STABLE))
    same(got)
    assert got.get_response()["id"] == "r-1", got.get_response()
    assert "data" not in got.get_response()["outputs"][0], got.get_response()
    for binary_in in (True, False):
        for binary_out in (True, False):
            outputs = [http.InferRequestedOutput(name, binary_data=binary_out) for name in names]
            same(client.infer(model, [tensor(rows, binary_data=binary_in)], outputs=outputs, headers=dict(STABLE)))
    # Its time-out is in microseconds, and a parameter that is nobody's is passed over.
    same(client.infer(model, [tensor(rows)], timeout=5_000_000, parameters={"mine": 1}, headers=dict(STABLE)))
    for coding in ("gzip", "deflate"):
        for there, back in ((coding, None), (None, coding), (coding, coding)):
            codings = {"request_compression_algorithm": there, "response_compression_algorithm": back}
            same(client.infer(model, [tensor(rows)], headers=dict(STABLE), **codings))
    # Types that widen, whole numbers of 64 bits where they are exact.
    whole = np.ones_like(rows)
    plain = client.infer(model, [tensor(whole)], headers=dict(STABLE)).as_numpy(names[-1])
    for name, kind in (("FP32", np.float32), ("FP16", np.float16), ("INT64", np.int64), ("UINT8", np.uint8)):
        for binary in (True, False):
            if name == "FP16" and not binary:
                continue
            got = client.infer(model, [tensor(whole.astype(kind), name, binary_data=binary)], headers=dict(STABLE))
            assert (got.as_numpy(names[-1]) == plain).all(), (model, name)
    later = client.async_infer(model, [tensor(rows)], headers=dict(STABLE))
    same(later.get_result())

    refused("is exact", lambda: client.infer(model, [tensor(np.full(rows.shape, 2**53 + 1), "INT64")]))
    refused("got shape", lambda: client.infer(model, [tensor(rows[:, :1])]))
    refused("got BOOL", lambda: client.infer(model, [tensor(rows > 0, "BOOL")]))
    refused("`x` is unknown", lambda: client.infer(model, [tensor(rows, name="x")]))
    refused("`none` is unknown", lambda: client.infer(model, [tensor(rows)], outputs=[http.InferRequestedOutput("none")]))
    counted = client.get_inference_statistics(model, version)["model_stats"][0]
    assert counted["inference_stats"]["success"]["count"] > 0, counted


def kserve():
    """What InferenceRESTClient of kserve 0.21.0 sends, in both protocols; `by_kserve` is that client itself."""
    assert answer("/")["status"] == "alive"
    assert answer("/v2/health/live")["live"] is True
    assert answer("/v2/health/ready")["ready"] is True
    for model, names in MODELS.items():
        assert answer(f"/v1/models/{model}")["ready"] is True
        stable = {**STABLE, "accept-encoding": "gzip, deflate"}
        raw, inputs = example(model)
        expected = answer(f"/predict/{model}", {"rows": raw * 2}, STABLE)
        for instances in (raw * 2, inputs * 2):
            body = {"instances": instances}
            assert answer(f"/v1/models/{model}:predict", body, stable) == expected, model
        rows = np.array(inputs)
        head = {
            "inputs": [
                {
                    "name": "input",
                    "shape": list(rows.shape),
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": rows.nbytes},
                }
            ]
        }
        head = json.dumps(head).encode()
        headers = {
            **stable,
            "inference-header-content-length": str(len(head)),
            "content-type": "application/octet-stream",
        }
        got = answer(f"/v2/models/{model}/infer", head + rows.tobytes(), headers)
        assert [output["name"] for output in got["outputs"]] == names, got
        assert got["outputs"][0]["data"] == expected["predictions"][:1], got
    assert ask("/v1/models/other")[0] == 404
    assert ask("/v1/models/other:predict", {"instances": []})[0] == 404


async def by_kserve():
    """InferenceRESTClient itself, where it is installed: it brings a gRPC compiler, pandas and a client of Kubernetes."""
    from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

    base = f"http://{ADDRESS}"
    first = InferenceRESTClient(RESTConfig(protocol="v1"))
    second = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await first.is_server_live(base)
    assert await second.is_server_live(base)
    assert await second.is_server_ready(base)
    for model, names in MODELS.items():
        raw, inputs = example(model)
        expected = answer(f"/predict/{model}", {"rows": raw}, STABLE)
        for client in (first, second):
            assert await client.is_model_ready(base, model)
        for instances in (raw, inputs):
            got = await first.infer(base, {"instances": instances}, model_name=model, headers=dict(STABLE))
            assert got == expected, got
        for binary in (True, False):
            given = InferInput("input", list(np.array(inputs).shape), "FP64")
            given.set_data_from_numpy(np.array(inputs), binary_data=binary)
            for all_binary in (True, False):
                asked = InferRequest(
                    model, [given], request_id="r-1", parameters={"binary_data_output": all_binary}
                )
                got = await second.infer(base, asked, model_name=model, headers=dict(STABLE))
                assert [output.name for output in got.outputs] == names, got
                assert got.id == "r-1", got
                found = got.outputs[0].as_numpy().reshape(-1).tolist()
                found = [text.decode() if isinstance(text, bytes) else text for text in found]
                assert found == expected["predictions"], (found, expected)
    await first.close()
    await second.close()


def mlflow():
    """What MLflow's scoring client sends. Two models are served, so that `/invocations`, which names none, says so."""
    assert ask("/ping")[0] == 200
    assert answer("/v2")["version"] == ask("/version")[2].decode()
    status, _, content = ask("/invocations", {"inputs": [[1]]})
    assert status == 400 and b"name one" in content, content


def compressed_by_default():
    """What most Python clients say without being told: an answer that is large comes compressed."""
    _, inputs = example("iris")
    headers = {"accept-encoding": "gzip, deflate"}
    status, said, content = ask("/predict/iris", {"inputs": inputs * 2000}, headers)
    assert status == 200 and said["content-encoding"] == "gzip", said
    assert len(json.loads(gzip.decompress(content))["predictions"]) == 2000


triton()
kserve()
if importlib.util.find_spec("kserve"):
    asyncio.run(by_kserve())
mlflow()
compressed_by_default()
