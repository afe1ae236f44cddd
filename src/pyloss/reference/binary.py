"""Binary classification: losses of a raw score against a target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, Terms, times


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), or exp(z) / (1 + exp(z)), whichever does not overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(z < 0, np.exp(z) / (1 + np.exp(z)), 1 / (1 + np.exp(-z)))


def bce(pred: ArrayLike, target: ArrayLike, eps: float | None = None) -> Terms:
    """-t log p - (1 - t) log(1 - p) of a probability p.

    torch ``binary_cross_entropy``: logarithms are at least -100; derivatives are taken no nearer to 0 and 1 than 1e-12.
    With eps Keras ``BinaryCrossentropy``: p is clipped to [eps, 1 - eps].
    """
    p, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    q = 1 - p
    near = 0.0 if eps is None else eps
    beyond = (p < near) | (q < near)
    p, q = np.minimum(np.maximum(p, near), 1 - near), np.minimum(np.maximum(q, near), 1 - near)
    low = -np.inf if eps else -100
    log_p = np.maximum(np.where(p < 0.5, np.log(p), np.log1p(-q)), low)
    log_q = np.maximum(np.where(p < 0.5, np.log1p(-p), np.log(q)), low)
    value = -t * log_p - (1 - t) * log_q
    p, q = np.maximum(p, 1e-12), np.maximum(q, 1e-12)
    grad, hess = (1 - t) / q - t / p, t / p**2 + (1 - t) / q**2
    if eps is None:
        return tuple(np.where(beyond, np.nan, term) for term in (value, grad, hess))  # type: ignore[return-value]
    return value, np.where(beyond, 0, grad), np.where(beyond, 0, hess)


def bce_with_logits(
    pred: ArrayLike, target: ArrayLike, pos_weight: ArrayLike | None = None, label_smoothing: float = 0.0
) -> Terms:
    """-w t log p - (1 - t) log(1 - p), p = sigmoid(z), where smoothing s makes t of target: t = target (1 - s) + s/2.

    torch ``binary_cross_entropy_with_logits``, Keras ``BinaryCrossentropy``. 1 - p is sigmoid(-z); a log of 0 that is
    not asked for does not count.
    """
    z = np.asarray(pred, np.float64)
    w = 1.0 if pos_weight is None else np.asarray(pos_weight, np.float64)
    t = np.asarray(target, np.float64) * (1 - label_smoothing) + label_smoothing / 2
    p, not_p = sigmoid(z), sigmoid(-z)
    value = times(w * t, np.logaddexp(0, -z)) + times(1 - t, np.logaddexp(0, z))
    return value, (1 - t) * p - w * t * not_p, (w * t + 1 - t) * p * not_p


def focal(pred: ArrayLike, target: ArrayLike, gamma: float = 2.0, alpha: float | None = 0.25) -> Terms:
    """alpha_t (1 - p_t)^gamma CE, p_t = t p + (1 - t)(1 - p) (torchvision ``sigmoid_focal_loss``).

    The chain rule through m = 1 - p_t, dm/dz = p q (1 - 2t). Where m is 0, so is everything.
    """
    z, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    p, q = sigmoid(z), sigmoid(-z)
    weight = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    cost = times(t, np.logaddexp(0, -z)) + times(1 - t, np.logaddexp(0, z))
    slope, bend = (1 - t) * p - t * q, p * q
    m = p * (1 - t) + q * t
    dm, d2m = p * q * (1 - 2 * t), p * q * (q - p) * (1 - 2 * t)
    one = np.where(m == 0, 1, m)
    factor = np.where(m == 0, 0, one**gamma)
    d_factor = gamma * factor * dm / one
    d2_factor = gamma * factor * ((gamma - 1) * (dm / one) ** 2 + d2m / one)
    value = times(factor, cost)
    grad = factor * slope + times(d_factor, cost)
    hess = factor * bend + 2 * d_factor * slope + times(d2_factor, cost)
    return np.where(np.isnan(z), z, times(weight, value)), weight * grad, weight * hess


def asymmetric_focal(
    pred: ArrayLike, target: ArrayLike, gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05
) -> Terms:
    """-t q^gamma_pos log p - (1 - t) m^gamma_neg log(1 - m), m = max(p - clip, 0) (Ridnik et al. 2021)."""
    z, t = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    p, q = sigmoid(z), sigmoid(-z)
    dp, d2p = p * q, p * q * (q - p)

    # Positives: f(q) = -q^g log(1 - q), whose derivatives by z are -f' dp and f'' dp² - f' d2p.
    cost = np.logaddexp(0, -z)
    one = np.where(q == 0, 1, q)
    factor = np.where(q == 0, 0, one**gamma_pos)
    on = times(factor, cost)
    d_on = -factor * q - times(gamma_pos * factor * dp / one, cost)
    d2_on = (1 + 2 * gamma_pos) * factor * dp + times(gamma_pos * factor * ((gamma_pos - 1) * p**2 - (q - p) * p), cost)

    # Negatives: the same of m, which goes with p where it is positive.
    m = np.maximum(p - clip, 0)
    rest = np.where(m == 0, 1, q + clip)
    cost = np.where(m < 0.5, -np.log1p(-np.where(m < 0.5, m, 0)), -np.log(np.where(rest == 0, 1, rest)))
    if clip == 0:
        cost = np.logaddexp(0, z)
    gone = rest == 0  # p is 1, and so is dp / rest
    share = np.where(gone, 1, dp / np.where(gone, 1, rest))
    one = np.where(m == 0, 1, m)
    factor = np.where(m == 0, float(gamma_neg == 0), one**gamma_neg)
    first, second = gamma_neg * dp / one, gamma_neg * ((gamma_neg - 1) * (dp / one) ** 2 + d2p / one)
    off = times(factor, cost)
    d_off = np.where(m == 0, 0, times(factor * first, cost) + factor * share)
    curve = dp if clip == 0 else share * (share + q - p)
    d2_off = np.where(m == 0, 0, times(factor * second, cost) + 2 * factor * first * share + factor * curve)
    return times(t, on) + times(1 - t, off), t * d_on + (1 - t) * d_off, t * d2_on + (1 - t) * d2_off


def hinge(pred: ArrayLike, target: ArrayLike, margin: float = 1.0) -> Terms:
    """max(0, margin - target pred), whose slope at the kink is taken to be 0 (Cortes and Vapnik 1995)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    slack = margin - target * pred
    grad = np.where(slack > 0, -target, 0 * np.sign(slack))
    return np.maximum(slack, 0), grad, np.zeros_like(slack)


