"""Losses of a row of class scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._arguments import (
    BELOW_ONE,
    NON_NEGATIVE,
    POSITIVE,
    REAL,
    UNIT,
    Array,
    ArrayLike,
    Interval,
    choice,
    counts_of_classes,
    flag,
    integer_or_none,
    parameter,
    positive_integer,
    weights_or_none,
)
from .._native import kernels
from ._init_score import of_classes
from ._loss import Info
from ._rowwise import LABELS, PROBABILITIES, Rowwise, Targetless, Taught

_COSINE = Interval(-1.0, 1.0)
_KINDS = ("crammer_singer", "weston_watkins")


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


@dataclass(frozen=True)
class NLL(Rowwise):
    r"""Negative log-likelihood of rows of log-probabilities: what of a cross-entropy is left after the log-softmax.

    .. math:: \ell = -\sum_c w_c\, t_c\, x_c

    `pred` (x) has shape (..., C). `target` (t) has shape (...) and holds class indices of any integer dtype, or has
    the shape of `pred` and holds probabilities. float32, float64, float16, bfloat16 (integers and bool count as
    float64). A term with t = 0 is 0 even beside an infinite x. With ``reduction="mean"`` the sum is divided, as
    torch does, for class indices by the summed class weights of the rows that count, for probabilities by the
    number of rows. The second derivative is 0.

    Parameters
    ----------
    class_weight : sequence of float, optional
        w, one for each class, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    torch.nn.functional.nll_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.NLL().value_and_grad([[-0.5, -1.0], [-2.0, -0.25]], [0, 1])
    (0.375, array([[-0.5,  0. ],
           [ 0. , -0.5]]))
    """

    class_weight: Sequence[float] | None = weights_or_none()
    ignore_index: int | None = integer_or_none()
    name: ClassVar[str] = "nll"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=True,
        differentiable=True,
        outliers="low",
        probabilistic=True,
        source="torch nll_loss",
        target=UNIT,
    )


@dataclass(frozen=True)
class CategoricalCrossEntropy(Rowwise):
    r"""Cross-entropy of a row of probabilities, or of anything positive: a row is first divided by its sum.

    .. math:: \ell = -\sum_c t_c \log \operatorname{clip}(p_c, \varepsilon, 1 - \varepsilon),
        \qquad p = x / \textstyle\sum_c x_c

    `pred` (x) has shape (..., C). `target` (t) has shape (...) and holds class indices of any integer dtype, or has
    the shape of `pred` and holds probabilities. float32, float64, float16, bfloat16 (integers and bool count as
    float64). The derivatives are those of the formula: a clipped probability has none of its own, and the division
    by the sum counts. If you have logits, `CrossEntropy` is exact and needs no clip.

    Parameters
    ----------
    eps : float, default 1e-7
        \varepsilon, between 0 and 1/2.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    keras.losses.CategoricalCrossentropy

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.CategoricalCrossEntropy().value_and_grad([[0.5, 0.5], [1.0, 3.0]], [0, 1])
    >>> round(value, 6)
    0.490415
    >>> grad.round(6)
    array([[-0.5     ,  0.5     ],
           [ 0.125   , -0.041667]])
    """

    eps: float = parameter(1e-7, Interval(0.0, 0.5, open_low=True, open_high=True).number)
    name: ClassVar[str] = "categorical_cross_entropy"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=False,
        differentiable=False,
        outliers="medium",
        probabilistic=True,
        source="Keras CategoricalCrossentropy",
        target=UNIT,
        pred=UNIT,
    )


@dataclass(frozen=True)
class SoftmaxFocal(Rowwise):
    r"""Cross-entropy in which rows that are already right count little.

    .. math:: \ell = -\sum_c \alpha_c t_c (1 - p_c)^\gamma \log p_c, \qquad p = \operatorname{softmax}(x)

    `pred` has shape (..., C). `target` holds class indices, of shape (...) and any integer dtype, or probabilities (t)
    that broadcast to `pred`; an index stands for a row of probability 1, as in Keras, where each class has the factor
    of its own probability. float32, float64, float16, bfloat16 (integers and bool count as float64). A mean is over
    rows, whatever alpha. At p = 1 the loss and its derivatives are 0 for any gamma but 0.

    Parameters
    ----------
    gamma : float, default 2
        At least 0; with 0 it is the cross-entropy.
    alpha : float or sequence of float, optional
        Factor of the loss, at least 0; a sequence has one for each class.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Lin et al., Focal loss for dense object detection, 2017; keras.losses.CategoricalFocalCrossentropy

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.SoftmaxFocal(gamma=2.0).value_and_grad([[0.0, 0.0], [0.0, 5.0]], [0, 1])
    >>> round(value, 6)
    0.086644
    >>> grad.round(6)
    array([[-0.149143,  0.149143],
           [ 0.      , -0.      ]])
    """

    gamma: float = parameter(2.0, NON_NEGATIVE.number)
    alpha: float | Sequence[float] | None = parameter(None, NON_NEGATIVE.optional_numbers)
    own_of_probabilities = True
    class_weights = "alpha"
    mean_of_class_weights = False
    name: ClassVar[str] = "softmax_focal"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Lin 2017",
        target=UNIT,
    )

    def _settings(self) -> dict[str, Any]:
        if isinstance(self.alpha, tuple):
            return {"gamma": self.gamma, "alpha": 1.0, "class_weight": self.alpha}
        return {"gamma": self.gamma, "alpha": 1.0 if self.alpha is None else self.alpha}


@dataclass(frozen=True)
class PolyCrossEntropy(Rowwise):
    r"""Cross-entropy with another first coefficient in its expansion by powers of 1 - p.

    .. math:: \ell = \sum_c t_c (-\log p_c + \varepsilon (1 - p_c)), \qquad p = \operatorname{softmax}(x)

    `pred` has shape (..., C). `target` holds class indices, of shape (...) and any integer dtype, or probabilities (t)
    that broadcast to `pred`; an index stands for a row of probability 1. float32, float64, float16, bfloat16 (integers
    and bool count as float64).

    Parameters
    ----------
    epsilon : float, default 1
        What is added to the coefficient; from -1 on.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Leng et al., PolyLoss, 2022: Poly-1

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.PolyCrossEntropy().value_and_grad([[0.0, 0.0]], [0])
    >>> round(value, 6)
    1.193147
    >>> round(pl.PolyCrossEntropy()([[0.0, 0.0]], [[0.75, 0.25]]), 6)
    1.193147
    >>> grad
    array([[-0.75,  0.75]])
    """

    epsilon: float = parameter(1.0, Interval(-1.0).number)
    own_of_probabilities = True
    name: ClassVar[str] = "poly_cross_entropy"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Leng 2022",
        target=UNIT,
    )


@dataclass(frozen=True)
class GeneralizedCrossEntropy(Rowwise):
    r"""Between cross-entropy (q towards 0) and absolute error (q = 1), for labels some of which are wrong.

    .. math:: \ell = \sum_c t_c (1 - p_c^q) / q, \qquad p = \operatorname{softmax}(x)

    `pred` has shape (..., C). `target` holds class indices, of shape (...) and any integer dtype, or probabilities (t)
    that broadcast to `pred`; an index stands for a row of probability 1. float32, float64, float16, bfloat16 (integers
    and bool count as float64).

    Parameters
    ----------
    q : float, default 0.7
        In (0, 1].

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Zhang and Sabuncu, Generalized cross entropy loss for training deep neural networks with noisy labels, 2018

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.GeneralizedCrossEntropy(q=1.0).value_and_grad([[0.0, 0.0]], [0])
    >>> round(value, 6)
    0.5
    >>> grad
    array([[-0.25,  0.25]])
    """

    q: float = parameter(0.7, Interval(0.0, 1.0, open_low=True).number)
    own_of_probabilities = True
    name: ClassVar[str] = "generalized_cross_entropy"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Zhang 2018",
        target=UNIT,
    )


@dataclass(frozen=True)
class SymmetricCrossEntropy(Rowwise):
    r"""Cross-entropy, and that of the label under the prediction, for labels some of which are wrong.

    .. math:: \ell = -\alpha \sum_c t_c \log p_c - \beta \sum_c p_c \log \max(t_c, 10^{-4}),
        \qquad p = \operatorname{softmax}(x)

    `pred` has shape (..., C). `target` holds class indices, of shape (...) and any integer dtype, or probabilities (t)
    that broadcast to `pred`; an index stands for a row of probability 1. float32, float64, float16, bfloat16 (integers
    and bool count as float64). For the logarithm of 0 stands the logarithm of 1e-4, as in the authors' program; where
    another A is wanted for labels, beta is to be multiplied by A / log(1e-4).

    Parameters
    ----------
    alpha : float, default 0.1
        Factor of the cross-entropy, at least 0.
    beta : float, default 1
        Factor of the reversed one, at least 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Wang et al., Symmetric cross entropy for robust learning with noisy labels, 2019

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.SymmetricCrossEntropy()([[0.0, 0.0]], [0]), 6)
    4.674485
    """

    alpha: float = parameter(0.1, NON_NEGATIVE.number)
    beta: float = parameter(1.0, NON_NEGATIVE.number)
    own_of_probabilities = True
    name: ClassVar[str] = "symmetric_cross_entropy"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Wang 2019",
        target=UNIT,
    )


@dataclass(frozen=True)
class KLDiv(Rowwise):
    r"""Kullback-Leibler divergence of a target distribution from rows of log-probabilities.

    .. math:: \ell = \sum_c t_c (\log t_c - x_c)

    `pred` (x) has shape (..., C); `target` (t) broadcasts to it and holds probabilities, or their logarithms.
    float32, float64, float16, bfloat16 (integers and bool count as float64). With ``reduction="mean"`` the sum is
    divided by the number of rows, torch's "batchmean"; with `weight` each row counts by its weight. Where t = 0 the
    term is 0, and so is its derivative. The second derivative is 0.

    Parameters
    ----------
    log_target : bool, default False
        Whether `target` holds logarithms.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, or arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.kl_div

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.KLDiv().value_and_grad([[-0.5, -1.0]], [[1.0, 0.0]])
    >>> value, grad
    (0.5, array([[-1.,  0.]]))
    """

    log_target: bool = flag(False)
    targets = (PROBABILITIES,)
    name: ClassVar[str] = "kl_div"
    info: ClassVar[Info] = Info(
        task="distributions",
        convex=True,
        differentiable=True,
        outliers="low",
        source="torch kl_div",
        target=UNIT,
    )


@dataclass(frozen=True)
class JSDiv(Rowwise):
    r"""Jensen-Shannon divergence between a target distribution and rows of log-probabilities.

    .. math:: \ell = \tfrac12 \sum_c t_c \log\frac{t_c}{m_c} + \tfrac12 \sum_c q_c \log\frac{q_c}{m_c},
        \qquad q = e^x,\quad m = (q + t)/2

    `pred` (x) has shape (..., C); `target` (t) broadcasts to it and holds probabilities. float32, float64, float16,
    bfloat16 (integers and bool count as float64). With ``reduction="mean"`` the sum is divided by the number of
    rows, torch's "batchmean"; with `weight` each row counts by its weight. The loss is at most log 2. Where q or t
    is 0, its term is 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, or arguments of the wrong type or shape.

    References
    ----------
    Lin, Divergence measures based on the Shannon entropy, 1991

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.JSDiv().value_and_grad([[0.0, float("-inf")]], [[0.0, 1.0]])
    >>> round(value, 6)
    0.693147
    >>> grad.round(6)
    array([[0.346574, 0.      ]])
    """

    targets = (PROBABILITIES,)
    name: ClassVar[str] = "js_div"
    info: ClassVar[Info] = Info(
        task="distributions",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Lin 1991",
        target=UNIT,
    )


@dataclass(frozen=True)
class Entropy(Targetless):
    r"""Entropy of the softmax of a row of logits: uncertainty in active learning, or a bonus, with a negative factor.

    .. math:: \ell = -\sum_c p_c \log p_c, \qquad p = \operatorname{softmax}(x)

    There is no target: ``Entropy()(pred)``, with `pred` (x) of shape (..., C); float32, float64, float16, bfloat16
    (integers and bool count as float64). In a sum with other row losses, such as ``CrossEntropy() + -0.01 *
    Entropy()``, the target is that of the others. If all scores of a row are -inf, its entropy is NaN.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Shannon, A mathematical theory of communication, 1948

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.Entropy().value_and_grad([[0.0, 0.0]])
    >>> round(value, 6)
    0.693147
    >>> abs(grad)
    array([[0., 0.]])
    """

    name: ClassVar[str] = "entropy"
    info: ClassVar[Info] = Info(
        task="distributions",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Shannon 1948",
        target=UNIT,
    )


@dataclass(frozen=True)
class MultiHinge(Rowwise):
    r"""Loss of a support vector machine of several classes.

    .. math:: \ell = \max(0, m + \max_{c \ne y} x_c - x_y)
        \quad\text{or}\quad \tfrac1C \sum_{c \ne y} \max(0, m + x_c - x_y)

    `pred` has shape (..., C), `target` (y) shape (...) and holds class indices of any integer dtype; probabilities
    are refused: a margin is to one class. float32, float64, float16, bfloat16 (integers and bool count as float64).
    The derivative at a kink is 0; scores that are equally the largest share theirs. The second derivative is 0.

    Parameters
    ----------
    kind : {"crammer_singer", "weston_watkins"}, default "crammer_singer"
        The largest of the other scores, or all of them over the number of classes (torch).
    margin : float, default 1
        m; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Crammer and Singer 2001; Weston and Watkins 1999; torch.nn.functional.multi_margin_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.MultiHinge().value_and_grad([[2.0, 1.5, 0.0]], [0])
    (0.5, array([[-1.,  1.,  0.]]))
    """

    kind: str = choice("crammer_singer", _KINDS)
    margin: float = parameter(1.0, POSITIVE.number)
    targets = (LABELS,)
    name: ClassVar[str] = "multi_hinge"
    info: ClassVar[Info] = Info(
        task="multiclass classification",
        convex=True,
        differentiable=False,
        outliers="medium",
        source="Crammer 2001; torch multi_margin_loss",
        target=UNIT,
    )

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"kind": _KINDS.index(self.kind)}


@dataclass(frozen=True)
class Distillation(Taught):
    r"""Cross-entropy with the target, and divergence from a teacher at a higher temperature.

    .. math:: \ell = -\alpha \sum_c t_c \log p_c + (1 - \alpha)\, T^2 \sum_c q_c \log\frac{q_c}{s_c},
        \qquad p = \operatorname{softmax}(x), \quad s = \operatorname{softmax}(x/T),
        \quad q = \operatorname{softmax}(u/T)

    ``Distillation()(pred, target, teacher)``. `pred` (x) has shape (..., C), `teacher` (u, logits) broadcasts to
    it. `target` (t) has shape (...) and holds class indices of any integer dtype, or has the shape of `pred` and
    holds probabilities. float32, float64, float16, bfloat16 (integers and bool count as float64). The gradient is
    by `pred` alone; a mean is over rows.

    Parameters
    ----------
    temperature : float, default 2
        T; greater than 0.
    alpha : float, default 0.5
        Share of the cross-entropy, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.Distillation().value_and_grad([[0.0, 0.0]], [0], [[0.0, 0.0]])
    >>> round(value, 6)
    0.346574
    >>> grad
    array([[-0.25,  0.25]])
    """

    temperature: float = parameter(2.0, POSITIVE.number)
    alpha: float = parameter(0.5, UNIT.number)
    engine = ()
    name: ClassVar[str] = "distillation"
    info: ClassVar[Info] = Info(
        task="distillation",
        convex=True,
        differentiable=True,
        outliers="medium",
        source="Hinton 2015",
        target=UNIT,
        extra=(REAL,),
    )


class _OfCosines(Rowwise):
    """Cross-entropy of scaled cosines, of which the label's is changed first."""

    targets = (LABELS,)

    def _settings(self) -> dict[str, Any]:
        settings = super()._settings()
        return settings | {"temperature": 1.0 / settings.pop("scale")} if "scale" in settings else settings


