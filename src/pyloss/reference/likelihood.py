"""Negative log-likelihoods."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array, JointTerms, Terms, residual, times


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


def gaussian_nll(
    pred: ArrayLike, target: ArrayLike, var: ArrayLike, full: bool = False, eps: float = 1e-6
) -> JointTerms:
    """(log var + r²/var) / 2, plus log(2 pi)/2 if `full`; var counts as at least eps (torch ``gaussian_nll_loss``)."""
    r, v = residual(pred, target), np.maximum(np.asarray(var, np.float64), eps)
    constant = np.log(2 * np.pi) / 2 if full else 0.0
    return (
        (np.log(v) + r / v * r) / 2 + constant,
        (r / v, (1 - r / v * r) / v / 2),
        (1 / v + np.zeros_like(r), (2 * (r / v) * r - 1) / v / v / 2),
    )


def beta_nll(pred: ArrayLike, target: ArrayLike, var: ArrayLike, beta: float = 0.5, eps: float = 1e-6) -> JointTerms:
    """var^beta, held constant, times (log var + r²/var) / 2 (Seitzer et al. 2022)."""
    value, grads, hesses = gaussian_nll(pred, target, var, eps=eps)
    weight = np.maximum(np.asarray(var, np.float64), eps) ** beta
    return weight * value, (weight * grads[0], weight * grads[1]), (weight * hesses[0], weight * hesses[1])


def laplace_nll(pred: ArrayLike, target: ArrayLike, scale: ArrayLike, full: bool = False) -> JointTerms:
    """Log scale + |r|/scale, plus log 2 if `full`."""
    r, s = residual(pred, target), np.asarray(scale, np.float64)
    value = np.log(s) + np.abs(r) / s + (np.log(2.0) if full else 0.0)
    return value, (np.sign(r) / s, (1 - np.abs(r) / s) / s), (0 * np.sign(r), (2 * np.abs(r) / s - 1) / s / s)


def student_t_nll(pred: ArrayLike, target: ArrayLike, scale: ArrayLike, df: float = 3.0) -> JointTerms:
    """-log of Student's density with `df` degrees of freedom, location pred and a scale."""
    r, s = residual(pred, target), np.asarray(scale, np.float64)
    u = r / s
    constant = math.lgamma(df / 2) - math.lgamma((df + 1) / 2) + math.log(df * math.pi) / 2
    beyond = np.abs(u) > 1e100
    inner, outer = np.where(beyond, 1.0, u), np.where(beyond, np.abs(u), 1.0)
    total = df + inner**2
    log = np.where(beyond, 2 * np.log(outer) - np.log(df * 1.0), np.log1p(inner**2 / df))
    near, far = np.where(beyond, 0.0, df / total), np.where(beyond, 1.0, inner**2 / total)
    slope = np.where(beyond, np.sign(u) / outer, inner / total)
    return (
        constant + np.log(s) + (df + 1) / 2 * log,
        ((df + 1) * slope / s, (near - df * far) / s),
        (
            np.where(beyond, -(df + 1) / outer / outer, (df + 1) * (df - inner**2) / total**2) / s / s,
            (df * far - near + 2 * (df + 1) * far * near) / s / s,
        ),
    )


def bernoulli(count: int) -> list[float]:
    """Return the first Bernoulli numbers, B(1) = -1/2."""
    numbers = [Fraction(1)]
    for n in range(1, count):
        numbers.append(-sum((math.comb(n + 1, k) * numbers[k] for k in range(n)), Fraction(0)) / (n + 1))
    return [float(number) for number in numbers]


BERNOULLI = bernoulli(16)


def log_step(f: float, alpha: float) -> Array:
    """Log Gamma(f + 1/alpha) - log Gamma(1/alpha) + f log alpha, f < 1, and its derivatives by alpha.

    Taken 20 steps further on, where the asymptotic series by Bernoulli polynomials serves.
    """
    r, j = 1 / alpha, np.arange(20.0)
    x, z = r + j, r + 20
    slope = f * (1 - f) * (r / x) * (r / (x + f)) / (x + 1)
    bend = slope * r * (j / x + (j + f) / (x + f) + (j + 1) / (x + 1) - 1)
    total = np.array([np.sum(f * np.log1p(1 / x) - np.log1p(f / x)), -np.sum(slope), np.sum(bend)])
    for k in range(1, 14):
        polynomial = sum(math.comb(k + 1, i) * BERNOULLI[k + 1 - i] * f**i for i in range(1, k + 2))
        c = (-1) ** (k + 1) * polynomial / (k * (k + 1)) / z ** (k - 1)
        total += [c / z, k * c * (r / z) ** 2, -k * c * (r / z) ** 2 * r * ((1 - k) + (k + 1) * 20 / z)]
    return total


