"""Losses and gradients of several tasks or groups made one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array


def _floats(values: ArrayLike) -> Array:
    return np.asarray(values, np.float64)


def uncertainty_weighted(
    losses: ArrayLike, log_variances: ArrayLike, kinds: str | Sequence[str] = "regression"
) -> tuple[float, tuple[Array, Array]]:
    """Sum of c L / d² + log d, log d² = s, c = ½ for regressions, 1 for classifications (Kendall 2018, 7 and 10)."""
    losses, s = _floats(losses), _floats(log_variances)
    deviation = np.exp(s / 2)
    c = np.where(np.asarray([kinds] * len(losses) if isinstance(kinds, str) else kinds) == "regression", 0.5, 1.0)
    value = float(np.sum(c * losses / deviation**2 + np.log(deviation)))
    return value, (c / deviation**2, -c * losses / deviation**2 + 0.5)


def min_norm_gradient(grads: ArrayLike) -> tuple[Array, Array]:
    """Shortest convex combination of the rows (Désidéri 2012), by trying every set of them.

    The nearest point of the convex hull is the nearest of the affine hull of some of the points, with coefficients that
    are not negative.
    """
    g = _floats(grads)
    best, result = np.inf, np.zeros(len(g))
    for size in range(1, len(g) + 1):
        for chosen in itertools.combinations(range(len(g)), size):
            rows = g[list(chosen)]
            # rows[0] + (differences to it) u, as near to 0 as it can be
            u = np.linalg.lstsq((rows[1:] - rows[0]).T, -rows[0], rcond=None)[0]
            c = np.concatenate([[1 - u.sum()], u])
            length = float(np.linalg.norm(c @ rows))
            if (c >= 0).all() and length < best:
                best, result = length, np.zeros(len(g))
                result[list(chosen)] = c
    return result @ g, result


def pcgrad(grads: ArrayLike, orders: Sequence[Sequence[int]]) -> Array:
    """Sum of the gradients, each projected off those it conflicts with in the given order (Yu 2020, algorithm 1)."""
    g = _floats(grads)
    total: Array = np.zeros_like(g[0])
    for i, order in enumerate(orders):
        v = g[i].copy()
        for j in order:
            if j != i and v @ g[j] < 0:
                v -= (v @ g[j]) / (g[j] @ g[j]) * g[j]
        total += v
    return np.asarray(total)
