"""Every kernel against the reference."""

from __future__ import annotations

from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import (
    CLASSES,
    LOSSES,
    Case,
    Expected,
    assert_same_bits,
    every_case,
    every_elementwise_case,
    other_values,
    rows,
)

pytestmark = pytest.mark.usefixtures("level")

SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 40_003]
REDUCTIONS = ["mean", "sum", "none"]
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    return np.dtype(np.float16) if request.param == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def weights(size: int, dtype: np.dtype) -> np.ndarray:
    """Some of them 0."""
    return np.random.default_rng(2).choice([0.0, 0.25, 1.0, 1.75], size).astype(dtype)


def sizes_of(case: Case) -> list[int]:
    return [size for size in SIZES if size * (CLASSES if case.rowwise else 1) <= 200_000]


@full_dtype
@every_case
def test_sizes_weights_and_reductions(case, dtype):
    loss, everything = case.loss(), Expected(case, *case.draw(max(sizes_of(case)), dtype))
    for size, reduction in product(sizes_of(case), REDUCTIONS):
        expected = everything[:size]
        expected.check(loss.value_grad_hess(expected.pred, expected.target, reduction=reduction), None, reduction)
        weight = weights(size, dtype)
        pred = expected.pred.copy()
        pred[weight == 0] = np.nan  # excluded exactly
        got = loss.value_grad_hess(pred, expected.target, weight=weight, reduction=reduction)
        expected.check(got, weight, reduction)


@every_case
def test_half_types_are_float32_rounded_once(case, half):
    loss = case.loss()
    for size, reduction, weighted in product((0, 1, 17, 4097), REDUCTIONS, (False, True)):
        pred, target = case.draw(size, half)
        weight = weights(size, half) if weighted else None
        got = loss.value_grad_hess(pred, target, weight=weight, reduction=reduction)
        single = target if target.dtype.kind == "i" else target.astype(np.float32)
        value, *derivatives = loss.value_grad_hess(pred.astype(np.float32), single, weight=weight, reduction=reduction)
        with np.errstate(over="ignore"):
            value = value.astype(half) if reduction == "none" else value
            want = value, *(each.astype(half) for each in derivatives)
        assert_same_bits(got, want, f"{size} {reduction}")


def test_float64_is_rounded_once_to_half(half):
    # Half a unit above 1 and a bit: by way of float32, the bit is lost and the tie goes to even.
    ulp = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[half.name]
    grad = pl.MSE().value_and_grad(np.ones(1, half), np.array([0.5 - ulp / 4 - 1e-12]), reduction="none")[1]
    assert float(grad[0]) == 1.0 + ulp


@full_dtype
@every_elementwise_case
def test_hard_values(case, dtype):
    pred, target = case.hard(dtype)
    Expected(case, pred, target).check(case.loss().value_grad_hess(pred, target, reduction="none"))


@full_dtype
@pytest.mark.parametrize(
    ("loss", "pred", "terms"),
    [
        (pl.Huber(delta=2.5), 2.5, (3.125, 2.5, 1.0)),
        (pl.Huber(delta=2.5), -2.5, (3.125, -2.5, 1.0)),
        (pl.Hinge(margin=2.5), 2.5, (0.0, 0.0, 0.0)),
        (pl.MAE(), 1.0, (0.0, 0.0, 0.0)),
        (pl.Quantile(q=0.25), 1.0, (0.0, 0.0, 0.0)),
    ],
    ids=repr,
)
def test_kinks(loss, pred, terms, dtype):
    target = dtype(0) if isinstance(loss, pl.Huber) else dtype(1)
    assert loss.value_grad_hess(dtype(pred), target, reduction="sum") == terms


@every_case
def test_nan_predictions_propagate(case, dtype):
    pred, target = case.draw(33, dtype)
    pred[[0, 20]] = np.nan
    value, grad = case.loss().value_and_grad(pred, target, reduction="none")
    counted = Expected(case, pred, target).terms[0]
    assert_array_equal(np.isnan(value.astype(float)), np.isnan(counted))
    assert_array_equal(np.isnan(grad.astype(float)).any(axis=-1) if case.rowwise else np.isnan(grad), np.isnan(counted))


