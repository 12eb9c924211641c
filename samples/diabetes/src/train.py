"""Fits a ridge regression and saves it as an MLflow model."""
import argparse
from pathlib import Path

import mlflow
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--alpha", type=float, required=True)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()

    train = pd.read_csv(args.data / "train.csv")
    features, target = train.drop(columns="target"), train["target"]
    model = make_pipeline(StandardScaler(), Ridge(alpha=args.alpha))
    model.fit(features, target)

    mlflow.log_param("alpha", args.alpha)
    mlflow.log_metric("train_r2", model.score(features, target))
    mlflow.sklearn.save_model(
        model,
        str(args.model),
        signature=infer_signature(features, model.predict(features)),
        input_example=features.head(2),
        serialization_format="cloudpickle",
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
    )
    print(f"trained on {len(train)} rows with alpha {args.alpha}")


if __name__ == "__main__":
    main()
