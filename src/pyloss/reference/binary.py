"""Binary classification: losses of a raw score against a target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, Terms, times


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), or exp(z) / (1 + exp(z)), whichever does not overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(z < 0, np.exp(z) / (1 + np.exp(z)), 1 / (1 + np.exp(-z)))


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


def hinge(pred: ArrayLike, target: ArrayLike, margin: float = 1.0) -> Terms:
    """max(0, margin - target pred), whose slope at the kink is taken to be 0 (Cortes and Vapnik 1995)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    slack = margin - target * pred
    grad = np.where(slack > 0, -target, 0 * np.sign(slack))
    return np.maximum(slack, 0), grad, np.zeros_like(slack)