@every_case
def test_mean_of_nothing_is_zero(case, dtype):
    pred, target = case.draw(5, dtype)
    pred[1] = np.nan
    weight = np.zeros(5, dtype)
    for p, t, w in ((pred, target, weight), (pred[:0], target[:0], None), (pred[:0], target[:0], weight[:0])):
        value, grad, hess = case.loss().value_grad_hess(p, t, weight=w)
        assert (value, type(value)) == (0.0, float)
        assert not grad.any()
        assert not hess.any()
        assert grad.shape == hess.shape == p.shape


@full_dtype
@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, f.name) for name, cls in LOSSES.items() for f in fields(cls) if f.metadata.get("as_input") is not None],
)
def test_parameters_that_are_sequences(name, parameter, dtype):
    low, *more = other_values(LOSSES[name].__dataclass_fields__[parameter])
    each = (low, 0.5, *more)
    case = Case(LOSSES[name], ((parameter, each),))
    one = Case(case.cls)
    pred, target = (np.repeat(x[:, None], len(each), axis=1) for x in one.draw(1001, dtype))
    expected = Expected(case, pred, target)
    for reduction in REDUCTIONS:
        expected.check(case.loss().value_grad_hess(pred, target, reduction=reduction), None, reduction)
        expected.check(case.loss().value_grad_hess(pred, target[:, :1], reduction=reduction), None, reduction)


# Row losses: what their engine does with labels, probabilities and shapes.

NAMES = ("label_smoothing", "ignore_index", "z_loss", "softcap", "temperature")
CROSS = [
    dict(zip(NAMES, values, strict=True))
    for values in product((0.0, 0.1), (None, 0, -100), (0.0, 0.01), (None, 5.0), (1.0, 0.7))
]


@full_dtype
@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "class_weight"])
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_cross_entropy_parameters_crossed(classes, weighted, probabilities, dtype):
    class_weight = tuple(np.linspace(0.5, 2.0, classes)) if weighted else None
    for parameters, reduction in zip(CROSS, REDUCTIONS * len(CROSS), strict=False):
        case = Case(pl.CrossEntropy, tuple({"class_weight": class_weight, **parameters}.items()))
        pred, target = rows(9, classes, dtype, parameters["ignore_index"], probabilities=probabilities)
        weight = weights(9, dtype)
        for w in (None, weight):
            got = case.loss().value_grad_hess(pred, target, weight=w, reduction=reduction)
            Expected(case, pred, target).check(got, w, reduction)


@full_dtype
@pytest.mark.parametrize("probabilities", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("classes", [3, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000, 2048, 2049, 4096, 4097, 5000])
def test_cross_entropy_of_so_many_classes(classes, probabilities, dtype):
    """Few go as tiles of rows, up to 4096 of float32 and 2048 of float64 as one block, more as several."""
    for parameters in ({}, {"class_weight": tuple(np.linspace(0, 2, classes)), **CROSS[-1]}):
        case = Case(pl.CrossEntropy, tuple(parameters.items()))
        pred, target = rows(max(3, 200 // classes), classes, dtype, None, probabilities=probabilities)
        pred[1] = np.sort(pred[1])  # the largest score is in the last block
        expected = Expected(case, pred, target)
        for reduction in REDUCTIONS:
            expected.check(case.loss().value_grad_hess(pred, target, reduction=reduction), None, reduction)


HARD_ROWS = {
    "dominated": [0.0, 100.0, -100.0],
    "saturated": [0.0, 1000.0, -1000.0],
    "alike": [7.0, 7.0, 7.0],
    "impossible": [0.0, -np.inf, 1.0],
    "certain": [-np.inf, 2.0, -np.inf],
    "infinite": [0.0, np.inf, 1.0],
    "infinite beside impossible": [-np.inf, np.inf, 1.0],
    "all impossible": [-np.inf] * 3,
    "nan": [0.0, np.nan, 1.0],
    "huge": [1e30, -1e30, 1e30],
    "tiny": [1e-40, -1e-40, 0.0],
}


@full_dtype
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"label_smoothing": 0.1},
        {"z_loss": 0.01},
        {"softcap": 30.0},
        {"temperature": 0.5},
        {"class_weight": (1.0, 0.0, 2.0)},
    ],
    ids=str,
)
@pytest.mark.parametrize("scores", HARD_ROWS.values(), ids=HARD_ROWS)
def test_cross_entropy_of_hard_rows(scores, parameters, dtype):
    case = Case(pl.CrossEntropy, tuple(parameters.items()))
    one_hot = np.eye(3, dtype=dtype)
    pred = np.tile(np.array(scores, dtype), (3, 1))
    for target in (np.arange(3), one_hot, 0.5 * one_hot + 0.5 * one_hot[::-1]):
        Expected(case, pred, target).check(case.loss().value_grad_hess(pred, target, reduction="none"))


