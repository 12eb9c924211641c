"""Judges a model on the test file: the metrics that the gates of the pipeline read."""
import argparse
import json
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()

    test = pd.read_csv(args.data / "test.csv")
    features, target = test.drop(columns="target"), test["target"]
    predicted = mlflow.sklearn.load_model(str(args.model)).predict(features)
    metrics = {
        "r2": r2_score(target, predicted),
        "rmse": root_mean_squared_error(target, predicted),
        "mae": mean_absolute_error(target, predicted),
    }
    mlflow.log_metrics(metrics)
    args.report.mkdir(parents=True, exist_ok=True)
    (args.report / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
