"""Row losses beside their peers: pytest bench --benchmark-only."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from cases import ROWWISE, Case, row_loss


@cache
def _case(rows: int, classes: int) -> Case:
    return row_loss("cross_entropy", max(1, rows // 16), classes)


@pytest.mark.parametrize("contender", ["pyloss", "pyloss, new array", "torch", "JAX"])
@pytest.mark.parametrize(("rows", "classes"), ROWWISE)
def test_value_and_grad(benchmark: Any, rows: int, classes: int, contender: str) -> None:
    case = _case(rows, classes)
    if contender not in case.contenders:
        pytest.skip(f"{contender} is not installed")
    case.check(contender)
    benchmark.group = case.name
    benchmark(case.contenders[contender])
