"""Splits scikit-learn's diabetes data into training and test files."""
import argparse
from pathlib import Path

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--test-fraction", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    frame = load_diabetes(as_frame=True).frame
    train, test = train_test_split(frame, test_size=args.test_fraction, random_state=args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    train.to_csv(args.out / "train.csv", index=False)
    test.to_csv(args.out / "test.csv", index=False)
    mlflow.log_metrics({"train_rows": len(train), "test_rows": len(test)})
    print(f"{len(train)} rows to train on, {len(test)} rows to test on")


if __name__ == "__main__":
    main()
