"""The steps that calls of every engine share: outputs, reduction, weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    Operand,
    as_array,
    bad_weight,
    check_broadcast,
    check_fits,
    check_out,
    check_out_apart,
    check_reduction,
    operand,
)
from .._native import kernels
from ..threads import get_num_threads

VALUE, GRAD, HESS = 0, 1, 2
"""What is wanted, each with all before it; C++'s enum Want."""

# Beyond this many bytes the kernels stream results past the caches, which wants memory aligned to a cache line.
_LARGE = 8 << 20
_LINE = 64


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array to be filled, aligned to cache lines if large."""
    count = math.prod(shape) * dtype.itemsize
    if count < _LARGE:
        return np.empty(shape, dtype)
    raw = np.empty(count + _LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % _LINE
    return raw[start : start + count].view(dtype).reshape(shape)


def matrix(out: Array | None, shape: tuple[int, int], dtype: np.dtype[Any], inputs: dict[str, Array]) -> Array:
    """Return `out`, checked, or a new matrix if it fits in memory."""
    if out is None:
        check_fits(shape, dtype)
        return empty(shape, dtype)
    check_out_apart(out, "out", shape, dtype, inputs)
    return out


class Call:
    """One call: what is wanted of it, and what has been checked so far."""

    def __init__(self, want: int, reduction: object, out: object) -> None:
        check_reduction(reduction)
        self.want = want
        self.reduction = reduction
        self.threads = get_num_threads()
        self._out: Any = out
        if want == HESS and out is not None and not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"out: got {type(out).__name__}, wanted a tuple of two arrays, for gradient and Hessian")
        if want == VALUE and out is not None and reduction != "none":
            raise ValueError(f"out: got an array with reduction={reduction!r}, wanted None: the result is one number")

    def outputs(
        self, shape: tuple[int, ...], value_shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Array]
    ) -> tuple[Array | None, Array | None, Array | None]:
        """Return arrays for values, gradient and Hessian, the caller's where given; None for what is not wanted."""
        value, grads, hesses = self.joint_outputs({"pred": (shape, dtype)}, value_shape, dtype, inputs)
        return value, grads[0] if grads else None, hesses[0] if hesses else None

    def joint_outputs(
        self,
        by: dict[str, tuple[tuple[int, ...], np.dtype[Any]]],
        value_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        inputs: dict[str, Array],
    ) -> tuple[Array | None, list[Array], list[Array]]:
        """Return arrays for values, and for gradients and Hessians by inputs of these shapes and types."""
        value = None
        derivatives: list[list[Array]] = [[], []]
        if self._out is not None and self.want == VALUE:
            value = check_out(self._out, "out", value_shape, dtype, inputs)
        elif self._out is not None:
            given = [("out", self._out)] if self.want == GRAD else [("out[0]", self._out[0]), ("out[1]", self._out[1])]
            named = [_each(out, name, list(by)) for name, out in given]
            for arrays, kind in zip(named, derivatives, strict=False):
                for (name, out), (shape, of_type) in zip(arrays, by.values(), strict=True):
                    kind.append(check_out(out, name, shape, of_type, inputs))
            every = [out for kind in derivatives for out in kind]
            if any(np.may_share_memory(a, b) for a, b in combinations(every, 2)):
                count = "two" if len(every) == 2 else str(len(every))
                raise ValueError(f"out: got {count} arrays that overlap, wanted separate ones for each result")
        if value is None and self.reduction == "none":
            value = empty(value_shape, dtype)
        for kind in derivatives[: self.want]:
            if not kind:
                kind.extend(empty(shape, of_type) for shape, of_type in by.values())
        return value, derivatives[0], derivatives[1]

    def weights(self, weight: ArrayLike, shape: tuple[int, ...], of: str) -> tuple[Array | None, float]:
        """Return the weights, checked, and the sum of them over `shape`."""
        count = math.prod(shape)
        if weight is None:
            return None, float(count)
        array = as_array(weight, "weight")
        check_broadcast(array, "weight", shape, of)
        first, total = kernels.check_weights(operand(array), shape, self.threads)
        if first is not None:
            raise bad_weight(array, shape, first)
        return array, total

    def scale(self, coefficient: float, total: float) -> float:
        """Return the factor of a term whose weights add up to `total`; of nothing, the mean is 0."""
        if self.reduction != "mean":
            return coefficient
        return coefficient / total if total > 0.0 else 0.0

    def result(
        self, sums: list[float], scales: list[float], value: Array | None, grad: object, hess: object
    ) -> tuple[Any, ...]:
        """Return the value, then the derivatives wanted."""
        reduced = sum(scale * total for scale, total in zip(scales, sums, strict=True)) if value is None else value
        return (reduced, grad, hess)[: self.want + 1]


class EachTerm(Call):
    """A call for the values of the terms of a sum, one by one."""

    def __init__(self, reduction: object) -> None:
        super().__init__(VALUE, reduction, None)
        if reduction == "none":
            raise ValueError("reduction: got 'none', wanted 'mean' or 'sum'")

    def result(
        self, sums: list[float], scales: list[float], value: Array | None, grad: object, hess: object
    ) -> tuple[Any, ...]:
        """Return the value of each term."""
        return tuple(scale * total for scale, total in zip(scales, sums, strict=True))


def _each(out: Any, name: str, by: list[str]) -> list[tuple[str, Any]]:
    """Return the arrays of an `out` for derivatives by these inputs, and what to call them."""
    if len(by) == 1:
        return [(name, out)]
    if not isinstance(out, tuple) or len(out) != len(by):
        raise TypeError(f"{name}: got {type(out).__name__}, wanted a tuple of {len(by)} arrays, for {' and '.join(by)}")
    return [(f"{name}[{i}]", each) for i, each in enumerate(out)]


def broadcast(array: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast to `shape`; an array that has it stays writeable."""
    return array if array.shape == shape else np.broadcast_to(array, shape)


def turner(first: Array) -> Callable[[Array], Array]:
    """Return what turns the axes of arrays so that those of `first` go from the widest stride to the narrowest.

    Kernels walk all operands in C order: one that is laid out otherwise turns the others, which broadcast to it.
    """
    strides = [abs(stride) for stride in first.strides]
    order = sorted(range(first.ndim), key=lambda axis: -strides[axis] if strides[axis] else 1)
    if first.flags.c_contiguous or order == list(range(first.ndim)):
        return lambda array: array
    return lambda array: broadcast(array, first.shape).transpose(order)


def maybe(array: Array | None) -> Operand | None:
    """Return the operand for C++, None for None."""
    return None if array is None else operand(array)
