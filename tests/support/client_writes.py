"""The unmodified azure-ai-ml over many job files in one process: what it writes for each, and how that compares with ours.

In: a JSON file `{"cases": [{"id", "file", "ours": {"requests"} | {"error"}}], "shared": folder of compare_jobs.py or null}`.
Out: one JSON line a case: id, verdict (equal, both-refuse, client-refuses, we-refuse, differ), the client's error, the differences.
No network: answers are made where `requests` would send. They are those of the recordings in ../shared/conformance/jobs (its README).
"""

import base64
import io
import json
import logging
import os
import re
import sys
import time
import urllib.parse
import uuid
import warnings

os.environ.update(AZURE_ML_DISABLE_ON_DISK_CACHE="true", AZURE_ML_DISABLE_CONCURRENT_COMPONENT_REGISTRATION="true")
import requests  # noqa: E402
import urllib3  # noqa: E402
from azure.core.credentials import AccessToken  # noqa: E402

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-dev"
ACCOUNT = "stmlwdev.blob.core.windows.net"
BLOBS = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>'
MANAGED = r"/(components|environments|data|models|codes)/([^/]+)"


class Service:
    """Answers of a workspace in which every compute and every named version exists, and no code is known at first."""

    def __init__(self):
        self.sent, self.kept, self.codes = [], {}, {}

    def answer(self, method, url, body):
        """Status and body of one request; writes are recorded."""
        address = urllib.parse.urlsplit(url)
        path, query = urllib.parse.unquote(address.path), dict(urllib.parse.parse_qsl(address.query))
        if ".blob." in address.netloc:
            return (404, "") if method == "HEAD" else (201 if method == "PUT" and "comp" not in query else 200, BLOBS if method == "GET" else "")
        if method == "PUT":
            return 201, self.put(path, json.loads(body or "{}"))
        if path in self.kept:
            return 200, self.kept[path]
        return self.read(path, query)

    def put(self, path, body):
        self.sent.append({"method": "PUT", "path": path, "body": json.loads(json.dumps(body))})
        properties = body.setdefault("properties", {})
        for key in ("properties", "tags"):
            properties.setdefault(key, {})
        if "/jobs/" in path:
            properties["status"] = "NotStarted"
            properties["services"] = {"Studio": {"endpoint": "https://ml.azure.com/runs/x"}}
        if "/codes/" in path:
            self.codes[properties["properties"].get("hash_sha256")] = path
        self.kept[path] = {**body, "id": path, "name": path.rsplit("/", 1)[-1]}
        return self.kept[path]

    def read(self, path, query):
        last = path.rsplit("/", 1)[-1]
        if path == WORKSPACE:
            storage = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stmlwdev"
            more = {"workspaceId": "00000000-0000-0000-0000-0000000000aa", "discoveryUrl": "https://eastus.api.azureml.ms/discovery", "storageAccount": storage}
            return 200, {"id": path, "name": last, "location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": more}
        if last == "discovery":
            return 200, {"api": "https://eastus.api.azureml.ms"}
        if "/computes/" in path:
            more = {"vmSize": "STANDARD_DS3_V2", "scaleSettings": {"maxNodeCount": 4}}
            kind = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": more}
            return 200, {"id": path, "name": last, "location": "eastus", "properties": kind}
        if last.lower() == "listsecrets":
            return 200, {"secretsType": "AccountKey", "key": "a2V5"}
        if "/datastores" in path:
            store = self.datastore("workspaceblobstore" if last == "datastores" else last)
            return 200, {"value": [store]} if last == "datastores" else store
        if last.lower() == "startpendingupload":
            uri = f"https://{ACCOUNT}:443/snap-{path.split('/')[-4]}"
            credential = {"credentialType": "SAS", "sasUri": f"{uri}?sv=1&sig=x"}
            blob = {"blobUri": uri, "storageAccountArmId": "x", "credential": credential}
            return 200, {"pendingUploadId": str(uuid.uuid4()), "pendingUploadType": "TemporaryBlobReference", "blobReferenceForConsumption": blob}
        return self.asset(path, query)

    @staticmethod
    def datastore(name):
        more = {"datastoreType": "AzureBlob", "accountName": "stmlwdev", "containerName": "azureml-blobstore", "endpoint": "core.windows.net"}
        more.update(protocol="https", isDefault=name == "workspaceblobstore", credentials={"credentialsType": "AccountKey"})
        return {"id": f"{WORKSPACE}/datastores/{name}", "name": name, "properties": more}

    def asset(self, path, query):
        if found := re.search(MANAGED + r"/versions$", path):
            if found[1] != "codes":
                return 200, {"value": [self.version(f"{path}/1", found[2], "1")]}
            known = self.codes.get(query.get("hash"))
            return 200, {"value": [self.kept[known]] if known else []}
        if found := re.search(MANAGED + r"/(?:versions|labels)/([^/]+)$", path):
            return 200, self.version(path, found[2], found[3])
        if found := re.search(MANAGED + "$", path):
            more = {"latestVersion": "1", "nextVersion": "2", "isArchived": False, "dataType": "uri_folder", "properties": {}, "tags": {}}
            return 200, {"id": path, "name": found[2], "properties": more}
        return 404, {"error": {"code": "UserError", "message": f"not found: {path}"}}

    @staticmethod
    def version(path, name, version):
        spec = {"name": name, "version": version, "type": "command", "command": "echo", "environment": "azureml:e:1", "inputs": {}, "outputs": {}}
        more = {"componentSpec": spec, "dataUri": "x", "dataType": "uri_file", "modelUri": "x", "codeUri": f"https://{ACCOUNT}/c/x"}
        return {"id": path, "name": version, "properties": {**more, "flavors": {}, "isAnonymous": False, "properties": {}, "tags": {}}}


