"""Scoring a file beside its peers: pytest bench --benchmark-only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import scoring

WORKS = (
    "three losses",
    "three losses by 50 groups (text)",
    "three losses by 50 groups (numbers)",
    "five losses with exp and log",
)
CONTENDERS = (
    "pyloss",
    "pyarrow's decoding alone",
    "pyarrow's decoding alone, as a table",
    "polars",
    "DuckDB",
    "pandas + scikit-learn",
)


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of a million rows."""
    for peer in ("polars", "duckdb", "sklearn", "pandas"):
        pytest.importorskip(peer)
    file = tmp_path_factory.mktemp("scoring") / "scoring.parquet"
    scoring.write(file, 1)
    scoring.check(file)
    return file


@cache
def _works(path: Path) -> dict[str, dict[str, Callable[[], Any]]]:
    return scoring.works(path)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("work", WORKS)
def test_scoring(benchmark: Any, path: Path, work: str, contender: str) -> None:
    if contender not in _works(path)[work]:
        pytest.skip(f"{contender} has no {work}")
    benchmark.group = work
    benchmark(_works(path)[work][contender])
