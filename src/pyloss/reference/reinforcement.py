"""Reinforcement learning: losses of log-probabilities of actions taken, of predicted returns and of their quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import regression
from ._terms import Terms, residual, times, unless_nan


def policy_gradient(log_prob: ArrayLike, advantage: ArrayLike) -> Terms:
    """-log_prob advantage (Williams 1992)."""
    log_prob, advantage = np.asarray(log_prob, np.float64), np.asarray(advantage, np.float64)
    return -log_prob * advantage, unless_nan(log_prob, -advantage), np.zeros_like(log_prob)


def ppo_clip(log_prob: ArrayLike, old_log_prob: ArrayLike, advantage: ArrayLike, clip: float = 0.2) -> Terms:
    """-min(ratio A, clip(ratio, 1 - clip, 1 + clip) A), ratio = exp(log_prob - old_log_prob) (Schulman et al. 2017).

    The derivative of the ratio by log_prob is the ratio, and that of what is clipped is 0.
    """
    ratio, gain = np.exp(residual(log_prob, old_log_prob)), np.asarray(advantage, np.float64)
    within = np.minimum(np.maximum(ratio, 1 - clip), 1 + clip)
    plain, clipped = times(gain, ratio), within * gain
    free = (plain < clipped) | (ratio == within)
    slope = np.where(free | np.isnan(ratio), -plain, 0)
    return -np.minimum(plain, clipped), slope, slope


def grpo(
    log_prob: ArrayLike,
    old_log_prob: ArrayLike,
    advantage: ArrayLike,
    ref_log_prob: ArrayLike,
    clip: float = 0.2,
    kl: float = 0.04,
) -> Terms:
    """PPO's clipped loss + kl (exp(d) - d - 1), d = ref_log_prob - log_prob (Shao et al. 2024).

    Near 0 the penalty is its series d²/2 + d³/6 + ..., whose first terms float64 would lose.
    """
    value, grad, hess = ppo_clip(log_prob, old_log_prob, advantage, clip)
    d = residual(ref_log_prob, log_prob)
    if kl == 0:
        return value, grad, hess
    near = np.where(abs(d) < 0.5, d, 0)
    series = 0 * near
    for n in range(50, 1, -1):
        series = (1 + series) * near / n
    rate = np.exp(d / 2) * kl * np.exp(d / 2)  # kl exp(d), which may be finite where exp(d) is not
    penalty = np.where(abs(d) < 0.5, kl * series * near, np.where(np.isposinf(rate), rate, rate - kl * (d + 1)))
    slope = np.where(d > 1, rate - kl, kl * np.expm1(d))
    both = np.isposinf(grad) & np.isposinf(slope)  # the one of the larger exponent
    steepest = np.where(residual(log_prob, old_log_prob) > d, np.inf, -np.inf)
    return value + penalty, np.where(both, steepest, grad - slope), hess + rate


def td_huber(pred: ArrayLike, target: ArrayLike, delta: float = 1.0) -> Terms:
    """Huber loss of a temporal difference (Mnih et al. 2015 clip the error to [-1, 1])."""
    return regression.huber(pred, target, delta)


def quantile_huber(pred: ArrayLike, target: ArrayLike, kappa: float = 1.0) -> Terms:
    """Σ_i mean_j |tau_i - 1{u < 0}| L(u) / kappa, u = target_j - pred_i, tau_i = (i + 1/2) / N (Dabney et al. 2018).

    L is the Huber loss: over kappa, it is u²/(2 kappa) up to kappa, |u| - kappa/2 beyond, and |u| if kappa is 0. The
    slope of that at 0 is 0.
    """
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    count = pred.shape[-1]
    tau = ((np.arange(count) + 0.5) / count)[:, None]
    u = residual(target[..., None, :], pred[..., :, None])
    weight = np.where(u < 0, tau[::-1], tau)  # 1 - tau_i is the level as far from the other end
    far = abs(u) > kappa
    unit = u / kappa if kappa else np.sign(u)
    terms = (
        np.where(far, abs(u) - kappa / 2, unit * u / 2),
        np.where(far, np.sign(u), unit),
        unless_nan(u, np.where(far, 0.0, 1 / kappa if kappa else 0.0)),
    )
    value, slope, bend = (np.mean(weight * term, axis=-1) for term in terms)
    return np.sum(value, axis=-1), -slope, bend