service = Service()


def send(self, request, **_):
    """In place of the network, below everything of the client's own."""
    body = request.body.read() if hasattr(request.body, "read") else request.body
    status, answer = service.answer(request.method, request.url, body)
    text = answer if isinstance(answer, str) else json.dumps(answer)
    kind = "application/xml" if isinstance(answer, str) else "application/json"
    headers = {"Content-Type": kind, "ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    raw = urllib3.HTTPResponse(body=io.BytesIO(text.encode()), headers=headers, status=status, preload_content=False)
    return self.build_response(request, raw)


requests.adapters.HTTPAdapter.send = send
from azure.ai.ml import MLClient, load_job  # noqa: E402

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)


class Credential:
    def get_token(self, *_, **__):
        part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")  # noqa: E731
        token = f"{part({'alg': 'none'})}.{part({'aud': 'https://ml.azure.com', 'tid': 't'})}.eHh4"
        return AccessToken(token, int(time.time()) + 3600)


def submit(file):
    """What the client writes for a file: `requests`, and `error` when it refuses before the job is sent."""
    global service
    service = Service()
    os.chdir(os.path.dirname(file))
    error = None
    try:
        job = load_job(os.path.basename(file))
        job.name = "case"
        client = MLClient(Credential(), SUBSCRIPTION, "rg-dev", "mlw-dev", enable_telemetry=False)
        client.jobs.create_or_update(job)
    except Exception as raised:  # noqa: B902  whatever refuses, its words are the answer
        error = re.sub(r"\x1b\[[0-9;]*m", "", f"{type(raised).__name__}: {raised}")
    # An echo that the client cannot read back comes after the job was sent.
    sent = any("/jobs/" in write["path"] for write in service.sent)
    return {"requests": service.sent, "error": None if sent else error}


# -- comparison: the job as one tree, in which what it refers to stands in place of the reference -------------------------------------------
REFERENCE = re.compile(r"(?:azureml:)?(/subscriptions/[^\s]*/(?:codes|components|environments)/[^/\s]+/versions/[^/\s]+)$")
MEMBERS = {"inputs", "outputs", "jobs"}


def fold(text):
    """Text without what may differ: the storage host and container, the case of ARM's own words."""
    text = re.sub(r"https?://[^/\s]*blob[^/\s]*/[^/\s]+", "<blob>", text)
    text = re.sub("/resourcegroups/", "/resourceGroups/", text, flags=re.I)
    return re.sub("/providers/microsoft[.]machinelearningservices/", "/providers/Microsoft.MachineLearningServices/", text, flags=re.I)


