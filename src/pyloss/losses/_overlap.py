"""The verbs of losses whose value is of a region, a mask or a box: none of them has a diagonal Hessian."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    check_broadcast,
    check_classes,
    is_weak,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import HESS, Call, maybe
from ._loss import PredictionLoss, check_kernels, kernel_parameters, show_sum

Terms = tuple[tuple[float, Any], ...]

FORMATS = ("xyxy", "xywh", "cxcywh")
"""What the four numbers of a box are, in the order of C++'s enum BoxFormat."""


class RegionLoss(PredictionLoss):
    """A loss of its own kernel, or a sum of such losses."""

    @classmethod
    @abstractmethod
    def _known(cls) -> dict[str, int]:
        """Return the engine's kernels, each with the number of its parameters."""

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        """Names of the kernels that compute this loss."""
        return (cls.name,)

    @classmethod
    def _check_kernel(cls) -> None:
        check_kernels(cls, cls._known(), cls._kernels())

    @property
    def _parameters(self) -> list[float]:
        return kernel_parameters(self)

    def _sum(self, terms: tuple[tuple[float, PredictionLoss], ...]) -> PredictionLoss:
        return RegionSum(terms)

    def _goes_with(self, other: PredictionLoss) -> bool:
        """Whether both can be computed in one pass."""
        return self == other

    @abstractmethod
    def _evaluate(
        self, call: Call, terms: Terms, pred: Array, target: Array, weight: ArrayLike, float64: bool
    ) -> tuple[Any, ...]:
        """Compute a sum of losses that go with this one; the value, then the gradient if wanted."""

    @property
    def _engine(self) -> tuple[object, ...]:
        return (RegionLoss, self)

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> float | Array:
        raise TypeError(f"init_score: got {self!r}, wanted a loss of separate predictions")

    def _run(self, call: Call, inputs: tuple[ArrayLike, ...], weight: ArrayLike, curvature: str) -> tuple[Any, ...]:
        if call.want == HESS:
            raise TypeError(
                f"value_grad_hess: got {self!r}, wanted a loss with a diagonal Hessian; this one has value_and_grad"
            )
        pred, target = as_array(inputs[0], "pred"), as_array(inputs[1], "target")
        float64 = needs_float64((pred,) if is_weak(inputs[1]) else (pred, target))
        first = self._terms[0][1]
        assert isinstance(first, RegionLoss)
        return first._evaluate(call, self._terms, pred, target, weight, float64)


@dataclass(frozen=True, repr=False)
class RegionSum(RegionLoss):
    """A sum of scaled losses of regions."""

    terms: tuple[tuple[float, PredictionLoss], ...]

    def __post_init__(self) -> None:
        """Check that the terms go together."""
        first = self.terms[0][1]
        for _, loss in self.terms:
            if not (isinstance(first, RegionLoss) and first._goes_with(loss)):
                raise TypeError(f"+: got {loss!r} beside {first!r}, wanted losses of the same inputs and settings")

    def __repr__(self) -> str:
        return show_sum(self.terms)

    @property
    def _terms(self) -> tuple[tuple[float, PredictionLoss], ...]:
        return self.terms

    @classmethod
    def _known(cls) -> dict[str, int]:
        return {}

    def _evaluate(
        self, call: Call, terms: Terms, pred: Array, target: Array, weight: ArrayLike, float64: bool
    ) -> tuple[Any, ...]:
        raise NotImplementedError


class MaskLoss(RegionLoss):
    """A loss of how far masks overlap: of sums over a mask."""

    squared: bool
    from_logits: bool
    per_class: bool
    batch: bool

    @classmethod
    def _known(cls) -> dict[str, int]:
        return kernels.overlap_losses()

    def _settings(self) -> tuple[bool, ...]:
        return self.per_class, self.batch, self.squared, self.from_logits

    def _goes_with(self, other: PredictionLoss) -> bool:
        return isinstance(other, MaskLoss) and self._settings() == other._settings()

    def _evaluate(
        self, call: Call, terms: Terms, pred: Array, target: Array, weight: ArrayLike, float64: bool
    ) -> tuple[Any, ...]:
        check_broadcast(target, "target", pred.shape)
        masks = masks_of(pred, self.per_class)
        weights, total = weights_of_masks(call, weight, masks)
        value_shape = masks[1:] if self.batch else masks
        if self.batch:  # weights are those of parts of the sums
            total = float(value_shape[0] if value_shape else 1)
        named = {"pred": pred, "target": target} | ({} if weights is None else {"weight": weights})
        value, grad, _ = call.outputs(pred.shape, value_shape, result_dtype(pred), named)
        scales = [call.scale(coefficient, total) for coefficient, _ in terms]
        per_class, together, squared, logits = self._settings()
        sums = kernels.overlap(
            terms=[(loss.name, loss._parameters) for _, loss in terms],
            pred=operand(pred),
            target=operand(target),
            per_class=per_class,
            together=together,
            squared=squared,
            logits=logits,
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            scale=scales,
            float64=float64,
            threads=call.threads,
        )
        return call.result(sums, scales, value, grad, None)


