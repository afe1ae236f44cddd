"""Edges of the Tweedie deviances that the tests of all losses do not see."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import Case, Expected

pytestmark = pytest.mark.usefixtures("level")
mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp.clone()
mp.dps = 80

full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
BIT = 2.0**-40
POWERS = [1.0, 1.0 + BIT, 1.0001, 1.499, 1.5, 1.9999, 2.0 - BIT, 2.0, 2.0 + BIT, 2.4, 7.5, -BIT, -0.3, -2.5]


def exact(pred, target, power, *, log_input):
    """The formula and its derivatives, with so many digits that its limits need no formulas of their own."""
    p = mp.mpf(power) + (mp.mpf(10) ** -45 if power in (1.0, 2.0) else 0)
    a, b = 1 - p, 2 - p
    t, m = target, mp.exp(pred) if log_input else pred
    value = 0 if t == m else 2 * (max(t, 0) ** b / (a * b) - t * m**a / a + m**b / b)
    p = mp.mpf(power)  # the derivatives have no limits
    a, b = 1 - p, 2 - p
    if log_input:
        return value, 2 * (m**b - t * m**a), 2 * (b * m**b - a * t * m**a)
    return value, 2 * (m - t) * m**-p, 2 * (a * m + p * t) * m ** (-p - 1)


@cache
def exact_and_moves(pred, target, power, *, log_input):
    """The value and each derivative, and by how much they move if an input or the power does."""
    more, x, t, p = 1 + mp.mpf(2) ** -60, mp.mpf(pred), mp.mpf(target), mp.mpf(power)
    inputs = (x, t, p), (x * more, t, p), (x, t * more, p), (x, t, p * more)
    want, *moved = (exact(*each, log_input=log_input) for each in inputs)
    return [
        (truth, sum(abs(way - truth) for way in ways) / (more - 1)) for truth, *ways in zip(want, *moved, strict=True)
    ]


@full_dtype
@pytest.mark.parametrize("log_input", [False, True], ids=["mean", "log"])
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("everywhere", [False, True], ids=["ordinary", "everywhere"])
def test_powers_near_the_limits(everywhere, power, log_input, dtype):
    """To a few units of the result and of what it moves by if an input or the power does."""
    rng = np.random.default_rng(0)
    orders = (44 if dtype == np.float32 else 320) if everywhere else 12
    mean = 10.0 ** rng.uniform(-orders, min(orders, 38 if dtype == np.float32 else 308), 120)
    target = mean * np.concatenate([10.0 ** rng.uniform(-12, 12, 60), 1 + 10.0 ** rng.uniform(-6, 0, 60)])
    if everywhere:
        target[:60] = mean[rng.permutation(120)[:60]]
        target = np.minimum(target, float(np.finfo(dtype).max) / 2)
    if power <= 0:
        target *= rng.choice([-1, 1], 120)
    check((np.log(mean) if log_input else mean).astype(dtype), target.astype(dtype), power, log_input=log_input)


def check(pred, target, power, *, log_input=False):
    """Value and derivatives against many digits, to a few units of the result and of what it moves by."""
    dtype = pred.dtype
    got = pl.TweedieDeviance(power, log_input).value_grad_hess(pred, target, reduction="none")
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_subnormal)
    for i, (x, t) in enumerate(zip(pred.tolist(), target.tolist(), strict=True)):
        results = exact_and_moves(x, t, power, log_input=log_input)
        for name, mine, (truth, moves) in zip(("value", "grad", "hess"), got, results, strict=True):
            if abs(truth) > float(np.finfo(dtype).max):
                assert np.isinf(mine[i]), f"{name} at {x!r}, {t!r}: {mine[i]!r}, {mp.nstr(truth, 9)}"
                continue
            allowed = 12 * (eps * (abs(truth) + moves) + tiny)
            assert abs(mp.mpf(float(mine[i])) - truth) <= allowed, (
                f"{name} at {x!r}, {t!r}: {mine[i]!r}, {mp.nstr(truth, 9)}"
            )


@full_dtype
@pytest.mark.parametrize("power", [1.0, 1.001, 1.999, 2.0])
def test_ratios_near_the_power_of_two_that_small_ones_are_raised_by(power, dtype):
    """The raised ratio is then near 1, where the logarithm has digits of its own."""
    raised = 156 if dtype == np.float32 else 1100
    small = np.ldexp(np.linspace(0.5, 3.0, 61), -raised // 2).astype(dtype)
    large = np.full_like(small, 2.0 ** (raised - raised // 2))
    check(small, large, power)
    check(large, small, power)


@full_dtype
@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 1.5, 2.0, 3.0])
def test_hard_values_of_logarithms(power, dtype):
    case = Case(pl.TweedieDeviance, (("power", power), ("log_input", True)))
    pred, target = case.hard(dtype)
    Expected(case, pred, target).check(case.loss().value_grad_hess(pred, target, reduction="none"))


@full_dtype
@pytest.mark.parametrize("power", [1.0, 1.3, 1.5, 1.9])
def test_zero_targets(power, dtype):
    mean = np.array([1e-30, 1e-3, 1.0, 7.0, 1e30], dtype)
    value, grad, hess = pl.TweedieDeviance(power).value_grad_hess(mean, 0 * mean, reduction="none")
    wide = mean.astype(float)
    rtol = 8 * np.finfo(dtype).eps
    with np.errstate(over="ignore"):
        assert_allclose(value, 2 * wide ** (2 - power) / (2 - power), rtol=rtol)
        assert_allclose(grad, 2 * wide ** (1 - power), rtol=rtol)
        assert_allclose(hess, (2 * (1 - power) * wide**-power).astype(dtype), rtol=rtol)


@pytest.mark.parametrize(
    ("power", "pred", "target", "inside"),
    [
        (-1.0, 1.0, -1.0, True),
        (-1.0, 0.0, 1.0, False),
        (-1.0, -1.0, 1.0, False),
        (0.0, -1.0, -1.0, True),
        (1.0, 1.0, 0.0, True),
        (1.0, 1.0, -1.0, False),
        (1.5, 0.0, 0.0, False),
        (1.5, 1.0, -1e-300, False),
        (2.0, 1.0, 5e-324, True),
        (2.0, 1.0, 0.0, False),
        (3.0, 1.0, 0.0, False),
        (3.0, -1.0, 1.0, False),
    ],
)
def test_nan_outside_of_the_domain(power, pred, target, inside):
    results = pl.TweedieDeviance(power).value_grad_hess([pred], [target], reduction="none")
    assert [np.isnan(each[0]) for each in results] == [not inside] * 3
    if target != 0.0 and pred > 0:
        results = pl.TweedieDeviance(power, log_input=True).value_grad_hess([pred], [target], reduction="none")
        assert [np.isnan(each[0]) for each in results] == [not inside] * 3


@pytest.mark.parametrize("log_input", [False, True])
def test_gamma_is_the_power_2(log_input):
    rng = np.random.default_rng(0)
    pred, target = rng.gamma(2.0, size=1000), rng.gamma(2.0, size=1000)
    gamma, tweedie = pl.GammaDeviance(log_input), pl.TweedieDeviance(2.0, log_input)
    for one, other in zip(gamma.value_grad_hess(pred, target), tweedie.value_grad_hess(pred, target), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("power", [0.5, 1e-9, 1.0 - 2.0**-53, np.nan, np.inf])
def test_powers_of_no_distribution(power):
    with pytest.raises(ValueError, match="^power: got .*, wanted a number"):
        pl.TweedieDeviance(power)
    with pytest.raises(TypeError, match="^power: got '1', wanted a number"):
        pl.TweedieDeviance("1")


@pytest.mark.parametrize("curvature", ["exact", "xgboost", "lightgbm"])
def test_log_forms_are_twice_the_objectives_of_boosters(curvature):
    """Both libraries have e^(b x) - y e^(a x), which for the gamma distribution is 1 - y e^-x, and its derivative."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(100), rng.gamma(2.0, size=100)
    for loss, p in ((pl.GammaDeviance(log_input=True), 2.0), (pl.TweedieDeviance(1.3, log_input=True), 1.3)):
        _, grad, hess = loss.value_grad_hess(x, y, reduction="sum", curvature=curvature)
        by_mean, by_target = np.exp((2 - p) * x), y * np.exp((1 - p) * x)
        assert_allclose(grad / 2, by_mean - by_target, rtol=1e-12, atol=1e-14)
        assert_allclose(hess / 2, (2 - p) * by_mean - (1 - p) * by_target, rtol=1e-13)


