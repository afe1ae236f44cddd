"""Distances: every metric against its definition, and what must hold of all of them."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise as neighbours
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_within, same_bits, wide
from conftest import named_dtype, use_level
from pyloss import _native
from pyloss._native import kernels
from pyloss.distances import METRICS
from pyloss.reference import distances as reference

FULL = [np.dtype(np.float32), np.dtype(np.float64)]
full_dtype = pytest.mark.parametrize("dtype", FULL, ids=str)
every_level = pytest.mark.usefixtures("level")
DEPTHS = (0, 1, 3, 31, 33, 128, 300)
SIZES = [(0, 3), (3, 0), (0, 0), (1, 1), (1, 65), (2, 13), (13, 33), (65, 1), (65, 65)]


@dataclass(frozen=True)
class Case:
    """A metric with its parameters, and rows that it is defined on."""

    metric: str
    p: float | None = None

    def __str__(self) -> str:
        return self.metric if self.p is None else f"{self.metric} {self.p:g}"

    @property
    def depths(self) -> tuple[int, ...]:
        if self.metric == "haversine":
            return (2,)
        return DEPTHS[:-1] if self.p is not None and self.p < 1 else DEPTHS  # float16 holds no larger ones

    def depth(self, wanted: int) -> int:
        return wanted if wanted in self.depths or self.metric != "haversine" else 2

    def arguments(self, depth: int) -> dict[str, Any]:
        """What a call takes beside the rows."""
        VI = None
        if self.metric == "mahalanobis":
            a = np.random.default_rng(9).standard_normal((depth, depth))
            VI = a @ a.T / max(depth, 1) + np.eye(depth)
        return {"metric": self.metric, "p": self.p, "VI": VI}

    def draw(self, count: int, depth: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng([seed, depth])
        shape = (count, depth)
        if self.metric == "jensenshannon":  # some of them 0, some far smaller than others; the first never 0
            rows = rng.gamma(0.3, size=shape) * (rng.random(shape) < 0.8)
            rows[:, :1] += 0.01
        elif self.metric == "haversine":
            rows = rng.uniform([-np.pi / 2, -np.pi], [np.pi / 2, np.pi], shape)
        elif self.metric in ("hamming", "jaccard"):
            rows = rng.integers(0, 3, shape)
        else:
            rows = rng.standard_normal(shape)
        return rows.astype(dtype)

    def reference(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        y = y if y is None else wide(y).astype(float)
        return reference.pairwise(wide(x).astype(float), y, **self.arguments(x.shape[1]))


CASES = [Case(metric) for metric in METRICS] + [Case("minkowski", p) for p in (0.5, 1.0, 1.5, 3.0, np.inf)]
DIFFERENTIABLE = [case for case in CASES if case.metric not in ("hamming", "jaccard")]
# Sums of whole numbers have no rounding errors, and so ties.
EXACT = [Case(m) for m in ("euclidean", "sqeuclidean", "inner", "manhattan", "chebyshev", "hamming", "jaccard")]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_differentiable = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
every_exact = pytest.mark.parametrize("case", EXACT, ids=str)
lengths = pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])


def asked(dtype: Any, metric: str = "euclidean") -> float:
    """Relative error allowed of a length, whatever the points; of what is a square of one, twice that."""
    square = metric in ("sqeuclidean", "cosine", "correlation")
    return {"float32": 1e-6, "float64": 1e-14}[np.dtype(dtype).name] * (2 if square else 1)


OWN = 2.0**-53  # what the reference rounds by


def size_of_sum(depth: int, dtype: Any) -> float:
    """Largest relative error of a sum of so many numbers of one sign, and of the reference's."""
    runs = np.ceil(depth / 256) if depth > 256 else 0
    return (min(depth, 32) + min(depth / 32, 8) + runs + 8) * float(np.finfo(dtype).eps) / 2 + (depth + 8) * OWN


def tolerance(case: Case, x: np.ndarray, y: np.ndarray, value: np.ndarray, dtype: Any) -> np.ndarray:
    """By how much a distance computed in `dtype` may differ: bounds of the roundings on its way."""
    x, y, depth = wide(x).astype(float), wide(y).astype(float), x.shape[1]
    unit, of_sum = float(np.finfo(dtype).eps) / 2, size_of_sum(depth, dtype)
    with np.errstate(all="ignore"):
        match case.metric:
            case "euclidean" | "sqeuclidean" | "minkowski" if case.p is None:
                size = asked(dtype, case.metric) * value
            case "inner":
                size = of_sum * (abs(x) @ abs(y).T)
            case "cosine" | "correlation":  # computed of unit rows in float64; the reference takes it from 1
                size = asked(dtype, case.metric) * value + 4 * (depth + 8) * OWN
            case "mahalanobis":
                VI, middle = case.arguments(depth)["VI"], y.mean(0) if len(y) else 0.0
                most = np.linalg.norm(VI, 2) if depth else 0.0
                spread = np.linalg.norm(x - middle, axis=1)[:, None] + np.linalg.norm(y - middle, axis=1)
                size = asked(dtype) * value + 4 * (depth + 8) * OWN * (np.sqrt(most) * spread + most * value)
            case "haversine":  # steep towards the antipodes
                size = 2 * unit * value + np.minimum(16 * OWN / np.cos(value / 2), 8 * np.sqrt(OWN))
            case "braycurtis":
                size = 2 * of_sum * value
            case "jensenshannon":  # the reference loses what the two sums cancel
                size = (of_sum + 16 * unit) * value + 16 * unit
                size = size + np.fmin(np.sqrt((depth + 8) * OWN), (depth + 8) * OWN / value)
            case "minkowski" if case.p is not None and np.isfinite(case.p):  # by exp(p log r)
                r = abs(x[:, None] - y[None])
                power = np.log(np.where(r > 0, r, 1.0)) * case.p
                share = (r / np.where(value > 0, value, 1.0)[..., None]) ** case.p
                of_power = (share * (3 * abs(power) + case.p + 3)).sum(-1) * unit
                of_root = 3 * abs(np.log(np.where(value > 0, value, 1.0))) + 3
                size = ((of_power + of_sum) / case.p + of_root * unit + (depth + 8) * OWN) * value
            case _:
                size = of_sum * value
    return np.nan_to_num(size, nan=0.0, posinf=0.0) + float(np.finfo(dtype).smallest_subnormal)


def rounding(dtype: Any, value: Any) -> Any:
    """Error of rounding to a type that is narrower than that of the computation."""
    limits = _finfo(dtype)
    return float(limits.eps) / 2 * abs(value) + float(limits.smallest_subnormal)


def _finfo(dtype: Any) -> Any:
    if np.dtype(dtype).name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)
    return np.finfo(dtype)


def computed_in(dtype: Any) -> np.dtype:
    return np.dtype(np.float64 if np.dtype(dtype).name == "float64" else np.float32)


def check(got: np.ndarray, want: np.ndarray, allowed: np.ndarray) -> None:
    """Compare with the reference; infinities and NaNs must be in the same places."""
    assert got.shape == want.shape
    got, finite = wide(got), np.isfinite(want)
    assert_array_equal(got[~finite], want[~finite])
    assert_within(got[finite], want[finite], np.broadcast_to(allowed, want.shape)[finite])


