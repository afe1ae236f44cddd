"""Losses and gradients of several tasks or groups made one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import same_bits, wide
from pyloss import _native
from pyloss.reference import combination as reference

NAMES = ["uncertainty_weighted", "group_dro", "worst_group", "demographic_parity", "equalized_odds"]
"""Losses that are tested here."""

EPS = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Of one rounding."""


def refused(text, error, call):
    with pytest.raises(error, match="^" + re.escape(text)):
        call()


# Uncertainty weighting.


@pytest.mark.parametrize("kinds", ["regression", "classification", ("classification", "regression", "regression")])
def test_uncertainty_weighted_agrees_with_the_reference(kinds, dtype):
    losses, s = np.array([0.5, 2.0, 30.0]).astype(dtype), np.array([0.25, -1.0, 3.0]).astype(dtype)
    loss = pl.UncertaintyWeighted(kinds)
    value, grads = loss.value_and_grad(losses, s)
    want, wanted = reference.uncertainty_weighted(wide(losses), wide(s), kinds)
    assert_allclose(value, want, rtol=1e-14)
    assert loss(losses, s) == value
    for got, each in zip(grads, wanted, strict=True):
        assert got.dtype == dtype
        assert_allclose(wide(got), each, rtol=1e-14 + EPS[dtype.name])
    out = np.empty(3, dtype), np.empty(3, dtype)
    assert loss.value_and_grad(losses, s, out=out)[1] is out
    assert all(same_bits(a, b) for a, b in zip(out, grads, strict=True))


def test_uncertainty_weighted_has_the_derivatives_of_its_value():
    losses, s, h = np.array([0.5, 2.0]), np.array([0.25, -1.0]), 1e-5
    loss = pl.UncertaintyWeighted(("regression", "classification"))
    _, (by_losses, by_s) = loss.value_and_grad(losses, s)
    for i in range(2):
        step = h * np.eye(2)[i]
        assert_allclose((loss(losses + step, s) - loss(losses - step, s)) / (2 * h), by_losses[i], rtol=1e-8)
        assert_allclose((loss(losses, s + step) - loss(losses, s - step)) / (2 * h), by_s[i], rtol=1e-8)
    # The best variance of a regression is its loss.
    assert_allclose(pl.UncertaintyWeighted().value_and_grad([3.0], [np.log(3.0)])[1][1], [0.0], atol=1e-15)


def test_uncertainty_weighted_edges():
    assert pl.UncertaintyWeighted()([], []) == 0.0
    assert pl.UncertaintyWeighted()([2], [0]) == 1.0
    assert np.isnan(pl.UncertaintyWeighted()([np.nan], [0.0]))
    assert pl.UncertaintyWeighted()([1.0], [-2000.0]) == np.inf
    assert pl.UncertaintyWeighted(["regression"]) == pl.UncertaintyWeighted(("regression",))
    assert hash(pl.UncertaintyWeighted(["regression"]))


BAD_UNCERTAINTY = {
    "kinds: got 'ranking', wanted one of regression, classification": (
        ValueError,
        lambda: pl.UncertaintyWeighted("ranking"),
    ),
    "kinds[1]: got 'x', wanted one of": (ValueError, lambda: pl.UncertaintyWeighted(("regression", "x"))),
    "kinds: got 3, wanted one of": (TypeError, lambda: pl.UncertaintyWeighted(3)),
    "losses: got 2 losses, wanted 1, one for each of kinds": (
        ValueError,
        lambda: pl.UncertaintyWeighted(("regression",))([1.0, 2.0], [0.0, 0.0]),
    ),
    "losses: got shape (), wanted one axis": (ValueError, lambda: pl.UncertaintyWeighted()(1.0, 0.0)),
    "log_variances: got shape (1,), wanted (2,), one for each loss": (
        ValueError,
        lambda: pl.UncertaintyWeighted()([1.0, 2.0], [0.0]),
    ),
    "out: got ndarray, wanted a tuple of two arrays": (
        TypeError,
        lambda: pl.UncertaintyWeighted().value_and_grad([1.0], [0.0], out=np.zeros(1)),
    ),
    "out[1]: got shape (2,), wanted (1,)": (
        ValueError,
        lambda: pl.UncertaintyWeighted().value_and_grad([1.0], [0.0], out=(np.zeros(1), np.zeros(2))),
    ),
}


