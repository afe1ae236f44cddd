"""The verbs of losses that turn a row of class scores and its target into one number."""

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
    bad_label,
    check_broadcast,
    is_integer,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import Call, maybe
from ._loss import PredictionLoss, show_sum

LABELS, PROBABILITIES, NONE = "labels", "probabilities", "none"
"""What a target may be: one class index for each row, a probability for each score, or absent."""


class Rowwise(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    targets: ClassVar[tuple[str, ...]] = (LABELS, PROBABILITIES)
    # What messages call what a row is made of: what they are, many, one.
    row: ClassVar[tuple[str, str, str]] = ("class scores", "classes", "class")
    # Fields that the row engine itself understands.
    engine: ClassVar[tuple[str, ...]] = ("class_weight", "label_smoothing", "softcap", "temperature", "ignore_index")
    # The field that gives each class a weight, in losses that have one.
    class_weights: ClassVar[str] = "class_weight"
    # Whether a mean over labels is divided by the weights of their classes.
    mean_of_class_weights: ClassVar[bool] = True

    # Whether a target of probabilities has a kernel of its own.
    own_of_probabilities: ClassVar[bool] = False

    @classmethod
    def _check_kernel(cls) -> None:
        known = kernels.rowwise_losses()
        for name in cls._kernels():
            if name not in known:
                raise ImportError(
                    f"{cls.__name__}: there is no rowwise kernel {name!r}; the list in registry.hpp lacks it"
                )

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        """Return the name of the kernel for labels, and of that for probabilities if it is another one."""
        return (cls.name, f"{cls.name}_of_probabilities") if cls.own_of_probabilities else (cls.name,)

    @cached_property
    def _component(self) -> kernels.RowComponent:
        return self._make_component(self._kernels()[0], **self._settings())

    @cached_property
    def _component_of_probabilities(self) -> kernels.RowComponent:
        return self._make_component(self._kernels()[-1], **self._settings())

    def _settings(self) -> dict[str, Any]:
        """Return the fields by name, as `_make_component` takes them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def _make_component(self, kernel: str, **settings: Any) -> kernels.RowComponent:
        engine = {name: settings.pop(name) for name in self.engine if name in settings}
        return kernels.RowComponent(
            name=kernel,
            parameters=[float(value) for value in settings.values()],
            class_weight=list(engine.get("class_weight") or ()),
            label_smoothing=engine.get("label_smoothing", 0.0),
            softcap=engine.get("softcap") or 0.0,
            temperature=engine.get("temperature", 1.0),
            ignored=engine.get("ignore_index"),
        )

    def _surrogate(self, curvature: str, classes: int) -> tuple[float, float]:
        """Return factor and floor of what stands for the second derivative."""
        return (1.0, -math.inf if curvature == "exact" else 0.0)

    def _component_for(self, classes: int, labels: bool) -> kernels.RowComponent:
        """Return the kernel's component for rows of so many classes, and labels or not."""
        weights = getattr(self, self.class_weights, None)
        if isinstance(weights, tuple) and len(weights) != classes:
            raise ValueError(
                f"{self.class_weights}: got {len(weights)} weights, wanted one for each of the {classes} classes"
            )
        return self._component if labels or not self.own_of_probabilities else self._component_of_probabilities

    def _counts_rows(self) -> bool:
        """Whether labels decide how much a row counts in a mean."""
        settings = self._settings()
        return self.mean_of_class_weights and any(
            settings.get(name) is not None for name in ("class_weight", "ignore_index")
        )

    def _row_counts(self, pred: Array, target: Array | None) -> Array:
        """Return how much each row counts in a mean."""
        if target is None or not are_labels(target, pred.shape):
            return np.ones((), np.float64)
        settings = self._settings()
        ignored, of_classes = settings.get("ignore_index"), settings.get("class_weight")
        kept = np.ones(target.shape, np.bool_) if ignored is None else target != ignored
        if of_classes is None:
            return kept
        return np.where(kept, np.asarray(of_classes)[np.where(kept, target, 0)], 0.0)

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return RowwiseSum(terms)

    @property
    def _engine(self) -> tuple[object, ...]:
        return (Rowwise,)

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        if len(self._terms) == 1 and self._terms[0][1] is not self and self._terms[0][0] > 0.0:
            return self._terms[0][1]._best_constant(target, weight)
        raise TypeError(f"init_score: got {self!r}, wanted an elementwise loss or CrossEntropy")

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        arrays = {name: as_array(value, name) for name, value in zip(self._names(), inputs, strict=True)}
        scores, target, teacher = (arrays.get(name) for name in ("pred", "target", "teacher"))
        assert scores is not None
        if scores.ndim == 0:
            raise ValueError(f"pred: got a single number, wanted rows of {self.row[0]}: shape (..., {self.row[1]})")
        shape, rows, classes = scores.shape, scores.shape[:-1], scores.shape[-1]
        if classes == 0:
            raise ValueError(f"pred: got shape {shape}, wanted at least one {self.row[2]} on the last axis")
        labels = target is not None and are_labels(target, shape)
        if target is not None:
            for _, loss in self._terms:
                _check_target(loss, target, shape, LABELS if labels else PROBABILITIES)
        if teacher is not None:
            check_broadcast(teacher, "teacher", shape)
        components = [loss._component_for(classes, labels) for _, loss in self._terms]  # type: ignore[attr-defined]
        weights, total = call.weights(weight, rows, "pred's rows")
        named = arrays | ({} if weights is None else {"weight": weights})
        scales = []
        for (coefficient, loss), component in zip(self._terms, components, strict=True):
            counted = total
            if labels and target is not None:
                first, of_classes = kernels.check_labels(
                    operand(target), rows, classes, component, maybe(weights), call.threads
                )
                if first is not None:
                    raise bad_label(target, rows, first, classes, getattr(loss, "ignore_index", None))
                if loss.mean_of_class_weights:  # type: ignore[attr-defined]
                    counted = of_classes
            scales.append(call.scale(coefficient, counted))
        value, grad, hess = call.outputs(shape, rows, result_dtype(scores), named)
        sums = kernels.rowwise(
            components=components,
            scores=operand(scores),
            target=maybe(target),
            teacher=maybe(teacher),
            labels=labels,
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            hess=maybe(hess),
            surrogate=[loss._surrogate(curvature, classes) for _, loss in self._terms],  # type: ignore[attr-defined]
            scale=scales,
            want=call.want,
            float64=needs_float64(array for name, array in arrays.items() if not (labels and name == "target")),
            threads=call.threads,
        )
        return call.result(sums, scales, value, grad, hess)


def are_labels(target: Array, shape: tuple[int, ...]) -> bool:
    """Whether `target` has one class index for each row, rather than a probability for each score."""
    if target.ndim == len(shape):
        return False
    if target.shape != shape[:-1] and is_integer(target):
        raise ValueError(f"target: got shape {target.shape}, wanted {shape[:-1]}: one class index for each row of pred")
    return True


def _check_target(loss: PredictionLoss, target: Array, shape: tuple[int, ...], kind: str) -> None:
    """Raise unless `target` is what `loss` takes for one."""
    takes: tuple[str, ...] = loss.targets  # type: ignore[attr-defined]
    if takes == (NONE,):
        return
    words = {
        LABELS: "class indices of an integer dtype",
        PROBABILITIES: f"probabilities of shape {shape}",
    }
    if kind not in takes or (kind == LABELS and not is_integer(target)):
        wanted = ", or ".join(words[each] for each in takes)
        of = "" if len(takes) > 1 else f" for {type(loss).__name__}"
        raise TypeError(f"target: got shape {target.shape} of {target.dtype}, wanted {wanted}{of}")
    if kind == PROBABILITIES:
        check_broadcast(target, "target", shape)


@dataclass(frozen=True, repr=False)
class RowwiseSum(Rowwise):
    """A sum of scaled row losses of the same inputs."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        for _, loss in self.terms:
            if not isinstance(loss, Rowwise):
                raise TypeError(f"+: got {loss!r} beside row losses, wanted losses of the same inputs")

    def _names(self) -> tuple[str, ...]:
        return max((loss._names() for _, loss in self.terms), key=len)

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms


class Targetless(Rowwise):
    """A row loss of the scores alone."""

    inputs = ("pred",)
    targets = (NONE,)


class Taught(Rowwise):
    """A row loss of scores, target and a teacher's scores, which broadcast to `pred`."""

    inputs = ("pred", "target", "teacher")
