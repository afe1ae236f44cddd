"""Measure what this machine can do at most: memory bandwidth and multiply-adds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def cpu() -> str:
    """Return the name of this machine's processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def slug(name: str) -> str:
    """Return the name of a processor as part of a file's name."""
    return "-".join(name.lower().replace("(r)", "").split())


def aligned(count: int) -> Floats:
    """Return `count` float32 zeros that start on a cache line."""
    raw = np.zeros(count + 16, np.float32)
    start = -raw.__array_interface__["data"][0] % 64 // 4
    return raw[start : start + count]


def _compile() -> ctypes.CDLL:
    library = Path(tempfile.mkdtemp()) / "roofline.so"
    source = Path(__file__).with_suffix(".cpp")
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-std=c++20"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("read_read_stream", "read_read", "fma_peak"):
        getattr(loaded, name).restype = ctypes.c_double
    return loaded


def _pointer(array: Floats) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.__array_interface__["data"][0])


@dataclass(frozen=True)
class Roof:
    """The machine's limits over arrays of `size` float32, with `threads` threads."""

    size: int
    threads: int

    @cached_property
    def _library(self) -> ctypes.CDLL:
        return _compile()

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        a, b, c = (aligned(self.size) for _ in range(3))
        a += 1
        b += 2
        c += 3
        return a, b, c

    def read_read_stream(self) -> float:
        """Return the seconds that reading two arrays and writing a third takes."""
        a, b, c = map(_pointer, self._arrays)
        return float(self._library.read_read_stream(a, b, c, ctypes.c_size_t(self.size), self.threads))

    def read_read(self) -> float:
        """Return the seconds that reading two arrays takes."""
        a, b, _ = map(_pointer, self._arrays)
        return float(
            self._library.read_read(a, b, ctypes.c_size_t(self.size), self.threads, ctypes.byref(ctypes.c_float()))
        )

    def fma_peak(self) -> float:
        """Return 1e9 floating-point operations a second."""
        return float(self._library.fma_peak(self.threads, ctypes.byref(ctypes.c_float())))


if __name__ == "__main__":
    roof = Roof(16 << 20, 2)
    times = sorted(roof.read_read_stream() for _ in range(15))
    reads = sorted(roof.read_read() for _ in range(15))
    print(f"read, read, stream: {12 * roof.size / times[7] / 1e9:.1f} GB/s")
    print(f"read: {8 * roof.size / reads[7] / 1e9:.1f} GB/s")
    print(f"multiply-add: {roof.fma_peak():.0f} GFLOP/s")
