"""What this installation is and uses."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from ._native import built_levels, kernels, usable_levels
from .threads import get_num_threads


def show_config() -> dict[str, Any]:
    """Tell what this installation is and what it uses here and now.

    Returns
    -------
    dict
        Version, levels built, usable on this CPU and in use, instructions for bfloat16 (by which `nearest` and
        `within` rule pairs out), threads, compiler, OpenMP, Python and NumPy.

    Examples
    --------
    >>> import pyloss as pl
    >>> config = pl.show_config()
    >>> config["level"] in config["levels built"]
    True
    """
    return {
        "pyloss": version("pyloss"),
        "level": kernels.level,
        "levels usable": list(usable_levels()),
        "levels built": list(built_levels()),
        "bfloat16": kernels.bfloat16_unit(),
        "threads": get_num_threads(),
        "OpenMP": str(kernels.openmp) if kernels.openmp else "none",
        "compiler": kernels.compiler,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }
