"""Asks a running `aurora up` as the clients do that teams have: tritonclient itself over HTTP and over gRPC, what KServe's and
MLflow's put on the wire, and what asks gRPC servers what they are. Run by the test `clients` of the command line, with the
addresses of inference and of gRPC.

Serves `iris` (a classifier) and `wine-quality` (a regression with a canary). Every answer is held against that of `/predict`.
"""

import asyncio
import gzip
import importlib.util
import json
import queue
import sys
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient import grpc as triton_grpc
from tritonclient import http
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

ADDRESS, GRPC_ADDRESS = sys.argv[1:]
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


class ByHttp:
    """What tritonclient calls things where it speaks HTTP."""

    triton = http
    extensions = ["binary_tensor_data", "model_configuration"]
    # How inputs and outputs may go, and what they are compressed by.
    forms = [({"binary_data": there}, {"binary_data": back}) for there in (True, False) for back in (True, False)]
    codings = [
        {"request_compression_algorithm": there, "response_compression_algorithm": back}
        for coding in ("gzip", "deflate")
        for there, back in ((coding, None), (None, coding), (coding, coding))
    ]
    # Its time-out is in microseconds.
    patience = {"timeout": 5_000_000}
    as_json = {}

    @staticmethod
    def client():
        return http.InferenceServerClient(ADDRESS)

    @staticmethod
    def counted(statistics):
        return statistics["model_stats"]

    @staticmethod
    def index(entries):
        return entries

    @staticmethod
    def config(config):
        return config


class ByGrpc:
    """The same where it speaks gRPC."""

    triton = triton_grpc
    extensions = ["model_configuration"]
    forms = [({}, {})]
    codings = [{"compression_algorithm": coding} for coding in ("gzip", "deflate")]
    patience = {"client_timeout": 60}
    as_json = {"as_json": True}

    @staticmethod
    def client():
        return triton_grpc.InferenceServerClient(GRPC_ADDRESS)

    @staticmethod
    def counted(statistics):
        return statistics["model_stats"]

    @staticmethod
    def index(entries):
        return entries.get("models", [])

    @staticmethod
    def config(config):
        return config["config"]


def tensor(by, rows, datatype="FP64", name="input", **options):
    given = by.triton.InferInput(name, list(rows.shape), datatype)
    given.set_data_from_numpy(rows, **options)
    return given


def whole(numbers):
    """As JSON, gRPC's whole numbers of 64 bits are texts."""
    return [int(number) for number in numbers]


def triton(by):
    client = by.client()
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata(**by.as_json)
    assert server["name"] == "aurora", server
    assert server["extensions"] == by.extensions, server
    index = by.index(client.get_model_repository_index(**by.as_json))
    until = time.monotonic() + 120
    while any(entry["state"] == "LOADING" for entry in index) and time.monotonic() < until:
        time.sleep(0.1)
        index = by.index(client.get_model_repository_index(**by.as_json))
    assert [(entry["name"], entry["state"]) for entry in index] == [
        ("iris", "READY"),
        ("wine-quality", "READY"),
        ("wine-quality", "READY"),
    ], index
    for model, names in MODELS.items():
        triton_model(by, client, model, names)
    canary = [entry["version"] for entry in index if entry["name"] == "wine-quality"][1]
    rows = np.array(example("wine-quality")[1])
    for asked in ({"model_version": canary}, {"headers": {"aurora-track": "canary"}}):
        got = client.infer("wine-quality", [tensor(by, rows)], **asked).get_response(**by.as_json)
        assert got["model_version"] == canary, got
    for model in ("other", ""):
        refused("no such", lambda: client.infer(model, [tensor(by, rows)]))
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("iris", "1")
    refused("models change by commit", lambda: client.load_model("iris"))
    refused("models change by commit", lambda: client.unload_model("iris"))
    counted = by.counted(client.get_inference_statistics(**by.as_json))
    assert len(counted) == len(index), counted


