"""The verbs of losses that turn one prediction and its target into one number."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    check_broadcast,
    check_choice,
    is_weak,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import Call, maybe
from ._loss import CURVATURES, PredictionLoss, show_sum


class Elementwise(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    _derived: ClassVar[int] = 0
    """How many numbers the class computes from its parameters for the kernel, behind them."""

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.elementwise_losses()
        if cls.name not in known:
            raise ImportError(
                f"{cls.__name__}: there is no elementwise kernel {cls.name!r}; the list in registry.hpp lacks it"
            )
        # The dataclass decorator has not run yet: fields still stand where they were declared.
        fields = [value.metadata for value in cls.__dict__.values() if isinstance(value, dataclasses.Field)]
        expected = (
            sum(field["kernel"] for field in fields) + cls._derived,
            len(cls.inputs) + sum(field["as_input"] is not None for field in fields),
            len(cls.gradients),
        )
        if known[cls.name] != expected:
            raise ImportError(
                f"{cls.__name__}: the kernel takes {known[cls.name]} parameters, inputs and gradients, "
                f"the class has {expected}"
            )

    @property
    def _parameters(self) -> list[float]:
        fields = [field for field in dataclasses.fields(self) if field.metadata.get("kernel")]  # type: ignore[arg-type]
        return [field.metadata["encode"](getattr(self, field.name)) for field in fields]

    def _surrogate(self, curvature: str) -> tuple[float, float]:
        """Return factor and floor of what stands for the second derivative."""
        return (1.0, -math.inf if curvature == "exact" else 0.0)

    @property
    def _own_inputs(self) -> list[float | tuple[float, ...]]:
        """Parameters that go to the kernel beside pred and target, because they may be arrays."""
        own = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            default = field.metadata.get("as_input")
            if default is not None:
                value = getattr(self, field.name)
                own.append(default if value is None else value)
        return own

    @cached_property
    def _plan(self) -> kernels.ElementwisePlan:
        terms = []
        for coefficient, loss in self._terms:
            assert isinstance(loss, Elementwise)
            own = loss._own_inputs
            constants = [each for each in own if isinstance(each, float)]
            terms.append((loss.name, loss._parameters, coefficient, constants if len(constants) == len(own) else None))
        return kernels.ElementwisePlan(terms)

    @cached_property
    def _small(self) -> Any:
        return self._plan.small

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return ElementwiseSum(terms)

    def _compute(
        self,
        want: int,
        inputs: tuple[ArrayLike, ...],
        weight: ArrayLike,
        reduction: object,
        out: object,
        curvature: str = "exact",
    ) -> tuple[Any, ...]:
        call = Call(want, reduction, out)
        check_choice(curvature, "curvature", CURVATURES)
        named = {name: as_array(value, name) for name, value in zip(self._names(), inputs, strict=True)}
        pred, *others = named.values()
        shape = pred.shape
        for name, array in named.items():
            check_broadcast(array, name, shape, self._names()[0])
        own = [[np.asarray(each, np.float64) for each in loss._own_inputs] for _, loss in self._terms]  # type: ignore[attr-defined]
        for (_, loss), arrays in zip(self._terms, own, strict=True):
            for array in arrays:
                check_broadcast(array, f"an array parameter of {loss!r}", shape)
        by = {
            name: (named[name].shape if reduction != "none" else shape, result_dtype(named[name]))
            for name in self._gradients()
        }
        weights, total = call.weights(weight, shape, self._names()[0])
        if weights is not None:
            named["weight"] = weights
        value, grads, hesses = call.joint_outputs(by, shape, result_dtype(pred), named)
        scales = [call.scale(coefficient, total) for coefficient, _ in self._terms]

        # All operands are walked in C order; one that is laid out otherwise turns the others with it.
        order = _memory_order(pred)

        def turned(array: Array) -> Array:
            return array if order is None else np.broadcast_to(array, shape).transpose(order)

        def turned_output(array: Array) -> Array:
            return array if order is None else array.transpose(order)

        # By an input that is broadcast, the derivative is the sum over its places.
        whole = [[each if each.shape == shape else np.empty(shape) for each in kind] for kind in (grads, hesses)]
        sums = self._plan.run(
            inputs=[operand(turned(array)) for array in (pred, *others)],
            own_inputs=[[operand(turned(array)) for array in arrays] for arrays in own],
            weight=maybe(None if weights is None else turned(weights)),
            value=maybe(None if value is None else turned_output(value)),
            grad=[operand(turned_output(each)) for each in whole[0]],
            hess=[operand(turned_output(each)) for each in whole[1]],
            surrogate=[loss._surrogate(curvature) for _, loss in self._terms],  # type: ignore[attr-defined]
            scale=scales,
            want=want,
            float64=needs_float64(
                (pred, *(array for array, given in zip(others, inputs[1:], strict=True) if not is_weak(given)))
            ),
            threads=call.threads,
        )
        for kind, results in zip(whole, (grads, hesses), strict=True):
            for each, result in zip(kind, results, strict=True):
                if each is not result:
                    result[...] = _sum_to(each, result.shape)
        return call.result(
            sums, scales, value, *(kind[0] if len(kind) == 1 else tuple(kind) for kind in (grads, hesses))
        )

    def _gradients(self) -> tuple[str, ...]:
        return self.gradients


def _sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Add up the places that a broadcast from `shape` has made one element."""
    lead = array.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 and array.shape[lead + i] != 1))
    summed: Array = array.sum(axis=axes).reshape(shape)
    return summed


def _memory_order(pred: Array) -> tuple[int, ...] | None:
    """Axes of `pred` from the widest stride to the narrowest; None if that is C order already."""
    if pred.flags.c_contiguous:
        return None
    strides = [abs(stride) for stride in pred.strides]
    order = tuple(sorted(range(pred.ndim), key=lambda axis: -strides[axis] if strides[axis] else 1))
    return None if order == tuple(range(pred.ndim)) else order


@dataclass(frozen=True, repr=False)
class ElementwiseSum(Elementwise):
    """A sum of scaled losses of the same inputs, computed block by block in one pass over memory."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        for _, loss in self.terms:
            first = self.terms[0][1]
            if not isinstance(loss, Elementwise):
                raise TypeError(f"+: got {loss!r} beside elementwise losses, wanted losses of the same inputs")
            if loss._names() != first._names():
                raise TypeError(f"+: got {loss!r} beside {first!r}, wanted losses of the same inputs")
            if loss._gradients() != first._gradients():  # type: ignore[attr-defined]
                raise TypeError(f"+: got {loss!r} beside {first!r}, wanted losses with gradients by the same inputs")

    def _names(self) -> tuple[str, ...]:
        return self.terms[0][1]._names()

    def _gradients(self) -> tuple[str, ...]:
        return self.terms[0][1]._gradients()  # type: ignore[attr-defined, no-any-return]

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms
