"""Reads model versions back with azure-ai-ml: readback.py CONNECTION (WORKSPACE|registry:NAME)=MODEL:VERSION ... Prints one JSON line each."""

import hashlib
import json
import os
import socket
import sys
import tempfile

connection = json.load(open(sys.argv[1], encoding="utf8"))
for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ[name] = connection["ca"]
os.environ["AZURE_ML_DISABLE_ON_DISK_CACHE"] = "true"
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

from azure.ai.ml import MLClient  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402

cloud = {"cloud": "Emulator", "cloud_metadata": connection["metadata"], "enable_telemetry": False, "show_progress": False}


def client(place):
    entry = next((w for w in connection["workspaces"] if w["name"] == place), connection["workspaces"][0])
    credential = ClientSecretCredential(
        connection["tenantId"],
        entry["clientId"],
        entry["clientSecret"],
        authority=connection["authority"],
        disable_instance_discovery=True,
    )
    if place.startswith("registry:"):
        return MLClient(credential, registry_name=place[9:], **cloud)
    return MLClient(credential, entry["subscriptionId"], entry["resourceGroup"], entry["name"], **cloud)


def digest(folder):
    root = next(at for at, _, files in os.walk(folder) if "model.pkl" in files)
    lines = []
    for at, _, files in os.walk(root):
        for name in files:
            path = os.path.join(at, name)
            data = open(path, "rb").read()
            inner = os.path.relpath(path, root).replace(os.sep, "/").encode()
            lines.append((inner, b"%s\t%d\t%s\n" % (inner, len(data), hashlib.sha256(data).hexdigest().encode())))
    return "sha256:" + hashlib.sha256(b"".join(line for _, line in sorted(lines))).hexdigest()


for spec in sys.argv[2:]:
    place, _, asset = spec.partition("=")
    name, _, version = asset.partition(":")
    ml = client(place)
    model = ml.models.get(name, version)
    folder = tempfile.mkdtemp()
    ml.models.download(name, version, download_path=folder)
    print(json.dumps({"place": place, "id": model.id, "tags": model.tags, "properties": model.properties, "digest": digest(folder)}))