@pytest.mark.parametrize("text", BAD_UNCERTAINTY)
def test_bad_arguments_of_uncertainty_weighted(text):
    refused(text, *BAD_UNCERTAINTY[text])


# The shortest combination.


def draw(tasks, shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((tasks, *shape)) + 0.3 * rng.standard_normal(shape)).astype(dtype)


def check_shortest(grads, got, coefficients, accuracy=1e-12):
    """The conditions of Karush, Kuhn and Tucker: no task's gradient lies before the plane through the result."""
    rows = np.stack([wide(np.asarray(each)).ravel() for each in grads])
    assert coefficients.shape == (len(rows),)
    assert (coefficients >= 0).all()
    assert_allclose(coefficients.sum(), 1.0, rtol=1e-14)
    best = coefficients @ rows
    reach = coefficients @ np.linalg.norm(rows, axis=1)
    along, square = rows @ best, best @ best
    assert (along >= square - accuracy * reach * (np.linalg.norm(rows, axis=1) + reach)).all()
    bound = EPS[str(got.dtype)] * abs(best) + 1e-15 * (coefficients @ abs(rows)) + 1e-300
    if got.dtype == np.float16:
        bound += 2.0**-25
    assert (abs(wide(got).ravel() - best) <= 1.001 * bound).all()


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("shape", [(1,), (2,), (17,), (513,), (3, 5, 7), (40_001,)], ids=str)
def test_shortest_meets_its_conditions(tasks, shape, dtype):
    grads = draw(tasks, shape, dtype)
    got, coefficients = pl.min_norm_gradient(grads)
    assert got.dtype == dtype
    assert got.shape == shape
    check_shortest(grads, got, coefficients)
    again, same = pl.min_norm_gradient(list(grads))
    assert same_bits(got, again)
    assert same_bits(coefficients, same)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("tasks", [2, 3, 5, 6])
def test_shortest_agrees_with_the_reference(tasks, seed):
    grads = draw(tasks, (1 + seed % 9,), seed=seed) * np.random.default_rng(seed).uniform(0.1, 10, (tasks, 1))
    got, coefficients = pl.min_norm_gradient(grads)
    want, _ = reference.min_norm_gradient(grads)
    check_shortest(grads, got, coefficients)
    assert_allclose(got, want, atol=1e-7 * np.linalg.norm(grads))
    assert np.linalg.norm(got) <= np.linalg.norm(want) + 1e-13 * np.linalg.norm(grads)


def test_shortest_of_two_in_closed_form():
    for seed in range(50):
        x, y = grads = draw(2, (5,), seed=seed)
        share = np.clip((y @ (y - x)) / ((x - y) @ (x - y)), 0, 1)
        _, coefficients = pl.min_norm_gradient(grads)
        assert_allclose(coefficients, [share, 1 - share], atol=1e-13)


def test_shortest_in_hard_cases():
    g = np.array([1.0, 2.0, -1.0])
    cases = {
        "duplicates": [g, g, g],
        "one direction": [3 * g, g, 2 * g],
        "a duplicate beside others": [g, g, [1.0, -1.0, 0.0], [1.0, -1.0, 0.0]],
        "corners of a square around 0": [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]],
        "many on a circle": np.stack([np.cos(np.arange(30)), np.sin(np.arange(30))], axis=1),
        "lengths far apart": [1e8 * g, [1e-8, -1e-8, 0.0], [0.0, 1.0, 3.0]],
        "more than dimensions": draw(50, (3,)),
    }
    for name, grads in cases.items():
        got, coefficients = pl.min_norm_gradient(grads)
        check_shortest(grads, got, coefficients)
        if "0" in name or "circle" in name:
            assert_allclose(got, 0, atol=1e-14)


