"""Means over groups of samples, and the verbs of losses made of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._arguments import (
    Array,
    ArrayLike,
    Operand,
    as_array,
    as_groups,
    bad_group,
    bad_label,
    check_out,
    check_out_apart,
    check_shape,
    is_integer,
    is_weak,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import GRAD, Call, empty, maybe
from ._loss import Loss

WEIGHTED, SQUARE = 0, 1
"""What is added up in each cell; C++'s enum Summand."""

Cells: TypeAlias = tuple[Operand, int, Operand | None, int]
"""Groups and their number, classes and theirs."""

Numbers: TypeAlias = NDArray[np.float64]


def numbered(groups: Array, threads: int) -> tuple[Array, int]:
    """Return the groups, numbered anew if negative or far apart, and how many numbers there are."""
    if not groups.size:
        return groups, 0
    least, most = kernels.group_range(operand(groups), threads)
    if least < 0 or most >= max(4 * groups.size, 256):
        names, places = np.unique(groups, return_inverse=True)
        return places.reshape(groups.shape), len(names)
    return groups, most + 1


class Means:
    """The weighted mean of the values of each group, or of each group within each of two classes."""

    def __init__(
        self,
        values: ArrayLike,
        groups: ArrayLike,
        weight: ArrayLike,
        *,
        name: str,
        target: ArrayLike = None,
        count: int | None = None,
    ) -> None:
        call = Call(GRAD, "sum", None)
        self._values = as_array(values, name)
        shape = self._values.shape
        members = as_groups(groups, "groups", shape, name)
        if count is None:
            members, count = numbered(members, call.threads)
        classes = None
        if target is not None:
            classes = as_array(target, "target")
            if not is_integer(classes) and classes.dtype != np.bool_:
                raise TypeError(f"target: got dtype {classes.dtype}, wanted bool or integers, 0 or 1")
            check_shape(classes, "target", shape, f"a class for each element of {name}")
        self._weights, _ = call.weights(weight, shape, name)
        self._threads = call.threads
        self._numbers = {"groups": members} | ({} if classes is None else {"target": classes})
        self._cells: Cells = operand(members), count, maybe(classes), 1 if classes is None else 2
        weighing = [] if self._weights is None or is_weak(weight) else [self._weights]
        first, sums = kernels.group_sums(
            values=operand(self._values),
            cells=self._cells,
            weight=maybe(self._weights),
            summand=WEIGHTED,
            scale=1.0,
            float64=needs_float64([self._values, *weighing]),
            threads=call.threads,
        )
        if first is not None:
            if not 0 <= members.flat[first] < count:
                raise bad_group(members, first, count)
            assert classes is not None
            raise bad_label(classes, shape, first, 2)
        self.sums, self.weights = np.moveaxis(sums.reshape(self._cells[3], count, 2), 2, 0)
        self.means: Numbers = np.divide(self.sums, self.weights, out=np.zeros_like(self.sums), where=self.weights > 0.0)

    def gradient(self, slopes: Numbers, out: object) -> Array:
        """Return the gradient by the values, given that by each mean."""
        inputs = {"the values": self._values} | ({} if self._weights is None else {"weight": self._weights})
        shape, dtype = self._values.shape, result_dtype(self._values)
        if out is None:
            grad = empty(shape, dtype)
        else:
            grad = check_out(out, "out", shape, dtype, inputs)
            check_out_apart(grad, "out", shape, dtype, self._numbers)
        each = np.divide(slopes, self.weights, out=np.zeros_like(slopes), where=self.weights > 0.0)
        kernels.group_spread(
            cells=self._cells,
            factor=maybe(self._weights),
            slope=each.ravel(),
            bend=np.zeros(each.size),
            grad=operand(grad),
            hess=None,
            threads=self._threads,
        )
        return grad


class GroupLoss(Loss):
    """A loss of the means of groups of samples."""

    @classmethod
    def _check_kernel(cls) -> None:
        """Accept it without one of its name: its kernel is that of all sums over groups."""

    @abstractmethod
    def _of_means(self, means: Means) -> tuple[float, Numbers]:
        """Return the value and its gradient by the means."""

    def _result(self, means: Means, wants_grad: bool, out: object) -> Any:
        value, slopes = self._of_means(means)
        return (value, means.gradient(slopes, out)) if wants_grad else value


class OfSampleLosses(GroupLoss):
    """A loss of the losses of samples."""

    @property
    def _count(self) -> int | None:
        """Number of groups, None if the groups themselves tell."""
        return None

    def _means(self, losses: ArrayLike, groups: ArrayLike, weight: ArrayLike) -> Means:
        return Means(losses, groups, weight, name="losses", count=self._count)

    def __call__(self, losses: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None) -> float:
        """Compute the loss.

        Parameters
        ----------
        losses : array_like
            The loss of each sample, as any loss gives it with ``reduction="none"``; of any shape; float32, float64,
            float16 or bfloat16 (integers and bool count as float64).
        groups : array_like of any integer dtype
            The group of each sample; of the same shape.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `losses`; the means are weighted. Weight 0 leaves a sample out, even if
            its loss is NaN.

        Returns
        -------
        float
            One number, added up in float64; 0 of no samples.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._result(self._means(losses, groups, weight), False, None)  # type: ignore[no-any-return]

    def value_and_grad(
        self, losses: ArrayLike, groups: ArrayLike, *, weight: ArrayLike = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Compute the loss and its gradient by the losses of the samples.

        That gradient is the `weight` with which a loss of predictions, called with ``reduction="sum"``, gives the
        gradient of this loss by the predictions.

        Parameters
        ----------
        losses, groups, weight
            As for the call.
        out : ndarray, optional
            Takes the gradient: of the dtype and shape of `losses`, and may be `losses` itself.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray
            Dtype and shape of `losses`.
        """
        return self._result(self._means(losses, groups, weight), True, out)  # type: ignore[no-any-return]