@functools.cache
def expected(case: Case, depth: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Rows, their distances, and how wrong these may be; the same for every level."""
    x, y = (case.draw(65, depth, dtype, seed) for seed in (1, 2))
    between, itself = case.reference(x, y), case.reference(x)
    return x, y, between, tolerance(case, x, y, between, dtype), itself, tolerance(case, x, x, itself, dtype)


# All pairs.


@every_level
@full_dtype
@every_case
def test_pairwise(case, dtype):
    for depth in case.depths:
        x, y, between, allowed, itself, allowed_itself = expected(case, depth, dtype)
        arguments = case.arguments(depth)
        for n, m in SIZES:
            got = pl.pairwise(x[:n], y[:m], **arguments)
            assert got.dtype == dtype
            if case.metric == "mahalanobis" and m < 65:  # depends on the middle of y
                check(got, between[:n, :m], tolerance(case, x[:n], y[:m], between[:n, :m], dtype))
            else:
                check(got, between[:n, :m], allowed[:n, :m])
        for n in (0, 1, 2, 13, 33, 65):
            got = pl.pairwise(x[:n], **arguments)
            check(got, itself[:n, :n], 2 * allowed_itself[:n, :n])
            assert same_bits(got, got.T)
            if case.metric != "inner":
                assert not np.diag(got).any()


@every_level
@full_dtype
@pytest.mark.parametrize("case", [Case(m) for m in ("euclidean", "inner", "canberra", "jensenshannon")], ids=str)
def test_more_than_a_unit_of_work(case, dtype):
    x, y = case.draw(200, 3, dtype), case.draw(2101, 3, dtype, 1)
    want = case.reference(x, y)
    check(pl.pairwise(x, y, case.metric), want, tolerance(case, x, y, want, dtype))
    want = case.reference(y[:1100])
    check(pl.pairwise(y[:1100], metric=case.metric), want, tolerance(case, y[:1100], y[:1100], want, dtype))


@every_level
@pytest.mark.parametrize("case", [Case("euclidean"), Case("manhattan")], ids=str)
def test_large_results_are_the_same_as_strided_ones(case):
    """They are written past the caches."""
    x = case.draw(2048, 3, np.float32)
    for y in (case.draw(1088, 3, np.float32, 1), case.draw(1095, 3, np.float32, 1), None):
        got = pl.pairwise(x, y, case.metric)
        out = np.full((2048, 2 * got.shape[1]), 7.0, np.float32)
        assert same_bits(pl.pairwise(x, y, case.metric, out=out[:, ::2]), got)
        assert (out[:, 1::2] == 7).all()
        assert y is not None or same_bits(got, got.T)


@every_level
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@every_case
def test_half_types_are_float32_rounded_once(case, kind):
    half = named_dtype(kind)
    for depth in (case.depth(3), case.depth(33)):
        x, y = (case.draw(33, depth, half, seed) for seed in (1, 2))
        arguments = case.arguments(depth)
        for other in (y, None):
            # Powers are taken in float64 from the start.
            wide = np.float64 if case.p not in (None, 1, 2, np.inf) else np.float32
            single = None if other is None else other.astype(wide)
            want = pl.pairwise(x.astype(wide), single, **arguments).astype(half)
            assert same_bits(pl.pairwise(x, other, **arguments), want)


@every_level
@pytest.mark.parametrize("kind", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@every_case
def test_integers_and_bool_are_float64(case, kind):
    depth, limits = case.depth(5), (0, 2) if kind == "bool" else (0, 100) if "u" in kind else (-100, 100)
    if case.metric in ("jensenshannon", "haversine"):
        limits = (1, 2)
    x, y = (np.random.default_rng(i).integers(*limits, (13, depth)).astype(kind) for i in (1, 2))
    arguments = case.arguments(depth)
    got = pl.pairwise(x, y, **arguments)
    assert got.dtype == np.float64
    assert same_bits(got, pl.pairwise(x.astype(float), y.astype(float), **arguments))


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("float32", "float64", "float64"),
        ("float16", "float32", "float32"),
        ("float16", "bfloat16", "float32"),
        ("bfloat16", "float64", "float64"),
        ("float32", "int8", "float32"),
        ("float16", "bool", "float16"),
        ("float32", "int32", "float64"),
        ("int64", "bool", "float64"),
    ],
)
def test_wider_type_is_the_result_s(first, second, result):
    x, y = (Case("euclidean").draw(5, 3, np.float32, i).astype(named_dtype(d)) for i, d in ((1, first), (2, second)))
    want = reference.pairwise(wide(x), wide(y))
    for a, b, distances in ((x, y, want), (y, x, want.T)):
        got = pl.pairwise(a, b)
        assert got.dtype == result
        assert_allclose(got, distances, rtol=max(1e-6, np.finfo(named_dtype(result)).eps))
        assert pl.paired(a, b).dtype == pl.nearest(a, b)[0].dtype == pl.within(a, b, 1.0).distances.dtype == result
        gradients = pl.pairwise_vjp(np.ones((5, 5)), a, b)
        for each, of in zip(gradients, (a, b), strict=True):
            assert each.dtype == (np.float64 if of.dtype.kind in "iub" else of.dtype)


@every_level
@full_dtype
def test_rows_without_direction(dtype):
    x = np.array([[0, 0, 0], [1, 2, 4], [-1, -2, -4], [5, 5, 5], [0.1, 0.1, 0.1]], dtype)
    zero = [0, 1, 1, 1, 1]
    for got in (pl.pairwise(x, x.copy(), "cosine"), pl.pairwise(x, metric="cosine")):
        assert_allclose(got[0], zero, rtol=asked(dtype))
    assert_allclose(pl.pairwise(x, metric="cosine")[1:3, 1:3], [[0, 2], [2, 0]], rtol=asked(dtype))
    for metric in ("canberra", "braycurtis", "jaccard"):
        assert_array_equal(pl.pairwise(x[:1], np.zeros_like(x), metric), 0.0)
    for got in (pl.pairwise(x, metric="correlation"), pl.pairwise(x, x.copy(), metric="correlation")):
        flat = [0, 3, 4]
        assert_array_equal(got[np.ix_(flat, flat)], 0.0)
        assert_allclose(got[np.ix_(flat, [1, 2])], 1.0, rtol=asked(dtype))
    assert_allclose(pl.paired(x[[0, 0, 1]], x[[0, 1, 0]], "cosine"), [0, 1, 1], rtol=asked(dtype))


@every_level
@full_dtype
def test_braycurtis_of_opposites_is_infinite(dtype):
    x, y = np.array([[1.0, -2.0]], dtype), np.array([[-1.0, 2.0]], dtype)
    assert_array_equal(reference.pairwise(x, y, "braycurtis"), np.inf)
    assert_array_equal(pl.pairwise(x, y, "braycurtis"), np.inf)


@every_level
@pytest.mark.parametrize("size", [1e-3, 1e-9, 1e-100, 1e-160, 1e-200, 5e-324])
def test_haversine_of_near_points(size):
    x, y = np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[size, 0.0], [0.0, size]])
    want = reference.pairwise(x, y, "haversine")
    check(pl.pairwise(x, y, "haversine"), want, tolerance(Case("haversine"), x, y, want, np.float64))
    check(pl.paired(x, y, "haversine"), np.diag(want), np.full(2, 1e-14))


@every_level
@full_dtype
def test_jensenshannon_of_very_different_probabilities(dtype):
    rng = np.random.default_rng(0)
    x, y = (10 ** rng.uniform(-6, 0, (200, 2)).astype(dtype) for _ in range(2))
    want = reference.pairwise(x, y, "jensenshannon")
    check(pl.pairwise(x, y, "jensenshannon"), want, tolerance(Case("jensenshannon"), x, y, want, dtype))


# Accuracy.


def direct(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squares of the distances from the differences, in long double."""
    if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        pytest.skip("long double is no wider than float64")
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    return np.stack([((row - y) ** 2).sum(-1) for row in x]) if len(x) else np.zeros((0, len(y)), np.longdouble)


def _clusters(rng, shape):
    return 1000 * rng.standard_normal((8, shape[1]))[rng.integers(0, 8, shape[0])]


def _offset(rng, n, d):
    x = rng.standard_normal((n, d)) + 100
    return x, x + 0.01 * rng.standard_normal((n, d))


def _clustered(rng, n, d):
    x = _clusters(np.random.default_rng(3), (n, d))
    return x + 1e-3 * rng.standard_normal((n, d)), x + 1e-3 * rng.standard_normal((n, d))


def _duplicates(rng, n, d):
    x = rng.standard_normal((n, d))
    return x, np.concatenate([x[: n // 2], x[: n - n // 2] + 1])


def _one_unit_apart(rng, n, d):
    x = rng.standard_normal((n, d)).astype(np.float32) + np.float32(10)
    return x, np.nextafter(x, np.float32(20))


def _spread(rng, n, d):
    """At every ratio of distance to distance from the centre."""
    middle = rng.standard_normal(d)
    return tuple(middle + np.exp(rng.uniform(-8, 2, (n, 1))) * rng.standard_normal((n, d)) for _ in range(2))


POINTS = {
    "normal": lambda rng, n, d: (rng.standard_normal((n, d)), rng.standard_normal((n, d))),
    "offset": _offset,
    "far offset": lambda rng, n, d: tuple(rng.standard_normal((n, d)) + 1e6 for _ in range(2)),
    "apart": lambda rng, n, d: (rng.standard_normal((n, d)) - 1e4, rng.standard_normal((n, d)) + 1e4),
    "clusters": _clustered,
    "duplicates": _duplicates,
    "one unit apart": _one_unit_apart,
    "spread": _spread,
    "rows of many sizes": lambda rng, n, d: tuple(
        10 ** rng.uniform(-18, 18, (n, 1)) * rng.standard_normal((n, d)) for _ in range(2)
    ),
    "features of many sizes": lambda rng, n, d: tuple(
        10 ** rng.uniform(-18, 18, (1, d)) * rng.standard_normal((n, d)) for _ in range(2)
    ),
    "constant rows": lambda rng, n, d: tuple(rng.standard_normal((n, 1)) * np.ones(d) for _ in range(2)),
    "whole numbers": lambda rng, n, d: tuple(rng.integers(-3, 4, (n, d)).astype(float) for _ in range(2)),
    "one huge row": lambda rng, n, d: (
        rng.standard_normal((n, d)),
        np.concatenate([rng.standard_normal((n - 1, d)), np.full((1, d), 1e15)]),
    ),
}
SCALES = {"float32": {"": 1.0, "huge ": 1e30, "tiny ": 1e-30}, "float64": {"": 1.0, "huge ": 1e200, "tiny ": 1e-200}}


def check_lengths(got: np.ndarray, squares: np.ndarray, metric: str) -> None:
    """To the error that is promised; infinite where the truth is beyond the type."""
    limits = np.finfo(got.dtype)
    want = np.sqrt(squares) if metric == "euclidean" else squares
    assert not np.isnan(got).any()
    assert (got >= 0).all()
    most, error = np.longdouble(limits.max), asked(got.dtype, metric)
    beyond = want > most * (1 - error)  # at the very end either is right
    assert np.isinf(got[want > most * (1 + error)]).all()
    assert_within(
        got[~beyond].astype(np.longdouble),
        want[~beyond],
        (error * want + np.longdouble(limits.smallest_subnormal))[~beyond],
    )


@every_level
@lengths
@full_dtype
@pytest.mark.parametrize("scale", ["", "huge ", "tiny "])
@pytest.mark.parametrize("points", POINTS)
def test_accuracy(points, scale, dtype, metric):
    if scale and dtype == np.float32 and ("many sizes" in points or points == "one huge row"):
        return  # beyond float32
    for depth in (1, 3, 40, 128, 1537):
        x, y = POINTS[points](np.random.default_rng(depth), 37, depth)
        x, y = ((SCALES[dtype.name][scale] * np.float64(each)).astype(dtype) for each in (x, y))
        squares = direct(x, y)
        got = pl.pairwise(x, y, metric)
        check_lengths(got, squares, metric)
        assert_array_equal(got[squares == 0], 0.0)
        check_lengths(pl.pairwise(x, metric=metric), direct(x, x), metric)
        with np.errstate(over="ignore"):
            check_lengths(pl.paired(x, y, metric), np.diag(squares), metric)
            distances, indices = pl.nearest(x, y, 5, metric)
        check_lengths(distances, np.take_along_axis(squares, indices, 1), metric)
        check_lengths(distances, np.sort(squares)[:, :5], metric)


@every_level
@lengths
@full_dtype
def test_accuracy_of_subnormal_numbers(dtype, metric):
    rng = np.random.default_rng(0)
    least = np.finfo(dtype).smallest_subnormal
    for most in (3, 1000, 10**6):
        x, y = (rng.integers(-most, most, (20, 33)).astype(dtype) * least for _ in range(2))
        check_lengths(pl.pairwise(x, y, metric), direct(x, y), metric)
        check_lengths(pl.pairwise(x, metric=metric), direct(x, x), metric)
        check_lengths(pl.paired(x, y, metric), np.diag(direct(x, y)), metric)


@every_level
@lengths
@full_dtype
def test_accuracy_where_roundings_do_not_average_out(dtype, metric):
    """All products of a pair are alike, so that their roundings may all go one way."""
    rng = np.random.default_rng(0)
    for depth in (32, 64, 128, 512, 1536):
        x, y = (np.repeat(rng.standard_normal((200, 1)), depth, 1).astype(dtype) for _ in range(2))
        check_lengths(pl.pairwise(x, y, metric), depth * direct(x[:, :1], y[:, :1]), metric)
        check_lengths(pl.pairwise(x, metric=metric), depth * direct(x[:, :1], x[:, :1]), metric)


@every_level
@full_dtype
@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_accuracy_of_small_angles(dtype, metric):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 33)).astype(dtype)
    y = (x * rng.uniform(0.1, 10, (40, 1)) + 10 ** rng.uniform(-5, 0, (40, 1)) * rng.standard_normal((40, 33))).astype(
        dtype
    )
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    if metric == "correlation":
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    a, b = (each / np.sqrt((each**2).sum(-1, keepdims=True)) for each in (a, b))
    want = direct(a, b) / 2
    # Unit rows are right to a few units of float64.
    allowed = asked(dtype, metric) * want + 16 * OWN * np.sqrt(2 * want) + 64 * OWN**2
    assert_within(pl.pairwise(x, y, metric).astype(np.longdouble), want, allowed)
    assert_within(pl.paired(x, y, metric).astype(np.longdouble), np.diag(want), np.diag(allowed))


@every_level
@full_dtype
@pytest.mark.parametrize("size", [1e-15, 1e15])
@pytest.mark.parametrize("case", [Case("manhattan"), Case("minkowski", 1.5), Case("minkowski", 3.0)], ids=str)
def test_sums_of_powers_neither_overflow_nor_vanish(case, size, dtype):
    x, y = ((size * case.draw(20, 5, np.float64, seed)).astype(dtype) for seed in (1, 2))
    want = case.reference(x, y)
    check(pl.pairwise(x, y, **case.arguments(5)), want, tolerance(case, x, y, want, dtype))


@every_level
@full_dtype
@pytest.mark.parametrize("case", [case for case in CASES if case.metric not in ("inner", "haversine")], ids=str)
def test_never_negative_never_nan_for_finite_input(case, dtype):
    limits, rng = np.finfo(dtype), np.random.default_rng(0)
    for size in (
        limits.max,
        limits.max / 64,
        limits.max / 4096,
        np.sqrt(limits.max),
        limits.tiny,
        limits.smallest_subnormal,
    ):
        rows = rng.choice([-1.0, 0.0, 0.5, 1.0], (33, 31)) * float(size)
        if case.metric == "jensenshannon":
            rows = abs(rows) / 64 if size == limits.max else abs(rows)
            rows[:, 0] = limits.max / 64
        if case.metric == "mahalanobis" and size > np.sqrt(limits.max):
            continue
        rows = rows.astype(dtype)
        with np.errstate(over="ignore"):
            for got in (
                pl.pairwise(rows[:20], rows[13:], **case.arguments(31)),
                pl.pairwise(rows, **case.arguments(31)),
                pl.paired(rows, rows[::-1], **case.arguments(31)),
                pl.nearest(rows, None, 3, **case.arguments(31))[0],
            ):
                assert (got >= 0).all(), f"{size}: {got[~(got >= 0)][:3]}"


@every_level
@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_a_distance_beyond_its_type_is_infinite_without_a_warning(kind):
    most = np.finfo(kind).max
    x, y = np.array([[most], [0]], kind), np.array([[-0.75 * most], [0.5 * most]], kind)
    for metric in ("euclidean", "sqeuclidean", "manhattan"):
        assert np.isinf(pl.pairwise(x, y, metric)[0, 0])
        assert_array_equal(pl.paired(x, y, metric), [np.inf, np.inf if metric == "sqeuclidean" else y[1, 0]])
        assert_array_equal(pl.nearest(x, y, 2, metric)[0][0, 1], np.inf)
        assert_allclose(pl.within(x, y, np.inf, metric).distances, pl.pairwise(x, y, metric).ravel(), rtol=1e-6)
    assert np.isinf(pl.pairwise_vjp(np.ones((2, 2), kind), x, y, "sqeuclidean")[0][0])


@every_level
@full_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("case", [case for case in CASES if case.metric != "jensenshannon"], ids=str)
def test_bad_rows_affect_their_own_pairs_only(case, value, dtype):
    depth = case.depth(5)
    x, y = case.draw(33, depth, dtype, 1), case.draw(40, depth, dtype, 2)
    good = case.reference(x, y)
    allowed = tolerance(case, x, y, good, dtype)
    for side in ("x", "y", "both"):
        a, b = x.copy(), y.copy()
        if side != "y":
            a[7, 1] = value
        if side != "x":
            b[[3, 39], 0] = value
        want = case.reference(a, b)
        touched = np.isnan(a).any(1)[:, None] | np.isnan(b).any(1) | np.isinf(a).any(1)[:, None] | np.isinf(b).any(1)
        got = pl.pairwise(a, b, **case.arguments(depth))
        assert_within(got[~touched], good[~touched], allowed[~touched])
        if case.metric == "mahalanobis":
            assert not np.isfinite(got[touched]).any()
        else:
            check(got, want, allowed)
        diagonal = pl.paired(a, b[:33], **case.arguments(depth))
        assert_within(
            diagonal[~np.diag(touched)], np.diag(good)[~np.diag(touched)], np.diag(allowed)[~np.diag(touched)]
        )
        itself = pl.pairwise(b, **case.arguments(depth))
        assert same_bits(itself, itself.T)


@every_level
@full_dtype
@pytest.mark.parametrize("case", [case for case in CASES if case.metric != "jensenshannon"], ids=str)
def test_nan_among_features_that_are_alike(case, dtype):
    depth = case.depth(4)
    for place in range(depth):
        x = np.full((2, depth), 0.5, dtype)
        y = x.copy()
        x[1, place] = np.nan
        want = case.reference(x, y)
        assert_array_equal(np.isnan(pl.pairwise(x, y, **case.arguments(depth))), np.isnan(want))
        assert_array_equal(np.isnan(pl.paired(x, y, **case.arguments(depth))), np.isnan(np.diag(want)))


# The same bits.


def everything(case: Case, dtype: Any, n: int = 130, m: int = 1100) -> list[np.ndarray]:
    """Results of all functions."""
    depth = case.depth(5)
    x, y, arguments = case.draw(n, depth, dtype, 1), case.draw(m, depth, dtype, 2), case.arguments(depth)
    distances = pl.pairwise(x, y, **arguments)
    radius = float(np.quantile(wide(distances), 0.98 if case.metric == "inner" else 0.02))
    results = [
        distances,
        pl.pairwise(y[:150], **arguments),
        pl.paired(x, y[:n], **arguments),
        *pl.nearest(x, y, 7, **arguments),
        *pl.nearest(x[:3], y, 2, **arguments),
        *pl.nearest(x, None, 3, **arguments),
        *pl.within(x, y, radius, **arguments),
        *pl.within(x, None, radius, **arguments),
    ]
    if case in DIFFERENTIABLE:
        cotangent = np.random.default_rng(3).standard_normal((n, 130)).astype(dtype)
        results += [*pl.pairwise_vjp(cotangent, x, y[:130], **arguments)]
        results += [pl.pairwise_vjp(cotangent[:50, :50], x[:50], **arguments)]
    return results


@every_case
def test_any_number_of_threads_gives_the_same_bits(case, dtype):
    found = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            found.append(everything(case, dtype))
    for one, other in neighbours(found):
        assert all(same_bits(a, b) for a, b in zip(one, other, strict=True))


def test_large_nearest_has_the_same_bits_for_any_number_of_threads():
    x, y = (Case("euclidean").draw(n, 4, np.float32, n) for n in (2000, 5000))
    want = pl.nearest(x, y, 3), pl.nearest(x[:5], y, 3)
    for threads in (1, 3, 7):
        with pl.num_threads(threads):
            for one, other in zip(want, (pl.nearest(x, y, 3), pl.nearest(x[:5], y, 3)), strict=True):
                assert all(same_bits(a, b) for a, b in zip(one, other, strict=True))
    for a, b in zip(*want, strict=True):  # shared out by rows or by columns
        assert same_bits(a[:5], b)


FMA_LEVELS = [level for level in _native.usable_levels() if level != "x86-64-v2"]


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@full_dtype
@every_case
def test_levels_with_fma_give_the_same_bits(case, dtype):
    found = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            results = everything(case, dtype, 65, 150)
            for depth in case.depths:
                x, y = case.draw(13, depth, dtype, 1), case.draw(33, depth, dtype, 2)
                results += [pl.pairwise(x, y, **case.arguments(depth)), pl.paired(x, y[:13], **case.arguments(depth))]
            found.append(results)
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


def spread_rows(case: Case, count: int, depth: int, dtype: Any, seed: int = 0) -> np.ndarray:
    """Rows at all ratios of distance to size, so that all ways of computing a distance occur."""
    if case.metric in ("jensenshannon", "haversine", "hamming", "jaccard"):
        return case.draw(count, depth, dtype, seed)
    rng = np.random.default_rng([seed, depth])
    middle = np.random.default_rng(depth).standard_normal(depth)
    return (middle + np.exp(rng.uniform(-4, 1, (count, 1))) * rng.standard_normal((count, depth))).astype(dtype)


@every_level
@full_dtype
@every_case
def test_chunks_of_rows_have_the_bits_of_the_whole(case, dtype):
    for depth in (case.depth(3), case.depth(33)):
        x, y = spread_rows(case, 110, depth, dtype, 1), spread_rows(case, 90, depth, dtype, 2)
        arguments = case.arguments(depth)
        whole, nearest = pl.pairwise(x, y, **arguments), pl.nearest(x, y, 3, **arguments)
        paired = pl.paired(x[:90], y, **arguments)
        for begin, end in neighbours((0, 1, 2, 14, 15, 50, 110)):
            part = x[begin:end]
            assert same_bits(pl.pairwise(part, y, **arguments), whole[begin:end])
            for a, b in zip(pl.nearest(part, y, 3, **arguments), nearest, strict=True):
                assert same_bits(a, b[begin:end])
            if case.metric != "mahalanobis":  # taken about the middle of y
                got = pl.paired(part[: max(0, 90 - begin)], y[begin:end], **arguments)
                assert same_bits(got, paired[begin:end])


COMPANIONS = {
    "zeros": (0.0, ("jensenshannon",)),
    "huge": ("huge", ("jensenshannon", "haversine")),
    "tiny": ("tiny", ()),
    "nan": (np.nan, ("jensenshannon",)),
    "infinite": (np.inf, ("jensenshannon",)),
}


@every_level
@full_dtype
@pytest.mark.parametrize("companion", COMPANIONS)
@every_case
def test_other_rows_of_x_change_nothing(case, companion, dtype):
    value, not_defined = COMPANIONS[companion]
    if case.metric in not_defined:
        return
    value = {"huge": SCALES[dtype.name]["huge "], "tiny": SCALES[dtype.name]["tiny "]}.get(value, value)
    for depth in (case.depth(3), case.depth(31), case.depth(32)):
        x, y = spread_rows(case, 60, depth, dtype, 1), spread_rows(case, 150, depth, dtype, 2)
        arguments = case.arguments(depth)
        beside = np.concatenate([x, np.full((1, depth), value, dtype)])
        assert same_bits(pl.pairwise(beside, y, **arguments)[:60], pl.pairwise(x, y, **arguments))
        for a, b in zip(pl.nearest(beside, y, 3, **arguments), pl.nearest(x, y, 3, **arguments), strict=True):
            assert same_bits(a[:60], b)


# Pair by pair.


@every_level
@every_case
def test_paired(case, dtype):
    for depth in case.depths:
        x, y = (case.draw(300, depth, dtype, seed) for seed in (1, 2))
        for n in (0, 1, 33, 300):
            got = pl.paired(x[:n], y[:n], **case.arguments(depth))
            assert got.dtype == dtype
            assert got.shape == (n,)
        want = np.array([case.reference(x[i : i + 1], y[i : i + 1])[0, 0] for i in range(0, 300, 7)])
        allowed = tolerance(case, x[::7], y[::7], case.reference(x[::7], y[::7]), computed_in(dtype))
        check(got[::7], want, np.diag(allowed) + rounding(dtype, want))


# The nearest.


def check_nearest(case: Case, x: np.ndarray, y: np.ndarray | None, k: int) -> None:
    """The first of the reference's, up to the errors of float64, in order; distances rounded to the type."""
    arguments = case.arguments(x.shape[1])
    distances, indices = pl.nearest(x, y, k, **arguments)
    assert distances.shape == indices.shape == (len(x), k)
    assert (distances.dtype, indices.dtype) == (x.dtype, np.int64)
    all_pairs = case.reference(x, x if y is None else y)
    sign = -1.0 if case.metric == "inner" else 1.0
    narrow, close = (
        np.max(tolerance(case, x, x if y is None else y, all_pairs, d), axis=1, keepdims=True, initial=0.0)
        for d in (computed_in(x.dtype), np.float64)
    )
    ranked = sign * all_pairs
    if y is None:
        np.fill_diagonal(ranked, np.inf)
        assert not (indices == np.arange(len(x))[:, None]).any()
    got = np.take_along_axis(ranked, indices, 1)
    assert all(len(set(row)) == k for row in indices.tolist())
    with np.errstate(over="ignore"):
        within_type = narrow + rounding(x.dtype, got)
    assert_within(sign * wide(distances), got, within_type)
    assert_within(got, np.sort(ranked)[:, :k], np.broadcast_to(2 * close, got.shape))


@every_level
@every_case
def test_nearest(case, dtype):
    for depth in (case.depth(1), case.depth(3), case.depth(33)):
        x, y = spread_rows(case, 65, depth, dtype, 1), spread_rows(case, 130, depth, dtype, 2)
        for n, m, k in ((65, 130, 1), (65, 130, 10), (13, 33, 33), (1, 1, 1), (2, 65, 64), (0, 5, 2)):
            check_nearest(case, x[:n], y[:m], k)
        for n, k in ((2, 1), (65, 1), (65, 7), (33, 32)):
            check_nearest(case, x[:n], None, k)


@every_level
@full_dtype
def test_nearest_of_many(dtype):
    case = Case("euclidean")
    x, y = case.draw(2000, 8, dtype, 1), case.draw(300, 8, dtype, 2)
    check_nearest(case, x, y, 4)
    check_nearest(case, y[:9], case.draw(5000, 8, dtype, 3), 40)
    near = _clusters(np.random.default_rng(0), (600, 8)) + 1e-3 * np.random.default_rng(1).standard_normal((600, 8))
    check_nearest(case, near[:50].astype(dtype), near.astype(dtype), 20)


@every_level
@every_case
def test_nearest_of_float32_are_those_of_float64(case):
    """So many that some distances are alike in float32."""
    depth = case.depth(8)
    x, y = case.draw(100, depth, np.float32, 1), case.draw(2000, depth, np.float32, 2)
    check_nearest(case, x, y, 300)


@every_level
@full_dtype
@every_exact
def test_of_equal_distances_the_lower_index_comes_first(case, dtype):
    rng = np.random.default_rng(0)
    for m in (40, 1300):
        x, y = rng.integers(-1, 2, (20, 4)).astype(dtype), rng.integers(-1, 2, (m, 4)).astype(dtype)
        sign = -1.0 if case.metric == "inner" else 1.0
        for other, ranked in ((y, sign * case.reference(x, y)), (None, sign * case.reference(x))):
            if other is None:
                np.fill_diagonal(ranked, np.inf)
            order = np.argsort(ranked, axis=1, kind="stable")
            for k in (1, 3, 19 if other is None else m):
                distances, indices = pl.nearest(x, other, k, case.metric)
                assert_array_equal(indices, order[:, :k])
                assert_allclose(sign * distances, np.take_along_axis(ranked, order, 1)[:, :k], rtol=asked(dtype))


@every_level
@full_dtype
@pytest.mark.parametrize("metric", ["euclidean", "inner", "cosine", "manhattan", "chebyshev", "canberra"])
def test_nan_comes_last(metric, dtype):
    case = Case(metric)
    x, y = case.draw(20, 3, dtype, 1), case.draw(100, 3, dtype, 2)
    bad = [0, 5, 50, 99]
    y[bad] = np.nan
    distances, indices = pl.nearest(x, y, 100, metric)
    assert np.isfinite(distances[:, :96]).all()
    assert np.isnan(distances[:, 96:]).all()
    assert_array_equal(indices[:, 96:], np.broadcast_to(bad, (20, 4)))
    few = pl.nearest(x, y, 4, metric)
    assert_array_equal(few[1], indices[:, :4])
    x[3] = np.nan
    distances, indices = pl.nearest(x, y, 2, metric)
    assert_array_equal(indices[3], [0, 1])
    assert np.isnan(distances[3]).all()
    assert_array_equal(indices[4:], few[1][4:, :2])


@every_level
@full_dtype
def test_infinite_distances_come_before_nan(dtype):
    y = np.array([[np.inf], [np.nan], [1.0], [np.inf]], dtype)
    for metric in ("euclidean", "sqeuclidean", "manhattan", "chebyshev"):
        distances, indices = pl.nearest(np.zeros((1, 1), dtype), y, 4, metric)
        assert_array_equal(distances, [[1, np.inf, np.inf, np.nan]])
        assert_array_equal(indices, [[2, 0, 3, 1]])


# Those within a radius.


def check_within(case: Case, x: np.ndarray, y: np.ndarray | None, radius: float, inside: np.ndarray) -> None:
    """`inside` is a matrix of bool."""
    indptr, indices, distances = pl.within(x, y, radius, **case.arguments(x.shape[1]))
    assert (indptr.dtype, indices.dtype, distances.dtype) == (np.int64, np.int64, x.dtype)
    row, column = np.nonzero(inside)
    assert_array_equal(indptr, np.concatenate([[0], np.cumsum(inside.sum(1))]))
    assert_array_equal(indices, column)
    other = x if y is None else y
    value = case.reference(x, other)
    allowed = tolerance(case, x, other, value, computed_in(x.dtype)) + rounding(x.dtype, value)
    check(distances, value[row, column], allowed[row, column])


@every_level
@every_case
def test_within(case, dtype):
    for depth in (case.depth(3), case.depth(33)):
        x, y = case.draw(33, depth, dtype, 1), case.draw(70, depth, dtype, 2)
        for other in (y, None):
            value = case.reference(x, x if other is None else other)
            allowed = tolerance(case, x, x if other is None else other, value, computed_in(dtype)).max()
            apart = ~np.eye(33, dtype=bool) if other is None else np.ones((33, 70), bool)
            # In the middle of a gap, so that roundings do not matter.
            values = np.unique(value[apart])
            gaps = np.diff(values)
            wide_gaps = np.flatnonzero(gaps > 4 * allowed)
            for place in (wide_gaps[len(wide_gaps) // 10], wide_gaps[len(wide_gaps) // 2]):
                radius = float(values[place] + gaps[place] / 2)
                inside = (value >= radius if case.metric == "inner" else value <= radius) & apart
                check_within(case, x, other, radius, inside)


@pytest.fixture
def units(native) -> Iterator[list[str]]:
    """All ways that this CPU has to rule pairs out by products of bfloat16."""
    chosen = native.bfloat16_unit()
    with pl.num_threads(2):  # it wants a tile of rows for each
        yield native.bfloat16_units()
    native.use_bfloat16_unit(chosen)


@every_level
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation", "inner"])
@pytest.mark.parametrize("scale", ["", "huge ", "tiny "])
@pytest.mark.parametrize("points", POINTS)
def test_ruling_out_by_bfloat16_changes_nothing(points, scale, metric, native, units):
    """Neither among points that it tells apart nor among those that it does not, for which full products take over."""
    if scale and ("many sizes" in points or points == "one huge row"):
        return  # beyond float32
    for depth in (32, 33, 160):
        x, y = POINTS[points](np.random.default_rng(depth), 500, depth)
        x, y = (np.float32(SCALES["float32"][scale] * np.float64(each)) for each in (x[:70], y))
        distances = pl.pairwise(x, y, metric)
        finite = distances[np.isfinite(distances)]
        radius = float(np.quantile(finite, 0.97 if metric == "inner" else 0.03)) if finite.size else np.inf
        found = []
        for unit in units:
            native.use_bfloat16_unit(unit)
            assert native.bfloat16_unit() == unit
            with np.errstate(over="ignore"):
                found.append(
                    [
                        *pl.nearest(x, y, 1, metric),
                        *pl.nearest(x[:64], y, 10, metric),
                        *pl.nearest(y, None, 3, metric),
                        *pl.nearest(x, y, 499, metric),
                        *pl.within(x, y, radius, metric),
                        *pl.within(y, None, radius, metric),
                    ]
                )
        for other in found[1:]:
            assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


@every_level
@pytest.mark.parametrize("metric", ["euclidean", "inner"])
def test_ruling_out_by_bfloat16_leaves_bad_rows_alone(metric, native, units):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((300, 48)).astype(np.float32) for _ in range(2))
    for rows in (x, y):
        rows[[3, 77, 150]] = np.array([np.nan, np.inf, 1e30], np.float32)[:, None]
        rows[200, 5], rows[201, 47] = np.nan, -np.inf
    found = []
    for unit in units:
        native.use_bfloat16_unit(unit)
        with np.errstate(over="ignore", invalid="ignore"):
            found.append([*pl.nearest(x, y, 7, metric), *pl.nearest(x, y, 299, metric), *pl.within(x, y, 3.0, metric)])
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


def test_units_of_bfloat16():
    assert pl.show_config()["bfloat16"] == kernels.bfloat16_unit()
    assert kernels.bfloat16_units()[0] == "none"
    with pytest.raises(ValueError, match="no such unit: abacus"):
        kernels.use_bfloat16_unit("abacus")


@every_level
@full_dtype
@every_exact
def test_the_boundary_is_within(case, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.integers(-2, 3, (20, 4)).astype(dtype), rng.integers(-2, 3, (70, 4)).astype(dtype)
    value = case.reference(x, y)
    for radius in np.unique(value)[:6]:
        rounded = float(dtype.type(radius))
        check_within(case, x, y, rounded, value >= radius if case.metric == "inner" else value <= radius)
        below = np.nextafter(rounded, np.inf if case.metric == "inner" else -np.inf)
        check_within(case, x, y, below, value > radius if case.metric == "inner" else value < radius)


@every_level
@full_dtype
def test_within_of_nothing_and_of_everything(dtype):
    case = Case("euclidean")
    x = case.draw(20, 3, dtype)
    x[10:] = x[:10]
    twin = np.roll(np.eye(20, dtype=bool), 10, axis=1)
    check_within(case, x, None, 0.0, twin)
    check_within(case, x, x.copy(), 0.0, twin | np.eye(20, dtype=bool))
    for metric in ("euclidean", "sqeuclidean", "cosine", "manhattan", "chebyshev"):
        check_within(Case(metric), x, x.copy(), -1.0, np.zeros((20, 20), bool))
        check_within(Case(metric), x, None, np.inf, ~np.eye(20, dtype=bool))
    for n, m in ((0, 20), (20, 0), (0, 0)):
        check_within(case, x[:n], x[:m], 10.0, np.ones((n, m), bool))
    check_within(case, x[:0], None, 10.0, np.ones((0, 0), bool))


@every_level
@full_dtype
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "chebyshev"])
def test_an_infinite_radius_takes_all_but_nan(metric, dtype):
    y = np.array([[np.inf], [np.nan], [1.0], [3.0]], dtype)
    found = pl.within(np.array([[0.0]], dtype), y, np.inf, metric)
    assert_array_equal(found.indices, [0, 2, 3])
    assert_array_equal(pl.within(np.array([[0.0]], dtype), y, 1e300, metric).indices, [2, 3])


# Derivatives.


def slope_sizes(case: Case, x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Of what the slopes (n, m, d) are made: their roundings are units of these."""
    value = case.reference(x, y)[..., None]
    a, b = x[:, None], y[None]
    with np.errstate(all="ignore"):
        match case.metric:
            case "canberra":
                size = 2 / (abs(a) + abs(b))
            case "braycurtis":
                size = (1 + value) / abs(a + b).sum(-1, keepdims=True)
            case "cosine":
                size = 4 / np.linalg.norm(a, axis=-1, keepdims=True)
            case "correlation":
                centred = a - a.sum(-1, keepdims=True) / max(a.shape[-1], 1)
                size = (
                    8
                    * (1 + abs(a).max(-1, keepdims=True, initial=0.0))
                    / np.linalg.norm(centred, axis=-1, keepdims=True)
                )
            case "minkowski" if case.p is not None and np.isfinite(case.p):
                ratio = np.where(a == b, 1.0, abs(a - b) / value)
                logs = abs(np.log(np.where(a == b, 1.0, abs(a - b)))).max(-1, keepdims=True, initial=0.0)
                size = abs(slope) * (1 + abs(case.p - 1) * (8 + 4 * abs(np.log(ratio)) + 8 * logs))
            case "jensenshannon":
                size = (abs(slope) + 1 / a.sum(-1, keepdims=True)) * (4 + 1 / value**2)
            case "mahalanobis":
                VI = case.arguments(x.shape[1])["VI"]
                size = np.linalg.norm(VI, 2) * (1 + np.linalg.norm(a - b, axis=-1, keepdims=True)) / value
            case "haversine":
                size = 1 + 1 / value + 1 / (np.pi - value)
            case _:
                size = abs(slope)
    return np.nan_to_num(np.broadcast_to(size, slope.shape), nan=0.0, posinf=0.0)


def check_vjp(case: Case, cotangent: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    arguments = case.arguments(x.shape[1])
    got = pl.pairwise_vjp(cotangent, x, y, **arguments)
    a, b, c = (wide(each).astype(float) for each in (x, y, cotangent))
    want = reference.pairwise_vjp(c, a, b, **arguments)
    by_x, by_y = reference.slopes(a, b, **arguments)
    narrow = computed_in(np.float64 if case.metric in ("jensenshannon", "mahalanobis", "haversine") else x.dtype)
    roundings = 64 + 16 + x.shape[1]
    unit = roundings * float(np.finfo(narrow).eps) + (roundings + len(x) + len(y)) * OWN
    unit_of_cotangent = float(np.finfo(computed_in(x.dtype)).eps)
    for each, right, of, slope, sizes, factors in (
        (got[0], want[0], x, by_x, slope_sizes(case, a, b, by_x), c),
        (got[1], want[1], y, by_y, slope_sizes(case, b, a, by_y), c.T),
    ):
        assert (each.shape, each.dtype) == (of.shape, of.dtype)
        allowed = np.einsum("ij,ijk->ik", abs(factors), unit * sizes + unit_of_cotangent * abs(slope))
        check(each, right, allowed + rounding(of.dtype, right))


def smooth_rows(case: Case, count: int, depth: int, dtype: Any, seed: int) -> np.ndarray:
    """Rows where the metric has derivatives; differences of features have no roundings."""
    if case.metric == "jensenshannon":
        return (np.random.default_rng([seed, depth]).integers(1, 64, (count, depth)) / 8).astype(dtype)
    if case.metric == "haversine":
        return case.draw(count, depth, dtype, seed)
    rows = np.round(64 * case.draw(count, depth, np.float64, seed)) / 64
    return (abs(rows) + 0.125 if case.metric == "braycurtis" else rows).astype(dtype)


@every_level
@every_differentiable
def test_vjp(case, dtype):
    for depth in dict.fromkeys(case.depth(d) for d in (0, 1, 3, 33)):
        if case.metric in ("cosine", "correlation") and depth == 1:
            continue  # signs only
        x, y = smooth_rows(case, 13, depth, dtype, 1), smooth_rows(case, 70, depth, dtype, 2)
        cotangent = np.random.default_rng(0).standard_normal((13, 70)).astype(dtype)
        cotangent[::2, ::3] = 0
        for n, m in ((13, 70), (1, 1), (13, 1), (0, 5), (5, 0)):
            check_vjp(case, cotangent[:n, :m], x[:n], y[:m])


@every_level
@every_differentiable
def test_vjp_is_the_limit_of_differences(case):
    depth, h = case.depth(4), 1e-6
    x, y = (case.draw(5, depth, seed=seed) for seed in (1, 2))
    if case.metric == "jensenshannon":
        x, y = x + 0.1, y + 0.1
    cotangent, arguments = np.random.default_rng(3).standard_normal((5, 5)), case.arguments(depth)
    calls = (lambda at: pl.pairwise(at, y, **arguments), lambda at: pl.pairwise(x, at, **arguments))
    for grad, at, call in zip(pl.pairwise_vjp(cotangent, x, y, **arguments), (x, y), calls, strict=True):
        for place in np.ndindex(at.shape):
            step = np.zeros_like(at)
            step[place] = h
            rise = np.sum(cotangent * (call(at + step) - call(at - step))) / (2 * h)
            assert abs(grad[place] - rise) <= 1e-6 * (1 + abs(rise) + abs(grad).max())


@every_level
@full_dtype
@every_differentiable
def test_vjp_without_y_is_the_sum_of_both(case, dtype):
    depth = case.depth(5)
    x, arguments = smooth_rows(case, 33, depth, dtype, 1), case.arguments(depth)
    cotangent = np.random.default_rng(0).standard_normal((33, 33)).astype(dtype)
    if case.metric != "inner":
        np.fill_diagonal(cotangent, 0.0)
    by_x, by_y = pl.pairwise_vjp(cotangent, x, x.copy(), **arguments)
    got = pl.pairwise_vjp(cotangent, x, **arguments)
    assert isinstance(got, np.ndarray)
    assert_within(got, by_x + by_y, 4 * np.finfo(dtype).eps * (abs(by_x) + abs(by_y)))


@every_level
@full_dtype
@pytest.mark.parametrize("case", [case for case in DIFFERENTIABLE if case.metric != "inner"], ids=str)
def test_gradient_at_distance_zero_is_zero(case, dtype):
    for depth in dict.fromkeys(case.depth(d) for d in (1, 3, 33)):
        x = case.draw(20, depth, dtype, 1)
        for got in (
            *pl.pairwise_vjp(np.eye(20), x, x.copy(), **case.arguments(depth)),
            pl.pairwise_vjp(np.eye(20), x, **case.arguments(depth)),
        ):
            assert_array_equal(got, np.zeros_like(x))
        got = pl.pairwise_vjp(np.ones((20, 20)), x, **case.arguments(depth))
        assert not np.isnan(got).any()


@every_level
@full_dtype
def test_gradients_at_kinks(dtype):
    def gradient(x, y, metric, **arguments):
        return pl.pairwise_vjp([[1.0]], np.array([x], dtype), np.array([y], dtype), metric, **arguments)[0][0]

    assert_array_equal(gradient([1, 2, 3], [1, 0, 5], "manhattan"), [0, 1, -1])
    assert_array_equal(gradient([1, 2, 3, 0], [1, 0, 5, 2], "chebyshev"), (np.array([0, 1, -1, -1]) / 3).astype(dtype))
    assert_array_equal(gradient([2, 2, 2], [0, 0, 0], "minkowski", p=np.inf), np.full(3, 1 / 3, dtype))
    assert_allclose(gradient([1, 2], [1, 0], "minkowski", p=0.5), [0, 1], rtol=4 * np.finfo(dtype).eps)
    assert_array_equal(gradient([1, 2], [1, 0], "minkowski", p=1), [0, 1])
    assert_array_equal(gradient([0, 3], [0, 1], "canberra"), [0, 0.125])
    assert_array_equal(gradient([0, 0], [1, 2], "cosine"), [0, 0])
    assert_array_equal(gradient([1, 2], [0, 0], "cosine"), [0, 0])
    assert_array_equal(gradient([5, 5], [1, 2], "correlation"), [0, 0])
    assert_array_equal(gradient([0, 0], [0, 0], "braycurtis"), [0, 0])
    along = gradient([0.0, 0.0], [0.0, np.pi], "haversine")
    assert (abs(along) <= 1.001).all()
    # A feature that neither row has is no kink for the others.
    with_zero, without = gradient([1, 0, 3], [2, 0, 1], "jensenshannon"), gradient([1, 3], [2, 1], "jensenshannon")
    assert np.isfinite(with_zero).all()
    assert_allclose(with_zero[[0, 2]], without, rtol=1e-6)
    only_y = gradient([0, 1, 3], [1, 2, 1], "jensenshannon")
    assert only_y[0] == -np.inf
    assert np.isfinite(only_y[1:]).all()


@every_level
@full_dtype
@every_differentiable
def test_a_pair_of_cotangent_zero_does_not_count(case, dtype):
    depth = case.depth(3)
    x, y = smooth_rows(case, 5, depth, dtype, 1), smooth_rows(case, 70, depth, dtype, 2)
    cotangent = np.random.default_rng(0).standard_normal((5, 70)).astype(dtype)
    cotangent[2] = cotangent[:, [7, 69]] = 0
    bad_x, bad_y = x.copy(), y.copy()
    if case.metric != "jensenshannon":
        bad_x[2], bad_y[[7, 69]] = np.nan, np.nan
    for got, want in zip(
        pl.pairwise_vjp(cotangent, bad_x, bad_y, **case.arguments(depth)),
        pl.pairwise_vjp(cotangent, x, y, **case.arguments(depth)),
        strict=True,
    ):
        # Without the pair, mahalanobis moves all rows to another middle.
        roundings = (256 if case.metric == "mahalanobis" else 4) * np.finfo(dtype).eps
        assert_allclose(got, want, rtol=roundings, atol=roundings)


@every_level
@full_dtype
@pytest.mark.parametrize("metric", ["euclidean", "chebyshev", "cosine"])
def test_cotangents_of_any_layout(metric, dtype):
    case = Case(metric)
    x, y = case.draw(9, 5, dtype, 1), case.draw(70, 5, dtype, 2)
    values = np.random.default_rng(0).standard_normal((9, 70)).astype(dtype)
    for cotangent in (
        np.broadcast_to(dtype.type(0.5), (9, 70)),
        np.broadcast_to(values[:1], (9, 70)),
        np.broadcast_to(values[:, :1], (9, 70)),
        np.asfortranarray(values),
        np.repeat(values, 2, axis=1)[::-1, ::-2],
        values > 0,
    ):
        copied = np.ascontiguousarray(cotangent).astype(dtype)
        for a, b in zip(pl.pairwise_vjp(cotangent, x, y, metric), pl.pairwise_vjp(copied, x, y, metric), strict=True):
            assert same_bits(a, b)


# Layouts of inputs and outputs.


def backwards(x: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::-2, ::-3][::-1, ::-1]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": backwards,
    "columns": lambda x: np.concatenate([x, x], axis=1)[:, : x.shape[1]],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [Case(m) for m in ("euclidean", "cosine", "manhattan", "mahalanobis")], ids=str)
def test_inputs_of_any_layout(case, layout, dtype):
    x, y, arguments = case.draw(33, 5, dtype, 1), case.draw(33, 5, dtype, 2), case.arguments(5)
    a, b = LAYOUTS[layout](x), LAYOUTS[layout](y)
    calls = (
        lambda x, y: [pl.pairwise(x, y, **arguments), pl.pairwise(x, **arguments)],
        lambda x, y: [pl.paired(x, y, **arguments)],
        lambda x, y: pl.nearest(x, y, 3, **arguments),
        lambda x, y: pl.within(x, y, 1.0, **arguments),
        lambda x, y: pl.pairwise_vjp(np.ones((33, 33)), x, y, **arguments),
    )
    for call in calls:
        assert all(same_bits(one, other) for one, other in zip(call(a, b), call(x, y), strict=True))


def test_broadcast_rows_and_lists():
    row = Case("euclidean").draw(1, 5)
    x = np.broadcast_to(row, (33, 5))
    assert_array_equal(pl.pairwise(x), 0.0)
    assert same_bits(pl.pairwise(x, row + 1), pl.pairwise(x.copy(), row + 1))
    assert same_bits(pl.pairwise(row.tolist(), (row + 1).tolist()), pl.pairwise(row, row + 1))


OUTS = {
    "plain": lambda n, m, dtype: np.full((n, m), 7, dtype),
    "fortran": lambda n, m, dtype: np.full((m, n), 7, dtype).T,
    "strided": lambda n, m, dtype: np.full((2 * n, 3 * m), 7, dtype)[::2, 1::3],
    "backwards": lambda n, m, dtype: np.full((n, m), 7, dtype)[::-1, ::-1],
    "columns": lambda n, m, dtype: np.full((n, m + 3), 7, dtype)[:, 1:-2],
}


@every_level
@pytest.mark.parametrize("layout", OUTS)
@pytest.mark.parametrize("case", [Case("euclidean"), Case("braycurtis"), Case("inner")], ids=str)
def test_out_of_any_layout(case, layout, dtype):
    x, y = case.draw(40, 5, dtype, 1), case.draw(70, 5, dtype, 2)
    for other in (y, None):
        want = pl.pairwise(x, other, case.metric)
        out = OUTS[layout](*want.shape, dtype)
        base = out if out.base is None else out.base
        assert pl.pairwise(x, other, case.metric, out=out) is out
        assert same_bits(out, want)
        out[...] = 7
        assert (base == 7).all()


def test_memory_mapped_out(tmp_path, dtype):
    x, y = Case("euclidean").draw(100, 5, np.float32, 1), Case("euclidean").draw(70, 5, np.float32, 2)
    mapped = np.memmap(tmp_path / "distances", np.float32, "w+", shape=(100, 70))
    for begin in range(0, 100, 33):
        pl.pairwise(x[begin : begin + 33], y, out=mapped[begin : begin + 33])
    mapped.flush()
    assert same_bits(np.fromfile(tmp_path / "distances", np.float32).reshape(100, 70), pl.pairwise(x, y))


# Errors.

X, Y = np.arange(12.0).reshape(4, 3), np.arange(15.0).reshape(5, 3) + 0.5
BAD_CALLS = {
    "x of one axis": ((X[0], Y), {}, ValueError, r"x: got shape \(3,\), wanted two axes"),
    "x of three axes": ((X[None], Y), {}, ValueError, r"x: got shape \(1, 4, 3\), wanted two axes"),
    "x a number": ((1.0, Y), {}, ValueError, r"x: got shape \(\), wanted two axes"),
    "y of one axis": ((X, Y[0]), {}, ValueError, r"y: got shape \(3,\), wanted two axes"),
    "y of other width": ((X, Y[:, :2]), {}, ValueError, "y: got rows of 2 features, wanted 3, as those of x"),
    "x of objects": ((X.astype(object), Y), {}, TypeError, "x: got dtype object"),
    "x complex": ((X + 0j, Y), {}, TypeError, "x: got dtype complex128"),
    "x None": ((None, Y), {}, TypeError, "x: got dtype object"),
    "x of words": (([["a"]], Y), {}, TypeError, "x: got dtype <U1"),
    "x ragged": (([[1.0], [1.0, 2.0]], Y), {}, TypeError, "x: got list, which NumPy cannot view"),
    "x byte-swapped": ((X.astype(">f8"), Y), {}, TypeError, "x: got dtype >f8"),
    "y of objects": ((X, Y.astype(object)), {}, TypeError, "y: got dtype object"),
    "y complex": ((X, Y + 0j), {}, TypeError, "y: got dtype complex128"),
    "metric unknown": ((X, Y, "euclid"), {}, ValueError, "metric: got 'euclid', wanted one of euclidean, sq"),
    "metric of the kernels": ((X, Y, "half_square"), {}, ValueError, "metric: got 'half_square', wanted one of"),
    "metric None": ((X, Y, None), {}, TypeError, "metric: got None, wanted one of"),
    "metric a function": ((X, Y, np.dot), {}, TypeError, "metric: got .*, wanted one of"),
    "p elsewhere": ((X, Y), {"p": 2.0}, ValueError, "p: got 2.0 with metric='euclidean', wanted it with 'minkowski'"),
    "p zero": ((X, Y, "minkowski"), {"p": 0.0}, ValueError, "p: got 0.0, wanted a number in"),
    "p negative": ((X, Y, "minkowski"), {"p": -1}, ValueError, "p: got -1, wanted a number in"),
    "p nan": ((X, Y, "minkowski"), {"p": np.nan}, ValueError, "p: got nan, wanted a number in"),
    "p minus infinity": ((X, Y, "minkowski"), {"p": -np.inf}, ValueError, "p: got -inf, wanted a number in"),
    "p a word": ((X, Y, "minkowski"), {"p": "2"}, TypeError, "p: got '2', wanted a number in"),
    "VI elsewhere": ((X, Y), {"VI": np.eye(3)}, ValueError, "VI: got an array with metric='euclidean', wanted it"),
    "VI of other shape": ((X, Y, "mahalanobis"), {"VI": np.eye(2)}, ValueError, r"VI: got shape \(2, 2\), wanted"),
    "VI of one axis": ((X, Y, "mahalanobis"), {"VI": np.ones(3)}, ValueError, r"VI: got shape \(3,\), wanted \(3, 3\)"),
    "VI not symmetric": (
        (X, Y, "mahalanobis"), {"VI": np.triu(np.ones((3, 3)))}, ValueError, "VI: got a matrix that is not symmetric",
    ),
    "VI not positive": (
        (X, Y, "mahalanobis"), {"VI": np.diag([1.0, 1.0, -1.0])}, ValueError, "VI: got a matrix with eigenvalue -1",
    ),
    "VI nan": ((X, Y, "mahalanobis"), {"VI": np.eye(3) * np.nan}, ValueError, "VI: got a matrix with NaN or infinity"),
    "VI of objects": ((X, Y, "mahalanobis"), {"VI": np.eye(3, dtype=object)}, TypeError, "VI: got dtype object"),
    "VI of too few rows": ((X[:1], Y[:2], "mahalanobis"), {}, ValueError, "VI: got None with 3 rows of 3 features"),
    "width of haversine": ((X, Y, "haversine"), {}, ValueError, r"x: got shape \(4, 3\), wanted \(4, 2\), latitudes"),
    "negative shares of x": ((X - 1, Y, "jensenshannon"), {}, ValueError, r"x: got -1.0 at \[0, 0\], wanted probab"),
    "negative shares of y": ((X + 1, -Y, "jensenshannon"), {}, ValueError, r"y: got -0.5 at \[0, 0\], wanted probab"),
    "nan shares": ((X + np.nan, Y, "jensenshannon"), {}, ValueError, r"x: got nan at \[0, 0\], wanted probabilities"),
    "no shares": ((X * 0, Y, "jensenshannon"), {}, ValueError, "x: got row 0 with sum 0.0, wanted rows with a"),
    "infinite shares": ((X, Y * np.inf, "jensenshannon"), {}, ValueError, "y: got row 0 with sum inf"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_CALLS)
def test_bad_calls(bad):
    arguments, keywords, error, text = BAD_CALLS[bad]
    out = np.full((4, 5), 7.0)
    with pytest.raises(error, match=rf"(?s)^{text}"):
        pl.pairwise(*arguments, **keywords, out=out)
    assert (out == 7).all()
    x, y, *metric = arguments
    cotangent = np.ones((len(x), len(y)) if "axis" not in bad and isinstance(x, np.ndarray) else (4, 5))
    for call in (
        lambda: pl.nearest(x, y, 1, *metric, **keywords),
        lambda: pl.within(x, y, 1.0, *metric, **keywords),
        lambda: pl.pairwise_vjp(cotangent, x, y, *metric, **keywords),
    ):
        with pytest.raises(error, match=rf"(?s)^{text}"):
            call()


def test_bad_calls_of_each_function():
    with pytest.raises(ValueError, match=r"^y: got shape \(5, 3\), wanted \(4, 3\), the shape of x"):
        pl.paired(X, Y)
    with pytest.raises(TypeError, match=r"^y: got dtype object"):
        pl.paired(X, None)
    for k in (0, -1, 6):
        with pytest.raises(ValueError, match=rf"^k: got {k}, wanted 1 to 5, the number of rows to look in"):
            pl.nearest(X, Y, k)
    for k in (1.0, "1", None, True):
        with pytest.raises(TypeError, match=rf"^k: got {k!r}, wanted a positive integer"):
            pl.nearest(X, Y, k)
    with pytest.raises(ValueError, match=r"^k: got 4, wanted 1 to 3"):
        pl.nearest(X, None, 4)
    for x, y in ((X[:1], None), (X[:0], None), (X, Y[:0])):
        with pytest.raises(ValueError, match=r"^k: got 1, wanted 1 to 0"):
            pl.nearest(x, y)
    for radius in (np.nan, -np.inf):
        with pytest.raises(ValueError, match=r"^radius: got (nan|-inf), wanted a number in"):
            pl.within(X, Y, radius)
    for radius in ("1", None, 1j, True):
        with pytest.raises(TypeError, match=r"(?s)^radius: got .*, wanted a number in"):
            pl.within(X, Y, radius)
    for shape in ((5, 4), (4, 1), (1, 5), (4, 5, 1), (5,), ()):
        with pytest.raises(ValueError, match=r"^cotangent: got shape"):
            pl.pairwise_vjp(np.ones(shape), X, Y)
    with pytest.raises(TypeError, match=r"^cotangent: got dtype complex128"):
        pl.pairwise_vjp(np.ones((4, 5)) * 1j, X, Y)
    for metric in ("hamming", "jaccard"):
        with pytest.raises(TypeError, match=rf"^metric: '{metric}' has no derivative"):
            pl.pairwise_vjp(np.ones((4, 5)), X, Y, metric)
    with pytest.raises(TypeError):
        pl.pairwise(X, Y, "minkowski", 3.0)


def read_only(out: np.ndarray) -> np.ndarray:
    out.flags.writeable = False
    return out


def misaligned(out: np.ndarray) -> np.ndarray:
    return np.full(out.nbytes + 1, 7, np.uint8)[1:].view(out.dtype).reshape(out.shape)


BAD_OUTS = {
    "a list": (lambda out: out.tolist(), TypeError, "got list, wanted a NumPy array"),
    "narrower": (lambda out: out.astype(np.float32), TypeError, "got dtype float32, wanted float64"),
    "whole numbers": (lambda out: out.astype(int), TypeError, "got dtype int64, wanted float64"),
    "byte-swapped": (lambda out: out.astype(">f8"), TypeError, "got dtype >f8, wanted float64"),
    "transposed": (lambda out: out.reshape(5, 4), ValueError, r"got shape \(5, 4\), wanted \(4, 5\)"),
    "flat": (lambda out: out.ravel(), ValueError, r"got shape \(20,\), wanted \(4, 5\)"),
    "read-only": (read_only, ValueError, "got a read-only array"),
    "misaligned": (misaligned, ValueError, "got a misaligned array"),
    "sharing": (
        lambda out: np.lib.stride_tricks.as_strided(out, (4, 5), (8, 8)), ValueError, "got an array whose elements",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_OUTS)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_bad_out(bad, metric):
    make, error, text = BAD_OUTS[bad]
    out = make(np.full((4, 5), 7.0))
    before = np.array(out)
    with pytest.raises(error, match=rf"^out: {text}"):
        pl.pairwise(X, Y, metric, out=out)
    assert_array_equal(out, before)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_out_that_overlaps_an_input(metric):
    memory = np.arange(100.0)
    square, shifted = memory[:16].reshape(4, 4), memory[5:25].reshape(5, 4)
    before = memory.copy()
    for x, y, out, name in (
        (square, shifted[:4], square, "x"),
        (square, None, square, "x"),
        (square, None, memory[15:31].reshape(4, 4), "x"),
        (memory[50:66].reshape(4, 4), shifted, memory[:20].reshape(4, 5), "y"),
    ):
        with pytest.raises(ValueError, match=rf"^out: got an array that overlaps {name}, wanted separate memory"):
            pl.pairwise(x, y, metric, out=out)
    assert_array_equal(memory, before)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "chebyshev"])
def test_a_matrix_that_does_not_fit_is_refused_before_it_is_allocated(metric):
    x = np.broadcast_to(np.ones((1, 1), np.float32), (1 << 21, 1))
    tracemalloc.start()
    try:
        for y in (None, x):
            with pytest.raises(MemoryError, match=r"2097152 x 2097152 .*float32 needs 17592.2 GB") as caught:
                pl.pairwise(x, y, metric)
            for instead in ("nearest", "within", "out"):
                assert instead in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()


# Memory.


@pytest.mark.parametrize(
    "call",
    [
        "pl.nearest(x, y, 5)",
        "pl.nearest(x, None, 5, 'manhattan')",
        "pl.within(x, y, 0.2)",
        "pl.pairwise_vjp(np.broadcast_to(np.float32(1), (N, N)), x[:N], y[:N])",
    ],
)
def test_no_matrix_is_stored(python, call):
    program = f"""
import resource, numpy as np, pyloss as pl
N = 6000
x, y = np.random.default_rng(0).standard_normal((2, 20000, 8)).astype(np.float32)
pl.nearest(x[:100], y[:100])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{call}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    pytest.importorskip("resource")
    assert int(python(program)) < 40  # MB; the matrix has 1600, or 144


# Laws.

METRICS_IN_THE_STRICT_SENSE = (
    "euclidean", "manhattan", "chebyshev", "minkowski", "canberra", "hamming", "jaccard", "jensenshannon",
    "mahalanobis", "haversine",
)  # fmt: skip


def hypothetical_rows(case: Case, depth: int) -> Any:
    elements = st.integers(-3, 3).map(float) | st.floats(-1e3, 1e3, width=32).map(lambda a: 0.0 if abs(a) < 1e-3 else a)
    if case.metric == "haversine":
        elements = st.floats(-1.5, 1.5)
    rows = arrays(np.float64, (6, depth), elements=elements)
    return rows.map(lambda a: abs(a) + np.eye(1, depth)) if case.metric == "jensenshannon" else rows


@settings(max_examples=30, deadline=None)
@given(data=st.data(), single=st.booleans())
@every_case
def test_axioms(case, data, single):
    dtype = np.dtype(np.float32 if single else np.float64)
    depth = case.depth(data.draw(st.integers(1, 5)))
    rows, arguments = data.draw(hypothetical_rows(case, depth)).astype(dtype), case.arguments(depth)
    distances = pl.pairwise(rows, rows.copy(), **arguments)
    allowed = tolerance(case, rows, rows, case.reference(rows), dtype)
    if case.metric == "correlation":  # what is left of a constant row less its mean
        return
    assert_within(distances, distances.T, 2 * allowed)
    assert_within(pl.pairwise(rows, **arguments), distances, 2 * allowed)
    if case.metric == "inner":
        return
    assert_array_equal(np.diag(distances), 0.0)
    assert (distances >= 0).all()
    if case.metric in METRICS_IN_THE_STRICT_SENSE and (case.p is None or case.p >= 1):
        by_way = distances[:, :, None] + distances[None]
        slack = allowed[:, :, None] + allowed[None] + allowed[:, None]
        excess = distances[:, None] - by_way
        assert (excess <= slack + 4 * np.finfo(dtype).eps * by_way).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), m=st.integers(1, 80), depth=st.integers(1, 40))
@pytest.mark.parametrize("case", [Case(m) for m in ("euclidean", "inner", "cosine", "chebyshev")], ids=str)
def test_functions_agree(case, seed, n, m, depth):
    x, y = (case.draw(k, depth, np.float64, seed + i) for i, k in enumerate((n, m)))
    all_pairs = pl.pairwise(x, y, case.metric)
    allowed = tolerance(case, x, y, all_pairs, np.float64)
    distances, indices = pl.nearest(x, y, m, case.metric)
    rows = np.arange(n)[:, None]
    assert_within(distances, all_pairs[rows, indices], allowed[rows, indices])
    assert_within(pl.paired(x[:1], y[:1], case.metric), all_pairs[0, :1], allowed[0, :1])
    radius = float(np.median(all_pairs))
    found = pl.within(x, y, radius, case.metric)
    inside = distances >= radius if case.metric == "inner" else distances <= radius
    assert_array_equal(np.diff(found.indptr), inside.sum(1))
    for i in range(n):
        part = slice(found.indptr[i], found.indptr[i + 1])
        assert_array_equal(found.indices[part], np.sort(indices[i][inside[i]]))


# Peers.

IN_SCIPY = [case for case in CASES if case.metric not in ("inner", "haversine")]


@full_dtype
@pytest.mark.parametrize("case", IN_SCIPY, ids=str)
def test_scipy(case, dtype):
    cdist = pytest.importorskip("scipy.spatial.distance").cdist
    x, y = case.draw(20, 7, dtype, 1), case.draw(30, 7, dtype, 2)
    arguments = {"p": case.p or 2.0} if case.metric == "minkowski" else {}
    if case.metric == "mahalanobis":
        arguments = {"VI": case.arguments(7)["VI"]}
    a, b = (x.astype(bool), y.astype(bool)) if case.metric == "jaccard" else (x.astype(float), y.astype(float))
    want = cdist(a, b, {"manhattan": "cityblock"}.get(case.metric, case.metric), **arguments)
    check(pl.pairwise(x, y, **case.arguments(7)), want, tolerance(case, x, y, want, dtype))
    check(case.reference(x, y), want, tolerance(case, x, y, want, np.float64))
    if case.metric == "mahalanobis":
        want = cdist(a, b, "mahalanobis")
        assert_allclose(pl.pairwise(x, y, "mahalanobis"), want, rtol=1e-6 if dtype == np.float32 else 1e-11)


def test_scipy_of_a_sparse_matrix():
    sparse = pytest.importorskip("scipy.sparse")
    x, y = Case("euclidean").draw(20, 3, seed=1), Case("euclidean").draw(30, 3, seed=2)
    indptr, indices, distances = pl.within(x, y, 1.0)
    want = pl.pairwise(x, y)
    got = sparse.csr_array((distances, indices, indptr), shape=want.shape).toarray()
    assert_allclose(got, np.where(want <= 1.0, want, 0.0), rtol=1e-14)


@full_dtype
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "haversine"])
def test_scikit_learn(metric, dtype):
    peers = pytest.importorskip("sklearn.metrics.pairwise")
    case = Case(metric)
    depth = case.depth(7)
    x, y = case.draw(20, depth, dtype, 1), case.draw(30, depth, dtype, 2)
    want = getattr(peers, f"{metric}_distances")(x.astype(float), y.astype(float))
    assert_allclose(pl.pairwise(x, y, metric), want, rtol=1e-5 if dtype == np.float32 else 1e-9, atol=1e-12)
    neighbors = pytest.importorskip("sklearn.neighbors")
    search = neighbors.NearestNeighbors(n_neighbors=3, algorithm="brute", metric=metric).fit(y.astype(float))
    assert_array_equal(pl.nearest(x, y, 3, metric)[1], search.kneighbors(x.astype(float))[1])
