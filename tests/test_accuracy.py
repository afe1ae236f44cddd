"""How many digits are right: the claims of the documentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import pyloss as pl
from cases import Case, assert_within

mp = pytest.importorskip("mpmath").mp.clone()
mp.dps = 60

pytestmark = pytest.mark.usefixtures("level")
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
MILLION = 1_000_000


@full_dtype
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_mean_of_the_largest_numbers_is_finite(size, dtype):
    largest = np.finfo(dtype).max
    if dtype is np.float64:  # the sum is itself a float64
        largest /= 1024
    loss = pl.MAE()
    assert loss(np.full(size, largest, dtype), np.zeros(size, dtype)) == pytest.approx(float(largest), rel=1e-8)
    assert (loss + loss)(np.full(size, -largest, dtype), np.zeros(size, dtype)) == pytest.approx(
        2 * float(largest), rel=1e-8
    )


@pytest.mark.parametrize("case", [Case(pl.MSE), Case(pl.BCEWithLogits), Case(pl.CrossEntropy)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_float32_mean_has_eight_digits(case, weighted):
    pred, target = case.draw(MILLION // (10 if case.rowwise else 1), np.float32)
    weight = np.random.default_rng(1).uniform(0, 2, len(pred)).astype(np.float32) if weighted else np.ones(len(pred))
    value = case.loss()(pred, target, weight=weight if weighted else None)
    truth = math.fsum(weight.astype(float) * case.reference(pred, target)[0]) / math.fsum(weight.astype(float))
    assert value == pytest.approx(truth, rel=1e-8, abs=0)


def test_float32_mean_over_many_classes_has_eight_digits():
    rng = np.random.default_rng(0)
    pred, target = rng.standard_normal((64, 16384)).astype(np.float32) * 3, rng.integers(0, 16384, 64)
    truth = Case(pl.CrossEntropy).reference(pred, target)[0].mean()
    assert pl.CrossEntropy()(pred, target) == pytest.approx(truth, rel=1e-8, abs=0)


def test_sums_do_not_drift():
    pred = np.full(10_000_000, 0.1, np.float32)
    one = float(np.float32(0.1) * np.float32(0.1))
    assert pl.MSE()(pred, np.float32(0), reduction="sum") == pytest.approx(one * pred.size, rel=1e-12, abs=0)


def ulps(dtype, count: float, truth) -> np.ndarray:
    """So many units in the last place of the truth."""
    return count * np.finfo(dtype).eps * abs(truth) + np.finfo(dtype).smallest_subnormal


# Beside the float64 reference, float32 has no excuse; inputs at which nothing cancels, sizes over the whole range.
def spread(low: float, high: float) -> np.ndarray:
    x = np.float32(np.geomspace(low, high, 50_001))
    return np.concatenate([-x, x])


@pytest.mark.parametrize(
    ("case", "low", "high", "target", "allowed"),
    [
        (Case(pl.MSE), 1e-18, 1e18, 0.0, (1, 1, 0)),
        (Case(pl.MAE), 1e-37, 1e37, 0.0, (0, 0, 0)),
        (Case(pl.Huber), 1e-18, 1e30, 0.0, (2, 1, 0)),
        (Case(pl.Quantile, (("q", 0.25),)), 1e-37, 1e37, 0.0, (1, 0, 0)),
        (Case(pl.LogCosh), 1e-18, 40.0, 0.0, (4, 4, 4)),
        (Case(pl.PoissonNLL), 1e-6, 87.0, 0.0, (1, 1, 1)),
        (Case(pl.BCEWithLogits), 1e-6, 87.0, 0.0, (3, 3, 4)),
        (Case(pl.BCEWithLogits), 1e-6, 87.0, 1.0, (3, 3, 4)),
        (Case(pl.BCEWithLogits, (("pos_weight", 2.5),)), 1e-6, 87.0, 1.0, (3, 3, 4)),
    ],
    ids=str,
)
def test_float32_keeps_its_relative_accuracy(case, low, high, target, allowed):
    pred = spread(low, high)
    target = np.full_like(pred, target)
    results = case.loss().value_grad_hess(pred, target, reduction="none")
    for name, got, truth, count in zip(
        ("value", "grad", "hess"), results, case.reference(pred, target), allowed, strict=True
    ):
        wrong = abs(got - truth) > ulps(np.float32, count, truth)
        worst = np.max(abs(got - truth) / ulps(np.float32, 1, truth))
        assert not wrong.any(), f"{name}: {worst:.3g} ULP, allowed {count}; first at {pred[wrong][0]!r}"


def test_residuals_are_taken_before_rounding():
    """Near 1e6 the residual is small; nothing may be lost by way of squares or products."""
    rng = np.random.default_rng(0)
    target = np.float32(1e6 + rng.standard_normal(10_000))
    pred = target + np.float32(rng.integers(-8, 9, 10_000) / 16)
    r = pred.astype(float) - target
    value, grad = pl.MSE().value_and_grad(pred, target, reduction="none")
    assert_within(value, r**2, ulps(np.float32, 0.5, r**2))
    assert np.array_equal(grad, 2 * r)


@full_dtype
@pytest.mark.parametrize("verb", ["value", "grad", "hess"])
def test_certain_class_keeps_its_digits(dtype, verb):
    """Where p is nearly 1, loss, gradient and Hessian are about 1 - p, and right to a few units of that."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 60
    lead = np.arange(1, 87, dtype=dtype) + dtype(0.3)
    pred = np.stack([0 * lead, lead, dtype(0.7) + 0 * lead, -lead], axis=1)
    results = pl.CrossEntropy().value_grad_hess(pred, np.ones(len(lead), int), reduction="none")
    got = results[("value", "grad", "hess").index(verb)]
    for i, row in enumerate(pred):
        scores = [mp.mpf(float(x)) for x in row]
        others = sum(mp.exp(x - scores[1]) for k, x in enumerate(scores) if k != 1)
        truth = {"value": mp.log1p(others), "grad": -others / (1 + others), "hess": others / (1 + others) ** 2}[verb]
        mine = float(got[i] if verb == "value" else got[i, 1])
        # The distance of scores up to 87 is itself rounded: half a unit of 87, in the exponent.
        allowed = 8 + float(max(abs(x) for x in scores))
        assert abs(mine - truth) <= allowed * np.finfo(dtype).eps * abs(truth), f"lead {lead[i]}"
    if verb == "grad":
        assert_allclose(got.sum(axis=1, dtype=float), 0, atol=4 * np.finfo(dtype).eps)


