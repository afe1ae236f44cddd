"""Every loss in plain float64 NumPy, as its source writes it: documentation as much as oracle.

Each function has the name of a kernel and takes (pred, target, and the parameters of the class); it returns value,
gradient and diagonal of the Hessian of each element, not reduced. Of a row loss the value is one for each row. Those of
masks or boxes have a value for each of these and no Hessian.

`distances` holds the metrics, `metric_learning` the losses of embeddings, `penalties` those of weights,
`combination` what makes one of several tasks or groups, `randomized` random numbers; they return what they say there.
"""

from . import combination as combination
from . import distances as distances
from . import metric_learning as metric_learning
from . import penalties as penalties
from . import randomized as randomized
from ._terms import reduce
from .binary import bce_with_logits, hinge
from .boxes import box_iou
from .likelihood import poisson_nll
from .multiclass import cross_entropy, cross_entropy_count
from .regression import (
    barron,
    cauchy,
    epsilon_insensitive,
    expectile,
    geman_mcclure,
    huber,
    log_cosh,
    mae,
    mape,
    mse,
    msle,
    pseudo_huber,
    quantile,
    smape,
    smooth_l1,
    tukey,
    welsch,
)
from .segmentation import dice, focal_tversky, jaccard, lovasz, tversky

__all__ = [
    "barron",
    "bce_with_logits",
    "box_iou",
    "cauchy",
    "cross_entropy",
    "cross_entropy_count",
    "dice",
    "epsilon_insensitive",
    "expectile",
    "focal_tversky",
    "geman_mcclure",
    "hinge",
    "huber",
    "jaccard",
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
    "lovasz",
    "mae",
    "mape",
    "mse",
    "msle",
    "poisson_nll",
    "pseudo_huber",
    "quantile",
    "reduce",
    "smape",
    "smooth_l1",
    "tukey",
    "tversky",
    "welsch",
    "multi_hinge",
    "nll",
    "nll_count",
    "poly_cross_entropy",
    "softmax_focal",
    "sphere_face",
    "symmetric_cross_entropy",
]
