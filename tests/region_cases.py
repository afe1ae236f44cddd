"""Every loss of masks and boxes with several settings of its parameters, and inputs for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cases import other_values, wide
from pyloss import reference
from pyloss.losses import registered
from pyloss.losses._overlap import BoxLoss, MaskLoss, RegionLoss, SortedLoss

CLASSES = 3


@dataclass(frozen=True)
class Case:
    """A loss as its class and parameters: each test makes its own, at its own level."""

    cls: type[RegionLoss]
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return repr(self.loss())

    def loss(self) -> RegionLoss:
        return self.cls(**dict(self.parameters))

    def has(self, parameter: str) -> Any:
        return dict(self.parameters).get(parameter)

    @property
    def of_classes(self) -> bool:
        """Whether the last axis is the class."""
        return bool(self.has("per_class")) or self.has("kind") == "softmax"

    @property
    def together(self) -> bool:
        """Whether all samples are one."""
        return bool(self.has("batch"))

    def reference(self, pred: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return getattr(reference, self.cls.name)(wide(pred), wide(target), **dict(self.parameters))

    def draw(self, size: int, dtype: Any = np.float64, seed: int = 0, inner: tuple[int, ...] = (5, 7)) -> Any:
        """Random predictions and targets of `size` samples or boxes; ties and zeros among them."""
        rng = np.random.default_rng(seed)
        if issubclass(self.cls, BoxLoss):
            pred, target = (_boxes(rng, size, self.has("format") or "xyxy") for _ in range(2))
            same = rng.random(size) < 0.1
            target[same] = pred[same]
            return pred.astype(dtype), target.astype(dtype)
        shape = (size, *inner, *[CLASSES] * self.of_classes)
        if self.has("kind") == "softmax":
            probabilities = rng.dirichlet(np.ones(CLASSES), shape[:-1]) if size else np.zeros(shape)
            probabilities[rng.random(shape[:-1]) < 0.1] = np.eye(CLASSES)[0]
            return _coarse(probabilities).astype(dtype), rng.choice([0, 0, 2], shape[:-1])
        logits = issubclass(self.cls, SortedLoss) or self.has("from_logits")
        pred = 3 * rng.standard_normal(shape) if logits else rng.random(shape)
        pred[rng.random(shape) < 0.2] = 0.0
        if issubclass(self.cls, SortedLoss):
            pred = _coarse(pred)
        return pred.astype(dtype), (rng.random(shape) < 0.3).astype(dtype)

    def sizes(self, pred: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Sizes of what the gradient is made of, of which errors are a few units: its terms may cancel."""
        if issubclass(self.cls, BoxLoss):
            sides = wide(pred)[..., 2:] - (wide(pred)[..., :2] if self.has("format") in (None, "xyxy") else 0.0)
            sides = np.where(sides > 0, sides, 1.0)
            return abs(grad) + np.sum(1 / sides, axis=-1, keepdims=True)
        if issubclass(self.cls, SortedLoss):  # the reference's steps are differences of numbers up to 1
            return abs(grad) + 2.0**-52 / float(np.finfo(pred.dtype).eps)
        axes = tuple(range(0 if self.together else 1, grad.ndim - bool(self.has("per_class"))))
        return abs(grad) + np.max(abs(grad), axis=axes, keepdims=True, initial=0.0)

    def reduced(
        self, value: np.ndarray, grad: np.ndarray, weight: np.ndarray | None = None, reduction: str = "none"
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the reference's terms come to; `weight` is one for each value, or for each sample."""
        value = np.asarray(value, np.float64)
        w = np.ones(value.shape)
        if weight is not None:
            w = w * np.reshape(wide(weight), (*np.shape(weight), *[1] * (value.ndim - np.ndim(weight))))
        total = w.sum()
        scale = 1.0 if reduction != "mean" else 1.0 / total if total > 0 else 0.0
        # Values stand on the first axes of pred, or of masks by class on the first and the last.
        by_class = self.has("per_class") and issubclass(self.cls, MaskLoss)
        if by_class and self.together:
            each = w.reshape(*[1] * (grad.ndim - 1), -1)
        elif by_class:
            each = w.reshape(len(w), *[1] * (grad.ndim - 2), w.shape[1])
        else:
            each = w.reshape(*w.shape, *[1] * (grad.ndim - w.ndim))
        with np.errstate(invalid="ignore"):
            value = np.where(w == 0, 0.0, w * scale * value)
            grad = np.where(each == 0, 0.0, each * scale * grad)
        return value if reduction == "none" else value.sum(), grad


def _coarse(numbers: np.ndarray) -> np.ndarray:
    """Numbers whose errors no type but the half ones rounds, so that all sort them alike; with ties."""
    return np.round(numbers * 1024) / 1024


def _boxes(rng: np.random.Generator, size: int, format: str) -> np.ndarray:
    corner, lengths = rng.integers(0, 8, (size, 2)).astype(float), rng.integers(0, 6, (size, 2)) + rng.random((size, 2))
    lengths[rng.random((size, 2)) < 0.05] = 0.0
    moved = rng.random((size, 2)) < 0.5
    corner[moved] += rng.random((size, 2))[moved]
    first = corner + lengths / 2 if format == "cxcywh" else corner
    return np.concatenate([first, corner + lengths if format == "xyxy" else lengths], axis=1)


def _settings(cls: type[RegionLoss]) -> list[Case]:
    """The default, each parameter changed alone, all changed, and pairs of neighbouring words and flags."""
    fields = {field.name: other_values(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    cases = [Case(cls)]
    cases += [Case(cls, ((name, value),)) for name, values in fields.items() for value in values]
    for name, values in list(fields.items())[:-1]:
        following = list(fields)[list(fields).index(name) + 1]
        both = [(a, b) for a in values for b in fields[following] if not isinstance(a, float) | isinstance(b, float)]
        cases += [Case(cls, ((name, a), (following, b))) for a, b in both]
    if len(fields) > 2:
        cases.append(Case(cls, tuple((name, values[-1]) for name, values in fields.items())))
    if issubclass(cls, MaskLoss):
        both = (("per_class", True), ("from_logits", True))
        cases += [Case(cls, both), Case(cls, (("smooth", 0.0), ("from_logits", True), ("batch", True)))]
    return list(dict.fromkeys(cases))


LOSSES = {name: cls for name, cls in registered().items() if issubclass(cls, RegionLoss)}
CASES = [case for cls in LOSSES.values() for case in _settings(cls)]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_loss = pytest.mark.parametrize("case", [Case(cls) for cls in LOSSES.values()], ids=str)
