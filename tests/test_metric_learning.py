"""Losses of embeddings: every kernel against the reference, and what must hold of all of them."""

from __future__ import annotations

import copy
import functools
import pickle
import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import assert_same_bits, same_bits
from conftest import named_dtype, use_level
from embedding_cases import (
    CASES,
    COSINE,
    DEFAULTS,
    LABELS,
    ROWS,
    Call,
    Case,
    Expected,
    assert_near,
    draw_labels,
    every_case,
    every_loss,
    expected,
    tolerance,
    wide,
)
from pyloss import _native
from pyloss.reference import metric_learning as reference

every_level = pytest.mark.usefixtures("level")
full_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
METRICS = ["euclidean", "sqeuclidean", "cosine"]
FMA_LEVELS = [level for level in _native.usable_levels() if level != "x86-64-v2"]
few = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def one_thread():
    """Small batches are done before another thread wakes up; what several do is tested apart."""
    with pl.num_threads(1):
        yield


def reductions(case: Case) -> list[dict[str, str]]:
    """Keywords of every reduction that has a gradient."""
    return [{"reduction": "mean"}, {"reduction": "sum"}] if case.reduced else [{}]


def check(want: Expected) -> None:
    """Both verbs, all reductions."""
    call = want.call
    for options in reductions(call.case):
        reduction = options.get("reduction", "sum")
        value, grads = call.value_and_grad(**options)
        want.check(reduction, value, grads)
        assert same_bits(call.value(**options), value)
    if call.case.reduced:
        assert same_bits(call.value(), call.value(reduction="mean"))
        want.check("none", call.value(reduction="none"))


# Against the reference.


def shapes(case: Case) -> list[tuple[int, int, str]]:
    """Every number of rows with every pattern of labels; of features, each with some."""
    found = []
    for i, n in enumerate((0, 1, 2, 5, 13, 33)):
        for k, labels in enumerate(LABELS):
            d = (1, 3, 33, 64)[(i + k) % 4]
            if d == 1 and case.cosine and case.has("mining") in ("hard", "semihard"):
                d = 2  # of numbers there are but two cosines: all are ties
            found.append((n, d, labels))
    return found


@every_level
@full_dtype
@every_case
def test_small_batches(case, dtype):
    for n, d, labels in shapes(case):
        check(expected(case, n, d, labels, dtype))


@every_level
@full_dtype
@every_case
def test_batches_of_several_tiles(case, dtype):
    n, d, labels = (200, 33, "two") if CASES.index(case) % 2 else (200, 64, "many")
    if case.cls is pl.LiftedStructure:
        labels = "many"  # of which the reference looks at each pair
    if case.kind == "samples":
        n, d = 90, 33  # and more of the other
    check(expected(case, n, d, labels, dtype, ways=4 if case.cls is pl.Triplet else 1))


@every_level
@every_loss
def test_batches_of_several_slabs(case):
    check(expected(case, 401, 3, "many", "float32", ways=1))


@pytest.mark.parametrize("labels", ["two", "many"])
@every_case
def test_rows_without_features(case, labels):
    call, want = case.draw(6, 0, labels), 0.0
    if case.cls not in (pl.VICReg, pl.CORAL):  # means over no column
        terms, count, _ = call.reference()
        want = terms.sum() / count if count else 0.0
    value, grads = call.value_and_grad()
    assert_allclose(value, want, rtol=1e-14, atol=1e-15)
    assert [grad.shape for grad in grads] == [rows.shape for rows in call.rows.values()]


