"""Distances between rows: all pairs, given pairs, the nearest, those within a radius, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._arguments import (
    POSITIVE,
    REAL,
    Array,
    ArrayLike,
    as_rows,
    check_choice,
    check_counted,
    check_quadratic_form,
    check_shape,
    common_dtype,
    distribution_rows,
    needs_float64,
    number_or_infinity,
    operand,
    result_dtype,
)
from ._native import kernels
from .losses._call import matrix
from .threads import get_num_threads

__all__ = ["METRICS", "Neighbours", "nearest", "paired", "pairwise", "pairwise_vjp", "within"]

METRICS = (
    "euclidean",
    "sqeuclidean",
    "cosine",
    "inner",
    "manhattan",
    "chebyshev",
    "minkowski",
    "canberra",
    "braycurtis",
    "correlation",
    "hamming",
    "jaccard",
    "jensenshannon",
    "mahalanobis",
    "haversine",
)
"""Names of the metrics."""

_NOT_DIFFERENTIABLE = ("hamming", "jaccard")

Rows = NDArray[Any]


class Neighbours(NamedTuple):
    """Result of `within`, in the layout of a compressed sparse row matrix.

    Row ``i`` of `x` has the neighbours ``indices[indptr[i]:indptr[i + 1]]``, in rising order, at the distances in the
    same places of `distances`. ``scipy.sparse.csr_array((distances, indices, indptr))`` is that matrix.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    distances: Array


@dataclass(frozen=True)
class _Job:
    """A call as the kernels take it: rows side by side, and the metric of these rows."""

    metric: tuple[str, float]
    x: Rows
    y: Rows
    itself: bool
    float64: bool

    @property
    def of_rows(self) -> tuple[tuple[str, float], Rows, Rows]:
        return self.metric, self.x, self.y


def _centred(rows: Rows) -> Rows:
    """Return rows less their own means, in float64."""
    rows = np.asarray(rows, np.float64)
    if not rows.shape[1]:
        return rows
    # The rounded mean of equal numbers need not be that number.
    constant = (rows == rows[:, :1]).all(axis=1, keepdims=True)
    return np.where(constant, 0.0, rows - rows.mean(axis=1, keepdims=True))


def _on_sphere(rows: Rows) -> Rows:
    """Return points on the unit sphere of latitudes and longitudes."""
    latitude, longitude = np.asarray(rows, np.float64).T
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


def _along_sphere(rows: Rows, grad: Rows) -> Rows:
    """Return gradients by latitude and longitude of gradients by points on the unit sphere."""
    latitude, longitude = np.asarray(rows, np.float64).T
    south, north = np.sin(latitude), np.cos(latitude)
    east = np.column_stack([-north * np.sin(longitude), north * np.cos(longitude), np.zeros(len(rows))])
    up = np.column_stack([-south * np.cos(longitude), -south * np.sin(longitude), north])
    along = np.column_stack([np.einsum("ik,ik->i", grad, each) for each in (up, east)])
    return np.where(grad.any(axis=1, keepdims=True), along, 0.0)


def _times(rows: Rows, matrix: Rows) -> Rows:
    """Return rows @ matrix, each row's product whatever rows are beside it."""
    product = np.empty((len(rows), matrix.shape[1]))
    transposed = np.ascontiguousarray(matrix.T)
    kernels.pairwise(("inner", 0.0), rows, transposed, False, True, operand(product), get_num_threads())
    return product


def _middle(rows: Rows) -> Rows:
    """Return the mean of the finite rows."""
    finite = rows[np.isfinite(rows).all(axis=1)]
    return np.asarray(finite.mean(axis=0, dtype=np.float64) if len(finite) else np.zeros(rows.shape[1]))


@np.errstate(over="ignore", invalid="ignore")
def _narrowed(numbers: Array, dtype: np.dtype[Any]) -> Array:
    """Return `numbers` in the type of the result, which may round them to infinity."""
    return numbers.astype(dtype, copy=False)