@dataclass(frozen=True)
class ArcFace(_OfCosines):
    r"""Cross-entropy of cosines, to the angle of the label's a margin added.

    .. math:: \ell = -\log \operatorname{softmax}(s z)_y, \qquad z_y = \cos(\theta_y + m),
        \quad z_c = x_c = \cos \theta_c

    `pred` (x) holds cosines, one a class, shape (..., C); `target` (y) has shape (...) and holds class indices of
    any integer dtype; probabilities are refused: a margin is to one class. float32, float64, float16, bfloat16
    (integers and bool count as float64). Where theta + m exceeds pi, z is x - m sin m instead, which keeps it
    falling. The slope is infinite at x = 1: within 1e-7 of it z is constant, with derivatives of 0, so that every
    gradient is finite.

    Parameters
    ----------
    margin : float, default 0.5
        m, the angle in radians; in [0, pi/2].
    scale : float, default 64
        s; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Deng et al., ArcFace, 2019; pytorch_metric_learning.losses.ArcFaceLoss, whose margin is in degrees

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.ArcFace(scale=8.0).value_and_grad([[0.5, 0.25]], [0])
    >>> round(value, 6)
    1.96262
    """

    margin: float = parameter(0.5, Interval(0.0, math.pi / 2).number)
    scale: float = parameter(64.0, POSITIVE.number)
    name: ClassVar[str] = "arc_face"
    info: ClassVar[Info] = Info(
        task="metric learning",
        convex=False,
        differentiable=False,
        outliers="medium",
        source="Deng 2019",
        target=UNIT,
        pred=_COSINE,
    )