def log_choices_of(t: float, alpha: float) -> Array:
    """Return what `log_choices` does of a pair of numbers: whole steps are summed."""
    if not (0 <= t < math.inf and 0 < alpha < math.inf):
        return np.full(4, math.nan)
    f, r = t - math.floor(t), 1 / alpha
    j = f + np.arange(math.floor(t))
    ratio = j / (1 + alpha * j)
    choices, scaled = np.sum(np.log1p((r - 1) / (1 + j))), np.sum(np.log((1 + alpha * j) / (1 + j)))
    total = np.array([choices, scaled, np.sum(ratio), -np.sum(ratio**2)])
    if f:
        step, slope, bend = log_step(f, alpha)
        step -= log_step(f, 1.0)[0]
        total += [step - f * np.log(alpha), step, slope, bend]
    return total


def log_choices(t: Array, alpha: Array) -> tuple[Array, Array, Array, Array]:
    """Log of Gamma(t + 1/alpha) / (Gamma(1/alpha) Gamma(t + 1)); plus t log alpha; derivatives of that by alpha.

    For whole t the second is the sum of log((1 + alpha j) / (1 + j)) over all j below t.
    """
    pairs, places = np.unique(np.stack([t.ravel(), alpha.ravel()]), axis=1, return_inverse=True)
    rows = np.array([log_choices_of(*pair) for pair in pairs.T.tolist()]).reshape(-1, 4)
    choices, scaled, slope, bend = rows[places.reshape(-1)].T.reshape(4, *t.shape)
    return choices, scaled, slope, bend


def negative_binomial_nll(pred: ArrayLike, target: ArrayLike, dispersion: ArrayLike) -> JointTerms:
    """-log of the probability of a count of mean exp(pred) and variance mean + dispersion mean² (Hilbe 2011).

    Counts of many thousands near their mean lose digits here: sums of so many logarithms cancel.
    """
    x, t, a = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (pred, target, dispersion)))
    with np.errstate(all="ignore"):
        r, e = 1 / a, np.exp(-abs(x))
        high, low = np.where(x > 0, 1, e), np.where(x > 0, e, 1)  # mean = high / low
        share, rest = high / (low + a * high), low / (low + a * high)  # mean / (1 + a mean), 1 / (1 + a mean)
        root = np.exp(-abs(x) / 2) / (low + a * high)
        log_rest = np.where(x < 500, np.log1p(a * np.exp(np.minimum(x, 500))), np.log(a + low) + x)
        log_odds = np.where(x > 0, np.log(a + low), np.log1p(a * high) - x)  # log(a + 1/mean)

        # log_rest = p + p²/2 + p³/3 + ...
        p = a * share
        few = np.where(p < 0.5, p, 0)
        second = np.where(p < 0.5, sum(few**k / k for k in range(2, 140)), log_rest - p)
        third = np.where(p < 0.5, 2 * sum(few**k / k for k in range(3, 140)), 2 * (log_rest - p) - p**2)

        choices, scaled, slope, bend = log_choices(t, a)
        of_counts = np.where(a * high > low, t * np.log1p(low / (a * high)) - choices, times(t, log_odds) - scaled)
        terms = (
            r * log_rest + of_counts,
            share - t * rest,
            t * share - r**2 * second - slope,
            (1 + a * t) * root * root,
            r**3 * third - t * share**2 - bend,
        )
        inside = (t >= 0) & (a > 0) & (t < np.inf)
        value, by_pred, by_dispersion, *hess = (np.where(inside, term, np.nan) for term in terms)
        return value, (by_pred, by_dispersion), (hess[0], hess[1])


