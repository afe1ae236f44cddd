"""Distances and metric learning beside their peers, every result checked against float64 first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyloss as pl
from cases import THREADS, Case, Result
from pyloss.reference import metric_learning as reference

GROUP = "distances and metric learning"
PAUSE = 0.05  # threads of OpenBLAS, which faiss, SciPy and scikit-learn bring, spin for tens of milliseconds
A_CLASS = 8  # rows of each class

Rows = NDArray[np.float32]
Contenders = dict[str, Callable[[], Any]]


@dataclass
class Distances(Case):
    """Distances of rows: contenders return arrays; `relative_errors` compares them with float64's on a sample."""

    relative_errors: Callable[[str, Any], NDArray[np.float64]] | None = None
    errors: dict[str, float] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Assert that pyloss is right everywhere, and peers at most places; note how wrong each is at worst."""
        assert self.relative_errors is not None
        errors = self.relative_errors(name, self.contenders[name]())
        self.errors[name] = float(np.max(errors))
        if name.startswith("pyloss"):
            assert self.errors[name] <= 1e-6, f"{name}: {self.name}: relative error {self.errors[name]:.1e}"
        assert np.median(errors) <= 1e-3, f"{name}: {self.name}: median relative error {np.median(errors):.1e}"


def _installed(name: str) -> bool:
    """Tell whether a peer can be imported; if so, import it and hold it to as many threads as pyloss."""
    if find_spec(name) is None:
        return False
    module = import_module(name)
    if name == "torch":
        module.set_num_threads(THREADS)
    if name == "faiss":
        module.omp_set_num_threads(THREADS)
    if find_spec("threadpoolctl") is not None:
        import_module("threadpoolctl").threadpool_limits(THREADS)
    return True


def _rows(size: int, width: int, seed: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((size, width), dtype=np.float32)


def _sample(rows: int) -> slice:
    return slice(0, rows, max(1, rows // 32))


def _exact(x: Rows, y: Rows, metric: str) -> NDArray[np.float64]:
    """Return the distances of a sample of x from all of y, from the differences in float64."""
    wide = y.astype(np.float64)
    apart = (np.abs(wide - row) for row in x[_sample(len(x))].astype(np.float64))
    if metric == "manhattan":
        return np.array([each.sum(axis=1) for each in apart])
    return np.array([np.sqrt(np.einsum("ij,ij->i", each, each)) for each in apart])


def _relative(got: Any, exact: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(np.asarray(got, np.float64) - exact) / exact
    errors[(exact == 0) & (got == exact)] = 0
    return np.where(np.isnan(errors), np.inf, errors)


def _matrix_case(name: str, x: Rows, y: Rows, metric: str, peers: Contenders) -> Distances:
    out = np.empty((len(x), len(y)), np.float32)
    contenders: Contenders = {
        "pyloss": lambda: pl.pairwise(x, y, metric, out=out),
        "pyloss, new array": lambda: pl.pairwise(x, y, metric),
        **peers,
    }
    exact = _exact(x, y, metric)

    def relative_errors(contender: str, distances: Any) -> NDArray[np.float64]:
        got = np.asarray(distances)[_sample(len(x))]
        return _relative(np.sqrt(np.maximum(got, 0)) if "squared" in contender else got, exact)

    return Distances(
        name, len(x) * len(y), contenders, (0.0, None), group=GROUP, pause=PAUSE, relative_errors=relative_errors
    )


def euclidean(rows: int, width: int = 128) -> Case:
    """Euclidean distances, written, of data far from 0 and partly near each other, where digits cancel."""
    x = _rows(rows, width, 0) + np.float32(100)
    y = x + np.float32(0.01) * _rows(rows, width, 1)
    peers: Contenders = {}
    if _installed("faiss"):
        faiss = import_module("faiss")
        buffer = np.empty((rows, rows), np.float32)

        def as_used() -> Rows:
            squared = faiss.pairwise_distances(x, y)
            return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)

        def bare() -> Rows:
            at_x, at_y, at_buffer = map(faiss.swig_ptr, (x, y, buffer))
            faiss.pairwise_L2sqr(width, rows, at_x, rows, at_y, at_buffer)
            return buffer

        peers |= {"faiss": as_used, "faiss, out= but squared": bare}
    if _installed("torch"):
        torch = import_module("torch")
        peers["torch"] = partial(torch.cdist, torch.from_numpy(x), torch.from_numpy(y))
    if _installed("sklearn"):
        peers["scikit-learn"] = partial(import_module("sklearn.metrics").euclidean_distances, x, y)
    case = _matrix_case(f"pairwise euclidean {rows} x {rows}, d = {width}", x, y, "euclidean", peers)
    case.flops = 2.0 * rows * rows * width
    return case


def manhattan(rows: int, width: int = 128) -> Case:
    """Manhattan distances, written; no multiply-adds, so there is no share of their peak."""
    x, y = _rows(rows, width, 0), _rows(rows, width, 1)
    peers: Contenders = {}
    if _installed("torch"):
        torch = import_module("torch")
        peers["torch"] = partial(torch.cdist, torch.from_numpy(x), torch.from_numpy(y), p=1.0)
    if _installed("sklearn"):
        peers["scikit-learn"] = partial(import_module("sklearn.metrics").pairwise.manhattan_distances, x, y)
    if _installed("scipy"):
        peers["SciPy"] = partial(import_module("scipy.spatial.distance").cdist, x, y, "cityblock")
    return _matrix_case(f"pairwise manhattan {rows} x {rows}, d = {width}", x, y, "manhattan", peers)


def nearest(rows: int, k: int, width: int = 128) -> Case:
    """Find the k nearest of other rows: their distances, and which they are."""
    x, y = _rows(rows, width, 0), _rows(rows, width, 1)
    contenders: Contenders = {"pyloss": lambda: pl.nearest(x, y, k)}
    if _installed("faiss"):
        faiss = import_module("faiss")

        def by_faiss() -> Any:
            squared, ids = faiss.knn(x, y, k)
            return np.sqrt(squared, out=squared), ids

        contenders["faiss"] = by_faiss
    if _installed("torch"):
        torch = import_module("torch")
        first, second = torch.from_numpy(x), torch.from_numpy(y)
        contenders["torch"] = lambda: torch.cdist(first, second).topk(k, largest=False)
    if _installed("sklearn"):
        # Both are ArgKmin.
        if k == 1:
            best = import_module("sklearn.metrics").pairwise_distances_argmin_min
            contenders["scikit-learn"] = lambda: best(x, y)[::-1]
        else:
            neighbours = import_module("sklearn.neighbors").NearestNeighbors(n_neighbors=k, algorithm="brute").fit(y)
            contenders["scikit-learn"] = lambda: neighbours.kneighbors(x)
    every = _exact(x, y, "euclidean")
    exact = np.sort(every, axis=1)[:, :k]

    def relative_errors(_: str, found: Any) -> NDArray[np.float64]:
        """Of the distances told, and of the true distances of the rows told: a wrong row is farther, a tie is not."""
        distances, ids = (np.asarray(each).reshape(rows, k)[_sample(rows)] for each in found)
        assert all(len(np.unique(row)) == k for row in ids)
        told, true = _relative(distances, exact), _relative(np.take_along_axis(every, ids, 1), exact)
        return np.maximum(told, true)

    return Distances(
        f"nearest k = {k}, {rows} x {rows}, d = {width}",
        rows * rows,
        contenders,
        (0.0, None),
        flops=2.0 * rows * rows * width,
        group=GROUP,
        pause=PAUSE,
        relative_errors=relative_errors,
    )


def _batch(rows: int, width: int) -> tuple[Rows, NDArray[np.int64]]:
    """Return embeddings in loose clusters and their labels, `A_CLASS` rows a class."""
    labels = np.random.default_rng(2).permutation(np.arange(rows) // A_CLASS)
    return _rows(rows, width, 0) + np.float32(0.5) * _rows(rows, width, 1)[labels], labels


def _triplet_hard_reference(x: Any, labels: Any) -> Any:
    return reference.triplet_indexed(x, reference.mine(x, labels, "hard"), average="active")


@dataclass(frozen=True)
class Labelled:
    """A loss of labelled embeddings: ours, the reference's, and pytorch-metric-learning's with its miner."""

    loss: Any
    reference: Callable[[Any, Any], Any]
    peer: Callable[[Any, Any], Any]
    miner: Callable[[Any, Any], Any] | None = None


def _unnormalised(distances: Any) -> Any:
    return distances.LpDistance(normalize_embeddings=False)


LABELLED = {
    "triplet hard": Labelled(
        pl.Triplet(mining="hard", average="active"),
        _triplet_hard_reference,
        lambda losses, distances: losses.TripletMarginLoss(margin=0.2, distance=_unnormalised(distances)),
        lambda miners, distances: miners.BatchHardMiner(distance=_unnormalised(distances)),
    ),
    "triplet all": Labelled(
        pl.Triplet(mining="all", average="active"),
        partial(reference.triplet, average="active"),
        lambda losses, distances: losses.TripletMarginLoss(margin=0.2, distance=_unnormalised(distances)),
    ),
    "sup_con": Labelled(
        pl.SupCon(temperature=0.1),
        reference.sup_con,
        lambda losses, _: losses.SupConLoss(temperature=0.1),
    ),
    "multi_similarity": Labelled(
        pl.MultiSimilarity(),
        reference.multi_similarity,
        lambda losses, _: losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
    ),
}


def _pytorch_metric_learning(work: Labelled, x: Rows, labels: NDArray[np.int64]) -> Callable[[], Result]:
    torch = import_module("torch")
    losses, miners, distances = (
        import_module(f"pytorch_metric_learning.{part}") for part in ("losses", "miners", "distances")
    )
    embeddings, target = torch.from_numpy(x).requires_grad_(), torch.from_numpy(labels)
    loss = work.peer(losses, distances)
    miner = work.miner(miners, distances) if work.miner else lambda *_: None

    def call() -> Result:
        embeddings.grad = None
        value = loss(embeddings, target, miner(embeddings, target))
        value.backward()
        return value.item(), embeddings.grad

    return call


def _check_float64(loss: Any, rows: int, expected: Any, *inputs: Any) -> None:
    """Assert that float64, the truth for the whole batch, agrees with the reference, which stores every pair."""
    terms, count, grads = expected
    value, by_input = loss.value_and_grad(*inputs)
    np.testing.assert_allclose(value, np.sum(terms) / count, rtol=1e-12)
    for got, want in zip(by_input if isinstance(by_input, tuple) else (by_input,), grads, strict=True):
        np.testing.assert_allclose(got, want / count, rtol=1e-9, atol=1e-12 / rows)


def labelled(name: str, rows: int, width: int = 128) -> Case:
    """Value and gradient of a loss of one batch of labelled embeddings."""
    work = LABELLED[name]
    x, labels = _batch(rows, width)
    contenders: dict[str, Callable[[], Result]] = {"pyloss": lambda: work.loss.value_and_grad(x, labels)}
    if _installed("torch") and _installed("pytorch_metric_learning"):
        contenders["pytorch-metric-learning"] = _pytorch_metric_learning(work, x, labels)
    wide = x.astype(np.float64)
    part = labels < min(128, rows) // A_CLASS
    _check_float64(work.loss, rows, work.reference(wide[part], labels[part]), wide[part], labels[part])
    truth = work.loss.value_and_grad(wide, labels)
    label = f"{name} {rows} x {width}"
    case = Case(label, x.size, contenders, truth, group=GROUP, pause=PAUSE, rounds=7)
    if name == "triplet all":
        case.slack = _two_triplets(truth[0], work.loss(wide, labels, reduction="none"))
    return case


def _two_triplets(mean: float, of_anchors: Any) -> float:
    """Return the share of two active triplets: so near the kink of the hinge float32 distances may decide otherwise."""
    return float(2 * mean / of_anchors.sum())


def triplet_all_beside(rows: int, fewer: int, width: int = 128) -> Case:
    """All triplets of a batch too large for peers, beside those of a small one."""
    small = labelled("triplet all", fewer, width).contenders["pyloss"]
    loss = LABELLED["triplet all"].loss
    x, labels = _batch(rows, width)
    contenders = {"pyloss": lambda: loss.value_and_grad(x, labels), f"pyloss, n = {fewer}": small}
    wide = x.astype(np.float64)
    of_anchors = loss(wide, labels, reduction="none")
    anchors = _sample(rows)
    for anchor, d in zip(range(rows)[anchors], _exact(x, x, "euclidean"), strict=True):
        same = labels == labels[anchor]
        farther = d[~same]
        same[anchor] = False
        total = np.maximum(d[same][:, None] - farther + loss.margin, 0).sum()
        np.testing.assert_allclose(of_anchors[anchor], total, rtol=1e-9)
    truth = loss.value_and_grad(wide, labels)
    case = Case(f"triplet all {rows} x {width}", x.size, contenders, truth, group=GROUP, pause=PAUSE, rounds=7)
    case.slack = _two_triplets(truth[0], of_anchors)
    case.check = lambda name: Case.check(case, name) if name == "pyloss" else None  # type: ignore[method-assign]
    return case


def _flat(result: tuple[float, tuple[Any, Any]]) -> Result:
    value, grads = result
    return value, np.concatenate([np.asarray(each) for each in grads])


def clip_style(x: Rows, y: Rows, temperature: float) -> Callable[[], tuple[float, tuple[Any, Any]]]:
    """Return symmetric InfoNCE and both gradients as torch's users write it."""
    torch = import_module("torch")
    f = torch.nn.functional
    first, second = (torch.from_numpy(each).requires_grad_() for each in (x, y))
    partner = torch.arange(len(x))

    def call() -> tuple[float, tuple[Any, Any]]:
        first.grad = second.grad = None
        logits = f.normalize(first) @ f.normalize(second).T / temperature
        value = (f.cross_entropy(logits, partner) + f.cross_entropy(logits.T, partner)) / 2
        value.backward()
        return value.item(), (first.grad, second.grad)

    return call


