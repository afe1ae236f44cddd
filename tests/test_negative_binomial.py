"""NegativeBinomialNLL where its terms cancel: against mpmath, Poisson's limit, SciPy and statsmodels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import pyloss as pl

pytestmark = pytest.mark.usefixtures("level")
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
ULPS = {"float32": 8, "float64": 16}


def exact_terms(mp: Any, x: Any, t: Any, a: Any) -> tuple[Any, ...]:
    """The value, and both derivatives by pred and by dispersion."""
    m, r = mp.exp(x), 1 / a
    u = a * m
    value = mp.loggamma(r) + mp.loggamma(t + 1) - mp.loggamma(t + r) + (t + r) * mp.log1p(u) - t * mp.log(u)
    by_r = mp.digamma(r) - mp.digamma(t + r) + mp.log1p(u) + (t - m) / (r + m)
    by_r_twice = mp.psi(1, r) - mp.psi(1, t + r) - m / (r * (r + m)) - (t - m) / (r + m) ** 2
    by_a, by_a_twice = -by_r * r**2, by_r_twice * r**4 + 2 * r**3 * by_r
    return value, (m - t) / (1 + u), m * (1 + a * t) / (1 + u) ** 2, by_a, by_a_twice


@cache
def exact_results(x: float, t: float, a: float) -> list[tuple[Any, Any]]:
    """Each result, and its size with what it moves by if an input moves by one."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 90
    step, at = mp.mpf(2) ** -70, [mp.mpf(each) for each in (x, t, a)]
    want = exact_terms(mp, *at)
    moved = [exact_terms(mp, *(each * (1 + step * (k == j)) for k, each in enumerate(at))) for j in range(3)]
    return [(exact, abs(exact) + sum(abs(each[j] - exact) for each in moved) / step) for j, exact in enumerate(want)]


def check(x: np.ndarray, t: np.ndarray, a: np.ndarray) -> None:
    """Every result right to units of its own, and of what it moves by if an input moves by one."""
    value, grad, hess = pl.NegativeBinomialNLL().value_grad_hess(x, t, a, reduction="none")
    limits = np.finfo(x.dtype)
    results = np.stack([value, grad[0], hess[0], grad[1], hess[1]], axis=1).astype(float)
    for got, *at in zip(results, x.tolist(), t.tolist(), a.tolist(), strict=True):
        for j, (number, (exact, size)) in enumerate(zip(got, exact_results(*at), strict=True)):
            tolerance = ULPS[x.dtype.name] * (float(limits.eps) * size + float(limits.smallest_subnormal))
            if abs(exact) > float(limits.max):
                assert number == np.copysign(np.inf, float(exact / abs(exact)))
            else:
                assert abs(exact - number) <= tolerance, f"{j} at {at}: {number!r}, not {exact}"


@full_dtype
@pytest.mark.parametrize("dispersion", [1e-8, 0.01, 0.125, 0.75, 1.0, 1.1, 2.5, 1e4])
def test_hard_values(dispersion: float, dtype: Any) -> None:
    preds = [-700, -105, -88, -60.5, -17, -2.6, -1e-9, 0.0, 1e-4, 2.6, 13.8155, 17, 60.5, 88, 105, 700]
    targets = [0, 1e-4, 0.4, 1, 1.5, 20, 1e4, 1e6]
    x, t = (each.ravel().astype(dtype) for each in np.meshgrid(preds, targets))
    check(x, t, np.full_like(x, dispersion))


@full_dtype
def test_counts_of_all_sizes_near_and_far_from_their_mean(dtype: Any) -> None:
    rng, size = np.random.default_rng(0), 400
    t = np.floor(10 ** rng.uniform(-0.5, 6, size))
    t[::3] = rng.integers(0, 6, t[::3].size)
    t[::7] += 0.3
    t[::11] = 10 ** rng.uniform(-6, 0, t[::11].size)
    apart = np.where(rng.uniform(size=size) < 0.5, rng.normal(0, 2, size), rng.normal(0, 1e-3, size))
    a = 10 ** rng.uniform(-8, 4, size)
    a[::4] = 10 ** rng.uniform(-1.5, 0.5, a[::4].size)
    check(*(each.astype(dtype) for each in (np.log(np.maximum(t, 0.5)) + apart, t, a)))


