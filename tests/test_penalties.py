"""Penalties of weights: every kernel against the reference, and what must hold of all of them."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, same_bits, wide
from pyloss.reference import penalties as reference

SHAPES = [(0,), (1,), (), (17,), (1025,), (3, 0, 2), (5, 7, 3), (70_003,)]


def penalty(name, shape, seed=0, dtype="float64", **changes):
    """A penalty for weights of that shape."""
    rng = np.random.default_rng(seed)
    parameters = {
        "l1": {"l1": 0.3},
        "l2": {"l2": 0.7},
        "elastic_net": {"alpha": 0.8, "l1_ratio": 0.3},
        "ewc": {
            "fisher": abs(rng.standard_normal(shape)).astype(dtype),
            "anchor": rng.standard_normal(shape).astype(dtype),
            "strength": 1.7,
        },
        "group_lasso": {"groups": rng.integers(0, 5, shape), "alpha": 0.4},
    }[name]
    parameters |= {key: value for key, value in changes.items() if key in parameters}
    return pl.get(name, **parameters), parameters


NAMES = ["l1", "l2", "elastic_net", "ewc", "group_lasso"]
every_penalty = pytest.mark.parametrize("name", NAMES)
# Relative to the largest element: half types are rounded once, from float32.
TOLERANCE = {"float32": 4e-7, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}


def draw(shape, dtype, seed=1):
    weights = np.random.default_rng(seed).standard_normal(shape)
    return np.where(abs(weights) < 0.3, 0.0, weights).astype(dtype)


def near(got, want, dtype, like=None, of=None):
    """Errors are relative to the largest number of `of`, the result itself unless it is a difference of larger ones."""
    assert np.shape(got) == np.shape(want)
    scale = np.max(abs(wide(want if of is None else of)), initial=0.0)
    assert_allclose(wide(got), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)
    if like is not None:
        assert got.dtype == like.dtype


def check(loss, function, parameters, weights, dtype):
    known = {key: wide(value) if isinstance(value, np.ndarray) else value for key, value in parameters.items()}
    value, grad, hess = getattr(reference, function)(wide(weights), **known)
    # Of the terms float32 rounds each, not their sum.
    accuracy = {"float64": 1e-13}.get(dtype, 1e-6)
    results = [(loss(weights),), loss.value_and_grad(weights), loss.value_grad_hess(weights)]
    for result in results:
        assert isinstance(result[0], float)
        assert_allclose(result[0], value, rtol=accuracy)
        assert result[0] == results[0][0]
        for got, want in zip(result[1:], (grad, hess), strict=False):
            near(got, want, dtype, weights)
    proximal = getattr(reference, f"{function}_prox")
    for step in (0.0, 0.1, 2.5):
        near(loss.prox(weights, step), proximal(wide(weights), step, **known), dtype, weights, of=weights)


@pytest.mark.usefixtures("level")
@every_penalty
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_reference(name, shape, dtype):
    loss, parameters = penalty(name, shape, dtype=dtype)
    check(loss, name, parameters, draw(shape, dtype), dtype.name)


@every_penalty
def test_strided_and_transposed(name, dtype):
    for turn in (lambda a: a[::-2], lambda a: a.T, lambda a: a[:, ::3], lambda a: np.broadcast_to(a[:1], a.shape)):
        weights = turn(draw((60, 40), dtype))
        loss, parameters = penalty(name, weights.shape, dtype=dtype)
        check(loss, name, parameters, weights, dtype.name)


@every_penalty
def test_integers_and_lists_count_as_float64(name):
    weights = [3, 0, -1, 2]
    loss, parameters = penalty(name, (4,))
    check(loss, name, parameters, np.array(weights, np.float64), "float64")
    want = loss.value_grad_hess(np.array(weights, np.float64))
    for given in (weights, np.array(weights, np.int8), np.array(weights, np.int64)):
        assert_same_bits(loss.value_grad_hess(given), want)


@every_penalty
def test_any_number_of_threads_gives_the_same_bits(name, dtype):
    weights = draw(200_003, dtype)
    loss, _ = penalty(name, weights.shape, dtype=dtype)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append((*loss.value_grad_hess(weights), loss.prox(weights, 0.2)))
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))


@every_penalty
def test_out(name, dtype):
    weights = draw((30, 50), dtype)
    loss, _ = penalty(name, weights.shape, dtype=dtype)
    value, grad, hess = loss.value_grad_hess(weights)
    out, other = np.empty_like(weights), np.empty((50, 30), dtype).T
    assert loss.value_and_grad(weights, out=out)[1] is out
    assert_array_equal(wide(out), wide(grad))
    assert loss.value_grad_hess(weights, out=(out, other))[2] is other
    assert_array_equal(wide(other), wide(hess))
    near_map = loss.prox(weights, 0.5)
    assert loss.prox(weights, 0.5, out=other) is other
    assert_array_equal(wide(other), wide(near_map))
    own = weights.copy()
    assert loss.value_and_grad(own, out=own)[0] == value
    assert_array_equal(wide(own), wide(grad))
    own = weights.copy()
    loss.prox(own, 0.5, out=own)
    assert_array_equal(wide(own), wide(near_map))


@pytest.mark.parametrize("offset", [0, 1])
@every_penalty
def test_streamed_results(name, offset):
    """Beyond 8 MiB results go past the caches, also to memory that is not aligned to a cache line."""
    size = (9 << 20) // 4
    weights, memory = draw(size + 1, "float32")[offset:][:size], np.empty((2, size + 1), np.float32)
    loss, parameters = penalty(name, (size,), dtype="float32")
    outs = memory[0, offset:][:size], memory[1, 1 - offset :][:size]
    value, grad, hess = loss.value_grad_hess(weights, out=outs)
    for got, want in zip((value, grad, hess), getattr(reference, name)(weights, **parameters), strict=True):
        assert_allclose(got, want, rtol=1e-6, atol=1e-6)


# Derivatives and proximal maps of the reference.


@every_penalty
def test_reference_derivatives_by_differences(name):
    rng = np.random.default_rng(5)
    weights = rng.standard_normal(12) + 2 * np.sign(rng.standard_normal(12))  # away from the kink
    _, parameters = penalty(name, weights.shape)
    function = getattr(reference, name)
    _, grad, hess = function(weights, **parameters)
    h = 1e-4
    for i in range(12):
        step = h * (np.arange(12) == i)
        up, down = function(weights + step, **parameters), function(weights - step, **parameters)
        assert_allclose((up[0] - down[0]) / (2 * h), grad[i], rtol=1e-6, atol=1e-8)
        assert_allclose((up[1][i] - down[1][i]) / (2 * h), hess[i], rtol=1e-6, atol=1e-8)


@every_penalty
def test_prox_is_the_minimum(name):
    """No point near it or far from it is better, and the same holds of single coordinates."""
    rng = np.random.default_rng(6)
    weights = draw(40, "float64")
    loss, _ = penalty(name, weights.shape)
    for step in (0.05, 1.0, 20.0):
        at = loss.prox(weights, step)

        def objective(u, step=step):
            return loss(u) + np.sum((u - weights) ** 2) / (2 * step)

        best = objective(at)
        for size in (1e-3, 1e-1, 1.0):
            for _ in range(20):
                assert objective(at + size * rng.standard_normal(40)) > best
                assert objective(at + size * np.eye(40)[rng.integers(40)]) > best


def test_proximal_gradient_descent_finds_the_lasso_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(7)
    x, alpha = rng.standard_normal((100, 20)), 0.2
    y = x[:, :3] @ [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal(100)
    want = linear_model.Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y).coef_
    weights, step = np.zeros(20), 100 / np.linalg.norm(x, 2) ** 2
    for _ in range(2000):
        weights = pl.L1(l1=alpha).prox(weights - step * x.T @ (x @ weights - y) / 100, step)
    assert_allclose(weights, want, atol=1e-9)
    assert_array_equal(weights == 0, want == 0)


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_agrees_with_torch(name):
    torch = pytest.importorskip("torch")
    weights = draw(500, "float64")
    w = torch.tensor(weights, requires_grad=True)
    value = 0.3 * (w.abs().sum() if name == "l1" else (w**2).sum())
    value.backward()
    loss = pl.L1(l1=0.3) if name == "l1" else pl.L2(l2=0.3)
    got = loss.value_and_grad(w.detach())
    assert_allclose(got[0], value.item(), rtol=1e-13)
    assert_allclose(got[1], w.grad.numpy(), rtol=1e-14)


# Hard values.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hard_values_of_l1(dtype):
    info = np.finfo(dtype)
    hard = np.array([0.0, -0.0, info.smallest_subnormal, -info.tiny, info.max, -np.inf, np.nan], dtype)
    for each in hard:
        value, grad, hess = pl.L1(l1=1.0).value_grad_hess(hard[hard == each] if each == each else hard[-1:])
        if np.isnan(each):
            assert np.isnan(value)
            assert np.isnan(grad[0])
        elif each != 0:
            assert (
                abs(value - abs(float(each))) <= 2.0**-148
                if dtype == "float32" and abs(each) < 1
                else value == abs(each)
            )
            assert grad[0] == np.sign(each)
        else:
            assert value == 0
            assert (grad == 0).all()
        assert (hess == 0).all()
    assert_array_equal(pl.L1(l1=1.0).prox(hard, 2.0), [0, 0, 0, 0, info.max, -np.inf, np.nan])
    assert_array_equal(pl.L2(l2=0.5).prox(hard, 1.0), hard / 2)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-160, 1.0, 1e160, 1e200, 1e300])
def test_lengths_of_groups_neither_overflow_nor_vanish(size):
    weights = np.array([3.0, 4.0, 0.0, 1.0, 0.0]) * np.array([size, size, 0.0, 1.0, 0.0])
    loss = pl.GroupLasso(groups=[0, 0, 1, 2, 3], alpha=2.0)
    value, grad, hess = loss.value_grad_hess(weights)
    subnormal = size < 1e-300
    assert_allclose(value, 2 * (np.sqrt(2) * 5 * size + 1), rtol=1e-13)
    if not subnormal:
        assert_allclose(grad, [2 * np.sqrt(2) * 0.6, 2 * np.sqrt(2) * 0.8, 0, 2, 0], rtol=1e-14)
        if size > 1e-290:
            assert_allclose(hess[:2], 2 * np.sqrt(2) / (5 * size) * np.array([0.64, 0.36]), rtol=1e-13)
    assert np.isfinite(grad).all()
    assert np.isfinite(hess).all()
    assert_allclose(loss.prox(weights, 0.0), weights, rtol=1e-15)
    assert (loss.prox(weights, 1.0)[2:] == 0).all()


def test_nan_stays_within_its_group():
    value, grad = pl.GroupLasso(groups=[0, 0, 1], alpha=1.0).value_and_grad([np.nan, 1.0, 3.0])
    assert np.isnan(value)
    assert_array_equal(grad, [np.nan, np.nan, 1.0])
    assert_array_equal(pl.GroupLasso(groups=[0, 0, 1]).prox([np.nan, 1.0, 0.0], 1.0), [np.nan, np.nan, 0.0])


@pytest.mark.parametrize("layout", ["rows", "columns", "runs", "many", "sparse numbers"])
def test_layouts_of_groups(layout, dtype):
    weights = draw((300, 200), dtype)
    groups = {
        "rows": np.arange(300, dtype=np.int32)[:, None],
        "columns": np.arange(200, dtype=np.uint8),
        "runs": np.repeat(np.arange(600), 100).reshape(300, 200),
        "many": np.random.default_rng(2).integers(0, 5000, (300, 200)),
        "sparse numbers": np.random.default_rng(2).choice([-5, 10**12, 77], (300, 200)),
    }[layout]
    if layout == "many":
        groups.flat[:2] = 0, 4999
    check(pl.GroupLasso(groups=groups, alpha=0.2), "group_lasso", {"groups": groups, "alpha": 0.2}, weights, dtype.name)


def test_mixed_types_of_fisher_and_anchor():
    weights, fisher = draw(100, "float32"), abs(draw(100, "float64", 3))
    check(pl.EWC(fisher=fisher, anchor=0.25), "ewc", {"fisher": fisher, "anchor": 0.25}, weights, "float32")
    loss = pl.EWC(fisher=2.0, anchor=np.arange(5))
    assert_allclose(loss(np.ones((3, 5))), 3 * np.sum((1 - np.arange(5.0)) ** 2))


# What a penalty is.


def test_losses_that_hold_arrays_are_values():
    fisher, anchor = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    loss = pl.EWC(fisher, anchor, strength=2.0)
    assert repr(loss) == "EWC(fisher=<float64 (2,)>, anchor=<float64 (2,)>, strength=2.0)"
    same, other = pl.EWC(fisher.copy(), anchor.copy(), 2.0), pl.EWC(fisher, anchor + 1, 2.0)
    assert loss == same
    assert hash(loss) == hash(same)
    assert loss != other
    assert loss != pl.EWC(fisher, anchor, 3.0)
    assert loss != pl.EWC(fisher.astype(np.float32), anchor, 2.0)
    assert loss != pl.GroupLasso([0, 1])
    assert {loss: 1}[same] == 1
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert copied == loss
        assert copied([1.0, 3.0]) == loss([1.0, 3.0])
    assert repr(pl.GroupLasso([0, 1])) == "GroupLasso(groups=<int64 (2,)>, alpha=0.01)"
    assert pl.GroupLasso([0, 1]) == pl.GroupLasso(np.array([0, 1]))
    assert pl.GroupLasso([0, 1]) != pl.GroupLasso([1, 0])
    with pytest.raises(ValueError, match="read-only"):
        loss.fisher[0] = 5.0
    assert loss.fisher.base is not None  # a view: nothing is copied


BAD = {
    "l1: got -1.0, wanted a number in [0, inf]": (ValueError, lambda: pl.L1(l1=-1.0)),
    "l2: got 'a', wanted a number in [0, inf]": (TypeError, lambda: pl.L2(l2="a")),
    "l1_ratio: got 1.5, wanted a number in [0, 1]": (ValueError, lambda: pl.ElasticNet(l1_ratio=1.5)),
    "fisher: got -1.0 at index (1,), wanted finite numbers of at least 0": (
        ValueError,
        lambda: pl.EWC(fisher=[1.0, -1.0], anchor=0.0),
    ),
    "fisher: got nan at index (0,), wanted finite": (ValueError, lambda: pl.EWC(fisher=[np.nan], anchor=0.0)),
    "anchor: got shape (3,), wanted the shape of weights, (2,)": (
        ValueError,
        lambda: pl.EWC(fisher=1.0, anchor=np.zeros(3))([1.0, 2.0]),
    ),
    "groups: got dtype float64, wanted group numbers of an integer dtype": (TypeError, lambda: pl.GroupLasso([0.5])),
    "groups: got shape (3,), wanted the shape of weights, (2,)": (
        ValueError,
        lambda: pl.GroupLasso([0, 1, 2])([1.0, 2.0]),
    ),
    "weights: got dtype complex128, wanted float32": (TypeError, lambda: pl.L1()(np.zeros(3, complex))),
    "step: got -0.5, wanted a number in [0, inf]": (ValueError, lambda: pl.L1().prox([1.0], -0.5)),
    "out: got dtype float32, wanted float64": (
        TypeError,
        lambda: pl.L1().value_and_grad([1.0], out=np.zeros(1, np.float32)),
    ),
    "out: got shape (2,), wanted (1,)": (ValueError, lambda: pl.L2().prox([1.0], 0.1, out=np.zeros(2))),
    "out: got ndarray, wanted a tuple of two arrays": (
        TypeError,
        lambda: pl.L2().value_grad_hess([1.0], out=np.zeros(1)),
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_arguments(text):
    error, call = BAD[text]
    with pytest.raises(error, match="^" + re.escape(text)):
        call()


def test_out_that_overlaps_is_refused():
    memory = np.zeros(10)
    with pytest.raises(ValueError, match="^out: got an array that overlaps weights"):
        pl.L1().value_and_grad(memory[:9], out=memory[1:])


@pytest.mark.parametrize("size", [7, 200, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_of_groups_go_where_the_weights_are(size, dtype, rng):
    weights = rng.standard_normal(size).astype(dtype)
    loss = pl.GroupLasso(np.arange(size) // 150)
    value, grad, hess = loss.value_grad_hess(weights)
    for place in (0, 1):
        outs = [np.empty_like(weights), np.empty_like(weights)]
        outs[place] = weights.copy()
        got = loss.value_grad_hess(outs[place], out=tuple(outs))
        assert got[0] == value
        assert_array_equal(got[1], grad)
        assert_array_equal(got[2], hess)


def test_derivatives_must_not_go_where_the_groups_are():
    groups = np.zeros(8, np.int64)
    with pytest.raises(ValueError, match="out: got an array that overlaps groups, wanted separate memory"):
        pl.GroupLasso(groups).value_and_grad(np.ones(8), out=groups.view(np.float64))
    with pytest.raises(ValueError, match="out: got an array that overlaps groups, wanted separate memory"):
        pl.WorstGroup().value_and_grad(np.ones(8), groups, out=groups.view(np.float64))


def test_groups_changed_behind_the_back_are_noticed():
    groups = np.array([0, 1, 1])
    loss = pl.GroupLasso(groups)
    assert loss([1.0, 2.0, 3.0]) > 0
    groups[1] = 10**15
    with pytest.raises(ValueError, match=r"^groups: got 1000000000000000 at index \(1,\), wanted a group from 0 to 1"):
        loss([1.0, 2.0, 3.0])


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("loss", ["L1()", "GroupLasso([0])"])
def test_ctrl_c_ends_a_long_call(seconds_to_interrupt, loss, threads):
    assert seconds_to_interrupt(f"pl.{loss}(np.broadcast_to(np.float32(3), (1 << 37, 1)))", threads) < 0.2
