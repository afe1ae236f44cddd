"""Losses of the residual r = pred - target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._arguments import OPEN_UNIT, POSITIVE, parameter
from ._elementwise import Elementwise
from ._loss import Info


@dataclass(frozen=True)
class MSE(Elementwise):
    r"""Squared error.

    .. math:: \ell = r^2, \qquad r = \text{pred} - \text{target}

    Not halved: torch's ``mse_loss``, twice optax's ``l2_loss`` and scikit-learn's half squared error. `pred` may have
    any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.mse_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.MSE().value_and_grad([0.0, 5.0], [1.0, 1.0])
    >>> value
    8.5
    >>> grad
    array([-1.,  4.])
    """

    name: ClassVar[str] = "mse"
    info: ClassVar[Info] = Info(
        task="regression",
        convex=True,
        differentiable=True,
        outliers="high",
        probabilistic=True,
        source="torch mse_loss",
    )


@dataclass(frozen=True)
class MAE(Elementwise):
    r"""Absolute error.

    .. math:: \ell = |r|, \qquad r = \text{pred} - \text{target}

    Its gradient is the sign of r, 0 at 0; its Hessian is 0. `pred` may have any shape, and `target` broadcasts to it;
    float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.l1_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.MAE()([0.0, 5.0], [1.0, 1.0])
    2.5
    """

    name: ClassVar[str] = "mae"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=False, outliers="low", probabilistic=True, source="torch l1_loss"
    )

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        return super()._surrogate(curvature) if curvature == "exact" else (1.0, 1.0)


@dataclass(frozen=True)
class Huber(Elementwise):
    r"""Quadratic near the target, linear far from it.

    .. math:: \ell(r) = r^2/2 \ \text{if}\ |r| \le \delta\ \text{else}\ \delta(|r| - \delta/2),
        \qquad r = \text{pred} - \text{target}

    torch's ``huber_loss``; its ``smooth_l1_loss`` is this divided by delta. LightGBM calls delta alpha. `pred` may have
    any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    delta : float, default 1
        Residual at which the loss turns linear; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a delta that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Huber(delta=2.0)([0.0, 5.0], [1.0, 1.0], reduction="sum")
    6.5
    """

    delta: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "huber"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=True, outliers="low", source="Huber 1964"
    )

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        return (1.0, 1.0) if curvature == "lightgbm" else super()._surrogate(curvature)


@dataclass(frozen=True)
class Quantile(Elementwise):
    r"""Pinball loss, smallest at the q-quantile of the target.

    .. math:: \ell(r) = (1 - q) \max(r, 0) + q \max(-r, 0), \qquad r = \text{pred} - \text{target}

    Its gradient at r = 0 is 0, and its Hessian is 0. For several quantiles at once q is a sequence: `pred` then has a
    last axis of that length, to which a `target` of shape (..., 1) broadcasts. float32, float64, float16, bfloat16
    (integers and bool count as float64).

    Parameters
    ----------
    q : float or sequence of float, default 0.5
        Level, in (0, 1).

    Raises
    ------
    TypeError, ValueError
        For a level outside (0, 1); for arguments of the wrong type or shape.

    References
    ----------
    Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978); sklearn.metrics.mean_pinball_loss.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Quantile(q=0.9)([0.0, 5.0], [1.0, 1.0], reduction="none")
    array([0.9, 0.4])
    >>> pl.Quantile(q=(0.25, 0.75)).value_and_grad([[0.0, 5.0]], [[1.0]], reduction="sum")
    (1.25, array([[-0.25,  0.25]]))
    """

    q: float | tuple[float, ...] = parameter(0.5, OPEN_UNIT.numbers, as_input=0.5)
    name: ClassVar[str] = "quantile"
    info: ClassVar[Info] = Info(
        task="quantile regression", convex=True, differentiable=False, outliers="low", source="Koenker and Bassett 1978"
    )

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        if curvature == "exact":
            return super()._surrogate(curvature)
        if curvature != "fisher":
            return (1.0, 1.0)
        return (1.0, tuple(q * (1.0 - q) for q in self.q) if isinstance(self.q, tuple) else self.q * (1.0 - self.q))


@dataclass(frozen=True)
class LogCosh(Elementwise):
    r"""Smooth absolute error.

    .. math:: \ell = \log\cosh r, \qquad r = \text{pred} - \text{target}

    About r²/2 near 0 and abs r - log 2 far from it; no finite r overflows, and small ones keep their digits. `pred` may
    have any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    keras.losses.LogCosh

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.LogCosh()([0.0, 1000.0], [0.0, 0.0], reduction="sum"), 6)
    999.306853
    """

    name: ClassVar[str] = "log_cosh"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=True, outliers="low", source="Keras LogCosh"
    )
