"""Losses of pairs of boxes, with derivatives carried along from the first box through each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array


@dataclass(frozen=True)
class _Number:
    """A number for each pair, and its derivatives by the four numbers of the first box."""

    value: Array
    grad: Array

    def __add__(self, other: _Number | float) -> _Number:
        if isinstance(other, _Number):
            return _Number(self.value + other.value, self.grad + other.grad)
        return _Number(self.value + other, self.grad)

    def __mul__(self, other: _Number | float) -> _Number:
        if isinstance(other, _Number):
            return _Number(
                self.value * other.value, self.grad * other.value[..., None] + other.grad * self.value[..., None]
            )
        return _Number(self.value * other, self.grad * other)

    def __sub__(self, other: _Number | float) -> _Number:
        return self + other * -1.0

    def __truediv__(self, other: _Number) -> _Number:
        """Divide; 0 / 0 is 0."""
        nothing = other.value == 0
        below = np.where(nothing, 1.0, other.value)
        value = np.where(nothing, 0.0, self.value / below)
        grad = (self.grad - other.grad * value[..., None]) / below[..., None]
        return _Number(value, np.where(nothing[..., None], 0.0, grad))


def _larger(a: _Number, b: _Number) -> _Number:
    """Return the larger one; of equals, the derivatives by half each."""
    share = np.where(a.value > b.value, 1.0, np.where(a.value == b.value, 0.5, 0.0))[..., None]
    return _Number(np.maximum(a.value, b.value), share * a.grad + (1 - share) * b.grad)


def _smaller(a: _Number, b: _Number) -> _Number:
    return _larger(a * -1.0, b * -1.0) * -1.0


def _angle(width: _Number, height: _Number) -> _Number:
    """Return the angle of the diagonal of a box, atan(width / height)."""
    square = width.value**2 + height.value**2
    square = np.where(square == 0, 1.0, square)[..., None]
    grad = (height.value[..., None] * width.grad - width.value[..., None] * height.grad) / square
    return _Number(np.arctan2(width.value, height.value), grad)


def _corners(box: list[_Number], format: str) -> list[_Number]:
    if format == "xyxy":
        return box
    x, y, w, h = box
    if format == "cxcywh":
        x, y = x - w * 0.5, y - h * 0.5
    return [x, y, x + w, y + h]


def box_iou(
    pred: ArrayLike, target: ArrayLike, kind: str = "iou", format: str = "xyxy", eps: float = 1e-7
) -> tuple[Array, Array]:
    """1 - IoU, the generalised IoU (Rezatofighi 2019), or the distance or complete IoU (Zheng 2020).

    As torchvision's losses have them: to 1 - IoU is added (|C| - |union|) / |C|, or the squared distance of the centres
    over c², or that and v / (1 - IoU + v) v, the quotient held constant; eps is added to each denominator.
    Value and gradient by `pred` of each pair.
    """
    p = np.asarray(pred, np.float64)
    t = np.broadcast_to(np.asarray(target, np.float64), p.shape)
    own = [_Number(p[..., i], np.broadcast_to(np.eye(4)[i], p.shape)) for i in range(4)]
    other = [_Number(t[..., i], np.zeros(p.shape)) for i in range(4)]
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _corners(own, format), _corners(other, format)

    width, height = _smaller(x2, u2) - _larger(x1, u1), _smaller(y2, v2) - _larger(y1, v1)
    meet = (width.value > 0) & (height.value > 0)
    common = width * height
    common = _Number(np.where(meet, common.value, 0.0), np.where(meet[..., None], common.grad, 0.0))
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
    iou = common / (union + eps)
    loss = iou * -1.0 + 1.0

    hull_width, hull_height = _larger(x2, u2) - _smaller(x1, u1), _larger(y2, v2) - _smaller(y1, v1)
    if kind == "giou":
        hull = hull_width * hull_height
        loss = loss + (hull - union) / (hull + eps)
    if kind in ("diou", "ciou"):
        dx, dy = (x1 + x2 - u1 - u2) * 0.5, (y1 + y2 - v1 - v2) * 0.5
        loss = loss + (dx * dx + dy * dy) / (hull_width * hull_width + hull_height * hull_height + eps)
    if kind == "ciou":
        angle = _angle(u2 - u1, v2 - v1) - _angle(x2 - x1, y2 - y1)
        point = ((x1.value == x2.value) & (y1.value == y2.value)) | ((u1.value == u2.value) & (v1.value == v2.value))
        angle = _Number(np.where(point, 0.0, angle.value), angle.grad)
        v = angle * angle * (4 / np.pi**2)
        below = 1 - iou.value + v.value + eps
        alpha = np.where(below == 0, 0.0, v.value / np.where(below == 0, 1.0, below))
        loss = loss + v * _Number(alpha, np.zeros(p.shape))
    return loss.value, loss.grad
