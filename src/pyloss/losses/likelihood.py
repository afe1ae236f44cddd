"""Negative log-likelihoods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import exp
from typing import ClassVar

from .._arguments import NON_NEGATIVE, POSITIVE, UNIT, flag, parameter, tweedie_power
from ._elementwise import Elementwise
from ._loss import Info

_MAX_DELTA_STEP = exp(0.7)
"""The factor by which both boosting libraries raise the curvature of a log-rate: their default max_delta_step."""


@dataclass(frozen=True)
class PoissonNLL(Elementwise):
    r"""Negative log-likelihood of a count under a Poisson distribution.

    .. math:: \ell = e^{\text{pred}} - \text{target} \cdot \text{pred}
        \quad\text{or}\quad \text{pred} - \text{target} \log(\text{pred} + \epsilon)

    The second form is that of ``log_input=False``. The constant log(target!) is left out, or with `full` approximated
    by Stirling's formula for targets above 1, as torch's ``poisson_nll_loss`` does. Where the target is 0, the
    logarithm does not count even if infinite. `pred` may have any shape, and `target` broadcasts to it; float32,
    float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    log_input : bool, default True
        Whether `pred` is the logarithm of the rate, rather than the rate.
    full : bool, default False
        Whether to add Stirling's approximation.
    eps : float, default 1e-8
        Added to the rate before its logarithm is taken, with ``log_input=False``; at least 0.

    Raises
    ------
    TypeError, ValueError
        For a negative eps; for arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.poisson_nll_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> value, grad = pl.PoissonNLL().value_and_grad([0.0, 0.0], [1.0, 3.0])
    >>> value
    1.0
    >>> grad
    array([ 0., -1.])
    """

    log_input: bool = flag(True)
    full: bool = flag(False)
    eps: float = parameter(1e-8, NON_NEGATIVE.number)
    name: ClassVar[str] = "poisson_nll"
    info: ClassVar[Info] = Info(
        task="count regression",
        convex=True,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="torch poisson_nll_loss",
        target=NON_NEGATIVE,
    )

    def _surrogate(self, curvature: str) -> tuple[float, float | tuple[float, ...]]:
        if self.log_input and curvature in ("xgboost", "lightgbm"):
            return (_MAX_DELTA_STEP, 0.0)
        return super()._surrogate(curvature)


@dataclass(frozen=True)
class GaussianNLL(Elementwise):
    r"""Negative log-likelihood of a Gaussian whose variance is predicted too.

    .. math:: \ell = \tfrac12 \left(\log v + \frac{(\text{pred} - \text{target})^2}{v}\right),
        \qquad v = \max(\text{var}, \epsilon)

    The gradients are by `pred` and by `var`; as in torch's ``gaussian_nll_loss``, that by a variance below eps is
    the one at eps. `pred` may have any shape, and `target` and `var` broadcast to it; float32, float64, float16,
    bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    full : bool, default False
        Whether to add log(2 pi)/2.
    eps : float, default 1e-6
        Smallest variance; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For an eps that is not positive; for arguments of the wrong type or shape.

    References
    ----------
    torch.nn.functional.gaussian_nll_loss

    Examples
    --------
    >>> import pyloss as pl
    >>> import math
    >>> value, (by_pred, by_var) = pl.GaussianNLL().value_and_grad([2.0], [0.0], var=[4.0])
    >>> math.isclose(value, (math.log(4) + 1) / 2)
    True
    >>> by_pred, by_var
    (array([0.5]), array([0.]))
    """

    full: bool = flag(False)
    eps: float = parameter(1e-6, POSITIVE.number)
    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "var")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "var")
    name: ClassVar[str] = "gaussian_nll"
    info: ClassVar[Info] = Info(
        task="probabilistic regression",
        convex=False,
        differentiable=True,
        outliers="high",
        probabilistic=True,
        source="torch gaussian_nll_loss",
        extra=(POSITIVE,),
    )


@dataclass(frozen=True)
class BetaNLL(Elementwise):
    r"""Gaussian likelihood whose elements count by a power of the variance, held constant.

    .. math::
        \ell = \lfloor v^\beta \rfloor \cdot \tfrac12 \left(\log v + \frac{(\text{pred} - \text{target})^2}{v}\right),
        \qquad v = \max(\text{var}, \epsilon)

    No gradient goes through the power. At beta = 0 it is `GaussianNLL`; at 1 `pred` learns as from half the squared
    error. The gradients are by `pred` and by `var`. `pred` may have any shape, and `target` and `var` broadcast to
    it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    beta : float, default 0.5
        In [0, 1].
    eps : float, default 1e-6
        Smallest variance; greater than 0.

    Raises
    ------
    TypeError, ValueError
        For parameters outside their range; for arguments of the wrong type or shape.

    References
    ----------
    Seitzer et al., "On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural networks",
    ICLR 2022.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_pred, by_var) = pl.BetaNLL(beta=1.0).value_and_grad([2.0], [0.0], var=[4.0])
    >>> by_pred, by_var
    (array([2.]), array([0.]))
    """

    beta: float = parameter(0.5, UNIT.number)
    eps: float = parameter(1e-6, POSITIVE.number)
    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "var")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "var")
    name: ClassVar[str] = "beta_nll"
    info: ClassVar[Info] = Info(
        task="probabilistic regression",
        convex=False,
        differentiable=True,
        outliers="high",
        probabilistic=True,
        source="Seitzer et al. 2022",
        extra=(POSITIVE,),
    )


@dataclass(frozen=True)
class LaplaceNLL(Elementwise):
    r"""Negative log-likelihood of a Laplace distribution whose scale is predicted too.

    .. math:: \ell = \log s + \frac{|\text{pred} - \text{target}|}{s}

    The gradients are by `pred`, 0 at the kink, and by `scale` (s), which must be positive. `pred` may have any
    shape, and `target` and `scale` broadcast to it; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Parameters
    ----------
    full : bool, default False
        Whether to add log 2.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    torch.distributions.Laplace

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_pred, by_scale) = pl.LaplaceNLL().value_and_grad([3.0], [1.0], scale=[1.0])
    >>> value, by_pred, by_scale
    (2.0, array([1.]), array([-1.]))
    """

    full: bool = flag(False)
    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "scale")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "scale")
    name: ClassVar[str] = "laplace_nll"
    info: ClassVar[Info] = Info(
        task="probabilistic regression",
        convex=False,
        differentiable=False,
        outliers="medium",
        probabilistic=True,
        source="torch.distributions.Laplace",
        extra=(POSITIVE,),
    )


@dataclass(frozen=True)
class StudentTNLL(Elementwise):
    r"""Negative log-likelihood of Student's t distribution, whose scale is predicted too.

    .. math:: \ell = \log\frac{\Gamma(\nu/2) \sqrt{\nu\pi}\, s}{\Gamma((\nu + 1)/2)}
        + \frac{\nu + 1}{2} \log\left(1 + \frac{(\text{pred} - \text{target})^2}{\nu s^2}\right)

    The full density. The gradients are by `pred` and by `scale` (s), which must be positive. `pred` may have any
    shape, and `target` and `scale` broadcast to it; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Parameters
    ----------
    df : float, default 3
        Degrees of freedom, nu; greater than 0. The fewer, the less outliers pull.

    Raises
    ------
    TypeError, ValueError
        For degrees of freedom that are not positive; for arguments of the wrong type or shape.

    References
    ----------
    torch.distributions.StudentT

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_pred, by_scale) = pl.StudentTNLL(df=1.0).value_and_grad([1.0], [0.0], scale=[1.0])
    >>> round(value, 6)  # log(2 pi)
    1.837877
    >>> by_pred, by_scale
    (array([1.]), array([0.]))
    """

    df: float = parameter(3.0, POSITIVE.number)
    _derived: ClassVar[int] = 1
    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "scale")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "scale")
    name: ClassVar[str] = "student_t_nll"
    info: ClassVar[Info] = Info(
        task="probabilistic regression",
        convex=False,
        differentiable=True,
        outliers="low",
        probabilistic=True,
        source="torch.distributions.StudentT",
        extra=(POSITIVE,),
    )

    @property
    def _parameters(self) -> list[float]:
        df = self.df
        return [df, math.lgamma(df / 2) - math.lgamma((df + 1) / 2) + math.log(df * math.pi) / 2]


@dataclass(frozen=True)
class NegativeBinomialNLL(Elementwise):
    r"""Negative log-likelihood of a count that varies more than a Poisson distribution allows.

    .. math:: \ell = -\log \frac{\Gamma(t + 1/\alpha)}{\Gamma(1/\alpha)\, t!}
        + \frac{\log(1 + \alpha m)}{\alpha} - t \log\frac{\alpha m}{1 + \alpha m}, \qquad m = e^{\text{pred}}

    With t the target, m the mean, whose logarithm is predicted, and alpha the `dispersion`, which must be positive:
    the variance is m + alpha m² (NB2), and where alpha vanishes the distribution is Poisson's. The gradients are by
    `pred` and by `dispersion`. Targets may be any numbers from 0 on; where a target is negative, or a dispersion is
    not positive, the result is NaN. `pred` may have any shape, and `target` and `dispersion` broadcast to it;
    float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Hilbe, "Negative Binomial Regression", 2nd edition, Cambridge 2011; statsmodels' NegativeBinomial.

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_pred, by_dispersion) = pl.NegativeBinomialNLL().value_and_grad([0.0], [1.0], dispersion=[1.0])
    >>> round(value, 6)  # log 4
    1.386294
    >>> by_pred, by_dispersion.round(6)
    (array([0.]), array([0.306853]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "dispersion")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "dispersion")
    name: ClassVar[str] = "negative_binomial_nll"
    info: ClassVar[Info] = Info(
        task="count regression",
        convex=False,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="statsmodels NegativeBinomial",
        target=NON_NEGATIVE,
        extra=(POSITIVE,),
    )