@dataclass(frozen=True)
class CosFace(_OfCosines):
    r"""Cross-entropy of cosines, from the label's a margin taken.

    .. math:: \ell = -\log \operatorname{softmax}(s z)_y, \qquad z_y = x_y - m, \quad z_c = x_c

    `pred` (x) holds cosines, one a class, shape (..., C); `target` (y) has shape (...) and holds class indices of
    any integer dtype; probabilities are refused: a margin is to one class. float32, float64, float16, bfloat16
    (integers and bool count as float64).

    Parameters
    ----------
    margin : float, default 0.35
        m; at least 0.
    scale : float, default 64
        s; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Wang et al., CosFace, 2018; pytorch_metric_learning.losses.CosFaceLoss

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.CosFace(margin=0.25, scale=8.0).value_and_grad([[0.5, 0.25]], [0])
    >>> round(value, 6)
    0.693147
    >>> grad
    array([[-4.,  4.]])
    """

    margin: float = parameter(0.35, NON_NEGATIVE.number)
    scale: float = parameter(64.0, POSITIVE.number)
    name: ClassVar[str] = "cos_face"
    info: ClassVar[Info] = Info(
        task="metric learning",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Wang 2018",
        target=UNIT,
        pred=_COSINE,
    )


@dataclass(frozen=True)
class SphereFace(_OfCosines):
    r"""Cross-entropy of cosines, the angle of the label's multiplied.

    .. math:: \ell = -\log \operatorname{softmax}(s z)_y, \qquad z_y = (-1)^k \cos(m \theta_y) - 2k,
        \quad k = \lfloor m \theta_y / \pi \rfloor, \quad z_c = x_c = \cos \theta_c

    `pred` (x) holds cosines, one a class, shape (..., C); `target` (y) has shape (...) and holds class indices of
    any integer dtype; probabilities are refused: a margin is to one class. float32, float64, float16, bfloat16
    (integers and bool count as float64). A label's score beyond -1 or 1 counts as -1 or 1. pytorch-metric-learning
    also multiplies all scores of a row by the length of its embedding; the two agree for embeddings of length 1.

    Parameters
    ----------
    margin : int, default 4
        m; at least 1.
    scale : float, default 1
        s; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Liu et al., SphereFace, 2017; pytorch_metric_learning.losses.SphereFaceLoss

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.SphereFace(margin=2).value_and_grad([[0.5, 0.5]], [0])
    >>> round(value, 6)
    1.313262
    """

    margin: int = parameter(4, positive_integer)
    scale: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "sphere_face"
    info: ClassVar[Info] = Info(
        task="metric learning",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Liu 2017",
        target=UNIT,
        pred=_COSINE,
    )


