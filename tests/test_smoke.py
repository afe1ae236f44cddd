"""It imports, computes and shows itself."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import pyloss as pl
from cases import Case, every_case


def test_readme_call():
    pred, target = np.array([0.0, 5.0], np.float32), np.array([1.0, 1.0], np.float32)
    value, grad = pl.Huber(delta=2.0).value_and_grad(pred, target, reduction="sum")
    assert value == 6.5
    assert_array_equal(grad, np.array([-1.0, 2.0], np.float32), strict=True)


@every_case
def test_losses_are_values(case: Case):
    loss = case.bare()
    assert eval(repr(loss), vars(pl)) == loss
    assert hash(case.bare()) == hash(loss)
    pred, target = case.draw(9)
    want = case.loss()(pred, target)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), pl.get(case.name, **dict(case.parameters))):
        assert twin == loss
        assert case.bind(twin)(pred, target) == want
    with pytest.raises(AttributeError):
        loss.anything = 1  # type: ignore[attr-defined]


def test_sums_are_values_too():
    both = 0.7 * pl.MSE() + 0.3 * pl.MAE()
    assert both == 0.7 * pl.MSE() + 0.3 * pl.MAE()
    assert repr(both) == "0.7 * MSE() + 0.3 * MAE()"
    assert pickle.loads(pickle.dumps(both)) == both


def test_list_losses_filters():
    assert pl.list_losses(task="count") == ["negative_binomial_nll", "poisson_nll"]
    assert {"bce", "bce_with_logits", "hinge"} <= set(pl.list_losses(task="binary"))
    assert "mse" not in pl.list_losses(task="binary")
    assert "cross_entropy" in pl.list_losses(probabilistic=True)
    assert pl.list_losses() == sorted(pl.list_losses())


def test_module_prints_its_configuration():
    done = subprocess.run([sys.executable, "-m", "pyloss"], capture_output=True, text=True, check=True)
    for word in ("level", "threads", "compiler", "OpenMP"):
        assert word in done.stdout
    assert pl.show_config()["level"] in done.stdout
