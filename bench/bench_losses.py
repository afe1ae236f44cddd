"""Elementwise losses beside their peers: pytest bench --benchmark-only."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from cases import ELEMENTWISE, MEBI, Case, combination, elementwise, small_call

CONTENDERS = ("pyloss", "pyloss, new array", "NumPy", "scikit-learn", "torch", "JAX")


@cache
def _case(name: str) -> Case:
    return {"combination": lambda: combination(MEBI), "small": small_call}.get(name, lambda: elementwise(name, MEBI))()


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", [*ELEMENTWISE, "combination", "small"])
def test_value_and_grad(benchmark: Any, name: str, contender: str) -> None:
    case = _case(name)
    if contender not in case.contenders:
        pytest.skip(f"{contender} has no {name}")
    case.check(contender)
    benchmark.group = name
    benchmark(case.contenders[contender])
