"""What a user's own Python does with assets: azure-ai-ml, against the workspace of a connection file. Prints `done` at its end."""

import os
import tempfile

from local_azure import client, connection
from azure.ai.ml import dsl, load_component
from azure.ai.ml.entities import (
    AccountKeyConfiguration,
    AmlCompute,
    AzureBlobDatastore,
    AzureDataLakeGen2Datastore,
    AzureFileDatastore,
    BuildContext,
    ComputeInstance,
    Data,
    Environment,
    Hub,
    JobSchedule,
    Model,
    RecurrencePattern,
    RecurrenceTrigger,
    Registry,
    SasTokenConfiguration,
    Workspace,
)
from azure.ai.ml.entities._registry.registry_support_classes import (
    RegistryRegionDetails,
    SystemCreatedStorageAccount,
)
from azure.core.exceptions import HttpResponseError

workspace = connection["workspaces"][0]
ml = client()
registry = client("registry:" + connection["registry"])

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


def refused(call, text):
    """The call fails with that text in what the client says."""
    try:
        call()
    except HttpResponseError as error:
        assert text in str(error), error
        return
    raise AssertionError(f"not refused: {text}")


# What is read, changed in one member and put back is taken.
read = ml.components.get("count", str(component.version))
read.description, read.display_name = "changed", "Shown"
assert ml.components.create_or_update(read).display_name == "Shown"
assert ml.components.get("count", read.version).description == "changed"
ml.environments.create_or_update(Environment(name="env", version="2", image="python:3.12"))
ml.environments.archive("env", version="1")
assert [entry.version for entry in ml.environments.list("env")] == ["2"]
ml.environments.restore("env", version="1")
assert ml.environments.get("env", label="latest").version == "2"
assert ml.environments.get("AzureML-sklearn-1.5", label="latest").name == "AzureML-sklearn-1.5"
os.makedirs(folder + "/build")
with open(folder + "/build/Dockerfile", "w", encoding="utf8") as file:
    file.write("FROM python:3.11\n")
ml.environments.create_or_update(Environment(name="built", version="1", build=BuildContext(path=folder + "/build")))
ml.environments.archive("built", version="1")
ml.data.create_or_update(Data(name="table", version="foo", path=folder + "/data.csv", type="uri_file"))
assert ml.data.get("table", label="latest").version == "foo"
settings = ml.workspaces.get(workspace["name"])
settings.description, settings.tags = "text", {"a": "b"}
assert ml.workspaces.begin_update(settings).result().tags == {"a": "b"}
assert ml.workspaces.get(workspace["name"]).description == "text"
made = ml.workspaces.begin_create(Workspace(name="other", location="eastus", tags={"a": "b"})).result()
assert made.storage_account and made.tags["a"] == "b", made
other = client("other")
other.data.create_or_update(Data(name="table", path=folder + "/data.csv", type="uri_file"))
assert other.data.get("table", label="latest").version == "1"
ml.workspaces.begin_delete("other", delete_dependent_resources=False, permanently_delete=True).result()
assert "other" not in [found.name for found in ml.workspaces.list()]
refused(lambda: ml.workspaces.begin_create(Hub(name="hub", location="eastus")).result(), "does not implement")
regions = [RegistryRegionDetails(location="eastus", storage_config=SystemCreatedStorageAccount(storage_account_hns=False, storage_account_type="standard_lrs"))]
ml.registries.begin_create(Registry(name="own", location="eastus", replication_locations=regions)).result()
assert "own" in [found.name for found in ml.registries.list()]
ml.registries.begin_delete(name="own").result()
refused(lambda: ml.registries.get("own"), "not found")
refused(lambda: list(ml.connections.list()), "WorkspaceConnections_List")

key, sas = AccountKeyConfiguration(account_key="QQ=="), SasTokenConfiguration(sas_token="?sv=x")
for store, secret in (
    (AzureBlobDatastore(name="keyed", account_name="a", container_name="c", credentials=key), "sas_token"),
    (AzureBlobDatastore(name="signed", account_name="a", container_name="c", credentials=sas), "sas_token"),
    (AzureFileDatastore(name="files", account_name="a", file_share_name="s", credentials=key), "sas_token"),
    (AzureDataLakeGen2Datastore(name="lake", account_name="a", filesystem="f"), None),
):
    ml.datastores.create_or_update(store)
    held = ml.datastores.get(store.name, include_secrets=True).credentials
    assert secret is None or getattr(held, secret).startswith("?sv="), (store.name, held)
    ml.datastores.delete(store.name)

ml.compute.begin_create_or_update(AmlCompute(name="own", size="Standard_DS2_v2", max_instances=2)).result()
cluster = ml.compute.get("own")
cluster.max_instances = 3
assert ml.compute.begin_update(cluster).result().max_instances == 3
ml.compute.begin_create_or_update(ComputeInstance(name="ci-own", size="Standard_DS3_v2")).result()
ml.compute.begin_stop("ci-own").result()
assert str(ml.compute.get("ci-own").state).endswith(("Stopped", "STOPPED"))
ml.compute.begin_start("ci-own").result()
for name in ("own", "ci-own"):
    ml.compute.begin_delete(name).result()


@dsl.pipeline(default_compute="cpu-cluster")
def listing():
    load_component(folder + "/component.yml")()


pattern = RecurrenceTrigger(frequency="day", interval=1, schedule=RecurrencePattern(hours=[10], minutes=[0]))
assert ml.schedules.begin_create_or_update(JobSchedule(name="daily", trigger=pattern, create_job=listing())).result().is_enabled
ml.schedules.begin_disable("daily").result()
assert [entry.name for entry in ml.schedules.list()] == []
refused(lambda: ml.schedules.trigger("daily"), "does not implement")
ml.schedules.begin_delete("daily").result()
print("done")
