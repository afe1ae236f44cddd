"""Penalties of weights: of all weights together the value, of each the gradient and the diagonal of the Hessian.

A function whose name ends in ``_prox`` is the proximal map: what minimises penalty(u) + ‖u - weights‖² / (2 step).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, Terms


def _floats(values: ArrayLike) -> Array:
    return np.asarray(values, np.float64)


def l1(weights: ArrayLike, l1: float = 0.01) -> Terms:
    """l1 Σ |w|, whose slope at 0 is taken to be 0 (Tibshirani 1996)."""
    w = _floats(weights)
    return np.asarray(np.sum(l1 * np.abs(w))), l1 * np.sign(w), np.zeros_like(w)


def l1_prox(weights: ArrayLike, step: float, l1: float = 0.01) -> Array:
    """Soft-thresholding (Donoho 1995)."""
    w = _floats(weights)
    return np.where(w > step * l1, w - step * l1, np.where(w < -step * l1, w + step * l1, 0.0 * w))


def l2(weights: ArrayLike, l2: float = 0.01) -> Terms:
    """l2 Σ w² (Hoerl 1970), without the ½."""
    w = _floats(weights)
    return np.asarray(np.sum(l2 * w**2)), 2 * l2 * w, np.full_like(w, 2 * l2)


def l2_prox(weights: ArrayLike, step: float, l2: float = 0.01) -> Array:
    """Where 2 l2 u + (u - w) / step = 0."""
    return _floats(weights) / (1 + 2 * step * l2)


def elastic_net(weights: ArrayLike, alpha: float = 1.0, l1_ratio: float = 0.5) -> Terms:
    """Alpha (l1_ratio Σ |w| + (1 - l1_ratio) Σ w²) (Zou and Hastie 2005), without the ½ of scikit-learn."""
    first, second = l1(weights, alpha * l1_ratio), l2(weights, alpha * (1 - l1_ratio))
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def elastic_net_prox(weights: ArrayLike, step: float, alpha: float = 1.0, l1_ratio: float = 0.5) -> Array:
    """Soft-thresholding, then shrinkage (Parikh and Boyd, Proximal Algorithms, 2014, section 6.5.3)."""
    return l1_prox(weights, step, alpha * l1_ratio) / (1 + 2 * step * alpha * (1 - l1_ratio))


def ewc(weights: ArrayLike, fisher: ArrayLike, anchor: ArrayLike, strength: float = 1.0) -> Terms:
    """Strength / 2 Σ F (w - anchor)² (Kirkpatrick 2017, equation 3)."""
    w = _floats(weights)
    f, r = np.broadcast_to(_floats(fisher), w.shape), w - _floats(anchor)
    return np.asarray(np.sum(strength / 2 * f * r**2)), strength * f * r, strength * f


def ewc_prox(weights: ArrayLike, step: float, fisher: ArrayLike, anchor: ArrayLike, strength: float = 1.0) -> Array:
    """Where strength F (u - anchor) + (u - w) / step = 0."""
    k = step * strength * _floats(fisher)
    return (_floats(weights) + k * _floats(anchor)) / (1 + k)


def group_lasso(weights: ArrayLike, groups: ArrayLike, alpha: float = 0.01) -> Terms:
    """Alpha Σ sqrt(n) ‖w_g‖ over groups of n weights (Yuan and Lin 2006); of a group of zeros the derivatives are 0."""
    w = _floats(weights)
    member = np.broadcast_to(groups, w.shape)
    value, grad, hess = 0.0, np.zeros_like(w), np.zeros_like(w)
    for group in np.unique(member):
        of = member == group
        strength, length = alpha * np.sqrt(np.count_nonzero(of)), np.linalg.norm(w[of])
        value += strength * length
        if length > 0:
            grad[of] = strength * w[of] / length
            hess[of] = strength * (length**2 - w[of] ** 2) / length**3
    return np.asarray(value), grad, hess


def group_lasso_prox(weights: ArrayLike, step: float, groups: ArrayLike, alpha: float = 0.01) -> Array:
    """Shorten each group by step alpha sqrt(n), or to 0 (Yuan and Lin 2006, equation 2.3)."""
    w = _floats(weights)
    member = np.broadcast_to(groups, w.shape)
    result = np.zeros_like(w)
    for group in np.unique(member):
        of = member == group
        threshold, length = step * alpha * np.sqrt(np.count_nonzero(of)), np.linalg.norm(w[of])
        if length > threshold:
            result[of] = w[of] * (1 - threshold / length)
    return result
