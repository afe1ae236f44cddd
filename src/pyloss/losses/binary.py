"""Binary classification: losses of a raw score against a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import BELOW_ONE, POSITIVE, UNIT, Interval, parameter
from ._elementwise import Elementwise
from ._loss import Info


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
