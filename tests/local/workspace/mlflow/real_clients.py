"""The unmodified mlflow and azureml-mlflow against the tracking of an embedded workspace. Prints one JSON object of what they saw."""
import json
import os
import sys
import tempfile

from local_azure import connection

mode = sys.argv[2]
os.environ.update(MLFLOW_ENABLE_ASYNC_LOGGING="false", DO_NOT_TRACK="1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="2")
os.environ["MLFLOW_TRACKING_TOKEN"] = sys.argv[3]
os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = connection["ca"]
seen = {}


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf8") as f:
        f.write(text)


def plain():
    import mlflow
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression
    mlflow.set_tracking_uri(connection["mlflowTracking"])
    mlflow.set_experiment("real client")
    with mlflow.start_run(run_name="parent") as parent:
        seen["parent"] = parent.info.run_id
        mlflow.log_params({"alpha": 0.5, "layers": "[1, 2]"})
        mlflow.log_metric("nan", float("nan"))
        for step in range(30):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        import pandas
        frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [2.0, 4.0]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="points"), context="training")
        mlflow.log_dict({"a": [1, 2]}, "conf/settings.json")
        mlflow.log_text("b", "conf/deep/b.txt")
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 5)
            seen["child"] = child.info.run_id
        model = LinearRegression().fit(frame[["x"]], frame["y"])
        info = mlflow.sklearn.log_model(model, name="model", registered_model_name="line", pip_requirements=["scikit-learn"])
        seen["modelUri"] = info.model_uri
    client = mlflow.MlflowClient()
    run = client.get_run(seen["parent"])
    seen["status"], seen["params"] = run.info.status, run.data.params
    seen["loss"], seen["nan"] = run.data.metrics["loss"], repr(run.data.metrics["nan"])
    seen["steps"] = [m.step for m in client.get_metric_history(seen["parent"], "loss")]
    seen["datasets"] = [[d.dataset.name, [t.value for t in d.tags]] for d in run.inputs.dataset_inputs]
    seen["children"] = [r.info.run_id for r in client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{seen['parent']}'")]
    seen["settings"] = mlflow.artifacts.load_dict(run.info.artifact_uri + "/conf/settings.json")
    seen["conf"] = sorted(f.path for f in client.list_artifacts(seen["parent"], "conf"))
    seen["modelFiles"] = sorted(f.path for f in client.list_artifacts(seen["parent"], "model"))

    seen["predicted"] = [round(float(v), 6) for v in mlflow.pyfunc.load_model("models:/line/1").predict(pandas.DataFrame({"x": [3.0]}))]
    seen["predictedFromRun"] = [round(float(v), 6) for v in mlflow.sklearn.load_model(f"runs:/{seen['parent']}/model").predict(pandas.DataFrame({"x": [3.0]}))]
    client.set_registered_model_alias("line", "best", "1")
    seen["alias"] = client.get_model_version_by_alias("line", "best").version
    seen["versions"] = [v.version for v in client.search_model_versions("name='line'")]
    seen["pages"] = 0
    token = None
    while True:
        page = client.search_runs([run.info.experiment_id], max_results=1, page_token=token)
        seen["pages"] += len(page)
        token = page.token
        if not token:
            break


def azureml():
    """As inside a job: the run is there already, the environment names it."""
    ws = connection["workspaces"][0]
    host = connection["resourceManager"].split("//")[1]
    os.environ["MLFLOW_TRACKING_URI"] = (f"azureml://{host}/mlflow/v1.0/subscriptions/{ws['subscriptionId']}/resourceGroups/{ws['resourceGroup']}"
                                         f"/providers/Microsoft.MachineLearningServices/workspaces/{ws['name']}")
    os.environ["MLFLOW_RUN_ID"] = os.environ["AZUREML_RUN_ID"] = sys.argv[4]
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "Default"
    os.environ["ARM_CLOUD_METADATA_URL"] = connection["resourceManager"] + "/metadata/endpoints?api-version=2019-05-01"
    os.environ["AZUREML_CURRENT_CLOUD"] = "Local"
    import mlflow
    folder = tempfile.mkdtemp()
    write(folder + "/t/a.txt", "a")
    write(folder + "/t/u/b.txt", "b")
    with mlflow.start_run():
        mlflow.log_param("from", "azureml")
        mlflow.log_metrics({"m": 1.5})
        mlflow.log_artifact(folder + "/t/a.txt")
        mlflow.log_artifacts(folder + "/t", "tree")
    client = mlflow.MlflowClient()
    run = client.get_run(sys.argv[4])
    seen["store"] = type(client._tracking_client.store).__name__
    seen["params"], seen["metrics"] = run.data.params, run.data.metrics
    seen["files"] = sorted(f.path for f in client.list_artifacts(sys.argv[4])) + sorted(f.path for f in client.list_artifacts(sys.argv[4], "tree"))
    # The artifacts service itself, as older clients of the plug-in address it.
    from azureml.mlflow._store.artifact.artifact_repo import AzureMLflowArtifactRepository
    old = AzureMLflowArtifactRepository(f"{os.environ['MLFLOW_TRACKING_URI']}/experiments/Default/runs/{sys.argv[4]}/artifacts")
    old.log_artifacts(folder + "/t", "old")
    seen["old"] = sorted(f.path for f in old.list_artifacts("old"))
    old._download_file("old/u/b.txt", folder + "/b.txt")
    with open(folder + "/b.txt", encoding="utf8") as f:
        seen["downloaded"] = f.read()


plain() if mode == "plain" else azureml()
print("SEEN " + json.dumps(seen))
