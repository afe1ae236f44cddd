"""The root of the mean squared error, which is no mean of losses of elements."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, wide
from pyloss.reference import rmse

pytestmark = pytest.mark.usefixtures("level")

NAMES = ["rmse"]
SIZES = [0, 1, 2, 7, 17, 4097, 40_003]
REDUCTIONS = ["mean", "sum", "none"]
# Relative to the largest element: half types are rounded once, from float32.
TOLERANCE = {"float32": 6e-7, "float64": 2e-15, "float16": 1e-3, "bfloat16": 8e-3}


def draw(size, dtype, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.choice([0.0, 0.25, 1.0, 1.75], size)
    return (each.astype(dtype) for each in (rng.standard_normal(size), rng.standard_normal(size), weight))


def check(pred, target, weight, reduction, case=None):
    results = pl.RMSE().value_grad_hess(pred, target, weight=weight, reduction=reduction)
    expected = rmse(wide(pred), wide(target), None if weight is None else wide(weight), reduction)
    tolerance = TOLERANCE[pred.dtype.name]
    assert_allclose(wide(np.asarray(results[0])), expected[0], rtol=tolerance, err_msg=f"value {case}")
    for name, got, want in zip(("grad", "hess"), results[1:], expected[1:], strict=True):
        assert got.dtype == pred.dtype
        # Of the second derivative the size is that of its two terms, which cancel in a batch of one.
        largest = np.max(abs(want), initial=0.0)
        if name == "hess" and expected[0].ndim == 0 and expected[0] > 0:
            w = np.broadcast_to(1.0 if weight is None else wide(weight), pred.shape)
            total = (w.sum() or 1.0) if reduction == "mean" else 1.0
            largest = np.max(abs(w / total / expected[0]), initial=0.0)
        assert_allclose(wide(got), want, rtol=tolerance, atol=2 * tolerance * largest, err_msg=f"{name} {case}")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_against_reference(size, reduction, dtype):
    pred, target, weight = draw(size, dtype)
    check(pred, target, None, reduction)
    check(pred, target, weight, reduction)
    check(pred, target, np.asarray(2.0, dtype), reduction)
    if size:
        check(pred, target[:1], weight, reduction)
        excluded = pred.copy()
        excluded[weight == 0] = np.nan
        got = pl.RMSE().value_grad_hess(excluded, target, weight=weight, reduction=reduction)
        assert_same_bits(got, pl.RMSE().value_grad_hess(pred, target, weight=weight, reduction=reduction))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scales_at_which_squares_overflow_or_vanish(kind, weighted):
    limits = np.finfo(kind)
    # The reference is in float64 itself, where a subnormal root has no digits.
    least = limits.smallest_subnormal if kind == "float32" else 1e3 * limits.tiny
    sizes = [0.0, least, 4e3 * limits.tiny, 1e-25, 1e-12, 1.0, 1e12, 3e25, limits.max / 8]
    for scale in (float(size) for size in sizes):
        pred, target, weight = draw(37, "float64", 3)
        pred, target = ((each * scale / 4).astype(kind) for each in (pred, target))
        for reduction in ("mean", "sum"):
            w = weight.astype(kind) if weighted else None
            want = rmse(wide(pred), wide(target), w, reduction)
            value, grad = pl.RMSE().value_and_grad(pred, target, weight=w, reduction=reduction)
            # Subnormal residuals are what they are: nothing is lost after the subtraction.
            assert_allclose(value, want[0], rtol=TOLERANCE[kind], err_msg=f"{scale} {reduction}")
            assert_allclose(grad, want[1], rtol=1e-6 if kind == "float32" else 1e-14, atol=1e-30)
            _, also, hess = pl.RMSE().value_grad_hess(pred, target, weight=w, reduction=reduction)
            assert_array_equal(also, grad)
            with np.errstate(over="ignore"):
                bound = np.isfinite(want[2].astype(kind))
            ulps = 8 * float(limits.eps)
            size = abs(want[2]) + abs(want[1]) / (value or 1.0) + (value and 1.75 / value)
            assert np.all((abs(hess - want[2]) <= ulps * size + limits.tiny)[bound]), (scale, reduction)


def test_gradient_is_that_of_the_value():
    pred, target, weight = draw(9, np.float64)
    weight[0] = 0.5
    for reduction in ("mean", "sum"):
        loss = lambda p: rmse(p, target, weight, reduction)[0]  # noqa: E731, B023
        step = 1e-6 * np.eye(9)
        value, grad, hess = pl.RMSE().value_grad_hess(pred, target, weight=weight, reduction=reduction)
        assert_allclose(grad, [(loss(pred + h) - loss(pred - h)) / 2e-6 for h in step], rtol=1e-7, atol=1e-9)
        bends = [(loss(pred + 100 * h) - 2 * value + loss(pred - 100 * h)) / 1e-8 for h in step]
        assert_allclose(hess, bends, rtol=1e-4, atol=1e-6)


def test_nothing_and_perfection():
    for pred, weight in (([], None), ([1.0, 2.0], [0.0, 0.0]), ([1.0, 2.0], None)):
        value, grad, hess = pl.RMSE().value_grad_hess(pred, pred, weight=weight)
        assert value == 0.0
        assert not grad.any()
        assert not hess.any()


def test_what_is_not_a_number():
    value, grad = pl.RMSE().value_and_grad([1.0, np.nan], [0.0, 0.0])
    assert np.isnan(value)
    assert np.isnan(grad).all()
    value, grad = pl.RMSE().value_and_grad([1.0, np.inf], [0.0, 0.0])
    assert value == np.inf
    assert grad[0] == 0.0


def test_same_bits_for_any_number_of_threads(threads):
    pred, target, weight = draw(200_003, np.float32)
    got = pl.RMSE().value_grad_hess(pred, target, weight=weight)
    with pl.num_threads(1):
        assert_same_bits(got, pl.RMSE().value_grad_hess(pred, target, weight=weight))


def test_layouts_and_outputs(dtype):
    pred, target, weight = (each.reshape(30, 40) for each in draw(1200, dtype))
    want = pl.RMSE().value_grad_hess(pred, target, weight=weight)
    got = pl.RMSE().value_grad_hess(pred.T, target.T, weight=weight.T)
    assert_same_bits((got[1].T, got[2].T), want[1:])
    apart = np.repeat(pred, 3, axis=1)[:, ::3]
    assert_same_bits(pl.RMSE().value_grad_hess(apart, target, weight=weight), want)
    own, hess = pred.copy(), np.empty_like(pred)
    got = pl.RMSE().value_grad_hess(own, target, weight=weight, out=(own, hess))
    assert got[1] is own
    assert_same_bits(got, want)


def test_multiples_and_sums():
    pred, target, weight = draw(100, np.float64)
    value, grad, hess = pl.RMSE().value_grad_hess(pred, target, weight=weight)
    for loss in (2.5 * pl.RMSE(), pl.RMSE() + 1.5 * pl.RMSE()):
        got = loss.value_grad_hess(pred, target, weight=weight)
        for one, other in zip(got, (value, grad, hess), strict=True):
            assert_allclose(one, 2.5 * other, rtol=4e-15)
        assert_allclose(loss(pred, target, reduction="none"), 2.5 * abs(pred - target), rtol=4e-15)
    assert repr(2.5 * pl.RMSE()) == "2.5 * RMSE()"
    assert pickle.loads(pickle.dumps(2.5 * pl.RMSE())) == copy.copy(2.5 * pl.RMSE())
    for one, other in ((pl.RMSE(), pl.MSE()), (pl.MSE(), pl.RMSE())):
        with pytest.raises(TypeError, match=re.escape(f"+: got {other!r} beside {one!r}") + "|" + re.escape("RMSE()")):
            one + other


@pytest.mark.parametrize("scale", [1.0, 1e-13, 1e30])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_evaluated_with_others(reduction, scale):
    pred, target, weight = draw(5000, np.float32)
    pred *= np.float32(scale)
    target *= np.float32(scale)
    losses = [pl.MSE(), 3.0 * pl.RMSE(), pl.MAE(), pl.RMSE()]
    with np.errstate(over="ignore"):
        got = pl.evaluate(losses, pred, target, weight=weight, reduction=reduction)
    assert got == tuple(loss(pred, target, weight=weight, reduction=reduction) for loss in losses)


def test_one_pass_of_evaluate(monkeypatch):
    """RMSE beside the others reads memory no second time."""
    runs = []
    run = pl.losses._elementwise.Elementwise._run
    monkeypatch.setattr(
        pl.losses._elementwise.Elementwise, "_run", lambda self, *arguments: runs.append(self) or run(self, *arguments)
    )
    pl.evaluate([pl.RMSE(), pl.MSE(), pl.MAE()], [1.0, 2.0], [0.0, 0.0])
    assert len(runs) == 1


def test_bad_input_writes_nothing():
    pred, out = np.zeros(3), np.full(3, 7.0)
    with pytest.raises(ValueError, match=r"target: got shape \(2,\)"):
        pl.RMSE().value_and_grad(pred, np.zeros(2), out=out)
    with pytest.raises(ValueError, match="weight: got -1"):
        pl.RMSE().value_and_grad(pred, 1.0, weight=[1.0, -1.0, 1.0], out=out)
    with pytest.raises((TypeError, ValueError), match="out: got"):
        pl.RMSE().value_and_grad(pred, 1.0, out=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="reduction: got 'median'"):
        pl.RMSE()(pred, 1.0, reduction="median")
    assert_array_equal(out, 7.0)


def test_init_score():
    assert pl.RMSE().init_score([1.0, 2.0, 6.0]) == 3.0
    assert (2.0 * pl.RMSE()).init_score([1.0, 2.0], weight=[3.0, 1.0]) == 1.25


def test_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    pred, target, weight = draw(1000, np.float64)
    want = metrics.root_mean_squared_error(target, pred, sample_weight=weight)
    assert_allclose(pl.RMSE()(pred, target, weight=weight), want, rtol=1e-14)


def test_torch():
    torch = pytest.importorskip("torch")
    pred, target, _ = draw(1000, np.float64)
    tensor = torch.from_numpy(pred).requires_grad_()
    want = torch.nn.functional.mse_loss(tensor, torch.from_numpy(target)).sqrt()
    want.backward()
    value, grad = pl.RMSE().value_and_grad(pred, target)
    assert_allclose(value, want.item(), rtol=1e-14)
    assert_allclose(grad, tensor.grad, rtol=1e-13)