@every_level
@full_dtype
@pytest.mark.parametrize("size", [64, 65, 66, 130])
@pytest.mark.parametrize("options", [{}, {"average": "active"}, {"margin": "soft"}], ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_triplets_of_few_and_of_many_positives(metric, options, size, dtype):
    """A class of up to 64 others is gone through one by one, of more it is sorted among."""
    case = Case(pl.Triplet, tuple({"metric": metric, **options}.items()))
    check(of_class_sizes(case, (size, 9, 1), dtype))


@functools.cache
def of_class_sizes(case: Case, sizes: tuple[int, ...], dtype: str) -> Expected:
    rng = np.random.default_rng(sizes[0])
    labels = rng.permutation(np.repeat(range(len(sizes)), sizes))
    return Expected(Call(case, {"embeddings": rng.normal(size=(len(labels), 3)).astype(dtype), "labels": labels}))


# Hard values.


def clusters(x):
    """Points a thousandth apart around a few that are ten apart."""
    rng = np.random.default_rng(1)
    return (10 * rng.normal(size=(4, x.shape[1]))[rng.integers(0, 4, len(x))] + 1e-3 * wide(x)).astype(x.dtype)


def some_zeros(x):
    return np.where(np.arange(len(x))[:, None] % 3 == 0, 0, x).astype(x.dtype)


HARD = {
    "identical points": np.ones_like,
    "identical points that are no binary fractions": lambda x: np.full_like(x, 0.3),
    "zeros": np.zeros_like,
    "some rows of zeros": some_zeros,
    "duplicates": lambda x: x[np.arange(len(x)) // 3 * 3],
    "clusters": clusters,
    "far from the origin": lambda x: (100 + wide(x)).astype(x.dtype),
    "one feature is huge": lambda x: (wide(x) * np.r_[1e4, np.ones(x.shape[1] - 1)]).astype(x.dtype),
}


@every_level
@full_dtype
@every_case
def test_hard_values(case, dtype):
    for name, change in HARD.items():
        if case.cosine and case.has("mining") in ("hard", "semihard") and name not in ("clusters", "duplicates"):
            continue  # there are ties but for roundings; see test_mine_rows_of_zeros
        check(expected(case, 14, 5, "many", dtype, ways=4, change=change, note=name))


# Powers of two change no digits. The last are of subnormal numbers.
SCALES = {"float32": [-27, 27, -83, 83, -110, -133], "float64": [-200, 200, -660, 660, -1000, -1030]}


@every_level
@full_dtype
@every_case
def test_scales(case, dtype):
    """Tiny and huge rows, as far as their squares matter not or are numbers."""
    limits = np.finfo(dtype)
    smallest = np.log2(float(limits.tiny))
    for exponent in SCALES[dtype]:
        subnormal = exponent < smallest
        if (case.squares and 4 * abs(exponent) > -smallest) or (case.cosine and subnormal):
            continue  # either these are no numbers of the type or the gradient is none
        if case.cls is pl.BarlowTwins and 2 * abs(exponent) > -smallest:
            continue  # the reference squares the columns
        change = functools.partial(np.multiply, 2.0**exponent)
        want = expected(case, 14, 5, "many", dtype, change=change, note=f"by 2^{exponent}")
        with np.errstate(over="ignore"):
            value, grads = want.call.value_and_grad(**reductions(case)[-1])
        if subnormal:
            # Such distances may count as 0.
            assert np.isfinite(value), f"{case} {dtype} by 2^{exponent}"
            assert all(np.isfinite(grad).all() for grad in grads), f"{case} {dtype} by 2^{exponent}"
            continue
        pairs = [(value, want.terms.sum(), want.size_of_sum)]
        pairs += zip(grads, want.grads, want.sizes, strict=True)
        for got, true, size in pairs:
            within = tolerance(size, dtype)
            # Near the ends of the type a result may be no number of it.
            fits = abs(true) + within < float(limits.max)
            what = f"{case} {dtype} by 2^{exponent}"
            assert_near(np.where(fits, got, 0), np.where(fits, true, 0), np.where(fits, within, 0), what)


@every_level
@every_case
def test_nan_propagates(case, dtype):
    call = case.draw(9, 4, "two", dtype)
    for which, (name, rows) in enumerate(call.rows.items()):
        at = int(call.arguments["labels"][0]) if name == "proxies" else 0
        bad = rows.copy()
        bad[at, 1] = np.nan
        moved = call.of(**{name: bad})
        value, grads = moved.value_and_grad()
        assert np.isnan(value)
        assert np.isnan(wide(grads[which][at])).any()
        if case.reduced and case.has("mining") in (None, "all"):
            assert_array_equal(np.isnan(wide(moved.value(reduction="none"))), np.isnan(moved.reference()[0]))
    assert np.isnan(call.moved(lambda x: np.full_like(x, np.nan)).value())


@every_level
@every_case
def test_mean_of_nothing_is_zero(case, dtype):
    call = case.draw(0, 4, "many", dtype)
    value, grads = call.value_and_grad()
    assert (value, type(value)) == (0.0, float)
    assert not any(wide(grad).any() for grad in grads)


@pytest.mark.parametrize("empty", ["x", "y"])
@pytest.mark.parametrize("cls", [pl.MMD, pl.CORAL, pl.EnergyDistance])
def test_distance_from_no_rows_is_zero(cls, empty):
    rows = {"x": np.ones((3, 2)), "y": np.ones((4, 2))} | {empty: np.zeros((0, 2))}
    value, grads = cls().value_and_grad(**rows)
    assert value == 0.0
    assert [grad.shape for grad in grads] == [each.shape for each in rows.values()]
    assert not any(grad.any() for grad in grads)


# Types.


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@every_level
@every_case
def test_half_types_are_float32_rounded_once(case, half):
    half = named_dtype(half)
    for n, labels in ((0, "many"), (5, "two"), (33, "many")):
        call = case.draw(n, 7, labels, half)
        single = call.moved(lambda x: x.astype(np.float32))
        for options in reductions(case):
            value, grads = call.value_and_grad(**options)
            want, want_grads = single.value_and_grad(**options)
            with np.errstate(over="ignore"):
                assert_same_bits((value, *grads), (want, *(grad.astype(half) for grad in want_grads)))
            assert same_bits(call.value(**options), want)
        if case.reduced:
            with np.errstate(over="ignore"):
                assert same_bits(call.value(reduction="none"), single.value(reduction="none").astype(half))


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong", "ulonglong"]


@every_loss
def test_integers_count_as_float64(case):
    for kind in ("bool", *INTEGERS):
        call = case.draw(12, 5, "two").moved(lambda x, kind=kind: abs(3 * x).astype(kind))
        value, grads = call.value_and_grad()
        want, want_grads = call.moved(wide).value_and_grad()
        assert_same_bits((value, *grads), (want, *want_grads), kind)
        assert all(grad.dtype == np.float64 for grad in grads)


@every_loss
def test_inputs_of_two_types(case):
    """Computed in the wider; each gradient is of its own."""
    call = case.draw(12, 5, "two")
    if len(call.rows) < 2:
        return
    first, second = call.rows
    narrow = call.rows[first].astype(np.float32)
    want, want_grads = call.of(**{first: wide(narrow)}).value_and_grad()
    value, grads = call.of(**{first: narrow}).value_and_grad()
    assert_same_bits((value, *grads), (want, want_grads[0].astype(np.float32), want_grads[1]))
    if case.reduced:
        assert call.of(**{first: narrow}).value(reduction="none").dtype == np.float64
    halves = call.of(**{first: narrow, second: call.rows[second].astype(np.float16)})
    value, grads = halves.value_and_grad()
    want, want_grads = halves.moved(lambda x: x.astype(np.float32)).value_and_grad()
    assert_same_bits((value, *grads), (want, want_grads[0], want_grads[1].astype(np.float16)))


@every_case
def test_labels_and_indices_of_any_integer_type(case):
    call = case.draw(12, 5, "two", np.float32)
    value, grads = call.value_and_grad()
    which = [name for name in call.arguments if name in ("labels", "pairs", "triplets", "quadruplets")]
    for kind in INTEGERS:
        got, got_grads = call.of(**{name: call.arguments[name].astype(kind) for name in which}).value_and_grad()
        assert_same_bits((got, *got_grads), (value, *grads), kind)


@every_case
def test_lists_and_tuples(case):
    call = case.draw(5, 3, "two")
    value, grads = call.value_and_grad()
    got, got_grads = call.of(**{k: v.tolist() for k, v in call.arguments.items() if v.size}).value_and_grad()
    assert_same_bits((got, *got_grads), (value, *grads))


def test_similar_and_target_of_any_type():
    call = Case(pl.Contrastive, given="pairs").draw(6, 3)
    similar = call.arguments["similar"]
    for kind in (bool, int, np.uint8, np.float32, np.float16):
        assert call.of(similar=similar.astype(kind)).value() == call.value()
    call = Case(pl.CosineEmbedding).draw(6, 3)
    for kind in (np.int8, float, np.float16):
        assert call.of(target=call.arguments["target"].astype(kind)).value() == call.value()


# Memory.

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
}


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@every_loss
def test_layouts(case, dtype):
    call = case.draw(13, 5, "two", dtype)
    value, grads = call.value_and_grad()
    for name, layout in LAYOUTS.items():
        moved = call.moved(layout)
        assert not all(rows.flags.c_contiguous for rows in moved.rows.values())
        # Labels, marks and tuples likewise.
        moved = moved.of(**{k: np.repeat(v, 3, axis=0)[::3] for k, v in call.arguments.items() if k not in ROWS})
        got, got_grads = moved.value_and_grad()
        assert_same_bits((got, *got_grads), (value, *grads), name)
    got, got_grads = Call(case, {k: read_only(v) for k, v in call.arguments.items()}).value_and_grad()
    assert_same_bits((got, *got_grads), (value, *grads), "read-only")


@every_case
def test_inputs_stay_as_they_are(case, dtype):
    call = case.draw(13, 5, "two", dtype)
    before = {name: each.copy() for name, each in call.arguments.items()}
    call.value_and_grad()
    for name, each in call.arguments.items():
        assert_array_equal(each, before[name])


def outs(call: Call, make: Any = np.empty) -> Any:
    made = tuple(make(rows.shape, rows.dtype) for rows in call.rows.values())
    return made if len(made) > 1 else made[0]


def apart(shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Every other row and every third column of something, backwards."""
    return np.full((2 * shape[0], 3 * shape[1]), 7, dtype)[::-2, ::-3]


@every_case
def test_out_takes_the_gradients(case, dtype):
    call = case.draw(13, 5, "two", dtype)
    for options in reductions(case):
        value, grads = call.value_and_grad(**options)
        for make in (np.empty, apart, lambda shape, dtype: np.empty(shape, dtype, order="F")):
            out = outs(call, make)
            got, got_grads = call.case.loss().value_and_grad(**call.arguments, **options, out=out)
            assert got_grads is out
            assert_same_bits((got, *(out if isinstance(out, tuple) else (out,))), (value, *grads))


BAD_OUT = {
    "no array": (lambda x: x.tolist(), TypeError, "got list, wanted a NumPy array"),
    "other float": (lambda x: x.astype(np.float32), TypeError, "got dtype float32, wanted float64"),
    "integer": (lambda x: x.astype(int), TypeError, "got dtype int64, wanted float64"),
    "too short": (lambda x: x[1:].copy(), ValueError, r"got shape \(12, 5\), wanted \(\d+, 5\)"),
    "transposed": (lambda x: x.T.copy(), ValueError, r"got shape \(5, \d+\), wanted \(\d+, 5\)"),
    "one axis": (lambda x: x.ravel(), ValueError, r"got shape \(\d+,\), wanted"),
    "broadcast": (lambda x: np.broadcast_to(x[:1], x.shape), ValueError, "read-only|share memory"),
    "read-only": (read_only, ValueError, "got a read-only array, wanted a writeable one"),
}


@pytest.mark.parametrize("bad", BAD_OUT)
@every_loss
def test_bad_out(case, bad):
    make, error, what = BAD_OUT[bad]
    call = case.draw(13, 5, "two")
    if bad == "too short":
        what = what.replace("12", r"\d+")
    good = [np.full(rows.shape, 7.0) for rows in call.rows.values()]
    for which in range(len(good)):
        wrong = make(np.full(good[which].shape, 7.0))
        before = np.array(wrong)
        out = [*good[:which], wrong, *good[which + 1 :]]
        name = rf"out\[{which}\]" if len(good) > 1 else "out"
        with pytest.raises(error, match=rf"^{name}: .*({what})"):
            case.loss().value_and_grad(**call.arguments, out=tuple(out) if len(out) > 1 else out[0])
        assert all((each == 7).all() for i, each in enumerate(good) if i != which)
        assert_array_equal(wrong, before)


@every_loss
def test_out_of_the_wrong_number(case):
    call = case.draw(13, 5, "two")
    good = [np.full(rows.shape, 7.0) for rows in call.rows.values()]
    wrong = [good[0], (good[0],), (*good, good[0]), good] if len(good) > 1 else [(good[0],), (good[0], good[0])]
    wanted = "an array" if len(good) == 1 else "a tuple of 2 arrays"
    for out in wrong:
        with pytest.raises(TypeError, match=rf"^out: got (ndarray|tuple|list), wanted {wanted}, for the gradients$"):
            case.loss().value_and_grad(**call.arguments, out=out)
    assert all((each == 7).all() for each in good)


@every_loss
def test_out_apart_from_inputs_and_from_each_other(case):
    """Inputs are read again after gradients have been written."""
    call = case.draw(13, 5, "two")
    good = [np.full(rows.shape, 7.0) for rows in call.rows.values()]
    for which, (name, rows) in enumerate(call.rows.items()):
        memory = np.zeros(rows.size + 5)
        memory[5:] = rows.ravel()
        moved = call.of(**{name: memory[5:].reshape(rows.shape)})
        for out in (memory[5:].reshape(rows.shape), memory[:-5].reshape(rows.shape)):
            all_of = [*good[:which], out, *good[which + 1 :]]
            with pytest.raises(
                ValueError, match=rf"^out.*: got an array that overlaps {name}, wanted separate memory$"
            ):
                case.loss().value_and_grad(**moved.arguments, out=tuple(all_of) if len(good) > 1 else all_of[0])
        assert_array_equal(memory[5:].reshape(rows.shape), rows)
    if len(good) > 1 and good[0].shape == good[1].shape:
        with pytest.raises(
            ValueError, match=r"^out\[1\]: got an array that overlaps out\[0\], wanted separate memory$"
        ):
            case.loss().value_and_grad(**call.arguments, out=(good[0], good[0]))
    assert all((each == 7).all() for each in good)


@every_case
def test_gradient_of_every_row_does_not_exist(case):
    call = case.draw(5, 3, "two")
    out = outs(call, lambda shape, dtype: np.full(shape, 7, dtype))
    if not case.reduced:
        with pytest.raises(TypeError, match="reduction"):
            case.loss()(**call.arguments, reduction="mean")
        return
    with pytest.raises(ValueError, match="^reduction: got 'none', wanted 'mean' or 'sum'"):
        case.loss().value_and_grad(**call.arguments, reduction="none", out=out)
    for wrong in ("average", None, 1, "Mean"):
        for verb in (case.loss(), case.loss().value_and_grad):
            with pytest.raises(ValueError, match="^reduction: got .*, wanted 'mean', 'sum' or 'none'$"):
                verb(**call.arguments, reduction=wrong)
    assert all((each == 7).all() for each in (out if isinstance(out, tuple) else (out,)))


# Threads and levels.

VARIED = [
    *DEFAULTS,
    *(case for case in CASES if case.cls is pl.Triplet or case.given or case.has("symmetric") is False),
]


@pytest.mark.parametrize("case", VARIED, ids=str)
def test_any_number_of_threads_gives_the_same_bits(case):
    dtype = np.float64 if VARIED.index(case) % 2 else np.float32
    call = case.draw(260, 20, "many", dtype)
    options = reductions(case)[0]
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            value, grads = call.value_and_grad(**options)
            results.append((value, *grads))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@pytest.mark.parametrize("kind", ["hard", "semihard", "all"])
def test_any_number_of_threads_mines_the_same(kind):
    x, labels = np.random.default_rng(0).normal(size=(260, 9)), draw_labels("many", 260)
    found = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            found.append(pl.mine(x, labels, kind))
    assert len(found[0])
    for other in found[1:]:
        assert_array_equal(found[0], other)


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@full_dtype
@every_case
def test_levels_with_fma_give_the_same_bits(case, dtype):
    def results(level):
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            for n, d, labels in ((1, 3, "one"), (13, 1, "two"), (70, 33, "many"), (70, 33, "two")):
                call = case.draw(n, d, labels, dtype)
                for options in reductions(case):
                    value, grads = call.value_and_grad(**options)
                    yield value
                    yield from grads
                if case.reduced:
                    yield call.value(reduction="none")

    first, *others = FMA_LEVELS
    for level in others:
        for a, b in zip(results(first), results(level), strict=True):
            assert same_bits(a, b), f"{level} differs from {first}"


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
def test_levels_with_fma_cut_large_batches_alike():
    x, y = np.random.default_rng(0).normal(size=(2, 4158, 3)).astype(np.float32)
    found = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            value, grads = pl.InfoNCE(temperature=0.5).value_and_grad(x, y)
            found.append((value, *grads))
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@full_dtype
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["hard", "semihard"])
def test_levels_with_fma_mine_the_same(kind, metric, dtype):
    x, labels = np.random.default_rng(0).normal(size=(90, 9)).astype(dtype), draw_labels("many", 90)
    found = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            found.append(pl.mine(x, labels, kind, metric))
    for other in found[1:]:
        assert_array_equal(found[0], other)


# Laws.


@few
@given(seed=seeds, n=st.integers(1, 12), d=st.integers(2, 5))
@every_case
def test_order_of_rows_does_not_matter(case, seed, n, d):
    if case.cls is pl.NPair:
        return  # its pairs are of the first two rows
    call = case.draw(n, d, "two", seed=seed)
    rng = np.random.default_rng(seed)
    orders: dict[str, np.ndarray] = {}
    for name, rows in call.rows.items():
        tied = case.kind in ("views", "marked") or case.cls in (pl.BarlowTwins, pl.VICReg)
        orders[name] = orders["x"] if tied and name == "y" else rng.permutation(len(rows))
    first = next(iter(orders.values()))
    moved = {name: call.rows[name][order] for name, order in orders.items()}
    for name, array in call.arguments.items():
        if name == "labels":
            numbers = np.argsort(orders["proxies"]) if "proxies" in orders else None
            moved[name] = array[first] if numbers is None else numbers[array[first]]
        elif name == "target":
            moved[name] = array[first]
        elif name in ("pairs", "triplets", "quadruplets"):
            moved[name] = np.argsort(first)[array]
    want = Expected(call)
    options = {"reduction": "sum"} if case.reduced else {}
    value, grads = call.value_and_grad(**options)
    got, got_grads = call.of(**moved).value_and_grad(**options)
    assert_near(got, value, 2 * tolerance(want.size_of_sum, np.float64), str(case))
    for order, grad, got_grad, size in zip(orders.values(), grads, got_grads, want.sizes, strict=True):
        assert_near(got_grad, grad[order], 2 * tolerance(size[order], np.float64), str(case))
    if case.reduced:
        terms, got_terms = call.value(reduction="none"), call.of(**moved).value(reduction="none")
        # Terms of tuples and pairs stay where they were, as do those of mined triplets by their anchors.
        if len(terms) == n and case.kind in ("labels", "views", "marked") and case.has("mining") in (None, "all"):
            assert_near(got_terms, terms[first], 2 * tolerance(want.size_of_terms[first], np.float64), str(case))


@few
@given(seed=seeds, n=st.integers(1, 40))
@every_case
def test_names_of_labels_do_not_matter(case, seed, n):
    if case.kind != "labels":
        return
    call = case.draw(n, 4, "two", np.float32, seed=seed)
    rng = np.random.default_rng(seed)
    call = call.of(labels=rng.integers(0, 4, n))
    value, grads = call.value_and_grad()
    names = rng.choice(2**62, 4, replace=False) - 2**61
    if case.cls is pl.NPair:
        names.sort()  # its terms are by rising label
    for each in (names, np.sort(names), 100 + np.arange(4), -np.arange(4)[::-1], np.array([0, 1, 3, 9])):
        got, got_grads = call.of(labels=each[call.arguments["labels"]]).value_and_grad()
        assert_same_bits((got, *got_grads), (value, *grads))


@few
@given(seed=seeds, shift=st.integers(-1000, 1000))
@every_case
def test_the_origin_does_not_matter(case, seed, shift):
    if case.cosine:
        return
    # Shifted without rounding.
    call = case.draw(9, 4, "two", seed=seed).moved(lambda x: np.round(x * 2**20) / 2**20)
    moved = call.moved(lambda x: x + shift)
    value, grads = call.value_and_grad()
    got, got_grads = moved.value_and_grad()
    want = Expected(moved)
    scale = 1 / want.count if want.count else 0.0
    assert_near(got, value, 2 * tolerance(want.size_of_sum, np.float64, scale), str(case))
    for grad, got_grad, size in zip(grads, got_grads, want.sizes, strict=True):
        assert_near(got_grad, grad, 2 * tolerance(size, np.float64, scale), str(case))


@few
@given(seed=seeds, exponent=st.integers(-60, 60))
@pytest.mark.parametrize("case", COSINE, ids=str)
def test_lengths_do_not_matter(case, seed, exponent):
    call = case.draw(9, 4, "two", np.float32, seed=seed)
    rng = np.random.default_rng(seed)
    by = {name: exponent + rng.integers(-3, 3, len(rows))[:, None] for name, rows in call.rows.items()}
    moved = call.of(**{name: np.ldexp(rows, by[name]) for name, rows in call.rows.items()})
    want = Expected(call)
    options = {"reduction": "sum"}
    value, grads = call.value_and_grad(**options)
    got, got_grads = moved.value_and_grad(**options)
    assert_near(got, value, 2 * tolerance(want.size_of_sum, np.float32), str(case))
    for name, grad, got_grad, size in zip(by, grads, got_grads, want.sizes, strict=True):
        assert_near(np.ldexp(wide(got_grad), by[name]), grad, 2 * tolerance(size, np.float32), str(case))


@every_case
def test_sum_is_of_the_terms_and_mean_divides_it(case):
    if not case.reduced:
        return
    call = case.draw(33, 4, "many")
    terms, total = call.value(reduction="none"), call.value(reduction="sum")
    assert_allclose(terms.sum(), total, rtol=1e-14)
    _, count, _ = call.reference()
    assert_allclose(call.value(), total / count, rtol=1e-14)
    (_, grads), (_, of_sum) = call.value_and_grad(), call.value_and_grad(reduction="sum")
    for grad, each in zip(grads, of_sum, strict=True):
        assert_allclose(grad, each / count, rtol=1e-14, atol=1e-300)


def slopes(call: Call, step: float = 1e-5) -> list[np.ndarray]:
    """Central differences of the public value, wrong by step⁴ and by 2⁻⁵² / step of the value."""
    options = {"reduction": "sum"} if call.case.reduced else {}
    found = []
    for name, rows in call.rows.items():
        grad = np.zeros_like(rows)
        for place in np.ndindex(rows.shape):
            at = []
            for k in (-2, -1, 1, 2):
                moved = rows.copy()
                moved[place] += k * step
                at.append(call.of(**{name: moved}).value(**options))
            grad[place] = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step)
        found.append(grad)
    return found


@pytest.mark.parametrize("seed", [0, 1])
@every_case
def test_gradients_are_those_of_the_value(case, seed):
    if case.cls is pl.Circle:
        return  # whose weights are constants to the gradient
    call = case.draw(7, 3, "two", seed=seed)
    value, grads = call.value_and_grad(**({"reduction": "sum"} if case.reduced else {}))
    for grad, slope in zip(grads, slopes(call), strict=True):
        assert_allclose(grad, slope, rtol=1e-7, atol=1e-9 * (1 + abs(value) + abs(grad).max()))


def test_weights_of_circle_are_constants_to_the_gradient():
    x = np.random.default_rng(0).normal(size=(8, 3))
    labels = np.array([0, 0, 1, 1, 0, 1, 2, 2])
    m, gamma = 0.3, 5.0
    same = (labels[:, None] == labels) & ~np.eye(8, dtype=bool)
    other = labels[:, None] != labels

    def cosines(x):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit @ unit.T

    held = cosines(x)

    def value(x):
        s, total = cosines(x), 0.0
        for i in range(8):
            p, n = same[i], other[i]
            near = np.exp(-gamma * np.maximum(1 + m - held[i, p], 0) * (s[i, p] - 1 + m)).sum()
            far = np.exp(gamma * np.maximum(held[i, n] + m, 0) * (s[i, n] - m)).sum()
            total += np.log1p(near * far)
        return total

    got, grad = pl.Circle(m=m, gamma=gamma).value_and_grad(x, labels, reduction="sum")
    assert_allclose(got, value(x), rtol=1e-13)
    for place in np.ndindex(x.shape):
        moved = []
        for step in (-1e-5, 1e-5):
            y = x.copy()
            y[place] += step
            moved.append(value(y))
        assert_allclose(grad[place], (moved[1] - moved[0]) / 2e-5, rtol=1e-6, atol=1e-8)


# Triplets and mining.

TRIPLETS = [
    {"margin": margin, "metric": metric, "average": average}
    for margin in (0.3, "soft")
    for metric in METRICS
    for average in ("valid", "active")
]


@every_level
@pytest.mark.parametrize("parameters", TRIPLETS, ids=str)
@pytest.mark.parametrize("mining", ["hard", "semihard"])
def test_mined_triplets_are_given_ones(mining, parameters, dtype):
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(40, 6)).astype(dtype), draw_labels("many", 40)
    for swap in (False, True):
        loss = pl.Triplet(mining=mining, swap=swap, **parameters)
        triplets = pl.mine(x, labels, mining, parameters["metric"])
        for reduction in ("mean", "sum"):
            value, grad = loss.value_and_grad(x, labels, reduction=reduction)
            given, given_grad = loss.value_and_grad(x, triplets=triplets, reduction=reduction)
            assert_same_bits((value, grad), (given, given_grad))
        assert same_bits(loss(x, labels, reduction="none"), loss(x, triplets=triplets, reduction="none"))


@every_level
@pytest.mark.parametrize("parameters", TRIPLETS, ids=str)
@pytest.mark.parametrize("sizes", [(70, 12), (5,) * 10], ids=["few classes", "many classes"])
def test_all_triplets_are_given_ones(parameters, sizes):
    """Of 69 positives some are not gone through one by one."""
    rng = np.random.default_rng(0)
    n = sum(sizes)
    x, labels = rng.normal(size=(n, 3)), rng.permutation(np.repeat(range(len(sizes)), sizes))
    loss, triplets = pl.Triplet(**parameters), pl.mine(x, labels, "all", parameters["metric"])
    assert len(triplets) > 1000
    (value, grad), (given, given_grad) = loss.value_and_grad(x, labels), loss.value_and_grad(x, triplets=triplets)
    assert_allclose(value, given, rtol=1e-12)
    assert_allclose(grad, given_grad, rtol=1e-11, atol=1e-12 * abs(given_grad).max())
    by_anchor = np.bincount(triplets[:, 0], loss(x, triplets=triplets, reduction="none"), minlength=n)
    assert_allclose(loss(x, labels, reduction="none"), by_anchor, rtol=1e-12, atol=1e-12)


def test_batches_of_all_triplets_that_are_inactive():
    x, labels = np.array([[0.0], [0.1], [9.0], [9.1]]), [0, 0, 1, 1]
    for average in ("valid", "active"):
        value, grad = pl.Triplet(average=average).value_and_grad(x, labels)
        assert value == 0.0
        assert not grad.any()
        value, grad = pl.Triplet(average=average, mining="hard").value_and_grad(x, labels)
        assert value == 0.0
        assert not grad.any()


@every_level
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["all", "hard", "semihard"])
def test_mine(kind, metric, dtype):
    for seed, (n, d, labels) in enumerate(
        (n, d, labels) for n in (0, 1, 2, 3, 9, 40) for d in (2, 33) for labels in LABELS
    ):
        rng = np.random.default_rng(seed)
        x, each = rng.normal(size=(n, d)).astype(dtype), draw_labels(labels, n, seed)
        got = pl.mine(x, each, kind, metric)
        assert got.dtype == np.int64
        assert got.flags.c_contiguous
        if named_half(dtype) and kind != "all" and metric != "euclidean":
            x = x.astype(np.float32)
        assert_array_equal(got, reference.mine(wide(x), each, kind, metric), err_msg=f"{n} {d} {labels}")


def named_half(dtype: np.dtype) -> bool:
    return dtype.itemsize == 2


@every_level
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("kind", ["hard", "semihard"])
def test_mine_with_ties(kind, metric, dtype):
    """Squares of small whole numbers have no rounding errors: what is equally far is a tie."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, labels = rng.integers(0, 2, (30, 5)).astype(dtype), rng.integers(0, 4, 30)
        assert_array_equal(pl.mine(x, labels, kind, metric), reference.mine(wide(x), labels, kind, metric))


@every_level
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["hard", "semihard"])
def test_mine_among_duplicates(kind, metric, dtype):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, labels = rng.normal(size=(6, 5)).astype(dtype)[rng.integers(0, 6, 40)], rng.integers(0, 3, 40)
        got = pl.mine(x, labels, kind, metric)
        want = reference.mine(wide(x), labels, kind, metric)
        assert_array_equal(got[:, :2] if kind == "semihard" else got, want[:, :2] if kind == "semihard" else want)
        # A duplicate of the positive is not farther.
        d = reference._METRICS[metric](wide(x), wide(x))[0]
        assert_allclose(d[got[:, 0], got[:, 2]], d[want[:, 0], want[:, 2]], rtol=1e-5, atol=1e-12)


@every_level
@pytest.mark.parametrize("kind", ["hard", "semihard"])
def test_mine_rows_of_zeros(kind):
    """A row of zeros has cosine 0 with all: equally far from all."""
    x = np.array([[0, 0, 0], [1, 2, 3], [3, 1, -1], [0, 0, 0], [2, 2, 1], [1, -3, 5], [0, 0, 0]], float)
    labels = np.array([0, 1, 0, 1, 0, 1, 0])
    got, want = pl.mine(x, labels, kind, "cosine"), reference.mine(x, labels, kind, "cosine")
    zero = ~x.any(axis=1)[got[:, 0]]
    assert zero.sum() >= 3
    assert_array_equal(got[zero], want[~x.any(axis=1)[want[:, 0]]])


def test_mine_without_triplets():
    for labels in ([0, 0, 0], [0, 1, 2], []):
        for kind in ("all", "hard", "semihard"):
            got = pl.mine(np.zeros((len(labels), 2)), np.array(labels, int), kind)
            assert got.shape == (0, 3)
            assert got.dtype == np.int64


def test_mine_nan_is_in_bounds():
    x = np.random.default_rng(0).normal(size=(8, 3))
    x[[0, 5]] = np.nan
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 1])
    for kind in ("hard", "semihard"):
        for metric in METRICS:
            a, p, n = pl.mine(x, labels, kind, metric).T
            assert (labels[a] == labels[p]).all()
            assert (labels[a] != labels[n]).all()
            assert (a != p).all()


