"""Measure the memory that symmetric InfoNCE takes beyond its inputs and gradients: python bench/memory.py."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def _kilobytes(field: str) -> int:
    """Return a line of this process's status, VmRSS or its highest value VmHWM."""
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(field))


def _grow(library: str, rows: int, width: int) -> dict[str, float]:
    """Return what one call of `library` takes, in this process."""
    import pyloss as pl
    from cases import THREADS
    from embedding_cases import clip_style, views

    pl.set_num_threads(THREADS)
    loss = pl.InfoNCE()

    def prepare(rows: int) -> Any:
        x, y = views(rows, width)
        if library == "torch":
            return clip_style(x, y, loss.temperature)
        return lambda: loss.value_and_grad(x, y)

    prepare(256)()  # threads, and what libraries set up once
    call = prepare(rows)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size until now
    before = _kilobytes("VmRSS")
    start = time.perf_counter()
    _, grads = call()
    seconds = time.perf_counter() - start
    results = sum(grad.nbytes for grad in grads)
    return {"extra MB": (1024 * (_kilobytes("VmHWM") - before) - results) / 1e6, "seconds": seconds}


def extra_memory(library: str, rows: int, width: int = 256) -> dict[str, float] | None:
    """Return megabytes beyond inputs and gradients, and seconds, of one call in a process of its own."""
    if not STATUS.exists() or find_spec(library) is None:
        return None
    # Freed memory goes back at once, so that no array hides in what another has left.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--here", library, "--rows", str(rows), "--width", str(width)]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(found)  # type: ignore[no-any-return]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--here", metavar="LIBRARY", help="measure this process")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(_grow(options.here, options.rows, options.width)))
    else:
        for each in ("pyloss", "torch"):
            print(
                f"InfoNCE {options.rows} x {options.width}, {each}: {extra_memory(each, options.rows, options.width)}"
            )
