"""Losses of the residual r = pred - target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, Terms, residual


def mse(pred: ArrayLike, target: ArrayLike) -> Terms:
    """r² (torch ``mse_loss``)."""
    r = residual(pred, target)
    return r**2, 2 * r, np.full_like(r, 2.0)


def rmse(
    pred: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> tuple[Array, Array, Array]:
    """sqrt(sum w r² / sum w), and its derivatives; not of each element (sklearn ``root_mean_squared_error``)."""
    r = residual(pred, target)
    w = np.broadcast_to(1.0 if weight is None else np.asarray(weight, np.float64), r.shape)
    if reduction == "none":
        return w * np.abs(r), w * np.sign(r), np.zeros_like(r)
    r, w = np.where(w == 0.0, 0.0, r), w / (np.sum(w) if reduction == "mean" and np.sum(w) > 0.0 else 1.0)
    largest = np.max(np.abs(r), initial=0.0)
    if largest == 0.0:
        return np.zeros(()), np.zeros_like(r), np.zeros_like(r)
    root = np.sqrt(np.sum(w * (r / largest) ** 2)) * largest
    return root, w * (r / root), w / root - (w * (r / root)) ** 2 / root


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


def msle(pred: ArrayLike, target: ArrayLike) -> Terms:
    """(log(1 + pred) - log(1 + target))² (Keras ``MeanSquaredLogarithmicError`` without its clipping)."""
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    by = (pred - target) / (1 + target)
    d = np.where(np.abs(by) < 0.5, np.log1p(by), np.log1p(pred) - np.log1p(target))
    return d**2, 2 * d / (1 + pred), (2 - 2 * d) / (1 + pred) ** 2


def mape(pred: ArrayLike, target: ArrayLike, eps: float = 1e-8) -> Terms:
    """|r| / max(|target|, eps) (scikit-learn ``mean_absolute_percentage_error``)."""
    r, size = residual(pred, target), np.maximum(np.abs(np.asarray(target, np.float64)), eps)
    return np.abs(r) / size, np.sign(r) / size, np.zeros_like(r)


def smape(pred: ArrayLike, target: ArrayLike) -> Terms:
    """2 |r| / (|pred| + |target|), 0 where both are 0 (Makridakis 1993); the sign of 0 is taken to be 0."""
    pred, target = np.broadcast_arrays(np.asarray(pred, np.float64), np.asarray(target, np.float64))
    r, total = residual(pred, target), np.abs(pred) + np.abs(target)
    size, way = np.where(total == 0, 1.0, total), np.sign(r)
    # The quotient rule leaves sign(r) (|pred| + |target|) - |r| sign(pred), which cancels.
    alike = np.sign(pred) == np.sign(target)
    rest = np.where(pred == 0, way / size * 2, np.where(alike, 4 * np.abs(target) / size / size, 0 * r) * way)
    ordinary = (size > 1e-9) & (size < 1e9)
    cube = np.where(ordinary, np.abs(target) * (8 / size / size / size), 8 * (np.abs(target) / size) / size / size)
    bend = np.where(alike, cube, 0 * r) * way
    rest, bend = np.where(r == 0, 0.0, rest), np.where((pred == 0) | (r == 0), 0.0, -np.sign(pred) * bend)
    return np.where(r == 0, 0.0, 2 * (np.abs(r) / size)), rest, bend


def smooth_l1(pred: ArrayLike, target: ArrayLike, beta: float = 1.0) -> Terms:
    """r²/(2 beta) if |r| < beta, else |r| - beta/2 (torch ``smooth_l1_loss``)."""
    r = residual(pred, target)
    near, width = np.abs(r) < beta, beta if beta > 0 else 1.0
    return (
        np.where(near, r / width * r / 2, np.abs(r) - beta / 2),
        np.where(near, r / width, np.sign(r)),
        np.where(np.isnan(r), r, np.where(near, 1 / width, 0.0)),
    )


def pseudo_huber(pred: ArrayLike, target: ArrayLike, delta: float = 1.0) -> Terms:
    """delta² (sqrt(1 + (r/delta)²) - 1) (Charbonnier et al. 1994)."""
    r = residual(pred, target)
    u = r / delta
    root, far = np.hypot(1, u), np.abs(u) > 1e8
    return (
        delta * np.where(far, np.abs(r) - delta, r / (1 + root) * u),
        delta * np.where(far, np.sign(u), u / root),
        root**-1 * root**-1 * root**-1,
    )


def expectile(pred: ArrayLike, target: ArrayLike, tau: float = 0.5) -> Terms:
    """|tau - [r > 0]| r² (Newey and Powell 1987)."""
    r = residual(pred, target)
    share = np.abs(tau - (r > 0))
    return share * r**2, 2 * share * r, 2 * share


def epsilon_insensitive(pred: ArrayLike, target: ArrayLike, epsilon: float = 0.1, squared: bool = False) -> Terms:
    """max(|r| - epsilon, 0), or its square (Vapnik 1995); its slope at the kink is taken to be 0."""
    r = residual(pred, target)
    excess = np.maximum(np.abs(r) - epsilon, 0)
    grad = np.where(excess > 0, np.sign(r), 0 * excess)
    if squared:
        return excess**2, 2 * excess * grad, np.where(np.isnan(r), r, 2.0 * (excess > 0))
    return excess, grad, 0 * grad


def tukey(pred: ArrayLike, target: ArrayLike, c: float = 4.685) -> Terms:
    """c²/6 (1 - (1 - (r/c)²)³) inside c, c²/6 beyond (Beaton and Tukey 1974)."""
    r = residual(pred, target)
    a = np.minimum(np.abs(r) / c, 1)
    v = (1 - a) * (1 + a)
    return (c * a) ** 2 / 6 * (1 + v + v**2), np.where(a == 1, 0.0, r * v**2), v * (v - 4 * a**2)


def cauchy(pred: ArrayLike, target: ArrayLike, c: float = 1.0) -> Terms:
    """log((r/c)²/2 + 1) (Barron 2019, alpha = 0)."""
    r = residual(pred, target)
    far = np.abs(r / c) > 1e100
    near, away = np.where(far, 1.0, r / c), np.where(far, r, 1.0)
    total = near**2 / 2 + 1
    return (
        np.where(far, 2 * np.log(np.abs(away)) - np.log(2 * c**2), np.log1p(near**2 / 2)),
        np.where(far, 2 / away, near / total / c),
        np.where(far, -2 / away / away, (1 - near**2 / 2) / total**2 / c**2),
    )


def welsch(pred: ArrayLike, target: ArrayLike, c: float = 1.0) -> Terms:
    """1 - exp(-(r/c)²/2) (Barron 2019, alpha = -inf)."""
    u = np.maximum(np.minimum(residual(pred, target) / c, 1e3), -1e3)
    root = np.exp(-(u**2) / 4)  # its square underflows before the products do
    return -np.expm1(-(u**2) / 2), u / c * root * root, (1 - u**2) / c**2 * root * root


def geman_mcclure(pred: ArrayLike, target: ArrayLike, c: float = 1.0) -> Terms:
    """2 (r/c)² / ((r/c)² + 4) (Barron 2019, alpha = -2)."""
    u = residual(pred, target) / c
    far = np.abs(u) > 1e3
    near, v = np.where(far, 1.0, u), 1 / np.where(far, u, 1.0)
    total, other = near**2 + 4, 1 + 4 * v**2
    return (
        np.where(far, 2 / other, 2 * near**2 / total),
        np.where(far, 16 * v**3 / other**2, 16 * near / total**2) / c,
        16 / c**2 * np.where(far, v**4 * (4 * v**2 - 3) / other**3, (4 - 3 * near**2) / total**3),
    )


def barron(pred: ArrayLike, target: ArrayLike, alpha: float = 1.0, c: float = 1.0) -> Terms:
    """|alpha - 2| / alpha (((r/c)² / |alpha - 2| + 1)^(alpha/2) - 1) and its limits (Barron 2019, equation 8)."""
    r = residual(pred, target)
    u = r / c
    if alpha == 2:
        return u**2 / 2, u / c, np.full_like(u, 1 / c**2)
    if alpha == 0:
        return cauchy(pred, target, c)
    if alpha == -np.inf:
        return welsch(pred, target, c)
    b = abs(alpha - 2)
    far = np.abs(u) > 1e100
    near, size = np.where(far, 1.0, u), np.where(far, np.abs(u), 1.0) / np.sqrt(b)
    z = near**2 / b
    power = np.where(z < 1, np.expm1(alpha / 2 * np.log1p(np.minimum(z, 1))), (1 + z) ** (alpha / 2) - 1)
    return (
        b / alpha * np.where(far, size**alpha - 1, power),
        np.where(far, np.sign(u) * np.sqrt(b) * size ** (alpha - 1), near * (1 + z) ** (alpha / 2 - 1)) / c,
        np.where(
            far,
            (alpha - 1 + (2 - alpha) / size / size) * size ** (alpha - 2),
            (1 + z) ** (alpha / 2 - 1) * (alpha - 1 + (2 - alpha) / (1 + z)),
        )
        / c**2,
    )
