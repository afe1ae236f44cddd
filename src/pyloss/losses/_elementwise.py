"""The verbs of losses that turn one prediction and its target into one number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    Operand,
    as_array,
    check_broadcast,
    is_weak,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import GRAD, HESS, VALUE, Call, broadcast, turner
from ._init_score import of_elements
from ._loss import PredictionLoss, kernel_parameters, show_sum


class Elementwise(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    _derived: ClassVar[int] = 0
    """How many numbers the class computes from its parameters for the kernel, behind them."""
    _derived_inputs: ClassVar[int] = 0
    """How many inputs the class computes for the kernel, behind pred and target."""
    additive: ClassVar[bool] = True
    """Whether the loss of many elements is the mean of those of each."""

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.elementwise_losses()
        for name, expected in cls._kernels().items():
            if name not in known:
                raise ImportError(
                    f"{cls.__name__}: there is no elementwise kernel {name!r}; the list in registry.hpp lacks it"
                )
            if known[name] != expected:
                raise ImportError(
                    f"{cls.__name__}: the kernel takes {known[name]} parameters, inputs and gradients, "
                    f"the class has {expected}"
                )

    @classmethod
    def _kernels(cls) -> dict[str, tuple[int, int, int]]:
        """Return the kernels of the class: how many parameters, inputs and gradients they must have."""
        # The dataclass decorator has not run yet: fields still stand where they were declared.
        fields = [value.metadata for value in cls.__dict__.values() if isinstance(value, dataclasses.Field)]
        count = (
            sum(field["kernel"] for field in fields) + cls._derived,
            len(cls.inputs) + sum(field["as_input"] is not None for field in fields) + cls._derived_inputs,
            len(cls.gradients),
        )
        return {cls.name: count}

    @property
    def _kernel(self) -> str:
        return self.name

    @property
    def _parameters(self) -> list[float]:
        return kernel_parameters(self)

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        """Return factor and floor of what stands for the second derivative; a floor for each place of the last axis."""
        return (1.0, -math.inf if curvature == "exact" else 0.0)

    @cached_property
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
        return plan_of(self._terms)

    @cached_property
    def _small(self) -> Any:
        return self._plan.small

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return ElementwiseSum(terms)

    @property
    def _engine(self) -> tuple[object, ...]:
        return Elementwise, self._names(), self._gradients()

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        return of_elements(self, target, weight)

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        """Check the inputs of a call and compute it."""
        named = {name: as_array(value, name) for name, value in zip(self._names(), inputs, strict=True)}
        pred, *others = named.values()
        shape = pred.shape
        for name, array in named.items():
            check_broadcast(array, name, shape, self._names()[0])
        own = [own_arrays(loss, shape) for _, loss in self._terms]
        by = {
            name: (named[name].shape if call.reduction != "none" else shape, result_dtype(named[name]))
            for name in self._gradients()
        }
        weights, total = call.weights(weight, shape, self._names()[0])
        if weights is not None:
            named["weight"] = weights
        value, grads, hesses = call.joint_outputs(by, shape, result_dtype(pred), named)
        scales = [call.scale(coefficient, total) for coefficient, _ in self._terms]

        # By an input that is broadcast, the derivative is the sum over its places.
        whole = [[each if each.shape == shape else np.empty(shape) for each in kind] for kind in (grads, hesses)]
        float64 = needs_float64(
            (pred, *(array for array, given in zip(others, inputs[1:], strict=True) if not is_weak(given)))
        )

        def walk(want: int, part: Callable[[Array], Array], surrogate: list[tuple[float, float]]) -> list[float]:
            turn = turner(part(pred))

            def turned(array: Array) -> Operand:
                return operand(turn(part(array)))

            return self._plan.run(
                inputs=[turned(array) for array in (pred, *others)],
                own_inputs=[[turned(array) for array in arrays] for arrays in own],
                weight=None if weights is None else turned(weights),
                value=None if value is None else turned(value),
                grad=[turned(each) for each in whole[0]] if want >= GRAD else [],
                hess=[turned(each) for each in whole[1]] if want == HESS else [],
                surrogate=surrogate,
                scale=scales,
                want=want,
                float64=float64,
                threads=call.threads,
            )

        surrogates = [loss._surrogate(curvature) for _, loss in self._terms]  # type: ignore[attr-defined]
        several = any(isinstance(floor, tuple) for _, floor in surrogates)
        # A kernel takes one floor. Where there are several, each place of the last axis is a call of its own; the value
        # is then computed before, so that its sum has the same bits as ever.
        sums = walk(
            VALUE if several else call.want, lambda array: array, [(1.0, 0.0)] * len(scales) if several else surrogates
        )
        for i in range(shape[-1]) if several else ():
            walk(
                HESS,
                lambda array, i=i: broadcast(array, shape)[..., i],  # type: ignore[misc]
                [(by, floor[i % len(floor)] if isinstance(floor, tuple) else floor) for by, floor in surrogates],
            )
        for kind, results in zip(whole, (grads, hesses), strict=True):
            for each, result in zip(kind, results, strict=True):
                if each is not result:
                    with np.errstate(over="ignore"):  # of a half type
                        result[...] = _sum_to(each, result.shape)
        return call.result(
            sums, scales, value, *(kind[0] if len(kind) == 1 else tuple(kind) for kind in (grads, hesses))
        )

    def _gradients(self) -> tuple[str, ...]:
        return self.gradients


def plan_of(terms: Sequence[tuple[float, PredictionLoss]]) -> kernels.ElementwisePlan:
    """Prepare losses of the same inputs for their kernels."""
    prepared = []
    for coefficient, loss in terms:
        assert isinstance(loss, Elementwise)
        own = loss._own_inputs
        constants = [each for each in own if isinstance(each, float)]
        prepared.append(
            (loss._kernel, loss._parameters, coefficient, constants if len(constants) == len(own) else None)
        )
    return kernels.ElementwisePlan(prepared)


def own_arrays(loss: PredictionLoss, shape: tuple[int, ...]) -> list[Array]:
    """Return the parameters of a loss that are inputs of its kernel, checked."""
    assert isinstance(loss, Elementwise)
    arrays = [_own_input(each) for each in loss._own_inputs]
    for array in arrays:
        check_broadcast(array, f"an array parameter of {loss!r}", shape)
    return arrays


def _own_input(given: float | tuple[float, ...] | Array) -> Array:
    return given if isinstance(given, np.ndarray) else np.asarray(given, np.float64)


def _sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Add up the places that a broadcast from `shape` has made one element."""
    lead = array.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 and array.shape[lead + i] != 1))
    summed: Array = array.sum(axis=axes).reshape(shape)
    return summed


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
            if not loss.additive:
                raise TypeError(f"+: got {loss!r} beside {first!r}, wanted losses that are means over elements")
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
