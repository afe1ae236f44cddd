"""Measure the elementary functions over all 2^32 float32 inputs and ten million float64.

    python tests/sweep_math.py [name ...]

Takes about a minute for a function and level on two cores; all levels that this CPU runs, or the one that PYLOSS_LEVEL
names.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from pyloss import _native
from ulp import BOUNDS, FUNCTIONS, float32_inputs, float64_inputs, worst

PARTS = 64


def part(task: tuple[str, str, str, int]) -> tuple[float, float]:
    """Measure one part of a sweep."""
    level, name, dtype, index = task
    native = import_module(_native._module(level))
    if dtype == "float64":
        return worst(native, name, float64_inputs(10_000_000 // PARTS, seed=index))
    size = (1 << 32) // PARTS
    return max(worst(native, name, x) for x in float32_inputs(1, index * size, (index + 1) * size))


def main() -> int:
    """Print the table; 1 if a bound is broken."""
    levels = [os.environ["PYLOSS_LEVEL"]] if "PYLOSS_LEVEL" in os.environ else _native.usable_levels()
    broken = False
    with ProcessPoolExecutor() as pool:
        for level in levels:
            for name in sys.argv[1:] or FUNCTIONS:
                for dtype in ("float32", "float64"):
                    error, at = max(pool.map(part, [(level, name, dtype, index) for index in range(PARTS)]))
                    bad = error > BOUNDS[name, dtype]
                    broken |= bad
                    print(
                        f"{level:10} {name:9} {dtype} {error:.3f} ULP at {at!r}{'  ABOVE THE BOUND' if bad else ''}",
                        flush=True,
                    )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
