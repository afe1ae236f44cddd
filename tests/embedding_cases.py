"""Every loss of embeddings with several settings of its parameters, inputs for it, and what the reference says."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pyloss as pl
from pyloss.losses import registered
from pyloss.losses._embedding import EmbeddingLoss, TwoSamples, TwoViews, WithProxies
from pyloss.reference import metric_learning as reference

LOSSES = {name: cls for name, cls in registered().items() if issubclass(cls, EmbeddingLoss)}

INPUTS = {
    "labels": ("embeddings", "labels"),
    "pairs": ("embeddings", "pairs", "similar"),
    "triplets": ("embeddings", "triplets"),
    "quadruplets": ("embeddings", "quadruplets"),
    "proxies": ("embeddings", "labels", "proxies"),
    "views": ("x", "y"),
    "marked": ("x", "y", "target"),
    "samples": ("x", "y"),
}
"""Arguments of a call, in order, by what it compares."""
ROWS = {"embeddings", "proxies", "x", "y"}
"""Those that have gradients."""


@dataclass(frozen=True)
class Case:
    """A loss as its class and parameters, and whether it is `given` pairs or triplets in place of labels."""

    cls: type[EmbeddingLoss]
    parameters: tuple[tuple[str, Any], ...] = ()
    given: str = ""

    def __str__(self) -> str:
        return f"{self.loss()!r}{' of given ' + self.given if self.given else ''}"

    def loss(self) -> Any:
        return self.cls(**dict(self.parameters))

    def has(self, parameter: str) -> Any:
        return getattr(self.loss(), parameter, None)

    @property
    def kind(self) -> str:
        """Key of INPUTS."""
        if self.given:
            return self.given
        for base, kind in ((WithProxies, "proxies"), (TwoViews, "views"), (TwoSamples, "samples")):
            if issubclass(self.cls, base):
                return kind
        return {pl.Quadruplet: "quadruplets", pl.CosineEmbedding: "marked"}.get(self.cls, "labels")

    @property
    def reduced(self) -> bool:
        """Whether calls take a reduction."""
        return self.kind != "samples"

    @property
    def cosine(self) -> bool:
        """Whether lengths of rows do not matter."""
        normalised = (pl.LiftedStructure, pl.NPair, pl.Circle, pl.MultiSimilarity, pl.NTXent, pl.SupCon, pl.ProxyNCA,
                      pl.ProxyAnchor, pl.InfoNCE, pl.SigLIP, pl.CosineEmbedding)  # fmt: skip
        return self.cls in normalised or self.has("metric") == "cosine"

    @property
    def squares(self) -> bool:
        """Whether the loss is made of squares of lengths."""
        by_class = (pl.Contrastive, pl.Quadruplet, pl.NCA, pl.LMNN, pl.Center, pl.VICReg, pl.CORAL)
        return self.cls in by_class or self.has("metric") == "sqeuclidean" or self.has("kernel") == "rbf"

    def reference(self, *arguments: Any) -> reference.Result:
        """Return terms, count and gradients of the sum."""
        parameters, name = dict(self.parameters), self.cls.name
        if self.cls is pl.Triplet:
            mining, swap = parameters.pop("mining", "all"), parameters.pop("swap", False)
            if mining != "all" and not self.given:
                metric = {"metric": parameters["metric"]} if "metric" in parameters else {}
                arguments = arguments[0], reference.mine(*arguments, mining, **metric)
            if mining != "all" or self.given:
                name, parameters["swap"] = "triplet_indexed", swap
        elif self.given:
            name = "contrastive_pairs"
        with np.errstate(all="ignore"):
            return getattr(reference, name)(*arguments, **parameters)

    def draw(self, n: int, d: int, labels: str = "many", dtype: Any = np.float64, *, seed: int = 0) -> Call:
        """Random rows, and what says how they belong together."""
        rng = np.random.default_rng([seed, n, d])
        each = draw_labels(labels, n, seed)
        made: dict[str, np.ndarray] = {}
        for name in INPUTS[self.kind]:
            if name in ROWS:
                rows = n
                if name == "proxies":
                    each = np.unique(each, return_inverse=True)[1].reshape(n)
                    rows = int(each.max(initial=-1)) + 3
                if name == "y" and self.kind == "samples" and self.cls not in (pl.BarlowTwins, pl.VICReg):
                    rows = n + n // 2 + 1 if n else 0
                # Views are alike, samples are not of one distribution: neither value is a mere rest.
                near = made["x"] if name == "y" and self.kind != "samples" else 0.0
                made[name] = near + rng.standard_normal((rows, d)) * (1.5 if name == "y" else 1.0) + (name == "y")
                made[name] = made[name].astype(dtype)
            elif name == "labels":
                made[name] = each
            elif name == "similar":
                made[name] = each[made["pairs"][:, 0]] == each[made["pairs"][:, 1]] if n else np.zeros(0, bool)
            elif name == "target":
                made[name] = rng.choice([-1, 1], n)
            else:
                made[name] = draw_tuples(rng, n, {"pairs": 2, "triplets": 3, "quadruplets": 4}[name])
        if "proxies" in made:  # whose labels index them
            made["labels"] = each
        return Call(self, made)


@dataclass(frozen=True, eq=False)
class Call:
    """A loss of some inputs, by name in the order of its arguments."""

    case: Case
    arguments: dict[str, np.ndarray]

    @property
    def rows(self) -> dict[str, np.ndarray]:
        return {name: array for name, array in self.arguments.items() if name in ROWS}

    def moved(self, change: Callable[[np.ndarray], np.ndarray]) -> Call:
        """The call of other rows."""
        return Call(self.case, {k: change(v) if k in ROWS else v for k, v in self.arguments.items()})

    def of(self, **arguments: np.ndarray) -> Call:
        return Call(self.case, self.arguments | arguments)

    def value(self, **options: Any) -> Any:
        return self.case.loss()(**self.arguments, **options)

    def value_and_grad(self, **options: Any) -> tuple[float, tuple[np.ndarray, ...]]:
        value, grads = self.case.loss().value_and_grad(**self.arguments, **options)
        return value, grads if isinstance(grads, tuple) else (grads,)

    def reference(self) -> reference.Result:
        return self.case.reference(*(wide(v) if k in ROWS else v for k, v in self.arguments.items()))


def wide(array: Any) -> Any:
    return np.asarray(array).astype(np.float64)


LABELS = ["one", "different", "two", "many", "odd"]


def draw_labels(pattern: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, n])
    match pattern:
        case "one":
            return np.full(n, 3)
        case "different":
            return rng.permutation(n)
        case "two":
            return rng.integers(0, 2, n)
        case "many":  # of which about a third of the rows are alone
            return np.where(rng.random(n) < 0.3, n + np.arange(n), rng.integers(0, max(n // 4, 1), n))
        case "odd":
            return rng.choice([-5, 7, 2**40, -(2**62), 2**63 - 1], n)
    raise ValueError(pattern)


def draw_tuples(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """About 4 n tuples of different rows, as far as there are so many; the first of them twice."""
    if n < size:
        return np.zeros((0, size), np.int64)
    found = np.array([rng.choice(n, size, replace=False) for _ in range(4 * n)])
    return np.concatenate([found, found[:1]])


def _case(cls: type[EmbeddingLoss], given: str = "", **parameters: Any) -> Case:
    return Case(cls, tuple(parameters.items()), given)


CASES = [
    _case(pl.Contrastive),
    _case(pl.Contrastive, margin=4.0),
    _case(pl.Contrastive, "pairs"),
    _case(pl.Contrastive, "pairs", margin=4.0),
    _case(pl.Triplet),
    _case(pl.Triplet, margin=0.0, average="active"),
    _case(pl.Triplet, margin=1.5, metric="sqeuclidean"),
    _case(pl.Triplet, margin=0.3, metric="cosine", average="active"),
    *(_case(pl.Triplet, margin="soft", metric=metric) for metric in ("euclidean", "sqeuclidean", "cosine")),
    _case(pl.Triplet, mining="hard", average="active"),
    _case(pl.Triplet, mining="hard", metric="sqeuclidean", margin="soft"),
    _case(pl.Triplet, mining="hard", metric="cosine", margin=0.5, swap=True),
    _case(pl.Triplet, mining="semihard", margin=1.0),
    _case(pl.Triplet, mining="semihard", metric="sqeuclidean", margin=1.0, swap=True, average="active"),
    _case(pl.Triplet, mining="semihard", metric="cosine", margin="soft"),
    _case(pl.Triplet, "triplets", margin=0.5),
    _case(pl.Triplet, "triplets", mining="hard", swap=True, average="active"),
    _case(pl.Triplet, "triplets", mining="hard", swap=True, margin="soft", metric="sqeuclidean"),
    _case(pl.Triplet, "triplets", metric="cosine", margin=0.1, average="active"),
    _case(pl.Quadruplet),
    _case(pl.Quadruplet, margins=(3.0, 0.0)),
    _case(pl.LiftedStructure),
    _case(pl.LiftedStructure, margin=0.0),
    _case(pl.NPair),
    _case(pl.Circle),
    _case(pl.Circle, gamma=2.0),
    _case(pl.Circle, m=0.25, gamma=10.0),
    _case(pl.MultiSimilarity),
    _case(pl.MultiSimilarity, alpha=5.0, beta=9.0, base=-0.2),
    _case(pl.NCA),
    _case(pl.NCA, temperature=20.0),
    _case(pl.LMNN),
    _case(pl.LMNN, k=1, margin=0.0),
    _case(pl.LMNN, k=7, margin=5.0),
    _case(pl.NTXent),
    _case(pl.NTXent, temperature=1.0),
    _case(pl.SupCon),
    _case(pl.SupCon, temperature=1.0),
    _case(pl.Center),
    _case(pl.ProxyNCA),
    _case(pl.ProxyNCA, temperature=0.1),
    _case(pl.ProxyAnchor),
    _case(pl.ProxyAnchor, margin=-0.3, alpha=3.0),
    _case(pl.InfoNCE),
    _case(pl.InfoNCE, temperature=1.0),
    _case(pl.InfoNCE, temperature=0.2, symmetric=False),
    _case(pl.SigLIP),
    _case(pl.SigLIP, temperature=1.0, bias=0.5),
    _case(pl.CosineEmbedding),
    _case(pl.CosineEmbedding, margin=0.5),
    _case(pl.CosineEmbedding, margin=-0.5),
    _case(pl.BarlowTwins),
    _case(pl.BarlowTwins, lambd=0.5),
    _case(pl.VICReg),
    _case(pl.VICReg, invariance=0.0, variance=3.0, covariance=0.5, eps=0.01),
    _case(pl.VICReg, invariance=2.0, variance=0.0, covariance=0.0),
    _case(pl.MMD),
    _case(pl.MMD, bandwidths=(0.5, 2.0, 8.0)),
    _case(pl.MMD, kernel="laplacian", bandwidths=(3.0,)),
    _case(pl.MMD, kernel="laplacian", bandwidths=(1.0, 10.0)),
    _case(pl.CORAL),
    _case(pl.EnergyDistance),
]
DEFAULTS = [_case(cls) for cls in LOSSES.values()]
COSINE = [case for case in CASES if case.cosine]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_loss = pytest.mark.parametrize("case", DEFAULTS, ids=str)

_STEPS = {"float32": 2.0**-20, "float64": 2.0**-40}
"""Far enough that the step crosses the kinks that a kernel's roundings may cross."""
_UNITS = 64