@full_dtype
def test_certain_class_of_probabilities_keeps_its_digits(dtype):
    lead = np.arange(2, 60, dtype=dtype)
    pred = np.stack([0 * lead, lead], axis=1)
    target = np.tile(dtype([0, 1]), (len(lead), 1))
    value, grad, hess = pl.CrossEntropy().value_grad_hess(pred, target, reduction="none")
    e = np.exp(-lead.astype(float))
    for got, truth in ((value, np.log1p(e)), (grad[:, 1], -e / (1 + e)), (hess[:, 1], e / (1 + e) ** 2)):
        assert_within(got, truth, ulps(dtype, 8, truth))


def test_shift_of_scores_costs_nothing():
    """Scores near 1e4 differ by little; their softmax is right to the digits of the differences."""
    rng = np.random.default_rng(0)
    small = np.round(rng.standard_normal((100, 50)) * 64) / 64
    target = rng.integers(0, 50, 100)
    shifted = np.float32(small + 10_000.0)
    a = pl.CrossEntropy().value_and_grad(np.float32(small), target)
    b = pl.CrossEntropy().value_and_grad(shifted, target)
    assert a[0] == b[0]
    assert np.array_equal(a[1], b[1])


@full_dtype
def test_log_cosh_of_the_smallest_and_the_largest(dtype):
    limits = np.finfo(dtype)
    r = np.array(
        [limits.tiny, np.sqrt(limits.tiny) * 4, limits.eps, 0.99, 1.0, 1.01, 1e4, float(limits.max) / 2], dtype
    )
    value, grad = pl.LogCosh().value_and_grad(r, dtype(0), reduction="none")
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 400
    for x, v, g in zip(r, value, grad, strict=True):
        big = float(x) > 1e3
        exact = mp.mpf(float(x))
        truth = exact - mp.log(2) if big else mp.log(mp.cosh(exact)) if float(x) > 1e-100 else exact**2 / 2
        assert abs(float(v) - truth) <= 4 * float(limits.eps) * abs(truth) + float(limits.smallest_subnormal)
        slope = mp.mpf(1) if big else mp.tanh(exact)
        assert abs(float(g) - slope) <= 4 * float(limits.eps) * slope


