"""Losses of a row of class scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .._arguments import NON_NEGATIVE, POSITIVE, UNIT, Array, ArrayLike, integer_or_none, parameter, weights_or_none
from ._init_score import of_classes
from ._loss import Info
from ._rowwise import Rowwise


@dataclass(frozen=True)
class CrossEntropy(Rowwise):
    r"""Cross-entropy of the softmax of a row of logits against a class, or a row of probabilities.

    .. math:: \ell = -\sum_c a_c \log p_c + z \,(\log \textstyle\sum_c e^{x_c})^2, \qquad p = \operatorname{softmax}(x),
        \quad a_c = w_c\,((1 - s)\, t_c + s/C)

    `pred` (x) has shape (..., C). `target` (t) has shape (...) and holds class indices of any integer dtype, or has the
    shape of `pred` and holds probabilities. float32, float64, float16, bfloat16 (integers and bool count as float64).
    With ``reduction="mean"`` the sum is divided, as torch does, for class indices by the summed class weights of the
    rows that count, for probabilities by the number of rows; with `weight` each row counts by its weight. If no row
    counts, the mean is 0 with zero gradients (torch: NaN).

    Parameters
    ----------
    class_weight : sequence of float, optional
        w, one for each class, at least 0.
    label_smoothing : float, default 0
        s, in [0, 1].
    ignore_index : int, optional
        Class index of rows that do not count.
    z_loss : float, default 0
        z, the weight of the squared log-sum-exp; at least 0.
    softcap : float, optional
        Caps the logits: x becomes softcap tanh(x / softcap), before the temperature.
    temperature : float, default 1
        Divides the logits; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the wrong
        type or shape.

    References
    ----------
    torch.nn.functional.cross_entropy; z_loss and softcap as in Liger-Kernel.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.CrossEntropy().value_and_grad([[0.0, 0.0], [0.0, 100.0]], [0, 1])
    >>> round(value, 6)
    0.346574
    >>> grad.round(3)
    array([[-0.25,  0.25],
           [ 0.  , -0.  ]])
    """

    class_weight: Sequence[float] | None = weights_or_none()
    label_smoothing: float = parameter(0.0, UNIT.number)
    ignore_index: int | None = integer_or_none()
    z_loss: float = parameter(0.0, NON_NEGATIVE.number)
    softcap: float | None = parameter(None, POSITIVE.optional)
    temperature: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "cross_entropy"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=True,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="torch cross_entropy",
        target=UNIT,
    )

    def _surrogate(self, curvature: str, classes: int) -> tuple[float, float]:
        if curvature == "xgboost":
            return (2.0, 1e-16)
        if curvature == "lightgbm" and classes > 1:
            return (classes / (classes - 1), 0.0)
        return super()._surrogate(curvature, classes)

    def _best_constant(self, target: ArrayLike, weight: ArrayLike) -> Array:
        return of_classes(self, target, weight)