@dataclass(frozen=True)
class AdaCos(_OfCosines):
    r"""Cross-entropy of cosines at a scale that follows from the number of classes.

    .. math:: \ell = -\log \operatorname{softmax}(s x)_y, \qquad s = \sqrt2 \log(C - 1)

    `pred` (x) holds cosines, one a class, shape (..., C); `target` (y) has shape (...) and holds class indices of
    any integer dtype; probabilities are refused: a margin is to one class. float32, float64, float16, bfloat16
    (integers and bool count as float64). This is the paper's fixed scale. Its dynamic one goes on from the scale of
    the batch before, so it is no function of a batch. There must be at least three classes: with two the scale is
    0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range, a label that is no class (the first one is named), or arguments of the
        wrong type or shape.

    References
    ----------
    Zhang et al., AdaCos, 2019

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.AdaCos()([[1.0, 0.0, 0.0]], [0]), 6)
    0.559861
    """

    name: ClassVar[str] = "ada_cos"
    info: ClassVar[Info] = Info(
        task="metric learning",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="Zhang 2019",
        target=UNIT,
        pred=_COSINE,
    )

    def _component_for(self, classes: int, labels: bool) -> kernels.RowComponent:
        if classes < 3:
            raise ValueError(f"pred: got {classes} classes, wanted at least 3: the scale is sqrt(2) log(classes - 1)")
        return self._make_component(self.name, temperature=1.0 / (math.sqrt(2.0) * math.log(classes - 1)))