def test_mine_refuses_what_does_not_fit():
    x, labels = np.zeros((200_000, 1), np.float32), np.arange(200_000) % 2
    with pytest.raises(
        MemoryError,
        match=r"^2e\+15 triplets need \d+\.\d GB, of which [\d.]+ GB are available; wanted kind='hard' or 'semihard', "
        r"or Triplet\(mining='all'\), which stores none$",
    ):
        pl.mine(x, labels, "all")


# Arguments.

X, L, P, T = np.ones((4, 2)), np.array([0, 0, 1, 1]), np.ones((3, 2)), np.array([[0, 1, 2]])

BAD_CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "rows of one axis": (
        lambda: pl.SupCon()(np.ones(4), L),
        ValueError,
        r"embeddings: got shape \(4,\), wanted two axes",
    ),
    "rows of three axes": (lambda: pl.SigLIP()(X, X[None]), ValueError, r"y: got shape \(1, 4, 2\), wanted two axes"),
    "complex rows": (lambda: pl.NCA()(X + 1j, L), TypeError, "embeddings: got dtype complex128, wanted float32"),
    "rows of words": (lambda: pl.NCA()([["a"]], [0]), TypeError, "embeddings: got dtype <U1, wanted"),
    "no rows": (lambda: pl.NCA()(None, L), TypeError, "embeddings: got dtype object, wanted"),
    "too few labels": (
        lambda: pl.SupCon()(X, L[:3]),
        ValueError,
        r"labels: got shape \(3,\), wanted \(4,\), a label for",
    ),
    "labels as a column": (
        lambda: pl.SupCon()(X, L[:, None]),
        ValueError,
        r"labels: got shape \(4, 1\), wanted \(4,\)",
    ),
    "float labels": (
        lambda: pl.NTXent()(X, L * 1.0),
        TypeError,
        "labels: got dtype float64, wanted labels of an integer",
    ),
    "bool labels": (lambda: pl.NTXent()(X, L > 0), TypeError, "labels: got dtype bool, wanted labels of an integer"),
    "label above proxies": (
        lambda: pl.Center()(X, [0, 1, 2, 3], P),
        ValueError,
        r"labels: got label 3 at index \(3,\), wanted a class from 0 to 2$",
    ),
    "label below proxies": (
        lambda: pl.ProxyNCA()(X, [0, -1, -2, 2], P),
        ValueError,
        r"labels: got label -1 at index \(1,\), wanted a class from 0 to 2$",
    ),
    "huge unsigned label": (
        lambda: pl.ProxyAnchor()(X, np.array([0, 1, 2**64 - 1, 0], np.uint64), P),
        ValueError,
        r"labels: got label 18446744073709551615 at index \(2,\)",
    ),
    "proxies of other width": (
        lambda: pl.Center()(X, L, np.ones((3, 5))),
        ValueError,
        "proxies: got rows of 5 features, wanted 2, as those of embeddings",
    ),
    "views of other size": (
        lambda: pl.InfoNCE()(X, P),
        ValueError,
        r"y: got shape \(3, 2\), wanted \(4, 2\), the shape of x",
    ),
    "samples of other width": (
        lambda: pl.MMD()(X, np.ones((4, 3))),
        ValueError,
        "y: got rows of 3 features, wanted 2, as those of x",
    ),
    "views of a covariance": (
        lambda: pl.VICReg()(X, P),
        ValueError,
        r"y: got shape \(3, 2\), wanted \(4, 2\), the shape of x",
    ),
    "triplets out of range": (
        lambda: pl.Triplet()(X, triplets=[[0, 1, 2], [0, 1, 4]]),
        ValueError,
        r"triplets: got 4 at \[1, 2\], wanted a row from 0 to 3$",
    ),
    "negative triplets": (
        lambda: pl.Triplet()(X, triplets=[[0, -1, 2]]),
        ValueError,
        r"triplets: got -1 at \[0, 1\], wanted",
    ),
    "triplets of two": (
        lambda: pl.Triplet()(X, triplets=[[0, 1]]),
        ValueError,
        r"triplets: got shape \(1, 2\), wanted \(n, 3\), 3 indices of rows each",
    ),
    "flat triplets": (
        lambda: pl.Triplet()(X, triplets=[0, 1, 2]),
        ValueError,
        r"triplets: got shape \(3,\), wanted \(n, 3\)",
    ),
    "float triplets": (
        lambda: pl.Triplet()(X, triplets=T * 1.0),
        TypeError,
        "triplets: got dtype float64, wanted indices of",
    ),
    "labels and triplets": (
        lambda: pl.Triplet()(X, L, triplets=T),
        TypeError,
        "labels: got labels and triplets, wanted one",
    ),
    "neither": (lambda: pl.Triplet()(X), TypeError, "labels: got None, wanted labels or triplets"),
    "quadruplets of three": (
        lambda: pl.Quadruplet()(X, T),
        ValueError,
        r"quadruplets: got shape \(1, 3\), wanted \(n, 4\)",
    ),
    "quadruplets out of range": (
        lambda: pl.Quadruplet()(X, [[0, 1, 2, 9]]),
        ValueError,
        r"quadruplets: got 9 at \[0, 3\]",
    ),
    "pairs out of range": (
        lambda: pl.Contrastive()(X, pairs=[[0, 7]], similar=[True]),
        ValueError,
        r"pairs: got 7 at \[0, 1\], wanted a row from 0 to 3",
    ),
    "pairs alone": (
        lambda: pl.Contrastive()(X, pairs=[[0, 1]]),
        TypeError,
        "similar: got None, wanted True or False for each",
    ),
    "similar alone": (lambda: pl.Contrastive()(X, L, similar=[True]), TypeError, "similar: got an array without pairs"),
    "labels and pairs": (
        lambda: pl.Contrastive()(X, L, pairs=[[0, 1]], similar=[True]),
        TypeError,
        "labels: got labels and pairs, wanted one of them",
    ),
    "neither labels nor pairs": (lambda: pl.Contrastive()(X), TypeError, "labels: got None, wanted labels, or pairs"),
    "too many similar": (
        lambda: pl.Contrastive()(X, pairs=[[0, 1]], similar=[True, False]),
        ValueError,
        r"similar: got shape \(2,\), wanted \(1,\), an element for each pair",
    ),
    "similar of two": (
        lambda: pl.Contrastive()(X, pairs=[[0, 1]], similar=[2]),
        ValueError,
        "similar: got 2 at index 0, wanted 0 or 1",
    ),
    "target of zero": (
        lambda: pl.CosineEmbedding()(X, X, [1, -1, 0, 1]),
        ValueError,
        "target: got 0 at index 2, wanted -1 or 1",
    ),
    "target of NaN": (
        lambda: pl.CosineEmbedding()(X, X, [1, np.nan, 1, 1]),
        ValueError,
        "target: got nan at index 1, wanted -1 or 1",
    ),
    "target of other size": (
        lambda: pl.CosineEmbedding()(X, X, [1]),
        ValueError,
        r"target: got shape \(1,\), wanted \(4,\)",
    ),
    "mine: kind": (lambda: pl.mine(X, L, "easy"), ValueError, "kind: got 'easy', wanted one of all, hard, semihard"),
    "mine: no word": (lambda: pl.mine(X, L, None), TypeError, "kind: got None, wanted one of all, hard, semihard"),
    "mine: metric": (
        lambda: pl.mine(X, L, metric="l2"),
        ValueError,
        "metric: got 'l2', wanted one of euclidean, sqeuclid",
    ),
    "mine: labels": (lambda: pl.mine(X, L[:2]), ValueError, r"labels: got shape \(2,\), wanted \(4,\)"),
    "metric": (lambda: pl.Triplet(metric="manhattan"), ValueError, "metric: got 'manhattan', wanted one of euclidean"),
    "mining": (lambda: pl.Triplet(mining="easy"), ValueError, "mining: got 'easy', wanted one of all, hard, semihard"),
    "average": (lambda: pl.Triplet(average="all"), ValueError, "average: got 'all', wanted one of valid, active"),
    "margin of a word": (lambda: pl.Triplet(margin="hard"), ValueError, "margin: got 'hard', wanted .*soft"),
    "negative margin": (lambda: pl.Triplet(margin=-0.1), ValueError, r"margin: got -0.1, wanted a number in \[0, inf"),
    "margin of None": (lambda: pl.Triplet(margin=None), TypeError, r"margin: got None, wanted a number in \[0, inf"),
    "swap of 1": (lambda: pl.Triplet(swap=1), TypeError, "swap: got 1, wanted True or False"),
    "swap with all": (
        lambda: pl.Triplet(swap=True),
        ValueError,
        "swap: got True with mining='all', wanted it with 'hard'",
    ),
    "no margin": (lambda: pl.Contrastive(margin=0), ValueError, r"margin: got 0, wanted a number in \(0, inf"),
    "one margin": (lambda: pl.Quadruplet(margins=(1.0,)), ValueError, r"margins: got \(1.0,\), wanted two numbers of"),
    "number for margins": (
        lambda: pl.Quadruplet(margins=1.0),
        ValueError,
        "margins: got 1.0, wanted two numbers of at",
    ),
    "a negative margin": (lambda: pl.Quadruplet(margins=(1.0, -1.0)), ValueError, r"margins\[1\]: got -1.0, wanted"),
    "kernel": (lambda: pl.MMD(kernel="cubic"), ValueError, "kernel: got 'cubic', wanted one of rbf, laplacian"),
    "bandwidth of 0": (
        lambda: pl.MMD(bandwidths=(1.0, 0.0)),
        ValueError,
        r"bandwidths\[1\]: got 0.0, wanted a number in",
    ),
    "no bandwidth": (lambda: pl.MMD(bandwidths=()), ValueError, r"bandwidths: got \(\), wanted"),
    "k of 0": (lambda: pl.LMNN(k=0), ValueError, "k: got 0, wanted a positive integer"),
    "k of 2.5": (lambda: pl.LMNN(k=2.5), TypeError, "k: got 2.5, wanted a positive integer"),
    "lambd": (lambda: pl.BarlowTwins(lambd=-1), ValueError, r"lambd: got -1, wanted a number in \[0, inf"),
    "eps": (lambda: pl.VICReg(eps=0.0), ValueError, r"eps: got 0.0, wanted a number in \(0, inf"),
    "cosine's margin": (
        lambda: pl.CosineEmbedding(margin=1.5),
        ValueError,
        r"margin: got 1.5, wanted a number in \[-1, 1",
    ),
    "symmetric": (lambda: pl.InfoNCE(symmetric="yes"), TypeError, "symmetric: got 'yes', wanted True or False"),
    "gamma": (lambda: pl.Circle(gamma=0.0), ValueError, r"gamma: got 0.0, wanted a number in \(0, inf"),
    "alpha": (lambda: pl.MultiSimilarity(alpha=np.nan), ValueError, r"alpha: got nan, wanted a number in \(0, inf"),
    "base": (lambda: pl.MultiSimilarity(base="low"), TypeError, "base: got 'low', wanted a number"),
    **{
        f"temperature of {cls.__name__} {value!r}": (
            lambda cls=cls, value=value: cls(temperature=value),
            error,
            rf"temperature: got {re.escape(repr(value))}, wanted a number in \(0, inf",
        )
        for cls in (pl.NCA, pl.NTXent, pl.SupCon, pl.ProxyNCA, pl.InfoNCE, pl.SigLIP)
        for value, error in ((0.0, ValueError), (-1.0, ValueError), ("1", TypeError), (True, TypeError))
    },
}


