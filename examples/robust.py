"""Fit a line through data with outliers: by squared error, and by Huber's loss, which outliers cannot pull far.

The data are the 442 patients that scikit-learn ships (Efron et al. 2004: ten measurements, and how far diabetes had
gone a year later). In a tenth of the training data the outcome is written down ten times too large. Both models are
then compared on test data that is clean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float64]


def fit(loss: pl.PredictionLoss, features: Floats, target: Floats) -> Floats:
    """Return the weights that minimise the mean loss, by L-BFGS, from the best constant on."""

    def objective(weights: Floats) -> tuple[float, Floats]:
        value, by_pred = loss.value_and_grad(features @ weights, target)
        return value, features.T @ by_pred

    start = np.zeros(features.shape[1])
    start[-1] = loss.init_score(target)
    return minimize(objective, start, jac=True, method="L-BFGS-B").x


def main() -> None:
    """Fit both, on clean data and on data with outliers, and print the errors on clean test data."""
    features, target = load_diabetes(return_X_y=True, scaled=False)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    features = np.column_stack([features, np.ones(len(features))])
    train, test, clean, truth = train_test_split(features, target, random_state=0)
    outliers = clean.copy()
    outliers[::10] *= 10

    print(f"mean absolute error on {len(truth)} clean patients, trained on {len(clean)} others")
    print(f"{'loss':>18} {'clean':>8} {'a tenth wrong':>14}")
    for loss in (pl.MSE(), pl.Huber(delta=30.0)):
        errors = [pl.MAE()(test @ fit(loss, train, seen), truth) for seen in (clean, outliers)]
        print(f"{loss!r:>18} {errors[0]:>8.1f} {errors[1]:>14.1f}")


if __name__ == "__main__":
    main()