@dataclass(frozen=True)
class GammaDeviance(Elementwise):
    r"""Deviance of a gamma distribution: of positive targets whose errors grow with them.

    .. math:: \ell = 2 \left(\log\frac{m}{\text{target}} + \frac{\text{target}}{m} - 1\right),
        \qquad m = \text{pred} \ \text{or}\ e^{\text{pred}}

    `TweedieDeviance` of power 2. The mean m and the target must be positive; the result is NaN where they are not.
    With `log_input` value, gradient and curvature are twice those of the gamma objectives of XGBoost and LightGBM.
    `target` broadcasts to `pred`, of any shape; float32, float64, float16, bfloat16 (integers and bool count as
    float64).

    Parameters
    ----------
    log_input : bool, default False
        Whether `pred` is the logarithm of the mean, rather than the mean.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    sklearn.metrics.mean_gamma_deviance

    Examples
    --------
    >>> import pyloss as pl
    >>> round(pl.GammaDeviance()([2.0], [1.0]), 6)
    0.386294
    """

    log_input: bool = flag(False)
    name: ClassVar[str] = "gamma_deviance"
    info: ClassVar[Info] = Info(
        task="positive regression",
        convex=False,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="sklearn mean_gamma_deviance",
        target=POSITIVE,
    )


@dataclass(frozen=True)
class TweedieDeviance(Elementwise):
    r"""Deviance of distributions whose variance is a power of the mean.

    .. math:: \ell = 2 \left(\frac{\max(t, 0)^{2-p}}{(1-p)(2-p)} - \frac{t\, m^{1-p}}{1-p} + \frac{m^{2-p}}{2-p}\right),
        \qquad m = \text{pred} \ \text{or}\ e^{\text{pred}}

    With t the target, and the limits at p = 1 (Poisson) and 2 (gamma); 0 is the squared error, between 1 and 2 lie
    amounts with many zeros, 3 is the inverse Gaussian. The mean m must be positive but for p = 0; the target must not
    be negative from p = 1 on, and must be positive from p = 2 on. Elsewhere the result is NaN. With `log_input` value,
    gradient and curvature are twice those of the Tweedie objectives of XGBoost and LightGBM. `target` broadcasts to
    `pred`, of any shape; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Parameters
    ----------
    power : float, default 1.5
        p: 0 and below, or 1 and above.
    log_input : bool, default False
        Whether `pred` is the logarithm of the mean, rather than the mean.

    Raises
    ------
    TypeError, ValueError
        For a power between 0 and 1, of which there is no distribution; for arguments of the wrong type or
        shape.

    References
    ----------
    sklearn.metrics.mean_tweedie_deviance; Jorgensen, "Exponential dispersion models", Journal of the Royal
    Statistical Society B 49 (1987).

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.TweedieDeviance(power=0.0)([2.0], [1.0])
    1.0
    >>> round(pl.TweedieDeviance(power=1.5)([4.0], [1.0]), 6)
    2.0
    """

    power: float = parameter(1.5, tweedie_power)
    log_input: bool = flag(False)
    name: ClassVar[str] = "tweedie_deviance"
    info: ClassVar[Info] = Info(
        task="positive regression",
        convex=False,
        differentiable=True,
        outliers="medium",
        probabilistic=True,
        source="sklearn mean_tweedie_deviance",
        target=NON_NEGATIVE,
    )


