"""Losses of the residual r = pred - target."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, JointTerms, Terms, residual


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


def cauchy(pred: ArrayLike, target: ArrayLike, c: Array | float = 1.0) -> Terms:
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


def welsch(pred: ArrayLike, target: ArrayLike, c: Array | float = 1.0) -> Terms:
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


def barron(pred: ArrayLike, target: ArrayLike, alpha: ArrayLike = 1.0, c: ArrayLike = 1.0) -> Terms:
    """|alpha - 2| / alpha (((r/c)² / |alpha - 2| + 1)^(alpha/2) - 1) and its limits (Barron 2019, equation 8)."""
    shape, width = np.asarray(alpha, np.float64), np.asarray(c, np.float64)
    u = residual(pred, target) / width
    limit = (shape == 2) | (shape == 0) | (shape == -np.inf)
    a = np.where(limit, 1.0, shape)
    b = np.abs(a - 2)
    far = np.abs(u) > 1e100
    near, size = np.where(far, 1.0, u), np.where(far, np.abs(u), 1.0) / np.sqrt(b)
    z = near**2 / b
    exponent = a / 2 * np.log1p(z)
    power = np.where(np.abs(exponent) < 1, np.expm1(exponent), (1 + z) ** (a / 2) - 1)
    # (1 + z)^(a/2 - 1) and size^(a/2 - 1), by exponents that are not rounded.
    fall = ((1 + z) ** (a / 4) / np.sqrt(1 + z)) ** 2
    tail = (size ** (a / 4) / np.sqrt(size)) ** 2
    endless = size == np.inf
    steep, bent = (np.where(endless, size ** (a - n), tail * size ** (2 - n) * tail) for n in (1, 2))
    inside = (
        b / a * np.where(far, size**a - 1, power),
        np.where(far, np.sign(u) * np.sqrt(b) * steep, near * fall) / width,
        np.where(far, (a - 1 + (2 - a) / size / size) * bent, fall * (a - 1 + (2 - a) / (1 + z))) / width**2,
    )
    squares = u**2 / 2, u / width, np.ones_like(u) / width**2
    known = zip(squares, cauchy(pred, target, width), welsch(pred, target, width), inside, strict=True)
    value, grad, hess = (np.select([shape == 2, shape == 0, shape == -np.inf], each[:3], each[3]) for each in known)
    return value, grad, hess


def barron_adaptive(pred: ArrayLike, target: ArrayLike, alpha: ArrayLike = 1.0, c: ArrayLike = 1.0) -> JointTerms:
    """`barron` with its derivatives by pred, alpha and c, for alpha other than 2.

    With b = |alpha - 2|, k = alpha/2, L = log(1 + (r/c)²/b) and M_n the integral of t^n e^(kt) from 0 to L, the
    derivative by alpha is b/4 times the integral of e^(kt) (t - 1 + e^-t), and the second one a quarter of that of
    e^(kt) (b/2 (t - 1 + e^-t)² ± (1 - e^-t)²), + below 2.
    """
    value, grad, hess = barron(pred, target, alpha, c)
    shape, width = np.asarray(alpha, np.float64), np.asarray(c, np.float64)
    r = residual(pred, target)
    a, size = np.broadcast_arrays(shape, np.abs(r / width))
    b, k = np.abs(a - 2), a / 2
    side = np.where(a < 2, 1.0, -1.0)
    far = size > 1e100
    z = np.where(far, 1.0, size) ** 2 / b
    length = np.where(far, 2 * np.log(np.where(far, size, 1.0)) - np.log(b), np.log1p(z))
    p = k * length
    share = np.where(far, 1.0, z / (1 + z))
    phi = _phi(p)
    # Powers of L, the exponentials expanded, where terms of the closed form would cancel.
    short = np.where(length < 1, length, 0.0)
    first = sum((-1) ** n * short ** (n + 1) / math.factorial(n) * phi[n] for n in range(2, 40)) * b / 4
    second = phi[2] * length**3
    rest = np.where(length < 0.1, sum((-short) ** n / math.factorial(n) for n in range(2, 40)), length - share)
    by_parts = side / 2 * (length**2 * phi[1] - np.exp(p) * rest)
    # The same differentiated as it stands: every term has the factor b.
    root = np.where(a > 1, a, 1.0)
    as_it_stands = b / (2 * root) * np.exp(p) * length - b * (2 + a) / (2 * root**2) * np.expm1(p)
    as_it_stands = as_it_stands - side / 2 * np.expm1(-side * b * length / 2)
    by_alpha = np.where(a > 1, as_it_stands, by_parts)
    by_alpha = np.where((length < 1) & (np.abs(p) < 6), first, by_alpha)
    twice = side / 4 * (second - np.exp(p) * rest**2)
    by_c = -(r / width) * grad
    by_c_twice = (2 * (r / width) * grad + (r / width) * r * hess) / width
    return value, (grad, by_alpha, by_c), (hess, twice, by_c_twice)


def _phi(x: Array) -> list[Array]:
    """Return the integrals of t^n e^(xt) from 0 to 1: by parts, from the highest one down, or in full."""
    inner, power = np.where(np.abs(x) < 6, x, 0.0), np.exp(x)
    outer = np.where(np.abs(x) < 6, 6.0, x)
    phi = [np.exp(inner) / 101]
    for n in range(100, 0, -1):
        phi.insert(0, (np.exp(inner) - inner * phi[0]) / n)
    closed = [
        (power - 1) / outer,
        (1 + power * (outer - 1)) / outer**2,
        (power * (outer**2 - 2 * outer + 2) - 2) / outer**3,
    ]
    for n in range(3):
        phi[n] = np.where(np.abs(x) < 6, phi[n], closed[n])
    return phi