@pytest.mark.parametrize("c", [1e-37, 1e-35, 1e-20, 1e-12, 1.0, 1e10, 1e18])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_geman_mcclure_of_any_width(dtype, c):
    far = 1.1e18 if dtype == np.float32 else 1.1e150  # where the formula changes its unit
    pred = np.array([1.0, 1e-3, 1e5, 1e30, -3e38, far * c, 30 * far * c, -0.9 * far * c], dtype)
    with np.errstate(under="ignore", over="ignore"):
        got = pl.GemanMcClure(c=c).value_grad_hess(pred, np.zeros_like(pred), reduction="none")
        u = pred.astype(np.longdouble) / np.longdouble(c)
        size = u * u + 4
        wanted = 2 * u * u / size, 16 * u / size**2 / c, 16 * (4 - 3 * u * u) / size**3 / c / c
        least = np.finfo(dtype).smallest_subnormal
        for each, want in zip(got, wanted, strict=True):
            assert_allclose(each, want.astype(dtype), rtol=1e-6 if dtype == np.float32 else 1e-13, atol=2 * least)


@pytest.mark.parametrize("c", [1e-50, 1e-37, 1e-20, 4.685, 1e10, 1e18, 3e35])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tukey_of_any_width(dtype, c):
    """Also close to c, where what is left of the gradient is what the residual lacks to it."""
    shares = np.array([0.1, -0.5, 0.999, 0.999999, -1.001, 7.0])
    pred = np.array([0.0, 1e-10, 0.3, 1.5, -4.6849, 4.68501, 1e10, *(c * shares)], dtype)
    value, grad, hess = pl.Tukey(c=c).value_grad_hess(pred, np.zeros_like(pred), reduction="none")
    width = np.longdouble(c)
    r = np.clip(pred.astype(np.longdouble), -width, width)
    left = (width - abs(r)) * (width + abs(r)) / width**2
    close, tiny = 1e-6 if dtype == np.float32 else 1e-13, np.finfo(dtype).tiny
    with np.errstate(over="ignore", under="ignore"):
        assert_allclose(value, (r * r / 6 * (1 + left + left * left)).astype(dtype), rtol=close, atol=tiny)
        assert_allclose(grad, (r * left**2).astype(dtype), rtol=close, atol=tiny)
        assert_allclose(hess, (left * (left - 4 * (r / width) ** 2)).astype(dtype), rtol=4 * close, atol=close)


def test_tukey_wider_than_its_type():
    pred = np.array([0.0, 1.0, -1e10], np.float32)
    value, grad, hess = pl.Tukey(c=1e39).value_grad_hess(pred, np.zeros_like(pred), reduction="none")
    assert_allclose(value, pred.astype(np.float64) ** 2 / 2, rtol=1e-6)
    assert_allclose(grad, pred, rtol=1e-6)
    assert_allclose(hess, np.ones(3), rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong", "ulonglong"],
)
def test_labels_of_any_integer_type(kind):
    pred, target = rows(40, 10, np.float32, None, probabilities=False)
    want = pl.CrossEntropy().value_grad_hess(pred, target, reduction="none")
    assert_same_bits(pl.CrossEntropy().value_grad_hess(pred, target.astype(kind), reduction="none"), want)


def test_leading_axes_of_rows():
    pred, target = rows(24, 10, np.float64, None, probabilities=False)
    value, grad = pl.CrossEntropy().value_and_grad(pred.reshape(2, 3, 4, 10), target.reshape(2, 3, 4), reduction="none")
    flat, flat_grad = pl.CrossEntropy().value_and_grad(pred, target, reduction="none")
    assert_array_equal(value, flat.reshape(2, 3, 4))
    assert_array_equal(grad, flat_grad.reshape(pred.shape).reshape(grad.shape))
    one, one_grad = pl.CrossEntropy().value_and_grad(pred[0], target[0], reduction="none")
    assert one.shape == ()
    assert one == flat[0]
    assert_array_equal(one_grad, flat_grad[0])
