"""The reference of metric learning: its gradients against differences, its definitions against those of others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pyloss.reference import metric_learning as ml

LABELS = {
    "two each": [0, 0, 1, 1, 2, 2, 3, 3],
    "mixed": [2, 0, 1, 2, 2, 0, 1, 3, 2],
    "two classes": [1, 0, 0, 1, 1, 0],
    "one class": [3, 3, 3, 3],
    "all different": [0, 1, 2, 3],
    "one pair": [1, 1],
    "one row": [0],
    "nothing": [],
}
every_label_pattern = pytest.mark.parametrize("labels", [np.array(v, np.int64) for v in LABELS.values()], ids=LABELS)
METRICS = ["euclidean", "sqeuclidean", "cosine"]


@dataclass(frozen=True)
class Call:
    """A function of its differentiable inputs, and these."""

    name: str
    function: Callable[..., ml.Result]
    inputs: tuple[np.ndarray, ...]

    def __call__(self, *inputs: np.ndarray) -> ml.Result:
        return self.function(*(inputs or self.inputs))


def tuples(labels: np.ndarray, size: int) -> np.ndarray:
    """Some tuples of different rows, one of them twice."""
    every = np.array(list(permutations(range(len(labels)), size)), np.int64).reshape(-1, size)
    return np.concatenate([every[::7], every[:1]])


def calls(labels: np.ndarray, seed: int, dimensions: int = 5) -> list[Call]:
    """Every function, with each kind of parameters, on random rows."""
    rng = np.random.default_rng(seed)
    n, classes = len(labels), 5
    x, y, other = (rng.normal(size=(rows, dimensions)) for rows in (n, n, n + 2 if n else 0))
    proxies = rng.normal(size=(classes, dimensions))
    made = []

    def add(name: str, function: Any, *inputs: np.ndarray, **parameters: Any) -> None:
        given = {k: v for k, v in parameters.items() if not isinstance(v, np.ndarray)}
        made.append(Call(f"{name} {given or ''}".strip(), partial(function, **parameters), inputs))

    batch = {"labels": labels}
    add("contrastive", ml.contrastive, x, **batch)
    add("contrastive", ml.contrastive, x, **batch, margin=3.0)
    pairs = tuples(labels, 2)
    add("contrastive_pairs", ml.contrastive_pairs, x, pairs=pairs, similar=np.arange(len(pairs)) % 2 == 0, margin=3.0)
    for metric in METRICS:
        for options in ({"margin": 0.2}, {"margin": 1.0, "average": "active"}, {"margin": "soft"}):
            add("triplet", ml.triplet, x, **batch, metric=metric, **options)
        for swap in (False, True):
            for margin in (0.5, "soft"):
                given = {"triplets": tuples(labels, 3), "margin": margin, "metric": metric, "swap": swap}
                add("triplet_indexed", ml.triplet_indexed, x, **given, average="active")
    add("quadruplet", ml.quadruplet, x, quadruplets=tuples(labels, 4))
    add("quadruplet", ml.quadruplet, x, quadruplets=tuples(labels, 4), margins=(3.0, 5.0))
    for margin in (-1.0, 1.0):
        add("lifted_structure", ml.lifted_structure, x, **batch, margin=margin)
    add("n_pair", ml.n_pair, x, **batch)
    for options in ({}, {"alpha": 5.0, "beta": 10.0, "base": 0.2}):
        add("multi_similarity", ml.multi_similarity, x, **batch, **options)
    for temperature in (1.0, 5.0):
        add("nca", ml.nca, x, **batch, temperature=temperature)
        options = {**batch, "temperature": temperature}
        add("proxy_nca", lambda x, c, labels, **p: ml.proxy_nca(x, labels, c, **p), x, proxies, **options)
        add("nt_xent", ml.nt_xent, x, **batch, temperature=temperature / 10)
        add("sup_con", ml.sup_con, x, **batch, temperature=temperature / 10)
        for symmetric in (True, False):
            add("info_nce", ml.info_nce, x, y, temperature=temperature / 10, symmetric=symmetric)
    for options in ({}, {"k": 1}, {"k": 2, "margin": 5.0}):
        add("lmnn", ml.lmnn, x, **batch, **options)
    for options in ({}, {"temperature": 0.5, "bias": 0.5}):
        add("sig_lip", ml.sig_lip, x, y, **options)
    add("center", lambda x, c, labels: ml.center(x, labels, c), x, proxies, **batch)
    for options in ({}, {"margin": 0.3, "alpha": 4.0}):
        add(
            "proxy_anchor", lambda x, c, labels, **p: ml.proxy_anchor(x, labels, c, **p), x, proxies, **batch, **options
        )
    for margin in (-0.2, 0.0, 0.3):
        target = np.where(np.arange(n) % 3 == 0, 1, -1)
        add("cosine_embedding", ml.cosine_embedding, x, y, target=target, margin=margin)
    for options in ({}, {"lambd": 0.5}):
        add("barlow_twins", ml.barlow_twins, x, y, **options)
    for options in ({}, {"invariance": 1.0, "variance": 0.5, "covariance": 3.0, "eps": 0.1}):
        add("vic_reg", ml.vic_reg, x, y, **options)
        add("vic_reg", ml.vic_reg, x / 4, y / 4, **options)
    for kernel in ("rbf", "laplacian"):
        for bandwidths in ((1.0,), (0.5, 2.0, 4.0)):
            add("mmd", ml.mmd, x, other, kernel=kernel, bandwidths=bandwidths)
    add("coral", ml.coral, x, other)
    add("energy_distance", ml.energy_distance, x, other)
    return made


def mean(result: ml.Result) -> tuple[float, list[np.ndarray]]:
    """Return the reduction that the library calls "mean", with its gradients."""
    terms, count, grads = result
    scale = 1 / count if count else 0.0
    return scale * terms.sum(), [scale * grad for grad in grads]


def slopes(function: Callable[..., float], inputs: tuple[np.ndarray, ...], step: float = 1e-5) -> list[np.ndarray]:
    """Central differences, wrong by step⁴ and by 2⁻⁵² / step of the value."""
    found = []
    for which, x in enumerate(inputs):
        grad = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            at = []
            for k in (-2, -1, 1, 2):
                moved = [each.copy() for each in inputs]
                moved[which][place] += k * step
                at.append(function(*moved))
            grad[place] = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step)
        found.append(grad)
    return found


def assert_slopes(grads: Any, want: list[np.ndarray], size: float, name: str) -> None:
    assert len(grads) == len(want)
    for got, slope in zip(grads, want, strict=True):
        assert_allclose(got, slope, rtol=1e-8, atol=1e-9 * (1 + size), err_msg=name)


@every_label_pattern
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_those_of_the_terms(labels, seed):
    for call in calls(labels, seed):
        terms, _, grads = call()
        want = slopes(lambda *inputs, call=call: float(np.sum(call(*inputs)[0])), call.inputs)
        assert_slopes(grads, want, np.sum(np.abs(terms)), call.name)


@every_label_pattern
@pytest.mark.parametrize("seed", [0, 1])
def test_circle_holds_its_weights_constant(labels, seed):
    x = np.random.default_rng(seed).normal(size=(len(labels), 5))

    def similarity(x: np.ndarray) -> np.ndarray:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit @ unit.T

    for m, gamma in ((0.4, 80.0), (0.25, 10.0)):
        held = similarity(x)
        same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
        different = labels[:, None] != labels

        def value(x, m=m, gamma=gamma, held=held, same=same, different=different):
            s = similarity(x)
            total = 0.0
            for row in np.flatnonzero(same.any(axis=1) & different.any(axis=1)):
                p, n = same[row], different[row]
                positives = np.exp(-gamma * np.maximum(1 + m - held[row, p], 0) * (s[row, p] - 1 + m))
                negatives = np.exp(gamma * np.maximum(held[row, n] + m, 0) * (s[row, n] - m))
                total += np.log1p(positives.sum() * negatives.sum())
            return total

        terms, _, grads = ml.circle(x, labels, m, gamma)
        assert_allclose(terms.sum(), value(x), rtol=1e-12)
        assert_slopes(grads, slopes(value, (x,)), np.sum(terms), f"{m} {gamma}")


@every_label_pattern
def test_shapes_counts_and_types(labels):
    n = len(labels)
    same = (labels[:, None] == labels) & ~np.eye(n, dtype=bool)
    different = labels[:, None] != labels
    positives, negatives = same.sum(axis=1), different.sum(axis=1)
    counts = {
        "contrastive": n * (n - 1) / 2,
        "triplet": np.sum(positives * negatives),
        "lifted_structure": positives.sum(),
        "nt_xent": positives.sum(),
        "n_pair": np.sum(np.unique(labels, return_counts=True)[1] > 1),
        "nca": np.sum(positives > 0),
        "sup_con": np.sum(positives > 0),
    }
    single = {"barlow_twins", "vic_reg", "mmd", "coral", "energy_distance"}
    circle = Call("circle", partial(ml.circle, labels=labels), calls(labels, 0)[0].inputs)
    for call in [*calls(labels, 0), circle]:
        terms, count, grads = call()
        name = call.name.split(" ")[0]
        assert terms.dtype == np.float64
        assert isinstance(count, float)
        assert [g.shape for g in grads] == [x.shape for x in call.inputs], call.name
        assert all(g.dtype == np.float64 for g in grads)
        assert all(np.isfinite(each).all() for each in (terms, *grads)), call.name
        if name in single | {"proxy_anchor"}:
            assert count == 1.0
            assert len(terms) == (1 if name in single else 5)
        elif "active" in call.name:
            assert count <= counts["triplet"] if name == "triplet" else count == np.count_nonzero(terms), call.name
        elif name == "circle":
            assert count == np.sum((positives > 0) & (negatives > 0))
        elif name in counts:
            assert count == counts[name], call.name
            assert len(terms) == (count if name == "n_pair" else n)
        else:
            assert count == len(terms), call.name
        if count == 0:
            assert not terms.any(), call.name
            assert not any(g.any() for g in grads), call.name


# Definitions beside one another


@every_label_pattern
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("options", [{}, {"average": "active"}, {"margin": "soft"}], ids=str)
def test_triplet_is_triplet_indexed_of_all(labels, metric, options):
    x = np.random.default_rng(3).normal(size=(len(labels), 4))
    indices = ml.mine(x, labels, "all")
    terms, count, (grad,) = ml.triplet(x, labels, metric=metric, **options)
    each, count_2, (grad_2,) = ml.triplet_indexed(x, indices, metric=metric, **options)
    assert count == count_2
    assert_allclose(terms, np.bincount(indices[:, 0], each, minlength=len(x)), rtol=1e-13)
    assert_allclose(grad, grad_2, rtol=1e-12, atol=1e-13)


@every_label_pattern
def test_contrastive_is_contrastive_pairs_of_all(labels):
    x = np.random.default_rng(3).normal(size=(len(labels), 4))
    pairs = np.array(list(combinations(range(len(x)), 2)), np.int64).reshape(-1, 2)
    terms, count, (grad,) = ml.contrastive(x, labels, margin=3.0)
    each, count_2, (grad_2,) = ml.contrastive_pairs(x, pairs, labels[pairs[:, 0]] == labels[pairs[:, 1]], margin=3.0)
    assert count == count_2
    halves = sum(np.bincount(pairs[:, side], each / 2, minlength=len(x)) for side in (0, 1))
    assert_allclose(terms, halves, rtol=1e-13)
    assert_allclose(grad, grad_2, rtol=1e-12, atol=1e-13)


@every_label_pattern
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("tied", [False, True])
def test_mine(labels, metric, tied):
    rng = np.random.default_rng(4)
    n = len(labels)
    x = rng.integers(0, 2, (n, 2)).astype(float) if tied else rng.normal(size=(n, 4))

    def apart(i, j):
        if metric == "cosine":
            lengths = [np.sqrt(np.sum(row**2)) for row in (x[i], x[j])]
            return 1 - sum((x[i] / (lengths[0] or 1)) * (x[j] / (lengths[1] or 1)))
        squared = sum((x[i] - x[j]) ** 2)
        return squared if metric == "sqeuclidean" else np.sqrt(squared)

    def first(rows, key):
        return min(rows, key=lambda j: (key(j), j))

    every, hard, semihard = [], [], []
    for a in range(n):
        same = [p for p in range(n) if p != a and labels[p] == labels[a]]
        other = [k for k in range(n) if labels[k] != labels[a]]
        every += [(a, p, k) for p in same for k in other]
        if not same or not other:
            continue
        farthest, nearest = first(same, lambda j, a=a: -apart(a, j)), first(other, lambda j, a=a: apart(a, j))
        hard.append((a, farthest, nearest))
        for p in same:
            beyond = [k for k in other if apart(a, k) > apart(a, p)]
            sign = 1 if beyond else -1
            semihard.append((a, p, first(beyond or other, lambda j, a=a, sign=sign: sign * apart(a, j))))

    for kind, want in (("all", every), ("hard", hard), ("semihard", semihard)):
        got = ml.mine(x, labels, kind, metric)
        assert got.dtype == np.int64
        assert_array_equal(got, np.array(want, np.int64).reshape(-1, 3), err_msg=kind)


# Hard inputs


def test_one_class_has_nothing_to_push_apart():
    x, labels = np.random.default_rng(0).normal(size=(5, 3)), np.zeros(5, int)
    for function in (ml.triplet, ml.circle, ml.lifted_structure, ml.nt_xent, ml.nca):
        terms, count, (grad,) = function(x, labels)
        assert not terms.any()
        assert not grad.any()
        assert count == {"triplet": 0, "circle": 0, "lifted_structure": 20, "nt_xent": 20, "nca": 5}[function.__name__]
    assert ml.sup_con(x, labels)[0].all()


@pytest.mark.parametrize("row", [0.0, 1.0], ids=["zeros", "ones"])
def test_identical_points(row):
    labels, target = np.array([0, 0, 1, 1, 2]), np.array([1, -1, 1, -1, 1])
    x, y, few, proxies = (np.full((rows, 3), row) for rows in (5, 5, 2, 3))
    three, four = np.array([[0, 1, 2], [2, 3, 0]]), np.array([[0, 1, 2, 4], [2, 3, 0, 4]])

    def paired(value):
        return [value] * 4 + [0.0]  # the last row is alone with its label

    for result, want in (
        (ml.contrastive(x, labels), [0.75] * 4 + [1.0]),
        (ml.contrastive_pairs(x, three[:, :2], [True, False]), [0.0, 0.5]),
        *((ml.triplet(x, labels, metric=metric), paired(0.6)) for metric in METRICS),
        (ml.triplet(x, labels, margin="soft"), paired(3 * np.log(2))),
        (ml.triplet(x, labels, margin=0.0), [0.0] * 5),
        (ml.triplet_indexed(x, three, swap=True), [0.2, 0.2]),
        (ml.quadruplet(x, four), [1.5, 1.5]),
        (ml.lifted_structure(x, labels), paired((1 + np.log(6)) ** 2 / 2)),
        (ml.n_pair(x, labels), [np.log(2)] * 2),
        (ml.nca(x, labels), paired(np.log(4))),
        (ml.lmnn(x, labels), paired(1.5)),
        (ml.nt_xent(x, labels), paired(np.log(4))),
        (ml.sup_con(x, labels), paired(np.log(4))),
        (
            ml.circle(x, labels, m=0.25, gamma=1.0),
            paired(np.log1p(3 * np.exp(-(1.25 - row) * (row - 0.75) + 0) * np.exp((row + 0.25) * (row - 0.25)))),
        ),
        (ml.info_nce(x, y), [np.log(5)] * 5),
        (ml.sig_lip(x, y), [np.logaddexp(0, 10 - 10 * row) + 4 * np.logaddexp(0, 10 * row - 10)] * 5),
        (ml.proxy_nca(x, labels, proxies), [np.log(3)] * 5),
        (ml.center(x, labels, proxies), [0.0] * 5),
        (ml.cosine_embedding(x, y, target), np.where(target > 0, 1 - row, row)),
        (ml.barlow_twins(x, y), [3.0]),
        (ml.vic_reg(x, y), [25 * 0.99]),
        (ml.mmd(x, few), [0.0]),
        (ml.mmd(x, few, "laplacian"), [0.0]),
        (ml.coral(x, few), [0.0]),
        (ml.energy_distance(x, few), [0.0]),
    ):
        assert_allclose(result[0], want, rtol=1e-12, atol=1e-14)
        for grad in result[2]:
            assert_allclose(grad, np.zeros_like(grad), atol=1e-13)


def test_one_row_of_each():
    x, y = np.array([[1.0, 2.0]]), np.array([[2.0, -1.0]])
    assert ml.mmd(x, y)[0] == pytest.approx([2 - 2 * np.exp(-5)])
    assert ml.energy_distance(x, y)[0] == pytest.approx([2 * np.sqrt(10)])
    assert ml.coral(x, y)[0] == [0.0]  # one row does not vary
    assert ml.barlow_twins(x, y)[0] == [2.0]
    assert ml.vic_reg(x, y)[0] == pytest.approx([25 * 5 + 25 * 0.99])
    assert ml.info_nce(x, y)[0] == ml.n_pair(np.concatenate([x, y]), [5, 5])[0] == [0.0]
    assert ml.sig_lip(x, y)[0] == pytest.approx([10.0], rel=1e-4)


def test_a_constant_column_correlates_with_none():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 2))
    x[:, 0] = 0.1  # whose mean of three is not 0.1
    terms, _, (by_x, by_y) = ml.barlow_twins(x, y, lambd=0.0)
    correlation = np.corrcoef(x[:, 1], y[:, 1])[0, 1]
    assert terms == pytest.approx([1 + (1 - correlation) ** 2])
    assert not by_x[:, 0].any()
    assert not by_y[:, 0].any()


COSINE = [ml.circle, ml.multi_similarity, ml.nt_xent, ml.sup_con, ml.lifted_structure]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_cosine_does_not_depend_on_length(scale):
    labels = np.array(LABELS["mixed"])
    x, y = np.random.default_rng(0).normal(size=(2, len(labels), 4))
    for function in (*(partial(f, labels=labels) for f in COSINE), partial(ml.info_nce, y=y), partial(ml.sig_lip, y=y)):
        terms, _, (grad, *_) = function(x)
        scaled, _, (scaled_grad, *_) = function(scale * x)
        assert_allclose(scaled, terms, rtol=1e-11)
        assert_allclose(scaled_grad * scale, grad, rtol=1e-10, atol=1e-12 * abs(grad).max())


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_distances_of_any_size(scale):
    labels = np.array(LABELS["mixed"])
    x = np.random.default_rng(0).normal(size=(len(labels), 4))
    terms, _, (grad,) = ml.triplet(x, labels, margin=0.0)
    scaled, _, (scaled_grad,) = ml.triplet(scale * x, labels, margin=0.0)
    assert_allclose(scaled, scale * terms, rtol=1e-13)
    assert_allclose(scaled_grad, grad, rtol=1e-13)


def test_saturated_softmaxes():
    """At a very low temperature the log-sum-exp is the largest; near certainty the loss keeps its digits."""
    labels = np.array([0, 0, 1, 1])
    x = np.random.default_rng(1).normal(size=(4, 3))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s, t = unit @ unit.T, 1e-6
    other = np.array([1, 0, 3, 2])
    lead = np.array([max(s[i, j] for j in range(4) if labels[j] != labels[i]) - s[i, other[i]] for i in range(4)])
    assert_allclose(ml.nt_xent(x, labels, t)[0], np.maximum(lead, 0) / t, rtol=1e-9, atol=1e-300)
    assert_allclose(ml.sup_con(x, labels, t)[0], np.maximum(lead, 0) / t, rtol=1e-9, atol=1e-300)
    assert_allclose(ml.info_nce(x, x, t)[0], 0, atol=1e-300)
    assert ml.nca(1e4 * x, labels)[0].max() > 1e6
    sure = ml.info_nce(np.eye(3), np.eye(3), 0.01, symmetric=False)
    assert_allclose(sure[0], 2 * np.exp(-100.0), rtol=1e-12)
    assert_allclose(sure[2][0], 100 * np.exp(-100.0) * (1 - np.eye(3)), rtol=1e-12)
    for function in COSINE[:2]:
        terms, _, (grad,) = function(x, labels, 1e6, 1e6)
        assert np.isfinite(terms).all()
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_nan_propagates(which):
    labels = np.array(LABELS["mixed"])
    circle = Call("circle", partial(ml.circle, labels=labels), calls(labels, 0)[0].inputs)
    for call in [*calls(labels, 0), circle]:
        if which < len(call.inputs):
            inputs = [x.copy() for x in call.inputs]
            inputs[which][0, 0] = np.nan
            terms, _, grads = call(*inputs)
            assert np.isnan(terms).any(), call.name
            assert np.isnan(grads[which]).any(), call.name


def test_kinks_are_flat():
    x = np.array([[0.0], [1.0], [2.0]])
    labels = np.array([0, 0, 1])
    assert ml.triplet(x, labels, margin=1.0)[0].tolist() == [0.0, 1.0, 0.0]
    assert ml.triplet(x, labels, margin=1.0, average="active")[1] == 1.0
    assert ml.triplet(x[:, [0]], labels, margin=1.0)[2][0].tolist() == [[-1.0], [2.0], [-1.0]]  # of anchor 1 alone
    assert ml.contrastive_pairs(x, [[0, 1]], [False], margin=1.0)[2][0].tolist() == [[0.0], [0.0], [0.0]]
    swapped = ml.triplet_indexed([[0.0], [2.0], [1.0]], [[0, 1, 2]], swap=True)  # d_an = d_pn: d_an
    assert swapped[0] == pytest.approx([1.2])
    assert swapped[2][0].tolist() == [[0.0], [1.0], [-1.0]]


# Beside other libraries


def autograd(loss: Callable[..., Any], *inputs: np.ndarray) -> tuple[float, list[np.ndarray]]:
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    value = loss(*leaves)
    value.backward()
    return value.item(), [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]


def assert_same(result: ml.Result, peer: tuple[float, list[np.ndarray]], rtol: float = 1e-12) -> None:
    value, grads = mean(result)
    assert_allclose(value, peer[0], rtol=rtol, atol=1e-15)
    assert len(grads) == len(peer[1])
    for got, want in zip(grads, peer[1], strict=True):
        assert_allclose(got, want, rtol=10 * rtol, atol=rtol * (abs(want).max(initial=0.0) + 1e-2))


BATCHES = [name for name in LABELS if name not in ("one row", "nothing")]


@pytest.fixture(params=BATCHES)
def batch(request):
    labels = np.array(LABELS[request.param], np.int64)
    return np.random.default_rng(7).normal(size=(len(labels), 5)), labels


@pytest.fixture
def pml():
    for module in ("losses", "distances", "miners", "reducers", "utils.loss_and_miner_utils"):
        pytest.importorskip(f"pytorch_metric_learning.{module}")
    return sys.modules["pytorch_metric_learning"]


def test_pytorch_metric_learning(batch, pml):
    torch = pytest.importorskip("torch")
    losses, reducers = pml.losses, pml.reducers
    x, labels = batch
    targets = torch.tensor(labels)
    raw = {
        "euclidean": pml.distances.LpDistance(normalize_embeddings=False),
        "cosine": pml.distances.CosineSimilarity(),
    }
    raw["sqeuclidean"] = pml.distances.LpDistance(normalize_embeddings=False, power=2)
    peers = [
        (ml.lifted_structure, {}, losses.LiftedStructureLoss()),
        (ml.lifted_structure, {"margin": -0.5}, losses.LiftedStructureLoss(neg_margin=-0.5)),
        (ml.n_pair, {}, losses.NPairsLoss()),
        (ml.multi_similarity, {}, losses.MultiSimilarityLoss()),
        (ml.multi_similarity, {"alpha": 5.0, "beta": 9.0, "base": 0.1}, losses.MultiSimilarityLoss(5.0, 9.0, 0.1)),
        (ml.nca, {"temperature": 4.0}, losses.NCALoss(softmax_scale=0.25, distance=raw["sqeuclidean"])),
        (ml.nt_xent, {}, losses.NTXentLoss()),
        (ml.nt_xent, {"temperature": 0.5}, losses.NTXentLoss(temperature=0.5)),
        # Of anchors, these leave out of the mean any whose loss is 0, rounded or not; here none is.
        (ml.circle, {"gamma": 4.0}, losses.CircleLoss(gamma=4.0)),
        (ml.circle, {"m": 0.25}, losses.CircleLoss(m=0.25)),
        (ml.sup_con, {}, losses.SupConLoss()),
        (ml.sup_con, {"temperature": 0.5}, losses.SupConLoss(temperature=0.5)),
    ]
    for metric, distance in raw.items():
        for average, reducer in (("valid", reducers.MeanReducer()), ("active", reducers.AvgNonZeroReducer())):
            given = {"distance": distance, "reducer": reducer}
            parameters = {"metric": metric, "average": average}
            peers.append((ml.triplet, parameters, losses.TripletMarginLoss(margin=0.2, **given)))
            # With smooth_loss a margin is added as well: log(1 + exp(d_ap - d_an + margin)).
            soft = losses.TripletMarginLoss(margin=0.0, smooth_loss=True, **given)
            peers.append((ml.triplet, {"margin": "soft", **parameters}, soft))
    for function, parameters, peer in peers:
        alike, alone = len(set(labels)) == 1, len(set(labels)) == len(labels)
        if (function is ml.sup_con and alike) or (function is ml.nca and alone):
            continue  # see test_where_pytorch_metric_learning_differs
        assert_same(function(x, labels, **parameters), autograd(lambda x, peer=peer: peer(x, targets), x))


def test_pytorch_metric_learning_with_indices(batch, pml):
    torch = pytest.importorskip("torch")
    x, labels = batch
    triplets = tuples(labels, 3)
    if len(triplets) == 1 or len(x) < 3:
        return
    indices = tuple(torch.tensor(column) for column in triplets.T)
    distance = pml.distances.LpDistance(normalize_embeddings=False)
    for swap in (False, True):
        peer = pml.losses.TripletMarginLoss(margin=0.5, swap=swap, distance=distance)
        ours = ml.triplet_indexed(x, triplets, margin=0.5, average="active", swap=swap)
        assert_same(ours, autograd(lambda x, peer=peer: peer(x, torch.tensor(labels), indices), x))


def test_pytorch_metric_learning_miners(batch, pml):
    torch = pytest.importorskip("torch")
    x, labels = batch
    peer = pml.miners.BatchHardMiner(distance=pml.distances.LpDistance(normalize_embeddings=False))
    want = np.stack([column.numpy() for column in peer(torch.tensor(x), torch.tensor(labels))], axis=1)
    assert_array_equal(ml.mine(x, labels, "hard"), want)
    every = pml.utils.loss_and_miner_utils.get_all_triplets_indices(torch.tensor(labels))
    assert_array_equal(ml.mine(x, labels, "all"), np.stack([column.numpy() for column in every], axis=1))


def test_pytorch_metric_learning_proxies(batch, pml):
    torch = pytest.importorskip("torch")
    x, labels = batch
    proxies = np.random.default_rng(8).normal(size=(5, 5))
    for function, peer in (
        (partial(ml.proxy_nca, temperature=0.5), pml.losses.ProxyNCALoss(5, 5, softmax_scale=2)),
        (ml.proxy_anchor, pml.losses.ProxyAnchorLoss(5, 5)),
        (partial(ml.proxy_anchor, margin=0.3, alpha=4.0), pml.losses.ProxyAnchorLoss(5, 5, margin=0.3, alpha=4.0)),
    ):
        peer.proxies = torch.nn.Parameter(torch.tensor(proxies))
        value, (grad,) = autograd(lambda x, peer=peer: peer(x, torch.tensor(labels)), x)
        assert_same(function(x, labels, proxies), (value, [grad, peer.proxies.grad.numpy()]))


def test_pytorch_metric_learning_vic_reg(batch, pml):
    peer = pml.losses.VICRegLoss
    x, _ = batch
    y = np.random.default_rng(9).normal(size=x.shape)
    assert_same(ml.vic_reg(x, y), autograd(lambda x, y: peer()(x, ref_emb=y), x, y))
    options = {"eps": 0.1}
    ours = ml.vic_reg(x, y, 2.0, 3.0, 4.0, **options)
    assert_same(ours, autograd(lambda x, y: peer(2.0, 3.0, 4.0, **options)(x, ref_emb=y), x, y))


def test_where_pytorch_metric_learning_differs(pml):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(4, 3))
    one = np.zeros(4, int)
    # Without any negative its SupCon is 0; Khosla's is not.
    assert pml.losses.SupConLoss()(torch.tensor(x), torch.tensor(one)) == 0
    assert ml.sup_con(x, one)[0].all()
    # Its NCA is NaN without positives, and leaves out a row whose softmax underflows there.
    alone = pml.losses.NCALoss()(torch.tensor(x), torch.arange(4))
    assert torch.isnan(alone)
    assert mean(ml.nca(x, np.arange(4)))[0] == 0
    far, labels = np.array([[0.0], [100.0], [1.0]]), np.array([0, 0, 1])
    distance = pml.distances.LpDistance(normalize_embeddings=False, power=2)
    assert pml.losses.NCALoss(distance=distance)(torch.tensor(far), torch.tensor(labels)) == 199
    assert_allclose(ml.nca(far, labels)[0], [9999.0, 199.0, 0.0])
    # Losses that round to 0 are left out of the means of circle and SupCon.
    near = np.array([[1.0, 0.0], [1.0, 1e-9], [-1.0, 0.0], [0.0, 1.0]])
    labels = np.array([0, 0, 1, 1])
    ours, _ = mean(ml.circle(near, labels, gamma=1e4))
    theirs = pml.losses.CircleLoss(gamma=1e4)(torch.tensor(near), torch.tensor(labels)).item()
    assert_allclose(2 * ours, theirs, rtol=1e-12)


def test_torch_losses(batch):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    x, labels = batch
    n = len(x)
    rng = np.random.default_rng(10)
    y, other, centers = rng.normal(size=x.shape), rng.normal(1, 2, size=(n + 3, 5)), rng.normal(size=(5, 5))
    own, targets = torch.arange(n), torch.tensor(labels)

    def cosine(x, y):
        return f.normalize(x) @ f.normalize(y).T

    def clip(x, y):
        logits = cosine(x, y) / 0.07
        return (f.cross_entropy(logits, own) + f.cross_entropy(logits.T, own)) / 2

    assert_same(ml.info_nce(x, y), autograd(clip, x, y))
    assert_same(
        ml.info_nce(x, y, 0.2, symmetric=False), autograd(lambda x, y: f.cross_entropy(cosine(x, y) / 0.2, own), x, y)
    )
    assert_same(
        ml.sig_lip(x, y),
        autograd(lambda x, y: -f.logsigmoid((2 * torch.eye(n) - 1) * (10 * cosine(x, y) - 10)).sum() / n, x, y),
    )
    assert_same(
        ml.center(x, labels, centers), autograd(lambda x, c: ((x - c[targets]) ** 2).sum() / (2 * n), x, centers)
    )

    # torch adds 1e-12 to the squared lengths; on rows a thousand times as long that is less than an ulp.
    x, y, sign = 1e3 * x, 1e3 * y, np.where(np.arange(n) % 2, -1, 1)
    for margin in (0.0, 0.3, -0.3):
        peer = torch.nn.CosineEmbeddingLoss(margin)
        want = autograd(lambda x, y, peer=peer: peer(x, y, torch.tensor(sign)), x, y)
        assert_allclose(mean(ml.cosine_embedding(x, y, sign, margin))[0], want[0], rtol=1e-12)
        for got, grad in zip(mean(ml.cosine_embedding(x, y, sign, margin))[1], want[1], strict=True):
            assert_allclose(got, grad, rtol=1e-11, atol=1e-16)
    x, y = x / 1e3, y / 1e3

    def barlow(x, y):
        c = ((x - x.mean(0)) / x.std(0, correction=0)).T @ ((y - y.mean(0)) / y.std(0, correction=0)) / n
        on = torch.eye(5, dtype=bool)
        return ((1 - c[on]) ** 2).sum() + 0.005 * (c[~on] ** 2).sum()

    assert_same(ml.barlow_twins(x, y), autograd(barlow, x, y))

    def coral(x, y):
        return ((torch.cov(x.T) - torch.cov(y.T)) ** 2).sum() / 100

    assert_same(ml.coral(x, other), autograd(coral, x, other))

    def mmd(x, y):
        def k(a, b):
            squared = ((a[:, None] - b) ** 2).sum(-1)
            return sum(torch.exp(-squared / (2 * b**2)).mean() for b in (0.5, 2.0, 5.0))

        return k(x, x) + k(y, y) - 2 * k(x, y)

    assert_same(ml.mmd(x, other, bandwidths=(0.5, 2.0, 5.0)), autograd(mmd, x, other))

    def energy(x, y):
        return 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()

    assert_same(ml.energy_distance(x, other), autograd(energy, x, other))


def test_torch_pairs_and_targets(batch):
    torch = pytest.importorskip("torch")
    x, labels = batch
    n = len(x)
    upper = torch.triu(torch.ones(n, n, dtype=bool), diagonal=1)
    same = torch.tensor(labels[:, None] == labels)

    def contrastive(x):
        d = torch.cdist(x, x)
        return (torch.where(same, d**2, torch.relu(3 - d) ** 2) / 2)[upper].mean()

    assert_same(ml.contrastive(x, labels, margin=3.0), autograd(contrastive, x))

    distances = np.linalg.norm(x[:, None] - x, axis=-1)

    def lmnn(x):
        d = ((x[:, None] - x) ** 2).sum(-1)
        total = 0 * x.sum()
        for i in range(n):
            others = [j for j in range(n) if j != i and labels[j] == labels[i]]
            for j in sorted(others, key=lambda j: distances[i, j])[:2]:
                total = total + d[i, j] / 2 + torch.relu(1.5 + d[i, j] - d[i][~same[i]]).sum() / 2
        return total / n

    assert_same(ml.lmnn(x, labels, k=2, margin=1.5), autograd(lmnn, x))

    four = tuples(labels, 4)
    if len(four):
        a, p, k, o = four.T

        def quadruplet(x):
            def squared(i, j):
                return ((x[i] - x[j]) ** 2).sum(-1)

            hinges = torch.relu(squared(a, p) - squared(a, k) + 1) + torch.relu(squared(a, p) - squared(k, o) + 0.5)
            return hinges.mean()

        assert_same(ml.quadruplet(x, four), autograd(quadruplet, x))


def test_torch_sup_con_of_one_class():
    torch = pytest.importorskip("torch")
    x, n = np.random.default_rng(0).normal(size=(4, 3)), 4

    def khosla(x):
        unit = torch.nn.functional.normalize(x)
        logits = (unit @ unit.T / 0.1).masked_fill(torch.eye(n, dtype=bool), -torch.inf)
        return -torch.log_softmax(logits, 1)[~torch.eye(n, dtype=bool)].mean()

    assert_same(ml.sup_con(x, np.zeros(n, int)), autograd(khosla, x))


def test_simclr_is_nt_xent_with_two_views():
    """SimCLR's denominator has all other rows; one positive is in it, and the rest are negatives: the same."""
    torch = pytest.importorskip("torch")
    x, labels = np.random.default_rng(0).normal(size=(8, 4)), np.array([0, 1, 2, 3] * 2)

    def simclr(x):
        unit = torch.nn.functional.normalize(x)
        logits = (unit @ unit.T / 0.5).masked_fill(torch.eye(8, dtype=bool), -torch.inf)
        return torch.nn.functional.cross_entropy(logits, torch.arange(8).roll(4))

    for function in (ml.nt_xent, ml.sup_con):
        assert_same(function(x, labels, 0.5), autograd(simclr, x))


def test_scipy_energy_distance():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50), rng.normal(1, 2, size=40)
    assert_allclose(ml.energy_distance(x[:, None], y[:, None])[0], stats.energy_distance(x, y) ** 2, rtol=1e-12)


def test_sklearn_kernels():
    kernels = pytest.importorskip("sklearn.metrics.pairwise")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(1, 2, size=(15, 3))
    gamma = 1 / (2 * 1.5**2)
    want = sum(s * kernels.rbf_kernel(a, b, gamma).mean() for a, b, s in ((x, x, 1), (y, y, 1), (x, y, -2)))
    assert_allclose(ml.mmd(x, y, bandwidths=(1.5,))[0], want, rtol=1e-12)