def tweedie_deviance(pred: ArrayLike, target: ArrayLike, power: float = 1.5, log_input: bool = False) -> Terms:
    """Deviance at variance mean^power (scikit-learn ``mean_tweedie_deviance``), where pred is the mean or its log.

    NaN where mean or target are outside of the distribution's domain. A term beyond float64 outweighs the others.
    """
    pred, t = np.broadcast_arrays(np.asarray(pred, np.float64), np.asarray(target, np.float64))
    a, b = 1 - power, 2 - power

    def mean_to(y: Any) -> Array:
        return np.asarray(np.exp(times(y, pred)) if log_input else pred**y)

    def target_times_mean_to(y: Any) -> Array:
        half = mean_to(y / 2)
        return times(times(t, half), half)

    def total(of_mean: Array, of_target: Array) -> Array:
        both = np.isinf(of_mean) & np.isinf(of_target)
        return np.where(both, np.where(m > t, of_mean, of_target), of_mean + of_target)

    with np.errstate(all="ignore"):
        m, log_mean = mean_to(1), pred if log_input else np.log(np.where(pred > 0, pred, 1))
        if power == 0 and not log_input:
            return (m - t) ** 2, 2 * (m - t), np.full_like(m, 2.0)
        d = (t - m) / m
        near = np.abs(d) < 0.5
        log_near, log_target = np.log1p(np.where(near, d, 0)), np.log(np.where(t > 0, t, 1))
        if power == 0:
            close = apart = (m - t) ** 2 / 2
            rest = (m, m)
        elif power == 1:
            close = m * ((1 + d) * log_near - d)
            apart, rest = times(t, log_target - log_mean) - t + m, (times(t, log_mean), m)
        elif power == 2:
            close = d - log_near
            apart, rest = log_mean - log_target + target_times_mean_to(-1) - 1, (log_mean, target_times_mean_to(-1))
        else:
            close = mean_to(b) * (np.expm1(b * log_near) - b * d) / (a * b)
            rest = (target_times_mean_to(a) / a, mean_to(b) / b)
            apart = np.maximum(t, 0) ** b / (a * b) - rest[0] + rest[1]
        value = 2 * np.where(near, close, np.where(np.isinf(rest[0]) | np.isinf(rest[1]), np.inf, apart))
        if log_input:
            grad = 2 * total(mean_to(b), -target_times_mean_to(a))
            hess = 2 * total(b * mean_to(b), -a * target_times_mean_to(a))
        else:
            grad = 2 * total(mean_to(a), -target_times_mean_to(-power))
            hess = 2 * total(times(a, mean_to(-power)), power * target_times_mean_to(-power - 1))
        inside = (np.isfinite(m) | np.isinf(m)) if log_input else m > 0
        inside &= t > 0 if power >= 2 else t >= 0 if power >= 1 else t < np.inf
        return np.where(inside, value, np.nan), np.where(inside, grad, np.nan), np.where(inside, hess, np.nan)


def gamma_deviance(pred: ArrayLike, target: ArrayLike, log_input: bool = False) -> Terms:
    """2 (log(mean/target) + target/mean - 1) (scikit-learn ``mean_gamma_deviance``); pred is the mean or its log."""
    return tweedie_deviance(pred, target, 2.0, log_input)


def erf(x: Array) -> Array:
    """Return the error function, which NumPy lacks."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def gaussian_crps(pred: ArrayLike, target: ArrayLike, scale: ArrayLike) -> JointTerms:
    """Scale (w (2 Phi(w) - 1) + 2 phi(w) - 1/sqrt(pi)), w = r/scale (Gneiting et al. 2005)."""
    r, s = residual(pred, target), np.asarray(scale, np.float64)
    w = r / s
    square = np.minimum(w**2, 3000)
    root = np.exp(-square / 4)  # its square underflows before the products do
    most = np.sqrt(2 / np.pi) * root
    odds = erf(w / np.sqrt(2.0))
    rest = most * root - 1 / np.sqrt(np.pi)
    return r * odds + s * rest, (odds, rest), (most / s * root, most * square / s * root)


def gaussian_kl(mean: ArrayLike, log_var: ArrayLike) -> JointTerms:
    """(mean² + var - 1 - log var) / 2: from N(mean, var) to N(0, 1) (Kingma and Welling 2014)."""
    mean, z = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(log_var, np.float64))
    near = np.where(np.abs(z) < 0.1, z, 0.0)
    series = sum(near**n / math.factorial(n) for n in range(2, 24))
    above = np.where(np.abs(z) < 0.1, series, np.where(z == np.inf, np.inf, np.expm1(z) - z))
    return mean**2 / 2 + above / 2, (mean, np.expm1(z) / 2), (np.ones_like(mean), np.exp(z) / 2)
