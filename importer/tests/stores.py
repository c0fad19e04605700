"""Object stores on loopback, each with a model, for whoever reads our standard output; they end with our standard input.

A line of JSON per store: `kind`, `address` of the model, `missing` with nothing, `file` with who may read, `wrong` with who may not.
`ARGV[1]` is the model, `ARGV[2]` the program azurite-blob.
"""

import json
import os
import socket
import subprocess
import sys
import time
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


def tell(kind, place, file, wrong):
    at = lambda key: f"{place}/{key}"
    print(json.dumps({"kind": kind, "address": at(KEY), "missing": at("wine/none.onnx"), "file": file, "wrong": wrong}), flush=True)


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
    request = urllib.request.Request(upload, MODEL, {"content-type": "application/octet-stream"})
    urllib.request.urlopen(request).read()
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


children = []
try:
    s3()
    gs()
    children.append(az(sys.argv[2]))
    print("{}", flush=True)
    sys.stdin.read()
finally:
    for child in children:
        child.kill()
    # The stores' threads would go on.
    os._exit(0)
