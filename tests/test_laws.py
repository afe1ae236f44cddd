"""What must hold of any loss, whatever its formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import pyloss as pl
from cases import (
    CLASSES,
    DEFAULTS,
    LONG_ROWS,
    Case,
    Expected,
    assert_same_bits,
    assert_within,
    every_case,
    every_elementwise_case,
    every_plain_case,
    rows,
    same_bits,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 150)
factors = st.floats(-4, 4).map(lambda x: round(x, 3))
dtypes = st.sampled_from([np.float32, np.float64])
few = settings(max_examples=15, deadline=None)
# Terms of a sum are added in another order: float64 sums of n terms differ by n units at most, far fewer in fact.
ORDER = 1e-14
# With one input of their own, with none, and with a number that float32 rounds.
OTHERS = [Case(pl.MAE), Case(pl.BCEWithLogits, (("pos_weight", 2.5),)), Case(pl.Quantile, (("q", 0.3),))]


@few
@given(seed=seeds, size=sizes, dtype=dtypes)
@every_case
def test_entry_points_agree(case, seed, size, dtype):
    loss, (pred, target) = case.loss(), case.draw(size, dtype, seed)
    weight = np.random.default_rng(seed).choice([0.0, 0.5, 2.0], size).astype(dtype)
    for kwargs in (
        {},
        {"weight": weight},
        {"reduction": "sum"},
        {"reduction": "none"},
        {"reduction": "none", "weight": weight},
    ):
        value, grad, hess = loss.value_grad_hess(pred, target, **kwargs)
        assert_same_bits(loss.value_and_grad(pred, target, **kwargs), (value, grad))
        assert_same_bits((loss(pred, target, **kwargs),), (value,))
        out = np.empty_like(grad), np.empty_like(hess)
        assert_same_bits(loss.value_grad_hess(pred, target, out=out, **kwargs), (value, *out))
        assert_same_bits(out, (grad, hess))


@few
@given(seed=seeds, size=sizes, dtype=dtypes)
@every_case
def test_integer_weights_are_repetition(case, seed, size, dtype):
    loss, (pred, target) = case.loss(), case.draw(size, dtype, seed)
    times = np.random.default_rng(seed).integers(0, 4, size)
    again = np.repeat(pred, times, axis=0), np.repeat(target, times, axis=0)
    for reduction in ("sum", "mean"):
        value, grad, hess = loss.value_grad_hess(pred, target, weight=times.astype(dtype), reduction=reduction)
        many, *each = loss.value_grad_hess(*again, reduction=reduction)
        # Weighted values are rounded to the dtype before they are added; each may move by half a unit.
        total = loss(*again, reduction="none").astype(float)
        size_of_sum = np.abs(total).sum() / (total.size if reduction == "mean" and value else 1)
        assert_allclose(value, many, rtol=0, atol=(np.finfo(dtype).eps + ORDER) * size_of_sum)
        if reduction == "sum" and not case.rowwise:  # (rows are scaled before their last rounding)
            for derivative, repeated in ((grad, each[0]), (hess, each[1])):
                once = repeated[np.cumsum(times)[times > 0] - 1]
                assert same_bits(derivative[times > 0], once * times[times > 0].astype(dtype))
                assert not derivative[times == 0].any()


@few
@given(seed=seeds, size=sizes, dtype=dtypes)
@every_case
def test_order_and_place_in_the_batch_do_not_matter(case, seed, size, dtype):
    loss, (pred, target) = case.loss(), case.draw(size, dtype, seed)
    results = loss.value_grad_hess(pred, target, reduction="none")
    order = np.random.default_rng(seed).permutation(size)
    assert_same_bits(
        loss.value_grad_hess(pred[order], target[order], reduction="none"), tuple(each[order] for each in results)
    )
    i = seed % size
    part = slice(i, i + 1 + seed % 20)
    assert_same_bits(
        loss.value_grad_hess(pred[part], target[part], reduction="none"), tuple(each[part] for each in results)
    )


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 33, 64, 65, *LONG_ROWS])
def test_a_row_does_not_see_its_neighbours(classes, probabilities, dtype):
    loss = pl.CrossEntropy(label_smoothing=0.1) + pl.CrossEntropy(z_loss=0.1, temperature=0.7)
    pred, target = rows(37, classes, dtype, probabilities=probabilities)
    results = loss.value_grad_hess(pred, target, reduction="none")
    pred[[3, 30]] = np.nan
    others = np.setdiff1d(np.arange(37), [3, 30])
    beside_nan = loss.value_grad_hess(pred, target, reduction="none")
    assert_same_bits(tuple(each[others] for each in beside_nan), tuple(each[others] for each in results))
    for part in (slice(4, 5), slice(7, 29), slice(11, 27, 3)):
        alone = loss.value_grad_hess(pred[part], target[part], reduction="none")
        assert_same_bits(alone, tuple(each[part] for each in results))


@few
@given(seed=seeds, size=sizes, dtype=dtypes)
@every_elementwise_case
def test_small_calls_take_a_short_cut_to_the_same_bits(case, seed, size, dtype):
    """A plain call of few elements has its own path; `out` and broadcasting do not take it."""
    loss, (pred, target) = case.loss(), case.draw(size, dtype, seed)
    for reduction in ("mean", "sum"):
        small = loss.value_grad_hess(pred, target, reduction=reduction)
        out = np.empty_like(pred), np.empty_like(pred)
        assert_same_bits(loss.value_grad_hess(pred, target, reduction=reduction, out=out), small)
        assert_same_bits((loss(pred[::1][None], target, reduction=reduction),), small[:1])


@every_elementwise_case
@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193])
def test_short_cut_ends_without_a_step(case, size, dtype):
    pred, target = case.draw(size, dtype)
    out = np.empty_like(pred)
    assert_same_bits(case.loss().value_and_grad(pred, target), case.loss().value_and_grad(pred, target, out=out))


@few
@given(seed=seeds, size=sizes, dtype=dtypes, a=factors, b=factors)
@pytest.mark.parametrize(
    "other", [Case(pl.MAE), Case(pl.BCEWithLogits, (("pos_weight", 2.5),)), Case(pl.Quantile, (("q", 0.3),))], ids=str
)
@every_plain_case
def test_sums_are_linear(case, other, seed, size, dtype, a, b):
    pred, target = case.draw(size, dtype, seed)
    first, second = (each.loss().value_grad_hess(pred, target, reduction="none") for each in (case, other))
    both = (a * case.loss() + b * other.loss()).value_grad_hess(pred, target, reduction="none")
    for x, y, got in zip(first, second, both, strict=True):
        assert_within(
            got,
            a * x.astype(float) + b * y,
            2 * np.finfo(dtype).eps * (abs(a * x) + abs(b * y)) + 4 * np.finfo(dtype).smallest_subnormal,
        )


@few
@given(seed=seeds, size=st.integers(1, 40), dtype=dtypes, a=factors, b=factors)
@pytest.mark.parametrize("case", [case for case in DEFAULTS if case.rowwise], ids=str)
def test_row_sums_are_linear(case, seed, size, dtype, a, b):
    pred, target = case.draw(size, dtype, seed)
    other = pl.CrossEntropy(label_smoothing=0.1, temperature=2.0, class_weight=np.linspace(0.5, 1.5, CLASSES))
    first, second = (each.value_grad_hess(pred, target, reduction="none") for each in (case.loss(), other))
    both = (a * case.loss() + b * other).value_grad_hess(pred, target, reduction="none")
    for x, y, got, size in zip(first, second, both, Expected(case, pred, target).sizes, strict=True):
        # The smoothed gradients are rounded in the target weights before. A size is 0 where the reference cancels.
        assert_within(
            got,
            a * x.astype(float) + b * y,
            4 * np.finfo(dtype).eps * (abs(a) * np.maximum(size, abs(x)) + abs(b * y) + abs(b) / CLASSES)
            + 4 * np.finfo(dtype).smallest_subnormal,
        )


@few
@given(seed=seeds, size=sizes, dtype=dtypes, exponent=st.integers(-3, 3))
@every_case
def test_powers_of_two_scale_exactly(case, seed, size, dtype, exponent):
    loss, (pred, target) = case.loss(), case.draw(size, dtype, seed)
    factor = 2.0**exponent
    plain = loss.value_grad_hess(pred, target, reduction="sum")
    results = (-factor * loss).value_grad_hess(pred, target, reduction="sum")
    for got, want in zip(results, plain, strict=True):
        normal = np.abs(want) >= 16 * np.finfo(dtype).tiny
        assert np.array_equal(np.where(normal, got, 0), np.where(normal, -factor * np.asarray(want), 0))


@few
@given(seed=seeds, size=st.integers(1, 40), dtype=dtypes, shift=st.integers(-64, 64))
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_does_not_see_a_shift(smoothing, probabilities, seed, size, dtype, shift):
    pred, target = Case(pl.CrossEntropy).draw(size, dtype, seed, probabilities=probabilities)
    pred = np.round(pred * 8) / 8  # shifts are exact
    loss = pl.CrossEntropy(label_smoothing=smoothing)
    assert_same_bits(
        loss.value_grad_hess(pred + dtype(shift), target), loss.value_grad_hess(pred, target), f"shifted by {shift}"
    )


@few
@given(seed=seeds, size=st.integers(1, 40), dtype=dtypes)
def test_cross_entropy_gradients_add_up_to_nothing(seed, size, dtype):
    pred, target = Case(pl.CrossEntropy).draw(size, dtype, seed)
    grad = pl.CrossEntropy().value_and_grad(pred, target, reduction="none")[1]
    assert_allclose(grad.sum(axis=-1, dtype=float), 0.0, rtol=0, atol=8 * np.finfo(dtype).eps)


@few
@given(seed=seeds, size=st.integers(1, 40), dtype=dtypes)
def test_labels_are_probabilities_of_one(seed, size, dtype):
    pred, target = Case(pl.CrossEntropy).draw(size, dtype, seed)
    loss = pl.CrossEntropy(label_smoothing=0.1, class_weight=np.linspace(0.5, 1.5, CLASSES))
    labels = loss.value_grad_hess(pred, target, reduction="none")
    rows = loss.value_grad_hess(pred, np.eye(CLASSES, dtype=dtype)[target], reduction="none")
    for a, b in zip(labels, rows, strict=True):
        assert_allclose(a, b, rtol=8 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@few
@given(seed=seeds, size=sizes)
@every_case
def test_sum_is_mean_times_count(case, seed, size):
    pred, target = case.draw(size, seed=seed)
    count = float(np.sum(np.broadcast_to(case.count(pred, target), len(pred))))
    total, grads, _ = case.loss().value_grad_hess(pred, target, reduction="sum")
    mean, grad, _ = case.loss().value_grad_hess(pred, target)
    if not count:
        assert mean == 0.0
        return
    assert_allclose(mean * count, total, rtol=ORDER)
    assert_allclose(grad * count, grads, rtol=ORDER, atol=count * np.finfo(float).smallest_subnormal)


@few
@given(seed=seeds, size=sizes, dtype=dtypes)
@every_elementwise_case
def test_shape_does_not_matter(case, seed, size, dtype):
    pred, target = (each.reshape(2, 3, size) for each in case.draw(6 * size, dtype, seed))
    flat = case.loss().value_grad_hess(pred.ravel(), target.ravel())
    shaped = case.loss().value_grad_hess(pred, target)
    assert all(same_bits(np.ravel(a), np.ravel(b)) for a, b in zip(flat, shaped, strict=True))
    assert shaped[1].shape == shaped[2].shape == pred.shape
