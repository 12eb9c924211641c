"""Logs a run to the local workspace with plain MLflow and finds it again: python samples/clients/track.py [CONNECTION.json]"""

import sys

import mlflow
from amlops_local import Local

Local(*sys.argv[1:2]).use_mlflow()
mlflow.set_experiment("tried-on-a-laptop")
with mlflow.start_run(run_name="by hand"):
    mlflow.log_param("alpha", 0.1)
    mlflow.log_metric("r2", 0.45)
    mlflow.log_text("hello", "notes.txt")

for run in mlflow.search_runs(filter_string="metrics.r2 > 0.4", output_format="list"):
    print(run.info.run_name, run.data.params["alpha"], run.data.metrics["r2"])