def squared_hinge(pred: ArrayLike, target: ArrayLike, margin: float = 1.0) -> Terms:
    """max(0, margin - target pred)² (Keras ``SquaredHinge``)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    slack = np.maximum(margin - target * pred, 0)
    return slack**2, -2 * target * slack, np.where(slack == 0, 0, 2 * target**2)


def modified_huber(pred: ArrayLike, target: ArrayLike) -> Terms:
    """max(0, 1 - m)² for m = target pred >= -1, else -4 m (scikit-learn ``SGDClassifier``)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    m = target * pred
    near = np.maximum(1 - m, 0)
    grad = np.where(m < -1, -4 * target, -2 * target * near)
    return np.where(m < -1, -4 * m, near**2), grad, np.where((m < -1) | (m >= 1), 0, 2 * target**2)


def exponential(pred: ArrayLike, target: ArrayLike) -> Terms:
    """exp(-target pred) (Friedman, Hastie and Tibshirani 2000)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    value = np.exp(-target * pred)
    return value, -target * value, target**2 * value


def logistic(pred: ArrayLike, target: ArrayLike) -> Terms:
    """log(1 + exp(-target pred)) (torch ``soft_margin_loss``)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    m = target * pred
    return np.logaddexp(0, -m), -target * sigmoid(-m), target**2 * sigmoid(m) * sigmoid(-m)