class SortedLoss(RegionLoss):
    """A loss of the errors of a mask in falling order."""

    kind: str
    batch: bool

    @classmethod
    def _known(cls) -> dict[str, int]:
        return kernels.lovasz_losses()

    def _evaluate(
        self, call: Call, terms: Terms, pred: Array, target: Array, weight: ArrayLike, float64: bool
    ) -> tuple[Any, ...]:
        labels, float64 = self.kind == "softmax", needs_float64((pred,))  # targets of 0 and 1 fit into any type
        samples = masks_of(pred, labels)[:1]
        if labels:
            check_classes(target, "target", pred.shape[:-1], pred.shape[-1])
        else:
            check_broadcast(target, "target", pred.shape)
        if self.batch and weight is not None:
            raise ValueError("weight: got an array with batch=True, wanted None: all samples are one mask")
        weights, total = call.weights(weight, samples, "pred's samples")
        named = {"pred": pred, "target": target} | ({} if weights is None else {"weight": weights})
        value, grad, _ = call.outputs(pred.shape, () if self.batch else samples, result_dtype(pred), named)
        scale = call.scale(sum(coefficient for coefficient, _ in terms), 1.0 if self.batch else total)

        def by_mask(array: Array) -> Array:
            """View as samples, classes, elements."""
            if self.batch:
                array = array[None]
            return np.moveaxis(array, -1, 1) if labels else array[:, None]

        of_masks = (
            (target[None] if self.batch else target)[:, None]
            if labels
            else by_mask(np.broadcast_to(target, pred.shape))
        )
        reduced = kernels.lovasz(
            loss=f"lovasz_{self.kind}",
            pred=operand(by_mask(pred)),
            target=operand(of_masks),
            labels=labels,
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(None if grad is None else by_mask(grad)),
            scale=scale,
            float64=float64,
            threads=call.threads,
        )
        return call.result([reduced], [scale], value, grad, None)


class BoxLoss(RegionLoss):
    """A loss of pairs of boxes."""

    kind: str
    format: str

    @classmethod
    def _known(cls) -> dict[str, int]:
        return kernels.box_losses()

    def _evaluate(
        self, call: Call, terms: Terms, pred: Array, target: Array, weight: ArrayLike, float64: bool
    ) -> tuple[Any, ...]:
        boxes = boxes_of(pred, "pred")
        check_broadcast(target, "target", pred.shape)
        weights, total = call.weights(weight, boxes, "pred's boxes")
        named = {"pred": pred, "target": target} | ({} if weights is None else {"weight": weights})
        value, grad, _ = call.outputs(pred.shape, boxes, result_dtype(pred), named)
        scale = call.scale(sum(coefficient for coefficient, _ in terms), total)
        reduced = kernels.boxes(
            kind=self.kind,
            format=FORMATS.index(self.format),
            eps=self._parameters[0],
            pred=operand(pred),
            target=operand(target),
            weight=maybe(weights),
            value=maybe(value),
            grad=maybe(grad),
            scale=scale,
            threads=call.threads,
        )
        return call.result([reduced], [scale], value, grad, None)


def boxes_of(boxes: Array, name: str) -> tuple[int, ...]:
    """Return the shape of one number for each box."""
    if boxes.shape[-1:] != (4,):
        raise ValueError(f"{name}: got shape {boxes.shape}, wanted boxes of four numbers: shape (..., 4)")
    return boxes.shape[:-1]


def masks_of(pred: Array, per_class: bool) -> tuple[int, ...]:
    """Return the shape of one number for each mask: samples, and classes if each has its own."""
    if pred.ndim <= per_class:
        wanted = "(samples, ..., classes)" if per_class else "(samples, ...)"
        got = f"shape {pred.shape}" if pred.ndim else "a single number"
        raise ValueError(f"pred: got {got}, wanted masks: shape {wanted}")
    return pred.shape[:1] + (pred.shape[-1:] if per_class else ())


def weights_of_masks(call: Call, weight: ArrayLike, masks: tuple[int, ...]) -> tuple[Array | None, float]:
    """Return the weights of masks, one for each sample, or for each sample and class; and their sum."""
    if weight is not None and len(masks) == 2:
        array = as_array(weight, "weight")
        if array.ndim == 1:
            check_broadcast(array, "weight", masks[:1], "pred's samples")
            return call.weights(array[:, None], masks, "pred's samples and classes")
    return call.weights(weight, masks, "pred's samples" + (" and classes" if len(masks) == 2 else ""))