def tidy(value, under=None):
    """Without nulls and empty members (but names of inputs, outputs and steps), hashes of the client's own and git properties."""
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if not isinstance(value, dict):
        return fold(value) if isinstance(value, str) else value
    made = {}
    for key, item in value.items():
        if key == "client_component_hash" or key.startswith(("azureml.git.", "mlflow.source.git.")):
            continue
        item = tidy(item, key)
        if item in (None, {}, [], "") and not isinstance(item, bool) and item != 0:
            if under not in MEMBERS:
                continue
            item = None if item in ({}, []) else item
        made[key] = item.lower() if re.fullmatch("(job_?(input|output)_?)?type", key, re.I) and str(item).lower() == "literal" else item
    return made


def whole(writes):
    """The job with the bodies of everything it refers to; and what was written without being referred to."""
    bodies = {fold(write["path"]): tidy(write["body"]) for write in writes}
    used = set()

    def expand(value):
        if isinstance(value, list):
            return [expand(item) for item in value]
        if isinstance(value, dict):
            return {key: expand(item) for key, item in value.items()}
        found = REFERENCE.match(value) if isinstance(value, str) else None
        if not found or found[1] not in bodies:
            return value
        used.add(found[1])
        return {"reference": kind(found[1], value), "body": asset(found[1])}

    def kind(path, text):
        prefix = "azureml:" if text.startswith("azureml:") else ""
        return prefix + re.sub(r"(codes|components/azureml_anonymous|environments/CliV2AnonymousEnvironment)/.*", r"\1", path)

    def asset(path):
        body = json.loads(json.dumps(bodies[path]))
        properties = body.get("properties", {})
        if "/codes/" in path:
            properties["codeUri"] = properties.get("codeUri", "").rstrip("/").removeprefix("<blob>").rsplit("/", 1)[-1]
        if isinstance(properties.get("componentSpec"), dict):
            properties["componentSpec"].pop("version", None)
        return expand(body)

    jobs = {path: expand(body) for path, body in bodies.items() if "/jobs/" in path}
    spare = sorted(json.dumps(asset(path), sort_keys=True) for path in bodies if "/jobs/" not in path and path not in used)
    return {"job": jobs, "spare": spare}


def differences(theirs, ours, at=""):
    """Places where two trees differ, with both values."""
    show = lambda value: json.dumps(value, ensure_ascii=False)[:200]  # noqa: E731
    if isinstance(theirs, dict) and isinstance(ours, dict):
        made = []
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            if key not in ours:
                made.append(f"{at}/{key}: client {show(theirs[key])}, ours nothing")
            elif key not in theirs:
                made.append(f"{at}/{key}: client nothing, ours {show(ours[key])}")
            else:
                made += differences(theirs[key], ours[key], f"{at}/{key}")
        return made
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [one for index, pair in enumerate(zip(theirs, ours)) for one in differences(*pair, f"{at}[{index}]")]
    same = theirs == ours and isinstance(theirs, bool) == isinstance(ours, bool)
    return [] if same else [f"{at}: client {show(theirs)}, ours {show(ours)}"]


def written_again(writes):
    texts = {}
    for write in writes:
        texts.setdefault(write["path"], set()).add(json.dumps(write["body"], sort_keys=True))
    return any(len(one) > 1 for one in texts.values())


def judge(case, compare):
    theirs, ours = submit(case["file"]), case["ours"]
    result = {"id": case["id"], "error": theirs["error"]}
    if "error" in ours:
        return {**result, "verdict": "both-refuse" if theirs["error"] else "we-refuse"}
    if theirs["error"]:
        return {**result, "verdict": "client-refuses"}
    found = differences(whole(theirs["requests"]), whole(ours["requests"]))
    # Where one asset is written twice, with two texts, that comparison goes by the order of writes, which counts for nothing.
    if compare and not found and not written_again(theirs["requests"]):
        found = compare(theirs, ours)
    return {**result, "verdict": "differ" if found else "equal", "differences": found[:12]}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    compare = None
    if given.get("shared"):
        sys.path.insert(0, given["shared"])
        from compare_jobs import compare
    out, sys.stdout = sys.stdout, sys.stderr
    for case in given["cases"]:
        print(json.dumps(judge(case, compare)), file=out, flush=True)


main()