@pytest.mark.parametrize(("call", "error", "text"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_arguments(call, error, text):
    with pytest.raises(error, match=f"^{text}"):
        call()


@every_case
def test_bad_arguments_write_nothing(case):
    call = case.draw(13, 5, "two")
    out = outs(call, lambda shape, dtype: np.full(shape, 7, dtype))
    last = list(call.arguments)[-1]
    wrong = call.arguments | {last: call.arguments[last][..., :-1] if last not in ("proxies", "y") else "a word"}
    with pytest.raises((TypeError, ValueError), match=rf"^{last}: got .*wanted"):
        case.loss().value_and_grad(**wrong, out=out)
    assert all((each == 7).all() for each in (out if isinstance(out, tuple) else (out,)))


@every_case
def test_no_bare_error_of_the_bindings(case):
    call = case.draw(4, 2, "two")
    for bad in (None, "a", object(), 1j, [[1.0], [1.0, 2.0]], np.zeros(())):
        for name in call.arguments:
            if bad is None and name in ("labels", "pairs", "triplets", "similar"):
                continue
            with pytest.raises((TypeError, ValueError), match=rf"^{name}: got") as caught:
                case.loss().value_and_grad(**(call.arguments | {name: bad}))
            assert "incompatible function arguments" not in str(caught.value)


def test_masked_rows_are_refused():
    with pytest.raises(TypeError, match="^embeddings: got a masked array"):
        pl.SupCon()(np.ma.masked_less(X, 0.0), L)


# Losses are values.


@every_case
def test_losses_are_values(case):
    loss = case.loss()
    assert eval(repr(loss), vars(pl)) == loss
    assert hash(case.loss()) == hash(loss)
    call = case.draw(6, 3, "two")
    for twin in (
        pickle.loads(pickle.dumps(loss)),
        copy.deepcopy(loss),
        pl.get(case.cls.name, **dict(case.parameters)),
    ):
        assert twin == loss
        assert twin(**call.arguments) == loss(**call.arguments)
    with pytest.raises(AttributeError):
        loss.anything = 1
    assert len({each.loss() for each in CASES if each.cls is case.cls and not each.given}) == sum(
        each.cls is case.cls and not each.given for each in CASES
    )


@every_loss
def test_losses_are_in_the_catalogue(case):
    assert case.cls.name in pl.list_losses(task="metric")
    with pytest.raises(TypeError, match="^parameters: got 'beat'"):
        pl.get(case.cls.name, beat=1.0)


def test_losses_of_embeddings_are_not_added():
    with pytest.raises(TypeError, match="unsupported operand"):
        pl.SupCon() + pl.MSE()
    with pytest.raises(TypeError, match="unsupported operand"):
        2.0 * pl.SupCon()


# Beside other libraries.


def peers() -> dict[str, tuple[Any, Any]]:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    raw = distances.LpDistance(normalize_embeddings=False)
    square = distances.LpDistance(normalize_embeddings=False, power=2)
    mean = reducers.MeanReducer()
    return {
        "Triplet": (
            pl.Triplet(margin=0.3, average="active"),
            losses.TripletMarginLoss(margin=0.3, distance=raw),
        ),
        "Triplet, cosine": (
            pl.Triplet(metric="cosine"),
            losses.TripletMarginLoss(margin=0.2, distance=distances.CosineSimilarity(), reducer=mean),
        ),
        "Triplet, soft": (
            pl.Triplet(margin="soft"),
            losses.TripletMarginLoss(margin=0.0, smooth_loss=True, distance=raw, reducer=mean),
        ),
        "LiftedStructure": (pl.LiftedStructure(margin=0.5), losses.LiftedStructureLoss(neg_margin=0.5)),
        "NPair": (pl.NPair(), losses.NPairsLoss()),
        "Circle": (pl.Circle(gamma=4.0), losses.CircleLoss(gamma=4.0)),
        "MultiSimilarity": (pl.MultiSimilarity(), losses.MultiSimilarityLoss()),
        "NCA": (pl.NCA(temperature=4.0), losses.NCALoss(softmax_scale=0.25, distance=square)),
        "NTXent": (pl.NTXent(), losses.NTXentLoss()),
        "SupCon": (pl.SupCon(), losses.SupConLoss()),
    }


@pytest.mark.parametrize("name", ["Triplet", "Triplet, cosine", "Triplet, soft", "LiftedStructure", "NPair", "Circle",
                                  "MultiSimilarity", "NCA", "NTXent", "SupCon"])  # fmt: skip
def test_pytorch_metric_learning(name):
    torch = pytest.importorskip("torch")
    ours, theirs = peers()[name]
    x, labels = np.random.default_rng(7).normal(size=(24, 5)), np.arange(24) % 5
    leaf = torch.tensor(x, requires_grad=True)
    want = theirs(leaf, torch.tensor(labels))
    want.backward()
    value, grad = ours.value_and_grad(x, labels)
    assert_allclose(value, want.item(), rtol=1e-12)
    assert_allclose(grad, leaf.grad.numpy(), rtol=1e-11, atol=1e-12 * abs(grad).max())


def test_pytorch_metric_learning_miner():
    torch = pytest.importorskip("torch")
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    x, labels = np.random.default_rng(7).normal(size=(40, 5)), np.arange(40) % 6
    miner = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))
    want = np.stack([column.numpy() for column in miner(torch.tensor(x), torch.tensor(labels))], axis=1)
    assert_array_equal(pl.mine(x, labels, "hard"), want)


