"""Write predictions of real data to files, and score them: the losses of all rows, and of groups.

The data are the 442 patients (Efron et al. 2004) and the 1797 handwritten digits (UCI) that scikit-learn ships. Each
row is predicted by a model that has not seen it. Beside scikit-learn this needs pyarrow.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
from sklearn.model_selection import cross_val_predict
from sklearn.utils.class_weight import compute_sample_weight

import pyloss as pl


def diabetes() -> pa.Table:
    """Predict how far diabetes has gone, and bounds that one patient in ten is beyond."""
    features, target = load_diabetes(return_X_y=True, scaled=False)
    ages = np.array(["19 to 39", "40 to 59", "60 to 79"])[np.digitize(features[:, 0], [40, 60])]
    models = {
        "yhat": LinearRegression(),
        "lower": QuantileRegressor(quantile=0.1, alpha=0),
        "upper": QuantileRegressor(quantile=0.9, alpha=0),
    }
    columns = {name: cross_val_predict(model, features, target) for name, model in models.items()}
    # Every age group weighs the same.
    weight = compute_sample_weight("balanced", ages)
    return pa.table({"id": np.arange(len(target)), **columns, "y": target, "age": ages, "weight": weight})


def digits() -> pa.Table:
    """Predict digits: a score for each of ten classes, before the softmax."""
    images, target = load_digits(return_X_y=True)
    ink = images.sum(axis=1)
    groups = np.array(["little", "medium", "much"])[np.digitize(ink, np.quantile(ink, [1 / 3, 2 / 3]))]
    scores = cross_val_predict(LogisticRegression(), images / 16, target, method="decision_function")
    return pa.table({**{f"p_{i}": scores[:, i] for i in range(10)}, "target": target, "ink": groups})


def main() -> None:
    """Write both files, tell how to score them, and do so."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    for table, name in ((diabetes(), "diabetes.parquet"), (digits(), "digits.parquet")):
        pq.write_table(table, folder / name)
        print(f"wrote {folder / name}: {table.num_rows} rows of {', '.join(table.column_names)}")

    runs = (
        ("diabetes.parquet", ["mse", "mae"], {"pred": "yhat", "target": "y", "weight": "weight", "by": "age"}),
        ("diabetes.parquet", ["quantile:q=0.9"], {"pred": "upper", "target": "y", "by": "age"}),
        ("digits.parquet", ["cross_entropy"], {"pred": "p_*", "by": "ink"}),
    )
    print("\nTo score them, run")
    for name, losses, columns in runs:
        options = [part for loss in losses for part in ("--loss", loss)]
        options += [part for option, column in columns.items() for part in (f"--{option}", column)]
        print(f"  {shlex.join(['pyloss', 'score', str(folder / name), *options])}")
    for name, losses, columns in runs:
        print(f"\n{columns['pred']} of {name}:\n{pl.score(folder / name, losses, **columns)}")


if __name__ == "__main__":
    main()
