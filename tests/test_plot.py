"""Pictures of losses."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import CASES
from pyloss.losses import registered
from pyloss.losses._elementwise import Elementwise

GALLERY = Path(__file__).parents[1] / "docs" / "gallery" / "plot_losses.py"
ELEMENTWISE = [case for case in CASES if issubclass(case.cls, Elementwise)]


@pytest.fixture
def ax():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    yield ax
    pyplot.close(figure)


def test_value_gradient_and_curvature(ax):
    loss = pl.Huber(delta=3.0)
    assert pl.plot(loss, ax) is ax
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines) == ["value", "gradient", "curvature"]
    x = lines["value"].get_xdata()
    assert x[0] == -6
    assert x[-1] == 6
    for line, want in zip(lines.values(), loss.value_grad_hess(x, np.zeros_like(x), reduction="none"), strict=True):
        assert_array_equal(line.get_xdata(), x)
        assert_array_equal(line.get_ydata(), want)
    assert ax.get_title() == "Huber(delta=3.0)"
    assert ax.get_xlabel() == "pred"
    assert ax.get_legend() is not None


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_every_loss(case, ax):
    loss = case.cls(**dict(case.parameters))
    lines = pl.plot(loss, ax).get_lines()
    assert len(lines) in (2, 3)
    for line in lines:
        assert len(line.get_xdata()) > 400
        assert np.isfinite(line.get_ydata()).all()
        assert all(float(x) in case.cls.info.pred for x in line.get_xdata())
    value, grad = (line.get_ydata() for line in lines[:2])
    x = lines[0].get_xdata()
    middle = (value[2:] - value[:-2]) / (x[2:] - x[:-2])
    smooth = (abs(np.diff(grad, 2)) < 1e-3) & (abs(np.diff(value, 2)) < 0.1)  # neither a kink nor a step
    assert smooth.mean() > 0.1
    assert_allclose(middle[smooth], grad[1:-1][smooth], atol=2e-3)


def test_a_family(ax):
    pl.plot([pl.Huber(delta=0.5), pl.Huber(delta=2.0), pl.MSE() + pl.MAE()], ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["Huber(delta=0.5)", "Huber(delta=2.0)", "MSE() + MAE()"]
    colours = [line.get_color() for line in ax.get_lines()]
    assert len(colours) == 9
    assert len(set(colours)) == 3
    assert colours[0] == colours[1] == colours[2]


def test_array_parameters_are_a_family(ax):
    pl.plot(pl.Quantile(q=(0.1, 0.9)), ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Quantile(q=0.1)", "Quantile(q=0.9)"]


def test_new_figure(ax):
    other = pl.plot(pl.MSE())
    assert other.figure is not ax.figure
    sys.modules["matplotlib.pyplot"].close(other.figure)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ImportError, match=r'plot: matplotlib is missing, wanted it installed: pip install "pyloss\[plot\]"'
    ):
        pl.plot(pl.MSE())


def test_import_does_not_need_it(python):
    assert python("import sys, pyloss; print(any(name.startswith('matplotlib') for name in sys.modules))") == "False"


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (pl.CrossEntropy(), TypeError, r"loss: got CrossEntropy\(.*wanted an elementwise loss"),
        ("huber", TypeError, "loss: got 'huber', wanted an elementwise loss"),
        ([pl.MSE(), pl.Triplet()], TypeError, r"loss\[1\]: got Triplet\("),
        ([], ValueError, "loss: got an empty sequence"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(loss, error, message):
    with pytest.raises(error, match=f"^{message}"):
        pl.plot(loss)


def test_gallery_draws_every_loss(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "losses.png"
    monkeypatch.setattr(sys, "argv", [str(GALLERY), str(path)])
    runpy.run_path(str(GALLERY), run_name="__main__")
    count = sum(issubclass(cls, Elementwise) for cls in registered().values())
    assert capsys.readouterr().out == f"{count} losses in {path}\n"
    assert path.stat().st_size > 20_000
