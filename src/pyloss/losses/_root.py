"""The verbs of a loss that is the root of a mean: no sum of terms, so its gradient needs the value first."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._arguments import ArrayLike, as_array, is_weak, needs_float64
from ._call import HESS, VALUE, Call
from ._elementwise import Elementwise
from ._loss import PredictionLoss, show_sum

_SMALL, _LARGE = {False: 2.0**-60, True: 2.0**-900}, {False: 2.0**100, True: 2.0**900}
"""Beyond them a mean of squares may have lost digits: in float32, in float64."""


class _Tally(Call):
    """A call for a sum, which keeps what its mean would be divided by."""

    total = 0.0

    def __init__(self) -> None:
        super().__init__(VALUE, "sum", None)

    def scale(self, coefficient: float, total: float) -> float:
        self.total = total
        return super().scale(coefficient, total)


class RootLoss(Elementwise):
    r"""A root of the mean of squares, or a multiple of it.

    With R the root, W the sum of weights and w that of an element, the first derivative is w r / (W R) and the second
    w / (W R) (1 - (w / W) (r² / R²)): the terms of a kernel that is told R and W.
    """

    additive: ClassVar[bool] = False
    _derived: ClassVar[int] = 3
    _derived_inputs: ClassVar[int] = 1

    @property
    @abstractmethod
    def _square(self) -> Elementwise:
        """The loss whose mean the root is taken of."""

    @property
    @abstractmethod
    def _alone(self) -> Elementwise:
        """The root of a single element."""

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return RootSum(terms)

    @property
    def _coefficient(self) -> float:
        return math.fsum(coefficient for coefficient, _ in self._terms)

    def _small(self, pred: ArrayLike, target: ArrayLike, want: int, reduction: object, out: object) -> Any:
        return None

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> Any:
        return self._square._best_constant(target, weight)

    def _in_pass(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return ((1.0, self._square),)

    def _of_pass(self, values: list[float]) -> float | None:
        return float(self._of_means(values)) if _SMALL[False] <= values[0] <= _LARGE[False] else None

    def _of_means(self, values: list[Any]) -> Any:
        return self._coefficient * np.sqrt(values[0])

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        if call.reduction == "none":
            return (self._coefficient * self._alone)._run(call, inputs, weight, "exact")
        unit, total, reduced = self._mean(call, inputs, weight)
        root = math.sqrt(reduced)
        value = self._coefficient * root / unit
        if call.want == VALUE:
            return (value,)
        known = _Known(
            of=self._kernel,
            coefficient=0.0 if root == 0.0 else self._coefficient / root,
            unit=unit,
            by_mean=0.0 if reduced == 0.0 else 1.0 / reduced,
            by_total=call.scale(1.0, total),
            weight=as_array(weight, "weight") if call.want == HESS and weight is not None else 1.0,
        )
        return (value, *known._run(call, inputs, weight, curvature)[1:])

    def _mean(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike) -> tuple[float, float, float]:
        """Return a unit, the sum of weights, and the reduced squares in that unit."""

        def reduce(unit: float) -> tuple[float, float, float]:
            tally = _Tally()
            squares = _Known(self._kernel, unit)._run(tally, inputs, weight, "exact")[0]
            return unit, tally.total, call.scale(1.0, tally.total) * squares

        pred, target = (as_array(value, name) for value, name in zip(inputs, self._names(), strict=True))
        float64 = needs_float64((pred,) if is_weak(inputs[1]) else (pred, target))
        found = reduce(1.0)
        if found[2] > _LARGE[float64]:
            found = reduce(2.0**-560 if float64 else 2.0**-70)
        for unit in (2.0**500, 2.0**900) if float64 else (2.0**80, 2.0**120):
            if found[2] < _SMALL[float64]:
                found = reduce(unit)
        return found


@dataclass(frozen=True, eq=False)
class _Known(Elementwise):
    """The terms of a root that is known."""

    of: str
    unit: float
    coefficient: float = 1.0
    by_mean: float = 0.0
    by_total: float = 0.0
    weight: Any = 1.0

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return ((self.coefficient, self),)

    @property
    def _own_inputs(self) -> list[Any]:
        return [self.weight]

    @property
    def _kernel(self) -> str:
        return self.of

    @property
    def _parameters(self) -> list[float]:
        return [self.unit, self.by_mean, self.by_total]


@dataclass(frozen=True, repr=False)
class RootSum(RootLoss):
    """A sum of scaled roots: a multiple of one."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        first = self.terms[0][1]
        for _, loss in self.terms:
            if loss != first:
                raise TypeError(f"+: got {loss!r} beside {first!r}, which is no mean and goes with none")

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms

    @property
    def _of(self) -> RootLoss:
        first = self.terms[0][1]
        assert isinstance(first, RootLoss)
        return first

    @property
    def _kernel(self) -> str:
        return self._of.name

    @property
    def _square(self) -> Elementwise:
        return self._of._square

    @property
    def _alone(self) -> Elementwise:
        return self._of._alone
