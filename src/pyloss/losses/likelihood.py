"""Negative log-likelihoods."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import ClassVar

from .._arguments import NON_NEGATIVE, flag, parameter
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
