"""Generative adversarial networks: losses of a discriminator's scores and gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, JointTerms, Terms, times, unless_nan
from .binary import sigmoid


def _softplus(x: Array) -> Terms:
    return np.logaddexp(0, x), sigmoid(x), sigmoid(x) * sigmoid(-x)


def gan_discriminator(real: ArrayLike, fake: ArrayLike, kind: str = "non_saturating") -> JointTerms:
    """f(real) + g(fake), by the game.

    Goodfellow 2014: D maximises log D(x) + log(1 - D(G(z))), D = sigmoid(score). Mao 2017, equation 2 with a = 0 and
    b = 1: (D(x) - 1)²/2 + D(G(z))²/2. Lim and Ye 2017: max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Arjovsky 2017: the
    critic maximises f(x) - f(G(z)).
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    zero = np.zeros(np.broadcast_shapes(real.shape, fake.shape))
    if kind == "least_squares":
        return (real - 1) ** 2 / 2 + fake**2 / 2, (real - 1 + 0 * zero, fake + 0 * zero), (zero + 1, zero + 1)
    if kind == "hinge":
        grads = np.where(real < 1, -1, 0 * np.sign(real)), np.where(fake > -1, 1, 0 * np.sign(fake))
        return np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), grads, (zero, zero)
    if kind == "wasserstein":
        return fake - real, (unless_nan(real, zero - 1), unless_nan(fake, zero + 1)), (zero, zero)
    (on, d_on, d2_on), (off, d_off, d2_off) = _softplus(-real), _softplus(fake)
    return on + off, (-d_on, d_off), (d2_on, d2_off)


def gan_generator(fake: ArrayLike, kind: str = "non_saturating") -> Terms:
    """Minimised by the generator: log(1 - D), -log D, (D - 1)²/2 (Mao 2017, c = 1), or the score's negative."""
    fake = np.asarray(fake, np.float64)
    if kind == "minimax":
        value, grad, hess = _softplus(fake)
        return -value, -grad, -hess
    if kind == "non_saturating":
        value, grad, hess = _softplus(-fake)
        return value, -grad, hess
    if kind == "least_squares":
        return (fake - 1) ** 2 / 2, fake - 1, np.ones_like(fake)
    return -fake, unless_nan(fake, -np.ones_like(fake)), np.zeros_like(fake)


def gradient_penalty(pred: ArrayLike, target: float = 1.0) -> Terms:
    """(‖g‖ - target)² of each row g (Gulrajani et al. 2017), by g: 2 (‖g‖ - target) g/‖g‖, 0 at a row of zeros.

    The diagonal of the Hessian is 2 - 2 target/‖g‖ (1 - (g_i/‖g‖)²), where what the squares of the others share stands
    for 1 - (g_i/‖g‖)²; at a row of zeros it is 0, unless target is, since ‖g‖² has one.
    """
    g = np.asarray(pred, np.float64)
    with np.errstate(all="ignore"):
        largest = np.max(abs(g), axis=-1, keepdims=True, initial=0.0)
        unit = g / np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        root = np.linalg.norm(unit, axis=-1, keepdims=True)
        norm = np.where(np.isfinite(largest), root * largest, largest)
        zero = norm == 0
        direction = np.where(zero, 0.0, unit / root)
        grad = np.where(norm > target, 2 * (1 - target / norm) * g, 2 * (norm - target) * direction)
        others = (1 - np.eye(g.shape[-1])) @ (unit**2)[..., None]
        across = np.where(np.isinf(norm), 0.0, others[..., 0] / root**2)
        bend = np.where(zero, 2.0 * (target == 0), 2 - 2 * times(target / norm, across) if target else 2.0)
    return ((norm - target) ** 2)[..., 0], np.where(zero, 0.0, grad), bend + np.zeros_like(g)
