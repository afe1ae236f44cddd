"""Levels: the same bits wherever there is FMA, and the choice among them."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

import pyloss as pl
from cases import LONG_ROWS, every_case, rows, same_bits
from conftest import use_level
from pyloss import _native

FMA_LEVELS = [level for level in _native.usable_levels() if level != "x86-64-v2"]


def results(level, case, dtype):
    with pytest.MonkeyPatch.context() as patch:
        use_level(import_module(_native._module(level)), patch)
        loss = case.loss()
        inputs = [case.draw(size, dtype) for size in (1, 13, 70, 4099)] + ([] if case.rowwise else [case.hard(dtype)])
        inputs += [case.draw(301, dtype, probabilities=True)] if case.rowwise else []
        for pred, target in inputs:
            weight = np.arange(len(pred)).astype(dtype) % 3
            for reduction, w in (("none", None), ("mean", weight)):
                yield from loss.value_grad_hess(pred, target, weight=w, reduction=reduction)


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@every_case
def test_levels_with_fma_give_the_same_bits(case, dtype):
    first, *others = FMA_LEVELS
    with np.errstate(all="ignore"):
        for level in others:
            pairs = zip(results(first, case, dtype), results(level, case, dtype), strict=True)
            assert all(same_bits(a, b) for a, b in pairs), f"{level} differs from {first}"


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("classes", LONG_ROWS)
def test_long_rows_have_the_same_bits(classes, probabilities, dtype):
    pred, target = rows(21, classes, dtype, probabilities=probabilities)
    found = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            loss = pl.CrossEntropy(label_smoothing=0.1, softcap=5.0) + 0.3 * pl.CrossEntropy(z_loss=0.1)
            found.append((*pl.CrossEntropy().value_grad_hess(pred, target), *loss.value_grad_hess(pred, target)))
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


def of_weights_and_gradients(dtype):
    """Results of everything that is made of weights, of gradients or of groups."""
    rng = np.random.default_rng(0)
    weights, grads = rng.standard_normal(4099).astype(dtype), rng.standard_normal((5, 4099)).astype(dtype)
    groups, target = rng.integers(0, 7, 4099), rng.integers(0, 2, 4099)
    for penalty in (pl.L1(), pl.L2(), pl.ElasticNet(), pl.EWC(abs(weights), grads[0]), pl.GroupLasso(groups)):
        yield from penalty.value_grad_hess(weights)
        yield penalty.prox(weights, 0.3)
    yield from pl.WorstGroup().value_and_grad(weights, groups, weight=abs(weights))
    yield from pl.EqualizedOdds("squared").value_and_grad(weights, target, groups)
    yield from pl.min_norm_gradient(grads)
    yield from pl.pcgrad(grads)
    yield pl.clip_per_sample(grads, 0.5, 1.0, seed=3)
    yield pl.clip_per_sample(np.tile(grads, 9), 0.5, 1.0, seed=3)
    yield pl.dropout(weights, 0.3, 5)


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
def test_weights_and_gradients_have_the_same_bits(dtype):
    found = []
    for level in FMA_LEVELS:
        with pytest.MonkeyPatch.context() as patch:
            use_level(import_module(_native._module(level)), patch)
            found.append(list(of_weights_and_gradients(dtype)))
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


SHOW = "import pyloss; print(pyloss.show_config()['level'])"


def test_best_level_is_the_default(python):
    assert python(SHOW) == _native.usable_levels()[-1]


@pytest.mark.parametrize("level", _native.usable_levels())
def test_level_can_be_chosen(python, level):
    assert python(SHOW, PYLOSS_LEVEL=level) == level


def test_unknown_level_is_an_error(python):
    error = python(SHOW, PYLOSS_LEVEL="x86-64-v9", fails=True)
    assert "ImportError: PYLOSS_LEVEL=x86-64-v9 is not a level; wanted one of x86-64-v2, x86-64-v3" in error


def test_level_that_is_not_built_is_an_error(python):
    missing = next(level for level in _native.LEVELS if level not in _native.built_levels())
    error = python(SHOW, PYLOSS_LEVEL=missing, fails=True)
    assert f"ImportError: PYLOSS_LEVEL={missing} is not built; this installation has " in error


def test_level_that_the_cpu_lacks_is_an_error(monkeypatch):
    first, last = "x86-64-v2", "x86-64-v3"
    monkeypatch.setattr(_native, "built_levels", lambda: (first, last))
    monkeypatch.setattr(_native._cpu, "supported_levels", lambda: [first])
    monkeypatch.setenv("PYLOSS_LEVEL", last)
    with pytest.raises(ImportError, match=f"PYLOSS_LEVEL={last} is not supported by this CPU, which runs {first}"):
        _native._choose()
    monkeypatch.delenv("PYLOSS_LEVEL")
    assert _native._choose() == first
    monkeypatch.setattr(_native._cpu, "supported_levels", list)
    with pytest.raises(ImportError, match="none of which this CPU supports"):
        _native._choose()
