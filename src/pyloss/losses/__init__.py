"""Every loss, one module for each family."""

from ._loss import Info, Loss, find, registered
from .binary import BCEWithLogits, Hinge
from .likelihood import PoissonNLL
from .multiclass import CrossEntropy
from .regression import MAE, MSE, Huber, LogCosh, Quantile

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
    "find",
    "registered",
]
