"""The verbs of losses that turn a row of class scores and its target into one number."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    bad_label,
    check_broadcast,
    check_choice,
    is_integer,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import Call, maybe
from ._loss import CURVATURES, PredictionLoss, show_sum

# Fields that the row engine itself understands, whichever loss has them.
_ENGINE = ("class_weight", "label_smoothing", "softcap", "temperature", "ignore_index")


class Rowwise(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.rowwise_losses()
        if cls.name not in known:
            raise ImportError(
                f"{cls.__name__}: there is no rowwise kernel {cls.name!r}; the list in registry.hpp lacks it"
            )

    @cached_property
    def _component(self) -> kernels.RowComponent:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        weight = fields.get("class_weight")
        return kernels.RowComponent(
            name=self.name,
            parameters=[float(value) for name, value in fields.items() if name not in _ENGINE],
            class_weight=[] if weight is None else list(weight),
            label_smoothing=fields.get("label_smoothing", 0.0),
            softcap=fields.get("softcap") or 0.0,
            temperature=fields.get("temperature", 1.0),
            ignored=fields.get("ignore_index"),
        )

    def _surrogate(self, curvature: str, classes: int) -> tuple[float, float]:
        """Return factor and floor of what stands for the second derivative."""
        return (1.0, -math.inf if curvature == "exact" else 0.0)

    def _small(self, pred: ArrayLike, target: ArrayLike, want: int, reduction: object) -> Any:
        return None

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return RowwiseSum(terms)

    @property
    def _engine(self) -> tuple[object, ...]:
        return (Rowwise,)

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        if len(self._terms) == 1 and self._terms[0][1] is not self and self._terms[0][0] > 0.0:
            return self._terms[0][1]._best_constant(target, weight)
        raise TypeError(f"init_score: got {self!r}, wanted an elementwise loss or CrossEntropy")

    def _compute(
        self,
        want: int,
        inputs: tuple[ArrayLike, ...],
        weight: ArrayLike,
        reduction: object,
        out: object,
        curvature: str = "exact",
    ) -> tuple[Any, ...]:
        check_choice(curvature, "curvature", CURVATURES)
        return self._run(Call(want, reduction, out), inputs, weight, curvature)

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        """Check the inputs of a call and compute it."""
        scores, target = as_array(inputs[0], "pred"), as_array(inputs[1], "target")
        if scores.ndim == 0:
            raise ValueError("pred: got a single number, wanted rows of class scores: shape (..., classes)")
        shape, rows, classes = scores.shape, scores.shape[:-1], scores.shape[-1]
        if classes == 0:
            raise ValueError(f"pred: got shape {shape}, wanted at least one class on the last axis")
        labels = _are_labels(target, shape)
        for _, loss in self._terms:
            class_weight = getattr(loss, "class_weight", None)
            if class_weight is not None and len(class_weight) != classes:
                raise ValueError(
                    f"class_weight: got {len(class_weight)} weights, wanted one for each of the {classes} classes"
                )
        weights, total = call.weights(weight, rows, "pred's rows")
        named = {"pred": scores, "target": target} | ({} if weights is None else {"weight": weights})
        components = [loss._component for _, loss in self._terms]  # type: ignore[attr-defined]
        scales = []
        for (coefficient, loss), component in zip(self._terms, components, strict=True):
            counted = total
            if labels:
                first, counted = kernels.check_labels(
                    operand(target), rows, classes, component, maybe(weights), call.threads
                )
                if first is not None:
                    raise bad_label(target, rows, first, classes, getattr(loss, "ignore_index", None))
            scales.append(call.scale(coefficient, counted))
        value, grad, hess = call.outputs(shape, rows, result_dtype(scores), named)
        sums = kernels.rowwise(
            components=components,
            scores=operand(scores),
            target=operand(target),
            labels=labels,
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            hess=maybe(hess),
            surrogate=[loss._surrogate(curvature, classes) for _, loss in self._terms],  # type: ignore[attr-defined]
            scale=scales,
            want=call.want,
            float64=needs_float64((scores,) if labels else (scores, target)),
            threads=call.threads,
        )
        return call.result(sums, scales, value, grad, hess)


def _are_labels(target: Array, shape: tuple[int, ...]) -> bool:
    """Whether `target` has one class index for each row, rather than a probability for each score."""
    if target.ndim == len(shape):
        check_broadcast(target, "target", shape)
        return False
    if not is_integer(target):
        wanted = f"class indices of an integer dtype, or probabilities of shape {shape}"
        raise TypeError(f"target: got shape {target.shape} of {target.dtype}, wanted {wanted}")
    if target.shape != shape[:-1]:
        raise ValueError(f"target: got shape {target.shape}, wanted {shape[:-1]}: one class index for each row of pred")
    return True


@dataclass(frozen=True, repr=False)
class RowwiseSum(Rowwise):
    """A sum of scaled row losses of the same inputs."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        for _, loss in self.terms:
            if not isinstance(loss, Rowwise):
                raise TypeError(f"+: got {loss!r} beside row losses, wanted losses of the same inputs")

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms
