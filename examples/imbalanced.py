"""Find the rare class: a linear model with losses that give it its due.

Of the 1797 digits that scikit-learn ships, one in ten is an 8, and of those only every fourth is kept for training. A
linear model learns to tell them from all others by L-BFGS with one loss after another. Average precision says how well
the scores rank the 8s, balanced accuracy how good the decision is that a score above 0 stands for: a weight of the rare
class moves that threshold, and hardly the ranks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float64]

PENALTY = pl.L2(1e-3)


def fit(loss: pl.PredictionLoss, features: Floats, target: Floats, weight: Floats | None = None) -> Floats:
    """Return the weights that minimise the mean loss plus the penalty."""

    def objective(weights: Floats) -> tuple[float, Floats]:
        value, by_pred = loss.value_and_grad(features @ weights, target, weight=weight)
        size, by_weights = PENALTY.value_and_grad(weights)
        return value + size, features.T @ by_pred + by_weights

    return minimize(objective, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x


def main() -> None:
    """Fit with every loss, and print how well it does on test data."""
    images, digit = load_digits(return_X_y=True)
    features, target = np.column_stack([images / 16, np.ones(len(images))]), (digit == 8).astype(float)
    train, test, seen, truth = train_test_split(features, target, random_state=0, stratify=target, test_size=0.5)
    rare = np.flatnonzero(seen)
    kept = np.delete(np.arange(len(seen)), rare[np.arange(len(rare)) % 4 != 0])
    train, seen = train[kept], seen[kept]
    counts = np.bincount(seen.astype(int))
    balanced = pl.class_balanced_weights(counts)[seen.astype(int)]

    print(f"{counts[1]} of {len(seen)} digits to learn from are an 8, {int(truth.sum())} of {len(truth)} to test on")
    print(f"{'loss':>54} {'average precision':>18} {'balanced accuracy':>18}")
    losses = {
        "BCEWithLogits()": (pl.BCEWithLogits(), None),
        "BCEWithLogits(), class-balanced weights": (pl.BCEWithLogits(), balanced),
        **{
            repr(loss): (loss, None)
            for loss in (
                pl.BCEWithLogits(pos_weight=round(counts[0] / counts[1])),
                pl.Focal(gamma=2.0, alpha=0.95),
                pl.AsymmetricFocal(gamma_neg=2.0, clip=0.05),
            )
        },
    }
    for name, (loss, weight) in losses.items():
        scores = test @ fit(loss, train, seen, weight)
        precision, accuracy = average_precision_score(truth, scores), balanced_accuracy_score(truth, scores > 0)
        print(f"{name:>54} {precision:>18.3f} {accuracy:>18.1%}")


if __name__ == "__main__":
    main()