# Long calls.

LARGE = """
import resource, numpy as np, pyloss as pl
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rng = np.random.default_rng(0)
x, y = rng.normal(size=(2, {n}, 16)).astype(np.float32)
labels = np.arange({n}) // 4
out = np.ones_like(x), np.ones_like(y)
{loss}.value_and_grad({few})
before = peak()
{loss}.value_and_grad({arguments})
print(peak() - before)
"""
ONE, TWO = "x, labels, out=out[0]", "x, y, out=out"


@pytest.mark.parametrize(
    ("loss", "arguments", "n"),
    [
        ("pl.SupCon()", ONE, 20_000),
        ("pl.InfoNCE()", TWO, 6_000),
        ("pl.Triplet()", ONE, 6_000),
        ("pl.LiftedStructure()", ONE, 6_000),
        ("pl.EnergyDistance()", TWO, 6_000),
    ],
)
def test_no_matrix_of_all_pairs_is_stored(python, loss, arguments, n):
    """That of 6000 rows would take 144 MB in float32."""
    few = "x[:9], labels[:9]" if arguments == ONE else "x[:9], y[:9]"
    assert float(python(LARGE.format(loss=loss, arguments=arguments, few=few, n=n))) < 64


LONG = {
    "pairs of a batch": "pl.SupCon().value_and_grad(x, labels)",
    "statistics": "pl.InfoNCE().value_and_grad(x, x)",
    "all triplets of small classes": "pl.Triplet().value_and_grad(x, labels)",
    "all triplets of two classes": "pl.Triplet().value_and_grad(x, labels % 2)",
    "soft triplets of two classes": "pl.Triplet(margin='soft').value_and_grad(x[:20_000], labels[:20_000] % 2)",
    "mining": "pl.mine(x, labels, 'semihard')",
    "samples": "pl.MMD().value_and_grad(x, x)",
    "covariances": "pl.CORAL().value_and_grad(wide, wide)",
}


@pytest.mark.parametrize("call", LONG)
def test_ctrl_c_ends_a_long_call(seconds_to_interrupt, call):
    prepare = """
rng = np.random.default_rng(0)
x, labels = rng.standard_normal((100_000, 16), np.float32), np.arange(100_000) // 4
wide = rng.standard_normal((6_000, 6_000), np.float32)
pl.SupCon()(x[:9], labels[:9])
"""
    assert seconds_to_interrupt(LONG[call], prepare=prepare) < 0.2


def test_forked_child_computes(python):
    program = """
import numpy as np, pyloss as pl, os
x, labels = np.random.default_rng(0).normal(size=(500, 8)), np.arange(500) // 4
losses = [pl.SupCon(), pl.Triplet(), pl.Triplet(mining="hard"), pl.NPair()]
with pl.num_threads(2):
    want = [loss(x, labels) for loss in losses] + [pl.BarlowTwins()(x, x + 1)]
    child = os.fork()
    if child == 0:
        got = [loss(x, labels) for loss in losses] + [pl.BarlowTwins()(x, x + 1)]
        os._exit(0 if got == want and len(pl.mine(x, labels)) == 500 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(program, timeout=20) == "0"