@np.errstate(over="ignore", invalid="ignore")
def _job(x: Array, y: Array | None, metric: str, p: float | None, VI: ArrayLike) -> tuple[_Job, Rows | None]:
    """Return what the kernels are to do and, for mahalanobis, the matrix that was applied to the rows."""
    check_choice(metric, "metric", METRICS)
    if p is not None and metric != "minkowski":
        raise ValueError(f"p: got {p!r} with metric={metric!r}, wanted it with 'minkowski' only")
    if VI is not None and metric != "mahalanobis":
        raise ValueError(f"VI: got an array with metric={metric!r}, wanted it with 'mahalanobis' only")
    itself = y is None
    float64 = needs_float64([x] if y is None else [x, y])
    dtype = np.dtype(np.float64 if float64 else np.float32)
    applied: Rows | None = None
    parameter = 0.0
    kernel = metric

    def plain(rows: Array) -> Rows:
        return np.ascontiguousarray(rows, dtype)

    rows_x = plain(x)
    rows_y = rows_x if y is None else plain(y)
    if metric == "minkowski":
        parameter = 2.0 if p is None else number_or_infinity(p, "p", POSITIVE)
        special = {1.0: "manhattan", 2.0: "euclidean", np.inf: "chebyshev"}
        kernel = special.get(parameter, metric)
        if kernel == metric:
            # Powers leave the range of float32 soon.
            float64 = True
            rows_x, rows_y = np.asarray(rows_x, np.float64), np.asarray(rows_y, np.float64)
    elif metric in ("cosine", "correlation"):
        # Half the squared distance of unit rows; rows of zeros point in a direction of their own.
        centred, threads = metric == "correlation", get_num_threads()
        rows_x = kernels.directions(rows_x, centred, threads)
        rows_y = rows_x if itself else kernels.directions(rows_y, centred, threads)
        kernel = "half_square"
    elif metric == "jensenshannon":
        rows_x = distribution_rows(rows_x, "x")
        rows_y = rows_x if itself else distribution_rows(rows_y, "y")
    elif metric == "mahalanobis":
        both = rows_x if itself else np.concatenate([rows_x, rows_y])
        applied = check_quadratic_form(VI, "VI", both)
        middle = _middle(rows_y)
        rows_x = _times(rows_x - middle, applied)
        rows_y = rows_x if itself else _times(rows_y - middle, applied)
        kernel = "euclidean"
    elif metric == "haversine":
        check_shape(x, "x", (x.shape[0], 2), "latitudes and longitudes in radians")
        rows_x = _on_sphere(rows_x)
        rows_y = rows_x if itself else _on_sphere(rows_y)
        kernel = "arc"
    rows_x = np.ascontiguousarray(rows_x)
    rows_y = rows_x if itself else np.ascontiguousarray(rows_y)
    return _Job((kernel, parameter), rows_x, rows_y, itself, float64), applied


def _inputs(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array | None, np.dtype[Any]]:
    """Return x and y, checked, and the type of their distances."""
    x = as_rows(x, "x")
    if y is None:
        return x, None, result_dtype(x)
    y = as_rows(y, "y", width=x.shape[1], of="x")
    return x, y, common_dtype([x, y])


def pairwise(
    x: ArrayLike,
    y: ArrayLike = None,
    metric: str = "euclidean",
    *,
    p: float | None = None,
    VI: ArrayLike = None,
    out: Array | None = None,
) -> Array:
    r"""Distances between all rows of `x` and all rows of `y`.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Rows of float32, float64, float16, bfloat16, integers or bool.
    y : array_like, shape (m, d), optional
        By default `x` itself: then the result is exactly symmetric, its diagonal exactly 0 (but for "inner"), and it
        takes half the work.
    metric : str, default "euclidean"
        One of ``pyloss.distances.METRICS``. "inner" is the inner product, a similarity; the others are as SciPy
        defines them, with 0 instead of NaN where two rows of zeros are compared, and 1 as the cosine and correlation
        distance of a row without a direction from one that has one. "haversine" takes rows of latitude and longitude
        in radians; "jaccard" takes numbers other than 0 for True.
    p : float, default 2
        Of "minkowski": any number above 0, infinity too.
    VI : array_like, shape (d, d), optional
        Of "mahalanobis": the inverse covariance, symmetric and positive semi-definite. By default the inverse of the
        covariance of all rows of `x` and `y`.
    out : ndarray, shape (n, m), optional
        Where the distances go; any strides. A larger matrix than memory holds can be made in chunks of rows of a
        memory-mapped `out`.

    Returns
    -------
    ndarray, shape (n, m)
        `out`, or a new array of the wider type of `x` and `y` (float64 for integers and bool).

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit each other.
    MemoryError
        A new result that would not fit in memory, before it is allocated.

    Notes
    -----
    .. math:: |x - y|^2 = |x|^2 + |y|^2 - 2 x \cdot y

    loses all digits where the points are near each other and far from 0. Here it is taken about a common centre, and
    where it might still have lost digits the distance is computed again from the differences: relative errors of
    "euclidean" stay below 1e-6 for float32 and 1e-14 for float64, those of "sqeuclidean" below twice that. A row of
    `x` has the same distances whatever other rows `x` has, and for any number of threads.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.pairwise([[0.0, 0.0], [3.0, 4.0]])
    array([[0., 5.],
           [5., 0.]])
    >>> pl.pairwise([[0.0, 0.0]], [[3.0, 4.0], [1.0, 1.0]], metric="manhattan")
    array([[7., 2.]])
    """
    x, y, dtype = _inputs(x, y)
    job, _ = _job(x, y, metric, p, VI)
    shape = (len(x), len(x) if y is None else len(y))
    out = matrix(out, shape, dtype, {"x": x} if y is None else {"x": x, "y": y})
    kernels.pairwise(*job.of_rows, job.itself, job.float64, operand(out), get_num_threads())
    return out


