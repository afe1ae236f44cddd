"""The losses of the catalogue as JAX's users write them, and torch's own where it has them: the peers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Formula = Callable[..., Any]


def elementwise_formulas() -> dict[str, Formula]:
    """Return the terms of each elementwise loss with its default parameters."""
    import jax
    import jax.numpy as jnp

    softplus, sigmoid, where, log = jax.nn.softplus, jax.nn.sigmoid, jnp.where, jnp.log

    def asymmetric_focal(z: Any, t: Any) -> Any:
        m = jnp.maximum(sigmoid(z) - 0.05, 0.0)
        return t * softplus(-z) - (1 - t) * m**4 * jnp.log1p(-m)

    def bce(p: Any, t: Any) -> Any:
        return -t * jnp.maximum(log(p), -100.0) - (1 - t) * jnp.maximum(jnp.log1p(-p), -100.0)

    def beta_nll(p: Any, t: Any, var: Any) -> Any:
        v = jnp.maximum(var, 1e-6)
        return jax.lax.stop_gradient(jnp.sqrt(v)) * (log(v) + (p - t) ** 2 / v) / 2

    def focal(z: Any, t: Any) -> Any:
        p = sigmoid(z)
        missed = p * (1 - t) + (1 - p) * t
        return (0.25 * t + 0.75 * (1 - t)) * missed**2 * (softplus(z) - z * t)

    def gaussian_crps(p: Any, t: Any, s: Any) -> Any:
        w = (p - t) / s
        odds = jax.scipy.special.erf(w / math.sqrt(2))
        return s * (w * odds + math.sqrt(2 / math.pi) * jnp.exp(-(w**2) / 2) - 1 / math.sqrt(math.pi))

    def gaussian_nll(p: Any, t: Any, var: Any) -> Any:
        v = jnp.maximum(var, 1e-6)
        return (log(v) + (p - t) ** 2 / v) / 2

    def grpo(p: Any, old: Any, gain: Any, reference: Any) -> Any:
        d = reference - p
        return ppo_clip(p, old, gain) + 0.04 * (jnp.exp(d) - d - 1)

    def huber(p: Any, t: Any) -> Any:
        q = jnp.clip(p - t, -1, 1)
        return q * (p - t - 0.5 * q)

    def modified_huber(p: Any, t: Any) -> Any:
        m = p * t
        return where(m < -1, -4 * m, jnp.maximum(1 - m, 0) ** 2)

    def ppo_clip(p: Any, old: Any, gain: Any) -> Any:
        ratio = jnp.exp(p - old)
        return -jnp.minimum(ratio * gain, jnp.clip(ratio, 0.8, 1.2) * gain)

    def negative_binomial_nll(p: Any, t: Any, a: Any) -> Any:
        gamma, r, u = jax.scipy.special.gammaln, 1 / a, a * jnp.exp(p)
        return gamma(r) + gamma(t + 1) - gamma(t + r) + r * jnp.log1p(u) - t * (log(u) - jnp.log1p(u))

    def student_t_nll(p: Any, t: Any, s: Any) -> Any:
        constant = math.lgamma(1.5) - math.lgamma(2.0) + math.log(3 * math.pi) / 2
        return constant + log(s) + 2 * jnp.log1p((p - t) ** 2 / (3 * s * s))

    def tukey(p: Any, t: Any) -> Any:
        inside = jnp.maximum(1 - ((p - t) / 4.685) ** 2, 0)
        return 4.685**2 / 6 * (1 - inside**3)

    return {
        "asymmetric_focal": asymmetric_focal,
        "barron": lambda p, t: jnp.sqrt((p - t) ** 2 + 1) - 1,
        "bce": bce,
        "bce_with_logits": lambda z, t: softplus(z) - z * t,
        "beta_nll": beta_nll,
        "cauchy": lambda p, t: jnp.log1p((p - t) ** 2 / 2),
        "epsilon_insensitive": lambda p, t: jnp.maximum(jnp.abs(p - t) - 0.1, 0),
        "expectile": lambda p, t: 0.5 * (p - t) ** 2,
        "exponential": lambda p, t: jnp.exp(-p * t),
        "focal": focal,
        "gamma_deviance": lambda p, t: 2 * (log(p / t) + t / p - 1),
        "gan_discriminator": lambda real, fake: softplus(-real) + softplus(fake),
        "gan_generator": lambda fake: softplus(-fake),
        "gaussian_crps": gaussian_crps,
        "gaussian_kl": lambda mean, z: (mean**2 + jnp.exp(z) - z - 1) / 2,
        "gaussian_nll": gaussian_nll,
        "geman_mcclure": lambda p, t: 2 * (p - t) ** 2 / ((p - t) ** 2 + 4),
        "grpo": grpo,
        "hinge": lambda p, t: jnp.maximum(1 - p * t, 0),
        "huber": huber,
        "laplace_nll": lambda p, t, s: log(s) + jnp.abs(p - t) / s,
        "log_cosh": lambda p, t: jnp.logaddexp(p - t, t - p) - math.log(2),
        "logistic": lambda p, t: softplus(-p * t),
        "mae": lambda p, t: jnp.abs(p - t),
        "mape": lambda p, t: jnp.abs(p - t) / jnp.maximum(jnp.abs(t), 1e-8),
        "modified_huber": modified_huber,
        "mse": lambda p, t: (p - t) ** 2,
        "msle": lambda p, t: (jnp.log1p(p) - jnp.log1p(t)) ** 2,
        "negative_binomial_nll": negative_binomial_nll,
        "poisson_nll": lambda p, t: jnp.exp(p) - t * p,
        "policy_gradient": lambda p, gain: -p * gain,
        "ppo_clip": ppo_clip,
        "pseudo_huber": lambda p, t: jnp.sqrt((p - t) ** 2 + 1) - 1,
        "quantile": lambda p, t: 0.5 * jnp.abs(p - t),
        "rmse": lambda p, t: (p - t) ** 2,
        "smape": lambda p, t: 2 * jnp.abs(p - t) / (jnp.abs(p) + jnp.abs(t)),
        "smooth_l1": huber,
        "squared_hinge": lambda p, t: jnp.maximum(1 - p * t, 0) ** 2,
        "student_t_nll": student_t_nll,
        "td_huber": huber,
        "tukey": tukey,
        "tweedie_deviance": lambda p, t: 4 * (2 * jnp.sqrt(t) * (jnp.sqrt(t / p) / 2 - 1) + jnp.sqrt(p)),
        "welsch": lambda p, t: -jnp.expm1(-((p - t) ** 2) / 2),
    }


def row_formulas() -> dict[str, Formula]:
    """Return the value of each row of each row loss with its default parameters; labels as int32."""
    import jax
    import jax.numpy as jnp

    def of_label(x: Any, y: Any) -> Any:
        return jnp.take_along_axis(x, y[:, None], 1)[:, 0]

    def log_p(x: Any, y: Any) -> Any:
        return of_label(x, y) - jax.nn.logsumexp(x, axis=1)

    def with_margin(margin: Callable[[Any], Any], scale: float) -> Formula:
        def loss(x: Any, y: Any) -> Any:
            own = y[:, None] == jnp.arange(x.shape[1])
            return -log_p(scale * jnp.where(own, margin(x), x), y)

        return loss

    def arc_face(x: Any) -> Any:
        theta = jnp.arccos(jnp.minimum(x, 1 - 1e-7))
        return jnp.where(theta > math.pi - 0.5, x - 0.5 * math.sin(0.5), jnp.cos(theta + 0.5))

    def sphere_face(x: Any) -> Any:
        theta = jnp.arccos(jnp.clip(x, -1, 1))
        k = jnp.minimum(jnp.floor(4 * theta / math.pi), 3)
        return jnp.where(k % 2 == 0, 1, -1) * jnp.cos(4 * theta) - 2 * k

    def categorical_cross_entropy(x: Any, y: Any) -> Any:
        return -jnp.log(jnp.clip(of_label(x, y) / x.sum(axis=1), 1e-7, 1 - 1e-7))

    def entropy(x: Any) -> Any:
        p = jax.nn.log_softmax(x)
        return -(jnp.exp(p) * p).sum(axis=1)

    def js_div(x: Any, t: Any) -> Any:
        q = jnp.exp(x)
        m = jnp.log((q + t) / 2)
        return (t * (jnp.log(t) - m) + q * (x - m)).sum(axis=1) / 2

    def multi_hinge(x: Any, y: Any) -> Any:
        own = y[:, None] == jnp.arange(x.shape[1])
        return jnp.maximum(1 + jnp.where(own, -jnp.inf, x).max(axis=1) - of_label(x, y), 0)

    def distillation(x: Any, y: Any, teacher: Any) -> Any:
        soft, known = jax.nn.log_softmax(x / 2), jax.nn.log_softmax(teacher / 2)
        return -0.5 * log_p(x, y) + 0.5 * 4 * (jnp.exp(known) * (known - soft)).sum(axis=1)

    def symmetric_cross_entropy(x: Any, y: Any) -> Any:
        u = log_p(x, y)
        return -0.1 * u - math.log(1e-4) * (1 - jnp.exp(u))

    return {
        "ada_cos": lambda x, y: -log_p(math.sqrt(2) * math.log(x.shape[1] - 1) * x, y),
        "arc_face": with_margin(arc_face, 64.0),
        "categorical_cross_entropy": categorical_cross_entropy,
        "cos_face": with_margin(lambda x: x - 0.35, 64.0),
        "cross_entropy": lambda x, y: -log_p(x, y),
        "distillation": distillation,
        "entropy": entropy,
        "generalized_cross_entropy": lambda x, y: (1 - jnp.exp(0.7 * log_p(x, y))) / 0.7,
        "gradient_penalty": lambda x: (jnp.sqrt((x * x).sum(axis=1)) - 1) ** 2,
        "js_div": js_div,
        "kl_div": lambda x, t: (jax.scipy.special.xlogy(t, t) - t * x).sum(axis=1),
        "multi_hinge": multi_hinge,
        "nll": lambda x, y: -of_label(x, y),
        "poly_cross_entropy": lambda x, y: -log_p(x, y) + 1 - jnp.exp(log_p(x, y)),
        "softmax_focal": lambda x, y: -((1 - jnp.exp(log_p(x, y))) ** 2) * log_p(x, y),
        "sphere_face": with_margin(sphere_face, 1.0),
        "symmetric_cross_entropy": symmetric_cross_entropy,
    }


def torch_functions() -> dict[str, Formula]:
    """Return the mean losses that torch has itself; the first argument is torch.nn.functional."""
    return {
        "bce": lambda f, p, t: f.binary_cross_entropy(p, t),
        "bce_with_logits": lambda f, p, t: f.binary_cross_entropy_with_logits(p, t),
        "cross_entropy": lambda f, p, t: f.cross_entropy(p, t),
        "gaussian_nll": lambda f, p, t, var: f.gaussian_nll_loss(p, t, var),
        "huber": lambda f, p, t: f.huber_loss(p, t),
        "kl_div": lambda f, p, t: f.kl_div(p, t, reduction="batchmean"),
        "logistic": lambda f, p, t: f.soft_margin_loss(p, t),
        "mae": lambda f, p, t: f.l1_loss(p, t),
        "mse": lambda f, p, t: f.mse_loss(p, t),
        "nll": lambda f, p, t: f.nll_loss(p, t),
        "poisson_nll": lambda f, p, t: f.poisson_nll_loss(p, t),
        "smooth_l1": lambda f, p, t: f.smooth_l1_loss(p, t),
        "td_huber": lambda f, p, t: f.huber_loss(p, t),
    }
