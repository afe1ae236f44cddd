"""The verbs of losses that turn one prediction and its target into one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    check_broadcast,
    is_weak,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import Call, maybe
from ._loss import PredictionLoss, show_sum


class Elementwise(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

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
            sum(field["kernel"] for field in fields),
            2 + sum(field["as_input"] is not None for field in fields),
        )
        if known[cls.name] != expected:
            raise ImportError(
                f"{cls.__name__}: the kernel takes {known[cls.name]} parameters and inputs, the class has {expected}"
            )

    @property
    def _parameters(self) -> list[float]:
        return [float(getattr(self, field.name)) for field in dataclasses.fields(self) if field.metadata.get("kernel")]  # type: ignore[arg-type]

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
    def _input_count(self) -> int:
        """How many arrays the caller gives."""
        known = kernels.elementwise_losses()
        return max(known[loss.name][1] - len(loss._own_inputs) for _, loss in self._terms)  # type: ignore[attr-defined]

    @cached_property
    def _small(self) -> Any:
        return self._plan.small

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return ElementwiseSum(terms)

    def _compute(
        self, want: int, inputs: tuple[ArrayLike, ...], weight: ArrayLike, reduction: object, out: object
    ) -> tuple[Any, ...]:
        call = Call(want, reduction, out)
        if len(inputs) != self._input_count:
            wanted = " and ".join(("pred", *_names(self._input_count - 1)))
            raise TypeError(f"inputs: got {len(inputs)} arrays, wanted {wanted}")
        pred, *others = _arrays(inputs)
        named = {"pred": pred} | {name: array for name, array in zip(_names(len(others)), others, strict=True)}
        for name, array in named.items():
            check_broadcast(array, name, pred.shape)
        own = [[np.asarray(each, np.float64) for each in loss._own_inputs] for _, loss in self._terms]  # type: ignore[attr-defined]
        for (_, loss), arrays in zip(self._terms, own, strict=True):
            for array in arrays:
                check_broadcast(array, f"an array parameter of {loss!r}", pred.shape)
        weights, total = call.weights(weight, pred.shape, "pred")
        if weights is not None:
            named["weight"] = weights
        value, grad, hess = call.outputs(pred.shape, pred.shape, result_dtype(pred), named)
        scales = [call.scale(coefficient, total) for coefficient, _ in self._terms]

        # All operands are walked in C order; one that is laid out otherwise turns the others with it.
        order = _memory_order(pred)

        def turned(array: Array) -> Array:
            return array if order is None else np.broadcast_to(array, pred.shape).transpose(order)

        def turned_output(array: Array | None) -> Array | None:
            return array if order is None or array is None else array.transpose(order)

        sums = self._plan.run(
            inputs=[operand(turned(array)) for array in (pred, *others)],
            own_inputs=[[operand(turned(array)) for array in arrays] for arrays in own],
            weight=maybe(None if weights is None else turned(weights)),
            value=maybe(turned_output(value)),
            grad=maybe(turned_output(grad)),
            hess=maybe(turned_output(hess)),
            scale=scales,
            want=want,
            float64=needs_float64(
                (pred, *(array for array, given in zip(others, inputs[1:], strict=True) if not is_weak(given)))
            ),
            threads=call.threads,
        )
        return call.result(sums, scales, value, grad, hess)


def _names(others: int) -> Sequence[str]:
    return ("target", *(f"input {i + 2}" for i in range(1, others)))[:others]


def _arrays(inputs: tuple[ArrayLike, ...]) -> list[Array]:
    return [as_array(value, name) for name, value in zip(("pred", *_names(len(inputs) - 1)), inputs, strict=True)]


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
            if not isinstance(loss, Elementwise):
                raise TypeError(f"+: got {loss!r} beside elementwise losses, wanted losses of the same inputs")

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms
