"""Negative log-likelihoods."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Terms, times


def poisson_nll(
    pred: ArrayLike, target: ArrayLike, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Terms:
    """Rate - target log(rate), plus Stirling's log(target!) for targets above 1 if `full` (torch ``poisson_nll_loss``).

    `pred` is the log of the rate, or the rate, to which `eps` is added in the logarithm. Target 0 has no logarithm,
    however infinite, and an infinite rate is infinitely unlikely whatever the target.
    """
    pred, target = np.broadcast_arrays(np.asarray(pred, np.float64), np.asarray(target, np.float64))
    with np.errstate(all="ignore"):
        if log_input:
            rate = np.exp(pred)
            value, grad, hess = rate - times(target, pred), rate - target, rate
        else:
            rate = pred + eps
            value = pred - times(target, np.log(rate))
            nothing = (target == 0) & (rate == 0)
            grad, hess = 1 - np.where(nothing, 0.0, target / rate), np.where(nothing, 0.0, target / rate / rate)
        value = np.where(np.isposinf(rate) & np.isfinite(target), np.inf, value)
        if full:
            stirling = target * np.log(target) - target + 0.5 * np.log(2 * np.pi * target)
            value = value + np.where(target > 1, stirling, 0.0)
    return value, grad, hess