def test_shortest_of_opposite_gradients_is_zero():
    g = draw(1, (1000,), "float32")[0]
    for grads, want in (([g, -g], [0.5, 0.5]), ([g, -2 * g], [2 / 3, 1 / 3])):
        got, coefficients = pl.min_norm_gradient(grads)
        assert_allclose(coefficients, want, rtol=1e-14)
        assert_allclose(got, 0, atol=1e-14)
    assert_array_equal(pl.min_norm_gradient([g, -g])[0], 0)


def test_shortest_with_a_zero_gradient_is_zero():
    got, coefficients = pl.min_norm_gradient([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    assert_array_equal(got, [0, 0])
    assert_array_equal(coefficients, [0, 1, 0])
    got, coefficients = pl.min_norm_gradient(np.zeros((2, 0)))
    assert got.shape == (0,)
    assert_array_equal(coefficients, [1, 0])


@pytest.mark.parametrize("angle", [1e-3, 1e-6, 1e-9, 1e-12])
def test_shortest_of_nearly_parallel_gradients(angle):
    """Of lengths such that the nearest point lies between them, as near as the inner products can tell."""
    grads = np.array([[1.0, angle, 0.0], [1.0, -2 * angle, 0.0], [1.0, 0.0, angle]])
    got, coefficients = pl.min_norm_gradient(grads)
    check_shortest(grads, got, coefficients)
    assert_allclose(got, [1, 0, 0], atol=1e-3 * angle if angle > 1e-5 else 3 * angle)


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-170, 1e170, 1e300])
def test_squares_neither_overflow_nor_vanish(size):
    if size < 1e-310:
        return_value = pl.min_norm_gradient([[size, 0.0], [0.0, size]])[1]
        assert_allclose(return_value, [0.5, 0.5], rtol=1e-3)
        return
    got, coefficients = pl.min_norm_gradient([[2 * size, 0.0], [0.0, size]])
    assert_allclose(coefficients, [0.2, 0.8], rtol=1e-14)
    assert_allclose(got / size, [0.4, 0.8], rtol=1e-14)
    assert_allclose(pl.pcgrad([[size, 0.0], [-size, size]])[0] / size, [0.5, 1.5], rtol=1e-14)


def orders(tasks, seed):
    generator = np.random.default_rng(seed)
    return [generator.permutation(tasks) for _ in range(tasks)]


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
def test_pcgrad_agrees_with_the_reference(tasks, dtype):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        grads = (rng.standard_normal((tasks, 9)) - 0.5 * rng.standard_normal(9)).astype(dtype)
        got, coefficients = pl.pcgrad(grads, seed=seed)
        want = reference.pcgrad(wide(grads), orders(tasks, seed))
        scale = abs(coefficients) @ abs(wide(grads))
        assert got.dtype == dtype
        assert (
            abs(wide(got) - want) <= EPS[dtype.name] * abs(want) + 1e-13 * scale + 2.0**-25 * (dtype == "float16")
        ).all()


def test_pcgrad_without_conflict_is_the_sum():
    grads = abs(draw(4, (50,)))
    got, coefficients = pl.pcgrad(grads)
    assert_array_equal(coefficients, 1)
    assert_allclose(got, grads.sum(axis=0), rtol=1e-15)
    assert_array_equal(pl.pcgrad([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])[0], [0.0, 0.0])


def test_pcgrad_depends_on_the_seed_alone():
    grads = np.random.default_rng(3).standard_normal((6, 3))
    first = pl.pcgrad(grads, seed=1)[1]
    assert_array_equal(pl.pcgrad(grads, seed=1)[1], first)
    assert any((pl.pcgrad(grads, seed=seed)[1] != first).any() for seed in range(2, 10))


both = pytest.mark.parametrize("combine", [pl.min_norm_gradient, pl.pcgrad])


@both
def test_layouts_of_gradients(combine, dtype):
    grads = draw(3, (60, 50), dtype)
    want = combine(np.ascontiguousarray(grads))
    for given in (
        [each.T.copy().T for each in grads],
        np.asfortranarray(grads),
        np.repeat(grads, 2, axis=2)[:, :, ::2],
        grads[::-1][::-1],
        tuple(grads),
    ):
        got = combine(given)
        assert same_bits(got[0], want[0])
        assert same_bits(got[1], want[1])
    out = np.empty((50, 60), dtype).T
    assert combine(grads, out=out)[0] is out
    assert same_bits(np.ascontiguousarray(out), want[0])
    own = grads.copy()
    assert same_bits(combine(list(own), out=own[1])[0], want[0])


