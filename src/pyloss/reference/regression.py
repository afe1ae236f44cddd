"""Losses of the residual r = pred - target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Terms, residual


def mse(pred: ArrayLike, target: ArrayLike) -> Terms:
    """r² (torch ``mse_loss``)."""
    r = residual(pred, target)
    return r**2, 2 * r, np.full_like(r, 2.0)


def mae(pred: ArrayLike, target: ArrayLike) -> Terms:
    """|r|, whose slope at 0 is taken to be 0 (torch ``l1_loss``)."""
    r = residual(pred, target)
    return np.abs(r), np.sign(r), np.zeros_like(r)


def huber(pred: ArrayLike, target: ArrayLike, delta: float = 1.0) -> Terms:
    """r²/2 if |r| <= delta, else delta (|r| - delta/2) (Huber 1964)."""
    r = residual(pred, target)
    far = np.abs(r) > delta
    return (
        np.where(far, delta * np.abs(r) - delta**2 / 2, r**2 / 2),
        np.where(far, delta * np.sign(r), r),
        np.where(np.isnan(r), r, np.where(far, 0.0, 1.0)),
    )


def quantile(pred: ArrayLike, target: ArrayLike, q: ArrayLike = 0.5) -> Terms:
    """(1 - q) max(r, 0) + q max(-r, 0), whose slope at 0 is taken to be 0 (Koenker and Bassett 1978)."""
    r, q = residual(pred, target), np.asarray(q)
    grad = np.where(r > 0, 1 - q, np.where(r < 0, -q, 0 * np.sign(r)))
    return (1 - q) * np.maximum(r, 0) + q * np.maximum(-r, 0), grad, np.zeros_like(r)


def log_cosh(pred: ArrayLike, target: ArrayLike) -> Terms:
    """Log cosh r, as log(1 + 2 sinh²(r/2)), beyond 20 as |r| - log 2 (Keras ``LogCosh``)."""
    r = residual(pred, target)
    size = np.abs(r)
    with np.errstate(over="ignore"):
        value = np.where(size > 20, size - np.log(2), np.log1p(2 * np.sinh(r / 2) ** 2))
        return value, np.tanh(r), 1 / np.cosh(r) ** 2
