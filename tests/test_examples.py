"""The examples run, and show what they say."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pyloss import cli

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


def test_predictions_in_files_are_scored(tmp_path, monkeypatch, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    from scipy.special import softmax
    from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error

    folder = tmp_path / "new folder"
    monkeypatch.setattr(sys, "argv", ["predictions.py", str(folder)])
    runpy.run_path(str(EXAMPLES / "predictions.py"), run_name="__main__")
    written, commands, *results = capsys.readouterr().out.strip().split("\n\n")
    assert sorted(folder.iterdir()) == [Path(line[6:].split(":")[0]) for line in written.splitlines()]

    patients, images = (
        {name: table[name].to_numpy() for name in table.column_names}
        for table in (pq.read_table(folder / "diabetes.parquet"), pq.read_table(folder / "digits.parquet"))
    )
    y, yhat, upper, weight, ages = (patients[name] for name in ("y", "yhat", "upper", "weight", "age"))
    digits, probabilities = images["target"], softmax(np.stack([images[f"p_{i}"] for i in range(10)], axis=1), axis=1)
    squared_and_absolute = {
        "mse": lambda rows: mean_squared_error(y[rows], yhat[rows], sample_weight=weight[rows]),
        "mae": lambda rows: mean_absolute_error(y[rows], yhat[rows], sample_weight=weight[rows]),
    }
    expected = (
        (ages, squared_and_absolute),
        (ages, {"quantile": lambda rows: mean_pinball_loss(y[rows], upper[rows], alpha=0.9)}),
        (images["ink"], {"cross_entropy": lambda rows: log_loss(digits[rows], probabilities[rows], labels=range(10))}),
    )
    for command, result, (groups, metrics) in zip(commands.splitlines()[1:], results, expected, strict=True):
        labels = np.unique(groups).tolist()
        parts = [np.full(len(groups), True), *(groups == label for label in labels)]
        want = {name: [metric(rows) for rows in parts] for name, metric in metrics.items()}

        _, table = result.split("\n", 1)
        heading, *lines = [re.split(" {2,}", line) for line in table.splitlines()]
        assert heading[1:] == [*want, "rows"]
        assert [line[0] for line in lines[: len(parts)]] == ["all", *labels]
        numbers = np.array([line[1:] for line in lines[: len(parts)]], float)
        assert_allclose(numbers.T, [*want.values(), [rows.sum() for rows in parts]], rtol=1e-6)

        arguments = shlex.split(command)
        assert arguments.pop(0) == "pyloss"
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out.strip() == table
        assert cli.main([*arguments, "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert set(told["losses"]) == set(want)
        for name, (every, *each) in want.items():
            assert_allclose(told["losses"][name], every, rtol=1e-12)
            assert [group["group"] for group in told["groups"]] == labels
            assert_allclose([group["losses"][name] for group in told["groups"]], each, rtol=1e-12)
            assert told["worst"][name] == labels[np.argmax(each)]
            assert_allclose(told["gap"][name], np.ptp(each), rtol=1e-10)
