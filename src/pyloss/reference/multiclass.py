"""Losses of a row of class scores, the last axis of `pred`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, Terms, times


def _ignored(target: Array, ignore_index: int | None) -> Array:
    return np.zeros(target.shape, bool) if ignore_index is None else target == ignore_index


def cross_entropy_count(
    pred: ArrayLike, target: ArrayLike, class_weight: ArrayLike | None = None, ignore_index: int | None = None
) -> Array:
    """How much each row counts in a mean: a label by the weight of its class, ignored ones not, probabilities by 1."""
    pred, target = np.asarray(pred), np.asarray(target)
    if target.ndim == pred.ndim:
        return np.ones(pred.shape[:-1])
    w = np.ones(pred.shape[-1]) if class_weight is None else np.asarray(class_weight, np.float64)
    ignored = _ignored(target, ignore_index)
    return np.where(ignored, 0.0, w[np.where(ignored, 0, target)])


def cross_entropy(
    pred: ArrayLike,
    target: ArrayLike,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> Terms:
    """-Σ a log p + z_loss (log Σ exp x)², p = softmax(x), a = class_weight ((1 - s) target + s / classes).

    x = softcap tanh(pred / softcap) / temperature; s is the label smoothing; a label is a row of probability 1. Values
    have the shape of `pred` without its last axis. torch ``cross_entropy``; z_loss and softcap as in Liger-Kernel. Of
    an infinite score the limit is taken; if all are -inf there is none, and all is NaN.
    """
    y, target = np.asarray(pred, np.float64), np.asarray(target)
    classes = y.shape[-1]
    with np.errstate(all="ignore"):
        # x with its first and second derivative by y.
        if softcap is None:
            x, slope, bend = y / temperature, np.full_like(y, 1 / temperature), np.zeros_like(y)
        else:
            x = softcap * np.tanh(y / softcap) / temperature
            slope = 1 / np.cosh(y / softcap) ** 2 / temperature
            bend = -2 / softcap * np.tanh(y / softcap) * slope

        top = np.max(x, axis=-1, keepdims=True)
        below = np.where(x == top, 0.0, x - top)  # an infinite top is no distance from itself
        total = np.sum(np.exp(below), axis=-1, keepdims=True)
        log_p = np.where(np.isneginf(top), np.nan, below - np.log(total))
        p, lse = np.exp(log_p), top + np.log(total)

        labels = target.ndim < y.ndim
        ignored = _ignored(target, ignore_index) if labels else np.zeros(y.shape[:-1], bool)
        t = target[..., None] == np.arange(classes) if labels else np.asarray(target, np.float64)
        w = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)
        a = np.broadcast_to(w * ((1 - label_smoothing) * t + label_smoothing / classes), y.shape)

        value = np.where(np.isnan(log_p).any(axis=-1), np.nan, -np.sum(times(a, log_p), axis=-1))
        value = value + times(z_loss, lse[..., 0] ** 2)
        pull = np.sum(a, axis=-1, keepdims=True) + times(2 * z_loss, lse)
        grad = times(p, pull) - a
        hess = times(p * (1 - p), pull) + 2 * z_loss * p**2
        hess = times(hess, np.square(slope)) + times(bend, grad)
    return (
        np.where(ignored, 0.0, value),
        np.where(ignored[..., None], 0.0, times(grad, slope)),
        np.where(ignored[..., None], 0.0, hess),
    )
