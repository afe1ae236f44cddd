"""The examples run, and show what they say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytest.importorskip("sklearn")
pytest.importorskip("scipy")


def shown(name, capsys):
    """Return the numbers of each line that an example prints."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    return [[float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?=[\s%]|$)", line)] for line in lines]


def test_outliers_do_not_pull_huber(capsys):
    _, _, squared, huber = shown("robust.py", capsys)
    assert abs(squared[0] - huber[0]) < 3
    assert squared[1] > 2 * squared[0]
    assert huber[1] < 1.1 * huber[0]


def test_quantiles_cover_what_they_should(capsys):
    _, _, *levels, between = shown("quantiles.py", capsys)
    assert [level[0] for level in levels] == [10, 25, 50, 75, 90]
    for level, below, loss, constant in levels:
        assert abs(below - level) < 5
        assert loss < constant
    assert abs(between[0] - 80) < 5


def test_both_methods_find_the_same_weights(capsys):
    _, _, *rows = shown("linear_model.py", capsys)
    assert len(rows) == 6
    for gradient, newton in zip(rows[::2], rows[1::2], strict=True):
        assert gradient[1:] == newton[1:]
        assert newton[0] < gradient[0]
        assert newton[3] > 90
    used = [row[2] for row in rows[::2]]
    assert used[0] < used[2] < used[1] == 30


def test_a_weight_of_the_rare_class_pays(capsys):
    _, _, plain, balanced, weighted, focal, asymmetric = shown("imbalanced.py", capsys)
    for precision, accuracy in (row[-2:] for row in (balanced, weighted, focal, asymmetric)):
        assert accuracy > plain[-1] + 10
        assert precision > plain[-2]
