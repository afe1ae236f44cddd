"""Make pytest find bench_*.py, and time with the threads that are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pyloss as pl
from cases import THREADS


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect bench_*.py, which are no ordinary tests."""
    if file_path.name.startswith("bench_") and file_path.suffix == ".py":
        return pytest.Module.from_parent(parent, path=file_path)
    return None


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with pl.num_threads(THREADS):
        yield
