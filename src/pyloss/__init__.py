"""Fused loss-plus-gradient over large batches, in one pass over memory."""

from importlib.metadata import version as _version

from .catalogue import get, list_losses
from .config import show_config
from .losses import (
    MAE,
    MSE,
    BCEWithLogits,
    CrossEntropy,
    Hinge,
    Huber,
    Info,
    LogCosh,
    Loss,
    PoissonNLL,
    Quantile,
)
from .threads import get_num_threads, num_threads, set_num_threads

__version__ = _version("pyloss")

__all__ = [
    "MAE",
    "MSE",
    "BCEWithLogits",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "Info",
    "LogCosh",
    "Loss",
    "PoissonNLL",
    "Quantile",
    "get",
    "get_num_threads",
    "list_losses",
    "num_threads",
    "set_num_threads",
    "show_config",
]
