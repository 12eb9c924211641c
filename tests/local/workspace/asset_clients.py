"""What a user's own Python does with assets: azure-ai-ml, against the workspace of a connection file. Prints `done` at its end."""

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

from azure.ai.ml import MLClient, load_component  # noqa: E402
from azure.ai.ml.entities import Data, Environment, Model  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402

credential = ClientSecretCredential(
    connection["tenantId"],
    connection["clientId"],
    connection["clientSecret"],
    authority=connection["authority"],
    disable_instance_discovery=True,
)
cloud = {"cloud": "Emulator", "cloud_metadata": connection["metadata"], "enable_telemetry": False, "show_progress": False}
workspace = connection["workspaces"][0]
ml = MLClient(credential, workspace["subscriptionId"], workspace["resourceGroup"], workspace["name"], **cloud)
registry = MLClient(credential, registry_name=connection["registry"], **cloud)

folder = tempfile.mkdtemp()
os.makedirs(folder + "/model/sub")
for path in ("model/model.txt", "model/sub/more.txt", "data.csv"):
    with open(os.path.join(folder, path), "w", encoding="utf8") as file:
        file.write(path)
with open(folder + "/component.yml", "w", encoding="utf8") as file:
    file.write("name: count\ntype: command\ncommand: ls\ncode: ./model\nenvironment: azureml:env:1\n")

assert ml.workspaces.get(workspace["name"]).name == workspace["name"]
assert ml.compute.get("cpu-cluster").type == "amlcompute"
assert ml.datastores.get_default().name == "workspaceblobstore"

for version in ("1", "2"):
    model = ml.models.create_or_update(Model(name="own", path=folder + "/model", type="custom_model", tags={"n": version}))
    assert str(model.version) == version, model.version
assert ml.models.get("own", label="latest").version == "2"
ml.models.download("own", "1", download_path=folder + "/out")
found = sorted(file for _, _, files in os.walk(folder + "/out") for file in files)
assert found == ["model.txt", "more.txt"], found

data = ml.data.create_or_update(Data(name="table", path=folder + "/data.csv", type="uri_file"))
assert data.path.startswith("azureml://subscriptions/"), data.path
ml.environments.create_or_update(Environment(name="env", version="1", image="python:3.11"))
component = ml.components.create_or_update(load_component(folder + "/component.yml"))
assert ml.components.get("count", str(component.version)).command == "ls"

ml.models.share("own", "1", registry_name=connection["registry"], share_with_name="own", share_with_version="5")
shared = registry.models.get("own", "5")
assert shared.id == f"azureml://registries/{connection['registry']}/models/own/versions/5", shared.id
registry.models.download("own", "5", download_path=folder + "/shared")
found = sorted(file for _, _, files in os.walk(folder + "/shared") for file in files)
assert found == ["model.txt", "more.txt"], found
registry.models.create_or_update(Model(name="direct", version="1", path=folder + "/model", type="custom_model"))
assert "1" in [str(entry.version) for entry in registry.models.list("direct")]
registry.environments.create_or_update(Environment(name="renv", version="1", image="python:3.11"))
assert registry.environments.get("renv", "1").image == "python:3.11"
print("done")
