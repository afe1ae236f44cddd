"""Losses of rows in batches are those of all rows at once, however these were cut, grouped and merged."""

from __future__ import annotations

import itertools
import math
import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import CLASSES, Case, draw_inputs, every_case, teacher_of
from conftest import named_dtype
from pyloss.scoring import _scorer

ELEMENTS = [
    pl.MSE(),
    pl.MAE(),
    0.7 * pl.MSE() + 0.3 * pl.Huber(delta=0.5),
    -2.0 * pl.LogCosh(),
    pl.RMSE(),
    "quantile:q=0.9",
]
ROWS = [pl.CrossEntropy(), pl.CrossEntropy(ignore_index=2, class_weight=tuple(range(CLASSES))), "nll",
        2.0 * pl.CrossEntropy(ignore_index=0) + pl.MultiHinge(),
        pl.SoftmaxFocal(alpha=tuple(range(CLASSES)))]  # fmt: skip
SIZE = 10_007


def inputs_of(case: Case, size: int, dtype="float64") -> dict[str, np.ndarray]:
    """All inputs of a loss by name."""
    if not case.rowwise:
        return dict(zip(case.inputs, draw_inputs(case, size, dtype), strict=True))
    pred, target = case.draw(size, dtype)
    named = {"pred": pred, "target": target, "teacher": teacher_of(target, CLASSES).astype(dtype)}
    return {name: named[name] for name in case.inputs}


