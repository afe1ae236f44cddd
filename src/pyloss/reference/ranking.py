"""Ranking: losses of the scores of a query's items, each over the full matrix of its pairs.

Each function returns (terms, counts, grad, hess): the losses of the queries by ascending id, what each counts in a
mean, and for each item the derivatives of its query's loss. A query whose items are all of one relevance is 0 and
counts 0; a query with NaN is NaN and counts 1. Equal infinities are 0 apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, times
from .binary import sigmoid

Result: TypeAlias = tuple[Array, Array, Array, Array]
OfOne: TypeAlias = tuple[float, float, Array, Array]
"""Value, count, gradient and Hessian of one query."""


def _by_query(
    one: Callable[[Array, Array], OfOne], pred: ArrayLike, target: ArrayLike, query: ArrayLike | None
) -> Result:
    """Apply a function of scores and relevances to each query."""
    s, y = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    ids = np.zeros(s.shape, np.int64) if query is None else np.asarray(query)
    terms, counts, grad, hess = [], [], np.zeros_like(s), np.zeros_like(s)
    for each in np.unique(ids):
        mine = ids == each
        if np.isnan(s[mine]).any() or np.isnan(y[mine]).any():
            value, count, grad[mine], hess[mine] = np.nan, 1.0, np.nan, np.nan
        elif np.all(y[mine] == y[mine][0]):
            value, count = 0.0, 0.0
        else:
            with np.errstate(invalid="ignore", over="ignore", under="ignore"):
                value, count, grad[mine], hess[mine] = one(s[mine], y[mine])
        terms.append(value)
        counts.append(count)
    return np.array(terms), np.array(counts), grad, hess


def _less(a: Array, b: Array) -> Array:
    """Subtract, 0 between equal infinities."""
    return np.where(a == b, 0.0, a - b)


def _logistic(d: Array) -> tuple[Array, Array, Array]:
    """Log(1 + e^-d), and its derivatives."""
    return np.logaddexp(0.0, -d), -sigmoid(-d), sigmoid(d) * sigmoid(-d)


def _over_pairs(weight: Array, phi: tuple[Array, Array, Array]) -> tuple[float, Array, Array]:
    """Sum of weight_ij phi(s_i - s_j), and its derivatives by s."""
    value, slope, bend = (times(weight, each) for each in phi)
    return float(np.sum(value)), np.sum(slope, axis=1) - np.sum(slope, axis=0), np.sum(bend, axis=1) + np.sum(bend, 0)


def pairwise_rank(
    pred: ArrayLike, target: ArrayLike, query: ArrayLike | None = None, kind: str = "logistic", margin: float = 1.0
) -> Result:
    """Sum of phi(s_i - s_j) over y_i > y_j (Burges 2005; Herbrich 2000), counting the pairs.

    phi(d) is log(1 + e^-d), max(0, margin - d) or its square.
    """

    def one(s: Array, y: Array) -> OfOne:
        d = _less(s[:, None], s)
        slack = np.maximum(margin - d, 0.0)
        active = np.where(margin - d >= 0, 1.0, 0.0)  # at the kink too, as in torch
        phi = {
            "logistic": _logistic(d),
            "hinge": (slack, -active, np.zeros_like(d)),
            "squared_hinge": (slack**2, -2 * slack, 2 * active),
        }[kind]
        better = np.where(y[:, None] > y, 1.0, 0.0)
        value, grad, hess = _over_pairs(better, phi)
        return value, float(np.sum(better)), grad, hess

    return _by_query(one, pred, target, query)


def lambda_rank(pred: ArrayLike, target: ArrayLike, query: ArrayLike | None = None, k: int | None = None) -> Result:
    """Sum of |change of NDCG@k if i and j change places| log(1 + e^-(s_i - s_j)) over y_i > y_j (Burges 2010).

    The first of the two is among the k with the highest scores. Derivatives take the weights as constant.
    """

    def one(s: Array, y: Array) -> OfOne:
        place = np.empty(len(s), int)
        place[np.argsort(-s, kind="stable")] = np.arange(1, len(s) + 1)
        gain, discount = 2.0**y - 1, 1 / np.log2(place + 1.0)
        best = np.sort(gain)[::-1][:k] @ np.sort(discount)[::-1][:k]
        first = np.minimum(place[:, None], place) <= (len(s) if k is None else k)
        change = np.abs((gain[:, None] - gain) * (discount[:, None] - discount)) / best
        weight = np.where((y[:, None] > y) & first, change, 0.0)
        value, grad, hess = _over_pairs(weight, _logistic(_less(s[:, None], s)))
        return value, 1.0, grad, hess

    return _by_query(one, pred, target, query)


def _log_softmax(x: Array) -> Array:
    top = np.argmax(x)
    below = _less(x, x[top])
    return np.asarray(below - np.log1p(np.sum(np.exp(np.delete(below, top)))))


def _of_others(p: Array) -> Array:
    """1 - p, as the sum of the other probabilities: of the largest, 1 - p would lose the digits."""
    before = np.concatenate([[0.0], np.cumsum(p)[:-1]])
    after = np.concatenate([np.cumsum(p[:0:-1])[::-1], [0.0]])
    return np.asarray(before + after)


def list_net(pred: ArrayLike, target: ArrayLike, query: ArrayLike | None = None) -> Result:
    """-Σ softmax(y) log softmax(s) (Cao 2007, top one)."""

    def one(s: Array, y: Array) -> OfOne:
        log_p, q = _log_softmax(s), np.exp(_log_softmax(y))
        p = np.exp(log_p)
        return float(-np.sum(times(q, log_p))), 1.0, p - q, p * _of_others(p)

    return _by_query(one, pred, target, query)


def list_mle(pred: ArrayLike, target: ArrayLike, query: ArrayLike | None = None) -> Result:
    """-log of the Plackett-Luce probability of the items in the order of their relevance (Xia 2008)."""

    def one(s: Array, y: Array) -> OfOne:
        value, grad, hess = 0.0, np.zeros_like(s), np.zeros_like(s)
        left = np.argsort(-y, kind="stable")
        while len(left):
            log_p = _log_softmax(s[left])
            p = np.exp(log_p)
            value -= log_p[0]
            grad[left[1:]] += p[1:]
            grad[left[0]] -= _of_others(p)[0]  # p - 1
            hess[left] += p * _of_others(p)
            left = left[1:]
        return value, 1.0, grad, hess

    return _by_query(one, pred, target, query)
