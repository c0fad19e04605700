"""Places on loopback that models are imported from, for whoever reads our standard output; they end with our standard input.

A line of JSON per place: `kind`, `address` of the model, `missing` with nothing, `file` with who may read, `wrong` with who may not.
`ARGV[1]` is the model, `ARGV[2]` the program azurite-blob, `ARGV[3]` docker-registry.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

MODEL = open(sys.argv[1], "rb").read()
KEY = "wine/v1/m.onnx"
# What is done before anybody has to say who they are: below, five things.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "5"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tell(kind, place, file, wrong, key=KEY, missing="wine/none.onnx"):
    at = lambda key: f"{place}/{key}"
    print(json.dumps({"kind": kind, "address": at(key), "missing": at(missing), "file": file, "wrong": wrong}), flush=True)


def ask(method, url, body=None, kind="application/octet-stream", **headers):
    request = urllib.request.Request(url, body, {"content-type": kind, **headers}, method=method)
    return urllib.request.urlopen(request)


def wait_for(url, started):
    for attempt in range(600):
        try:
            return ask("GET", url)
        except urllib.error.HTTPError:
            return
        except OSError:
            assert started.poll() is None, f"{url} has ended"
            time.sleep(0.1)
    raise TimeoutError(url)


def s3():
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://%s:%s" % server.get_host_and_port()
    anybody = dict(endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="a")
    store, identities = boto3.client("s3", **anybody), boto3.client("iam", **anybody)
    store.create_bucket(Bucket="team-models")
    store.put_object(Bucket="team-models", Key=KEY, Body=MODEL)
    identities.create_user(UserName="aurora")
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    identities.put_user_policy(UserName="aurora", PolicyName="read", PolicyDocument=policy)
    key = identities.create_access_key(UserName="aurora")["AccessKey"]

    def file(secret):
        return f"aws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {secret}\nregion = us-east-1\nendpoint_url = {endpoint}\n"

    tell("s3", "s3://team-models", file(key["SecretAccessKey"]), file("s3cret"))


def gs():
    from gcp_storage_emulator.server import create_server

    port = free_port()
    create_server("127.0.0.1", port, in_memory=True, default_bucket="team-models").start()
    endpoint = f"http://127.0.0.1:{port}"
    name = urllib.parse.quote(KEY, safe="")
    upload = f"{endpoint}/upload/storage/v1/b/team-models/o?uploadType=media&name={name}"
    ask("POST", upload, MODEL).read()
    account = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    # It knows nobody, and lets everybody in.
    tell("gs", "gs://team-models", json.dumps(account), None)


def az(program):
    from azure.core.exceptions import ServiceRequestError
    from azure.storage.blob import BlobServiceClient

    port = free_port()
    command = [program, "--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", str(port), "--skipApiVersionCheck"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # The account that it has, with the key that everybody knows.
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    endpoint = f"http://127.0.0.1:{port}/{account}"
    container = BlobServiceClient(endpoint, credential=key, retry_total=0).get_container_client("models")
    for attempt in range(300):
        try:
            container.create_container()
            break
        except ServiceRequestError:
            assert started.poll() is None, "azurite has ended"
            time.sleep(0.1)
    container.upload_blob(KEY, MODEL)

    def file(key):
        return f"account_key = {key}\nendpoint_url = {endpoint}\n"

    tell("az", f"az://{account}/models", file(key), file("czNjcmV0czNjcmV0"))
    return started


def mlflow(folder):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    started = subprocess.Popen(command, **quiet)
    server = f"http://127.0.0.1:{port}"
    wait_for(f"{server}/health", started)
    api = f"{server}/api/2.0"
    logged = b"flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.19.0\n  python_function:\n    loader_module: mlflow.onnx\n"
    said = lambda path, words: json.load(ask("POST", f"{api}/mlflow/{path}", json.dumps(words).encode(), "application/json"))
    model = said("logged-models", {"experiment_id": "0", "name": "wine"})["model"]["info"]
    artifacts = model["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for name, content in [("MLmodel", logged), ("model.onnx", MODEL)]:
        ask("PUT", f"{api}/mlflow-artifacts/artifacts/{artifacts}/{name}", content).read()
    said("registered-models/create", {"name": "wine"})
    version = {"name": "wine", "source": model["artifact_uri"], "model_id": model["model_id"]}
    said("model-versions/create", version)
    tell("mlflow", f"mlflow+http://127.0.0.1:{port}", "me:anything", None, "wine/1", "wine/99")
    return started


def oci(program, folder):
    port = free_port()
    # Whose password is `pull`.
    with open(f"{folder}/users", "w") as users:
        users.write("aurora:$2b$05$dX7Zfo1ySFL.E0JUTQIZpe57fwVqO4LOHcoXII2f5EXsgIVGCo2sa\n")
    with open(f"{folder}/registry.yml", "w") as settings:
        json.dump(
            {
                "version": 0.1,
                "storage": {"filesystem": {"rootdirectory": f"{folder}/registry"}},
                "http": {"addr": f"127.0.0.1:{port}"},
                "auth": {"htpasswd": {"realm": "registry", "path": f"{folder}/users"}},
            },
            settings,
        )
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = subprocess.Popen([program, "serve", f"{folder}/registry.yml"], **quiet)
    server = f"http://127.0.0.1:{port}"
    wait_for(f"{server}/v2/", started)
    who = {"authorization": "Basic " + base64.b64encode(b"aurora:pull").decode()}
    begun = ask("POST", f"{server}/v2/wine/model/blobs/uploads/", b"", **who)
    digest = "sha256:" + hashlib.sha256(MODEL).hexdigest()
    ask("PUT", begun.headers["location"] + f"&digest={digest}", MODEL, **who).read()
    tell("oci", f"oci+http://127.0.0.1:{port}", "aurora:pull", "aurora:s3cret", "wine/model", "wine/none")
    return started


folder = tempfile.TemporaryDirectory()
children = []
try:
    s3()
    gs()
    children.append(az(sys.argv[2]))
    children.append(oci(sys.argv[3], folder.name))
    children.append(mlflow(folder.name))
    print("{}", flush=True)
    sys.stdin.read()
except BaseException:
    traceback.print_exc()
finally:
    for child in children:
        child.terminate()
        child.wait()
    folder.cleanup()
    # The stores' threads would go on.
    os._exit(0)
