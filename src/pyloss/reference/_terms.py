"""What every reference function returns, and what textbooks leave to the reader."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Terms: TypeAlias = tuple[Array, Array, Array]
"""Value, gradient and diagonal of the Hessian, one for each element (each row, for the value of a row loss)."""


JointTerms: TypeAlias = tuple[Array, tuple[Array, ...], tuple[Array, ...]]
"""Of a loss with derivatives by several inputs: those by each."""


def times(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the product, 0 where `a` is 0 whatever `b`: the limit of 0 log 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.asarray(a) == 0, 0.0, np.multiply(a, b))


def unless_nan(x: Array, a: Array) -> Array:
    """Return `a`, NaN where `x` is."""
    return np.where(np.isnan(x), x, a)


def residual(pred: ArrayLike, target: ArrayLike) -> Array:
    """Return pred - target in float64."""
    with np.errstate(invalid="ignore"):
        return np.subtract(pred, target, dtype=np.float64)


def reduce(terms: Terms, weight: ArrayLike | None = None, reduction: str = "mean", count: ArrayLike = 1.0) -> Terms:
    """Weigh the terms of a loss and reduce its values; derivatives are those of the reduced value.

    Parameters
    ----------
    terms : (ndarray, ndarray, ndarray)
        From a function of this module.
    weight : array_like, optional
        Broadcasts to the values. Weight 0 leaves an element out, whatever its terms.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of weight times `count`; the mean of nothing is 0.
    count : array_like
        How much each value counts in a mean, where that is not 1; see `cross_entropy_count`.
    """
    value, grad, hess = terms
    weights = np.broadcast_to(1.0 if weight is None else np.asarray(weight, np.float64), value.shape)
    total = float(np.sum(weights * count))
    scale = 1.0 if reduction != "mean" else 1.0 / total if total > 0.0 else 0.0

    def weigh(term: Array) -> Array:
        w = weights if term.ndim == value.ndim else weights[..., None]
        with np.errstate(invalid="ignore"):
            return np.where(w == 0.0, 0.0, w * scale * term)

    weighed = weigh(value)
    return weighed if reduction == "none" else np.sum(weighed), weigh(grad), weigh(hess)