@full_dtype
def test_infinite_preds(dtype: Any) -> None:
    t = np.array([0.0, 0.4, 3.0, 1e6], dtype)
    a = np.array([0.5, 2.0, 0.25, 4.0], dtype)
    for pred, value, by_pred in ((np.inf, [np.inf] * 4, 1 / a), (-np.inf, [0.0] + [np.inf] * 3, -t)):
        got, grad, hess = pl.NegativeBinomialNLL().value_grad_hess(np.full_like(t, pred), t, a, reduction="none")
        assert_allclose(got, value)
        assert_allclose(grad[0], by_pred, rtol=1e-6)
        assert_allclose(hess[0], 0.0)
        assert not np.any(np.isnan(grad[1]) | np.isnan(hess[1]))


def test_nan_outside_of_the_domain() -> None:
    t, a = np.array([-1.0, -1e-300, 1.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, -2.0, 1.0])
    value, grad, hess = pl.NegativeBinomialNLL().value_grad_hess(np.zeros(5), t, a, reduction="none")
    for each in (value, *grad, *hess):
        assert np.isnan(each).tolist() == [True] * 4 + [False]


def test_poisson_is_the_limit() -> None:
    rng = np.random.default_rng(1)
    t, x = rng.poisson(3.0, 200).astype(float), rng.normal(1, 1, 200)
    log_factorial = np.array([np.sum(np.log(np.arange(1, n + 1))) for n in t])
    want, slope = pl.PoissonNLL().value_and_grad(x, t, reduction="none")
    got, (by_pred, by_dispersion) = pl.NegativeBinomialNLL().value_and_grad(x, t, 1e-8, reduction="none")
    m = np.exp(x)
    first, third = (t - (t - m) ** 2) / 2, (t + m + 1) ** 3  # first term in the dispersion, and the size of the next
    assert np.all(abs(by_dispersion - first) <= 1e-8 * third)
    assert np.all(abs(got - (want + log_factorial + 1e-8 * first)) <= 1e-16 * third + 1e-13)
    assert_allclose(by_pred * (1 + 1e-8 * m), slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dispersion", [1e-3, 0.3, 1.0, 7.0, 100.0])
def test_scipy(dispersion: float) -> None:
    nbinom = pytest.importorskip("scipy.stats").nbinom
    rng = np.random.default_rng(2)
    t, x = rng.poisson(20.0, 300).astype(float), rng.normal(2, 1, 300)
    t[:50] = 0.0
    got = pl.NegativeBinomialNLL()(x, t, dispersion, reduction="none")
    assert_allclose(got, -nbinom.logpmf(t, 1 / dispersion, 1 / (1 + dispersion * np.exp(x))), rtol=1e-10)


def test_statsmodels() -> None:
    discrete = pytest.importorskip("statsmodels.discrete.discrete_model")
    rng = np.random.default_rng(3)
    t = rng.negative_binomial(2, 0.3, 100).astype(float)
    model = discrete.NegativeBinomial(t, np.ones((100, 1)), loglike_method="nb2")
    value, (by_pred, by_dispersion) = pl.NegativeBinomialNLL().value_and_grad(
        np.full(100, 0.7), t, 0.6, reduction="sum"
    )
    parameters = np.array([0.7, np.log(0.6)])  # there the logarithm of the dispersion is the parameter
    assert_allclose(value, -model.loglike(parameters), rtol=1e-10)
    assert_allclose([by_pred.sum(), 0.6 * by_dispersion], -model.score(parameters), rtol=1e-6)
