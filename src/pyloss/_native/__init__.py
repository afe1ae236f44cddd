"""Loads the kernels: one extension module for each micro-architecture level, the best one that this CPU runs."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import _cpu

__all__ = ["built_levels", "kernels", "usable_levels"]

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "armv8-a")


def _module(level: str) -> str:
    return f"{__name__}._{level.replace('-', '_')}"


def built_levels() -> tuple[str, ...]:
    """Levels that this installation has, the best one last."""
    return tuple(level for level in LEVELS if find_spec(_module(level)))


def usable_levels() -> tuple[str, ...]:
    """Levels that this installation has and this CPU can run, the best one last."""
    supported = _cpu.supported_levels()
    return tuple(level for level in built_levels() if level in supported)


def _choose() -> str:
    usable = usable_levels()
    wanted = os.environ.get("PYLOSS_LEVEL")
    if wanted is None:
        if not usable:
            raise ImportError(f"pyloss was built for {', '.join(built_levels())}, none of which this CPU supports")
        return usable[-1]
    if wanted in usable:
        return wanted
    if wanted not in LEVELS:
        reason = f"is not a level; wanted one of {', '.join(LEVELS)}"
    elif wanted not in built_levels():
        reason = f"is not built; this installation has {', '.join(built_levels())}"
    else:
        reason = f"is not supported by this CPU, which runs {', '.join(usable)}"
    raise ImportError(f"PYLOSS_LEVEL={wanted} {reason}")


if TYPE_CHECKING:
    from . import _level as kernels
else:
    kernels = import_module(_module(_choose()))
