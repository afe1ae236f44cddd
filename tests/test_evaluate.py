"""Several losses at once are each loss alone; which losses there are."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest

import pyloss as pl
from cases import CASES, CLASSES
from conftest import named_dtype
from pyloss import catalogue
from pyloss.losses import _evaluate, _loss
from pyloss.losses._rowwise import LABELS, PROBABILITIES

ELEMENTWISE = [pl.MSE(), pl.MAE(), 0.7 * pl.MSE() + 0.3 * pl.MAE(), pl.Huber(delta=0.3), -2.0 * pl.LogCosh(),
               pl.Quantile(q=0.2), pl.BCEWithLogits(pos_weight=2.0)]  # fmt: skip
ROWS = [pl.CrossEntropy(), pl.CrossEntropy(label_smoothing=0.1, ignore_index=2), 2.0 * pl.CrossEntropy(z_loss=0.1),
        pl.CrossEntropy(class_weight=tuple(range(CLASSES))) + 0.5 * pl.CrossEntropy(temperature=2.0)]  # fmt: skip


def same(losses, *inputs, **options):
    """Bit for bit."""
    got = pl.evaluate(losses, *inputs, **options)
    assert type(got) is tuple
    assert all(type(value) is float for value in got)
    assert got == tuple(loss(*inputs, **options) for loss in losses)


@pytest.mark.parametrize("size", [0, 1, 7, 1000, 8193, 100_003])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_elementwise(dtype, size, reduction, weighted, threads):
    rng = np.random.default_rng(size)
    pred, target = rng.standard_normal(size).astype(dtype), rng.uniform(size=size).astype(dtype)
    weight = rng.integers(0, 3, size) if weighted else None
    same(ELEMENTWISE, pred, target, weight=weight, reduction=reduction)
    same(ELEMENTWISE[:1], pred, target, weight=weight, reduction=reduction)
    same(ELEMENTWISE, pred[::-2], target[::2], reduction=reduction)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("probabilities", [False, True])
def test_rows_and_elements_together(dtype, probabilities, threads):
    rng = np.random.default_rng(0)
    pred = rng.standard_normal((5003, CLASSES)).astype(dtype)
    target = rng.dirichlet(np.ones(CLASSES), 5003).astype(dtype) if probabilities else rng.integers(0, CLASSES, 5003)
    for weight in (None, rng.integers(0, 3, (5003))):
        same(ROWS, pred, target, weight=weight)
        same(ROWS[::-1], pred, target, weight=weight, reduction="sum")
    if probabilities:
        mixed = list(itertools.chain(*zip(ELEMENTWISE, ROWS, strict=False)))
        same(mixed, pred, target)
        same(mixed, pred, target, weight=0.5)


def test_long_rows():
    rng = np.random.default_rng(0)
    pred, target = rng.standard_normal((50, 5000)), rng.integers(0, 5000, 50)
    same([pl.CrossEntropy(), pl.CrossEntropy(label_smoothing=0.1), pl.CrossEntropy(softcap=3.0)], pred, target)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_every_loss_at_once(name):
    """All that take `pred` and `target` alone, each kind with inputs of its own."""
    of_rows = [case for case in CASES if case.rowwise and case.plain]
    kinds = [[case for case in of_rows if kind in case.cls.targets] for kind in (LABELS, PROBABILITIES)]
    for cases in ([case for case in CASES if not case.rowwise and case.plain], *kinds):
        pred, target = cases[0].draw(500, named_dtype(name), probabilities=cases is kinds[1])
        if not cases[0].rowwise:
            pred, target = abs(pred), abs(target) % 1
        with np.errstate(all="ignore"):
            alone = [case.loss()(pred, target) for case in cases]
        assert [repr(value) for value in pl.evaluate([case.loss() for case in cases], pred, target)] == [
            repr(value) for value in alone
        ]


def test_nothing_and_lists():
    assert pl.evaluate([], [1.0], [2.0]) == ()
    assert pl.evaluate((pl.MSE(), pl.MSE()), [1, 2], 2) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("losses", "options", "error", "message"),
    [
        (pl.MSE(), {}, TypeError, r"losses: got MSE\(\), wanted a sequence of losses"),
        ({pl.MSE()}, {}, TypeError, "losses: got {MSE"),
        ([pl.MSE(), "mse"], {}, TypeError, r"losses\[1\]: got 'mse', wanted a loss of predictions"),
        ([pl.MSE(), pl.Triplet()], {}, TypeError, r"losses\[1\]: got Triplet\(.*wanted a loss of predictions"),
        ([pl.MSE], {}, TypeError, r"losses\[0\]: got <class"),
        ([pl.MSE()], {"reduction": "none"}, ValueError, "reduction: got 'none', wanted 'mean' or 'sum'"),
        ([pl.MSE()], {"reduction": "all"}, ValueError, "reduction: got 'all'"),
        ([pl.MSE()], {"weight": [-1.0, 1.0]}, ValueError, "weight: got -1.0 at index"),
        ([pl.MSE(), pl.CrossEntropy()], {}, TypeError, r"target: got shape \(\) of float64, wanted class indices"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(losses, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        pl.evaluate(losses, [1.0, 2.0], 0.0, **options)


def test_missing_and_further_inputs():
    with pytest.raises(TypeError, match="^target: got nothing"):
        pl.evaluate([pl.MSE()], [1.0])
    with pytest.raises(TypeError, match="^inputs: got 3 arrays"):
        pl.evaluate([pl.MSE()], [1.0], [1.0], [1.0])
    with pytest.raises(ValueError, match="^target: got shape"):
        pl.evaluate([pl.MSE()], [1.0], [1.0, 2.0])


def test_list_losses():
    assert pl.list_losses() == sorted(pl.losses.registered())
    assert "huber" in pl.list_losses("regression", outliers="low", convex=True)
    for name in pl.list_losses(convex=False, probabilistic=True):
        info = pl.losses.find(name).info
        assert not info.convex
        assert info.probabilistic
    for criterion in ("convex", "differentiable", "probabilistic"):
        parts = [pl.list_losses(**{criterion: value}) for value in (True, False)]
        assert sorted(parts[0] + parts[1]) == pl.list_losses()


@pytest.mark.parametrize(
    ("criterion", "value", "known"),
    [
        ("task", "regresion", r"\(part of\) one of .*count regression.*regression"),
        ("task", 3, r"\(part of\) one of .*regression"),
        ("convex", "yes", "one of True, False"),
        ("differentiable", 1, "one of True, False"),
        ("probabilistic", "low", "one of True, False"),
        ("outliers", "none", "one of low, medium, high"),
        ("outliers", True, "one of low, medium, high"),
    ],
)
def test_list_losses_says_what_it_knows(criterion, value, known):
    with pytest.raises(ValueError, match=f"^{criterion}: got {value!r}, wanted {known}"):
        pl.list_losses(**{criterion: value})


@pytest.mark.parametrize("module", [_evaluate, catalogue, _loss], ids=lambda module: module.__name__)
def test_examples_are_true(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0
