"""Logistic regression with L1, L2 and elastic-net penalties, by gradient descent and by Newton's method.

The data are the 569 tumours that scikit-learn ships (breast cancer, Wisconsin). The loss gives value, gradient and
curvature of all predictions in one pass; a penalty joins by its proximal step, which also makes weights exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float64]

LOSS = pl.BCEWithLogits()


Penalty: TypeAlias = pl.L1 | pl.L2 | pl.ElasticNet
"""Of all weights but the last, which is the constant, and free."""


def descend(
    gradient: Callable[[Floats], Floats], bend: float, penalty: Penalty, start: Floats, most: int, close: float = 1e-9
) -> tuple[Floats, int]:
    """Minimise a function of curvature up to `bend` plus the penalty, by accelerated descent; count the steps."""
    weights = ahead = start
    momentum, steps = 1.0, 0
    while steps < most:
        steps += 1
        slope = gradient(ahead)
        new = ahead - slope / bend
        penalty.prox(new[:-1], 1.0 / bend, out=new[:-1])
        if (ahead - new) @ (new - weights) > 0.0:  # the momentum leads uphill
            momentum = 1.0
        grown = 0.5 + np.sqrt(0.25 + momentum**2)
        ahead = new + (momentum - 1.0) / grown * (new - weights)
        moved = np.abs(new - weights).max()
        weights, momentum = new, grown
        if moved < close:
            break
    return weights, steps


def by_gradient(features: Floats, target: Floats, penalty: Penalty) -> tuple[Floats, int]:
    """Return weights and number of passes over the data."""
    bend = 0.25 * np.linalg.norm(features, 2) ** 2 / len(features)

    def gradient(weights: Floats) -> Floats:
        return features.T @ LOSS.value_and_grad(features @ weights, target)[1]

    return descend(gradient, bend, penalty, np.zeros(features.shape[1]), most=200_000)


def by_newton(features: Floats, target: Floats, penalty: Penalty) -> tuple[Floats, int]:
    """Return weights and number of passes: each minimises the parabola that value, gradient and curvature give."""
    weights = np.zeros(features.shape[1])
    value, by_pred, curvature = LOSS.value_grad_hess(features @ weights, target)
    passes = 1
    for _ in range(50):
        slope, bends = features.T @ by_pred, (features.T * curvature) @ features
        at = weights

        def gradient(to: Floats, at: Floats = at, slope: Floats = slope, bends: Floats = bends) -> Floats:
            return slope + bends @ (to - at)

        best, _ = descend(gradient, float(np.linalg.norm(bends, 2)), penalty, at, most=20_000, close=1e-11)
        length = 1.0
        while True:  # half the step until the objective falls
            new = at + length * (best - at)
            new_value, by_pred, curvature = LOSS.value_grad_hess(features @ new, target)
            passes += 1
            if new_value + penalty(new[:-1]) <= value + penalty(at[:-1]) or length < 1e-6:
                break
            length /= 2
        weights, value = new, new_value
        if np.abs(weights - at).max() < 1e-7:
            break
    return weights, passes


def main() -> None:
    """Fit with every penalty by both methods, and print what comes out."""
    features, target = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    features = np.column_stack([features, np.ones(len(features))])
    train, test, seen, truth = train_test_split(features, target.astype(float), random_state=0, stratify=target)
    penalties = {"L1": pl.L1(0.01), "L2": pl.L2(0.01), "elastic net": pl.ElasticNet(alpha=0.01, l1_ratio=0.5)}

    print(f"{len(seen)} tumours to learn from, {len(truth)} to test on, {features.shape[1] - 1} measurements")
    print(f"{'penalty':>12} {'by':>9} {'passes':>7} {'objective':>10} {'weights not 0':>14} {'accuracy':>9}")
    for name, penalty in penalties.items():
        for method, fit in (("gradient", by_gradient), ("Newton", by_newton)):
            weights, passes = fit(train, seen, penalty)
            objective = LOSS(train @ weights, seen) + penalty(weights[:-1])
            accuracy = ((test @ weights > 0) == truth).mean()
            used = np.count_nonzero(weights[:-1])
            print(f"{name:>12} {method:>9} {passes:>7} {objective:>10.6f} {used:>14} {accuracy:>9.1%}")


if __name__ == "__main__":
    main()
