"""What a user's own Python does with jobs: azure-ai-ml, against the workspace of a connection file. Prints `done` at its end."""

import contextlib
import io
import os
import tempfile
import threading
import time

from local_azure import client, connection

os.environ["AZUREML_RUN_POLLING_INTERVAL_MIN"] = os.environ["AZUREML_RUN_POLLING_INTERVAL_MAX"] = "1"

from azure.ai.ml import Input, Output, command, dsl  # noqa: E402
from azure.ai.ml.entities import Environment  # noqa: E402
from azure.ai.ml.exceptions import JobException  # noqa: E402
from azure.ai.ml.sweep import BanditPolicy, Choice  # noqa: E402

ml = client()
ml.environments.create_or_update(Environment(name="plain", image="python:3.11"))
plain = {"environment": "plain@latest", "compute": "cpu-cluster"}


def stream(job, release=None):
    """Name of the job, what its stream printed, the error that ended it. The job may wait for the file `release`: the stream has begun."""
    name, text, error = ml.jobs.create_or_update(job).name, io.StringIO(), None

    def watch():
        while "Web View" not in text.getvalue():
            time.sleep(0.1)
        time.sleep(3)
        open(release, "w", encoding="utf8").close()

    if release:
        threading.Thread(target=watch, daemon=True).start()
    with contextlib.redirect_stdout(text):
        try:
            ml.jobs.stream(name)
        except JobException as ended:
            error = ended
    return name, text.getvalue(), error


def files(name):
    folder = tempfile.mkdtemp()
    ml.jobs.download(name, download_path=folder, all=True)
    return sorted(os.path.relpath(os.path.join(where, file), folder).replace(os.sep, "/") for where, _, found in os.walk(folder) for file in found)


folder = tempfile.mkdtemp()
with open(folder + "/word.txt", "w", encoding="utf8") as file:
    file.write("a word")

# A command: its log is streamed, its outputs and artifacts come down, its output is a data asset.
release = folder + "/release"
script = f"while [ ! -e {release} ]; do sleep 0.2; done; " + "cat ${{inputs.word}}; echo; echo kept > outputs/kept.txt; echo made > ${{outputs.made}}/made.txt $[[--no ${{inputs.no}}]]"
inputs = {"word": Input(type="uri_file", path=folder + "/word.txt"), "no": Input(type="string", optional=True)}
outputs = {"made": Output(type="uri_folder", mode="upload", name="made")}
name, text, error = stream(command(command=script, inputs=inputs, outputs=outputs, **plain), release)
assert error is None and "\na word\n" in text, text
assert {"artifacts/outputs/kept.txt", "named-outputs/made/made.txt"} <= set(files(name)), files(name)
assert name in ml.data.get("made", label="latest").path

# A failing one says why, in the stream and in the error.
name, text, error = stream(command(command="echo on the way; exit 3", **plain))
assert "status code 3" in str(error) and ml.jobs.get(name).status == "Failed", (text, error)

# A conda file that is none fails the job, not silently installs nothing.
with open(folder + "/conda.yml", "w", encoding="utf8") as file:
    file.write("dependencies: numpy\n")
broken = Environment(name="broken", image="python:3.11", conda_file=folder + "/conda.yml")
name, text, error = stream(command(command="true", environment=broken, compute="cpu-cluster"))
assert "'dependencies' is no list" in str(error), (text, error)

# Pipelines in pipelines, a registered component, an output with a name; reuse the second time.
make = ml.components.create_or_update(
    command(
        name="make", command="echo ${{inputs.n}} > ${{outputs.out}}/n.txt", environment="plain@latest", inputs={"n": Input(type="integer")}, outputs={"out": Output(type="uri_folder")}
    ).component
)


@dsl.pipeline()
def inner(n: int):
    made = make(n=n)
    return {"out": made.outputs.out}


@dsl.pipeline(compute="cpu-cluster")
def outer(n: int):
    one, two = inner(n=n), inner(n=7)
    both = command(
        name="both",
        command="cat ${{inputs.a}}/n.txt ${{inputs.b}}/n.txt > ${{outputs.all}}/all.txt",
        environment="plain@latest",
        inputs={"a": Input(type="uri_folder"), "b": Input(type="uri_folder")},
        outputs={"all": Output(type="uri_folder")},
    )(a=one.outputs.out, b=two.outputs.out)
    return {"all": both.outputs.all}


for reused in (None, "true"):
    name, text, error = stream(outer(n=4))
    assert error is None and files(name)[-1] == "named-outputs/all/all.txt", (text, error)
    steps = {child.display_name: child.properties for child in ml.jobs.list(parent_job_name=name)}
    assert sorted(steps) == ["both", "one", "two"], steps
    assert steps["both"].get("azureml.isreused") == reused, steps["both"]

# A sweep finds its best trial.
trial = command(command="python -c 'import mlflow; mlflow.log_metric(\"m\", ${{inputs.x}})'", inputs={"x": 1}, **plain)
sweep = trial(x=Choice([1, 3, 2])).sweep(primary_metric="m", goal="maximize", sampling_algorithm="grid", compute="cpu-cluster")
sweep.set_limits(max_total_trials=3, max_concurrent_trials=3, timeout=300)
sweep.early_termination = BanditPolicy(slack_factor=0.5, evaluation_interval=1, delay_evaluation=100)
name, text, error = stream(sweep)
assert error is None, error
properties = ml.jobs.get(name).properties
assert properties["best_child_run_id"].startswith(name) and float(properties["score"]) == 3, properties
# A component of the registry with code and environment of its own.
os.makedirs(folder + "/src")
with open(folder + "/src/said.txt", "w", encoding="utf8") as file:
    file.write("from the registry")
registry = client(f"registry:{connection['registry']}")
with contextlib.redirect_stdout(io.StringIO()):  # dots while it waits
    registry.environments.create_or_update(Environment(name="shared-plain", version="1", image="python:3.11"))
said = {"name": "says", "version": "1", "command": "cat said.txt", "code": folder + "/src", "environment": f"azureml://registries/{connection['registry']}/environments/shared-plain/versions/1"}
with contextlib.redirect_stdout(io.StringIO()):
    says = registry.components.create_or_update(command(**said).component)


@dsl.pipeline(compute="cpu-cluster", force_rerun=True)
def public():
    says()


name, text, error = stream(public())
assert error is None, error
step = next(iter(ml.jobs.list(parent_job_name=name))).name
logs = tempfile.mkdtemp()
ml.jobs.download(step, download_path=logs, all=True)
found = [os.path.join(where, "std_log.txt") for where, _, names in os.walk(logs) if "std_log.txt" in names]
assert found and open(found[0], encoding="utf8").read() == "from the registry", found
print("done")
