"""Ranking losses: kernels against the reference, the reference against differences and peers, and the laws of lists."""

from __future__ import annotations

import itertools
import math
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits
from conftest import use_level
from pyloss import _native
from pyloss.reference import ranking as reference
from ranking_cases import CASES, QUERIES, Case, Expected, draw, draw_query, every_case

VERBS = ("__call__", "value_and_grad", "value_grad_hess")
hinges = pytest.mark.parametrize("kind", ["hinge", "squared_hinge"])


# Against the reference.


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("n", [0, 1, 3, 17, 64, 301])
@every_case
def test_kernel_agrees_with_reference(case, n, levels, dtype, level):
    pred, target = draw(n, levels, dtype)
    for pattern in QUERIES:
        query = draw_query(pattern, n)
        expected = Expected(case, pred, target, query)
        weight = np.arange(len(expected.terms)) % 3 * 0.5
        for reduction, w in itertools.product(("mean", "sum", "none"), (None, weight)):
            results = case.loss().value_grad_hess(pred, target, query, weight=w, reduction=reduction)
            expected.check(results, w, reduction)


@pytest.mark.parametrize("levels", [0, 5])
@every_case
def test_large_queries_agree_with_reference(case, levels):
    """Between small queries one of more items than pair losses take at once, or than hinges take as pairs."""
    n = 4200 if levels and (case.cls is pl.LambdaRank or case.in_float32) else 1500
    pred, target = draw(n, levels, np.float32)
    query = np.where(np.arange(n) % 100 < 98, 5, np.arange(n) // 300)
    expected = Expected(case, pred, target, query)
    for scores in (pred, pred.astype(np.float64)):
        expected.check(case.loss().value_grad_hess(scores, target, query))


@pytest.mark.parametrize("n", [3000, 300_000])
@hinges
def test_hinge_of_two_levels(kind, n):
    """By counting: an item of one level loses by those of the other beyond its score plus or less the margin."""
    pred, target = draw(n, 2)
    power = 2 if kind == "squared_hinge" else 1
    high, low = np.sort(pred[target == 1]), np.sort(pred[target == 0])
    beyond = len(low) - np.searchsorted(low, high - 1.0, side="right")
    tails = [np.concatenate([np.cumsum((low**order)[::-1])[::-1], [0.0]]) for order in range(power + 1)]
    sums = [tail[len(low) - beyond] for tail in tails]
    gap = 1.0 - high
    want = [sums[1] + gap * beyond, sums[-1] + 2 * gap * sums[1] + gap**2 * beyond][power - 1]
    value, grad, hess = pl.PairwiseRank(kind=kind).value_grad_hess(pred, target, reduction="sum")
    assert_allclose(value, want.sum(), rtol=1e-11)
    order = np.argsort(pred[target == 1])
    slope, bend = (beyond, 0 * beyond) if power == 1 else (2 * (sums[1] + gap * beyond), 2 * beyond)
    assert_allclose(grad[target == 1][order], -slope, rtol=1e-9, atol=1e-6)
    assert_array_equal(hess[target == 1][order], bend)
    assert_allclose(grad.sum(), 0.0, atol=1e-7 * abs(grad).sum())


def test_long_lists():
    """Beyond what a thread takes at once."""
    n = 300_000
    pred, target = draw(n, 0)
    order = np.argsort(-target)
    left = np.logaddexp.accumulate(pred[order][::-1])[::-1]
    assert_allclose(pl.ListMLE()(pred, target), np.sum(left - pred[order]), rtol=1e-12)
    Expected(Case(pl.ListNet), pred, target).check(pl.ListNet().value_grad_hess(pred, target))


HARD = {
    "1e4": [-1e4, 1e4, 0.0, 1.0],
    "edges of exp": [-88.0, 88.0, 0.0, -88.5, 89.0, 104.0],
    "edges of exp in float64": [710.0, -710.0, -745.5, 0.0],
    "infinity": [np.inf, 0.0, 1.0, -3.0],
    "minus infinity": [-np.inf, 0.0, 1.0, 2.0],
    "infinities": [np.inf, -np.inf, 0.0],
    "subnormal": [1e-40, 0.0, -0.0, -3e-45],
    "far from 0": [2.0**24, 2.0**24 - 2, 2.0**24 - 4],
    "huge": [1e38, -1e38, 3.0, 3e38, -3e38],
    "ties": [0.5, 1.0, 1.0],
    "near": [1.0, 1.0 + 2.0**-20, 1.0 - 2.0**-20],
}


@pytest.mark.parametrize("values", HARD.values(), ids=HARD)
@every_case
def test_hard_scores(case, values, dtype, level):
    rng = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        pred = rng.choice(np.array(values).astype(dtype), 400)
    target = rng.choice([0.0, 1.0, 3.0, -0.0], 400)
    for query in (np.arange(400) // 8, None):
        results = case.loss().value_grad_hess(pred, target, query, reduction="none")
        Expected(case, pred, target, query).check(results, None, "none")


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@hinges
def test_hinges_do_not_lose_digits_far_from_zero(kind, offset):
    """Slacks are differences: what all scores have in common must not matter."""
    pred, target = draw(300, 0)
    pred = np.round(pred * 2**10) / 2**10  # which the sum with the offset does not round
    near = pl.PairwiseRank(kind=kind).value_and_grad(pred, target)
    assert_same_bits(pl.PairwiseRank(kind=kind).value_and_grad(pred + offset, target), near)


@every_case
def test_saturated_scores_keep_small_derivatives(case):
    """Of an order that is all but certain, e^-40 is what is left."""
    pred, target = np.array([60.0, 20.0, -20.0]), np.array([3.0, 2.0, 1.0])
    if case.cls is pl.ListNet:
        target = np.array([80.0, 40.0, 0.0])
    value, grad, hess = case.loss().value_grad_hess(pred, target, reduction="sum")
    if case.cls is pl.PairwiseRank and case.loss().kind != "logistic":
        assert (value, *grad, *hess) == (0.0,) * 7
        return
    left = math.exp(-40)
    if case.cls is pl.ListNet:
        # p = q to the last place, up to the rounding of the exponential itself.
        assert_allclose(value, 40 * left + left, rtol=1e-12)
        assert_allclose(hess[:2], left, rtol=1e-12)
        assert abs(grad).max() < 1e-15 * left
        return
    change = np.ones(2)
    if case.cls is pl.LambdaRank:
        k = case.loss().k
        best = 7.0 if k == 1 else 7 + 3 / math.log2(3) + 0.5
        change = np.array([4 * (1 - 1 / math.log2(3)), 2 * (1 / math.log2(3) - 0.5) * (k != 1)]) / best
    assert_allclose(value, left * change.sum(), rtol=1e-12)
    assert_allclose(grad, left * np.array([-change[0], change[0] - change[1], change[1]]), rtol=1e-12, atol=1e-30)
    assert_allclose(hess, left * np.array([change[0], change.sum(), change[1]]), rtol=1e-12, atol=1e-30)


# What a query is.


@every_case
def test_queries_do_not_touch_each_other(case):
    """Any interleaving that keeps each query's own order gives the same bits."""
    rng = np.random.default_rng(3)
    pred, target = draw(500, 4, np.float32)
    query = np.sort(rng.integers(0, 40, 500))
    mixed = np.argsort(rng.random(500) + 0 * query)  # any order of places ...
    places = np.empty(500, int)
    for each in np.unique(query):  # ... which each query's items take in their own order
        mine = np.flatnonzero(query[mixed] == each)
        places[mine] = np.flatnonzero(query == each)
    for reduction in ("mean", "sum", "none"):
        value, grad, hess = case.loss().value_grad_hess(pred, target, query, reduction=reduction)
        other = case.loss().value_grad_hess(pred[places], target[places], query[places], reduction=reduction)
        assert_same_bits(other, (value, grad[places], hess[places]))


@every_case
def test_value_of_each_query_is_that_of_its_items_alone(case):
    pred, target = draw(200)
    query = draw_query("shuffled", 200)
    values, grad = case.loss().value_and_grad(pred, target, query, reduction="none")
    assert values.shape == (len(np.unique(query)),)
    for value, each in zip(values, np.unique(query), strict=True):
        own = case.loss().value_and_grad(pred[query == each], target[query == each], reduction="sum")
        assert_same_bits(own, (float(value), grad[query == each]))


@every_case
def test_what_a_mean_divides_by(case):
    """Pairs for pairwise losses, else queries; none without a pair, and each with its weight."""
    pred, target, query = np.arange(7.0), np.array([1, 0, 2, 1, 1, 1, 0]), np.array([1, 1, 1, 2, 2, 3, 3])
    counts = np.array([3, 0, 1]) if case.cls is pl.PairwiseRank else np.array([1, 0, 1])
    weight = np.array([0.5, 8.0, 2.0])
    values = case.loss()(pred, target, query, reduction="none")
    assert values[1] == 0.0
    assert_allclose(case.loss()(pred, target, query), values.sum() / counts.sum(), rtol=1e-15)
    assert_allclose(case.loss()(pred, target, query, weight=weight), values @ weight / (counts @ weight), rtol=1e-15)
    alike = np.array([1 / 3, 0.0, 1.0])
    if case.cls is pl.PairwiseRank:  # as its docstring has it
        assert_allclose(case.loss()(pred, target, query, weight=alike), (values[0] / 3 + values[2]) / 2, rtol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@every_case
def test_what_has_no_order_is_zero(case, reduction, dtype):
    empty = case.loss().value_grad_hess(np.empty(0, dtype), [], reduction=reduction)
    assert [np.shape(each) for each in empty] == [(0,) if reduction == "none" else (), (0,), (0,)]
    assert np.sum(empty[0]) == 0.0
    assert case.loss()(np.empty(0, dtype), [], []) == 0.0
    pred = np.array([3, -1, 7, 2], dtype)
    for query in ([0, 1, 2, 3], [1, 1, 1, 1], None, [2, 2, 0, 0]):
        value, grad, hess = case.loss().value_grad_hess(pred, [5.0] * 4, query, reduction=reduction)
        assert np.sum(value) == 0.0
        assert_array_equal([*grad, *hess], 0.0)


@pytest.mark.parametrize("where", ["pred", "target"])
@every_case
def test_nan_stays_in_its_query(case, where):
    pred, target = draw(60)
    query = np.arange(60) % 4
    clean = case.loss().value_grad_hess(pred, target, query, reduction="none")
    {"pred": pred, "target": target}[where][9] = np.nan
    value, grad, hess = case.loss().value_grad_hess(pred, target, query, reduction="none")
    assert_array_equal(np.isnan(value), [False, True, False, False])
    for each in (grad, hess):
        assert_array_equal(np.isnan(each), query == 1)
    others = query != 1
    assert_same_bits((value[[0, 2, 3]], grad[others], hess[others]),
                     (clean[0][[0, 2, 3]], clean[1][others], clean[2][others]))  # fmt: skip
    assert np.isnan(case.loss()(pred, target, query))
    # Weight 0 leaves it out altogether.
    weighed = case.loss().value_grad_hess(pred, target, query, weight=[1, 0, 1, 1])
    assert np.isfinite(weighed[0])
    assert_array_equal(weighed[1][query == 1], 0.0)
    assert_array_equal(weighed[2][query == 1], 0.0)
    without = case.loss().value_grad_hess(pred[others], target[others], query[others])
    assert_same_bits((weighed[0], weighed[1][others], weighed[2][others]), without)


@every_case
def test_all_weights_zero(case):
    pred, target = draw(30)
    value, grad, hess = case.loss().value_grad_hess(pred, target, np.arange(30) // 10, weight=[0, 0, 0])
    assert value == 0.0
    assert_array_equal([*grad, *hess], 0.0)


def test_equal_scores_are_placed_by_index():
    first, second = (pl.LambdaRank()([1.0, 1.0, 0.0], target) for target in ([2, 0, 1], [0, 2, 1]))
    best = 3 + 1 / math.log2(3)
    pairs = {(0, 1): 3 * (1 - 1 / math.log2(3)), (0, 2): 2 * 0.5, (1, 2): 1 / math.log2(3) - 0.5}
    softplus = {0.0: math.log(2), 1.0: math.log1p(math.exp(-1)), -1.0: math.log1p(math.exp(1))}
    want = (pairs[0, 1] * softplus[0.0] + pairs[0, 2] * softplus[1.0] + pairs[1, 2] * softplus[-1.0]) / best
    assert_allclose(first, want, rtol=1e-14)
    want = pairs[0, 1] * softplus[0.0] + 1 * 0.5 * softplus[-1.0] + 2 * (1 / math.log2(3) - 0.5) * softplus[1.0]
    assert_allclose(second, want / best, rtol=1e-14)


def test_relevances_of_any_size():
    """2^relevance may be no float, but their ratios are."""
    pred, target = draw(40, 4)
    assert np.isfinite(pl.LambdaRank()(pred, target * 500.0))
    # Far up, -1 is nothing beside 2^relevance: only differences of relevance matter.
    assert_allclose(pl.LambdaRank()(pred, target + 1000.0), pl.LambdaRank()(pred, target + 5000.0), rtol=1e-14)
    (want,), *_ = reference.lambda_rank(pred, target + 900.0)
    assert_allclose(pl.LambdaRank()(pred, target + 900.0), want, rtol=1e-13)


# Threads, levels, memory.


@every_case
def test_same_bits_for_any_number_of_threads(case):
    sizes = [1, 7000 if case.cls is not pl.LambdaRank else 5000, 3, 400, 5, 900, *([30] * 300)]
    query = np.repeat(np.arange(len(sizes)), sizes)
    pred, target = draw(len(query), 5, np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append(case.loss().value_grad_hess(pred, target, query))
    for other in results[1:]:
        assert_same_bits(results[0], other)


FMA_LEVELS = [level for level in _native.usable_levels() if level != "x86-64-v2"]


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@every_case
def test_levels_with_fma_give_the_same_bits(case, dtype):
    pred, target = draw(700, 5, dtype)
    query = np.arange(700) // 150
    results = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            results.append(case.loss().value_grad_hess(pred, target, query))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@every_case
def test_verbs_agree(case, dtype):
    pred, target = draw(150, 4, dtype)
    query = draw_query("shuffled", 150)
    for reduction in ("mean", "sum", "none"):
        value, grad, hess = case.loss().value_grad_hess(pred, target, query, reduction=reduction)
        assert_same_bits(case.loss().value_and_grad(pred, target, query=query, reduction=reduction), (value, grad))
        assert_same_bits((case.loss()(pred, target, query, reduction=reduction),), (value,))
        assert grad.dtype == hess.dtype == dtype
        assert isinstance(value, float) if reduction != "none" else value.dtype == dtype


@every_case
def test_any_layout(case, dtype):
    """Strides, read-only memory, integers and lists; the plain call's bits."""
    pred, target = draw(120, 4, dtype)
    for query in (np.sort(draw_query("shuffled", 120)), draw_query("shuffled", 120)):
        weight = np.linspace(0.0, 1.0, len(np.unique(query)))
        want = case.loss().value_grad_hess(pred, target, query, weight=weight)
        spread = [np.repeat(each, 3)[::3] for each in (pred, target.astype(np.int8), query, weight)]
        spread[0].flags.writeable = False
        assert_same_bits(case.loss().value_grad_hess(*spread[:3], weight=spread[3]), want)
        backwards = [each[::-1].copy()[::-1] for each in (pred, target.astype(np.float32), query)]
        assert_same_bits(case.loss().value_grad_hess(*backwards, weight=weight), want)
        grad, hess = np.empty((120, 2), dtype)[:, 0], np.empty((120, 2), dtype)[:, 1]
        results = case.loss().value_grad_hess(pred, target, query, weight=weight, out=(grad, hess))
        assert results[1] is grad
        assert results[2] is hess
        assert_same_bits(results, want)
    whole = np.arange(-60, 60) % 17
    assert_same_bits(
        case.loss().value_grad_hess(whole.tolist(), target.tolist(), query.tolist()),
        case.loss().value_grad_hess(whole.astype(np.float64), target, query),
    )


@every_case
def test_gradient_may_replace_the_scores(case, dtype):
    pred, target = draw(100, 4, dtype)
    query = draw_query("shuffled", 100)
    want = case.loss().value_and_grad(pred, target, query)
    assert_same_bits(case.loss().value_and_grad(pred, target, query, out=pred), want)
    values = np.empty(len(np.unique(query)), dtype)
    case.loss()(want[1], target, query, reduction="none", out=values)
    assert_same_bits((values,), (case.loss()(want[1], target, query, reduction="none"),))


def test_ctrl_c_ends_a_long_query(python):
    program = """
import numpy as np, pyloss as pl, os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.random.default_rng(0).random(1 << 20)
sent = []
def interrupt():
    time.sleep(0.6)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    pl.PairwiseRank().value_and_grad(x, x)
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0])
    assert pl.PairwiseRank()(x[:9], x[:9]) > 0.0
"""
    for threads in ("1", "2"):
        assert float(python(program, PYLOSS_NUM_THREADS=threads, timeout=20)) < 0.2


# The reference.


@every_case
def test_reference_derivatives_are_differences(case):
    """No score is near another or near a margin from it, so no kink or change of places is within the step."""
    rng = np.random.default_rng(5)
    pred = rng.permutation(12) * 0.37 + rng.uniform(0, 0.01, 12)
    target, query, step = rng.integers(0, 4, 12).astype(float), np.arange(12) % 2, 1e-5
    terms, _, grad, hess = case.reference(pred, target, query)
    for i in range(12):
        up, down = (case.reference(pred + sign * step * (np.arange(12) == i), target, query) for sign in (1, -1))
        assert_allclose((up[0].sum() - down[0].sum()) / (2 * step), grad[i], atol=1e-8 * terms.sum())
        assert_allclose((up[2][i] - down[2][i]) / (2 * step), hess[i], atol=1e-8 * terms.sum())


def test_reference_of_hand():
    """Small enough for a pencil."""
    log2 = math.log(2)
    assert_allclose(reference.pairwise_rank([0, 0, 0], [2, 1, 0])[0], [3 * log2], rtol=1e-15)
    assert_allclose(reference.pairwise_rank([1, 0.5], [0, 1], kind="hinge")[0], [1.5])
    assert_allclose(reference.pairwise_rank([1, 0.5], [0, 1], kind="squared_hinge", margin=2)[0], [6.25])
    assert_allclose(reference.lambda_rank([1, 0], [0, 1])[0], [(1 - 1 / math.log2(3)) * math.log1p(math.e)])
    assert_allclose(reference.list_net([0, 0], [5, 1])[0], [log2], rtol=1e-15)
    assert_allclose(reference.list_mle([0, 0, 0], [5, 1, 2])[0], [math.log(6)], rtol=1e-15)


# Peers.


def torch_pairs(torch, pred, target):
    s = torch.tensor(pred, requires_grad=True)
    i, j = np.nonzero(target[:, None] > target)
    return s, s[i], s[j]


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize(("margin", "whole"), [(1.0, False), (0.3, False), (1.0, True)])
def test_hinge_is_torch_margin_ranking_loss(margin, whole, n):
    """Whole scores are at the kink in many pairs."""
    torch = pytest.importorskip("torch")
    pred, target = draw(n)
    pred = np.round(pred) if whole else pred
    s, first, second = torch_pairs(torch, pred, target)
    want = torch.nn.functional.margin_ranking_loss(first, second, torch.ones_like(first), margin=margin)
    want.backward()
    value, grad = pl.PairwiseRank(kind="hinge", margin=margin).value_and_grad(pred, target)
    assert_allclose(value, want.item(), rtol=1e-12)
    assert_allclose(grad, s.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_logistic_is_torch_bce_of_differences():
    torch = pytest.importorskip("torch")
    pred, target = draw(60)
    s, first, second = torch_pairs(torch, pred, target)
    want = torch.nn.functional.binary_cross_entropy_with_logits(first - second, torch.ones_like(first))
    want.backward()
    value, grad = pl.PairwiseRank().value_and_grad(pred, target)
    assert_allclose(value, want.item(), rtol=1e-12)
    assert_allclose(grad, s.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_lists_are_torch_cross_entropy_and_logcumsumexp():
    torch = pytest.importorskip("torch")
    pred, target = draw(60, 0)
    s = torch.tensor(pred, requires_grad=True)
    order = torch.tensor(np.argsort(-target))
    for loss, want in (
        (pl.ListNet(), torch.nn.functional.cross_entropy(s, torch.softmax(torch.tensor(target), 0))),
        (pl.ListMLE(), (torch.logcumsumexp(s[order].flip(0), 0).flip(0) - s[order]).sum()),
    ):
        s.grad = None
        want.backward()
        value, grad = loss.value_and_grad(pred, target)
        assert_allclose(value, want.item(), rtol=1e-12)
        assert_allclose(grad, s.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_lambda_weights_are_changes_of_scikit_learns_ndcg():
    metrics = pytest.importorskip("sklearn.metrics")
    pred, target = draw(12)
    gain, want = 2.0**target - 1, 0.0
    ndcg = metrics.ndcg_score([gain], [pred])
    for i, j in zip(*np.nonzero(target[:, None] > target), strict=True):
        exchanged = pred.copy()
        exchanged[[i, j]] = pred[[j, i]]
        change = abs(metrics.ndcg_score([gain], [exchanged]) - ndcg)
        want += change * np.logaddexp(0, pred[j] - pred[i])
    assert_allclose(pl.LambdaRank()(pred, target), want, rtol=1e-12)


LEAVES = np.arange(60.0)[:, None]
"""A feature by which a tree can tell 60 items apart."""


def assert_is_a_step(step, leaves, k, pred, target, query, hessian=1.0, tolerance=1e-5):
    """A leaf has minus the sum of its items' gradients over that of their Hessians in it."""
    assert len(np.unique(leaves)) > 30
    _, grad, hess = pl.LambdaRank(k=k).value_grad_hess(pred, target, query, reduction="sum")
    grads, bends = (np.bincount(leaves, each)[leaves] for each in (grad, hess))
    with np.errstate(invalid="ignore"):
        want = np.where(bends == 0, 0.0, -grads / (hessian * bends))
    assert_allclose(step, want, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("k", [3, 30])
def test_lambda_rank_is_lightgbms(k):
    lightgbm = pytest.importorskip("lightgbm")
    (pred, target), query = draw(60), np.arange(60) // 20
    data = lightgbm.Dataset(
        LEAVES, target, group=np.bincount(query), init_score=pred,
        params={"min_data_in_bin": 1, "feature_pre_filter": False, "max_bin": 1000, "verbose": -1},
    )  # fmt: skip
    parameters = {"objective": "lambdarank", "lambdarank_norm": False, "lambdarank_truncation_level": k, "sigmoid": 1.0,
                  "num_leaves": 120, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 1e-3, "learning_rate": 1.0,
                  "boost_from_average": False, "verbose": -1, "num_threads": 1}  # fmt: skip
    booster = lightgbm.train(parameters, data, num_boost_round=1)
    leaves = booster.predict(LEAVES, pred_leaf=True).ravel().astype(int)
    # It reads the sigmoid from a table of steps of 5e-5.
    assert_is_a_step(booster.predict(LEAVES, raw_score=True), leaves, k, pred, target, query, tolerance=1e-4)


@pytest.mark.parametrize("k", [3, 30])
def test_lambda_rank_is_xgboosts(k):
    xgboost = pytest.importorskip("xgboost")
    (pred, target), query = draw(60), np.arange(60) // 20
    data = xgboost.DMatrix(LEAVES, label=target, qid=query, base_margin=pred)
    parameters = {"objective": "rank:ndcg", "lambdarank_pair_method": "topk", "lambdarank_num_pair_per_sample": k,
                  "lambdarank_normalization": False, "lambdarank_score_normalization": False, "eta": 1.0,
                  "tree_method": "exact", "max_depth": 30, "min_child_weight": 0, "reg_lambda": 0}  # fmt: skip
    booster = xgboost.train(parameters, data, 1)
    leaves = booster.predict(data, pred_leaf=True).ravel().astype(int)
    step = booster.predict(data, output_margin=True) - pred
    assert_is_a_step(step, leaves, k, pred, target, query, hessian=2.0)


# Bad input.

GOOD = {"pred": [0.0, 1.0, 2.0], "target": [0, 1, 2], "query": [4, 4, 5]}
BAD = {
    "scores of two axes": ({"pred": np.zeros((3, 1))}, ValueError, r"pred: got shape \(3, 1\), wanted one axis"),
    "a single score": ({"pred": 1.0}, ValueError, r"pred: got shape \(\), wanted one axis"),
    "scores of words": ({"pred": ["a", "b", "c"]}, TypeError, "pred: got dtype <U1"),
    "few relevances": ({"target": [0, 1]}, ValueError, r"target: got shape \(2,\), wanted \(3,\), a relevance"),
    "one relevance for all": ({"target": 1.0}, ValueError, r"target: got shape \(\), wanted \(3,\)"),
    "complex relevances": ({"target": [0j, 1, 2]}, TypeError, "target: got dtype complex128"),
    "few ids": ({"query": [4, 4]}, ValueError, r"query: got shape \(2,\), wanted \(3,\), an id for each item"),
    "broken ids": ({"query": [4.0, 4.0, 5.0]}, TypeError, "query: got dtype float64, wanted ids of an integer dtype"),
    "ids of bool": ({"query": [True, True, False]}, TypeError, "query: got dtype bool"),
    "a weight for each item": (
        {"weight": [1, 1, 1]},
        ValueError,
        r"weight: got shape \(3,\), wanted the shape of the q",
    ),
    "a negative weight": ({"weight": [1, -1]}, ValueError, r"weight: got -1 at index \(1,\)"),
    "a weight of NaN": ({"weight": [np.nan, 1]}, ValueError, r"weight: got nan at index \(0,\)"),
    "no such reduction": ({"reduction": "median"}, ValueError, "reduction: got 'median'"),
}


@pytest.mark.parametrize(("change", "error", "text"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("verb", VERBS)
def test_bad_arguments(verb, change, error, text):
    for case in CASES:
        with pytest.raises(error, match=f"^{text}"):
            getattr(case.loss(), verb)(**GOOD | change)


@pytest.mark.parametrize("query", [None, [4, 4, 5], [5, 4, 5]])
def test_negative_relevance(query):
    grad = np.full(3, 7.0)
    with pytest.raises(ValueError, match=r"^target: got relevance -0.5 at index 1, wanted a relevance of at least 0"):
        pl.LambdaRank().value_and_grad([0.0, 1.0, 2.0], [0.0, -0.5, -3.0], query, out=grad)
    assert_array_equal(grad, 7.0)
    values = np.full(1, 7.0)
    with pytest.raises(ValueError, match=r"^target: "):
        pl.LambdaRank()([0.0, 1.0], [0.0, -0.5], reduction="none", out=values)
    assert values == 7.0
    for case in CASES:
        if case.cls is not pl.LambdaRank:
            assert case.loss()([0.0, 1.0], [0.0, -0.5]) > 0.0 or "hinge" in str(case)


def test_bad_out():
    loss, (pred, target) = pl.ListNet(), draw(5)
    with pytest.raises(TypeError, match=r"^out: got dtype float32, wanted float64"):
        loss.value_and_grad(pred, target, out=np.empty(5, np.float32))
    with pytest.raises(ValueError, match=r"^out: got shape \(4,\), wanted \(5,\)"):
        loss.value_and_grad(pred, target, out=np.empty(4))
    with pytest.raises(TypeError, match=r"^out: got ndarray, wanted a tuple of two arrays"):
        loss.value_grad_hess(pred, target, out=np.empty(5))
    with pytest.raises(ValueError, match=r"^out: got an array with reduction='mean'"):
        loss(pred, target, out=np.empty(1))
    big = np.zeros(6)
    with pytest.raises(ValueError, match=r"^out: got an array that overlaps pred"):
        loss.value_and_grad(big[:5], target, out=big[1:])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: pl.PairwiseRank(kind="ranknet"), ValueError, "kind: got 'ranknet', wanted one of logistic, hinge"),
        (lambda: pl.PairwiseRank(kind=1), TypeError, "kind: got 1"),
        (
            lambda: pl.PairwiseRank(kind="hinge", margin=0.0),
            ValueError,
            r"margin: got 0.0, wanted a number in \(0, inf",
        ),
        (lambda: pl.PairwiseRank(margin=2.0), ValueError, "margin: got 2.0 with kind='logistic', wanted 1.0"),
        (lambda: pl.LambdaRank(k=0), ValueError, "k: got 0, wanted a positive integer"),
        (lambda: pl.LambdaRank(k=2.5), TypeError, "k: got 2.5, wanted a positive integer"),
        (lambda: pl.LambdaRank(k=True), TypeError, "k: got True"),
    ],
)
def test_bad_parameters(make, error, text):
    with pytest.raises(error, match=f"^{text}"):
        make()


def test_losses_are_values():
    import pickle

    for case in CASES:
        loss = case.loss()
        assert loss == eval(repr(loss), {case.cls.__name__: case.cls})
        assert hash(loss) == hash(case.loss())
        assert pickle.loads(pickle.dumps(loss)) == loss
    assert set(pl.list_losses(task="ranking")) == {"pairwise_rank", "lambda_rank", "list_net", "list_mle"}
    assert pl.get("lambda_rank", k=3) == pl.LambdaRank(k=3)