@pytest.mark.parametrize("loss", [pl.GammaDeviance(), *map(pl.TweedieDeviance, (1.5, 1.0, 0.0))], ids=str)
def test_the_mean_minimises_them(loss):
    rng = np.random.default_rng(0)
    target, weight = rng.gamma(2.0, size=1000), rng.uniform(size=1000)
    mean = np.average(target, weights=weight)
    assert_allclose(loss.init_score(target, weight), mean, rtol=1e-14)
    in_log = replace(loss, log_input=True)
    assert_allclose(in_log.init_score(target, weight), np.log(mean), rtol=1e-13)


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        (pl.GammaDeviance(), [1.0, 0.0], r"target: got 0, wanted numbers in \(0, inf\) for GammaDeviance"),
        (pl.TweedieDeviance(), [2.0, -1.0], r"target: got -1, wanted numbers in \[0, inf\) for TweedieDeviance"),
        (pl.TweedieDeviance(), [0.0, 0.0], "target: got only zeros, for which no finite"),
        (pl.TweedieDeviance(-1.0), [-2.0, 1.0], "target: got targets with mean -0.5, for which no finite"),
        (
            pl.TweedieDeviance(0.0, log_input=True),
            [-2.0, 1.0],
            "target: got targets with mean -0.5, for which no finite",
        ),
    ],
    ids=str,
)
def test_targets_without_a_best_constant(loss, target, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        loss.init_score(target)
    assert pl.TweedieDeviance(0.0).init_score([-2.0, 1.0]) == -0.5
