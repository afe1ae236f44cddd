"""The verbs of losses of a row of predicted quantiles, each of which meets every sample of its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import Array, ArrayLike, as_array, check_broadcast, needs_float64, operand, result_dtype
from .._native import kernels
from ._call import Call, maybe
from ._loss import PredictionLoss, check_kernels, kernel_parameters, show_sum


class OfQuantiles(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    @classmethod
    def _check_kernel(cls) -> None:
        check_kernels(cls, kernels.quantile_losses(), (cls.name,))

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return QuantilesSum(terms)

    @property
    def _engine(self) -> tuple[object, ...]:
        return (OfQuantiles,)

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        raise TypeError(f"init_score: got {self!r}, wanted a loss of separate predictions")

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        # No curvature but the exact one: it is never negative, and no library has another.
        pred, target = _rows(inputs[0], "pred", "quantiles"), _rows(inputs[1], "target", "samples")
        rows = pred.shape[:-1]
        check_broadcast(target, "target", (*rows, target.shape[-1]), "pred but for the last axis")
        weights, total = call.weights(weight, rows, "pred's rows")
        named = {"pred": pred, "target": target} | ({} if weights is None else {"weight": weights})
        value, grad, hess = call.outputs(pred.shape, rows, result_dtype(pred), named)
        if any(np.may_share_memory(target, out) for out in (grad, hess) if out is not None):
            target = target.copy()  # read again after results have been written
        scales = [call.scale(coefficient, total) for coefficient, _ in self._terms]
        sums = kernels.quantiles(
            terms=[(loss.name, kernel_parameters(loss)) for _, loss in self._terms],
            pred=operand(pred),
            target=operand(target),
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            hess=maybe(hess),
            scale=scales,
            float64=needs_float64((pred, target)),
            threads=call.threads,
        )
        return call.result(sums, scales, value, grad, hess)


def _rows(value: ArrayLike, name: str, of: str) -> Array:
    """View `value` as rows of at least one number, or say what is wrong with it."""
    array = as_array(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name}: got a single number, wanted rows of {of}: shape (..., {of})")
    if array.shape[-1] == 0:
        raise ValueError(f"{name}: got shape {array.shape}, wanted at least one of the {of} on the last axis")
    return array


@dataclass(frozen=True, repr=False)
class QuantilesSum(OfQuantiles):
    """A sum of scaled losses of the same quantiles and samples."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        for _, loss in self.terms:
            if not isinstance(loss, OfQuantiles):
                raise TypeError(f"+: got {loss!r} beside losses of quantiles, wanted losses of the same inputs")

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms
