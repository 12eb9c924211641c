"""Submits every job file of a corpus with the official client and says how each ends. One JSON line per file on standard output."""
import argparse
import json
import logging
import os
import re
import sys
import time
import warnings

ap = argparse.ArgumentParser()
ap.add_argument("--kit", required=True, help="folder of the client kit (common.py)")
ap.add_argument("--connection", required=True)
ap.add_argument("--tree", required=True)
ap.add_argument("--files", required=True, help="JSON list of [yaml, job name]")
ap.add_argument("--seed", default="[]", help="JSON list of paths of the default datastore that the files read")
ap.add_argument("--seconds", type=int, default=1200)
args = ap.parse_args()
sys.path.insert(0, args.kit)
sys.argv = [sys.argv[0], "--connection", args.connection]
from common import Kit  # noqa: E402

kit = Kit("corpus")
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
os.environ["AZURE_ML_DISABLE_CONCURRENT_COMPONENT_REGISTRATION"] = "true"
from azure.ai.ml import load_component, load_job  # noqa: E402
from azure.ai.ml.entities import Data  # noqa: E402

ml = kit.client()


def say(**row):
    print(json.dumps(row), flush=True)


def first_line(error):
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith(("1)", "Details:", "One or more", "Error:", "{")):
            return line.replace(args.tree, "<tree>")[:300]
    return type(error).__name__


def register(files):
    """What the files name and the tree can give: data assets by name (a small folder), components by their file."""
    here = os.path.join(os.getcwd(), "registered-data")
    os.makedirs(here, exist_ok=True)
    with open(os.path.join(here, "data.csv"), "w", encoding="utf8") as f:
        f.write("a,b\n1,2\n")
    data, components = set(), {}
    for yaml, _ in files:
        with open(os.path.join(args.tree, yaml), encoding="utf8") as f:
            text = f.read()
        data.update(re.findall(r"path:\s*[\"']?azureml:([\w.-]+)@latest", text))
        for name in re.findall(r"component:\s*[\"']?azureml:([\w.-]+)@latest", text):
            components[name] = os.path.dirname(os.path.join(args.tree, yaml))
    for name in sorted(data):
        ml.data.create_or_update(Data(name=name, version="1", type="uri_folder", path=here))
    for name, folder in components.items():
        for entry in sorted(os.listdir(folder)):
            path = os.path.join(folder, entry)
            if not entry.endswith((".yml", ".yaml")):
                continue
            with open(path, encoding="utf8") as f:
                if re.search(rf"^name:\s*{re.escape(name)}\s*$", f.read(), re.M):
                    ml.components.create_or_update(load_component(path))
                    break


def seed(paths):
    from azure.storage.blob import BlobServiceClient

    if not paths:
        return
    store = ml.datastores.get("workspaceblobstore", include_secrets=True)
    # The client asks for a secret that expires: a token that begins with `?`.
    service = BlobServiceClient(f"https://{store.account_name}.blob.{store.endpoint}", credential=store.credentials.sas_token.lstrip("?"))
    container = service.get_container_client(store.container_name)
    for path in paths:
        name = path if re.search(r"\.\w+$", path) else path.rstrip("/") + "/data.csv"
        container.upload_blob(name, b"a,b\n1,2\n", overwrite=True)


def reason(name):
    """Why a job failed: the error of its first failed leaf."""
    run = ml.jobs._runs_operations.get_run_details(name)
    failed = [c for c in ml.jobs._runs_operations.get_run_children(name) if c.status == "Failed"]
    if failed:
        child = failed[-1]
        return f"{child.display_name}: {reason(child.name)}"
    error = getattr(run, "error", None)
    message = error.error.message if error and error.error else ""
    return (message or "").strip()


files = json.load(open(args.files, encoding="utf8"))
start = os.getcwd()
register(files)
seed(json.loads(args.seed))
running = {}
for yaml, name in files:
    path = os.path.join(args.tree, yaml)
    os.chdir(os.path.dirname(path))
    try:
        job = load_job(path)
        job.name = name
        ml.jobs.create_or_update(job)
        running[name] = yaml
    except Exception as error:  # noqa: B902  whatever refuses, its words are the answer
        say(yaml=yaml, end="refused", reason=first_line(error))
os.chdir(start)
until = time.time() + args.seconds
while running and time.time() < until:
    for name in list(running):
        job = ml.jobs.get(name)
        if job.status in ("Completed", "Failed", "Canceled"):
            why = ""
            if job.status != "Completed":
                try:
                    why = reason(name)
                except Exception as error:  # noqa: B902
                    why = f"(no reason could be read: {first_line(error)})"
            say(yaml=running.pop(name), end=job.status, reason=why[:2000])
    time.sleep(1)
for name, yaml in running.items():
    say(yaml=yaml, end="running", reason=f"still running after {args.seconds} seconds")
