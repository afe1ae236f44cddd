"""The penalty of gradients: rows of any size beside the definition, torch, bits; the rest is tested with all losses."""

from __future__ import annotations

from itertools import product

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, assert_within
from conftest import named_dtype

pytestmark = pytest.mark.usefixtures("level")

full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
width = pytest.mark.parametrize("width", [1, 3, 64, 65, 5000], ids="d={}".format)
"""A lane each, in one block, in several."""


def expected(row, target):
    """The length, the value and both derivatives by their definition, to 60 digits, of a row that is not 0."""
    with mpmath.workdps(60):
        g = [mpmath.mpf(float(x)) for x in row]
        n = mpmath.sqrt(sum(x * x for x in g))
        hess = [2 * (1 - target / n * (1 - (x / n) ** 2)) for x in g]
        return (
            np.float64(n),
            np.float64((n - target) ** 2),
            *(np.array(each, np.float64) for each in ([2 * (n - target) * x / n for x in g], hess)),
        )


HARD = {
    "3-4-12": [3, 4, 12],
    "one": [1, 0, 0],
    "of length 1": [0.6, 0.8, 0],
    "dominated": [0.25, 1e-9, -1e-12],
    "nearly alone": [1e-6, 1e-13, 0],
    "even": [0.1, -0.1, 0.1],
    "small": [1e-30, -2e-30, 0],
    "large": [1e25, 1e24, -1e-3],
    "above the first threshold": [2.0**-40, 2.0**-41, 2.0**-60],
    "below it": [0.99 * 2.0**-40, 2.0**-41, 2.0**-60],
    "below the second": [2.0**60, -(2.0**58), 1],
    "above it": [2.0**60 * 1.01, -(2.0**58), 1],
}
WIDE = {
    "below float32": [1e-170, 2e-180, 1e-200],
    "between": [2.0**-149, 2.0**-150, 0],
    "above float32": [1e200, -1e190, 1],
    "square beyond": [2.0**128, 2.0**127, 1],
}