def class_balanced_weights(counts: ArrayLike, beta: float = 0.999) -> Array:
    r"""Weights of classes by the effective number of their samples.

    .. math:: w_c = C \frac{1 / E_c}{\sum_k 1 / E_k}, \qquad E_c = \frac{1 - \beta^{n_c}}{1 - \beta}

    For `class_weight` of `CrossEntropy` and `NLL`, or `alpha` of `SoftmaxFocal`. A class without samples gets 0, and
    C is then the number of classes with some.

    Parameters
    ----------
    counts : array_like of int, shape (classes,)
        n, the samples of each class: at least 0, of any integer dtype.
    beta : float, default 0.999
        In [0, 1): 0 weighs all classes alike, towards 1 the weights become those of inverse frequency.

    Returns
    -------
    ndarray of float64, shape (classes,)
        They add up to the number of classes with samples.

    Raises
    ------
    TypeError, ValueError
        For counts that are no integers, negative or not in one axis, or beta outside its range.

    References
    ----------
    Cui et al., Class-balanced loss based on effective number of samples, 2019

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.class_balanced_weights([10, 100, 1000]).round(3)
    array([2.678, 0.28 , 0.042])
    """
    n = counts_of_classes(counts, "counts").astype(np.float64)
    beta = BELOW_ONE.number(beta, "beta")
    effective = np.minimum(n, 1.0) if beta == 0.0 else -np.expm1(n * math.log(beta)) / (1.0 - beta)
    inverse = np.divide(1.0, effective, out=np.zeros_like(n), where=n > 0)
    total = inverse.sum()
    return inverse * (np.count_nonzero(n) / total) if total > 0.0 else inverse