@dataclass(frozen=True)
class GaussianCRPS(Elementwise):
    r"""Continuous ranked probability score of a Gaussian forecast.

    .. math:: \ell = s \left(w\,(2\Phi(w) - 1) + 2\varphi(w) - \frac{1}{\sqrt\pi}\right),
        \qquad w = \frac{\text{pred} - \text{target}}{s}

    In the units of the target: the absolute error where `scale` (s) is 0 in the limit. The gradients are by `pred`,
    the mean, and by `scale`, which must be positive. `pred` may have any shape, and `target` and `scale` broadcast
    to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Gneiting et al., "Calibrated probabilistic forecasting using ensemble model output statistics and minimum CRPS
    estimation", Monthly Weather Review 133 (2005).

    Examples
    --------
    >>> import pyloss as pl
    >>> value, (by_pred, by_scale) = pl.GaussianCRPS().value_and_grad([0.0], [0.0], scale=[1.0])
    >>> round(value, 6), by_pred
    (0.233695, array([0.]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("pred", "target", "scale")
    gradients: ClassVar[tuple[str, ...]] = ("pred", "scale")
    name: ClassVar[str] = "gaussian_crps"
    info: ClassVar[Info] = Info(
        task="probabilistic regression",
        convex=True,
        differentiable=True,
        outliers="low",
        probabilistic=False,
        source="Gneiting et al. 2005",
        extra=(POSITIVE,),
    )


@dataclass(frozen=True)
class GaussianKL(Elementwise):
    r"""Divergence of a Gaussian from the standard one: the prior's term of a variational autoencoder.

    .. math:: \ell = \tfrac12 \left(\text{mean}^2 + e^{\text{log\_var}} - 1 - \text{log\_var}\right)

    Of each latent variable; the gradients are by `mean` and by `log_var`. `mean` may have any shape, and `log_var`
    broadcasts to it; float32, float64, float16, bfloat16 (integers and bool count as float64).

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type or shape.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.GaussianKL().value_and_grad([2.0], [0.0])
    (2.0, (array([2.]), array([0.])))
    """

    inputs: ClassVar[tuple[str, ...]] = ("mean", "log_var")
    gradients: ClassVar[tuple[str, ...]] = ("mean", "log_var")
    name: ClassVar[str] = "gaussian_kl"
    info: ClassVar[Info] = Info(
        task="variational inference",
        convex=True,
        differentiable=True,
        outliers="high",
        probabilistic=False,
        source="Kingma and Welling 2014",
    )
