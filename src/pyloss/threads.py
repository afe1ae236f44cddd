"""How many threads a call may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ._arguments import positive_integer
from ._native import kernels

_in_context: ContextVar[int | None] = ContextVar("pyloss_num_threads", default=None)


class _Process:
    """What holds for the whole process."""

    chosen: int | None = None
    forked = False


def _cgroup_cpus() -> float:
    """CPUs that the container's quota allows (cgroup v2, then v1)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        root = Path("/sys/fs/cgroup/cpu")
        quota_us = int((root / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((root / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return math.inf if quota_us <= 0 else quota_us / period_us
    except (OSError, ValueError):
        return math.inf


def _available_cpus() -> int:
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, _cgroup_cpus())))


def _from_environment() -> int | None:
    text = os.environ.get("PYLOSS_NUM_THREADS")
    if text is None:
        return None
    try:
        return positive_integer(int(text), "PYLOSS_NUM_THREADS")
    except ValueError:
        raise ValueError(f"PYLOSS_NUM_THREADS: got {text!r}, wanted a positive integer") from None


_environment = _from_environment()
_cpus = _available_cpus()


def _serial_child() -> None:
    # libgomp's threads do not survive a fork and the child would wait for them for ever.
    _Process.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_serial_child)


def get_num_threads() -> int:
    """Threads that a call made here and now may use.

    Returns
    -------
    int
        In this order: 1 in a forked child, `num_threads` around the call, `set_num_threads`, ``PYLOSS_NUM_THREADS``,
        and otherwise OpenMP's own limit (``OMP_NUM_THREADS``, threadpoolctl) but no more than the CPUs of this process.

    Examples
    --------
    >>> import pyloss as pl
    >>> with pl.num_threads(1):
    ...     pl.get_num_threads()
    1
    """
    if _Process.forked:
        return 1
    for chosen in (_in_context.get(), _Process.chosen, _environment):
        if chosen is not None:
            return chosen
    limit: int = kernels.max_threads()
    return limit if "OMP_NUM_THREADS" in os.environ else min(limit, _cpus)


def set_num_threads(count: int | None) -> None:
    """Set the number of threads for the whole process; None for the default again.

    Parameters
    ----------
    count : int or None
        At least 1.

    Examples
    --------
    >>> import pyloss as pl
    >>> pl.set_num_threads(2)
    >>> pl.get_num_threads()
    2
    >>> pl.set_num_threads(None)
    """
    _Process.chosen = None if count is None else positive_integer(count, "count")


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Set the number of threads for the calls in a ``with`` block of this thread or task.

    Parameters
    ----------
    count : int
        At least 1.

    Examples
    --------
    >>> import pyloss as pl
    >>> with pl.num_threads(2):
    ...     loss = pl.MSE()([1.0], [3.0])
    >>> loss
    4.0
    """
    token = _in_context.set(positive_integer(count, "count"))
    try:
        yield
    finally:
        _in_context.reset(token)
