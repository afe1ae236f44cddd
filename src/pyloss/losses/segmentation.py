"""Segmentation: losses of how far a predicted mask and the true one overlap."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from .._arguments import NON_NEGATIVE, POSITIVE, UNIT, choice, flag, parameter
from ._loss import Info
from ._overlap import MaskLoss, SortedLoss

_INFO = Info(
    task="segmentation",
    convex=False,
    differentiable=True,
    outliers="low",
    target=UNIT,
    pred=UNIT,
)


@dataclass(frozen=True)
class Dice(MaskLoss):
    r"""One minus the Dice coefficient (F1 score) of two masks, without a threshold.

    .. math:: \ell = 1 - \frac{2 \sum_i p_i t_i + s}{\sum_i p_i + \sum_i t_i + s}

    `pred` has shape (samples, ...), one mask a sample, or (samples, ..., classes) with `per_class`, and `target`
    broadcasts to it; probabilities in [0, 1], of float32, float64, float16, bfloat16 (integers and bool count as
    float64). There is one value for each sample, or for each sample and class, of which ``reduction="mean"`` takes the
    mean over both. `weight` has one axis, a weight for each sample; or with `per_class` two, samples and classes.

    Parameters
    ----------
    smooth : float, default 1
        s, added to both sides of the ratio; at least 0. With 0, two empty masks match: the loss is 0, and so is its
        gradient.
    squared : bool, default False
        The denominator has Σ p² + Σ t², as in V-Net.
    from_logits : bool, default False
        `pred` are logits: the sigmoid of each element is p, also with `per_class`; the gradient is by the logits.
    per_class : bool, default False
        The last axis is the class, and each has its own mask.
    batch : bool, default False
        Sum over all samples first: one value, or one for each class. A sample's weight is then that of its part of the
        sums.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range; for arguments of the wrong type or shape; for `value_grad_hess`, since the
        Hessian is not diagonal.

    References
    ----------
    Milletari, Navab, Ahmadi 2016 (V-Net); Sudre and others 2017.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Dice().value_and_grad([[1.0, 0.0], [0.0, 0.0]], [[1, 0], [0, 1]])
    (0.25, array([[-0.16666667,  0.16666667],
           [ 0.125     , -0.375     ]]))
    """

    smooth: float = parameter(1.0, NON_NEGATIVE.number)
    squared: bool = flag(False, kernel=False)
    from_logits: bool = flag(False, kernel=False)
    per_class: bool = flag(False, kernel=False)
    batch: bool = flag(False, kernel=False)
    name: ClassVar[str] = "dice"
    info: ClassVar[Info] = dataclasses.replace(_INFO, source="Milletari 2016")


@dataclass(frozen=True)
class Jaccard(MaskLoss):
    r"""One minus the Jaccard index (intersection over union) of two masks, without a threshold.

    .. math:: \ell = 1 - \frac{I + s}{\sum_i p_i + \sum_i t_i - I + s}, \qquad I = \sum_i p_i t_i

    Inputs and their shapes are those of `Dice`: float32, float64, float16, bfloat16.

    Parameters
    ----------
    smooth : float, default 1
        As of `Dice`.
    squared, from_logits, per_class, batch : bool, default False
        As of `Dice`.

    Raises
    ------
    TypeError, ValueError
        As `Dice`.

    References
    ----------
    Rahman and Wang 2016.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Jaccard()([[1.0, 0.0], [0.0, 0.0]], [[1, 0], [0, 1]])
    0.25
    """

    smooth: float = parameter(1.0, NON_NEGATIVE.number)
    squared: bool = flag(False, kernel=False)
    from_logits: bool = flag(False, kernel=False)
    per_class: bool = flag(False, kernel=False)
    batch: bool = flag(False, kernel=False)
    name: ClassVar[str] = "jaccard"
    info: ClassVar[Info] = dataclasses.replace(_INFO, source="Rahman 2016")


@dataclass(frozen=True)
class Tversky(MaskLoss):
    r"""One minus the Tversky index of two masks: Dice with a weight for each kind of error.

    .. math:: \ell = 1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s}

    TP = Σ p t, FP = Σ p (1 - t), FN = Σ (1 - p) t; if `squared`, FP = Σ p (p - t), FN = Σ t (t - p). alpha = beta = 1/2
    is Dice with twice the smoothing, 1 is Jaccard.
    Inputs and their shapes are those of `Dice`: float32, float64, float16, bfloat16.

    Parameters
    ----------
    alpha : float, default 0.5
        Weight of what is predicted beside the target, the false positives; at least 0.
    beta : float, default 0.5
        Weight of what is left out of it, the false negatives; at least 0.
    smooth : float, default 1
        As of `Dice`.
    squared, from_logits, per_class, batch : bool, default False
        As of `Dice`.

    Raises
    ------
    TypeError, ValueError
        As `Dice`.

    References
    ----------
    Salehi, Erdogmus, Gholipour 2017.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Tversky(alpha=0.3, beta=0.7)([[1.0, 1.0, 0.0]], [[1, 0, 0]], reduction="sum")
    0.13043478260869565
    """

    alpha: float = parameter(0.5, NON_NEGATIVE.number)
    beta: float = parameter(0.5, NON_NEGATIVE.number)
    smooth: float = parameter(1.0, NON_NEGATIVE.number)
    squared: bool = flag(False, kernel=False)
    from_logits: bool = flag(False, kernel=False)
    per_class: bool = flag(False, kernel=False)
    batch: bool = flag(False, kernel=False)
    name: ClassVar[str] = "tversky"
    info: ClassVar[Info] = dataclasses.replace(_INFO, source="Salehi 2017")


@dataclass(frozen=True)
class FocalTversky(MaskLoss):
    r"""A power of the Tversky loss, which shifts the weight between easy and hard masks.

    .. math:: \ell = \left(1 - \frac{TP + s}{TP + \alpha FP + \beta FN + s}\right)^\gamma

    TP = Σ p t, FP = Σ p (1 - t), FN = Σ (1 - p) t. Abraham and Khan write the power as the inverse of their gamma, for
    which they take 4/3: that is 0.75 here. Their alpha weighs false negatives; their 0.7 and 0.3 are alpha=0.3,
    beta=0.7 here.
    Inputs and their shapes are those of `Dice`: float32, float64, float16, bfloat16.

    Parameters
    ----------
    gamma : float, default 0.75
        The power; greater than 0. Below 1 the slope at a perfect match is infinite: there the gradient is 0.
    alpha : float, default 0.5
        Weight of what is predicted beside the target, the false positives; at least 0.
    beta : float, default 0.5
        Weight of what is left out of it, the false negatives; at least 0.
    smooth : float, default 1
        As of `Dice`.
    squared, from_logits, per_class, batch : bool, default False
        As of `Dice`.

    Raises
    ------
    TypeError, ValueError
        As `Dice`.

    References
    ----------
    Abraham and Khan 2019.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.FocalTversky(alpha=0.3, beta=0.7)([[1.0, 1.0, 0.0]], [[1, 0, 0]])
    0.21704264034796028
    """

    gamma: float = parameter(0.75, POSITIVE.number)
    alpha: float = parameter(0.5, NON_NEGATIVE.number)
    beta: float = parameter(0.5, NON_NEGATIVE.number)
    smooth: float = parameter(1.0, NON_NEGATIVE.number)
    squared: bool = flag(False, kernel=False)
    from_logits: bool = flag(False, kernel=False)
    per_class: bool = flag(False, kernel=False)
    batch: bool = flag(False, kernel=False)
    name: ClassVar[str] = "focal_tversky"
    info: ClassVar[Info] = dataclasses.replace(_INFO, source="Abraham 2019")


@dataclass(frozen=True)
class Lovasz(SortedLoss):
    r"""The convex extension of the Jaccard loss, which is exact at masks of 0 and 1.

    .. math:: \ell = \sum_k \max(0, e_{(k)}) \, (J_k - J_{k-1}), \qquad e_{(1)} \ge e_{(2)} \ge \dots

    J_k is the Jaccard loss of a mask that is wrong in the k elements of the largest errors e. With "hinge", `pred` has
    shape (samples, ...) and holds logits z, `target` broadcasts to it and holds 0 or 1 (above 1/2 counts as 1), and
    e = 1 - (2 t - 1) z. With "softmax", `pred` has shape (samples, ..., classes) and holds probabilities, as after a
    softmax, `target` has shape (samples, ...) and holds class indices of any integer dtype; e = 1 - p of the
    target's class and p of others, and the loss of a sample is the mean over the classes that its target has. float32,
    float64, float16, bfloat16 (integers and bool count as float64). The gradient is by logits or by probabilities, as
    they came; of errors that are the same, that of the earlier element is the first. `weight` is one for each sample.

    Parameters
    ----------
    kind : {"hinge", "softmax"}, default "hinge"
        One mask a sample, from logits, or one for each class, from probabilities.
    batch : bool, default False
        Take all samples for one; then there is no `weight`. The paper's code does so for "softmax" by default.

    Raises
    ------
    TypeError, ValueError
        For another kind, a label that is no class, or arguments of the wrong type or shape; for `value_grad_hess`:
        the loss is piecewise linear.

    References
    ----------
    Berman, Rannen Triki, Blaschko 2018.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Lovasz().value_and_grad([[2.0, 0.5, -3.0]], [[1, 0, 0]])
    (0.75, array([[0. , 0.5, 0. ]]))
    """

    kind: str = choice("hinge", ("hinge", "softmax"))
    batch: bool = flag(False, kernel=False)
    name: ClassVar[str] = "lovasz"
    info: ClassVar[Info] = Info(
        task="segmentation",
        convex=True,
        differentiable=False,
        outliers="low",
        source="Berman 2018",
        target=UNIT,
        binary=True,
    )

    @classmethod
    def _kernels(cls) -> tuple[str, ...]:
        return "lovasz_hinge", "lovasz_softmax"
