"""Losses of the residual r = pred - target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from .._arguments import BELOW_INFINITY, NON_NEGATIVE, OPEN_UNIT, POSITIVE, Interval, flag, parameter
from ._elementwise import Elementwise
from ._loss import Info
from ._root import RootLoss


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
class RMSE(RootLoss):
    r"""Root of the mean squared error.

    .. math:: \ell = \sqrt{\frac{\sum w r^2}{\sum w}}, \qquad r = \text{pred} - \text{target}

    The root is taken of the reduced value: with ``reduction="sum"`` of the weighted sum, with "none" of each r², so
    that the values are :math:`w |r|`. The gradient is 0 where the root is 0. It is no mean of losses of elements: it
    can be scaled, but not added to others. Computed in two passes over memory, the second for the derivatives. `pred`
    may have any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    sklearn.metrics.root_mean_squared_error

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.RMSE().value_and_grad([0.0, 4.0, 1.0, 1.0], [3.0, 0.0, 1.0, 1.0])
    >>> value, grad
    (2.5, array([-0.3,  0.4,  0. ,  0. ]))
    """

    name: ClassVar[str] = "rmse"
    info: ClassVar[Info] = Info(
        task="regression",
        convex=True,
        differentiable=False,
        outliers="high",
        source="sklearn root_mean_squared_error",
    )

    @property
    def _square(self) -> Elementwise:
        return MSE()

    @property
    def _alone(self) -> Elementwise:
        return MAE()


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


@dataclass(frozen=True)
class MSLE(Elementwise):
    r"""Squared error of the logarithms of 1 + pred and 1 + target.

    .. math:: \ell = (\log(1 + \text{pred}) - \log(1 + \text{target}))^2

    Both must be above -1; at -1 and below the loss is infinite or NaN, where Keras clips at 0. `pred` may have any
    shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    keras.losses.MeanSquaredLogarithmicError

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.MSLE()([0.0, 1.0], [1.0, 1.0], reduction="sum"), 6)
    0.480453
    """

    name: ClassVar[str] = "msle"
    info: ClassVar[Info] = Info(
        task="regression",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Keras MeanSquaredLogarithmicError",
        target=Interval(-1.0, open_low=True),
        pred=Interval(-1.0, open_low=True, open_high=True),
    )


@dataclass(frozen=True)
class MAPE(Elementwise):
    r"""Absolute error relative to the target.

    .. math:: \ell = |r| / \max(|\text{target}|, \epsilon), \qquad r = \text{pred} - \text{target}

    A ratio, not percent. scikit-learn's floor is the epsilon of float64. `pred` may have any shape, and `target`
    broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    eps : float, default 1e-8
        Smallest size of a target that is divided by; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For an eps that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    sklearn.metrics.mean_absolute_percentage_error

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.MAPE()([1.0, 5.0], [2.0, 4.0])
    0.375
    """

    eps: float = parameter(1e-8, POSITIVE.number)
    name: ClassVar[str] = "mape"
    info: ClassVar[Info] = Info(
        task="regression",
        convex=True,
        differentiable=False,
        outliers="medium",
        source="sklearn mean_absolute_percentage_error",
    )


@dataclass(frozen=True)
class SMAPE(Elementwise):
    r"""Absolute error relative to the mean size of prediction and target.

    .. math:: \ell = 2 |r| / (|\text{pred}| + |\text{target}|), \qquad r = \text{pred} - \text{target}

    A ratio, not percent; 0 where both are 0, 2 where their signs differ. `pred` may have any shape, and `target`
    broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Makridakis, "Accuracy measures: theoretical and practical concerns", International Journal of Forecasting 9
    (1993).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.SMAPE()([1.0, 0.0], [3.0, 0.0], reduction="none")
    array([1., 0.])
    """

    name: ClassVar[str] = "smape"
    info: ClassVar[Info] = Info(
        task="regression", convex=False, differentiable=False, outliers="low", source="Makridakis 1993"
    )


@dataclass(frozen=True)
class SmoothL1(Elementwise):
    r"""Huber's loss divided by its threshold.

    .. math:: \ell(r) = r^2/(2\beta) \ \text{if}\ |r| < \beta\ \text{else}\ |r| - \beta/2,
        \qquad r = \text{pred} - \text{target}

    torch's ``smooth_l1_loss``: ``Huber(delta=beta)`` is beta times this. `pred` may have any shape, and `target`
    broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    beta : float, default 1
        Residual at which the loss turns linear; at least 0, where it is the absolute error.

    Raises
    ------
    TypeError, ValueError
        For a negative beta; for arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.smooth_l1_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.SmoothL1(beta=2.0)([0.0, 5.0], [1.0, 1.0], reduction="none")
    array([0.25, 3.  ])
    """

    beta: float = parameter(1.0, NON_NEGATIVE.number)
    name: ClassVar[str] = "smooth_l1"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=True, outliers="low", source="torch smooth_l1_loss"
    )


@dataclass(frozen=True)
class PseudoHuber(Elementwise):
    r"""Smooth approximation of Huber's loss.

    .. math:: \ell = \delta^2 \left(\sqrt{1 + (r/\delta)^2} - 1\right), \qquad r = \text{pred} - \text{target}

    XGBoost's ``reg:pseudohubererror``, whose slope is delta. `pred` may have any shape, and `target` broadcasts to
    it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    delta : float, default 1
        About the residual at which the loss turns linear; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a delta that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", ICIP
    1994.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.PseudoHuber()([0.0, 1e30], [1.0, 0.0], reduction="none")[0], 6)
    np.float64(0.414214)
    """

    delta: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "pseudo_huber"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=True, outliers="low", source="Charbonnier et al. 1994"
    )


@dataclass(frozen=True)
class Expectile(Elementwise):
    r"""Asymmetric squared error, smallest at the tau-expectile of the target.

    .. math:: \ell = |\tau - [r > 0]|\, r^2, \qquad r = \text{pred} - \text{target}

    `pred` may have any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool
    count as float64).

    Parameters
    ----------
    tau : float, default 0.5
        Level, in (0, 1); 0.5 is half the squared error.

    Raises
    ------
    TypeError, ValueError
        For a level outside (0, 1); for arguments of the wrong type or shape.

    References
    ----------
    Newey and Powell, "Asymmetric least squares estimation and testing", Econometrica 55 (1987).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Expectile(tau=0.75)([0.0, 2.0], [1.0, 1.0], reduction="none")
    array([0.75, 0.25])
    """

    tau: float = parameter(0.5, OPEN_UNIT.number)
    name: ClassVar[str] = "expectile"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=True, outliers="high", source="Newey and Powell 1987"
    )


@dataclass(frozen=True)
class EpsilonInsensitive(Elementwise):
    r"""Absolute error beyond a tube around the target: the loss of support vector regression.

    .. math:: \ell = \max(|r| - \epsilon, 0) \ \text{or its square}, \qquad r = \text{pred} - \text{target}

    Its gradient at the edge of the tube is 0. `pred` may have any shape, and `target` broadcasts to it; float32,
    float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    epsilon : float, default 0.1
        Half the width of the tube; at least 0.
    squared : bool, default False
        Whether to square.

    Raises
    ------
    TypeError, ValueError
        For a negative epsilon; for arguments of the wrong type or shape.

    References
    ----------
    Vapnik, "The nature of statistical learning theory", 1995; sklearn.linear_model.SGDRegressor.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.EpsilonInsensitive(epsilon=0.5)([0.0, 1.25], [1.0, 1.0], reduction="none")
    array([0.5, 0. ])
    """

    epsilon: float = parameter(0.1, NON_NEGATIVE.number)
    squared: bool = flag(False)
    name: ClassVar[str] = "epsilon_insensitive"
    info: ClassVar[Info] = Info(
        task="regression", convex=True, differentiable=False, outliers="low", source="Vapnik 1995"
    )


@dataclass(frozen=True)
class Tukey(Elementwise):
    r"""Biweight loss, which outliers do not pull at all.

    .. math:: \ell = \tfrac{c^2}{6} \left(1 - \max(1 - (r/c)^2, 0)^3\right), \qquad r = \text{pred} - \text{target}

    `pred` may have any shape, and `target` broadcasts to it; float32, float64, float16, bfloat16 (integers and bool
    count as float64).

    Parameters
    ----------
    c : float, default 4.685
        Residual from which the loss is constant; greater than 0. The default is 95 % efficient for residuals of
        unit variance.

    Raises
    ------
    TypeError, ValueError
        For a c that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Beaton and Tukey, "The fitting of power series", Technometrics 16 (1974).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Tukey(c=2.0).value_and_grad([1.0, 9.0], [0.0, 0.0], reduction="none")
    (array([0.38541667, 0.66666667]), array([0.5625, 0.    ]))
    """

    c: float = parameter(4.685, POSITIVE.number)
    name: ClassVar[str] = "tukey"
    info: ClassVar[Info] = Info(
        task="regression", convex=False, differentiable=True, outliers="low", source="Beaton and Tukey 1974"
    )


@dataclass(frozen=True)
class Cauchy(Elementwise):
    r"""Negative log-likelihood of a Cauchy distribution, up to scale: Lorentzian loss.

    .. math:: \ell = \log\left(\tfrac12 (r/c)^2 + 1\right), \qquad r = \text{pred} - \text{target}

    As Barron 2019 scales it: half the square of r/c near 0. `pred` may have any shape, and `target` broadcasts to
    it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    c : float, default 1
        Scale of the residuals; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a c that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Barron, "A general and adaptive robust loss function", CVPR 2019, alpha = 0.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.Cauchy()([0.0, 2.0], [0.0, 0.0], reduction="sum"), 6)
    1.098612
    """

    c: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "cauchy"
    info: ClassVar[Info] = Info(
        task="regression", convex=False, differentiable=True, outliers="low", source="Barron 2019"
    )


@dataclass(frozen=True)
class Welsch(Elementwise):
    r"""Loss that saturates like a Gaussian: Leclerc's.

    .. math:: \ell = 1 - \exp\left(-\tfrac12 (r/c)^2\right), \qquad r = \text{pred} - \text{target}

    As Barron 2019 scales it: half the square of r/c near 0. `pred` may have any shape, and `target` broadcasts to
    it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    c : float, default 1
        Scale of the residuals; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a c that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Dennis and Welsch, "Techniques for nonlinear least squares and robust regression", 1978; Barron, CVPR 2019,
    alpha = -inf.

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.Welsch()([1.0, 100.0], [0.0, 0.0], reduction="sum"), 6)
    1.393469
    """

    c: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "welsch"
    info: ClassVar[Info] = Info(
        task="regression", convex=False, differentiable=True, outliers="low", source="Barron 2019"
    )


@dataclass(frozen=True)
class GemanMcClure(Elementwise):
    r"""Loss that saturates like 1/r².

    .. math:: \ell = 2 (r/c)^2 / ((r/c)^2 + 4), \qquad r = \text{pred} - \text{target}

    As Barron 2019 scales it: half the square of r/c near 0. `pred` may have any shape, and `target` broadcasts to
    it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    c : float, default 1
        Scale of the residuals; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For a c that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    Geman and McClure, "Bayesian image analysis", 1985; Barron, CVPR 2019, alpha = -2.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.GemanMcClure()([2.0, 0.0], [0.0, 0.0], reduction="none")
    array([1., 0.])
    """

    c: float = parameter(1.0, POSITIVE.number)
    name: ClassVar[str] = "geman_mcclure"
    info: ClassVar[Info] = Info(
        task="regression", convex=False, differentiable=True, outliers="low", source="Barron 2019"
    )


@dataclass(frozen=True)
class Barron(Elementwise):
    r"""General robust loss, from squared error to losses that ignore outliers.

    .. math::
        \ell = \frac{|\alpha - 2|}{\alpha} \left(\left(\frac{(r/c)^2}{|\alpha - 2|} + 1\right)^{\alpha/2} - 1\right),
        \qquad r = \text{pred} - \text{target}

    Exact in the limits: half the square of r/c at alpha = 2, `Cauchy` at 0, `Welsch` at -inf; alpha = 1 is
    `PseudoHuber` and -2 `GemanMcClure`. `pred` may have any shape, and `target` broadcasts to it; float32, float64,
    float16, bfloat16 (integers and bool count as float64).

    A parameter that is None is an input of the call, behind `target`, by position or by its name: an array that
    broadcasts to `pred`. The gradients are then a tuple, by `pred` and by each of these inputs, in the order `alpha`,
    `c`; where an input is broadcast, its gradient is the sum over its places. The loss increases with alpha, so that
    fitting alpha by it alone lowers alpha without end: the adaptive loss of the paper is a negative log-likelihood and
    adds log c and the logarithm of a partition function of alpha, which are not part of this class. By alpha, the slope
    is infinite at alpha = 2, unless r = 0: the paper keeps alpha within (0, 2).

    Parameters
    ----------
    alpha : float or None, default 1
        Shape; -inf is allowed. The lower, the less outliers pull. None: an input.
    c : float or None, default 1
        Scale of the residuals; greater than 0. None: an input.

    Raises
    ------
    TypeError, ValueError
        For an infinite alpha other than -inf or a c that is not positive; for arguments of the wrong type or
        shape.

    References
    ----------
    Barron, "A general and adaptive robust loss function", CVPR 2019.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.Barron(alpha=2.0)([2.0], [0.0])
    2.0
    >>> round(pl.Barron(alpha=-float("inf"))([1.0], [0.0]), 6)
    0.393469
    >>> value, (by_pred, by_c) = pl.Barron(alpha=0.0, c=None).value_and_grad([2.0, -2.0], [0.0, 0.0], c=[2.0])
    >>> by_pred.round(6), by_c.round(6)
    (array([ 0.166667, -0.166667]), array([-0.333333]))
    """

    alpha: float | None = parameter(1.0, BELOW_INFINITY.optional)
    c: float | None = parameter(1.0, POSITIVE.optional)
    name: ClassVar[str] = "barron"
    info: ClassVar[Info] = Info(
        task="regression",
        convex=False,
        differentiable=True,
        outliers="low",
        source="Barron 2019",
        optional=(("alpha", BELOW_INFINITY), ("c", POSITIVE)),
    )

    @classmethod
    def _kernels(cls) -> dict[str, tuple[int, int, int]]:
        return {
            "barron": (2, 2, 1),
            "barron_of_alpha": (1, 3, 2),
            "barron_of_c": (1, 3, 2),
            "barron_of_both": (0, 4, 3),
        }

    @property
    def _kernel(self) -> str:
        free = tuple(self._free())
        return "barron" if not free else f"barron_of_{free[0] if len(free) == 1 else 'both'}"

    @property
    def _parameters(self) -> list[float]:
        return [value for value in (self.alpha, self.c) if value is not None]

    def _free(self) -> Iterator[str]:
        """Names of the parameters that are inputs."""
        return (name for name, value in (("alpha", self.alpha), ("c", self.c)) if value is None)

    def _names(self) -> tuple[str, ...]:
        return (*self.inputs, *self._free())

    def _gradients(self) -> tuple[str, ...]:
        return (*self.gradients, *self._free())
