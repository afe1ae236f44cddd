"""Fixtures: every built level that this CPU runs, dtypes, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

import pyloss as pl
from pyloss import _native

DTYPES = ["float32", "float64", "float16", "bfloat16"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "big: needs 10 GB of free memory")


@pytest.fixture(params=_native.usable_levels())
def native(request: pytest.FixtureRequest) -> ModuleType:
    """The extension module of a level."""
    return import_module(_native._module(request.param))


@pytest.fixture
def level(native: ModuleType, monkeypatch: pytest.MonkeyPatch) -> str:
    """A level, used by the losses that the test makes (a loss keeps what it has prepared for the kernels)."""
    use_level(native, monkeypatch)
    return native.level


def use_level(native: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("pyloss.") and hasattr(module, "kernels"):
            monkeypatch.setattr(module, "kernels", native)


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return named_dtype(request.param)


def named_dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


@pytest.fixture(params=[1, 2, 3, 7])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with pl.num_threads(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def python() -> Callable[..., str]:
    """Run a program in a fresh interpreter; returns what it prints, or its error text if it is to fail."""

    def run(program: str, *, fails: bool = False, timeout: float = 60.0, **environment: str) -> str:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYLOSS_", "OMP_"))}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=inherited | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout.strip()

    return run


@pytest.fixture
def seconds_to_interrupt(python: Callable[..., str]) -> Callable[..., float]:
    """Press Ctrl-C during a call of minutes, in a fresh interpreter; returns how long it takes to end it."""

    def run(call: str, threads: str | None = None, prepare: str = "") -> float:
        program = f"""
import numpy as np, os, pyloss as pl, signal, threading, time
{prepare}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
sent = []
def interrupt():
    time.sleep(0.4)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    {call}
    print("too short")
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0])
    assert pl.MSE()([1.0], [3.0]) == 4.0  # and the next call works
"""
        return float(python(program, timeout=30, **({"PYLOSS_NUM_THREADS": threads} if threads else {})))

    return run
