"""Losses of rows of quantiles: kernels beside reference and torch, the reference's derivatives, laws, hard values."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, assert_within
from conftest import named_dtype
from pyloss import reference
from quantile_cases import CASES, Case, draw, every_case

pytestmark = pytest.mark.usefixtures("level")

REDUCTIONS = ["mean", "sum", "none"]
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
RELATIVE = {"float32": 1e-6, "float64": 1e-13}
KAPPAS = [0.0, 0.3, 1.0, 2.5]


def levels(count):
    return (np.arange(count) + 0.5) / count


def check(case, got, pred, target, weight=None, reduction="none"):
    """Compare with the reference: to so much of the sum of absolute terms, of which those of a gradient may cancel."""
    terms = case.reference(pred, target)
    most = np.maximum(levels(pred.shape[-1]), 1 - levels(pred.shape[-1]))  # of a gradient's terms
    sizes = terms[0], np.broadcast_to(np.where(np.isnan(terms[1]), 0.0, most), pred.shape), terms[2]
    want, sizes = (reference.reduce(each, weight, reduction) for each in (terms, sizes))
    for result, term, size in zip(got, want, sizes, strict=False):
        assert np.shape(result) == np.shape(term)
        tolerance = RELATIVE[pred.dtype.name] * abs(size) + float(np.finfo(pred.dtype).smallest_subnormal)
        assert_within(np.asarray(result), np.asarray(term), tolerance)
    for result in got[1:]:
        assert result.dtype == pred.dtype


def weights_of(rows, dtype):
    """Some of them 0."""
    return np.random.default_rng(2).choice([0.0, 0.25, 1.0, 1.75], rows).astype(dtype)


# Kernels against the reference.


@full_dtype
@pytest.mark.parametrize("quantiles", [1, 2, 7, 8, 15, 16, 17, 64, 65, 200])
@pytest.mark.parametrize("samples", [1, 2, 15, 16, 17, 33, 200])
@every_case
def test_sizes(case, samples, quantiles, dtype):
    pred, target = draw((5,), quantiles, samples, dtype)
    before = pred.copy(), target.copy()
    got = case.loss().value_grad_hess(pred, target, reduction="none")
    check(case, got, pred, target)
    assert_same_bits(case.loss().value_and_grad(pred, target, reduction="none"), got[:2])
    assert_same_bits((case.loss()(pred, target, reduction="none"),), got[:1])
    assert_array_equal(pred, before[0])
    assert_array_equal(target, before[1])


@full_dtype
@pytest.mark.parametrize(
    ("quantiles", "samples"), [(1023, 300), (1024, 257), (1025, 256), (3000, 100), (70, 5000), (64, 2048), (1, 40_000)]
)
@every_case
def test_rows_that_go_by_parts_and_blocks(case, quantiles, samples, dtype):
    for reduction in REDUCTIONS:
        pred, target = draw((2,), quantiles, samples, dtype)
        weight = np.array([0.5, 2.0])
        got = case.loss().value_grad_hess(pred, target, weight=weight, reduction=reduction)
        check(case, got, pred, target, weight, reduction)


@full_dtype
@every_case
def test_weights_and_reductions(case, dtype):
    for rows, reduction in product([(0,), (1,), (3,), (1030,), (2, 3)], REDUCTIONS):
        pred, target = draw(rows, 9, 5, dtype)
        check(case, case.loss().value_grad_hess(pred, target, reduction=reduction), pred, target, None, reduction)
        weight = weights_of(rows, dtype)
        hole, gap = pred.copy(), target.copy()
        hole[weight == 0] = gap[weight == 0] = np.nan  # left out exactly
        got = case.loss().value_grad_hess(hole, gap, weight=weight, reduction=reduction)
        check(case, got, pred, target, weight, reduction)


@full_dtype
def test_numbers_that_are_not_round(dtype, rng):
    for kappa in KAPPAS:
        case = Case(pl.QuantileHuber, (("kappa", kappa),))
        pred, target = (3 * rng.standard_normal((20, size)).astype(dtype) for size in (51, 32))
        check(case, case.loss().value_and_grad(pred, target, reduction="none"), pred, target)


@full_dtype
@pytest.mark.parametrize(("quantiles", "samples"), [(100_000, 100), (100, 100_000)])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_a_long_row(kappa, quantiles, samples, dtype, rng):
    pred, target = (rng.standard_normal(size).astype(dtype) for size in (quantiles, samples))
    value, grad = pl.QuantileHuber(kappa).value_and_grad(pred, target)
    tau, total, slopes = levels(quantiles), np.longdouble(0), []
    wide_target = target.astype(np.longdouble)
    for begin in range(0, quantiles, 10 if samples > quantiles else 10_000):
        part = slice(begin, begin + (10 if samples > quantiles else 10_000))
        u = wide_target - pred[part, None].astype(np.longdouble)
        weight = np.where(u < 0, 1 - tau[part, None], tau[part, None])
        s = np.clip(u / kappa, -1, 1) if kappa else np.sign(u)
        total += np.sum(weight * s * (u - kappa / 2 * s)) / samples
        slopes.append(-np.mean(weight * s, axis=1))
    assert_allclose(value, float(total), rtol=RELATIVE[np.dtype(dtype).name], atol=0)
    assert_allclose(grad, np.concatenate(slopes).astype(float), rtol=0, atol=RELATIVE[np.dtype(dtype).name])


def test_a_long_run_of_equal_numbers_keeps_its_digits():
    """Every rounding goes the same way: a plain sum of 10⁶ terms loses five digits, and one of 16 terms these units."""
    pred, target = np.zeros(8), np.full(10**6, 0.1)
    value, grad, hess = pl.QuantileHuber().value_grad_hess(pred, target)
    assert_allclose(value, np.sum(levels(8)) * 0.1**2 / 2, rtol=16 * 2.0**-53)
    assert_allclose(grad, -0.1 * levels(8), rtol=16 * 2.0**-53)
    assert_allclose(hess, levels(8), rtol=16 * 2.0**-53)


# By hand, by differences and by peers.


@full_dtype
def test_by_hand(dtype):
    loss = pl.QuantileHuber()
    # One of each: tau = 1/2, so half the Huber loss.
    for t, value, grad, hess in ((0.5, 0.0625, -0.25, 0.5), (3.0, 1.25, -0.5, 0.0), (-3.0, 1.25, 0.5, 0.0)):
        got = loss.value_grad_hess(np.zeros(1, dtype), np.array([t], dtype))
        assert_array_equal(np.hstack(got), [value, grad, hess])
    # tau = 1/4 and 3/4: of the first, u = 0 and 4; of the second, u = -2 and 2.
    got = loss.value_grad_hess(np.array([0, 2], dtype), np.array([0, 4], dtype))
    value = ((0 + 0.25 * 3.5) + (0.25 * 1.5 + 0.75 * 1.5)) / 2
    assert_array_equal(got[0], value)
    assert_array_equal(got[1], [-0.25 / 2, (0.25 - 0.75) / 2])
    assert_array_equal(got[2], [0.25 / 2, 0])
    # kappa = 2: u = ±2 are its ends, where it is u²/4, of slope ±1 and curvature 1/2.
    got = pl.QuantileHuber(kappa=2).value_grad_hess(np.array([0, 2], dtype), np.array([0, 4], dtype))
    assert_array_equal(got[0], ((0 + 0.25 * 3) + (0.25 * 1 + 0.75 * 1)) / 2)
    assert_array_equal(got[1], [-0.25 / 2, (0.25 - 0.75) / 2])
    assert_array_equal(got[2], [0.25 * 0.5 / 2, (0.25 + 0.75) * 0.5 / 2])
    # kappa = 0: u = 0 has no slope.
    got = pl.QuantileHuber(kappa=0).value_grad_hess(np.array([0, 2], dtype), np.array([0, 4], dtype))
    assert_array_equal(got[0], ((0 + 0.25 * 4) + (0.25 * 2 + 0.75 * 2)) / 2)
    assert_array_equal(got[1], [-0.25 / 2, (0.25 - 0.75) / 2])
    assert not got[2].any()


@every_case
def test_reference_derivatives_by_differences(case, rng):
    """Between its kinks the loss is a polynomial of degree 2: differences are exact but for rounding."""
    pred, target = rng.standard_normal((4, 3)), rng.standard_normal((4, 5))
    kappa, step = case.loss().kappa, 2.0**-13
    u = abs(target[:, None, :] - pred[:, :, None])
    assert (np.minimum(u, abs(u - kappa)) > 2 * step).all()
    value, grad, hess = case.reference(pred, target)
    for i in range(3):
        moved = np.eye(3)[i] * step
        ahead, behind = (case.reference(pred + sign * moved, target)[0] for sign in (1, -1))
        assert_allclose((ahead - behind) / (2 * step), grad[:, i], atol=1e-11)
        assert_allclose((ahead - 2 * value + behind) / step**2, hess[:, i], atol=1e-6)


def test_kappa_0_is_the_quantile_loss_of_every_level():
    pred, target = draw((6,), 10, 13)
    value, grad = pl.QuantileHuber(kappa=0).value_and_grad(pred, target, reduction="none")
    each = pl.Quantile(q=tuple(levels(10)))
    for row in range(6):
        one, by_pred = each.value_and_grad(np.tile(pred[row], (13, 1)), target[row][:, None], reduction="none")
        assert_allclose(value[row], one.mean(axis=0).sum(), rtol=1e-13)
        assert_allclose(grad[row], by_pred.mean(axis=0), atol=1e-15)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_torch(kappa):
    torch = pytest.importorskip("torch")
    pred, target = draw((7,), 12, 9)
    pred += 0.001  # off the kinks, where torch has other slopes
    x, t = torch.tensor(pred, requires_grad=True), torch.tensor(target)
    u = t[:, None, :] - x[:, :, None]
    tau = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    huber = (
        torch.nn.functional.huber_loss(u, torch.zeros_like(u), reduction="none", delta=kappa) / kappa
        if kappa
        else abs(u)
    )
    rho = abs(tau[:, None] - (u.detach() < 0).double()) * huber
    loss = rho.mean(dim=2).sum(dim=1).mean()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    got = pl.QuantileHuber(kappa).value_grad_hess(pred, target)
    assert_allclose(got[0], loss.item(), rtol=1e-14)
    assert_allclose(got[1], grad.detach().numpy(), rtol=0, atol=1e-16)
    if kappa:
        (curvature,) = torch.autograd.grad(grad.sum(), x)  # the Hessian is diagonal
        assert_allclose(got[2], curvature.numpy(), rtol=0, atol=1e-16)


# Laws.


@pytest.mark.parametrize("shape", [(300, 64, 64), (3, 3000, 500), (5000, 3, 2), (1, 64, 100_000)], ids=str)
@full_dtype
def test_same_bits_for_any_number_of_threads(shape, dtype):
    rows, quantiles, samples = shape
    rng = np.random.default_rng(0)
    pred, target = (
        rng.standard_normal((rows, quantiles)).astype(dtype),
        rng.standard_normal((rows, samples)).astype(dtype),
    )
    loss, weight = pl.QuantileHuber(), rng.random(rows)
    results = []
    for count in (1, 2, 3, 7):
        with pl.num_threads(count):
            results.append(loss.value_grad_hess(pred, target, weight=weight))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@full_dtype
def test_a_row_does_not_depend_on_its_neighbours(dtype):
    pred, target = draw((40,), 33, 21, dtype)
    value, grad, hess = pl.QuantileHuber().value_grad_hess(pred, target, reduction="none")
    for row in (0, 17, 39):
        assert_same_bits(
            pl.QuantileHuber().value_grad_hess(pred[row], target[row], reduction="none"),
            (value[row], grad[row], hess[row]),
        )


def test_order_of_samples_and_place_on_the_line(rng):
    pred, target = draw((8,), 20, 30)
    want = pl.QuantileHuber().value_grad_hess(pred, target)
    for got in (
        pl.QuantileHuber().value_grad_hess(pred, target[:, rng.permutation(30)]),
        pl.QuantileHuber().value_grad_hess(pred + 1024, target + 1024),
    ):
        for a, b in zip(got, want, strict=True):
            assert_allclose(a, b, rtol=1e-13, atol=1e-16)


@full_dtype
@pytest.mark.parametrize("verb", ["__call__", "value_and_grad", "value_grad_hess"])
def test_sums_are_those_of_their_terms(verb, dtype):
    pred, target = draw((50,), 30, 40, dtype)
    terms = [(0.5, pl.QuantileHuber()), (-2.0, pl.QuantileHuber(kappa=0)), (1.0, pl.QuantileHuber(kappa=3))]
    loss = 0.5 * terms[0][1] + (-2.0) * terms[1][1] + terms[2][1]
    assert repr(loss) == "0.5 * QuantileHuber(kappa=1.0) + -2 * QuantileHuber(kappa=0.0) + QuantileHuber(kappa=3.0)"
    for reduction in REDUCTIONS:
        got = getattr(loss, verb)(pred, target, reduction=reduction)
        alone = [getattr(each, verb)(pred, target, reduction=reduction) for _, each in terms]
        if verb == "__call__":
            got, alone = (got,), [(each,) for each in alone]
        for i, result in enumerate(got):
            each = [factor * np.asarray(one[i], np.float64) for (factor, _), one in zip(terms, alone, strict=True)]
            size = sum(abs(term) for term in each)
            assert_within(np.asarray(result), sum(each), RELATIVE[np.dtype(dtype).name] * size)


def test_evaluate_has_the_bits_of_each():
    pred, target = draw((50,), 30, 40)
    losses = [pl.QuantileHuber(), pl.QuantileHuber(kappa=0), 2.0 * pl.QuantileHuber(kappa=3) + pl.QuantileHuber()]
    for options in ({}, {"reduction": "sum"}, {"weight": weights_of(50, np.float64)}):
        assert pl.evaluate(losses, pred, target, **options) == tuple(loss(pred, target, **options) for loss in losses)
    same = pl.evaluate([pl.MSE(), pl.QuantileHuber()], pred, target[:, :30])
    assert same == (pl.MSE()(pred, target[:, :30]), pl.QuantileHuber()(pred, target[:, :30]))


def test_every_curvature_is_the_exact_one():
    pred, target = draw((5,), 6, 7)
    want = pl.QuantileHuber().value_grad_hess(pred, target)
    for curvature in ("fisher", "xgboost", "lightgbm"):
        assert_same_bits(pl.QuantileHuber().value_grad_hess(pred, target, curvature=curvature), want)
    with pytest.raises(ValueError, match=r"^curvature: got 'newton'"):
        pl.QuantileHuber().value_grad_hess(pred, target, curvature="newton")


# Arrays as they come.


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@every_case
def test_half_types_are_float32_rounded_once(case, name):
    half = named_dtype(name)
    pred, target = draw((17,), 19, 23, half)
    value, grad, hess = case.loss().value_grad_hess(pred, target, reduction="none")
    want = case.loss().value_grad_hess(pred.astype(np.float32), target.astype(np.float32), reduction="none")
    assert value.dtype == grad.dtype == hess.dtype == half
    assert_same_bits((grad, hess), tuple(each.astype(half) for each in want[1:]))
    assert_allclose(value.astype(float), want[0], rtol=float(2.0**-8 if name == "bfloat16" else 2.0**-11) * 1.001)


def test_integers_and_mixed_types():
    pred, target = draw((4,), 6, 7)
    whole = np.round(pred).astype(np.int32), np.round(target).astype(np.int64)
    want = pl.QuantileHuber().value_grad_hess(*(each.astype(np.float64) for each in whole))
    assert_same_bits(pl.QuantileHuber().value_grad_hess(*whole), want)
    value, grad = pl.QuantileHuber().value_and_grad(pred.astype(np.float32), target)
    check_value, check_grad = pl.QuantileHuber().value_and_grad(pred.astype(np.float32).astype(np.float64), target)
    assert value == check_value
    assert_same_bits((grad,), (check_grad.astype(np.float32),))
    assert pl.QuantileHuber()([0.0, 2.0], [0, 4]) == 1.1875


@full_dtype
def test_any_layout_and_broadcast_targets(dtype):
    pred, target = draw((3, 4), 70, 90, dtype)
    loss = pl.QuantileHuber()
    want = loss.value_grad_hess(pred, target, reduction="none")
    for p, t in (
        (np.asfortranarray(pred), np.asfortranarray(target)),
        (np.repeat(pred, 2, axis=-1)[..., ::2], np.repeat(target, 3, axis=-1)[..., ::3]),
        (pred[::-1, :, ::-1].copy()[::-1, :, ::-1], target[..., ::-1].copy()[..., ::-1]),
    ):
        assert_same_bits(loss.value_grad_hess(p, t, reduction="none"), want)
    for t in (target[0, 0], target[:1, :1], target[:, :1], target[0]):
        whole = np.ascontiguousarray(np.broadcast_to(t, target.shape))
        got = loss.value_grad_hess(pred, t, weight=[0.0, 1.0, 2.0, 3.0])
        assert_same_bits(got, loss.value_grad_hess(pred, whole, weight=[0.0, 1.0, 2.0, 3.0]))
    everywhere = np.broadcast_to(pred[:1], pred.shape)
    assert_same_bits(
        loss.value_grad_hess(everywhere, target, reduction="none"),
        loss.value_grad_hess(everywhere.copy(), target, reduction="none"),
    )
    one = loss.value_and_grad(pred[0, 0], target[0, 0], reduction="none")
    assert one[0].shape == ()
    assert_same_bits(one, (want[0][0, 0], want[1][0, 0]))


@full_dtype
@pytest.mark.parametrize("shape", [(5, 30), (2, 3000)], ids=str)
def test_out(shape, dtype):
    """Also in place, and where the target was, whose samples are wanted to the end."""
    loss = pl.QuantileHuber()
    pred, target = (each.copy() for each in draw(shape[:1], shape[1], shape[1], dtype))
    value, grad, hess = loss.value_grad_hess(pred, target, reduction="none")
    values = np.empty(shape[:1], dtype)
    assert loss(pred, target, reduction="none", out=values) is values
    assert_same_bits((values,), (value,))
    strided = np.zeros((shape[0], 2 * shape[1]), dtype)[:, ::2]
    assert loss.value_and_grad(pred, target, reduction="none", out=strided)[1] is strided
    assert_same_bits((strided,), (grad,))
    for place in (0, 1):
        inputs = pred.copy(), target.copy()
        assert_same_bits(loss.value_and_grad(*inputs, reduction="none", out=inputs[place]), (value, grad))
        assert_same_bits((inputs[place],), (grad,))
        inputs = pred.copy(), target.copy()
        out = (np.empty_like(pred), inputs[place])
        assert_same_bits(loss.value_grad_hess(*inputs, reduction="none", out=out), (value, grad, hess))
    inputs = pred.copy(), target.copy()
    assert_same_bits(loss.value_grad_hess(*inputs, reduction="none", out=inputs), (value, grad, hess))
    same = pred.copy()
    want = loss.value_and_grad(pred, pred)
    assert_same_bits(loss.value_and_grad(same, same, out=same), want)


# Hard values.


@full_dtype
@pytest.mark.parametrize("kappa", KAPPAS)
def test_hard_values(kappa, dtype):
    tiny, big = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max) / 4
    numbers = np.array([0.0, -0.0, tiny, -tiny, 1e-30, 0.3, 1.0, 2.5, -2.5, 1e20, big, -big], dtype)
    case = Case(pl.QuantileHuber, (("kappa", kappa),))
    pred, target = (each.reshape(-1, 1) for each in np.meshgrid(numbers, numbers))
    value, grad, hess = case.loss().value_grad_hess(pred, target, reduction="none")
    assert np.isfinite(value).all()
    assert np.isfinite(hess).all()
    want = case.reference(pred, target)
    eps = float(np.finfo(dtype).eps)
    atol = 4 * tiny
    assert_allclose(value, want[0], rtol=4 * eps, atol=atol)
    assert_allclose(grad, want[1], rtol=4 * eps, atol=atol)
    exact = (
        abs(abs(target.astype(np.longdouble) - pred) - kappa) > 1e-6
    )  # elsewhere rounding decides on which side it is
    assert_allclose(hess[exact], want[2][exact], rtol=4 * eps)


@full_dtype
@pytest.mark.parametrize("kappa", KAPPAS)
def test_infinite_and_missing_values(kappa, dtype):
    loss = pl.QuantileHuber(kappa)
    pred, target = np.zeros((5, 3), dtype), np.ones((5, 4), dtype)
    pred[0, 1], target[1, 2], pred[2, 0], target[3, 0] = np.nan, np.nan, np.inf, np.inf
    value, grad, _ = loss.value_grad_hess(pred, target, reduction="none")
    assert_array_equal(np.isnan(value), [True, True, False, False, False])
    assert_array_equal(value[2:4], [np.inf, np.inf])
    assert_array_equal(np.isnan(grad), [[False, True, False], [True] * 3, *[[False] * 3] * 3])
    assert np.isclose(grad[2, 0], 5 / 6)  # every sample is below
    assert np.isfinite(grad[3]).all()
    assert_same_bits((grad[0, ::2],), (grad[4, ::2],))


@full_dtype
@pytest.mark.parametrize("kappa", [5e-324, 1e-300, 1e-40, 2.0**-101, 1e-20, 1e20, 2.0**101, 1e38, 1e300])
def test_kappa_of_any_size(kappa, dtype):
    """Beyond the range of float32, too."""
    pred, target = draw((4,), 9, 11, dtype)
    case = Case(pl.QuantileHuber, (("kappa", kappa),))
    value, grad, hess = case.loss().value_grad_hess(pred, target, reduction="none")
    want = case.reference(pred, target)
    atol = float(np.finfo(dtype).smallest_subnormal)
    assert_allclose(value, want[0], rtol=RELATIVE[np.dtype(dtype).name], atol=atol)
    assert_allclose(
        grad, want[1], rtol=RELATIVE[np.dtype(dtype).name], atol=1e-7 if kappa < 1 and dtype == np.float32 else 1e-15
    )
    assert not np.isnan(hess).any()


def test_nothing_costs_nothing():
    for pred, target, weight in (
        (np.zeros((0, 3)), np.zeros((0, 4)), None),
        (np.zeros((0, 3)), np.zeros(4), None),
        (np.full((2, 3), np.nan), np.zeros((2, 4)), [0.0, 0.0]),
    ):
        value, grad, hess = pl.QuantileHuber().value_grad_hess(pred, target, weight=weight)
        assert value == 0.0
        assert grad.shape == hess.shape == pred.shape
        assert not grad.any()
        assert not hess.any()


# What is refused, and in which words.


@pytest.mark.parametrize(
    ("pred", "target", "options", "error", "text"),
    [
        (1.0, [1.0], {}, ValueError, r"pred: got a single number, wanted rows of quantiles: shape \(\.\.\., q"),
        ([1.0], 1.0, {}, ValueError, r"target: got a single number, wanted rows of samples: shape \(\.\.\., samples\)"),
        (np.ones((2, 0)), np.ones((2, 3)), {}, ValueError, r"pred: got shape \(2, 0\), wanted at least one of"),
        (np.ones((2, 3)), np.ones((2, 0)), {}, ValueError, r"target: got shape \(2, 0\), wanted at least one of"),
        (np.ones((2, 3)), np.ones((3, 3)), {}, ValueError, r"target: got shape \(3, 3\), wanted the shape of pred but"),
        (np.ones(3), np.ones((2, 3)), {}, ValueError, r"target: got shape \(2, 3\), wanted the shape of pred but"),
        ([1.0], [1.0], {"weight": -1.0}, ValueError, r"weight: got -1\.0 at index \(\), wanted finite weights"),
        (np.ones((2, 3)), np.ones(3), {"weight": np.ones(3)}, ValueError, r"weight: got shape \(3,\), wanted .*pred"),
        ([1.0], ["a"], {}, TypeError, r"target: got dtype <U1, wanted float32"),
        ([1.0], [1.0], {"reduction": "all"}, ValueError, r"reduction: got 'all', wanted"),
        ([1.0], [1.0], {"out": np.ones(1), "reduction": "mean"}, ValueError, r"out: got an array with reduction="),
    ],
)  # fmt: skip
def test_errors(pred, target, options, error, text):
    with pytest.raises(error, match=f"^{text}"):
        pl.QuantileHuber()(pred, target, **options)


def test_errors_of_parameters_and_of_other_verbs():
    for kappa in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^kappa: got .*, wanted a number in \[0, inf\]"):
            pl.QuantileHuber(kappa=kappa)
    with pytest.raises(TypeError, match=r"^kappa: got '1', wanted a number"):
        pl.QuantileHuber(kappa="1")
    with pytest.raises(
        TypeError, match=r"^init_score: got QuantileHuber\(kappa=1\.0\), wanted a loss of separate pred"
    ):
        pl.QuantileHuber().init_score([1.0, 2.0])
    with pytest.raises(
        TypeError, match=r"^\+: got MSE\(\) beside losses of quantiles, wanted losses of the same inputs"
    ):
        pl.QuantileHuber() + pl.MSE()
    with pytest.raises(TypeError, match=r"^\+: got QuantileHuber"):
        pl.MSE() + pl.QuantileHuber()
    shared = np.ones(9)
    with pytest.raises(ValueError, match=r"^out: got an array that overlaps target, wanted target itself"):
        pl.QuantileHuber().value_and_grad(np.ones(6), shared[3:], out=shared[:6])
    assert (shared == 1.0).all()


def test_catalogue():
    assert "quantile_huber" in pl.list_losses(task="reinforcement learning")
    loss = pl.get("quantile_huber", kappa=0.5)
    assert loss == pl.QuantileHuber(kappa=0.5)
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert loss.info.convex
    assert all(case.loss() == case.loss() for case in CASES)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_ends_a_long_row(seconds_to_interrupt, threads):
    prepare = "pred, target = np.zeros(100_000), np.zeros(10_000_000)"
    assert seconds_to_interrupt("pl.QuantileHuber()(pred, target)", threads, prepare) < 0.2
