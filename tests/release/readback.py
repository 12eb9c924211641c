"""Reads model versions back with azure-ai-ml: readback.py CONNECTION (WORKSPACE|registry:NAME)=MODEL:VERSION ... Prints one JSON line each."""

import hashlib
import json
import os
import sys
import tempfile

from local_azure import client


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
