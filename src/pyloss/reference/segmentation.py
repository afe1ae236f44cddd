"""Losses of masks: value of each mask and its gradient by `pred`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array
from .binary import sigmoid

Region = tuple[Array, Array]
"""Value of each mask, and the gradient of each own value in the shape of `pred`."""


def _ratio(
    pred: ArrayLike,
    target: ArrayLike,
    sides: Callable[[Array, Array, Array], tuple[Array, Array]],
    slopes: Callable[[Array, Array], tuple[Array, Array]],
    settings: tuple[bool, bool, bool, bool],
) -> Region:
    """1 - a / b, where `sides` makes a and b of Σ p t, Σ p and Σ t, and `slopes` their derivatives of dΣpt and dΣp.

    Of squared losses Σ p² and Σ t² take the places of Σ p and Σ t. 0 / 0 is 1.
    """
    squared, from_logits, per_class, batch = settings
    x = np.asarray(pred, np.float64)
    t = np.broadcast_to(np.asarray(target, np.float64), x.shape)
    p = sigmoid(x) if from_logits else x
    axes = tuple(range(0 if batch else 1, x.ndim - per_class))

    def total(each: Array) -> Array:
        # Along memory NumPy adds pairwise, across it one by one.
        last = np.ascontiguousarray(np.moveaxis(each, axes, range(-len(axes), 0))) if axes else each
        return np.expand_dims(np.sum(last, axis=tuple(range(-len(axes), 0))), axes)

    a, b = sides(total(p * t), total(p**2 if squared else p), total(t**2 if squared else t))
    da, db = slopes(t, 2 * p if squared else np.ones_like(p))
    nothing = b == 0
    b = np.where(nothing, 1.0, b)
    value = np.where(nothing, 0.0, 1 - a / b)
    grad = np.where(nothing, 0.0, (a * db / b - da) / b)
    if from_logits:
        grad = grad * p * sigmoid(-x)
    return np.squeeze(value, axis=axes), grad


def dice(
    pred: ArrayLike,
    target: ArrayLike,
    smooth: float = 1.0,
    squared: bool = False,
    from_logits: bool = False,
    per_class: bool = False,
    batch: bool = False,
) -> Region:
    """1 - (2 Σpt + smooth) / (Σp + Σt + smooth), or with Σp² + Σt² (Milletari 2016)."""
    return _ratio(
        pred,
        target,
        lambda both, p, t: (2 * both + smooth, p + t + smooth),
        lambda both, p: (2 * both, p),
        (squared, from_logits, per_class, batch),
    )


def jaccard(
    pred: ArrayLike,
    target: ArrayLike,
    smooth: float = 1.0,
    squared: bool = False,
    from_logits: bool = False,
    per_class: bool = False,
    batch: bool = False,
) -> Region:
    """1 - (Σpt + smooth) / (Σp + Σt - Σpt + smooth), or with Σp² + Σt² (Rahman 2016)."""
    return _ratio(
        pred,
        target,
        lambda both, p, t: (both + smooth, p + t - both + smooth),
        lambda both, p: (both, p - both),
        (squared, from_logits, per_class, batch),
    )


def tversky(
    pred: ArrayLike,
    target: ArrayLike,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    squared: bool = False,
    from_logits: bool = False,
    per_class: bool = False,
    batch: bool = False,
) -> Region:
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth) (Salehi 2017).

    TP = Σpt, FP = Σp - Σpt and FN = Σt - Σpt, or with Σp² and Σt².
    """
    return _ratio(
        pred,
        target,
        lambda both, p, t: (both + smooth, both + alpha * (p - both) + beta * (t - both) + smooth),
        lambda both, p: (both, both + alpha * (p - both) - beta * both),
        (squared, from_logits, per_class, batch),
    )


def focal_tversky(
    pred: ArrayLike,
    target: ArrayLike,
    gamma: float = 0.75,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    squared: bool = False,
    from_logits: bool = False,
    per_class: bool = False,
    batch: bool = False,
) -> Region:
    """Tversky's loss to the power gamma (Abraham and Khan 2019, whose gamma is its inverse); the gradient of 0 is 0."""
    value, grad = tversky(pred, target, alpha, beta, smooth, squared, from_logits, per_class, batch)
    near = value <= 1e-15
    inner = np.where(near, 1.0, value)
    slope = np.where(near, 0.0, gamma * inner ** (gamma - 1))
    if not batch:  # over the elements of each mask
        shape = (len(value), *[1] * (np.ndim(grad) - value.ndim), *value.shape[1:])
        slope = slope.reshape(shape)
    return np.where(near, 0.0, inner**gamma), grad * slope


def _lovasz(error: Array, slope: Array, positive: Array) -> tuple[float, Array]:
    """Return the Lovász extension of the Jaccard loss at the errors of one mask, and its gradient."""
    order = np.argsort(-error, kind="stable")
    truth = positive[order]
    intersection = truth.sum() - np.cumsum(truth)
    union = truth.sum() + np.cumsum(1 - truth)
    jaccard = 1 - intersection / union
    grad = np.zeros_like(error)
    grad[order] = np.where(error[order] > 0, np.diff(jaccard, prepend=0.0) * slope[order], 0.0)
    # By parts: the errors' own steps lose no digits to those of the Jaccard loss.
    return float(np.sum(jaccard * -np.diff(np.maximum(error[order], 0), append=0.0))), grad


def lovasz(pred: ArrayLike, target: ArrayLike, kind: str = "hinge", batch: bool = False) -> Region:
    """Algorithm 1 of Berman 2018: with "hinge" of logits, with "softmax" of probabilities, over the classes present."""
    x = np.asarray(pred, np.float64)
    labels = np.asarray(target)
    if batch:
        all_values, all_grads = lovasz(x[None], labels[None], kind)
        return all_values[0], all_grads[0]
    values, grad = np.zeros(len(x)), np.zeros(x.shape)
    for n in range(len(x)):
        if kind == "hinge":
            t = np.broadcast_to(labels, x.shape)[n].astype(np.float64).ravel()
            sign = 2 * t - 1
            values[n], flat = _lovasz(1 - x[n].ravel() * sign, -sign, t)
            grad[n] = flat.reshape(x[n].shape)
            continue
        present = np.unique(labels[n])
        for c in present:
            t = (labels[n] == c).astype(np.float64).ravel()
            p = x[n][..., c].ravel()
            of_class, flat = _lovasz(np.abs(t - p), np.sign(p - t), t)
            values[n] += of_class / len(present)
            grad[n][..., c] = flat.reshape(labels[n].shape) / len(present)
    return values, grad
