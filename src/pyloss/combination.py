"""Gradients of several tasks made one, of which none is harmed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._arguments import (
    Array,
    ArrayLike,
    as_array,
    as_seed,
    check_out,
    check_shape,
    common_dtype,
    needs_float64,
    operand,
)
from ._native import kernels
from .losses._call import empty
from .threads import get_num_threads

__all__ = ["min_norm_gradient", "pcgrad"]

Numbers = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)


class _Tasks:
    """The gradients of some tasks, all of one shape."""

    def __init__(self, grads: ArrayLike, out: object) -> None:
        if isinstance(grads, (list, tuple)):
            self.arrays = [as_array(each, f"grads[{i}]") for i, each in enumerate(grads)]
        else:
            stacked = as_array(grads, "grads")
            if stacked.ndim < 2:
                raise ValueError(f"grads: got shape {stacked.shape}, wanted (tasks, ...), a gradient for each task")
            self.arrays = list(stacked)
        if not self.arrays:
            raise ValueError("grads: got none, wanted a gradient for each task")
        first = self.arrays[0]
        for i, array in enumerate(self.arrays):
            if array.ndim < 1:
                raise ValueError(f"grads[{i}]: got a single number, wanted an array, the gradient of a task")
            check_shape(array, f"grads[{i}]", first.shape, "the shape of grads[0]")
        dtype = common_dtype(self.arrays)
        self._rows = [operand(array) for array in self.arrays]
        self._threads = get_num_threads()
        if out is None:
            self._out = empty(first.shape, dtype)
        else:
            inputs = {f"grads[{i}]": array for i, array in enumerate(self.arrays)}
            self._out = check_out(out, "out", first.shape, dtype, inputs)

    def inner_products(self) -> Numbers:
        """Return the inner products of all with all, up to a common factor."""
        products = kernels.inner_products(self._rows, 1.0, self._threads)
        largest = products.diagonal().max()
        # Squares of float64 may leave its range where the numbers do not.
        if needs_float64(self.arrays) and not 2.0**-900 <= largest < np.inf:
            products = kernels.inner_products(self._rows, 2.0 ** (600 if largest < 1.0 else -600), self._threads)
        bad = ~np.isfinite(products.diagonal())
        if bad.any():
            raise ValueError(f"grads[{int(np.argmax(bad))}]: got NaN or infinity, wanted finite numbers")
        return products

    def combined(self, coefficients: Numbers) -> Array:
        kernels.combine(self._rows, coefficients.tolist(), operand(self._out), self._threads)
        return self._out


def _nearest_of_affine_hull(products: Numbers) -> Numbers:
    """Return the coefficients, of sum 1, of the point nearest to the origin among all affine combinations."""
    # In units of their lengths, so that the short among them count too. Two of one direction are no exception: their
    # lengths differ.
    lengths = np.sqrt(products.diagonal())
    shares = lengths.min() / lengths
    count = len(lengths)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = products / np.outer(lengths, lengths)
    system[:count, count] = system[count, :count] = shares
    wanted = np.append(np.zeros(count), 1.0)
    try:
        solution = np.linalg.solve(system, wanted)
    except np.linalg.LinAlgError:
        solution = np.linalg.lstsq(system, wanted, rcond=None)[0]
    coefficients = solution[:count] * shares
    return np.asarray(coefficients / coefficients.sum())


def _nearest_of_convex_hull(products: Numbers) -> Numbers:
    """Return the coefficients of the point nearest to the origin (Wolfe 1976), given all inner products.

    The active points are affinely independent, and the current point is the nearest of their affine hull. As long as
    some point lies before the plane through the current one, it comes in, and those whose coefficients would turn
    negative go out: the distance falls each time, so that no set of points comes twice.
    """
    count = len(products)
    lengths = np.sqrt(products.diagonal())
    start = int(np.argmin(lengths))
    coefficients = np.zeros(count)
    coefficients[start] = 1.0
    if lengths[start] == 0.0:
        return coefficients
    active = [start]
    square = products[start, start]
    while True:
        along = products @ coefficients
        # What rounding may have made of the differences.
        reach = float(lengths @ coefficients)
        slack = 4 * count * _EPS * reach * (lengths + reach)
        gap = along - square + slack
        gap[active] = 0.0
        entering = int(np.argmin(gap))
        if gap[entering] >= 0.0:
            return coefficients
        before = coefficients.copy()
        active.append(entering)
        while True:
            wanted = _nearest_of_affine_hull(products[np.ix_(active, active)])
            leaving = wanted <= 0.0
            if not leaving.any():
                coefficients[active] = wanted
                break
            now = coefficients[active]
            steps = now[leaving] / (now[leaving] - wanted[leaving])
            moved = now + steps.min() * (wanted - now)
            moved[np.flatnonzero(leaving)[np.argmin(steps)]] = 0.0
            moved = np.maximum(moved, 0.0)
            coefficients[active] = moved / moved.sum()
            active = [task for task in active if coefficients[task] > 0.0]
        fallen = float(coefficients @ products @ coefficients)
        if not fallen < square:  # as near as rounding allows
            return before
        square = fallen


def min_norm_gradient(grads: ArrayLike, *, out: Array | None = None) -> tuple[Array, Numbers]:
    r"""Shortest convex combination of the gradients of several tasks: a direction in which no task's loss rises.

    .. math:: \min_{c \ge 0,\ \sum c = 1} \Big\| \sum_k c_k g_k \Big\|_2

    The multiple-gradient descent algorithm (MGDA). The result g has :math:`g \cdot g_k \ge \|g\|^2` for every task; it
    is 0 exactly where no direction helps all of them. The solution is exact for any number of tasks, by Wolfe's
    algorithm on the inner products, which are taken in one pass over memory, in float64; the combination is another.

    Parameters
    ----------
    grads : array_like, shape (tasks, ...), or sequence of array_like of one shape
        The gradient of each task; float32, float64, float16, bfloat16, integers or bool.
    out : ndarray, optional
        Takes the combined gradient; may be one of `grads`.

    Returns
    -------
    gradient : ndarray
        Of the shape of one gradient and their common dtype (float64 for integers and bool).
    coefficients : ndarray of float64, shape (tasks,)
        At least 0, of sum 1. Where several combinations are shortest, one of them.

    Raises
    ------
    TypeError, ValueError
        For no gradients, gradients of different shapes, or with NaN or infinity.

    References
    ----------
    Désidéri, Multiple-Gradient Descent Algorithm, 2012; Sener and Koltun, Multi-Task Learning as Multi-Objective
    Optimization, 2018; Wolfe, Finding the Nearest Point in a Polytope, 1976

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.min_norm_gradient([[2.0, 0.0], [0.0, 1.0]])
    (array([0.4, 0.8]), array([0.2, 0.8]))
    """
    tasks = _Tasks(grads, out)
    coefficients = _nearest_of_convex_hull(tasks.inner_products())
    return tasks.combined(coefficients), coefficients


def pcgrad(grads: ArrayLike, *, seed: int = 0, out: Array | None = None) -> tuple[Array, Numbers]:
    r"""Sum of the gradients of several tasks after each has lost what conflicts with the others (projecting conflicts).

    .. math:: \sum_i v_i, \qquad
        v_i \leftarrow v_i - \frac{v_i \cdot g_j}{\|g_j\|^2} g_j \ \text{ if } v_i \cdot g_j < 0,
        \ \text{ for all } j \ne i \text{ in random order, from } v_i = g_i

    Every :math:`v_i` is a combination of the gradients, and so is found from their inner products alone, which are
    taken in one pass over memory, in float64; the sum is another.

    Parameters
    ----------
    grads : array_like, shape (tasks, ...), or sequence of array_like of one shape
        The gradient of each task; float32, float64, float16, bfloat16, integers or bool.
    seed : int, default 0
        Of the orders: task i meets the others in the order of call i of
        ``numpy.random.default_rng(seed).permutation(tasks)``.
    out : ndarray, optional
        Takes the combined gradient; may be one of `grads`.

    Returns
    -------
    gradient : ndarray
        Of the shape of one gradient and their common dtype (float64 for integers and bool).
    coefficients : ndarray of float64, shape (tasks,)
        Those of `grads` in the sum.

    Raises
    ------
    TypeError, ValueError
        For no gradients, gradients of different shapes, or with NaN or infinity; for a seed that is none.

    References
    ----------
    Yu et al., Gradient Surgery for Multi-Task Learning, 2020

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.pcgrad([[1.0, 0.0], [-1.0, 1.0]])
    (array([0.5, 1.5]), array([2. , 1.5]))
    """
    generator = np.random.default_rng(as_seed(seed))
    tasks = _Tasks(grads, out)
    products = tasks.inner_products()
    count = len(products)
    total = np.zeros(count)
    for task in range(count):
        own = np.zeros(count)
        own[task] = 1.0
        for other in generator.permutation(count):
            along = own @ products[:, other]
            if other != task and along < 0.0:
                own[other] -= along / products[other, other]
        total += own
    return tasks.combined(total), total