@both
def test_types_of_gradients(combine):
    floats = combine([[1.0, 2.0], [-3.0, 1.0]])
    for given in ([[1, 2], [-3, 1]], np.array([[1, 2], [-3, 1]], np.int8)):
        assert same_bits(combine(given)[0], floats[0])
        assert combine(given)[0].dtype == np.float64
    mixed = combine([np.array([1, 2], np.float16), np.array([-3, 1], np.float32)])[0]
    assert mixed.dtype == np.float32
    assert combine([np.array([1, 2], np.int8), np.array([-3, 1], np.float16)])[0].dtype == np.float16


@both
@pytest.mark.parametrize("tasks", [2, 5])
def test_combinations_of_any_number_of_threads_have_the_same_bits(combine, tasks, dtype):
    grads = draw(tasks, (200_003,), dtype)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append(combine(grads))
    for got in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(got, results[0], strict=True))


@both
def test_large_combinations_are_streamed(combine):
    size = (9 << 20) // 4
    grads = draw(2, (size,), "float32")
    got, coefficients = combine(grads)
    assert_allclose(got, coefficients @ grads.astype(np.float64), rtol=1e-6, atol=1e-7)


def test_inner_products_are_exactly_symmetric_and_accurate():
    grads = draw(7, (3001,), "float32")
    grads[3] = grads[1]
    products = _native.kernels.inner_products([(each, 0) for each in grads], 1.0, 2)
    wide_grads = grads.astype(np.longdouble)
    assert_array_equal(products, products.T)
    assert_array_equal(products[3], products[1])
    lengths = np.sqrt(products.diagonal())
    assert (abs(products - wide_grads @ wide_grads.T) <= 1e-15 * np.outer(lengths, lengths)).all()


@both
def test_bad_gradients(combine):
    refused("grads: got none, wanted a gradient for each task", ValueError, lambda: combine([]))
    refused("grads: got none, wanted", ValueError, lambda: combine(np.zeros((0, 3))))
    refused("grads: got shape (3,), wanted (tasks, ...)", ValueError, lambda: combine(np.zeros(3)))
    refused("grads[0]: got a single number", ValueError, lambda: combine([1.0, 2.0]))
    refused("grads[1]: got shape (2,), wanted (3,)", ValueError, lambda: combine([np.zeros(3), np.zeros(2)]))
    refused("grads[0]: got dtype complex128", TypeError, lambda: combine([np.zeros(3, complex)]))
    refused("grads[1]: got NaN or infinity", ValueError, lambda: combine([[1.0, 2.0], [np.nan, 0.0]]))
    refused("grads[0]: got NaN or infinity", ValueError, lambda: combine([[np.inf, 2.0], [1.0, 0.0]]))
    refused("out: got shape (1,), wanted (2,)", ValueError, lambda: combine([[1.0, 2.0]], out=np.zeros(1)))
    refused("out: got dtype float32, wanted float64", TypeError, lambda: combine([[1.0]], out=np.zeros(1, np.float32)))
    memory = np.ones((2, 5))
    refused(
        "out: got an array that overlaps grads[0]", ValueError, lambda: combine(memory[:, :4], out=memory.ravel()[1:5])
    )
    refused("seed: got -1, wanted an integer from 0", ValueError, lambda: pl.pcgrad([[1.0]], seed=-1))
    refused("seed: got 1.5, wanted an integer", TypeError, lambda: pl.pcgrad([[1.0]], seed=1.5))


# Groups of samples.

