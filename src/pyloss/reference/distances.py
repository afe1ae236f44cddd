"""Every metric in plain float64 NumPy, as SciPy's documentation defines it, and its derivative.

The function of a metric takes rows x, (n, d), and y, (m, d), and returns the (n, m) distances. Its derivative, named
``<metric>_slope``, is that of distance (i, j) by x[i], (n, m, d). All metrics are symmetric, so ``slope(y, x)`` is the
derivative by y. The derivative of a distance at 0, and that of abs(r) at r = 0, are taken to be 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, times


def _pairs(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both sides of every pair, (n, 1, d) and (1, m, d)."""
    return x[:, None, :], y[None, :, :]


def _differences(x: Array, y: Array) -> Array:
    """Return x - y of every pair, (n, m, d)."""
    return np.asarray(x[:, None, :] - y[None, :, :])


def _ratio(a: ArrayLike, b: ArrayLike) -> Array:
    """Return a / b, 0 for 0 / 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.where((a == 0) & (b == 0), 0.0, a / np.where((a == 0) & (b == 0), 1.0, b))


def _where_apart(slope: Array, distance: Array) -> Array:
    """Return the slope, 0 where the distance is 0."""
    return np.where(distance[..., None] == 0, 0.0, slope)


def inner(x: Array, y: Array) -> Array:
    """Σ x y: the larger, the nearer."""
    a, b = _pairs(x, y)
    return np.asarray((a * b).sum(-1))


def inner_slope(x: Array, y: Array) -> Array:
    """Row j of y."""
    return np.broadcast_to(y[None, :, :], (len(x), *y.shape))


def sqeuclidean(x: Array, y: Array) -> Array:
    """Σ (x - y)²."""
    return np.asarray((_differences(x, y) ** 2).sum(-1))


def sqeuclidean_slope(x: Array, y: Array) -> Array:
    """2 (x - y)."""
    return 2 * _differences(x, y)


def euclidean(x: Array, y: Array) -> Array:
    """√ Σ (x - y)²."""
    return np.sqrt(sqeuclidean(x, y))


def euclidean_slope(x: Array, y: Array) -> Array:
    """(x - y) / distance."""
    return _ratio(_differences(x, y), euclidean(x, y)[..., None])


def cosine(x: Array, y: Array) -> Array:
    """1 - x y / (|x| |y|); 0 between two rows of zeros, 1 between one and any other row."""
    a, b = _pairs(x, y)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    both_zero = np.all((a == 0) & (b == 0), axis=-1)
    return np.where(both_zero, 0.0, 1 - _ratio(inner(x, y), lengths))


def cosine_slope(x: Array, y: Array) -> Array:
    """((x y) x / |x|² - y) / (|x| |y|); 0 where a row is zeros."""
    a, b = _pairs(x, y)
    length_a, length_b = np.linalg.norm(a, axis=-1, keepdims=True), np.linalg.norm(b, axis=-1, keepdims=True)
    lengths = length_a * length_b
    slope = _ratio(_ratio(a * inner(x, y)[..., None], length_a**2) - b, lengths)
    return np.where(lengths == 0, 0.0, slope)


def _centred(rows: Array) -> Array:
    return rows - rows.mean(-1, keepdims=True) if rows.shape[-1] else rows


def correlation(x: Array, y: Array) -> Array:
    """Cosine distance of the rows less their means."""
    return cosine(_centred(x), _centred(y))


def correlation_slope(x: Array, y: Array) -> Array:
    """Slope of cosine, less its own mean."""
    return _centred(cosine_slope(_centred(x), _centred(y)))


def manhattan(x: Array, y: Array) -> Array:
    """Σ |x - y| (SciPy's cityblock)."""
    return np.asarray(np.abs(_differences(x, y)).sum(-1))


def manhattan_slope(x: Array, y: Array) -> Array:
    """sign(x - y)."""
    return np.asarray(np.sign(_differences(x, y)))


def chebyshev(x: Array, y: Array) -> Array:
    """Max |x - y|."""
    return np.asarray(np.abs(_differences(x, y)).max(-1, initial=0.0))


def chebyshev_slope(x: Array, y: Array) -> Array:
    """sign(x - y), shared equally among the features that attain the maximum."""
    r = _differences(x, y)
    attained = np.abs(r) == chebyshev(x, y)[..., None]
    return _ratio(np.where(attained, np.sign(r), 0.0), attained.sum(-1, keepdims=True))


def minkowski(x: Array, y: Array, p: float = 2.0) -> Array:
    """(Σ |x - y|^p)^(1/p); the maximum for p = ∞."""
    return chebyshev(x, y) if np.isinf(p) else np.asarray((np.abs(_differences(x, y)) ** p).sum(-1) ** (1 / p))


def minkowski_slope(x: Array, y: Array, p: float = 2.0) -> Array:
    """sign(x - y) (|x - y| / distance)^(p - 1)."""
    if np.isinf(p):
        return chebyshev_slope(x, y)
    r = _differences(x, y)
    size = _ratio(np.abs(r), minkowski(x, y, p)[..., None])
    return np.where(size == 0, 0.0, np.sign(r) * np.where(size == 0, 1.0, size) ** (p - 1))


def canberra(x: Array, y: Array) -> Array:
    """Σ |x - y| / (|x| + |y|), 0 / 0 = 0."""
    a, b = _pairs(x, y)
    return np.asarray(_ratio(np.abs(a - b), np.abs(a) + np.abs(b)).sum(-1))


def canberra_slope(x: Array, y: Array) -> Array:
    """sign(x - y) / s - |x - y| sign(x) / s², s = |x| + |y|."""
    a, b = _pairs(x, y)
    s = np.abs(a) + np.abs(b)
    return _ratio(np.sign(a - b), s) - _ratio(np.abs(a - b) * np.sign(a), s**2)


def braycurtis(x: Array, y: Array) -> Array:
    """Σ |x - y| / Σ |x + y|, 0 / 0 = 0."""
    a, b = _pairs(x, y)
    return _ratio(np.abs(a - b).sum(-1), np.abs(a + b).sum(-1))


def braycurtis_slope(x: Array, y: Array) -> Array:
    """(sign(x - y) - distance sign(x + y)) / Σ |x + y|."""
    a, b = _pairs(x, y)
    distance = braycurtis(x, y)
    slope = np.sign(a - b) - distance[..., None] * np.sign(a + b)
    return _where_apart(_ratio(slope, np.abs(a + b).sum(-1, keepdims=True)), distance)


def hamming(x: Array, y: Array) -> Array:
    """Share of the features that differ."""
    a, b = _pairs(x, y)
    return _ratio((a != b).sum(-1), x.shape[-1])


def jaccard(x: Array, y: Array) -> Array:
    """Share of the features that are 0 in one row only, of those that are not 0 in both; 0 / 0 = 0."""
    a, b = _pairs(x != 0, y != 0)
    return _ratio((a ^ b).sum(-1), (a | b).sum(-1))


def _divergence(p: Array, q: Array) -> Array:
    """Terms p log(p / m) of the middle m = (p + q) / 2."""
    return times(p, np.log(_ratio(2 * p, p + q)))


def _shares(rows: Array) -> Array:
    return _ratio(rows, rows.sum(-1, keepdims=True))


def jensenshannon(x: Array, y: Array) -> Array:
    """√ of the mean of Σ p log(p / m) and Σ q log(q / m): p, q rows scaled to add up to 1, m their mean."""
    p, q = _pairs(_shares(x), _shares(y))
    return np.asarray(np.sqrt(np.maximum((_divergence(p, q) + _divergence(q, p)).sum(-1) / 2, 0.0)))


def jensenshannon_slope(x: Array, y: Array) -> Array:
    """(g - Σ g p) / Σ x, g = log(p / m) / (4 distance): -∞ where p = 0 < q, 0 where both are 0."""
    p, q = _pairs(_shares(x), _shares(y))
    distance = jensenshannon(x, y)
    g = np.where((p == 0) & (q == 0), 0.0, np.log(_ratio(2 * p, p + q)))
    g = _where_apart(_ratio(g, 4 * distance[..., None]), distance)
    return _ratio(g - times(p, g).sum(-1, keepdims=True), x.sum(-1)[:, None, None])


def mahalanobis(x: Array, y: Array, VI: Array) -> Array:
    """√ ((x - y) VI (x - y))."""
    r = _differences(x, y)
    return np.asarray(np.sqrt(np.maximum(((r @ VI) * r).sum(-1), 0.0)))


def mahalanobis_slope(x: Array, y: Array, VI: Array) -> Array:
    """VI (x - y) / distance."""
    return _ratio(_differences(x, y) @ VI, mahalanobis(x, y, VI)[..., None])


def _haversine(x: Array, y: Array) -> tuple[Array, Array]:
    """Return hav of the central angle, and that of the difference of longitudes."""
    a, b = _pairs(x, y)
    latitudes, longitudes = np.moveaxis(np.sin((a - b) / 2) ** 2, -1, 0)
    return np.minimum(latitudes + np.cos(a[..., 0]) * np.cos(b[..., 0]) * longitudes, 1.0), longitudes


def haversine(x: Array, y: Array) -> Array:
    """2 arcsin √h, h = hav(Δ latitude) + cos cos hav(Δ longitude), hav(t) = sin²(t/2) (scikit-learn's haversine)."""
    return 2 * np.arcsin(np.sqrt(_haversine(x, y)[0]))


def haversine_slope(x: Array, y: Array) -> Array:
    """Slope of h by latitude and longitude, divided by √(h (1 - h)); 0 between antipodes."""
    h, longitudes = _haversine(x, y)
    a, b = _pairs(x, y)
    latitude, other, (turn, along) = a[..., 0], b[..., 0], np.moveaxis(a - b, -1, 0)
    by_latitude = np.sin(turn) / 2 - np.sin(latitude) * np.cos(other) * longitudes
    by_longitude = np.cos(latitude) * np.cos(other) * np.sin(along) / 2
    steepness = np.sqrt(h * (1 - h))[..., None]
    slope = np.stack([by_latitude, by_longitude], -1)
    return np.where(steepness == 0, 0.0, slope / np.where(steepness == 0, 1.0, steepness))


def inverse_covariance(*rows: Array) -> Array:
    """Return the inverse of the covariance of the features over all rows."""
    return np.linalg.pinv(np.atleast_2d(np.cov(np.concatenate(rows).T)), hermitian=True)


def _prepare(
    x: ArrayLike, y: ArrayLike | None, metric: str, p: float | None, VI: ArrayLike | None
) -> tuple[Array, Array, dict[str, Any]]:
    """Return both sets of rows in float64, and what the metric takes beside them."""
    x = np.asarray(x, np.float64)
    others = x if y is None else np.asarray(y, np.float64)
    if metric == "minkowski":
        return x, others, {"p": 2.0 if p is None else p}
    if metric == "mahalanobis":
        default = [x] if y is None else [x, others]
        return x, others, {"VI": inverse_covariance(*default) if VI is None else np.asarray(VI, np.float64)}
    return x, others, {}


def pairwise(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    p: float | None = None,
    VI: ArrayLike | None = None,
) -> Array:
    """Return all distances, (n, m); without `y` those of `x` to itself, 0 on the diagonal but for "inner"."""
    a, b, parameters = _prepare(x, y, metric, p, VI)
    with np.errstate(all="ignore"):
        distances: Array = globals()[metric](a, b, **parameters)
    if y is None and metric != "inner":
        np.fill_diagonal(distances, 0.0)
    return distances


def slopes(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    p: float | None = None,
    VI: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Return the derivatives of distance (i, j) by x[i], at [i, j], and by y[j], at [j, i]."""
    a, b, parameters = _prepare(x, y, metric, p, VI)
    slope = globals()[f"{metric}_slope"]
    with np.errstate(all="ignore"):
        by_x, by_y = np.array(slope(a, b, **parameters)), np.array(slope(b, a, **parameters))
    if y is None and metric != "inner":
        for each in (by_x, by_y):
            each[np.arange(len(a)), np.arange(len(a))] = 0.0
    return by_x, by_y


def pairwise_vjp(
    cotangent: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    p: float | None = None,
    VI: ArrayLike | None = None,
) -> Array | tuple[Array, Array]:
    """Return Σ cotangent slope by x and by y, without `y` the sum of both.

    A pair of cotangent 0 is left out.
    """
    by_x, by_y = slopes(x, y, metric, p, VI)
    c = np.asarray(cotangent, np.float64)
    with np.errstate(all="ignore"):
        grad_x, grad_y = times(c[:, :, None], by_x).sum(1), times(c.T[:, :, None], by_y).sum(1)
        return grad_x + grad_y if y is None else (grad_x, grad_y)