@pytest.mark.parametrize(
    ("row", "dtype"),
    [*product(HARD.values(), [np.float32, np.float64]), *product(WIDE.values(), [np.float64])],
    ids=[*(f"{name}-{dtype}" for name, dtype in product(HARD, ["float32", "float64"])), *WIDE],
)
@width
@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_rows_by_the_definition(row, target, width, dtype):
    few = np.array(row, dtype)[:width]
    pred = np.zeros((3, width), dtype)
    pred[:, : len(few)] = few
    pred[1] = np.roll(pred[1], width // 2)
    got = pl.GradientPenalty(target).value_grad_hess(pred, reduction="none")
    norm, value, grad, hess = expected(few, target)
    unit, tiny = 4 * float(np.finfo(dtype).eps), 4 * float(np.finfo(dtype).smallest_subnormal)
    with np.errstate(over="ignore", invalid="ignore"):
        # The length is right to some units, and what it leaves beside `target` is squared.
        bound = unit * value + 2 * unit * (norm + target) * abs(norm - target) + (unit * (norm + target)) ** 2
        value, grad, hess = (np.asarray(each).astype(dtype).astype(float) for each in (value, grad, hess))
        assert_within(got[0], value, bound + tiny)
        for i, begin in enumerate((0, width // 2, 0)):
            places = (begin + np.arange(len(few))) % width
            assert_within(got[1][i, places], grad, unit * 2 * abs(few.astype(float)) * (1 + target / norm) + tiny)
            assert_within(got[2][i, places], hess, unit * (2 + abs(hess - 2)))
            others = np.setdiff1d(np.arange(width), places)
            assert not got[1][i, others].any()
            bend = np.full(len(others), 2 * (1 - target / norm)).astype(dtype).astype(float)
            assert_within(got[2][i, others], bend, unit * (2 + abs(bend)))


@full_dtype
@width
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_row_of_zeros_has_no_slope(target, width, dtype):
    pred = np.zeros((3, width), dtype)
    pred[1] = -0.0
    pred[2, 0] = 0.5
    value, grad, hess = pl.GradientPenalty(target).value_grad_hess(pred, reduction="none")
    assert_array_equal(value, [target**2, target**2, (0.5 - target) ** 2])
    assert not grad[:2].any()
    assert_array_equal(hess[:2], 0.0 if target else 2.0)  # ‖g‖² is smooth
    assert grad[2, 0] == 2 * (0.5 - target)


@full_dtype
@width
def test_subnormal_rows_have_the_slope_of_their_direction(width, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    pred = np.full((2, width), tiny, dtype)
    pred[1] *= -1
    value, grad = pl.GradientPenalty().value_and_grad(pred, reduction="none")
    assert_array_equal(value, 1.0)
    direction = np.sign(pred) / np.sqrt(width)
    assert_allclose(grad, -2 * direction, rtol=4 * float(np.finfo(dtype).eps))


@full_dtype
@width
def test_huge_rows_have_finite_derivatives(width, dtype):
    """Their squares, and from some width on their length, are beyond the type."""
    big = float(np.finfo(dtype).max) / 4
    pred = np.full((2, width), big, dtype)
    pred[1, 1:] = 1.0
    value, grad, hess = pl.GradientPenalty().value_grad_hess(pred, reduction="none")
    assert_array_equal(value, np.inf)
    assert_array_equal(grad, 2 * pred)
    assert_array_equal(hess, 2.0)


@full_dtype
@width
def test_infinite_and_missing_elements(width, dtype):
    pred = np.ones((3, width), dtype)
    pred[0, 0], pred[1, -1], pred[2, 0] = np.inf, np.nan, -np.inf
    if width > 1:
        pred[2, -1] = np.inf
    value, grad, hess = pl.GradientPenalty().value_grad_hess(pred, reduction="none")
    assert_array_equal(value, [np.inf, np.nan, np.inf])
    assert_array_equal(grad[[0, 2]], 2 * pred[[0, 2]])  # its limit
    assert_array_equal(hess[[0, 2]], 2.0)
    assert np.isnan(grad[1]).all()
    assert np.isnan(hess[1]).all()
    weight = [0.0, 0.0, 0.0]
    assert_same_bits(pl.GradientPenalty().value_and_grad(pred, weight=weight), (0.0, np.zeros_like(pred)))


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
@width
def test_torch(width, target, rng):
    torch = pytest.importorskip("torch")
    pred = rng.standard_normal((50, width)) / np.sqrt(width)
    x = torch.tensor(pred, requires_grad=True)
    loss = 10 * ((x.norm(2, dim=1) - target) ** 2).mean()
    loss.backward()
    value, grad = (10 * pl.GradientPenalty(target)).value_and_grad(pred)
    assert_allclose(value, loss.item(), rtol=1e-12)
    assert_allclose(grad, x.grad.numpy(), rtol=1e-12, atol=1e-15)


@full_dtype
@width
def test_same_bits_for_any_number_of_threads(width, dtype, rng):
    pred = rng.standard_normal((400_000 // width, width)).astype(dtype)
    weight = rng.random(len(pred))
    results = []
    for count in (1, 2, 3, 7):
        with pl.num_threads(count):
            results.append(pl.GradientPenalty().value_grad_hess(pred, weight=weight))
    for other in results[1:]:
        assert_same_bits(results[0], other)


def test_layouts_and_types(rng):
    pred = rng.standard_normal((3, 4, 70))
    loss = pl.GradientPenalty()
    want = loss.value_grad_hess(pred, reduction="none")
    assert want[0].shape == (3, 4)
    for other in (np.asfortranarray(pred), np.repeat(pred, 2, axis=-1)[..., ::2], pred[:, ::-1].copy()[:, ::-1]):
        assert_same_bits(loss.value_grad_hess(other, reduction="none"), want)
    inplace = pred.copy()
    assert_same_bits(loss.value_and_grad(inplace, reduction="none", out=inplace), want[:2])
    for name, low in product(("float16", "bfloat16"), (1.0, 1e-4)):
        half = (low * pred).astype(named_dtype(name))
        single = loss.value_grad_hess(half.astype(np.float32), reduction="none")
        assert_same_bits(
            loss.value_grad_hess(half, reduction="none"), tuple(each.astype(half.dtype) for each in single)
        )


def test_what_is_refused():
    loss = pl.GradientPenalty()
    for target in (-0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^target: got .*, wanted a number in \[0, inf\]"):
            pl.GradientPenalty(target=target)
    with pytest.raises(ValueError, match=r"^pred: got a single number, wanted rows of a gradient's elements"):
        loss(1.0)
    with pytest.raises(ValueError, match=r"^pred: got shape \(3, 0\), wanted at least one element on the last axis"):
        loss(np.ones((3, 0)))
    with pytest.raises(TypeError, match=r"^inputs: got 2 arrays, wanted pred"):
        loss(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(
        TypeError, match=r"^init_score: got GradientPenalty\(target=1\.0\), wanted an elementwise loss or"
    ):
        loss.init_score([1.0])
    with pytest.raises(TypeError, match=r"^\+: got MSE\(\) beside row losses"):
        loss + pl.MSE()


def test_evaluate_and_the_catalogue(rng):
    pred = rng.standard_normal((20, 7))
    losses = [pl.GradientPenalty(), pl.GradientPenalty(target=0.0), 10 * pl.GradientPenalty(0.5) + pl.Entropy()]
    assert pl.evaluate(losses, pred) == tuple(loss(pred) for loss in losses)
    assert "gradient_penalty" in pl.list_losses(task="adversarial")
    assert pl.get("gradient_penalty", target=2.0) == pl.GradientPenalty(2.0)