GROUP_LOSSES = {
    "GroupDRO": (pl.GroupDRO(groups=5), "group_dro", {"groups": 5}),
    "GroupDRO, unequal": (
        pl.GroupDRO(groups=5, q=(0.5, 0.25, 0.25, 0.0, 0.0)),
        "group_dro",
        {"groups": 5, "q": (0.5, 0.25, 0.25, 0.0, 0.0)},
    ),
    "WorstGroup": (pl.WorstGroup(), "worst_group", {}),
    "DemographicParity": (pl.DemographicParity(), "demographic_parity", {}),
    "DemographicParity, squared": (pl.DemographicParity("squared"), "demographic_parity", {"kind": "squared"}),
    "EqualizedOdds": (pl.EqualizedOdds(), "equalized_odds", {}),
    "EqualizedOdds, mean": (pl.EqualizedOdds(agg="mean"), "equalized_odds", {"agg": "mean"}),
    "EqualizedOdds, squared": (
        pl.EqualizedOdds("squared", "mean"),
        "equalized_odds",
        {"kind": "squared", "agg": "mean"},
    ),
}
every_group_loss = pytest.mark.parametrize("name", GROUP_LOSSES)
LAYOUTS = ("random", "sorted", "one", "last missing")


def members(layout, shape, seed=0):
    size = int(np.prod(shape))
    groups = np.random.default_rng(seed).integers(0, 5, size)
    if layout == "sorted":
        groups.sort()
    elif layout == "one":
        groups[:] = 3
    elif layout == "last missing":
        groups %= 4
    return groups.reshape(shape)