def views(rows: int, width: int) -> tuple[Rows, Rows]:
    """Return two views of the same rows."""
    x = _rows(rows, width, 0)
    y = _rows(rows, width, 1)
    y += x
    return x, y


@dataclass
class TwoViews(Case):
    """A loss with two gradients, which are compared as one."""

    def check(self, name: str) -> None:
        """Assert that a contender computes what the reference does."""
        result = _flat(self.contenders[name]())
        Case(self.name, self.size, {name: lambda: result}, self.truth).check(name)


def info_nce(rows: int, width: int = 256) -> Case:
    """Value and both gradients of symmetric InfoNCE."""
    x, y = views(rows, width)
    loss = pl.InfoNCE()
    contenders: Contenders = {"pyloss": lambda: loss.value_and_grad(x, y)}
    if _installed("torch"):
        contenders["torch"] = clip_style(x, y, loss.temperature)
    wide = [each.astype(np.float64) for each in (x, y)]
    few = [each[:128] for each in wide]
    _check_float64(loss, rows, reference.info_nce(*few), *few)
    truth = _flat(loss.value_and_grad(*wide))
    label = f"info_nce {rows} x {width}"
    return TwoViews(label, 2 * x.size, contenders, truth, group=GROUP, pause=PAUSE, rounds=7)


def embedding_cases(quick: bool = False) -> Iterator[Case]:
    """Yield every case, made when it is its turn."""
    part = 8 if quick else 1
    yield euclidean(8192 // part)
    yield nearest(8192 // part, 1)
    yield nearest(8192 // part, 10)
    yield manhattan(2048 // part)
    yield labelled("triplet hard", 2048 // part)
    yield labelled("triplet all", 1024 // part)
    yield triplet_all_beside(8192 // part, 1024 // part)
    yield info_nce(8192 // part)
    yield labelled("sup_con", 4096 // part)
    yield labelled("multi_similarity", 4096 // part)
