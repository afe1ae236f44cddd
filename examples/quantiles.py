"""Predict several quantiles at once, and count on new data how often the truth lies below each.

The data are the 442 patients that scikit-learn ships (Efron et al. 2004). One matrix product predicts all levels for
all patients, and one call of the loss returns the gradient by all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float64]

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def fit(features: Floats, target: Floats, steps: int = 4000) -> Floats:
    """Return a column of weights for each level: gradient descent with shrinking steps, the second half averaged."""
    loss = pl.Quantile(q=LEVELS)
    weights = np.zeros((features.shape[1], len(LEVELS)))
    weights[-1] = loss.init_score(target[:, None])
    average = np.zeros_like(weights)
    for step in range(steps):
        _, by_pred = loss.value_and_grad(features @ weights, target[:, None], reduction="sum")
        weights -= 100.0 / np.sqrt(1 + step) * features.T @ by_pred / len(features)
        if step >= steps // 2:
            average += weights / (steps - steps // 2)
    return average


def main() -> None:
    """Fit, and print how many of the held-out patients lie below each predicted quantile."""
    features, target = load_diabetes(return_X_y=True, scaled=False)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    features = np.column_stack([features, np.ones(len(features))])
    train, test, seen, truth = train_test_split(features, target, test_size=0.5, random_state=0)
    predicted = test @ fit(train, seen)
    start = pl.Quantile(q=LEVELS).init_score(seen[:, None])

    print(f"{len(truth)} patients held out, {len(seen)} to learn from")
    print(f"{'level':>6} {'truth below it':>15} {'loss':>7} {'of a constant':>14}")
    for i, level in enumerate(LEVELS):
        loss = pl.Quantile(q=level)
        below = (truth <= predicted[:, i]).mean()
        constant = loss(np.full(len(truth), start[i]), truth)
        print(f"{level:>6.0%} {below:>15.1%} {loss(predicted[:, i], truth):>7.2f} {constant:>14.2f}")
    inside = (truth > predicted[:, 0]) & (truth <= predicted[:, -1])
    print(f"between the first and the last: {inside.mean():.1%}, wanted {LEVELS[-1] - LEVELS[0]:.0%}")


if __name__ == "__main__":
    main()