def triton_model(by, client, model, names):
    assert client.is_model_ready(model)
    metadata = client.get_model_metadata(model, **by.as_json)
    version = metadata["versions"][0]
    assert client.is_model_ready(model, version)
    assert client.get_model_metadata(model, version, **by.as_json)["inputs"] == metadata["inputs"]
    config = by.config(client.get_model_config(model, **by.as_json))
    assert [output["name"] for output in config["output"]] == names, config
    assert whole(config["input"][0]["dims"]) == whole(metadata["inputs"][0]["shape"][1:]), config
    of_version = by.config(client.get_model_config(model, version, **by.as_json))
    assert of_version["max_batch_size"] == config["max_batch_size"]

    _, inputs = example(model)
    rows = np.array(inputs * 100)
    expected = answer(f"/predict/{model}", {"inputs": inputs * 100}, STABLE)["predictions"]

    def same(got):
        found = got.as_numpy(names[0]).reshape(-1).tolist()
        found = [text.decode() if isinstance(text, bytes) else text for text in found]
        assert found == expected, (model, found[0], expected[0])

    # As the client does without being told: binary both ways, all outputs.
    got = client.infer(model, [tensor(by, rows)], request_id="r-1", headers=dict(STABLE))
    same(got)
    response = got.get_response(**by.as_json)
    assert response["id"] == "r-1", response
    assert "data" not in response["outputs"][0] and "contents" not in response["outputs"][0], response
    for there, back in by.forms:
        outputs = [by.triton.InferRequestedOutput(name, **back) for name in names]
        same(client.infer(model, [tensor(by, rows, **there)], outputs=outputs, headers=dict(STABLE)))
    # A parameter that is nobody's is passed over.
    same(client.infer(model, [tensor(by, rows)], parameters={"mine": 1}, headers=dict(STABLE), **by.patience))
    for codings in by.codings:
        same(client.infer(model, [tensor(by, rows)], headers=dict(STABLE), **codings))
    # Types that widen, whole numbers of 64 bits where they are exact.
    ones = np.ones_like(rows)
    plain = client.infer(model, [tensor(by, ones)], headers=dict(STABLE)).as_numpy(names[-1])
    for name, kind in (("FP32", np.float32), ("FP16", np.float16), ("INT64", np.int64), ("UINT8", np.uint8)):
        for there in {str(there): there for there, _ in by.forms}.values():
            if name == "FP16" and not there.get("binary_data", True):
                continue
            got = client.infer(model, [tensor(by, ones.astype(kind), name, **there)], headers=dict(STABLE))
            assert (got.as_numpy(names[-1]) == plain).all(), (model, name)

    refused("is exact", lambda: client.infer(model, [tensor(by, np.full(rows.shape, 2**53 + 1), "INT64")]))
    refused("got shape", lambda: client.infer(model, [tensor(by, rows[:, :1])]))
    refused("got BOOL", lambda: client.infer(model, [tensor(by, rows > 0, "BOOL")]))
    refused("`x` is unknown", lambda: client.infer(model, [tensor(by, rows, name="x")]))
    none = by.triton.InferRequestedOutput("none")
    refused("`none` is unknown", lambda: client.infer(model, [tensor(by, rows)], outputs=[none]))
    counted = by.counted(client.get_inference_statistics(model, version, **by.as_json))[0]
    assert int(counted["inference_stats"]["success"]["count"]) > 0, counted


def later():
    """What each of the two does without waiting."""
    rows = np.array(example("iris")[1])
    expected = answer("/predict/iris", {"inputs": rows.tolist()})["predictions"]
    asked = ByHttp.client().async_infer("iris", [tensor(ByHttp, rows)])
    assert [text.decode() for text in asked.get_result().as_numpy("label")] == expected
    done = queue.Queue()
    client = ByGrpc.client()
    client.async_infer("iris", [tensor(ByGrpc, rows)], lambda result, error: done.put((result, error)))
    result, error = done.get(timeout=60)
    assert error is None, error
    assert [text.decode() for text in result.as_numpy("label")] == expected


def numbers_in_grpc():
    """What other clients of gRPC send: numbers in the field of their type, and get back so."""
    with grpc.insecure_channel(GRPC_ADDRESS) as channel:
        service = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for model, names in MODELS.items():
            _, inputs = example(model)
            rows = np.array(inputs)
            asked = service_pb2.ModelInferRequest(model_name=model)
            given = asked.inputs.add(name="input", datatype="FP64", shape=rows.shape)
            given.contents.fp64_contents.extend(rows.reshape(-1).tolist())
            got = service.ModelInfer(asked, metadata=tuple(STABLE.items()))
            expected = answer(f"/predict/{model}", {"inputs": inputs}, STABLE)["predictions"]
            contents = got.outputs[0].contents
            found = [text.decode() for text in contents.bytes_contents] or list(contents.fp64_contents)
            assert found == expected, (found, expected)
            assert not got.raw_output_contents, got


def asked_of_grpc():
    """What a gRPC server is asked before anybody has its protocol: as grpcurl does, and Kubernetes' probes."""
    with grpc.insecure_channel(GRPC_ADDRESS) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in known.get_services(), known.get_services()
        service = DescriptorPool(known).FindServiceByName("inference.GRPCInferenceService")
        methods = [method.name for method in service.methods]
        ours = {method.name: method for method in service.methods}
        theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        assert "ModelInfer" in methods, methods
        for name, method in ours.items():
            for own, other in (
                (method.input_type, theirs.methods_by_name[name].input_type),
                (method.output_type, theirs.methods_by_name[name].output_type),
            ):
                same_numbers(own, other)
        probe = health_pb2_grpc.HealthStub(channel)
        for asked in ("", "inference.GRPCInferenceService", "iris"):
            assert probe.Check(health_pb2.HealthCheckRequest(service=asked)).status == 1, asked
        try:
            probe.Check(health_pb2.HealthCheckRequest(service="other"))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        else:
            raise AssertionError("a probe of what is not there passed")


def same_numbers(own, other):
    """Our part of a message of Triton's is what that is there: by number, name and type, all the way down."""
    assert own.full_name == other.full_name
    for field in own.fields:
        their = other.fields_by_number[field.number]
        assert (field.name, field.type, field.is_repeated) == (their.name, their.type, their.is_repeated), field.full_name
        if field.message_type:
            same_numbers(field.message_type, their.message_type)


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


for spoken in (ByHttp, ByGrpc):
    triton(spoken)
later()
numbers_in_grpc()
asked_of_grpc()
kserve()
if importlib.util.find_spec("kserve"):
    asyncio.run(by_kserve())
mlflow()
compressed_by_default()
