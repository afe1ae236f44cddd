"""Every loss in plain float64 NumPy, as its source writes it: documentation as much as oracle.

Each function has the name of a kernel and takes (pred, target, and the parameters of the class); it returns value,
gradient and diagonal of the Hessian of each element, not reduced. Of a row loss the value is one for each row.

`distances` holds the metrics, `metric_learning` the losses of embeddings, which return what they say there.
"""

from . import distances as distances
from . import metric_learning as metric_learning
from ._terms import reduce
from .adversarial import gan_discriminator, gan_generator
from .binary import (
    asymmetric_focal,
    bce,
    bce_with_logits,
    exponential,
    focal,
    hinge,
    logistic,
    modified_huber,
    squared_hinge,
)
from .likelihood import poisson_nll
from .multiclass import cross_entropy, cross_entropy_count
from .regression import huber, log_cosh, mae, mse, quantile
from .reinforcement import grpo, policy_gradient, ppo_clip, td_huber

__all__ = [
    "asymmetric_focal",
    "bce",
    "bce_with_logits",
    "cross_entropy",
    "cross_entropy_count",
    "exponential",
    "focal",
    "gan_discriminator",
    "gan_generator",
    "grpo",
    "hinge",
    "huber",
    "log_cosh",
    "logistic",
    "mae",
    "modified_huber",
    "mse",
    "poisson_nll",
    "policy_gradient",
    "ppo_clip",
    "quantile",
    "reduce",
    "squared_hinge",
    "td_huber",
]