def group_inputs(name, shape, dtype, layout="random", seed=0):
    """Values, then the further inputs by position."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape).astype(dtype)
    groups = members(layout, shape, seed)
    return (values, rng.integers(0, 2, shape), groups) if name.startswith("Equal") else (values, groups)


def check_groups(name, inputs, dtype, weight=None, out=None):
    loss, function, parameters = GROUP_LOSSES[name]
    arguments = (wide(inputs[0]), *inputs[1:], None if weight is None else wide(np.asarray(weight)))
    value, grad = getattr(reference, function)(*arguments, **parameters)[:2]
    got, slope = loss.value_and_grad(*inputs, weight=weight, out=out)
    assert isinstance(got, float)
    assert loss(*inputs, weight=weight) == got
    accuracy = 1e-13 * max(1.0, float(np.max(abs(wide(inputs[0])), initial=0.0)))
    assert_allclose(got, value, rtol=1e-12, atol=accuracy)
    assert slope.dtype == dtype
    assert slope.shape == inputs[0].shape
    floor = 2.0**-25 if dtype == "float16" else 0.0
    largest = np.max(abs(grad), initial=0.0)
    assert (abs(wide(slope) - grad) <= EPS[str(dtype)] * abs(grad) * 1.01 + 1e-12 * largest + floor).all()
    return got, slope


@pytest.mark.usefixtures("level")
@every_group_loss
@pytest.mark.parametrize("shape", [(0,), (1,), (), (2,), (65,), (1027,), (7, 0), (5, 33, 2), (70_001,)], ids=str)
def test_group_losses_agree_with_the_reference(name, shape, dtype):
    for layout in LAYOUTS:
        inputs = group_inputs(name, shape, dtype, layout)
        check_groups(name, inputs, dtype)
        weight = np.random.default_rng(1).choice([0.0, 0.5, 1.0, 3.0], shape).astype(dtype)
        spoilt = np.where(weight == 0, np.nan, inputs[0]).astype(dtype)  # weight 0 excludes even NaN
        got = check_groups(name, inputs, dtype, weight)
        again = GROUP_LOSSES[name][0].value_and_grad(spoilt, *inputs[1:], weight=weight)
        assert all(same_bits(a, b) for a, b in zip(got, again, strict=True))


@every_group_loss
def test_group_losses_of_any_number_of_threads_have_the_same_bits(name, dtype):
    inputs, results = group_inputs(name, (200_003,), dtype), []
    weight = np.random.default_rng(1).uniform(0, 2, 200_003).astype(dtype)
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            loss = GROUP_LOSSES[name][0]
            results.append((*loss.value_and_grad(*inputs), *loss.value_and_grad(*inputs, weight=weight)))
    for got in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(got, results[0], strict=True))


@every_group_loss
def test_layouts_of_group_inputs(name, dtype):
    inputs = group_inputs(name, (60, 50), dtype)
    weight = np.random.default_rng(1).uniform(0, 2, 50).astype(dtype)
    check_groups(name, inputs, dtype, weight)
    check_groups(name, tuple(each[::-2, ::3] for each in inputs), dtype)
    check_groups(name, tuple(each.T for each in inputs), dtype, weight[:, None])
    check_groups(name, (inputs[0], *(each.astype(np.uint8) for each in inputs[1:])), dtype, 2.0)
    if name.startswith("Equal"):
        check_groups(name, (inputs[0], inputs[1].astype(bool), inputs[2]), dtype)
    out = np.empty((50, 60), dtype).T
    assert check_groups(name, inputs, dtype, out=out)[1] is out
    own = inputs[0].copy()
    want = GROUP_LOSSES[name][0].value_and_grad(*inputs)
    got = GROUP_LOSSES[name][0].value_and_grad(own, *inputs[1:], out=own)
    assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))


@every_group_loss
def test_reference_derivatives_of_group_losses(name):
    _, function, parameters = GROUP_LOSSES[name]
    inputs = group_inputs(name, (30,), "float64", seed=3)
    weight = np.random.default_rng(1).choice([0.0, 0.5, 2.0], 30)

    def at(values):
        return getattr(reference, function)(values, *inputs[1:], weight, **parameters)

    _, grad = at(inputs[0])[:2]
    for i in range(30):
        step = 1e-5 * (np.arange(30) == i)
        assert_allclose((at(inputs[0] + step)[0] - at(inputs[0] - step)[0]) / 2e-5, grad[i], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("groups", [10, 300, 5000, 100_000])
def test_many_groups(groups):
    rng = np.random.default_rng(groups)
    losses, of = rng.standard_normal(100_000), rng.integers(0, groups, 100_000)
    value, grad = pl.WorstGroup().value_and_grad(losses, of)
    counts, sums = np.bincount(of, minlength=groups), np.bincount(of, losses, groups)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
    assert_allclose(value, means.max(), rtol=1e-13)
    assert_array_equal(grad, np.where(of == means.argmax(), 1 / counts[means.argmax()], 0.0))


def test_numbers_of_groups_may_be_any():
    losses, of = np.array([1.0, 5.0, 2.0, 2.0]), np.array([-7, 10**15, 3, 3])
    value, grad = pl.WorstGroup().value_and_grad(losses, of)
    assert value == 5.0
    assert_array_equal(grad, [0, 1, 0, 0])
    assert pl.DemographicParity()(losses, of) == 4.0


def test_ties_go_to_the_lowest_group():
    _, grad = pl.WorstGroup().value_and_grad([1.0, 2.0, 3.0, 0.0], [2, 1, 0, 0])
    assert_array_equal(grad, [0, 1, 0, 0])
    _, grad = pl.DemographicParity().value_and_grad([2.0, 1.0, 2.0, 1.0], [3, 2, 1, 0])
    assert_array_equal(grad, [0, 0, 1, -1])
    assert_array_equal(pl.DemographicParity().value_and_grad([2.0, 2.0], [0, 1])[1], [0, 0])
    _, grad = pl.EqualizedOdds().value_and_grad([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], [0, 1, 0, 1])
    assert_array_equal(grad, [1, -1, 0, 0])


def test_gaps_of_one_group_or_none_are_zero():
    for loss in (pl.DemographicParity(), pl.DemographicParity("squared")):
        value, grad = loss.value_and_grad([1.0, 2.0], [4, 4])
        assert value == 0.0
        assert_array_equal(grad, [0, 0])
        assert loss([1.0, 2.0], [0, 1], weight=[1.0, 0.0]) == 0.0
    assert pl.EqualizedOdds()([1.0, 2.0], [0, 1], [0, 1]) == 0.0  # each class has one group


def test_gaps_agree_with_rates_of_decisions():
    """The rates by which Fairlearn defines its differences, counted."""
    rng = np.random.default_rng(0)
    decided, target, groups = rng.integers(0, 2, 500), rng.integers(0, 2, 500), rng.integers(0, 3, 500)
    chosen = [np.mean(decided[groups == g]) for g in range(3)]
    assert_allclose(pl.DemographicParity()(decided, groups), max(chosen) - min(chosen), rtol=1e-13)
    gaps = []
    for of in (0, 1):
        rates = [np.mean(decided[(groups == g) & (target == of)]) for g in range(3)]
        gaps.append(max(rates) - min(rates))
    assert_allclose(pl.EqualizedOdds()(decided, target, groups), max(gaps), rtol=1e-13)
    assert_allclose(pl.EqualizedOdds(agg="mean")(decided, target, groups), np.mean(gaps), rtol=1e-13)


def test_gaps_agree_with_fairlearn():
    fairlearn = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(1)
    decided, target, groups = rng.integers(0, 2, 500), rng.integers(0, 2, 500), rng.integers(0, 3, 500)
    of = {"y_true": target, "y_pred": decided, "sensitive_features": groups}
    assert_allclose(fairlearn.demographic_parity_difference(**of), pl.DemographicParity()(decided, groups), rtol=1e-13)
    for agg in ("worst_case", "mean"):
        want = fairlearn.equalized_odds_difference(**of, agg=agg)
        assert_allclose(pl.EqualizedOdds(agg=agg)(decided, target, groups), want, rtol=1e-13)


def test_group_dro_follows_the_algorithm():
    rng = np.random.default_rng(0)
    loss, q = pl.GroupDRO(groups=4, step=0.3), None
    for _ in range(20):
        losses, groups = rng.uniform(0, 5, 60), rng.integers(0, 3, 60)
        weight = rng.uniform(0, 1, 60)
        loss = loss.update(losses, groups, weight=weight)
        q = reference.group_dro(losses, groups, weight, 4, 0.3, q)[2]
        assert_allclose(loss.q, q, rtol=1e-12)
        assert_allclose(sum(loss.q), 1.0, rtol=1e-14)
        value, grad = loss.value_and_grad(losses, groups)
        assert_allclose(value, reference.group_dro(losses, groups, None, 4, 0.3, q)[0], rtol=1e-12)
        assert_allclose(grad @ losses, value, rtol=1e-12)


def test_group_dro_goes_to_the_worst_group_without_overflow():
    loss = pl.GroupDRO(groups=2, step=1e6).update([1e3, 2e3], [0, 1])
    assert loss.q == (0.0, 1.0)
    assert loss.update([5e3, 1.0], [0, 1]).q == (0.0, 1.0)  # a share of 0 stays
    assert loss == pl.GroupDRO(groups=2, step=1e6, q=[0, 1])
    assert hash(loss) == hash(pl.GroupDRO(2, 1e6, (0.0, 1.0)))
    assert repr(pl.GroupDRO(2)) == "GroupDRO(groups=2, step=0.01, q=None)"


@pytest.mark.parametrize("of", [pl.MSE(), pl.LogCosh()])
@pytest.mark.parametrize("robust", [pl.WorstGroup(), pl.GroupDRO(groups=3, q=(0.2, 0.5, 0.3))])
def test_the_gradient_is_the_weight_of_the_loss_of_predictions(of, robust):
    rng = np.random.default_rng(0)
    pred, target, groups = rng.standard_normal(40), rng.standard_normal(40), rng.integers(0, 3, 40)

    def total(pred):
        return robust(of(pred, target, reduction="none"), groups)

    value, weight = robust.value_and_grad(of(pred, target, reduction="none"), groups)
    same, grad = of.value_and_grad(pred, target, weight=weight, reduction="sum")
    assert_allclose(same, value, rtol=1e-12)
    for i in range(40):
        step = 1e-6 * (np.arange(40) == i)
        assert_allclose((total(pred + step) - total(pred - step)) / 2e-6, grad[i], rtol=1e-6, atol=1e-9)


def test_nan_propagates():
    for name in GROUP_LOSSES:
        inputs = group_inputs(name, (50,), "float64")
        inputs[0][3] = np.nan
        if name != "GroupDRO, unequal":
            assert np.isnan(GROUP_LOSSES[name][0](*inputs))


BAD_GROUPS = {
    "groups: got shape (2,), wanted (3,), a group for each element of losses": (
        ValueError,
        lambda: pl.WorstGroup()(np.zeros(3), [0, 1]),
    ),
    "groups: got dtype float64, wanted group numbers of an integer dtype": (
        TypeError,
        lambda: pl.WorstGroup()(np.zeros(2), [0.0, 1.0]),
    ),
    "groups: got 2 at index (1,), wanted a group from 0 to 1": (
        ValueError,
        lambda: pl.GroupDRO(groups=2)(np.zeros(3), [0, 2, 5]),
    ),
    "groups: got -1 at index (0, 1), wanted a group from 0 to 1": (
        ValueError,
        lambda: pl.GroupDRO(groups=2)(np.zeros((1, 2)), [[0, -1]]),
    ),
    "groups: got 18446744073709551615 at index (0,)": (
        ValueError,
        lambda: pl.GroupDRO(groups=2)([1.0], np.array([2**64 - 1], np.uint64)),
    ),
    "groups: got 0, wanted a positive integer": (ValueError, lambda: pl.GroupDRO(groups=0)),
    "step: got -1.0, wanted a number": (ValueError, lambda: pl.GroupDRO(groups=2, step=-1.0)),
    "q: got 3 shares, wanted 2": (ValueError, lambda: pl.GroupDRO(groups=2, q=[0.2, 0.3, 0.5])),
    "q: got numbers of sum 0.5, wanted": (ValueError, lambda: pl.GroupDRO(groups=2, q=[0.2, 0.3])),
    "q[0]: got -0.5, wanted a number": (ValueError, lambda: pl.GroupDRO(groups=2, q=[-0.5, 1.5])),
    "losses: got a mean of nan in group 1, wanted finite losses": (
        ValueError,
        lambda: pl.GroupDRO(groups=2).update([1.0, np.nan], [0, 1]),
    ),
    "weight: got -1.0 at index (1,), wanted finite weights": (
        ValueError,
        lambda: pl.WorstGroup()([1.0, 2.0], [0, 1], weight=[1.0, -1.0]),
    ),
    "weight: got shape (3,), wanted the shape of pred": (
        ValueError,
        lambda: pl.DemographicParity()([1.0, 2.0], [0, 1], weight=np.ones(3)),
    ),
    "kind: got 'ratio', wanted one of difference, squared": (ValueError, lambda: pl.DemographicParity("ratio")),
    "agg: got 'max', wanted one of worst_case, mean": (ValueError, lambda: pl.EqualizedOdds(agg="max")),
    "target: got dtype float64, wanted bool or integers": (
        TypeError,
        lambda: pl.EqualizedOdds()([1.0], [1.0], [0]),
    ),
    "target: got shape (2,), wanted (1,)": (ValueError, lambda: pl.EqualizedOdds()([1.0], [1, 0], [0])),
    "target: got label 2 at index (1,), wanted a class from 0 to 1": (
        ValueError,
        lambda: pl.EqualizedOdds()([1.0, 1.0], [1, 2], [0, 1]),
    ),
    "out: got dtype float64, wanted float32": (
        TypeError,
        lambda: pl.WorstGroup().value_and_grad(np.zeros(2, np.float32), [0, 1], out=np.zeros(2)),
    ),
}


@pytest.mark.parametrize("text", BAD_GROUPS)
def test_bad_arguments_of_group_losses(text):
    refused(text, *BAD_GROUPS[text])


LONG = {
    "inner products": "pl.min_norm_gradient([np.broadcast_to(np.float32(3), 1 << 26)] * 60)",
    "numbers of groups": "y = np.broadcast_to(3, 1 << 37); pl.WorstGroup()(y, y)",
    "means of groups": "y = np.broadcast_to(np.int8(3), 1 << 37); pl.GroupDRO(groups=4)(y, y)",
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("call", LONG)
def test_ctrl_c_ends_a_long_call(seconds_to_interrupt, call, threads):
    assert seconds_to_interrupt(LONG[call], threads) < 0.2