def elements(size=SIZE, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(size).astype(dtype), rng.uniform(size=size).astype(dtype)


def rows(size=SIZE, dtype="float32"):
    rng = np.random.default_rng(1)
    return rng.standard_normal((size, CLASSES)).astype(dtype), rng.integers(0, CLASSES, size)


def cut(arrays, *at):
    """The arrays in batches that end at these rows."""
    ends = [0, *at, len(arrays[0])]
    return [[array[a:b] for array in arrays] for a, b in itertools.pairwise(ends)]


@every_case
def test_every_loss(case: Case):
    loss, inputs = case.bare(), inputs_of(case, 997)
    weight = np.random.default_rng(2).integers(0, 3, 997)
    for weights in (None, weight):
        scorer = pl.Scorer([loss])
        for begin, end in ((0, 0), (0, 1), (1, 500), (500, 997)):
            batch = {name: array[begin:end] for name, array in inputs.items()}
            scorer.update(**batch, weight=None if weights is None else weights[begin:end])
        result = scorer.result()
        assert_allclose(result.means[0], loss(*inputs.values(), weight=weights), rtol=1e-13, atol=1e-300)
        assert result.count == (997 if weights is None else np.count_nonzero(weights))
        assert result.weight == (997 if weights is None else weights.sum())


@pytest.mark.parametrize("losses", [ELEMENTS, ROWS], ids=["elements", "rows"])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_a_call(losses, weighted, dtype):
    pred, target = (elements if losses is ELEMENTS else rows)()
    pred = pred.astype(dtype)
    weight = np.random.default_rng(3).integers(0, 3, SIZE) / 4 if weighted else None
    scorer = pl.Scorer(losses)
    scorer.update(pred, target, weight)
    for got, loss in zip(scorer.result().means, scorer.losses, strict=True):
        assert_allclose(got, loss(pred, target, weight=weight), rtol=2e-7)


@pytest.mark.parametrize("losses", [ELEMENTS, ROWS], ids=["elements", "rows"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_cuts_change_nothing(losses, kind):
    arrays = (elements if losses is ELEMENTS else rows)(dtype=kind)
    arrays = [*arrays, np.random.default_rng(4).uniform(size=SIZE), np.random.default_rng(5).integers(-3, 3, SIZE)]
    whole = pl.Scorer(losses, by="group")
    whole.update(*arrays)
    want = whole.result()
    for at in ([1], [5000], [7, 8, 4096, 9999], range(100, SIZE, 100)):
        merged, parts = pl.Scorer(losses, by="group"), []
        for batch in cut(arrays, *at):
            part = pl.Scorer(losses, by="group")
            part.update(*batch)
            parts.append(pickle.loads(pickle.dumps(part)))
        for part in parts[::-1]:
            merged.merge(part)
        got = merged.result()
        assert got.means == want.means
        assert got.count == want.count
        assert got.weight == want.weight
        assert_array_equal(got.group_values.means, want.group_values.means)
        assert list(got.groups) == list(range(-3, 3))


def test_sums_are_exact():
    """Where float64 alone would lose all digits."""
    pred = np.array([1e20, 1.0, -1e20, 3.0] * 1000)
    scorer = pl.Scorer([-1.0 * pl.MAE(), pl.MSE()])
    scorer.update(np.abs(pred), 0.0)
    assert scorer.result().means[0] == -math.fsum(np.abs(pred)) / 4000
    big = pl.Scorer(["mae"])
    big.update(np.array([1e16, 2.0]), 0.0)
    big.update(np.full(999_998, 1.0), 0.0)
    assert big.result()["mae"] == (10**16 + 10**6) / 10**6


def test_same_bits_on_all_threads_and_levels(level, threads):
    pred, target = elements(300_001)
    group = np.arange(300_001) % 7
    scorer = pl.Scorer(["mse", "log_cosh"], by="g")
    scorer.update(pred, target, group=group)
    with pl.num_threads(1):
        alone = pl.Scorer(["mse", "log_cosh"], by="g")
        alone.update(pred, target, group=group)
    assert scorer.result().means == alone.result().means
    assert_array_equal(scorer.result().group_values.means, alone.result().group_values.means)


GROUPS = {
    "int8": np.array([-1, 3, 100], np.int8),
    "far apart": np.array([-(2**60), 0, 2**61]),
    "uint64": np.array([0, 5, 2**64 - 1], np.uint64),
    "bool": np.array([False, True, True]),
    "text": np.array(["a", "bb", "a long one"]),
    "objects": np.array(["x", "y", "z"], object),
    "floats": np.array([0.5, np.nan, 2.0]),
    "dates": np.array(["2024-01-01", "2024-02-29", "2025-01-01"], "datetime64[D]"),
    "many": np.arange(3000),
}


@pytest.mark.parametrize("labels", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("weighted", [False, True])
def test_groups(labels, weighted):
    rng = np.random.default_rng(6)
    pred, target = elements()
    weight = rng.integers(0, 4, SIZE).astype(np.float32) if weighted else None
    group = labels[rng.integers(0, len(labels), SIZE)]
    scorer = pl.Scorer(["mse", "mae"], by="g")
    for batch in cut([pred, target, np.ones(SIZE) if weight is None else weight, group], 17, 18, 6000):
        scorer.update(*batch)
    scores = scorer.result()
    assert set(map(str, scores.groups)) == {str(label) for label in np.unique(group).tolist()}
    for label, of in scores.groups.items():
        mine = np.isnan(group) if label != label else group == np.asarray(label, labels.dtype)
        weights = None if weight is None else weight[mine]
        assert of.count == (mine.sum() if weight is None else np.count_nonzero(weight[mine]))
        for name, loss in (("mse", pl.MSE()), ("mae", pl.MAE())):
            assert_allclose(of[name], loss(pred[mine], target[mine], weight=weights), rtol=1e-6)
    means = {label: of["mse"] for label, of in scores.groups.items() if of.count}
    worst = max(means, key=means.__getitem__)
    assert str(scores.worst["mse"]) == str(worst)
    assert scores.gap["mse"] == max(means.values()) - min(means.values())
    assert_allclose(scores["mse"], pl.MSE()(pred, target, weight=weight), rtol=1e-6)


def test_many_losses_take_several_panels():
    losses = [pl.Quantile(q=q / 20) for q in range(1, 20)]
    pred, target = elements()
    group = np.arange(SIZE) % 300
    scorer = pl.Scorer(losses, by="g")
    scorer.update(pred, target, group=group)
    scores = scorer.result()
    for i, loss in enumerate(losses):
        assert_allclose(scores.means[i], loss(pred, target), rtol=1e-6)
        assert_allclose(scores.groups[5].means[i], loss(pred[group == 5], target[group == 5]), rtol=1e-6)
    assert len(set(scores.names)) == 19


def test_weight_0_leaves_out_even_nan():
    pred, target = elements(100)
    pred[3], target[4] = np.nan, np.inf
    weight = np.ones(100)
    weight[3:5] = 0
    scorer = pl.Scorer(["mse"], by="g")
    scorer.update(pred, target, weight, np.zeros(100, int))
    assert scorer.result()["mse"] == pytest.approx(pl.MSE()(pred, target, weight=weight), rel=1e-6)
    assert scorer.result().count == 98
    scorer.update([np.nan], [0.0], group=[1])
    assert math.isnan(scorer.result()["mse"])
    assert math.isnan(scorer.result().groups[1]["mse"])
    assert scorer.result().worst["mse"] == 1


def test_infinite_losses_are_infinite():
    scorer = pl.Scorer(["mse"])
    scorer.update([np.inf, 1.0], [0.0, 0.0])
    scorer.update([2.0], [0.0])
    assert scorer.result()["mse"] == math.inf


def test_half_types_do_not_round_the_losses():
    pred, target = np.full(1000, 300, np.float16), np.zeros(1000, np.float16)
    scorer = pl.Scorer(["mse"])
    scorer.update(pred, target)
    assert scorer.result()["mse"] == 90_000.0  # beyond float16


def test_float32_beside_float64_is_computed_in_float64():
    scorer = pl.Scorer(["mae"])
    scorer.update(np.float32([1.0]), np.float64([1.0 + 1e-12]))
    assert scorer.result()["mae"] == pytest.approx(1e-12, rel=1e-3)


def test_a_root_of_large_and_small_numbers():
    for scale in (1e-30, 1e30):
        pred = np.float32([3.0, 4.0]) * np.float32(scale)
        scorer = pl.Scorer(["rmse"])
        scorer.update(pred[:1], 0.0)
        scorer.update(pred[1:], 0.0)
        assert_allclose(scorer.result()["rmse"], pl.RMSE()(pred, 0.0), rtol=1e-7)


def test_layouts():
    pred, target = elements()
    for given in (pred[::-2], pred.reshape(-1, 1), np.asfortranarray(pred[:9000].reshape(90, 100))):
        scorer = pl.Scorer(["mse"])
        scorer.update(given, 0.25)
        assert_allclose(scorer.result()["mse"], pl.MSE()(given, 0.25), rtol=1e-6)
    scorer = pl.Scorer(["mse"], by="g")
    scorer.update(pred[:9000].reshape(90, 100), target[:100], group=np.arange(9000).reshape(90, 100) % 3)
    want = pl.MSE()(pred[:9000].reshape(90, 100)[np.arange(9000).reshape(90, 100) % 3 == 1],
                    np.broadcast_to(target[:100], (90, 100))[np.arange(9000).reshape(90, 100) % 3 == 1])  # fmt: skip
    assert_allclose(scorer.result().groups[1]["mse"], want, rtol=1e-6)
    single = pl.Scorer(["mse"])
    single.update(3.0, 1.0)
    assert single.result() == {"mse": 4.0}


def test_nothing_is_zero():
    scorer = pl.Scorer(["mse", "rmse"], by="g")
    assert scorer.result().means == (0.0, 0.0)
    assert scorer.result().groups == {}
    assert scorer.result().worst == {}
    scorer.update(np.empty(0, np.float32), np.empty(0, np.float32), group=np.empty(0, int))
    scorer.update([1.0], [0.0], weight=0.0, group=["never"])
    assert scorer.result().count == 0
    assert scorer.result()["mse"] == 0.0


def test_bad_input_adds_nothing():
    pred, labels = rows(200_000 // CLASSES * CLASSES)
    scorer = pl.Scorer(["cross_entropy"], by="g")
    group = np.zeros(len(pred), int)
    scorer.update(pred, labels, group=group)
    before = scorer.result()
    bad = labels.copy()
    bad[-1] = CLASSES
    weight = np.ones(len(pred))
    weight[77] = -1
    calls = [
        (dict(target=bad, group=group), ValueError, "target: got label 10"),
        (dict(target=labels, group=group + 1, weight=weight), ValueError, r"weight: got -1.0 at index \(77,\)"),
        (dict(target=labels[:-1], group=group), ValueError, "target: got shape"),
        (dict(target=labels, group=group[:-1]), ValueError, "group: got shape"),
        (dict(target=labels), TypeError, "group: got nothing"),
        (dict(group=group), TypeError, "target: got nothing"),
        (dict(target=labels, group=group, teacher=pred), TypeError, "teacher: got an array unexpectedly"),
        (dict(target=labels.astype(complex), group=group), TypeError, "target: got dtype complex"),
    ]
    for arguments, kind, message in calls:
        with pytest.raises(kind, match=message):
            scorer.update(pred, **arguments)
    assert scorer.result().means == before.means
    assert scorer.result().count == before.count
    assert list(scorer.result().groups) == [0]


@pytest.mark.parametrize(
    ("losses", "kind", "message"),
    [
        ([], ValueError, "losses: got none"),
        ("mse", TypeError, "losses: got 'mse'"),
        (["no such"], ValueError, "name: got 'no such'"),
        (["huber:delta"], ValueError, "loss: got 'huber:delta'"),
        (["huber:delta=-1"], ValueError, "delta: got -1"),
        ([pl.L2()], TypeError, r"losses\[0\]: got L2"),
        ([pl.Dice()], TypeError, r"losses\[0\]: got Dice"),
        ([pl.MSE(), pl.CrossEntropy()], TypeError, "only losses of elements or of rows"),
    ],
)
def test_bad_losses(losses, kind, message):
    with pytest.raises(kind, match=message):
        pl.Scorer(losses)


def test_merge_wants_a_twin():
    scorer = pl.Scorer(["mse"])
    for other in (pl.Scorer(["mae"]), pl.Scorer(["mse"], by="g")):
        with pytest.raises(ValueError, match="other: got"):
            scorer.merge(other)
    with pytest.raises(TypeError, match="other: got int"):
        scorer.merge(3)
    scorer.update([1.0], [0.0])
    scorer.merge(scorer)
    assert scorer.result().count == 2


def test_threads_may_share_a_scorer():
    pred, target = elements()
    scorer = pl.Scorer(["mse"], by="g")
    group = np.arange(SIZE) % 5
    each = [threading.Thread(target=scorer.update, args=(pred, target, None, group + i)) for i in range(8)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    assert scorer.result().count == 8 * SIZE
    assert_allclose(scorer.result()["mse"], pl.MSE()(pred, target), rtol=1e-6)


def test_what_scores_say():
    scorer = pl.Scorer([pl.Huber(), pl.Huber(delta=2.0), "mse", pl.MSE() + pl.MAE(), "mse"], by="region")
    scorer.update([0.0, 5.0, 1.0], [1.0, 1.0, 1.0], group=["b", "a", "b"])
    scores = scorer.result()
    assert scores.names == ("Huber(delta=1.0)", "Huber(delta=2.0)", "MSE()", "MSE() + MAE()", "MSE() #4")
    losses = {"Huber(delta=1.0)": 3.5, "Huber(delta=2.0)": 6.0, "MSE()": 16.0, "MSE() + MAE()": 20.0, "MSE() #4": 16.0}
    assert scores.to_dict()["groups"][0] == {"group": "a", "losses": losses, "count": 1, "weight": 1.0}
    assert scores.worst["MSE()"] == "a"
    text = str(scores).splitlines()
    assert text[0].split()[0] == "region"
    assert text[-1] == "3 rows"
    assert repr(pl.Scorer(["mse"], by="x")) == "Scorer([MSE()], by='x')"


def test_blocks_do_not_show(monkeypatch):
    pred, target = elements()
    whole = pl.Scorer(ELEMENTS)
    whole.update(pred, target)
    monkeypatch.setattr(_scorer, "_BLOCK", 1000)
    cut_up = pl.Scorer(ELEMENTS)
    cut_up.update(pred, target)
    assert cut_up.result().means == whole.result().means


def test_bfloat16():
    pred, target = (each.astype(named_dtype("bfloat16")) for each in elements())
    scorer = pl.Scorer(["mse"])
    scorer.update(pred, target)
    assert_allclose(scorer.result()["mse"], pl.MSE()(pred, target), rtol=2e-7)
