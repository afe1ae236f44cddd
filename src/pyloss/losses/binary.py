"""Binary classification: losses of a raw score, or of a probability, against a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .._arguments import BELOW_HALF, BELOW_ONE, NON_NEGATIVE, POSITIVE, UNIT, Interval, number_or_none, parameter
from ._elementwise import Elementwise
from ._loss import Info


@dataclass(frozen=True)
class BCE(Elementwise):
    r"""Cross-entropy of a probability p against a target t in [0, 1].

    .. math:: \ell = -t \log p - (1 - t) \log(1 - p)

    Without `eps`, torch's ``binary_cross_entropy``: each logarithm is at least -100, and derivatives at an end of
    [0, 1] are those at 1e-12 from it, so that both are finite. (torch's own gradient goes to 0 for a target of 0 at p
    below 1e-12, and of 1 above 1 - 1e-12, where the limit is 1 or -1.) Outside [0, 1] the result is NaN.
    With `eps`, Keras's: p is clipped to [eps, 1 - eps], and beyond it the derivatives are 0. `pred` (p) may have any
    shape, and `target` (t) broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    eps : float, optional
        Distance that p keeps from 0 and 1, in (0, 1/2). None clips the logarithms instead.

    Raises
    ------
    TypeError, ValueError
        For an eps outside (0, 1/2); for arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.binary_cross_entropy; keras.losses.BinaryCrossentropy.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.BCE().value_and_grad([0.0, 1.0, 0.0], [0, 1, 1], reduction="sum")
    (100.0, array([ 1.e+00, -1.e+00, -1.e+12]))
    """

    eps: float | None = number_or_none(None, BELOW_HALF)
    name: ClassVar[str] = "bce"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="torch binary_cross_entropy, Keras BinaryCrossentropy",
        target=UNIT,
        pred=UNIT,
    )
    _derived: ClassVar[int] = 2

    @property
    def _parameters(self) -> list[float]:
        ends = (-100.0, 0.0) if self.eps is None else (math.log(self.eps), math.log1p(-self.eps))
        return [*super()._parameters, *ends]


@dataclass(frozen=True)
class BCEWithLogits(Elementwise):
    r"""Cross-entropy of a logit z against a target t in [0, 1].

    .. math:: \ell = -w t \log \sigma(z) - (1 - t) \log(1 - \sigma(z)), \qquad \sigma(z) = 1 / (1 + e^{-z})

    torch's ``binary_cross_entropy_with_logits``, also at infinite logits, where the limit is taken. `pred` (z) may have
    any shape, and `target` (t) broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Parameters
    ----------
    pos_weight : float or sequence of float, optional
        w, the weight of the positive class; a sequence gives one for each place of the last axis. None is 1.
    label_smoothing : float, default 0
        Moves targets towards 1/2: t becomes t (1 - s) + s/2; in [0, 1).

    Raises
    ------
    TypeError, ValueError
        For a weight that is not positive or a smoothing outside [0, 1); for arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.binary_cross_entropy_with_logits; label smoothing as keras.losses.BinaryCrossentropy.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.BCEWithLogits().value_and_grad([0.0, 1000.0], [0.0, 1.0], reduction="sum")
    >>> round(value, 6)
    0.693147
    >>> grad
    array([0.5, 0. ])
    """

    pos_weight: float | tuple[float, ...] | None = parameter(None, POSITIVE.optional_numbers, as_input=1.0)
    label_smoothing: float = parameter(0.0, BELOW_ONE.number)
    name: ClassVar[str] = "bce_with_logits"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="torch binary_cross_entropy_with_logits",
        target=UNIT,
    )

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        return (1.0, 1e-16) if curvature == "xgboost" else super()._surrogate(curvature)


@dataclass(frozen=True)
class Focal(Elementwise):
    r"""Cross-entropy of a logit z that counts the less, the better the prediction is already.

    .. math:: \ell = -\alpha_t (1 - p_t)^\gamma (t \log p + (1 - t) \log(1 - p)), \qquad p = \sigma(z),
        \quad p_t = t p + (1 - t)(1 - p), \quad \alpha_t = t \alpha + (1 - t)(1 - \alpha)

    torchvision's ``sigmoid_focal_loss``, also for targets between 0 and 1, and finite wherever the limit is, for gamma
    below 1 too. `pred` (z) may have any shape, and `target` (t) broadcasts to it; float32, float64, float16, bfloat16
    (integers and bool count as float64).

    Parameters
    ----------
    gamma : float, default 2
        Strength of the focus, at least 0; 0 is cross-entropy.
    alpha : float, default 0.25
        Weight of the positive class, in [0, 1]; the negative one has the rest. None weighs neither (torchvision's -1).

    Raises
    ------
    TypeError, ValueError
        For a negative gamma or an alpha outside [0, 1]; for arguments of the wrong type or shape.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017; torchvision.ops.sigmoid_focal_loss.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.Focal(alpha=None).value_and_grad([0.0, -1000.0], [1, 0], reduction="sum")
    >>> round(value, 6)
    0.173287
    >>> grad.round(6)
    array([-0.298287,  0.      ])
    """

    gamma: float = parameter(2.0, NON_NEGATIVE.number)
    alpha: float | None = number_or_none(0.25, UNIT)
    name: ClassVar[str] = "focal"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=False,
        differentiable=True,
        outliers="medium",
        source="torchvision sigmoid_focal_loss",
        target=UNIT,
    )


@dataclass(frozen=True)
class AsymmetricFocal(Elementwise):
    r"""Focal loss of a logit z with a focus for each class, and none on negatives that are easy enough.

    .. math:: \ell = -t (1 - p)^{\gamma_+} \log p - (1 - t)\, m^{\gamma_-} \log(1 - m), \qquad p = \sigma(z),
        \quad m = \max(p - c, 0)

    The gradient is that of the whole formula: the focus is not held constant. Where p is at most c, negatives cost
    nothing. For targets between 0 and 1 the two terms are mixed. No logarithm is clipped (the authors' code does so at
    1e-8). `pred` (z) may have any shape, and `target` (t) broadcasts to it; float32, float64, float16, bfloat16
    (integers and bool count as float64).

    Parameters
    ----------
    gamma_pos : float, default 0
        Focus on the positive class, at least 0.
    gamma_neg : float, default 4
        Focus on the negative class, at least 0.
    clip : float, default 0.05
        c, by which probabilities of negatives are shifted; in [0, 1).

    Raises
    ------
    TypeError, ValueError
        For a negative focus or a clip outside [0, 1); for arguments of the wrong type or shape.

    References
    ----------
    Ridnik et al., "Asymmetric loss for multi-label classification", ICCV 2021.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.AsymmetricFocal().value_and_grad([0.0, 0.0, -3.0], [1, 0, 0], reduction="sum")
    >>> round(value, 6)
    0.717662
    >>> grad.round(6)
    array([-0.5     ,  0.073117,  0.      ])
    """

    gamma_pos: float = parameter(0.0, NON_NEGATIVE.number)
    gamma_neg: float = parameter(4.0, NON_NEGATIVE.number)
    clip: float = parameter(0.05, BELOW_ONE.number)
    name: ClassVar[str] = "asymmetric_focal"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=False,
        differentiable=False,
        outliers="medium",
        source="Ridnik et al. 2021",
        target=UNIT,
    )


@dataclass(frozen=True)
class Hinge(Elementwise):
    r"""Loss of a support vector machine.

    .. math:: \ell = \max(0, m - \text{target} \cdot \text{pred})

    Its gradient at the kink is 0, and so is its Hessian. `target` is -1 or +1 and broadcasts to `pred`, of any shape;
    float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    margin : float, default 1
        m; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a margin that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Cortes and Vapnik, "Support-vector networks", Machine Learning 20 (1995); sklearn.metrics.hinge_loss.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Hinge().value_and_grad([0.5, 2.0, -1.0], [1, 1, 1], reduction="sum")
    (2.5, array([-1.,  0., -1.]))
    """

    margin: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "hinge"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=False,
        outliers="medium",
        source="Cortes and Vapnik 1995",
        target=Interval(-1.0, 1.0),
        binary=True,
    )


@dataclass(frozen=True)
class SquaredHinge(Elementwise):
    r"""Square of the loss of a support vector machine.

    .. math:: \ell = \max(0, m - \text{target} \cdot \text{pred})^2

    `target` is -1 or +1 and broadcasts to `pred`, of any shape; float32, float64, float16, bfloat16 (integers and bool
    count as float64).

    Parameters
    ----------
    margin : float, default 1
        m; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a margin that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    keras.losses.SquaredHinge; sklearn.svm.LinearSVC.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.SquaredHinge().value_and_grad([0.5, 2.0, -1.0], [1, 1, 1], reduction="sum")
    (4.25, array([-1., -0., -4.]))
    """

    margin: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "squared_hinge"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="high",
        source="Keras SquaredHinge",
        target=Interval(-1.0, 1.0),
        binary=True,
    )


@dataclass(frozen=True)
class ModifiedHuber(Elementwise):
    r"""Squared hinge near the margin, linear far on the wrong side.

    .. math:: \ell = \max(0, 1 - m)^2 \ \text{if}\ m \ge -1\ \text{else}\ -4 m, \qquad
        m = \text{target} \cdot \text{pred}

    `target` is -1 or +1 and broadcasts to `pred`, of any shape; float32, float64, float16, bfloat16 (integers and bool
    count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms", ICML 2004;
    sklearn.linear_model.SGDClassifier.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.ModifiedHuber().value_and_grad([0.5, 2.0, -2.0], [1, 1, 1], reduction="sum")
    (8.25, array([-1., -0., -4.]))
    """

    name: ClassVar[str] = "modified_huber"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="medium",
        source="scikit-learn SGDClassifier",
        target=Interval(-1.0, 1.0),
        binary=True,
    )


@dataclass(frozen=True)
class Exponential(Elementwise):
    r"""Loss that AdaBoost minimises.

    .. math:: \ell = e^{-\text{target} \cdot \text{pred}}

    `target` is -1 or +1 and broadcasts to `pred`, of any shape; float32, float64, float16, bfloat16 (integers and bool
    count as float64). The same as scikit-learn's ``ExponentialLoss``, whose targets are 0 and 1.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Friedman, Hastie and Tibshirani, "Additive logistic regression", Annals of Statistics 28 (2000).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Exponential().value_and_grad([0.0, 1000.0], [1, 1], reduction="sum")
    (1.0, array([-1., -0.]))
    """

    name: ClassVar[str] = "exponential"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="high",
        source="Friedman, Hastie and Tibshirani 2000",
        target=Interval(-1.0, 1.0),
        binary=True,
    )


@dataclass(frozen=True)
class Logistic(Elementwise):
    r"""Cross-entropy of a logit, for targets -1 and +1.

    .. math:: \ell = \log(1 + e^{-\text{target} \cdot \text{pred}})

    `BCEWithLogits` with targets 0 and 1 has the same values. `target` is -1 or +1 and broadcasts to `pred`, of any
    shape; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.soft_margin_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.Logistic().value_and_grad([0.0, 1000.0], [-1, 1], reduction="sum")
    >>> round(value, 6)
    0.693147
    >>> grad
    array([ 0.5, -0. ])
    """

    name: ClassVar[str] = "logistic"
    info: ClassVar[Info] = Info(
        task="binary classification",
        convex=True,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="torch soft_margin_loss",
        target=Interval(-1.0, 1.0),
        binary=True,
    )
