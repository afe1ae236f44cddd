"""Distances beside their peers: pytest bench --benchmark-only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from cases import Case
from embedding_cases import euclidean, manhattan, nearest

CASES: dict[str, Callable[[], Case]] = {
    "euclidean": lambda: euclidean(2048),
    "manhattan": lambda: manhattan(512),
    "nearest 1": lambda: nearest(2048, 1),
    "nearest 10": lambda: nearest(2048, 10),
}
PEERS = ("faiss", "faiss, out= but squared", "torch", "scikit-learn", "SciPy")


@cache
def _case(name: str) -> Case:
    return CASES[name]()


@pytest.mark.parametrize("contender", ["pyloss", "pyloss, new array", *PEERS])
@pytest.mark.parametrize("name", CASES)
def test_distances(benchmark: Any, name: str, contender: str) -> None:
    case = _case(name)
    if contender not in case.contenders:
        pytest.skip(f"{contender} has no {name}, or is not installed")
    case.check(contender)
    benchmark.group = case.name
    benchmark(case.contenders[contender])
