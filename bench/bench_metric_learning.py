"""Losses of embeddings beside their peers: pytest bench --benchmark-only."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from cases import Case
from embedding_cases import LABELLED, info_nce, labelled


@cache
def _case(name: str) -> Case:
    return info_nce(1024) if name == "info_nce" else labelled(name, 256)


@pytest.mark.parametrize("contender", ["pyloss", "torch", "pytorch-metric-learning"])
@pytest.mark.parametrize("name", [*LABELLED, "info_nce"])
def test_value_and_grad(benchmark: Any, name: str, contender: str) -> None:
    case = _case(name)
    if contender not in case.contenders:
        pytest.skip(f"{contender} has no {name}, or is not installed")
    case.check(contender)
    benchmark.group = case.name
    benchmark(case.contenders[contender])
