"""The rest of the catalogue beside its peers: pytest bench --benchmark-only."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from cases import Case
from catalogue_cases import catalogue

WORKS = catalogue(few=16)


@cache
def _case(name: str) -> Case:
    return WORKS[name]()


@pytest.mark.parametrize("contender", ["pyloss", "NumPy", "scikit-learn", "torch", "JAX"])
@pytest.mark.parametrize("name", WORKS)
def test_work(benchmark: Any, name: str, contender: str) -> None:
    case = _case(name)
    if contender not in case.contenders:
        pytest.skip(f"{contender} has no {name}")
    case.check(contender)
    benchmark.group = name
    benchmark(case.contenders[contender])