@contextmanager
def _parts(case: Case) -> Iterator[None]:
    """The reference with its differences turned into sums: how large are the parts that its results are made of?"""

    def push(strength: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = np.abs(strength), np.abs(direction)
        return np.einsum("ij,ijk->ik", *both), np.einsum("ij,ijk->jk", *both)

    def inner(x: np.ndarray, y: np.ndarray) -> Any:
        return _inner(x, y)[0], lambda grad: (abs(grad) @ abs(y), abs(grad).T @ abs(x))

    def unit(x: np.ndarray) -> Any:
        u, lengths = _unit(x)[0], reference._polar(x)[0]

        def pull(grad: np.ndarray) -> np.ndarray:
            across = abs(grad) + abs(u) * np.sum(abs(u * grad), axis=-1, keepdims=True)
            return np.where(lengths == 0, 0.0, across.T / np.where(lengths == 0, 1.0, lengths)).T

        return u, pull

    def covariance(x: np.ndarray) -> Any:
        residual, free = reference._centered(x), max(len(x) - 1, 1)
        return _covariance(x)[0], lambda grad: abs(residual) @ (abs(grad) + abs(grad.T)) / free

    def cross_entropy(logits: np.ndarray, target: np.ndarray, keep: Any = True) -> Any:
        """Near certainty the loss is a rest of logarithms, and its slope one of 1 less a share."""
        value, slope = _cross_entropy(logits, target, keep)
        hit = target[:, None] == np.arange(logits.shape[1])
        return value + 1 + np.max(abs(logits), axis=-1, initial=0.0), abs(slope) + hit

    def softplus(z: np.ndarray) -> Any:
        return _softplus(z)[0] + 1, np.ones_like(z)

    def two_samples(alike: Any, x: np.ndarray, y: np.ndarray) -> Any:
        terms, count, grads = _two_samples(alike, x, y)
        if len(x) and len(y):
            terms = np.array([sum(k * np.mean(abs(alike(a, b)[0])) for k, a, b in ((1, x, x), (1, y, y), (2, x, y)))])
        return terms, count, grads

    _inner, _unit, _covariance = reference._inner, reference._unit, reference._covariance
    _cross_entropy, _softplus, _two_samples = reference._cross_entropy, reference._softplus, reference._two_samples
    with pytest.MonkeyPatch.context() as patch:
        for function in (push, inner, unit, covariance, cross_entropy, two_samples):
            patch.setattr(reference, f"_{function.__name__}", function)
        if case.cls is pl.NCA:
            patch.setattr(reference, "_softplus", softplus)
        yield


@dataclass
class Expected:
    """What the reference says of a call, and by how much a kernel of its dtype may differ.

    As in `cases.Expected`, a kernel may be wrong by some units in the last place of the parts that a result is made of,
    and by what the result moves if the rows move by as much.
    """

    call: Call
    ways: int = 2
    note: str = ""

    def __post_init__(self) -> None:
        self.terms, self.count, self.grads = self.call.reference()
        with _parts(self.call.case):
            terms, _, grads = self.call.reference()
        size_of_terms, sizes = abs(terms), [abs(grad) for grad in grads]
        size_of_terms += float(self.call.case.cosine)  # 1 - s may be a rest of 1
        if self.call.case.cls in (pl.BarlowTwins, pl.VICReg, pl.CORAL):
            size_of_terms *= max(1, grads[0].shape[1])  # d² numbers are added up one by one
        first = next(iter(self.call.rows.values())).dtype
        step, unit = _STEPS[first.name], float(np.finfo(first).eps)
        most = [np.zeros_like(each) for each in (size_of_terms, *sizes)]
        for way in range(self.ways):
            rng = np.random.default_rng(way)
            moved = self.call.moved(lambda rows, rng=rng: wide(rows) * (1 + rng.choice([-step, step], rows.shape)))
            terms, _, grads = moved.reference()
            for to, now, before in zip(most, (terms, *grads), (self.terms, *self.grads), strict=True):
                by = abs(now - before) / step
                np.fmax(to, np.max(by, axis=1, keepdims=True, initial=0.0) if by.ndim == 2 else by, out=to)
        self.size_of_sum = (size_of_terms + most[0]).sum()
        # Of a term, what remains of large parts may happen to stay.
        self.size_of_terms = size_of_terms + most[0].max(initial=0.0)
        # Rows divided by their lengths are rounded: what is 0 may be the square of a unit.
        rest = unit if self.call.case.cosine else 0.0
        self.sizes = [size + each + rest for size, each in zip(sizes, most[1:], strict=True)]

    def check(self, reduction: str, value: Any, grads: tuple[np.ndarray, ...] | None = None) -> None:
        """Compare the results of either verb."""
        dtype = next(iter(self.call.rows.values())).dtype
        shapes = [rows.shape for rows in self.call.rows.values()]
        what = f"{self.call.case} of {shapes} {dtype} {self.note}, {reduction}"
        scale = 1.0 if reduction != "mean" else 1 / self.count if self.count else 0.0
        if reduction == "none":
            assert value.shape == self.terms.shape, what
            assert value.dtype == dtype, what
            assert_near(value, self.terms, tolerance(self.size_of_terms, dtype), what)
        else:
            assert type(value) is float, what
            want = scale * float(self.terms.sum())
            assert_near(value, want, tolerance(self.size_of_sum, dtype, scale), what)
        if grads is None:
            return
        for (name, rows), got, grad, size in zip(self.call.rows.items(), grads, self.grads, self.sizes, strict=True):
            assert got.dtype == rows.dtype, what
            assert got.shape == rows.shape, what
            assert_near(got, scale * grad, tolerance(size, dtype, scale), f"{what}, gradient by {name}")


def tolerance(size: Any, dtype: Any, scale: float = 1.0) -> Any:
    return _UNITS * float(np.finfo(dtype).eps) * scale * size + float(np.finfo(dtype).tiny)


def assert_near(got: Any, want: Any, tolerance: Any, what: str) -> None:
    with np.errstate(invalid="ignore"):
        wrong = ~((abs(got - want) <= tolerance) | (got == want) | (np.isnan(got) & np.isnan(want)))
    if not np.any(wrong):
        return
    if not np.ndim(got):
        raise AssertionError(f"{what}: got {got!r}, wanted {want!r} within {tolerance:.2g}")
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    within = np.broadcast_to(tolerance, wrong.shape)[at]
    raise AssertionError(
        f"{what}: {np.sum(wrong)} of {wrong.size} wrong; first at {at}: got {got[at]!r}, wanted {want[at]!r} "
        f"within {within:.2g}"
    )


@functools.cache
def expected(
    case: Case,
    n: int,
    d: int,
    labels: str,
    dtype: str,
    ways: int = 2,
    change: Callable[[np.ndarray], np.ndarray] = np.asarray,
    note: str = "",
) -> Expected:
    """Kept, so that every level is compared with one computation."""
    return Expected(case.draw(n, d, labels, dtype).moved(change), ways, f"{labels}{note and ', '}{note}")


def settings_of(cls: type[EmbeddingLoss]) -> dict[str, set[Any]]:
    """Values that the cases give each parameter."""
    found: dict[str, set[Any]] = {field.name: set() for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for case in CASES:
        if case.cls is cls:
            for name, value in case.parameters:
                found[name].add(value)
    return found