def _cauchy(r, c):
    """Value and two derivatives."""
    sum_ = 2 * c * c + r * r
    return mp.log1p((r / c) ** 2 / 2), 2 * r / sum_, 2 * (2 * c * c - r * r) / sum_**2


def _student_t(r, scale, df):
    """Value and derivative."""
    norm = mp.loggamma(df / 2) - mp.loggamma((df + 1) / 2) + mp.log(mp.pi * df) / 2
    value = norm + mp.log(scale) + (df + 1) / 2 * mp.log1p((r / scale) ** 2 / df)
    return value, (df + 1) * r / (df * scale * scale + r * r)


@full_dtype
@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-19, 1e19])
@pytest.mark.parametrize("power", [-20, -3, 0, 0.1, 5, 9, 12, 14, 17, 18.5, 30])
def test_logarithms_far_from_the_centre(width, power, dtype):
    """Cauchy's loss and Student's t, where squares leave the range and where a logarithm's argument is near 1 again."""
    r = dtype(10.0**power)
    at, c, scale = mp.mpf(float(r)), mp.mpf(width), mp.mpf(float(dtype(width)))
    got = pl.Cauchy(c=width).value_grad_hess(np.array([r]), dtype(0), reduction="none")
    _assert_few_ulp(got, _cauchy(at, c), dtype)
    for df in (1.0, 3.5, 1e-2):
        exact = _student_t(at, scale, mp.mpf(df))
        value, grad = pl.StudentTNLL(df=df).value_and_grad(np.array([r]), dtype(0), dtype(width), reduction="none")
        _assert_few_ulp((value, grad), exact, dtype, size=abs(exact[0]) + 100)


def _assert_few_ulp(got, exact, dtype, size=None):
    """Eight ULP of each number; of the value, those of `size`, if it may cancel."""
    limits = np.finfo(dtype)
    for found, truth, scale in zip(got, exact, (size, None, None), strict=False):
        bound = 8 * (float(limits.eps) * float(abs(truth) if scale is None else scale) + float(limits.tiny))
        number = float(np.ravel(found)[0])
        if abs(truth) > float(limits.max):
            assert number == math.copysign(math.inf, truth)
        else:
            assert abs(number - truth) <= bound, (number, float(truth))


@full_dtype
@pytest.mark.parametrize("clip", [0.05, 0.5, 0.6, 0.99])
@pytest.mark.parametrize("z", [-200.0, -20.0, -5.0])
def test_a_probability_below_the_clip_costs_nothing(clip, z, dtype):
    for gamma in (0.0, 0.5, 4.0):
        loss = pl.AsymmetricFocal(gamma_neg=gamma, clip=clip)
        value, grad = loss.value_and_grad(np.array([z], dtype), np.zeros(1, dtype), reduction="none")
        assert value[0] == grad[0] == 0


@full_dtype
@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_tweedie_deviance_of_an_infinite_target(power, dtype):
    loss = pl.TweedieDeviance(power=power, log_input=True)
    value, grad = loss.value_and_grad(np.zeros(1, dtype), np.full(1, np.inf, dtype), reduction="none")
    assert value[0] == np.inf
    assert grad[0] == -np.inf
