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


def _means(
    values: Array, groups: Array, weight: ArrayLike | None, of: Array | None = None
) -> dict[int, tuple[Array, float]]:
    """Return for each group the gradient of its weighted mean, and the mean; `of` chooses samples."""
    w = np.broadcast_to(1.0 if weight is None else _floats(weight), values.shape)
    known = {}
    for group in np.unique(groups):
        counted = (groups == group) & (w > 0) & (True if of is None else of)
        if counted.any():
            share = np.where(counted, w, 0.0) / np.sum(w[counted])
            known[int(group)] = share, float(np.sum(share[counted] * values[counted]))
    return known


def group_dro(
    losses: ArrayLike,
    sample_groups: ArrayLike,
    weight: ArrayLike | None,
    groups: int,
    step: float = 0.01,
    q: Sequence[float] | None = None,
) -> tuple[float, Array, Array]:
    """Sum of q times the mean losses, the gradient by the losses, and the next q (Sagawa 2020, algorithm 1)."""
    values = _floats(losses)
    shares = np.full(groups, 1 / groups) if q is None else _floats(q)
    value, grad, following = 0.0, np.zeros_like(values), shares.copy()
    for group, (slope, mean) in _means(values, np.asarray(sample_groups), weight).items():
        value += float(shares[group] * mean)
        grad += shares[group] * slope
        following[group] *= np.exp(step * mean)
    return value, grad, following / following.sum()


def worst_group(losses: ArrayLike, groups: ArrayLike, weight: ArrayLike | None = None) -> tuple[float, Array]:
    """Return the largest of the mean losses of groups, and its gradient (Sagawa 2020, equation 4)."""
    values = _floats(losses)
    known = _means(values, np.asarray(groups), weight)
    if not known:
        return 0.0, np.zeros_like(values)
    slope, mean = max(known.values(), key=lambda each: each[1])
    return mean, slope


def demographic_parity(
    pred: ArrayLike, groups: ArrayLike, weight: ArrayLike | None = None, kind: str = "difference"
) -> tuple[float, Array]:
    """Largest less smallest mean of a group (Fairlearn), or the sum of (mean of group - mean)²; and the gradient."""
    return _gap(pred, groups, weight, kind, np.ones(np.shape(pred), bool))


def _gap(pred: ArrayLike, groups: ArrayLike, weight: ArrayLike | None, kind: str, of: Array) -> tuple[float, Array]:
    """Return the demographic parity among the samples `of`."""
    values = _floats(pred)
    known = list(_means(values, np.asarray(groups), weight, of).values())
    if not known:
        return 0.0, np.zeros_like(values)
    if kind == "difference":
        high, low = max(known, key=lambda each: each[1]), min(known, key=lambda each: each[1])
        return high[1] - low[1], high[0] - low[0]
    overall, mean = _means(values, np.zeros(values.shape, int), weight, of)[0]
    return (
        sum((each[1] - mean) ** 2 for each in known),
        np.asarray(sum(2 * (each[1] - mean) * (each[0] - overall) for each in known)),
    )


def equalized_odds(
    pred: ArrayLike,
    target: ArrayLike,
    groups: ArrayLike,
    weight: ArrayLike | None = None,
    kind: str = "difference",
    agg: str = "worst_case",
) -> tuple[float, Array]:
    """Demographic parity among the samples of each class, the larger of the two or their mean (Hardt 2016)."""
    no, yes = (_gap(pred, groups, weight, kind, np.asarray(target) == each) for each in (0, 1))
    if agg == "mean":
        return (no[0] + yes[0]) / 2, (no[1] + yes[1]) / 2
    return yes if yes[0] > no[0] else no