def paired(
    x: ArrayLike, y: ArrayLike, metric: str = "euclidean", *, p: float | None = None, VI: ArrayLike = None
) -> Array:
    """Distances between row i of `x` and row i of `y`.

    Parameters
    ----------
    x, y : array_like, shape (n, d)
        As in `pairwise`.
    metric, p, VI
        As in `pairwise`.

    Returns
    -------
    ndarray, shape (n,)
        Distances, computed from the differences of the features.

    Raises
    ------
    TypeError, ValueError
        For an unknown metric or its parameter out of range; for arguments of the wrong type or shape.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.paired([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]])
    array([5., 0.])
    """
    x, y, dtype = _inputs(x, as_rows(y, "y"))
    assert y is not None
    check_shape(y, "y", x.shape, "the shape of x")
    job, _ = _job(x, y, metric, p, VI)
    return _narrowed(kernels.paired(*job.of_rows, get_num_threads()), dtype)


def nearest(
    x: ArrayLike,
    y: ArrayLike = None,
    k: int = 1,
    metric: str = "euclidean",
    *,
    p: float | None = None,
    VI: ArrayLike = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Find the `k` rows of `y` nearest to each row of `x`; the matrix of distances is never stored.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Queries.
    y : array_like, shape (m, d), optional
        Where to look. By default `x` itself, each row itself left out.
    k : int, default 1
        How many, at most the number of rows to look in.
    metric, p, VI
        As in `pairwise`. With "inner" the nearest have the largest inner products.

    Returns
    -------
    distances : ndarray, shape (n, k)
        Rising (falling for "inner"), of the type that `pairwise` would have.
    indices : ndarray of int64, shape (n, k)
        Rows of `y`. Of equal distances the lower index comes first; a NaN comes last.

    Raises
    ------
    TypeError, ValueError
        For an unknown metric, a `k` below 1 or above the number of rows; for arguments of the wrong type or shape.

    Notes
    -----
    A fast bound rules out nearly all pairs; the rest are ranked by distances computed in float64 from the differences
    of the features.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.nearest([[0.0], [10.0]], [[1.0], [2.0], [9.0]], k=2)
    (array([[1., 2.],
           [1., 8.]]), array([[0, 1],
           [2, 1]]))
    """
    x, y, dtype = _inputs(x, y)
    available = len(x) - 1 if y is None else len(y)
    check_counted(k, "k", available, "rows to look in")
    job, _ = _job(x, y, metric, p, VI)
    distances, indices = kernels.nearest(*job.of_rows, job.itself, job.float64, int(k), get_num_threads())
    return _narrowed(distances, dtype), indices


def within(
    x: ArrayLike,
    y: ArrayLike,
    radius: float,
    metric: str = "euclidean",
    *,
    p: float | None = None,
    VI: ArrayLike = None,
) -> Neighbours:
    """Find all rows of `y` at most `radius` from each row of `x`; the matrix of distances is never stored.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Queries.
    y : array_like, shape (m, d), or None
        Where to look; None for `x` itself, each row itself left out.
    radius : float
        Largest distance that counts. With "inner" the smallest inner product that counts.
    metric, p, VI
        As in `pairwise`.

    Returns
    -------
    Neighbours
        ``indptr``, ``indices`` and ``distances`` of a compressed sparse row matrix.

    Raises
    ------
    TypeError, ValueError
        For an unknown metric, a radius that is NaN; for arguments of the wrong type or shape.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.within([[0.0], [10.0]], [[1.0], [2.0], [9.0]], radius=1.5)
    Neighbours(indptr=array([0, 1, 2]), indices=array([0, 2]), distances=array([1., 1.]))
    """
    x, y, dtype = _inputs(x, y)
    radius = number_or_infinity(radius, "radius", REAL)
    job, _ = _job(x, y, metric, p, VI)
    indptr, indices, distances = kernels.within(*job.of_rows, job.itself, job.float64, radius, get_num_threads())
    return Neighbours(indptr, indices, _narrowed(distances, dtype))


def pairwise_vjp(
    cotangent: ArrayLike,
    x: ArrayLike,
    y: ArrayLike = None,
    metric: str = "euclidean",
    *,
    p: float | None = None,
    VI: ArrayLike = None,
) -> Array | tuple[Array, Array]:
    r"""Vector-Jacobian product of `pairwise`: the gradients of a number that depends on the distances.

    Parameters
    ----------
    cotangent : array_like, shape (n, m)
        Derivative of that number by each distance. Read in pieces: it may be broadcast or strided. Where it is 0, the
        pair does not count at all.
    x, y, metric, p, VI
        As in `pairwise`, but for "hamming" and "jaccard", which have no derivatives. `VI` is a constant.

    Returns
    -------
    ndarray, shape (n, d), or a tuple of two, (n, d) and (m, d)
        :math:`\sum_j c_{ij}\, \partial d(x_i, y_j) / \partial x_i` and its counterpart for `y`; if `y` is None, one
        array, the sum of both. Each has the type of its input.

    Raises
    ------
    TypeError, ValueError
        For a metric that has no derivative; for arguments of the wrong type or shape.

    Notes
    -----
    At distance 0 the gradient is 0, never NaN, and so is that of an absolute value at 0. "chebyshev" shares it equally
    among the features that attain the maximum. That of "jensenshannon" by a probability of 0 is -inf where the other is
    not 0.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.pairwise_vjp([[1.0]], [[3.0, 4.0]], [[0.0, 0.0]])
    (array([[0.6, 0.8]]), array([[-0.6, -0.8]]))
    """
    x, y, _ = _inputs(x, y)
    shape = (len(x), len(x) if y is None else len(y))
    cotangent = as_rows(cotangent, "cotangent")
    check_shape(cotangent, "cotangent", shape, "an element for each pair")
    if metric in _NOT_DIFFERENTIABLE:
        raise TypeError(f"metric: {metric!r} has no derivative")
    job, applied = _job(x, y, metric, p, VI)
    kernel, rows_x, rows_y = job.of_rows
    if metric in ("cosine", "correlation"):
        dtype = np.float64 if job.float64 else np.float32
        prepare: Callable[[Array], Rows] = _centred if metric == "correlation" else np.asarray
        kernel = ("cosine", 0.0)
        rows_x = np.ascontiguousarray(prepare(x), dtype)
        rows_y = rows_x if y is None else np.ascontiguousarray(prepare(y), dtype)
    transposed = cotangent.T

    def gradient(mine: Rows, others: Rows, factors: Array, inputs: Array) -> Array:
        grad = kernels.pairwise_vjp(kernel, mine, others, operand(factors), get_num_threads())
        if metric == "correlation":
            grad = _centred(grad)
        elif metric == "mahalanobis":
            assert applied is not None
            grad = _times(grad, applied.T)
        elif metric == "haversine":
            grad = _along_sphere(inputs, grad)
        elif metric == "jensenshannon":
            total = np.asarray(inputs, np.float64).sum(axis=1, keepdims=True)
            weighed = np.multiply(grad, mine, out=np.zeros_like(grad), where=mine > 0)
            grad = (grad - weighed.sum(axis=1, keepdims=True)) / total
        return grad

    grad_x = gradient(rows_x, rows_y, cotangent, x)
    grad_y = gradient(rows_y, rows_x, transposed, x if y is None else y)
    if y is None:
        return _narrowed(grad_x + grad_y, result_dtype(x))
    return _narrowed(grad_x, result_dtype(x)), _narrowed(grad_y, result_dtype(y))
