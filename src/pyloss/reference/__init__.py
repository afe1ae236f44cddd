"""Every loss in plain float64 NumPy, as its source writes it: documentation as much as oracle.

Each function has the name of a kernel and takes (pred, target, and the parameters of the class); it returns value,
gradient and diagonal of the Hessian of each element, not reduced. Of a row loss the value is one for each row.

`distances` holds the metrics, `metric_learning` the losses of embeddings, which return what they say there.
"""

from . import distances as distances
from . import metric_learning as metric_learning
from ._terms import reduce
from .binary import bce_with_logits, hinge
from .likelihood import poisson_nll
from .multiclass import (
    ada_cos,
    arc_face,
    categorical_cross_entropy,
    cos_face,
    cross_entropy,
    cross_entropy_count,
    distillation,
    entropy,
    generalized_cross_entropy,
    js_div,
    kl_div,
    multi_hinge,
    nll,
    nll_count,
    poly_cross_entropy,
    softmax_focal,
    sphere_face,
    symmetric_cross_entropy,
)
from .regression import huber, log_cosh, mae, mse, quantile

__all__ = [
    "ada_cos",
    "arc_face",
    "bce_with_logits",
    "categorical_cross_entropy",
    "cos_face",
    "cross_entropy",
    "cross_entropy_count",
    "distillation",
    "entropy",
    "generalized_cross_entropy",
    "hinge",
    "huber",
    "js_div",
    "kl_div",
    "log_cosh",
    "mae",
    "mse",
    "multi_hinge",
    "nll",
    "nll_count",
    "poisson_nll",
    "poly_cross_entropy",
    "quantile",
    "reduce",
    "softmax_focal",
    "sphere_face",
    "symmetric_cross_entropy",
]
